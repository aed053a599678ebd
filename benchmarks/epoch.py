"""One epoch of ex_1b.py's network: the usual loop, this project's, and the products alone.

The usual loop is most tutorials': torchvision's data set with ToTensor, DataLoader, AdamW, float32.
Both minimise the same -ELBO of pixels binarised anew.  The bound is the time of as many operations
in square matrix products, float32 and bfloat16, measured in the same run.
"""

import ex_1b
from benchmarks.timing import alternate, ratios, row, spread
from common import cvae
from common.digits import data as digit_data
from common.digits import model as digit_model
from common.runtime.errors import InputError

import torch
from torch.utils.flop_counter import FlopCounterMode

SMALL = {"width": 32, "channels": 8, "latent": 4, "components": 2}  # with --smoke
SIDE, TIMES = 1024, 20  # of the products: side of a matrix, products in one timing


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


def loss_of(model, x, y):
    """Return -ELBO in nats per digit: x (n, 784) in {0, 1}, y (n,)."""
    return sum(cvae.elbo_terms(model, x, y)).mean()


def usual_epoch(model, loader, optimizer, device) -> float:
    """Train for one epoch as most tutorials do; return the sum of the losses."""
    total = 0.0
    for images, labels in loader:
        x, y = torch.bernoulli(images.to(device)).flatten(1), labels.to(device)
        optimizer.zero_grad()
        loss = loss_of(model, x, y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


def operations(model, batch: int, device) -> int:
    """Return the floating-point operations in the products of one training step."""
    x, y = torch.zeros(batch, 784, device=device), torch.zeros(batch, device=device).long()
    with FlopCounterMode(display=False) as counter:
        loss_of(model, x, y).backward()
    return counter.get_total_flops()


def measure(settings, device) -> dict:
    """Time an epoch of both loops, and the products."""
    data = digit_data.load(settings.data_dir, limit=1500 if settings.smoke else None)
    if not (settings.smoke or data.source == digit_data.MNIST):
        raise InputError("the comparison is one on MNIST: set --data-dir or MNIST_ROOT")
    wanted = ex_1b.Settings(epochs=1, **(SMALL if settings.smoke else {}))
    model = digit_model.build(**digit_model.architecture(wanted)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loader = torch.utils.data.DataLoader(as_torchvision(data), wanted.batch, shuffle=True)
    sides = {
        "usual loop": lambda: usual_epoch(model, loader, optimizer, device),
        "this project": lambda: ex_1b.fit(data, wanted, device),
    }
    side, kinds = 64 if settings.smoke else SIDE, ("float32", "bfloat16")
    for kind in kinds:
        matrix = torch.randn(side, side, device=device).to(getattr(torch, kind))
        sides[kind] = lambda m=matrix: [m @ m for _ in range(TIMES)]
    seconds = alternate(sides, settings.repeats)
    count = len(data.train_images) // wanted.batch * operations(model, wanted.batch, device)
    own, work = seconds["this project"], "an epoch of ex_1b.py"
    rates = {kind: [2e-9 * TIMES * side**3 / s for s in seconds[kind]] for kind in kinds}
    rows = [row(work, "usual loop", ratios(seconds["usual loop"], own))]
    for kind in kinds:
        share = [1e-9 * count / rate / s for rate, s in zip(rates[kind], own, strict=True)]
        rows.append(row(work, f"its operations as {kind} products", share, unit="of its time"))
    speed = ratios(rates["bfloat16"], rates["float32"])
    rows.append(row("bfloat16 products", "float32 products", speed))
    found = {"rows": rows, "seconds": seconds, "source": data.source, "operations": count}
    return found | {"gflop_per_second": {kind: spread(rate) for kind, rate in rates.items()}}
