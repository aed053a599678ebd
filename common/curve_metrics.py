"""How far two sets of light curves are apart: (n, 300) against (m, 300), relative magnification."""

import warnings

import numpy as np
from scipy import signal, stats
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier

from common.curve_sets import to_log

LAGS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # samples
NOISE = 0.02  # magnitudes, added to both sides before a classifier looks


def wasserstein(a, b) -> float:
    """Return W1 = integral |F_a - F_b| of the pooled magnifications."""
    return float(stats.wasserstein_distance(np.ravel(a), np.ravel(b)))


def structure_function(curves) -> np.ndarray:
    """Return sqrt E[(m(t + lag) - m(t))^2] for each of `LAGS`, m = log10 magnification: (lags,).

    A constant set has 0; lags that do not fit the length are left out.  (Simonetti et al. 1985.)
    """
    m = to_log(curves).astype(np.float64)
    lags = [lag for lag in LAGS if lag < m.shape[1]]
    return np.array([np.sqrt(np.mean((m[:, lag:] - m[:, :-lag]) ** 2)) for lag in lags])


def structure_distance(a, b) -> float:
    """Return the rms over the lags of ln(S_a / S_b); 10^-6 is the least S that counts."""
    ratio = np.log(
        np.maximum(structure_function(a), 1e-6) / np.maximum(structure_function(b), 1e-6)
    )
    return float(np.sqrt(np.mean(ratio**2)))


def variability_ks(a, b) -> float:
    """Return the Kolmogorov-Smirnov distance of the standard deviations of the curves."""
    return float(stats.ks_2samp(np.std(a, axis=1), np.std(b, axis=1)).statistic)


def peak_counts(curves, prominence: float = 0.1) -> np.ndarray:
    """Count the peaks of each curve that stand out by `prominence` in log10 magnification: (n,)."""
    found = [signal.find_peaks(m, prominence=prominence)[0].size for m in to_log(curves)]
    return np.array(found)


def peak_distance(a, b) -> float:
    """Return W1 of the numbers of peaks a curve."""
    return float(stats.wasserstein_distance(peak_counts(a), peak_counts(b)))


def sliced_wasserstein(a, b, components: int = 16, slices: int = 200, seed: int = 0) -> float:
    """Return the sliced W2 of the leading principal components (of `b`), in standard deviations.

    Curves as log10 magnification; components are scaled by the total standard deviation of `b`.
    Sets of different length are compared at the same quantiles.  (Bonneel et al. 2015.)
    """
    a, b = to_log(a).astype(np.float64), to_log(b).astype(np.float64)
    mean = b.mean(0)
    _, values, axes = np.linalg.svd(b - mean, full_matrices=False)
    scale = np.sqrt((values**2).sum() / len(b)) or 1.0
    axes = axes[:components]
    random = np.random.default_rng(seed).normal(size=(len(axes), slices))
    random /= np.linalg.norm(random, axis=0)
    quantiles = (np.arange(1000) + 0.5) / 1000
    sides = [np.quantile((m - mean) @ axes.T @ random / scale, quantiles, axis=0) for m in (a, b)]
    return float(np.sqrt(np.mean((sides[0] - sides[1]) ** 2) * len(axes)))


def two_sample_accuracy(a, b, seed: int = 0, folds: int = 3) -> float:
    """Return the test accuracy of an MLP that tells `a` from `b` (C2ST): 0.5 is indistinguishable.

    Curves as log10 magnification, after NOISE magnitudes of noise on both sides, standardised;
    equally many of each, `folds`-fold cross-validated.  (Lopez-Paz & Oquab 2017.)
    """
    random = np.random.default_rng(seed)
    n = min(len(a), len(b))
    pick = [to_log(x)[random.permutation(len(x))[:n]] for x in (a, b)]
    x = np.concatenate(pick) + random.normal(0, 0.4 * NOISE, (2 * n, pick[0].shape[1]))
    x = (x - x.mean(0)) / (x.std(0) + 1e-9)
    y, fold = np.repeat([0, 1], n), np.tile(random.permutation(n) % folds, 2)
    hits = []
    for k in range(folds):
        network = MLPClassifier(
            (128, 64), alpha=1e-2, batch_size=min(200, n), early_stopping=True, max_iter=100,
            n_iter_no_change=8, random_state=seed + k,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(x[fold != k], y[fold != k])
        hits.append(network.score(x[fold == k], y[fold == k]))
    return float(np.mean(hits))


DISTANCES = {
    "w1": wasserstein,
    "sf": structure_distance,
    "ks": variability_ks,
    "peaks": peak_distance,
    "sw": sliced_wasserstein,
    "c2st": two_sample_accuracy,
}


def distances(a, b, names=tuple(DISTANCES)) -> dict:
    """Return every distance in `names` between two sets of curves."""
    return {name: DISTANCES[name](a, b) for name in names}


def mean_distances(left: dict, right: dict, names=tuple(DISTANCES)) -> dict:
    """Average `distances` over the source sizes that both dictionaries {p: curves} have."""
    rows = [distances(left[p], right[p], names) for p in right if p in left]
    return {name: float(np.mean([row[name] for row in rows])) for name in names} if rows else {}


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
