"""The roll is known exactly: its density, score, entropy; the samplers and the normaliser, too."""

import math

import numpy as np
import pytest
import torch

from common import ebm, langevin, swiss_roll
from common.swiss_roll import density, evaluation
from common.training import InputError


@pytest.mark.parametrize("noise", [0.2, 0.5])
def test_the_density_integrates_to_one_and_is_exact_also_at_the_ends(noise):
    """Against a sum of 200,000 nodes, at the ends, on the ridge, between the arms, far off."""
    points = ebm.grid(20.0, noise / 2)
    mass = swiss_roll.log_density(points, noise).exp().sum().item() * (noise / 2) ** 2
    assert mass == pytest.approx(1, 1e-6)
    t = torch.linspace(swiss_roll.FIRST, swiss_roll.LAST, 200_001, dtype=torch.float64)
    ends = swiss_roll.spiral(t[[0, -1, 100_000]])
    x = torch.cat([ends, ends + 0.3, torch.tensor([[0.0, 0.0], [3.0, -6.0], [25.0, 25.0]])])
    terms = -((x[:, None] - swiss_roll.spiral(t)) ** 2).sum(2) / (2 * noise**2)
    terms[:, [0, -1]] -= math.log(2)  # the trapezoidal rule
    exact = terms.logsumexp(1) - math.log(2 * math.pi * noise**2 * (len(t) - 1))
    torch.testing.assert_close(swiss_roll.log_density(x, noise), exact, atol=1e-4, rtol=1e-7)


def test_entropy_by_quadrature_is_that_by_monte_carlo():
    values = -swiss_roll.log_density(swiss_roll.sample(20_000, 0.2, 1).double(), 0.2)
    error = values.std().item() / math.sqrt(len(values))
    entropy = evaluation.ExactKL(0.2).entropy
    assert entropy == pytest.approx(values.mean().item(), abs=4 * error)
    assert entropy == pytest.approx(4.26354, abs=1e-4)


def test_the_nearest_point_is_found():
    t = torch.linspace(swiss_roll.FIRST + 0.1, swiss_roll.LAST - 0.1, 50, dtype=torch.float64)
    tangent = torch.stack([t.cos() - t * t.sin(), t.sin() + t * t.cos()], 1)
    normal = torch.stack([-tangent[:, 1], tangent[:, 0]], 1) / tangent.norm(dim=1, keepdim=True)
    found, distance = swiss_roll.nearest(swiss_roll.spiral(t) + 0.5 * normal)
    torch.testing.assert_close(found, t, atol=1e-6, rtol=0)
    torch.testing.assert_close(distance, torch.full((50,), 0.5).double(), atol=1e-9, rtol=0)


def test_unevenness_is_the_kolmogorov_smirnov_distance():
    from scipy.stats import kstest

    t = torch.rand(300, generator=torch.manual_seed(0)).square() * 9 + 5
    law = (swiss_roll.FIRST, swiss_roll.LAST - swiss_roll.FIRST)
    expected = kstest(t.double().numpy(), "uniform", law).statistic
    assert density.unevenness(t.double()) == pytest.approx(expected, abs=1e-9)
    assert density.unevenness(torch.full((50,), 9.0)) > 0.5


def test_langevin_has_the_variance_of_its_discretisation_and_metropolis_the_exact_one():
    """On N(0, 1): unadjusted, 1 / (1 - eps / 2) instead of 1."""
    n = 40_000
    start = torch.randn(n, 1, generator=torch.manual_seed(0), dtype=torch.float64)
    for eps in (0.1, 0.01, 0.5):
        x, exact = langevin.langevin(start, torch.neg, eps, round(8 / eps)), 1 / (1 - eps / 2)
        assert x.var().item() == pytest.approx(exact, abs=5 * exact * math.sqrt(2 / n))
    x, accepted = langevin.mala(start, lambda x: (-0.5 * (x * x).sum(1), -x), 0.5, 20)
    assert x.var().item() == pytest.approx(1, abs=5 * math.sqrt(2 / n)) and 0.5 < accepted < 1


