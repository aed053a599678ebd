"""Checkpoints, numbers and figures on disk: where they are, how they are written and read.

A checkpoint is a dictionary of tensors, numbers and strings, so that it loads with
`weights_only=True`, and carries what is needed to understand it:
{"exercise", "settings", "weights", "metrics", "source", "torch"}.
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch

from common import checks, files
from common.settings import InputError

ROOT = Path(__file__).resolve().parent.parent


def save_checkpoint(path: Path, content: dict) -> Path:
    """Write the dictionary `content` (tensors, numbers, strings) to `path`, whole.

    Raises InputError when the place cannot be written.
    """
    content = {**content, "torch": str(torch.__version__)}
    return files.write_whole(path, lambda temporary: torch.save(content, temporary))


def load_checkpoint(path: Path, exercise: str, made_by: str, needs: dict | None = None) -> dict:
    """Read the checkpoint that `made_by` wrote for `exercise`.

    needs: names and types of what must be in it.  Code inside a file is never run, and memory is
    bounded by the file's size.  Raises InputError, naming the command to run, when the file is
    missing, damaged (a checksum is wrong), or belongs to something else.
    """
    path, again = Path(path), f"run `{made_by}` to make it"
    if not path.is_file():
        raise InputError(f"no checkpoint {path}: {again}")
    try:
        checks.archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes reach every part of the unpickler
        raise InputError(f"{path} is damaged or not a checkpoint: {again}") from error
    found = content.get("exercise") if isinstance(content, dict) else None
    if not isinstance(found, str) or found != exercise:
        found = " ".join(found[:40].split()) if isinstance(found, str) else "unknown"
        raise InputError(f"{path} is a checkpoint of {found}, not of {exercise}: {again}")
    for name, kind in (needs or {}).items():
        if not isinstance(content.get(name), kind):
            raise damaged(path, f"no {name} of type {kind.__name__}", made_by)
    return content


def damaged(path: Path, what: str, made_by: str) -> InputError:
    """Return the error that says what is wrong with the checkpoint `path`."""
    what = " ".join(what.split())[:100]
    return InputError(f"{path} is damaged ({what}): run `{made_by}` to make it")


def round_to_half(module: torch.nn.Module) -> torch.nn.Module:
    """Round the weights of `module` to float16, in place, and return it; it stays in float32.

    Checkpoints keep weights as float16 (half the bytes); rounding before the measurement makes
    what is measured what is shipped.  Raises InputError for a weight beyond float16's 65,504.
    """
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.copy_(value.half())
                if not value.isfinite().all():
                    raise InputError(f"{name} does not fit float16; lower --learning-rate")
    return module


def half(weights: dict) -> dict:
    """Return a state_dict with its floating-point tensors as float16, for `save_checkpoint`."""
    return {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}


def restore(module: torch.nn.Module, content: dict, path: Path, made_by: str) -> None:
    """Put content["weights"] into `module`; raise InputError, naming `path`, if they do not fit."""
    try:
        checks.weights(module, content["weights"])
        module.load_state_dict(content["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise damaged(path, str(error), made_by) from error


def load_model(path: Path, exercise: str, made_by: str, build, needs: dict | None = None):
    """Return (module, checkpoint): `build(**content["model"])` with the checkpoint's weights.

    The weights are first compared with a module that has shapes but no memory: what a checkpoint
    claims takes no more memory than the file has.  needs: see `load_checkpoint`.
    Raises InputError, naming the command to run, when the file is missing, damaged or foreign.
    """
    needs = {"model": dict, "weights": dict, "source": str, **(needs or {})}
    content = load_checkpoint(path, exercise, made_by, needs)
    try:
        with checks.shapes_only():
            plan = build(**content["model"])
        checks.weights(plan, content["weights"])
        model = build(**content["model"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise damaged(path, str(error), made_by) from error
    restore(model, content, path, made_by)
    return model.eval(), content


def find(name: str, out_dir: str) -> Path:
    """Return `out_dir/name` if that file exists, else the one shipped with the project."""
    own = Path(out_dir) / name
    return own if own.is_file() else ROOT / name


def save_json(path: Path, content: dict) -> Path:
    """Write `content` as sorted, indented JSON with six significant digits, whole."""
    text = json.dumps(plain(content), indent=1, sort_keys=True, allow_nan=False) + "\n"
    return files.write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def plain(value):
    """Return `value` as JSON will hold it: six significant digits, null for what is not finite."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def picture_format(path: Path) -> str:
    """Return png, pdf or svg, from the suffix of `path`; raise InputError for another."""
    kind = Path(path).suffix.lower()
    if kind not in (".png", ".pdf", ".svg"):
        raise InputError(f"cannot write {path}: the name must end in .png, .pdf or .svg")
    return kind[1:]


def save_table(path: Path, p, curves) -> Path:
    """Write curves (m, n, 300) of the sizes p (m,): .npz {"p", "mu"}, or .csv, a curve a row.

    Raises InputError for another suffix or an unwritable place.
    """
    path, curves = Path(path), np.asarray(curves)
    kind = path.suffix.lower()
    if kind not in (".csv", ".npz"):
        raise InputError(f"cannot write {path}: the name must end in .csv or .npz")

    def write(temporary):
        with open(temporary, "wb") as file:
            if kind == ".npz":
                return np.savez_compressed(file, p=np.asarray(p), mu=curves)
            rows = np.concatenate(
                [np.repeat(p, curves.shape[1])[:, None], np.concatenate(curves)], 1
            )
            names = ",".join(["p", *(f"mu_{k}" for k in range(curves.shape[2]))])
            return np.savetxt(file, rows, "%.6g", ",", header=names, comments="")

    return files.write_whole(path, write)


def save_figure(path: Path, figure) -> Path:
    """Write a matplotlib figure to `path`, whole; the same figure gives the same bytes.

    A PNG has the figure's dpi.  Raises InputError for an unknown format or an unwritable place.
    """
    kind = picture_format(path)
    stamp = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)

    def write(temporary):
        with open(temporary, "wb") as file:  # closed here: matplotlib forgets to on a full disk
            figure.savefig(file, format=kind, dpi="figure", metadata=stamp)

    return files.write_whole(path, write)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file: ties a JSON to the checkpoint that its numbers speak of."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
