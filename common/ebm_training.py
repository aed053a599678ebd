"""Train the energy network: one loss, and methods that differ in where their negatives come from.

    loss = E_neg[f] - E_data[f] + l2 (E_neg[f^2] + E_data[f^2])

Its gradient is minus that of the log-likelihood when the negatives are the model's own samples;
the small l2, which falls to next to nothing, keeps f from drifting.  (Hinton 2002; Tieleman 2008;
Nijkamp et al. 2019 for short-run; Gutmann & Hyvarinen 2010 for nce, whose loss is its own.)
"""

import copy

import torch
import torch.nn.functional as F

from common import ebm, langevin, processes, training

# what each method is trained with: chain steps per update, their eps, weights' average, l2
RECIPES = {
    "cd": {"steps": 2400, "batch": 256, "rate": 4e-3, "chain": 40, "eps": 0.06, "average": 0.998,
           "l2": (1e-2, 1e-4)},
    "jump": {"steps": 8000, "batch": 512, "rate": 3e-3, "chain": 1, "eps": 0.01, "average": 0.999,
             "l2": (1e-3, 1e-8)},
    "short-run": {"steps": 3000, "batch": 256, "rate": 1e-3, "chain": 20, "eps": 0.1,
                  "average": 0.998, "l2": (1e-3, 1e-3)},
    "nce": {"steps": 6000, "batch": 1024, "rate": 3e-3, "chain": 0, "eps": 0.01, "average": 0.999,
            "l2": (0.0, 0.0)},
}  # fmt: skip
JUMPS, BUFFER = 4, 4096
RESTART, OLD = 1000, 500  # short-run: steps of a chain's life; age from which it counts
START = 3.0  # standard deviation of the short-run chains' start


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
    """Persistent chains: global jumps y ~ N(0, 8^2 I) by Metropolis, and Langevin steps."""

    def __init__(self, model, data, recipe):
        self.model, self.data, self.recipe = model, data, recipe
        half = processes.own_share(BUFFER) // 2
        self.chains = torch.cat([draw(data, half), 6 * torch.randn(half, 2)])

    @torch.no_grad()
    def pairs(self, share: float):
        """Return (data (n, 2), negatives (n, 2))."""
        index = torch.randint(len(self.chains), (self.recipe["batch"],))
        x = self.chains[index]
        log_p = self.model(x)
        for _ in range(JUMPS):
            x, log_p, _ = langevin.jump(x, log_p, self.model, ebm.BASE)
        if self.recipe["chain"]:
            step = self.model.value_and_gradient
            x, _ = langevin.metropolis_langevin(x, step, self.recipe["eps"], self.recipe["chain"])
        self.chains[index] = x
        return draw(self.data, len(x)), x


class ShortRun:
    """The sampler as it will be run: from N(0, 9 I), plain steps of `eps`, 1000 in a life.

    Only chains older than 500 steps are negatives.
    """

    def __init__(self, model, data, recipe):
        self.model, self.data, self.recipe = model, data, recipe
        self.chains = START * torch.randn(processes.own_share(BUFFER), 2)
        self.age = torch.randint(RESTART, (len(self.chains),))

    @torch.no_grad()
    def pairs(self, share: float):
        """Return (data (n, 2), negatives (n, 2))."""
        index = torch.randint(len(self.chains), (2 * self.recipe["batch"],)).unique()
        x, age, chain = self.chains[index], self.age[index], self.recipe["chain"]
        dead = (age >= RESTART) | (x.abs().amax(1) > 50)
        x = torch.where(dead[:, None], START * torch.randn(len(x), 2), x)
        age = torch.where(dead, 0, age) + chain
        x = langevin.langevin(x, self.model.score, self.recipe["eps"], chain)
        self.chains[index], self.age[index] = x, age
        x = x[age >= OLD]
        noise = falling(0.5, 0.05, share / 0.7)
        data = draw(self.data, max(1, len(x)))
        return data + noise * torch.randn_like(data), x if len(x) else data


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

    def loss_terms(step):
        training.own_random_numbers(seed, step)
        _average(average, model, min(recipe["average"], (step + 1) / (step + 10)))
        if watch and step % max(1, steps // 10) == 0:
            watched.append({"step": step, **watch(average)})
        if method == "nce":
            return _nce(model, draw(data, recipe["batch"]))
        x, y = source.pairs(step / steps)
        on_data, on_negatives = model(x), model(y)
        gap = on_data.mean() - on_negatives.mean()
        l2 = falling(*recipe["l2"], step / (0.6 * steps))
        size = (on_data**2).mean() + (on_negatives**2).mean()
        return {"loss": l2 * size - gap, "energy_gap": gap, "gradient": _norm(model)}

    history = training.train(
        model, loss_terms, optimizer, steps=steps, seed=seed, rate=_rate, shared="all"
    )
    return average.eval(), history | {"watched": watched}


def _rate(step, steps):
    return 0.02 + 0.98 * training.one_cycle(step, steps, min(0.5, 200 / steps))


@torch.no_grad()
def _average(average, model, keep):
    for old, new in zip(average.parameters(), model.parameters(), strict=True):
        old.lerp_(new, 1 - keep)


def _norm(model) -> torch.Tensor:
    """Return the norm of the gradient of the step before."""
    found = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    return torch.stack(found).norm() if found else torch.zeros(())


def _nce(model, x):
    """Tell data from N(0, 8^2 I) by the logit f - log q: f becomes the normalised log-density."""
    y = ebm.BASE * torch.randn_like(x)

    def logit(x):
        return model(x) + (x * x).sum(1) / (2 * ebm.BASE**2) + ebm.LOG_BASE

    loss = F.softplus(-logit(x)).mean() + F.softplus(logit(y)).mean()
    gap = model(x).mean() - model(y).mean()
    return {"loss": loss, "energy_gap": gap.detach(), "gradient": _norm(model)}
