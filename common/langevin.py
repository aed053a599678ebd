"""Langevin samplers: (n, 2) chains, the gradient of log p (or log p itself), a step size.

    unadjusted   x <- x + eps grad log p(x) + sqrt(2 eps) z,   z ~ N(0, I)

Its stationary law is not p: on N(0, s^2) the variance is s^2 / (1 - eps / (2 s^2)), and from eps =
2 s^2 on there is none.  The Metropolis-adjusted one (MALA) has p.  (Roberts & Tweedie 1996.)
"""

import math

import torch


def langevin(x, gradient, eps: float, steps: int, generator=None, record=None) -> torch.Tensor:
    """Do `steps` unadjusted Langevin steps from x (n, d): x + eps gradient(x) + sqrt(2 eps) z.

    gradient: of log p, (n, d) -> (n, d).  record: called as record(step, x) after each step.
    """
    root = math.sqrt(2 * eps)
    for step in range(1, steps + 1):
        z = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
        x = torch.add(x, gradient(x), alpha=eps).add_(z, alpha=root)
        if record is not None:
            record(step, x)
    return x


def mala(x, log_p_and_gradient, eps: float, steps: int, generator=None):
    """Do `steps` MALA steps; return (x, share of accepted proposals).

    log_p_and_gradient: (n, d) -> ((n,), (n, d)); the law of x tends to p exactly.
    eps may be a number or a tensor (n, 1), a step size for each chain.
    """
    log_p, gradient = log_p_and_gradient(x)
    accepted = 0.0
    for _ in range(steps):
        z = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
        proposal = x + eps * gradient + (2 * eps) ** 0.5 * z
        new_log_p, new_gradient = log_p_and_gradient(proposal)
        forward = (z * z).sum(1) / 2
        backward = ((x - proposal - eps * new_gradient) ** 2 / (4 * eps)).sum(1)
        u = torch.rand(len(x), dtype=x.dtype, device=x.device, generator=generator)
        accept = u.log() < new_log_p - log_p + forward - backward
        x = torch.where(accept[:, None], proposal, x)
        log_p = torch.where(accept, new_log_p, log_p)
        gradient = torch.where(accept[:, None], new_gradient, gradient)
        accepted += accept.float().mean().item() / steps
    return x, accepted


class GaussianProposal:
    """The proposal N(0, scale^2 I) in two dimensions."""

    def __init__(self, scale: float):
        self.scale = scale

    def draw(self, n: int, generator=None) -> torch.Tensor:
        """Return n points (n, 2)."""
        return self.scale * torch.randn(n, 2, generator=generator)

    def log_prob(self, x) -> torch.Tensor:
        """Return the log-density in nats: (n, 2) -> (n,)."""
        return -(x * x).sum(1) / (2 * self.scale**2) - math.log(2 * math.pi * self.scale**2)


class HistogramProposal:
    """The proposal that is even in the cells of a histogram of data (m, 2), with some N(0, 8^2 I).

    r(x) = 0.9 * share of the data in the cell of x / cell^2 + 0.1 N(x; 0, 8^2 I)

    A data point's cell is drawn, then a point in it: no loop, and r is one look-up.
    Raises ValueError when the data spread over more than 10^4 cells a side.
    """

    WIDE = 0.1

    def __init__(self, data, cell: float = 0.2, scale: float = 8.0):
        self.data, self.cell, self.wide = data, cell, GaussianProposal(scale)
        self.low = (data.amin(0) / cell).floor()
        self.size = ((data.amax(0) / cell).floor() - self.low + 1).long()
        if self.size.max() > 10**4:
            raise ValueError(f"{tuple(self.size.tolist())} cells of {cell}: data too spread out")
        share = torch.bincount(self._cells(data), minlength=int(self.size.prod())) / len(data)
        self.log_share = share.log() - 2 * math.log(cell)

    def _cells(self, x):
        i = ((x / self.cell).floor() - self.low).long()
        return i[:, 0] * self.size[1] + i[:, 1]

    def draw(self, n: int, generator=None) -> torch.Tensor:
        """Return n points (n, 2)."""
        x = self.data[torch.randint(len(self.data), (n,), generator=generator)]
        x = ((x / self.cell).floor() + torch.rand(n, 2, generator=generator)) * self.cell
        wide = torch.rand(n, 1, generator=generator) < self.WIDE
        return torch.where(wide, self.wide.draw(n, generator), x)

    def log_prob(self, x) -> torch.Tensor:
        """Return the log-density in nats: (n, 2) -> (n,)."""
        i = (x / self.cell).floor() - self.low
        inside = ((i >= 0) & (i < self.size)).all(1)
        share = self.log_share[self._cells(torch.where(inside[:, None], x, self.data[0]))]
        share = share.masked_fill(~inside, -math.inf) + math.log1p(-self.WIDE)
        return torch.logaddexp(share, self.wide.log_prob(x) + math.log(self.WIDE))


def independence_step(x, log_p, log_p_of, proposal, generator=None):
    """Propose y ~ r for each chain, independent of x; accept by Metropolis-Hastings.

    log_p (n,): that of x; log_p_of: (n, d) -> (n,); proposal: what has draw(n, generator) and
    log_prob(x), such as `GaussianProposal`.  Returns (x, log_p, accepted (n,) bool).
    (Tierney 1994.)
    """
    y = proposal.draw(len(x), generator)
    new = log_p_of(y)
    balance = proposal.log_prob(x) - proposal.log_prob(y)
    u = torch.rand(len(x), dtype=x.dtype, device=x.device, generator=generator)
    accept = u.log() < new - log_p + balance
    return torch.where(accept[:, None], y, x), torch.where(accept, new, log_p), accept
