"""Checkpoints: weights with their settings, checked before they are used.

A checkpoint is a dictionary of tensors, numbers and strings, so that it loads with
`weights_only=True`: {"exercise", "settings", "model", "weights", "source", "torch"}.
"""

import contextlib
import sys
import zipfile
from pathlib import Path

import torch

from common.runtime import files
from common.runtime.errors import InputError

SHIPPED = files.ROOT / "checkpoints"  # no script writes here


def save(path: Path, content: dict) -> Path:
    """Write the dictionary `content` (tensors, numbers, strings) to `path`, whole.

    Raises InputError when the place cannot be written.
    """
    content = {**content, "torch": str(torch.__version__)}
    return files.atomic_write(path, lambda temporary: torch.save(content, temporary))


def find(name: str, model: str = "", out_dir="") -> Path:
    """Return the checkpoint to read: `model`, else NAME.pt in `out_dir`, else the shipped one."""
    if model:
        return Path(model)
    own = Path(out_dir) / f"{name}.pt"
    return own if out_dir and own.is_file() else SHIPPED / f"{name}.pt"


def shown(path) -> str:
    """Return the name of a file as it is told: a shipped one from the project's folder on."""
    path = Path(path)
    inside = path.is_absolute() and path.is_relative_to(files.ROOT)
    return str(path.relative_to(files.ROOT) if inside else path)


def announce(path, content: dict, more: str = "") -> None:
    """Say in one line on standard error which checkpoint is read, and what it was trained on.

    content: of the checkpoint.  more: what else is read.
    """
    settings = content.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    steps = f", {settings['steps']} steps" if settings.get("steps") else ""
    source = " ".join(content["source"].split())
    sys.stderr.write(f"reading {shown(path)}: {source}{steps}{more}\n")


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
