"""The conditional VAE of exercise 1: build it, load it, draw digits from it."""

import operator
import re
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from common import cvae, networks, priors
from common.runtime import checkpoints, files
from common.runtime.device import pick_device
from common.runtime.errors import InputError

CLASSES, PIXELS = 10, 784
NAME, MADE_BY = "checkpoints/ex_1b.pt", "python ex_1b.py"
ARCHITECTURE = ("network", "width", "channels", "latent", "prior", "components", "covariance")
NETWORKS, PRIORS = ("patch", "dense"), ("mixture", "gaussian", "standard")
COVARIANCES = ("full", "diagonal")


def architecture(settings) -> dict:
    """Return what `build` needs, taken from `settings`: {"network": ..., "width": ..., ...}."""
    return {name: getattr(settings, name) for name in ARCHITECTURE}


def build(
    *, network, width, channels, latent, prior, components, covariance="diagonal"
) -> cvae.CVAE:
    """Build the CVAE of digits: label as one-hot vector, Bernoulli pixels, prior p(z|y).

    network: "patch" (convolutions on 4 x 4 patches) or "dense"; width: units of the dense layers;
    channels: of the convolutions; prior: "mixture" (of `components` Gaussians a class), "gaussian"
    (one a class) or "standard"; covariance: of q(z|x,y), "full" or "diagonal".
    Raises InputError for anything else, before memory is taken.
    """
    sizes = {"width": width, "channels": channels, "latent": latent, "components": components}
    for name, size in sizes.items():
        if type(size) is not int or not 1 <= size <= 4096:
            raise InputError(f"{name} = {size!r}: must be a whole number from 1 to 4096")
    for chosen, allowed in ((network, NETWORKS), (prior, PRIORS), (covariance, COVARIANCES)):
        if chosen not in allowed:
            raise InputError(f"{chosen!r}: must be one of {', '.join(allowed)}")
    full = latent if covariance == "full" else 0
    if full * full * width > 2**28:
        raise InputError(f"latent {latent}, width {width}: too large for a full covariance")
    outputs = cvae.posterior_size(latent) if full else 2 * latent
    if network == "patch":
        encoder = networks.PatchEncoder(CLASSES, channels, width, outputs)
        decoder = networks.PatchDecoder(latent, CLASSES, channels, width)
    else:
        encoder = networks.ResidualMLP(PIXELS, CLASSES, width, outputs)
        decoder = networks.ResidualMLP(latent, CLASSES, width, PIXELS)
    if prior == "standard":
        prior_net = priors.StandardPrior(latent)
    else:
        count = 1 if prior == "gaussian" else components
        prior_net = priors.ClassMixturePrior(CLASSES, latent, count)
    torch.nn.init.zeros_(encoder.last.weight[2 * latent :])  # q is diagonal at the start
    torch.nn.init.zeros_(encoder.last.bias[2 * latent :])
    embed = lambda y: F.one_hot(y, CLASSES).float()  # noqa: E731
    model = cvae.CVAE(encoder, decoder, prior_net, embed, full)
    return model.to(memory_format=torch.channels_last)


def load(path="", device="cpu") -> tuple[cvae.CVAE, dict]:
    """Return (model, checkpoint) of the checkpoint `path`, "": the shipped one.

    Raises InputError when there is none, or when it is damaged or foreign.
    """
    model, content = checkpoints.load_model(path or files.ROOT / NAME, "ex_1b", MADE_BY, build)
    return model.to(pick_device(str(device))), content


def as_labels(labels: Sequence[int]) -> torch.Tensor:
    """Return `labels` as an (n,) int64 tensor; raise InputError unless all are integers 0-9."""
    wanted = "labels: give a sequence of integers 0-9"
    if hasattr(labels, "tolist"):  # an array, a tensor
        labels = labels.tolist() if len(labels.shape) == 1 else wanted
    short = isinstance(labels, str) or (isinstance(labels, int) and 0 <= labels < 10**20)
    if short and re.fullmatch("[0-9]{1,20}", str(labels)):
        raise InputError(f"{wanted}, such as [{', '.join(str(labels))}]")
    if isinstance(labels, str | bytes) or not isinstance(labels, Sequence):
        raise InputError(wanted)
    try:
        found = [operator.index(label) for label in labels]
        kinds = {np.asarray(label).dtype.kind for label in labels}  # an index may be a truth value
    except (TypeError, ValueError) as error:
        raise InputError(wanted) from error
    if not kinds <= {"i", "u"} or any(not 0 <= label <= 9 for label in found):
        raise InputError(wanted)
    return torch.tensor(found, dtype=torch.int64)


@torch.no_grad()
def draw(model: cvae.CVAE, labels: torch.Tensor, temperature: float = 1.0, batch: int = 1000):
    """Draw z ~ p(z|y) and return E[x|z,y] for each label: (n,) -> (n, 28, 28) float32 in [0, 1].

    temperature: see `priors.ClassMixturePrior.sample`; 1 is the model itself.
    """
    parts = labels.to(next(model.parameters()).device).split(batch)
    images = [model.decode(model.prior.sample(y, temperature), y).sigmoid().cpu() for y in parts]
    return torch.cat(images).view(-1, 28, 28)
