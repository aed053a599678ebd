"""Exercise 1(c): turn a number such as 2023 into a picture, and labels into images.

    python ex_1c.py 2023                  -> figures/ex_1c_2023.png
    python ex_1c.py 007 42                -> one picture for each number
    python ex_1c.py --examples            -> figures/ex_1c.png, .json: [0, 2], and all ten digits

Needs checkpoints/ex_1b.pt (shipped; --examples also judge.pt), not MNIST.  Every digit is drawn
anew: z ~ p(z|y), then the mean of p(x|z,y) (common/digits/model.py, `draw`).
Takes about 3 seconds, most of them to load torch.
As a module: `ex_1c.generate([2, 0, 2, 3])` -> (4, 28, 28), and `ex_1c.draw_number(2023)` ->
(32, width), both in [0, 1].
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common.digits import figures
from common.digits import model as digit_model
from common.runtime import files, results, script
from common.runtime.errors import InputError
from common.runtime.options import Drawing, no_effect, option, parse
from common.runtime.seeding import fork_rng

MOST = 20_000  # digits in one picture


@dataclass(frozen=True)
class Settings(Drawing):
    """What is drawn, and how."""

    numbers: tuple = option((), "numbers to draw, such as 2023 or 007")
    out: str = option("", "picture to write (.png, .pdf, .svg); all numbers in one, a row each")
    samples: int = option(1, "versions of each number, a row each", minimum=1, maximum=1000)
    temperature: float = option(1.0, "spread of z; 1 is p(z|y)", minimum=0.0, maximum=10.0)
    examples: bool = option(False, "write the labelled sheet: [0, 2], and all ten digits")


def generate(
    labels: Sequence[int], seed: int | None = None, model="", device="cpu", temperature=1.0
) -> np.ndarray:
    """Draw one new digit for each label: n integers 0-9 -> (n, 28, 28) float32 in [0, 1].

    labels: list, tuple, array or tensor.  seed: the same seed gives the same digits; None gives
    new ones at each call.  model: a checkpoint of ex_1b.py, "" for the shipped one.
    temperature: 0 to 10, below 1 gives more typical, less varied digits.
    Raises InputError (a ValueError) for a label that is not an integer 0-9, for other arguments out
    of range, or when there is no such checkpoint.
    """
    labels = digit_model.as_labels(labels)
    if not isinstance(temperature, int | float) or not 0 <= temperature <= 10:
        raise InputError(f"temperature = {temperature}: give a number from 0 to 10")
    with fork_rng(seed, device):
        network, _ = digit_model.load(model, device)
        return digit_model.draw(network, labels, temperature).numpy()


def draw_number(
    number: str | int, seed: int | None = None, model="", device="cpu", temperature=1.0
) -> np.ndarray:
    """Draw the digits of a number side by side, each anew: (32, width) float32 in [0, 1].

    number: 2023, or text such as "007".  The rest, and what it raises: as in `generate`.
    """
    images = generate(digits_of(number), seed, model, device, temperature)
    return figures.number_row(images)


def digits_of(number: str | int) -> list[int]:
    """Return the digits of a number; raise InputError unless it is 1 to 1,000 of 0-9."""
    if isinstance(number, int) and not 0 <= number < 10**1000:  # str() of more may fail
        number = "so long a number"
    if not re.fullmatch("[0-9]{1,1000}", text := str(number)):
        shown = text if len(text) <= 20 else text[:20] + "..."
        raise InputError(f"{shown!r} is not a number: give 1 to 1,000 of the digits 0-9")
    return [int(digit) for digit in text]


def numbers_of(settings) -> list[str]:
    """Return every number settings.samples times; raise InputError for what is not a number."""
    wanted = [number for number in settings.numbers for _ in range(settings.samples)]
    if sum(len(digits_of(number)) for number in wanted) > MOST:
        raise InputError(f"too many digits for one picture: at most {MOST:,}")
    return wanted


def rows_of(settings, device) -> list[tuple[str, np.ndarray]]:
    """Draw every number settings.samples times: a list of (number, picture (32, width))."""
    wanted = numbers_of(settings)
    labels = [int(digit) for digit in "".join(wanted)]
    images = iter(generate(labels, settings.seed, settings.model, device, settings.temperature))
    return [(number, figures.number_row([next(images) for _ in number])) for number in wanted]


def examples(settings, device) -> dict:
    """Write the labelled sheet and what the classifier reads in it; return the numbers."""
    from common.digits import classifier  # and training: not needed to draw a number

    labels = [0, 2, *range(10)]
    images = generate(labels, settings.seed, settings.model, device)
    reader, _ = classifier.load()
    path = settings.model or files.ROOT / digit_model.NAME
    source = digit_model.load(path)[1]["source"]
    read = classifier.predict(reader, torch.tensor(images))[0].tolist()
    for name, row in (("asked for", labels), ("read as", read)):
        print(f"{name:9}", *row)
    sheet = figures.labelled(images, labels, f"generated digits, training data: {source}")
    metrics = {"labels": labels, "read_by_classifier": read, "source": source}
    metrics |= {"seed": settings.seed}
    return results.save_results(settings.out_dir, "ex_1c", metrics, {"ex_1c": sheet}, [path])


def main(argv=None) -> dict:
    """Write the pictures asked for; return {"files": [...]} and, with --examples, the numbers."""
    settings = parse(Settings, __doc__, argv, ("numbers", "NUMBER", "*"), without=("data_dir",))
    if not settings.numbers and not settings.examples:
        raise InputError("give a number such as 2023, or --examples")
    if not settings.numbers:
        no_effect(settings, "out samples temperature", "without a number")
    if settings.examples:
        results.keep_shipped(settings, but="numbers out samples temperature examples")
    if settings.out:
        no_effect(settings, "out_dir", "with --out")
        results.picture_format(settings.out)
        files.check_writable(settings.out)
    numbers_of(settings)
    device, folder = script.start(settings), Path(settings.out_dir) / "figures"
    files.announced(settings.model or files.ROOT / digit_model.NAME)
    stacks = {}
    for number, row in rows_of(settings, device):  # a file name has at most 255 bytes
        path = Path(settings.out or folder / f"ex_1c_{number[:200]}.png")
        stacks.setdefault(path, []).append(row)
    for path, rows in stacks.items():
        print(results.save_figure(path, figures.picture(rows)))
    metrics = examples(settings, device) if settings.examples else {}
    return {"files": [str(path) for path in stacks], **metrics}


if __name__ == "__main__":
    script.run(main)
