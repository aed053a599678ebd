"""The processes that torchrun starts for one run: shares of a batch, means over all, one voice.

    torchrun --standalone --nproc-per-node=2 ex_1b.py

Every process holds the whole model and data, takes its rows of the same batch, and averages its
gradients with the others' (PyTorch's DistributedDataParallel; gloo on CPUs, NCCL on GPUs).  The
first process, the leader, writes.  Without torchrun there is one process, and nothing of this
happens.
"""

import os
import sys
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from common.settings import InputError

PATIENCE = timedelta(hours=2)  # of those that wait while the leader measures
_store = {}


class LostProcess(InputError):
    """Another process of the run has ended."""

    status = 1


def join() -> None:
    """Join the other processes, if torchrun started this one; those but the leader fall silent."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, number, size = next(dist.rendezvous("env://"))
    dist.init_process_group(backend, store=store, rank=number, world_size=size, timeout=PATIENCE)
    _store["said"] = dist.PrefixStore("said", store)
    if not leads():
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  until the process ends


def leave() -> None:
    """Leave the other processes, at the end of the run."""
    if dist.is_initialized():
        dist.destroy_process_group()


def count() -> int:
    """Return the number of processes of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def leads() -> bool:
    """Tell whether this is the first process, the one that writes files."""
    return rank() == 0


def on_this_machine() -> int:
    """Return the number of processes that share this machine's cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def own_gpu() -> str:
    """Return "cuda:N", N the number of this process on its machine; "cuda" without torchrun."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if count() > 1 else "cuda"


def own_rows(*tensors):
    """Return this process's share of the rows of each tensor, which all processes have alike.

    Draw what is random for the whole batch, then take the share: the run then does not depend on
    the number of processes.  Raises InputError when the rows cannot be shared out evenly.
    """
    rows = own_share(len(tensors[0]))
    share = slice(rank() * rows, (rank() + 1) * rows)
    return tuple(tensor[share] for tensor in tensors)


def total(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor over the processes, on every one of them."""
    if count() > 1:
        values = values.detach().clone()
        dist.all_reduce(values)
    return values


def own_share(number: int) -> int:
    """Return this process's part of `number` things; raise InputError if it does not divide."""
    if number % count():
        raise InputError(f"{number} for {count()} processes: choose a multiple (--batch)")
    return number // count()


def wait() -> None:
    """Wait until every process has come here."""
    total(torch.zeros(1))


def from_leader(make):
    """Return what make() gives on the leader, on every process; it is called there alone."""
    box = [make() if leads() else None]
    if count() > 1:
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


@contextmanager
def leader_first():
    """Run the block on the leader, then on the others: for what is made once, then read."""
    if not leads():
        wait()
    try:
        yield
    finally:
        if leads():
            wait()


class _Terms(nn.Module):
    def __init__(self, model, loss_terms):
        super().__init__()
        self.model, self.loss_terms = model, loss_terms

    def forward(self, step):
        return self.loss_terms(step)


def together(model, loss_terms, partial: bool):
    """Return `loss_terms` such that backward() averages the gradients of `model` over processes.

    partial: whether some parameters may have no gradient in some steps.
    """
    if count() == 1:
        return loss_terms
    return nn.parallel.DistributedDataParallel(
        _Terms(model, loss_terms), forward_sync_buffers=False, find_unused_parameters=partial
    )


def is_loss(error: BaseException) -> bool:
    """Tell whether `error` says that another process is gone."""
    words = ("gloo", "NCCL", "Connection", "Broken pipe", "connectFullMesh")
    known = isinstance(error, dist.DistError) or any(word in str(error) for word in words)
    return count() > 1 and isinstance(error, RuntimeError) and known


def speaks() -> bool:
    """Tell whether this process is the first to ask: of one failure, one message."""
    if "said" not in _store:
        return True
    try:
        return _store["said"].add("end", 1) == 1
    except RuntimeError:  # torchrun itself is gone
        return leads()
