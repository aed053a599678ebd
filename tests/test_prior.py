"""The learned prior: T_y is invertible, has the right Jacobian, and densities integrate to 1."""

import pytest
import torch
from torch import distributions as law

from common import priors
from common.training import InputError

CONDITIONS = {"class": (10, torch.arange(50) % 10), "number": (None, torch.rand(50) * 5 + 0.01)}


def lively(prior, scale=0.3):
    """Give every parameter a random value: layers that start at zero would hide mistakes."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return prior


@pytest.mark.parametrize("kind", CONDITIONS)
@pytest.mark.parametrize("couplings", [0, 3])
def test_t_y_is_inverted_and_its_determinant_is_that_of_the_jacobian(kind, couplings):
    classes, y = CONDITIONS[kind]
    y = y.double() if classes is None else y
    prior = lively(priors.FlowPrior(12, 4, classes, couplings).double())
    z = torch.randn(50, 12).double()
    u, log_det = prior.inverse(z, y)
    torch.testing.assert_close(prior.transform(u, y), z)
    forward = lambda v: prior.inverse(v[None], y[:1])[0][0]  # noqa: E731
    matrix = torch.autograd.functional.jacobian(forward, z[0])
    torch.testing.assert_close(torch.linalg.slogdet(matrix).logabsdet, log_det[0])


@torch.no_grad()
@pytest.mark.parametrize(("kind", "y"), [("class", 3), ("number", 0.1), ("number", 2.0)])
def test_the_density_integrates_to_one_and_is_that_of_the_samples(kind, y):
    """E[log p] over samples is that over the density: minus the entropy, by quadrature."""
    prior = lively(priors.FlowPrior(2, 3, CONDITIONS[kind][0]), 0.1)
    line = torch.linspace(-15, 15, 751)
    grid = torch.cartesian_prod(line, line)
    log_p = prior.log_prob(grid, torch.full((len(grid),), y))
    assert log_p.exp().sum().item() / 25**2 == pytest.approx(1, abs=2e-3)
    exact = (log_p.exp() * log_p).sum().item() / 25**2
    torch.manual_seed(0)
    many = torch.full((40_000,), y)
    found = prior.log_prob(prior.sample(many), many)
    assert found.mean().item() == pytest.approx(exact, abs=5 * found.std().item() / 200)


def test_a_mixture_has_the_density_and_the_samples_of_torchs():
    mixture = lively(priors.Mixture(3, 5), 1.0)
    parts = law.Independent(law.Normal(mixture.means, (0.5 * mixture.logvars).exp()), 1)
    exact = law.MixtureSameFamily(law.Categorical(logits=mixture.logits), parts)
    u = 3 * torch.randn(200, 3)
    torch.testing.assert_close(mixture.log_prob(u), exact.log_prob(u), atol=1e-3, rtol=1e-4)
    drawn = mixture.sample(40_000).detach()
    error = (exact.variance / 40_000).sqrt()
    assert ((drawn.mean(0) - exact.mean).abs() < 5 * error).all()
    torch.testing.assert_close(drawn.var(0), exact.variance.detach(), rtol=0.06, atol=0)


def test_one_u_is_shared_and_conditions_differ():
    prior = lively(priors.FlowPrior(6, 4, 10).double())
    u = prior.sample_u(1).expand(10, -1)
    z = prior.transform(u, torch.arange(10))
    back, _ = prior.inverse(z, torch.arange(10))
    torch.testing.assert_close(back, u)
    assert torch.pdist(z).min() > 0.1


def test_a_number_beyond_the_limits_is_taken_for_the_limit():
    prior = lively(priors.FlowPrior(4, 3))
    prior.limits.copy_(torch.tensor([0.1, 2.0]))
    u = prior.sample_u(5)
    inside, below = torch.full((5,), 0.1), torch.full((5,), 0.01)
    torch.testing.assert_close(prior.transform(u, below), prior.transform(u, inside))


@pytest.mark.parametrize("y", [0.0, -1.0, float("nan"), float("inf")])
def test_numbers_that_are_not_above_zero_are_refused(y):
    with pytest.raises(InputError, match="above 0"):
        priors.FlowPrior(4, 3).sample(torch.tensor([1.0, y]))
