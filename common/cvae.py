"""The conditional VAE: its three distributions as objects, and the two terms of its ELBO.

    log p(x|y) >= ELBO = E_q(z|x,y)[ log p(x|z,y) ] - KL( q(z|x,y) || p(z|y) )

with equality where q(z|x,y) is the posterior p(z|x,y).  Any model that has `prior`, `posterior`
and `likelihood` can be given to `elbo_terms`.  All values are nats per example: sums over pixels
and latents.  The learned prior is in priors.py, the networks are in networks.py.
(Kingma & Welling 2014; Sohn, Lee & Yan 2015, eq. 4.)
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal

from common.networks import MLP
from common.priors import StandardPrior
from common.training import fast_bfloat16


def elbo_terms(model, x, y, q=None):
    """Return log p(x|z,y) and log q(z|x,y) - log p(z|y) for one z ~ q(z|x,y): (n,), (n,) nats.

    Their means estimate the two terms of the ELBO without bias.  The second one may be negative
    for a single z; its mean, the KL, has a closed form where p(z|y) is Gaussian, as N(0, I) is.
    x (n, pixels), y (n,).  q: instead of the model's posterior.
    """
    q = q or model.posterior(x, y)
    z = q.rsample()
    log_likelihood = model.likelihood(z, y).log_prob(x)
    kl = q.log_prob(z) - model.prior.log_prob(z, y)
    return log_likelihood, kl


def gaussian(numbers: torch.Tensor, latent: int):
    """Return N(mu, L L^T) over (n, latent) from a network's output (n, k).

    The numbers are mu, b and, if there are latent (latent - 1) / 2 more, c: L_ii = exp(b_i / 2),
    with b in [-10, 5], and L_ij = 0.3 c_ij below the diagonal, a full covariance; without c, L is
    diagonal.
    """
    mu, logvar, below = numbers.tensor_split([latent, 2 * latent], 1)
    deviation = (0.5 * logvar.clamp(-10, 5)).exp()
    if below.shape[1] == 0:
        return Independent(Normal(mu, deviation, validate_args=False), 1, validate_args=False)
    scale = torch.diag_embed(deviation)
    row, column = torch.tril_indices(latent, latent, -1)
    scale[:, row, column] = 0.3 * below  # 0.3: these entries learn more slowly
    return MultivariateNormal(mu, scale_tril=scale, validate_args=False)


class CVAE(nn.Module):
    """q(z|x,y) = N(mu, L L^T), p(x|z,y) = independent Bernoulli pixels, and a prior p(z|y).

    encoder: (n, pixels), (n, classes) -> (n, k), see `gaussian`.  decoder: (n, latent),
    (n, classes) -> (n, pixels), logits.  prior: has log_prob(z, y) and sample(y); see priors.py.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, prior: nn.Module, classes=10):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.classes = classes

    def encode(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the numbers that q(z|x,y) is made of: x (n, pixels), y (n,) -> (n, k)."""
        return self._run(self.encoder, x, self._one_hot(y))

    def posterior(self, x: torch.Tensor, y: torch.Tensor):
        """Return q(z|x,y), a distribution over (n, latent): x (n, pixels), y (n,)."""
        return gaussian(self.encode(x, y), self.prior.latent)

    def likelihood(self, z: torch.Tensor, y: torch.Tensor):
        """Return p(x|z,y), a distribution over (n, pixels); its mean is the picture we draw."""
        logits = self._run(self.decoder, z, self._one_hot(y))
        return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)

    @torch.no_grad()
    def draw(self, y: torch.Tensor, u=None) -> torch.Tensor:
        """Draw z ~ p(z|y) and return E[x|z,y]: labels (n,) -> (n, pixels) in [0, 1].

        z = T_y(u), u ~ p(u); u (n, latent) is the handwriting, None draws it.
        """
        u = self.prior.sample_u(len(y)) if u is None else u
        z = self.prior.transform(u, y)
        return self.likelihood(z, y).mean

    @torch.no_grad()
    def probe(self) -> torch.Tensor:
        """Return the output for one fixed input; it tells whether the code is still the same."""
        device = next(self.parameters()).device
        y = torch.arange(self.classes, device=device)
        z = torch.linspace(-1, 1, self.prior.latent, device=device).expand(len(y), -1)
        mean = self.likelihood(z, y).mean
        return torch.cat([self.encode(mean, y).mean(1), mean.mean(1), self.prior.log_prob(z, y)])

    def _one_hot(self, y):
        return F.one_hot(y, self.classes).float()

    def _run(self, network, *inputs):
        """In training run a network in bfloat16 where the hardware has it; return float32."""
        device = inputs[0].device
        fast = self.training and fast_bfloat16(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            return network(*inputs).float()


def plain_cvae(pixels=784, hidden=400, latent=20, classes=10, activation=F.silu) -> CVAE:
    """Build the textbook's model: one hidden layer each way, a diagonal q, p(z|y) = N(0, I)."""
    encoder = MLP(pixels, classes, hidden, 2 * latent, activation)
    decoder = MLP(latent, classes, hidden, pixels, activation)
    return CVAE(encoder, decoder, StandardPrior(latent), classes)
