"""One picture of what the three exercises give: generated digits, light curves, points of the roll.

    python -m report.overview    -> figures/overview.png, figures/overview.json

Drawn from the shipped checkpoints: two draws of each label, curves of three source sizes, and 2000
points of the replica model by replica exchange.
"""

from common import ebm, langevin, plots
from common.digits import model as digit_model
from common.light_curves import model as curve_model
from common.runtime import files, results, script
from common.runtime.options import Common, parse
from common.swiss_roll.data import load_model

import torch

SIZES = (0.1, 0.5, 2.0)  # R_E


def drawing(images, curves, points):
    """Draw images (20, 28, 28), curves {size: (300,)} and points (n, 2) side by side."""
    figure = plots.new_figure(11, 3.1)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.35, 1.5, 1])
    rows = [torch.cat(list(part), 1) for part in images.split(5)]
    left.imshow(torch.cat(rows), cmap="gray_r", vmin=0, vmax=1)
    left.set(xticks=[], yticks=[], title="1: digits of p(x|y), y = 0 ... 9 twice")
    for (size, curve), grey, style in zip(curves.items(), plots.GREYS, plots.STYLES, strict=False):
        middle.plot(curve, color=grey, ls=style, label=f"p = {size:g} R_E")
    middle.set(title="2: microlensing light curves", xlabel="sample", ylabel="magnification / mean")
    middle.legend(fontsize=8, frameon=False)
    right.scatter(*points.T, s=2, lw=0, color="k")
    right.set(title="3: points of p = exp(f) / Z", xlabel="x₁", ylabel="x₂", aspect="equal")
    return figure


@torch.no_grad()
def main(argv=None) -> dict:
    """Draw from the three models; write the picture."""
    settings = parse(Common, __doc__, argv, without=("device", "data_dir"))
    results.keep_shipped(settings)
    script.start(settings)
    model, content = digit_model.load()
    images = digit_model.draw(model, torch.arange(digit_model.CLASSES).repeat(2))
    model, curves = curve_model.load()
    source = {"digits": content["source"], "curves": curves["source"]}
    drawn = curve_model.draw(model, curve_model.as_sizes(SIZES), 1)[:, 0]
    model, content = load_model(files.ROOT / "checkpoints/ex_3a_replica.pt")
    n, steps = (50, 10) if settings.smoke else (2000, 300)
    start = ebm.BASE * torch.randn(3, n, 2)
    points, _ = langevin.replica_exchange(
        start, model.value_and_gradient, (1, 0.3, 0), ebm.BASE, (0.03, 0.1), steps
    )
    figure = drawing(images, dict(zip(SIZES, drawn, strict=True)), points[0])
    metrics = {"source": source | {"roll": content["source"]}, "points": n}
    return results.save_results(settings.out_dir, "overview", metrics, {"overview": figure})


if __name__ == "__main__":
    script.run(main)
