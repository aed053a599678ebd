"""Conditional priors p(z|y): standard, a Gaussian mixture for each class, a flow for a number y.

Each has log_prob(z, y) and sample(y).
"""

import itertools
import math

import torch
from torch import nn

from common.runtime.errors import InputError

LOG_2PI = math.log(2 * math.pi)


class StandardPrior(nn.Module):
    """p(z|y) = N(0, I): the literal textbook prior, the same for every condition."""

    def __init__(self, latent: int):
        super().__init__()
        self.latent = latent

    def log_prob(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log N(z; 0, I): z (n, latent), y ignored -> (n,) nats."""
        return -0.5 * (z * z + LOG_2PI).sum(-1)

    def sample(self, y: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Draw one z for each condition, its deviation times `temperature`: (n,) -> (n, latent)."""
        return temperature * torch.randn(len(y), self.latent, device=y.device)


class ClassMixturePrior(nn.Module):
    """p(z|y) = sum_k w_yk N(z; m_yk, diag s_yk^2): for each class a learned Gaussian mixture.

    With one component it is a learned Gaussian for each class.  A learned prior is what makes the
    aggregate of q(z|x,y) and the p(z|y) that one samples from agree (Tomczak & Welling 2018).
    """

    def __init__(self, classes: int, latent: int, components: int):
        super().__init__()
        self.means = nn.Parameter(torch.empty(classes, components, latent).normal_(0, 0.7))
        self.logvars = nn.Parameter(torch.full((classes, components, latent), -0.5))
        self.logits = nn.Parameter(torch.zeros(classes, components))

    def log_prob(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log p(z|y): z (n, latent), y (n,) int64 -> (n,) nats.

        The exponents -(z - m)^2 / 2 s^2 of all classes and components are one matrix product in
        (z^2, z); that is several times faster than (n, components, latent) differences.
        """
        means, logvars, weights = self.means, self.logvars.clamp(-8, 4), self.logits.log_softmax(1)
        classes, components, latent = means.shape
        precision = (-logvars).exp()
        quadratic = torch.cat([-0.5 * precision, means * precision], 2)
        quadratic = quadratic.view(-1, 2 * latent).t()  # (2 latent, classes components)
        constant = -0.5 * (logvars + means**2 * precision + LOG_2PI).sum(2)
        constant = (constant + weights).view(-1)
        joint = torch.addmm(constant, torch.cat([z * z, z], 1), quadratic)
        joint = joint.view(len(z), classes, components)  # log w_k N_k for every class
        own = joint.gather(1, y.view(-1, 1, 1).expand(len(z), 1, components)).squeeze(1)
        return own.logsumexp(1)

    def sample(self, y: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Draw one z for each label: y (n,) int64 -> (n, latent).

        temperature: scales the deviation inside a component; 1 draws from p(z|y) itself, less
        gives more typical and less varied digits.
        """
        k = torch.multinomial(self.logits.softmax(1)[y], 1).squeeze(1)  # (n,)
        scale = (0.5 * self.logvars.clamp(-8, 4)[y, k]).exp()
        return self.means[y, k] + temperature * scale * torch.randn_like(scale)


class CouplingPrior(nn.Module):
    """p(z|y), y > 0 a number: affine layers that depend on log y, over a mixture of Gaussians.

    z -> u in two stages.  First (z - m) exp(-r), m and r networks of log y alone.  Then `couplings`
    layers, each of which permutes its input to (a, b) and maps b to (b - t) exp(-s), s and t a
    network of (a, log y), |s| < 4 / `couplings` (at most 1), so that many do not stretch the tails
    more than few.  log p(z|y) = log p(u) - sum r - sum s, p(u) a learned mixture.
    At the start it is the mixture.  Below and above `limits`, the least and greatest y it was
    trained on, it stays what it is there: networks extrapolate badly.
    Raises InputError unless all y > 0.
    (Dinh, Sohl-Dickstein & Bengio 2017, eq. 7-8.)
    """

    def __init__(self, latent: int, components: int, couplings: int = 4, hidden: int = 64):
        super().__init__()
        self.base = ClassMixturePrior(1, latent, components)
        self.register_buffer("limits", torch.tensor([0.0, math.inf]))
        self.affine = _starts_at_zero(1, 32, 2 * latent)
        self.embedding = nn.Sequential(nn.Linear(1, 32), nn.SiLU(), nn.Linear(32, 8))
        self.kept, self.most = latent // 2, min(1.0, 4 / max(1, couplings))  # a, |s|
        sizes = (self.kept + 8, hidden, hidden, 2 * (latent - self.kept))
        self.networks = nn.ModuleList()
        for layer in range(couplings):
            self.networks.append(_starts_at_zero(*sizes))
            self.register_buffer(f"order{layer}", torch.randperm(latent))

    def _conditions(self, y):
        """Return m (n, latent), r (n, latent), and what the couplings see of y: (n, 8)."""
        if not bool(((y > 0) & (y < math.inf)).all()):  # nan is not above 0, either
            raise InputError("CouplingPrior: y must be numbers above 0")
        log_y = y.clamp(*self.limits).log()[:, None]  # (n, 1)
        return *self.affine(log_y).chunk(2, 1), self.embedding(log_y)

    def _scale_and_shift(self, network, a, c):
        s, t = network(torch.cat([a, c], 1)).chunk(2, 1)
        return self.most * s.tanh(), t

    def to_base(self, z: torch.Tensor, y: torch.Tensor):
        """Return (u, log |det du/dz|): z (n, latent), y (n,) -> (n, latent), (n,)."""
        shift, scale, c = self._conditions(y)
        z, log_det = (z - shift) * (-scale).exp(), -scale.sum(1)
        for layer, network in enumerate(self.networks):
            z = z[:, getattr(self, f"order{layer}")]
            a, b = z[:, : self.kept], z[:, self.kept :]
            s, t = self._scale_and_shift(network, a, c)
            z, log_det = torch.cat([a, (b - t) * (-s).exp()], 1), log_det - s.sum(1)
        return z, log_det

    def from_base(self, u: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Invert `to_base`: u (n, latent), y (n,) -> z (n, latent)."""
        shift, scale, c = self._conditions(y)
        for layer in reversed(range(len(self.networks))):
            a, b = u[:, : self.kept], u[:, self.kept :]
            s, t = self._scale_and_shift(self.networks[layer], a, c)
            u = torch.cat([a, b * s.exp() + t], 1)
            u = u[:, getattr(self, f"order{layer}").argsort()]
        return u * scale.exp() + shift

    def log_prob(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log p(z|y): z (n, latent), y (n,) > 0 -> (n,) nats."""
        u, log_det = self.to_base(z, y)
        return self.base.log_prob(u, torch.zeros_like(y, dtype=torch.int64)) + log_det

    def sample(self, y: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Draw one z for each y (n,) > 0: (n, latent); temperature as in `ClassMixturePrior`."""
        u = self.base.sample(torch.zeros_like(y, dtype=torch.int64), temperature)
        return self.from_base(u, y)


def _starts_at_zero(*sizes) -> nn.Sequential:
    """Chain linear layers of these sizes with SiLU; the last is zero, so the output starts at 0."""
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.SiLU()]
    nn.init.zeros_(layers[-2].weight)
    nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])
