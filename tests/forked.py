"""`python ARGUMENTS` in a process that is forked from one with the large libraries imported.

A quarter of the suite's time was those imports.  The project's own modules are imported anew.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

HEAVY = ["torch", "torch._dynamo", "numpy", "matplotlib.figure", "matplotlib.backends.backend_agg",
         "scipy.stats", "sklearn.datasets", "sklearn.ensemble", "numba", "tqdm"]  # fmt: skip


def as_python(arguments, folder, variables, out, err) -> None:
    """Do in this process what `python ARGUMENTS` does in a new one."""
    for number, path in ((0, os.devnull), (1, out), (2, err)):
        os.dup2(os.open(path, os.O_RDWR), number)
    sys.stdin = open(0)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    head, rest = arguments[0], arguments[1:]
    code = rest.pop(0) if head in ("-c", "-m") else ""
    sys.argv = [head, *rest]
    root = variables["PYTHONPATH"]
    sys.path[:] = [p for p in sys.path if p and p != root and not p.startswith(f"{root}/tests")]
    here = os.path.dirname(os.path.abspath(head)) if not code else ""
    sys.path[:0] = [here, root]
    if head == "-c":
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    elif head == "-m":
        runpy.run_module(code, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(head, run_name="__main__")


def run(arguments, folder, variables, timeout) -> subprocess.CompletedProcess:
    """Return the status and the output, as subprocess.run does."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    with tempfile.TemporaryDirectory() as outside:
        paths = [Path(outside) / name for name in ("out", "err")]
        for path in paths:
            path.touch()
        process = context.Process(target=as_python, args=(arguments, folder, variables, *paths))
        before = dict(os.environ)
        os.environ.update(variables)  # the first call starts the process that is forked from
        process.start()
        os.environ.clear()
        os.environ.update(before)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, timeout)
        said = [path.read_text(encoding="utf-8") for path in paths]
    return subprocess.CompletedProcess(arguments, process.exitcode, *said)