@pytest.mark.parametrize(("d", "betas"), [(2, (1, 0.3, 0)), (10, (1, 0.6, 0.35, 0.18, 0.07, 0))])
def test_replica_exchange_finds_the_weights_of_two_distant_modes(d, betas):
    """All begin in the lighter mode, of weight 0.2, eight deviations apart: right to 2 %."""
    torch.manual_seed(0)
    centres = 4 * torch.eye(d, dtype=torch.float64)[:1] * torch.tensor([[1.0], [-1.0]])

    def target(x):
        """Return log p and its gradient of 0.2 N(c, I) + 0.8 N(-c, I), c = (4, 0, ...)."""
        shares = torch.tensor([0.2, 0.8]).double().log()
        terms = shares - ((x[:, None] - centres) ** 2).sum(2) / 2
        return terms.logsumexp(1), terms.softmax(1) @ centres - x

    x = torch.randn(len(betas), 1500, d, dtype=torch.float64)
    x[..., 0] += 4
    sizes, found = [0.3 / max(beta, 0.1) for beta in betas[:-1]], []
    for _ in range(8):
        x, rates = langevin.replica_exchange(x, target, betas, 3.0, sizes, 10 * d)
        found.append(x[0])
    x = torch.cat(found[-4:])
    assert (x[:, 0] > 0).double().mean().item() == pytest.approx(0.2, abs=0.02)
    variance = torch.tensor([1 + 16 * 4 * 0.2 * 0.8, *[1.0] * (d - 1)]).double()
    torch.testing.assert_close(x.var(0), variance, rtol=0.08, atol=0)
    assert x[:, 1:].mean(0).abs().max() < 0.05 and (rates > 0.1).all()
    plain, _ = langevin.mala(centres[0].expand(1000, d), target, 0.3, 100)
    assert (plain[:, 0] > 0).double().mean() > 0.9  # without exchange chains stay where they are


def test_an_exchange_leaves_every_level_as_it_is():
    """From exact samples of every level: their variances stay."""
    torch.manual_seed(0)
    betas, scale, n = (1.0, 0.4, 0.0), 2.0, 200_000
    precision = [beta + (1 - beta) / scale**2 for beta in betas]  # p = N(0, 1), p_k is Gaussian
    x = torch.stack([torch.randn(n, 1).double() / v**0.5 for v in precision])
    target = lambda x: (-(x * x).sum(1) / 2, -x)  # noqa: E731
    y, _ = langevin.replica_exchange(x, target, betas, scale, [0.3, 0.5], 3)
    for level, v in zip(y, precision, strict=True):
        assert level.var().item() * v == pytest.approx(1, abs=6 * math.sqrt(2 / n))
    with pytest.raises(ValueError, match="fall from 1 to 0"):
        langevin.replica_exchange(x, target, (1.0, 0.5, 0.1), scale, 0.3, 1)


def test_an_exchange_leaves_an_asymmetric_law_as_it_is_at_every_level():
    """From exact samples of each level, drawn on a grid: cumulative shares stay to 5 errors."""
    betas, scale, n = (1.0, 0.5, 0.0), 2.0, 100_000
    line = torch.linspace(-12, 12, 24_001, dtype=torch.float64)

    def target(x):
        """log p = -x^2 (1 + tanh(x) / 2): falls faster on the right."""
        bent = 1 + 0.5 * x.tanh()
        return -(x**2 * bent).sum(1), -2 * x * bent - 0.5 * x**2 * (1 - x.tanh() ** 2)

    torch.manual_seed(0)
    laws = []
    for beta in betas:
        log_p = beta * target(line[:, None])[0] - (1 - beta) * line**2 / (2 * scale**2)
        laws.append(log_p.softmax(0).cumsum(0))
    u = torch.rand(len(betas), n, dtype=torch.float64)
    places = [torch.searchsorted(law, row) for law, row in zip(laws, u, strict=True)]
    start = torch.stack([line[k.clamp(max=len(line) - 1)] for k in places])[..., None]
    x, rates = langevin.replica_exchange(start, target, betas, scale, [0.4, 0.9], 4)
    assert (rates > 0.2).all() and not torch.equal(x, start)
    for level, law in zip(x, laws, strict=True):
        for share in (0.1, 0.5, 0.9):
            below = (level[:, 0] <= line[torch.searchsorted(law, share)]).double().mean().item()
            assert below == pytest.approx(share, abs=5 * (share * (1 - share) / n) ** 0.5 + 1e-3)


