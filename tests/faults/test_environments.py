"""Other machines: odd torchvision or none, no display, no home, odd paths, warnings as errors."""

import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, run_script
from faults.campaign import LONG, long_only

DRAW = [ROOT / "ex_1c.py", "7", "--out-dir", "."]

CUDA_WHEEL = """
import torch
if not hasattr(torch.ops.torchvision, "nms"):
    raise RuntimeError("operator torchvision::nms does not exist")
"""


def stub(folder, text):
    """Put a package torchvision with this text before the real one; return the path to it."""
    package = folder / "stub/torchvision"
    (package / "datasets").mkdir(parents=True)
    (package / "__init__.py").write_text(text)
    (package / "datasets/__init__.py").write_text("class MNIST:\n    pass\n")
    return str(folder / "stub")


def test_a_cuda_torchvision_beside_a_cpu_torch_imports(tmp_path):
    """The stub fails as that wheel does until the two operators are declared."""
    path = f"{stub(tmp_path, CUDA_WHEEL)}:{ROOT}"
    code = "from common import mnist; print(mnist._torchvision_mnist().__module__)"
    done = run_script(["-c", code], tmp_path, PYTHONPATH=path)
    assert done.stdout.strip() == "torchvision.datasets", done.stderr


NO_TORCHVISION = "raise ModuleNotFoundError('No module named torchvision', name='torchvision')"


def test_without_torchvision_digits_are_read_and_only_the_download_is_refused(small_mnist):
    """ex_1c and all of exercises 2 and 3 never import it."""
    path = f"{stub(small_mnist, NO_TORCHVISION)}:{ROOT}"
    code = f"""
import sys
import ex_1b, ex_1c, ex_2a, ex_2b, ex_2c, ex_2d, ex_3a, ex_3b
from common import mnist
assert "torchvision" not in sys.modules
assert len(mnist.load({str(small_mnist)!r}).train_images) == 40
ex_1c.generate([1])
try:
    mnist.load("nowhere")
except ValueError as error:
    print(error)
"""
    done = run_script(["-c", code], small_mnist, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert "the download of MNIST needs torchvision" in done.stdout
    assert done.stdout.count("\n") == 1 and not list(small_mnist.rglob("*.tmp"))


def test_no_display_no_home_an_odd_path_another_folder(tmp_path):
    """All at once, with every warning of ours an error."""
    folder = tmp_path / "Übung 3 – имя"
    folder.mkdir()
    home = tmp_path / "home"
    home.write_text("a file: nobody, root neither, can write below it")
    gone = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "HOME": str(home / "me"), "LC_ALL": "C",
            "MPLCONFIGDIR": "", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "",
            "PYTHONWARNINGS": "error:::common,error:::__main__"}  # fmt: skip
    done = run_script(DRAW, folder, **gone)
    assert done.returncode == 0, done.stderr
    assert (folder / "figures/ex_1c_7.png").stat().st_size > 0


@long_only
@pytest.mark.parametrize("script", ["ex_1b.py", "ex_2a.py", "ex_2b.py", "ex_3a.py", "ex_3b.py"])
def test_the_project_itself_may_lie_in_an_odd_path(tmp_path, script):
    home = tmp_path / "мой каталог ü"
    home.mkdir()
    for path in [*ROOT.glob("*.py"), ROOT / "common", ROOT / "checkpoints"]:
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, home / path.name)
    done = run_script([home / script, "--smoke"], tmp_path, PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "smoke/figures").glob("*.json"))


OURS = """
import runpy, sys, warnings
warnings.filterwarnings("error", module=r"common|ex_|data_loader|__main__|benchmarks")
sys.argv = sys.argv[1:]
sys.path.insert(0, {root!r})
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    "script",
    ["ex_2a.py", *(["ex_1b.py", "ex_2b.py", "ex_2c.py", "ex_3a.py", "ex_3b.py"] if LONG else [])],
)
def test_none_of_our_warnings(tmp_path, script):
    """Of python -W error what concerns our own files; libraries may deprecate what they like."""
    code = OURS.format(root=str(ROOT))
    done = run_script(["-c", code, ROOT / script, "--smoke"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr


@long_only
def test_other_pythons_that_have_torch(tmp_path, tally):
    """Each python3.x on the path; one without torch can only be counted as absent."""
    without = []
    for minor in range(11, 20):
        found = shutil.which(f"python3.{minor}")
        if found is None:
            continue
        has = subprocess.run(
            [found, "-c", "import torch, matplotlib, sklearn"], capture_output=True
        )
        if has.returncode:
            without.append(f"3.{minor}")
            continue
        with tally:
            done = subprocess.run([found, *map(str, DRAW)], cwd=tmp_path, capture_output=True)
            assert done.returncode == 0, done.stderr
    with tally:
        done = subprocess.run([sys.executable, *map(str, DRAW)], cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stderr
    tally.facts["without torch"] = " ".join(without) or "none"
