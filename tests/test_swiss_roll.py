"""The roll is known exactly: its density, score, entropy; the samplers and the normaliser, too."""

import math

import numpy as np
import pytest
import torch

from common import ebm, langevin, swiss_roll
from common.runtime.errors import InputError
from common.swiss_roll import data as roll_data
from common.swiss_roll import evaluation as roll_evaluation


@pytest.mark.parametrize("noise", [0.2, 0.5])
def test_the_density_integrates_to_one(noise):
    points, area = ebm.grid(noise / 2, swiss_roll.LAST + 8 * noise)
    assert swiss_roll.log_density(points, noise).exp().sum().item() * area == pytest.approx(1, 1e-6)


def test_the_density_is_exact_also_at_the_ends():
    """Against a sum of 200,000 nodes, at the ends, on the ridge, between the arms, far off."""
    t = torch.linspace(swiss_roll.FIRST, swiss_roll.LAST, 200_001, dtype=torch.float64)
    ends = swiss_roll.spiral(t[[0, -1, 100_000]])
    x = torch.cat([ends, ends + 0.3, torch.tensor([[0.0, 0.0], [3.0, -6.0], [25.0, 25.0]])])
    terms = -((x[:, None] - swiss_roll.spiral(t)) ** 2).sum(2) / (2 * 0.04)
    weights = torch.full((len(t),), 1 / (len(t) - 1), dtype=torch.float64)
    weights[[0, -1]] /= 2
    exact = (terms + weights.log()).logsumexp(1) - math.log(2 * math.pi * 0.04)
    torch.testing.assert_close(swiss_roll.log_density(x, 0.2), exact, atol=1e-4, rtol=1e-7)


def test_the_score_is_the_gradient_of_the_log_density():
    x = (5 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))).double()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(swiss_roll.log_density(x).sum(), x)
    torch.testing.assert_close(swiss_roll.score(x.detach()), gradient)


def test_entropy_by_quadrature_is_that_by_monte_carlo():
    values = -swiss_roll.log_density(swiss_roll.sample(20_000, 0.2, 1).double(), 0.2)
    error = values.std().item() / math.sqrt(len(values))
    entropy = roll_evaluation.ExactKL(0.2).entropy
    assert entropy == pytest.approx(values.mean().item(), abs=4 * error)
    assert entropy == pytest.approx(4.26354, abs=1e-4)


def test_the_nearest_point_is_found():
    t = torch.linspace(swiss_roll.FIRST + 0.1, swiss_roll.LAST - 0.1, 50, dtype=torch.float64)
    tangent = torch.stack([t.cos() - t * t.sin(), t.sin() + t * t.cos()], 1)
    normal = torch.stack([-tangent[:, 1], tangent[:, 0]], 1) / tangent.norm(dim=1, keepdim=True)
    found, distance = swiss_roll.nearest(swiss_roll.spiral(t) + 0.5 * normal)
    torch.testing.assert_close(found, t, atol=1e-6, rtol=0)
    torch.testing.assert_close(distance, torch.full((50,), 0.5).double(), atol=1e-9, rtol=0)


def write(path, points, header="", separator=","):
    rows = [separator.join(f"{v:.6f}" for v in row) for row in points.tolist()]
    path.write_text(header + "\n".join(rows) + "\n")


@pytest.mark.parametrize(("header", "separator"), [("", ","), ("x,y\n", ","), ("x y\n", "  ")])
def test_a_csv_takes_precedence_and_its_noise_is_estimated(tmp_path, header, separator):
    write(tmp_path / roll_data.FILE, swiss_roll.sample(2000, 0.15, 3), header, separator)
    points, noise, source = roll_data.load(str(tmp_path), 0.2, 10, 0)
    assert len(points) == 2000 and noise == pytest.approx(0.15, rel=0.06)
    assert "swiss_roll_2d.csv" in source


def test_points_off_the_roll_have_no_exact_density(tmp_path):
    write(tmp_path / roll_data.FILE, torch.randn(500, 2))
    _, noise, source = roll_data.load(str(tmp_path), 0.2, 10, 0)
    assert noise is None and "not on the Swiss roll" in source


@pytest.mark.parametrize("text", ["", "1,2\n" * 99, "1.0,2.0\n" * 120 + "1e9,0\n"])
def test_a_bad_csv_is_refused_by_name(tmp_path, text):
    (tmp_path / roll_data.FILE).write_text(text)
    with pytest.raises(InputError, match=roll_data.FILE):
        roll_data.read(tmp_path / roll_data.FILE)


