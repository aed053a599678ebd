"""The points of exercise 3: drawn from scikit-learn's Swiss roll, or read from the user's CSV."""

import math
import re
from pathlib import Path

import numpy as np
import torch

from common import ebm
from common.runtime import checkpoints, files
from common.runtime.errors import InputError
from common.swiss_roll import density

FILE = "swiss_roll_2d.csv"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)  # no 1_000, no inf
HEADING = re.compile(r"(?!nan|[+-]?inf)[\w#\"'(\[](?<!\d)", re.IGNORECASE)  # how one begins


def sample(n: int, noise: float = density.NOISE, seed: int = 0) -> torch.Tensor:
    """Draw n points of the roll: (n, 2) float32."""
    from sklearn.datasets import make_swiss_roll  # loads SciPy, a second

    points, _ = make_swiss_roll(n, noise=noise, random_state=seed)
    return torch.from_numpy(points[:, [0, 2]].astype(np.float32))


def load(data_dir: str, noise: float, n: int, seed: int) -> tuple[torch.Tensor, float | None, str]:
    """Return (points (n, 2), noise, source): the user's CSV if there is one, else n samples.

    The noise of a CSV is its maximum-likelihood value if the points lie on the roll, else None:
    then nothing exact is known.  Raises InputError, naming file and line, for a bad CSV, and for
    a `data_dir` without one.
    """
    path = Path(data_dir or "data") / FILE
    if data_dir and not path.exists():
        raise InputError(f"--data-dir {data_dir}: no {FILE}; without --data-dir it is simulated")
    if not path.exists():
        return sample(n, noise, seed), noise, f"scikit-learn's Swiss roll, noise {noise:g}"
    points = read(path)
    found, least = fitted_noise(points), density.LEAST_NOISE
    what = f"{path}, {len(points)} points, SHA-256 {files.sha256(path)[:8]}"
    if found is None:
        return points, None, f"{what}, not on the Swiss roll: no exact density"
    if found < least:
        return points, None, f"{what}, noise below {least}: too fine for the exact density"
    return points, found, f"{what}, on the Swiss roll with noise {found:.3f}"


def read(path) -> torch.Tensor:
    """Read a file of two columns (comma or white space; optional header): (n, 2) float32.

    Raises InputError, naming file and line, for anything but 100 or more pairs of finite numbers.
    """
    path, rows = Path(path), []
    if not path.is_file():
        raise InputError(f"{path}: not a file")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})".splitlines()[0]) from error
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        if not words or (number == 1 and all(map(HEADING.match, words))):
            continue
        row = [float(word) for word in words if NUMBER.fullmatch(word)]
        if len(words) != 2 or len(row) != 2 or not all(map(math.isfinite, row)):
            raise InputError(f"{path}, line {number}: give two finite numbers, not {line[:40]!r}")
        rows.append(row)
    if len(rows) < 100:
        raise InputError(f"{path}: {len(rows)} points; at least 100 are needed")
    points = torch.tensor(rows, dtype=torch.float32)
    if points.abs().max() > 1e4:
        raise InputError(f"{path}: coordinates beyond 10,000; scale the data first")
    return points


def fitted_noise(points: torch.Tensor) -> float | None:
    """Return the noise of greatest likelihood, or None if `points` (n, 2) are not on the roll.

    On the roll: no point farther from the spiral than six noises, and the nearest t even (total
    variation over 20 bins below 0.15 + 1.5 / sqrt(n): room for the scatter of few).
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
    even = density.unevenness(t) < 0.15 + 1.5 / math.sqrt(len(t))
    return noise if even and distance.max() < 6 * noise else None


def load_model(path) -> tuple[ebm.LogDensity, dict]:
    """Return (network, checkpoint) of ex_3a.py, the noise of its roll (0: not a roll) in range.

    Raises InputError for a missing, damaged or foreign file.
    """
    needs, made_by = {"noise": float}, "python ex_3a.py"
    model, content = checkpoints.load_model(path, "ex_3a", made_by, ebm.LogDensity, needs)
    if content["noise"] and not density.LEAST_NOISE <= content["noise"] <= density.MOST_NOISE:
        raise checkpoints.damaged(path, f"noise {content['noise']:g}", made_by)
    return model, content
