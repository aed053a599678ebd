"""Read light curves as the assignment asks: two dictionaries of arrays, with a key for each file.

    x, y = dataloader("data")
    x["12345_05"]    (n, 300) relative magnification mu / <mu>, one light curve a row
    y["12345_05"]    (n, 4)   [k, g, s, p] of that file, the same in every row

The folder holds
    labels.dat                    columns map_id disc_id k g s p, in any order, white space between,
                                  their names first, then a row for each file of curves
    {map_id}/{disc_id:02d}.dat    a light curve of 300 values a row, commas between, no header

p is the size of the source; k, g, s are taken for convergence, shear and smooth-matter fraction,
which the assignment does not say.  What is wrong with a file: common/light_curves/diagnose.py.
"""

import warnings
from pathlib import Path

import numpy as np

from common.light_curves import diagnose

SAMPLES = 300  # values in a light curve
GREATEST = 1e30  # magnification: float32 holds it, and its square as float64


def dataloader(rootdir) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return (x, y): key "mapid_discid" -> curves (n, 300) and labels (n, 4), both float64.

    Raises InputError (a ValueError) in one line: file, line, cause and cure.  Says in a line on
    standard error when the values look like magnitudes, counts or nothing at all.
    """
    root = Path(rootdir)
    x = {}
    y = {}
    for map_id, disc_id, labels in read_labels(root / "labels.dat"):
        key = f"{map_id}_{disc_id}"
        x[key] = read_curves(root / map_id / f"{disc_id}.dat")
        y[key] = np.tile(labels, (len(x[key]), 1))
    diagnose.warn_of_scale(x, root)
    return x, y


def read_labels(path) -> list[tuple[str, str, np.ndarray]]:
    """Return ("12345", "05", [k, g, s, p]) for each row of labels.dat, in its order."""
    try:
        with warnings.catch_warnings(action="ignore"):  # an empty file is an error below
            table = np.loadtxt(path, str, comments=None, ndmin=2, encoding="utf-8-sig")
        header, *rows = table.tolist()
        at = [header.index(name) for name in ("map_id", "disc_id", "k", "g", "s", "p")]
        map_ids, discs, *_ = table[1:, at].T
        disc_ids = [f"{int(disc):02d}" for disc in discs]
        labels = table[1:, at[2:]].astype(float)  # (files, 4)
        files = list(zip(map_ids.tolist(), disc_ids, labels, strict=True))
        positive = np.isfinite(labels).all() and labels[:, 3].min() > 0
    except (OSError, ValueError) as error:
        raise diagnose.bad_labels(path, error) from None

    names = {file[:2] for file in files}
    if not positive or len(names) < len(rows) or len(set(header)) < len(header):
        raise diagnose.bad_labels(path)
    return files


def read_curves(path, rows: int | None = None) -> np.ndarray:
    """Return the light curves of a file, or its first `rows`: (n, 300), the numbers as written."""
    form = {"delimiter": ",", "comments": None, "ndmin": 2, "encoding": "utf-8-sig"}
    try:
        with warnings.catch_warnings(action="ignore"):  # an empty file is an error below
            curves = np.loadtxt(path, max_rows=rows, **form)
        fine = curves.shape[1] == SAMPLES and curves.min() >= 0 and curves.max() <= GREATEST
    except (OSError, ValueError) as error:
        raise diagnose.bad_curves(path, error) from None

    if not fine:  # nor if a value is nan
        raise diagnose.bad_curves(path)
    return curves
