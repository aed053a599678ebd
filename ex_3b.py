"""Exercise 3(b): 1000 samples by Langevin dynamics at three step sizes, against the truth.

    python ex_3b.py                        -> out/ex_3b_samples.png, out/ex_3b.json
    python ex_3b.py --model mine/ex_3a_cd.pt

    x0 ~ N(0, 3^2 I),   x <- x + eps grad f(x) + sqrt(2 eps) z,   eps = 0.1, 0.01, 0.001,   T = 1000

for models of ex_3a.py and for the exact score of the roll.  Where the exact score fails, the cause
is the sampler, not the model.  The rows: the exact score; cd, the assignment's training; replica,
the best model; short-run, one network for each eps, whose chains are trained to end on the data
after 1000 steps, and which is no density.

Two numbers say how good samples are: their mean distance from the spiral (t cos t, t sin t), and
their unevenness along it, the Kolmogorov-Smirnov distance of the t of the nearest point from
uniform: 0 is even, 1 is all in one place.  The floor is that of true points.  The step is in
common/langevin.py.

A model of your own points, --model, is compared with those that its training held out: mean
distance to the nearest of them, and sliced W2.  x0 and eps are in the roll's scale: see Points in
common/swiss_roll/data.py.

Expect for cd, seeds 0-4, and eps = 0.1, 0.01, 0.001: mean distance from the spiral 0.59 +- 0.03,
0.17 +- 0.00, 0.54 +- 0.13 (true points: 0.16); exact score 1.88, 0.17, 0.16; unevenness 0.46 +-
0.03, 0.47 +- 0.02, 0.46 +- 0.01 (true points: 0.03); exact score 0.17, 0.46, 0.47.  Takes two
minutes on one core.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from common import ebm, swiss_roll, training
from common.langevin import langevin
from common.swiss_roll import evaluation, figures
from common.training import InputError, check, one_thread, run, say, write

ROWS = {"cd": "ex_3a_cd", "replica": "ex_3a_replica", "short-run": "ex_3a_short_{eps:g}"}


@dataclass
class Settings:
    model: str = ""  # one checkpoint of ex_3a.py; default: those in --out-dir, else the shipped
    eps: tuple[float, ...] = (0.1, 0.01, 0.001)  # step sizes
    steps: int = 1000  # T
    chains: int = 1000  # samples
    repeats: int = 5  # sampling seeds
    seed: int = 0
    out_dir: Path = Path("out")


def protocol(score, eps: float, settings, seed: int) -> torch.Tensor:
    """Sample as the exercise says with `score`, the gradient of log p: (chains, 2)."""
    generator = torch.Generator().manual_seed(seed)
    x0 = 3 * torch.randn(settings.chains, 2, generator=generator)
    return langevin(x0, score, eps, settings.steps, generator)


def load_models(settings) -> tuple[dict, dict]:
    """Return ({row: {eps: f}}, content of the first checkpoint).

    Raises InputError if there is no model, and if they were trained on different points.
    """
    models = {}
    contents = {}
    if settings.model:
        f, content = load(Path(settings.model))
        models[content["settings"]["method"]] = dict.fromkeys(settings.eps, f)
        contents[settings.model] = content
    else:
        for row, name in ROWS.items():
            paths = {eps: training.find_model(name.format(eps=eps), "", settings.out_dir)
                     for eps in settings.eps}  # fmt: skip
            if not all(path.exists() for path in paths.values()):
                continue  # no short-run model was trained for another eps
            loaded = {path: load(path) for path in dict.fromkeys(paths.values())}
            models[row] = {eps: loaded[path][0] for eps, path in paths.items()}
            contents |= {str(path): content for path, (_, content) in loaded.items()}
    if not contents:
        raise InputError("no model: run python ex_3a.py, or give --model, a checkpoint of it")
    first = next(iter(contents.values()))
    for path, content in contents.items():
        say(f"reading {path}: {content['about']}, {content['settings']['method']}")
        if content["about"] != first["about"]:
            raise InputError(f"{path}: {content['about']}, the others: {first['about']}; --model?")
    return models, first


def load(path) -> tuple:
    """Return (f, content) of a checkpoint of ex_3a.py."""
    return training.load(path, "ex_3a", lambda c: ebm.LogDensity(c["settings"]["width"]))


def true_points(content, f, settings) -> list:
    """Return sets of true points (n, 2) in the model's scale, two for each sampling seed.

    They are drawn from the roll, or are parts of the points that the training held out.
    """
    n = settings.chains
    if content["noise"]:
        first = 1000 + 10_000 * settings.seed
        count = 2 * settings.repeats
        return [swiss_roll.sample(n, content["noise"], first + k) for k in range(count)]
    held_out = (content["held_out"] - f.shift) / f.scale
    half = len(held_out) // 2
    return [held_out[:half], held_out[half:]] * settings.repeats


def sample_all(settings, scores: dict, truth: list, on_roll: bool) -> tuple[dict, dict]:
    """Sample with each of scores {row: {eps: grad log p}}, with every seed, and measure.

    Returns ({row: {eps: distances}}, {row: [(points, caption), ...]}).
    """
    table = {}
    shown = {}
    for row, by_eps in scores.items():
        table[row] = {}
        shown[row] = []
        for eps, score in by_eps.items():
            runs = [
                protocol(score, eps, settings, settings.seed + k) for k in range(settings.repeats)
            ]
            rows = [evaluation.measure(x, truth[2 * k], on_roll) for k, x in enumerate(runs)]
            numbers = evaluation.summary(rows)
            table[row][f"{eps:g}"] = numbers
            caption = words(numbers, on_roll)
            shown[row].append((evaluation.alive(runs[0])[:2000], caption))
            print(f"{row:12s} eps {eps:<6g} {caption}", flush=True)
    return table, shown


def words(numbers: dict, on_roll: bool) -> str:
    """Say in a few words what `measure` found."""
    second = "unevenness" if on_roll else "sw2"
    caption = f"distance {numbers['distance']['mean']:.2f}, "
    caption += f"{'SW2' if second == 'sw2' else second} {numbers[second]['mean']:.2f}"
    lost = numbers["lost"]["mean"]
    return caption + (f", {lost:.0%} lost" if lost else "")


def main(settings) -> dict:
    """Sample, measure, draw, write; return the numbers."""
    check(settings, steps=(1, 10**8), chains=(2, 10**6), repeats=(1, 1000), seed=(0, 400_000))
    distinct = {f"{eps:g}" for eps in settings.eps if 0 < eps <= 100}
    if not distinct or len(distinct) < len(settings.eps):
        raise InputError(f"--eps {settings.eps}: give distinct step sizes above 0, at most 100")
    one_thread()
    models, content = load_models(settings)
    noise = content["noise"]
    first = next(iter(next(iter(models.values())).values()))

    scores = {}
    if noise:
        exact = dict.fromkeys(settings.eps, lambda x: swiss_roll.score(x, noise))
        scores["exact score"] = exact
    for row, by_eps in models.items():
        scores[row] = {eps: scaled_score(f) for eps, f in by_eps.items()}
    truth = true_points(content, first, settings)
    on_roll = bool(noise)
    floor = evaluation.floor_of(truth if noise else truth[:2], on_roll)
    table, shown = sample_all(settings, scores, truth, on_roll)
    print(f"two true sets: {words(floor, on_roll)}")

    title = (
        f"{settings.chains} samples after {settings.steps} steps; {content['about']}\n"
        f"true points: {words(floor, on_roll)}"
    )
    if "short-run" in shown:
        shown["short-run, no density"] = shown.pop("short-run")
    columns = [f"ε = {eps:g}" for eps in settings.eps]
    drawn = figures.samples(shown, truth[0], columns, title)
    numbers = {"table": table, "floor": floor, "about": content["about"]}
    numbers |= {"chains": settings.chains, "steps": settings.steps, "repeats": settings.repeats}
    return write(settings.out_dir, "ex_3b", numbers, samples=drawn)


def scaled_score(f):
    """Return the gradient of f in the model's own scale, u = (x - shift) / scale: (n, 2)."""
    return lambda u: f.score(f.shift + f.scale * u) * f.scale


if __name__ == "__main__":
    run(main, Settings)
