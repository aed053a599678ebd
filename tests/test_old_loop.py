"""The loop of exercises 2 and 3: resumed runs equal uninterrupted ones, signals end cleanly."""

import concurrent.futures
import os
import signal

import pytest
import torch

from common.runtime import loop as training
from common.runtime import resume, seeding
from common.runtime.errors import InputError


def fit(path, steps, *, seed=0, at=None, act=lambda loss: loss, **keywords):
    """Fit a line to noise; at a step, do something to its loss: `act`."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def loss_terms(step):
        loss = (model(torch.randn(8, 4)) - 1).square().mean()
        return {"loss": act(loss) if step == at else loss, "kl": torch.tensor(0.5)}

    state = resume.State(path, **{"key": {"width": 3}, **keywords})
    history = training.train(model, loss_terms, optimizer, steps=steps, seed=seed, state=state)
    return model.state_dict(), history


@pytest.mark.parametrize(
    ("number", "end"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, number, end):
    whole = fit(tmp_path / "a.pt", 200)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(end):
        fit(tmp_path / "b.pt", 200, at=77, act=lambda loss: os.kill(os.getpid(), number) or loss)
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    resumed = fit(tmp_path / "b.pt", 200, resume=True)
    assert all(torch.equal(whole[0][key], resumed[0][key]) for key in whole[0])
    assert {**whole[1], "seconds": 0} == {**resumed[1], "seconds": 0}


def test_resume_refuses_another_training_and_nothing(tmp_path):
    """Nor is an unfinished training lost by starting anew: one line says what to do with it."""
    path, kept = tmp_path / "a.pt", tmp_path / "a.resume.pt"
    with pytest.raises(InputError, match="no unfinished training"):
        fit(path, 5, resume=True)
    right = {"width": 3, "data_sha256": "one"}
    fit(path, 5, key=right)
    before = kept.read_bytes()
    words = r"a\.resume\.pt: an unfinished training; add --resume to go on with it, or delete"
    with pytest.raises(InputError, match=words):
        resume.State(path, right)
    for name, other in (("width", 4), ("data_sha256", "two")):
        with pytest.raises(InputError, match=f"{name} = {right[name]}, not {other}"):
            resume.State(path, right | {name: other}, resume=True)
    assert kept.read_bytes() == before
    torch.save({"exercise": "unfinished training"}, kept)
    with pytest.raises(InputError, match="damaged"):
        fit(path, 5, resume=True, key={})


def test_training_runs_outside_the_main_thread():
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert pool.submit(fit, None, 5).result()[1]["loss"]


def test_batches_are_permutations_and_independent_of_history():
    order = torch.cat([training.batch_indices(10, 5, step, 0) for step in range(4)])
    assert sorted(order[:10].tolist()) == sorted(order[10:].tolist()) == list(range(10))
    assert order[:10].tolist() != order[10:].tolist()
    assert training.batch_indices(10, 5, 1, 0).tolist() == order[5:10].tolist()


def test_step_seeds_differ():
    seeds = {seeding.step_seed(seed, step) for seed in range(50) for step in range(-50, 50)}
    assert len(seeds) == 5000 and all(0 <= seed < 2**63 for seed in seeds)
