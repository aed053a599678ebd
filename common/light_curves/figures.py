"""Figures of light curves: arrays in, matplotlib figures out."""

import numpy as np

from common.plots import PRINT, STYLES, letter, new_figure, print_size

COLOURS = ("#440154", "#25848e", "#7ad151")  # viridis, that differ in grey, too


def training(metrics, pairs):
    """Draw -ELBO and its terms over the steps, and held-out curves with their reconstructions.

    metrics: what `evaluation.measure` returned with "history_nats"; pairs {p: (curves (k, 300),
    reconstructions (k, 300))}.
    """
    history, test = metrics["history_nats"], metrics["test"]
    figure = new_figure(6.5, 4.4, PRINT)
    rows = figure.subfigures(2, 1, height_ratios=(1, 1.7))
    steps, (left, right) = np.asarray(history["step"]), rows[0].subplots(1, 2)
    left.plot(steps, history["loss"], "k-", label="training, as it went")
    left.axhline(test["negative_elbo_nats"], color="0.5", ls="--", label="held out, end")
    left.set(xlabel="training step", ylabel="−ELBO [nats per curve]")
    right.plot(steps, history["kl"], "k-", label="KL(q(z|x,y) ‖ p(z|y))")
    right.set(xlabel="training step", ylabel="[nats per curve]", ylim=(0, None))
    axes = rows[1].subplots(
        2, len(pairs), sharex=True, sharey="row", squeeze=False, height_ratios=(1.6, 1)
    )
    for (above, below), (p, (truth, rebuilt)) in zip(axes.T, pairs.items(), strict=True):
        for k, (one, other) in enumerate(zip(truth, rebuilt, strict=True)):
            above.plot(one, color="0.72", lw=2.5, label="true" if k == 0 else None)
            above.plot(other, "k-", lw=0.6, label="reconstructed" if k == 0 else None)
            below.plot(np.log10(other / one), color=COLOURS[k % 3], ls=STYLES[k % 5], lw=0.7)
        above.set(title=f"p = {p:.3g} $R_E$", yscale="log")
        below.set(xlabel="sample")
    axes[0, 0].set_ylabel("μ / ⟨μ⟩")
    axes[1, 0].set_ylabel("reconstructed − true\n[log₁₀ μ]")
    for axis in (left, right, axes[0, 0]):
        axis.legend(frameon=False)
    letter([left, right, *axes.flat])
    figure.suptitle(f"Light-curve CVAE; data: {metrics['source']}")
    return print_size(figure)


def generated_and_true(sizes, rows, swept, trained, length, source):
    """Draw a sweep of p above rows of curves, the last one true, a column for each p.

    sizes (m,) R_E; rows {name: (m, k, 300)}; swept: (sizes (s,), curves (s, 3, 300)), curve k from
    the same noise at each size; trained: sizes of the training sources; length: of a track, R_E, or
    None.  The axes of a column are alike.
    """
    figure = new_figure(6.5, 2.1 + 0.95 * len(rows), PRINT)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 0.85 * len(rows)))
    _sweep(above, *swept, trained, length)
    axes = below.subplots(len(rows), len(sizes), sharex=True, sharey="col", squeeze=False)
    for column, p in enumerate(sizes):
        for axis, curves in zip(axes[:, column], rows.values(), strict=True):
            _draw(axis, curves[column], length)
        axes[0, column].set_title(_title(p, trained))
    for axis, name, sign in zip(axes[:, 0], rows, "defg", strict=False):
        axis.set_ylabel(f"({sign}) {name}")
    below.supylabel("μ / ⟨μ⟩")
    below.supxlabel(_along(length))
    figure.suptitle(source)
    letter(above.axes[: swept[1].shape[1]])
    return print_size(figure)


