"""The processes that torchrun starts for one training (ex_1b.py, ex_2b.py).

    torchrun --standalone --nproc-per-node=2 ex_1b.py

Each process holds the whole model and data, draws the random numbers of the whole batch, takes
its rows, and averages its gradients with the others' (DistributedDataParallel; gloo on CPUs, NCCL
on GPUs).  The main process writes.  Without torchrun there is one process, and nothing happens.
"""

import os
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from common.runtime.errors import InputError


def init() -> None:
    """Join the other processes if torchrun started this one; those but the main fall silent."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=timedelta(hours=2))  # while the main one measures
        if not is_main():
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  until the process ends


def world_size() -> int:
    """Return the number of processes of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Tell whether this is the process that writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def shard(*tensors):
    """Return this process's rows of each tensor; all processes hold the same whole tensors.

    Raises InputError when the rows cannot be shared out evenly.
    """
    if world_size() == 1:
        return tensors
    if len(tensors[0]) % world_size():
        raise InputError(f"--batch {len(tensors[0])}: must be a multiple of {world_size()}")
    return tuple(tensor.chunk(world_size())[dist.get_rank()] for tensor in tensors)


def all_reduce(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over torchrun's processes, on every one of them."""
    values = values.detach().clone()
    dist.all_reduce(values)
    return values / world_size()


class _Terms(nn.Module):
    def __init__(self, model, loss_terms):
        super().__init__()
        self.model, self.loss_terms = model, loss_terms

    def forward(self, step):
        return self.loss_terms(step)


def wrap_ddp(model, loss_terms, find_unused: bool):
    """Return `loss_terms` such that backward() averages the gradients of `model`.

    find_unused: whether some parameters have no gradient in some steps.
    """
    if world_size() == 1:
        return loss_terms
    return nn.parallel.DistributedDataParallel(
        _Terms(model, loss_terms), forward_sync_buffers=False, find_unused_parameters=find_unused
    )
