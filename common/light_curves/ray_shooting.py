"""The inner loops of `microlensing`: the Ewald far field, and rays in tiles (numba).

Rays lie on a regular grid, so everything that depends on one coordinate alone (interpolation
weights, exp(-dx^2 / 2 s^2)) is made once for each line of a tile, and the loops over rays are
plain vector arithmetic.
"""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import torch
from scipy.fft import next_fast_len

from common.runtime.device import numba_threads

TAPS = 12  # points of the Lagrange interpolation of the far field
CELLS = 3.2  # grid cells in one Ewald width: with 12 taps an error near 1e-7
REACH = 6.0  # Ewald widths beyond which the near field, exp(-18), is left out
TILE = 64  # rays along each side of a tile
KEEP = os.access(Path(__file__).parent, os.W_OK)  # compiled code, beside this file


@dataclass(frozen=True)
class FarField:
    """Gaussian-smeared deflections on a grid over the lens box, and the stars that made them."""

    grid: np.ndarray  # (2, m1 + TAPS, m2 + TAPS), wrapped around by TAPS
    cells: np.ndarray  # (2,) float: cells along each side of the box
    box: np.ndarray  # (2,) R_E
    stars: np.ndarray  # (n, 2) R_E
    masses: np.ndarray  # (n,)
    ewald_width: float  # R_E

    @staticmethod
    def of(field, ewald_width: float = 0.25) -> "FarField":
        """Solve div alpha = 2 kappa for the stars smeared by Gaussians, without their mean."""
        stars, masses, box = field.stars, field.masses, field.box
        least = [max(TAPS, int(np.ceil(side * CELLS / ewald_width))) for side in box]
        m = [next_fast_len(size, real=True) for size in least]
        kappa = torch.from_numpy(_smear(stars, masses, box, *m, ewald_width))
        k1 = 2 * np.pi * torch.fft.fftfreq(m[0], box[0] / m[0], dtype=torch.float64)[:, None]
        k2 = 2 * np.pi * torch.fft.rfftfreq(m[1], box[1] / m[1], dtype=torch.float64)[None]
        square = k1**2 + k2**2
        square[0, 0] = torch.inf  # the mean is in the macro-lens
        potential = -2 * torch.fft.rfft2(kappa) / square
        alpha = [torch.fft.irfft2(1j * k * potential, s=m).numpy() for k in (k1, k2)]
        grid = np.pad(np.stack(alpha), ((0, 0), (0, TAPS), (0, TAPS)), mode="wrap")
        return FarField(grid, np.array(m, float), box, stars, masses, ewald_width)


@numba.njit
def _smear(stars, masses, box, m1, m2, width):
    """Add pi times its mass times a unit Gaussian for each star to a periodic grid (m1, m2)."""
    grid = np.zeros((m1, m2))
    h1, h2 = box[0] / m1, box[1] / m2
    n1, n2 = int(7 * width / h1) + 1, int(7 * width / h2) + 1
    for s in range(len(stars)):
        c1, c2 = int(stars[s, 0] / h1), int(stars[s, 1] / h2)
        for i in range(c1 - n1, c1 + n1 + 1):
            g = np.exp(-0.5 * ((i * h1 - stars[s, 0]) / width) ** 2) / (2 * width**2)
            g *= masses[s]
            for j in range(c2 - n2, c2 + n2 + 1):
                e = np.exp(-0.5 * ((j * h2 - stars[s, 1]) / width) ** 2)
                grid[i % m1, j % m2] += g * e
    return grid


