"""The 2-D Swiss roll, exactly: samples, density, score, entropy, nearest point of the spiral.

    t ~ U(3 pi / 2, 9 pi / 2),   x = (t cos t, t sin t) + noise * eps,   eps ~ N(0, I)
    p(x) = 1 / (3 pi) * integral N(x; (t cos t, t sin t), noise^2 I) dt

scikit-learn's roll without its third axis, not rescaled.  The integral is a Gauss-Legendre sum over
panels six noises long, so that its ends are as exact as its middle.
"""

import functools
import math
import re
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_swiss_roll

from common.settings import InputError

FIRST, LAST = 1.5 * math.pi, 4.5 * math.pi  # of t
NOISE = 0.2
LEAST_NOISE, MOST_NOISE = 0.01, 2.0  # between which the quadrature is affordable
FILE = "swiss_roll_2d.csv"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)  # no 1_000, no inf
HEADING = re.compile(r"(?!nan|[+-]?inf)[\w#\"'(\[](?<!\d)", re.IGNORECASE)  # how one begins


def sample(n: int, noise: float = NOISE, seed: int = 0) -> torch.Tensor:
    """Draw n points of the roll: (n, 2) float32."""
    points, _ = make_swiss_roll(n, noise=noise, random_state=seed)
    return torch.from_numpy(points[:, [0, 2]].astype(np.float32))


def spiral(t: torch.Tensor) -> torch.Tensor:
    """Return the points (t cos t, t sin t): (...,) -> (..., 2)."""
    return torch.stack([t * t.cos(), t * t.sin()], -1)


