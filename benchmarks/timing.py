"""Time things by turns, so that whatever slows the machine slows all of them."""

import importlib
import statistics
import time

from common.runtime.errors import InputError


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
    values = [float(value) for value in values]
    middle = statistics.median(values)
    return {"median": middle, "min": min(values), "max": max(values), "repeats": len(values)}


def row(work, against, values, target=None, *, at_least=True, unit="x") -> dict:
    """Return one row of the table: `values` of each round, and the target they are held to.

    at_least: whether more is better.  unit: "x" for a ratio, else in words.
    """
    found = {"work": work, "against": against, "unit": unit, "value": spread(values)}
    return found | {"target": target, "at_least": at_least}


def ratios(slow, fast) -> list:
    """Return slow / fast, round by round."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def need(module: str):
    """Import a package that only a comparison needs; raise InputError saying how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise InputError(f"{name} is missing: pip install -r requirements-bench.txt") from error
