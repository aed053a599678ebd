"""Laws of the conditional VAE of exercise 2: densities, the terms of the bound, gradients."""

import math
from functools import partial

import pytest
import torch
from torch import distributions as law

from common.light_curves import model as curve_model
from common.runtime import cvae, priors

PRIORS = ("coupling", "standard")


def small_model(prior="coupling"):
    """Return a model of curves whose layers that start at zero have random weights."""
    torch.manual_seed(0)
    model = curve_model.build(prior=prior, components=3, couplings=2, units=16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def some_curves(n=8):
    """Return n codes of curves (n, 300) and their source sizes (n,)."""
    torch.manual_seed(1)
    return 0.3 * torch.randn(n, 300).cumsum(1) / 17, torch.logspace(-1, 0.7, n)


LIKELIHOOD = partial(curve_model.log_likelihood, edge=curve_model.NO_EDGE)


def normal(mean, scale):
    """Return N(mean, scale^2), independent along the last axis."""
    return law.Independent(law.Normal(mean, scale), 1)


def test_terms_equal_torch_distributions():
    torch.manual_seed(0)
    mu, logvar, z = torch.randn(3, 50, 6, dtype=torch.float64)
    q = normal(mu, (0.5 * logvar).exp())
    drawn, log_q = cvae.reparameterise(mu, logvar)
    torch.testing.assert_close(log_q, q.log_prob(drawn))
    found = priors.StandardPrior(6).log_prob(z, torch.zeros(50))
    standard = normal(torch.zeros_like(z), torch.ones_like(z))
    torch.testing.assert_close(found, standard.log_prob(z))


def mixture_law(prior, y):
    parts = normal(prior.means[y], (0.5 * prior.logvars[y]).exp())
    return law.MixtureSameFamily(law.Categorical(logits=prior.logits[y]), parts)


@pytest.mark.parametrize("components", [1, 5])
def test_a_mixture_has_its_density_and_its_samples_its_mean_and_variance(components):
    """The mixture that the couplings of the learned prior lie over."""
    torch.manual_seed(2)
    prior, n = priors.ClassMixturePrior(10, 3, components), 40_000
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter)
    y, z = torch.randint(0, 10, (200,)), 3 * torch.randn(200, 3)
    expected = mixture_law(prior, y).log_prob(z)
    torch.testing.assert_close(prior.log_prob(z, y), expected, atol=1e-3, rtol=1e-4)
    z, exact = prior.sample(torch.full((n,), 7)).detach(), mixture_law(prior, torch.tensor([7]))
    error = (exact.variance[0] / n).sqrt()
    assert ((z.mean(0) - exact.mean[0]).abs() < 5 * error).all()
    torch.testing.assert_close(z.var(0), exact.variance[0], rtol=0.06, atol=0)


def test_monte_carlo_kl_agrees_with_the_closed_form():
    model, (x, p) = small_model("standard"), some_curves(1)
    n = 4000
    _, kl = cvae.elbo_terms(model, x.expand(n, -1), p.expand(n), LIKELIHOOD)
    mu, logvar = model.encode(x, p)
    exact = law.kl_divergence(law.Normal(mu, (0.5 * logvar).exp()), law.Normal(0.0, 1.0)).sum()
    assert abs(kl.mean() - exact) < 5 * kl.std() / math.sqrt(n)


@pytest.mark.parametrize("prior", PRIORS)
def test_elbo_terms_are_the_formula(prior):
    """With the same z, both terms equal those of torch.distributions."""
    model, (x, p) = small_model(prior), some_curves()
    eps = torch.randn(len(x), curve_model.LATENT)
    reconstruction, kl = cvae.elbo_terms(model, x, p, LIKELIHOOD, eps=eps)
    mu, logvar = model.encode(x, p)
    q = normal(mu, (0.5 * logvar).exp())
    z = mu + (0.5 * logvar).exp() * eps
    decoded = model.decode(z, p)
    ln10, deviation = math.log(10), decoded[:, -1:].exp()
    likelihood = law.LogNormal(decoded[:, :-1] * ln10, deviation * ln10)
    expected = likelihood.log_prob(10**x).sum(1)
    torch.testing.assert_close(reconstruction, -expected, rtol=1e-4, atol=1e-2)
    log_p = normal(torch.zeros_like(z), torch.ones_like(z)).log_prob(z)
    if prior == "coupling":
        log_p = model.prior.log_prob(z, p)
    torch.testing.assert_close(kl, q.log_prob(z) - log_p, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("prior", PRIORS)
def test_every_parameter_gets_a_gradient(prior):
    model, (x, p) = small_model(prior), some_curves(20)
    sum(term.mean() for term in cvae.elbo_terms(model, x, p, LIKELIHOOD)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_a_code_decodes_alone_as_in_a_batch_and_the_size_reaches_both_networks():
    model, (x, p) = small_model(), some_curves(10)
    z = torch.randn(10, curve_model.LATENT)
    alone = torch.cat([model.decode(z[i : i + 1], p[i : i + 1]) for i in range(10)])
    torch.testing.assert_close(alone, model.decode(z, p), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(alone, model.decode(z, p.flip(0)))
    assert not torch.allclose(model.encode(x, p)[0], model.encode(x, p.flip(0))[0])
