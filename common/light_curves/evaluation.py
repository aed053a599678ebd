"""What a light-curve model is worth: bounds, distances from true curves, order in p.

Curves are (n, 300) relative magnifications; sets are {p: (n, 300)}.
"""

from common import cvae, distances
from common.light_curves import model as curve_model
from common.light_curves.data import to_log
from common.runtime.seeding import step_seed

import numpy as np
import torch

LAGS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # samples
NOISE = 0.02  # magnitudes, added to both sides before a classifier looks


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


def peak_counts(curves, prominence: float = 0.1) -> np.ndarray:
    """Count the peaks of each curve that stand out by `prominence` in log10 magnification: (n,)."""
    from scipy import signal

    found = [signal.find_peaks(m, prominence=prominence)[0].size for m in to_log(curves)]
    return np.array(found)


def peak_distance(a, b) -> float:
    """Return W1 of the numbers of peaks a curve."""
    return distances.wasserstein(peak_counts(a), peak_counts(b))


def component_distance(a, b, components: int = 16, slices: int = 200, seed: int = 0) -> float:
    """Return the sliced W2 of the leading principal components of `b`, in standard deviations.

    Curves as log10 magnification; components are scaled by the total standard deviation of `b`.
    """
    a, b = to_log(a).astype(np.float64), to_log(b).astype(np.float64)
    mean = b.mean(0)
    _, values, axes = np.linalg.svd(b - mean, full_matrices=False)
    scale = np.sqrt((values**2).sum() / len(b)) or 1.0
    axes = axes[:components]
    directions = np.random.default_rng(seed).normal(size=(len(axes), slices))
    directions /= np.linalg.norm(directions, axis=0)
    sides = [(m - mean) @ axes.T / scale for m in (a, b)]
    return distances.sliced_wasserstein(*sides, directions) * float(np.sqrt(len(axes)))


def classifier_accuracy(a, b) -> float:
    """Return the C2ST of log10 magnifications, after NOISE magnitudes of noise on both sides."""
    return distances.two_sample_accuracy(to_log(a), to_log(b), noise=0.4 * NOISE)


DISTANCES = {
    "w1": distances.wasserstein,
    "sf": structure_distance,
    "ks": variability_ks,
    "peaks": peak_distance,
    "sw": component_distance,
    "c2st": classifier_accuracy,
}


def curve_distances(a, b, names=tuple(DISTANCES)) -> dict:
    """Return every distance in `names` between two sets of curves (n, 300), (m, 300)."""
    return {name: DISTANCES[name](a, b) for name in names}


def extremes(curves) -> dict:
    """Return what a smaller source changes in curves (n, 300) of relative magnification.

    mu_999: what 0.1 % of the samples exceed, of the mean; step_99_dex: what 1 % of the steps from
    sample to sample exceed, dex.
    """
    step = np.abs(np.diff(to_log(curves), axis=1))
    bright = float(np.quantile(curves, 0.999))
    return {"mu_999": bright, "step_99_dex": float(np.quantile(step, 0.99))}


def power_spectra(curves) -> np.ndarray:
    """Return ln power of log10 magnification in 32 bands of frequency: (n, 300) -> (n, 32).

    Without the mean, Hann window; the bands are evenly spaced in the logarithm of the frequency.
    """
    x = to_log(curves).astype(np.float64)
    x = (x - x.mean(1, keepdims=True)) * np.hanning(x.shape[1])
    power = np.abs(np.fft.rfft(x))[:, 1:] ** 2
    edges = np.unique(np.geomspace(1, power.shape[1] + 1, 33).astype(int)) - 1
    bands = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
    return np.log(bands + 1e-10)


