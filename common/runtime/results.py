"""What a script leaves besides weights: numbers as JSON, and figures."""

import json
import math
from pathlib import Path

from common.runtime import files
from common.runtime.errors import InputError


def save_results(out_dir, name: str, metrics: dict, figures: dict) -> dict:
    """Write FILE.png for each of `figures`, then NAME.json, into `out_dir`; print their names.

    figures: {file name without suffix: matplotlib figure}.  Returns `metrics`.
    """
    folder = Path(out_dir)
    for file, figure in figures.items():
        print(save_figure(folder / f"{file}.png", figure))
    print(save_json(folder / f"{name}.json", metrics))
    return metrics


def save_json(path: Path, content: dict) -> Path:
    """Write `content` as sorted, indented JSON with six significant digits, whole."""
    text = json.dumps(to_json(content), indent=1, sort_keys=True, allow_nan=False) + "\n"
    return files.atomic_write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def to_json(value):
    """Return `value` as JSON will hold it: six significant digits, null for what is not finite."""
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if hasattr(value, "tolist"):
        return to_json(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def numbers(metrics: dict) -> dict:
    """Return {"test.distances.w1": 0.02, ...}: every number of `metrics` that is a result.

    Left out are lists, settings and histories, and what is no number.
    """
    found = {}
    for name, value in metrics.items():
        if isinstance(value, dict) and name not in ("settings", "history", "history_nats"):
            found |= {f"{name}.{below}": number for below, number in numbers(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found


def picture_format(path: Path) -> str:
    """Return png, pdf or svg, from the suffix of `path`; raise InputError for another."""
    kind = Path(path).suffix.lower()
    if kind not in (".png", ".pdf", ".svg"):
        raise InputError(f"cannot write {path}: the name must end in .png, .pdf or .svg")
    return kind[1:]


def save_figure(path: Path, figure) -> Path:
    """Write a matplotlib figure to `path`, whole; the same figure gives the same bytes.

    A PNG has the figure's dpi.  Raises InputError for an unknown format or an unwritable place.
    """
    kind = picture_format(path)
    stamp = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)

    def write(temporary):
        with open(temporary, "wb") as file:  # closed here: matplotlib forgets to on a full disk
            figure.savefig(file, format=kind, dpi="figure", metadata=stamp)

    return files.atomic_write(path, write)
