"""Tighter bounds on log p(x|y) than the ELBO: a q refined for each x, and importance weights.

    log p(x|y) >= E[ log 1/K sum_k p(x|z_k,y) p(z_k|y) / q(z_k|x,y) ],    z_1 ... z_K ~ q

K = 1 is the ELBO.  (Burda, Grosse & Salakhutdinov 2016, eq. 8.)
"""

import math

import torch

from common.cvae import elbo_terms, gaussian


def refine(model, x, y, steps=50, draws=4, rate=0.05):
    """Return the q(z|x,y) that maximises the ELBO of each x by itself: x (n, pixels), y (n,).

    Adam starts at the encoder's q and takes `steps` steps with `draws` of z each, while its rate
    falls to 0; the model's weights stay.  What the ELBO gains is the amortisation gap, the price
    of one encoder for all x (Cremer, Li & Duvenaud 2018).
    """
    latent = model.prior.latent
    with torch.no_grad():
        parts = model.encode(x, y).tensor_split([2 * latent], 1)
    parts = [part.clone().requires_grad_() for part in parts]
    rates = [rate, rate / 5]  # the many entries below the diagonal add up
    groups = [{"params": [part], "lr": r} for part, r in zip(parts, rates, strict=True)]
    adam = torch.optim.Adam(groups, betas=(0.8, 0.95))
    many_x = x.repeat(draws, 1)
    many_y = y.repeat(draws)
    for step in range(steps):
        for group, first in zip(adam.param_groups, rates, strict=True):
            group["lr"] = first * (1 - step / steps)
        q = gaussian(torch.cat(parts, 1).repeat(draws, 1), latent)
        log_likelihood, kl = elbo_terms(model, many_x, many_y, q)
        adam.zero_grad()
        ((kl - log_likelihood).sum() / draws).backward(inputs=parts)
        adam.step()
    return gaussian(torch.cat(parts, 1).detach(), latent)


@torch.no_grad()
def log_weights(model, x, y, samples: int, q=None, rows=2000) -> torch.Tensor:
    """Return log p(x|z_k,y) p(z_k|y) / q(z_k|x,y) for z_k ~ q, k = 1 ... samples: (samples, n).

    Their mean over k estimates the ELBO.  x (n, pixels), y (n,); q: instead of the model's
    posterior.  Memory: max(rows, n) decoded x at a time.
    """
    q = q or model.posterior(x, y)
    at_once = max(1, rows // len(x))
    found = []
    for first in range(0, samples, at_once):
        k = min(at_once, samples - first)
        z = q.sample((k,))
        log_q = q.log_prob(z)
        flat = z.flatten(0, 1)
        many_y = y.repeat(k)
        log_joint = model.likelihood(flat, many_y).log_prob(x.repeat(k, 1))
        log_joint = log_joint + model.prior.log_prob(flat, many_y)
        found.append(log_joint.view(k, -1) - log_q)
    return torch.cat(found)


def importance_bound(log_w: torch.Tensor) -> torch.Tensor:
    """Return -log 1/K sum_k exp(log_w_k), above -log p(x|y) in the mean: (K, n) -> (n,) nats."""
    return math.log(len(log_w)) - log_w.logsumexp(0)
