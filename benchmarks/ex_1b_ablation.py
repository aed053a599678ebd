"""What each choice in exercise 1(b) is worth: short trainings that differ in one thing.

    python -m benchmarks.ex_1b_ablation    -> figures/ex_1b_ablation.json, a table on the screen

Every row has the same number of epochs but where it says otherwise; "full" rows repeat the default
training with other seeds.  Rows already in the file are kept, so a stopped run goes on.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import ex_1b
from common import artifacts, digit_metrics, judge, mnist, runtime

EPOCHS = 6
COURSE_BETA = 784 / 24  # BCE averaged over 784 pixels + KL averaged over 24 latents


ROWS = {
    "default": {},
    "default, seed 1": {"seed": 1},
    "products in float32": {"bfloat16": False},
    "p(z|y): one learned Gaussian a class": {"prior": "gaussian"},
    "p(z|y) = N(0, I)": {"prior": "standard"},
    "p(z|y) = N(0, I), the course's averaged loss": {"prior": "standard", "beta": COURSE_BETA},
    "8 components a class": {"components": 8},
    "128 components a class": {"components": 128},
    "beta = 0.5": {"beta": 0.5},
    "32 latents": {"latent": 32},
    "dense network, 2.5 times the epochs": {"network": "dense", "width": 512, "epochs": 15},
    "no shifted batches": {"shifted": 0.0},
    "weight decay 0.001": {"weight_decay": 1e-3},
    "full, seed 1": {"seed": 1, "epochs": ex_1b.Settings.epochs},
    "full, seed 2": {"seed": 2, "epochs": ex_1b.Settings.epochs},
}


def measure(change: dict, data, critic) -> dict:
    """Train with `change` and return the numbers of the row."""
    change = dict(change)
    options = {key: change.pop(key) for key in ("bfloat16",) if key in change}
    settings = replace(ex_1b.Settings(epochs=EPOCHS), **change)
    device = runtime.start(settings)
    with tempfile.TemporaryDirectory() as folder:
        model, history = ex_1b.fit(data, settings, device, Path(folder) / "row.pt", **options)
    some = data.test_images[:500], data.test_labels[:500]
    train = data.train_images[:10_000], data.train_labels[:10_000]
    test = digit_metrics.elbo(model, data.test_images, data.test_labels)
    return {
        "epochs": settings.epochs,
        "seconds": history["seconds"],
        "test_negative_elbo_nats": test["negative_elbo"],
        "test_kl_nats": test["kl"],
        "train_negative_elbo_nats": digit_metrics.elbo(model, *train)["negative_elbo"],
        "nll_500_digits_500_samples_nats": digit_metrics.nll(model, *some, 500)["nll"],
        **digit_metrics.judged(model, critic, data),
    }


def main() -> dict:
    """Measure the rows that are missing, writing the file after each."""
    path = artifacts.ROOT / "figures/ex_1b_ablation.json"
    data = mnist.load()
    critic, _ = judge.load()
    done = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    for name, change in ROWS.items():
        if name not in done["rows"]:
            done["rows"][name] = measure(change, data, critic)
            done |= {"source": data.source, "hardware": runtime.hardware(torch.device("cpu"))}
            artifacts.save_json(path, done)
        row = done["rows"][name]
        print(
            f"{name:45s} {row['epochs']:3d} epochs {row['seconds']:5.0f} s  "
            f"-ELBO {row['test_negative_elbo_nats']:7.2f}  KL {row['test_kl_nats']:5.2f}  "
            f"agreement {row['agreement']:.2%}  FD {row['fd']:6.1f}",
            file=sys.stdout,
            flush=True,
        )
    return done


if __name__ == "__main__":
    runtime.run(main)
