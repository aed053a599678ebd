"""Simulate the data set of exercise 2 in the assignment's format, when it is missing.

Curves are relative magnifications mu / <mu>.  Map 12345 has a file for each source (disc) of size
p_i = 0.1 * 1.95695^((i - 1) / 4) R_E; maps 12347 and 12348 are independent star fields, for
choosing settings and for the reported numbers, with the sources of these roles (data.py).
An existing data set is never touched.
"""

import contextlib
import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.light_curves import microlensing
from common.light_curves.data import MAP, TEST, TEST_FIELD, VALIDATION, VALIDATION_FIELD
from common.light_curves.profiles import PROFILES
from common.runtime import files, results
from common.runtime.errors import InputError
from common.runtime.options import Common, option, resume_key

SIMULATED = "simulated, kappa = "  # how `source_of` begins for this simulator's data
STAMP = ", SHA-256 "  # what follows tells own data from others
TRACKS = ", tracks of "  # how a length other than the usual one is told
MARK = "simulated.json"  # beside labels.dat: how the data were made


@dataclass(frozen=True)
class Settings(Common):
    """What is simulated."""

    kappa: float = option(0.4, "convergence", minimum=0.0, maximum=10.0)
    gamma: float = option(0.4, "shear", minimum=-10.0, maximum=10.0)
    smooth_fraction: float = option(0.0, "share of kappa in smooth matter", minimum=0, maximum=1)
    discs: int = option(
        25, "sources, p_i = 0.1 * 1.95695^((i - 1) / 4)", minimum=1, maximum=40, smoke=9
    )
    curves: int = option(2000, "light curves a source", minimum=2, maximum=10**6, smoke=60)
    length: float = option(4.5, "of a track [R_E]", minimum=1e-3, maximum=1e3)
    width: float = option(100.0, "of the source plane [R_E]", minimum=1, maximum=1e4, smoke=8.0)
    pixels: int = option(5000, "of the map, a side", minimum=16, maximum=20000, smoke=400)
    rays: float = option(5.0, "rays a pixel", minimum=0.1, maximum=1000.0)
    profile: str = option("gaussian", "of the source", choices=[*PROFILES])
    map: bool = option(
        False, "draw the magnification map, ex_2_map.png, and no data set", trains=False
    )


def radius_of(disc: int) -> float:
    """Return the half-light radius p of source `disc`, R_E; p of disc 5 is the one value known."""
    return 0.1 * 1.95695 ** ((disc - 1) / 4)


def field_of(settings, seed: int) -> microlensing.StarField:
    """Return the star field of these `settings`."""
    macro = (settings.kappa, settings.gamma, settings.smooth_fraction)
    return microlensing.star_field(*macro, settings.width, seed)


def disc_maps(settings, radii, seed: int):
    """Yield (radius, map in units of the mean) of one star field for each of `radii` [R_E]."""
    if not radii:
        return
    field = field_of(settings, seed)
    mu = microlensing.magnification_map(field, settings.pixels, settings.rays)
    spectrum = microlensing.spectrum_of(mu / field.mean_magnification)
    for radius in radii:
        yield radius, microlensing.convolve(spectrum, field.width, radius, settings.profile)


def curves_of(disc_map, settings, n: int, seed) -> np.ndarray:
    """Read n random tracks off a periodic map: (n, 300) relative magnification."""
    points = microlensing.tracks(n, settings.width, settings.length, 300, seed)
    return np.maximum(microlensing.read_tracks(disc_map, settings.width, points), 1e-6)


def simulate(folder, settings: Settings) -> None:
    """Write a data set into `folder`: the marker first, labels.dat last, each file whole.

    Two runs do not mix: the second waits, and is content if what it finds then is the same.
    Raises InputError when `folder` holds curves or labels that are not an unfinished simulation.
    """
    folder = Path(folder)
    field_of(replace(settings, width=1.0), 0)  # raises if impossible
    if (pixel := settings.width / settings.pixels) > radius_of(1):
        raise InputError(f"a pixel of {pixel:.3g} R_E is larger than a source: give more --pixels")
    _check_free(folder)
    with files.exclusive(folder) as waited:
        same = waited and is_simulated(folder)
        if not (same and resume_key(made_with(folder)) == results.to_json(resume_key(settings))):
            _check_free(folder)
            _simulate(folder, settings)


def _check_free(folder) -> None:
    """Raise InputError if `folder` holds labels, or curves that are no unfinished simulation."""
    unfinished = (folder / MARK).exists() and not (folder / "labels.dat").exists()
    for name in ("labels.dat", MAP, VALIDATION_FIELD, TEST_FIELD):
        if (folder / name).exists() and not unfinished:
            raise InputError(f"{folder / name} is there already: choose another --data-dir")


