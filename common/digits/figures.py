"""Pictures of digits: arrays in, matplotlib figures or grey pictures out.

Figures are as wide as the report's page, with letters of 8 points.
"""

import numpy as np

from common.plots import new_figure, print_size

PAGE = 6.3  # inches
POINTS = 8.0
INK = 0.35  # grey above which a pixel belongs to the stroke
DARK, LIGHT = "#1b3a5c", "#d98324"  # told apart in grey, too


def training(history, numbers, title, shifted=None):
    """Draw the terms of -ELBO over the epochs, and the bounds on test digits at the end.

    history: rows (-log p(x|z,y), KL, seconds) in nats per digit; numbers: of evaluation.measure;
    shifted: the epoch up to which digits are moved by a pixel, which makes them harder.
    """
    reconstruction, kl, _ = np.asarray(history).T
    epochs = np.arange(1, len(kl) + 1)
    figure = new_figure(PAGE, 2.3)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.3, 1, 1.1])

    total = reconstruction + kl
    left.plot(epochs, total, color=DARK, label="training")
    test = numbers["test"]["negative_elbo"]
    left.axhline(test, color=LIGHT, ls="--", label="test, at the end")
    left.set(xlabel="epoch", ylabel="nats per digit", title="−ELBO")
    least = min(total.min(), test)
    left.set_ylim(0.97 * least, 1.4 * least)
    if shifted:
        left.axvline(shifted, color="0.6", lw=0.8, ls=":")
        left.set_title("−ELBO (dotted: no more shifts)")
    left.legend(frameon=False, loc="upper right", handlelength=1.2)

    middle.plot(epochs, reconstruction, color=DARK, label="−log p(x|z,y)")
    middle.plot(epochs, kl, color=LIGHT, ls="--", label="KL(q ‖ p)")
    middle.set(xlabel="epoch", title="its two terms", ylim=(0, 2.4 * reconstruction.min()))
    middle.legend(frameon=False, loc="upper right")

    nll = numbers["nll"]
    bounds = [test, test - nll["amortisation"], nll["nll"]]
    names = ["encoder's\nq", "refined\nq", "300\nsamples"]
    right.plot(names, bounds, "o", color=DARK)
    for k, bound in enumerate(bounds):
        right.annotate(f"{bound:.1f}", (k, bound), (0, 5), textcoords="offset points", ha="center")
    right.set(title="bounds on −log p(x|y), test", xlim=(-0.6, 2.6))
    right.set_ylim(bounds[2] - 1, bounds[0] + 1)
    figure.suptitle(title)
    return print_size(figure, POINTS)


def of_training(pictures: dict, history, numbers, about: str, shifted=None) -> dict:
    """Return the figures of 1(b), {name: figure}.

    pictures: of evaluation.examples; about: what was trained on what; shifted: see `training`.
    """
    about = f"trained on {about}"
    by_label = pictures["samples"]
    samples = {f"Generated digits E[x|z,y], a row for each label; {about}": by_label}
    hands = {
        "One u in each row: one handwriting": pictures["one_hand"],
        "A u of its own for every digit": by_label[:, :10].transpose(0, 1),
    }
    title = f"Test digits, and E[x|z,y] at the mean z of q(z|x,y); {about}"
    return {
        "training": training(history, numbers, about, shifted),
        "samples": sheets(samples, [f"y = {c}" for c in range(10)]),
        "one_hand": sheets(hands),
        "reconstructions": sheets({title: pictures["reconstructions"]}, ["test digit", "E[x|z,y]"]),
    }


