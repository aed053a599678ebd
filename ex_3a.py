"""Exercise 3(a): train an energy-based model p(x) = exp(f(x)) / Z on the 2-D Swiss roll.

    python ex_3a.py                     -> out/ex_3a_cd.pt, .json, _training.png
    python ex_3a.py --method replica    other negatives: replica, mala, short-run; and nce
    python ex_3a.py --data-dir own      your own points, own/swiss_roll_2d.csv

    grad log-likelihood = E_data[grad f] - E_model[grad f]
    loss = E_negatives[f] - E_data[f] + l2 (E_negatives[f^2] + E_data[f^2])

By default this is contrastive divergence (cd): the negatives, which approximate samples of the
model, are the ends of short Langevin chains that start at the data,

    x <- x + eps grad f(x) + sqrt(2 eps) z,    z ~ N(0, I).

The small l2, which decays, keeps f from drifting.  The network f is in common/ebm.py, its gradient
written out; the negatives of the other methods are in common/swiss_roll/negatives.py.

Without data/swiss_roll_2d.csv the points are scikit-learn's roll.  Its density is known, so that
KL(data || model) is computed, not estimated.  For any points, how well f has learned shows in the
mean log p of held-out ones, since Z is summed on a grid.  If a kernel density estimate of the
training points is better there, by .02 nats and three standard errors, or if exp(f) cannot be
normalised, one line says so and the exit status is 2 (but for short-run, which makes no density).

Expect (seeds 0-4): KL 0.0189 +- 0.0038 nats after about three minutes on one core, twice that on a
busy one; with --method replica 0.0013 +- 0.0003 nats.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from common import ebm
from common.swiss_roll import data as roll_data
from common.swiss_roll import evaluation, figures
from common.swiss_roll.negatives import SOURCES
from common.training import (
    InputError,
    check,
    checkpoint,
    key_of,
    one_thread,
    resumable,
    run,
    save,
    say,
    without_places,
    write,
)

CODE = ("common/ebm.py", "common/langevin.py", "common/swiss_roll/negatives.py")
ROUNDS = 24  # after each the training is saved
FAR = 50.0  # a negative so far out has left the data, in the model's scale
RECIPES = {  # updates; points an update; peak of Adam's rate; Langevin steps, their eps; l2
    "cd": {"updates": 2400, "batch": 256, "rate": 1e-2, "chain": 160, "eps": 0.01,
           "l2": (1e-3, 1e-6)},
    "mala": {"updates": 3400, "batch": 256, "rate": 8e-3, "chain": 40, "eps": 0.06,
             "l2": (1e-3, 1e-6)},
    "replica": {"updates": 10_000, "batch": 512, "rate": 1e-2, "chain": 1, "eps": 0.02,
                "l2": (1e-3, 1e-8)},
    "nce": {"updates": 6000, "batch": 1024, "rate": 3e-3},
    "short-run": {"updates": 5000, "batch": 1024, "rate": 1e-3, "chain": 20, "eps": 0.1,
                  "l2": (1e-3, 1e-5)},
}  # fmt: skip


@dataclass
class Settings:
    method: Literal["cd", "replica", "mala", "nce", "short-run"] = "cd"  # where negatives come from
    updates: int | None = None  # a multiple of 24; default: the method's own, see RECIPES
    batch: int | None = None  # points, and chains, an update; default: the method's own
    eps: float | None = None  # of the Langevin steps, in the roll's scale; default: the method's
    chain: int | None = None  # Langevin steps an update; default: the method's own
    width: int = 64  # units in each of the network's three layers
    noise: float = 0.2  # of the roll, if that is drawn
    points: int = 1_000_000  # of the roll, if that is drawn
    seed: int = 0
    data_dir: str = ""  # folder with swiss_roll_2d.csv; default: data/, the roll if it has none
    out_dir: Path = Path("out")
    restart: bool = False  # forget an unfinished training


def langevin_chain(f, x, eps: float, steps: int):
    """Do `steps` of the assignment's Langevin steps from x (n, 2); return where they end.

    The same step for other programs, and better ones: common/langevin.py.
    """
    for _ in range(steps):
        z = torch.randn_like(x)
        x = x + eps * f.score(x) + math.sqrt(2 * eps) * z
    return x


def contrastive_loss(f, x, negatives, l2: float):
    """E_neg[f] - E_data[f] + l2 (E_neg[f^2] + E_data[f^2]) for x (n, 2), negatives (m, 2): nats."""
    on_data, on_negatives = f(torch.cat([x, negatives])).split([len(x), len(negatives)])
    size = (on_data**2).mean() + (on_negatives**2).mean()
    return on_negatives.mean() - on_data.mean() + l2 * size


def nce_loss(f, x, y):
    """Tell data x from y ~ N(0, 8^2 I), (n, 2) each, by the logit f - log N(0, 8^2 I): nats.

    Noise-contrastive estimation: f becomes a log-density, Z included (Gutmann & Hyvarinen 2010).
    """

    def logit(x):
        log_normal = -(x * x).sum(1) / (2 * ebm.BASE**2) - math.log(2 * math.pi * ebm.BASE**2)
        return f(x) - log_normal

    return F.softplus(-logit(x)).mean() + F.softplus(logit(y)).mean()


def recent(average, weights, n):
    """Average weights with shares that grow as n^8: the last tenth of the updates has 61 %."""
    torch._foreach_lerp_(average, weights, 9 / (int(n) + 10))


def fit(data, settings, unfinished=None, key=None, watch=None):
    """Train f on data (n, 2) in the model's scale; return (averaged network, history).

    history: for each round the mean loss [nats], seconds, and watch(network) if that is given.
    unfinished, key: the file that a stopped training goes on from; see training.resumable.
    Raises InputError when the training diverges.
    """
    recipe = recipe_of(settings)
    torch.manual_seed(settings.seed)
    f = ebm.LogDensity(settings.width)
    average = AveragedModel(f, multi_avg_fn=recent)
    adam = torch.optim.Adam(f.parameters(), recipe["rate"])
    others = torch.nn.Module() if settings.method == "cd" else SOURCES[settings.method](recipe)
    updates = recipe["updates"] // ROUNDS
    history = []

    parts = {"model": f, "average": average, "adam": adam, "negatives": others}
    for done in resumable(unfinished, ROUNDS, key, history, **parts):  # saves each round
        started = time.monotonic()
        losses = torch.zeros(())
        for k in tqdm(range(updates), desc=f"round {done + 1} of {ROUNDS}", leave=False):
            progress = (done + k / updates) / ROUNDS
            adam.param_groups[0]["lr"] = recipe["rate"] * schedule(progress)

            x = data[torch.randint(len(data), (recipe["batch"],))]
            if settings.method == "cd":
                negatives = langevin_chain(f, x, recipe["eps"], recipe["chain"])
            else:
                x, negatives = others(f, x, progress)

            if settings.method == "nce":
                loss = nce_loss(f, x, negatives)
            else:
                first, last = recipe["l2"]
                l2 = first * (last / first) ** min(1.0, progress / 0.6)
                loss = contrastive_loss(f, x, negatives, l2)

            adam.zero_grad()
            loss.backward()
            adam.step()
            average.update_parameters(f)
            losses += loss.detach()

        if not losses.isfinite() or negatives.abs().max() > FAR:
            raise InputError(
                f"diverged in round {done + 1} of {ROUNDS}: the loss is not finite, or the "
                "negatives have left the data; try --method replica, or a smaller --eps --restart"
            )
        row = {"loss": float(losses / updates), "seconds": time.monotonic() - started}
        history.append(row | (watch(average.module) if watch else {}))
    return average.module.eval(), history


def schedule(progress: float) -> float:
    """Return the factor on the learning rate: up during the first twelfth, then half a cosine."""
    return min(1.0, 12 * progress + 0.01) * (0.51 + 0.49 * math.cos(math.pi * progress))


def recipe_of(settings) -> dict:
    """Return the recipe of settings.method with what the settings change in it."""
    recipe = dict(RECIPES[settings.method])
    for name in ("updates", "batch", "eps", "chain"):
        value = getattr(settings, name)
        if value is not None and name not in recipe:
            raise InputError(f"--{name}: {settings.method} takes no Langevin steps")
        recipe[name] = recipe.get(name) if value is None else value
    if settings.method == "short-run" and recipe["eps"] < 0.005:  # f has to become steep
        recipe["rate"] *= 2
    return recipe


def main(settings) -> dict:
    """Train, measure, save, draw, write; return the numbers."""
    check(settings, updates=(ROUNDS, 10**7), batch=(1, 10**6), eps=(1e-9, 10), chain=(1, 10**5))
    check(settings, width=(1, 4096), noise=(0.05, 2), points=(100, 10**8), seed=(0, 2**32 - 2))
    recipe = recipe_of(settings)
    one_thread()
    points = roll_data.load(settings.data_dir, settings.noise, settings.points, settings.seed + 1)
    if points.scale != 1:
        eps = recipe["eps"] or 0.0
        say(
            f"{points.about}: brought to the spread of the roll, divided by {points.scale:.4g}; "
            f"eps = {eps:g} there is {eps * points.scale**2:.3g} here"
        )
    name = f"ex_3a_{settings.method}"
    if settings.method == "short-run":
        name = f"ex_3a_short_{recipe['eps']:g}"
    unfinished = settings.out_dir / f"{name}.unfinished.pt"
    if settings.restart:
        unfinished.unlink(missing_ok=True)
    key = key_of(settings, (points.train,), __file__, *CODE)

    exact = evaluation.ExactKL(points.noise) if points.noise else None
    f, history = fit(points.scaled(points.train), settings, unfinished, key, exact)
    f.shift.copy_(points.shift)
    f.scale.fill_(points.scale)
    content = {"settings": without_places(settings), "about": points.about}
    content |= {"noise": points.noise or 0.0, "held_out": points.held_out[:1000].clone()}
    save(settings.out_dir / f"{name}.pt", checkpoint(f, "ex_3a", torch.float32, **content))

    numbers = {"about": points.about, "settings": content["settings"]}
    numbers |= evaluation.model_numbers(f, points, exact)
    numbers |= {"training_seconds": sum(row["seconds"] for row in history), "history": history}
    print(evaluation.sentence(name, numbers))
    drawn = figures.training(points, f, numbers, history)
    write(settings.out_dir, name, numbers, training=drawn)
    unfinished.unlink(missing_ok=True)
    if settings.method != "short-run":
        evaluation.check_learned(numbers)
    return numbers


if __name__ == "__main__":
    run(main, Settings)
