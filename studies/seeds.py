"""Train 1(b) with seeds 0-4, and the plain model with 0-2, and gather the numbers.

    python -m studies.seeds              -> out/seeds/K/ex_1b*.json, out/ex_1b_seeds.json
    python -m studies.seeds --seeds 0 1  only these; what is there already is not trained again

The headline of README and report is the mean and standard deviation over the seeds.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ex_1b
from common.training import run, write


@dataclass
class Settings:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # of our model
    plain_seeds: tuple[int, ...] = (0, 1, 2)  # of the plain model
    device: str = "auto"  # cpu, cuda, ...
    data_dir: str = ""  # folder with MNIST/raw; default: $MNIST_ROOT, or data/
    out_dir: Path = Path("out")


def flatten(numbers: dict, before: str = "") -> dict:
    """Return {"test.negative_elbo": 80.1, ...}: the results in a JSON of ex_1b.py."""
    found = {}
    for name, value in numbers.items():
        if isinstance(value, dict) and name != "settings":
            found |= flatten(value, f"{before}{name}.")
        elif isinstance(value, int | float):
            found[before + name] = value
    return found


def main(settings) -> dict:
    """Train what is missing; return {model: {"mean", "std", "seeds"}}."""
    gathered = {}
    for plain, seeds in ((False, settings.seeds), (True, settings.plain_seeds)):
        name = "ex_1b_plain" if plain else "ex_1b"
        rows = {}
        for seed in seeds:
            folder = settings.out_dir / f"seeds/{seed}"
            path = folder / f"{name}.json"
            if not path.exists():
                places = {"device": settings.device, "data_dir": settings.data_dir}
                ex_1b.main(ex_1b.Settings(plain=plain, seed=seed, out_dir=folder, **places))
            rows[seed] = flatten(json.loads(path.read_text(encoding="utf-8")))
        columns = {key: [row[key] for row in rows.values()] for key in rows[seeds[0]]}
        spread = {key: np.std(values, ddof=1) for key, values in columns.items() if len(rows) > 1}
        gathered[name] = {
            "mean": {key: np.mean(values) for key, values in columns.items()},
            "std": spread,
            "seeds": rows,
        }
    return write(settings.out_dir, "ex_1b_seeds", gathered)


if __name__ == "__main__":
    run(main, Settings)
