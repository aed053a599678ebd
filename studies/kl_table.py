"""Ways to train an energy-based model, compared by exact KL after equal seconds.

    python -m studies.kl_table         -> out/ex_3a_table.json: KL(data || model) of each of ROWS
    python -m studies.kl_table --rows cd replica --seeds 100     only these

All rows have the network of 3(a), one thread, the same seconds of processor time, Adam with a
cosine, and the average of the weights that ex_3a.py has.  They differ in where the negatives come
from, and three have none:

    dsm   denoising score matching: |s grad f(x + s e) + e|^2 / 2, s falls to .08 (Vincent 2011)
    ed    energy discrepancy: log(1/M + mean_j exp(f(y_j) - f(x))), y_j = x + sqrt(t) (e + e_j)
          (Schroeder et al. 2023), M = 8, t log-uniform from .3 to 5
    nce   noise-contrastive estimation, as in ex_3a.py

The roll has noise .2.  torchebm's ContrastiveDivergence is a row where that package is installed
(requirements-bench.txt).  Ten minutes of one core for each row.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

import ex_3a
from common import ebm, langevin, swiss_roll
from common.swiss_roll import evaluation
from common.swiss_roll.negatives import SOURCES
from common.training import InputError, check, run, write


@dataclass
class Settings:
    rows: tuple[str, ...] = ()  # default: all
    seconds: float = 60.0  # of processor time, each training
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    out_dir: Path = Path("out")


def shipped(method: str):
    """Return loss(f, x, progress) of a method of ex_3a.py."""
    recipe = ex_3a.RECIPES[method]
    source = SOURCES[method](recipe) if method in SOURCES else None

    def loss(f, x, progress):
        if method == "cd":
            negatives = ex_3a.langevin_chain(f, x, recipe["eps"], recipe["chain"])
        else:
            x, negatives = source(f, x, progress)
        if method == "nce":
            return ex_3a.nce_loss(f, x, negatives)
        return ex_3a.contrastive_loss(f, x, negatives, decayed(recipe["l2"], progress))

    return loss


def decayed(ends, progress: float) -> float:
    """Return the weight l2 on the way, as ex_3a.py has it."""
    first, last = ends
    return first * (last / first) ** min(1.0, progress / 0.6)


def falling():
    """Contrastive divergence whose eps falls along each chain, from .02 to .002."""
    sizes = np.geomspace(0.02, 0.002, 80).tolist()

    def loss(f, x, progress):
        y = x
        for eps in sizes:
            y = langevin.langevin(y, f.score, eps, 1)
        return ex_3a.contrastive_loss(f, x, y, decayed((1e-2, 1e-5), progress))

    return loss


def persistent():
    """PCD: chains that begin at data once and then go on for ever, 20 steps of .01 an update."""
    chains = None

    def loss(f, x, progress):
        nonlocal chains
        chains = langevin.langevin(x if chains is None else chains, f.score, 0.01, 20)
        return ex_3a.contrastive_loss(f, x, chains, decayed((1e-2, 1e-4), progress))

    return loss


def denoising():
    def loss(f, x, progress):
        s = 0.5 * (0.08 / 0.5) ** min(1.0, progress / 0.7)
        e = torch.randn_like(x)
        noisy = (x + s * e).requires_grad_()
        (slope,) = torch.autograd.grad(f(noisy).sum(), noisy, create_graph=True)
        return 0.5 * (s * slope + e).square().sum(1).mean()

    return loss


def discrepancy():
    many = 8

    def loss(f, x, progress):
        t = 0.3 * (5 / 0.3) ** torch.rand(len(x), 1)
        y = x + t.sqrt() * torch.randn_like(x)
        y = y + t.sqrt() * torch.randn(many, *x.shape)
        gain = f(y.flatten(0, 1)).view(many, -1) - f(x)
        whole = torch.cat([gain, torch.zeros_like(gain[:1])])
        return (whole.logsumexp(0) - math.log(many)).mean()

    return loss


def torchebm_cd():
    """torchebm's loss: 20 Langevin steps of .01 from the data."""
    from torchebm import core, losses, samplers

    class Energy(core.BaseModel):
        def __init__(self, f):
            super().__init__(dtype=torch.float32, device=torch.device("cpu"))
            self.f = f

        def forward(self, x):
            return -self.f(x)

    parts = {}

    def loss(f, x, progress):
        if not parts:
            energy = Energy(f)
            sampler = samplers.LangevinDynamics(energy, step_size=0.01, noise_scale=1.0)
            parts["loss"] = losses.ContrastiveDivergence(energy, sampler, 20)
        return parts["loss"](x)[0]

    return loss


ROWS = {  # name: how its loss is made, points an update, Adam's rate
    **{name: (lambda name=name: shipped(name), recipe["batch"], recipe["rate"])
       for name, recipe in ex_3a.RECIPES.items()},
    "cd, falling eps": (falling, 512, 4e-3),
    "pcd": (persistent, 512, 4e-3),
    "dsm": (denoising, 1024, 4e-3),
    "ed": (discrepancy, 512, 4e-3),
    "torchebm CD": (torchebm_cd, 512, 4e-3),
}  # fmt: skip


def train(row: str, data, seed: int, seconds: float):
    """Train by ROWS[row] on data (n, 2) for so long; return (averaged network, updates)."""
    make, batch, rate = ROWS[row]
    torch.manual_seed(seed)
    f = ebm.LogDensity()
    average = AveragedModel(f, multi_avg_fn=ex_3a.recent)
    adam = torch.optim.Adam(f.parameters(), rate)
    loss_of = make()
    updates = 0
    started = time.process_time()
    with tqdm(total=1.0, desc=f"{row}, seed {seed}", leave=False) as bar:
        while (progress := (time.process_time() - started) / seconds) < 1:
            adam.param_groups[0]["lr"] = rate * ex_3a.schedule(progress)
            x = data[torch.randint(len(data), (batch,))]
            loss = loss_of(f, x, progress)
            adam.zero_grad()
            loss.backward()
            adam.step()
            average.update_parameters(f)
            updates += 1
            bar.update(progress - bar.n)
    return average.module.eval(), updates


def main(settings) -> dict:
    """Train each row with each seed, add it to the table; return that."""
    check(settings, seconds=(0.1, 1e5))
    rows = settings.rows or tuple(ROWS)
    for row in rows:
        if row not in ROWS:
            raise InputError(f"--rows {row!r}: give some of {', '.join(ROWS)}")
    torch.set_num_threads(1)
    exact = evaluation.ExactKL(swiss_roll.NOISE)
    path = settings.out_dir / "ex_3a_table.json"
    table = json.loads(path.read_text(encoding="utf-8"))["table"] if path.exists() else {}
    for row in rows:
        runs = {}
        for seed in settings.seeds:
            data = swiss_roll.sample(10**6, seed=seed + 1)
            try:
                f, updates = train(row, data, seed, settings.seconds)
            except ImportError as error:
                raise InputError(
                    f"{row}: {error}; pip install -r requirements-bench.txt"
                ) from error
            runs[str(seed)] = {"kl_nats": exact(f)["kl_nats"], "updates": updates}
            print(
                f"{row}, seed {seed}: KL {runs[str(seed)]['kl_nats']:.4f} after {updates} updates"
            )
        table[row] = {"seeds": runs, "seconds": settings.seconds}
        write(settings.out_dir, "ex_3a_table", {"table": table})
    return {"table": table}


if __name__ == "__main__":
    run(main, Settings)
