"""What each choice of exercise 2(b) is worth: trainings that differ from the default in one thing.

    python -m benchmarks.ablations          -> figures/ex_2b_ablation.json, a table on the screen

Rows already in the file with the same settings are kept, so a stopped run goes on.  About 25
minutes on 2 cores.  Those of exercise 1(b) are variants in benchmarks/seeds.py.
"""

from dataclasses import replace
from pathlib import Path

import data_loader
import ex_2b
import ex_2c
from common import cvae, training
from common.light_curves import data as curve_data
from common.light_curves import evaluation as curve_evaluation
from common.light_curves import model as curve_model
from common.light_curves import reference, simulation
from common.runtime import results, script
from common.runtime.device import pick_device
from common.runtime.options import Common, parse, resume_key

import torch

WIDE = (0.01, 0.03)  # R_E, sources added to the training set of 2(b) in one row
ROWS = {
    "seed 1": {"seed": 1},
    "seed 2": {"seed": 2},
    "p(z|p) = N(0, I)": {"prior": "standard"},
    "the course's averaged loss, raw curves, N(0, I)": {"course": True},
    "condition ln p": {"condition": "log"},
    "one Gaussian, no couplings": {"components": 1, "couplings": 0},
    "trained also on p = 0.01, 0.03": {"wide": True},
}


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
        mean = model.decode(cvae.reparameterise(mu, logvar)[0], p[index])[:, :-1]
        square = ((mean - x[index]) ** 2).mean()
        kl = cvae.kl_to_standard(mu, logvar).mean()
        return {"loss": square + kl, "reconstruction": square, "kl": kl}

    history = training.train(model, loss_terms, optimizer, steps=steps, seed=settings.seed)
    return model.eval(), history


def main(argv=None) -> dict:
    """Measure the rows that the JSON lacks, write each at once; return the table."""
    settings = parse(Common, __doc__, argv)
    script.start(settings)
    path = Path(settings.out_dir) / "figures/ex_2b_ablation.json"
    folder = simulation.folder_of(settings)
    data, source = curve_data.split(*data_loader.dataloader(folder)), simulation.source_of(folder)
    base = ex_2b.Settings(**({"steps": 20, "refine": 0} if settings.smoke else {}))
    base = replace(base, device=settings.device, threads=settings.threads or base.threads)
    done = results.read_json(path).get("rows", {})
    rows = {"seed 1": {"seed": 1}} if settings.smoke else ROWS
    for name, change in rows.items():
        extra = {k: True for k in ("course", "wide") if k in change}
        wanted = replace(base, **{k: v for k, v in change.items() if k not in extra})
        key = results.to_json({**resume_key(wanted, **extra), "source": source})
        key.pop("smoke")
        if not key.items() <= done.get(name, {}).get("settings", {}).items():
            script.start(wanted)
            done[name] = {"settings": key, **measured(data, folder, wanted, settings, extra)}
            results.save_json(path, {"source": source, "rows": done})
        short = (f"{k} {v:.4g}" for k, v in done[name].items() if isinstance(v, float))
        print(name, *short, sep="  ", flush=True)
    table = {"source": source, "rows": {name: done[name] for name in rows}}
    print(results.save_json(path, table | curve_evaluation.reference_distances(data)))
    return table


def measured(data, folder, wanted, settings, extra) -> dict:
    """Train as `wanted`, with the loss of the "course" or "wide", on two sources more; measure."""
    n, simulated = max(map(len, data.test.values())), simulation.default(settings)
    train, sizes = data.train, dict(data.test)
    if "wide" in extra:
        more = reference.reference_curves(folder / "wide", WIDE, n // 2, simulated)
        train = {p: pair.reshape(-1, pair.shape[2]) for p, pair in more.items()} | train
        sizes |= dict.fromkeys(WIDE)
    fit = course if "course" in extra else ex_2b.fit
    model, history = fit(train, wanted, pick_device(settings.device))
    model, logarithm = model.cpu(), "course" not in extra
    generated = curve_evaluation.sample_by_size(model, sizes, n, wanted.seed, logarithm)
    row = {"seconds": history["seconds"], "hardware": history["hardware"]}
    row["distances"] = curve_evaluation.mean_distances(generated, data.test)
    if "wide" in extra:
        true = reference.reference_curves(folder, ex_2c.SIZES, 1000, simulated)
        some = {p: true[p][0] for p in WIDE}
        row["distances_outside"] = curve_evaluation.mean_distances(generated, some)
    return row | (curve_evaluation.evaluate_elbo(model, data.test) if logarithm else {})


if __name__ == "__main__":
    script.run(main)
