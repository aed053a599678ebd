"""Figures of digits: arrays in, matplotlib figures out."""

import numpy as np

from common.plots import DPI, PRINT, new_figure, print_size

INK = 0.35  # grey above which a pixel belongs to the stroke


def learning_curves(history, metrics, title):
    """Draw -ELBO, its two terms over the steps, and what the bound loses.

    history: {"step", "reconstruction", "kl"}, lists in nats per digit; metrics: "test" and
    "test_nll" of `evaluation.measure`.
    """
    figure = new_figure(13, 3.8)
    axes = figure.subplots(1, 3)
    steps = np.asarray(history["step"])
    total = np.add(history["reconstruction"], history["kl"])
    axes[0].plot(steps, total, "k-", label="training, as it went")
    test, nll = metrics["test"], metrics["test_nll"]
    axes[0].axhline(test["negative_elbo_nats"], color="0.5", ls="--", label="test, at the end")
    axes[0].set(ylabel="−ELBO [nats per digit]", ylim=(0.96 * total.min(), 1.35 * total.min()))
    axes[1].plot(steps, history["reconstruction"], "k-", label="reconstruction −log p(x|z,y)")
    axes[1].plot(steps, history["kl"], "k:", label="KL(q(z|x,y) ‖ p(z|y))")
    axes[1].set(ylabel="[nats per digit]", ylim=(0, 1.6 * min(history["reconstruction"])))
    for axis in axes[:2]:
        axis.set_xlabel("training step")
        axis.legend(frameon=False)
    names = ["−ELBO", "−ELBO, q refined\nfor each digit", "bound on\n−log p(x|y)"]
    bounds = [nll[k] for k in ("negative_elbo_nats", "negative_elbo_refined_nats", "nll_nats")]
    bars = axes[2].bar(names, bounds, color=["0.3", "0.55", "0.8"], width=0.6)
    axes[2].bar_label(bars, fmt="%.2f")
    axes[2].set(ylabel="[nats per test digit]", ylim=(bounds[2] - 4, bounds[0] + 1))
    figure.suptitle(title)
    return figure


def of_training(history: dict, metrics: dict, examples: dict) -> dict:
    """Return the figures of 1(b), {file name: figure}; see `evaluation.measure`, `examples`."""
    source = f"training data: {metrics['source']}"
    pairs = np.stack([examples["test"], examples["reconstructed"]])
    title = f"test digits and their reconstructions;\n{source}"
    rows, near = [f"y = {c}" for c in range(10)], metrics["nearest_training_digit"]
    samples = sheet(examples["sampled"], f"generated: a row for each label y;\n{source}", rows)
    return {
        "ex_1b": learning_curves(history, metrics, f"CVAE, {source}"),
        "ex_1b_reconstructions": sheet(pairs, title, ["test", "E[x|z,y]"]),
        "ex_1b_samples": samples,
        "ex_1b_nearest": neighbours(examples["new"], examples["nearest"], near, source),
    }


def sheet(images, title, row_labels):
    """Draw images (rows, columns, 28, 28) in [0, 1] as one sheet, with labels for the rows."""
    images = np.asarray(images)
    rows, columns = images.shape[:2]
    height = 0.2 * rows + 0.13 * len(title.split("\n"))
    figure = new_figure(0.2 * columns + 0.5, height, 3 * DPI)
    axis = figure.subplots()
    picture = images.transpose(0, 2, 1, 3).reshape(rows * 28, columns * 28)
    axis.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks(28 * np.arange(rows) + 13.5, row_labels)
    axis.tick_params(length=0, pad=2)
    for line, count in ((axis.axvline, columns), (axis.axhline, rows)):
        for k in range(1, count):
            line(28 * k - 0.5, color="0.85", lw=0.3)
    figure.suptitle(title)
    return print_size(figure)


