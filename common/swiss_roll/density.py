"""The 2-D Swiss roll, exactly: density, score, nearest point of the spiral.

    t ~ U(3 pi / 2, 9 pi / 2),   x = (t cos t, t sin t) + noise * eps,   eps ~ N(0, I)
    p(x) = 1 / (3 pi) * integral N(x; (t cos t, t sin t), noise^2 I) dt

scikit-learn's roll without its third axis, not rescaled.  The integral is a Gauss-Legendre sum over
panels six noises long, so that its ends are as exact as its middle.
"""

import functools
import math

import numpy as np
import torch

from common.training import InputError

FIRST, LAST = 1.5 * math.pi, 4.5 * math.pi  # of t
NOISE = 0.2
LEAST_NOISE = 0.05  # below it the quadrature is not affordable


def spiral(t: torch.Tensor) -> torch.Tensor:
    """Return the points (t cos t, t sin t): (...,) -> (..., 2)."""
    return torch.stack([t * t.cos(), t * t.sin()], -1)


@functools.lru_cache(maxsize=8)
def quadrature(noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return nodes t (k,) and weights (k,), summing to 1, for averages over t: float64."""
    if not 1e-3 <= noise < math.inf:
        raise InputError(f"noise {noise}: must be a finite number, at least 0.001")
    length = 0.5 * (LAST**2 - FIRST**2)  # nearly that of the spiral
    panels = max(8, math.ceil(length / (6 * noise)))
    # edges evenly spaced in t^2, that is, along the spiral
    edges = torch.linspace(FIRST**2, LAST**2, panels + 1, dtype=torch.float64).sqrt()
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(12))
    half = 0.5 * (edges[1:] - edges[:-1])[:, None]
    t = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes
    return t.flatten(), (half * weights).flatten() / (LAST - FIRST)


@functools.lru_cache(maxsize=8)
def _nodes(noise: float, dtype, device):
    """Return (centres (k, 2), log share of each in p at |x| = 0 (k,)) of the quadrature."""
    t, w = quadrature(noise)
    centres = spiral(t)
    constant = w.log() - math.log(2 * math.pi * noise**2) - (centres**2).sum(1) / (2 * noise**2)
    return centres.to(device, dtype), constant.to(device, dtype)


def log_density(x, noise: float = NOISE) -> torch.Tensor:
    """Return log p(x) in nats: x (n, 2) -> (n,); computed in float64 for float64 input."""
    return log_density_and_score(x, noise)[0]


def score(x, noise: float = NOISE) -> torch.Tensor:
    """Return the gradient of log p(x): x (n, 2) -> (n, 2)."""
    return log_density_and_score(x, noise)[1]


def log_density_and_score(x, noise: float = NOISE) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (`log_density`, `score`) of x (n, 2), at the price of one: (n,), (n, 2)."""
    values, gradients, x = [], [], torch.as_tensor(x)
    centres, constant = _nodes(noise, x.dtype, x.device)
    for part in x.split(max(1, min(4096, 2**25 // len(centres)))):  # bounds the memory
        # log of each node's share of p(x) exp(|x|^2 / 2 noise^2), (n, k)
        terms = torch.addmm(constant, part / noise**2, centres.T)
        most = terms.amax(1, keepdim=True)
        # what lies 26 decades below counts for nothing, and exp is slow where it underflows
        shares = (terms - most).clamp_(min=-60).exp_()
        total = shares.sum(1, keepdim=True)
        values.append((most + total.log())[:, 0] - (part * part).sum(1) / (2 * noise**2))
        gradients.append(((shares @ centres) / total - part) / noise**2)
    return torch.cat(values), torch.cat(gradients)


def nearest(x) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (t, distance) of the point of the spiral nearest to each x (n, 2): (n,), (n,)."""
    x = torch.as_tensor(x).double()
    t = torch.linspace(FIRST, LAST, 500, dtype=torch.float64)
    best = torch.cat([t[torch.cdist(part, spiral(t)).argmin(1)] for part in x.split(4096)])
    for _ in range(4):  # Gauss-Newton along the tangent
        tangent = torch.stack([best.cos() - best * best.sin(), best.sin() + best * best.cos()], 1)
        step = ((x - spiral(best)) * tangent).sum(1) / (tangent**2).sum(1)
        best = (best + step.clamp(-0.02, 0.02)).clamp(FIRST, LAST)
    return best, (x - spiral(best)).norm(dim=1)


def unevenness(t) -> float:
    """Return the Kolmogorov-Smirnov distance of t (n,) from its even law: 0 is even, 1 the worst.

    The greatest difference between the share of t below a value and (value - FIRST) / (LAST -
    FIRST); n even values have about .87 / sqrt(n).
    """
    share = (torch.as_tensor(t).sort().values - FIRST) / (LAST - FIRST)
    steps = torch.arange(len(share) + 1, dtype=share.dtype) / len(share)
    return max((steps[1:] - share).max().item(), (share - steps[:-1]).max().item())
