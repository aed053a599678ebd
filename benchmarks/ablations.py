"""What each choice is worth: trainings that differ from the default in one thing.

    python -m benchmarks.ablations ex_1b    -> figures/ex_1b_ablation.json, a table on the screen

ex_1b: 4 epochs a row unless the row says otherwise.  ex_2b: full length.
Rows already in the file with the same settings are kept, so a stopped run goes on.  About 25
minutes each on 2 cores; ex_1b needs MNIST.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

import data_loader
import ex_1b
import ex_2b
import ex_2c
from common import cvae, training
from common.digits import classifier
from common.digits import data as digit_data
from common.digits import evaluation as digit_evaluation
from common.light_curves import data as curve_data
from common.light_curves import evaluation as curve_evaluation
from common.light_curves import model as curve_model
from common.light_curves import reference, simulation
from common.runtime import results, script
from common.runtime.device import pick_device
from common.runtime.errors import InputError
from common.runtime.options import Common, option, parse, resume_key

WIDE = (0.01, 0.03)  # R_E, sources added to the training set of 2(b) in one row
FULL, SHORT = {"epochs": ex_1b.Settings.epochs}, {"epochs": 4}
AVERAGED = {"beta": 784 / 24}  # BCE averaged over 784 pixels + KL averaged over 24 latents
ROWS_1B = {
    "full, seed 1": {"seed": 1} | FULL,
    "full, seed 2": {"seed": 2} | FULL,
    "default": SHORT,
    "default, seed 1": {"seed": 1} | SHORT,
    "p(z|y): one learned Gaussian a class": {"prior": "gaussian"} | SHORT,
    "p(z|y) = N(0, I)": {"prior": "standard"} | SHORT,
    "p(z|y) = N(0, I), the course's averaged loss": {"prior": "standard"} | AVERAGED | SHORT,
    "8 components a class": {"components": 8} | SHORT,
    "32 components a class": {"components": 32} | SHORT,
    "beta = 0.5": {"beta": 0.5} | SHORT,
    "dense network, 2.5 times the epochs": {"network": "dense", "width": 512, "epochs": 10},
    "no shifted batches": {"shifted": 0.0} | SHORT,
}
ROWS_2B = {
    "seed 1": {"seed": 1},
    "seed 2": {"seed": 2},
    "p(z|p) = N(0, I)": {"prior": "standard"},
    "the course's averaged loss, raw curves, N(0, I)": {"course": True},
    "condition ln p": {"condition": "log"},
    "one Gaussian, no couplings": {"components": 1, "couplings": 0},
    "trained also on p = 0.01, 0.03": {"wide": True},
}


@dataclass(frozen=True)
class Settings(Common):
    """Which exercise."""

    exercise: tuple = option((), "ex_1b or ex_2b")


def rows_of(path, settings, rows, base, measure, more, extra=()):
    """Measure each of `rows` {name: change of `base`} that the JSON at `path` lacks; write each.

    measure: (settings of the row, {what `extra` names in the change}) -> numbers.
    more: goes into the JSON beside "rows"; its "source" must be the same for a row to be kept.
    Returns {name: row}.
    """
    done = results.read_json(path).get("rows", {})
    for name, change in rows.items():
        own = {k: change[k] for k in extra if k in change}
        change = {k: v for k, v in change.items() if k not in own}
        threads = settings.threads or base.threads
        wanted = replace(base, device=settings.device, threads=threads, **change)
        key = results.to_json({**resume_key(wanted, **own), "source": more["source"]})
        key.pop("smoke")
        if not key.items() <= done.get(name, {}).get("settings", {}).items():
            script.start(wanted)
            done[name] = {"settings": key, **measure(wanted, own)}
            results.save_json(path, more | {"rows": done})
        short = (f"{k} {v:.4g}" for k, v in done[name].items() if isinstance(v, float))
        print(name, *short, sep="  ", flush=True)
    return {name: done[name] for name in rows}


def ex_1b_ablation(settings, path: Path) -> dict:
    """Measure -ELBO and quality of samples of each row."""
    data = digit_data.load(settings.data_dir, limit=1500 if settings.smoke else None)
    if not (data.source == digit_data.MNIST or settings.smoke):
        raise InputError("the table is one of MNIST: set --data-dir or MNIST_ROOT")
    reader, _ = classifier.load(settings.out_dir)
    device = pick_device(settings.device)

    def measure(wanted, extra):
        model, history = ex_1b.fit(data, wanted, device)
        bound = digit_evaluation.elbo(model, data.test_images, data.test_labels)
        train = digit_evaluation.elbo(model, data.train_images[:10_000], data.train_labels[:10_000])
        return {
            "seconds": history["seconds"],
            "hardware": history["hardware"],
            "test_negative_elbo_nats": bound["negative_elbo_nats"],
            "test_kl_nats": bound["kl_nats"],
            "train_negative_elbo_nats": train["negative_elbo_nats"],
            **digit_evaluation.sample_quality(model, reader, data),
        }

    rows = {"default": {"epochs": 1}} if settings.smoke else ROWS_1B
    table = {"source": data.source}
    table["rows"] = rows_of(path, settings, rows, ex_1b.Settings(), measure, table)
    return table


def course(train: dict, settings, device):
    """Train the network of 2(a) as the course's reference did; return it and the history.

    Raw magnifications in and out, squared error averaged over samples + KL averaged over latents.
    """
    x = torch.cat([torch.from_numpy(curves) for curves in train.values()]).to(device)
    p = torch.cat([torch.full((len(c),), size) for size, c in train.items()]).to(device)
    architecture = {"prior": "standard", "components": 1, "couplings": 0, "condition": "value"}
    model = curve_model.build(**architecture).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    batch, steps = min(settings.batch, len(x)), settings.steps + settings.refine

    def loss_terms(step):
        index = training.batch_indices(len(x), batch, step, settings.seed)
        mu, logvar = model.encode(x[index], p[index])
        mean = model.decode(cvae.reparameterise(mu, logvar), p[index])[:, :-1]
        square = ((mean - x[index]) ** 2).mean()
        kl = cvae.kl_to_standard(mu, logvar).mean()
        return {"loss": square + kl, "reconstruction": square, "kl": kl}

    history = training.train(model, loss_terms, optimizer, steps=steps, seed=settings.seed)
    return model.eval(), history


def ex_2b_ablation(settings, path: Path) -> dict:
    """Measure -ELBO and distances from held-out curves of each row."""
    folder = simulation.folder_of(settings)
    data, source = curve_data.split(*data_loader.dataloader(folder)), simulation.source_of(folder)
    n, simulated = max(map(len, data.test.values())), simulation.default(settings)
    base = ex_2b.Settings(**({"steps": 20, "refine": 0} if settings.smoke else {}))
    device, table = pick_device(settings.device), {"source": source}

    def measure(wanted, extra):
        train, sizes = data.train, dict(data.test)
        if "wide" in extra:
            more = reference.reference_curves(folder / "wide", WIDE, n // 2, simulated)
            train = {p: pair.reshape(-1, pair.shape[2]) for p, pair in more.items()} | train
            sizes |= dict.fromkeys(WIDE)
        model, history = (course if "course" in extra else ex_2b.fit)(train, wanted, device)
        model, logarithm = model.cpu(), "course" not in extra
        generated = curve_evaluation.sample_by_size(model, sizes, n, wanted.seed, logarithm)
        row = {"seconds": history["seconds"], "hardware": history["hardware"]}
        row["distances"] = curve_evaluation.mean_distances(generated, data.test)
        if "wide" in extra:
            true = reference.reference_curves(folder, ex_2c.SIZES, 1000, simulated)
            some = {p: true[p][0] for p in WIDE}
            row["distances_outside"] = curve_evaluation.mean_distances(generated, some)
        return row | (curve_evaluation.evaluate_elbo(model, data.test) if logarithm else {})

    rows = {"seed 1": {"seed": 1}} if settings.smoke else ROWS_2B
    extra = ["course", "wide"]
    table["rows"] = rows_of(path, settings, rows, base, measure, table, extra)
    return table | curve_evaluation.reference_distances(data)


def main(argv=None) -> dict:
    """Measure the rows of one exercise that are missing; write and return the table."""
    settings = parse(Settings, __doc__, argv, positional=("exercise", "EXERCISE", 1))
    kinds = {"ex_1b": ex_1b_ablation, "ex_2b": ex_2b_ablation}
    (name,) = settings.exercise
    if name not in kinds:
        raise InputError(f"{name!r}: choose one of {', '.join(kinds)}")
    script.start(settings)
    path = Path(settings.out_dir) / f"figures/{name}_ablation.json"
    table = kinds[name](settings, path)
    print(results.save_json(path, table))
    return table


if __name__ == "__main__":
    script.run(main)
