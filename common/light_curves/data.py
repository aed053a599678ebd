"""Light curves as the scripts use them: sorted into roles, by source size, stacked, logarithmic."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common.light_curves.model import to_code
from common.runtime import files
from common.runtime.errors import InputError

MAP, VALIDATION_FIELD, TEST_FIELD = "12345", "12347", "12348"  # three star fields
TRAIN, VALIDATION = (1, 5, 9, 13, 17, 21, 25), (7, 15, 23)
TEST = tuple(sorted((3, 6, 11, 14, 19, *TRAIN)))  # between the sizes trained on, and these
LEAST = 1e-3  # magnifications below it are raised to it before a logarithm


@dataclass(frozen=True)
class Split:
    """Light curves (n, 300) float32 by source size p, in four roles, some of them empty."""

    train: dict
    validation: dict  # of another star field, for choosing settings
    test: dict  # of a third one, for the reported numbers
    same_field: dict  # of the field that is trained on, of every size: what a floor is made of


def split(x: dict, y: dict) -> Split:
    """Sort the simulated set, as `data_loader.dataloader` gives it, into the roles of `Split`.

    Raises InputError for one without a star field to test on, as older versions simulated it.
    """

    def role(map_id, discs):
        keys = (f"{map_id}_{disc:02d}" for disc in discs)
        return _gathered(x, y, [key for key in keys if key in x])

    test = role(TEST_FIELD, TEST)
    if not test:
        raise InputError(f"light curves: no map {TEST_FIELD}; simulate them anew elsewhere")
    validation, same_field = role(VALIDATION_FIELD, VALIDATION), role(MAP, range(1, 100))
    return Split(role(MAP, TRAIN), validation, test, same_field)


def split_own(x: dict, y: dict, hold_out=()) -> tuple[Split, dict]:
    """Sort any other set: whole source sizes are held out, or curves where there are few sizes.

    hold_out: the sizes p, to 1 %; () takes every fourth in order of p, and of fewer than five sizes
    every fourth curve.  No curve is in two roles; files of one p are joined, whatever their map.
    Returns (split, {key: its role in words}).  Raises InputError for a size that is not there, and
    when nothing is left to train on.
    """
    size = {key: float(y[key][0, 3]) for key in sorted(x, key=lambda key: y[key][0, 3])}
    sizes = sorted(set(size.values()))
    held = set(sizes[2:-1:4]) if len(sizes) > 4 and not hold_out else set()
    for q in hold_out:
        near = {p for p in sizes if abs(p - q) <= 0.01 * p}
        if not near:
            there = ", ".join(f"{p:g}" for p in sizes)
            raise InputError(f"--hold-out {q:g}: no such source size; there are {there}")
        held |= near
    if held == set(sizes):
        raise InputError("nothing is left to train on: hold out fewer source sizes")
    if held:
        role = {key: "held out" if p in held else "trained on" for key, p in size.items()}
        train, test = (
            _gathered(x, y, [key for key in role if role[key] == name])
            for name in ("trained on", "held out")
        )
        return Split(train, {}, test, {}), role
    train = _gathered(x, y, size, lambda curves: np.delete(curves, np.s_[::4], 0))
    if min(map(len, train.values())) == 0:
        raise InputError("light curves: a source has only one; at least two are needed")
    test = _gathered(x, y, size, lambda curves: curves[::4])
    return Split(train, {}, test, {}), dict.fromkeys(size, "every fourth curve held out of")


def by_size(x: dict, y: dict, each: int, simulated: bool = True) -> dict:
    """Return the first `each` curves of every source: {p: (each, 300)}, sorted.

    simulated: of the map that is trained on alone; else of all maps.
    """
    keys = [key for key in x if not simulated or key.startswith(MAP)]
    found = _gathered(x, y, sorted(keys, key=lambda key: y[key][0, 3]))
    return {p: curves[:each] for p, curves in found.items()}


def _gathered(x: dict, y: dict, keys, take=np.asarray) -> dict:
    """Return {p: take(curves) (n, 300) float32} of the files `keys`; those of one p are joined."""
    found = {}
    for key in keys:
        found.setdefault(float(y[key][0, 3]), []).append(take(x[key]).astype(np.float32))
    return {p: np.concatenate(curves) for p, curves in found.items()}


def stacked(train: dict, edge: float, limit: int = 0):
    """Return (x (n, 300), p (n,)), float32, of the curves {p: (n_p, 300)} together.

    x: codes of relative magnification above `edge` (see `model.from_code`); limit: take so many
    curves of each source, 0 takes all.
    """
    x = [to_code(to_log(curves[: limit or None]), edge) for curves in train.values()]
    p = [torch.full((len(part),), size) for size, part in zip(train, x, strict=True)]
    return torch.cat(x), torch.cat(p)


def digest(curves: dict) -> str:
    """Return a SHA-256 of curves {p: (n, 300)}: other data, other digest."""
    found = hashlib.sha256(repr(list(curves)).encode())
    for part in curves.values():
        found.update(np.ascontiguousarray(part))
    return found.hexdigest()


def to_log(curves) -> np.ndarray:
    """Return log10 of relative magnification, float32; below 1e-3 it is cut."""
    return np.log10(np.maximum(np.asarray(curves, np.float32), LEAST))


def save_curves(path: Path, p, curves) -> Path:
    """Write curves (m, n, 300) of the sizes p (m,): .npz {"p", "mu"}, or .csv, a curve a row.

    Raises InputError for another suffix or an unwritable place.
    """
    curves, kind = np.asarray(curves), Path(path).suffix.lower()
    if kind not in (".csv", ".npz"):
        raise InputError(f"cannot write {path}: the name must end in .csv or .npz")
    if kind == ".npz":
        return files.save_npz(path, p=np.asarray(p), mu=curves)
    rows = np.column_stack([np.repeat(p, curves.shape[1]), np.concatenate(curves)])
    names = ",".join(["p", *(f"mu_{k}" for k in range(curves.shape[2]))])
    form = {"fmt": "%.6g", "delimiter": ",", "header": names, "comments": ""}
    return files.atomic_write(path, lambda temporary: np.savetxt(temporary, rows, **form))
