"""The light curves of exercise 2: simulated once into data/, or your own, as arrays by size p.

    train, test = load()[:2]                {p: (n, 300)} relative magnification mu / <mu>, float32
    curves = sizes(each=80)                 {p: (80, 300)} of every size
    truth = reference([0.01, 0.3], n=500)   {p: (2, 500, 300)} simulated curves of any size
    simulate("data", Simulation())          a data set in the assignment's format

Sizes p are half-light radii in Einstein radii R_E of a star of mean mass.  Three star fields are
simulated: data/ is trained on, data/validation/ serves to choose settings and data/test/ to report
numbers; the last two are made when they are first asked for.
"""

import contextlib
import hashlib
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

import data_loader
from common import microlensing
from common.training import InputError, check, say, write_whole

SAMPLES = 300  # values in a light curve
LENGTH = 4.5  # of a track across the map, R_E
LEAST = 1e-6  # relative magnification of simulated curves; LOG_LEAST is cut before a logarithm
LOG_LEAST = 1e-3

TRAIN = (1, 5, 9, 13, 17, 21, 25)  # numbers of the sources (discs) of data/ that are trained on
VALIDATION = (1, 3, 5, 7, 11, 15, 23)  # of data/validation/
TEST = tuple(sorted((3, 6, 11, 14, 19, *TRAIN)))  # of data/test/: those trained on, and between

LABELS = "labels.dat"
MARK = "simulated.json"  # beside labels.dat: what was simulated
DEFAULT = "data"


# --- settings -----------------------------------------------------------------------------------


@dataclass
class Simulation:
    """What is simulated: a field of stars, sources that move behind it, and their light curves."""

    kappa: float = 0.4  # convergence
    gamma: float = 0.4  # shear
    smooth_fraction: float = 0.0  # share of kappa that is smooth matter, not stars
    masses: Literal["equal", "salpeter", "kroupa"] = "equal"  # of the stars; their mean is 1
    profile: Literal["gaussian", "uniform", "shakura-sunyaev"] = "gaussian"  # of the source
    p: tuple[float, ...] = ()  # sizes of sources [R_E]; none: 25, 0.1 * 1.95695^((i - 1) / 4)
    curves: int = 2000  # of each source
    length: float = LENGTH  # of a track [R_E]
    width: float = 100.0  # of the source plane [R_E], which repeats itself
    pixels: int = 5000  # of the magnification map, a side
    rays: float = 5.0  # a pixel
    seed: int = 0

    @property
    def pixel(self) -> float:
        """Side of a pixel of the map, R_E."""
        return self.width / self.pixels

    @property
    def radii(self) -> dict[int, float]:
        """Size p of each source by its number, 1, 2, ..., to six decimals, as labels.dat has it."""
        radii = self.p or [0.1 * 1.95695 ** (i / 4) for i in range(25)]  # p of source 5 is known
        return {disc: round(float(p), 6) for disc, p in enumerate(radii, start=1)}


class Part(NamedTuple):
    """A star field: the name of its map, what is added to the seed, and its sources."""

    map_id: str
    seed: int
    discs: tuple[int, ...]


PARTS = {
    "train": Part("12345", 0, tuple(range(1, 26))),
    "validation": Part("12347", 1000, VALIDATION),
    "test": Part("12349", 7000, TEST),
}


def check_simulation(simulation: Simulation) -> None:
    """Raise InputError, in a line, for a setting that is out of range."""
    check(simulation, kappa=(0, 10), gamma=(-10, 10), smooth_fraction=(0, 1), seed=(0, 2**62))
    check(simulation, curves=(2, 10**6), length=(1e-3, 1e3), width=(1, 1e4), rays=(0.1, 1000))
    check(simulation, pixels=(16, 20_000))

    radii = list(simulation.radii.values())
    for p in radii:
        if not simulation.pixel <= p <= 100:
            pixel = f"a pixel of the map is {simulation.pixel:.3g} R_E"
            raise InputError(f"p = {p:g}: {pixel}; give p from that to 100, or more --pixels")
    if len(set(radii)) < len(radii):
        raise InputError("--p: a size is given twice; give each once")


# --- training and test curves -------------------------------------------------------------------


class Data(NamedTuple):
    """Curves by source size, {p: (n, 300)} float32 in order of p, and where they are from."""

    train: dict[float, np.ndarray]
    test: dict[float, np.ndarray]
    about: str
    simulated: bool
    folder: Path


