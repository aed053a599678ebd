"""Train the models of an exercise with seeds 0-4 and gather the numbers.

    python -m studies.seeds ex_1b        -> out/seeds/K/ex_1b*.json, out/ex_1b_seeds.json
    python -m studies.seeds ex_2b        -> out/seeds/K/ex_2b*.json, out/ex_2b_seeds.json
    python -m studies.seeds ex_3a        -> out/seeds/K/ex_3a_*.json, out/ex_3a_seeds.json
    python -m studies.seeds ex_3b        sample with the models of each seed -> out/ex_3b_seeds.json
    python -m studies.seeds ex_1b --seeds 0 1    only these

What is there already is not trained again.  The headline of README and report is the mean and
standard deviation over the seeds.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import ex_1b
import ex_2b
import ex_3a
import ex_3b
from common.training import InputError, run, write

SCRIPTS = {"ex_1b": ex_1b, "ex_2b": ex_2b, "ex_3a": ex_3a, "ex_3b": ex_3b}
VARIANTS = {  # script: {name of its JSON: settings}
    "ex_1b": {"ex_1b": {"plain": False}, "ex_1b_plain": {"plain": True}},
    "ex_2b": {"ex_2b": {"plain": False}, "ex_2b_plain": {"plain": True}},
    "ex_3a": {f"ex_3a_{name}": {"method": name} for name in ("cd", "replica")},
    "ex_3b": {"ex_3b": {}},
}


@dataclass
class Settings:
    script: Annotated[str, tyro.conf.Positional] = "ex_1b"  # or ex_2b, ex_3a, ex_3b
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    plain_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # of the plain model
    device: str = "auto"  # cpu, cuda, ...
    data_dir: str = ""  # where the script's data are
    out_dir: Path = Path("out")


def flatten(numbers: dict, before: str = "") -> dict:
    """Return {"test.negative_elbo": 80.1, ...}: the results in a JSON of a script."""
    found = {}
    for name, value in numbers.items():
        if isinstance(value, dict) and name != "settings":
            found |= flatten(value, f"{before}{name}.")
        elif isinstance(value, int | float):
            found[before + name] = value
    return found


def main(settings) -> dict:
    """Train what is missing; return {model: {"mean", "std", "seeds"}}."""
    if settings.script not in SCRIPTS:
        raise InputError(f"{settings.script}: give one of {', '.join(SCRIPTS)}")
    script = SCRIPTS[settings.script]
    gathered = {}
    for name, chosen in VARIANTS[settings.script].items():
        seeds = settings.plain_seeds if chosen.get("plain") else settings.seeds
        rows = {}
        for seed in seeds:
            folder = settings.out_dir / f"seeds/{seed}"
            path = folder / f"{name}.json"
            if not path.exists():
                places = {"device": settings.device, "data_dir": settings.data_dir}
                known = {field.name for field in fields(script.Settings)}
                places = {key: value for key, value in places.items() if key in known}
                script.main(script.Settings(seed=seed, out_dir=folder, **chosen, **places))
            rows[seed] = flatten(json.loads(path.read_text(encoding="utf-8")))
        columns = {key: [row[key] for row in rows.values()] for key in rows[seeds[0]]}
        spread = {key: np.std(values, ddof=1) for key, values in columns.items() if len(rows) > 1}
        gathered[name] = {
            "mean": {key: np.mean(values) for key, values in columns.items()},
            "std": spread,
            "seeds": rows,
        }
    return write(settings.out_dir, f"{settings.script}_seeds", gathered)


if __name__ == "__main__":
    run(main, Settings)
