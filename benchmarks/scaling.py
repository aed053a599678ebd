"""How time grows with the size of the work, how fast the scripts start, what torchrun costs.

Growth: seconds of each size, the median of three after one that warms up; the exponent is that of
the larger half of the sizes, and 1 means in proportion.
Start: a fresh Python that draws, against one that imports torch and matplotlib.
torchrun: an epoch of ex_1b.py in 2 processes of one thread against 1 process of two.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import ex_1b
from benchmarks.epoch import loss_of
from benchmarks.timing import alternate, ratios, row
from common import ebm, langevin
from common.digits import data as digit_data
from common.digits import model as digit_model
from common.light_curves import microlensing
from common.runtime import files, script
from common.runtime.errors import InputError

AXES = {  # what grows: (smoke sizes, sizes, the size that the exercises use)
    "digits a batch": ((16, 32, 64), (64, 256, 1024, 4096), 256),
    "pixels along a map": ((50, 100, 200), (500, 1000, 2000, 4000), 5000),
    "stars in the field": ((10, 40, 160), (400, 1600, 6400, 25600), 6366),
    "light curves": ((20, 40, 80), (1000, 4000, 16000, 64000), 2000),
    "Langevin chains": ((20, 40, 80), (1000, 4000, 16000, 64000), 1000),
}


def work_of(axis: str, size: int):
    """Return a function that does the work of `axis` once, of size `size`."""
    if axis == "digits a batch":
        model = digit_model.build(**digit_model.architecture(ex_1b.Settings()))
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        x, y = (torch.rand(size, 784) < 0.2).float(), torch.arange(size) % 10

        def step():
            optimizer.zero_grad()
            loss_of(model, x, y).backward()
            optimizer.step()

        return step
    if axis == "pixels along a map":
        field = microlensing.star_field(width=25.0)
        return lambda: microlensing.magnification_map(field, size)
    if axis == "stars in the field":  # the same number of rays for all
        field = microlensing.star_field(width=float(np.sqrt(size * np.pi / 2)))
        return lambda: microlensing.magnification_map(field, 1000)
    if axis == "light curves":
        mu = np.ones((1000, 1000))
        return lambda: microlensing.read_tracks(mu, 25.0, microlensing.tracks(size, 25.0, 4.5, 300))
    model, x = ebm.LogDensity().requires_grad_(False), torch.randn(size, 2)
    return lambda: langevin.langevin(x, model.score, 0.01, 20)


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


def run(command, **environment) -> str:
    """Run Python with `command` in the project's folder; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(files.ROOT), **environment}
    done = subprocess.run([sys.executable, *map(str, command)], env=environment, cwd=files.ROOT,
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        raise InputError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-300:]}")
    return done.stdout


def train(threads: int, smoke: bool, data_dir: str) -> float:
    """Train ex_1b.py for an epoch, in each of torchrun's processes; return the seconds."""
    size = dict(width=32, channels=8, latent=4, components=2, batch=100) if smoke else {}
    settings = ex_1b.Settings(epochs=1, threads=threads, device="cpu", **size)
    device, data = script.start(settings), digit_data.load(data_dir, 1500 if smoke else None)
    return ex_1b.fit(data, settings, device)[1]["seconds"]


def epoch(processes: int, settings) -> float:
    """Return the seconds of `train` in so many processes of 2 / `processes` threads."""
    launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    root = str(Path(settings.data_dir).resolve()) if settings.data_dir else ""
    more = [2 // processes, int(settings.smoke), root]
    return float(run(["-m", *(launch if processes > 1 else []), "benchmarks.scaling", *more]))


def measure(settings, device) -> dict:
    """Measure growth, start and torchrun."""
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
        times = {n: [epoch(n, settings) for _ in range(settings.repeats)] for n in (1, 2)}
    rows.append(row("2 processes x 1 thread, ex_1b", "1 process x 2 threads",
                    ratios(times[1], times[2]), unit="of its speed"))  # fmt: skip
    return {"rows": rows, "growth": found, "seconds": seconds, "epoch_seconds": times}


if __name__ == "__main__":
    print(train(int(sys.argv[1]), sys.argv[2] == "1", sys.argv[3]))
