"""Simulated light curves of any source size, to set beside generated ones: made once, kept."""

import contextlib
import json
import zipfile
import zlib
from dataclasses import asdict, replace

import numba
import numpy as np
import torch
from tqdm import tqdm

from common.light_curves import microlensing, ray_shooting, simulation
from common.runtime import files
from common.runtime.device import numba_threads

USED = ("kappa", "gamma", "smooth_fraction", "length", "width", "pixels", "rays", "profile", "seed")
SMALL = 3  # pixels of the map: smaller Gaussian sources are shot at directly
SPACING = 1.4  # of the rays that are shot at a source, in its half-light radii
EVERY = 4  # spacing of the rays that look where to shoot from, in that of the rays themselves
APART = 2.0  # deviations of the source that rays may fall apart, else more are interpolated
MOST = 6  # times 6: so many in the place of one
REACH = 4.0  # deviations of the source beyond which it counts as dark


def reference_curves(path, sizes, n: int, settings) -> tuple[dict, dict]:
    """Simulate two sets of n curves for each size p: {p: (2, n, 300)}; kept in the file `path`.

    The stars are those of `simulation.simulate` with the same settings, the tracks new.  Gaussian
    sources smaller than SMALL pixels of its map are shot at directly, by `at_points`; second
    result: {p: relative rms error of a sample by the number of rays}, from 20 tracks of each.
    """
    least = SMALL * settings.width / settings.pixels
    own = {k: v for k, v in asdict(settings).items() if k in USED}
    recipe = json.dumps([list(sizes), n, own, [SMALL, SPACING, EVERY, APART, MOST, REACH]])
    broken = OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error
    with contextlib.suppress(*broken), np.load(path) as kept:
        if str(kept["recipe"]) == recipe:
            noise = dict(kept["noise"].reshape(-1, 2).tolist())
            return dict(zip(sizes, kept["curves"].astype(np.float32), strict=True)), noise
    small = [p for p in sizes if p < least and settings.profile == "gaussian"]
    found, noise = {}, {}
    with tqdm(total=len(sizes), desc="simulating truth", unit="p", dynamic_ncols=True) as bar:
        large = [p for p in sizes if p not in small]
        maps = simulation.disc_maps(settings, large, settings.seed)
        for p, disc_map in (*((p, None) for p in small), *maps):
            key = [settings.seed, round(1e6 * p)]
            if disc_map is None:
                tracks = microlensing.tracks(2 * n, settings.width, settings.length, 300, key)
                curves = at_points(settings, p, tracks)
                again = at_points(settings, p, tracks[:20], 0.9 * SPACING)
                noise[p] = np.std(again / curves[:20] - 1) / np.sqrt(2)
            else:
                curves = simulation.curves_of(disc_map, settings, 2 * n, key)
            found[p] = curves.reshape(2, n, -1).astype(np.float32)
            bar.update()
    curves = np.stack([found[p] for p in sizes])
    files.save_npz(path, recipe=recipe, curves=curves, noise=[*noise.items()])
    return found, noise


def at_points(settings, p: float, points, spacing: float = SPACING) -> np.ndarray:
    """Shoot at a Gaussian source of half-light radius p [R_E] at each of points (..., 2): (...).

    Relative magnification in the star field of `settings`.  Without a map or its pixels: a ray
    adds to the points near which it falls.  Coarse rays find the tiles of the lens plane that may
    send any there; only those are shot from in full.  spacing: of the rays, in p.
    """
    field = simulation.field_of(settings, settings.seed)
    far = ray_shooting.FarField.of(field)
    deviation, flat = p / np.sqrt(2 * np.log(2)), np.mod(points, field.width).reshape(-1, 2)
    cells = max(1, min(4000, int(field.width / (REACH * deviation))))
    square = replace(  # points go into the cells they reach as stars go into tiles
        far, stars=flat, masses=np.arange(len(flat)), box=np.full(2, field.width),
        ewald_width=REACH * deviation / ray_shooting.REACH,
    )  # fmt: skip
    there = ray_shooting.stars_of_tiles(square, np.array([cells, cells]))
    tile = ray_shooting.TILE
    tiles = np.ceil(field.box / (EVERY * spacing * p * tile)).astype(int)
    wanted = np.zeros(tiles * EVERY, bool)
    with numba_threads(torch.get_num_threads()) as count:
        found = np.zeros((count, len(flat)))
        for looking, n in ((True, tiles), (False, tiles * EVERY)):
            lines = [(np.arange(m) + 0.5) * s / m for m, s in zip(n * tile, far.box, strict=True)]
            todo = np.argwhere(np.ones(n, bool) if looking else wanted)
            tables = ray_shooting.tables(far, lines, n)
            _shoot(
                found, wanted, looking, todo, *tables, far.ewald_width, field.slopes,
                cells / field.width, cells, *there, deviation,
            )  # fmt: skip
    share = field.box.prod() / (n.prod() * tile**2) / (2 * np.pi * deviation**2)
    mu = share * found.sum(0) / field.mean_magnification
    return np.maximum(mu, 1e-6).reshape(np.shape(points)[:-1])


