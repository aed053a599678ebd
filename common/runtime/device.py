"""Accelerators and number formats: what this machine has."""

import os

import torch

from common.runtime import distributed
from common.runtime.errors import InputError


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is a CUDA GPU if there is one, else the CPU.

    Under torchrun "cuda" is the GPU of this process.  Raises InputError for one that is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"  # mps has no float64
    if name == "cuda" and distributed.world_size() > 1:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
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
    has = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def autocast(device: torch.device, enabled: bool = True):
    """Return the context in which matrix products run in bfloat16, where that is fast.

    Only products are rounded (8 bits of mantissa); sums inside a product, weights, losses and
    the optimiser stay in float32.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled and fast_bfloat16(device))


def hardware(device: torch.device) -> str:
    """Describe where a number was measured: processor, threads, torch version."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        name = torch.cpu.get_capabilities().get("cpu_name", device.type)
        name += f", {threads} thread{'s' * (threads > 1)}"
    if distributed.world_size() > 1:
        name += f" in each of {distributed.world_size()} processes"
    return f"{name}, torch {torch.__version__}"
