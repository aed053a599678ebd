"""The points of exercise 3: drawn from scikit-learn's Swiss roll, or read from the user's CSV."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common.swiss_roll import density
from common.training import InputError

FILE = "swiss_roll_2d.csv"
FEWEST = 100  # points
SPREAD = 6.94  # root of the mean variance of the roll's two coordinates
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)  # no 1_000, no inf
WHOLE = re.compile(r"[+-]?\d+,\d+", re.ASCII)  # what a decimal comma looks like


@dataclass
class Points:
    """Points of the plane (n, 2) float32, and how they are brought to the spread of the roll.

    The model's scale is u = (x - shift) / scale: shift 0, scale 1 on the roll itself.
    """

    train: torch.Tensor
    held_out: torch.Tensor  # a tenth, at most 10,000
    noise: float | None  # of the roll that they lie on; None: on none, so nothing exact is known
    about: str
    shift: torch.Tensor
    scale: float

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (n, 2) in the model's scale."""
        return (x - self.shift) / self.scale


def sample(n: int, noise: float = density.NOISE, seed: int = 0) -> torch.Tensor:
    """Draw n points of the roll: (n, 2) float32."""
    from sklearn.datasets import make_swiss_roll  # loads SciPy, a second

    points, _ = make_swiss_roll(n, noise=noise, random_state=seed)
    return torch.from_numpy(points[:, [0, 2]].astype(np.float32))


def load(data_dir: str, noise: float, n: int, seed: int) -> Points:
    """Return the user's points if there is a CSV, else n points of the roll.

    The noise of a CSV is its maximum-likelihood value if the points lie on the roll, else None.
    Raises InputError, naming file and line, for a bad CSV, and for a `data_dir` without one.
    """
    path = Path(data_dir or "data") / FILE
    if data_dir and not path.exists():
        raise InputError(f"--data-dir {data_dir}: no {FILE}; without --data-dir it is simulated")
    if not path.exists():
        about = f"scikit-learn's Swiss roll, noise {noise:g}"
        return split(sample(n, noise, seed), noise, about)
    points = read(path)
    points = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))]
    fitted = fitted_noise(points)
    about = f"{path}, {len(points):,} points"
    if fitted is not None and fitted < density.LEAST_NOISE:
        fitted = None  # too fine for the exact density
    elif fitted is not None:
        about += f", on the Swiss roll with noise {fitted:.3f}"
    return split(points, fitted, about)


def split(points: torch.Tensor, noise: float | None, about: str) -> Points:
    """Hold every tenth point out (at most 10,000), and find the scale of points (n, 2)."""
    every = max(10, -(-len(points) // 10_000))
    held_out = torch.zeros(len(points), dtype=torch.bool)
    held_out[every - 1 :: every] = True
    shift, scale = torch.zeros(2), 1.0
    if noise is None:
        shift = points.mean(0)
        scale = points.var(0).mean().sqrt().item() / SPREAD
        if scale < 1e-12:
            raise InputError(f"{about}: all points are the same")
    return Points(points[~held_out], points[held_out], noise, about, shift, scale)


def read(path) -> torch.Tensor:
    """Read two columns, with a comma, a semicolon or white space between them: (n, 2) float32.

    Lines that begin with #, and one line of headings, are left out.  Raises InputError, naming file
    and line, for anything but 100 or more pairs of finite numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: not a file")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})".splitlines()[0]) from error
    rows = []
    headings = 0
    commas = True  # are all lines so far like 1,5: one number with a decimal comma?
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        words = line.replace(",", " ").replace(";", " ").split()
        if not words or line.startswith("#"):
            continue
        if not rows and not headings and not any(map(NUMBER.fullmatch, words)):
            headings += 1
            continue
        row = [float(word) for word in words if NUMBER.fullmatch(word)]
        if len(words) != 2 or len(row) != 2 or not all(map(math.isfinite, row)):
            raise InputError(
                f"{path}, line {number}: give two finite numbers a line, x1 and x2; "
                f"here are {len(row)} in {line[:40]!r}"
            )
        rows.append(row)
        commas = commas and WHOLE.fullmatch(line) is not None
    if rows and commas:
        example = next(line for line in lines[::-1] if line.strip())[:20]
        raise InputError(
            f"{path}: each line is like {example!r}, one number with a decimal comma; "
            "give two numbers a line, with decimal points"
        )
    if len(rows) < FEWEST:
        raise InputError(f"{path}: {len(rows)} points; at least {FEWEST} are needed")
    return torch.tensor(rows, dtype=torch.float32)


def fitted_noise(points: torch.Tensor) -> float | None:
    """Return the noise of greatest likelihood, or None if `points` (n, 2) are not on the roll.

    On the roll: the noise at most about 1, no point farther from the spiral than six noises, and
    the nearest t even (Kolmogorov-Smirnov distance below 0.1 + 2 / sqrt(n), room for few points).
    """
    t, distance = density.nearest(points)
    guess = distance.square().mean().sqrt().item()
    if guess > 1.0:
        return None
    if guess < density.LEAST_NOISE:  # nothing finer is computed
        return guess
    tries = guess * np.geomspace(0.7, 1.4, 15)
    likelihood = [density.log_density(points.double(), noise).mean() for noise in tries]
    noise = float(tries[np.argmax(likelihood)])
    even = density.unevenness(t) < 0.1 + 2 / math.sqrt(len(t))
    return noise if even and distance.max() < 6 * noise else None
