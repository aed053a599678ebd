"""Checkpoints: weights with their settings, checked before they are used.

A checkpoint is a dictionary of tensors, numbers and strings, so that it loads with
`weights_only=True`: {"exercise", "settings", "model", "weights", "source", "torch"}.
"""

import contextlib
import zipfile
from pathlib import Path

import torch

from common.runtime import files
from common.runtime.errors import InputError


def save(path: Path, content: dict) -> Path:
    """Write the dictionary `content` (tensors, numbers, strings) to `path`, whole.

    Raises InputError when the place cannot be written.
    """
    content = {**content, "torch": str(torch.__version__)}
    return files.atomic_write(path, lambda temporary: torch.save(content, temporary))


def unclaimed(path: Path, key: dict, force: bool, older: dict | None = None) -> Path:
    """Return `path` if a training with the settings `key` may write its checkpoint there.

    key: see `options.resume_key`, and "source", of the data.  older: what a checkpoint that lacks a
    setting was trained with.  Raises InputError when the file there was trained with other settings
    or on other data, unless `force` or both are --smoke.
    """
    if not force and Path(path).is_file():
        was = dict(older or {})
        with contextlib.suppress(Exception):  # damaged: nothing is lost
            content = torch.load(path, map_location="cpu", weights_only=True)
            was |= {k: content[k] for k in key if k in content} | content["settings"]
        for name in [] if was.get("smoke") and key.get("smoke") else key:
            if name in was and was[name] != key[name]:
                other = f"{name} = {was[name]}, not {key[name]}"
                other += ": choose another --out-dir, or add --force to overwrite it"
                raise InputError(f"{path} was trained with {other}")
    return Path(path)


def load(path: Path, exercise: str, made_by: str, needs: dict | None = None) -> dict:
    """Read the checkpoint that `made_by` wrote for `exercise`.

    needs: names and types of what must be in it.  Code inside a file is never run, and memory is
    bounded by the file's size.  Raises InputError, naming the command to run, when the file is
    missing, damaged (a checksum is wrong), or belongs to something else.
    """
    path, again = Path(path), f"run `{made_by}` to make it"
    if not path.is_file():
        raise InputError(f"no checkpoint {path}: {again}")
    try:
        check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes reach every part of the unpickler
        raise InputError(f"{path} is damaged or not a checkpoint: {again}") from error
    found = content.get("exercise") if isinstance(content, dict) else None
    found = found if isinstance(found, str) else "unknown"
    if found != exercise:
        found = " ".join(found[:40].split())
        raise InputError(f"{path} is a checkpoint of {found}, not of {exercise}: {again}")
    for name, kind in (needs or {}).items():
        if not isinstance(content.get(name), kind):
            raise damaged(path, f"no {name} of type {kind.__name__}", made_by)
    return content


def load_model(path: Path, exercise: str, made_by: str, build, needs: dict | None = None):
    """Return (module, checkpoint): `build(**content["model"])` with the checkpoint's weights.

    needs, and errors: see `load`.
    """
    needs = {"model": dict, "weights": dict, "source": str, **(needs or {})}
    content = load(path, exercise, made_by, needs)
    with damage(path, made_by):
        model = build(**content["model"])
    restore(model, content, path, made_by)
    return model.eval(), content


def restore(module: torch.nn.Module, content: dict, path: Path, made_by: str) -> None:
    """Put content["weights"] into `module`; raise InputError, naming `path`, if they do not fit.

    Names and shapes must be the same, every number in the file itself (no tensor stretched over
    few bytes), parameters finite, no number nan, and permutations permutations.
    """
    with damage(path, made_by):
        wanted, parameters = module.state_dict(), dict(module.named_parameters())
        for name, value in content["weights"].items():
            whole = value.untyped_storage().nbytes() >= value.numel() * value.itemsize
            if not whole or value.is_floating_point() != wanted[name].is_floating_point():
                raise ValueError(f"{name} holds other numbers")
            if value.isnan().any() or (name in parameters and not value.isfinite().all()):
                raise ValueError(f"{name} is not finite")
            order = value.dim() and not value.is_floating_point()
            if order and sorted(value.flatten().tolist()) != [*range(value.numel())]:
                raise ValueError(f"{name} is not a permutation")
        module.load_state_dict(content["weights"])


def damaged(path: Path, what: str, made_by: str) -> InputError:
    """Return the error that says what is wrong with the checkpoint `path`."""
    what = " ".join(what.split())[:100]
    return InputError(f"{path} is damaged ({what}): run `{made_by}` to make it")


@contextlib.contextmanager
def damage(path, made_by):
    """Turn what reading a damaged checkpoint raises in the block into `damaged`."""
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise damaged(path, str(error), made_by) from error


def check_archive(path: Path) -> None:
    """Raise an error unless `path` is a zip file as torch.save writes it, stored and undamaged.

    torch itself does not compare the checksums: a flipped bit would be another weight.  Names that
    differ and a size within the file's own bound what is read.
    """
    with zipfile.ZipFile(path) as file:
        entries = file.infolist()
        different = len({entry.filename for entry in entries}) == len(entries)
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        size = sum(entry.file_size for entry in entries)
        fits = different and stored and size <= path.stat().st_size
        if not fits or file.testzip() is not None:
            raise ValueError("not as torch.save writes it, or a checksum is wrong")


def round_to_fp16(module: torch.nn.Module) -> torch.nn.Module:
    """Round the weights of `module` to float16, in place, and return it; it stays in float32.

    Checkpoints keep weights as float16 (half the bytes); rounding before the measurement makes
    what is measured what is shipped.  Raises InputError for a weight beyond float16's 65,504.
    """
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.copy_(value.half())
                if not value.isfinite().all():
                    raise InputError(f"{name} does not fit float16; lower --learning-rate")
    return module


def to_fp16(weights: dict) -> dict:
    """Return a state_dict with its floating-point tensors as float16, for `save`."""
    return {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
