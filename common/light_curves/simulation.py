"""Simulate the data set of exercise 2 in the assignment's format, when it is missing.

Curves are relative magnifications mu / <mu>.  Map 12345 has a file for each source (disc) of size
p_i = 0.1 * 1.95695^((i - 1) / 4) R_E; map 12346 is the same star field with new tracks, map 12347
an independent star field, both for the sources that are held out.
Takes about a minute on 2 cores, 150 MB on disk; an existing data set is never touched.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from common.light_curves import microlensing
from common.light_curves.data import MAP, OTHER_FIELD, SAME_FIELD, TEST, VALIDATION
from common.runtime import files, results
from common.runtime.errors import InputError
from common.runtime.options import Common, option, resume_key

import numpy as np
from tqdm import tqdm

SIMULATED = "simulated, kappa = "  # how `source_of` begins for this simulator's data
MARK = "simulated.json"  # beside labels.dat: how the data were made


@dataclass(frozen=True)
class Settings(Common):
    """What is simulated."""

    kappa: float = option(0.4, "convergence", minimum=0.0, maximum=10.0)
    gamma: float = option(0.4, "shear", minimum=-10.0, maximum=10.0)
    smooth_fraction: float = option(0.0, "share of kappa in smooth matter", minimum=0, maximum=1)
    discs: int = option(25, "sources, p_i = 0.1 * 1.95695^((i - 1) / 4)", minimum=1, maximum=40)
    curves: int = option(2000, "light curves a source", minimum=2, maximum=10**6, smoke=60)
    length: float = option(4.5, "of a track [R_E]", minimum=1e-3, maximum=1e3)
    width: float = option(100.0, "of the source plane [R_E]", minimum=1, maximum=1e4, smoke=8.0)
    pixels: int = option(5000, "of the map, a side", minimum=16, maximum=20000, smoke=400)
    rays: float = option(5.0, "rays a pixel", minimum=0.1, maximum=1000.0)
    profile: str = option("gaussian", "of the source", choices=[*microlensing.PROFILES])
    map: bool = option(
        False, "draw the magnification map, figures/ex_2_map.png, and no data set", trains=False
    )


def radius_of(disc: int) -> float:
    """Return the half-light radius p of source `disc`, R_E; p of disc 5 is the one value known."""
    return 0.1 * 1.95695 ** ((disc - 1) / 4)


def disc_maps(settings, radii, seed: int):
    """Yield (radius, map in units of the mean) of one star field for each of `radii` [R_E]."""
    macro = (settings.kappa, settings.gamma, settings.smooth_fraction)
    field = microlensing.star_field(*macro, settings.width, seed)
    mu = microlensing.magnification_map(field, settings.pixels, settings.rays)
    spectrum = microlensing.spectrum_of(mu / field.mean_magnification)
    width, profile = settings.width, settings.profile
    for radius in radii:
        yield radius, microlensing.convolve(None, width, radius, profile, spectrum=spectrum)


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
    microlensing.star_field(settings.kappa, settings.gamma, settings.smooth_fraction, 1.0)  # sane?
    with files.exclusive(folder) as waited:
        if not (waited and _recipe_in(folder) == _recipe(settings)):
            _simulate(folder, settings)


def _recipe(settings) -> dict:
    """Return what makes two simulations the same, as JSON keeps it."""
    return results.to_json(resume_key(settings))


def _recipe_in(folder):
    """Return the recipe of the finished simulation in `folder`; None if there is none."""
    if is_simulated(folder):
        return json.loads((folder / MARK).read_text(encoding="utf-8"))["settings"]
    return None


def _simulate(folder, settings: Settings) -> None:
    every = range(1, settings.discs + 1)
    held_out = [disc for disc in every if disc in VALIDATION + TEST]
    labels = labels_of(settings, every, held_out)
    _begin(folder, labels, settings)
    fields = [
        {disc: [MAP] + [SAME_FIELD] * (disc in held_out) for disc in every},
        {disc: [OTHER_FIELD] for disc in held_out},
    ]
    total = sum(len(names) for field in fields for names in field.values())
    with tqdm(total=total, desc="simulating", unit="file", dynamic_ncols=True) as bar:
        for number, names in enumerate(fields):
            radii = [radius_of(disc) for disc in names]
            maps = disc_maps(settings, radii, settings.seed + 1000 * number) if names else ()
            for disc, (_, disc_map) in zip(names, maps, strict=True):
                for name in names[disc]:
                    key = [settings.seed, int(name), disc]
                    write(folder, name, disc, curves_of(disc_map, settings, settings.curves, key))
                    bar.update()
    files.atomic_write(folder / "labels.dat", lambda path: path.write_text(labels, newline="\n"))


def labels_of(settings, every, held_out) -> str:
    """Return the text of labels.dat for the sources `every` and the held-out ones of both tests."""
    jobs = [(MAP, disc) for disc in every]
    jobs += [(name, disc) for name in (SAME_FIELD, OTHER_FIELD) for disc in held_out]
    values = f"{settings.kappa} {settings.gamma} {settings.smooth_fraction}"
    rows = [f"{name} {disc:02d} {values} {radius_of(disc):.6f}\n" for name, disc in jobs]
    return "map_id disc_id k g s p\n" + "".join(rows)


def _begin(folder, labels, settings):
    """Write the marker; raise InputError if `folder` holds anything but a simulation begun."""
    own = (folder / MARK).exists() and not (folder / "labels.dat").exists()
    for name in ("labels.dat", MAP, SAME_FIELD, OTHER_FIELD):
        if (folder / name).exists() and not own:
            raise InputError(f"{folder / name} is there already: choose another --data-dir")
    mark = {"labels_sha256": hashlib.sha256(labels.encode()).hexdigest()}
    mark |= {"settings": _recipe(settings), "source": "common.light_curves"}
    results.save_json(folder / MARK, mark)


def write(folder, map_id: str, disc: int, curves) -> Path:
    """Write light curves (n, 300) as {map_id}/{disc:02d}.dat: comma separated, six decimals."""
    row = ",".join(["%.6f"] * curves.shape[1])
    text = "\n".join([row % tuple(curve) for curve in curves.tolist()]) + "\n"
    return files.atomic_write(
        Path(folder) / map_id / f"{disc:02d}.dat", lambda path: path.write_text(text, newline="\n")
    )


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


def truth_of(settings, source: str, read_labels) -> tuple[Path, Settings]:
    """Return (folder to keep it in, what to simulate) as the truth beside generated curves.

    It has the convergence, shear and smooth fraction that the labels of the data say.  Nothing is
    written into a folder with other people's data.  source: of the data that the model was trained
    on; read_labels: `data_loader.read_labels`.  Raises InputError when those are not known.
    """
    folder, own = data_folder(settings), default(settings)
    there = source_of(folder) if (folder / "labels.dat").exists() else ""
    both = all(one.startswith(SIMULATED) for one in (there or source, source))
    if there != source and not both:
        raise InputError(
            f"the model was trained on {source}, and {folder} holds {there or 'nothing'}: "
            "--model and --data-dir must belong together"
        )
    if not there:
        return folder, own
    macro = {tuple(values[:3].tolist()) for *_, values in read_labels(folder / "labels.dat")}
    if len(macro) > 1:
        raise InputError(f"{folder / 'labels.dat'}: several k, g, s: no single truth; take --p")
    kappa, gamma, smooth = macro.pop()
    own = dataclasses.replace(own, kappa=kappa, gamma=gamma, smooth_fraction=smooth)
    return folder if is_simulated(folder) else Path(settings.out_dir) / "data", own


def default(settings) -> Settings:
    """Return what is simulated for a script with these `settings`: small with --smoke."""
    return Settings(**({"width": 8.0, "pixels": 400, "curves": 60} if settings.smoke else {}))


def source_of(folder) -> str:
    """Say where the data in `folder` come from: this simulator, or somewhere else."""
    folder = Path(folder)
    try:
        if not (folder / MARK).is_file():
            return f"{folder / 'labels.dat'}"
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        s, labels = mark["settings"], (folder / "labels.dat").read_bytes()
        if mark["labels_sha256"] == hashlib.sha256(labels).hexdigest():
            return (
                f"{SIMULATED}{s['kappa']:g}, gamma = {s['gamma']:g}, "
                f"s = {s['smooth_fraction']:g}, {s['width']:g} R_E, {s['profile']}, "
                f"seed {s['seed']}"
            )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return f"{folder / 'labels.dat'}"
