"""Shared by the tests: the project's root, running a script as a user would, small data."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import forked
import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER and hasattr(os, "sched_setaffinity"):  # a core for each worker, and what it starts
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(WORKER.removeprefix("gw")) % len(cores)]})
    torch.set_num_threads(1)  # two threads on one core wait for each other


def run_script(arguments, folder, timeout=300, **variables):
    """Run `python ARGUMENTS` in `folder` without MNIST and with one thread; return the result."""
    environment = {k: v for k, v in os.environ.items() if k != "MNIST_ROOT"}
    cache = Path(tempfile.gettempdir()) / f"matplotlib-{os.getuid()}"  # else it may say so
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": str(cache)}
    command = [*map(str, arguments)]
    if hasattr(os, "fork") and not variables and not {"-O", "torch.distributed.run"} & {*command}:
        return forked.run(command, str(folder), environment, timeout)
    environment |= variables
    command = [sys.executable, *command]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
    )


def numbers(name):
    """Return the numbers of the shipped figures/NAME.json."""
    return json.loads((ROOT / f"figures/{name}.json").read_text(encoding="utf-8"))


HEADER = "map_id disc_id k g s p\n"


def random_curves(seed=0):
    return np.random.default_rng(seed).lognormal(size=(3, 300))


@pytest.fixture
def folder(tmp_path):
    """Two files of three curves, as the assignment lays them out."""
    (tmp_path / "12345").mkdir()
    for seed, disc in enumerate(("05", "25")):
        rows = [",".join(map(repr, row)) for row in random_curves(seed).tolist()]
        (tmp_path / f"12345/{disc}.dat").write_text("\n".join(rows) + "\n")
    rows = "12345 5 0.4 0.4 0 0.195695\n12345 25 0.4 0.4 0 5.62\n"
    (tmp_path / "labels.dat").write_text(HEADER + rows)
    return tmp_path


def write_idx(folder, images, labels, part="train"):
    """Write images (n, 28, 28) uint8 and labels (n,) as MNIST's idx files below `folder`."""
    raw = Path(folder) / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    head = struct.pack(">IIII", 2051, *images.shape)
    (raw / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
    head = struct.pack(">II", 2049, len(labels))
    (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.astype(np.uint8).tobytes())
    return raw
