"""SIGKILL in the middle of a training: whole files, and the same end.

Each runs in a process forked from one that has imported the scripts.  States of unfinished
training are written every fifth step instead of every 20 seconds, and no classifiers are trained
to measure what comes out.
"""

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, run_script
from matplotlib.image import imread

from common import distances
from common.runtime import checkpoints, resume

SMOKE = ["--smoke", "--out-dir", "."]
RUNS = {  # arguments, the file that tells that it is in the middle, the file that is compared
    "ex_3a": (["ex_3a", *SMOKE, "--steps", "40", "--method", "replica", "--data-dir", "../roll"],
              "ex_3a_replica.resume.pt", "ex_3a_replica.pt"),
}  # fmt: skip


def start(arguments, folder: Path) -> int:
    """Run a script's main in a forked process, in `folder`; return the process id."""
    folder.mkdir(exist_ok=True)
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.chdir(folder)
        log = os.open(folder.parent / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        resume.State.due = lambda state: state.step % 5 == 0
        distances.two_sample_accuracy = lambda *_, **__: 0.5
        importlib.import_module(arguments[0]).main(arguments[1:])
        status = 0
    except BaseException as error:
        print(repr(error))
    finally:
        sys.stdout.flush()
        os._exit(status)


def finish(arguments, folder: Path) -> None:
    """Run to the end; raise if that fails."""
    _, status = os.waitpid(start(arguments, folder), 0)
    assert status == 0, (folder.parent / "log.txt").read_text()[-500:]


def kill_when_there(arguments, folder: Path, name: str) -> None:
    """Start a run and kill it as soon as it has written the file `name`."""
    process = start(arguments, folder)
    while not (folder / name).exists():
        ended, _ = os.waitpid(process, os.WNOHANG)
        assert not ended, (folder.parent / "log.txt").read_text()[-500:]
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def check_whole(folder: Path) -> None:
    """Read every file below `folder` that has its final name; raise for one that is not whole."""
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        parts = path.relative_to(folder).parts
        if path.name == ".lock" or any(part.endswith(".tmp") for part in parts):
            continue
        if path.suffix == ".pt":
            checkpoints.check_archive(path)
            torch.load(path, weights_only=True)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            assert imread(path).size
        else:
            assert path.read_text().endswith("\n"), path


def same(path: Path, other: Path) -> bool:
    """Compare weights bit by bit, other files byte by byte."""
    if path.suffix != ".pt":
        return path.read_bytes() == other.read_bytes()
    first, second = (torch.load(p, weights_only=True)["weights"] for p in (path, other))
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def campaign(name: str, folder: Path) -> None:
    """Kill a run in its middle, look, go on to the end, and compare with a run that was not."""
    arguments, middle, result = RUNS[name]
    importlib.import_module(arguments[0])
    whole, cut = folder / "whole", folder / "cut"
    if name == "ex_3a":  # points off the roll: no exact KL, which takes most of the time
        (folder / "roll").mkdir()
        points = np.random.default_rng(0).normal(0, 3, (500, 2))
        np.savetxt(folder / "roll/swiss_roll_2d.csv", points, delimiter=",")
    finish(arguments, whole)
    kill_when_there(arguments, cut, middle)
    check_whole(cut)
    assert not (cut / result).exists(), "it was not killed in its middle"
    finish([*arguments, "--resume"], cut)
    check_whole(cut)
    assert same(whole / result, cut / result)
    assert not [*cut.rglob("*.tmp"), *cut.rglob("*.resume.pt")]


CODE = """
import sys
from pathlib import Path
from faults import test_kill
test_kill.campaign(sys.argv[1], Path(sys.argv[2]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", RUNS)
def test_in_the_middle(name, tmp_path):
    done = run_script(["-c", CODE, name, tmp_path], tmp_path, timeout=300,
                      PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}")  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
