"""What takes a process of its own: starts, a training beside other work, several processes.

Start: a fresh Python that draws, against one that imports torch and matplotlib.
Busy: seconds of 20 training steps of ex_1b.py beside a process that keeps one core busy, against
the same without it; as it is, with OMP_WAIT_POLICY=passive, and with one thread.
torchrun: the same training with two processes of one thread, against one of two threads.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager

import ex_1b
from benchmarks.timing import alternate, ratios, row
from common.digits.data import Digits
from common.runtime import distributed, files
from common.runtime.errors import InputError

import torch

SETTINGS = {  # name: (environment, threads)
    "as it is": ({}, 2),
    "OMP_WAIT_POLICY=passive": ({"OMP_WAIT_POLICY": "passive"}, 2),
    "--threads 1": ({}, 1),
}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def run(command, environment=None) -> str:
    """Run Python with `command` in the project's folder; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(files.ROOT), **(environment or {})}
    command = [sys.executable, *map(str, command)]
    done = subprocess.run(command, env=environment, cwd=files.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{' '.join(command[1:])}: {done.stderr.strip()[-300:]}")
    return done.stdout


@contextmanager
def busy_core():
    """Keep one core busy with another process."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def start_rows(settings) -> list:
    """Compare the start of the scripts that draw with bare imports."""
    bare, rows = "import torch, matplotlib", []
    with tempfile.TemporaryDirectory() as out:
        sides = {bare: lambda: run(["-c", bare])}
        for line in ("ex_1c.py 2023", "ex_2c.py --p 0.3")[: 1 if settings.smoke else 2]:
            sides[line] = lambda line=line: run([*line.split(), "--out-dir", out])
        seconds = alternate(sides, settings.repeats)
    for line in list(sides)[1:]:
        more = [a - b for a, b in zip(seconds[line], seconds[bare], strict=True)]
        rows.append(row(f"python {line}", bare, more, 0.5, at_least=False, unit="s more"))
    return rows


def steps(threads: int, count: int, batch: int) -> float:
    """Return the seconds of `count` training steps of ex_1b.py, after one that is not measured."""
    distributed.init()
    torch.set_num_threads(threads)
    images = torch.zeros(batch * count, 28, 28, dtype=torch.uint8)
    labels = torch.zeros(len(images), dtype=torch.long)
    for n in (batch, len(images)):
        data = Digits(images[:n], labels[:n], images[:1], labels[:1], "black")
        started = time.perf_counter()
        ex_1b.fit(data, ex_1b.Settings(epochs=1, batch=batch), torch.device("cpu"))
    return time.perf_counter() - started


def training_seconds(settings, name: str, launcher=()) -> float:
    """Return `steps` with the settings called `name`, in a new process."""
    environment, threads = SETTINGS[name]
    size = (2, 16) if settings.smoke else (20, 256)
    said = run([*launcher, "-m", "benchmarks.processes", threads, *size], environment)
    return float(said.split()[-1])


def measure(settings, device) -> dict:
    """Measure starts, the training beside a busy core, and two processes."""
    rows, seconds = start_rows(settings), defaultdict(list)
    names = list(SETTINGS)[2:] if settings.smoke else list(SETTINGS)
    for turn in range(settings.repeats):
        for name in names[:: 1 if turn % 2 == 0 else -1]:
            seconds[f"{name}, quiet"].append(training_seconds(settings, name))
            with busy_core():
                seconds[f"{name}, busy"].append(training_seconds(settings, name))
        seconds["two processes"].append(training_seconds(settings, "--threads 1", TORCHRUN))

    def add(work, side, against="quiet, as it is", **aim):
        found = ratios(seconds[side], seconds[f"{names[0]}, quiet"])
        rows.append(row(work, against, found, **aim, unit="of its time"))

    for name in names:
        add(f"training beside a busy core, {name}", f"{name}, busy", target=2.5, at_least=False)
        if name != names[0]:
            add(f"training, {name}", f"{name}, quiet")
    add("training by two processes", "two processes", "one of two threads")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {"rows": rows, "seconds": seconds, "medians": medians}


if __name__ == "__main__":  # run by `run`
    if len(sys.argv) != 4:
        sys.exit("this is `python -m benchmarks processes`")
    print(steps(*map(int, sys.argv[1:])))  # of torchrun's processes the first one speaks