def _simulate(folder, settings: Settings) -> None:
    every = range(1, settings.discs + 1)
    fields = {MAP: every, VALIDATION_FIELD: VALIDATION, TEST_FIELD: TEST}
    jobs = [(name, disc) for name, discs in fields.items() for disc in discs if disc in every]
    values = f"{settings.kappa} {settings.gamma} {settings.smooth_fraction}"
    rows = [f"{name} {disc:02d} {values} {radius_of(disc):.6f}\n" for name, disc in jobs]
    labels = "map_id disc_id k g s p\n" + "".join(rows)
    mark = {"labels_sha256": hashlib.sha256(labels.encode()).hexdigest()}
    mark |= {"settings": resume_key(settings), "source": "common.light_curves"}
    results.save_json(folder / MARK, mark)
    with tqdm(total=len(jobs), desc="simulating", unit="file", dynamic_ncols=True) as bar:
        for number, name in enumerate(fields):
            discs = [disc for field, disc in jobs if field == name]
            maps = disc_maps(settings, [*map(radius_of, discs)], settings.seed + 1000 * number)
            for disc, (_, disc_map) in zip(discs, maps, strict=True):
                key = [settings.seed, int(name), disc]
                curves = curves_of(disc_map, settings, settings.curves, key)
                write = partial(np.savetxt, X=curves, fmt="%.6f", delimiter=",")
                files.atomic_write(folder / name / f"{disc:02d}.dat", write)
                bar.update()
    files.atomic_write(folder / "labels.dat", lambda path: path.write_text(labels, newline="\n"))


def folder_of(settings) -> Path:
    """Return `data_folder`, with labels.dat in it: a data set is simulated if there is none."""
    folder = data_folder(settings)
    if not (folder / "labels.dat").exists():
        simulate(folder, default(settings))
    return folder


def data_folder(settings) -> Path:
    """Return --data-dir, else data/; with --smoke data/ below --out-dir.

    Raises InputError for a --data-dir without light curves.
    """
    if settings.data_dir and not (Path(settings.data_dir) / "labels.dat").exists():
        make = f"python -m common.light_curves --data-dir {settings.data_dir}"
        raise InputError(f"--data-dir {settings.data_dir}: no labels.dat; `{make}` simulates it")
    return Path(settings.data_dir or Path(settings.out_dir if settings.smoke else ".") / "data")


def is_simulated(folder) -> bool:
    """Tell whether the light curves in `folder` are unmodified output of this simulator."""
    return source_of(folder).startswith(SIMULATED)


def truth_of(settings, source: str, read_labels) -> Settings:
    """Return what to simulate as the truth beside generated curves.

    It is made as simulated data were, and beside other people's with the convergence, shear and
    smooth fraction of their labels.  source: of the data that the model was trained on;
    read_labels: `data_loader.read_labels`.  Raises InputError.
    """
    folder, own = data_folder(settings), default(settings)
    if not check_together(folder, source):
        return own
    if is_simulated(folder) and not settings.smoke:
        return made_with(folder)
    macro = {tuple(values[:3].tolist()) for *_, values in read_labels(folder / "labels.dat")}
    if len(macro) > 1:
        raise InputError(f"{folder / 'labels.dat'}: several k, g, s: no single truth; take --p")
    kappa, gamma, smooth = macro.pop()
    return replace(own, kappa=kappa, gamma=gamma, smooth_fraction=smooth)


def made_with(folder) -> Settings:
    """Return what the simulated data in `folder` were made with."""
    return Settings(**results.read_json(Path(folder) / MARK)["settings"])


def check_together(folder, source: str) -> bool:
    """Tell whether `folder` holds data; raise InputError if a model of `source` is foreign to them.

    source: of the data that the model was trained on.
    """
    there = source_of(folder) if (Path(folder) / "labels.dat").exists() else ""
    both = source.startswith(SIMULATED) and (there or source).startswith(SIMULATED)
    if there.split(STAMP)[-1] != source.split(STAMP)[-1] and not both:
        raise InputError(
            f"the model was trained on {source}, and {folder} holds {there or 'nothing'}: "
            "--model and --data-dir must belong together"
        )
    return bool(there)


def default(settings) -> Settings:
    """Return what is simulated for a script with these `settings`: small with --smoke."""
    small = {"width": 8.0, "pixels": 400, "curves": 60, "discs": 9}
    return Settings(**(small if settings.smoke else {}))


def source_of(folder) -> str:
    """Say where the data in `folder` come from: this simulator, or labels.dat and its SHA-256."""
    labels, mark, stamp = Path(folder) / "labels.dat", Path(folder) / MARK, ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        if labels.is_file():  # a pipe would be read for ever
            stamp = files.sha256(labels)
        mark = results.read_json(mark) if mark.is_file() else {}
        if mark["labels_sha256"] == stamp:
            s = mark["settings"]
            other = "" if s["length"] == Settings().length else f"{TRACKS}{s['length']:g} R_E"
            return (
                f"{SIMULATED}{s['kappa']:g}, gamma = {s['gamma']:g}, s = {s['smooth_fraction']:g}, "
                f"{s['width']:g} R_E, {s['profile']}, seed {s['seed']}{other}"
            )
    return f"{labels}{STAMP}{stamp[:8]}"
