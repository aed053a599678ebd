"""The light curves of exercise 2: simulate them when they are missing, split and transform them.

    python -m common.light_curves                    -> data/labels.dat, data/12345/01.dat ...
    python -m common.light_curves --map              -> figures/ex_2_map.png
    python -m common.light_curves --kappa 0.6 --gamma 0.5 --smooth-fraction 0.5 --data-dir other

Curves are in the assignment's format, relative magnification mu / <mu>.  Map 12345 has a file for
each source (disc) of size p_i = 0.1 * 1.95695^((i - 1) / 4) R_E; map 12346 is the same star field
with new tracks, map 12347 an independent star field, both for the sources that are held out.
Takes about a minute on 2 cores, 150 MB on disk; an existing data set is never touched.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from common import artifacts, curve_plots, microlensing, runtime
from common.settings import Common, InputError, option, parse

MAP, SAME_FIELD, OTHER_FIELD = "12345", "12346", "12347"
TRAIN, VALIDATION, TEST = (1, 5, 9, 13, 17, 21, 25), (7, 15, 23), (3, 11, 19)
LEAST = 1e-3  # magnifications below it are raised to it before a logarithm
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
    map: bool = option(False, "draw the magnification map, figures/ex_2_map.png, and no data set")


def radius_of(disc: int) -> float:
    """Return the half-light radius p of source `disc`, R_E; p of disc 5 is the one value known."""
    return 0.1 * 1.95695 ** ((disc - 1) / 4)


def disc_maps(settings, radii, seed: int):
    """Yield (radius, map in units of the mean) of one star field for each of `radii` [R_E]."""
    field = microlensing.star_field(
        settings.kappa, settings.gamma, settings.smooth_fraction, settings.width, seed
    )
    mu = microlensing.magnification_map(field, settings.pixels, settings.rays)
    spectrum = microlensing.spectrum_of(mu / field.mean_magnification)
    for radius in radii:
        yield (
            radius,
            microlensing.convolve(
                None, settings.width, radius, settings.profile, spectrum=spectrum
            ),
        )


def curves_of(disc_map, settings, n: int, seed) -> np.ndarray:
    """Read n random tracks off a periodic map: (n, 300) relative magnification."""
    points = microlensing.tracks(n, settings.width, settings.length, 300, seed)
    return np.maximum(microlensing.read_tracks(disc_map, settings.width, points), 1e-6)


def simulate(folder, settings: Settings) -> None:
    """Write a data set into `folder`: the marker first, labels.dat last, each file whole.

    Raises InputError when `folder` holds curves or labels that are not an unfinished simulation.
    """
    folder = Path(folder)
    own = (folder / MARK).exists() and not (folder / "labels.dat").exists()
    for name in ("labels.dat", MAP, SAME_FIELD, OTHER_FIELD):
        if (folder / name).exists() and not own:
            raise InputError(f"{folder / name} is there already: choose another --data-dir")
    every = range(1, settings.discs + 1)
    held_out = [disc for disc in every if disc in VALIDATION + TEST]
    jobs = [(MAP, disc) for disc in every]
    jobs += [(name, disc) for name in (SAME_FIELD, OTHER_FIELD) for disc in held_out]
    head = "map_id disc_id k g s p\n"
    values = f"{settings.kappa} {settings.gamma} {settings.smooth_fraction}"
    rows = [f"{name} {disc:02d} {values} {radius_of(disc):.6f}\n" for name, disc in jobs]
    labels = head + "".join(rows)
    free = ("device", "threads", "data_dir", "out_dir", "map")
    recipe = {k: v for k, v in asdict(settings).items() if k not in free}
    stamp = hashlib.sha256(labels.encode()).hexdigest()
    artifacts.save_json(
        folder / MARK, {"labels_sha256": stamp, "settings": recipe, "source": "common.light_curves"}
    )
    with tqdm(total=len(jobs), desc="simulating light curves", unit="file") as bar:
        for field, discs in ((0, every), (1, held_out)):
            radii = [radius_of(disc) for disc in discs]
            seed = settings.seed + 1000 * field
            for disc, (_, disc_map) in zip(discs, disc_maps(settings, radii, seed), strict=True):
                names = [OTHER_FIELD] if field else [MAP] + [SAME_FIELD] * (disc in held_out)
                for name in names:
                    key = [settings.seed, int(name), disc]
                    write(folder, name, disc, curves_of(disc_map, settings, settings.curves, key))
                    bar.update()
    artifacts.write_whole(folder / "labels.dat", lambda path: path.write_text(labels))


def write(folder, map_id: str, disc: int, curves) -> Path:
    """Write light curves (n, 300) as {map_id}/{disc:02d}.dat: comma separated, six decimals."""
    row = ",".join(["%.6f"] * curves.shape[1])
    text = "\n".join([row % tuple(curve) for curve in curves.tolist()]) + "\n"
    return artifacts.write_whole(
        Path(folder) / map_id / f"{disc:02d}.dat", lambda path: path.write_text(text)
    )


def folder_of(settings) -> Path:
    """Return the folder with labels.dat for a script's `settings`; simulate a data set if none is.

    Looks in --data-dir, else data/.  With --smoke a small data set is made below --out-dir unless
    --data-dir names one.
    """
    folder = Path(
        settings.data_dir or (Path(settings.out_dir) / "data" if settings.smoke else "data")
    )
    if not (folder / "labels.dat").exists():
        simulate(folder, default(settings))
    return folder


def data_folder(settings) -> Path:
    """Return --data-dir, else data/; with --smoke data/ below --out-dir."""
    return Path(
        settings.data_dir or (Path(settings.out_dir) if settings.smoke else Path(".")) / "data"
    )


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
                f"simulated, kappa = {s['kappa']:g}, gamma = {s['gamma']:g}, "
                f"s = {s['smooth_fraction']:g}, {s['width']:g} R_E, {s['profile']}, "
                f"seed {s['seed']}"
            )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return f"{folder / 'labels.dat'}"


@dataclass(frozen=True)
class Split:
    """Light curves (n, 300) float32 by source size p, in five roles, some of them empty."""

    train: dict
    validation: dict  # held out for choosing settings
    test: dict  # held out for the reported numbers: sources between those trained on
    again: dict  # as `test`, the same star field, new tracks
    independent: dict  # as `test`, an independent star field


def split(x: dict, y: dict) -> Split:
    """Sort what `data_loader.dataloader` returned into the roles of `Split`.

    The first map is the one trained on.  If it has none of the held-out sources (discs 03, 11,
    19) every tenth curve of each source is held out instead.  Raises InputError without curves.
    """
    if not x:
        raise InputError("no light curves: labels.dat lists none")
    first = next(iter(x)).rsplit("_", 1)[0]

    def role(map_id, discs):
        keys = [f"{map_id}_{disc:02d}" for disc in discs]
        return _gathered(x, y, [key for key in keys if key in x])

    own = sorted(int(key.rsplit("_", 1)[1]) for key in x if key.rsplit("_", 1)[0] == first)
    train, test = role(first, TRAIN) or role(first, own), role(first, TEST)
    if not test:
        test = {p: curves[::10] for p, curves in train.items()}
        train = {p: np.delete(curves, np.s_[::10], 0) for p, curves in train.items()}
        if min(map(len, train.values())) == 0:
            raise InputError("light curves: a source has only one; at least two are needed")
    validation = role(first, VALIDATION)
    again, independent = role(SAME_FIELD, TEST), role(OTHER_FIELD, TEST)
    return Split(train, validation, test, again, independent)


def by_size(x: dict, y: dict, each: int) -> dict:
    """Return the first `each` curves of every source of the first map: {p: (each, 300)}, sorted."""
    first = next(iter(x), "").rsplit("_", 1)[0]
    keys = sorted((key for key in x if key.rsplit("_", 1)[0] == first), key=lambda k: y[k][0, 3])
    return {p: curves[:each] for p, curves in _gathered(x, y, keys, each).items()}


def _gathered(x: dict, y: dict, keys, each: int | None = None) -> dict:
    """Return {p: curves (n, 300) float32} of the files `keys`; files of the same p are joined."""
    found = {}
    for key in keys:
        found.setdefault(float(y[key][0, 3]), []).append(x[key][:each].astype(np.float32))
    return {p: np.concatenate(c) if len(c) > 1 else c[0] for p, c in found.items()}


def stacked(train: dict, limit: int = 0):
    """Return (x (n, 300), p (n,), spread (n,)), float32, of the curves {p: (n_p, 300)} together.

    x: log10 relative magnification; spread: its standard deviation over the curves of the source;
    limit: take so many curves of each source, 0 takes all.
    """
    parts = {p: torch.from_numpy(to_log(curves[: limit or None])) for p, curves in train.items()}
    rows = [(x, torch.full((len(x),), p), x.std().expand(len(x))) for p, x in parts.items()]
    return tuple(torch.cat(column) for column in zip(*rows, strict=True))


def to_log(curves) -> np.ndarray:
    """Return log10 of relative magnification, float32; below 1e-3 it is cut."""
    return np.log10(np.maximum(np.asarray(curves, np.float32), LEAST))


def draw_map(settings) -> dict:
    """Write figures/ex_2_map.png: the map of a point source, whole and in part; its mean."""
    macro = (settings.kappa, settings.gamma, settings.smooth_fraction)
    field = microlensing.star_field(*macro, settings.width, settings.seed)
    mu = microlensing.magnification_map(field, settings.pixels, settings.rays)
    title = (
        f"Magnification map of {len(field.stars):,} stars, kappa = {macro[0]:g}, gamma = "
        f"{macro[1]:g}, s = {macro[2]:g}; the bright lines are caustics\nmean magnification "
        f"{mu.mean():.9f}, exact {field.mean_magnification:.9f}"
    )
    part = min(10.0, settings.width)
    figure = curve_plots.magnification(mu / field.mean_magnification, settings.width, part, title)
    print(artifacts.save_figure(Path(settings.out_dir) / "figures/ex_2_map.png", figure))
    return {"mean": mu.mean(), "exact": field.mean_magnification}


def main(argv=None) -> dict:
    """Simulate a data set into --data-dir (default data/), or draw the map."""
    settings = parse(Settings, __doc__, argv)
    runtime.start(settings)
    if settings.map:
        return draw_map(settings)
    folder = data_folder(settings)
    simulate(folder, settings)
    print(folder / "labels.dat", source_of(folder), sep=": ")
    return asdict(settings)


if __name__ == "__main__":
    runtime.run(main)
