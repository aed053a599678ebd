"""Exercise 3(b): 1000 samples by Langevin dynamics at three step sizes, against the truth.

    python ex_3b.py    -> out/ex_3b.png, out/ex_3b_densities.png, out/ex_3b.json

    x0 ~ N(0, 3^2 I),   x <- x + eps grad f(x) + sqrt(2 eps) z,   eps = 0.1, 0.01, 0.001,   T = 1000

for the models of ex_3a.py and for the oracle, the exact score of the roll.  Where the oracle fails,
the cause is the sampler, not the model.
The step is in common/langevin.py, the distances are in common/swiss_roll/evaluation.py.  Why the
samples look as they do: docs/questions.md.
The models are those of --model, a file or a folder, else the shipped checkpoints/ex_3a_*.pt, each
replaced by out/ex_3a_*.pt of the same name where ex_3a.py has made one.  About two minutes.
Expect for cd, seeds 0-4, sliced W2 2.71 +- 0.28, 2.99 +- 0.13, 3.00 +- 0.07 for eps = 0.1, 0.01,
0.001 (the true score: 3.47, 2.84, 3.04; two true sets: 0.47).
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch

from common import swiss_roll
from common.langevin import langevin
from common.runtime import checkpoints, results, script
from common.runtime.errors import InputError
from common.runtime.options import Drawing, option, parse
from common.runtime.seeding import step_seed
from common.swiss_roll import evaluation, figures
from common.swiss_roll.data import load_model

METHODS = ("cd", "mala", "replica", "pcd", "nce", "short")  # of ex_3a.py
BLOCK = 1000  # chains that share their random numbers' generator


@dataclass(frozen=True)
class Settings(Drawing):
    """The protocol of the exercise."""

    model: str = option(
        "", "checkpoint, or folder of ex_3a_*.pt (default: those in --out-dir, else the shipped)"
    )
    eps: tuple = option((0.1, 0.01, 0.001), "step sizes")
    steps: int = option(1000, "T, Langevin steps", minimum=1, maximum=10**8, smoke=20)
    chains: int = option(1000, "samples", minimum=2, maximum=10**6, smoke=50)
    repeats: int = option(5, "sampling seeds", minimum=1, maximum=1000, smoke=1)


def load_models(settings) -> tuple[dict, float, str]:
    """Return ({method: {eps: network}}, noise of their roll, their source).

    One trained short-run is there for each eps.  Raises InputError if there is no model, and if
    they were trained on different data, or on no roll.
    """
    distinct = {f"{eps:g}" for eps in settings.eps if 0 < eps <= 100}
    if not distinct or len(distinct) < len(settings.eps):
        words = "above 0, at most 100; they must differ in their first six digits"
        raise InputError(f"--eps {settings.eps}: give distinct step sizes {words}")
    if settings.model and not Path(settings.model).exists():
        raise InputError(f"--model {settings.model}: no such file or folder")
    models, loaded = {}, {}
    for method, eps in itertools.product(METHODS, settings.eps):
        name = f"ex_3a_{method}" + (f"_{eps:g}" if method == "short" else "")
        path = model_path(settings, name)
        if path.stem == name and path.is_file():
            loaded[path] = loaded.get(path) or load_model(path)
            models.setdefault(method, {})[eps] = loaded[path][0]
    folder = settings.model or checkpoints.SHIPPED
    sources = {content["source"]: path for path, (_, content) in loaded.items()}
    if not sources:
        words = "no model for these --eps called ex_3a_METHOD.pt: run `python ex_3a.py`"
        raise InputError(f"{folder}: {words}")
    if len(sources) > 1:
        names = ", ".join(str(checkpoints.shown(path)) for path in sources.values())
        raise InputError(f"{names} are of different data; choose with --model")
    announce(loaded)
    _, content = next(iter(loaded.values()))
    if not content["noise"]:
        raise InputError(f"{content['source']}: there is no truth to compare with")
    return models, content["noise"], content["source"]


def model_path(settings, name: str) -> Path:
    """Return where the checkpoint NAME.pt would be: --model, --out-dir, or the shipped one."""
    if settings.model and Path(settings.model).is_dir():
        return Path(settings.model) / f"{name}.pt"
    return checkpoints.find(name, settings.model, settings.out_dir)


def announce(loaded: dict) -> None:
    """Say in one line on standard error which checkpoints are read: loaded {path: (f, content)}."""
    path, (_, content) = next(iter(loaded.items()))
    if len(loaded) == 1:
        checkpoints.announce(path, content)
        return
    own = [path for path in loaded if path.parent != checkpoints.SHIPPED]
    if len(own) in (0, len(loaded)):
        also = ""
        folder = path.parent
    else:
        also = f"; in place of shipped ones {', '.join(map(str, own))}"
        folder = checkpoints.SHIPPED
    source = {"source": content["source"]}  # each method has its own number of steps
    checkpoints.announce(folder / "ex_3a_*.pt", source, also)


def protocol(score, eps: float, settings, seed: int, record=None) -> torch.Tensor:
    """Sample as the exercise says with `score`, the gradient of log p: (chains, 2).

    In blocks of 1000 chains, each with its own random numbers: memory is bounded, and a chain
    is the same however many there are.  record: see `langevin`; it sees the first block.
    """
    done = []
    for block in range(-(-settings.chains // BLOCK)):
        generator = torch.Generator().manual_seed(step_seed(seed, block))
        x0 = 3 * torch.randn(BLOCK, 2, generator=generator)
        noted = None if block else record
        done.append(langevin(x0, score, eps, settings.steps, generator, noted))
    return torch.cat(done)[: settings.chains]


def sample_all(settings, scores: dict, noise: float, truth: list) -> tuple[dict, dict, dict]:
    """Sample by the protocol with every seed, and measure: scores {row: {eps: grad log p}}.

    truth: true sets of this `noise`, two for each seed.  Returns (table of distances, {(row,
    column): (points, caption)}, distances over the steps).
    """
    table, shown, over_time = {}, {}, {}
    for name, eps in ((row, eps) for row in scores for eps in scores[row]):
        record, score = evaluation.StepRecorder(truth[0], settings.steps, noise), scores[name][eps]
        runs = [
            protocol(score, eps, settings, settings.seed + k, None if k else record)
            for k in range(settings.repeats)
        ]
        found = [evaluation.measure(x, truth[2 * k]) for k, x in enumerate(runs)]
        row = table[f"{name}, eps {eps:g}"] = evaluation.summary(found)
        arrived = zip(record.noted.get("step", []), record.noted.get("arrived", []), strict=True)
        row["half_arrived_step"] = next((step for step, share in arrived if share >= 0.5), None)
        caption = f"SW2 {row['sw2']['mean']:.2f}"
        caption += f", {row['diverged']['mean']:.0%} lost" if row["diverged"]["mean"] else ""
        shown[name, f"ε = {eps:g}"] = evaluation.alive(runs[0])[:2000].numpy(), caption
        over_time.setdefault(eps, {})[name] = record.noted
        print(f"{name:8s} eps {eps:<6g} {caption}", flush=True)
    return table, shown, over_time


def main(argv=None) -> dict:
    """Sample, measure, draw, save the numbers; return them."""
    settings = parse(Settings, __doc__, argv, without=("data_dir", "device"))
    script.start(settings)
    models, noise, source = load_models(settings)
    truth = evaluation.true_sets(settings, noise)
    floor = evaluation.floor_of(truth)
    oracle = {eps: lambda x: swiss_roll.score(x, noise) for eps in settings.eps}
    scores = {m: {eps: model.score for eps, model in models[m].items()} for m in models}
    table, shown, over_time = sample_all(settings, {"oracle": oracle} | scores, noise, truth)

    print("SW2: sliced Wasserstein distance; two true sets:", f"{floor['sw2']['mean']:.2f}")
    points = swiss_roll.sample(2000, noise, 999).numpy()
    said = f"{source}\n{settings.chains} chains, T = {settings.steps}; two true sets: SW2 "
    drawn = {
        "ex_3b": figures.panels(shown, points, f"{said}{floor['sw2']['mean']:.2f}"),
        "ex_3b_densities": figures.densities(evaluation.density_pictures(models, noise), source),
    }
    metrics = {"table": {"floor": floor} | table, "source": source}
    metrics |= {"chains": settings.chains, "steps": settings.steps, "repeats": settings.repeats}
    metrics["over_time"] = {f"eps_{eps:g}": lines for eps, lines in over_time.items()}
    return results.save_results(settings.out_dir, "ex_3b", metrics, drawn)


if __name__ == "__main__":
    script.run(main)
