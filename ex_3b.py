"""Exercise 3(b): 1000 samples by Langevin dynamics at three step sizes, against the truth.

    python ex_3b.py        -> figures/ex_3b.png, ex_3b_time.png, ex_3b_better.png, ex_3b.json

    x0 ~ N(0, 3^2 I),   x <- x + eps grad f(x) + sqrt(2 eps) z,   eps = 0.1, 0.01, 0.001,   T = 1000

for the models of ex_3a.py and, under the same protocol, for the oracle: the roll's own score, which
a perfect model has: where the oracle fails, the protocol is to blame.
The step is in common/langevin.py, the distances are in common/swiss_roll/evaluation.py.
Needs checkpoints/ex_3a_*.pt (shipped).  About two minutes.
Expect at eps = 0.01 a sliced W2 of 3.01 for cd, 2.84 for the oracle, 0.49 for short-run training
(two true sets: 0.47).
"""

import itertools
from dataclasses import dataclass

import torch

from common import ebm, swiss_roll
from common.langevin import langevin
from common.runtime import files, results, script
from common.runtime.errors import InputError
from common.runtime.options import Common, option, parse
from common.runtime.seeding import step_seed
from common.swiss_roll import evaluation, figures, samplers
from common.swiss_roll.data import load_model

METHODS = ("cd", "jump", "short", "nce")  # of ex_3a.py
BLOCK = 1000  # chains that share their random numbers' generator


@dataclass(frozen=True)
class Settings(Common):
    """The protocol of the exercise."""

    eps: tuple = option((0.1, 0.01, 0.001), "step sizes")
    steps: int = option(1000, "T, Langevin steps", minimum=1, maximum=10**8, smoke=20)
    chains: int = option(1000, "samples", minimum=2, maximum=10**6, smoke=50)
    repeats: int = option(5, "sampling seeds", minimum=1, maximum=1000, smoke=1)


def checkpoint_of(method: str, eps: float, out_dir: str):
    """Return the file of a model of ex_3a.py; one trained short-run is there for each eps."""
    name = f"ex_3a_{method}" + (f"_{eps:g}" if method == "short" else "")
    return files.find(f"checkpoints/{name}.pt", out_dir)


def scores(settings, noise: float | None) -> dict:
    """Return {row: {eps: grad log p}}: the oracle, if the data are a roll, and every model."""
    rows = {}
    if noise:
        rows["oracle"] = {eps: lambda x: swiss_roll.score(x, noise) for eps in settings.eps}
    for method, eps in itertools.product(METHODS, settings.eps):
        path = checkpoint_of(method, eps, settings.out_dir)
        if path.is_file():
            rows.setdefault(method, {})[eps] = ebm.load(path).score
    return rows


