"""Numbers: what is not finite stops with a word; extremes; precisions; seeds; threads."""

import math
from functools import partial

import ex_2b
import ex_2c
from common import cvae, ebm, swiss_roll, training
from common.digits import model as digit_model
from common.light_curves import model as curve_model
from common.runtime import resume
from common.runtime.errors import InputError

import numpy as np
import pytest
import torch
from conftest import ROOT


def train(path, steps, spoil_at, spoil="loss", every_seconds=0):
    """Train a line; at a step spoil its loss, or its gradient only."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def loss_terms(step):
        loss, kl = (model(torch.randn(8, 4)) - 1).square().mean(), torch.tensor(0.5)
        if step == spoil_at and spoil == "loss":
            loss = loss * torch.inf
        if step == spoil_at and spoil == "gradient":
            loss.register_hook(lambda gradient: gradient * torch.nan)
        return {"loss": loss, "kl": kl}

    state = resume.State(path, {}, every_seconds=every_seconds)
    training.train(model, loss_terms, optimizer, steps=steps, seed=0, state=state)


@pytest.mark.parametrize("spoil", ["loss", "gradient"])
def test_what_is_not_finite_stops_with_step_terms_and_the_last_good_state(tmp_path, spoil):
    path = tmp_path / "a.pt"
    terms = "loss = inf, kl = 0.5" if spoil == "loss" else "weights weight = nan"
    with pytest.raises(InputError, match=rf"step 3: {terms}.*state, of step 3, is .*a\.resume\.pt"):
        train(path, 9, 3, spoil)
    kept = torch.load(tmp_path / "a.resume.pt", weights_only=True)
    assert kept["step"] == 3 and all(v.isfinite().all() for v in kept["weights"].values())


def test_a_state_of_another_run_is_not_called_this_runs_last_good_one(tmp_path):
    train(tmp_path / "a.pt", 5, None)
    with pytest.raises(InputError, match=r"step 0: .* no state was saved before it"):
        train(tmp_path / "a.pt", 9, 0, every_seconds=1e9)


STATES = {
    "step": "many", "history": [], "sums": None, "hardware": 3, "optimizer": {}, "identity": 3,
    "seconds": None, "weights": {},
}  # fmt: skip


@pytest.mark.parametrize("name", [*STATES, "step beyond the end", "optimizer of another shape"])
def test_states_that_do_not_fit_are_refused(tmp_path, name):
    def fit(again):
        model = torch.nn.Linear(4, 1)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        state = resume.State(tmp_path / "a.pt", {}, again)
        terms = lambda step: {"loss": model(torch.ones(2, 4)).square().mean()}  # noqa: E731
        training.train(model, terms, optimizer, steps=5, seed=0, state=state)

    fit(False)
    content = torch.load(tmp_path / "a.resume.pt", weights_only=True)
    if name == "step beyond the end":
        content["step"] = 10**9
    elif name == "optimizer of another shape":
        content["optimizer"]["state"][0]["exp_avg"] = torch.zeros(10**3)
    else:
        content[name] = STATES[name]
    torch.save(content, tmp_path / "a.resume.pt")
    with pytest.raises(InputError, match="damaged"):
        fit(True)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e30])
def test_constant_curves_train_to_finite_weights(value):
    curves = {p: np.full((20, 300), value, np.float32) for p in (0.1, 1.0)}
    settings = ex_2b.Settings(steps=10, refine=5, whitened=8)
    model, history = ex_2b.fit(curves, settings, torch.device("cpu"))
    assert all(p.isfinite().all() for p in model.parameters())
    assert all(map(math.isfinite, history["loss"]))


def test_the_smallest_and_largest_sizes_give_finite_curves():
    curves = ex_2c.generate([1e-6, 100], 50, seed=0)
    assert np.isfinite(curves).all() and curves.min() >= 0
    for p in (9e-7, 110):
        with pytest.raises(InputError, match="give source sizes"):
            ex_2c.generate([p], 1)


def elbo(model, x, y, *more):
    """Return the ELBO terms with the same noise of the codes in any precision: (2, n)."""
    torch.manual_seed(0)
    noise = torch.randn(len(x), 64, dtype=torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn_like", lambda like: noise[:, : like.shape[1]].to(like.dtype))
        return torch.stack(cvae.elbo_terms(model, x, y, *more)).detach()


def test_float32_losses_are_float64_losses(monkeypatch):
    """Mean difference over mean size; the tolerances stand below."""
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor.to(torch.get_default_dtype()))
    torch.manual_seed(0)
    x, y = torch.rand(20, 784).round(), torch.arange(20) % 10
    curves, p = 0.1 * torch.randn(20, 300).cumsum(1) / 17, torch.logspace(-1, 0.7, 20)
    points = swiss_roll.sample(200)
    losses = {
        "digits": (digit_model.load()[0], lambda m, kind: elbo(m, x.to(kind), y)),
        "curves": (curve_model.load()[0], lambda m, kind: elbo(
            m, curves.to(kind), p.to(kind),
            partial(curve_model.log_likelihood, edge=m.decoder.edge))),
        "energy": (ebm.load(ROOT / "checkpoints/ex_3a_cd.pt"), lambda m, kind: m(points.to(kind))),
        "roll": (torch.nn.Module(), lambda m, kind: swiss_roll.log_density(points.to(kind))),
    }  # fmt: skip
    for name, (model, loss) in losses.items():
        single = loss(model, torch.float32).double()
        torch.set_default_dtype(torch.float64)
        try:
            double = loss(model.double(), torch.float64)
        finally:
            torch.set_default_dtype(torch.float32)
        assert double.dtype == torch.float64
        worst = ((single - double).abs().mean() / double.abs().mean()).item()
        assert worst < TOLERANCE[name], (name, worst)


TOLERANCE = {"digits": 1e-5, "curves": 1e-4, "energy": 1e-5, "roll": 1e-3}