@pytest.mark.parametrize("eps", [0.1, 0.01, 0.5])
def test_unadjusted_langevin_has_the_variance_of_its_discretisation(eps):
    """On N(0, 1): 1 / (1 - eps / 2) instead of 1."""
    torch.manual_seed(0)
    n = 40_000
    start = torch.randn(n, 1, dtype=torch.float64)
    x = langevin.langevin(start, lambda x: -x, eps, round(8 / eps))
    exact = 1 / (1 - eps / 2)
    assert x.var().item() == pytest.approx(exact, abs=5 * exact * math.sqrt(2 / n))


def test_metropolis_langevin_has_the_exact_variance():
    torch.manual_seed(0)
    n = 40_000
    start = torch.randn(n, 1, dtype=torch.float64)
    target = lambda x: (-0.5 * (x * x).sum(1), -x)  # noqa: E731
    x, accepted = langevin.mala(start, target, 0.5, 20)
    assert x.var().item() == pytest.approx(1, abs=5 * math.sqrt(2 / n)) and 0.5 < accepted < 1


@pytest.mark.parametrize("kind", ["wide", "histogram"])
def test_jumps_leave_the_target_as_it_is_and_reach_it(kind):
    """From far off to a mixture of two distant Gaussians with weights 0.3 and 0.7."""
    torch.manual_seed(0)
    other = torch.randn(500, 2) + 6.0 * torch.randn(500, 1).sign()
    proposal = {
        "wide": langevin.GaussianProposal(8.0),
        "histogram": langevin.HistogramProposal(other, 0.7),
    }[kind]

    def log_p(x):
        parts = [-0.5 * ((x - c) ** 2).sum(1) for c in (-6.0, 6.0)]
        return torch.logaddexp(parts[0] + math.log(0.3), parts[1] + math.log(0.7))

    x = torch.full((20_000, 2), -6.0)
    value = log_p(x)
    for _ in range(400):
        x, value, _ = langevin.independence_step(x, value, log_p, proposal)
    torch.testing.assert_close(value, log_p(x))
    assert (x[:, 0] > 0).float().mean().item() == pytest.approx(0.7, abs=0.02)


def test_the_histogram_proposal_has_the_density_it_claims():
    """Its density integrates to one, and is what its draws follow."""
    torch.manual_seed(0)
    proposal = langevin.HistogramProposal(swiss_roll.sample(2000), 0.5)
    points, area = ebm.grid(0.1, 40.05)
    assert proposal.log_prob(points.float()).exp().sum().item() * area == pytest.approx(1, abs=1e-3)
    x = proposal.draw(100_000)
    inside = (x[:, 0] > 0) & (x[:, 1] > 3)
    quarter = points[(points[:, 0] > 0) & (points[:, 1] > 3)].float()
    share = proposal.log_prob(quarter).exp().sum().item() * area
    assert inside.float().mean().item() == pytest.approx(share, abs=0.01)
    with pytest.raises(ValueError, match="too spread out"):
        langevin.HistogramProposal(torch.tensor([[0.0, 0.0], [1e6, 0.0]]), 0.5)


def test_the_energy_gradient_written_out_is_that_of_autograd():
    torch.manual_seed(0)
    model, x = ebm.LogDensity(), (8 * torch.randn(100, 2)).requires_grad_()
    value = model(x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    found, slope = model.value_and_gradient(x.detach())
    torch.testing.assert_close(found, value.detach())
    torch.testing.assert_close(slope, gradient)
    torch.testing.assert_close(model.score(x.detach()), gradient)


def test_the_normaliser_of_a_gaussian_is_the_known_one():
    model = ebm.LogDensity()
    torch.nn.init.zeros_(model.last.weight)
    torch.nn.init.constant_(model.last.bias, 1.5)
    log_z, log_far = ebm.log_mass(model)
    assert log_z == pytest.approx(1.5 + math.log(2 * math.pi * ebm.BASE**2), abs=1e-4)
    inside = math.erf(20 / ebm.BASE / math.sqrt(2)) ** 2
    assert math.exp(log_far) == pytest.approx(1 - inside, rel=0.02)


def test_the_exact_divergence_is_zero_for_the_truth_and_positive_otherwise():
    class Truth(torch.nn.Module):
        """f = log p, the roll's own."""

        def __init__(self):
            super().__init__()
            self.one = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, x):
            return swiss_roll.log_density(x, 0.5)

    exact = roll_evaluation.ExactKL(0.5)
    assert exact(Truth())["kl_nats"] == pytest.approx(0, abs=1e-6)
    torch.manual_seed(0)
    assert exact(ebm.LogDensity())["kl_nats"] > 0.5


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan"), 1e-9])
def test_impossible_noise_is_refused(noise):
    with pytest.raises(InputError):
        swiss_roll.log_density(np.zeros((1, 2)), noise)
