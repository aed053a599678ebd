"""Exact KL(data || model) of exercise 3(a) after equal seconds, against torchebm's losses.

The same network, batch, rates and averaging of weights for all, one thread, seeds 0-4.  torchebm's
ContrastiveDivergence takes 20 Langevin steps of 0.01 from the data, or from its replay buffer; its
option for a penalty on the energies stays as it comes.  (Version 0.8.9 has no parallel tempering.)
The number of updates is what fits into the seconds, as a short run of each side tells.
"""

import statistics
import time

import ex_3a
from benchmarks.chains import EPS, energy_of, torchebm
from benchmarks.timing import ratios, row
from common import ebm, swiss_roll, training
from common.swiss_roll import evaluation

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

CHAIN, SEEDS, BUDGET = 20, 5, 20.0  # Langevin steps an update; trainings; seconds of each
OWN = ("cd", "replica", "nce")


def train_peer(data, steps: int, persistent: bool, recipe: dict):
    """Return the averaged network after `steps` updates with torchebm's loss."""
    model, peer = ebm.LogDensity(), torchebm()
    energy = energy_of(model, torch.device("cpu"))
    sampler = peer.samplers.LangevinDynamics(energy, step_size=EPS, noise_scale=1.0)
    loss_of = peer.losses.ContrastiveDivergence(energy, sampler, CHAIN, persistent=persistent)
    optimizer = torch.optim.Adam(model.parameters(), recipe["rate"], fused=True)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe["average"]))
    for step in range(steps):
        share = training.warmup_cosine(step, steps, min(0.5, 200 / steps))
        optimizer.param_groups[0]["lr"] = recipe["rate"] * (0.02 + 0.98 * share)
        optimizer.zero_grad()
        loss_of(data[torch.randint(len(data), (recipe["batch"],))])[0].backward()
        optimizer.step()
        average.update_parameters(model)
    return average.module.eval()


def measure(settings, device) -> dict:
    """Train every side with every seed; compare the KL, seed by seed."""
    torch.set_num_threads(1)  # the small networks gain nothing from a second
    budget, points = (0.2, 500) if settings.smoke else (BUDGET, 10**6)
    data, exact = swiss_roll.sample(points, 0.2, 1), evaluation.ExactKL(0.2)

    def train(side, seed, steps):
        """Return the network after so many updates, and the seconds that they took."""
        started = time.perf_counter()
        if side in OWN:
            model, _ = ex_3a.fit(data, ex_3a.Settings(method=side, seed=seed, steps=steps))
        else:
            torch.manual_seed(seed)
            model = train_peer(data, steps, side == "torchebm PCD", ex_3a.RECIPES["cd"])
        return model, time.perf_counter() - started

    found, many = {}, 5 if settings.smoke else 60
    for seed in range(1 if settings.smoke else SEEDS):
        for side in (*OWN, "torchebm CD", "torchebm PCD"):
            train(side, seed, many)  # warms up
            _, seconds = train(side, seed, many)
            steps = max(1, round(many * budget / seconds))
            model, seconds = train(side, seed, steps)
            run = {"kl_nats": exact(model)["kl_nats"], "seconds": seconds, "updates": steps}
            for name, value in run.items():
                found.setdefault(side, {}).setdefault(name, []).append(value)
            print(f"seed {seed}, {side}: KL {run['kl_nats']:.4f} nats", flush=True)
    best, rows = found["replica"]["kl_nats"], []
    for name, side in found.items():
        side |= {"mean": statistics.mean(side["kl_nats"])}
        if name != "replica":
            gain, work = ratios(side["kl_nats"], best), f"KL of replica after {budget:g} s"
            rows.append(row(work, f"{name} after as long", gain, 1.0, unit="x less"))
    return {"rows": rows, "trained": found}
