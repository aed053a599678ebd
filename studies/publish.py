"""Copy what `out/` holds over the shipped files: `make publish`, for those who maintain this.

    python -m studies.publish     out/*.pt -> checkpoints/, out/*.json, *.png, *.svg -> figures/

Files are listed here, one by one.  A checkpoint is refused unless it was trained with default
settings and seed 0; of the listed files, those that `out/` does not have stay as they are.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

import ex_1b
import ex_2b
import ex_3a
from common.training import ROOT, SHIPPED, InputError, run, without_places

USUAL = {  # checkpoint: the settings that it must have been trained with
    "ex_1b": ex_1b.Settings(),
    "ex_1b_plain": ex_1b.Settings(plain=True),
    "ex_2b": ex_2b.Settings(),
    "ex_2b_plain": ex_2b.Settings(plain=True),
    **{f"ex_3a_{name}": ex_3a.Settings(method=name) for name in ("cd", "replica", "mala", "nce")},
    **{
        f"ex_3a_short_{eps}": ex_3a.Settings(method="short-run", eps=eps)
        for eps in (0.1, 0.01, 0.001)
    },
}
CHECKPOINTS = ("judge", *USUAL)
NUMBERS = (
    *("ex_1b", "ex_1b_plain", "ex_1b_seeds", "ex_1b_choice", "ex_1b_textbook", "ex_1b_time"),
    *("ex_2a", "ex_2b", "ex_2b_plain", "ex_2b_seeds", "ex_2b_ablations"),
    *("ex_2c", "ex_2c_small", "ex_2d", "ex_2_map_speed"),
    *(name for name in USUAL if name.startswith("ex_3a")),
    *("ex_3a_seeds", "ex_3a_table", "ex_3b", "ex_3b_seeds"),
)
IMAGES = (  # .png alone: they show pixels, or thousands of points
    *(f"ex_1b{end}_{label}" for end in ("", "_plain") for label in ("samples", "one_hand")),
    *("ex_1b_reconstructions", "ex_1b_plain_reconstructions", "ex_1c_2023", "ex_1c_labels"),
    *("ex_2_map", "ex_2d_maps", "ex_3b_samples"),
    *(f"{name}_training" for name in USUAL if name.startswith("ex_3a")),
)
DRAWINGS = (  # .png and .svg
    *("ex_1b_training", "ex_1b_plain_training", "ex_1b_time_curve"),
    *("ex_2a_network", "ex_2b_training", "ex_2b_plain_training"),
    *("ex_2c_figure1", "ex_2c_sizes", "ex_2c_sweep"),
)
FIGURES = [
    *(f"{name}.json" for name in NUMBERS),
    *(f"{name}.png" for name in IMAGES + DRAWINGS),
    *(f"{name}.svg" for name in DRAWINGS),
]


@dataclass
class Settings:
    out_dir: Path = Path("out")


def check_settings(path: Path, found: dict) -> None:
    """Raise InputError unless `found` are the default settings of this model, with seed 0."""
    usual = without_places(USUAL[path.stem])
    for name, value in usual.items():
        chosen = found.get(name, value)
        if (tuple(chosen) if isinstance(chosen, list) else chosen) != value:
            raise InputError(f"{path}: trained with {name} = {found.get(name)}, not {value}")


def main(settings) -> dict:
    """Check every checkpoint first, then copy; return {"copied": [...]}."""
    pairs = [(settings.out_dir / f"{name}.pt", SHIPPED / f"{name}.pt") for name in CHECKPOINTS]
    pairs += [(settings.out_dir / name, ROOT / "figures" / name) for name in FIGURES]
    pairs = [(source, target) for source, target in pairs if source.exists()]
    for source, _ in pairs:
        if source.suffix == ".pt" and source.stem != "judge":
            check_settings(source, torch.load(source, weights_only=True)["settings"])
        if source.suffix == ".json" and source.stem in CHECKPOINTS:
            check_settings(source, json.loads(source.read_text(encoding="utf-8"))["settings"])
    for source, target in pairs:
        shutil.copyfile(source, target)
        print(target.relative_to(ROOT))
    return {"copied": [str(target) for _, target in pairs]}


if __name__ == "__main__":
    run(main, Settings)
