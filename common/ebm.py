"""An energy-based model p(x) = exp(f(x)) / Z of the plane: the network f, and Z on a grid."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

from common import training
from common.training import InputError

BASE = 8.0  # standard deviation of the Gaussian that f starts from, in the model's scale
SCALE = 6.0  # inputs are divided by it
REACH, STEP = 25.0, 0.1  # of the grid for Z, in the model's scale


class LogDensity(nn.Module):
    """f(x) = network(u / 6) - |u|^2 / (2 * 8^2) = log p(x) + log Z: (n, 2) -> (n,).

    u = (x - shift) / scale: the model's own scale, in which data spread as the Swiss roll does;
    there shift is 0 and scale is 1.  The energy is -f.
    """

    def __init__(self, width: int = 64, depth: int = 3):
        super().__init__()
        sizes = [2] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(sizes))
        self.last = nn.Linear(width, 1)
        self.register_buffer("shift", torch.zeros(2))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u = (x - self.shift) / self.scale
        h = u / SCALE
        for layer in self.hidden:
            h = F.silu(layer(h))
        return self.last(h)[:, 0] - (u * u).sum(1) / (2 * BASE**2)

    @torch.no_grad()
    def _last_and_gradient(self, u):
        """Return the last hidden layer (n, width) and the gradient of f (n, 2), without autograd.

        SiLU: s = sigmoid(a); h = a s; dh/da = s + h (1 - s).
        """
        h = u / SCALE
        slopes = []
        for layer in self.hidden:
            a = F.linear(h, layer.weight, layer.bias)
            s = a.sigmoid()
            h = a.mul_(s)
            slopes.append(torch.addcmul(s, h, s, value=-1).add_(h))
        g = slopes[-1].mul_(self.last.weight)  # (n, width)
        for layer, slope in zip(self.hidden[:0:-1], slopes[-2::-1], strict=True):
            g = (g @ layer.weight).mul_(slope)
        return h, torch.addmm(u, g, self.hidden[0].weight, beta=-1 / BASE**2, alpha=1 / SCALE)

    @torch.no_grad()
    def value_and_gradient(self, x: torch.Tensor):
        """Return f(x) (n,) and its gradient (n, 2), that of log p, written out."""
        u = (x - self.shift) / self.scale
        h, gradient = self._last_and_gradient(u)
        value = F.linear(h, self.last.weight, self.last.bias)[:, 0]
        return value - (u * u).sum(1) / (2 * BASE**2), gradient / self.scale

    @torch.no_grad()
    def score(self, x: torch.Tensor) -> torch.Tensor:
        """Return the gradient of f, that of log p: (n, 2) -> (n, 2)."""
        return self._last_and_gradient((x - self.shift) / self.scale)[1] / self.scale

    @torch.no_grad()
    def probe(self) -> torch.Tensor:
        """Return f at five fixed points, by which `training.load` knows the network."""
        line = torch.linspace(-10, 10, 5, device=self.scale.device)
        return self(self.shift + self.scale * torch.stack([line, line.flip(0).cos()], 1))


@torch.no_grad()
def values(f, points: torch.Tensor, batch: int = 2**15) -> torch.Tensor:
    """Return f at many points (m, 2): (m,) float64; a network is evaluated in its own type."""
    kind = next(f.parameters(), points) if isinstance(f, nn.Module) else points
    return torch.cat([f(part.to(kind)).double().cpu() for part in points.split(batch)])


def grid(reach: float = REACH, step: float = STEP) -> torch.Tensor:
    """Return the centres of the cells that tile [-reach, reach]^2, about step wide: (m, 2)."""
    n = round(2 * reach / step)
    line = (torch.arange(n, dtype=torch.float64) + 0.5) * (2 * reach / n) - reach
    return torch.cartesian_prod(line, line)


def log_z(f, step: float = STEP) -> float:
    """Return log Z = log integral exp f, in nats: a sum over [-25, 25]^2 in the model's scale, and
    over a coarse grid ten times as wide outside.

    step: of the grid.  A ridge with a standard deviation of one step is summed to 1e-8, one of half
    a step to 2 %.

    f: (n, 2) -> (n,); a `LogDensity` has its own scale, for others it is 1.  Raises InputError
    where exp f is not finite, or has more than a hundredth of its mass outside.
    """
    shift, scale = getattr(f, "shift", 0.0), getattr(f, "scale", torch.ones(()))
    inside = _log_mass(f, grid(REACH, step), step, shift, scale)
    wide = grid(10 * REACH, 10 * STEP)
    outside = _log_mass(f, wide[wide.abs().amax(1) > REACH], 10 * STEP, shift, scale)
    if not math.isfinite(inside) or math.isnan(outside):
        raise InputError("log Z: f is not finite")
    if outside > inside + math.log(0.01):
        where = REACH * float(scale)
        raise InputError(f"log Z: exp f has mass beyond {where:.3g} of the centre: no density")
    return inside + math.log1p(math.exp(outside - inside))


def _log_mass(f, u, step, shift, scale) -> float:
    """Return log of the sum of exp f over cells around u (m, 2), in the model's scale."""
    shift = torch.as_tensor(shift, dtype=torch.float64)
    area = 2 * (math.log(step) + math.log(float(scale)))
    return values(f, shift + float(scale) * u).logsumexp(0).item() + area


def load(path) -> LogDensity:
    """Return the network of a checkpoint of ex_3a.py: its call gives f(x), (n, 2) -> (n,).

    Raises InputError for a missing, damaged or foreign file.
    """
    return training.load(path, "ex_3a", lambda content: LogDensity(content["settings"]["width"]))[0]
