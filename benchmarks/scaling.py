"""How seconds grow with the size of the work; draws benchmarks/growth.png.

Seconds of each size are the median of three after one that warms up.  The exponent is that of the
larger half of the sizes; 1 means in proportion.
"""

import statistics
from pathlib import Path

import ex_1b
from benchmarks.timing import alternate, row
from common import ebm, langevin
from common.digits.data import Digits
from common.light_curves import microlensing
from common.plots import new_figure
from common.runtime import results

import numpy as np
import torch

STEPS = 5  # of a training or a chain, in one timing
AXES = {  # what grows: (smoke sizes, sizes, the size that the exercises use)
    "digits in a batch": ((8, 16), (64, 128, 256, 512, 1024), 256),
    "channels of the network": ((4, 8), (24, 48, 96, 192), 48),
    "chains": ((10, 20), (1000, 4000, 16000, 64000), 1000),
    "curves read off a map": ((10, 20), (2000, 8000, 32000, 128000), 2000),
    "pixels along a map": ((50, 100, 200), (500, 1000, 2000, 4000), 5000),
    "stars in the field": ((10, 40, 160), (400, 1600, 6400, 25600), 6366),
}


def training_of(batch: int, channels: int):
    """Return a function that takes STEPS training steps of ex_1b.py on random digits."""
    images = torch.randint(256, (batch * STEPS, 28, 28), dtype=torch.uint8)
    labels = torch.randint(10, (len(images),))
    data = Digits(images, labels, images[:1], labels[:1], "random")
    settings = ex_1b.Settings(batch=batch, channels=channels, epochs=1)
    return lambda: ex_1b.fit(data, settings, torch.device("cpu"))


def work_of(axis: str, size: int):
    """Return a function that does the work of `axis` once, of size `size`."""
    if axis == "digits in a batch":
        return training_of(size, 48)
    if axis == "channels of the network":
        return training_of(64, size)
    if axis == "chains":
        model, x = ebm.LogDensity().requires_grad_(False), 3 * torch.randn(size, 2)
        return lambda: langevin.langevin(x.clone(), model.score, 0.01, 20 * STEPS)
    if axis == "curves read off a map":
        flat, points = np.ones((2500, 2500), np.float32), microlensing.tracks(size, 25.0, 4.5, 300)
        return lambda: microlensing.read_tracks(flat, 25.0, points)
    width, pixels = 25.0, size
    if axis == "stars in the field":
        width, pixels = float(np.sqrt(size * np.pi / 2)), 1000  # the same number of rays for all
    field = microlensing.star_field(width=width)
    return lambda: microlensing.magnification_map(field, pixels)


def exponent(sizes, values) -> float:
    """Return b of values ~ sizes^b over the larger half of the sizes."""
    half = len(sizes) // 2 if len(sizes) > 2 else 0
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def figure_of(found: dict):
    """Draw seconds over size, a panel for each axis of {axis: {"sizes", "seconds", ...}}."""
    from matplotlib.ticker import NullFormatter

    figure = new_figure(7.2, 4.2)
    panels = figure.subplots(2, 3)
    for panel, (axis, entry) in zip(panels.flat, found.items(), strict=True):
        panel.loglog(entry["sizes"], entry["seconds"], "o-", color="0.2")
        panel.axvline(entry["used"], color="0.6", ls=":")
        for side in (panel.xaxis, panel.yaxis):
            side.set_minor_formatter(NullFormatter())
        panel.margins(y=0.2)
        panel.set(xlabel=axis, title=f"exponent {entry['exponent_seconds']:.2f}")
    for panel in panels[:, 0]:
        panel.set_ylabel("seconds")
    figure.suptitle("Seconds over the size of the work; dotted: the size that the exercises use")
    return figure


def measure(settings, device) -> dict:
    """Measure every size of every axis, and draw them."""
    found = {}
    for axis, (small, large, used) in AXES.items():
        sizes = small if settings.smoke else large
        times = (alternate({"work": work_of(axis, size)}, 3)["work"] for size in sizes)
        seconds = [statistics.median(three) for three in times]
        found[axis] = {"sizes": sizes, "seconds": seconds, "used": used}
        found[axis]["exponent_seconds"] = exponent(sizes, seconds)
    results.save_figure(Path(settings.out_dir) / "benchmarks/growth.png", figure_of(found))
    rows = [row(axis, "its size", [entry["exponent_seconds"]], unit="exponent of seconds")
            for axis, entry in found.items()]  # fmt: skip
    return {"rows": rows, "growth": found}
