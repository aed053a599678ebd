"""Set generated light curves beside simulated ones: what ex_2c.py writes."""

import hashlib
import json
import math
from importlib.metadata import version
from pathlib import Path

import numpy as np

from common import artifacts, curve_model, curve_plots, curve_sets, curve_truth, light_curves

DISTANCES, FEATURES = ("w1", "sf", "ks", "peaks", "c2st"), ("mu_999", "step_99_dex")
HOLDS = {"model": DISTANCES, "floor": DISTANCES, "generated": FEATURES, "simulated": FEATURES}


def compare(sizes, generate, content, settings, device) -> dict:
    """Set generated curves of each size p [R_E] beside simulated ones: figures/ex_2c*.png, .json.

    generate: `ex_2c.generate`, -> (m, n, 300); content: the checkpoint.  Returns the numbers.
    Raises InputError when a file cannot be written.
    """
    n, shown = (40 if settings.smoke else 1000), 5
    simulated = light_curves.default(settings)
    true = curve_truth.truth(light_curves.data_folder(settings), sizes, n, simulated)
    fake = generate(sizes, n, settings.seed, settings.out_dir, device)
    both = {p: (curves, *true[p]) for p, curves in zip(sizes, fake, strict=True)}
    trained, source = content["trained_p"], f"data: {content['source']}; truth: simulated"
    measured = distances(both, settings)
    some, real = [part[:shown] for part in fake], [true[p][0][:shown] for p in sizes]
    rows = {p: measured["by_p"][f"{p:g}"] for p in sizes}
    figures = {
        "ex_2c": curve_plots.generated_and_true(sizes, some, real, trained, source),
        "ex_2c_distances": curve_plots.distances_over_p(rows, trained, source),
    }
    folder = Path(settings.out_dir) / "figures"
    for name, figure in figures.items():
        print(artifacts.save_figure(folder / f"{name}.png", figure))
    checkpoint = artifacts.find(curve_model.NAME, settings.out_dir)
    metrics = measured | {
        "source": source,
        "curves_each": n,
        "trained_p": trained,
        "checkpoint_sha256": artifacts.sha256(checkpoint),
        "seed": settings.seed,
    }
    print(artifacts.save_json(folder / "ex_2c.json", metrics))
    return metrics


def distances(curves: dict, settings) -> dict:
    """Return {"by_p": numbers of each size, "curves_sha256": of what was measured}.

    curves {p: (generated (n, 300), true, another true set)}.  Twenty seconds; numbers that
    ex_2c.json has of the same curves, by the same code, are taken from there, unless
    settings.measure.
    """
    made_by = [*curves, version("scikit-learn"), version("scipy")]
    read = hashlib.sha256(json.dumps(made_by).encode())
    read.update(Path(__file__).with_name("curve_metrics.py").read_bytes())
    for part in (part for three in curves.values() for part in three):
        read.update(np.ascontiguousarray(part))
    same = {"curves_sha256": read.hexdigest()}
    before = None if settings.measure else _measured_before(settings.out_dir, curves, same)
    found = before or {f"{p:g}": measured(*three) for p, three in _progress(curves)}
    return same | {"by_p": artifacts.plain(found)}


def _progress(curves):
    from tqdm import tqdm

    return tqdm(curves.items(), desc="measuring", unit="p", dynamic_ncols=True)


def measured(fake, real, again) -> dict:
    """Return the distances of fake from real curves, the floor, and `features` of both.

    fake, real, again: (n, 300) relative magnifications, the last two true.
    """
    from common import curve_metrics  # SciPy and scikit-learn: more than a second to load

    return {
        "model": curve_metrics.distances(fake, real, DISTANCES),
        "floor": curve_metrics.distances(again, real, DISTANCES),
    } | features(fake, real)


def _measured_before(out_dir, curves, same):
    """Return "by_p" of the ex_2c.json below out_dir, else the shipped, if it is of these curves."""
    try:
        path = artifacts.find("figures/ex_2c.json", out_dir)
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [found["by_p"][f"{p:g}"] for p in curves]
        numbers = [
            row[side][name] for row in rows for side, names in HOLDS.items() for name in names
        ]
        whole = all(map(math.isfinite, numbers)) and len(rows) == len(found["by_p"])
        return found["by_p"] if whole and found.items() >= same.items() else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def features(fake, real) -> dict:
    """Return what a smaller source changes, for curves (n, 300) of relative magnification.

    mu_999: what 0.1 % of the samples exceed, of the mean; step_99_dex: what 1 % of the steps from
    sample to sample exceed, dex.
    """

    def both(curves):
        step = np.abs(np.diff(curve_sets.to_log(curves), axis=1))
        bright = float(np.quantile(curves, 0.999))
        return {"mu_999": bright, "step_99_dex": float(np.quantile(step, 0.99))}

    return {"generated": both(fake), "simulated": both(real)}
