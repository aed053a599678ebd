"""Pictures of light curves: arrays in, matplotlib figures out.

Figures are as wide as the report's page, with letters of 8 points.
"""

import numpy as np

from common.plots import new_figure, print_size

PAGE = 6.3  # inches
POINTS = 8.0
DPI = 300
DARK, LIGHT = "#1b3a5c", "#d98324"  # told apart in grey, too
LINES = ("#1b3a5c", "#d98324", "#6fa8c7", "#8c2d19", "#9a9a9a")  # curves in one panel
BARS = ("#1b3a5c", "#d98324", "#b8b8b8")  # of up to three sets
MAGNIFICATION = "μ / ⟨μ⟩"


def layers(encoder, decoder, parameters: dict):
    """Draw the two networks of exercise 2 as bars whose heights are the numbers of units.

    encoder, decoder: for each of their two layers (inputs, outputs, parameters); parameters: how
    many each part of the model has, {part: number}, the two networks among them.
    """
    figure = new_figure(PAGE, 2.8, DPI)
    axes = figure.subplots(1, 2, sharey=True)
    parts = {
        "encoder": (
            encoder,
            "q(z|x,p)",
            "300 samples\nand 32 × p",
            "mean, log var.\nof z: 32 + 32",
        ),
        "decoder": (decoder, "p(x|z,p)", "32 latents\nand 32 × p", "mean of x:\n300 samples"),
    }
    for axis, (name, (rows, law, first, last)) in zip(axes, parts.items(), strict=True):
        (inputs, hidden, _), (_, outputs, _) = rows
        heights = [inputs - 32, hidden, outputs]
        axis.bar([0, 1, 2], heights, 0.36, color=DARK)
        axis.bar([0], [32], 0.36, bottom=[inputs - 32], color=LIGHT)
        for place, text in enumerate((first, f"{hidden} units,\nSiLU", last)):
            axis.text(place, -14, text, ha="center", va="top")
        for place, (*_, count) in enumerate(rows):
            ends = (place + 0.78, 45), (place + 0.22, 45)
            axis.annotate("", *ends, arrowprops={"arrowstyle": "->"})
            axis.text(place + 0.5, 58, f"{count:,d}", ha="center")
        axis.set_title(f"{name}, {law}: {parameters[name]:,d} parameters")
        axis.set(xticks=[], yticks=[0, 100, 200, 300], ylim=(-75, 350), xlim=(-0.5, 2.5))
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.spines["left"].set_bounds(0, 332)
    axes[0].set_ylabel("units (orange: copies of p)")
    others = [f"{name}: {number:,d}" for name, number in parameters.items() if name not in parts]
    figure.supxlabel("Arrows: linear layers and their parameters.  Further " + ", ".join(others))
    return print_size(figure, POINTS)


