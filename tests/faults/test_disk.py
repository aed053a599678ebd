"""No room, no permission, two at once: one line, earlier files as they were, nothing corrupted."""

import json
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
from conftest import ROOT
from matplotlib.image import imread

from common import training
from common.light_curves.data import save_curves

POSIX = pytest.mark.skipif(os.name != "posix", reason="limits and permissions of POSIX")


def drawn(path):
    figure = matplotlib.figure.Figure()
    figure.add_subplot().plot(np.random.default_rng(0).normal(size=5000))
    training.save_figure(path, figure)


WRITERS = {
    "a.pt": lambda path: training.save(path, {"weights": torch.ones(50_000)}),
    "a.json": lambda path: training.write(path.parent, "a", {"a": list(range(20_000))}),
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
        with pytest.raises(ValueError, match=r"cannot write .*choose another place"):
            WRITERS[name](path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "earlier" and [p.name for p in tmp_path.iterdir()] == [name]
    WRITERS[name](path)
    assert path.read_bytes()[:7] != b"earlier"


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
    for path in (tmp_path / "out").iterdir():
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            assert imread(path).size
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_threads_write_one_file_whole(tmp_path):
    path, together = tmp_path / "a.txt", threading.Barrier(2)

    def write(letter):
        def slowly(temporary):
            with open(temporary, "w") as file:
                for _ in range(20):
                    file.write(letter)
                    file.flush()
                    together.wait(10)

        training.write_whole(path, slowly)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in ("a" * 20, "b" * 20) and len(list(tmp_path.iterdir())) == 1