@numba.njit(parallel=True, fastmath=True)
def _shoot(found, wanted, looking, todo, grid, x1, x2, b1, w1, b2, w2, first, stars, ewald_width,
           slopes, scale, cells, head, points, deviation):  # fmt: skip
    """Shoot from the tiles `todo`; looking: only mark those `wanted`, else add up in `found`."""
    tile = ray_shooting.TILE
    for thread in numba.prange(len(found)):
        y = np.empty((2, tile, tile))
        for number in range(thread, len(todo), len(found)):
            i0, j0 = todo[number, 0] * tile, todo[number, 1] * tile
            ray_shooting._far(y, grid, b1, w1, b2, w2, i0, j0)
            t = todo[number, 0] * (len(x2) // tile) + todo[number, 1]
            for s in range(first[t], first[t + 1]):
                ray_shooting._near(y, x1, x2, stars[s], i0, j0, ewald_width)
            for k in range(tile):
                y[0, :, k] = slopes[0] * x1[i0 + k] - y[0, :, k]
                y[1, k] = slopes[1] * x2[j0 + k] - y[1, k]
            for j in range(tile):
                for i in range(tile):
                    q, p = min(max(j, 1), tile - 2), min(max(i, 1), tile - 2)
                    f = y[:, q - 1 : q + 2, p - 1 : p + 2]  # the rays around
                    d1 = np.sqrt((f[0, 1, 2] - f[0, 1, 0]) ** 2 + (f[0, 2, 1] - f[0, 0, 1]) ** 2)
                    d2 = np.sqrt((f[1, 1, 2] - f[1, 1, 0]) ** 2 + (f[1, 2, 1] - f[1, 0, 1]) ** 2)
                    d1, d2 = d1 / 2, d2 / 2  # how far apart neighbours fall
                    if not _near_any(y[0, j, i], y[1, j, i], d1, d2, scale, cells, head):
                        continue
                    if looking:
                        wanted[(i0 + i) * EVERY // tile, (j0 + j) * EVERY // tile] = True
                        continue
                    m = min(MOST, 1 + int(np.sqrt(d1 * d1 + d2 * d2) / (APART * deviation)))
                    for k in range(m * m):
                        s, t = (k % m + 0.5) / m - 0.5 + i - p, (k // m + 0.5) / m - 0.5 + j - q
                        u, v = _expand(f[0], s, t), _expand(f[1], s, t)
                        _add(found[thread], u, v, m, scale, cells, head, points, deviation)


@numba.njit(fastmath=True)
def _near_any(u, v, d1, d2, scale, cells, head):
    """Tell whether a ray that falls within d1, d2 of (u, v) may be near any point."""
    if max(d1, d2) > 0.5:  # next to a star: many images, each faint
        return True
    for a in range(int(np.floor((u - d1) * scale)), int(np.floor((u + d1) * scale)) + 1):
        for b in range(int(np.floor((v - d2) * scale)), int(np.floor((v + d2) * scale)) + 1):
            cell = (a % cells) * cells + b % cells
            if head[cell + 1] > head[cell]:
                return True
    return False


@numba.njit(fastmath=True)
def _expand(f, s, t):
    """Return f (3, 3) at s along its second axis and t along its first, from its middle."""
    slope = s * (f[1, 2] - f[1, 0]) + t * (f[2, 1] - f[0, 1])
    bend = s * s * (f[1, 2] + f[1, 0] - 2 * f[1, 1]) + t * t * (f[2, 1] + f[0, 1] - 2 * f[1, 1])
    return f[1, 1] + (slope + bend + s * t * (f[2, 2] + f[0, 0] - f[2, 0] - f[0, 2]) / 2) / 2


@numba.njit(fastmath=True)
def _add(found, u, v, m, scale, cells, head, points, deviation):
    """Add a ray at (u, v), one of m * m, to the points that it falls near."""
    u, v = u * scale, v * scale
    cell = (int(np.floor(u)) % cells) * cells + int(np.floor(v)) % cells
    u, v = u - cells * np.floor(u / cells), v - cells * np.floor(v / cells)
    for r in range(head[cell], head[cell + 1]):
        square = ((u / scale - points[r, 0]) ** 2 + (v / scale - points[r, 1]) ** 2) / deviation**2
        if square < REACH**2:
            found[int(points[r, 2])] += np.exp(-0.5 * square) / m**2
