"""How a script starts and ends: seeds, threads and device; one line instead of a traceback."""

import errno
import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from joblib import cpu_count

from common.runtime import distributed, files
from common.runtime.device import pick_device
from common.runtime.errors import InputError


def start(settings) -> torch.device:
    """Seed every generator, set the threads, and return the device that `settings` asks for.

    settings: has `seed`, `threads`, `device` and `out_dir`.  Raises InputError for a device that
    is not here, and for an `out_dir` that cannot be written, before the work is done.
    Under torchrun it also joins the other processes, with which it shares the cores.
    """
    files.check_writable(Path(settings.out_dir) / "new")
    distributed.init()
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    share = max(1, cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    torch.set_num_threads(settings.threads or share)
    device = pick_device(settings.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


@contextmanager
def signals_between_steps():
    """Collect Ctrl-C and SIGTERM in the list this yields, so that a loop can stop between steps.

    A second signal of the same kind interrupts at once, except under torchrun, which sends
    several while it ends a run.  Handlers are put back at the end.
    """
    caught, several = [], distributed.world_size() > 1

    def note(signum, frame):
        if signum in caught and not several:
            stop(signum)
        caught.append(signum)

    if threading.current_thread() is not threading.main_thread():  # a server's, a window's
        yield caught
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop(signum: int, frame=None):
    """End as the signal `signum` asks for: raise what `run` turns into exit status 130 or 143."""
    raise KeyboardInterrupt if signum == signal.SIGINT else SystemExit(128 + signum)


def run(main) -> None:
    """Run a script's `main`: one line instead of a traceback, and a clean end on a signal.

    Exit status: 0; 2 for bad input; 130 after Ctrl-C; 143 after SIGTERM; 1 when another process
    of torchrun's is gone.
    """
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: `python ex_1c.py 1 >&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="replace")  # a terminal without Greek letters
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        main()
        sys.stdout.flush()
    except InputError as error:
        _end(f"error: {error}", 2)
    except KeyboardInterrupt:
        _end("stopped by Ctrl-C", 130)
    except RuntimeError as error:
        words = ("gloo", "NCCL", "Connection", "Broken pipe")
        lost = isinstance(error, dist.DistError) or any(word in str(error) for word in words)
        if distributed.world_size() == 1 or not lost:
            raise
        _end("error: another process of the run has ended; add --resume to go on", 1)
    except OSError as error:  # of standard output: files have their own message
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:  # `python ex_1c.py 1 | head -0`
            sys.exit(141)
        _end(f"error: standard output: {error.strerror}", 2)
    if dist.is_initialized():
        dist.destroy_process_group()


def _end(what: str, status: int):
    """Leave with `status` after a line on standard error that begins with the script's name."""
    script = Path(sys.argv[0])
    name = script.parent.name if script.name == "__main__.py" else script.name
    sys.stderr.write(f"{name}: {what}".replace("\n", " ") + "\n")
    sys.exit(status)
