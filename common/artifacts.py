"""Files on disk: where they are, how they are written whole or not at all, how they are read.

A checkpoint is a dictionary of tensors, numbers and strings, so that it loads with
`weights_only=True`, and carries what is needed to understand it:
{"exercise", "settings", "weights", "metrics", "source", "torch"}.
"""

import contextlib
import hashlib
import json
import math
import os
import pickle
import tempfile
import zipfile
from pathlib import Path

import torch

from common.settings import InputError

ROOT = Path(__file__).resolve().parent.parent


def write_whole(path: Path, write) -> Path:
    """Call `write(temporary_path)`, then move the result to `path` in one step.

    A reader, a full disk or a kill at any moment finds the old file or the new one, never half.
    Raises InputError when the folder or the file cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file")
        remove_leftovers(path)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.{os.getpid()}.", suffix=".tmp"
        )
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"cannot write {path}: {reason}; choose another place") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def remove_leftovers(path: Path) -> None:
    """Delete temporary files of `path` whose process is gone (it was killed while writing)."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(ValueError, OSError):
            process = int(left.name.removeprefix(f".{path.name}.").split(".")[0])
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                left.unlink()


def save_checkpoint(path: Path, content: dict) -> Path:
    """Write the dictionary `content` (tensors, numbers, strings) to `path`, whole."""
    content = {**content, "torch": str(torch.__version__)}
    return write_whole(path, lambda temporary: torch.save(content, temporary))


def load_checkpoint(path: Path, exercise: str, made_by: str) -> dict:
    """Read the checkpoint that `made_by` wrote for `exercise`.

    Code inside a file is never run.  Raises InputError, naming the command to run, when the file
    is missing, damaged, or belongs to something else.
    """
    path, again = Path(path), f"run `{made_by}` to make it"
    if not path.is_file():
        raise InputError(f"no checkpoint {path}: {again}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        IndexError,
        AttributeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(f"{path} is damaged or not a checkpoint: {again}") from error
    if not isinstance(content, dict) or content.get("exercise") != exercise:
        found = content.get("exercise", "unknown") if isinstance(content, dict) else "unknown"
        raise InputError(f"{path} is a checkpoint of {found}, not of {exercise}: {again}")
    return content


def find(name: str, out_dir: str) -> Path:
    """Return `out_dir/name` if that file exists, else the one shipped with the project."""
    own = Path(out_dir) / name
    return own if own.is_file() else ROOT / name


def save_json(path: Path, content: dict) -> Path:
    """Write `content` as sorted, indented JSON with six significant digits, whole."""
    text = json.dumps(_plain(content), indent=1, sort_keys=True, allow_nan=False) + "\n"
    return write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def save_figure(path: Path, figure, dpi: int = 150) -> Path:
    """Write a matplotlib figure to `path` (format from its suffix, PNG otherwise) and close it."""
    kind = Path(path).suffix.lstrip(".").lower() or "png"
    if kind not in figure.canvas.get_supported_filetypes():
        raise InputError(f"cannot write {path}: unknown picture format; use .png, .pdf or .svg")
    stamp = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    return write_whole(
        path, lambda temporary: figure.savefig(temporary, format=kind, dpi=dpi, metadata=stamp)
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file: ties a JSON to the checkpoint that its numbers speak of."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
