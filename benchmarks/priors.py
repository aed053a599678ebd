"""Why a mismatched prior spoils samples, and what z says beside the label: two models of 1(b).

    python ex_1b.py --prior standard --covariance diagonal --out-dir textbook
    python -m benchmarks.priors --textbook textbook/checkpoints/ex_1b.pt
                                                    -> figures/ex_1b_priors.png, _style.png, .json

Codes z ~ q(z|x,y) of test digits, the aggregate q(z|y), are set beside draws of p(z|y), for the
textbook's N(0, I) and for the learned mixture.  A decoder knows the z of the former and is given
those of the latter.  The sheets decode one z under all ten labels.
"""

from dataclasses import dataclass

from common import cvae, distances
from common.digits import data as digit_data
from common.digits import figures
from common.digits import model as digit_model
from common.runtime import files, results, script
from common.runtime.errors import InputError
from common.runtime.options import Common, option, parse

import numpy as np
import torch


@dataclass(frozen=True)
class Settings(Common):
    """What is compared, and how many codes are drawn."""

    textbook: str = option("", "checkpoint of a training with --prior standard")
    label: int = option(4, "class y that is drawn", minimum=0, maximum=9)
    shown: int = option(300, "points of each kind in the figure", minimum=1)


@torch.no_grad()
def codes(model, data: digit_data.Digits, label: int):
    """Return z ~ q(z|x,y) of the test digits of class `label`, and as many z ~ p(z|y): (n, 24)."""
    x = data.test_images[data.test_labels == label]
    y = torch.full((len(x),), label)
    z, _ = cvae.reparameterise(*model.encode(digit_data.binarise(x).flatten(1), y))
    return z, model.prior.sample(y)


def plane(a: torch.Tensor, b: torch.Tensor):
    """Project a, b (n, d) on the two directions in which they differ most: (n, 2) each.

    With b as the unit, these are the directions whose mean square of `a` is farthest from 1 as
    v - 1 - ln v, twice the KL divergence between Gaussians of variance v and 1.
    """
    mean = b.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(b.T))
    white = vectors / values.sqrt()  # of b, columns
    v, axes = torch.linalg.eigh(((a - mean) @ white).T @ ((a - mean) @ white) / len(a))
    axes = white @ axes[:, (v - 1 - v.log()).argsort(descending=True)[:2]]
    return (a - mean) @ axes, (b - mean) @ axes


@torch.no_grad()
def same_z(model, labels: torch.Tensor) -> np.ndarray:
    """Decode z ~ p(z|y) of each of `labels` under all ten labels: (n, 10, 28, 28) in [0, 1]."""
    z = model.prior.sample(labels).repeat_interleave(10, 0)
    images = model.decode(z, torch.arange(10).repeat(len(labels))).sigmoid()
    return images.view(-1, 10, 28, 28).numpy()


def main(argv=None) -> dict:
    """Measure, draw, save the numbers; return them."""
    settings = parse(Settings, __doc__, argv)
    if not settings.textbook:
        raise InputError("--textbook: give a checkpoint trained with --prior standard")
    script.start(settings)
    data = digit_data.load(settings.data_dir)
    paths = {"N(0, I)": settings.textbook, "learned mixture": files.ROOT / digit_model.NAME}
    metrics, planes, sheets = {"source": data.source, "label": settings.label}, {}, {}
    for name, path in paths.items():
        model, content = digit_model.load(path)
        if (content["settings"]["prior"] == "standard") != (name == "N(0, I)"):
            raise InputError(f"{path}: its prior is {content['settings']['prior']}, not {name}")
        torch.manual_seed(settings.seed)
        told = []
        for label in range(10):
            posterior, prior = codes(model, data, label)
            told.append(distances.two_sample_accuracy(posterior, prior, seed=settings.seed))
            if label == settings.label:
                points = [part[: settings.shown].numpy() for part in plane(posterior, prior)]
        metrics[content["settings"]["prior"]] = {"codes_against_prior_accuracy": told}
        planes[f"{name}\ntold apart: {np.mean(told):.0%}"] = points
        sheets[name] = same_z(model, torch.tensor([0, 2, 3, 4, 5, 6, 7, 9]))
    drawn = {"ex_1b_priors": figures.clouds(planes, settings.label)}
    drawn["ex_1b_style"] = figures.sheets(sheets)
    return results.save_results(
        settings.out_dir, "ex_1b_priors", metrics, drawn, [paths["learned mixture"]]
    )


if __name__ == "__main__":
    script.run(main)
