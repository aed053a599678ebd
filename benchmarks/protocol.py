"""Why the samples of exercise 3(b) look as they do, and what would sample better.

    python -m benchmarks.protocol   -> figures/ex_3b_protocol.json, figures/ex_3b_better.png

Everything under the protocol of ex_3b.py, but for the samplers:
noise      the oracle for other noises sigma of the roll: sigma = 0.2 is a guess
mixed      the true score within 3 sigma of the spiral and a model's outside, and the reverse:
           which of the two makes the difference between oracle and model
sides      the oracle at the largest eps: on which side of x1 = 0 its chains are, and stay
samplers   as many gradients, spent better, on the oracle and on the replica model
About eight minutes on 2 cores.
"""

import itertools
from dataclasses import dataclass

import torch

import ex_3b
from common import swiss_roll
from common.langevin import langevin
from common.runtime import results, script
from common.runtime.options import option, parse
from common.runtime.seeding import step_seed
from common.swiss_roll import evaluation, figures, samplers

NOISES = (0.1, 0.3, 0.5)
OUTSIDE = ("cd", "replica", "nce")  # models that are mixed with the truth


@dataclass(frozen=True)
class Settings(ex_3b.Settings):
    """The protocol of the exercise, and more."""

    follow: int = option(100, "further steps that sides are followed", minimum=1, maximum=10**6)


def mixed(near, far, noise: float):
    """Return the field that is `near` within 3 sigma of the spiral and `far` elsewhere."""

    def field(x):
        inside = swiss_roll.nearest(x)[1] < 3 * noise
        return torch.where(inside[:, None], near(x), far(x))

    return field


def sides(settings, noise: float) -> dict:
    """Return where the oracle's chains are at the largest eps, and how many of each side stay.

    "right": share with x1 > 0 after T steps; "right_stays", "left_stays": shares of those on a side
    that are never on the other in settings.follow further steps.
    """
    eps = max(settings.eps)

    def score(x):
        return swiss_roll.score(x, noise)

    x = ex_3b.protocol(score, eps, settings, settings.seed)
    found = {"eps": eps, "right": (x[:, 0] > 0).float().mean().item(), "follow": settings.follow}
    start = swiss_roll.sample(settings.chains, noise, 7)  # the truth: both sides are there
    for name, sign in (("right", 1), ("left", -1)):
        at, stays = start[sign * start[:, 0] > 0.5], []
        seen = torch.ones(len(at), dtype=torch.bool)
        generator = torch.Generator().manual_seed(step_seed(settings.seed, -7))

        def note(step, x, seen=seen, sign=sign, stays=stays):
            seen &= sign * x[:, 0] > 0
            stays.append(seen.float().mean().item())

        langevin(at, score, eps, settings.follow, generator, note)
        found[f"{name}_stays"] = stays
    return found


def better_samplers(settings, targets: dict, truth: list) -> tuple[dict, dict]:
    """Spend as many gradients better on targets {name: log p and its gradient}.

    Returns (table of distances, {(target, sampler): (points, caption)}).
    """
    table, shown = {}, {}
    for target, name in itertools.product(targets, samplers.ALL):
        found = []
        for k in range(settings.repeats):
            torch.manual_seed(settings.seed + k)
            x0 = 3 * torch.randn(settings.chains, 2)
            x = samplers.ALL[name](x0, targets[target], settings.steps)
            found.append(evaluation.measure(x, truth[2 * k]))
        row = table[f"{target}, {name}"] = evaluation.summary(found)
        shown[target, name] = x[:2000].numpy(), f"SW2 {row['sw2']['mean']:.2f}"
        print(f"{target:10s} {name:20s} SW2 {row['sw2']['mean']:.2f}", flush=True)
    return table, shown


def main(argv=None) -> dict:
    """Measure, draw, save the numbers; return them."""
    settings = parse(Settings, __doc__, argv)
    script.start(settings)
    models, names, noise, source = ex_3b.load_models(settings)
    truth = ex_3b.true_sets(settings, noise)
    floor = ex_3b.floor_of(truth)
    replica = next(iter(models["replica"].values()))
    targets = {"oracle": lambda x: swiss_roll.log_density_and_score(x, noise)}
    targets["replica"] = replica.value_and_gradient
    better, shown = better_samplers(settings, targets, truth)
    metrics = {"source": source, "samplers": {"floor": floor} | better}
    metrics["sides"] = sides(settings, noise)

    rows = {}
    for name, eps in itertools.product([n for n in OUTSIDE if n in models], settings.eps):
        pair = {"oracle": lambda x: swiss_roll.score(x, noise), name: models[name][eps].score}
        for near, far in itertools.permutations(pair):
            field = mixed(pair[near], pair[far], noise)
            rows.setdefault(f"{near} near, {far} far", {})[eps] = field
    metrics["mixed"] = ex_3b.sample_all(settings, rows, noise)[0]
    for other in NOISES:
        field = {e: lambda x, s=other: swiss_roll.score(x, s) for e in settings.eps}
        table = ex_3b.sample_all(settings, {"oracle": field}, other)[0]
        floors = {"floor": ex_3b.floor_of(ex_3b.true_sets(settings, other))}
        metrics.setdefault("noise", {})[f"sigma_{other:g}"] = floors | table
    metrics |= {"chains": settings.chains, "steps": settings.steps, "repeats": settings.repeats}
    title = f"{settings.steps} gradients a sample; two true sets: SW2 {floor['sw2']['mean']:.2f}"
    points = swiss_roll.sample(2000, noise, 999).numpy()
    drawn = {"ex_3b_better": figures.panels(shown, points, title)}
    return results.save_results(settings.out_dir, "ex_3b_protocol", metrics, drawn, names)


if __name__ == "__main__":
    script.run(main)
