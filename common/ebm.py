"""Energy-based model p(x) = exp(f(x)) / Z in two dimensions: network, and Z by quadrature.

    grad log-likelihood = E_data[grad f] - E_model[grad f]

Contrastive divergence puts chains that start at data (or persist) in place of the model's samples
(Hinton 2002; Tieleman 2008): see ex_3a.py.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

from common.runtime import checkpoints
from common.runtime.errors import InputError

BASE = 8.0  # standard deviation of the Gaussian that f starts from
LOG_BASE = math.log(2 * math.pi * BASE**2)  # of its normaliser
SCALE = 6.0  # inputs are divided by it
FINE, REACH = 0.1, 25.2  # quadrature: step inside, where its cells end at 25.25
COARSE, OUTER = 0.5, 100.0  # and outside, where the cells begin at 25.25


class LogDensity(nn.Module):
    """f(x) = network(x / 6) - |x|^2 / (2 * 8^2) = log p(x) + log Z: (n, 2) -> (n,).

    The energy is -f.
    """

    def __init__(self, width: int = 64, depth: int = 3):
        super().__init__()
        if any(type(size) is not int for size in (width, depth)) or not (
            1 <= width <= 4096 and 1 <= depth <= 32
        ):
            raise InputError(f"energy network: width {width}, depth {depth}: out of range")
        sizes = [2] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(sizes))
        self.last = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x / SCALE
        for layer in self.hidden:
            h = F.silu(layer(h))
        return self.last(h)[:, 0] - (x * x).sum(1) / (2 * BASE**2)

    @torch.no_grad()
    def value_and_gradient(self, x: torch.Tensor):
        """Return f(x) (n,) and its gradient (n, 2), written out: faster than autograd.

        SiLU: s = sigmoid(a); h = a s; dh/da = s + h (1 - s).
        """
        h, slopes = x / SCALE, []
        for layer in self.hidden:
            a = F.linear(h, layer.weight, layer.bias)
            s = a.sigmoid()
            h = a * s
            slopes.append(torch.addcmul(s, h, 1 - s))
        value = F.linear(h, self.last.weight, self.last.bias)[:, 0]
        g = self.last.weight * slopes[-1]  # (n, width)
        for layer, slope in zip(self.hidden[:0:-1], slopes[-2::-1], strict=True):
            g = (g @ layer.weight) * slope
        gradient = torch.addmm(x, g, self.hidden[0].weight, beta=-1 / BASE**2, alpha=1 / SCALE)
        return value - (x * x).sum(1) / (2 * BASE**2), gradient

    @torch.no_grad()
    def score(self, x: torch.Tensor) -> torch.Tensor:
        """Return the gradient of f, that is of log p: (n, 2) -> (n, 2).

        As `value_and_gradient` up to rounding, in place and without f: for samplers.
        """
        h, slopes = x / SCALE, []
        for layer in self.hidden:
            a = F.linear(h, layer.weight, layer.bias)
            s = a.sigmoid()
            h = a.mul_(s)
            slopes.append(torch.addcmul(s, h, s, value=-1).add_(h))
        g = slopes[-1].mul_(self.last.weight)  # (n, width)
        for layer, slope in zip(self.hidden[:0:-1], slopes[-2::-1], strict=True):
            g = (g @ layer.weight).mul_(slope)
        return torch.addmm(x, g, self.hidden[0].weight, beta=-1 / BASE**2, alpha=1 / SCALE)


@torch.no_grad()
def values(model, points, batch: int = 20_000) -> torch.Tensor:
    """Return f at many points (m, 2): (m,) float64; f itself is computed in float32."""
    kind = next(model.parameters(), points)
    return torch.cat([model(part.to(kind)).double().cpu() for part in points.split(batch)])


def grid(step: float, reach: float = 25.0) -> tuple[torch.Tensor, float]:
    """Return (points (m, 2) float64, area of a cell) of a square grid over [-reach, reach]^2."""
    n = round(2 * reach / step) + 1
    line = torch.linspace(-reach, reach, n, dtype=torch.float64)
    return torch.cartesian_prod(line, line), (2 * reach / (n - 1)) ** 2


def log_normaliser(model) -> float:
    """Return log Z = log integral exp f, by quadrature out to |x_i| = 100.

    A square grid of step 0.1 over |x_i| < 25.25, one of step 0.5 outside.
    """
    return log_mass(model)[0]


def log_mass(model, outside: float = 20.0) -> tuple[float, float]:
    """Return (log Z, log of the mass where max |x_i| > `outside`)."""
    fine, area = grid(FINE, REACH)
    coarse, coarse_area = grid(COARSE, OUTER)
    coarse = coarse[coarse.abs().amax(1) > REACH + FINE]
    points = torch.cat([fine, coarse])
    log_area = torch.cat([torch.full((len(fine),), math.log(area)),
                          torch.full((len(coarse),), math.log(coarse_area))])  # fmt: skip
    log_share = values(model, points) + log_area
    log_z = log_share.logsumexp(0).item()
    far = points.abs().amax(1) > outside
    return log_z, log_share[far].logsumexp(0).item() - log_z


def load(path) -> LogDensity:
    """Return the network of a checkpoint of ex_3a.py: its call gives f(x), (n, 2) -> (n,).

    Raises InputError for a missing, damaged or foreign file.
    """
    return load_with_content(path)[0]


def load_with_content(path) -> tuple[LogDensity, dict]:
    """Return (network, checkpoint): see `load`."""
    needs = {"noise": float}
    return checkpoints.load_model(path, "ex_3a", "python ex_3a.py", LogDensity, needs)
