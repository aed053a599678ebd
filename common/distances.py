"""Distances between two samples, each once: (n, d) against (m, d) -> float.

Equal samples give 0, or 0.5 for `two_sample_accuracy`.  Two finite samples of one distribution are
not at 0 either: give each distance with its floor, that of two true sets of the same size.
"""

import math
import warnings

import numpy as np
import torch


def wasserstein(a, b) -> float:
    """Return W1 = integral |F_a - F_b| of all numbers in a and b, in their unit."""
    from scipy import stats  # a second to load

    return float(stats.wasserstein_distance(np.ravel(a), np.ravel(b)))


def sliced_wasserstein(a, b, directions) -> float:
    """Return sqrt(mean over directions of W2^2) of the projections: directions (d, k), unit length.

    W2 is taken at 1000 evenly spaced quantiles, so that n and m may differ.  (Bonneel et al. 2015.)
    """
    q = (np.arange(1000) + 0.5) / 1000

    def quantiles(x):  # np.quantile's, which is ten times slower
        x = np.sort(np.asarray(x) @ np.asarray(directions), axis=0)
        low = (q * (len(x) - 1)).astype(int)
        share = (q * (len(x) - 1) - low)[:, None]
        return x[low] + share * (x[np.minimum(low + 1, len(x) - 1)] - x[low])

    return float(np.sqrt(np.mean((quantiles(a) - quantiles(b)) ** 2)))


def frechet_distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of features (n, d), (m, d).

    In the features' own units, squared; 0 for equal Gaussians; wants n well above d.
    (Heusel et al. 2017, eq. 6.)
    """
    a, b = a.double(), b.double()
    c_a, c_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(c_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # C_a^(1/2)
    # tr (C_a C_b)^(1/2) = sum of the roots of the eigenvalues of the symmetric C_a^½ C_b C_a^½
    cross = torch.linalg.eigvalsh(root @ c_b @ root).clamp(min=0).sqrt().sum()
    gap = (a.mean(0) - b.mean(0)).square().sum()
    return (gap + c_a.trace() + c_b.trace() - 2 * cross).clamp(min=0).item()


def two_sample_accuracy(a, b, seed: int = 0, most: int = 500, folds: int = 4) -> float:
    """Return how often a classifier tells rows of `a` from rows of `b` (C2ST), features (n, d).

    Gradient boosting of 80 trees (scikit-learn), `most` rows a side, drawn at random; the accuracy
    on rows that it was not trained on, `folds`-fold.  0.5 is indistinguishable; the standard error
    is 0.016 for 500 a side.  Of fewer than 30 a side nan, with a warning: too few to train on.
    (Lopez-Paz & Oquab 2017.)
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # a second to load
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    random = np.random.default_rng(seed)
    n = min(len(a), len(b), most)
    if n < 30:
        warnings.warn(f"C2ST needs 30 of each side, not {n}: nan", stacklevel=2)
        return math.nan
    x = np.concatenate([np.asarray(side)[random.permutation(len(side))[:n]] for side in (a, b)])
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    judge = HistGradientBoostingClassifier(max_iter=80, random_state=seed)
    return float(cross_val_score(judge, x, np.repeat([0, 1], n), cv=parts).mean())