@functools.lru_cache(maxsize=8)
def quadrature(noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return nodes t (k,) and weights (k,), summing to 1, for averages over t: float64."""
    if not (math.isfinite(noise) and noise > 0):
        raise InputError(f"noise {noise}: must be a finite number above 0")
    length = 0.5 * (LAST**2 - FIRST**2)  # nearly that of the spiral
    panels = max(8, math.ceil(length / (6 * noise)))
    if panels > 10**5:
        raise InputError(f"noise {noise}: too small for the quadrature")
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
    constant = w.log() - math.log(2 * math.pi * noise**2)
    constant = constant - (centres**2).sum(1) / (2 * noise**2)
    return centres.to(device, dtype), constant.to(device, dtype)


def _log_terms(x, noise):
    """Return (log of each node's share of p(x) exp(|x|^2 / 2 noise^2), (n, k), and the centres)."""
    centres, constant = _nodes(noise, x.dtype, x.device)
    return torch.addmm(constant, x / noise**2, centres.T), centres


def log_density(x, noise: float = NOISE) -> torch.Tensor:
    """Return log p(x) in nats: x (n, 2) -> (n,); computed in float64 for float64 input."""
    return log_density_and_score(x, noise)[0]


def score(x, noise: float = NOISE) -> torch.Tensor:
    """Return the gradient of log p(x): x (n, 2) -> (n, 2)."""
    return log_density_and_score(x, noise)[1]


def log_density_and_score(x, noise: float = NOISE) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (`log_density`, `score`) of x (n, 2), at the price of one: (n,), (n, 2)."""
    values, gradients = [], []
    points = torch.as_tensor(x)
    block = max(1, min(4096, 2**25 // len(quadrature(noise)[0])))  # bounds the memory
    for part in points.split(block):
        terms, centres = _log_terms(part, noise)
        most = terms.amax(1, keepdim=True)
        # what lies 26 decades below counts for nothing, and exp is slow where it underflows
        shares = (terms - most).clamp_(min=-60).exp_()
        total = shares.sum(1, keepdim=True)
        value = (most + total.log())[:, 0] - (part * part).sum(1) / (2 * noise**2)
        values.append(value)
        gradients.append(((shares @ centres) / total - part) / noise**2)
    return torch.cat(values), torch.cat(gradients)


def grid(step: float, reach: float = 25.0) -> tuple[torch.Tensor, float]:
    """Return (points (m, 2) float64, area of a cell) of a square grid over [-reach, reach]^2."""
    n = round(2 * reach / step) + 1
    line = torch.linspace(-reach, reach, n, dtype=torch.float64)
    return torch.cartesian_prod(line, line), (2 * reach / (n - 1)) ** 2


def entropy(noise: float = NOISE) -> float:
    """Return -integral p log p in nats, on a square grid of half a noise over the roll."""
    points, area = grid(noise / 2, LAST + 8 * noise)
    log_p = log_density(points, noise)
    return -(log_p.exp() * log_p).sum().item() * area


def nearest(x) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (t, distance) of the point of the spiral nearest to each x (n, 2): (n,), (n,)."""
    x = torch.as_tensor(x).double()
    t = torch.linspace(FIRST, LAST, 2000, dtype=torch.float64)
    best = torch.cat([t[torch.cdist(part, spiral(t)).argmin(1)] for part in x.split(4096)])
    for _ in range(4):  # Gauss-Newton along the tangent
        tangent = torch.stack([best.cos() - best * best.sin(), best.sin() + best * best.cos()], 1)
        step = ((x - spiral(best)) * tangent).sum(1) / (tangent**2).sum(1)
        best = (best + step.clamp(-0.01, 0.01)).clamp(FIRST, LAST)
    return best, (x - spiral(best)).norm(dim=1)


def load(data_dir: str, noise: float, n: int, seed: int) -> tuple[torch.Tensor, float | None, str]:
    """Return (points (n, 2), noise, source): the user's CSV if there is one, else n samples.

    The noise of a CSV is its maximum-likelihood value if the points lie on the roll, else None:
    then nothing exact is known.  Raises InputError, naming file and line, for a bad CSV.
    """
    path = Path(data_dir or "data") / FILE
    if not path.exists():
        return sample(n, noise, seed), noise, f"scikit-learn's Swiss roll, noise {noise:g}"
    points = read(path)
    found = fitted_noise(points)
    what = f"{path}, {len(points)} points"
    if found is not None and found < LEAST_NOISE:
        return points, None, f"{what}, noise below {LEAST_NOISE}: too fine for the exact density"
    if found is None:
        return points, None, f"{what}, not on the Swiss roll: no exact density"
    return points, found, f"{what}, on the Swiss roll with noise {found:.3f}"


def read(path) -> torch.Tensor:
    """Read a file of two columns (comma or white space; optional header): (n, 2) float32.

    Raises InputError, naming file and line, for anything but 100 or more pairs of finite numbers.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"{path}: not a file")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})".splitlines()[0]) from error
    rows = []
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        good = [word for word in words if NUMBER.fullmatch(word) and math.isfinite(float(word))]
        if not words or (number == 1 and all(map(HEADING.match, words))):
            continue
        if len(good) != len(words) or len(words) != 2:
            raise InputError(f"{path}, line {number}: give two finite numbers, not {line[:40]!r}")
        rows.append([float(word) for word in words])
    if len(rows) < 100:
        raise InputError(f"{path}: {len(rows)} points; at least 100 are needed")
    points = torch.tensor(rows, dtype=torch.float32)
    if not points.isfinite().all() or points.abs().max() > 1e4:
        raise InputError(f"{path}: coordinates beyond 10,000; scale the data first")
    return points


def fitted_noise(points: torch.Tensor) -> float | None:
    """Return the noise of greatest likelihood, or None if `points` (n, 2) are not on the roll.

    On the roll: no point farther from the spiral than six noises, and the nearest t even (total
    variation over 20 bins below 0.15 + 1.5 / sqrt(n): room for the scatter of few).
    """
    t, distance = nearest(points)
    guess = distance.square().mean().sqrt().item()
    if guess > 1.0:
        return None
    if guess < LEAST_NOISE:  # nothing finer is computed
        return guess
    tries = guess * np.geomspace(0.7, 1.4, 15)
    noise = float(tries[np.argmax([log_density(points.double(), s).mean() for s in tries])])
    share = torch.histc(t, 20, FIRST, LAST) / len(t)
    uneven = 0.5 * (share - 0.05).abs().sum().item()
    even = uneven < 0.15 + 1.5 / math.sqrt(len(t))
    return noise if even and distance.max() < 6 * noise else None
