"""How far a model or a set of points (n, 2) is from the Swiss roll."""

import itertools
import math

from common import distances, ebm, swiss_roll
from common.runtime.errors import InputError

import numpy as np
import torch

DIVERGED = 100.0  # a chain beyond it, or not finite, counts as diverged


def alive(x: torch.Tensor) -> torch.Tensor:
    """Return the points of x (n, 2) that are finite and within 100 of the origin."""
    return x[x.isfinite().all(1) & (x.abs().amax(1) < DIVERGED)]


class ExactKL:
    """The truth on a grid, kept: what the exact KL divergence needs besides f."""

    def __init__(self, noise: float, step: float = 0.1):
        points, area = ebm.grid(min(step, noise / 2), swiss_roll.LAST + 8 * noise)
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


def log10_on_window(log_density, cells: int = 180, reach: float = 18.0) -> torch.Tensor:
    """Return log10 p at the cells' centres of the window |x_i| < reach: (cells, cells), x1 first.

    log_density: (m, 2) float64 -> (m,) in nats.
    """
    points, _ = ebm.grid(2 * reach / cells, reach * (1 - 1 / cells))
    return log_density(points).view(cells, cells) / math.log(10)


def density_pictures(models: dict, noise: float) -> dict:
    """Return {name: `log10_on_window`} of the truth and of every network of {name: {eps: f}}."""
    pictures = {"truth": log10_on_window(lambda x: swiss_roll.log_density(x, noise))}
    for method, eps in ((row, eps) for row in models for eps in models[row]):
        name, model = f"short, ε = {eps:g}" if method == "short" else method, models[method][eps]
        if name not in pictures:
            shift = ebm.log_normaliser(model)
            pictures[name] = log10_on_window(lambda x: ebm.values(model, x) - shift)  # noqa: B023
    return pictures


def true_sets(settings, noise: float) -> list:
    """Return two sets of true points (chains, 2) for each sampling seed of `settings`."""
    n, first = settings.chains, 1000 + 10_000 * settings.seed
    return [swiss_roll.sample(n, noise, first + k) for k in range(2 * settings.repeats)]


def floor_of(truth: list) -> dict:
    """Return the distances between two true sets, over all pairs."""
    return summary([measure(*two) for two in itertools.combinations(truth, 2)])


def sliced_wasserstein(a, b, slices: int = 200, seed: int = 0) -> float:
    """Return the sliced W2 distance of points in the plane: evenly spaced directions."""
    turn = torch.rand(1, generator=torch.Generator().manual_seed(seed))
    angle = torch.pi * (torch.arange(slices) + turn) / slices
    return distances.sliced_wasserstein(a, b, torch.stack([angle.cos(), angle.sin()]))


def coverage(x, bins: int = 20) -> float:
    """Return the total variation between the nearest t of x and the even distribution of t."""
    t, _ = swiss_roll.nearest(x)
    share = torch.histc(t, bins, swiss_roll.FIRST, swiss_roll.LAST) / len(t)
    return 0.5 * (share - 1 / bins).abs().sum().item()


def measure(x: torch.Tensor, truth: torch.Tensor) -> dict:
    """Return every distance of x (n, 2) from truth (m, 2); of living chains only."""
    living = alive(x)
    found = {"diverged": 1 - len(living) / len(x)}
    if len(living) < 2:
        return found | dict.fromkeys(("sw2", "coverage_tv", "ridge"), float("nan"))
    return found | {
        "sw2": sliced_wasserstein(living, truth),
        "coverage_tv": coverage(living),
        "ridge": swiss_roll.nearest(living)[1].mean().item(),
    }


def summary(rows: list[dict]) -> dict:
    """Return {"name": {"mean", "std"}} over the dictionaries `rows` of `measure`."""
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    ddof = min(1, len(rows) - 1)
    return {
        k: {"mean": float(c.mean()), "std": float(c.std(ddof=ddof))} for k, c in columns.items()
    }


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
