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


def metropolis_langevin(x, log_p_and_gradient, eps: float, steps: int, generator=None):
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


def jump(x, log_p, log_p_of, scale: float, generator=None):
    """Propose y ~ N(0, scale^2 I) for each chain, independent of x; accept by Metropolis-Hastings.

    log_p (n,): that of x; log_p_of: (n, d) -> (n,).  Returns (x, log_p, accepted (n,) bool).
    """
    y = scale * torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    new = log_p_of(y)
    balance = ((y * y).sum(1) - (x * x).sum(1)) / (2 * scale**2)  # log q(x) - log q(y), negated
    u = torch.rand(len(x), dtype=x.dtype, device=x.device, generator=generator)
    accept = u.log() < new - log_p + balance
    return torch.where(accept[:, None], y, x), torch.where(accept, new, log_p), accept
