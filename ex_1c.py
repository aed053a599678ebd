"""Exercise 1(c): turn a number such as 2023 into a picture, and an array of labels into images.

    python ex_1c.py 2023                  -> out/ex_1c_2023.png, in one handwriting
    python ex_1c.py 007 42 --samples 3    three versions of each
    python ex_1c.py --labels 0 2 3        -> out/ex_1c_labels.png, an image for each label

    z = T_y(u),    u ~ p(u),    picture = E[ x | z, y ]

u is the handwriting: one u for all digits of a number, a new one for each label of an array.  T_y
is the learned prior in common/priors.py, p(x|z,y) is in common/cvae.py.  Takes 3 seconds, most of
them to load torch; needs checkpoints/ex_1b.pt (shipped), not MNIST.  From Python:

    ex_1c.generate([2, 0, 2, 3])     (4, 28, 28) float32 in [0, 1]
    ex_1c.draw_number("2023")        (32, width) float32 in [0, 1]
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from common.digits import figures
from common.digits.model import as_labels, draw, load_model
from common.training import InputError, check, random_numbers, run, save_figure, say, write_whole

DIGITS = 20_000  # in one picture, at most


@dataclass
class Settings:
    numbers: Annotated[tuple[str, ...], tyro.conf.Positional] = ()  # such as 2023 or 007
    labels: tuple[int, ...] = ()  # draw an image for each of these labels
    samples: int = 1  # versions of each number
    one_hand: bool = True  # one handwriting for all digits of a number (--labels: never)
    out: Path | None = None  # one picture for all: .png, .jpg or .pdf
    seed: int = 0
    model: str = ""  # checkpoint; default: ex_1b.pt in --out-dir if it is there, else the shipped
    device: str = "auto"  # cpu, cuda, ...
    out_dir: Path = Path("out")


def generate(
    labels: Sequence[int], seed: int | None = None, model="", device="cpu", one_hand=False
) -> np.ndarray:
    """Draw a new digit for each label: n integers 0-9 -> (n, 28, 28) float32 in [0, 1].

    labels: list, tuple, array or tensor.  seed: the same seed gives the same digits, None new ones
    at each call.  model: a checkpoint of ex_1b.py, "" for the shipped one.  one_hand: one u, one
    handwriting, for all labels of the call.
    Raises InputError (a ValueError) for a label that is not an integer 0-9, and when there is no
    such checkpoint or device.
    """
    y = as_labels(labels)
    if sorted(y.tolist()) == [0] * 9 + [1]:
        words = "labels: nine 0 and one 1 are ten labels; of a one-hot vector give the argmax"
        warnings.warn(words, stacklevel=2)
    with random_numbers(seed, device):
        network, _, _ = load_model(model, device)
        return draw(network, y, one_hand).numpy()


def draw_number(
    number: str | int, seed: int | None = None, model="", device="cpu", one_hand=True
) -> np.ndarray:
    """Draw the digits of a number side by side: (32, width) float32 in [0, 1].

    number: 2023, or text such as "007".  one_hand: all digits from one u; False draws each anew.
    The rest, and what it raises: as in `generate`.
    """
    digits = digits_of(number)
    with warnings.catch_warnings(action="ignore"):  # 1000000000 is no one-hot vector
        images = generate(digits, seed, model, device, one_hand)
    return figures.number_row(images)


def digits_of(number: str | int) -> list[int]:
    """Return the digits of a number; raise InputError unless it is 1 to 1,000 digits 0-9."""
    if isinstance(number, int) and not -(10**1000) < number < 10**1000:  # str() of more may fail
        raise InputError("the number has more than 1,000 digits")
    text = str(number)
    if re.fullmatch("[0-9]{1,1000}", text):
        return [int(digit) for digit in text]
    shown = repr(text if len(text) <= 20 else text[:20] + "...")
    if re.fullmatch("[0-9]+", text):
        raise InputError(f"{shown} has {len(text):,} digits: at most 1,000 are drawn")
    wrong = [repr(c) for c in text if c not in "0123456789"]
    what = f"{wrong[0]} is no digit" if wrong else "there is no digit"
    raise InputError(f"{shown}: {what}; give a number of the digits 0-9 alone")


def main(settings) -> dict:
    """Write the pictures asked for; return {"files": [...]}."""
    check(settings, samples=(1, 1000), seed=(0, 2**62))
    numbers = [n for n in settings.numbers for _ in range(settings.samples)]
    if not numbers and not settings.labels:
        raise InputError("give a number such as 2023, or --labels 0 2 3")
    if numbers and settings.labels and settings.out:
        raise InputError("--out: give it with numbers or with --labels, not with both")
    if sum(len(digits_of(number)) for number in numbers) > DIGITS:
        raise InputError(f"too many digits for one picture: at most {DIGITS:,}")
    labels = as_labels(settings.labels)
    network, content, path = load_model(settings.model, settings.device, settings.out_dir)
    say(f"reading {path}: {content['about']}")

    pictures = {}
    for k, number in enumerate(numbers):
        with random_numbers(settings.seed + k, settings.device):
            images = draw(network, as_labels(digits_of(number)), settings.one_hand)
        place = settings.out or settings.out_dir / f"ex_1c_{number[:100]}.png"
        pictures.setdefault(place, []).append(figures.number_row(images))
    for place, rows in pictures.items():
        _write_page(place, figures.page(rows))
    if settings.labels:
        place = settings.out or settings.out_dir / "ex_1c_labels.png"
        with random_numbers(settings.seed, settings.device):
            images = draw(network, labels)
        save_figure(
            place,
            figures.labelled(
                images,
                settings.labels,
                "A generated digit for each label, each with a u of its own",
            ),
        )
        print(place)
        pictures[place] = images
    return {"files": [str(place) for place in pictures]}


def _write_page(path, grey):
    from PIL import Image

    if Path(path).suffix.lower() not in (".png", ".jpg", ".jpeg", ".pdf"):
        raise InputError(f"cannot write {path}: the name must end in .png, .jpg or .pdf")
    print(write_whole(path, lambda temporary: Image.fromarray(grey).save(temporary)))


if __name__ == "__main__":
    run(main, Settings)
