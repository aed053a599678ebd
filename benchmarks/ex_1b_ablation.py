"""What each choice in exercise 1(b) is worth: short trainings that differ in one thing.

    python -m benchmarks.ex_1b_ablation    -> figures/ex_1b_ablation.json, a table on the screen

Rows of 4 epochs unless the row says otherwise; "full" rows repeat the default training with other
seeds.  Rows already in the file with the same settings are kept, so a stopped run goes on.
Needs MNIST.  About 25 minutes on 2 cores, half of them for the two full trainings.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import ex_1b
from common import artifacts, digit_metrics, digits, judge, mnist, runtime
from common.settings import Common, InputError, option, parse

TEMPERATURES = (1.0, 0.95, 0.9, 0.85)
COURSE_BETA = 784 / 24  # BCE averaged over 784 pixels + KL averaged over 24 latents
FULL = ex_1b.Settings.epochs
ROWS = {
    "full, seed 1": {"seed": 1, "epochs": FULL},
    "full, seed 2": {"seed": 2, "epochs": FULL},
    "default": {},
    "default, seed 1": {"seed": 1},
    "products in float32": {"bfloat16": False},
    "p(z|y): one learned Gaussian a class": {"prior": "gaussian"},
    "p(z|y) = N(0, I)": {"prior": "standard"},
    "p(z|y) = N(0, I), the course's averaged loss": {"prior": "standard", "beta": COURSE_BETA},
    "8 components a class": {"components": 8},
    "32 components a class": {"components": 32},
    "beta = 0.5": {"beta": 0.5},
    "dense network, 2.5 times the epochs": {"network": "dense", "width": 512, "epochs": 10},
    "no shifted batches": {"shifted": 0.0},
    "weight decay 0.001": {"weight_decay": 1e-3},
}


@dataclass(frozen=True)
class Settings(Common):
    """How long a row trains."""

    epochs: int = option(4, "epochs of a row", minimum=1, maximum=1000, smoke=1)


def settings_of(change: dict, settings) -> dict:
    """Return the settings of a row as plain values, `bfloat16` among them."""
    change = {"bfloat16": True, "epochs": settings.epochs, "device": settings.device} | change
    bfloat16 = change.pop("bfloat16")
    wanted = replace(ex_1b.Settings(threads=settings.threads), **change)
    return asdict(wanted) | {"bfloat16": bfloat16}


def trained_with(settings: dict) -> dict:
    """Return `settings` without those of the NLL, which no row has."""
    return {k: v for k, v in artifacts.plain(settings).items() if not k.startswith("nll_")}


def measure(wanted: dict, data, critic) -> dict:
    """Train with the settings `wanted` and return the numbers of the row, nats per digit."""
    wanted = dict(wanted)
    bfloat16, settings = wanted.pop("bfloat16"), ex_1b.Settings(**wanted)
    device = runtime.start(settings)
    model, history = ex_1b.fit(data, settings, device, bfloat16=bfloat16)
    train = data.train_images[:10_000], data.train_labels[:10_000]
    test = data.test_images, data.test_labels
    bound = digit_metrics.elbo(model, *test)
    return {
        "seconds": history["seconds"],
        "hardware": runtime.hardware(device),
        "test_negative_elbo_nats": bound["negative_elbo_nats"],
        "test_kl_nats": bound["kl_nats"],
        "train_negative_elbo_nats": digit_metrics.elbo(model, *train)["negative_elbo_nats"],
        **digit_metrics.judged(model, critic, data),
    }


def main(argv=None) -> dict:
    """Measure the rows that are missing or were made with other settings; write after each."""
    settings = parse(Settings, __doc__, argv)
    path = Path(settings.out_dir) / "figures/ex_1b_ablation.json"
    data = mnist.load(settings.data_dir, limit=1500 if settings.smoke else None)
    if not (data.source == mnist.MNIST or settings.smoke):
        raise InputError("the table is one of MNIST: set --data-dir or MNIST_ROOT")
    critic, _ = judge.load(settings.out_dir)
    done = json.loads(path.read_text()) if path.exists() else {}
    rows = done.get("rows", {})
    for name, change in list(ROWS.items())[: 2 if settings.smoke else None]:
        wanted = settings_of(change, settings)
        if trained_with(rows.get(name, {}).get("settings", {})) != trained_with(wanted):
            rows[name] = {"settings": wanted, **measure(wanted, data, critic)}
            artifacts.save_json(path, {"source": data.source, "rows": rows})
        row = rows[name]
        print(
            f"{name:45s} {wanted['epochs']:3d} epochs {row['seconds']:5.0f} s  "
            f"-ELBO {row['test_negative_elbo_nats']:7.2f}  KL {row['test_kl_nats']:5.2f}  "
            f"agreement {row['agreement']:.2%}  FD {row['fd']:6.1f}",
            flush=True,
        )
    table = {"source": data.source, "rows": rows, "temperatures": temperatures(data, critic)}
    artifacts.save_json(path, table)
    return table


def temperatures(data, critic) -> dict:
    """Sample the shipped model with less spread than p(z|y), with three seeds each.

    To choose a temperature look at fd_train: generated against training digits.
    """
    model, _ = digits.load()
    train = mnist.Digits(*([data.train_images[:10_000], data.train_labels[:10_000]] * 2), "train")
    found = {"checkpoint_sha256": artifacts.sha256(artifacts.ROOT / digits.NAME)}
    for temperature in TEMPERATURES:
        runs = [digit_metrics.judged(model, critic, data, s, temperature) for s in range(3)]
        fits = [digit_metrics.judged(model, critic, train, s, temperature) for s in range(3)]
        row = {
            "agreement": [run["agreement"] for run in runs],
            "fd": [run["fd"] for run in runs],
            "fd_floor": [run["fd_floor"] for run in runs],
            "fd_train": [run["fd"] for run in fits],
        }
        found[f"{temperature}"] = row
        print(
            f"temperature {temperature}: agreement {row['agreement']}, FD {row['fd']}", flush=True
        )
    return found


if __name__ == "__main__":
    runtime.run(main)
