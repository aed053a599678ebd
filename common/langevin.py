"""Langevin samplers and replica exchange: (n, d) chains, log p and its gradient, a step size.

    unadjusted   x <- x + eps grad log p(x) + sqrt(2 eps) z,   z ~ N(0, I)

Its stationary distribution is not p: for N(0, s^2) the variance is s^2 / (1 - eps / (2 s^2)), and
infinite for eps >= 2 s^2.  The Metropolis-adjusted step (MALA) is exact.  (Roberts & Tweedie 1996.)
Neither crosses between distant modes; replica exchange does.  (Geyer 1991.)
"""

import math

import torch


def langevin(x, gradient, eps, steps: int, generator=None, record=None) -> torch.Tensor:
    """Do `steps` unadjusted Langevin steps from x (n, d): x + eps gradient(x) + sqrt(2 eps) z.

    gradient: of log p, (n, d) -> (n, d).  eps: a number, or a list of one for each step.
    record: called as record(step, x) after each step.
    """
    for step, size in enumerate(_sizes(eps, steps), start=1):
        z = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
        x = torch.add(x, gradient(x), alpha=size).add_(z, alpha=math.sqrt(2 * size))
        if record is not None:
            record(step, x)
    return x


def mala_step(x, state, target, eps, generator=None):
    """Do one Metropolis-adjusted Langevin step from x (n, d); return (x, state, accepted (n,)).

    target: (n, d) -> (log p (n,), its gradient (n, d), ...); state: target(x), what else it holds
    is carried along.  eps: a number, or (n, 1), a step size for each chain.
    """
    z = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    y = x + eps * state[1] + (2 * eps) ** 0.5 * z
    new = target(y)
    forward = (z * z).sum(1) / 2
    backward = ((x - y - eps * new[1]) ** 2 / (4 * eps)).sum(1)
    u = torch.rand(len(x), dtype=x.dtype, device=x.device, generator=generator)
    accept = u.log() < new[0] - state[0] + forward - backward
    state = [_where(accept, *two) for two in zip(new, state, strict=True)]
    return _where(accept, y, x), state, accept


def mala(x, log_p_and_gradient, eps, steps: int, generator=None):
    """Do `steps` MALA steps (see `mala_step`); return (x, share of accepted proposals).

    log_p_and_gradient: (n, d) -> ((n,), (n, d)); the law of x tends to p exactly.
    eps: a number, or a list of one for each step.
    """
    state, accepted = log_p_and_gradient(x), 0.0
    for size in _sizes(eps, steps):
        x, state, accept = mala_step(x, state, log_p_and_gradient, size, generator)
        accepted += accept.float().mean().item() / steps
    return x, accepted


def replica_exchange(x, log_p_and_gradient, betas, scale, eps, steps: int, generator=None):
    """Move tempered copies of n chains, x (levels, n, d); return (x, swap rates (levels - 1,)).

        p_k(x) = p(x)^beta_k N(x; 0, scale^2 I)^(1 - beta_k) / Z_k,   1 = beta_0 > ... > beta_K = 0

    In each step every level but the hottest does one MALA step of its own size, eps (levels - 1),
    the hottest is drawn afresh from the Gaussian, and neighbours exchange their points with
    probability min(1, exp((beta_k - beta_k+1) (h(x_k+1) - h(x_k)))), h = log p - log N(0, scale^2
    I).  Each of these leaves the product of all p_k as it is, so x[0] tends to p, any number of
    modes and dimensions; more dimensions want more levels.  log_p_and_gradient: as in `mala`, log p
    up to a constant.  (Geyer 1991; Earl & Deem 2005.)
    """
    levels, n, d = x.shape
    fall = sorted({*betas}, reverse=True) == [*betas] and (betas[0], betas[-1]) == (1, 0)
    if len(betas) != levels or not fall:
        raise ValueError(f"betas {betas}: give {levels} numbers that fall from 1 to 0")
    cold = (levels - 1) * n
    beta = torch.tensor(betas[:-1], dtype=x.dtype).repeat_interleave(n).to(x.device)
    eps = x.new_tensor(_sizes(eps, levels - 1)).repeat_interleave(n)

    def tempered(x, h, slope):
        quadratic = (x * x).sum(1) / (2 * scale**2)
        return beta * h - quadratic, beta[:, None] * slope - x / scale**2, h, slope

    def ratio(x):
        log_p, gradient = log_p_and_gradient(x)
        return log_p + (x * x).sum(1) / (2 * scale**2), gradient + x / scale**2

    def target(x):
        return tempered(x, *ratio(x))

    x, rates = x.reshape(levels * n, d), torch.zeros(levels - 1, dtype=x.dtype)
    h, slope = ratio(x[:cold])
    for _ in range(steps):
        state = tempered(x[:cold], h, slope)
        moved, state, _ = mala_step(x[:cold], state, target, eps[:, None], generator)
        z = torch.randn((n, d), dtype=x.dtype, device=x.device, generator=generator)
        parts = [moved, *state[2:]], [scale * z, *ratio(scale * z)]
        whole = [torch.cat(two).unflatten(0, (levels, n)) for two in zip(*parts, strict=True)]
        for k in [*range(0, levels - 1, 2), *range(1, levels - 1, 2)]:
            u = torch.rand(n, dtype=x.dtype, device=x.device, generator=generator)
            gain = whole[1][k + 1] - whole[1][k]
            swap = u.log() < (betas[k] - betas[k + 1]) * gain
            for part in whole:
                a, b = part[k].clone(), part[k + 1].clone()
                part[k], part[k + 1] = _where(swap, b, a), _where(swap, a, b)
            rates[k] += swap.to(rates).mean() / steps
        x, h, slope = whole[0].flatten(0, 1), *(part[:-1].flatten(0, 1) for part in whole[1:])
    return x.unflatten(0, (levels, n)), rates


def _sizes(eps, steps):
    """Return `steps` step sizes; raise ValueError unless eps is a number or so many, above 0."""
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps = {steps!r}: give a whole number from 0")
    sizes = torch.as_tensor(eps, dtype=torch.float64).flatten().tolist()
    if len(sizes) not in (1, steps) or not all(0 < size < math.inf for size in sizes):
        raise ValueError(f"eps = {eps}: give a number above 0, or one for each of {steps} steps")
    return sizes * (steps // len(sizes))


def _where(chosen, a, b):
    """Return rows of a (n, ...) where chosen (n,), else of b."""
    return torch.where(chosen.view(-1, *[1] * (a.dim() - 1)), a, b)
