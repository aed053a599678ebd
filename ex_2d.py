"""Exercise 2(d): project generated light curves with UMAP and t-SNE; is there an order in p?

    python ex_2d.py        -> out/ex_2d.png, out/ex_2d.json

Generated and simulated curves of 25 source sizes, and generated ones of p = 0.01, 0.02, 0.05 R_E,
outside the trained range (crosses); once as curves (log10 magnification), once as log power spectra
above a floor of photometric noise.  Order in the trained range: Spearman's rho between p and the
map's first principal axis, and R^2 of log p predicted from 15 nearest neighbours in the map (5-fold
cross-validation), each compared with shuffled p.  In the .json also R^2 of a curve's mean in place
of log p ("level_r2"), of log p from one number a curve ("one_number_r2"), and the order with the
crosses ("order_with_outside").  The model is --model, else out/ex_2b.pt of ex_2b.py, else the
shipped checkpoints/ex_2b.pt; the light curves are those of --data-dir (default data/, simulated
when absent).  Takes about a minute, most of it UMAP's and t-SNE's.
Expect for spectra of generated curves, UMAP: rho = 0.94, R^2 = 0.95 (simulated: 0.94, 0.94); for
the curves themselves R^2 = 0.46.
"""

from dataclasses import asdict, dataclass

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import data_loader
from common.light_curves import data as curve_data
from common.light_curves import figures, simulation
from common.light_curves import model as curve_model
from common.light_curves.evaluation import order, power_spectra, sample_by_size
from common.runtime import checkpoints, results, script
from common.runtime.device import hardware
from common.runtime.options import Drawing, option, parse

SMALL = (0.01, 0.02, 0.05)  # source sizes [R_E] that are generated besides those of the data


@dataclass(frozen=True)
class Settings(Drawing):
    """How many curves are projected."""

    each: int = option(80, "curves of each source size", minimum=4, maximum=2000, smoke=8)
    nulls: int = option(200, "shuffles of p", minimum=1, maximum=10**5, smoke=3)


def projection(method: str, features, seed: int) -> np.ndarray:
    """Project features (n, d) to (n, 2) with "UMAP" or "t-SNE".

    In one thread: the sums of t-SNE, in another order, would make another map.
    """
    with threadpool_limits(1):
        if method == "t-SNE":
            from sklearn.manifold import TSNE  # a second to import, when --help does not need it

            near = min(30, len(features) / 4)
            return TSNE(perplexity=near, init="pca", random_state=seed).fit_transform(features)
        import umap  # here and nowhere else: it takes ten seconds to import

        return umap.UMAP(n_neighbors=15, random_state=seed, n_jobs=1).fit_transform(features)


def projections(features: dict, settings) -> dict:
    """Project each of features {(set, kind): (n, d)} both ways: {(set, "UMAP of kind"): (n, 2)}.

    As many at a time as there are threads to use.
    """
    keys = [(method, *key) for key in features for method in ("UMAP", "t-SNE")]
    at_once = Parallel(settings.threads or -1, max_nbytes=None, return_as="generator")
    maps = at_once(delayed(projection)(k[0], features[k[1:]], settings.seed) for k in keys)
    bar = tqdm(maps, desc="projecting", total=len(keys), unit="map", dynamic_ncols=True)
    pairs = zip(keys, bar, strict=True)
    return {(name, f"{method} of {kind}"): points for (method, name, kind), points in pairs}


def main(argv=None) -> dict:
    """Project, measure, draw; return the numbers."""
    settings = parse(Settings, __doc__, argv, without=("device",))
    device = script.start(settings)
    path = checkpoints.find("ex_2b", settings.model, settings.out_dir)
    model, content = curve_model.load(path)
    checkpoints.announce(path, content)
    least, most = min(content["trained_p"]), max(content["trained_p"])
    simulation.check_together(folder := simulation.folder_of(settings), content["source"])
    simulated = simulation.is_simulated(folder)
    true = curve_data.by_size(*data_loader.dataloader(folder), settings.each, simulated)
    sets = {"generated": sample_by_size(model, {*true, *SMALL}, settings.each, settings.seed)}
    sets["simulated" if simulated else "true"] = true
    features, log_p, inside, level, alone = {}, {}, {}, {}, {}
    for name, curves in sets.items():
        together = np.concatenate(list(curves.values()))
        p = np.repeat(list(curves), [len(c) for c in curves.values()])
        log_p[name], inside[name] = np.log10(p), (p >= least) & (p <= most)
        features[name, "curves"] = logs = curve_data.to_log(together)
        features[name, "spectra"] = power_spectra(together)
        level[name], roughness = logs.mean(1), np.log(np.diff(logs, axis=1).std(1) + 1e-9)
        for what, x in (("mean", level[name]), ("roughness", roughness)):
            line, part = np.column_stack([x, 0 * x]), inside[name]
            alone[f"{name}, {what}"] = order(line[part], log_p[name][part], 1, 0)["knn_r2"]
    maps = projections(features, settings)
    rows, whole, answers = {}, {}, {}
    for (name, what), points in maps.items():
        method, kind = what.split(" of ")
        row, part, more = f"{method}, {name}, {kind}", inside[name], (settings.nulls, settings.seed)
        found = rows[row] = order(points[part], log_p[name][part], *more)
        found["level_r2"] = order(points[part], level[name][part], 1, settings.seed)["knn_r2"]
        if not part.all():
            whole[row] = order(points, log_p[name], *more)
        answers[name, what] = f"ρ = {found['spearman_rho']:.2f}, R² = {found['knn_r2']:.2f}"
    title, source = answer(rows), simulation.source_of(folder)
    metrics = {"order": rows, "order_with_outside": whole, "one_number_r2": alone}
    metrics |= {"trained_p": content["trained_p"], "curves": sum(map(len, true.values()))}
    metrics |= {"settings": asdict(settings), "source": source, "hardware": hardware(device)}
    metrics["answer"] = title
    drawn = figures.projections(maps, log_p, inside, answers, f"{title}\n{source}")
    metrics = results.save_results(settings.out_dir, "ex_2d", metrics, {"ex_2d": drawn})
    print(title.replace(chr(10), " "))
    return metrics


def answer(rows: dict) -> str:
    """Put the measured order into one sentence."""

    def words(kind):
        row = rows[f"UMAP, generated, {kind}"]
        strength = "some order" if row["knn_r2"] > 0.3 else "no clear order"
        strength = "a clear order" if row["knn_r2"] > 0.8 else strength
        return f"{strength} (UMAP: ρ = {row['spearman_rho']:.2f}, R² = {row['knn_r2']:.2f})"

    parts = f"the curves themselves: {words('curves')}; their power spectra: {words('spectra')}"
    return f"Are generated light curves ordered in p?\n{parts}"


if __name__ == "__main__":
    script.run(main)
