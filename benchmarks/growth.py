"""How time and memory grow with the size of the work: exponents, and what ten times would take.

Each measurement is a fresh process: the median of three runs after one that warms up, and the peak
memory above what is held after the same work in a tiny size.  Writes benchmarks/growth.png beside
results.json.  The exponent is that of the larger half of the sizes; 1 means in proportion.
"""

import concurrent.futures
import contextlib
import multiprocessing
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks import dense
from benchmarks.timing import row
from common import artifacts, digits, ebm, langevin, microlensing

# what grows: (smoke sizes, sizes, the size that the exercises use)
AXES = {
    "digits a batch": ((16, 32, 64), (64, 256, 1024, 4096, 16384), 256),
    "width of the dense layers": ((16, 32, 64), (128, 256, 512, 1024, 2048), 256),
    "pixels along a map": ((50, 100, 200), (500, 1000, 2000, 4000, 8000), 5000),
    "stars in the field": ((10, 40, 160), (100, 400, 1600, 6400, 25600), 6366),
    "light curves": ((20, 40, 80), (1000, 4000, 16000, 64000), 2000),
    "Langevin chains": ((20, 40, 80), (1000, 4000, 16000, 64000, 256000), 1000),
}


def training_step(model, batch: int):
    """Return a function that does one step of Adam on `batch` made-up digits."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    x, y = (torch.rand(batch, 784) < 0.2).float(), torch.arange(batch) % 10

    def step():
        optimizer.zero_grad()
        dense.loss_of(model, x, y).backward()
        optimizer.step()

    return step


def work_of(axis: str, size: int):
    """Return a function that does the work of `axis` once, of size `size`."""
    if axis == "digits a batch":
        return training_step(dense.build(), size)
    if axis == "width of the dense layers":
        shape = dict(network="dense", channels=1, latent=24, prior="standard", components=1)
        return training_step(digits.build(width=size, **shape), 256)
    if axis == "pixels along a map":
        field = microlensing.star_field(width=25.0)
        return lambda: microlensing.magnification_map(field, size)
    if axis == "stars in the field":  # the same number of rays for all
        field = microlensing.star_field(width=float(np.sqrt(size * np.pi / 2)))
        return lambda: microlensing.magnification_map(field, 1000)
    if axis == "light curves":
        mu = np.ones((1000, 1000))
        return lambda: microlensing.read_tracks(mu, 25.0, microlensing.tracks(size, 25.0, 4.5, 300))
    model, x = ebm.Energy().requires_grad_(False), torch.randn(size, 2)
    return lambda: langevin.langevin(x, model.score, 0.01, 20)


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    try:
        status = Path("/proc/self/status").read_text()  # unlike getrusage, not the parent's
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def one(axis: str, size: int, threads: int) -> tuple[float, int]:
    """Return (seconds, bytes) of one size; run in a process of its own."""
    torch.set_num_threads(threads)
    work_of(axis, AXES[axis][0][0])()  # loads and compiles: memory that does not grow
    with contextlib.suppress(OSError):  # where there is no such file the peak so far counts
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held
    before, times = peak_bytes(), []
    work = work_of(axis, size)
    work()
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times), max(peak_bytes() - before, 1)


def exponent(sizes, values) -> float:
    """Return b of values ~ sizes^b over the larger half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def extrapolated(sizes, values, power: float, size: float) -> float:
    """Return the value at `size`, going on from the largest measured size with the exponent."""
    return float(values[-1] * (size / sizes[-1]) ** power)


def drawn(found: dict) -> Figure:
    """Draw time (above) and memory (below) against each size, with the fitted exponents."""
    figure = Figure((2.6 * len(found), 5.2), dpi=150, layout="constrained")
    axes = figure.subplots(2, len(found), squeeze=False)
    for column, (name, axis) in zip(axes.T, found.items(), strict=True):
        for plot, key, unit in ((column[0], "seconds", "s"), (column[1], "peak_mb", "MB")):
            plot.loglog(axis["sizes"], axis[key], "ko-", ms=3)
            for side in (plot.xaxis, plot.yaxis):
                side.set_minor_formatter(NullFormatter())  # they would overlap
            plot.axvline(axis["used"], color="0.6", ls=":")
            plot.set_title(f"{key.split('_')[0]} ~ size^{axis['exponent_' + key]:.2f}", fontsize=8)
            plot.set(xlabel=name, ylabel=f"[{unit}]")
    figure.suptitle("Growth with the size of the work; dotted: what the exercises use")
    return figure


def measure(settings, device) -> dict:
    """Measure every size of every axis; fit, extrapolate to 10 and 100 times, draw."""
    found, rows, threads = {}, [], torch.get_num_threads()
    spawn = multiprocessing.get_context("spawn")
    each = None if settings.smoke else 1  # a fresh process for each, for its own peak
    with concurrent.futures.ProcessPoolExecutor(1, spawn, max_tasks_per_child=each) as pool:
        for axis, (small, large, used) in AXES.items():
            sizes = small if settings.smoke else large
            pairs = [pool.submit(one, axis, size, threads).result() for size in sizes]
            seconds, memory = [a for a, _ in pairs], [1e-6 * b for _, b in pairs]
            entry = {"sizes": sizes, "seconds": seconds, "peak_mb": memory, "used": used}
            for key, values in (("seconds", seconds), ("peak_mb", memory)):
                power = entry[f"exponent_{key}"] = exponent(sizes, values)
                for times in (1, 10, 100):
                    guess = extrapolated(sizes, values, power, times * used)
                    entry[f"{key}_at_{times}_times_projected"] = guess
                rows.append(row(axis, "its size", [power], unit=f"exponent of {key}"))
            found[axis] = entry
    path = Path(settings.out_dir) / "benchmarks/growth.png"
    artifacts.save_figure(path, drawn(found))
    return {"rows": rows, "growth": found}