def load(data_dir: str | Path = "", hold_out: tuple[float, ...] = (), part: str = "test") -> Data:
    """Return the curves to train on and those to test on.

    data_dir: folder with labels.dat; "" is data/, simulated if it is not there.  part: "test", or
    "validation" to choose settings.  Simulated curves: seven sizes are trained on; those tested on
    are of another star field, data_dir/PART, simulated if it is not there.  Your own: see
    `split_own`; hold_out are the sizes p to test on.
    Raises InputError for a folder without curves, bad files, and a hold_out that is not there.
    """
    if part not in ("validation", "test"):
        raise InputError(f"part {part!r}: give validation or test")
    folder = _folder(data_dir)
    simulation = made_with(folder)
    if simulation is None:
        train, test = split_own(_own(folder), hold_out)
        about = f"own curves in {folder}, trained on p = {_listed(train)}, tested on "
        whole = not set(train) & set(test)
        about += f"p = {_listed(test)}" if whole else "every fourth curve, which is held out"
        say(about)
        return Data(train, test, about, False, folder)

    if hold_out:
        raise InputError("--hold-out has no effect on simulated curves, whose roles are fixed")
    other = folder / part
    if not (other / LABELS).exists():
        say(f"no {other / LABELS}: simulating another star field to test on")
        simulate(other, simulation, PARTS[part].map_id)
    elif made_with(other) != simulation:
        raise InputError(f"{other}: simulated with other settings than {folder}; delete {other}")
    train = _read(folder, None if simulation.p else TRAIN)
    return Data(train, _read(other), _about(simulation), True, folder)


def sizes(data_dir: str | Path = "", each: int = 80) -> dict[float, np.ndarray]:
    """Return the first `each` curves of every size in data_dir: {p: (each, 300)} float32.

    Simulated ones are of the star field that is trained on.  Raises InputError as `load` does.
    """
    folder = _folder(data_dir)
    if made_with(folder) is None:
        return {p: curves[:each] for p, curves in _own(folder).items()}
    return _read(folder, rows=each)


def split_own(curves: dict, hold_out=()) -> tuple[dict, dict]:
    """Return (train, test) of curves {p: (n, 300)}; no curve is in both.

    Whole sizes are held out for the test: those of hold_out, to 1 %, or else every fourth in order
    of p.  Of four sizes or fewer every fourth curve is held out.
    Raises InputError for a size that is not there or has one curve, and if none is left to train.
    """
    there = sorted(curves)
    for p in there:
        if len(curves[p]) < 2:
            raise InputError(f"p = {p:g} has only one light curve; give two or more of each size")
    held = set(there[2:-1:4]) if len(there) > 4 and not hold_out else set()
    for p in hold_out:
        near = {q for q in there if abs(q - p) <= 0.01 * q}
        if not near:
            raise InputError(f"--hold-out {p:g}: no such size; there are {_listed(there)}")
        held |= near
    if held == set(there):
        raise InputError("--hold-out: no size is left to train on; hold out fewer")

    if held:
        train = {p: curves[p] for p in there if p not in held}
        return train, {p: curves[p] for p in sorted(held)}
    train = {p: np.delete(curves[p], np.s_[::4], axis=0) for p in there}
    return train, {p: curves[p][::4] for p in there}


def made_with(folder) -> Simulation | None:
    """Return what the curves in `folder` were simulated with; None if they are your own.

    Raises InputError for a simulated.json that does not tell.
    """
    path = Path(folder) / MARK
    if not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return Simulation(**settings | {"p": tuple(settings["p"])})
    except (OSError, ValueError, TypeError, KeyError):
        cure = f"delete it and {LABELS} to simulate anew, or it alone if the curves are your own"
        raise InputError(f"{path}: damaged, or of an earlier version; {cure}") from None


def _folder(data_dir) -> Path:
    """Return the folder with labels.dat; data/ is simulated if it is not there."""
    folder = Path(data_dir or DEFAULT)
    if (folder / LABELS).exists():
        return folder
    command = "python -m common.light_curves"
    if data_dir:
        make = f"`{command} --data-dir {data_dir}` simulates it"
        raise InputError(f"--data-dir {data_dir}: no {LABELS} there; {make}")
    say(f"no {folder / LABELS}: simulating it, as `{command}` does")
    simulate(folder, Simulation())
    return folder


def _read(folder: Path, discs=None, rows: int | None = None) -> dict:
    """Return {p: (n, 300) float32} of a simulated folder; discs: of these sources only."""
    curves = {}
    for map_id, disc_id, labels in data_loader.read_labels(folder / LABELS):
        if discs is None or int(disc_id) in discs:
            path = folder / map_id / f"{disc_id}.dat"
            curves[float(labels[3])] = data_loader.read_curves(path, rows).astype(np.float32)
    return dict(sorted(curves.items()))


