"""How time grows with the size of the work, and how fast the scripts start.

Growth: seconds of each size, the median of three after one that warms up; the exponent is that of
the larger half of the sizes, and 1 means in proportion.
Start: a fresh Python that draws, against one that imports torch and matplotlib.
"""

import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.timing import alternate, row
from common.light_curves import microlensing
from common.runtime import files
from common.runtime.errors import InputError

import numpy as np

AXES = {  # what grows: (smoke sizes, sizes, the size that the exercises use)
    "pixels along a map": ((50, 100, 200), (500, 1000, 2000, 4000), 5000),
    "stars in the field": ((10, 40, 160), (400, 1600, 6400, 25600), 6366),
}


def work_of(axis: str, size: int):
    """Return a function that does the work of `axis` once, of size `size`."""
    if axis == "pixels along a map":
        field = microlensing.star_field(width=25.0)
        return lambda: microlensing.magnification_map(field, size)
    field = microlensing.star_field(width=float(np.sqrt(size * np.pi / 2)))
    return lambda: microlensing.magnification_map(field, 1000)  # the same number of rays for all


def exponent(sizes, values) -> float:
    """Return b of values ~ sizes^b over the larger half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def growth(settings) -> dict:
    """Measure every size of every axis: {axis: {"sizes", "seconds", "exponent_seconds"}}."""
    found = {}
    for axis, (small, large, used) in AXES.items():
        sizes = small if settings.smoke else large
        seconds = []
        for size in sizes:
            times = alternate({"work": work_of(axis, size)}, 3)["work"]
            seconds.append(statistics.median(times))
        found[axis] = {"sizes": sizes, "seconds": seconds, "used": used}
        found[axis]["exponent_seconds"] = exponent(sizes, seconds)
    return found


def run(command) -> str:
    """Run Python with `command` in the project's folder; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(files.ROOT)}
    done = subprocess.run([sys.executable, *map(str, command)], env=environment, cwd=files.ROOT,
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        raise InputError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-300:]}")
    return done.stdout


def measure(settings, device) -> dict:
    """Measure growth and start."""
    found = growth(settings)
    rows = [row(axis, "its size", [entry["exponent_seconds"]], unit="exponent of seconds")
            for axis, entry in found.items()]  # fmt: skip
    with tempfile.TemporaryDirectory() as out:
        draws = {"ex_1c.py 2023": ["ex_1c.py", "2023", "--out-dir", out],
                 "ex_2c.py --p 0.3": ["ex_2c.py", "--p", "0.3", "--out-dir", out]}  # fmt: skip
        sides = {"bare": lambda: run(["-c", "import torch, matplotlib"])}
        sides |= {name: lambda c=command: run(c) for name, command in draws.items()}
        seconds = alternate(sides, settings.repeats)
        for name in draws:
            more = [a - b for a, b in zip(seconds[name], seconds["bare"], strict=True)]
            rows.append(row(f"python {name}", "import torch, matplotlib", more, 1.0,
                            at_least=False, unit="s more"))  # fmt: skip
    return {"rows": rows, "growth": found, "seconds": seconds}
