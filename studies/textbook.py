"""From the textbook's model of 1(b) to ours, one step at a time, at equal seconds of training.

    python -m studies.textbook       -> out/ex_1b_textbook.json; 50 minutes on one core

Each row adds one thing to the row above, and is trained with as many epochs as fit into the same
time.  -ELBO of 10,000 validation digits, held out of the training digits; seeds 100 and 101.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import ex_1b
from common.cvae import CVAE, plain_cvae
from common.digits.data import hold_out, load
from common.digits.evaluation import elbo
from common.digits.model import CLASSES, digit_cvae
from common.networks import PatchDecoder, PatchEncoder
from common.priors import FlowPrior, StandardPrior
from common.training import pick_device, run, write

LATENT = 24


@dataclass
class Settings:
    seconds: float = 240.0  # of training, each
    seeds: tuple[int, ...] = (100, 101)
    limit: int | None = None  # so many digits only
    device: str = "auto"  # cpu, cuda, ...
    data_dir: str = ""  # folder with MNIST/raw; default: $MNIST_ROOT, or data/
    out_dir: Path = Path("out")


def patches(prior) -> CVAE:
    """Build our networks with a diagonal q and the prior given."""
    encoder = PatchEncoder(CLASSES, 24, 256, 2 * LATENT)
    decoder = PatchDecoder(LATENT, CLASSES, 48, 256)
    return CVAE(encoder, decoder, prior, CLASSES).to(memory_format=torch.channels_last)


ROWS = {  # what is added: how to build it, how to train it
    "plain": (lambda: plain_cvae(latent=LATENT), ex_1b.fit_plain),
    "Muon, warm-up, shifted digits": (lambda: plain_cvae(latent=LATENT), ex_1b.fit),
    "patches": (lambda: patches(StandardPrior(LATENT)), ex_1b.fit),
    "learned prior": (lambda: patches(FlowPrior(LATENT, 128, CLASSES)), ex_1b.fit),
    "full covariance (ours)": (digit_cvae, ex_1b.fit),
}


def epochs_in(seconds: float, build, fit, train) -> int:
    """Return how many epochs fit into `seconds`, from the time of a twentieth of an epoch."""
    some = [part[: max(512, len(part) // 20)] for part in train]
    settings = ex_1b.Settings(epochs=1)
    times = []
    for _ in range(2):  # the first is slower
        model = build()
        started = time.monotonic()
        fit(model, *some, settings)
        times.append(time.monotonic() - started)
    return max(1, round(seconds / (times[-1] * len(train[0]) / len(some[0]))))


def main(settings) -> dict:
    """Train every row with every seed; return the table."""
    device = pick_device(settings.device)
    train, validation = hold_out(load(settings.data_dir, settings.limit).train)
    table = {}
    for name, (build, fit) in ROWS.items():
        epochs = epochs_in(settings.seconds, lambda b=build: b().to(device), fit, train)
        losses, seconds = [], []
        for seed in settings.seeds:
            torch.manual_seed(seed)
            model = build().to(device)
            started = time.monotonic()
            fit(model, *train, ex_1b.Settings(epochs=epochs, seed=seed))
            seconds.append(time.monotonic() - started)
            losses.append(elbo(model, *validation)["negative_elbo"])
        table[name] = {"validation": losses, "mean": np.mean(losses), "epochs": epochs}
        table[name]["seconds"] = seconds
        print(f"{name:32s} {np.mean(losses):7.2f} nats, {epochs} epochs", flush=True)
    return write(settings.out_dir, "ex_1b_textbook", {"rows": table, "seconds": settings.seconds})


if __name__ == "__main__":
    run(main, Settings)