def _own(folder: Path) -> dict:
    """Return {p: (n, 300) float32} of your own curves; files of one p are joined."""
    x, y = data_loader.dataloader(folder)
    parts = {}
    for key, curves in x.items():
        parts.setdefault(float(y[key][0, 3]), []).append(curves.astype(np.float32))
    return {p: np.concatenate(parts[p]) for p in sorted(parts)}


def _about(simulation: Simulation) -> str:
    macro = f"kappa = {simulation.kappa:g}, gamma = {simulation.gamma:g}"
    stars = f"s = {simulation.smooth_fraction:g}, {simulation.masses} masses"
    return f"simulated, {macro}, {stars}, {simulation.profile} sources, seed {simulation.seed}"


def _listed(p) -> str:
    return ", ".join(f"{size:g}" for size in p)


# --- simulation ---------------------------------------------------------------------------------


def simulate(folder, simulation: Simulation, map_id: str = "12345") -> Path:
    """Write a data set in the assignment's format into `folder`: return its labels.dat.

    map_id: the star field, one of `PARTS`.  First simulated.json is written, then the curves, and
    labels.dat last, each file whole: what was stopped before that is begun anew.  Takes about a
    minute on 2 cores, 130 MB.
    Raises InputError if there are labels, or curves that no simulation began, and for settings out
    of range.
    """
    part = next(part for part in PARTS.values() if part.map_id == map_id)
    check_simulation(simulation)
    folder = Path(folder)
    unfinished = (folder / MARK).exists()
    for there in (folder / LABELS, folder / map_id):
        if there.exists() and not (unfinished and there.is_dir()):
            raise InputError(f"{there} is there already; choose another --data-dir, or delete it")

    radii = simulation.radii
    discs = list(radii) if simulation.p else part.discs
    with _simulator():
        field = _field(replace(simulation, seed=simulation.seed + part.seed))
        settings = json.dumps(asdict(simulation), indent=1) + "\n"
        write_whole(folder / MARK, lambda t: t.write_text(settings, encoding="utf-8"))
        maps = _disc_maps(field, simulation, [radii[disc] for disc in discs])
        bar = tqdm(discs, desc=f"simulating {folder}", unit="file", dynamic_ncols=True)
        for disc, disc_map in zip(bar, maps, strict=True):
            key = [simulation.seed, int(map_id), disc]
            curves = _from_map(disc_map, simulation, simulation.curves, key)
            _write_curves(folder / map_id / f"{disc:02d}.dat", curves)

    values = f"{simulation.kappa} {simulation.gamma} {simulation.smooth_fraction}"
    rows = [f"{map_id} {disc:02d} {values} {radii[disc]:.6f}\n" for disc in discs]
    labels = "map_id disc_id k g s p\n" + "".join(rows)
    return write_whole(folder / LABELS, lambda t: t.write_text(labels, newline="\n"))


def magnification(simulation: Simulation) -> tuple:
    """Return the star field of a simulation and its map, of a point source: (pixels, pixels)."""
    check_simulation(simulation)
    with _simulator():
        field = _field(simulation)
        return field, microlensing.magnification_map(field, simulation.pixels, simulation.rays)


@contextlib.contextmanager
def _simulator():
    """Turn the simulator's errors into InputError."""
    try:
        yield
    except microlensing.SimulatorError as error:
        raise InputError(str(error)) from error


def _field(simulation: Simulation):
    """Return the star field of a simulation; its seed is that of the field itself."""
    s = simulation
    return microlensing.star_field(
        s.kappa, s.gamma, s.smooth_fraction, s.width, s.seed, masses=s.masses
    )


def _disc_maps(field, simulation: Simulation, radii, pixels: int = 0):
    """Yield the map, in units of its mean, as sources of each of `radii` [R_E] see it."""
    mu = microlensing.magnification_map(field, pixels or simulation.pixels, simulation.rays)
    spectrum = microlensing.spectrum_of(mu / field.mean_magnification)
    for radius in radii:
        yield microlensing.convolve(spectrum, field.width, radius, simulation.profile)


def _from_map(disc_map, simulation: Simulation, n: int, key) -> np.ndarray:
    """Read n random tracks off a map that repeats itself: (n, 300) relative magnification."""
    points = microlensing.tracks(n, simulation.width, simulation.length, SAMPLES, key)
    return np.maximum(microlensing.read_tracks(disc_map, simulation.width, points), LEAST)