def sheets(pictures: dict):
    """Draw {title: images (rows, 10, 28, 28) in [0, 1]} beside each other, a column for each y."""
    figure = new_figure(1.46 * len(pictures), 1.75, PRINT)
    axes = figure.subplots(1, len(pictures), squeeze=False)[0]
    for axis, (title, images) in zip(axes, pictures.items(), strict=True):
        picture = np.concatenate([np.concatenate([*row], 1) for row in images])
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="bicubic")
        axis.set_xticks(28 * np.arange(10) + 13.5, [f"{c}" for c in range(10)])
        axis.tick_params(length=0)
        axis.set(yticks=[], title=title, xlabel="label y; one z per row")
    return print_size(figure)


def clouds(planes: dict, label: int):
    """Draw {title: (latents (n, 2), draws of the prior (n, 2))}, one panel each."""
    figure = new_figure(1.46 * len(planes), 2.0, PRINT)
    for axis, (title, pair) in zip(figure.subplots(1, len(planes)), planes.items(), strict=True):
        names = (f"z ~ q(z|x, y = {label}), test digits", f"z ~ p(z|y = {label})")
        for points, name, colour, mark in zip(
            pair, names, ("#440154", "#e69f00"), "ox", strict=True
        ):
            axis.plot(*points.T, mark, color=colour, ms=1.5, mew=0.5, alpha=0.6, label=name)
        axis.set(title=title, xlabel="first direction", xticks=[], yticks=[])
    figure.axes[0].set_ylabel("second direction")
    marks = figure.axes[0].get_legend_handles_labels()
    figure.legend(*marks, loc="outside lower center", frameon=False, markerscale=2)
    return print_size(figure)


def neighbours(new, nearest, distances, source):
    """Draw generated digits (20, 28, 28) in two rows, the nearest training digit below each.

    distances: {"generated", "test_reconstructed", "test"}, the medians to the nearest digit.
    """
    title = (
        "generated digits; below each, the nearest\ntraining digit. Median distance:\n"
        f"generated {distances['generated']:.2f}, test {distances['test']:.2f},\n"
        f"reconstructed test digits {distances['test_reconstructed']:.2f};\n{source}"
    )
    pairs = np.stack([new[:10], nearest[:10], new[10:], nearest[10:]])
    return sheet(pairs, title, ["generated", "nearest"] * 2)


def number_row(images, gap: int = 3) -> np.ndarray:
    """Set digits (n, 28, 28) beside each other on one baseline: (n, 28, 28) -> (32, width).

    Each digit is trimmed to its stroke and moved down or up until its lowest stroke stands on the
    same line; a digit without a stroke keeps its place.
    """
    cells = []
    for image in np.asarray(images, dtype=np.float32):
        rows, columns = np.nonzero(image > INK)
        if not len(rows):
            rows, columns = np.array([25]), np.array([0, 27])  # all of it, in the middle
        top = 27 - rows.max()  # the lowest stroke comes to row 27
        part = image[: 32 - top, max(0, columns.min() - 1) : columns.max() + 2]
        cells.append(np.pad(part, ((top, 32 - top - len(part)), (0, gap))))
    margin = np.zeros((32, gap), np.float32)
    return np.concatenate([margin, *cells], axis=1)


def picture(rows, scale: int = 10):
    """Make a figure that is exactly the number rows (32, width_i) in [0, 1] below each other.

    Black on white, flush left, smoothly enlarged: `scale` pixels of the PNG for each pixel.
    """
    widest = max(row.shape[1] for row in rows)
    grey = np.concatenate([np.pad(row, ((0, 0), (0, widest - row.shape[1]))) for row in rows])
    h, w = grey.shape
    figure = new_figure(w * scale / DPI, h * scale / DPI, layout=None, frameon=False)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.imshow(grey, cmap="gray_r", vmin=0, vmax=1, interpolation="bicubic", aspect="auto")
    return figure


def labelled(images, labels, title):
    """Draw images (n, 28, 28) in [0, 1] beside each other, the label asked for below each."""
    figure = new_figure(0.38 * len(images), 0.7, 2 * DPI)
    axes = figure.subplots(1, len(images), squeeze=False)
    for axis, image, label in zip(axes[0], images, labels, strict=True):
        axis.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="bicubic")
        axis.set_xlabel(f"y = {label}")
        axis.set(xticks=[], yticks=[])
    figure.suptitle(title)
    return print_size(figure)
