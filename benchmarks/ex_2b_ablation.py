"""What each choice in exercise 2(b) is worth: trainings that differ from the default in one thing.

    python -m benchmarks.ex_2b_ablation    -> figures/ex_2b_ablation.json, a table on the screen

Distances of generated from true curves of held-out sources, as in figures/ex_2b.json.  Rows
already in the file with the same settings and data are kept, so a stopped run goes on.  About two
minutes a row on 2 cores.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

import data_loader
import ex_2b
import ex_2c
from common import (
    artifacts,
    curve_model,
    curve_report,
    curve_sets,
    curve_truth,
    cvae,
    light_curves,
    runtime,
    training,
)
from common.settings import Common, option, parse

WIDE = (0.01, 0.03)  # R_E, sources added to the training set in one row
ROWS = {
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
    """How long a row trains."""

    steps: int = option(ex_2b.Settings.steps, "of a row", minimum=2, smoke=20)


def course(train: dict, settings, device):
    """Train the asked network as the course's reference did; return it and the history.

    Raw magnifications in and out, squared error averaged over samples + KL averaged over latents.
    """
    x = torch.cat([torch.from_numpy(curves) for curves in train.values()]).to(device)
    p = torch.cat([torch.full((len(c),), size) for size, c in train.items()]).to(device)
    shape = {"prior": "standard", "components": 1, "couplings": 0, "condition": "value"}
    model = curve_model.build(**shape).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    batch = min(settings.batch, len(x))

    def loss_terms(step):
        index = training.batch_indices(len(x), batch, step, settings.seed)
        mu, logvar = model.encode(x[index], p[index])
        mean = model.decode(cvae.reparameterise(mu, logvar), p[index])[:, :-1]
        square = ((mean - x[index]) ** 2).mean()
        kl = cvae.kl_to_standard(mu, logvar).mean()
        return {"loss": square + kl, "reconstruction": square, "kl": kl}

    steps = settings.steps + settings.refine
    history = training.train(model, loss_terms, optimizer, steps=steps, seed=settings.seed)
    return model.eval(), history


def measure(change: dict, settings, data) -> dict:
    """Train with `change` on top of the default and return the numbers of the row."""
    change = dict(change)
    averaged, wide = change.pop("course", False), change.pop("wide", False)
    wanted = replace(ex_2b.Settings(steps=settings.steps, threads=settings.threads), **change)
    device, train = runtime.start(wanted), data.train
    if wide:
        folder = light_curves.data_folder(settings)
        simulated = light_curves.default(settings)
        size = max(map(len, train.values()))
        more = curve_truth.truth(folder / "wide", WIDE, size // 2, simulated)
        train = {p: pair.reshape(-1, pair.shape[2]) for p, pair in more.items()} | train
    model, history = (course if averaged else ex_2b.fit)(train, wanted, device)
    model, size = model.cpu(), max(map(len, data.test.values()))
    sizes = {**data.test, **dict.fromkeys(WIDE)} if wide else data.test
    generated = curve_report.drawn(model, sizes, size, wanted.seed, logarithm=not averaged)
    row = {"seconds": history["seconds"], "hardware": history["hardware"]}
    row["distances"] = curve_report.apart(generated, data.test)
    if not averaged:
        row |= curve_report.bound(model, data.test)
    if wide:
        size = 40 if settings.smoke else 1000
        true = curve_truth.truth(folder, ex_2c.SIZES, size, simulated)
        some = {p: true[p][0] for p in WIDE}
        row["distances_outside"] = curve_report.apart(generated, some)
    return row


def main(argv=None) -> dict:
    """Measure the rows that are missing or were made with other settings; write after each."""
    settings = parse(Settings, __doc__, argv)
    path = Path(settings.out_dir) / "figures/ex_2b_ablation.json"
    folder = light_curves.folder_of(settings)
    data, source = (
        curve_sets.split(*data_loader.dataloader(folder)),
        light_curves.source_of(folder),
    )
    done = json.loads(path.read_text()) if path.exists() else {}
    rows = done.get("rows", {})
    for name, change in list(ROWS.items())[: 2 if settings.smoke else None]:
        free = ("threads", "device", "data_dir", "out_dir", "smoke", "resume")
        base = asdict(ex_2b.Settings(steps=settings.steps)) | change | {"source": source}
        wanted = {k: v for k, v in base.items() if k not in free}
        if rows.get(name, {}).get("settings") != artifacts.plain(wanted):
            rows[name] = {"settings": wanted, **measure(change, settings, data)}
            artifacts.save_json(path, {"source": source, "rows": rows})
        row = rows[name]
        near = "  ".join(f"{k} {v:6.3f}" for k, v in row["distances"].items() if k != "by_p")
        bound = row.get("negative_elbo_nats", float("nan"))
        print(f"{name:48s} {row['seconds']:4.0f} s  -ELBO {bound:7.0f}  {near}", flush=True)
    table = {"source": source, "rows": rows, **curve_report.floors(data)}
    artifacts.save_json(path, table)
    return table


if __name__ == "__main__":
    runtime.run(main)
