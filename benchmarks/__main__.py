"""Compare this project's fast paths with the usual ones, side by side.

    python -m benchmarks                lists the comparisons
    python -m benchmarks chains         runs one, or several
    python -m benchmarks all            runs all

Writes benchmarks/results.json: an entry for each comparison, kept until it is measured again.
Both sides run by turns, at least five times; a ratio is the median over the rounds with the least
and the greatest.  Chains need requirements-bench.txt.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

from benchmarks import timing
from common.runtime import results, script
from common.runtime.device import hardware
from common.runtime.errors import InputError
from common.runtime.options import Common, option, parse

from joblib import cpu_count

NAMES = {  # module of the package: what it compares
    "likelihood": "NLL of test digits: 5000 samples of the encoder's q, a refined q",
    "chains": "1000 Langevin chains: torchebm, this project",
    "magnification": "a ray of a magnification map: direct sum over stars, this project",
    "scaling": "growth with the size of the work",
    "processes": "start of the scripts, a busy machine, two processes",
}


@dataclass(frozen=True)
class Settings(Common):
    """What is compared."""

    names: tuple = option((), "comparisons, or all; none lists them")
    repeats: int = option(5, "rounds", minimum=1, maximum=1000, smoke=1)


def compare(name: str, settings) -> dict:
    """Run one comparison; write and return its entry, print its rows."""
    device = script.start(settings)
    entry = importlib.import_module(f"benchmarks.{name}").measure(settings, device)
    entry |= {"hardware": hardware(device), "smoke": settings.smoke, "cores": cpu_count()}
    path = Path(settings.out_dir) / "benchmarks/results.json"
    results.save_json(path, results.read_json(path) | {name: entry})
    print(*timing.table({name: entry}), sep="\n", flush=True)
    print(f"{path}: {name}; {entry['hardware']}", flush=True)
    return entry


def main(argv=None) -> dict:
    """List the comparisons, or run those that are named."""
    settings = parse(Settings, __doc__, argv, positional=("names", "NAME", "*"))
    if not settings.names:
        print(*(f"{name:14s} {what}" for name, what in NAMES.items()), sep="\n")
    names = list(NAMES) if settings.names == ("all",) else settings.names
    if unknown := set(names) - set(NAMES):
        raise InputError(f"{', '.join(unknown)}: no comparison: choose from {', '.join(NAMES)}")
    return {name: compare(name, settings) for name in names}


if __name__ == "__main__":
    script.run(main)
