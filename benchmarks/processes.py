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
from contextlib import contextmanager

from benchmarks.timing import alternate, ratios, row
from common.runtime import files
from common.runtime.errors import InputError

STEPS = """
import sys, time, torch, ex_1b
from common.digits.data import Digits
from common.runtime import distributed
threads, steps, batch = map(int, sys.argv[1:])
torch.set_num_threads(threads)
images = torch.zeros(batch * steps, 28, 28, dtype=torch.uint8)
labels = torch.zeros(len(images), dtype=torch.long)
data = Digits(images, labels, images[:1], labels[:1], "black")
for n in (1, steps):
    part = Digits(images[: n * batch], labels[: n * batch], images[:1], labels[:1], "black")
    started = time.perf_counter()
    ex_1b.fit(part, ex_1b.Settings(epochs=1, batch=batch), torch.device("cpu"))
    seconds = time.perf_counter() - started
if distributed.is_main():
    print(seconds)
"""
SETTINGS = {  # name: (environment, threads)
    "as it is": ({}, 2),
    "OMP_WAIT_POLICY=passive": ({"OMP_WAIT_POLICY": "passive"}, 2),
    "--threads 1": ({}, 1),
}


def run(command, environment=(), launcher=()) -> str:
    """Run Python with `command` in the project's folder; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(files.ROOT), **dict(environment)}
    done = subprocess.run([sys.executable, *launcher, *map(str, command)], env=environment,
                          cwd=files.ROOT, capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        raise InputError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-300:]}")
    return done.stdout


@contextmanager
def busy_core():
    """Keep one core busy with another process."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def start_rows(settings) -> list:
    """Compare the start of the scripts that draw with bare imports."""
    with tempfile.TemporaryDirectory() as out:
        draws = {"ex_1c.py 2023": ["ex_1c.py", "2023", "--out-dir", out],
                 "ex_2c.py --p 0.3": ["ex_2c.py", "--p", "0.3", "--out-dir", out]}  # fmt: skip
        sides = {"bare": lambda: run(["-c", "import torch, matplotlib"])}
        sides |= {name: lambda c=command: run(c) for name, command in draws.items()}
        seconds = alternate(sides, settings.repeats)
    rows = []
    for name in draws:
        more = [a - b for a, b in zip(seconds[name], seconds["bare"], strict=True)]
        work = (f"python {name}", "import torch, matplotlib")
        rows.append(row(*work, more, 0.5, at_least=False, unit="s more"))
    return rows


def training_seconds(settings, name: str, processes: int = 1) -> float:
    """Return seconds of the training steps with the settings called `name`, in a new process."""
    environment, threads = SETTINGS[name]
    size = (2, 16) if settings.smoke else (20, 256)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "steps.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(STEPS)
        several = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
        launcher = several if processes > 1 else ()
        said = run([path, threads, *size], environment, launcher)
    return float(said.split()[-1])


def measure(settings, device) -> dict:
    """Measure starts, the training beside a busy core, and two processes."""
    rows, seconds = start_rows(settings), {}
    names = list(SETTINGS)[:1] if settings.smoke else list(SETTINGS)
    for turn in range(settings.repeats):
        for name in names[:: 1 if turn % 2 == 0 else -1]:
            seconds.setdefault(f"{name}, quiet", []).append(training_seconds(settings, name))
            with busy_core():
                seconds.setdefault(f"{name}, busy", []).append(training_seconds(settings, name))
        two = training_seconds(settings, "--threads 1", 2)
        seconds.setdefault("two processes", []).append(two)
    quiet = seconds["as it is, quiet"]
    for name in names:
        busy = seconds[f"{name}, busy"]
        rows.append(row(f"training beside a busy core, {name}", "quiet, as it is",
                        ratios(busy, quiet), 2.5, at_least=False, unit="of its time"))  # fmt: skip
        if name != "as it is":
            own = ratios(seconds[f"{name}, quiet"], quiet)
            rows.append(row(f"training, {name}", "quiet, as it is", own, unit="of its time"))
    rows.append(row("training by two processes", "one of two threads",
                    ratios(seconds["two processes"], quiet), unit="of its time"))  # fmt: skip
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {"rows": rows, "seconds": seconds, "medians": medians}