def order(points, log_p, nulls: int, seed: int) -> dict:
    """Measure the order of map points (n, 2) in log p (n,): |rho|, R^2, and both when shuffled."""
    from scipy import stats
    from sklearn.decomposition import PCA
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neighbors import KNeighborsRegressor

    axis = PCA(2, random_state=seed).fit_transform(points)[:, 0]
    folds = KFold(5, shuffle=True, random_state=seed)

    def r2(target):
        return cross_val_score(KNeighborsRegressor(15), points, target, cv=folds).mean()

    def rho(target):
        return abs(stats.spearmanr(axis, target).statistic)

    random = np.random.default_rng(seed)
    shuffled = [random.permutation(log_p) for _ in range(nulls)]
    return {
        "spearman_rho": rho(log_p),
        "spearman_rho_shuffled_99": np.quantile([rho(p) for p in shuffled], 0.99),
        "knn_r2": r2(log_p),
        "knn_r2_shuffled_99": np.quantile([r2(p) for p in shuffled[:20]], 0.99),
    }


@torch.no_grad()
def evaluate_elbo(model, curves: dict, draws: int = 3, seed: int = 0) -> dict:
    """Return -ELBO and its terms, nats a curve of magnifications, and the rms error of E[x|z,p].

    curves {p: (n, 300)}; means over the sources.  rmse: of magnification, at the posterior mean.
    """
    torch.manual_seed(step_seed(seed, -1))
    rows = {}
    for size, part in curves.items():
        x = torch.from_numpy(to_log(part))
        p = torch.full((len(x),), size)
        terms = [
            torch.stack(cvae.elbo_terms(model, x, p, curve_model.log_likelihood)).mean(1)
            for _ in range(draws)
        ]
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
    """Return 10^E[x|z,p] at the posterior mean z of curves (n, 300) of the source size p [R_E]."""
    x, sizes = torch.from_numpy(to_log(curves)), torch.full((len(curves),), p)
    return 10 ** model.decode(model.encode(x, sizes)[0], sizes)[:, :-1].numpy()


def averaged(rows: dict) -> dict:
    """Return the mean over the sources of rows {p: {name: number}}, and the rows as "by_p"."""
    names = next(iter(rows.values()), {})
    mean = {name: float(np.mean([row[name] for row in rows.values()])) for name in names}
    return mean | {"by_p": {f"{p:.6g}": row for p, row in rows.items()}}


def mean_distances(left: dict, right: dict, names=tuple(DISTANCES)) -> dict:
    """Return the distances `names` between curves {p: (n, 300)}, by source and their mean."""
    both = [p for p in right if p in left]
    return averaged({p: curve_distances(left[p], right[p], names) for p in both})


def sample_by_size(model, sizes, n: int, seed: int = 0, logarithm: bool = True) -> dict:
    """Draw n curves for each source size: {p: (n, 300)} (see `model.draw`)."""
    torch.manual_seed(step_seed(seed, -4))
    curves = curve_model.draw(model, torch.tensor(sorted(sizes)), n, logarithm).numpy()
    return dict(zip(sorted(sizes), curves, strict=True))


def reference_distances(data) -> dict:
    """Return the distances of two true sets: new tracks, and an independent star field.

    Without those sets (the attached data alone): of the two halves of each held-out file.
    """
    if data.test_new_tracks:
        near = mean_distances(data.test_new_tracks, data.test)
        return {"floor": near, "floor_other_field": mean_distances(data.test_new_field, data.test)}
    enough = {p: curves for p, curves in data.test.items() if len(curves) > 1}
    halves = [{p: curves[k::2] for p, curves in enough.items()} for k in (0, 1)]
    return {"floor": mean_distances(*halves)}


def measure(model, data, seed: int) -> dict:
    """Return every number of exercise 2(b): bounds and distances on held-out curves, and floors.

    data: a `data.Split`.
    """
    size = max(map(len, data.test.values()))
    generated = sample_by_size(model, data.test, size, seed)
    found = {
        "train": evaluate_elbo(model, data.train),
        "test": evaluate_elbo(model, data.test)
        | {"distances": mean_distances(generated, data.test)},
        **reference_distances(data),
    }
    if data.test_new_field:
        other = mean_distances(generated, data.test_new_field)
        found["other_field"] = evaluate_elbo(model, data.test_new_field) | {"distances": other}
    return found