def asked(sizes, curves, trained, length):
    """Draw curves (m, k, 300), a panel for each source size (m,); the rest as above."""
    columns = min(4, len(sizes))
    rows = -(-len(sizes) // columns)
    figure = new_figure(1.6 * columns + 0.6, 1.5 * rows + 0.4, PRINT)
    for number, (p, some) in enumerate(zip(sizes, curves, strict=True)):
        axis = figure.add_subplot(rows, columns, number + 1)
        _draw(axis, some, length)
        axis.set_title(_title(p, trained))
    figure.supxlabel(_along(length))
    figure.supylabel("μ / ⟨μ⟩")
    return print_size(figure)


def _along(length) -> str:
    return ("along the track [$R_E$]" if length else "sample") + "; p in $R_E$"


def _title(p, trained) -> str:
    """Say what a source size is to the model."""
    if min(abs(np.log(np.asarray(trained) / p))) < 1e-3:
        return f"p = {p:.3g}\ntrained"
    return f"p = {p:.3g}\n" + ("between" if min(trained) <= p <= max(trained) else "OUTSIDE")


def _draw(axis, curves, length):
    """Draw curves (k, 300) along a track of `length` R_E, or over the samples for None."""
    x = np.linspace(0, length or curves.shape[1] - 1, curves.shape[1])
    for k, curve in enumerate(curves):
        axis.plot(x, curve, color=COLOURS[k % 3], ls=STYLES[k % 5], lw=0.8)
    axis.locator_params(nbins=3)


def _sweep(figure, sizes, curves, trained, length):
    """Draw curves (s, k, 300) of sizes (s,), R_E, in k panels, coloured by log p."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    colour = ScalarMappable(LogNorm(min(sizes), max(sizes)), "viridis")
    x = np.linspace(0, length or curves.shape[2] - 1, curves.shape[2])
    low, high = min(trained), max(trained)
    axes = figure.subplots(1, curves.shape[1])
    for k, axis in enumerate(axes):
        for p, curve in zip(sizes, curves[:, k], strict=True):
            look = {"lw": 0.8} if low <= p <= high else {"lw": 1.0, "ls": "--", "zorder": 3}
            axis.plot(x, curve, color=colour.to_rgba(p), **look)
        axis.set_title(f"noise {k + 1}, every p")
        axis.set_xlabel(_along(length).split(";")[0])
        axis.locator_params(nbins=5)
    axes[0].set_ylabel("generated: μ / ⟨μ⟩")
    bar = figure.colorbar(colour, ax=axes, format="%g", label="p [$R_E$]")
    bar.set_ticks([0.01, 0.1, 1, 5])
    ends = np.clip([low, high], min(sizes), max(sizes))
    bar.ax.plot([-0.9, -0.9], ends, "k", lw=2.5, transform=bar.ax.get_yaxis_transform(),
                clip_on=False)  # fmt: skip


def projections(maps, log_p, inside, answers, title):
    """Draw 2-D maps coloured by log10 p, one colour bar for all.

    maps {(row, column): (n, 2)}; log_p {row: (n,)}; inside {row: (n,) bool}: within the trained
    range, else a cross; answers {(row, column): str}.
    """
    rows = list(dict.fromkeys(row for row, _ in maps))
    columns = list(dict.fromkeys(column for _, column in maps))
    figure = new_figure(1.45 * len(columns) + 0.7, 1.5 * len(rows) + 0.5, PRINT)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    low, high = (f(np.concatenate(list(log_p.values()))) for f in (np.min, np.max))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            axis, points = axes[i, j], maps[row, column]
            look = {"cmap": "viridis", "vmin": low, "vmax": high}
            for marker, size, lw, part in (("o", 2, 0, inside[row]), ("x", 4, 0.4, ~inside[row])):
                look |= {"marker": marker, "s": size, "lw": lw, "c": log_p[row][part]}
                drawn = axis.scatter(*points[part].T, **look)
            axis.set_title(f"{row}:\n{column}\n{answers[row, column]}")
            axis.set(xticks=[], yticks=[])
    label = "source size p [$R_E$]; crosses: outside the trained range"
    bar = figure.colorbar(drawn, ax=axes, shrink=0.7, label=label)
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
    bar.set_ticks(np.log10(ticks), labels=[f"{p:g}" for p in ticks])
    figure.suptitle(title)
    letter(axes.flat)
    return print_size(figure)


def magnification(mu, width, part, title):
    """Draw a magnification map (n, n) and a part of it `part` R_E wide; the ridges are caustics."""
    figure = new_figure(4.8, 2.2, PRINT)
    k = max(1, round(len(mu) * part / width))
    both = (mu, mu[:k, :k]), (width, part)
    for axis, picture, size in zip(figure.subplots(1, 2), *both, strict=True):
        step = max(1, len(picture) // 1000)
        h = len(picture) // step * step
        blocks = picture[:h, :h].reshape(h // step, step, h // step, step).mean((1, 3))
        drawn = axis.imshow(
            np.log10(np.maximum(blocks.T, 0.03)), origin="lower", extent=(0, size, 0, size),
            cmap="gray", vmin=-1, vmax=1.2,
        )  # fmt: skip
        axis.set(xlabel="source plane, x [$R_E$]", ylabel="source plane, y [$R_E$]")
    figure.colorbar(drawn, ax=figure.axes, shrink=0.8, label="log₁₀ (μ / ⟨μ⟩)")
    figure.suptitle(title)
    letter(figure.axes[:2])
    return print_size(figure)


def layers(rows, parameters):
    """Draw the two networks of exercise 2 as bars whose heights are the numbers of units.

    rows: [{"layer", "in", "out", "parameters"}], two for the encoder and two for the decoder.
    """
    figure = new_figure(8, 3.2)
    parts = {
        "encoder": (rows[:2], "x: 300", "μ, ln σ²: 2 × 32"),
        "decoder": (rows[2:4], "z: 32", "mean: 300"),
    }
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (name, (part, first, last)) in zip(axes, parts.items(), strict=True):
        inside = part[0]["in"] - 32
        axis.bar([0, 1, 2], [inside, part[0]["out"], part[1]["out"]], 0.35, color="0.55")
        axis.bar([0], [32], 0.35, bottom=[inside], color="0.15")
        for place, text in enumerate((f"{first}\n+ 32 × p", "128 (SiLU)", last)):
            axis.text(place, -12, text, ha="center", va="top", fontsize=8)
        for place, row in enumerate(part):
            ends = (place + 0.78, 60), (place + 0.22, 60)
            axis.annotate("", *ends, arrowprops={"arrowstyle": "->"})
            label = f"{row['parameters']:,d}\nparameters"
            axis.text(place + 0.5, 72, label, ha="center", fontsize=7)
        axis.set_title(f"{name}: {parameters[name]:,d} parameters", fontsize=10)
        axis.set(xticks=[], yticks=[0, 100, 200, 300], ylim=(-75, 350), xlim=(-0.5, 2.5))
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.supylabel("units", fontsize=9)
    return figure
