"""torchrun with two CPU processes: the same training, the same files, one message when one dies."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, run_script

from common import processes
from common.settings import InputError

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
LONG = ["--smoke", "--epochs", "24", "--threads", "1"]  # 360 steps


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def negative_elbo(folder):
    numbers = json.loads((folder / "figures/ex_1b.json").read_text())
    return numbers["test"]["negative_elbo_nats"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder that one process wrote."""
    folder = tmp_path_factory.mktemp("alone")
    done = run_script([ROOT / "ex_1b.py", *LONG, "--out-dir", "out"], folder)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_two_processes_train_the_same_model_and_write_the_same_files(alone, tmp_path):
    """The random numbers are those of the whole batch, so even the weights are nearly the same."""
    done = run_script([*TORCHRUN, ROOT / "ex_1b.py", *LONG, "--out-dir", "out"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test -ELBO") == 1
    assert files(tmp_path / "out") == files(alone)
    assert negative_elbo(tmp_path / "out") == pytest.approx(negative_elbo(alone), abs=0.3)
    numbers = json.loads((tmp_path / "out/figures/ex_1b.json").read_text())
    assert "2 processes" in numbers["hardware"]


def start(folder, *more):
    """Start two processes in a group of their own; return torchrun."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MNIST_ROOT": str(folder)}
    command = [sys.executable, *TORCHRUN, ROOT / "ex_1b.py", *LONG, "--out-dir", folder / "out"]
    return subprocess.Popen(
        [*map(str, command), *more], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_steps(process, least):
    """Read the progress bar until `least` steps are done."""
    shown = ""
    while character := process.stderr.read(1):
        shown += character
        found = re.findall(r" (\d+)/360 \[", shown) if character == "s" else []
        if found and int(found[-1]) >= least:
            return
    raise AssertionError(f"ended early: {shown[-500:]}")


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
    torchrun = start(tmp_path)
    try:
        wait_for_steps(torchrun, 100)
        os.kill(workers(torchrun)[1], signal.SIGKILL)
        said = torchrun.stderr.read()
        assert torchrun.wait(60) != 0
    finally:
        torchrun.kill()
        torchrun.stderr.close()
    ours = [line for line in said.splitlines() if "ex_1b.py: error" in line]
    assert len(ours) == 1 and "--resume" in ours[0], said
    assert "common/" not in said, said  # torchrun's own traceback names its own files
    content = torch.load(tmp_path / "out/checkpoints/ex_1b.resume.pt", weights_only=True)
    assert content["step"] >= 100
    arguments = [ROOT / "ex_1b.py", *LONG, "--out-dir", tmp_path / "out", "--resume"]
    done = run_script(arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out") == files(alone)
    assert negative_elbo(tmp_path / "out") == pytest.approx(negative_elbo(alone), abs=0.3)


def test_a_stopped_run_of_two_is_resumed_by_two(alone, tmp_path):
    torchrun = start(tmp_path)
    try:
        wait_for_steps(torchrun, 100)
        for worker in workers(torchrun).values():
            os.kill(worker, signal.SIGTERM)
        torchrun.stderr.read()
        assert torchrun.wait(60) != 0
    finally:
        torchrun.kill()
        torchrun.stderr.close()
    arguments = [*TORCHRUN, ROOT / "ex_1b.py", *LONG, "--out-dir", tmp_path / "out", "--resume"]
    done = run_script(arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    assert negative_elbo(tmp_path / "out") == pytest.approx(negative_elbo(alone), abs=0.3)


def test_two_processes_simulate_the_same_light_curves_and_train_on_them(tmp_path):
    """The data bit by bit; exercise 2(b) within 0.3 nats."""
    for folder, run in (("alone", []), ("two", TORCHRUN)):
        where = ["--smoke", "--threads", "1", "--out-dir", folder]
        done = run_script([*run, ROOT / "ex_2b.py", *where], tmp_path)
        assert done.returncode == 0, done.stderr
    alone, two = tmp_path / "alone", tmp_path / "two"
    assert files(alone) == files(two) and len(list(two.rglob("*.dat"))) > 30
    for path in (alone / "data").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (two / path.relative_to(alone)).read_bytes(), path
    bounds = [json.loads((folder / "figures/ex_2b.json").read_text())["test"]["negative_elbo_nats"]
              for folder in (alone, two)]  # fmt: skip
    assert bounds[0] == pytest.approx(bounds[1], abs=0.3)


def test_two_processes_train_the_energy_network_as_well_as_one(tmp_path):
    """Chains and random numbers are each process's own: the same in law, not in bits."""
    found = []
    for folder, run in (("alone", []), ("two", TORCHRUN)):
        where = ["--method", "jump", "--smoke", "--steps", "300", "--out-dir", folder]
        done = run_script([*run, ROOT / "ex_3a.py", *where], tmp_path)
        assert done.returncode == 0, done.stderr
        numbers = json.loads((tmp_path / folder / "figures/ex_3a_jump.json").read_text())
        found.append(numbers["kl_nats"])
    assert files(tmp_path / "alone") == files(tmp_path / "two")
    assert found[0] == pytest.approx(found[1], abs=0.3)


def test_bad_input_is_said_once(tmp_path):
    for arguments in (["--epochs", "0"], ["--batch", "101"]):
        done = run_script([*TORCHRUN, ROOT / "ex_1b.py", "--smoke", *arguments], tmp_path)
        lines = [line for line in done.stderr.splitlines() if "ex_1b.py: error" in line]
        assert done.returncode != 0 and len(lines) == 1, done.stderr


def test_without_torchrun_there_is_one_process():
    rows = torch.arange(6)
    assert processes.count() == 1 and processes.leads()
    assert torch.equal(processes.own_rows(rows)[0], rows)
    assert torch.equal(processes.total(rows), rows) and processes.from_leader(lambda: 3) == 3


def test_shares_of_a_batch_are_its_rows_in_order(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 3)
    shares = []
    for number in range(3):
        monkeypatch.setattr(processes, "rank", lambda number=number: number)
        shares.append(processes.own_rows(torch.arange(6))[0])
    assert torch.equal(torch.cat(shares), torch.arange(6))
    with pytest.raises(InputError, match="multiple"):
        processes.own_rows(torch.arange(7))
