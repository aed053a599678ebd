"""Files are written whole or not at all; one process at a time where many are written."""

import contextlib
import hashlib
import os
import secrets
import socket
import tempfile
from pathlib import Path

from common.runtime.errors import InputError

ROOT = Path(__file__).resolve().parents[2]  # of the project, where the shipped files are


def _check_kind(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is a folder or a device; give the name of a file")


def check_writable(path) -> None:
    """Raise InputError unless the file `path` could be written; its folders need not exist yet."""
    path = Path(path)
    try:
        _check_kind(path)
        there = path.absolute().parent
        while not there.exists():
            there = there.parent
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another place") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def atomic_write(path: Path, write) -> Path:
    """Call `write(temporary_path)`, then move the result to `path` in one step.

    A reader, a full disk or a kill at any moment finds the old file or the new one, never half.
    Raises InputError when the folder or the file cannot be written.
    """
    path = Path(path)
    temporary = path.parent / f"{_mark(path)}{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_kind(path)
        _remove_leftovers(path)
        write(temporary)
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"cannot write {path}: {reason}; choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def _mark(path: Path) -> str:
    """Return how temporary files of `path` begin that this host makes: short, safe in a glob."""
    name = os.fsencode(f"{path.name} {socket.gethostname()}")
    return f".{hashlib.sha256(name).hexdigest()[:12]}."


def _remove_leftovers(path: Path) -> None:
    """Delete what processes of this host left that were killed while they wrote `path`."""
    for left in path.parent.glob(f"{_mark(path)}*.tmp") if os.name == "posix" else ():
        with contextlib.suppress(ValueError, OSError):
            try:
                os.kill(int(left.name.split(".")[2]), 0)
            except ProcessLookupError:
                left.unlink()
