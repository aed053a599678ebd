"""What every training shares: a loop that a kill does not lose, whole files, errors in one line.

`resumable` is the loop's generator; `save`, `load` and `write` are files; `run` is the command
line; the last part serves GPUs and torchrun.  None of it knows a model.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import operator
import os
import sys
import threading
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

ROOT = Path(__file__).resolve().parents[1]  # checkpoints/ and figures/, the shipped files, are here
SHIPPED = ROOT / "checkpoints"


class InputError(ValueError):
    """Something that the user gave cannot be used: what, where, and what to do, in one line."""


# --- the command line ---------------------------------------------------------------------------


def run(main, settings_class) -> None:
    """Call main(settings) with the settings of the command line.

    InputError, Ctrl-C and a closed pipe take one line and the exit status 2, 130 and 141.
    """
    import tyro  # a quarter of a second that drawing from Python does not need

    try:
        join_processes()
        about = sys.modules["__main__"].__doc__
        options = (tyro.conf.FlagCreatePairsOff,)
        main(tyro.cli(settings_class, description=about, config=options))
        print(end="", flush=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            "stopped; if it was training, the same command goes on from the last whole round",
            file=sys.stderr,
        )
        sys.exit(130)
    except BrokenPipeError:  # python ex_1c.py 1 | head -0
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def check(settings, **ranges) -> None:
    """Raise InputError unless each setting lies in its range: check(s, epochs=(1, 1000))."""
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        if value is not None and not least <= value <= most:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag} {value}: give a number from {least:g} to {most:g}")


# --- a loop that can be stopped -----------------------------------------------------------------


def key_of(settings, data, *code) -> dict:
    """Return what two runs have in common when one may go on where the other stopped.

    settings: a dataclass; folders and the device do not count.  data: tensors.  code: the files
    with the model and the loss, from the project's folder on, or whole paths.
    """
    chosen = without_places(settings)
    key = {f"--{name.replace('_', '-')}": repr(value) for name, value in chosen.items()}
    key["the number of processes"] = str(processes())
    key["the data"] = _digest(tensor.cpu().numpy().tobytes() for tensor in data)
    for name in code:
        path = ROOT / name  # a whole path stays as it is
        key[f"the code of {path.name}"] = _digest([path.read_bytes()])
    return key


def without_places(settings) -> dict:
    """Return what a training was set to, without folders, the device, and --restart."""
    places = ("data_dir", "out_dir", "device", "restart")
    return {k: v for k, v in dataclasses.asdict(settings).items() if k not in places}


def _digest(parts) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def resumable(path, rounds: int, key: dict, history: list, **parts):
    """Yield 0 ... rounds - 1, from where the file `path` left off; the same bits as without a stop.

    After each round the states of `parts` (models, optimisers), the history and the random states
    go into `path`, which the script removes once its results are written.  path None keeps nothing.
    Raises InputError if `path` was written by a run with another `key`: see `key_of`.
    """
    first = 0
    if path and path.exists():
        saved = _load(path)
        if not isinstance(saved, dict) or "key" not in saved:
            raise InputError(f"{path}: no unfinished training; add --restart")
        other = [name for name in key if saved["key"].get(name) != key[name]]
        if other:
            change = ", ".join(other)
            raise InputError(f"{path}: unfinished training, but {change} changed; add --restart")
        for name, part in parts.items():
            part.load_state_dict(saved["parts"][name])
        history[:] = saved["history"]
        first = saved["done"]
        _set_random_state(saved["random"], first)
        say(f"going on after {first} of {rounds} rounds, from {path}")
    for done in range(first, rounds):
        yield done
        if path and is_main():
            states = {name: part.state_dict() for name, part in parts.items()}
            content = {"key": key, "parts": states, "history": history, "done": done + 1}
            save(path, content | {"random": _random_state()})


def _random_state() -> list:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *cuda]


def _set_random_state(states: list, done: int) -> None:
    torch.set_rng_state(states[0])
    if torch.cuda.is_available() and len(states) == 1 + torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states[1:])
    if not is_main():  # each of torchrun's processes draws its own numbers
        torch.manual_seed(torch.initial_seed() + 1000 * dist.get_rank() + done)


# --- files --------------------------------------------------------------------------------------


def write_whole(path, write) -> Path:
    """Call write(temporary), then move that file to `path`: a kill leaves the old or the new one.

    Raises InputError when it cannot be written, for example because the disk is full.
    """
    path = Path(path)
    writer = f"{os.getpid()}.{threading.get_ident()}"
    temporary = path.with_name(f"{path.stem[:60]}.{writer}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"cannot write {path}: {reason}; choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def save(path, content: dict) -> None:
    """Write a dictionary of tensors, numbers and strings, whole."""
    write_whole(path, lambda temporary: torch.save(content, temporary))


def checkpoint(model, kind: str, dtype=torch.float16, **about) -> dict:
    """Return what `save` writes of a model: its weights as `dtype`, and its output for one input.

    The model is rounded in place, so that what is measured is what is saved.  model.probe() gives
    the output.  kind: "ex_1b", for example.  about: what else `load` returns.
    Raises InputError if a weight is not finite.
    """
    model.to(dtype).float()
    weights = model.state_dict()
    for name, value in weights.items():
        if value.is_floating_point():
            if not value.isfinite().all():
                raise InputError(f"the training diverged ({name}): lower its learning rate")
            weights[name] = value.to(dtype)
    return {"kind": kind, "weights": weights, "probe": model.eval().probe().cpu()} | about


def _load(path) -> dict:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except Exception as error:  # damaged bytes reach every part of the unpickler
        raise InputError(
            f"{path}: damaged, or no checkpoint; give another, or make it anew"
        ) from error


def load(path, kind: str, build, device="cpu"):
    """Return (model, content): build(content) with the weights of the checkpoint `path`.

    Raises InputError if the file is missing, damaged, of another kind, or if the model of today's
    code gives another output for the input that the checkpoint was saved with.
    """
    content = _load(path)
    found = content.get("kind") if isinstance(content, dict) else None
    if found != kind:
        raise InputError(f"{path}: no checkpoint of {kind}, but of {found}; give another file")
    try:
        model = build(content).eval()
        model.load_state_dict(content["weights"])
        same = torch.allclose(model.probe(), content["probe"], rtol=1e-3, atol=1e-3)
    except (KeyError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: does not fit the network of this code ({reason})") from error
    if not same:
        raise InputError(
            f"{path}: today's network gives another output than the one that was trained: "
            "was an activation or a layer changed? Train it anew"
        )
    return model.to(pick_device(device)), content


def find_model(name: str, model="", out_dir=None) -> Path:
    """Return the checkpoint to read: `model`, else NAME.pt in `out_dir`, else the shipped one."""
    if model:
        return Path(model)
    if out_dir and (Path(out_dir) / f"{name}.pt").exists():
        return Path(out_dir) / f"{name}.pt"
    return SHIPPED / f"{name}.pt"


def write(folder, name: str, numbers: dict, **figures) -> dict:
    """Write NAME.json and, for each figure, NAME_FIGURE.png and .svg; return the numbers.

    The JSON holds six significant digits, and null for what is not finite.
    """
    for label, figure in figures.items():
        for suffix in ("png", "svg"):
            save_figure(Path(folder) / f"{name}_{label}.{suffix}", figure)
    text = json.dumps(_rounded(numbers), indent=1, allow_nan=False) + "\n"
    print(
        write_whole(Path(folder) / f"{name}.json", lambda t: t.write_text(text, encoding="utf-8"))
    )
    return numbers


def save_figure(path, figure) -> None:
    """Write a matplotlib figure as .png, .svg or .pdf; equal figures give equal bytes."""
    kind = Path(path).suffix[1:].lower()
    if kind not in ("png", "svg", "pdf"):
        raise InputError(f"cannot write {path}: the name must end in .png, .svg or .pdf")
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    write_whole(path, lambda t: figure.savefig(t, format=kind, dpi="figure", metadata=undated))


def _rounded(value):
    if isinstance(value, dict):
        return {str(name): _rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return _rounded(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def say(text: str) -> None:
    """Print a line on standard error, from one process only."""
    if is_main():
        print(text, file=sys.stderr, flush=True)


# --- devices and torchrun -----------------------------------------------------------------------


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is a CUDA GPU if there is one, else the CPU.

    Raises InputError for a device that is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and processes() > 1:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(str(name))
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:100]
        raise InputError(f"--device {name}: not usable here ({reason}); try cpu") from None
    return device


@contextlib.contextmanager
def random_numbers(seed, device):
    """Seed torch in the block (None: from the system); the caller's state stays as it was.

    Raises InputError for a seed that is no whole number from 0.
    """
    try:
        seed = None if seed is None else operator.index(seed)
    except TypeError:
        seed = -1
    if seed is not None and not 0 <= seed < 2**63:
        raise InputError("seed: give a whole number from 0, or None")
    device = pick_device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.seed() if seed is None else torch.manual_seed(seed)
        yield


def one_thread() -> None:
    """Compute on one thread unless OMP_NUM_THREADS is set: small networks gain nothing by more."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def fast_bfloat16(device: torch.device) -> bool:
    """Tell whether the hardware multiplies bfloat16 matrices (AVX-512 BF16, AMX, a recent GPU)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def join_processes() -> None:
    """Meet torchrun's other processes, if it started this one.

    torchrun --standalone --nproc-per-node=2 ex_1b.py: each process trains on its own share of the
    examples, `average_gradients` makes them one training, and the first of them writes.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        if not is_main():
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def processes() -> int:
    """Return how many processes train together: 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Tell whether this is the process that writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextlib.contextmanager
def main_first():
    """Run a block in torchrun's first process, and then in the others: they find what it made."""
    if not is_main():
        dist.barrier()
    yield
    if is_main() and processes() > 1:
        dist.barrier()


def my_share(*tensors):
    """Return the rows of each tensor that this process trains on: all of them without torchrun.

    From here on each of torchrun's processes draws random numbers of its own.
    """
    if processes() == 1:
        return tensors
    torch.manual_seed(torch.initial_seed() + 1000 * dist.get_rank())
    each = len(tensors[0]) // processes()
    return tuple(tensor[dist.get_rank() * each :][:each] for tensor in tensors)


def average_gradients(model) -> None:
    """Average the gradients of torchrun's processes, in place; without torchrun do nothing."""
    if processes() == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = (flat / processes()).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
