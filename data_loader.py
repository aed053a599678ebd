"""Read the light curves of exercise 2 as the assignment's loader does: two dictionaries.

    x, y = data_loader.dataloader("data")
    x["12345_05"]   (n, 300) relative magnification, one light curve a row
    y["12345_05"]   (n, 4)   [k, g, s, p] of that file, the same in every row

The folder holds labels.dat (white space, header map_id disc_id k g s p, one row for each file) and
the files {map_id}/{disc_id:02d}.dat (comma separated, no header, 300 values a row).  In the terms
of microlensing maps k, g, s are convergence, shear and smooth-matter fraction, and p the size of
the source; that reading of the names is an inference.
"""

import re
from pathlib import Path

from common.runtime.errors import InputError

import numpy as np

SAMPLES = 300  # values in a light curve
MOST = 1e30  # greatest magnification: what float32 holds, with room for squares
SIZES = (1e-6, 100.0)  # between which p must lie
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
    path, rows, columns = Path(path), [], None
    for line, text in enumerate(_text(path).split("\n"), start=1):
        words, where = text.split(), f"{path}, line {line}"
        if not words:
            continue
        if columns is None:
            for name in ("map_id", "disc_id", *LABELS):
                if words.count(name) != 1:
                    raise InputError(
                        f"{where}: the header needs the column {name} once, white space between"
                    )
            columns = {name: column for column, name in enumerate(words)}
            width = len(words)
            continue
        if len(words) != width:
            raise InputError(f"{where}: {len(words)} values under {width} column names")
        map_id, disc_id = (words[columns[name]] for name in ("map_id", "disc_id"))
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", map_id):
            raise InputError(f"{where}: map_id {map_id[:40]!r} is not the name of a folder here")
        if not re.fullmatch(r"[0-9]{1,9}", disc_id):
            raise InputError(f"{where}: disc_id {disc_id[:40]!r} is not a whole number")
        values = [_number(words[columns[name]], name, where) for name in LABELS]
        if not SIZES[0] <= values[3] <= SIZES[1]:
            raise InputError(
                f"{where}: p = {values[3]:g} is not between {SIZES[0]} and {SIZES[1]:g}"
            )
        rows.append((line, map_id, int(disc_id), np.array(values)))
    if not rows:
        raise InputError(f"{path}, line 1: no rows below the header map_id disc_id k g s p")
    return rows


def _number(word, name, where):
    value = float(word) if NUMBER.fullmatch(word) else np.nan
    if not np.isfinite(value):
        raise InputError(f"{where}: {name} = {word[:40]!r} is not a finite number")
    return value


def read_curves(path) -> np.ndarray:
    """Return the light curves of one file: (n, 300) float64, exactly the numbers written.

    Raises InputError, naming file and line, for a row that is not 300 numbers from 0 to 1e30.
    """
    text = _text(path)
    try:
        lines = [line for line in text.split("\n") if line.strip()]
        curves = np.loadtxt(lines, delimiter=",", ndmin=2, comments=None) if lines else np.empty(0)
        fits = curves.ndim == 2 and curves.shape[1] == SAMPLES
        if fits and curves.min() >= 0 and curves.max() <= MOST:  # False for nan, too
            return curves
    except ValueError:
        pass
    raise InputError(_complaint(Path(path), text))


def _complaint(path, text) -> str:
    """Say what is wrong with a file of curves, and in which line: slow, and only then."""
    for line, row in enumerate(text.split("\n"), start=1):
        words, where = row.split(","), f"{path}, line {line}"
        if not row.strip():
            continue
        if len(words) != SAMPLES:
            return f"{where}: {len(words)} values instead of {SAMPLES}"
        for column, word in enumerate(words, start=1):
            shown = f"{where}: value {column}, {word.strip()[:40]!r},"
            if not NUMBER.fullmatch(word) and word.strip().lower() not in ("nan", "inf", "-inf"):
                return f"{shown} is not a number"
            if not 0 <= float(word) < np.inf:
                return f"{shown} is not finite and >= 0"
            if float(word) > MOST:
                return f"{shown} is beyond {MOST:g}"
    return f"{path}, line 1: no light curves"


def _text(path) -> str:
    """Return the text with every kind of line end as \\n: a lone \\r is one, too, not a space."""
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise InputError(f"{path}: cannot be read (not a file)")
        return Path(path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        packed = " but packed: gunzip it first" if error.object[:2] == b"\x1f\x8b" else ""
        raise InputError(f"{path}, line {line}: not text{packed}") from error
