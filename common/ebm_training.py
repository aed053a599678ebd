"""Train the energy network: one loss, and methods that differ in where their negatives come from.

    loss = E_neg[f] - E_data[f] + l2 (E_neg[f^2] + E_data[f^2])

Its gradient is minus that of the log-likelihood when the negatives are the model's own samples;
the small l2, which falls to next to nothing, keeps f from drifting.  (Hinton 2002; Tieleman 2008;
Nijkamp et al. 2019 for short-run; Gutmann & Hyvarinen 2010 for nce, whose loss is its own.)
"""

import copy
import math

import torch
import torch.nn.functional as F

from common import ebm, langevin, processes, training
from common.settings import InputError

# what each method is trained with: chain steps per update, their eps, weights' average, l2
RECIPES = {
    "cd": {"steps": 1800, "batch": 512, "rate": 4e-3, "chain": 40, "eps": 0.06, "average": 0.998,
           "l2": (1e-2, 1e-4)},
    "jump": {"steps": 14000, "batch": 512, "rate": 1e-2, "chain": 1, "eps": 0.01, "average": 0.999,
             "l2": (1e-3, 1e-8)},
    "short-run": {"steps": 5000, "batch": 1024, "rate": 1e-3, "chain": 20, "eps": 0.1,
                  "average": 0.998, "l2": (1e-3, 1e-5), "noise": 0.6},
    "nce": {"steps": 6000, "batch": 1024, "rate": 3e-3, "chain": 0, "eps": 0.01, "average": 0.999,
            "l2": (0.0, 0.0)},
}  # fmt: skip
JUMPS = 2  # an update
RESTART, OLD = 1040, 960  # short-run: steps of a chain's life; age from which it counts
START, GONE = 3.0, 50.0  # standard deviation of the short-run chains' start; out of sight


def recipe_of(settings) -> dict:
    """Return the recipe of settings.method with what the settings of ex_3a.py change in it."""
    recipe = dict(RECIPES[settings.method])
    recipe |= {key: value for key in ("steps", "batch") if (value := getattr(settings, key))}
    recipe |= {"chain": settings.chain} if settings.chain >= 0 else {}
    if settings.method == "short-run":
        recipe["eps"] = settings.step_size
        if settings.step_size < 0.005:  # little time: f has to become steep
            recipe["rate"] *= 2
    return recipe


def draw(data, size: int) -> torch.Tensor:
    """Return `size` random points of `data` (n, 2)."""
    return data[torch.randint(len(data), (size,))]


def falling(first: float, last: float, share: float) -> float:
    """Return the value between first and last at `share` of the way, evenly in the logarithm."""
    return first * (last / first) ** min(1.0, share) if first else 0.0


class Contrastive:
    """CD: chains start at this step's data: Langevin steps, Metropolis-corrected unless `plain`."""

    def __init__(self, model, data, recipe, plain=False):
        self.model, self.data, self.recipe, self.plain = model, data, recipe, plain

    def pairs(self, share: float):
        """Return (data (n, 2), negatives (n, 2))."""
        x, eps, chain = (
            draw(self.data, self.recipe["batch"]),
            self.recipe["eps"],
            self.recipe["chain"],
        )
        if self.plain:  # they stand less than the tested ones
            eps = falling(0.4 * eps, 0.06 * eps, share / 0.6)
            return x, langevin.langevin(x, self.model.score, eps, chain)
        return x, langevin.metropolis_langevin(x, self.model.value_and_gradient, eps, chain)[0]


