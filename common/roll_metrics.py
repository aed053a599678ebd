"""How far a set of points is from the Swiss roll: (n, 2) against (m, 2)."""

import numpy as np
import torch

from common import swiss_roll

DIVERGED = 100.0  # a chain beyond it, or not finite, counts as diverged


def alive(x: torch.Tensor) -> torch.Tensor:
    """Return the points of x (n, 2) that are finite and within 100 of the origin."""
    return x[x.isfinite().all(1) & (x.abs().amax(1) < DIVERGED)]


def sliced_wasserstein(a, b, slices: int = 200, seed: int = 0) -> float:
    """Return the sliced W2 distance sqrt(mean over directions of W2^2) (Bonneel et al. 2015)."""
    angle = torch.pi * (torch.arange(slices) + torch.rand(1, generator=_generator(seed))) / slices
    directions = torch.stack([angle.cos(), angle.sin()])  # (2, slices)
    q = (torch.arange(1000) + 0.5) / 1000
    sides = [torch.quantile((x.float() @ directions), q, dim=0) for x in (a, b)]
    return (sides[0] - sides[1]).square().mean().sqrt().item()


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def energy_distance(a, b) -> float:
    """Return sqrt(2 E|x - y| - E|x - x'| - E|y - y'|) (Szekely & Rizzo 2013)."""

    def mean(u, v):
        same = u is v
        total = torch.cdist(u.double(), v.double()).sum().item()
        return total / (len(u) * (len(v) - same))

    return float(np.sqrt(max(0.0, 2 * mean(a, b) - mean(a, a) - mean(b, b))))


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
        return found | dict.fromkeys(
            ("sw2", "energy_distance", "coverage_tv", "ridge"), float("nan")
        )
    return found | {
        "sw2": sliced_wasserstein(living, truth),
        "energy_distance": energy_distance(living, truth),
        "coverage_tv": coverage(living),
        "ridge": swiss_roll.nearest(living)[1].mean().item(),
    }


def summary(rows: list[dict]) -> dict:
    """Return {"name": {"mean", "std"}} over the dictionaries `rows` of `measure`."""
    out = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        out[name] = {
            "mean": float(values.mean()),
            "std": float(values.std(ddof=min(1, len(rows) - 1))),
        }
    return out
