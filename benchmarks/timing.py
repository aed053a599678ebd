"""Time things by turns, so that whatever slows the machine slows all of them."""

import statistics
import time


def alternate(sides: dict, repeats: int) -> dict:
    """Call each function of `sides` once, unmeasured, then `repeats` times, by turns.

    The order is reversed in every other round.  Returns {name: [seconds, ...]}.
    """
    seconds = {name: [] for name in sides}
    for function in sides.values():
        function()
    for turn in range(repeats):
        for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
            started = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def spread(values) -> dict:
    """Return the median, the least and the greatest of `values`, and their number."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return {"median": middle, "min": least, "max": most, "repeats": len(values)}


def row(work, against, values, target=None, *, at_least=True, unit="x") -> dict:
    """Return one row of the table: `values` of each round, and the target they are held to.

    at_least: whether more is better.  unit: "x" for a ratio, else in words.
    """
    return {"work": work, "against": against, "unit": unit, "value": spread(values),
            "target": target, "at_least": at_least}  # fmt: skip


def ratios(slow, fast) -> list:
    """Return slow / fast, round by round."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def table(everything: dict) -> list[str]:
    """Return the rows of the table in benchmarks/README.md: work, against, measured, aim."""
    rows = []
    for row in (row for name in sorted(everything) for row in everything[name]["rows"]):
        value = row["value"]
        aim = f"{'≥' if row['at_least'] else '≤'} {row['target']:g}" if row["target"] else "–"
        many = f"{value['median']:.3g} {row['unit']} ({value['min']:.3g}–{value['max']:.3g})"
        rows.append(f"| {row['work']} | {row['against']} | {many} | {aim} |")
    return rows
