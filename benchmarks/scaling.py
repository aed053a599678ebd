"""How time grows with the size of the work, how fast the scripts start, what torchrun costs.

Growth: seconds (median of three after one that warms up) and peak memory of each size in a process
of its own; the exponent is that of the larger half of the sizes, and 1 means in proportion.
Start: a fresh Python that draws, against one that imports torch and matplotlib.
torchrun: an epoch of ex_1b.py in 2 processes of one thread against 1 process of two.
"""

import concurrent.futures
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import dense
from benchmarks.timing import alternate, ratios, row
from common import ebm, langevin
from common.light_curves import microlensing
from common.runtime import files
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
        model = dense.build()
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        x, y = (torch.rand(size, 784) < 0.2).float(), torch.arange(size) % 10

        def step():
            optimizer.zero_grad()
            dense.loss_of(model, x, y).backward()
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


def one(axis: str, size: int, threads: int) -> tuple[float, float]:
    """Return (seconds, peak memory of this process in MB) of one size."""
    torch.set_num_threads(threads)
    work, times = work_of(axis, size), []
    for _ in range(4):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exponent(sizes, values) -> float:
    """Return b of values ~ sizes^b over the larger half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def growth(settings, threads: int) -> dict:
    """Measure every size of every axis in a fresh process: {axis: {"sizes", "seconds", ...}}."""
    found, spawn = {}, multiprocessing.get_context("spawn")
    each = None if settings.smoke else 1  # a fresh process for each size, for its own peak
    with concurrent.futures.ProcessPoolExecutor(1, spawn, max_tasks_per_child=each) as pool:
        for axis, (small, large, used) in AXES.items():
            sizes = small if settings.smoke else large
            pairs = [pool.submit(one, axis, size, threads).result() for size in sizes]
            seconds, memory = zip(*pairs, strict=True)
            found[axis] = {"sizes": sizes, "seconds": seconds, "peak_mb": memory, "used": used}
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


def epoch(processes: int, settings, out: str) -> float:
    """Return the seconds of training of one epoch of ex_1b.py in so many processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*(launch if processes > 1 else []), "ex_1b.py", "--out-dir", out, "--force"]
    command += ["--threads", 2 // processes, "--epochs", 1, "--nll-samples", 1, "--nll-every", 100]
    command += ["--smoke"] if settings.smoke else []
    command += ["--data-dir", Path(settings.data_dir).resolve()] if settings.data_dir else []
    run(command)
    return json.loads(Path(out, "figures/ex_1b.json").read_text())["training_seconds"]


def measure(settings, device) -> dict:
    """Measure growth, start and torchrun."""
    found = growth(settings, torch.get_num_threads())
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
        times = {n: [epoch(n, settings, out) for _ in range(settings.repeats)] for n in (1, 2)}
    rows.append(row("2 processes x 1 thread, ex_1b", "1 process x 2 threads",
                    ratios(times[1], times[2]), unit="of its speed"))  # fmt: skip
    return {"rows": rows, "growth": found, "seconds": seconds, "epoch_seconds": times}
