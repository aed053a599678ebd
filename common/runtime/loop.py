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

from common.runtime import checkpoints, distributed, resume, script, seeding
from common.runtime.errors import InputError


def warmup_cosine(step: int, steps: int, warmup: float = 0.05) -> float:
    """Return the factor on the learning rate at `step`: linear warm-up, then half a cosine to 0."""
    rise = max(1.0, warmup * steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))


def batch_indices(n: int, size: int, step: int, seed: int) -> torch.Tensor:
    """Return the (size,) indices of batch `step`: each epoch is one permutation of range(n).

    The last n mod size examples of an epoch's permutation are left out of that epoch.
    """
    size = min(size, n)
    epoch, position = divmod(step, n // size)
    return _permutation(n, seed, epoch)[position * size : (position + 1) * size]


@functools.lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seeding.step_seed(seed, -1 - epoch))
    return torch.randperm(n, generator=generator)


def train(
    model, loss_terms, optimizer, *, steps, seed, rate=warmup_cosine, state=None,
    ddp=False, find_unused=False, advice="start anew with a lower --learning-rate",
) -> dict:  # fmt: skip
    """Minimise loss_terms(step)["loss"] for `steps` steps; return the history.

    model: the module trained.  loss_terms: step -> dict of scalar tensors, "loss" among them.
    optimizer: its groups' learning rates are multiplied by rate(step, steps).
    state: a `resume.State` that is saved now and then, or None.
    ddp: whether torchrun's processes train together; loss_terms then takes its
    `distributed.shard` of what is drawn for the whole batch.  find_unused: whether some parameters
    have no gradient in some steps.
    advice: what to do when a term is not finite.
    Returns {"step": [...], term: [...], "seconds": float, "hardware": str}, each entry of a list a
    mean over 1 % of the steps.
    Raises InputError when a term is not finite; ends as the signal asks after Ctrl-C or SIGTERM.
    """
    state = state or resume.State(None, {})
    state.begin(model, optimizer)
    base = [group["lr"] for group in optimizer.param_groups]
    started = time.monotonic() - state.seconds
    if not 0 <= state.step <= steps:
        raise checkpoints.damaged(state.path, f"step {state.step} of {steps}", resume.AGAIN)
    if ddp:
        loss_terms = distributed.wrap_ddp(model, loss_terms, find_unused)
    bar = tqdm(total=steps, initial=state.step, unit="step", dynamic_ncols=True, mininterval=0.5)
    with bar, script.signals_between_steps() as signals, _saved_on_loss(state, base):
        for step in range(state.step, steps):
            seeding.seed(seeding.step_seed(seed, step))
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * rate(step, steps)
            terms = loss_terms(step)
            optimizer.zero_grad(set_to_none=True)
            terms["loss"].backward()
            values, stop = _numbers(terms, signals, ddp)
            _check_finite(values, step, state, advice)
            optimizer.step()
            state.step, state.seconds = step + 1, time.monotonic() - started
            _record(state, values, max(1, steps // 100), bar)
            if stop or state.due() or step + 1 == steps:
                named = model.named_parameters()  # a good state is not overwritten
                wrong = {f"weights {n}": math.nan for n, p in named if not p.isfinite().all()}
                _check_finite(wrong, step, state, advice)
                state.save(base)
            if stop:
                hint = "; --resume goes on from here" if state.path else ""
                tqdm.write(f"stopped at step {state.step} of {steps}{hint}", file=sys.stderr)
                script.stop(signals[0] if signals else signal.SIGTERM)  # another process was told
    return {**state.history, "seconds": state.seconds, "hardware": state.hardware}


@contextmanager
def _saved_on_loss(state, base):
    """Save the state as of the last whole step when another of torchrun's processes is gone."""
    try:
        yield
    except RuntimeError:
        if distributed.world_size() > 1:
            state.save(base)
        raise


def _numbers(terms, signals, ddp):
    """Return ({name: number}, whether to stop); with `ddp` means over the processes."""
    if not ddp or distributed.world_size() == 1:
        numbers = {key: term.item() for key, term in terms.items()}
        return numbers, signals  # the list itself: a signal may still arrive
    wanted = torch.zeros_like(terms["loss"]) + bool(signals)
    *means, stop = distributed.all_reduce(torch.stack([*terms.values(), wanted]).float()).tolist()
    return dict(zip(terms, means, strict=True)), stop > 0


def _check_finite(values, step, state, advice):
    """Raise InputError, with the terms and the last good state, if a value is not finite."""
    if all(map(math.isfinite, values.values())):
        return
    terms = ", ".join(f"{key} = {value:.6g}" for key, value in list(values.items())[:8])
    kept = "no state was saved before it"
    if state.saved_step is not None:
        kept = f"the last good state, of step {state.saved_step}, is {state.path}"
    raise InputError(f"step {step}: {terms}: not finite; {kept}; {advice}")


def _record(state, values, every, bar):
    """Add `values` to the running mean; each `every` steps move the mean into the history."""
    sums, bar.n = state.sums, state.step
    for key, value in (values | {"count": 1}).items():
        sums[key] = sums.get(key, 0) + value
    if state.step % every == 0:
        count = sums.pop("count")
        means = {key: value / count for key, value in sums.items()}
        for key, value in {"step": state.step, **means}.items():
            state.history.setdefault(key, []).append(value)
        bar.set_postfix({key: f"{value:.3f}" for key, value in means.items()}, refresh=False)
        sums.clear()
    bar.update(0)
