"""Figures of the Swiss roll: arrays in, matplotlib figures out."""

import numpy as np
from matplotlib.figure import Figure

from common.plots import DPI, GREYS, STYLES

DISTANCES = {
    "sw2": "sliced W2", "energy_distance": "energy distance",
    "coverage_tv": "coverage of t (TV)", "ridge": "distance to the spiral",
}  # fmt: skip


def panels(samples, truth, title):
    """Draw samples {(row, column): (points (n, 2), caption)} over the truth (m, 2), axes alike."""
    rows, columns = (list(dict.fromkeys(key[k] for key in samples)) for k in (0, 1))
    figure = Figure(
        (2.1 * len(columns) + 0.3, 2.2 * len(rows) + 0.6), dpi=DPI, layout="constrained"
    )
    axes = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            axis = axes[i, j]
            if (row, column) not in samples:
                axis.set_visible(False)
                continue
            axis.scatter(*np.asarray(truth).T, s=3, color="0.75", lw=0, label="truth")
            points, caption = samples[row, column]
            axis.scatter(*np.asarray(points).T, s=3, color="k", lw=0, label="samples")
            axis.set(xlim=(-18, 18), ylim=(-18, 18), aspect="equal")
            axis.set_title(f"{row}, {column}\n{caption}", fontsize=8)
    axes[0, 0].legend(fontsize=7, markerscale=2, loc="lower left")
    for axis in axes[-1]:
        axis.set_xlabel("x₁")
    for axis in axes[:, 0]:
        axis.set_ylabel("x₂")
    figure.suptitle(title, fontsize=9)
    return figure


def over_time(curves, floors, points, fields, title):
    """Draw distances over the Langevin steps, and the fields grad log p of truth and models.

    curves {eps: {name: {"step": [...], distance: [...]}}}; floors {distance: {"mean"}}, of two true
    sets; points (m, 2); fields {name: vectors (m, 2)}.
    """
    rows = len(DISTANCES) + 1
    figure = Figure((11, 2.5 * rows + 1.2), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, max(len(curves), len(fields)), squeeze=False, sharey="row",
                           height_ratios=[1] * (rows - 1) + [1.5])  # fmt: skip
    for row, (key, name) in zip(axes, DISTANCES.items(), strict=False):
        for axis, (eps, lines) in zip(row, curves.items(), strict=False):
            _lines(axis, lines, key, floors[key]["mean"])
            axis.set(xlabel="Langevin step t", title=f"ε = {eps:g}")
        row[0].set_ylabel(name)
    lines = axes[0, 0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=len(lines[0]), frameon=False)
    for axis, (name, vectors) in zip(axes[-1], fields.items(), strict=False):
        vectors = np.asarray(vectors)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        shown = vectors / np.maximum(length, 1e-9) * np.log1p(length)
        axis.quiver(*np.asarray(points).T, *shown.T, angles="xy", width=0.003)
        axis.set(aspect="equal", title=f"∇ log p: {name} (length: log scale)")
        axis.set_xlabel("x₁")
    axes[-1, 0].set_ylabel("x₂")
    for axis in (a for row, n in ((axes[0], curves), (axes[-1], fields)) for a in row[len(n) :]):
        axis.set_visible(False)
    figure.suptitle(title, fontsize=9)
    return figure


def _lines(axis, lines, key, floor):
    """Draw one distance of every model over the steps, and its floor."""
    for k, (name, path) in enumerate(lines.items()):
        axis.plot(path["step"], path[key], color=GREYS[k % 5], ls=STYLES[k % 5], label=name)
    axis.axhline(floor, color="0.6", lw=0.8)
    axis.text(1, floor, "two true sets", fontsize=7, va="bottom")
    axis.set(xscale="log", yscale="log")
