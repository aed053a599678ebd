"""Train an exercise with several seeds: every number with its mean and its deviation.

    python -m benchmarks.seeds ex_1b              -> figures/ex_1b_seeds.json, with the textbook's
                                                  priors and networks, trained equally long
    python -m benchmarks.seeds ex_2b --seeds 0 1 2 --out-dir few
    python -m benchmarks.seeds ex_2d              maps of the saved model, not trained anew
    python -m benchmarks.seeds ex_3a              every method of exercise 3(a), and its samples

Seeds 0-4 are for reporting; choose settings with seeds 100 and above.  Each training
runs in a folder of its own below --scratch.  One that is finished there with the same settings is
kept, one that was interrupted goes on, and the JSON is written after each.
"""

import importlib
import statistics
from dataclasses import dataclass
from pathlib import Path

import ex_3a
import ex_3b
from common.runtime import results, script
from common.runtime.errors import InputError
from common.runtime.options import Common, Training, option, parse, resume_key
from common.swiss_roll import evaluation

# Epochs of 1(b) are such that each variant trains as many seconds as the script as it stands.
DIAGONAL = ("--covariance", "diagonal")
DENSE = (*DIAGONAL, "--network", "dense", "--width", "512", "--learning-rate", "3e-3")
THOUSAND = ("--nll-digits", "1000")
SHORT = ("--method", "short-run", "--step-size")
VARIANTS = {  # exercise: {variant: arguments}; the one without a name is the script as it stands
    "ex_1b": {"": []}
    | {f"dense_{prior}": [*DENSE, "--prior", prior, "--epochs", n, *THOUSAND]
       for prior, n in (("standard", "108"), ("mixture", "88"))}
    | {f"patch_{prior}": [*DIAGONAL, "--prior", prior, "--epochs", n, *THOUSAND]
       for prior, n in (("standard", "46"), ("gaussian", "44"), ("mixture", "40"))},
    "ex_2b": {"": [], "literal": ["--prior", "standard"]},
    # the saved models: new curves and new maps
    "ex_2d": {"": [], "literal": ["--model", "checkpoints/ex_2b_literal.pt"]},
    "ex_3a": {m: ["--method", m] for m in ex_3a.RECIPES if m != "short-run"}
    | {f"short_{eps}": [*SHORT, eps] for eps in ("0.1", "0.01", "0.001")}
    | {"cd_constant": ["--method", "cd", "--step-size", "0.005"],
       "cd_10000": ["--method", "cd", "--points", "10000"]},
}  # fmt: skip


@dataclass(frozen=True)
class Settings(Common):
    """What is trained."""

    exercise: tuple = option((), f"one of {', '.join(VARIANTS)}")
    seeds: tuple = option((0, 1, 2, 3, 4), "seeds", smoke=(0, 1))
    scratch: str = option("scratch/seeds", "folder for the trainings")
    threads: int = option(0, "CPU threads; 0: the script's own choice", minimum=0, maximum=1024)


def summary(runs: dict) -> dict:
    """Return {"mean": {...}, "std": {...}} over the seeds {seed: numbers}, sample deviation."""
    names = sorted(set.intersection(*map(set, runs.values())))
    columns = {name: [run[name] for run in runs.values()] for name in names}
    deviation = statistics.stdev if len(runs) > 1 else lambda column: 0.0
    measures = {"mean": statistics.mean, "std": deviation}
    return {k: {name: f(c) for name, c in columns.items()} for k, f in measures.items()}


def under_protocol(folder: Path, smoke: bool) -> dict:
    """Return {"sw2_eps_0.1": ...}: the sliced W2 of the model of 3(a) in `folder`, as in 3(b).

    The mean over sampling seeds; kept in protocol.json until the model is trained anew.
    """
    path = folder / "protocol.json"
    if not path.exists():
        arguments = ["--model", str(folder / "checkpoints"), "--threads", "1", *["--smoke"] * smoke]
        script.start(settings := parse(ex_3b.Settings, "", arguments))
        models, _, noise, _ = ex_3b.load_models(settings)
        truth, table = evaluation.true_sets(settings, noise)[::2], {}
        for eps, model in next(iter(models.values())).items():
            runs = [ex_3b.protocol(model.score, eps, settings, k) for k in range(len(truth))]
            found = [evaluation.measure(*pair)["sw2"] for pair in zip(runs, truth, strict=True)]
            table[f"sw2_eps_{eps:g}"] = statistics.mean(found)
        results.save_json(path, table)
    return results.read_json(path)


def trained(exercise: str, arguments: list, seed: int, folder: Path, settings) -> dict:
    """Return the metrics of one training; done in `folder` unless it is finished there."""
    module = importlib.import_module(exercise)
    arguments = [*arguments, "--seed", str(seed), "--out-dir", str(folder)]
    arguments += ["--data-dir", settings.data_dir] * bool(settings.data_dir)
    arguments += ["--threads", str(settings.threads)] * bool(settings.threads)
    arguments += ["--smoke"] * settings.smoke
    wanted = results.to_json(resume_key(parse(module.Settings, "", arguments)))
    for path in folder.glob("figures/*.json"):
        found = results.read_json(path)
        if (wanted | {"data_dir": settings.data_dir}).items() <= found.get("settings", {}).items():
            return found
    (folder / "protocol.json").unlink(missing_ok=True)
    if issubclass(module.Settings, Training):
        arguments += ["--force", *["--resume"] * any(folder.glob("checkpoints/*.resume.pt"))]
    return results.to_json(module.main(arguments))


def main(argv=None) -> dict:
    """Train the seeds that are missing; write and return the numbers of all."""
    positional, unused = ("exercise", "EXERCISE", 1), ("seed", "device")
    settings = parse(Settings, __doc__, argv, positional, without=unused)
    results.keep_shipped(settings, but="exercise scratch")
    (exercise,) = settings.exercise
    if exercise not in VARIANTS:
        raise InputError(f"{exercise!r}: choose one of {', '.join(VARIANTS)}")
    seeds = [int(seed) for seed in settings.seeds]
    if seeds != list(settings.seeds) or min(seeds) < 0:
        raise InputError(f"--seeds {settings.seeds}: give whole numbers from 0")
    table, path = {}, Path(settings.out_dir) / f"figures/{exercise}_seeds.json"
    for variant, arguments in VARIANTS[exercise].items():
        runs, name = {}, variant or exercise
        for seed in seeds[:3] if exercise == "ex_1b" and variant else seeds:
            folder = Path(settings.scratch) / exercise / f"{variant}_{seed}".lstrip("_")
            metrics = trained(exercise, arguments, seed, folder, settings)
            runs[str(seed)] = results.numbers(metrics)
            if exercise == "ex_3a":
                runs[str(seed)] |= under_protocol(folder, settings.smoke)
            table[name] = {k: metrics[k] for k in ("source", "hardware", "settings")}
            table[name] |= {"seeds": runs} | summary(runs)
            print(results.save_json(path, table), f"{name}, seed {seed}", sep=": ", flush=True)
    return table


if __name__ == "__main__":
    script.run(main)
