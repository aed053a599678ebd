"""Where the negatives of exercise 3(a) come from: chains that stand in for samples of the model.

Each source has pairs(model, share) -> (data (n, 2), negatives (m, 2)), `share` of the training
being done.  Persistent chains are buffers, so that a resumed training keeps them.
(Hinton 2002; Tieleman 2008; Nijkamp et al. 2019 for short-run; Geyer 1991 for replica exchange.)
"""

import math

import torch
from torch import nn

from common import ebm, langevin
from common.runtime.errors import InputError

RESTART, OLD = 1040, 960  # short-run: steps of a chain's life; age from which it counts
START, GONE = 3.0, 50.0  # standard deviation of the short-run chains' start; out of sight


def geometric_schedule(first: float, last: float, share: float) -> float:
    """Return the value between first and last at `share` of the way, evenly in the logarithm."""
    return first * (last / first) ** min(1.0, share) if first else 0.0


class Source(nn.Module):
    """What all share: the data (n, 2) and the recipe."""

    def __init__(self, data, recipe):
        super().__init__()
        self.data, self.recipe = data, recipe

    def minibatch(self):
        """Return random points of the data, (batch, 2)."""
        return self.data[torch.randint(len(self.data), (self.recipe["batch"],))]


class ContrastiveDivergence(Source):
    """CD: chains of unadjusted Langevin steps that start at this update's data.

    The step sizes fall within a chain: the first steps travel along the arm, and the last ones
    take away the width that large steps give the ridge.
    """

    def pairs(self, model, share: float):
        x, steps, eps = self.minibatch(), self.recipe["chain"], self.recipe["eps"]
        sizes = [geometric_schedule(*eps, k / max(1, steps - 1)) for k in range(steps)]
        return x, self.walk(x, model, sizes)

    def walk(self, x, model, sizes):
        """Return where chains from x (n, 2) end after steps of these sizes."""
        return langevin.langevin(x, model.score, sizes, len(sizes))


class TestedDivergence(ContrastiveDivergence):
    """CD whose every step is Metropolis-tested (MALA), and so leaves the model as it is."""

    def walk(self, x, model, sizes):
        return langevin.mala(x, model.value_and_gradient, sizes, len(sizes))[0]


class PersistentChains(Source):
    """PCD: chains of unadjusted steps that begin at data once and then go on for ever."""

    def __init__(self, data, recipe):
        super().__init__(data, recipe)
        self.register_buffer("chains", self.minibatch())

    def pairs(self, model, share: float):
        eps, steps = self.recipe["eps"][0], self.recipe["chain"]
        self.chains = langevin.langevin(self.chains, model.score, eps, steps)
        return self.minibatch(), self.chains


class ReplicaExchange(Source):
    """Persistent chains at several temperatures that exchange their points; beta = 1 counts."""

    def __init__(self, data, recipe):
        super().__init__(data, recipe)
        levels = len(recipe["betas"])
        self.register_buffer("replicas", ebm.BASE * torch.randn(levels, recipe["batch"], 2))

    def pairs(self, model, share: float):
        recipe = self.recipe
        self.replicas, _ = langevin.replica_exchange(
            self.replicas, model.value_and_gradient, recipe["betas"], ebm.BASE,
            [recipe["eps"][0] / beta for beta in recipe["betas"][:-1]], recipe["chain"],
        )  # fmt: skip
        return self.minibatch(), self.replicas[0]


class ShortRun(Source):
    """The sampler as it will be run: from N(0, 9 I), plain steps of `eps`, about 1000.

    The chains' ages are spread evenly over a life, and all advance in every update, so that none
    lags behind the network by more than a life; negatives are those of age 960 to 1040, a tenth.
    The data carry noise that falls to sqrt(2 eps): no chain can be narrower than the noise of its
    last step.
    """

    def __init__(self, data, recipe):
        super().__init__(data, recipe)
        size = recipe["batch"]
        self.register_buffer("chains", START * torch.randn(size, 2))
        self.register_buffer("age", (torch.arange(size) * RESTART // size).float())

    def pairs(self, model, share: float):
        eps, steps = self.recipe["eps"][0], self.recipe["chain"]
        dead = (self.age >= RESTART) | ~(self.chains.abs().amax(1) < GONE)
        fresh = START * torch.randn_like(self.chains)
        x = torch.where(dead[:, None], fresh, self.chains)
        self.age = torch.where(dead, 0, self.age) + steps
        self.chains = langevin.langevin(x, model.score, eps, steps)
        here = self.chains.abs().amax(1) < GONE
        x = self.chains[here & (self.age >= min(OLD, self.age.max().item()))]
        if not len(x):
            raise InputError("every chain has left: start anew with a smaller --step-size")
        noise = geometric_schedule(self.recipe["noise"], math.sqrt(2 * eps), share / 0.7)
        data = self.minibatch()
        return data + noise * torch.randn_like(data), x


SOURCES = {
    "cd": ContrastiveDivergence, "mala": TestedDivergence, "pcd": PersistentChains,
    "replica": ReplicaExchange, "short-run": ShortRun,
}  # fmt: skip
