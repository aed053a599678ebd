"""The training loop: resumed runs equal uninterrupted ones, signals and bad numbers end cleanly."""

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest
import torch
from conftest import ROOT, run_script

from common import training
from common.settings import InputError


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    resume: bool = False
    width: int = 3


def fit(path, steps, settings=None, fail_at=None, stop_at=None):
    """Fit a line to noise; optionally fail or be signalled at a step."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def loss_terms(step):
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        loss = (model(torch.randn(8, 4)) - 1).square().mean()
        return {"loss": loss * (torch.nan if step == fail_at else 1.0)}

    settings = settings or Settings()
    history = training.train(
        model, loss_terms, optimizer, steps=steps, settings=settings, path=path
    )
    return model.state_dict(), history


def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path):
    whole, history = fit(tmp_path / "a.pt", 200)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "b.pt", 200, stop_at=77)
    resumed, again = fit(tmp_path / "b.pt", 200, Settings(resume=True))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert {**history, "seconds": 0} == {**again, "seconds": 0}


def test_another_seed_gives_other_weights(tmp_path):
    assert not torch.equal(
        fit(tmp_path / "a.pt", 5)[0]["weight"],
        fit(tmp_path / "b.pt", 5, Settings(seed=1))[0]["weight"],
    )


def test_resume_refuses_other_settings_and_nothing(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        fit(tmp_path / "a.pt", 5, Settings(resume=True))
    fit(tmp_path / "a.pt", 5)
    with pytest.raises(InputError, match="width = 3, not 4"):
        fit(tmp_path / "a.pt", 5, Settings(resume=True, width=4))


def test_a_number_that_is_not_finite_stops_with_the_step(tmp_path):
    with pytest.raises(InputError, match=r"step 3: .*nan"):
        fit(tmp_path / "a.pt", 5, fail_at=3)


def test_batches_are_permutations_and_independent_of_history():
    order = torch.cat([training.batch_indices(10, 5, step, 0) for step in range(4)])
    assert sorted(order[:10].tolist()) == sorted(order[10:].tolist()) == list(range(10))
    assert order[:10].tolist() != order[10:].tolist()
    assert training.batch_indices(10, 5, 1, 0).tolist() == order[5:10].tolist()


def test_step_seeds_differ():
    seeds = {training.step_seed(seed, step) for seed in range(50) for step in range(-50, 50)}
    assert len(seeds) == 5000 and all(0 <= seed < 2**63 for seed in seeds)


LONG = ["--smoke", "--epochs", "60", "--threads", "1"]


def start(folder, *more):
    """Start ex_1b.py in the background, without MNIST."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MNIST_ROOT": str(folder)}
    command = [sys.executable, ROOT / "ex_1b.py", *LONG, "--out-dir", folder, *more]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, bufsize=1)  # fmt: skip


def wait_for_steps(process, least):
    """Read the progress bar until `least` steps are done; return the step."""
    shown = ""
    while character := process.stderr.read(1):
        shown += character
        found = re.findall(r" (\d+)/\d+ \[", shown) if character == "s" else []
        if found and int(found[-1]) >= least:
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return int(found[-1])
    raise AssertionError(f"ended early: {shown[-500:]}")


def test_ex_1b_stopped_and_killed_in_mid_epoch_resumes_to_the_same_weights(tmp_path):
    """SIGTERM keeps the state and gives status 143; SIGKILL loses nothing that was saved."""
    done = run_script([ROOT / "ex_1b.py", *LONG, "--out-dir", "whole"], tmp_path)
    assert done.returncode == 0, done.stderr
    cut = tmp_path / "cut"
    process = start(cut)
    step = wait_for_steps(process, 100)
    process.terminate()
    assert process.wait(60) == 143
    assert (cut / "checkpoints/ex_1b.resume.pt").exists()
    process = start(cut, "--resume")
    assert wait_for_steps(process, step + 100) > step
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert not (cut / "checkpoints/ex_1b.pt").exists()
    done = run_script([ROOT / "ex_1b.py", *LONG, "--out-dir", cut, "--resume"], tmp_path)
    assert done.returncode == 0, done.stderr
    whole, resumed = (
        torch.load(tmp_path / folder / "checkpoints/ex_1b.pt", weights_only=True)["weights"]
        for folder in ("whole", "cut")
    )
    assert whole.keys() == resumed.keys()
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key
    assert not list(cut.rglob("*.tmp")) and not list(cut.rglob("*.resume.pt"))