def _weights(coordinate, cells, side):
    """Return (first grid index (n,), Lagrange weights (n, TAPS)) for periodic coordinates (n,)."""
    u = np.mod(coordinate, side) * (cells / side)
    low = np.floor(u).astype(np.int64)
    offset = u - low + TAPS // 2 - 1  # between the two middle points
    weights = np.ones((len(u), TAPS))
    for k, other in itertools.permutations(range(TAPS), 2):
        weights[:, k] *= (offset - other) / (k - other)
    return (low - TAPS // 2 + 1) % int(cells), weights


def at_points(far: FarField, x) -> np.ndarray:
    """Return the deflection at points x (n, 2), written plainly: the check of the fast loops."""
    b1, w1 = _weights(x[:, 0], far.cells[0], far.box[0])
    b2, w2 = _weights(x[:, 1], far.cells[1], far.box[1])
    k = np.arange(TAPS)
    block = far.grid[:, (b1[:, None] + k)[:, :, None], (b2[:, None] + k)[:, None, :]]
    out = np.einsum("cnij,ni,nj->nc", block, w1, w2)
    reach = REACH * far.ewald_width
    most = np.ceil(np.maximum(0, reach - 0.5 * far.box) / far.box)  # images that reach the box
    shifts = [np.arange(-k, k + 1) * side for k, side in zip(most, far.box, strict=True)]
    images = np.stack(np.meshgrid(*shifts), -1).reshape(-1, 2)
    for part in range(0, len(x), 1000):
        rows = slice(part, part + 1000)
        d = x[rows, None] - far.stars  # (n, stars, 2)
        for image in images:
            e = np.mod(d + 0.5 * far.box, far.box) - 0.5 * far.box + image
            square = np.maximum((e**2).sum(2), 1e-24)
            near = np.exp(-0.5 * square / far.ewald_width**2) / square * (square < reach**2)
            out[rows] += (e * (near * far.masses)[..., None]).sum(1)
    return out


def shoot(far: FarField, slopes, width, pixels, tiles, threads) -> np.ndarray:
    """Return the map (pixels, pixels): see `microlensing.magnification_map`.

    tiles: how many, of TILE x TILE rays, each side of the lens box gets.
    """
    lines = [
        (np.arange(TILE * n) + 0.5) * (side / (TILE * n))
        for n, side in zip(tiles, far.box, strict=True)
    ]
    with numba_threads(min(threads, tiles[0])) as count:
        maps = np.zeros((count, pixels, pixels))
        _shoot(maps, *tables(far, lines, tiles), far.ewald_width, slopes, pixels / width, tiles[1])
    for other in maps[1:]:
        maps[0] += other
    maps[0] *= far.box.prod() / (len(lines[0]) * len(lines[1])) * (pixels / width) ** 2
    return maps[0]


def tables(far: FarField, lines, tiles) -> tuple:
    """Return what the loops over rays take: the grid, lines, their weights, stars of each tile."""
    (b1, w1), (b2, w2) = map(_weights, lines, far.cells, far.box)
    return far.grid, *lines, b1, w1, b2, w2, *stars_of_tiles(far, tiles)


def stars_of_tiles(far, tiles):
    """List for each tile the stars (or their images) whose near field reaches it.

    Returns (first (tiles + 1,), rows (pairs, 3) of position and mass): tile t has the rows
    first[t]:first[t + 1].
    """
    side, reach = far.box / tiles, REACH * far.ewald_width
    low = np.floor((far.stars - reach) / side).astype(np.int64)
    high = np.floor((far.stars + reach) / side).astype(np.int64)
    most = (high - low).max(0) + 1 if len(low) else (0, 0)
    numbers, places = [np.zeros(0, np.int64)], [np.zeros((0, 3))]
    for i in range(most[0]):
        for j in range(most[1]):
            at = low + np.array([i, j])
            keep = (at <= high).all(1)
            tile = at[keep] % tiles
            numbers.append(tile[:, 0] * tiles[1] + tile[:, 1])
            there = far.stars[keep] + (tile - at[keep]) * side
            places.append(np.column_stack([there, far.masses[keep]]))
    numbers = np.concatenate(numbers)
    order = np.argsort(numbers, kind="stable")
    first = np.searchsorted(numbers[order], np.arange(tiles[0] * tiles[1] + 1))
    return first, np.concatenate(places)[order]


@numba.njit(parallel=True, fastmath=True, cache=KEEP)
def _shoot(maps, grid, x1, x2, b1, w1, b2, w2, first, places, width, slopes, scale, across):
    """Deflect the rays of every tile and deposit them: `maps` has one map for each thread."""
    threads = len(maps)
    rows = len(x1) // TILE
    for thread in numba.prange(threads):
        a = np.empty((2, TILE, TILE))  # a[c, j, i]: i along axis 1, contiguous
        for ti in range(thread * rows // threads, (thread + 1) * rows // threads):
            for tj in range(across):
                i0, j0, t = ti * TILE, tj * TILE, ti * across + tj
                _far(a, grid, b1, w1, b2, w2, i0, j0)
                for s in range(first[t], first[t + 1]):
                    _near(a, x1, x2, places[s], i0, j0, width)
                _deposit(maps[thread], a, x1, x2, i0, j0, slopes, scale)


@numba.njit(fastmath=True)
def _far(a, grid, b1, w1, b2, w2, i0, j0):
    """Set a to the far field of a tile, interpolated along one axis and then the other."""
    m2 = grid.shape[2] - TAPS
    lines = (b2[j0 + TILE - 1] - b2[j0]) % m2 + TAPS  # grid lines that the tile needs
    half = np.empty((lines, TILE))
    for c in range(2):
        for line in range(lines):
            column = (b2[j0] + line) % m2
            for i in range(TILE):
                value = 0.0
                for k in range(TAPS):
                    value += w1[i0 + i, k] * grid[c, b1[i0 + i] + k, column]
                half[line, i] = value
        for j in range(TILE):
            start = (b2[j0 + j] - b2[j0]) % m2
            for i in range(TILE):
                a[c, j, i] = 0.0
            for k in range(TAPS):
                weight = w2[j0 + j, k]
                for i in range(TILE):
                    a[c, j, i] += weight * half[start + k, i]


@numba.njit(fastmath=True)
def _near(a, x1, x2, star, i0, j0, width):
    """Add the near field of a star (s1, s2, m): m d / |d|^2 exp(-|d|^2 / 2 width^2)."""
    s1, s2, m = star
    dx, ex = np.empty(TILE), np.empty(TILE)
    for i in range(TILE):
        dx[i] = x1[i0 + i] - s1
        ex[i] = np.exp(-0.5 * (dx[i] / width) ** 2)
    for j in range(TILE):
        dy = x2[j0 + j] - s2
        if abs(dy) > REACH * width:
            continue
        ey = np.exp(-0.5 * (dy / width) ** 2)
        for i in range(TILE):
            w = m * ex[i] * ey / (dx[i] * dx[i] + dy * dy + 1e-24)
            a[0, j, i] += w * dx[i]
            a[1, j, i] += w * dy


@numba.njit(fastmath=True)
def _deposit(mu, a, x1, x2, i0, j0, slopes, scale):
    """Share each ray of a tile between the four nodes around y = slopes x - a, periodically."""
    n = len(mu)
    for j in range(TILE):
        for i in range(TILE):
            u = (slopes[0] * x1[i0 + i] - a[0, j, i]) * scale
            v = (slopes[1] * x2[j0 + j] - a[1, j, i]) * scale
            lu, lv = np.floor(u), np.floor(v)
            fu, fv = u - lu, v - lv
            p, q = int(lu) % n, int(lv) % n
            p2, q2 = p + 1 if p + 1 < n else 0, q + 1 if q + 1 < n else 0
            mu[p, q] += (1 - fu) * (1 - fv)
            mu[p, q2] += (1 - fu) * fv
            mu[p2, q] += fu * (1 - fv)
            mu[p2, q2] += fu * fv
