"""How far a model or a set of points (n, 2) is from the Swiss roll."""

import itertools
import math

import numpy as np
import torch

from common import distances, ebm, swiss_roll
from common.runtime.errors import InputError
from common.swiss_roll.density import unevenness
from common.swiss_roll.figures import REACH

DIVERGED = 100.0  # a chain beyond it, or not finite, counts as diverged
CELLS = 180  # of a picture of a density, along each side
WINDOW, _ = ebm.grid(2 * REACH / CELLS, REACH * (1 - 1 / CELLS))  # their centres (CELLS^2, 2)


def alive(x: torch.Tensor) -> torch.Tensor:
    """Return the points of x (n, 2) that are finite and within 100 of the origin."""
    return x[x.isfinite().all(1) & (x.abs().amax(1) < DIVERGED)]


class ExactKL:
    """The truth on a grid, kept: what the exact KL divergence needs besides f."""

    def __init__(self, noise: float):
        points, area = ebm.grid(min(0.1, noise / 2), swiss_roll.LAST + 8 * noise)
        log_p = torch.cat([swiss_roll.log_density(part, noise) for part in points.split(50_000)])
        keep = log_p > -60
        self.points, self.weights = points[keep], log_p[keep].exp() * area
        self.entropy = -(self.weights * log_p[keep]).sum().item()

    def __call__(self, model) -> dict:
        """Return KL(data || model) = log Z - E_p[f] - H(p) in nats, and `ebm.normaliser`'s numbers.

        Both are infinite where exp f cannot be integrated.
        """
        try:
            found = ebm.normaliser(model)
        except InputError:
            return {"kl_nats": math.inf, "log_z": math.inf}
        mean = (self.weights * ebm.values(model, self.points)).sum().item()
        return {"kl_nats": found["log_z"] - mean - self.entropy} | found


def picture_of(log_p: torch.Tensor) -> torch.Tensor:
    """Return log10 p, (cells, cells), x1 first, of log p at the points of WINDOW in nats."""
    return log_p.view(CELLS, CELLS) / math.log(10)


def density_pictures(models: dict, noise: float) -> dict:
    """Return {name: `picture_of`} of the truth and of every network of {name: {eps: f}}."""
    pictures = {"truth": picture_of(swiss_roll.log_density(WINDOW, noise))}
    networks = {
        f"short, ε = {eps:g}" if method == "short" else method: model
        for method, by_eps in models.items()
        for eps, model in by_eps.items()
    }
    for name, model in networks.items():
        pictures[name] = picture_of(ebm.values(model, WINDOW) - ebm.log_normaliser(model))
    return pictures


def true_sets(settings, noise: float) -> list:
    """Return two sets of true points (chains, 2) for each sampling seed of `settings`."""
    n, first = settings.chains, 1000 + 10_000 * settings.seed
    return [swiss_roll.sample(n, noise, first + k) for k in range(2 * settings.repeats)]


def floor_of(truth: list) -> dict:
    """Return the distances between two true sets, over all pairs."""
    return summary([measure(*two) for two in itertools.combinations(truth, 2)])


def sliced_wasserstein(a, b) -> float:
    """Return the sliced W2 distance of points in the plane: 200 evenly spaced directions."""
    turn = torch.rand(1, generator=torch.Generator().manual_seed(0))
    angle = torch.pi * (torch.arange(200) + turn) / 200
    return distances.sliced_wasserstein(a, b, torch.stack([angle.cos(), angle.sin()]))


def measure(x: torch.Tensor, truth: torch.Tensor) -> dict:
    """Return every distance of x (n, 2) from truth (m, 2); of living chains only.

    sw2: see `sliced_wasserstein`; ridge: mean distance to the spiral; coverage_tv: `unevenness` of
    the nearest t; diverged: the share of the others.
    """
    living = alive(x)
    found = {"diverged": 1 - len(living) / len(x)}
    if len(living) < 2:
        return found | dict.fromkeys(("sw2", "coverage_tv", "ridge"), math.nan)
    t, distance = swiss_roll.nearest(living)
    found |= {"sw2": sliced_wasserstein(living, truth), "ridge": distance.mean().item()}
    return found | {"coverage_tv": unevenness(t)}


def summary(rows: list[dict]) -> dict:
    """Return {"name": {"mean", "std"}} over the dictionaries `rows` of `measure`."""
    found, ddof = {}, min(1, len(rows) - 1)
    for name in rows[0]:
        column = np.array([row[name] for row in rows])
        found[name] = {"mean": float(column.mean()), "std": float(column.std(ddof=ddof))}
    return found


class StepRecorder:
    """A `record` for `langevin` that notes the distances from truth (m, 2) at 25 of the steps.

    The steps are evenly spaced in their logarithm.  noted: {"step": [...], distance: [...]}, with
    "arrived": the share of chains within three noises of the spiral.
    """

    def __init__(self, truth, steps: int, noise: float):
        self.truth, self.noise, self.noted = truth, noise, {}
        self.wanted = {round(steps ** (k / 24)) for k in range(25)}

    def __call__(self, step, x):
        if step in self.wanted and len(alive(x)) > 1:
            near = swiss_roll.nearest(x.nan_to_num(1e9))[1] < 3 * self.noise
            found = {"step": step, "arrived": near.float().mean().item()}
            for name, value in (found | measure(x, self.truth)).items():
                self.noted.setdefault(name, []).append(value)
