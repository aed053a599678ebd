"""Figures of light curves: arrays in, matplotlib figures out."""

from common.plots import GREYS, STYLES, new_figure

import numpy as np


def training(metrics, pairs):
    """Draw -ELBO and its terms over the steps, and held-out curves with their reconstructions.

    metrics: what `evaluation.measure` returned with "history_nats"; pairs {p: (curves (k, 300),
    reconstructions (k, 300))}.
    """
    history, test = metrics["history_nats"], metrics["test"]
    figure = new_figure(13, 3.6)
    axes = figure.subplots(1, 2 + len(pairs))
    steps = np.asarray(history["step"])
    axes[0].plot(steps, history["loss"], "k-", label="training, as it went")
    axes[0].axhline(test["negative_elbo_nats"], color="0.5", ls="--", label="held-out p, end")
    axes[0].set(xlabel="training step", ylabel="−ELBO [nats per curve]")
    axes[1].plot(steps, history["kl"], "k-", label="KL(q(z|x,p) ‖ p(z|p))")
    axes[1].set(xlabel="training step", ylabel="[nats per curve]", ylim=(0, None))
    for axis in axes[:2]:
        axis.legend(frameon=False, fontsize=7)
    for axis, (p, (truth, rebuilt)) in zip(axes[2:], pairs.items(), strict=True):
        for k, (one, other) in enumerate(zip(truth, rebuilt, strict=True)):
            axis.plot(one, color="0.72", lw=3.5, label="true" if k == 0 else None)
            axis.plot(other, "k-", lw=0.6, label="reconstructed" if k == 0 else None)
        axis.set(xlabel="sample", ylabel="μ / ⟨μ⟩", title=f"held-out p = {p:.3g} R_E")
        axis.legend(frameon=False, fontsize=7)
    figure.suptitle(f"Light-curve CVAE; data: {metrics['source']}", fontsize=9)
    return figure


def generated_and_true(sizes, generated, truth, trained, source):
    """Draw generated curves above simulated ones, a column for each p, the same axes in a column.

    sizes (m,); generated, truth: m arrays (k, 300); trained: sizes of the training sources.
    """
    m = len(sizes)
    figure = new_figure(1.6 * m, 4.4)
    axes = figure.subplots(2, m, sharex=True, sharey="col", squeeze=False)
    for column, (p, fake, real) in enumerate(zip(sizes, generated, truth, strict=True)):
        for axis, curves in zip(axes[:, column], (fake, real), strict=True):
            for k, curve in enumerate(curves):
                axis.plot(curve, color=GREYS[k % 5], ls=STYLES[k % 5], lw=0.9)
        known = min(abs(np.log(np.asarray(trained) / p))) < 1e-3
        inside = min(trained) <= p <= max(trained)
        kind = "trained" if known else ("between" if inside else "OUTSIDE")
        axes[0, column].set_title(f"p = {p:.3g} R_E\n{kind}", fontsize=9)
        axes[1, column].set_xlabel("sample", fontsize=9)
        for axis in axes[:, column]:
            axis.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("generated: μ / ⟨μ⟩")
    axes[1, 0].set_ylabel("simulated truth: μ / ⟨μ⟩")
    figure.suptitle(
        f"New light curves; 300 samples a track; trained on p = {min(trained):.2g} ... "
        f"{max(trained):.3g} R_E; {source}", fontsize=9,
    )  # fmt: skip
    return figure


def distances_over_p(rows, trained, source):
    """Draw distances of generated from true curves over p, beside the floor of two true sets.

    rows {p: {"model": {name: value}, "floor": {name: value}}}.
    """
    sizes = sorted(rows)
    names = {
        "w1": "W1 of magnification", "sf": "structure function, rms ln ratio",
        "ks": "KS of the curves' std", "c2st": "classifier accuracy (C2ST)",
    }  # fmt: skip
    figure = new_figure(12, 3.2)
    for axis, (name, label) in zip(figure.subplots(1, 4), names.items(), strict=True):
        axis.plot(sizes, [rows[p]["model"][name] for p in sizes], "ko-", ms=4, label="generated")
        axis.plot(sizes, [rows[p]["floor"][name] for p in sizes], "s--", color="0.5", ms=3,
                  label="two true sets")  # fmt: skip
        axis.axvspan(min(trained), max(trained), color="0.93", zorder=0, label="trained range")
        axis.set(xscale="log", xlabel="source size p [R_E]", title=label)
        axis.title.set_fontsize(9)
        if name != "c2st":
            axis.set_yscale("log")
    figure.axes[0].legend(frameon=False, fontsize=7)
    figure.suptitle(f"distance of generated from simulated curves; {source}", fontsize=9)
    return figure


