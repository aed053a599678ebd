"""benchmarks/results.json, and the table that benchmarks/README.md shows of it."""

from common.runtime import results


def merge(path, name: str, entry: dict) -> dict:
    """Put `entry` under `name` into the JSON at `path`; what else is there stays.  Return all."""
    everything = results.read_json(path)
    everything[name] = results.to_json(entry)
    results.save_json(path, everything)
    return everything


def table(everything: dict) -> list[str]:
    """Return the rows of the table in benchmarks/README.md: work, against, measured, aim."""
    rows = []
    for row in (row for name in sorted(everything) for row in everything[name]["rows"]):
        value, sign = row["value"], "≥" if row["at_least"] else "≤"
        aim = "–" if row["target"] is None else f"{sign} {row['target']:g}"
        many = f"{value['median']:.3g} {row['unit']} ({value['min']:.3g}–{value['max']:.3g})"
        rows.append(f"| {row['work']} | {row['against']} | {many} | {aim} |")
    return rows
