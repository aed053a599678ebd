"""The dense conditional VAE of the comparisons, and two ways to train it that mean the same.

784 + 10 -> 512 -> 256 -> 2 * 64, mirrored; z ~ N(0, I); Adam, 1e-3, batch 128; pixels binarised
anew in each batch; nats summed.  The usual way: torchvision's data set with ToTensor, DataLoader,
Adam in float32.  This project's: uint8 tensors in memory, `common.training.train`, fused Adam,
products in bfloat16 where the processor is fast at them.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from common import cvae, priors, training
from common.digits import data as digit_data
from common.digits import evaluation as digit_evaluation
from common.runtime.errors import InputError

LATENT, BATCH, RATE = 64, 128, 1e-3
ENCODER, DECODER = (784 + 10, 512, 256, 2 * LATENT), (LATENT + 10, 256, 512, 784)


class Dense(nn.Module):
    """Dense layers with ReLU between them: (n, x), (n, c) -> (n, sizes[-1])."""

    def __init__(self, sizes):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(sizes))

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        h = torch.cat([x, c], 1)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        return self.layers[-1](h)


def build(device="cpu", seed: int = 0) -> cvae.CVAE:
    """Build the network with the weights of `seed`."""
    torch.manual_seed(seed)
    prior = priors.StandardPrior(LATENT)
    model = cvae.CVAE(Dense(ENCODER), Dense(DECODER), prior, lambda y: F.one_hot(y, 10).float())
    return model.to(device)


def loss_of(model, x, y):
    """Return -ELBO in nats per digit, the KL in its closed form: x (n, 784) in {0, 1}, y (n,)."""
    mu, logvar = model.encode(x, y)
    logits = model.decode(cvae.reparameterise(mu, logvar), y)
    bits = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (bits + cvae.kl_to_standard(mu, logvar).sum()) / len(x)


def usual_loader(dataset, seed: int = 0):
    """Return a DataLoader of torchvision's MNIST `dataset`, its transform being ToTensor."""
    generator = torch.Generator().manual_seed(seed)
    return torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, generator=generator)


def as_torchvision(data: digit_data.Digits):
    """Return the training digits as torchvision's MNIST data set with ToTensor: slow, and usual.

    Item i is (image (1, 28, 28) float32 in [0, 1], label).
    """
    kind = digit_data.torchvision_mnist().MNIST
    from torchvision.transforms import ToTensor

    dataset = kind.__new__(kind)
    dataset.data, dataset.targets = data.train_images, data.train_labels
    dataset.transform, dataset.target_transform = ToTensor(), None
    return dataset


def usual_epoch(model, loader, optimizer) -> float:
    """Train for one epoch as most tutorials do; return the mean loss."""
    total, device = 0.0, next(model.parameters()).device
    for images, labels in loader:
        x, y = torch.bernoulli(images.to(device)).flatten(1), labels.to(device)
        optimizer.zero_grad()
        loss = loss_of(model, x, y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def own_training(model, data, epochs: int, seed: int = 0, bfloat16: bool = True):
    """Train for `epochs` as this project does; return the history."""
    device = next(model.parameters()).device
    images, labels = data.train_images.to(device), data.train_labels.to(device)
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
    model.bfloat16 = bfloat16

    def loss_terms(step):
        index = training.batch_indices(len(images), BATCH, step, seed)
        return {
            "loss": loss_of(model, digit_data.binarise(images[index]).flatten(1), labels[index])
        }

    steps = epochs * max(1, len(images) // BATCH)
    history = training.train(
        model, loss_terms, optimizer, steps=steps, seed=seed, rate=lambda step, steps: 1.0
    )
    model.bfloat16 = False
    return history


def test_loss(model, data, draws: int = 1) -> float:
    """Return the test -ELBO in nats per digit; the generators' state stays as it was."""
    with torch.random.fork_rng():
        found = digit_evaluation.elbo(model, data.test_images, data.test_labels, draws)
    return found["negative_elbo_nats"]


def both_data(settings):
    """Return (torchvision's training set with ToTensor, the same digits as tensors).

    With --smoke at most 1,500, without MNIST the bundled ones.  Raises InputError when MNIST
    is not there and the run is to be reported.
    """
    data = digit_data.load(settings.data_dir, limit=1500 if settings.smoke else None)
    if not (settings.smoke or data.source == digit_data.MNIST):
        raise InputError("the comparison is one on MNIST: set --data-dir or MNIST_ROOT")
    return as_torchvision(data), data
