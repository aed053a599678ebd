"""benchmarks/results.json and its figure: a row for each comparison."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from common.runtime import results
from common.runtime.errors import InputError


def merge(path, name: str, entry: dict) -> dict:
    """Put `entry` under `name` into the JSON at `path`; what else is there stays.  Return all.

    Raises InputError when the file is there and is not such a JSON.
    """
    path, everything = Path(path), {}
    if path.exists():
        try:
            everything = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            everything = None
        if not isinstance(everything, dict):
            raise InputError(f"{path} is damaged: delete it and measure anew")
    everything[name] = results.to_json(entry)
    results.save_json(path, everything)
    return everything


def line(row: dict) -> str:
    """Return a row as text: work, against, median with min and max, target."""
    value, unit = row["value"], row["unit"]
    sign = "≥" if row["at_least"] else "≤"
    target = "" if row["target"] is None else f"   target {sign} {row['target']:g}"
    many = f"{value['median']:.3g} {unit} ({value['min']:.3g}–{value['max']:.3g})"
    return f"{row['work']:46s} {'against ' + row['against']:52s} {many}{target}"


def table(everything: dict) -> list[str]:
    """Return the rows of the table in benchmarks/README.md: work, against, measured, aim."""
    rows = []
    for row in (row for name in sorted(everything) for row in everything[name]["rows"]):
        value, sign = row["value"], "≥" if row["at_least"] else "≤"
        aim = "–" if row["target"] is None else f"{sign} {row['target']:g}"
        many = f"{value['median']:.3g} {row['unit']} ({value['min']:.3g}–{value['max']:.3g})"
        rows.append(f"| {row['work']} | {row['against']} | {many} | {aim} |")
    return rows


def figure(everything: dict) -> Figure:
    """Draw every row that has a target: how many times better than it, on a logarithmic axis."""
    rows = [row | {"name": name} for name in sorted(everything)
            for row in everything[name].get("rows", []) if row["target"]]  # fmt: skip
    drawn = Figure((10, 1.4 + 0.45 * len(rows)), dpi=150, layout="constrained")
    axis = drawn.subplots()
    for height, row in enumerate(reversed(rows)):
        low, middle, high = sorted(_times_better(row, key) for key in ("min", "median", "max"))
        axis.plot([low, high], [height, height], color="0.5", lw=3, solid_capstyle="round")
        axis.plot(middle, height, "ko" if middle >= 1 else "wo", mec="k")
        sign = "≥" if row["at_least"] else "≤"
        text = f"{row['value']['median']:.3g} {row['unit']} ({sign} {row['target']:g})"
        axis.annotate(text, (high, height), (8, 0), textcoords="offset points", va="center",
                      fontsize=8, bbox=dict(fc="white", ec="none", pad=1))  # fmt: skip
    axis.axvline(1, color="0.5", ls="--", zorder=0)
    names = [f"{row['work']}\nagainst {row['against']}" for row in reversed(rows)]
    axis.set_yticks(range(len(rows)), names, fontsize=7)
    axis.set(xscale="log", xlabel="times better than the target (dashed); filled: met")
    axis.set_ylim(-0.7, len(rows) - 0.3)
    left, right = axis.get_xlim()
    axis.set_xlim(left, 6 * right)  # room for the texts
    return drawn


def _times_better(row, key) -> float:
    value = row["value"][key]
    if not row["at_least"]:  # a difference may be nothing at all, or negative
        value = max(value, 0.1 * row["target"])
    return value / row["target"] if row["at_least"] else row["target"] / value
