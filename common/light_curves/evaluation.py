"""What a model of light curves is worth: bounds, distances from true curves, whether p is obeyed.

Curves are (n, 300) relative magnifications, sets are {p: (n, 300)}, p in R_E; x = log10 mu.

**Floor** means one thing in all of exercise 2: the distance between two true sets of one star
field, the field that is compared with.  Generated curves, as many as are in a set, are compared
with each of these two sets, and the two results are averaged.  A perfect model is on average as far
from either set as they are from each other; a model that is further away has been told from the
truth.
"""

import numpy as np
import torch

from common import distances
from common.cvae import elbo_terms
from common.light_curves.data import to_log
from common.light_curves.model import SAMPLES, draw

LAGS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # samples
NOISE = 0.005  # magnitudes of photometric noise, which the classifier sees on both sides
DEX = 0.4  # of a magnitude
FEWEST = 30  # curves a side that C2ST needs, and peaks that a median needs
MOST = 1000  # curves a side, more are left out
PROMINENCE = 0.05  # dex (12 %) by which a peak rises above its surroundings


# --- bounds -------------------------------------------------------------------------------------


def measure(model, data, seed: int) -> dict:
    """Return the numbers of exercise 2(b): -ELBO on both sides, distances from held-out curves.

    data: has train and test, {p: (n, 300)}.  A distance that few curves do not allow is None.
    """
    torch.manual_seed(seed)
    numbers = {"train": elbo(model, data.train), "test": elbo(model, data.test)}

    generated, floor = {}, {}
    for p, curves in data.test.items():
        if len(curves) < 2:
            continue
        n = min(MOST, len(curves) // 2)
        first, second = curves[:n], curves[-n:]
        drawn = draw(model, torch.tensor([p]), n)[0].numpy()
        generated[p] = distances_to((first, second), drawn, seed)
        floor[p] = floor_of(first, second, seed)
    return numbers | {"distances": averaged(generated), "floor": averaged(floor)}


def sentence(numbers: dict) -> str:
    """Say in a few lines what `measure` found."""
    lines = [f"-ELBO of held-out curves {numbers['test']['negative_elbo']:.0f} nats per curve"]
    for p, row in numbers["distances"]["by_p"].items():
        floor = numbers["floor"]["by_p"][p]
        words = [
            f"{name} {row[name]:.3f} (floor {floor[name]:.3f})"
            for name in ("c2st", "sf", "ks")
            if row[name] is not None
        ]
        lines.append(f"p = {p} R_E: {', '.join(words)}")
    return "\n".join(lines)


def examples(model, data) -> dict:
    """Return {p: (curves, reconstructions)} of three test curves of up to four sizes.

    They are sizes that were not trained on, if there are any.
    """
    between = [p for p in data.test if p not in data.train] or [*data.test]
    chosen = between[:: -(-len(between) // 4)]
    return {p: (data.test[p][:3], reconstruct(model, data.test[p][:3], p)) for p in chosen}


@torch.no_grad()
def elbo(model, curves: dict, draws: int = 3) -> dict:
    """Estimate -ELBO and its two terms, nats per curve of x = log10 mu: by size, and their mean.

    reconstruction: -E_q[log p(x|z,p)]; kl: KL(q(z|x,p) || p(z|p)).  `draws` z for each curve.
    """
    device = next(model.parameters()).device
    rows = {}
    for p, part in curves.items():
        x = torch.from_numpy(to_log(part)).to(device)
        sizes = torch.full((len(x),), p, device=device)
        terms = torch.stack([torch.stack(elbo_terms(model, x, sizes)) for _ in range(draws)])
        log_likelihood, kl = terms.mean((0, 2)).tolist()
        rows[p] = {"negative_elbo": kl - log_likelihood, "reconstruction": -log_likelihood}
        rows[p]["kl"] = kl
    return averaged(rows)


@torch.no_grad()
def reconstruct(model, curves, p: float) -> np.ndarray:
    """Return 10^E[x|z,p] at the mean z of q(z|x,p), for curves (n, 300) of size p: (n, 300)."""
    device = next(model.parameters()).device
    x = torch.from_numpy(to_log(curves)).to(device)
    sizes = torch.full((len(x),), p, device=device)
    z = model.posterior(x, sizes).mean
    return (10 ** model.decode(z, sizes)).cpu().numpy()


def averaged(rows: dict, by_p: bool = True) -> dict:
    """Return the mean of rows {p: {name: number or None}}, and with by_p the rows as "by_p"."""
    names = next(iter(rows.values()), {})
    mean = {}
    for name in names:
        known = [row[name] for row in rows.values() if row[name] is not None]
        mean[name] = float(np.mean(known)) if known else None
    return mean | ({"by_p": {f"{p:.6g}": row for p, row in rows.items()}} if by_p else {})


# --- distances between two sets -----------------------------------------------------------------


def distances_between(a, b, seed: int = 0) -> dict:
    """Return the distances of curves a (n, 300) from b (m, 300).

    c2st: see `judged`; sf: `structure_distance`; ks: `variability_ks`; w1: Wasserstein distance of
    all values of mu.
    """
    return {
        "c2st": judged(a, b, seed),
        "sf": structure_distance(a, b),
        "ks": variability_ks(a, b),
        "w1": distances.wasserstein(a, b),
    }


def distances_to(true_sets, curves, seed: int = 0) -> dict:
    """Return the distances of curves (n, 300) from each of two true sets, averaged."""
    rows = {k: distances_between(curves, true, seed + k) for k, true in enumerate(true_sets)}
    return averaged(rows, by_p=False)


def floor_of(first, second, seed: int = 0) -> dict:
    """Return the distances of two true sets from each other; C2ST is the mean of two splits."""
    return averaged({k: distances_between(first, second, seed + k) for k in (0, 1)}, by_p=False)


def judged(a, b, seed: int = 0):
    """Return how often gradient boosting tells curves `a` from `b` by their `features` (C2ST).

    .5 is indistinguishable.  It sees `NOISE` magnitudes of noise on both sides: without it the rays
    of the simulator give every simulated curve away.  None for fewer than 30 curves a side.
    """
    if min(len(a), len(b)) < FEWEST:
        return None
    sides = [features(curves, seed + k) for k, curves in enumerate((a, b))]
    return distances.two_sample_accuracy(*sides, seed=seed)


def features(curves, seed: int = 0, noise: float = NOISE) -> np.ndarray:
    """Return what a classifier sees of curves (n, 300), after `noise` magnitudes: (n, 48).

    Of x: mean, standard deviation, least and greatest value; the largest step from sample to
    sample, ln of the steps' deviation; ln of the largest second difference and of the second
    differences' deviation; ln power of the 40 lowest frequencies, Hann window.
    """
    x = to_log(curves).astype(np.float64)
    x += np.random.default_rng(seed).normal(0, DEX * noise, x.shape)
    step = np.diff(x, axis=1)
    bend = np.diff(x, n=2, axis=1)
    shape = [x.mean(1), x.std(1), x.min(1), x.max(1), np.abs(step).max(1)]
    rough = np.stack([step.std(1), np.abs(bend).max(1), bend.std(1)], 1)
    return np.column_stack([*shape, np.log(rough + 1e-9), np.log(power(x)[:, :40] + 1e-12)])


def structure_function(curves) -> np.ndarray:
    """Return S(lag) = sqrt E[(x(t + lag) - x(t))^2] for each of `LAGS`: (9,) dex.

    A set of constant curves has 0.  (Simonetti, Cordes & Heeschen 1985.)
    """
    x = to_log(curves).astype(np.float64)
    return np.array([np.sqrt(np.mean((x[:, lag:] - x[:, :-lag]) ** 2)) for lag in LAGS])


def structure_distance(a, b) -> float:
    """Return the rms over the lags of ln(S_a / S_b); 1e-6 dex is the least S that counts."""
    first = np.maximum(structure_function(a), 1e-6)
    second = np.maximum(structure_function(b), 1e-6)
    return float(np.sqrt(np.mean(np.log(first / second) ** 2)))


def variability_ks(a, b) -> float:
    """Return the Kolmogorov-Smirnov distance of the standard deviations of the curves."""
    from scipy import stats  # a second to load

    return float(stats.ks_2samp(np.std(a, axis=1), np.std(b, axis=1)).statistic)


def quantiles(curves) -> dict:
    """Return how far single values of curves (n, 300) go; it shows what a mean hides.

    least_01: 1 % of the curves have a value below this mu; greatest_99: 1 % have one above this;
    step_99_dex: 1 % have a step from sample to sample that is larger than this.
    """
    step = np.abs(np.diff(to_log(curves), axis=1)).max(1)
    return {
        "least_01": float(np.quantile(np.min(curves, axis=1), 0.01)),
        "greatest_99": float(np.quantile(np.max(curves, axis=1), 0.99)),
        "step_99_dex": float(np.quantile(step, 0.99)),
    }


# --- is p obeyed? -------------------------------------------------------------------------------


def p_recovered(true: dict, generated: dict, seed: int = 0):
    """Return the rms error, in dex, of log10 p that gradient boosting reads off curves.

    true {p: (2, n, 300)}, two sets; generated {p: (n, 300)}, of the same sizes.

    floor: trained on one true set, asked about the other, both ways round; true_to_generated:
    trained on either true set, asked about generated curves; generated_to_true: trained on
    generated curves, asked about either true set.  A model that obeys p is near the floor both
    ways: its curves look like their p, and teach what true curves teach.
    Also "by_p", where "bias" is the mean error of true_to_generated: below 0, curves look like
    those of smaller sources.  None for fewer than two sizes, since one leaves nothing to tell.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # a second to load

    if len(generated) < 2:
        return None
    sets = {"first": {p: both[0] for p, both in true.items()}}
    sets["second"] = {p: both[1] for p, both in true.items()}
    sets["generated"] = generated
    inputs = {}
    log_p = {}
    readers = {}
    for number, (name, curves) in enumerate(sets.items()):
        inputs[name] = np.concatenate([features(part, seed + number) for part in curves.values()])
        log_p[name] = np.concatenate([[np.log10(p)] * len(part) for p, part in curves.items()])
        trees = HistGradientBoostingRegressor(max_iter=80, random_state=seed)
        readers[name] = trees.fit(inputs[name], log_p[name])

    pairs = {
        "floor": [("first", "second"), ("second", "first")],
        "true_to_generated": [("first", "generated"), ("second", "generated")],
        "generated_to_true": [("generated", "first"), ("generated", "second")],
    }
    whole = {}
    by_p = {f"{p:.6g}": {} for p in generated}
    for what, trained_and_asked in pairs.items():
        errors = {p: [] for p in generated}
        for trained, asked in trained_and_asked:
            error = readers[trained].predict(inputs[asked]) - log_p[asked]
            ends = np.cumsum([len(part) for part in sets[asked].values()])[:-1]
            for p, part in zip(sets[asked], np.split(error, ends), strict=True):
                errors[p].append(part)
        errors = {p: np.concatenate(parts) for p, parts in errors.items()}
        whole[what] = _rms(np.concatenate([*errors.values()]))
        for p, error in errors.items():
            by_p[f"{p:.6g}"][what] = _rms(error)
            if what == "true_to_generated":
                by_p[f"{p:.6g}"]["bias"] = float(error.mean())
    return whole | {"by_p": by_p}


def _rms(errors) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def peaks(curves) -> dict:
    """Return number, height and width of the peaks of curves (n, 300).

    A peak of x rises by `PROMINENCE` dex at least above the higher of the valleys beside it.
    number: peaks a curve, on average; height_dex: median of that rise (the prominence), dex; width:
    median width at half of it, samples.  The medians are None for fewer than 30 peaks.
    (SciPy, signal.find_peaks.)
    """
    from scipy.signal import find_peaks  # a second to load

    heights = []
    widths = []
    for x in to_log(curves):
        _, found = find_peaks(x, prominence=PROMINENCE, width=0, rel_height=0.5)
        heights += found["prominences"].tolist()
        widths += found["widths"].tolist()
    return {
        "number": len(heights) / len(curves),
        "height_dex": float(np.median(heights)) if len(heights) >= FEWEST else None,
        "width": float(np.median(widths)) if len(widths) >= FEWEST else None,
    }


# --- what orders a map of curves ----------------------------------------------------------------


def power(x) -> np.ndarray:
    """Return the power of rows (n, k), less their means, Hann window, without frequency 0."""
    x = (x - x.mean(1, keepdims=True)) * np.hanning(x.shape[1])
    return np.abs(np.fft.rfft(x))[:, 1:] ** 2


def power_spectra(curves) -> np.ndarray:
    """Return ln power [dex^2] of x in 25 bands of frequency: (n, 300) -> (n, 25).

    The mean is subtracted and a Hann window w applied; the bands are about evenly spaced in the
    logarithm of the frequency.  Before the logarithm each band gets the power expected of white
    noise of sigma = `NOISE` magnitudes (.002 dex), sigma^2 sum(w^2): what a telescope could not
    see, such as the noise of simulated curves that generated ones lack, hardly counts.
    """
    found = power(to_log(curves).astype(np.float64))
    edges = np.unique(np.geomspace(1, found.shape[1] + 1, 33).astype(int)) - 1
    bands = np.add.reduceat(found, edges[:-1], axis=1) / np.diff(edges)
    return np.log(bands + (DEX * NOISE) ** 2 * (np.hanning(SAMPLES) ** 2).sum())


def properties(curves, p) -> dict:
    """Return what may order a map of curves (n, 300) of the sizes p (n,): {name: (n,)}.

    log p; mean and spread (standard deviation) of a curve's x; roughness, ln of the standard
    deviation of its steps from sample to sample.
    """
    x = to_log(curves).astype(np.float64)
    roughness = np.log(np.diff(x, axis=1).std(1) + 1e-9)
    return {"log p": np.log10(p), "mean": x.mean(1), "spread": x.std(1), "roughness": roughness}


def order(points, target, seed: int = 0) -> float:
    """Return R^2 of target (n,) predicted from the 15 nearest neighbours on a map (n, 2).

    Mean over five folds; 1: the map is ordered by the target, 0 or less: it is not.  A target that
    is the same for all points orders nothing: 0.
    """
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neighbors import KNeighborsRegressor

    if np.ptp(target) == 0:
        return 0.0
    neighbours = KNeighborsRegressor(min(15, max(1, len(points) // 2)))
    folds = KFold(min(5, len(points)), shuffle=True, random_state=seed)
    return float(cross_val_score(neighbours, points, target, cv=folds).mean())


def spearman(points, log_p) -> float:
    """Return |Spearman's rho| of log p (n,) and the first principal axis of a map (n, 2)."""
    from scipy import stats
    from sklearn.decomposition import PCA

    if np.ptp(log_p) == 0:
        return 0.0
    axis = PCA(2).fit_transform(points)[:, 0]
    return float(abs(stats.spearmanr(axis, log_p).statistic))