def projections(maps, log_p, answers, title):
    """Draw 2-D maps coloured by log10 p, one colour bar for all.

    maps {(row, column): (n, 2)}; log_p {row: (n,)}; answers {(row, column): str}.
    """
    rows = list(dict.fromkeys(row for row, _ in maps))
    columns = list(dict.fromkeys(column for _, column in maps))
    size = 2.1 * len(columns) + 0.9, 2.2 * len(rows) + 0.9
    figure = new_figure(*size)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    low, high = (f(np.concatenate(list(log_p.values()))) for f in (np.min, np.max))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            axis, points = axes[i, j], maps[row, column]
            look = {"s": 3, "cmap": "viridis", "vmin": low, "vmax": high, "lw": 0}
            drawn = axis.scatter(*points.T, c=log_p[row], **look)
            axis.set_title(f"{row}: {column}\n{answers[row, column]}", fontsize=9)
            axis.set(xticks=[], yticks=[])
    bar = figure.colorbar(drawn, ax=axes, shrink=0.7, label="source size p [R_E]")
    ticks = np.log10([0.1, 0.2, 0.5, 1, 2, 5])
    bar.set_ticks(ticks, labels=["0.1", "0.2", "0.5", "1", "2", "5"])
    figure.suptitle(title, fontsize=10)
    return figure


def magnification(mu, width, part, title):
    """Draw a magnification map (n, n) and a part of it `part` R_E wide; the ridges are caustics."""
    figure = new_figure(10.5, 5)
    n = len(mu)
    k = max(1, round(n * part / width))
    both = (mu, mu[:k, :k]), (width, part)
    for axis, picture, size in zip(figure.subplots(1, 2), *both, strict=True):
        step = max(1, len(picture) // 1000)
        h = len(picture) // step * step
        blocks = picture[:h, :h].reshape(h // step, step, h // step, step).mean((1, 3))
        drawn = axis.imshow(
            np.log10(np.maximum(blocks.T, 0.03)), origin="lower", extent=(0, size, 0, size),
            cmap="gray", vmin=-1, vmax=1.2,
        )  # fmt: skip
        axis.set(xlabel="R_E", ylabel="R_E")
    figure.colorbar(drawn, ax=figure.axes, shrink=0.8, label="log10 μ / ⟨μ⟩")
    figure.suptitle(title, fontsize=9)
    return figure


def layers(rows, parameters):
    """Draw the two networks of exercise 2 as bars whose heights are the numbers of units.

    rows: [{"layer", "in", "out", "parameters"}], two for the encoder and two for the decoder.
    """
    figure = new_figure(8, 3.2)
    axes, parts = figure.subplots(1, 2, sharey=True), (rows[:2], rows[2:4])
    for axis, name, part in zip(axes, ("encoder", "decoder"), parts, strict=True):
        inside = part[0]["in"] - 32
        first = "x: 300" if name == "encoder" else "z: 32"
        last = "μ, ln σ²: 2 × 32" if name == "encoder" else "mean: 300"
        axis.bar([0, 1, 2], [inside, part[0]["out"], part[1]["out"]], 0.35, color="0.55")
        axis.bar([0], [32], 0.35, bottom=[inside], color="0.15")
        texts = (f"{first}\n+ 32 × p", "128 (SiLU)", last)
        for place, text in enumerate(texts):
            axis.text(place, -12, text, ha="center", va="top", fontsize=8)
        for place, row in enumerate(part):
            label = f"{row['parameters']:,d}\nparameters"
            ends = (place + 0.78, 60), (place + 0.22, 60)
            axis.annotate("", *ends, arrowprops={"arrowstyle": "->"})
            axis.text(place + 0.5, 72, label, ha="center", fontsize=7)
        axis.set_title(f"{name}: {parameters[name]:,d} parameters", fontsize=10)
        axis.set(xticks=[], yticks=[0, 100, 200, 300], ylim=(-75, 350), xlim=(-0.5, 2.5))
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.supylabel("units", fontsize=9)
    return figure
