"""Light curves as the scripts use them: sorted into roles, by source size, stacked, logarithmic."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from common.runtime import files
from common.runtime.errors import InputError

import numpy as np
import torch

MAP, SAME_FIELD, OTHER_FIELD = "12345", "12346", "12347"
TRAIN, VALIDATION, TEST = (1, 5, 9, 13, 17, 21, 25), (7, 15, 23), (3, 11, 19)
LEAST = 1e-3  # magnifications below it are raised to it before a logarithm


@dataclass(frozen=True)
class Split:
    """Light curves (n, 300) float32 by source size p, in five roles, some of them empty."""

    train: dict
    validation: dict  # held out for choosing settings
    test: dict  # held out for the reported numbers: sources between those trained on
    test_new_tracks: dict  # as `test`, the same star field, new tracks
    test_new_field: dict  # as `test`, an independent star field


def split(x: dict, y: dict) -> Split:
    """Sort what `data_loader.dataloader` returned into the roles of `Split`.

    The first map is the one trained on.  If it has none of the held-out sources (discs 03, 11,
    19) every tenth curve of each source is held out instead.  Raises InputError without curves.
    """
    if not x:
        raise InputError("no light curves: labels.dat lists none")
    first = next(iter(x)).rsplit("_", 1)[0]

    def role(map_id, discs, take=np.asarray):
        keys = [f"{map_id}_{disc:02d}" for disc in discs]
        return _gathered(x, y, [key for key in keys if key in x], take)

    own = sorted(int(key.rsplit("_", 1)[1]) for key in x if key.rsplit("_", 1)[0] == first)
    trained = [disc for disc in own if disc in TRAIN] or own
    test = role(first, TEST)
    if test:
        train = role(first, trained)
    else:
        test = role(first, trained, lambda curves: curves[::10])
        train = role(first, trained, lambda curves: np.delete(curves, np.s_[::10], 0))
        if min(map(len, train.values())) == 0:
            raise InputError("light curves: a source has only one; at least two are needed")
    validation = role(first, VALIDATION)
    new_tracks, new_field = role(SAME_FIELD, TEST), role(OTHER_FIELD, TEST)
    return Split(train, validation, test, new_tracks, new_field)


def by_size(x: dict, y: dict, each: int) -> dict:
    """Return the first `each` curves of every source of the first map: {p: (each, 300)}, sorted."""
    first = next(iter(x), "").rsplit("_", 1)[0]
    keys = sorted((key for key in x if key.rsplit("_", 1)[0] == first), key=lambda k: y[k][0, 3])
    found = _gathered(x, y, keys, lambda curves: curves[:each])
    return {p: curves[:each] for p, curves in found.items()}


def _gathered(x: dict, y: dict, keys, take) -> dict:
    """Return {p: take(curves) (n, 300) float32} of the files `keys`; those of one p are joined."""
    found = {}
    for key in keys:
        curves = take(x[key]).astype(np.float32)
        found.setdefault(float(y[key][0, 3]), []).append(curves)
    return {p: np.concatenate(c) if len(c) > 1 else c[0] for p, c in found.items()}


def stacked(train: dict, limit: int = 0):
    """Return (x (n, 300), p (n,), spread (n,)), float32, of the curves {p: (n_p, 300)} together.

    x: log10 relative magnification; spread: its standard deviation over the curves of the source;
    limit: take so many curves of each source, 0 takes all.
    """
    parts = {p: torch.from_numpy(to_log(curves[: limit or None])) for p, curves in train.items()}
    rows = [(x, torch.full((len(x),), p), x.std().expand(len(x))) for p, x in parts.items()]
    return tuple(torch.cat(column) for column in zip(*rows, strict=True))


def digest(curves: dict) -> str:
    """Return a SHA-256 of curves {p: (n, 300)}: other data, other digest."""
    found = hashlib.sha256(repr(list(curves)).encode())
    for part in curves.values():
        found.update(np.ascontiguousarray(part))
    return found.hexdigest()


def to_log(curves) -> np.ndarray:
    """Return log10 of relative magnification, float32; below 1e-3 it is cut."""
    return np.log10(np.maximum(np.asarray(curves, np.float32), LEAST))


def table_format(path: Path) -> str:
    """Return csv or npz, from the suffix of `path`; raise InputError for another."""
    kind = Path(path).suffix.lower()
    if kind not in (".csv", ".npz"):
        raise InputError(f"cannot write {path}: the name must end in .csv or .npz")
    return kind[1:]


def save_curves(path: Path, p, curves) -> Path:
    """Write curves (m, n, 300) of the sizes p (m,): .npz {"p", "mu"}, or .csv, a curve a row.

    Raises InputError for another suffix or an unwritable place.
    """
    curves, kind = np.asarray(curves), table_format(path)

    def write(temporary):
        with open(temporary, "wb") as file:
            if kind == "npz":
                return np.savez_compressed(file, p=np.asarray(p), mu=curves)
            sizes = np.repeat(p, curves.shape[1])[:, None]
            names = ",".join(["p", *(f"mu_{k}" for k in range(curves.shape[2]))])
            rows = np.concatenate([sizes, np.concatenate(curves)], 1)
            return np.savetxt(file, rows, "%.6g", ",", header=names, comments="")

    return files.atomic_write(path, write)
