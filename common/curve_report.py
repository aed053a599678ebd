"""Measure a light-curve model and draw its pictures: all that ex_2b.py writes but the weights."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from common import (
    artifacts,
    curve_metrics,
    curve_model,
    curve_plots,
    curve_sets,
    cvae,
)
from common.curve_metrics import DISTANCES
from common.training import step_seed


def identity(settings, source: str) -> dict:
    """Return what makes two trainings the same, for --resume."""
    free = ("resume", "device", "threads", "data_dir", "out_dir")
    return {k: v for k, v in asdict(settings).items() if k not in free} | {"source": source}


@torch.no_grad()
def bound(model, curves: dict, draws: int = 3, seed: int = 0) -> dict:
    """Return -ELBO and its terms, nats a curve of magnifications, and the rms error of E[x|z,p].

    curves {p: (n, 300)}; means over the sources.  rmse: of magnification, at the posterior mean.
    """
    torch.manual_seed(step_seed(seed, -1))
    rows = {}
    for size, part in curves.items():
        x = torch.from_numpy(curve_sets.to_log(part))
        p = torch.full((len(x),), size)
        terms = [
            torch.stack(cvae.elbo_terms(model, x, p, curve_model.log_likelihood)).mean(1)
            for _ in range(draws)
        ]
        reconstruction, kl = torch.stack(terms).mean(0).tolist()
        rebuilt = 10 ** model.decode(model.encode(x, p)[0], p)[:, :-1].numpy()
        rows[size] = {
            "negative_elbo_nats": reconstruction + kl,
            "reconstruction_nats": reconstruction,
            "kl_nats": kl,
            "rmse": float(np.sqrt(np.mean((rebuilt - part) ** 2))),
        }
    return averaged(rows)


def averaged(rows: dict) -> dict:
    """Return the mean over the sources of rows {p: {name: number}}, and the rows as "by_p"."""
    names = next(iter(rows.values()), {})
    mean = {name: float(np.mean([row[name] for row in rows.values()])) for name in names}
    return mean | {"by_p": {f"{p:.6g}": row for p, row in rows.items()}}


def apart(left: dict, right: dict, names=tuple(DISTANCES)) -> dict:
    """Return the distances `names` between curves {p: (n, 300)}, by source and their mean."""
    both = [p for p in right if p in left]
    return averaged({p: curve_metrics.distances(left[p], right[p], names) for p in both})


def drawn(model, sizes, n: int, seed: int = 0, logarithm: bool = True) -> dict:
    """Draw n curves for each source size: {p: (n, 300)} (see `curve_model.draw`)."""
    torch.manual_seed(step_seed(seed, -4))
    curves = curve_model.draw(model, torch.tensor(sorted(sizes)), n, logarithm).numpy()
    return dict(zip(sorted(sizes), curves, strict=True))


def floors(data) -> dict:
    """Return the distances of two true sets: new tracks, and an independent star field.

    Without those sets (the attached data alone): of the two halves of each held-out file.
    """
    if data.again:
        return {"floor": apart(data.again, data.test), "floor_other_field": apart(
            data.independent, data.test)}  # fmt: skip
    halves = [{p: curves[k::2] for p, curves in data.test.items()} for k in (0, 1)]
    return {"floor": apart(*halves)}


def measure(model, data, source, settings, history) -> dict:
    """Return every number of exercise 2(b): bounds and distances on held-out curves, and floors."""
    size = max(map(len, data.test.values()))
    generated = drawn(model, data.test, size, settings.seed)
    found = {
        "source": source,
        "settings": asdict(settings),
        "hardware": history["hardware"],
        "training_seconds": history["seconds"],
        "trained_p": sorted(data.train),
        "train": bound(model, data.train),
        "test": bound(model, data.test) | {"distances": apart(generated, data.test)},
        **floors(data),
    }
    if data.independent:
        other = bound(model, data.independent)
        found["other_field"] = other | {"distances": apart(generated, data.independent)}
    return found


def write(model, data, settings, metrics: dict, history: dict) -> dict:
    """Write figures/ex_2b.png and .json; return the metrics with the checkpoint's hash."""
    folder = Path(settings.out_dir) / "figures"
    checkpoint = Path(settings.out_dir) / curve_model.NAME
    metrics = metrics | {"checkpoint_sha256": artifacts.sha256(checkpoint)}
    metrics["history_nats"] = {k: v for k, v in history.items() if isinstance(v, list)}
    pairs = {}
    with torch.no_grad():
        for p, curves in data.test.items():
            x, size = torch.from_numpy(curve_sets.to_log(curves[:3])), torch.full((3,), p)
            pairs[p] = (
                curves[:3],
                10 ** model.decode(model.encode(x, size)[0], size)[:, :-1].numpy(),
            )
    figure = curve_plots.training(metrics, pairs)
    print(artifacts.save_figure(folder / "ex_2b.png", figure))
    print(artifacts.save_json(folder / "ex_2b.json", metrics))
    test, near, floor = metrics["test"], metrics["test"]["distances"], metrics["floor"]
    numbers = ", ".join(f"{k} {near[k]:.3f} (floor {floor[k]:.3f})" for k in near if k != "by_p")
    print(f"-ELBO {test['negative_elbo_nats']:.0f} nats a curve; {numbers}; {metrics['source']}")
    return metrics
