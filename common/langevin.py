"""Langevin samplers and replica exchange: (n, d) chains, log p and its gradient, a step size.

    unadjusted   x <- x + eps grad log p(x) + sqrt(2 eps) z,   z ~ N(0, I)

Its stationary distribution is not p: for N(0, s^2) the variance is s^2 / (1 - eps / (2 s^2)), and
infinite for eps >= 2 s^2.  The Metropolis-adjusted step (MALA) is exact.  (Roberts & Tweedie 1996.)
Neither crosses between distant modes; replica exchange does.  (Geyer 1991.)
"""

import math

import torch


def langevin(x, score, eps: float, steps: int, generator=None, record=None) -> torch.Tensor:
    """Do `steps` unadjusted Langevin steps from x (n, d): x + eps score(x) + sqrt(2 eps) z.

    score: the gradient of log p, (n, d) -> (n, d); it may use autograd, also where the caller has
    switched that off.  record: called as record(step, x) after each step.  No graph is kept.
    Raises ValueError for a start that is no floating-point tensor, and a score of another shape.
    """
    (eps,) = _sizes(eps, 1)
    x = _start(x)
    for step in range(1, _count(steps) + 1):
        z = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
        slope = _detached(score, x)
        if slope.shape != x.shape:
            raise ValueError(f"score: shape {tuple(slope.shape)} for x of {tuple(x.shape)}")
        x = torch.add(x, slope, alpha=eps).add_(z, alpha=math.sqrt(2 * eps))
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


def mala(x, log_p_and_gradient, eps: float, steps: int, generator=None):
    """Do `steps` MALA steps (see `mala_step`); return (x, share of accepted proposals).

    log_p_and_gradient: (n, d) -> ((n,), (n, d)); the law of x tends to p exactly.
    Raises ValueError as `langevin` does.
    """
    (eps,) = _sizes(eps, 1)
    x = _start(x)
    target = _checked(log_p_and_gradient)
    state = target(x)
    accepted = 0.0
    for _ in range(_count(steps)):
        x, state, accept = mala_step(x, state, target, eps, generator)
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
    Raises ValueError as `langevin` does, and for betas that do not fall from 1 to 0.
    """
    x = _start(x)
    levels, n, d = x.shape
    evaluate = _checked(log_p_and_gradient)
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
        log_p, gradient = evaluate(x)
        return log_p + (x * x).sum(1) / (2 * scale**2), gradient + x / scale**2

    def target(x):
        return tempered(x, *ratio(x))

    x = x.reshape(levels * n, d)
    rates = torch.zeros(levels - 1, dtype=x.dtype)
    h, slope = ratio(x[:cold])
    for _ in range(_count(steps)):
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


def _start(x) -> torch.Tensor:
    """Return the chains' start without its graph."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"start x: give a tensor of floating-point numbers, not {kind}")
    return x.detach()


def _detached(score, x):
    """Return score(x) without its graph; score may differentiate, also inside torch.no_grad()."""
    with torch.enable_grad():
        return score(x).detach()


def _checked(log_p_and_gradient):
    """Return the function with its two results detached, and their shapes looked at."""

    def evaluate(x):
        with torch.enable_grad():
            log_p, gradient = log_p_and_gradient(x)
        if log_p.shape != x.shape[:1] or gradient.shape != x.shape:
            found = f"{tuple(log_p.shape)} and {tuple(gradient.shape)}"
            raise ValueError(f"log p and gradient: shapes {found} for x of {tuple(x.shape)}")
        return log_p.detach(), gradient.detach()

    return evaluate


def _count(steps: int) -> int:
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps = {steps!r}: give a whole number from 0")
    return steps


def _sizes(eps, levels: int) -> list:
    """Return `levels` step sizes; raise ValueError unless eps is a number or so many, above 0."""
    sizes = torch.as_tensor(eps, dtype=torch.float64).flatten().tolist()
    if len(sizes) not in (1, levels) or not all(0 < size < math.inf for size in sizes):
        raise ValueError(f"eps = {eps}: give a number above 0, or one for each of {levels} levels")
    return sizes * (levels // len(sizes))


def _where(chosen, a, b):
    """Return rows of a (n, ...) where chosen (n,), else of b."""
    return torch.where(chosen.view(-1, *[1] * (a.dim() - 1)), a, b)
