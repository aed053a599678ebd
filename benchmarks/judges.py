"""Two judges of the curves of exercise 2, beside each other and on a planted error.

    python -m benchmarks.judges            -> figures/ex_2b_judges.json

Each is given true curves of the test field and five rivals: the shipped model's, its
reconstructions of other curves of the test field, true ones of the training field (the floor), and
others of the test field with a planted error of 5 % in the structure function: faint ripples, or
all deviations from the curve's mean too large.  "components" is how many principal components the
true curves need, until what is missed is below 0.001 dex (rms): the model has 32 latents.  Judges:
gradient boosting on 48 features, which `ex_2b.py` reports, and a 1-D convolutional network that
sees the curves.  Both after 0.005 mag of noise.  Takes about ten minutes.
"""

import bisect
import itertools
from dataclasses import dataclass
from pathlib import Path

import data_loader
from common.light_curves import data as curve_data
from common.light_curves import evaluation, simulation
from common.light_curves import model as curve_model
from common.runtime import files, results, script
from common.runtime.options import Drawing, option, parse

import numpy as np
import torch
from torch import nn

PLANTED = 0.05  # rms of ln S, S the structure function, that a planted error puts off
SIZES = (0.1, 0.14, 0.2, 0.54, 1.47)  # R_E, about: sizes of the test field that are asked about


@dataclass(frozen=True)
class Settings(Drawing):
    """How long the network is trained."""

    epochs: int = option(40, "of the network, each fold", minimum=1, maximum=10**4, smoke=1)


def network() -> nn.Sequential:
    """Return the network: (n, 2, 300), log10 magnification and its steps -> (n, 1) logit."""
    layers, channels = [], (2, 16, 32, 32)
    for few, many in itertools.pairwise(channels):
        layers += [nn.Conv1d(few, many, 9, stride=2, padding=4), nn.BatchNorm1d(many), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(32, 1))


def seen(curves, mean_and_std=None):
    """Return the channels (n, 2, 300) of curves, after fresh noise, and their mean and deviation.

    mean_and_std: those of other curves, to scale with.
    """
    x = torch.from_numpy(curve_data.to_log(curves)).float()
    x = x + 0.4 * evaluation.NOISE * torch.randn_like(x)
    x = torch.stack([x, torch.diff(x, dim=1, prepend=x[:, :1])], 1)
    mean, std = mean_and_std or (x.mean((0, 2), keepdim=True), x.std((0, 2), keepdim=True))
    return (x - mean) / std, (mean, std)


def convolutional(a, b, epochs: int, seed: int, most: int = 500, folds: int = 4) -> float:
    """Return how often the network tells curves `a` from `b` that it was not trained on.

    `most` a side, `folds`-fold; in training each curve is also seen backwards in time.
    """
    torch.manual_seed(seed)
    n = min(len(a), len(b), most)
    curves, side = np.concatenate([a[:n], b[:n]]), torch.arange(2 * n) // n
    part, right = torch.randperm(n).repeat(2) % folds, 0
    backwards = np.random.default_rng(seed)
    for fold in range(folds):
        model, mine = network(), part != fold
        optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
        batches = max(1, int(mine.sum()) // 64)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, epochs * batches)
        for _ in range(epochs):
            turned = backwards.random((int(mine.sum()), 1)) < 0.5
            own = np.where(turned, curves[mine][:, ::-1], curves[mine])
            x, scale = seen(own)
            for index in torch.randperm(len(x)).chunk(batches):
                optimizer.zero_grad()
                wanted = side[mine][index].float()
                logit = model(x[index])[:, 0]
                nn.functional.binary_cross_entropy_with_logits(logit, wanted).backward()
                optimizer.step()
                rates.step()
        model.eval()
        with torch.no_grad():
            x, _ = seen(curves[~mine], scale)
            right += int(((model(x)[:, 0] > 0) == side[~mine]).sum())
    return right / (2 * n)


def scaled(curves) -> np.ndarray:
    """Return curves (n, 300) whose log magnification is 5 % further from each curve's mean."""
    x = curve_data.to_log(curves)
    mean = x.mean(1, keepdims=True)
    return 10 ** (mean + (1 + PLANTED) * (x - mean))


def rippled(curves, seed: int = 0) -> np.ndarray:
    """Return curves (n, 300) with ripples of 20 to 40 periods, that put S off by 5 % (rms, ln)."""
    x = curve_data.to_log(curves).astype(np.float64)
    waves = np.fft.rfft(np.random.default_rng(seed).normal(size=x.shape))
    waves[:, :20], waves[:, 41:] = 0, 0
    ripples, low, high = np.fft.irfft(waves, x.shape[1]), 0.0, 1.0
    for _ in range(30):  # bisection of their amplitude
        middle = (low + high) / 2
        off = evaluation.structure_distance(10 ** (x + middle * ripples), curves)
        low, high = (middle, high) if off < PLANTED else (low, middle)
    return 10 ** (x + low * ripples)


def components(curves) -> int:
    """Return how many principal components of curves (n, 300) miss less than 0.001 dex, rms."""
    x, counts = torch.from_numpy(curve_data.to_log(curves)), range(curve_model.SAMPLES)
    return bisect.bisect_left(counts, True, key=lambda k: curve_model.missed(x, k) < 1e-3)


def main(argv=None) -> dict:
    """Ask both judges; write and return their answers."""
    settings = parse(Settings, __doc__, argv, without=("device",))
    results.keep_shipped(settings)
    script.start(settings)
    path = files.announced(settings.model or files.ROOT / curve_model.NAME)
    model, content = curve_model.load(path)
    simulation.check_together(folder := simulation.folder_of(settings), content["source"])
    data, rows = curve_data.split(*data_loader.dataloader(folder)), {}
    generated = evaluation.sample_by_size(model, data.test, 500, settings.seed)
    for p in sorted({min(data.test, key=lambda p: abs(np.log(p / q))) for q in SIZES}):
        true = data.test[p]
        cut = min(500, len(true) // 2)
        rest = true[cut:]
        rivals = {"model": generated[p], "ripples": rippled(rest), "scale": scaled(rest)}
        rivals["reconstructed"] = evaluation.reconstruct(model, rest, p)
        if p in data.same_field:
            rivals["floor"] = data.same_field[p]
        rows[f"{p:.6g}"] = row = {"components": components(true)}
        for name, curves in rivals.items():
            row[name] = {
                "boosting": evaluation.judged(curves, true[:cut], seed=settings.seed),
                "network": convolutional(curves, true[:cut], settings.epochs, settings.seed),
            }
        print(f"p = {p:.3g}:", row, flush=True)
    found = {"by_p": rows, "source": content["source"], "curves": 500, "planted": PLANTED}
    return results.save_results(settings.out_dir, "ex_2b_judges", found, {}, [Path(path)])


if __name__ == "__main__":
    script.run(main)
