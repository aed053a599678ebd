"""One epoch of the dense conditional VAE: the usual loop, this project's, the products alone.

The two ways are also trained for 10 epochs, three seeds each, for their test -ELBO: faster must
not mean worse.  --smoke: one epoch on 1,500 digits.
"""

import torch

from benchmarks import dense, products
from benchmarks.timing import alternate, ratios, row, spread
from common.runtime.device import fast_bfloat16

EPOCHS, SEEDS = 10, 3


def sides(dataset, data, device) -> dict:
    """Return {name: function that does the work of one epoch}."""
    usual, own = dense.build(device), dense.build(device)
    loader = dense.usual_loader(dataset)
    optimizer = torch.optim.Adam(usual.parameters(), dense.RATE)
    steps = len(data.train_images) // dense.BATCH
    shapes = products.dense_shapes(dense.ENCODER, dense.DECODER)
    found = {
        "usual loop": lambda: dense.usual_epoch(usual, loader, optimizer),
        "this project": lambda: dense.own_training(own, data, 1),
    }
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        step, _ = products.one_step(shapes, dense.BATCH, dtype, device)
        found[f"{name} products"] = lambda step=step: [step() for _ in range(steps)]
    return found


def likelihoods(dataset, data, device, epochs: int, seeds: int) -> dict:
    """Train both ways; return the test -ELBO in nats for each seed."""
    found = {"usual loop": [], "this project": []}
    for seed in range(seeds):
        end = dense.usual_seconds(dataset, data, epochs, -1.0, seed, device)
        found["usual loop"].append(end["negative_elbo_nats"])
        model = dense.build(device, seed)
        dense.own_training(model, data, epochs, seed)
        found["this project"].append(dense.test_loss(model, data))
    return found


def measure(settings, device) -> dict:
    """Time one epoch of each; train both for 10 epochs."""
    dataset, data = dense.both_data(settings)
    seconds = alternate(sides(dataset, data, device), settings.repeats, device)
    own, work = seconds["this project"], "an epoch of the dense CVAE"
    rows = [
        row(work, "usual loop", ratios(seconds["usual loop"], own), 4.5),
        row(work, "float32 products alone", ratios(own, seconds["float32 products"]), 0.6,
            at_least=False, unit="x the time"),
        row(work, "bfloat16 products alone", ratios(seconds["bfloat16 products"], own), None,
            unit="of the bound"),
    ]  # fmt: skip
    epochs, seeds = (1, 1) if settings.smoke else (EPOCHS, SEEDS)
    nats = likelihoods(dataset, data, device, epochs, seeds)
    pairs = zip(nats["this project"], nats["usual loop"], strict=True)
    rows.append(row(f"test -ELBO after {epochs} epochs", "usual loop", [a - b for a, b in pairs],
                    0.3, at_least=False, unit="nats more"))  # fmt: skip
    shapes = products.dense_shapes(dense.ENCODER, dense.DECODER)
    _, count = products.one_step(shapes, dense.BATCH, torch.float32)
    steps = len(data.train_images) // dense.BATCH
    rates = {name: spread([1e-9 * count * steps / s for s in seconds[f"{name} products"]])
             for name in ("float32", "bfloat16")}  # fmt: skip
    return {
        "rows": rows, "seconds": seconds, "negative_elbo_nats": nats, "source": data.source,
        "gflop_per_second_of_products": rates, "bfloat16_used": fast_bfloat16(device),
    }  # fmt: skip
