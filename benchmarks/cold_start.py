"""From the shell to the picture: ex_1c.py 2023 and ex_2c.py against `import torch, matplotlib`.

Each is a fresh Python; the difference is what the project adds to the two imports nobody can avoid.
ex_2c.py is run twice over: with --p, which draws curves, and without, which also draws figures of
them beside simulated ones.  The simulation, once, is not timed; the distances are those that the
shipped ex_2c.json has of the same curves (to measure them takes 20 seconds more).
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import alternate, row
from common import artifacts, light_curves
from common.settings import InputError

BARE = ["-c", "import torch, matplotlib"]


def run(arguments, threads: int) -> None:
    """Run this Python with `arguments` in the project's folder; raise InputError if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(artifacts.ROOT)}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, cwd=artifacts.ROOT,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise InputError(f"{' '.join(map(str, arguments))}: {done.stderr.strip()[-300:]}")


def commands(settings, out) -> dict:
    """Return {name: arguments of Python}; everything they write goes into the folder `out`."""
    data = Path(light_curves.data_folder(settings)).resolve()
    common = ["--out-dir", out, "--threads", settings.threads]
    found = {
        "bare imports": BARE,
        "ex_1c.py 2023": ["ex_1c.py", "2023", *common],
        "ex_2c.py --p 0.3": ["ex_2c.py", "--p", "0.3", *common],
    }
    if not settings.smoke:
        found["ex_2c.py"] = ["ex_2c.py", "--data-dir", data, *common]
    return found


def measure(settings, device) -> dict:
    """Time all of them, cold."""
    with tempfile.TemporaryDirectory() as out:
        sides = {
            name: lambda a=arguments: run(a, settings.threads)
            for name, arguments in commands(settings, out).items()
        }
        seconds = alternate(sides, settings.repeats)
    bare, rows = seconds["bare imports"], []
    for name in list(sides)[1:]:
        more = [a - b for a, b in zip(seconds[name], bare, strict=True)]
        rows.append(row(f"python {name}", "import torch, matplotlib", more, 1.0,
                        at_least=False, unit="s more"))  # fmt: skip
    return {"rows": rows, "seconds": seconds}
