"""The conditional VAE of exercise 1: build it, load it, read labels."""

import operator
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from common.cvae import CVAE, plain_cvae
from common.networks import PatchDecoder, PatchEncoder
from common.priors import FlowPrior
from common.training import InputError, find_model, load

CLASSES = 10


def digit_cvae(latent=24, components=128, channels=(24, 48), width=256, activation=F.silu) -> CVAE:
    """Build our model: networks on patches, a q with full covariance, a learned prior.

    channels: of the encoder's and of the decoder's convolutions; width: of their dense layers.
    """
    outputs = 2 * latent + latent * (latent - 1) // 2
    encoder = PatchEncoder(CLASSES, channels[0], width, outputs, activation)
    decoder = PatchDecoder(latent, CLASSES, channels[1], width, activation)
    torch.nn.init.zeros_(encoder.last.weight[2 * latent :])  # q is diagonal at the start
    torch.nn.init.zeros_(encoder.last.bias[2 * latent :])
    prior = FlowPrior(latent, components, CLASSES)
    return CVAE(encoder, decoder, prior, CLASSES).to(memory_format=torch.channels_last)


def build(content: dict) -> CVAE:
    """Build the model that a checkpoint of ex_1b.py describes."""
    settings = content["settings"]
    if settings["plain"]:
        return plain_cvae(latent=settings["latent"])
    return digit_cvae(settings["latent"], settings["components"])


def load_model(model="", device="cpu", out_dir=None, plain=False) -> tuple[CVAE, dict, Path]:
    """Return (model, content, path) of the checkpoint `model`.

    "": ex_1b.pt in `out_dir` if it is there, else the shipped one.  Raises InputError.
    """
    path = find_model("ex_1b_plain" if plain else "ex_1b", model, out_dir)
    return *load(path, "ex_1b", build, device), path


def as_labels(labels: Sequence[int]) -> torch.Tensor:
    """Return `labels` as an (n,) int64 tensor; raise InputError unless all are integers 0-9."""
    wanted = "labels: give a sequence of integers 0-9, such as [2, 0, 2, 3]"
    if hasattr(labels, "tolist"):  # an array, a tensor
        labels = labels.tolist() if len(labels.shape) == 1 else None
    if isinstance(labels, str | bytes) or not isinstance(labels, Sequence):
        raise InputError(wanted)
    try:
        numbers = [operator.index(label) for label in labels]
    except TypeError as error:
        raise InputError(wanted) from error
    kinds = [str(getattr(label, "dtype", type(label).__name__)) for label in labels]
    if any("bool" in kind for kind in kinds) or any(not 0 <= n <= 9 for n in numbers):
        raise InputError(wanted)
    return torch.tensor(numbers, dtype=torch.int64)


@torch.no_grad()
def draw(model: CVAE, labels: torch.Tensor, one_hand=False, batch: int = 1000) -> torch.Tensor:
    """Draw a digit E[x|z,y], z ~ p(z|y), for each label: (n,) -> (n, 28, 28) in [0, 1], on the CPU.

    one_hand: one u for all of them, z = T_y(u): one handwriting.
    """
    if not len(labels):
        return torch.empty(0, 28, 28)
    device = next(model.parameters()).device
    hand = model.prior.sample_u(1) if one_hand else None
    images = []
    for y in labels.to(device).split(batch):
        u = hand.expand(len(y), -1) if one_hand else None
        images.append(model.draw(y, u).cpu())
    return torch.cat(images).view(-1, 28, 28)
