"""Straight tracks of a source behind the lens, and the light curves that a map gives along them."""

import numpy as np

from .field import SimulatorError


def tracks(n: int, width: float, length: float, samples: int, seed=0) -> np.ndarray:
    """Draw n straight tracks at random: (n, samples, 2) in R_E.

    Starts are even over the map, directions even over the circle; the samples divide `length`
    (R_E) evenly, both ends among them.  Raises SimulatorError.
    """
    whole = all(isinstance(k, int | np.integer) and k >= 1 for k in (n, samples))
    if not (whole and 0 < width < np.inf and 0 < length < np.inf):
        given = f"n {n!r}, samples {samples!r}, width {width!r}, length {length!r}"
        raise SimulatorError(f"tracks: {given}: give whole numbers from 1, and lengths above 0")
    random = np.random.default_rng(seed)
    start = random.uniform(0, width, (n, 1, 2))
    angle = random.uniform(0, 2 * np.pi, n)
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)[:, None]  # (n, 1, 2)
    return start + direction * np.linspace(0, length, samples)[:, None]


def read_tracks(disc_map, width: float, points, periodic: bool = True) -> np.ndarray:
    """Read a map (pixels, pixels) bilinearly at points (..., 2) in R_E: (...).

    width: of the map, R_E; node (i, j) lies at (i, j) width / pixels.  A whole map is periodic.  A
    window is not: read_tracks(disc, side, points - (x, y), periodic=False) refuses points outside
    its nodes, and points in the rim that `convolve` left without a value.  Raises SimulatorError.
    """
    from scipy.ndimage import map_coordinates  # a tenth of a second to load

    disc_map = np.asarray(disc_map)
    square = disc_map.ndim == 2 and len(disc_map) == disc_map.shape[1]
    if not square or disc_map.dtype.kind not in "fiu":
        shape = f"{disc_map.shape}, {disc_map.dtype}"
        raise SimulatorError(f"read_tracks: map {shape}: give a square of real numbers")
    points = np.asarray(points)
    if points.shape[-1:] != (2,) or not (np.abs(points) <= 1e6 * width).all():
        raise SimulatorError("read_tracks: give points (..., 2) within 10^6 widths of the map")

    u = np.moveaxis(points, -1, 0) * (len(disc_map) / width)
    if not (periodic or (u.size and u.min() >= 0 and u.max() <= len(disc_map) - 1)):
        raise SimulatorError("read_tracks: points outside the window: make it larger")
    mode = "grid-wrap" if periodic else "nearest"
    curves = map_coordinates(disc_map, u, output=np.float64, order=1, mode=mode)
    if np.isnan(curves).any():
        where = "the map holds NaN" if periodic else "points in the window's rim: make it larger"
        raise SimulatorError(f"read_tracks: {where}")
    return curves
