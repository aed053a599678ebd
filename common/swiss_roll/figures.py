"""Pictures of exercise 3: points, densities, training, samples; matplotlib figures out.

Figures are as wide as the report's page, with letters of 8 points.
"""

import math

import numpy as np

from common import ebm, swiss_roll
from common.plots import new_figure, print_size

PAGE = 6.3  # inches
POINTS = 8.0
DPI = 300
DARK, LIGHT = "#1b3a5c", "#f0b884"  # told apart in grey, too
REACH = 18.0  # the panels show |u_i| < REACH, in the model's scale
CELLS = 180  # of a picture of a density, along each side
LOWEST, HIGHEST = -6.0, -1.0  # of the colour scale of log10 p, in the model's scale


def training(points, f, numbers: dict, history: list):
    """Draw the data, the density of the model, and loss and exact KL over the rounds of training.

    points: of `data.load`; numbers: of `evaluation.model_numbers`; history: of ex_3a.fit.
    """
    figure = new_figure(PAGE, 5.0, DPI)
    above, below = figure.subfigures(2, 1, height_ratios=(1.35, 1))
    left, right = above.subplots(1, 2, sharex=True, sharey=True)
    log_p = None
    if points.noise:
        log_p = swiss_roll.log_density(_window(), points.noise)
        _density(left, log_p, points)
    else:
        left.scatter(*points.train[:2000].T, s=1.5, color=DARK, lw=0)
        left.set_aspect("equal")
    left.set_title(
        "data: exact density" if points.noise else f"data: {len(points.train[:2000])} points"
    )
    log_scale = 2 * math.log(points.scale)
    u = ebm.values(f, points.shift + points.scale * _window()) - numbers["log_z"] + log_scale
    image = _density(right, u, points)
    right.set_title("model: exp(f) / Z")
    unit = "" if points.scale == 1 else f" [per ({points.scale:.3g})²]"
    above.colorbar(image, ax=(left, right), extend="min", label=f"log₁₀ p{unit}")
    left.set_ylabel("x₂")
    for axis in (left, right):
        axis.set_xlabel("x₁")

    rounds = np.arange(1, len(history) + 1)
    one, two = below.subplots(1, 2)
    one.plot(rounds, [row["loss"] for row in history], color=DARK)
    one.set(title="loss", xlabel="round of training", ylabel="nats")
    if points.noise:
        two.plot(rounds, [row["kl_nats"] for row in history], color=DARK, marker=".")
        two.set_yscale("log")
        title = f"KL(data ‖ model): {numbers.get('kl_nats', math.inf):.4f} at the end"
        two.set(title=title, xlabel="round of training", ylabel="nats")
    else:
        two.set_axis_off()
    return print_size(figure, POINTS)


def _window():
    """Return the centres of the cells of a picture, in the model's scale: (CELLS^2, 2)."""
    return ebm.grid(REACH, 2 * REACH / CELLS)


def _density(axis, log_p, points):
    """Show log p [nats, in the model's scale] at the cells of `_window`, over the user's axes."""
    x, y = points.shift.tolist()
    reach = REACH * points.scale
    corners = (x - reach, x + reach, y - reach, y + reach)
    picture = (log_p / math.log(10)).view(CELLS, CELLS).T
    look = {"vmin": LOWEST, "vmax": HIGHEST, "cmap": "viridis", "interpolation": "nearest"}
    return axis.imshow(picture, origin="lower", extent=corners, **look)


def samples(panels: dict, truth, columns: list, title: str):
    """Draw samples over true points, a row for each sampler, a column for each step size.

    panels {row: [(points (n, 2), caption), ...]}, one for each of `columns`; truth (m, 2).
    """
    width = PAGE / max(3, len(columns))
    figure = new_figure(PAGE, 0.9 + (width + 0.05) * len(panels), DPI)
    axes = figure.subplots(len(panels), len(columns), sharex=True, sharey=True, squeeze=False)
    centre = np.asarray(truth).mean(0)
    reach = max(1.25 * np.abs(np.asarray(truth) - centre).max(), 1e-9)
    for line, (row, shown) in zip(axes, panels.items(), strict=True):
        for axis, (points, caption) in zip(line, shown, strict=True):
            axis.scatter(*np.asarray(truth).T, s=7, color=LIGHT, lw=0)
            axis.scatter(*np.asarray(points).T, s=1.6, color=DARK, lw=0)
            axis.set(xlim=centre[0] + reach * np.array([-1, 1]), aspect="equal")
            axis.set(ylim=centre[1] + reach * np.array([-1, 1]))
            axis.locator_params(nbins=4)
            axis.set_title(caption)
        line[0].set_ylabel(row)
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(f"{name}\n{axis.get_title()}")
    for name, colour in (("true points", LIGHT), ("samples", DARK)):
        axes[0, 0].scatter([], [], s=12, color=colour, label=name)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title)
    return print_size(figure, POINTS)
