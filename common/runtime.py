"""Seed, threads, device, number format, and how a script ends."""

import ctypes
import math
import os
import random
import signal
import sys
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch

from common import processes
from common.settings import InputError


def available_cores() -> int:
    """Count the cores this process may really use: its affinity and its container's quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or the quota is "max"
        return cores


def start(settings) -> torch.device:
    """Seed every generator, set the threads, and return the device that `settings` asks for.

    settings: has `seed`, `threads` and `device`.  Raises InputError for a device that is not here.
    Under torchrun it also joins the other processes, with which it shares the cores.
    """
    processes.join()
    keep_freed_memory()
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    share = max(1, available_cores() // processes.on_this_machine())
    torch.set_num_threads(settings.threads or share)
    device = pick_device(settings.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def keep_freed_memory() -> bool:
    """Let glibc keep up to 256 MiB that were freed; return whether this system has its malloc.

    By default it hands large tensors back at once, and the next step asks for them anew: a fifth
    of the time of decoding goes to page faults then.  Numbers do not change.  (mallopt(3).)
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # musl, macOS, Windows
        return False
    trim_threshold, top_pad, mmap_threshold = (-1, 2**28), (-2, 2**26), (-3, 2**25)  # malloc.h
    done = [mallopt(*one) for one in (mmap_threshold, trim_threshold, top_pad)]
    return all(done)


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is the accelerator that is there, else the CPU."""
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        name = found.type if found is not None else "cpu"
    if name == "cuda":
        name = processes.own_gpu()
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"--device {name}: not usable here ({reason}); try --device cpu") from None
    return device


def fast_bfloat16(device: torch.device) -> bool:
    """Tell whether `device` has bfloat16 matrix instructions (AVX-512 BF16, AMX, a recent GPU).

    A property of the hardware, not a timing, so that the same machine gives the same results.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return False


def autocast(device: torch.device, enabled: bool = True):
    """Return the context in which matrix products run in bfloat16, where that is fast.

    Only products are rounded (8 bits of mantissa); sums inside a product, weights, losses and
    the optimiser stay in float32.
    """
    if enabled and fast_bfloat16(device):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def seed(number: int):
    """Seed torch's generators; torch.manual_seed does the same and takes 0.3 ms, once a step."""
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)


def hardware(device: torch.device) -> str:
    """Describe where a number was measured: processor, threads, torch version."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{torch.cpu.get_capabilities().get('cpu_name', device.type)}"
        name += f", {torch.get_num_threads()} threads"
    if processes.count() > 1:
        name += f" in each of {processes.count()} processes"
    return f"{name}, torch {torch.__version__}"


def _terminate(signum, frame):
    raise KeyboardInterrupt if signum == signal.SIGINT else SystemExit(128 + signum)


@contextmanager
def signals_between_steps():
    """Collect Ctrl-C and SIGTERM in the list this yields, so that a loop can stop between steps.

    A second signal of the same kind interrupts at once.  Handlers are put back at the end.
    Under torchrun, which sends several while it ends a run, neither: the state is to be saved.
    """
    caught, several = [], processes.count() > 1

    def note(signum, frame):
        if signum in caught and not several:
            _terminate(signum, frame)
        caught.append(signum)

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        ending = several and sys.exc_info()[0] is not None
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if ending else handler)


def stop(signum: int):
    """End as the signal `signum` asks for: raise what `run` turns into exit status 130 or 143."""
    _terminate(signum, None)


def run(main) -> None:
    """Run a script's `main`: one line instead of a traceback, and a clean end on a signal.

    Exit status: 0; 2 for bad input; 130 after Ctrl-C; 143 after SIGTERM.
    """
    signal.signal(signal.SIGTERM, _terminate)
    script = Path(sys.argv[0])
    script = script.parent.name if script.name == "__main__.py" else script.name
    try:
        main()
    except InputError as error:
        sys.exit(_say(f"{script}: error: {error}", getattr(error, "status", 2)))
    except RuntimeError as error:
        if not processes.is_loss(error):
            raise
        sys.exit(_say(f"{script}: error: another process of the run has ended", 1))
    except KeyboardInterrupt:
        sys.exit(_say(f"{script}: stopped by Ctrl-C", 130))
    except BrokenPipeError:  # `python ex_1c.py 1 | head -0`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    processes.leave()


def _say(line: str, status: int) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, while this process ends anyway
    if processes.speaks():
        # torchrun's processes but the first have fallen silent; of one failure any may tell
        told = sys.__stderr__ if int(os.environ.get("WORLD_SIZE", 1)) > 1 else sys.stderr
        told.write(line.replace("\n", " ") + "\n")
    return status
