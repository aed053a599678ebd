"""Say what is wrong with a file of light curves or labels, where, and what mends it.

`data_loader.py` calls `bad_labels` and `bad_curves` when np.loadtxt could not read a file or read
something else, and `warn_of_scale` when all was read.  Nothing here is needed for good files.
"""

import re
from pathlib import Path

import numpy as np

from common.training import InputError, say

SAMPLES = 300  # values in a light curve
GREATEST = 1e30  # magnification
COLUMNS = ("map_id", "disc_id", "k", "g", "s", "p")

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
FORTRAN = re.compile(r"\d\.?[dD][+-]?\d")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
NOT_FINITE = ("nan", "inf", "infinity", "na", "n/a", "null", "none", "-", "--")

SAVE = "np.savetxt(path, curves, delimiter=',')"
FROM_MAGNITUDES = "10**(-0.4*(m - mean))"
BINARY = {  # how a file begins: (what it is, what to do)
    b"\x1f\x8b": ("packed by gzip", "unpack it with gunzip"),
    b"PK\x03\x04": ("a zip archive (.npz, .xlsx)", f"write its curves with {SAVE}"),
    b"\x93NUMPY": ("a binary .npy file", f"write its curves with {SAVE}"),
    b"\x89HDF": ("an HDF5 file", f"write its curves with {SAVE}"),
    b"SIMPLE  =": ("a FITS file", f"write its curves with {SAVE}"),
    b"\xff\xfe": ("text in UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("text in UTF-16", "save it as UTF-8"),
}


# --- curves -------------------------------------------------------------------------------------


def bad_curves(path, reason="") -> InputError:
    """Return the error of a file of curves; reason: what np.loadtxt said, if nothing is found."""
    rows = _rows(path)
    if not rows:
        return InputError(f"{path}, line 1: no light curves; write them with {SAVE}")

    complaint = _complaint_of_layout(rows)
    if complaint:
        return InputError(f"{path}, line {rows[0][0]}: {complaint}")
    for line, row in rows:
        complaint = _complaint_of_row(row)
        if complaint:
            return InputError(f"{path}, line {line}: {complaint}")
    reason = " ".join(str(reason).split()) or "cannot be read"
    return InputError(f"{path}, line 1: {reason}; write the curves with {SAVE}")


def _complaint_of_layout(rows) -> str:
    """Say whether the rows are no curves at all, but the columns of a table."""
    table = [_floats(row) for _, row in rows]
    table = [row for row in table if row]  # without header and comments
    if not table or {len(row) for row in table} != {len(table[0])}:
        return ""
    count = len(table[0])
    array = np.array(table)
    if 2 <= count <= 4 and len(table) > 2 and (np.diff(array[:, 0]) > 0).all():
        return (
            f"{count} columns, the first of them a time (t, m, dm?); write a curve a row, read at "
            f"{SAMPLES} equal steps: np.interp(np.linspace(t[0], t[-1], {SAMPLES}), t, mu) with "
            f"mu = {FROM_MAGNITUDES}"
        )
    if len(table) == SAMPLES and count != SAMPLES:
        transposed = SAVE.replace("curves", "curves.T")
        return (
            f"{SAMPLES} rows of {count} values, a curve a column; write a curve a row: {transposed}"
        )
    return ""


def _floats(row: str) -> list[float]:
    """Return the numbers of a row, whatever stands between them; nothing if one is no number."""
    words = re.split(r"[,\s]+", row.strip(" ,\t"))
    if ";" in row:
        words = [word.strip().replace(",", ".") for word in row.strip("; ").split(";")]
    words = [re.sub("[dD]", "e", word) if FORTRAN.search(word) else word for word in words]
    return [float(word) for word in words] if all(map(NUMBER.fullmatch, words)) else []


def _complaint_of_row(row: str) -> str:
    """Say what is wrong with a row of a file of curves; nothing if it is right."""
    if row.startswith(("#", "%", "//")):
        return "a comment or header; remove this line (np.savetxt writes none without header=)"
    if FORTRAN.search(row):
        return f"{FORTRAN.search(row)[0]!r} is Fortran's exponent; replace every D by e"
    if ";" in row:
        commas = " and decimal commas" if "," in row else ""
        return f"semicolons between values{commas}; write commas between, points within: {SAVE}"

    words = [word.strip() for word in row.split(",")]
    tokens = row.split()
    if any(len(word.split()) > 1 for word in words):
        if all(DECIMAL_COMMA.fullmatch(token) for token in tokens):
            return f"decimal commas; write commas between values and points within: {SAVE}"
        if any(map(NUMBER.fullmatch, tokens)):
            return f"{len(tokens)} values with white space between; write commas between: {SAVE}"
    named = words[0][:1].isalpha() and words[0].lower() not in NOT_FINITE
    if named and len(words) > 1 and not any(map(NUMBER.fullmatch, words)):
        return f"a header ({', '.join(words[:3])}, ...); remove this line"
    if len(words) == SAMPLES + 1 and not words[-1]:
        return "a comma at the end of the row; remove it"
    if len(words) != SAMPLES:
        return (
            f"{len(words)} values instead of {SAMPLES}; read every curve at {SAMPLES} equal steps "
            "(np.interp), a curve a row"
        )
    for column, word in enumerate(words, start=1):
        complaint = _complaint_of_value(word)
        if complaint:
            return f"value {column}, {word[:40]!r}, {complaint}"
    return ""


def _complaint_of_value(word: str) -> str:
    if word.lower().lstrip("+-") in NOT_FINITE or word == "":
        return "is not a finite number; leave the curve out, or fill its gap with np.interp"
    if word.startswith(("'", '"')):
        return "is in quotes; remove them"
    if not NUMBER.fullmatch(word):
        return f"is not a number; write the curves with {SAVE}"
    if float(word) < 0:
        return f"is negative, and magnification is not: magnitudes? write {FROM_MAGNITUDES}"
    if float(word) > GREATEST:
        return f"is beyond {GREATEST:g}; divide the curves by their mean"
    return ""


def warn_of_scale(x: dict, root) -> None:
    """Say in a line, with numbers, if curves {key: (n, 300)} hardly are relative magnifications."""
    dark = {key: int((~curves.any(1)).sum()) for key, curves in x.items()}
    first = next((key for key in x if dark[key]), None)
    if first:
        count = sum(map(len, x.values()))
        say(
            f"warning: {root}: {sum(dark.values()):,} of {count:,} curves are 0 throughout (first "
            f"in {first}); relative magnification has mean 1: leave them out"
        )

    means = {key: curves.mean() for key, curves in x.items()}
    odd = {key: mean for key, mean in means.items() if mean > 0 and not 0.3 <= mean <= 3}
    if not odd:
        return
    cure = "counts or fluxes, divide them by their mean"
    if all(5 < mean < 35 and x[key].std() < 0.2 * mean for key, mean in odd.items()):
        cure = f"magnitudes, write {FROM_MAGNITUDES}"
    low = min(odd.values())
    high = max(odd.values())
    between = f"{low:.4g} to {high:.4g}" if len(odd) > 1 else f"{low:.4g}"
    say(
        f"warning: {root}: the mean is {between} in {len(odd)} of {len(x)} files (first "
        f"{next(iter(odd))}), and relative magnification has mean 1; if these are {cure}"
    )


# --- labels -------------------------------------------------------------------------------------


def bad_labels(path, reason="") -> InputError:
    """Return the error of labels.dat; reason: what np.loadtxt said, if nothing is found."""
    rows = _rows(path)
    names = " ".join(COLUMNS)
    if not rows:
        return InputError(f"{path}, line 1: empty; write the header {names} and a row a file")

    line, first = rows[0]
    complaint = _complaint_of_header(first, names)
    if complaint:
        return InputError(f"{path}, line {line}: {complaint}")
    if len(rows) == 1:
        return InputError(f"{path}, line {line}: no rows below the header; write a row a file")

    header = first.split()
    files = set()
    for line, row in rows[1:]:
        complaint = _complaint_of_label(header, row.split(), files)
        if complaint:
            return InputError(f"{path}, line {line}: {complaint}")
    reason = " ".join(str(reason).split()) or "cannot be read"
    return InputError(f"{path}, line 1: {reason}; put white space between the columns {names}")


def _complaint_of_header(first: str, names: str) -> str:
    if first.startswith("#"):
        return "the header begins with #; remove the #"
    if "," in first or ";" in first:
        return "commas or semicolons between the columns; write white space"
    header = first.split()
    if all(map(NUMBER.fullmatch, header)):
        return f"no header; put this line above: {names}"
    for name in COLUMNS:
        if header.count(name) != 1:
            there = "no column" if name not in header else f"{header.count(name)} columns"
            return f"{there} {name} in {' '.join(header)[:80]!r}; the header must name {names}"
    twice = {name for name in header if header.count(name) > 1}
    return f"two columns {twice.pop()}; give each a name of its own" if twice else ""


def _complaint_of_label(header, words, files) -> str:
    """Say what is wrong with the words of a row; files: those of the rows before, extended."""
    if len(words) != len(header):
        return f"{len(words)} values under {len(header)} column names; write one under each"
    row = dict(zip(header, words, strict=True))
    disc_id = row["disc_id"]
    if not re.fullmatch("[0-9]+", disc_id):
        return f"disc_id {disc_id[:40]!r} is not a whole number; write 5 or 05 for the file 05.dat"
    for name in COLUMNS[2:]:
        if not NUMBER.fullmatch(row[name]) or not np.isfinite(float(row[name])):
            return f"{name} = {row[name][:40]!r} is not a finite number; write it as 0.4 or 4e-1"
    if float(row["p"]) <= 0:
        return f"p = {row['p']} is no size of a source; write a number above 0, in Einstein radii"
    file = row["map_id"], int(disc_id)
    if file in files:
        return f"{file[0]}/{file[1]:02d}.dat is listed twice; remove one of the rows"
    files.add(file)
    return ""


# --- files --------------------------------------------------------------------------------------


def _rows(path) -> list[tuple[int, str]]:
    """Return (line, text) of the lines that are not blank.

    Raises InputError if there is no such file, or no text in it.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; {_cure_of_missing(path)}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a file that can be read") from None

    for start, (kind, cure) in BINARY.items():
        if content.startswith(start):
            raise InputError(f"{path}, line 1: {kind}, not plain text; {cure}")
    try:
        text = content.decode("utf-8-sig")
        bad = text.find("\0")
    except UnicodeDecodeError as error:
        text = content[: error.start].decode("latin-1")
        bad = error.start
    if bad >= 0:
        line = text[:bad].count("\n") + 1
        raise InputError(f"{path}, line {line}: binary, not plain text; write it with {SAVE}")

    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(line, row.strip()) for line, row in enumerate(lines, start=1) if row.strip()]


def _cure_of_missing(path: Path) -> str:
    """Say what to do about a file that is not there."""
    if path.name == "labels.dat":
        return f"write it: the header {' '.join(COLUMNS)} and a row for each file of curves"
    stems = (path.stem, path.stem.lstrip("0"))
    near = sorted(p.name for p in path.parent.glob("*") if p.name.split(".")[0] in stems)
    if near and near[0].endswith(".gz"):
        return f"{near[0]} is there: unpack it with gunzip"
    if near:
        return f"{near[0]} is there: rename it"
    return "copy it there, or remove its row from labels.dat"
