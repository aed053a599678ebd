"""Exercise 1(c): turn a number such as 2023 into a picture, and labels into images.

    python ex_1c.py 2023                  -> figures/ex_1c_2023.png
    python ex_1c.py 007 42 --white        -> one picture for each number, black on white
    python ex_1c.py --examples            -> figures/ex_1c.png, .json: [0, 2], and all ten digits

Needs checkpoints/ex_1b.pt (shipped), not MNIST.  Every digit is drawn anew: z ~ p(z|y), then the
mean of p(x|z,y).  As a module: `ex_1c.generate([2, 0, 2, 3])` -> (4, 28, 28) in [0, 1].
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common import artifacts, digits, plots, runtime
from common.settings import Common, InputError, option, parse


@dataclass(frozen=True)
class Settings(Common):
    """What is drawn, and how."""

    numbers: str = option((), "numbers to draw, such as 2023 or 007")
    out: str = option("", "picture to write (.png, .pdf, .svg); all numbers in one, a row each")
    samples: int = option(1, "versions of each number, a row each", minimum=1, maximum=1000)
    white: bool = option(False, "black digits on white instead of white on black")
    show: bool = option(False, "also open the picture in a window")
    examples: bool = option(False, "write the labelled sheet: [0, 2], and all ten digits")


def generate(labels: Sequence[int], seed: int | None = None, out_dir: str = ".") -> np.ndarray:
    """Draw one new digit for each label: n integers 0-9 -> (n, 28, 28) float32 in [0, 1].

    labels: list, tuple, array or tensor.  seed: the same seed gives the same digits; None gives
    new ones at each call.  Raises InputError (a ValueError) for a label that is not an integer
    0-9, or when there is no checkpoint below `out_dir` nor among the shipped ones.
    """
    labels = digits.as_labels(labels)
    model, _ = digits.load(out_dir)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        torch.seed() if seed is None else torch.manual_seed(seed)
        return digits.draw(model, labels).numpy()


def rows_of(number: str, settings) -> list[np.ndarray]:
    """Draw `number` settings.samples times: pictures (32, width), digits on one baseline."""
    if not re.fullmatch("[0-9]{1,1000}", number):
        shown = number if len(number) <= 20 else number[:20] + "..."
        raise InputError(f"{shown!r} is not a number: give 1 to 1,000 of the digits 0-9")
    labels = [int(digit) for digit in number] * settings.samples
    images = generate(labels, settings.seed, settings.out_dir)
    return [plots.number_row(row) for row in images.reshape(settings.samples, -1, 28, 28)]


def main(argv=None) -> dict:
    """Write the pictures asked for; return {"files": [...]} and, with --examples, the numbers."""
    settings = parse(Settings, __doc__, argv, positional=("numbers", "NUMBER", "*"))
    runtime.start(settings)
    if not settings.numbers and not settings.examples:
        raise InputError("give a number such as 2023, or --examples")
    folder = Path(settings.out_dir) / "figures"
    pictures = {number: rows_of(number, settings) for number in settings.numbers}
    if settings.out and pictures:
        named = {Path(settings.out): [row for rows in pictures.values() for row in rows]}
    else:  # a file name may have at most 255 bytes
        named = {folder / f"ex_1c_{number[:100]}.png": rows for number, rows in pictures.items()}
    for path, rows in named.items():
        figure = plots.picture(plots.stacked_rows(rows), settings.white)
        print(artifacts.save_figure(path, figure, dpi=100))
        if settings.show:
            plots.show(path)
    metrics = {"files": [str(path) for path in named]}
    return metrics | (examples(settings, folder) if settings.examples else {})


def examples(settings, folder: Path) -> dict:
    """Write the labelled sheet that the assignment asks for, and what the judge reads in it."""
    from common import judge

    labels = [0, 2, *range(10)]
    images = generate(labels, settings.seed, settings.out_dir)
    critic, _ = judge.load(settings.out_dir)
    read, _ = judge.read(critic, torch.tensor(images))
    source = digits.load(settings.out_dir)[1]["source"]
    checkpoint = artifacts.find(digits.NAME, settings.out_dir)
    metrics = {
        "labels": labels,
        "read_by_judge": read.tolist(),
        "source": source,
        "seed": settings.seed,
        "checkpoint_sha256": artifacts.sha256(checkpoint),
    }
    figure = plots.labelled(images, labels, f"Generated digits; training data: {source}")
    print(artifacts.save_figure(folder / "ex_1c.png", figure))
    print(artifacts.save_json(folder / "ex_1c.json", metrics))
    return metrics


if __name__ == "__main__":
    runtime.run(main)
