"""Conditional variational autoencoder: encoder and decoder, ELBO terms, a tighter bound.

    log p(x|y) >= ELBO = E_q(z|x,y)[ log p(x|z,y) ] - KL( q(z|x,y) || p(z|y) )

with equality when q(z|x,y) is the posterior p(z|x,y).  All losses are nats per example: summed
over pixels and latents.  The priors p(z|y) are in priors.py.
(Kingma & Welling 2014; Sohn, Lee & Yan 2015, eq. 4.)
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from common.runtime.device import autocast
from common.runtime.priors import LOG_2PI

LOGVAR_RANGE = (-10.0, 5.0)  # of q: keeps exp() and its gradient finite


class CVAE(nn.Module):
    """A Gaussian q(z|x,y), p(x|z,y) given by its parameters, and a prior p(z|y).

    encoder: (n, x), (n, c) -> (n, 2 latent).  decoder: (n, latent), (n, c) -> (n, x).
    embed: condition y -> (n, c), what both networks see of it.
    full: 0 for a diagonal covariance of q; `latent` for a full one, and the encoder then gives
    `posterior_size(latent)` numbers for each x.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, prior: nn.Module, embed, full=0):
        super().__init__()
        self.encoder, self.decoder, self.prior, self.embed = encoder, decoder, prior, embed
        self.full = full
        self.bfloat16 = False  # True: matrix products of both networks in it; never the losses

    def encode(self, x: torch.Tensor, y: torch.Tensor):
        """Return (mu, logvar) of q(z|x,y), each (n, latent) float32.

        For a full covariance (mu, logvar, lower); see `reparameterise`.
        """
        with autocast(x.device, self.bfloat16):
            given = self.encoder(x, self.embed(y)).float()
        latent = self.full or given.shape[1] // 2
        mu, logvar, lower = given.tensor_split([latent, 2 * latent], 1)
        q = mu, logvar.clamp(*LOGVAR_RANGE)
        return (*q, 0.3 * lower) if self.full else q  # 0.3: these entries learn more slowly

    def decode(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the parameters of p(x|z,y) (for digits: logits), (n, x) float32."""
        with autocast(z.device, self.bfloat16):
            return self.decoder(z, self.embed(y)).float()


def posterior_size(latent: int) -> int:
    """Return how many numbers a Gaussian with full covariance has: mu, logvar and `lower`."""
    return 2 * latent + latent * (latent - 1) // 2


def reparameterise(mu: torch.Tensor, logvar: torch.Tensor, lower=None, eps=None):
    """Return z ~ q(z|x,y) as a function of eps, (n, latent), and log q(z|x,y), (n,) nats.

    z = mu + L eps, L = diag exp(logvar / 2) + T, log q = log N(eps; 0, I) - sum logvar / 2.
    mu, logvar (n, latent); lower (n, latent (latent - 1) / 2): the rows of T, which is zero on and
    above the diagonal and so has no part in det L; None is T = 0.
    eps ~ N(0, I) is drawn unless given.
    """
    eps = torch.randn_like(mu) if eps is None else eps
    z = mu + (0.5 * logvar).exp() * eps
    if lower is not None:
        n, latent = mu.shape
        row, column = torch.tril_indices(latent, latent, -1, device=mu.device)
        triangle = mu.new_zeros(n, latent, latent)
        triangle[:, row, column] = lower
        z = z + (triangle @ eps[:, :, None]).squeeze(2)
    return z, -0.5 * (eps**2 + logvar + LOG_2PI).sum(1)


def bernoulli_log_likelihood(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return log p(x|z,y) = sum_i x_i l_i - log(1 + exp l_i): x, logits (n, pixels) -> (n,)."""
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def elbo_terms(model, x, y, log_likelihood=bernoulli_log_likelihood, eps=None, posterior=None):
    """Return (-log p(x|z,y), log q(z|x,y) - log p(z|y)) for one z ~ q(z|x,y): two (n,) in nats.

    Their means are unbiased estimates of the reconstruction term and of the KL term; for a
    learned prior the KL has no closed form.  model: a CVAE; x (n, features), y (n,).
    log_likelihood: (x, decoded) -> (n,).
    eps: the standard normal numbers (n, latent) that z is made of, or None for new ones.
    posterior: another q than the encoder's, as `CVAE.encode` gives it.
    """
    z, log_q = reparameterise(*(posterior or model.encode(x, y)), eps=eps)
    kl = log_q - model.prior.log_prob(z, y)
    return -log_likelihood(x, model.decode(z, y)), kl


def refine_posterior(
    model, x, y, steps=50, draws=4, rate=0.05, log_likelihood=bernoulli_log_likelihood
):
    """Return the q, as `CVAE.encode` gives it, that maximises the ELBO of each x by itself.

    Adam starts at the encoder's q and takes `steps` steps, `draws` of z each, while its rate falls
    to 0.  What the ELBO gains is the amortisation gap: what it costs that one encoder serves all
    x (Cremer, Li & Duvenaud 2018).  x (n, features), y (n,); the model's weights stay.
    """
    with torch.no_grad():
        posterior = [t.clone().requires_grad_() for t in model.encode(x, y)]
    rates = [rate, rate, rate / 16][: len(posterior)]  # `lower` has many entries, which add up
    groups = [{"params": [t], "lr": r} for t, r in zip(posterior, rates, strict=True)]
    optimizer, kept = torch.optim.Adam(groups, betas=(0.8, 0.95)), model.bfloat16
    model.bfloat16 = True  # where it is fast: any q gives a bound
    many_x, many_y = x.repeat(draws, 1), y.repeat(draws)
    for step in range(steps):
        for group, first in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = first * (1 - step / steps)
        many = [t.repeat(draws, 1) for t in posterior]
        terms = elbo_terms(model, many_x, many_y, log_likelihood, posterior=many)
        optimizer.zero_grad()
        (sum(terms).sum() / draws).backward(inputs=posterior)
        optimizer.step()
    model.bfloat16 = kept
    return tuple(t.detach() for t in posterior)


@torch.no_grad()
def log_weights(
    model, x, y, samples, posterior=None, log_likelihood=bernoulli_log_likelihood, rows=1000
):
    """Return log p(x|z_k,y) p(z_k|y) / q(z_k|x,y), z_k ~ q, k = 1 ... samples: (samples, n) nats.

    Their mean over k is the ELBO.  posterior: another q than the encoder's.
    Memory: max(rows, n) decoded x at a time.
    """
    posterior, found = posterior or model.encode(x, y), []
    at_once = max(1, rows // len(x))
    for first in range(0, samples, at_once):
        k = min(at_once, samples - first)
        many = [t.repeat(k, 1) for t in posterior]
        terms = elbo_terms(model, x.repeat(k, 1), y.repeat(k), log_likelihood, posterior=many)
        found.append(-sum(terms).view(k, len(x)))
    return torch.cat(found)


def importance_weighted_nll(log_w: torch.Tensor) -> torch.Tensor:
    """Return -log 1/K sum_k exp(log_w_k): (K, n) of `log_weights` -> (n,) nats.

    In expectation an upper bound on -log p(x|y), tighter with each sample and with a better q
    (Burda, Grosse & Salakhutdinov 2016, eq. 8).
    """
    return math.log(len(log_w)) - log_w.logsumexp(0)