def training(history, pairs: dict, about: str, marks=()):
    """Draw -ELBO and KL over the rounds of training, and test curves with reconstructions.

    history: rows (-log p(x|z,p), KL, held-out -ELBO, seconds), nats per curve; pairs {p: (curves
    (k, 300), reconstructions (k, 300))} of one size or more; marks: (round, what happens then).
    """
    reconstruction, kl, held_out, _ = np.asarray(history, float).T
    rounds = np.arange(1, len(kl) + 1)
    figure = new_figure(PAGE, 5.0, DPI)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    left, right = above.subplots(1, 2)

    marker = "o" if len(kl) == 1 else ""
    left.plot(rounds, reconstruction + kl, color=DARK, marker=marker)
    left.plot(rounds, held_out, color=LIGHT, ls="--", marker=marker)
    left.set(
        title="−ELBO in training; dashed: of held-out curves",
        xlabel="round of training",
        ylabel="nats per curve",
    )
    _leave_out_the_start(left, np.concatenate([reconstruction + kl, held_out]))
    right.plot(rounds, kl, color=DARK, marker=marker)
    right.set(title="KL(q(z|x,p) ‖ p(z|p)), training", xlabel="round of training", ylim=(0, None))
    for place, what in marks:
        left.axvline(place, color="0.6", lw=0.8, zorder=0)
        right.axvline(place, color="0.6", lw=0.8, zorder=0)
        look = {"rotation": 90, "ha": "right", "va": "bottom", "color": "0.35"}
        right.text(place, 0.03, f"{what} ", transform=right.get_xaxis_transform(), **look)

    columns = min(4, len(pairs))
    rows = -(-len(pairs) // columns)
    axes = list(below.subplots(rows, columns, squeeze=False, sharex=True).flat)
    for axis in axes[len(pairs) :]:
        axis.set_axis_off()
    for axis, (p, (curves, rebuilt)) in zip(axes, pairs.items(), strict=False):
        axis.plot(np.transpose(curves), color=LIGHT, lw=2.2)
        axis.plot(np.transpose(rebuilt), color=DARK, lw=0.7)
        axis.set_title(f"p = {p:.3g} $R_E$")
        axis.locator_params(nbins=4)
    below.supylabel(MAGNIFICATION)
    below.suptitle("Test curves (thick) and their reconstructions (thin)")
    below.supxlabel("sample.  Reconstruction: 10^E[x|z,p] at the mean z of q(z|x,p)")
    figure.suptitle(about)
    return print_size(figure, POINTS)


def _leave_out_the_start(axis, values):
    """Let the y axis begin at the least value and end where 80 % of the values lie."""
    values = values[np.isfinite(values)]
    if len(values) > 5:
        low, high = values.min(), np.quantile(values, 0.8)
        axis.set_ylim(low - 0.1 * (high - low) - 1e-6, high + 0.3 * (high - low) + 1e-6)


def figure1(panels: dict, p: float, length):
    """Draw ten curves of one size in a panel each for truth and models, on the same axes.

    panels {name: (10, 300)}: the first is the truth; length: of a track [R_E], None if unknown.
    """
    figure = new_figure(PAGE, 2.5, DPI)
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axis, (name, curves) in zip(axes, panels.items(), strict=True):
        _draw(axis, curves, length, width=0.8)
        axis.set_title(name)
        axis.set_xlabel(_along(length))
    axes[0].set_ylabel(MAGNIFICATION)
    axes[0].set_ylim(0, None)
    count = len(next(iter(panels.values())))
    figure.suptitle(f"p = {p:.4g} $R_E$: {count} light curves of each kind, not selected")
    return print_size(figure, POINTS)


def sizes(panels: dict, trained, length):
    """Draw curves of several sizes, a row for each size, a column for truth and each model.

    panels {name: {p: (k, 300)}}; trained: sizes that were trained on; curves of the models outside
    their range are dashed.  The y axes of a row are alike, those of two rows differ.
    """
    rows = list(next(iter(panels.values())))
    figure = new_figure(PAGE, min(8.5, 0.6 + 0.88 * len(rows)), DPI)
    figure.get_layout_engine().set(h_pad=0.02, hspace=0.01)
    axes = figure.subplots(len(rows), len(panels), sharex=True, sharey="row", squeeze=False)
    for p, line in zip(rows, axes, strict=True):
        inside = _inside(p, trained)
        for axis, (name, curves) in zip(line, panels.items(), strict=True):
            style = "-" if inside or name == "simulated" else "--"
            _draw(axis, curves[p], length, width=0.7, style=style)
        line[0].set_ylabel(f"p = {p:.4g}\n{_relation(p, trained)}")
    for axis, name in zip(axes[0], panels, strict=True):
        axis.set_title(name)
    figure.supxlabel(
        f"{_along(length)}\ntrained: the models were trained on this p; between: on smaller and "
        "larger ones;\noutside (dashed): on larger ones or on smaller ones only"
    )
    figure.supylabel(f"{MAGNIFICATION}, another scale in each row;  p in $R_E$")
    return print_size(figure, POINTS)


def asked(sizes, curves, trained, length):
    """Draw curves (m, k, 300), a panel for each size (m,); dashed outside the trained range."""
    columns = min(3, len(sizes))
    rows = -(-len(sizes) // columns)
    figure = new_figure(PAGE, 1.6 * rows + 0.5, DPI)
    for number, (p, some) in enumerate(zip(sizes, curves, strict=True)):
        axis = figure.add_subplot(rows, columns, number + 1)
        inside = _inside(p, trained)
        _draw(axis, some, length, width=0.8, style="-" if inside else "--")
        axis.set_title(f"p = {p:.4g} $R_E$" + ("" if inside else ", outside the trained range"))
    figure.supxlabel(_along(length))
    figure.supylabel(MAGNIFICATION)
    return print_size(figure, POINTS)


def sweep(sizes, curves, trained, length):
    """Draw curves (s, k, 300) of sizes (s,), a panel for each of the k noises.

    Colour means p and nothing else; dashed: outside the trained range.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    figure = new_figure(PAGE, 2.4, DPI)
    axes = figure.subplots(1, curves.shape[1], squeeze=False)[0]
    colour = ScalarMappable(LogNorm(min(sizes), max(sizes)), "viridis")
    x = _places(curves.shape[2], length)
    for number, axis in enumerate(axes):
        for p, curve in zip(sizes, curves[:, number], strict=True):
            style = {"lw": 1.1} if _inside(p, trained) else {"lw": 1.4, "ls": "--", "zorder": 3}
            axis.plot(x, curve, color=colour.to_rgba(p), **style)
        axis.set_title(f"noise $u_{number + 1}$")
        axis.set_xlabel(_along(length))
        axis.set_xlim(x[0], x[-1])
        axis.locator_params(nbins=5)
    axes[0].set_ylabel(MAGNIFICATION)
    bar = figure.colorbar(colour, ax=axes, format="%g", label="p [$R_E$]")
    bar.set_ticks(list(sizes))
    bar.minorticks_off()
    for end in (min(trained), max(trained)):
        if min(sizes) < end < max(sizes):
            bar.ax.axhline(end, color="white", lw=1.5)
    figure.suptitle(
        "One noise u, every size p; dashed: outside the trained range, which the white bar ends"
    )
    return print_size(figure, POINTS)


def _inside(p, trained) -> bool:
    """Tell whether p is within the trained range."""
    return min(trained) / 1.001 <= p <= 1.001 * max(trained)


def _relation(p, trained) -> str:
    """Say how p lies to the sizes trained on."""
    if not _inside(p, trained):
        return "outside"
    return "trained" if np.isclose(p, list(trained), rtol=1e-3).any() else "between"


def _along(length) -> str:
    return "along the track [$R_E$]" if length else "sample"


def _places(samples: int, length):
    """Return where the samples of a curve are, R_E along the track; their numbers for None."""
    return np.linspace(0, length or samples - 1, samples)


def _draw(axis, curves, length, width, style="-"):
    """Draw curves (k, 300) along a track of `length` R_E, or over the samples for None."""
    x = _places(len(curves[0]), length)
    for number, curve in enumerate(curves):
        axis.plot(x, curve, color=LINES[number % len(LINES)], lw=width, ls=style)
    axis.set_xlim(x[0], x[-1])
    axis.locator_params(axis="y", nbins=4)
    axis.locator_params(axis="x", nbins=5)


def projections(maps: dict, log_p: dict, inside: dict, orders: dict, title: str):
    """Draw 2-D maps coloured by log10 p, and below them what orders each map.

    maps {(row, column): (n, 2)}; log_p {row: (n,)}; inside {row: (n,) bool}: within the trained
    range, else a cross; orders {(row, column): {what: R^2}}.
    """
    rows = list(dict.fromkeys(row for row, _ in maps))
    columns = list(dict.fromkeys(column for _, column in maps))
    figure = new_figure(PAGE, 1.5 * len(rows) + 2.8, DPI)
    ratios = [*[1.5] * len(rows), 1.3]
    axes = figure.subplots(len(ratios), len(columns), squeeze=False, height_ratios=ratios)
    together = np.concatenate(list(log_p.values()))
    colours = {"cmap": "viridis", "vmin": together.min(), "vmax": together.max()}
    for (row, column), points in maps.items():
        axis = axes[rows.index(row), columns.index(column)]
        for marker, size, width, part in (("o", 5, 0, inside[row]), ("x", 6, 0.5, ~inside[row])):
            look = colours | {"marker": marker, "s": size, "lw": width, "c": log_p[row][part]}
            drawn = axis.scatter(*points[part].T, **look)
        axis.set(xticks=[], yticks=[])
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(column)
    for axis, row in zip(axes[:, 0], rows, strict=False):
        axis.set_ylabel(row)
    bar = figure.colorbar(drawn, ax=axes[:-1], aspect=35)
    bar.set_label("p [$R_E$]; crosses: outside the trained range (models only)")
    ticks = [p for p in (0.01, 0.03, 0.1, 0.3, 1, 3, 10) if _between(np.log10(p), together)]
    bar.set_ticks(np.log10(ticks), labels=[f"{p:g}" for p in ticks])

    panels = axes[-1]
    height = 0.8 / len(rows)
    for axis, column in zip(panels, columns, strict=True):
        for number, row in enumerate(rows):
            names = list(orders[row, column])
            values = np.clip(list(orders[row, column].values()), 0, 1)
            places = np.arange(len(names)) + height * (number - 0.5 * (len(rows) - 1))
            axis.barh(places, values, 0.9 * height, color=BARS[number], label=row)
        axis.set_yticks(range(len(names)), names if axis is panels[0] else [])
        axis.set(xlim=(0, 1), xticks=[0, 0.5, 1], ylim=(len(names) - 0.5, -0.5))
        axis.set_xlabel("R²")
        axis.spines[["top", "right"]].set_visible(False)
    short = {"handlelength": 1, "handletextpad": 0.4, "borderpad": 0}
    place = {"loc": "center left", "bbox_to_anchor": (1.05, 0.5)}
    legend = panels[-1].legend(frameon=False, **place, **short)
    legend.set_in_layout(False)  # it lies below the colour bar, where there is room
    figure.supxlabel(
        "R² of predicting log p, or a curve's mean, spread (standard deviation) or roughness\n"
        "(ln of the standard deviation of its steps) from the 15 nearest neighbours on the map,\n"
        "crosses left out.  1: the map is ordered by it; no bar: R² ≤ 0, it is not"
    )
    figure.suptitle(title)
    return print_size(figure, POINTS)


def _between(value, values) -> bool:
    return np.min(values) - 0.01 <= value <= np.max(values) + 0.01


def magnification(mu, width, part, title):
    """Draw a magnification map (n, n) and a part of it `part` R_E wide; the ridges are caustics."""
    figure = new_figure(PAGE, 3.0, DPI)
    k = max(1, round(len(mu) * part / width))
    axes = figure.subplots(1, 2)
    for axis, picture, size in zip(axes, (mu, mu[:k, :k]), (width, part), strict=True):
        step = max(1, len(picture) // 1000)
        h = len(picture) // step * step
        blocks = picture[:h, :h].reshape(h // step, step, h // step, step).mean((1, 3))
        grey = np.log10(np.maximum(blocks.T, 0.03))
        look = {"origin": "lower", "cmap": "gray", "vmin": -1, "vmax": 1.2}
        drawn = axis.imshow(grey, extent=(0, size, 0, size), **look)
        axis.set(xlabel="source plane, x [$R_E$]", ylabel="source plane, y [$R_E$]")
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="log₁₀ (μ / ⟨μ⟩)")
    figure.suptitle(title)
    return print_size(figure, POINTS)
