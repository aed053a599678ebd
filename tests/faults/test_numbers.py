"""Numbers: what is not finite stops with a word; extremes; precisions; seeds; threads."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from conftest import ROOT
from test_old_loop import fit

import ex_2b
from common import ebm, swiss_roll
from common.light_curves import model as curve_model
from common.runtime import cvae
from common.runtime.errors import InputError


def infinite(loss):
    return loss * torch.inf


def spoiled(loss):
    """Leave the loss as it is, and make its gradient NaN."""
    loss.register_hook(lambda gradient: gradient * torch.nan)
    return loss


@pytest.mark.parametrize(
    ("act", "terms"), [(infinite, "loss = inf, kl = 0.5"), (spoiled, "weights weight = nan")]
)
def test_what_is_not_finite_stops_with_step_terms_and_the_last_good_state(tmp_path, act, terms):
    path = tmp_path / "a.pt"
    with pytest.raises(InputError, match=rf"step 3: {terms}.*state, of step 3, is .*a\.resume\.pt"):
        fit(path, 9, at=3, act=act, every_seconds=0)
    kept = torch.load(tmp_path / "a.resume.pt", weights_only=True)
    assert kept["step"] == 3 and all(v.isfinite().all() for v in kept["weights"].values())
    with pytest.raises(InputError, match=r"step 0: .* no state was saved before it"):
        fit(tmp_path / "b.pt", 9, at=0, act=infinite, every_seconds=1e9)


STATES = [
    {"step": "many"}, {"history": []}, {"sums": None}, {"hardware": 3}, {"identity": 3},
    {"seconds": None}, {"weights": {}}, {"optimizer": {}}, {"step": 10**9}, {},
]  # fmt: skip


@pytest.mark.parametrize("change", STATES)
def test_states_that_do_not_fit_are_refused(tmp_path, change):
    fit(tmp_path / "a.pt", 5)
    content = torch.load(tmp_path / "a.resume.pt", weights_only=True) | change
    if not change:  # an optimizer of another shape
        content["optimizer"]["state"][0]["exp_avg"] = torch.zeros(10**3)
    torch.save(content, tmp_path / "a.resume.pt")
    with pytest.raises(InputError, match="damaged"):
        fit(tmp_path / "a.pt", 5, resume=True)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e30])
def test_constant_curves_train_to_finite_weights(value):
    curves = {p: np.full((20, 300), value, np.float32) for p in (0.1, 1.0)}
    settings = ex_2b.Settings(steps=10, refine=5, whitened=8)
    model, history = ex_2b.fit(curves, settings, torch.device("cpu"))
    assert all(p.isfinite().all() for p in model.parameters())
    assert all(map(math.isfinite, history["loss"]))


def elbo(model, x, y, *more):
    """Return the ELBO terms with the same noise of the codes in any precision: (2, n)."""
    torch.manual_seed(0)
    noise = torch.randn(len(x), 64, dtype=torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn_like", lambda like: noise[:, : like.shape[1]].to(like.dtype))
        return torch.stack(cvae.elbo_terms(model, x, y, *more)).detach()


def test_float32_losses_are_float64_losses(monkeypatch):
    """Mean difference over mean size, below the tolerance of each."""
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor.to(torch.get_default_dtype()))
    torch.manual_seed(0)
    curves, p = 0.1 * torch.randn(20, 300).cumsum(1) / 17, torch.logspace(-1, 0.7, 20)
    points, energy = swiss_roll.sample(200), ebm.load(ROOT / "checkpoints/ex_3a_cd.pt")
    likelihood = lambda m: partial(curve_model.log_likelihood, edge=m.decoder.edge)  # noqa: E731
    losses = {
        "curves": (1e-4, curve_model.load()[0],
                   lambda m, kind: elbo(m, curves.to(kind), p.to(kind), likelihood(m))),
        "energy": (1e-5, energy, lambda m, kind: m(points.to(kind))),
        "roll": (1e-3, torch.nn.Module(), lambda m, kind: swiss_roll.log_density(points.to(kind))),
    }  # fmt: skip
    for name, (tolerance, model, loss) in losses.items():
        single = loss(model, torch.float32).double()
        torch.set_default_dtype(torch.float64)
        try:
            double = loss(model.double(), torch.float64)
        finally:
            torch.set_default_dtype(torch.float32)
        assert double.dtype == torch.float64
        worst = ((single - double).abs().mean() / double.abs().mean()).item()
        assert worst < tolerance, (name, worst)