def _write_curves(path: Path, curves) -> None:
    write_whole(path, lambda t: np.savetxt(t, curves, fmt="%.6f", delimiter=","))


# --- reference curves ---------------------------------------------------------------------------

FINE = 3  # pixels of a map for each p, at least; where the map has fewer there are finer ones
PIXELS = 4000  # of a finer map, a side: a window of the source plane if that is not half of it
WINDOWS = 10  # at most; fewer if they cover half of the plane
RIM = {"gaussian": 5, "uniform": 5, "shakura-sunyaev": 16}  # of a window, in p: not to be read
ROOM = 2.0  # R_E by which a window is wider than a track is long, at least
SMALLEST = 2e-3  # R_E
CACHE = "ex_2_reference.npz"
BROKEN = (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)


def reference(p, n: int, data_dir: str | Path = "", out_dir: str | Path = "out") -> dict:
    """Return two sets of n simulated curves of each size p: {p: (2, n, 300)} float32.

    The stars are those of the training curves, the tracks are new.  For a size below 3 pixels of
    their map, .06 R_E, there are finer maps of p / 3 a pixel, of some windows of the source plane
    if it is small (.01: 10 windows of 13 R_E).  Beside your own curves the stars have the k, g, s
    of labels.dat.  Each size is kept in ex_2_reference.npz, in out_dir or,
    beside simulated curves, in data_dir, whichever can be written; one size does not depend on the
    others.
    Raises InputError for p out of range, and for several k, g, s in labels.dat.
    """
    simulation, folder = _truth(data_dir)
    for size in p:
        if not SMALLEST <= size <= 100:
            raise InputError(f"p = {size:g}: reference curves are simulated for p of .002 to 100")
    if n < 1:
        raise InputError(f"n = {n}: give 1 or more reference curves")
    recipe = asdict(replace(simulation, p=(), curves=n)) | {"finer": [FINE, PIXELS, WINDOWS, ROOM]}
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    names = {float(size): f"{digest}_{n}_{float(size)!r}" for size in p}
    places = [Path(out_dir), *([folder] if folder else [])]

    kept = {}
    for place in places:
        kept |= _kept(place / CACHE, digest)
    curves = {size: kept[name] for size, name in names.items() if name in kept}
    missing = sorted(set(names) - set(curves))
    if missing:
        with _simulator():
            curves |= _reference(missing, n, simulation)
        _keep(places, kept | {names[size]: curves[size] for size in missing})
    return {size: curves[size] for size in names}


def _truth(data_dir) -> tuple[Simulation, Path | None]:
    """Return what reference curves are simulated with, and where they may be kept."""
    folder = Path(data_dir or DEFAULT)
    if not data_dir and not (folder / LABELS).exists():
        return Simulation(), folder
    simulation = made_with(_folder(data_dir))
    if simulation:
        return simulation, folder
    macro = {tuple(labels[:3].tolist()) for *_, labels in data_loader.read_labels(folder / LABELS)}
    if len(macro) > 1:
        path = folder / LABELS
        raise InputError(f"{path}: several k, g, s, so there is no one truth; draw with --p")
    simulation = Simulation(*macro.pop())  # kappa, gamma, smooth_fraction
    check_simulation(simulation)
    return simulation, None  # nothing is written beside your own curves


def _reference(radii, n: int, simulation: Simulation) -> dict:
    """Simulate {p: (2, n, 300)} float32 for each of radii [R_E]."""
    windows = []  # sizes that are read off windows
    maps = {}  # {pixels: sizes that are read off a whole map of so many pixels}
    for p in radii:
        if p >= FINE * simulation.pixel:
            maps.setdefault(simulation.pixels, []).append(p)
        elif _side_of_window(p, simulation) < simulation.width / 2:
            windows.append(p)
        else:
            maps.setdefault(int(np.ceil(FINE * simulation.width / p)), []).append(p)

    field = _field(simulation)
    curves = {}
    with tqdm(total=len(radii), desc="simulating reference", unit="p", dynamic_ncols=True) as bar:
        for p in windows:
            curves[p] = _from_windows(field, simulation, p, 2 * n)
            bar.update()
        for pixels, some in maps.items():
            for p, disc_map in zip(some, _disc_maps(field, simulation, some, pixels), strict=True):
                curves[p] = _from_map(disc_map, simulation, 2 * n, _key(simulation, p))
                bar.update()
    sets = {p: np.stack([curves[p][0::2], curves[p][1::2]]) for p in radii}
    return {p: both.astype(np.float32) for p, both in sets.items()}


