"""Exercise 2(d): project generated light curves with UMAP and t-SNE; is there an order in p?

    python ex_2d.py        -> out/ex_2d.json, out/ex_2d_maps.png

Generated and simulated curves of the 25 sizes of data/, and generated ones of p = .01, .02 and .05
R_E, outside the trained range (crosses).  They are projected once as curves (log10 magnification)
and once as log power spectra above a floor of photometric noise.  What orders a map is said by R^2:
how well the 15 nearest neighbours of a point on the map predict log p of its curve, or the curve's
mean, spread or roughness (common/light_curves/evaluation.py: `order`, `properties`); 1 is a perfect
order, 0 none.  The .json also has R^2 of shuffled log p, at most 0, and Spearman's rho between p
and the map's first principal axis.

Expect: maps of spectra are ordered by p (R^2 about .95), maps of the curves themselves by the
curves' means (about .98) and by p only in part (about .5).  Takes about half a minute on 2 cores,
most of it UMAP's.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from common.light_curves.data import sizes, to_log
from common.light_curves.model import as_sizes, draw, load_model
from common.training import check, pick_device, run, say, write

OUTSIDE = (0.01, 0.02, 0.05)  # R_E, sizes below the trained range that are generated, too
SHUFFLES = 5  # of log p


@dataclass
class Settings:
    each: int = 40  # curves of each size
    seed: int = 0
    model: str = ""  # checkpoint; default: ex_2b.pt in --out-dir if it is there, else the shipped
    device: str = "auto"  # cpu, cuda, ...
    data_dir: str = ""  # folder with labels.dat; default: data/, simulated if it is not there
    out_dir: Path = Path("out")


def projection(method: str, features, seed: int) -> np.ndarray:
    """Project features (n, d) to (n, 2) with "UMAP" or "t-SNE".

    In one thread: the sums of t-SNE, in another order, would make another map; UMAP with a seed has
    one thread anyway.
    """
    with threadpool_limits(1):
        if method == "t-SNE":
            from sklearn.manifold import TSNE  # a second to load

            near = min(30, len(features) / 4)
            return TSNE(perplexity=near, init="pca", random_state=seed).fit_transform(features)
        import umap  # here and nowhere else: it takes ten seconds to load

        near = min(15, len(features) - 1)
        return umap.UMAP(n_neighbors=near, random_state=seed, n_jobs=1).fit_transform(features)


def project(features: dict, seed: int) -> dict:
    """Project each of features {(set, kind): (n, d)} both ways: {(set, "UMAP of kind"): (n, 2)}.

    Runs as many at a time as there are cores, or as OMP_NUM_THREADS says.
    """
    keys = [(method, *key) for method in ("UMAP", "t-SNE") for key in features]
    processes = int(os.environ.get("OMP_NUM_THREADS") or -1)
    maps = Parallel(processes, max_nbytes=None)(
        delayed(projection)(method, features[name, kind], seed) for method, name, kind in keys
    )
    named = zip(keys, maps, strict=True)
    return {(name, f"{method} of {kind}"): points for (method, name, kind), points in named}


def main(settings) -> dict:
    """Generate, project, measure, draw, write; return the numbers."""
    from common.light_curves import evaluation, figures

    check(settings, each=(4, 2000), seed=(0, 2**31))
    device = pick_device(settings.device)
    model, content, path = load_model(settings.model, device, settings.out_dir)
    say(f"reading {path}: {content['about']}")
    least, most = min(content["trained_p"]), max(content["trained_p"])
    true = sizes(settings.data_dir, settings.each)  # {p: (each, 300)}

    torch.manual_seed(settings.seed)
    asked = sorted({*true, *(p for p in OUTSIDE if p < least)})
    generated = dict(zip(asked, draw(model, as_sizes(asked), settings.each).numpy(), strict=True))
    sets = {"generated": generated, "simulated" if content["simulated"] else "true": true}

    features = {}
    properties = {}
    inside = {}
    for name, curves in sets.items():
        together = np.concatenate(list(curves.values()))
        p = np.repeat(list(curves), [len(part) for part in curves.values()])
        features[name, "curves"] = to_log(together)
        features[name, "spectra"] = evaluation.power_spectra(together)
        properties[name] = evaluation.properties(together, p)
        inside[name] = (p >= least / 1.001) & (p <= 1.001 * most)
    maps = project(features, settings.seed)

    orders = {}
    rows = {}
    random = np.random.default_rng(settings.seed)
    for (name, what), points in maps.items():
        part = inside[name]
        own = {label: values[part] for label, values in properties[name].items()}
        log_p = own["log p"]
        orders[name, what] = {
            label: evaluation.order(points[part], values, settings.seed)
            for label, values in own.items()
        }
        shuffled = [
            evaluation.order(points[part], random.permutation(log_p), settings.seed)
            for _ in range(SHUFFLES)
        ]
        rows[f"{what}, {name}"] = orders[name, what] | {
            "shuffled log p, greatest": max(shuffled),
            "spearman_rho": evaluation.spearman(points[part], log_p),
        }

    sentence = answer(orders)
    print(sentence)
    numbers = {"answer": sentence, "r2": rows, "about": content["about"], "each": settings.each}
    numbers |= {"sizes": len(true), "seed": settings.seed}
    log_p = {name: row["log p"] for name, row in properties.items()}
    drawn = figures.projections(maps, log_p, inside, orders, sentence.replace("; ", ";\n"))
    return write(settings.out_dir, "ex_2d", numbers, maps=drawn)


def answer(orders: dict) -> str:
    """Put the order of the generated curves' UMAP maps into one sentence.

    orders: {(set, map): {property: R^2}}.
    """
    parts = []
    for kind in ("spectra", "curves"):
        r2 = orders["generated", f"UMAP of {kind}"]
        first, second, *_ = sorted(r2, key=r2.get, reverse=True)
        if r2[first] < 0.3:
            parts.append(f"the map of {kind} shows no clear order (log p: R² = {r2['log p']:.2f})")
            continue
        best = f"the map of {kind} is ordered by {first} (R² = {r2[first]:.2f})"
        other = "log p" if first != "log p" else second
        parts.append(f"{best} more than by {other} ({r2[other]:.2f})")
    return "; ".join(parts).capitalize()


if __name__ == "__main__":
    run(main, Settings)
