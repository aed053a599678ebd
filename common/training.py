"""The one training loop: schedule, progress bar, history, resume, clean end on a signal.

The randomness of step t depends on (seed, t) alone: the generators are seeded anew at each step.
A resumed run therefore goes on exactly as the uninterrupted one would have.
"""

import functools
import math
import signal
import sys
import time
from contextlib import contextmanager

import torch
from tqdm import tqdm

from common import artifacts, processes, resume, runtime
from common.settings import InputError


def one_cycle(step: int, steps: int, warmup: float = 0.05) -> float:
    """Return the factor on the learning rate at `step`: linear warm-up, then half a cosine to 0."""
    rise = max(1.0, warmup * steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))


def step_seed(seed: int, step: int) -> int:
    """Mix (seed, step) into one 62-bit seed: neighbouring pairs give unrelated streams."""
    x = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**64
    x = ((x ^ (x >> 31)) * 0xD6E8FEB86659FD93) % 2**64
    return (x ^ (x >> 32)) >> 2


def own_random_numbers(seed: int, step: int) -> None:
    """Give this process other random numbers in `step` than torchrun's other processes have."""
    if processes.count() > 1:
        torch.manual_seed(step_seed(step_seed(seed, step), 1 + processes.rank()))


def batch_indices(n: int, size: int, step: int, seed: int) -> torch.Tensor:
    """Return the (size,) indices of batch `step`: each epoch is one permutation of range(n).

    The last n mod size examples of an epoch's permutation are left out of that epoch.
    """
    size = min(size, n)
    epoch, position = divmod(step, n // size)
    return _permutation(n, seed, epoch)[position * size : (position + 1) * size]


@functools.lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step_seed(seed, -1 - epoch))
    return torch.randperm(n, generator=generator)


def clip_to_running_norm(optimizer, factor: float = 2.0, memory: float = 0.98) -> None:
    """Let each step of `optimizer` scale gradients longer than `factor` times their running norm.

    The running norm lives in the optimiser's first group, so that --resume finds it again.
    """

    def clip(optimizer, *_):
        group = optimizer.param_groups[0]
        used = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        limit = factor * group["norm"] if "norm" in group else math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(used, limit, foreach=True))
        kept = min(norm, limit)
        group["norm"] = memory * group.get("norm", kept) + (1 - memory) * kept

    optimizer.register_step_pre_hook(clip)


def train(
    model, loss_terms, optimizer, *, steps, seed, rate=one_cycle, state=None, shared=None,
    lower="--learning-rate",
) -> dict:  # fmt: skip
    """Minimise loss_terms(step)["loss"] for `steps` steps; return the history.

    model: the module trained.  loss_terms: step -> dict of scalar tensors, "loss" among them.
    optimizer: its groups' learning rates are multiplied by rate(step, steps).
    state: a `resume.State` that is saved now and then, or None.
    shared: None, or how torchrun's processes train together: each has the same random numbers, and
    loss_terms takes its `processes.own_rows`; "all" parameters have a gradient in each step, or
    "some".
    lower: the flag to lower when a term is not finite.
    Returns {"step": [...], term: [...], "seconds": float, "hardware": str}, each entry of a list a
    mean over 1 % of the steps.
    Raises InputError when a term is not finite; ends as the signal asks after Ctrl-C or SIGTERM.
    """
    state = state or resume.State(None, {})
    state.begin(model, optimizer)
    base = [group["lr"] for group in optimizer.param_groups]
    started = time.monotonic() - state.seconds
    if not 0 <= state.step <= steps:
        raise artifacts.damaged(state.path, f"step {state.step} of {steps}", resume.AGAIN)
    if shared:
        loss_terms = processes.together(model, loss_terms, partial=shared == "some")
    with (
        _progress(steps, state.step) as bar, runtime.signals_between_steps() as signals,
        _saved_on_loss(state, base),
    ):  # fmt: skip
        for step in range(state.step, steps):
            runtime.seed(step_seed(seed, step))
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * rate(step, steps)
            terms = loss_terms(step)
            optimizer.zero_grad(set_to_none=True)
            terms["loss"].backward()
            values, stop = _numbers(terms, signals, shared)
            _check_finite(values, step, state, lower)
            optimizer.step()
            state.step, state.seconds = step + 1, time.monotonic() - started
            _record(state, values, max(1, steps // 100), bar)
            if stop or state.due() or step + 1 == steps:
                _check_finite(
                    _not_finite(model), step, state, lower
                )  # a good state is not overwritten
                state.save(base)
            if stop:
                _stop(state, steps, signals)
    return {**state.history, "seconds": state.seconds, "hardware": state.hardware}


def _stop(state, steps, signals):
    hint = "; --resume goes on from here" if state.path else ""
    tqdm.write(f"stopped at step {state.step} of {steps}{hint}", file=sys.stderr)
    runtime.stop(signals[0] if signals else signal.SIGTERM)  # another process was told to


def _numbers(terms, signals, shared):
    """Return ({name: number}, whether to stop), over all processes if they train together."""
    if not (shared and processes.count() > 1):
        return {key: term.item() for key, term in terms.items()}, signals  # it may fill yet
    wanted = torch.zeros_like(terms["loss"]) + bool(signals)
    sums = processes.total(torch.stack([*terms.values(), wanted]).float())
    *means, stop = (sums / processes.count()).tolist()
    return dict(zip(terms, means, strict=True)), stop > 0


@contextmanager
def _saved_on_loss(state, base):
    """Save the state as of the last whole step if another process ends; raise LostProcess."""
    try:
        yield
    except RuntimeError as error:
        if not processes.is_loss(error):
            raise
        state.save(base)
        where = f"; {state.path} keeps the training: add --resume" if state.path else ""
        raise processes.LostProcess(f"another process of the run has ended{where}") from error


def _progress(steps, done):
    return tqdm(total=steps, initial=done, unit="step", dynamic_ncols=True, mininterval=0.5)


def _not_finite(model) -> dict:
    """Return {"weights <name>": nan} for the parameters of `model` that are not finite."""
    named = model.named_parameters()
    return {f"weights {name}": math.nan for name, p in named if not p.isfinite().all()}


def _check_finite(values, step, state, lower):
    """Raise InputError, with the terms and the last good state, if a value is not finite."""
    if all(map(math.isfinite, values.values())):
        return
    terms = ", ".join(f"{key} = {value:.6g}" for key, value in list(values.items())[:8])
    kept = "no state was saved before it"
    if state.saved_step is not None:
        kept = f"the last good state, of step {state.saved_step}, is {state.path}"
    raise InputError(f"step {step}: {terms}: not finite; {kept}; start anew with a lower {lower}")


def _record(state, values, every, bar):
    """Add `values` to the running mean; each `every` steps move the mean into the history."""
    sums, bar.n = state.sums, state.step
    for key, value in values.items():
        sums[key] = sums.get(key, 0.0) + value
    sums["count"] = sums.get("count", 0) + 1
    if state.step % every == 0:
        count = sums.pop("count")
        means = {key: value / count for key, value in sums.items()}
        for key, value in {"step": state.step, **means}.items():
            state.history.setdefault(key, []).append(value)
        bar.set_postfix({key: f"{value:.3f}" for key, value in means.items()}, refresh=False)
        sums.clear()
    bar.update(0)
