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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from common.digits import figures
from common.digits.model import as_labels, draw, load_model
from common.training import InputError, check, pick_device, run, save_figure, say, whole

DIGITS = 20_000  # in one picture, at most


@dataclass
class Settings:
    numbers: Annotated[tuple[str, ...], tyro.conf.Positional] = ()  # such as 2023 or 007
    labels: tuple[int, ...] = ()  # draw an image for each of these labels
    samples: int = 1  # versions of each number
    one_hand: bool = True  # one handwriting for all digits of a number
    out: Path | None = None  # picture to write: .png, .jpg or .pdf
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
    network, _, _ = load_model(model, device)
    return _draw(network, y, seed, one_hand)


def draw_number(
    number: str | int, seed: int | None = None, model="", device="cpu", one_hand=True
) -> np.ndarray:
    """Draw the digits of a number side by side: (32, width) float32 in [0, 1].

    number: 2023, or text such as "007".  one_hand: all digits from one u; False draws each anew.
    The rest, and what it raises: as in `generate`.
    """
    return figures.number_row(generate(digits_of(number), seed, model, device, one_hand))


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
    wrong = next((c for c in text if c not in "0123456789"), "nothing")
    raise InputError(f"{shown}: {wrong!r} is no digit; give a number of the digits 0-9 alone")


def _draw(network, labels, seed, one_hand=False) -> np.ndarray:
    """Draw from a loaded model; the caller's random numbers stay as they were."""
    if seed is not None and (isinstance(seed, bool) or not 0 <= seed < 2**63):
        raise InputError(f"seed = {seed!r}: give a whole number from 0, or None")
    device = next(network.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.seed() if seed is None else torch.manual_seed(int(seed))
        return draw(network, labels, one_hand).numpy()


def main(settings) -> dict:
    """Write the pictures asked for; return {"files": [...]}."""
    check(settings, samples=(1, 1000), seed=(0, 2**62))
    numbers = [n for n in settings.numbers for _ in range(settings.samples)]
    if not numbers and not settings.labels:
        raise InputError("give a number such as 2023, or --labels 0 2 3")
    if sum(len(digits_of(number)) for number in numbers) > DIGITS:
        raise InputError(f"too many digits for one picture: at most {DIGITS:,}")
    pick_device(settings.device)
    network, content, path = load_model(settings.model, settings.device, settings.out_dir)
    say(f"reading {path}: {content['about']}")

    pictures = {}
    for k, number in enumerate(numbers):
        images = _draw(network, as_labels(digits_of(number)), settings.seed + k, settings.one_hand)
        place = settings.out or settings.out_dir / f"ex_1c_{number[:100]}.png"
        pictures.setdefault(place, []).append(figures.number_row(images))
    for place, rows in pictures.items():
        _write_page(place, figures.page(rows))
    if settings.labels:
        place = settings.out_dir / "ex_1c_labels.png"
        images = _draw(network, as_labels(settings.labels), settings.seed)
        save_figure(place, figures.labelled(images, settings.labels, "an image for each label"))
        print(place)
        pictures[place] = images
    return {"files": [str(place) for place in pictures]}


def _write_page(path, grey):
    from PIL import Image

    if Path(path).suffix.lower() not in (".png", ".jpg", ".jpeg", ".pdf"):
        raise InputError(f"cannot write {path}: the name must end in .png, .jpg or .pdf")
    print(whole(path, lambda temporary: Image.fromarray(grey).save(temporary)))


if __name__ == "__main__":
    run(main, Settings)
