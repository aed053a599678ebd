"""How far a model of exercise 3, or a set of points (n, 2), is from the data."""

import itertools
import math

import numpy as np
import torch

from common import distances, ebm, swiss_roll
from common.swiss_roll.density import unevenness
from common.training import InputError

LOST = 100.0  # a chain beyond it, or not finite, counts as lost; in the model's scale
KERNELS, TESTED = 5000, 2000  # points of the kernel density estimate, and held-out ones
BANDWIDTHS = np.geomspace(0.03, 2.0, 12)  # in the model's scale
WORSE = 0.02  # nats: so much worse than a kernel density estimate, a model has not learned


class ExactKL:
    """The truth on a grid, kept: what KL(data || model) needs besides f."""

    def __init__(self, noise: float):
        self.step = min(ebm.STEP, noise / 2)
        points = ebm.grid(ebm.REACH, self.step)
        log_p = swiss_roll.log_density(points, noise)
        keep = log_p > -60
        self.points = points[keep]
        self.weights = log_p[keep].softmax(0)
        self.entropy = -(self.weights * log_p[keep]).sum().item()

    def __call__(self, f) -> dict:
        """Return {"kl_nats": log Z - E_p[f] - H(p), "log_z"}; infinite if exp f is no density."""
        try:
            log_z = ebm.log_z(f, self.step)
        except InputError:
            return {"kl_nats": math.inf, "log_z": math.inf}
        mean = (self.weights * ebm.values(f, self.points)).sum().item()
        return {"kl_nats": log_z - mean - self.entropy, "log_z": log_z}


def model_numbers(f, points, exact=None) -> dict:
    """Return what is known of a model f of `points`, in nats: log Z, held-out mean log p, KL.

    kernel_log_p: that of a kernel density estimate; kernel_gain, its standard error: by how much it
    is better than the model at the held-out points.  exact: an `ExactKL`, where there is one.
    """
    held_out = points.held_out[:TESTED]
    try:
        log_z = ebm.log_z(f, exact.step if exact else ebm.STEP)
    except InputError as error:
        return {"log_z": math.inf, "held_out_log_p": -math.inf, "why": str(error)}
    log_p = ebm.values(f, held_out) - log_z
    kernel = kernel_log_density(points, held_out)
    gain = kernel - log_p
    numbers = {"log_z": log_z, "held_out_log_p": log_p.mean().item()}
    numbers |= {"kernel_log_p": kernel.mean().item(), "kernel_gain": gain.mean().item()}
    numbers["kernel_gain_error"] = gain.std().item() / math.sqrt(len(gain))
    if exact:
        numbers["kl_nats"] = exact(f)["kl_nats"]
    return numbers


def kernel_log_density(points, x: torch.Tensor) -> torch.Tensor:
    """Return log p(x) of Gaussian kernels on 5000 training points, the best width for x: (n,).

    The width is chosen on x (n, 2) itself, so the estimate is slightly optimistic.
    """
    u = points.scaled(x).double()
    centres = points.scaled(points.train[:KERNELS]).double()
    square = torch.cdist(u, centres).square()
    best = torch.full((len(u),), -math.inf, dtype=torch.float64)
    for h in BANDWIDTHS:
        log_p = (-square / (2 * h * h)).logsumexp(1) - math.log(2 * math.pi * h * h * len(centres))
        if log_p.mean() > best.mean():
            best = log_p
    return best - 2 * math.log(points.scale)


def sentence(name: str, numbers: dict) -> str:
    """Say in a line what `model_numbers` found."""
    if "why" in numbers:
        return f"{name}: {numbers['why']}"
    kl = f"KL(data || model) {numbers['kl_nats']:.4f} nats, " if "kl_nats" in numbers else ""
    return (
        f"{name}: {kl}held-out mean log p {numbers['held_out_log_p']:.3f} nats "
        f"(kernel density estimate {numbers['kernel_log_p']:.3f}), log Z {numbers['log_z']:.3f}"
    )


def check_learned(numbers: dict) -> None:
    """Raise InputError if a kernel density estimate beats the model: see `model_numbers`."""
    cure = "train longer (--updates), try another --seed, or --method replica"
    if "why" in numbers:
        raise InputError(f"the training failed: {numbers['why']}; {cure}")
    gain = numbers["kernel_gain"]
    if gain > WORSE + 3 * numbers["kernel_gain_error"]:
        raise InputError(
            f"the model has not learned these points: a kernel density estimate is {gain:.2f} nats "
            f"better at held-out ones; {cure}"
        )


def alive(x: torch.Tensor) -> torch.Tensor:
    """Return the points of x (n, 2) that are finite and within 100 of the origin."""
    return x[x.isfinite().all(1) & (x.abs().amax(1) < LOST)]


def sliced_wasserstein(a, b) -> float:
    """Return the sliced W2 distance of points in the plane: 200 evenly spaced directions."""
    turn = torch.rand(1, generator=torch.Generator().manual_seed(0))
    angle = torch.pi * (torch.arange(200) + turn) / 200
    return distances.sliced_wasserstein(a, b, torch.stack([angle.cos(), angle.sin()]))


def measure(x: torch.Tensor, truth: torch.Tensor, on_roll: bool = True) -> dict:
    """Return the distances of x (n, 2) from true points (m, 2), both in the model's scale.

    distance: mean distance to the spiral, or without a roll to the nearest true point; unevenness:
    Kolmogorov-Smirnov distance of the nearest t from uniform (nan without a roll); sw2: see
    `sliced_wasserstein`; lost: the share of x that is not finite or far out, and left out.
    """
    living = alive(x)
    row = {"lost": 1 - len(living) / len(x)}
    if len(living) < 2:
        return row | dict.fromkeys(("distance", "unevenness", "sw2"), math.nan)
    if on_roll:
        t, distance = swiss_roll.nearest(living)
        row["unevenness"] = unevenness(t)
    else:
        distance = torch.cdist(living.double(), truth.double()).amin(1)
        row["unevenness"] = math.nan
    return row | {"distance": distance.mean().item(), "sw2": sliced_wasserstein(living, truth)}


def summary(rows: list[dict]) -> dict:
    """Return {name: {"mean", "std"}} over the dictionaries `rows` of `measure`."""
    table = {}
    for name in rows[0]:
        column = np.array([row[name] for row in rows])
        spread = float(column.std(ddof=1)) if len(column) > 1 else 0.0
        table[name] = {"mean": float(column.mean()), "std": spread}
    return table


def floor_of(truth: list, on_roll: bool = True) -> dict:
    """Return the distances between true sets, over all pairs."""
    return summary([measure(*two, on_roll) for two in itertools.combinations(truth, 2)])
