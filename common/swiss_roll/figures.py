"""Figures of the Swiss roll: arrays in, matplotlib figures out; samples black, truth grey."""

import numpy as np

from common.plots import PRINT, new_figure, print_size

REACH = 18.0  # the panels show |x_i| < REACH
TICKS = {"xticks": (-10, 0, 10), "yticks": (-10, 0, 10)}
LOWEST, HIGHEST = -6.0, -1.0  # of the colour scale of log10 p


def densities(panels: dict, title: str):
    """Draw {name: log10 p (n, n), x1 along the first axis} over |x_i| < 18, one colour scale."""
    rows = -(-len(panels) // 5)
    figure = new_figure(6.5, 1.25 * rows + 0.5, PRINT)
    axes = figure.subplots(rows, -(-len(panels) // rows), sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (name, log_p) in zip(axes.flat, panels.items(), strict=False):
        image = _density(axis, log_p)
        axis.set_title(name)
    _label(axes)
    figure.colorbar(image, ax=axes, extend="min", shrink=0.8).set_label("log₁₀ p")
    figure.suptitle(title)
    return print_size(figure)


def training(truth, log_p, history: dict, title: str):
    """Draw truth and density of one model, and loss and exact KL over the updates.

    truth: log10 p (n, n), or points (m, 2) where the density is not known; log_p (n, n): as in
    `densities`; history: {"step", "loss"}, and where it is known {"watched_step", "kl_nats"}.
    """
    figure = new_figure(8.2, 2.5, PRINT)
    axes = figure.subplots(1, 4, width_ratios=[1, 1, 1.1, 1.1])
    for axis, part, name in zip(axes, (truth, log_p), ("truth", "model"), strict=False):
        if part.shape == log_p.shape:
            image = _density(axis, part)
        else:
            axis.scatter(*np.asarray(part).T, s=1, color="k", lw=0)
        axis.set_title(name)
    _label(axes[None, :2])
    figure.colorbar(image, ax=axes[:2], extend="min", shrink=0.8).set_label("log₁₀ p")
    axes[2].plot(history["step"], history["loss"], "k-", lw=0.8)
    axes[3].plot(history.get("watched_step", []), history.get("kl_nats", []), "k.-", lw=0.8)
    axes[3].set_yscale("log")
    for axis, name in zip(axes[2:], ("loss [nats]", "KL(data ‖ model) [nats]"), strict=True):
        axis.set_xlabel("update")
        axis.set_ylabel(name)
    figure.suptitle(title)
    return print_size(figure)


def _density(axis, log_p):
    """Show log10 p (n, n) in the colours that all densities share."""
    corners = (-REACH, REACH, -REACH, REACH)
    axis.set(**TICKS)
    return axis.imshow(np.asarray(log_p).T, origin="lower", extent=corners, vmin=LOWEST,
                       vmax=HIGHEST, cmap="viridis", interpolation="nearest")  # fmt: skip


def _label(axes):
    """Name the axes (rows, columns) of panels of the plane at the left and at the bottom."""
    for axis in axes[-1]:
        axis.set_xlabel("x₁")
    for axis in axes[:, 0]:
        axis.set_ylabel("x₂")


def panels(samples, truth, title):
    """Draw samples {(column, row): (points (n, 2), caption)} over the truth (m, 2), axes alike."""
    columns, rows = (list(dict.fromkeys(key[k] for key in samples)) for k in (0, 1))
    size = min(0.88, 6.1 / len(columns))
    figure = new_figure(size * len(columns) + 0.4, (size + 0.2) * len(rows) + 0.9, PRINT)
    axes = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    _label(axes)
    for (column, row), (points, caption) in samples.items():
        i, j = rows.index(row), columns.index(column)
        axis = axes[i, j]
        axis.scatter(*np.asarray(truth).T, s=2.5, color="0.78", lw=0)
        axis.scatter(*np.asarray(points).T, s=0.8, color="k", lw=0)
        axis.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", **TICKS)
        axis.set_title(caption if i else f"{column}\n{caption}")
        if j == 0:
            axis.set_ylabel(f"{row}\nx₂")
    for name, colour in ((f"{len(truth)} true points", "0.78"), ("samples", "k")):
        axes[0, 0].scatter([], [], s=12, color=colour, label=name)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title)
    return print_size(figure)
