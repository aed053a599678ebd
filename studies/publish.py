"""Copy what `out/` holds over the shipped files: `make publish`, for those who maintain this.

    python -m studies.publish     out/*.pt -> checkpoints/, out/*.json, *.png, *.svg -> figures/

Files are listed here, one by one.  A checkpoint is refused unless it was trained with default
settings and seed 0; of the listed files, those that `out/` does not have stay as they are.
"""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

import ex_1b
from common.training import ROOT, SHIPPED, InputError, run

PICTURES = ("training", "samples", "one_hand", "reconstructions")
CHECKPOINTS = ("ex_1b", "ex_1b_plain", "judge")
FIGURES = [
    *(f"{name}.json" for name in ("ex_1b", "ex_1b_plain", "ex_1b_seeds", "ex_1b_choice")),
    *(f"{name}.json" for name in ("ex_1b_textbook", "ex_1b_time")),
    *(f"{model}_{label}.png" for model in ("ex_1b", "ex_1b_plain") for label in PICTURES),
    *("ex_1b_time_curve.png", "ex_1b_time_curve.svg", "ex_1b_training.svg"),
    *("ex_1b_plain_training.svg", "ex_1c_2023.png", "ex_1c_labels.png"),
]


@dataclass
class Settings:
    out_dir: Path = Path("out")


def check_settings(path: Path, found: dict) -> None:
    """Raise InputError unless `found` are the default settings of 1(b), with seed 0."""
    usual = dataclasses.asdict(ex_1b.Settings(plain=path.stem.endswith("_plain")))
    for name in ("data_dir", "out_dir", "device", "restart"):
        usual.pop(name)
    for name, value in usual.items():
        if found.get(name, value) != value:
            raise InputError(f"{path}: trained with {name} = {found.get(name)}, not {value}")


def main(settings) -> dict:
    """Check every checkpoint first, then copy; return {"copied": [...]}."""
    pairs = [(settings.out_dir / f"{name}.pt", SHIPPED / f"{name}.pt") for name in CHECKPOINTS]
    pairs += [(settings.out_dir / name, ROOT / "figures" / name) for name in FIGURES]
    pairs = [(source, target) for source, target in pairs if source.exists()]
    for source, _ in pairs:
        if source.suffix == ".pt" and source.stem != "judge":
            check_settings(source, torch.load(source, weights_only=True)["settings"])
        if source.name in ("ex_1b.json", "ex_1b_plain.json"):
            check_settings(source, json.loads(source.read_text(encoding="utf-8"))["settings"])
    for source, target in pairs:
        shutil.copyfile(source, target)
        print(target.relative_to(ROOT))
    return {"copied": [str(target) for _, target in pairs]}


if __name__ == "__main__":
    run(main, Settings)
