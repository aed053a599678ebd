"""SIGKILL at random moments: whole files, the same end, no temporary files left.

A process imports the scripts once and forks for every run, so that kills hit work, not imports.
States of unfinished training are written every fifth step instead of every 20 seconds, and no
classifiers are trained to measure what comes out.
"""

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, run_script
from matplotlib.image import imread

from common import distances
from common.runtime import checkpoints, resume

SMALL = ["--smoke", "--threads", "1"]
SMOKE = [*SMALL, "--out-dir", "."]
ROLL = [*SMOKE, "--method", "replica", "--data-dir", "../roll"]
FEW = ["--discs", "3", "--curves", "20", "--pixels", "200", "--data-dir", "data"]
RUNS = {  # module, arguments, the file whose bytes or weights must be those of an unkilled run
    "ex_1b": (["ex_1b", *SMOKE, "--nll-digits", "10"], "checkpoints/ex_1b.pt"),
    "simulation": (["common.light_curves.__main__", *SMALL, *FEW], "data/labels.dat"),
    "ex_2b": (["ex_2b", *SMOKE, "--data-dir", "../curves"], "checkpoints/ex_2b.pt"),
    "ex_3a": (["ex_3a", *ROLL], "checkpoints/ex_3a_replica.pt"),
    "ex_2a": (["ex_2a", *SMOKE], "figures/ex_2a.png"),
    "report": (["report.build", "--out-dir", "."], "solutions.pdf"),
}
KILLS = {"ex_1b": 2, "ex_2b": 2, "ex_3a": 2, "simulation": 3, "ex_2a": 5, "report": 2}


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
        elif path.suffix == ".pdf":
            assert path.read_bytes().startswith(b"%PDF") and b"%%EOF" in path.read_bytes()[-20:]
        else:
            assert path.read_text().endswith("\n"), path


def same(path: Path, other: Path) -> bool:
    """Compare weights bit by bit, other files byte by byte."""
    if path.suffix != ".pt":
        return path.read_bytes() == other.read_bytes()
    first, second = (torch.load(p, weights_only=True)["weights"] for p in (path, other))
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def again(arguments, folder: Path):
    """Return `arguments`, with --resume where a killed training left a state."""
    return [*arguments, "--resume"] if list(folder.rglob("*.resume.pt")) else arguments


def campaign(name: str, folder: Path, kills: int, seed: int) -> dict:
    """Kill, look, go on; after every fourth kill run to the end and compare; return the counts."""
    arguments, result = RUNS[name]
    importlib.import_module(arguments[0])
    whole, cut, moment = folder / "whole", folder / "cut", random.Random(seed)
    if name == "ex_3a":  # points off the roll: no exact KL, which takes most of the time
        (folder / "roll").mkdir()
        rows = "\n".join(f"{moment.gauss(0, 3)},{moment.gauss(0, 3)}" for _ in range(500))
        (folder / "roll/swiss_roll_2d.csv").write_text(rows + "\n")
    if name == "ex_2b":
        finish(["common.light_curves.__main__", *SMALL, "--data-dir", "../curves"], whole)
    began = time.monotonic()
    finish(arguments, whole)
    seconds, counts = time.monotonic() - began, {"tried": 0, "survived": 0, "resumed": 0}
    for number in range(kills):
        if name == "simulation" and (cut / result).exists():
            shutil.rmtree(cut)  # a data set that is there is not made again
        command = again(arguments, cut)
        counts["resumed"] += command[-1] == "--resume"
        process = start(command, cut)
        time.sleep(moment.uniform(0, 1.05 * seconds))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        counts["tried"] += 1
        check_whole(cut)
        if number % 4 == 3 or number + 1 == kills:
            if not (name == "simulation" and (cut / result).exists()):
                finish(again(arguments, cut), cut)
            check_whole(cut)
            assert same(whole / result, cut / result), f"{result} after kill {number}"
            left = [*cut.rglob("*.tmp"), *cut.rglob("*.resume.pt")]
            assert not left, left
        counts["survived"] += 1
    return counts


CODE = """
import json, sys
from pathlib import Path
from faults import test_kill
counts = test_kill.campaign(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
print("counts", json.dumps(counts))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", KILLS)
def test_at_any_moment(name, tmp_path):
    done = run_script(
        ["-c", CODE, name, tmp_path, KILLS[name], 0], tmp_path, timeout=300,
        PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.split("counts", 1)[1])["survived"] == KILLS[name]
