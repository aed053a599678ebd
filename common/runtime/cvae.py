"""Conditional variational autoencoder of exercise 2: encoder and decoder, ELBO terms.

    log p(x|y) >= ELBO = E_q(z|x,y)[ log p(x|z,y) ] - KL( q(z|x,y) || p(z|y) )

with equality when q(z|x,y) is the posterior p(z|x,y).  All losses are nats per example: summed
over samples and latents.  The priors p(z|y) are in priors.py.
(Kingma & Welling 2014; Sohn, Lee & Yan 2015, eq. 4.)
"""

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
