"""Other machines: no display, no home, an odd path, warnings as errors, terminals of all kinds."""

import subprocess
import sys

from conftest import ROOT, run_script


def test_no_display_no_home_an_odd_path_another_folder(tmp_path):
    """All at once, with every warning of ours an error."""
    folder = tmp_path / "Übung 3 – имя"
    folder.mkdir()
    home = tmp_path / "home"
    home.write_text("a file: nobody, root neither, can write below it")
    gone = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "HOME": str(home / "me"), "LC_ALL": "C",
            "MPLCONFIGDIR": "", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "",
            "PYTHONWARNINGS": "error:::common,error:::__main__"}  # fmt: skip
    drawn = ["--p", "0.3", "--n", "2", "--out", "a.png"]
    done = run_script([ROOT / "ex_2c.py", *drawn], folder, **gone)
    assert done.returncode == 0, done.stderr
    assert (folder / "a.png").stat().st_size > 0


def test_a_closed_terminal(tmp_path):
    run = f"cd '{tmp_path}'; '{sys.executable}' '{ROOT}/ex_2"
    done = subprocess.run(["sh", "-c", f"{run}c.py' --p 1 --n 1 >&- 2>&-"])
    assert done.returncode == 0 and (tmp_path / "out/ex_2c_curves.csv").is_file()