def protocol(score, eps: float, settings, seed: int, record=None) -> torch.Tensor:
    """Sample as the exercise says with `score`, the gradient of log p: (chains, 2).

    In blocks of 1000 chains, each with its own random numbers: memory is bounded, and a chain
    is the same however many there are.  record: see `langevin`; it sees the first block.
    """
    done = []
    for block in range(-(-settings.chains // BLOCK)):
        generator = torch.Generator().manual_seed(step_seed(seed, block))
        x0 = 3 * torch.randn(BLOCK, 2, generator=generator)
        done.append(langevin(x0, score, eps, settings.steps, generator, record))
        record = None
    return torch.cat(done)[: settings.chains]


def sample_all(settings, rows: dict, truth: list) -> tuple[dict, dict, dict]:
    """Sample every model of `rows` (see `scores`) by the protocol, with every seed, and measure.

    Returns (table of distances, {(row, column): (points, caption)}, distances over the steps).
    """
    table, shown, over_time = {}, {}, {}
    for name, gradients in rows.items():
        for eps, score in gradients.items():
            record = evaluation.StepRecorder(truth[0], settings.steps)
            first, *others = range(settings.seed, settings.seed + settings.repeats)
            runs = [protocol(score, eps, settings, first, record)]
            runs += [protocol(score, eps, settings, seed) for seed in others]
            found = [evaluation.measure(x, truth[2 * k]) for k, x in enumerate(runs)]
            row = table[f"{name}, eps {eps:g}"] = evaluation.summary(found)
            caption = f"SW2 {row['sw2']['mean']:.2f}, diverged {row['diverged']['mean']:.1%}"
            shown[name, f"ε = {eps:g}"] = evaluation.alive(runs[0])[:2000].numpy(), caption
            over_time.setdefault(eps, {})[name] = record.noted
            print(f"{name:8s} eps {eps:<6g} {caption}", flush=True)
    return table, shown, over_time


def better_samplers(settings, noise: float, truth: list) -> tuple[dict, dict]:
    """Spend as many gradients better, on the true score and on the jump model: as `sample_all`."""
    model = ebm.load(checkpoint_of("jump", 0, settings.out_dir))
    targets = {
        "oracle": lambda x: swiss_roll.log_density_and_score(x, noise),
        "jump model": model.value_and_gradient,
    }
    table, shown = {}, {}
    for target, name in itertools.product(targets, samplers.ALL):
        found = []
        for k in range(settings.repeats):
            torch.manual_seed(settings.seed + k)
            x0 = 3 * torch.randn(settings.chains, 2)
            x = samplers.ALL[name](x0, targets[target], settings.steps)
            found.append(evaluation.measure(x, truth[2 * k]))
        row = table[f"{target}, {name}"] = evaluation.summary(found)
        caption = f"SW2 {row['sw2']['mean']:.2f}"
        shown[target, name] = x[:2000].numpy(), caption
        print(f"{target:10s} {name:20s} {caption}", flush=True)
    return table, shown


def main(argv=None) -> dict:
    """Sample, measure, draw, save the numbers; return them."""
    settings = parse(Settings, __doc__, argv)
    script.start(settings)
    if not settings.eps or not all(0 < eps <= 100 for eps in settings.eps):
        raise InputError(f"--eps {settings.eps}: step sizes must be above 0 and at most 100")
    content = load_model(checkpoint_of("cd", 0, settings.out_dir))[1]
    noise = content["noise"] or swiss_roll.NOISE
    first, count = 1000 + 10_000 * settings.seed, 2 * settings.repeats  # two sets for each x0
    truth = [swiss_roll.sample(settings.chains, noise, first + k) for k in range(count)]
    floor = [evaluation.measure(a, b) for a, b in itertools.combinations(truth, 2)]
    floor, rows = evaluation.summary(floor), scores(settings, content["noise"])
    table, shown, over_time = sample_all(settings, rows, truth)
    better, better_shown = better_samplers(settings, noise, truth)

    title = f"{content['source']}; x₀ ~ N(0, 3² I), T = {settings.steps}, {settings.chains} chains"
    two = f"two true sets: SW2 {floor['sw2']['mean']:.2f}"
    points = swiss_roll.sample(2000, noise, 999).numpy()
    where = torch.cartesian_prod(*[torch.linspace(-15, 15, 25)] * 2)
    fields = {"truth": swiss_roll.score(where, noise)}
    fields |= {m: next(iter(rows[m].values()))(where) for m in ("cd", "jump") if m in rows}
    drawn = {
        "ex_3b": figures.panels(shown, points, f"{title}\n{two}"),
        "ex_3b_time": figures.over_time(over_time, floor, where, fields, title),
        "ex_3b_better": figures.panels(
            better_shown, points, f"the same {settings.steps} steps, better samplers; {two}"
        ),
    }
    metrics = {"table": {"floor": floor} | table | better, "source": content["source"]}
    metrics |= {"chains": settings.chains, "steps": settings.steps, "repeats": settings.repeats}
    metrics["over_time"] = {f"eps_{eps:g}": lines for eps, lines in over_time.items()}
    names = {checkpoint_of(m, e, ".").stem for m in rows if m != "oracle" for e in rows[m]}
    return results.save_results(settings.out_dir, "ex_3b", metrics, drawn, sorted(names))


if __name__ == "__main__":
    script.run(main)
