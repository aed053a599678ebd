"""One process at a time for work that takes many files."""

import contextlib
import os
import sys
from pathlib import Path

from common.settings import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def alone(folder: Path):
    """Hold `folder` against other processes in the block, for work that takes many files.

    Waits, with a line on standard error, while another one holds it; yields whether it waited.
    Released by the system when the process ends, however it ends.  Where there are no such locks
    (Windows, some network disks) nothing is held.  Raises InputError for a folder that cannot be.
    """
    waited = False
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY) if fcntl else None
    except OSError as error:
        raise InputError(
            f"cannot write {folder}: {error.strerror}; choose another place"
        ) from error
    try:
        with contextlib.suppress(OSError):
            if fcntl:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    waited = True
                    sys.stderr.write(f"waiting for another process that writes {folder}\n")
                    fcntl.flock(handle, fcntl.LOCK_EX)
        yield waited
    finally:
        if fcntl:
            os.close(handle)
