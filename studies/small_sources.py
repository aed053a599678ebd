"""Why generated curves of p = .01 fail: the prior, the condition, or the sizes trained on?

    python -m studies.small_sources      -> out/ex_2c_small.json

The smallest source that 2(b) is trained on has p = .1 R_E.  Curves of p = .01, .03 and .05 are
compared with simulated ones (C2ST, structure function) for models that differ in one thing each.
Below .1 the prior p(z|p) stays as it is at .1, or goes on with p; the networks are given p or
log p; two more sizes, .0301 and .0549, are trained on.  Seed 100; a quarter of an hour on one core.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch

import ex_2b
from common.light_curves import data, evaluation
from common.light_curves.model import CurveCVAE, draw, prior_of
from common.training import InputError, one_thread, pick_device, run, write

ASKED = (0.01, 0.03, 0.05)  # R_E
ADDED = (0.0301, 0.0549)  # R_E, trained on in one of the rows; their tracks are others
EACH = 500  # curves in each of two true sets, and generated


class LogCVAE(CurveCVAE):
    """The network of 2(a), given log p instead of p."""

    def condition(self, p: torch.Tensor) -> torch.Tensor:
        """Return log(p / R_E) / unit, repeated 32 times: (n,) -> (n, 32)."""
        return (p.log() / self.unit)[:, None].expand(-1, 32)


@dataclass
class Settings(ex_2b.Settings):
    seed: int = 100


def train(curves: dict, settings, network=CurveCVAE):
    """Train ours on {p: (n, 300)} with another network, or other curves: return the model."""
    device = pick_device(settings.device)
    x, p = (part.to(device) for part in data.stacked(curves, settings.limit))
    torch.manual_seed(settings.seed)
    prior = prior_of(asdict(settings), min(curves), max(curves))
    return ex_2b.fit(prior, x, p, settings, network=network)[0].cpu()


def judge(model, true: dict, seed: int, least: float) -> dict:
    """Return {p: {"c2st", "sf"}} of curves drawn with the prior held at `least` R_E below it."""
    model.prior.limits[0] = least
    torch.manual_seed(seed)
    rows = {}
    for p, sets in true.items():
        drawn = draw(model, torch.tensor([p]), EACH)[0].numpy()
        found = evaluation.distances_to(sets, drawn, seed)
        rows[f"{p:g}"] = {name: found[name] for name in ("c2st", "sf")}
    return rows


def main(settings) -> dict:
    """Train three models, compare five ways of drawing with the truth; return the numbers."""
    if settings.seed < 100:
        raise InputError(f"--seed {settings.seed}: give a seed from 100 on")
    one_thread()
    true = data.reference(ASKED, EACH, settings.data_dir, settings.out_dir)
    added = data.reference(ADDED, 1000, settings.data_dir, settings.out_dir)
    curves = data.load(settings.data_dir, part="validation").train
    more = {p: np.concatenate(sets) for p, sets in added.items()} | curves
    least = min(curves)

    seed = settings.seed
    rows = {}
    for name, network in (("p", CurveCVAE), ("log p", LogCVAE)):
        model = train(curves, settings, network)
        rows[f"given {name}, prior held at {least:g}"] = judge(model, true, seed, least)
        rows[f"given {name}, prior free"] = judge(model, true, seed, min(ASKED))
    model = train(more, settings)
    rows["given p, two more sizes trained on"] = judge(model, true, seed, min(ADDED))

    floors = {p: evaluation.floor_of(*sets, seed) for p, sets in true.items()}
    rows["floor"] = {f"{p:g}": {k: row[k] for k in ("c2st", "sf")} for p, row in floors.items()}
    for name, row in rows.items():
        print(name, ", ".join(f"{p}: {v['c2st']:.2f} {v['sf']:.2f}" for p, v in row.items()))
    return write(settings.out_dir, "ex_2c_small", {"rows": rows, "added": ADDED, "seed": seed})


if __name__ == "__main__":
    run(main, Settings)
