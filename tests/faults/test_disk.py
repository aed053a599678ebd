"""No room, no permission, two at once: one line, earlier files as they were, nothing corrupted."""

import os
import resource
import signal
import subprocess
import sys
import threading

import matplotlib.figure
import numpy as np
import pytest
import torch
from conftest import ROOT, run_script
from faults.test_kill import check_whole

from common.light_curves.data import save_curves
from common.runtime import checkpoints, files, results, resume
from common.runtime.errors import InputError

POSIX = pytest.mark.skipif(os.name != "posix", reason="limits and permissions of POSIX")


def drawn(path):
    figure = matplotlib.figure.Figure()
    figure.add_subplot().plot(np.random.default_rng(0).normal(size=5000))
    results.save_figure(path, figure)


def state(path):
    """Save the state of a training."""
    model = torch.nn.Linear(300, 100)
    kept = resume.State(None, {})
    kept.path = path  # a state that is there would be refused
    kept.begin(model, torch.optim.AdamW(model.parameters()))
    kept.save([0.1])


WRITERS = {
    "a.pt": lambda path: checkpoints.save(path, {"weights": torch.ones(50_000)}),
    "a.resume.pt": state,
    "a.json": lambda path: results.save_json(path, {"a": list(range(20_000))}),
    **dict.fromkeys(("a.png", "a.pdf", "a.svg"), drawn),
    "a.csv": lambda path: save_curves(path, [1.0], np.ones((1, 20, 300))),
    "a.npz": lambda path: save_curves(path, [1.0], np.random.rand(1, 20, 300)),
}


@POSIX
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("room", [0, 1000])
def test_full(tmp_path, name, room):
    """Files may have `room` bytes at most: the system refuses the next one, as a full disk does."""
    path = tmp_path / name
    path.write_text("earlier")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*choose another place"):
            WRITERS[name](path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "earlier" and [p.name for p in tmp_path.iterdir()] == [name]
    WRITERS[name](path)
    assert path.read_bytes()[:7] != b"earlier"


AS_NOBODY = """
import os, sys
import ex_2a, ex_2c
from common.light_curves import __main__ as simulation
from common.runtime import script
sys.argv[0] = "a script"
runs = [(ex_2a.main, []), (ex_2c.main, ["--p", "0.3"]), (simulation.main, ["--smoke"])]
for main, more in runs[:2]:  # what is imported late, nobody may not be able to read
    main([*more, "--out-dir", sys.argv[1]])
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for main, more in runs:
    try:
        where = "--data-dir" if main is simulation.main else "--out-dir"
        script.run(lambda: main([*more, where, "."]))
        print("status 0")
    except SystemExit as end:
        print("status", end.code)
"""


@POSIX
def test_read_only(tmp_path):
    """Run as nobody, where the test is run by root, who may write everywhere."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "ex_2a.png").write_text("earlier")
    folder.chmod(0o555)
    for parent in (tmp_path, tmp_path.parent):
        parent.chmod(parent.stat().st_mode | 0o055)
    done = run_script(["-c", AS_NOBODY, tmp_path / "warm"], folder, PYTHONDONTWRITEBYTECODE="1")
    folder.chmod(0o755)
    assert done.stdout.count("status 2\n") == done.stdout.count("status") == 3, done
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(errors) == 3 and all("cannot write" in line for line in errors), done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "ex_2a.png").read_text() == "earlier"


def at_once(commands, folder):
    """Run two commands at the same time in `folder`; return their (status, stderr)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    commands = [[sys.executable, *command] for command in commands]
    running = [subprocess.Popen(c, cwd=folder, env=environment, **quiet) for c in commands]
    return [(process.communicate(timeout=300)[1], process.returncode) for process in running]


def test_two_at_once(tmp_path):
    command = [str(ROOT / "ex_2a.py")]
    for error, status in at_once([command, command], tmp_path):
        assert status == 0, error
    check_whole(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_simulations_at_once_do_not_mix(tmp_path):
    """Whoever comes second waits, and is then told of another data set that is there."""
    command = ["-m", "common.light_curves", "--smoke", "--discs", "1", "--data-dir", "data"]
    ends = at_once([[*command, "--kappa", kappa] for kappa in ("0.3", "0.5")], tmp_path)
    assert sorted(code for _, code in ends) == [0, 2], ends
    assert any("is there already" in error for error, _ in ends)


def test_two_threads_write_one_file_whole(tmp_path):
    path, together = tmp_path / "a.txt", threading.Barrier(2)

    def write(letter):
        def slowly(temporary):
            with open(temporary, "w") as file:
                for _ in range(20):
                    file.write(letter)
                    file.flush()
                    together.wait(10)

        files.atomic_write(path, slowly)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in ("a" * 20, "b" * 20) and len(list(tmp_path.iterdir())) == 1
