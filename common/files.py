"""Files are written whole or not at all, and what a killed process left is removed."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from common.settings import InputError


def write_whole(path: Path, write) -> Path:
    """Call `write(temporary_path)`, then move the result to `path` in one step.

    A reader, a full disk or a kill at any moment finds the old file or the new one, never half.
    Raises InputError when the folder or the file cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is a folder or a device; give the name of a file")
        remove_leftovers(path)
        handle, name = tempfile.mkstemp(".tmp", _prefix_of(path), path.parent)
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


def _mark(path: Path) -> str:
    """Return how the temporary files of `path` begin: short, and safe in a pattern."""
    return f".{hashlib.sha256(path.name.encode()).hexdigest()[:12]}."


def _prefix_of(path: Path) -> str:
    """Return how a temporary file or folder of `path` begins that this process makes."""
    return f"{_mark(path)}{os.getpid()}."


def remove_leftovers(path: Path) -> None:
    """Delete temporary files and folders of `path` whose process is gone: killed while writing."""
    mark = _mark(path)
    for left in path.parent.glob(f"{mark}*.tmp"):
        with contextlib.suppress(ValueError, OSError):
            process = int(left.name.removeprefix(mark).split(".")[0])
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextlib.contextmanager
def temporary_folder(path: Path):
    """Yield a new folder beside `path`, which is to be made in it; it is gone after the block.

    So are those of processes that were killed in theirs.  Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    folder = Path(tempfile.mkdtemp(".tmp", _prefix_of(path), path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