class Jumping:
    """Persistent chains: tested jumps, proposed by a histogram of the data, and tested Langevin.

    `chain` Langevin steps in each fourth update; the jumps alone have the right law too, and the
    steps move the chains within the cells of the histogram.
    """

    def __init__(self, model, data, recipe):
        self.model, self.data, self.recipe, self.updates = model, data, recipe, 0
        try:
            self.proposal = langevin.Histogram(data)
        except ValueError as error:
            raise InputError(f"{error}; scale the data, or use --method cd") from error
        self.chains = draw(data, recipe["batch"])

    @torch.no_grad()
    def pairs(self, share: float):
        """Return (data (n, 2), negatives (n, 2))."""
        x = self.chains
        log_p = self.model(x)
        for _ in range(JUMPS):
            x, log_p, _ = langevin.jump(x, log_p, self.model, self.proposal)
        self.updates += 1
        if self.recipe["chain"] and self.updates % 4 == 0:
            step = self.model.value_and_gradient
            x, _ = langevin.metropolis_langevin(x, step, self.recipe["eps"], self.recipe["chain"])
        self.chains = x
        return draw(self.data, len(x)), x


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
        noise = falling(self.recipe["noise"], math.sqrt(2 * eps), share / 0.7)
        data = draw(self.data, self.recipe["batch"])
        return data + noise * torch.randn_like(data), x

    def _gradient(self, x):
        return self.model.value_and_gradient(x)[1]


def fit(data, method: str, recipe: dict, seed: int, width: int, watch=None, plain=False):
    """Train an energy network on data (n, 2); return (averaged network, history).

    watch: called as watch(average, step) about ten times; what it returns (a dict of numbers)
    goes into the history.  Raises InputError when a term is not finite.
    Of torchrun's processes each has its share of the batch, its own chains and random numbers.
    """
    recipe = recipe | {"batch": processes.own_share(recipe["batch"])}
    torch.manual_seed(training.step_seed(seed, -1))
    model = ebm.Energy(width)
    average = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), recipe["rate"], fused=True)
    kinds = {"cd": Contrastive, "jump": Jumping, "short-run": ShortRun}
    options = {"plain": plain} if method == "cd" else {}
    source = kinds[method](model, data, recipe, **options) if method in kinds else None
    steps, watched = recipe["steps"], []
    kept, weights = [*average.parameters()], [*model.parameters()]

    def loss_terms(step):
        training.own_random_numbers(seed, step)
        _average(kept, weights, min(recipe["average"], (step + 1) / (step + 10)))
        if watch and step % max(1, steps // 10) == 0:
            watched.append({"step": step, **watch(average)})
        if method == "nce":
            return _nce(model, draw(data, recipe["batch"])) | {"gradient": _norm(weights)}
        x, y = source.pairs(step / steps)
        on_data, on_negatives = model(torch.cat([x, y])).split([len(x), len(y)])
        gap = on_data.mean() - on_negatives.mean()
        l2 = falling(*recipe["l2"], step / (0.6 * steps))
        size = (on_data**2).mean() + (on_negatives**2).mean()
        return {"loss": l2 * size - gap, "energy_gap": gap, "gradient": _norm(weights)}

    history = training.train(
        model, loss_terms, optimizer, steps=steps, seed=seed, rate=_rate, shared="all",
        lower="--step-size, or another --seed",
    )  # fmt: skip
    return average.eval(), history | {"watched": watched}


def _rate(step, steps):
    return 0.02 + 0.98 * training.one_cycle(step, steps, min(0.5, 200 / steps))


@torch.no_grad()
def _average(average, model, keep):
    torch._foreach_lerp_(average, model, 1 - keep)


def _norm(weights) -> torch.Tensor:
    """Return the norm of the gradient of the step before."""
    found = [p.grad for p in weights if p.grad is not None]
    return torch.nn.utils.get_total_norm(found) if found else torch.zeros(())


def _nce(model, x):
    """Tell data from N(0, 8^2 I) by the logit f - log N(0, 8^2 I): f becomes a log-density."""
    y = ebm.BASE * torch.randn_like(x)

    def logit(x):
        return model(x) + (x * x).sum(1) / (2 * ebm.BASE**2) + ebm.LOG_BASE

    loss = F.softplus(-logit(x)).mean() + F.softplus(logit(y)).mean()
    gap = model(x).mean() - model(y).mean()
    return {"loss": loss, "energy_gap": gap.detach()}