def test_gradients_and_scores_are_those_of_autograd():
    torch.manual_seed(0)
    model, x = ebm.LogDensity(), (8 * torch.randn(100, 2)).requires_grad_()
    value = model(x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    found, slope = model.value_and_gradient(x.detach())
    torch.testing.assert_close(found, value.detach())
    torch.testing.assert_close(slope, gradient)
    torch.testing.assert_close(model.score(x.detach()), gradient)
    x = x.detach().double().requires_grad_()
    (gradient,) = torch.autograd.grad(swiss_roll.log_density(x).sum(), x)
    torch.testing.assert_close(swiss_roll.score(x.detach()), gradient)


def test_langevin_takes_other_peoples_scores_and_keeps_no_graph():
    """A score by autograd inside torch.no_grad(); a start that requires grad; wrong kinds."""

    def score(x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad((-(x**4)).sum(), x)[0]

    start = torch.randn(5, 2, requires_grad=True)
    with torch.no_grad():
        x = langevin.langevin(start, score, 0.01, 3)
    assert x.shape == (5, 2) and not x.requires_grad
    assert not langevin.langevin(start, lambda x: -x, 0.01, 3).requires_grad
    x, _ = langevin.mala(start, lambda x: (-(x**2).sum(1) / 2, -x), 0.01, 3)
    assert not x.requires_grad
    wrong = [(torch.zeros(5, 2, dtype=int), score), (np.zeros((5, 2)), score)]
    wrong.append((torch.zeros(5, 2), lambda x: x[:, :1]))
    for x, function in wrong:
        with pytest.raises(ValueError, match=r"floating-point|shape \(5, 1\)"):
            langevin.langevin(x, function, 0.01, 3)
    with pytest.raises(ValueError, match="steps = -3"):
        langevin.langevin(torch.zeros(2, 2), torch.neg, 0.1, -3)


def flat(bias=1.5):
    """Return f = bias - |u|^2 / (2 * 8^2)."""
    model = ebm.LogDensity()
    torch.nn.init.zeros_(model.last.weight)
    torch.nn.init.constant_(model.last.bias, bias)
    return model


def test_z_of_a_gaussian_is_the_known_one_in_any_scale():
    """A share of .0035 lies beyond the fine grid."""
    expected = 1.5 + math.log(2 * math.pi * ebm.BASE**2)
    assert ebm.log_z(flat()) == pytest.approx(expected, abs=1e-4)
    model = flat()
    model.shift.copy_(torch.tensor([5.0, -300.0]))
    model.scale.fill_(0.01)
    assert ebm.log_z(model) == pytest.approx(expected + 2 * math.log(0.01), abs=1e-4)
    x = model.shift + 0.1 * torch.randn(7, 2)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    torch.testing.assert_close(model.score(x.detach()), gradient)


def test_what_is_no_density_is_said():
    for noise in (0.0, -1.0, float("nan"), 1e-9):
        with pytest.raises(InputError):
            swiss_roll.log_density(np.zeros((1, 2)), noise)
    with pytest.raises(InputError, match="not finite"):
        ebm.log_z(flat(float("nan")))
    assert evaluation.ExactKL(0.5)(flat(float("nan")))["kl_nats"] == math.inf

    def far(x):
        """A mode at (100, 0), where no data are."""
        return -((x - torch.tensor([100.0, 0.0])) ** 2).sum(1) / 2

    with pytest.raises(InputError, match="mass beyond 25"):
        ebm.log_z(far)


def test_the_exact_divergence_is_zero_for_the_truth_and_positive_otherwise():
    exact = evaluation.ExactKL(0.2)
    assert exact(lambda x: swiss_roll.log_density(x, 0.2))["kl_nats"] == pytest.approx(0, abs=1e-6)
    torch.manual_seed(0)
    assert exact(ebm.LogDensity())["kl_nats"] > 0.5
    assert exact(lambda x: swiss_roll.log_density(x, 0.3))["kl_nats"] > 0.05
