"""The light-curve CVAE: the asked network, its distributions, whitening and folding."""

import math

import pytest
import torch
from torch import distributions as law

from common.cvae import elbo_terms
from common.light_curves import model as curve_model
from common.light_curves.model import CurveCVAE, Whitening, fold, gaussian_log_prob, prior_of
from common.priors import FlowPrior, StandardPrior
from common.training import InputError


def lively(module, scale=0.1):
    """Give every parameter a random value: layers that start at zero would hide mistakes."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def curves(n=80):
    """Return random walks (n, 300) about as smooth and wide as log10 magnifications."""
    torch.manual_seed(0)
    return 0.3 * torch.randn(n, 300).cumsum(1) / 17


def learned_prior():
    return FlowPrior(32, 4, None, couplings=2, hidden=16)


def test_the_network_is_the_one_asked_for():
    model = CurveCVAE(StandardPrior(32))
    count = {
        name: sum(q.numel() for q in part.parameters()) for name, part in model.named_modules()
    }
    assert count["encoder"] == 332 * 128 + 128 + 128 * 64 + 64
    assert count["decoder"] == 64 * 128 + 128 + 128 * 300 + 300
    p = torch.tensor([0.3, 2.0])
    assert torch.equal(model.condition(p), p[:, None].repeat(1, 32))
    x = curves(2)
    assert model.posterior(x, p).mean.shape == (2, 32)
    assert model.likelihood(torch.zeros(2, 32), p).mean.shape == (2, 300)
    assert model.draw(p).shape == (2, 300) and (model.draw(p) > 0).all()


def test_the_networks_see_curves_standardised_and_the_density_is_one_of_x():
    """A model of (x - shift) / scale has the density of x: the change of variables."""
    model = lively(CurveCVAE(StandardPrior(32)))
    p, z = torch.rand(80) + 0.1, torch.randn(80, 32)
    x = curves()
    plain = model.likelihood(z, p)
    given = plain.log_prob(x) - 300 * math.log(0.2)
    model.shift.fill_(0.7)
    model.scale.fill_(0.2)
    moved = 0.7 + 0.2 * x
    found = model.likelihood(z, p).log_prob(moved)
    torch.testing.assert_close(found, given, rtol=1e-4, atol=0.1)
    torch.testing.assert_close(model.likelihood(z, p).mean, 0.7 + 0.2 * plain.mean)


def test_whitened_components_are_white_and_time_reversal_keeps_them_so():
    x = curves(500)
    whitening = Whitening(x, 20)
    w = torch.cat([whitening(part)[0] for part in (x, x.flip(1))])
    torch.testing.assert_close(w.T @ w / len(w), torch.eye(20), atol=5e-3, rtol=0)


def test_few_curves_have_few_components():
    assert Whitening(curves(4), 64).scale.shape == (8,)


def test_nothing_is_lost_between_components_and_rest():
    """|x - x'|^2 = |difference of components|^2 + what x misses, if x' has nothing else."""
    x = curves()
    whitening = Whitening(x, 20)
    w, rest = whitening(x)
    other = torch.randn(80, 20)
    rebuilt = whitening.mean + (other * whitening.scale) @ whitening.axes
    exact = (x - rebuilt).square().sum(1)
    torch.testing.assert_close(whitening.square(w, other) + rest, exact, rtol=1e-4, atol=1e-4)
    normal = law.Independent(law.Normal(rebuilt, 0.05), 1)
    found = gaussian_log_prob(exact, torch.full((80,), math.log(0.05)))
    torch.testing.assert_close(found, normal.log_prob(x), rtol=1e-4, atol=0.05)


def test_the_folded_network_is_the_unfolded_one():
    x, p = curves(), torch.rand(80) * 5 + 0.1
    whitening = Whitening(x, 20)
    model = lively(CurveCVAE(learned_prior(), features=20, unit=8.0), 0.05)
    whole = fold(model, whitening)
    w, rest = whitening(x)
    inner, outer = model.posterior(w, p), whole.posterior(x, p)
    torch.testing.assert_close(inner.mean, outer.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(inner.variance, outer.variance, rtol=1e-3, atol=1e-3)
    z = torch.randn(80, 32)
    square = whitening.square(w, model.decode(z, p)) + rest
    found = gaussian_log_prob(square, model.log_sd(p))
    exact = whole.likelihood(z, p).log_prob(x)
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=0.5)
    assert torch.equal(whole.prior.log_prob(z, p), model.prior.log_prob(z, p))


@torch.no_grad()
def test_the_bound_is_below_log_p_and_its_kl_that_of_two_gaussians():
    model = lively(CurveCVAE(StandardPrior(32)))
    x, p = curves(10), torch.full((10,), 0.5)
    _, kl = map(torch.stack, zip(*(elbo_terms(model, x, p) for _ in range(2000)), strict=True))
    standard = law.Independent(law.Normal(torch.zeros(10, 32), 1.0), 1)
    exact = law.kl_divergence(model.posterior(x, p), standard)
    error = kl.std(0) / 2000**0.5
    assert ((kl.mean(0) - exact).abs() < 5 * error).all()


def test_one_noise_goes_through_all_sizes_and_the_prior_stays_within_its_range():
    settings = {"plain": False, "mixture": 4, "couplings": 2, "hidden": 16}
    model = lively(CurveCVAE(prior_of(settings, 0.1, 5.0)))
    u = model.prior.sample_u(3)
    near, next_to_it = (model.draw(torch.full((3,), p), u) for p in (0.5, 0.501))
    assert (near / next_to_it).log().abs().max() < 0.05
    z = torch.randn(3, 32)
    low, end = (model.prior.log_prob(z, torch.full((3,), p)) for p in (0.01, 0.1))
    torch.testing.assert_close(low, end)


@pytest.mark.parametrize("p", [0, -1, float("nan"), float("inf"), "x", [], [[1.0]], 1e9, None])
def test_impossible_sources_are_refused(p):
    with pytest.raises(InputError):
        curve_model.as_sizes(p)