def _key(simulation: Simulation, p: float) -> list[int]:
    """Return the seed of the reference tracks of size p, which no other tracks have."""
    return [simulation.seed, round(1e6 * p)]


def _side_of_window(p: float, simulation: Simulation) -> float:
    """Return the side of a window, R_E: of PIXELS, or more if tracks need room."""
    rim = RIM[simulation.profile] * p
    return max(PIXELS * p / FINE, simulation.length + ROOM + 2 * rim)


def _from_windows(field, simulation: Simulation, p: float, n: int) -> np.ndarray:
    """Read n tracks of a small source off windows strewn over the source plane: (n, 300).

    No track enters the rim of a window, where a source would reach out of it.  Tracks 2 i and
    2 i + 1 are in the same window.
    """
    random = np.random.default_rng(_key(simulation, p))
    rim = RIM[simulation.profile] * p
    side = _side_of_window(p, simulation)
    pixels = int(np.ceil(FINE * side / p))
    windows = min(WINDOWS, int(np.ceil(0.5 * (simulation.width / side) ** 2)))
    window_of_track = np.arange(n) // 2 % windows
    curves = np.empty((n, SAMPLES))

    for window in range(window_of_track.max() + 1):
        corner = random.uniform(0, field.width, 2)
        mu = microlensing.magnification_map(field, pixels, simulation.rays, window=(*corner, side))
        mu /= field.mean_magnification
        disc_map = microlensing.convolve(mu, side, p, simulation.profile, periodic=False)
        inside = window_of_track == window
        points = rim + _tracks_inside(inside.sum(), side - 2 * rim, simulation.length, random)
        curves[inside] = microlensing.read_tracks(disc_map, side, points, periodic=False)
    return np.maximum(curves, LEAST)


def _tracks_inside(n: int, side: float, length: float, random) -> np.ndarray:
    """Draw n straight tracks that stay within a square: (n, 300, 2), 0 to `side` R_E.

    Directions are even over the circle, and places even over those that a direction leaves.
    """
    angle = random.uniform(0, 2 * np.pi, n)
    step = length * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (n, 2)
    start = np.maximum(0, -step) + random.uniform(size=(n, 2)) * (side - np.abs(step))
    return start[:, None] + step[:, None] * np.linspace(0, 1, SAMPLES)[:, None]


def _kept(path: Path, digest: str) -> dict:
    """Return {name: (2, n, 300)} of a simulation from a cache; nothing if the file is broken."""
    try:
        with open(path, "rb") as file, np.load(file) as cache:
            return {name: cache[name] for name in cache.files if name.startswith(digest)}
    except BROKEN:
        return {}


def _keep(places, entries: dict) -> None:
    """Write the cache into the first of `places` that can be written; say if none can."""
    for place in places:
        with contextlib.suppress(InputError):
            write_whole(place / CACHE, lambda t: np.savez(t, **entries))
            return
    say(f"{places[0] / CACHE} cannot be written: these curves will be simulated again next time")


# --- arrays and files ---------------------------------------------------------------------------


def to_log(curves) -> np.ndarray:
    """Return log10 of relative magnification, float32; below 1e-3 it is cut."""
    return np.log10(np.maximum(np.asarray(curves, np.float32), LOG_LEAST))


def stacked(train: dict, limit: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (x, p) of curves {p: (n, 300)}: x (m, 300) log10 mu and p (m,), both float32.

    limit: take the first so many curves of each size; None or 0 takes all.
    """
    x = [torch.from_numpy(to_log(curves[: limit or None])) for curves in train.values()]
    p = [torch.full((len(part),), size) for size, part in zip(train, x, strict=True)]
    return torch.cat(x), torch.cat(p)


def save_curves(path, p, curves) -> Path:
    """Write curves (m, n, 300) of the sizes p (m,): .npz {"p", "mu"}, or .csv, a curve a row.

    Raises InputError for another suffix, or a place that cannot be written.
    """
    path = Path(path)
    curves = np.asarray(curves)
    if path.suffix.lower() == ".npz":
        return write_whole(path, lambda t: np.savez_compressed(t, p=np.asarray(p), mu=curves))
    if path.suffix.lower() != ".csv":
        raise InputError(f"cannot write {path}: the name must end in .csv or .npz")
    rows = np.column_stack([np.repeat(p, curves.shape[1]), np.concatenate(curves)])
    names = ",".join(["p", *(f"mu_{k}" for k in range(curves.shape[2]))])
    form = {"fmt": "%.6g", "delimiter": ",", "header": names, "comments": ""}
    return write_whole(path, lambda t: np.savetxt(t, rows, **form))
