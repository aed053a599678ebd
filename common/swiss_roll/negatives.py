"""Where the other methods of exercise 3(a) have their negatives from; cd's are in the script.

Each is called as negatives(f, x, progress) -> (data (n, 2), negatives (m, 2)), for points x of the
data, `progress` of the training being done, in the model's scale.  Chains that persist are buffers,
so that a training that was stopped goes on with them.
(Nijkamp et al. 2019 for short-run; Geyer 1991 for replica exchange.)
"""

import math

import torch
from torch import nn

from common import ebm, langevin
from common.training import InputError

BETAS = (1.0, 0.65, 0.35, 0.0)  # inverse temperatures of the replicas
LIFE, OLD = 1040, 960  # short-run: steps of a chain's life; age from which it is a negative
START, FAR = 3.0, 50.0  # standard deviation of the short-run chains' start; out of sight
WIDEST = 0.6  # short-run: first noise on the data


class Tested(nn.Module):
    """Contrastive divergence by Metropolis-tested steps (MALA), which leave p invariant."""

    def __init__(self, recipe):
        super().__init__()
        self.eps, self.steps = recipe["eps"], recipe["chain"]

    def forward(self, f, x, progress):
        return x, langevin.mala(x, f.value_and_gradient, self.eps, self.steps)[0]


class Replicas(nn.Module):
    """Persistent chains at several temperatures, which exchange points; beta = 1 are the negatives.

    (Geyer 1991.)
    """

    def __init__(self, recipe):
        super().__init__()
        self.sizes = [recipe["eps"] / beta for beta in BETAS[:-1]]
        self.steps = recipe["chain"]
        self.register_buffer("replicas", ebm.BASE * torch.randn(len(BETAS), recipe["batch"], 2))

    def forward(self, f, x, progress):
        self.replicas, _ = langevin.replica_exchange(
            self.replicas, f.value_and_gradient, BETAS, ebm.BASE, self.sizes, self.steps
        )
        return x, self.replicas[0]


class ShortRun(nn.Module):
    """The sampler as 3(b) runs it: from N(0, 9 I), plain steps of `eps`, about 1000.

    The chains' ages are spread evenly over a life, and all advance in every update, so that none
    lags behind the network by more than a life; negatives are those of age 960 to 1040, a tenth.
    The data carry noise that falls to sqrt(2 eps): no chain can be narrower than the noise of its
    last step.  The model is no density: only its chains are trained.
    """

    def __init__(self, recipe):
        super().__init__()
        self.eps, self.steps = recipe["eps"], recipe["chain"]
        size = recipe["batch"]
        self.register_buffer("chains", START * torch.randn(size, 2))
        self.register_buffer("age", (torch.arange(size) * LIFE // size).float())

    def forward(self, f, x, progress):
        dead = (self.age >= LIFE) | ~(self.chains.abs().amax(1) < FAR)
        fresh = START * torch.randn_like(self.chains)
        chains = torch.where(dead[:, None], fresh, self.chains)
        self.age = torch.where(dead, 0, self.age) + self.steps
        self.chains = langevin.langevin(chains, f.score, self.eps, self.steps)

        here = self.chains.abs().amax(1) < FAR
        negatives = self.chains[here & (self.age >= min(OLD, self.age.max().item()))]
        if not len(negatives):
            raise InputError("every chain has left the data: start anew with a smaller --eps")
        least = min(WIDEST, math.sqrt(2 * self.eps))
        noise = WIDEST * (least / WIDEST) ** min(1.0, progress / 0.7)
        return x + noise * torch.randn_like(x), negatives


class Gaussian(nn.Module):
    """Noise-contrastive estimation: as many points of N(0, 8^2 I)."""

    def __init__(self, recipe):
        super().__init__()

    def forward(self, f, x, progress):
        return x, ebm.BASE * torch.randn_like(x)


SOURCES = {"mala": Tested, "replica": Replicas, "nce": Gaussian, "short-run": ShortRun}
