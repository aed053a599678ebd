"""Energy-based model p(x) = exp(f(x)) / Z in two dimensions: network, and Z by quadrature.

How it is trained: ex_3a.py and swiss_roll/negatives.py.
"""

import copy
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


class LogDensity(nn.Module):
    """f(x) = network(x / 6) - |x|^2 / (2 * 8^2) = log p(x) + log Z: (n, 2) -> (n,).

    The energy is -f.
    """

    def __init__(self, width: int = 64, depth: int = 3):
        super().__init__()
        for size, most in ((width, 4096), (depth, 32)):
            if type(size) is not int or not 1 <= size <= most:
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
    def _last_and_gradient(self, x):
        """Return the last hidden layer (n, width) and the gradient of f (n, 2), without autograd.

        SiLU: s = sigmoid(a); h = a s; dh/da = s + h (1 - s).
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
        return h, torch.addmm(x, g, self.hidden[0].weight, beta=-1 / BASE**2, alpha=1 / SCALE)

    @torch.no_grad()
    def value_and_gradient(self, x: torch.Tensor):
        """Return f(x) (n,) and its gradient (n, 2), that of log p, written out."""
        h, gradient = self._last_and_gradient(x)
        value = F.linear(h, self.last.weight, self.last.bias)[:, 0]
        return value - (x * x).sum(1) / (2 * BASE**2), gradient

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """Return the gradient of f, that of log p: (n, 2) -> (n, 2)."""
        return self._last_and_gradient(x)[1]

    @torch.no_grad()
    def greatest_slope(self, rays: torch.Tensor, r) -> torch.Tensor:
        """Bound d f(s u) / ds + s / 8^2, the network's slope along each ray, over all s >= r.

        rays: unit vectors u (n, 2); r: a number -> (n,).  By interval arithmetic: at s a unit's
        input is its input at r plus (s - r) times a slope whose bounds are known.
        """
        h, low, high = rays * (r / SCALE), rays / SCALE, rays / SCALE  # h and bounds on dh / ds
        for layer in self.hidden:
            a, up, down = layer(h), layer.weight.clamp(min=0).T, layer.weight.clamp(max=0).T
            low, high = low @ up + high @ down, high @ up + low @ down
            least, most = _silu_slopes(a, low < 0, high > 0)
            corners = torch.stack([least * low, most * low, least * high, most * high])
            h, low, high = F.silu(a), corners.amin(0), corners.amax(0)
        weight = self.last.weight[0]
        return high @ weight.clamp(min=0) + low @ weight.clamp(max=0)


def _silu_slopes(a, falls, rises):
    """Return bounds on SiLU' over the inputs from a down (where it falls), up (where it rises)."""

    def slope(a):
        return a.sigmoid() * (1 + a * (1 - a.sigmoid()))

    here, turn = slope(a), a.new_tensor(2.3993572805154)  # least at -turn, greatest at turn
    least, most = slope(-turn), slope(turn)
    up = torch.where(a > -turn, here.clamp(max=1), least), torch.where(a < turn, most, here)
    down = torch.where(a > -turn, least, here), torch.where(a < turn, here.clamp(min=0), most)
    low = torch.minimum(torch.where(rises, up[0], here), torch.where(falls, down[0], here))
    high = torch.maximum(torch.where(rises, up[1], here), torch.where(falls, down[1], here))
    return low, high


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
    """Return log Z = log integral exp f to 1e-3 nats, wherever the mass lies: see `normaliser`."""
    return normaliser(model)["log_z"]


def normaliser(model, tolerance: float = 1e-3) -> dict:
    """Integrate exp f over the plane in polar coordinates, each ray as far as there is mass.

    A ray ends where the mass beyond, bounded by `LogDensity.greatest_slope` and the Gaussian base,
    is negligible.  Rays with a share in log Z are split in two, with half the radial step, until
    log Z moves by less than `tolerance`, in nats.  A mode much narrower than the first grid, 0.025
    rad by 0.2, may be missed; a far one is as wide as the base.
    Returns {"log_z", "log_z_refinement_nats": by how much it moved, "log10_mass_outside_bound":
    shares of Z that lie, at most, beyond the ends of the rays, "log10_mass_beyond_20": and at |x| >
    20}.  Raises InputError when f is not finite, or when it is too rough to be integrated.
    """
    model, n, step, before = copy.deepcopy(model).double(), 256, 0.2, math.inf
    width = torch.full((n,), 2 * math.pi / n, dtype=torch.float64)
    angle = (torch.arange(n) + 0.5) * width
    share = _along(model, angle, step) + width.log()
    while True:
        log_z, far, outside = share.logsumexp(1).tolist()
        if abs(log_z - before) < tolerance:
            parts = {"outside_bound": outside, "beyond_20": far}
            parts = {f"log10_mass_{k}": (v - log_z) / math.log(10) for k, v in parts.items()}
            return {"log_z": log_z, "log_z_refinement_nats": abs(log_z - before)} | parts
        before, step = log_z, step / 2
        heavy = share[0] > log_z - math.log(len(angle)) - 15
        half = (width[heavy] / 2).repeat(2)
        halves = torch.cat([angle[heavy] - width[heavy] / 4, angle[heavy] + width[heavy] / 4])
        share = torch.cat([share[:, ~heavy], _along(model, halves, step) + half.log()], 1)
        angle, width = torch.cat([angle[~heavy], halves]), torch.cat([width[~heavy], half])


def _along(model, angle, step):
    """Return log mass a radian, that at |x| > 20, and a bound beyond the end, of each ray (3, n).

    Midpoints in bands that end at |x| = 25.6, 51.2, 102.4, ...; the step doubles with them.
    """
    rays, n = torch.stack([angle.cos(), angle.sin()], 1), len(angle)
    mass, index = torch.full((3, n), -math.inf, dtype=torch.float64), torch.arange(n)
    r, width, points = 0.0, 25.6, 0
    while len(index):
        s = r + step * (torch.arange(round(width / step), dtype=torch.float64) + 0.5)
        share = values(model, torch.outer(s, rays.flatten()).view(-1, 2)).view(len(s), -1)
        share += (s * step).log()[:, None]
        for row, part in ((0, share), (1, share[s > 20])):
            mass[row, index] = torch.logaddexp(mass[row, index], part.logsumexp(0))
        total, r, points = mass[0].logsumexp(0), r + width, points + share.numel()
        if not total.isfinite():
            raise InputError("log Z: f is not finite")
        if points > 4 * 10**6:  # seconds
            raise InputError(f"log Z: f is too rough for 4,000,000 points up to |x| = {r:.0f}")
        falls = r / BASE**2 - model.greatest_slope(rays, r)  # f falls at least so fast from r on
        tail = values(model, r * rays) + (r / falls + 1 / falls**2).log()
        over = (falls > 0) & (tail < total - math.log(n) - 30)
        mass[2, index[over]] = tail[over]
        rays, index, step, width = rays[~over], index[~over], step * r / width, r
    return mass


def load(path) -> LogDensity:
    """Return the network of a checkpoint of ex_3a.py: its call gives f(x), (n, 2) -> (n,).

    Raises InputError for a missing, damaged or foreign file.
    """
    return checkpoints.load_model(path, "ex_3a", "python ex_3a.py", LogDensity)[0]
