"""The training loop: resumed runs equal uninterrupted ones, signals and bad numbers end cleanly."""

import os
import signal

from common import training
from common.runtime import resume, seeding
from common.runtime.errors import InputError

import pytest
import torch
from conftest import ROOT, run_script


def fit(path, steps, *, seed=0, at=None, signalled=None, **keywords):
    """Fit a line to noise; optionally be signalled at a step."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def loss_terms(step):
        if step == at:
            os.kill(os.getpid(), signalled)
        return {"loss": (model(torch.randn(8, 4)) - 1).square().mean()}

    state = resume.State(path, **{"key": {"width": 3}, **keywords})
    history = training.train(model, loss_terms, optimizer, steps=steps, seed=seed, state=state)
    return model.state_dict(), history


def assert_same_run(first, second):
    assert all(torch.equal(first[0][key], second[0][key]) for key in first[0])
    assert {**first[1], "seconds": 0} == {**second[1], "seconds": 0}


@pytest.mark.parametrize(
    ("signalled", "end"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, signalled, end):
    whole = fit(tmp_path / "a.pt", 200)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(end):
        fit(tmp_path / "b.pt", 200, at=77, signalled=signalled)
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert_same_run(whole, fit(tmp_path / "b.pt", 200, resume=True))


def test_a_killed_run_resumes_from_its_last_periodic_save(tmp_path):
    """SIGKILL at step 77 of a run that saves at every step; nothing but the loop has saved it."""
    code = (
        "import signal, test_training as t; from pathlib import Path;"
        "t.fit(Path('b.pt'), 200, at=77, signalled=signal.SIGKILL, every_seconds=0)"
    )
    done = run_script(["-c", code], tmp_path, PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}")
    assert done.returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "b.resume.pt", weights_only=True)["step"] == 77
    torch.set_num_threads(1)
    whole = fit(tmp_path / "a.pt", 200)
    assert_same_run(whole, fit(tmp_path / "b.pt", 200, resume=True))


def test_resume_refuses_another_training_and_nothing(tmp_path):
    with pytest.raises(InputError, match="no unfinished training"):
        fit(tmp_path / "a.pt", 5, resume=True)
    fit(tmp_path / "a.pt", 5)
    with pytest.raises(InputError, match="width = 3, not 4"):
        fit(tmp_path / "a.pt", 5, resume=True, key={"width": 4})
    torch.save({"exercise": "unfinished training"}, tmp_path / "a.resume.pt")
    with pytest.raises(InputError, match="damaged"):
        fit(tmp_path / "a.pt", 5, resume=True, key={})


def test_batches_are_permutations_and_independent_of_history():
    order = torch.cat([training.batch_indices(10, 5, step, 0) for step in range(4)])
    assert sorted(order[:10].tolist()) == sorted(order[10:].tolist()) == list(range(10))
    assert order[:10].tolist() != order[10:].tolist()
    assert training.batch_indices(10, 5, 1, 0).tolist() == order[5:10].tolist()


def test_step_seeds_differ():
    seeds = {seeding.step_seed(seed, step) for seed in range(50) for step in range(-50, 50)}
    assert len(seeds) == 5000 and all(0 <= seed < 2**63 for seed in seeds)


def test_an_unfinished_training_is_not_lost_by_starting_anew(tmp_path):
    """Neither --resume nor --force: refused; other data: not resumed."""
    fit(tmp_path / "a.pt", 5, key={"data_sha256": "one"})
    before = (tmp_path / "a.resume.pt").read_bytes()
    with pytest.raises(InputError, match="unfinished training; add --resume or --force"):
        resume.State(tmp_path / "a.pt", {}, force=False)
    with pytest.raises(InputError, match="data_sha256 = one, not two"):
        resume.State(tmp_path / "a.pt", {"data_sha256": "two"}, resume=True)
    assert (tmp_path / "a.resume.pt").read_bytes() == before
