"""What a light-curve model is worth: bounds, distances from true curves, order in p.

Curves are (n, 300) relative magnifications; sets are {p: (n, 300)}.
"""

from functools import partial

import numpy as np
import torch

from common import distances
from common.light_curves import model as curve_model
from common.light_curves.data import to_log
from common.runtime import cvae
from common.runtime.seeding import step_seed

LAGS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # samples
NOISE = 0.005  # magnitudes of photometric noise, added to both sides before the judge looks


def structure_function(curves) -> np.ndarray:
    """Return sqrt E[(m(t + lag) - m(t))^2] for each of `LAGS`, m = log10 magnification: (lags,).

    A constant set has 0; lags that do not fit the length are left out.  (Simonetti et al. 1985.)
    """
    m = to_log(curves).astype(np.float64)
    lags = [lag for lag in LAGS if lag < m.shape[1]]
    return np.array([np.sqrt(np.mean((m[:, lag:] - m[:, :-lag]) ** 2)) for lag in lags])


def structure_distance(a, b) -> float:
    """Return the rms over the lags of ln(S_a / S_b); 10^-6 is the least S that counts."""
    first, second = (np.maximum(structure_function(x), 1e-6) for x in (a, b))
    return float(np.sqrt(np.mean(np.log(first / second) ** 2)))


def variability_ks(a, b) -> float:
    """Return the Kolmogorov-Smirnov distance of the standard deviations of the curves."""
    from scipy import stats  # SciPy and scikit-learn take a second to load, so only where needed

    return float(stats.ks_2samp(np.std(a, axis=1), np.std(b, axis=1)).statistic)


def features(curves, noise: float, seed: int = 0) -> np.ndarray:
    """Return what the judge sees of curves (n, 300), after `noise` magnitudes of noise: (n, 48).

    Of log10 magnification: mean, standard deviation, least and greatest value; the largest step
    from sample to sample, ln of the steps' deviation; ln of the largest second difference and of
    the second differences' deviation; ln power of the 40 lowest frequencies, Hann window.
    """
    x = to_log(curves).astype(np.float64)
    x += np.random.default_rng(seed).normal(0, 0.4 * noise, x.shape)  # 0.4 dex are a magnitude
    step, bend = np.diff(x, axis=1), np.diff(x, n=2, axis=1)
    shape = [x.mean(1), x.std(1), x.min(1), x.max(1), np.abs(step).max(1)]
    rough = np.stack([step.std(1), np.abs(bend).max(1), bend.std(1)], 1)
    return np.column_stack([*shape, np.log(rough + 1e-9), np.log(power(x)[:, :40] + 1e-12)])


def power(x) -> np.ndarray:
    """Return the power of rows (n, k), less their means, Hann window, without frequency 0."""
    x = (x - x.mean(1, keepdims=True)) * np.hanning(x.shape[1])
    return np.abs(np.fft.rfft(x))[:, 1:] ** 2


def judged(a, b, noise: float = NOISE, seed: int = 0) -> float:
    """Return how often gradient boosting tells curves `a` from `b` by their `features` (C2ST).

    0.5 is indistinguishable.  It reports; it never trains, weights or selects curves.
    """
    sides = (features(curves, noise, seed + k) for k, curves in enumerate((a, b)))
    return distances.two_sample_accuracy(*sides, seed=seed)


DISTANCES = {
    "w1": distances.wasserstein,
    "sf": structure_distance,
    "ks": variability_ks,
    "c2st": judged,
    "c2st_02": lambda a, b: judged(a, b, 0.02),
}


def curve_distances(a, b, names=DISTANCES) -> dict:
    """Return the distances `names` between two sets of curves (n, 300), (m, 300)."""
    return {name: DISTANCES[name](a, b) for name in names}


def extremes(curves) -> dict:
    """Return quantiles over curves (n, 300) of relative magnification, 0.1 % of them beyond.

    least_001, greatest_999: of a curve's least and greatest value; step_99_dex: of its largest
    step from sample to sample, dex, 1 % of the curves beyond.
    """
    step = np.abs(np.diff(to_log(curves), axis=1)).max(1)
    return {
        "least_001": float(np.quantile(np.min(curves, axis=1), 0.001)),
        "greatest_999": float(np.quantile(np.max(curves, axis=1), 0.999)),
        "step_99_dex": float(np.quantile(step, 0.99)),
    }


FLOOR = 0.005  # magnitudes a sample, standard deviation: photometric noise, the floor of spectra


def power_spectra(curves) -> np.ndarray:
    """Return ln power [dex^2] of log10 magnification in bands of frequency: (n, 300) -> (n, 25).

    The mean is subtracted and a Hann window w applied; the bands are about evenly spaced in the
    logarithm of the frequency.  Before the logarithm each band gets the power expected of white
    noise of sigma = `FLOOR` magnitudes (0.002 dex), sigma^2 sum(w^2): what a telescope could not
    see, such as the noise of simulated curves that generated ones lack, hardly counts.
    """
    found = power(to_log(curves).astype(np.float64))
    edges = np.unique(np.geomspace(1, found.shape[1] + 1, 33).astype(int)) - 1
    bands = np.add.reduceat(found, edges[:-1], axis=1) / np.diff(edges)
    return np.log(bands + (0.4 * FLOOR) ** 2 * (np.hanning(np.shape(curves)[1]) ** 2).sum())


