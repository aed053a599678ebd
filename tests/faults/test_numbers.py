"""Numbers: what is not finite stops with a word; extremes; precisions; seeds; threads."""

import pytest
import torch
from conftest import ROOT
from test_old_loop import fit

from common import ebm, swiss_roll
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


def test_float32_losses_are_float64_losses(monkeypatch):
    """Mean difference over mean size, below the tolerance of each."""
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor.to(torch.get_default_dtype()))
    torch.manual_seed(0)
    points, energy = swiss_roll.sample(200), ebm.load(ROOT / "checkpoints/ex_3a_cd.pt")
    losses = {
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
