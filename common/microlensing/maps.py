"""Magnification maps, whole or of a window, and how a source of some size and shape sees them."""

import contextlib
import dataclasses
import functools
import os
from pathlib import Path

import numpy as np

from .field import SimulatorError, StarField

PROFILES = ("gaussian", "uniform", "shakura-sunyaev")
RIM = 4  # radii of the source beyond which its light is left out at the edges of a window


def magnification_map(
    field: StarField, pixels: int, rays: float = 5.0, threads: int = 0, window=None
) -> np.ndarray:
    """Shoot rays through the lens box and collect them: (pixels, pixels) float64, mu at the nodes.

    Node (i, j) lies at (i, j) width / pixels; rays come from a regular grid, on the average `rays`
    for each pixel, and are shared out bilinearly (cloud in cell) to four nodes.  The mean is
    `field.mean_magnification` to rounding.

    window: (x, y, side) in R_E of the source plane; node (i, j) then lies at
    (x + i side / pixels, y + j side / pixels), also beyond the edge, where the map repeats itself.
    Only rays that may land there are shot, of the same grid as those of a whole map with such
    pixels: the result is that part of it, to rounding.

    threads: 0 takes NUMBA_NUM_THREADS, else OMP_NUM_THREADS, else the cores; the result does not
    depend on it (1e-12).  Memory: 8 bytes a pixel and thread.
    Raises SimulatorError for sizes that make no sense.
    """
    whole = isinstance(pixels, int | np.integer)
    if not (whole and 2 <= pixels <= 30_000 and 0 < rays <= 10_000):
        raise SimulatorError(
            f"magnification map: pixels = {pixels!r}, rays = {rays!r}: "
            "give a whole number from 2 to 30,000, and rays above 0 to 10,000"
        )
    if not (isinstance(threads, int | np.integer) and 0 <= threads <= 1024):
        raise SimulatorError(f"magnification map: threads = {threads!r}: give 0 to 1024")
    x, y, side = (0.0, 0.0, field.width) if window is None else _window(window, field, pixels)
    from . import rays as loops  # numba: seconds to load

    tiles = _tiles(field, side / pixels, rays)
    return loops.shoot(field, tiles, int(pixels), (x, y), side, threads)


def _window(window, field: StarField, pixels: int) -> tuple:
    """Return (x, y, side); raise SimulatorError unless it is a window of the field."""
    try:
        x, y, side = (float(value) for value in window)
    except (TypeError, ValueError):
        raise SimulatorError(f"window {window!r}: give (x, y, side) in R_E, or None") from None
    if not (np.isfinite([x, y]).all() and 0 < side * (1 + 1 / pixels) <= field.width * (1 + 1e-9)):
        raise SimulatorError(
            f"window {window!r}: give a side that is at least a pixel smaller than the map's width "
            f"of {field.width:g} R_E, or no window"
        )
    return x, y, side


def _tiles(field: StarField, pixel: float, rays: float) -> list[int]:
    """Return how many tiles of rays each side of the lens box gets, for so many rays a pixel."""
    from .rays import TILE  # numba: seconds to load

    side_of_tile = pixel * np.sqrt(field.mean_magnification / rays) * TILE
    return [max(1, int(np.ceil(side / side_of_tile - 1e-9))) for side in field.box]


def map_error(
    mu, field: StarField, rays: float = 5.0, radius: float | None = None, window=None
) -> float:
    """Return the rms error of a map that the number of rays leaves, over the field's mean.

    mu, rays, window: as from `magnification_map`.  A second map has a tenth more rays (a small one
    more), not aligned with the first; the difference is about sqrt(2) times the error.  radius: of
    a source, R_E, that is applied to both (a window loses its rim); None is the map itself.
    Raises SimulatorError.
    """
    mean = field.mean_magnification
    if window is None and not np.isclose(np.mean(mu), mean, rtol=1e-3):
        raise SimulatorError("map_error: give the map as it was made, its mean not divided out")
    if not 0 < rays <= 10_000:
        raise SimulatorError(f"map_error: rays = {rays!r}: give what the map was made with")
    pixels = len(mu)
    side = field.width if window is None else _window(window, field, pixels)[2]
    more = 1.1 * rays
    while np.equal(_tiles(field, side / pixels, more), _tiles(field, side / pixels, rays)).any():
        more *= 1.1
    both = [mu, magnification_map(field, pixels, more, window=window)]
    if radius is not None:
        both = [convolve(one, side, radius, periodic=window is None) for one in both]
    apart = np.subtract(*both)
    if np.isnan(apart).all():
        raise SimulatorError(f"map_error: the window is no larger than its rim of {RIM} radii")
    error = np.nanstd(apart) / np.sqrt(2) / mean
    return float(error)