def sheets(pictures: dict, row_labels=()):
    """Draw {title: images (rows, columns, 28, 28) in [0, 1]} beside each other, page wide."""
    widest = sum(images.shape[1] for images in pictures.values())
    rows = max(images.shape[0] for images in pictures.values())
    room = 0.6 if len(row_labels) else 0.2
    height = (PAGE - room) / widest * rows + 0.35
    figure = new_figure(PAGE, height, dpi=300)
    figure.get_layout_engine().set(wspace=0.1)
    axes = figure.subplots(1, len(pictures), squeeze=False)[0]
    for axis, (title, images) in zip(axes, pictures.items(), strict=True):
        images = np.asarray(images)
        count, columns = images.shape[:2]
        picture = images.transpose(0, 2, 1, 3).reshape(count * 28, columns * 28)
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="bicubic")
        axis.set_xticks([])
        axis.set_yticks(28 * np.arange(len(row_labels)) + 13.5, row_labels)
        axis.tick_params(length=0, pad=2)
        for spine in axis.spines.values():
            spine.set_visible(False)
        axis.set_title(title, pad=5)
    return print_size(figure, POINTS)


def labelled(images, labels, title):
    """Draw images (n, 28, 28) in [0, 1], at most 20 a row, the label asked for below each."""
    columns = min(20, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(max(2.0, PAGE * columns / 12), 0.6 * rows + 0.25, dpi=300)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis in axes:
        axis.set_axis_off()
    for axis, image, label in zip(figure.axes, images, labels, strict=False):
        axis.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="bicubic")
        axis.text(13.5, 35, f"y = {label}", ha="center", va="center")
    figure.suptitle(title)
    return print_size(figure, POINTS)


def number_row(images, gap: int = 3) -> np.ndarray:
    """Set digits (n, 28, 28) beside each other on one baseline: (n, 28, 28) -> (32, width).

    Each digit is trimmed to its stroke and moved until its lowest stroke stands on the same line;
    a digit without a stroke keeps its place.
    """
    margin = np.zeros((32, gap), np.float32)
    cells = [margin]
    for image in np.asarray(images, dtype=np.float32):
        rows, columns = np.nonzero(image > INK)
        if not len(rows):
            rows, columns = np.array([25]), np.array([0, 27])  # all of it, in the middle
        top = 27 - rows.max()  # the lowest stroke comes to row 27
        part = image[: 32 - top, max(0, columns.min() - 1) : columns.max() + 2]
        cells.append(np.pad(part, ((top, 32 - top - len(part)), (0, gap))))
    return np.concatenate(cells, axis=1)


def page(rows, most_pixels: int = 16_000_000) -> np.ndarray:
    """Set number rows (32, width_i) in [0, 1] as a page, black on white: uint8 (height, width).

    Up to ten rows stand below each other; more, and rows that are very long, are set like the
    words of a text.  Enlarged ten times, or as far as `most_pixels` allow.
    """
    longest = 1200  # pixels before enlarging, some 60 digits
    if len(rows) > 10:
        longest = max(longest, int((1.4 * 32 * sum(row.shape[1] for row in rows)) ** 0.5))
    lines = []
    for row in rows:
        for part in _wrapped(row, longest):
            fits = len(rows) > 10 and lines and lines[-1].shape[1] + part.shape[1] <= longest
            if fits:
                lines[-1] = np.hstack([lines[-1], part])
            else:
                lines.append(part)
    widest = max(line.shape[1] for line in lines)
    grey = np.vstack([np.pad(line, ((0, 0), (0, widest - line.shape[1]))) for line in lines])
    scale = max(1, min(10, int((most_pixels / grey.size) ** 0.5)))
    return enlarge(grey, scale)


def _wrapped(row, longest: int):
    """Cut a number row (32, width) into parts of at most `longest` pixels, between two digits."""
    while row.shape[1] > longest:
        blank = np.flatnonzero(row[:, :longest].max(0) == 0)
        cut = blank[-1] + 1 if len(blank) else longest
        yield row[:, :cut]
        row = row[:, cut:]
    yield row


def enlarge(grey: np.ndarray, scale: int) -> np.ndarray:
    """Enlarge a picture (h, w) in [0, 1] smoothly, and turn it black on white: uint8."""
    from PIL import Image

    paper = Image.fromarray(np.uint8(np.round(255 * (1 - grey))))
    size = (paper.width * scale, paper.height * scale)
    return np.asarray(paper.resize(size, Image.Resampling.BICUBIC))
