"""Conditional priors p(z|y): the textbook's N(0, I), and a learned flow over a mixture.

Each is z = T_y(u), u ~ p(u), with log_prob(z, y) in nats, sample(y), sample_u(n), transform(u, y).
"""

import itertools
import math

import torch
from torch import nn

from common.training import InputError

LOG_2PI = math.log(2 * math.pi)


class StandardPrior(nn.Module):
    """p(z|y) = N(0, I): the same for every condition."""

    def __init__(self, latent: int):
        super().__init__()
        self.latent = latent
        self.register_buffer("mean", torch.zeros(latent), persistent=False)

    def log_prob(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log N(z; 0, I): z (n, latent), y ignored -> (n,) nats."""
        return -0.5 * (z * z + LOG_2PI).sum(1)

    def sample(self, y: torch.Tensor) -> torch.Tensor:
        """Draw z ~ N(0, I) for each condition: y (n,) -> (n, latent)."""
        return self.sample_u(len(y))

    def sample_u(self, n: int) -> torch.Tensor:
        """Draw u ~ N(0, I): (n, latent)."""
        return self.mean + torch.randn(n, self.latent, device=self.mean.device)

    def transform(self, u: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return z = u."""
        return u


class Mixture(nn.Module):
    """p(u) = sum_k w_k N(u; m_k, diag s_k^2), learned."""

    def __init__(self, latent: int, components: int):
        super().__init__()
        self.means = nn.Parameter(torch.empty(components, latent).normal_(0, 0.7))
        self.logvars = nn.Parameter(torch.full((components, latent), -0.5))
        self.logits = nn.Parameter(torch.zeros(components))

    def log_prob(self, u: torch.Tensor) -> torch.Tensor:
        """Return log p(u): (n, latent) -> (n,) nats.

        The exponents -(u - m)^2 / 2 s^2 of all components are one matrix product in (u^2, u),
        several times faster than the (n, components, latent) differences.
        """
        logvars = self.logvars.clamp(-8, 4)
        precision = (-logvars).exp()
        factors = torch.cat([-0.5 * precision, self.means * precision], 1)
        constant = -0.5 * (logvars + self.means**2 * precision + LOG_2PI).sum(1)
        constant = constant + self.logits.log_softmax(0)
        return torch.addmm(constant, torch.cat([u * u, u], 1), factors.t()).logsumexp(1)

    def sample(self, n: int) -> torch.Tensor:
        """Draw u ~ p(u): (n, latent)."""
        k = torch.multinomial(self.logits.softmax(0), n, replacement=True)
        deviation = (0.5 * self.logvars.clamp(-8, 4)).exp()
        return self.means[k] + deviation[k] * torch.randn_like(self.means[k])


class FlowPrior(nn.Module):
    """p(z|y) by z = T_y(u): u from one mixture for all y, T_y invertible and learned.

        log p(z|y) = log p(u) + log |det du/dz|,    u = T_y^-1(z)

    T_y is a chain of `couplings` affine couplings whose networks are given y, then
    z_i = u_i exp(a_i(y)) + b_i(y).  p(u) does not depend on y: for digits u is the handwriting, and
    one u under ten labels is ten digits in one hand.  At the start T_y only permutes the latents.

    classes: y is a class, (n,) int64 in 0 ... classes - 1; None: y is a number above 0, (n,) float,
    which enters as log y and is clamped to `limits`, the range of training, since networks
    extrapolate badly.  A learned prior is what makes the aggregate of q(z|x,y) and the p(z|y) that
    one samples from agree.  (Dinh, Sohl-Dickstein & Bengio 2017, eq. 7-8; Tomczak & Welling 2018.)
    """

    def __init__(self, latent: int, components: int, classes=None, couplings=4, hidden=64):
        super().__init__()
        self.latent = latent
        self.classes = classes
        self.base = Mixture(latent, components)
        if classes:
            self.affine = nn.Embedding(classes, 2 * latent)
            nn.init.zeros_(self.affine.weight)
            self.condition = nn.Embedding(classes, 8)
        else:
            self.affine = _starts_at_zero(1, 32, 2 * latent)
            self.condition = nn.Sequential(nn.Linear(1, 32), nn.SiLU(), nn.Linear(32, 8))
            self.register_buffer("limits", torch.tensor([0.0, math.inf]))
        self.fixed = latent // 2  # how many latents a coupling leaves as they are
        self.steepest = min(1.0, 4 / max(1, couplings))  # bounds |s|, and the sum of |s| by 4
        sizes = (self.fixed + 8, hidden, hidden, 2 * (latent - self.fixed))
        self.networks = nn.ModuleList(_starts_at_zero(*sizes) for _ in range(couplings))
        orders = [torch.randperm(latent) for _ in range(couplings)]
        self.register_buffer("orders", torch.stack(orders) if orders else torch.empty(0, latent))

    def transform(self, u: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return z = T_y(u): u (n, latent), y (n,) -> (n, latent)."""
        given = self._given(y)
        c = self.condition(given)
        for network, order in zip(self.networks, self.orders, strict=True):
            a, b = u[:, : self.fixed], u[:, self.fixed :]
            s, t = self._scale_and_shift(network, a, c)
            u = torch.cat([a, b * s.exp() + t], 1)[:, order]
        scale, shift = self.affine(given).chunk(2, 1)
        return u * scale.exp() + shift

    def inverse(self, z: torch.Tensor, y: torch.Tensor):
        """Return u = T_y^-1(z) and log |det du/dz|: z (n, latent), y (n,) -> (n, latent), (n,)."""
        given = self._given(y)
        c = self.condition(given)
        scale, shift = self.affine(given).chunk(2, 1)
        u = (z - shift) * (-scale).exp()
        log_det = -scale.sum(1)
        for network, order in zip(reversed(self.networks), self.orders.flip(0), strict=True):
            u = u[:, order.argsort()]
            a, b = u[:, : self.fixed], u[:, self.fixed :]
            s, t = self._scale_and_shift(network, a, c)
            u = torch.cat([a, (b - t) * (-s).exp()], 1)
            log_det = log_det - s.sum(1)
        return u, log_det

    def log_prob(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log p(z|y): z (n, latent), y (n,) -> (n,) nats."""
        u, log_det = self.inverse(z, y)
        return self.base.log_prob(u) + log_det

    def sample(self, y: torch.Tensor) -> torch.Tensor:
        """Draw z ~ p(z|y) for each condition: y (n,) -> (n, latent)."""
        return self.transform(self.sample_u(len(y)), y)

    def sample_u(self, n: int) -> torch.Tensor:
        """Draw u ~ p(u): (n, latent)."""
        return self.base.sample(n)

    def _given(self, y):
        """Return what the networks are given: the class, or log y, (n, 1)."""
        if self.classes:
            return y
        if not bool(((y > 0) & (y < math.inf)).all()):  # nan is not above 0, either
            raise InputError("FlowPrior: y must be numbers above 0")
        return y.clamp(*self.limits).log()[:, None]

    def _scale_and_shift(self, network, a, c):
        s, t = network(torch.cat([a, c], 1)).chunk(2, 1)
        return self.steepest * s.tanh(), t


def _starts_at_zero(*sizes) -> nn.Sequential:
    """Chain linear layers of these sizes with SiLU; the last is zero, so the output starts at 0."""
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.SiLU()]
    nn.init.zeros_(layers[-2].weight)
    nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])
