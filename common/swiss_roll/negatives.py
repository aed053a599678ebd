"""Where the negatives of exercise 3(a) come from: chains that stand in for samples of the model.

Each source has pairs(share) -> (data (n, 2), negatives (m, 2)), `share` of the training being done.
(Hinton 2002; Tieleman 2008; Nijkamp et al. 2019 for short-run.)
"""

import math

import torch

from common import langevin
from common.runtime.errors import InputError

JUMPS = 2  # an update
RESTART, OLD = 1040, 960  # short-run: steps of a chain's life; age from which it counts
START, GONE = 3.0, 50.0  # standard deviation of the short-run chains' start; out of sight


def minibatch(data, size: int) -> torch.Tensor:
    """Return `size` random points of `data` (n, 2)."""
    return data[torch.randint(len(data), (size,))]


def geometric_schedule(first: float, last: float, share: float) -> float:
    """Return the value between first and last at `share` of the way, evenly in the logarithm."""
    return first * (last / first) ** min(1.0, share) if first else 0.0


class ContrastiveDivergence:
    """CD: chains start at this step's data: Langevin steps, Metropolis-corrected unless `plain`."""

    def __init__(self, model, data, recipe, plain=False):
        self.model, self.data, self.recipe, self.plain = model, data, recipe, plain

    def pairs(self, share: float):
        """Return (data (n, 2), negatives (n, 2))."""
        x = minibatch(self.data, self.recipe["batch"])
        eps, chain = self.recipe["eps"], self.recipe["chain"]
        if self.plain:  # unadjusted chains diverge already at step sizes that tested ones bear
            eps = geometric_schedule(0.4 * eps, 0.06 * eps, share / 0.6)
            return x, langevin.langevin(x, self.model.score, eps, chain)
        return x, langevin.mala(x, self.model.value_and_gradient, eps, chain)[0]


class PersistentJumps:
    """Persistent chains: tested jumps, proposed by a histogram of the data, and tested Langevin.

    `chain` Langevin steps in each fourth update; the jumps alone have the right law too, and the
    steps move the chains within the cells of the histogram.
    """

    def __init__(self, model, data, recipe):
        self.model, self.data, self.recipe, self.updates = model, data, recipe, 0
        try:
            self.proposal = langevin.HistogramProposal(data)
        except ValueError as error:
            raise InputError(f"{error}; scale the data, or use --method cd") from error
        self.chains = minibatch(data, recipe["batch"])

    @torch.no_grad()
    def pairs(self, share: float):
        """Return (data (n, 2), negatives (n, 2))."""
        x = self.chains
        log_p = self.model(x)
        for _ in range(JUMPS):
            x, log_p, _ = langevin.independence_step(x, log_p, self.model, self.proposal)
        self.updates += 1
        if self.recipe["chain"] and self.updates % 4 == 0:
            step = self.model.value_and_gradient
            x, _ = langevin.mala(x, step, self.recipe["eps"], self.recipe["chain"])
        self.chains = x
        return minibatch(self.data, len(x)), x


class ShortRun:
    """The sampler as it will be run: from N(0, 9 I), plain steps of `eps`, about 1000.

    The chains' ages are spread evenly over a life, and all advance in every update, so that none
    lags behind the network by more than a life; negatives are those of age 960 to 1040.  The data
    carry noise that falls to sqrt(2 eps): no chain can be narrower than the noise of its last step.
    """

    def __init__(self, model, data, recipe):
        self.model, self.data, self.recipe = model, data, recipe
        self.chains = START * torch.randn(recipe["batch"], 2)
        self.age = torch.arange(recipe["batch"]) * RESTART // recipe["batch"]

    @torch.no_grad()
    def pairs(self, share: float):
        """Return (data (n, 2), negatives (m, 2)), about a tenth as many."""
        eps, chain = self.recipe["eps"], self.recipe["chain"]
        dead = (self.age >= RESTART) | ~(self.chains.abs().amax(1) < GONE)
        fresh = START * torch.randn_like(self.chains)
        x = torch.where(dead[:, None], fresh, self.chains)
        self.age = torch.where(dead, 0, self.age) + chain
        # not `score`: its last bits differ, which chains amplify, and the shipped models had these
        self.chains = langevin.langevin(x, self._gradient, eps, chain)
        here = self.chains.abs().amax(1) < GONE
        x = self.chains[here & (self.age >= min(OLD, self.age.max().item()))]
        if not len(x):
            raise InputError("every chain has left: start anew with a smaller --step-size")
        noise = geometric_schedule(self.recipe["noise"], math.sqrt(2 * eps), share / 0.7)
        data = minibatch(self.data, self.recipe["batch"])
        return data + noise * torch.randn_like(data), x

    def _gradient(self, x):
        return self.model.value_and_gradient(x)[1]
