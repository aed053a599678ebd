"""torchrun with two CPU processes: the same training, the same files, one message when one dies."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT, run_script

import ex_2b
from common.runtime import distributed
from common.runtime.errors import InputError

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
LONG = ["--smoke", "--steps", "150", "--threads", "1", "--data-dir"]  # and 10 of stage 2
STEPS = 160


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def negative_elbo(folder):
    return json.loads((folder / "ex_2b.json").read_text())["test"]["negative_elbo_nats"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder that one process wrote; the data are beside it."""
    folder = tmp_path_factory.mktemp("alone")
    few = ["--discs", "5", "--curves", "20", "--data-dir", "data"]
    done = run_script(["-m", "common.light_curves", "--smoke", *few], folder)
    assert done.returncode == 0, done.stderr
    done = run_script([ROOT / "ex_2b.py", *LONG, "data", "--out-dir", "out"], folder)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def same_training(folder, alone):
    """Fail unless `folder` holds the files and, within rounding, the numbers of `alone`."""
    assert files(folder) == files(alone)
    assert negative_elbo(folder) == pytest.approx(negative_elbo(alone), rel=2e-3, abs=0.3)


def test_two_processes_train_the_same_model_and_write_the_same_files(alone, tmp_path):
    """The random numbers are those of the whole batch, so even the weights are nearly the same."""
    data = alone.parent / "data"
    done = run_script([*TORCHRUN, ROOT / "ex_2b.py", *LONG, data, "--out-dir", "out"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("-ELBO") == 1
    same_training(tmp_path / "out", alone)
    assert "2 processes" in json.loads((tmp_path / "out/ex_2b.json").read_text())["hardware"]


SAVING = """
import runpy, sys
from common.runtime import resume
resume.State.due = lambda state: state.step % 3 == 0
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start(folder, data):
    """Start two processes that save their state every third step; return torchrun."""
    (folder / "saving.py").write_text(
        f"import sys; sys.argv[0] = {str(ROOT / 'ex_2b.py')!r}{SAVING}"
    )
    command = [sys.executable, *TORCHRUN, folder / "saving.py", *LONG, data, "--out-dir"]
    return subprocess.Popen(
        [*map(str, [*command, folder / "out"])], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def workers(torchrun):
    """Return the process numbers of torchrun's workers, by rank."""
    ranks = {}
    for child in subprocess.run(["ps", "-o", "pid=", "--ppid", str(torchrun.pid)],
                                capture_output=True, text=True).stdout.split():  # fmt: skip
        with open(f"/proc/{child}/environ", "rb") as file:
            variables = dict(v.split(b"=", 1) for v in file.read().split(b"\0") if b"=" in v)
        if b"RANK" in variables:
            ranks[int(variables[b"RANK"])] = int(child)
    return ranks


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds the workers through /proc")
def test_a_process_that_dies_ends_the_run_and_one_process_resumes_it(alone, tmp_path):
    """SIGKILL for the second process: one line from us, no traceback of ours, nothing lost."""
    data, state = alone.parent / "data", tmp_path / "out/ex_2b.resume.pt"
    torchrun = start(tmp_path, data)
    try:
        while not state.exists():
            assert torchrun.poll() is None
            time.sleep(0.02)
        os.kill(workers(torchrun)[1], signal.SIGKILL)
        said = torchrun.stderr.read()
        assert torchrun.wait(60) != 0
    finally:
        torchrun.kill()
        torchrun.stderr.close()
    ours = [line for line in said.splitlines() if "ex_2b.py: error" in line]
    assert len(ours) == 1 and "--resume" in ours[0], said
    assert 0 < torch.load(state, weights_only=True)["step"] < STEPS
    command = [ROOT / "ex_2b.py", *LONG, data, "--out-dir", tmp_path / "out"]
    done = run_script(command, tmp_path)  # one line, and the state is kept
    assert done.returncode == 2 and "add --resume to go on with it, or delete" in done.stderr
    done = run_script([*command, "--resume"], tmp_path)
    assert done.returncode == 0, done.stderr
    same_training(tmp_path / "out", alone)


@pytest.mark.parametrize("rank", [0, 1])
def test_bad_flags_are_said_by_the_first_process(rank, monkeypatch, capsys):
    for name, value in (("WORLD_SIZE", 2), ("RANK", rank), ("LOCAL_RANK", rank)):
        monkeypatch.setenv(name, str(value))
    with pytest.raises(SystemExit) as end:
        ex_2b.main(["--steps", "0"])
    assert end.value.code == 2 and capsys.readouterr().err.count("error: ") == (rank == 0)


def test_shares_of_a_batch_are_its_rows_in_order(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    shares = []
    for number in range(3):
        monkeypatch.setattr(distributed.dist, "get_rank", lambda number=number: number)
        shares.append(distributed.shard(torch.arange(6))[0])
    assert torch.equal(torch.cat(shares), torch.arange(6))
    with pytest.raises(InputError, match="multiple"):
        distributed.shard(torch.arange(7))