def order(points, log_p, nulls: int, seed: int) -> dict:
    """Measure the order of map points (n, 2) in log p (n,): |rho|, R^2, and both when shuffled.

    rho is Spearman's, along the first principal axis.  R^2 is that of the mean of the 15 nearest
    neighbours, averaged over 5 folds.  Shuffled: the 99th percentile of `nulls` shuffles of p.
    """
    from scipy import stats
    from sklearn.decomposition import PCA
    from sklearn.model_selection import KFold
    from sklearn.neighbors import NearestNeighbors

    axis = PCA(2, random_state=seed).fit_transform(points)[:, 0]
    folds = []  # (test (m,), its neighbours in training (m, 15)): the same for every target
    for train, test in KFold(5, shuffle=True, random_state=seed).split(points):
        tree = NearestNeighbors(n_neighbors=min(15, len(train))).fit(points[train])
        folds.append((test, train[tree.kneighbors(points[test], return_distance=False)]))

    def r2(target):
        errors = [
            np.mean((target[near].mean(1) - target[test]) ** 2) / np.var(target[test])
            for test, near in folds
        ]
        return 1 - np.mean(errors)

    def rho(target):
        return abs(stats.spearmanr(axis, target).statistic)

    random = np.random.default_rng(seed)
    shuffled = [random.permutation(log_p) for _ in range(nulls)]
    return {
        "spearman_rho": rho(log_p),
        "spearman_rho_shuffled_99": np.quantile([rho(p) for p in shuffled], 0.99),
        "knn_r2": r2(log_p),
        "knn_r2_shuffled_99": np.quantile([r2(p) for p in shuffled], 0.99),
    }


@torch.no_grad()
def evaluate_elbo(model, curves: dict, draws: int = 3, seed: int = 0) -> dict:
    """Return -ELBO and its terms, nats a curve of magnifications, and the rms error of E[x|z,p].

    curves {p: (n, 300)}; means over the sources.  rmse: of magnification, at the posterior mean.
    """
    torch.manual_seed(step_seed(seed, -1))
    rows, likelihood = {}, partial(curve_model.log_likelihood, edge=model.decoder.edge)
    for size, part in curves.items():
        x = curve_model.to_code(to_log(part), model.decoder.edge)
        each = model, x, torch.full((len(x),), size), likelihood
        terms = [torch.stack(cvae.elbo_terms(*each)).mean(1) for _ in range(draws)]
        reconstruction, kl = torch.stack(terms).mean(0).tolist()
        rows[size] = {
            "negative_elbo_nats": reconstruction + kl,
            "reconstruction_nats": reconstruction,
            "kl_nats": kl,
            "rmse": float(np.sqrt(np.mean((reconstruct(model, part, size) - part) ** 2))),
        }
    return averaged(rows)


@torch.no_grad()
def reconstruct(model, curves, p: float) -> np.ndarray:
    """Return the magnifications of E[x|z,p] at the posterior mean z of curves (n, 300), size p."""
    edge, sizes = model.decoder.edge, torch.full((len(curves),), p)
    z, _ = model.encode(curve_model.to_code(to_log(curves), edge), sizes)
    return 10 ** curve_model.from_code(model.decode(z, sizes)[:, :-1], edge).numpy()


def averaged(rows: dict) -> dict:
    """Return the mean over the sources of rows {p: {name: number}}, and the rows as "by_p"."""
    names = next(iter(rows.values()), {})
    mean = {name: float(np.mean([row[name] for row in rows.values()])) for name in names}
    return mean | {"by_p": {f"{p:.6g}": row for p, row in rows.items()}}


def mean_distances(left: dict, right: dict) -> dict:
    """Return the distances between curves {p: (n, 300)}, by source and their mean."""
    return averaged({p: curve_distances(left[p], right[p]) for p in right if p in left})


def sample_by_size(model, sizes, n: int, seed: int = 0) -> dict:
    """Draw n curves for each source size: {p: (n, 300)} (see `model.draw`)."""
    torch.manual_seed(step_seed(seed, -4))
    curves = curve_model.draw(model, torch.tensor(sorted(sizes)), n).numpy()
    return dict(zip(sorted(sizes), curves, strict=True))


def measure(model, data, seed: int) -> dict:
    """Return every number of exercise 2(b): bounds, distances from held-out curves, floors.

    data: a `data.Split`.  floor: distances of two true sets, those of the field that was trained
    on and the held-out ones, an independent field's; of own data, of the halves of each held-out
    source.
    """
    true = {p: curves for p, curves in data.test.items() if len(curves) > 1}
    generated = sample_by_size(model, true, max(map(len, true.values()), default=1), seed)
    halves = [{p: curves[k::2] for p, curves in true.items()} for k in (0, 1)]
    pairs = (data.same_field, true) if data.same_field else halves
    return {
        "train": evaluate_elbo(model, data.train),
        "test": evaluate_elbo(model, data.test) | {"distances": mean_distances(generated, true)},
        "floor": mean_distances(*pairs),
        "extremes": {
            f"{p:.6g}": {"generated": extremes(generated[p]), "true": extremes(true[p])}
            for p in true
        },
    }
