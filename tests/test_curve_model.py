"""The light-curve CVAE: prior densities, couplings inverted, folding, the Jacobian."""

import math

import pytest
import torch

from common.light_curves import model as curve_model
from common.runtime import priors
from common.runtime.errors import InputError

SHAPE = {"prior": "coupling", "components": 3, "couplings": 3, "units": 64}


def lively(module, scale=0.3):
    """Give every parameter a random value: layers that start at zero would hide mistakes."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def test_couplings_are_inverted_exactly_and_have_the_determinant_of_the_jacobian():
    prior = lively(priors.CouplingPrior(32, 4).double())
    z, y = torch.randn(50, 32).double(), torch.rand(50).double() * 5 + 0.01
    base, log_det = prior.to_base(z, y)
    torch.testing.assert_close(prior.from_base(base, y), z)
    forward = lambda v: prior.to_base(v[None], y[:1])[0][0]  # noqa: E731
    matrix = torch.autograd.functional.jacobian(forward, z[0])
    torch.testing.assert_close(torch.linalg.slogdet(matrix).logabsdet, log_det[0])


@torch.no_grad()
@pytest.mark.parametrize("p", [0.1, 2.0])
def test_the_prior_integrates_to_one_and_its_samples_have_its_density(p):
    """E[log p] over samples is that over the density: minus the entropy, by quadrature."""
    prior, line = lively(priors.CouplingPrior(2, 3), 0.1), torch.linspace(-15, 15, 751)
    grid = torch.cartesian_prod(line, line)
    log_p = prior.log_prob(grid, torch.full((len(grid),), p))
    assert log_p.exp().sum().item() / 25**2 == pytest.approx(1, abs=2e-3)
    exact = (log_p.exp() * log_p).sum().item() / 25**2
    torch.manual_seed(0)
    y = torch.full((40_000,), p)
    found = prior.log_prob(prior.sample(y), y)
    assert found.mean().item() == pytest.approx(exact, abs=5 * found.std().item() / 200)


def curves(n=80):
    torch.manual_seed(0)
    return 0.3 * torch.randn(n, 300).cumsum(1) / 17


def test_the_folded_network_is_the_unfolded_one():
    x, y = curves(), torch.rand(80) * 5 + 0.1
    whitening = curve_model.Whitening(x, 20)
    model = lively(curve_model.build(**SHAPE, features=20), 0.05)
    w, rest = whitening.whiten(x)
    whole = curve_model.fold(model, whitening, SHAPE)
    for inner, outer in zip(model.encode(w, y), whole.encode(x, y), strict=True):
        torch.testing.assert_close(inner, outer, rtol=1e-4, atol=1e-3)
    z = torch.randn(80, 32)
    inner, outer = model.decode(z, y), whole.decode(z, y)
    torch.testing.assert_close(whitening.mean + inner[:, :-1] @ whitening.to_samples, outer[:, :-1])
    value = whitening.log_likelihood(w, rest, inner) - curve_model.jacobian(x, -0.6)
    exact = curve_model.log_likelihood(x, outer, -0.6)
    torch.testing.assert_close(value, exact, rtol=2e-4, atol=0.1)


def test_whitened_components_are_white_and_time_reversal_keeps_them_so():
    x = curves(500)
    whitening = curve_model.Whitening(x, 20)
    w = torch.cat([whitening.whiten(part)[0] for part in (x, x.flip(1))])
    torch.testing.assert_close(w.T @ w / len(w), torch.eye(20), atol=1e-3, rtol=0)


def test_the_likelihood_is_one_of_magnification():
    """log p(mu) against a log-normal from torch.distributions."""
    x, decoded = curves(5), torch.cat([curves(5).flip(0), torch.full((5, 1), -2.0)], 1)
    ln10, sd = math.log(10), math.exp(-2.0)
    exact = torch.distributions.LogNormal(decoded[:, :-1] * ln10, sd * ln10).log_prob(10**x)
    value = curve_model.log_likelihood(x, decoded, curve_model.NO_EDGE)
    torch.testing.assert_close(value, exact.sum(1))


def test_codes_stretch_below_the_edge_and_lose_nothing():
    log_mu = torch.cat([torch.linspace(-3, 1, 401), torch.tensor([-0.6, -0.601])]).double()
    x = curve_model.to_code(log_mu, -0.6).double().requires_grad_()
    back = curve_model.from_code(x, -0.6)
    torch.testing.assert_close(back, log_mu, atol=1e-6, rtol=0)
    assert float(x.detach()[0]) < -40 and abs(float(x.detach()[400]) - 1) < 1e-6
    slope = torch.autograd.grad((math.log(10) * back).exp().sum(), x)[0]  # d mu / d x
    value = curve_model.jacobian(x.detach()[:, None], -0.6)
    torch.testing.assert_close(value, slope.log(), atol=1e-4, rtol=1e-4)
    far_out = curve_model.from_code(torch.tensor(-2.0), -0.6)
    assert 10 ** far_out.item() > 0.2  # dark, not 0


def test_the_network_is_the_one_asked_for():
    model = curve_model.build(**SHAPE)
    count = {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_modules()}
    assert count["encoder"] == 332 * 128 + 128 + 128 * 64 + 64
    assert count["decoder.first"] + count["decoder.last"] == 64 * 128 + 128 + 128 * 300 + 300
    p = torch.tensor([0.3, 2.0])
    assert torch.equal(model.embed(p), p[:, None].repeat(1, 32))


@pytest.mark.parametrize("p", [0, -1, float("nan"), float("inf"), "x", [], [[1.0]], 1e9, None])
def test_impossible_sources_are_refused(p):
    with pytest.raises(InputError):
        curve_model.as_sizes(p)