def save_map(path, mu, field: StarField, rays: float, window=None) -> Path:
    """Write a map to `path` (.npz), whole: mu, its `map_error`, and the star field behind it.

    Raises SimulatorError if it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    content = dataclasses.asdict(field) | {"mu": mu, "rays": rays}
    if window is not None:
        content["window"] = window
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:  # before the error is measured
            error = map_error(mu, field, rays, window=window)
            np.savez_compressed(file, **content, relative_rms_error=error)
        os.replace(temporary, path)
    except OSError as error:
        raise SimulatorError(f"cannot write {path}: {error.strerror}; choose another") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


# --- sources ------------------------------------------------------------------------------------


def convolve(
    mu, width: float, radius: float, profile="gaussian", undo_grid=True, periodic=True
) -> np.ndarray:
    """Return the map (pixels, pixels), float32, as a source of half-light radius `radius` sees it.

    radius: half-light, R_E.  mu: magnification map of `width` R_E, or its `spectrum_of` (saves
    that transform when there are many radii).  undo_grid: divide out what the bilinear sharing of
    the rays and the bilinear reading of `read_tracks` smooth, sinc^2 each; right for a source
    larger than about a pixel, and refused for a smaller one.
    profile: see `profile_transform`.  periodic: False for a window, whose rim of 4 radii on each
    side is then NaN, since light from outside is missing; take a window larger by so much.  (Of a
    Gaussian 2e-5 of the light comes from beyond 4 radii, of a Shakura-Sunyaev disc 3 %.)
    Raises SimulatorError.
    """
    from scipy.fft import fftfreq, irfft2, rfftfreq

    if not 0 < width < np.inf:
        raise SimulatorError(f"convolve: width {width}: give a width above 0")
    spectrum = np.asarray(mu) if np.iscomplexobj(mu) else spectrum_of(mu)
    n = len(spectrum)
    if undo_grid and not radius >= width / n:
        size = f"a pixel, {width / n:.3g} R_E"
        raise SimulatorError(f"source radius {radius}: must be at least {size}; take a finer map")

    along = fftfreq(n)[:, None]  # cycles a pixel
    across = rfftfreq(n)
    k = np.hypot(along, across) * (2 * np.pi * n / width)  # radians / R_E
    factor = profile_transform(k, radius, profile).astype(np.float32)
    if undo_grid:
        for axis in (along, across):
            factor *= (np.sinc(axis) ** -4).astype(np.float32)
    disc = irfft2(spectrum * factor, s=(n, n), workers=_workers(), overwrite_x=True)

    if not periodic:
        rim = int(np.ceil(RIM * radius * n / width))
        inside = np.zeros((n, n), bool)
        inside[rim : n - rim, rim : n - rim] = True
        disc[~inside] = np.nan
    return disc


def spectrum_of(mu) -> np.ndarray:
    """Return the Fourier transform of a map (n, n): (n, n // 2 + 1) complex64.

    Raises SimulatorError unless it is square, of finite real numbers.
    """
    from scipy.fft import rfft2

    mu = np.asarray(mu)
    if mu.ndim != 2 or len(mu) != mu.shape[1] or mu.dtype.kind not in "fiu" or np.isnan(mu.sum()):
        shape = f"{mu.shape}, {mu.dtype}"
        raise SimulatorError(f"map {shape}: must be square, of finite real numbers")
    return rfft2(mu.astype(np.float32), workers=_workers(), overwrite_x=True)


def _workers() -> int:
    from .rays import thread_count

    return thread_count()


def profile_transform(k, radius: float, profile="gaussian") -> np.ndarray:
    """Return the Fourier transform, 1 at k = 0, of a source with half-light radius `radius` (R_E).

    gaussian: exp(-k^2 s^2 / 2), s = radius / sqrt(2 ln 2).  uniform: 2 J1(kR) / kR, R = sqrt(2)
    radius.  shakura-sunyaev: the thin disc I(R) ~ 1 / (exp((R / R0)^(3/4)) - 1), R0 = radius /
    2.44 (Shakura & Sunyaev 1973).  Or any function of R / radius, an array, that is the surface
    brightness there, in any unit, half of it from within about `radius`; beyond R = 150 radius it
    counts as dark.
    k in radians per R_E, any shape.  Raises SimulatorError.
    """
    if not (np.isfinite(radius) and radius > 0):
        raise SimulatorError(f"source radius {radius}: must be a finite number above 0")
    k = np.asarray(k, float)
    if profile == "gaussian":
        return np.exp(k**2 * (-0.5 * radius**2 / (2 * np.log(2))))
    if profile == "uniform":
        from scipy.special import j1

        x = np.maximum(k * (radius * np.sqrt(2)), 1e-8)
        return 2 * j1(x) / x
    if profile == "shakura-sunyaev":
        return np.interp(k * (radius / 2.44), *_thin_disc(), right=0.0)
    if not callable(profile):
        names = ", ".join(PROFILES)
        raise SimulatorError(f"profile {profile!r}: give {names}, or a function of R / radius")
    return np.interp(k * radius, *_hankel(profile, 1.0), right=0.0)


@functools.cache
def _thin_disc() -> tuple:
    return _hankel(lambda r: 1 / np.expm1(r**0.75), 2.44)


def _hankel(profile, within: float) -> tuple:
    """Return (q, transform at q), each (2001,), of a profile of r with half-light radius `within`.

    q: radians per unit of r.
    """
    from scipy.special import j0

    r = np.linspace(0, 1, 4001)[1:] ** 2 * 150  # for the thin disc: exp(-150^0.75) = 2e-19
    ring = r * np.asarray(profile(r), float) * np.gradient(r)
    if not (np.isfinite(ring).all() and ring.min() >= 0 < ring.sum()):
        raise SimulatorError("profile: brightness must be finite, 0 or more, not 0 everywhere")
    half = r[np.searchsorted(ring.cumsum(), 0.5 * ring.sum())] / within
    if not 0.5 <= half <= 2:
        raise SimulatorError(
            f"profile: half of the light comes from within {half:.3g} radii; must be about 1"
        )
    q = np.append(0, np.geomspace(1e-3, 1e3, 2000))
    return q, j0(q[:, None] * r) @ ring / ring.sum()
