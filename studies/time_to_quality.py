"""How soon 1(b) is how good: -ELBO of validation digits against seconds of training.

    python -m studies.time_to_quality     -> out/ex_1b_time.json, out/ex_1b_time_curve.png

The usual loop is what tutorials have: DataLoader and ToTensor, 784-400-20, Adam 1e-3, batches of
128, 25 epochs, measured after each.  Ours is ex_1b.fit with schedules of different lengths, each
measured at its end, the longest in the first run alone.  The two take turns on the same cores;
measuring does not count.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

import ex_1b
from common.cvae import elbo_terms, plain_cvae
from common.digits.data import hold_out, load, torchvision_mnist
from common.digits.evaluation import elbo
from common.digits.figures import DARK, LIGHT, PAGE, POINTS
from common.digits.model import digit_cvae
from common.plots import new_figure, print_size
from common.training import run, write

TARGETS = (90.0, 86.0, 84.0, 82.0)  # nats


@dataclass
class Settings:
    runs: int = 3  # of both, in turn
    loop_epochs: int = 25  # of the usual loop
    schedules: tuple[int, ...] = (1, 2, 4, 8)  # epochs of ours
    longest: int = 20  # epochs of one more schedule, in the first run alone
    limit: int | None = None  # so many digits only
    seed: int = 100
    data_dir: str = ""  # folder with MNIST/raw; default: $MNIST_ROOT, or data/
    out_dir: Path = Path("out")


class Pictures(Dataset):
    """Digits as tutorials read them: each a PIL image that ToTensor turns into a tensor."""

    def __init__(self, images, labels):
        from torchvision.transforms import ToTensor

        self.images, self.labels, self.transform = images, labels, ToTensor()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, k):
        from PIL import Image

        return self.transform(Image.fromarray(self.images[k].numpy())), int(self.labels[k])


def usual_loop(train, validation, epochs: int, seed: int) -> list:
    """Train as tutorials do; return [(seconds, -ELBO of validation digits)] after each epoch."""
    torch.manual_seed(seed)
    model = plain_cvae(latent=20)
    loader = DataLoader(Pictures(*train), batch_size=128, shuffle=True)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds = 0.0
    curve = []
    for _ in range(epochs):
        started = time.monotonic()
        for image, y in loader:
            x = torch.bernoulli(image).flatten(1)
            log_likelihood, kl = elbo_terms(model, x, y)
            loss = (kl - log_likelihood).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        seconds += time.monotonic() - started
        state = torch.get_rng_state()  # `elbo` seeds anew
        curve.append((seconds, elbo(model, *validation, draws=1)["negative_elbo"]))
        torch.set_rng_state(state)
    return curve


def ours(train, validation, epochs: int, seed: int) -> tuple:
    """Train ours with a schedule of `epochs`; return (seconds, -ELBO of validation digits)."""
    torch.manual_seed(seed)
    model = digit_cvae()
    batch = 256 if epochs < 8 else 512  # a short schedule wants more steps
    started = time.monotonic()
    ex_1b.fit(model, *train, ex_1b.Settings(epochs=epochs, batch=batch, seed=seed))
    seconds = time.monotonic() - started
    return seconds, elbo(model, *validation, draws=1)["negative_elbo"]


def seconds_to(curve, target: float):
    """Return the seconds of the first point of [(seconds, nats)] that reaches `target`, or None."""
    return next((seconds for seconds, nats in curve if nats <= target), None)


def draw(runs):
    """Draw -ELBO against seconds: the loop's curves, and the ends of our schedules."""
    figure = new_figure(PAGE, 2.6)
    axis = figure.subplots()
    for k, one in enumerate(runs):
        labels = (
            ("usual loop, after each epoch", "ours, end of a schedule") if k == 0 else (None,) * 2
        )
        axis.plot(*np.transpose(one["loop"]), "-", color=DARK, lw=1, label=labels[0])
        axis.plot(*np.transpose(one["ours"]), "o--", color=LIGHT, ms=4, lw=0.7, label=labels[1])
    axis.set(xscale="log", xlabel="seconds of training", ylabel="−ELBO, validation [nats]")
    axis.set_ylim(top=125)
    ticks = [20, 50, 100, 200, 500, 1000]
    axis.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return print_size(figure, POINTS)


def summary(runs) -> dict:
    """Return the loop's final value and the median seconds in which each side reaches a value."""
    final = np.median([one["loop"][-1][1] for one in runs])
    table = {}
    for target in (final, *TARGETS):
        table[f"{target:.2f}"] = row = {}
        for who in ("loop", "ours"):
            times = [seconds_to(one[who], target) for one in runs]
            times = [seconds for seconds in times if seconds is not None]
            row[who] = np.median(times) if times else None
            row[f"{who}_runs"] = len(times)
        reached = row["loop"] and row["ours"]
        row["ratio"] = row["loop"] / row["ours"] if reached else None
    return {"loop_final": final, "seconds_to": table}


def main(settings) -> dict:
    """Let both train in turn; write the seconds to each value after every run, and return them."""
    torchvision_mnist()  # its import fails beside a CPU torch unless it is helped
    train, validation = hold_out(load(settings.data_dir, settings.limit).train)
    runs = []
    for k in range(settings.runs):
        seed = settings.seed + k
        loop = usual_loop(train, validation, settings.loop_epochs, seed)
        schedules = settings.schedules if k else (*settings.schedules, settings.longest)
        points = [ours(train, validation, epochs, seed) for epochs in schedules]
        runs.append({"loop": loop, "ours": points})
        numbers = summary(runs) | {"threads": torch.get_num_threads(), "runs": runs}
        write(settings.out_dir, "ex_1b_time", numbers, curve=draw(runs))
    return numbers


if __name__ == "__main__":
    run(main, Settings)
