"""Two processes of one thread against one process of two: exercise 1(b), one epoch, by torchrun.

Both do the same batches of 256 digits.  Beside the two: what a step spends on averaging gradients
when nothing overlaps it (the communication share), and on random numbers, which every process
draws for the whole batch.  `project` extends that to 8 GPUs and to 100 hosts: a PROJECTION, its
assumptions beside it, nothing of it measured.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import ex_1b
from benchmarks import dense
from benchmarks.timing import alternate, ratios, row, spread
from common import artifacts, cvae, digits, mnist, processes, runtime
from common.settings import InputError

BATCH = ex_1b.Settings.batch
ASSUMED = {  # per device: useful operations a second, floor of a step, and the network between them
    "8 GPUs": {"devices": 8, "tflop_s": 100.0, "floor_s": 2e-3, "gb_s": 300.0, "latency_s": 1e-5},
    "100 hosts": {"devices": 100, "tflop_s": None, "floor_s": 0.0, "gb_s": 1.25, "latency_s": 5e-5},
}


def worker() -> None:
    """Train for one epoch in this process (one of torchrun's, or alone); print the timings."""
    small, threads = os.environ["BENCH_SMOKE"] == "1", int(os.environ["BENCH_THREADS"])
    size = dict(width=32, channels=8, latent=4, components=2, batch=100) if small else {}
    settings = ex_1b.Settings(epochs=1, threads=threads, device="cpu", **size)
    device = runtime.start(settings)
    data = mnist.load(os.environ["BENCH_DATA"], limit=1500 if small else None)
    model, history = ex_1b.fit(data, settings, device)
    steps = max(1, len(data.train_images) // settings.batch)
    count = sum(parameter.numel() for parameter in model.parameters())
    gradient, images = torch.zeros(count), data.train_images[: settings.batch]
    found = {
        "step_s": history["seconds"] / steps,
        "averaging_s": clock(lambda: processes.total(gradient)),
        "random_numbers_s": clock(lambda: mnist.binarise(mnist.shift(images, 1))),
        "parameters": count, "negative_elbo_nats": dense.test_loss(model, data),
    }  # fmt: skip
    if processes.leads():
        print(json.dumps(found))


def clock(function, times: int = 10) -> float:
    """Return the seconds of one call, the mean of `times`."""
    function()
    started = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - started) / times


def run(settings, count: int, threads: int) -> dict:
    """Run `worker` in `count` processes of `threads` threads; return what it found."""
    root = str(Path(settings.data_dir).resolve()) if settings.data_dir else ""
    environment = {**os.environ, "PYTHONPATH": str(artifacts.ROOT), "BENCH_DATA": root}
    environment |= {"BENCH_SMOKE": str(int(settings.smoke)), "BENCH_THREADS": str(threads)}
    launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m"]
    command = [sys.executable, "-m", *(launch if count > 1 else []), "benchmarks.processes"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{count} processes: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def operations() -> float:
    """Return the floating-point operations of one step of ex_1b's training, a batch of 256."""
    shape = digits.shape_of(ex_1b.Settings())
    model = digits.build(**shape)
    with FlopCounterMode(display=False) as counter:
        terms = cvae.elbo_terms(model, torch.zeros(BATCH, 784), torch.arange(BATCH) % 10)
        sum(terms).mean().backward()
    return float(counter.get_total_flops())


def project(measured: dict, assumed: dict, flops: float, grown: bool) -> dict:
    """PROJECT the efficiency of `assumed` devices from a step `measured` on one process; no timing.

    A step is its operations, divided among the devices; random numbers of the whole batch, not
    divided; and a ring that averages the gradients: 2 (N - 1) / N of their bytes over the slowest
    link, and 2 (N - 1) latencies.  grown: the batch grows with N, instead of being shared.
    """
    n, random = assumed["devices"], measured["random_numbers_s"]
    own = measured["step_s"] - random  # of one device with a whole batch
    if assumed["tflop_s"]:
        own, random = flops / (1e12 * assumed["tflop_s"]), 0.0  # drawn on the GPU, in its floor
    batches = n if grown else 1
    compute = max(own * batches / n, assumed["floor_s"])
    ring = 2 * (n - 1) / n * 4 * measured["parameters"] / (1e9 * assumed["gb_s"])
    parts = {"compute_s": compute, "random_numbers_s": random * batches,
             "averaging_s": ring + 2 * (n - 1) * assumed["latency_s"]}  # fmt: skip
    step, alone = sum(parts.values()), max(own, assumed["floor_s"]) + random
    found = parts | {"step_s": step, "speedup_over_one_device": batches * alone / step}
    found["efficiency"] = found["speedup_over_one_device"] / n
    at_floor = own * batches / n < assumed["floor_s"]
    limits = {"random numbers of the whole batch": parts["random_numbers_s"],
              "averaging gradients": parts["averaging_s"],
              "the floor of a step (launching kernels)": compute * at_floor}  # fmt: skip
    return found | {"saturates_first": max(limits, key=limits.get)}


def measure(settings, device) -> dict:
    """Time both by turns; project."""
    runs = {(2, 1): [], (1, 2): []}
    sides = {key: lambda key=key: runs[key].append(run(settings, *key)) for key in runs}
    alternate({str(key): side for key, side in sides.items()}, settings.repeats)
    two, one = (rows[1:] for rows in runs.values())  # the first of each was the warm-up
    step = {"2 x 1": [r["step_s"] for r in two], "1 x 2": [r["step_s"] for r in one]}
    share = [r["averaging_s"] / r["step_s"] for r in two]
    rows = [
        row("2 processes x 1 thread, ex_1b", "1 process x 2 threads",
            ratios(step["1 x 2"], step["2 x 1"]), None, unit="of its speed"),
        row("averaging gradients, not overlapped", "a step of 2 x 1", share, None, unit="of it"),
    ]  # fmt: skip
    base, flops = one[-1] | {"step_s": spread(step["1 x 2"])["median"]}, operations()
    projection = {
        f"{name}, {'batch grown with N' if grown else 'the same batch'}":
            project(base, assumed, flops, grown)
        for name, assumed in ASSUMED.items() for grown in (False, True)
    }  # fmt: skip
    nats = {"2 x 1": two[-1]["negative_elbo_nats"], "1 x 2": one[-1]["negative_elbo_nats"]}
    note = "a projection from the model in benchmarks/processes.py, not a measurement"
    return {"rows": rows, "seconds_a_step": step, "negative_elbo_nats": nats,
            "operations_a_step": flops, "projection": projection,
            "projection_is": note, "projection_assumes": ASSUMED}  # fmt: skip


if __name__ == "__main__":
    runtime.run(worker)
