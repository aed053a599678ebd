"""Read the light curves of exercise 2 as the assignment's loader does: two dictionaries.

    x, y = data_loader.dataloader("data")
    x["12345_05"]   (n, 300) relative magnification, one light curve a row
    y["12345_05"]   (n, 4)   [k, g, s, p] of that file, the same in every row

The folder holds labels.dat (white space, header map_id disc_id k g s p, one row for each file) and
the files {map_id}/{disc_id:02d}.dat (comma separated, no header, 300 values a row).  In the terms
of microlensing maps k, g, s are convergence, shear and smooth-matter fraction, and p the size of
the source; that reading of the names is an inference.
"""

import contextlib
import re
from pathlib import Path

import numpy as np

from common.runtime.errors import InputError

SAMPLES = 300  # values in a light curve
MOST = 1e30  # greatest magnification: what float32 holds, with room for squares
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)  # no 1_000, no inf
LABELS = ("k", "g", "s", "p")


def dataloader(rootdir) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return (x, y): key "mapid_discid" -> curves (n, 300) and labels (n, 4), both float64.

    Files that labels.dat does not list are left out.
    Raises InputError (a ValueError), naming the file and the line, for anything missing, not
    numeric, not finite, negative, beyond 1e30, of another length than 300, listed twice, or
    outside `rootdir`.
    """
    root, x, y = Path(rootdir), {}, {}
    for line, map_id, disc_id, values in read_labels(root / "labels.dat"):
        key, where = f"{map_id}_{disc_id:02d}", f"{root / 'labels.dat'}, line {line}"
        if key in x:
            raise InputError(f"{where}: {key} is listed twice")
        path = root / map_id / f"{disc_id:02d}.dat"
        if not path.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{where}: {path} lies outside {root}")
        if not path.is_file():
            raise InputError(f"{where}: there is no file {path}")
        x[key] = read_curves(path)
        y[key] = np.tile(values, (len(x[key]), 1))  # (n, 4)
    return x, y


def read_labels(path) -> list[tuple[int, str, int, np.ndarray]]:
    """Return (line, map_id, disc_id, [k, g, s, p]) for each row; columns by their names.

    Raises InputError, naming file and line, for a missing column, a short row or a bad value.
    """
    table = [(line, row.split()) for line, row in _rows(path)]
    if len(table) < 2:
        raise InputError(f"{path}, line 1: no rows below the header map_id disc_id k g s p")
    line, header = table.pop(0)
    for name in ("map_id", "disc_id", *LABELS):
        if header.count(name) != 1:
            column = f"the column {name} once, white space between"
            raise InputError(f"{path}, line {line}: the header needs {column}")
    rows = []
    for line, words in table:
        where = f"{path}, line {line}"
        if len(words) != len(header):
            raise InputError(f"{where}: {len(words)} values under {len(header)} column names")
        found = dict(zip(header, words, strict=True))
        map_id, disc_id = found["map_id"], found["disc_id"]
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", map_id):
            raise InputError(f"{where}: map_id {map_id[:40]!r} is not the name of a folder here")
        if not re.fullmatch(r"[0-9]{1,9}", disc_id):
            raise InputError(f"{where}: disc_id {disc_id[:40]!r} is not a whole number")
        for name in LABELS:
            if not NUMBER.fullmatch(found[name]) or not np.isfinite(float(found[name])):
                raise InputError(f"{where}: {name} = {found[name][:40]!r} is not a finite number")
        if not 1e-6 <= float(found["p"]) <= 100:
            raise InputError(f"{where}: p = {float(found['p']):g} is not between 1e-06 and 100")
        values = np.array([float(found[name]) for name in LABELS])
        rows.append((line, map_id, int(disc_id), values))
    return rows


def read_curves(path) -> np.ndarray:
    """Return the light curves of one file: (n, 300) float64, exactly the numbers written.

    Raises InputError, naming file and line, for a row that is not 300 numbers from 0 to 1e30.
    """
    rows = _rows(path)
    text = [row for _, row in rows] or ["-1"]  # of no row numpy would warn
    with contextlib.suppress(ValueError):
        curves = np.loadtxt(text, delimiter=",", ndmin=2, comments=None)
        if curves.shape[1] == SAMPLES and curves.min() >= 0 and curves.max() <= MOST:  # nor nan
            return curves
    raise InputError(f"{path}, {_complaint(rows)}")


def _complaint(rows) -> str:
    """Say what is wrong with `rows` of a file of curves, and in which line."""
    for line, row in rows:
        words = row.split(",")
        if len(words) != SAMPLES:
            return f"line {line}: {len(words)} values instead of {SAMPLES}"
        for column, word in enumerate(words, start=1):
            shown = f"line {line}: value {column}, {word.strip()[:40]!r},"
            if not NUMBER.fullmatch(word) and word.strip().lower() not in ("nan", "inf", "-inf"):
                return f"{shown} is not a number"
            if not 0 <= float(word) < np.inf:
                return f"{shown} is not finite and >= 0"
            if float(word) > MOST:
                return f"{shown} is beyond {MOST:g}"
    return "line 1: no light curves"


def _rows(path) -> list[tuple[int, str]]:
    """Return (line, text) of the lines that are not blank; a lone \\r ends one, too."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: cannot be read (not a file)")
        rows = path.read_text("utf-8-sig").split("\n")
        return [(line, row) for line, row in enumerate(rows, start=1) if row.strip()]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        packed = " but packed: gunzip it first" if error.object[:2] == b"\x1f\x8b" else ""
        raise InputError(f"{path}, line {line}: not text{packed}") from error
