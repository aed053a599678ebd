"""The inner loops of the simulator: the Ewald far field, blocks of rays, and windows (numba).

Rays lie on a regular grid, so everything that depends on one coordinate alone (interpolation
weights, exp(-dx^2 / 2 s^2)) is made once for each line of a block, and the loops over rays are
plain vector arithmetic.  The loops release Python's lock and run in ordinary threads, which end
with the call: a fork afterwards is safe, and so are calls from several threads.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from .field import StarField

TAPS = 12  # points of the Lagrange interpolation of the far field
CELLS = 3.2  # grid cells in one Ewald width: with 12 taps an error near 1e-7
REACH = 6.0  # Ewald widths beyond which the near field, exp(-18), is left out
TILE = 128  # rays along each side of the largest block that is shot at once
LEAF = 16  # and of the smallest, where windows choose their rays
BIG = 1e30  # for infinity, which fast arithmetic does not know
CACHE = os.access(Path(__file__).parent, os.W_OK)  # compile once, not in every process


def compiled(function):
    """Compile a function.  Its cache is named after this package: a copied folder has its own."""
    function.__qualname__ = f"{__name__}.{function.__qualname__}"
    return numba.njit(nogil=True, fastmath=True, cache=CACHE)(function)


@dataclass(frozen=True)
class FarField:
    """Deflections by Gaussian-smeared stars on a grid over the lens box, and the stars."""

    grid: np.ndarray  # (2, m1, m2), periodic
    box: np.ndarray  # (2,) R_E
    stars: np.ndarray  # (n, 2) R_E
    masses: np.ndarray  # (n,)
    ewald_width: float  # R_E

    @staticmethod
    def of(field, ewald_width: float | None = None) -> "FarField":
        """Solve div alpha = 2 kappa for the stars smeared by Gaussians, without their mean.

        ewald_width: None takes 0.35 R_E where stars are as dense as for kappa = 0.4, and more where
        they are sparse, so that about as many stars are near a ray in every field.
        """
        from scipy.fft import fftfreq, irfft2, next_fast_len, rfft2, rfftfreq

        stars = field.stars
        box = field.box
        if ewald_width is None:
            dense = 0.4 / np.pi
            ewald_width = 0.35 * np.sqrt(dense * box.prod() / max(len(stars), 1))
            ewald_width = float(np.clip(ewald_width, 0.05, 1.5))
        least = [max(TAPS, int(np.ceil(side * CELLS / ewald_width))) for side in box]
        m = [next_fast_len(size, real=True) for size in least]
        kappa = _smear(stars, field.masses, box, *m, ewald_width)
        k1 = 2 * np.pi * fftfreq(m[0], box[0] / m[0])[:, None]
        k2 = 2 * np.pi * rfftfreq(m[1], box[1] / m[1])
        square = k1**2 + k2**2
        square[0, 0] = np.inf  # the mean is in the macro-lens
        potential = -2j * rfft2(kappa, workers=thread_count(), overwrite_x=True) / square
        grid = np.empty((2, *m))
        for axis, k in enumerate((k1, k2)):
            grid[axis] = irfft2(k * potential, s=m, workers=thread_count(), overwrite_x=True)
        return FarField(grid, box, stars, field.masses, ewald_width)


@functools.lru_cache(maxsize=1)  # the windows of a field follow each other
def _far_field(stars: bytes, masses: bytes, kappa: float, gamma: float, width: float) -> FarField:
    """Return the FarField of a field that is given by its contents, so that a change is noticed."""
    stars = np.frombuffer(stars).reshape(-1, 2).copy()
    masses = np.frombuffer(masses).copy()
    return FarField.of(StarField(kappa, gamma, width, stars, masses))


def thread_count(threads: int = 0) -> int:
    """Return `threads`; 0: NUMBA_NUM_THREADS, else OMP_NUM_THREADS, else this process's cores."""
    if threads:
        return threads
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value.isdigit() and int(value) > 0:
            return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@compiled
def _smear(stars, masses, box, m1, m2, width):
    """Add pi times its mass times a unit Gaussian for each star to a periodic grid (m1, m2)."""
    grid = np.zeros((m1, m2))
    h1 = box[0] / m1
    h2 = box[1] / m2
    n1 = int(7 * width / h1) + 1
    n2 = int(7 * width / h2) + 1
    across = np.empty(2 * n2 + 1)
    for s in range(len(stars)):
        c1 = int(stars[s, 0] / h1)
        c2 = int(stars[s, 1] / h2)
        for j in range(2 * n2 + 1):
            across[j] = np.exp(-0.5 * (((c2 - n2 + j) * h2 - stars[s, 1]) / width) ** 2)
        for i in range(c1 - n1, c1 + n1 + 1):
            g = np.exp(-0.5 * ((i * h1 - stars[s, 0]) / width) ** 2) / (2 * width**2)
            g *= masses[s]
            p = i % m1
            q = (c2 - n2) % m2
            for j in range(2 * n2 + 1):
                grid[p, q] += g * across[j]
                q += 1
                if q == m2:
                    q = 0
    return grid


@compiled
def _weights(coordinate, scale):
    """Return (first grid index (n,), not wrapped; Lagrange weights (n, TAPS)) for coordinates.

    scale: grid cells in one unit of the coordinate.
    """
    n = len(coordinate)
    first = np.empty(n, np.int64)
    weights = np.ones((n, TAPS))
    for i in range(n):
        u = coordinate[i] * scale
        low = int(np.floor(u))
        first[i] = low - TAPS // 2 + 1
        offset = u - first[i]  # between the two middle points
        for k in range(TAPS):
            for other in range(TAPS):
                if other != k:
                    weights[i, k] *= (offset - other) / (k - other)
    return first, weights


def at_points(far: FarField, x) -> np.ndarray:
    """Return the deflection at points x (n, 2), written plainly: the check of the fast loops."""
    cells = far.grid.shape[1:]
    b1, w1 = _weights(x[:, 0].copy(), cells[0] / far.box[0])
    b2, w2 = _weights(x[:, 1].copy(), cells[1] / far.box[1])
    k = np.arange(TAPS)
    rows = (b1[:, None] + k) % cells[0]
    columns = (b2[:, None] + k) % cells[1]
    block = far.grid[:, rows[:, :, None], columns[:, None, :]]
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


# --- preparing the loops ------------------------------------------------------------------------


def shoot(field, tiles, pixels: int, corner, side: float, threads: int) -> np.ndarray:
    """Return the magnification at the nodes corner + (i, j) side / pixels: (pixels, pixels).

    tiles: how many, of TILE x TILE rays, each side of the lens box gets.  side: of the square, R_E;
    the width of the field is the whole map, less is a window.
    """
    contents = [np.asarray(part, float).tobytes() for part in (field.stars, field.masses)]
    far = _far_field(*contents, field.kappa, field.gamma, field.width)
    whole = side == field.width
    count = [TILE * tiles[0], TILE * tiles[1]]
    step = far.box / count
    top = LEAF  # rays along the sides of the cells in which a window looks for its rays first
    while np.hypot(*step) * top <= REACH * far.ewald_width / 4:  # half a diagonal of 2 top
        top *= 2
    lines = [(np.arange(n + top + 1) + 0.5) * h for n, h in zip(count, step, strict=True)]
    tables = _tables(far, lines, step)
    slopes = field.slopes
    even = np.pi * field.masses.sum() / far.box.prod()  # convergence of the stars' mean
    target = (*slopes, *corner, pixels / side, field.width * pixels / side, pixels, even)
    side_of_block = tiles[0] if whole else -(-count[0] // top)
    threads = min(thread_count(threads), side_of_block)

    def work(thread: int) -> np.ndarray:
        mu = np.zeros((pixels + 2, pixels + 2))  # a node more on every side
        if whole:
            _shoot_all(mu, tables, target, tiles[0], tiles[1], thread, threads)
        else:
            _shoot_window(mu, tables, target, count[0], count[1], top, thread, threads)
        return mu

    if threads == 1:
        mu = work(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            mu, *others = pool.map(work, range(threads))
        for other in others:
            mu += other
    if whole:  # nodes -1 and n are n - 1 and 0
        mu[-2] += mu[0]
        mu[1] += mu[-1]
        mu[:, -2] += mu[:, 0]
        mu[:, 1] += mu[:, -1]
    return mu[1:-1, 1:-1] * (step.prod() * (pixels / side) ** 2)


def _tables(far: FarField, lines, step) -> tuple:
    """Return what the loops read, in the order in which they unpack it.

    Stars are sorted into bins: first (bins + 1,), rows (n, 3) of position and mass.
    """
    (b1, w1), (b2, w2) = map(_weights, lines, far.grid.shape[1:] / far.box)
    reach = REACH * far.ewald_width
    bins = np.clip(far.box / reach, 1, 2000).astype(np.int64)
    at = np.minimum((far.stars / far.box * bins).astype(np.int64), bins - 1)
    number = at[:, 0] * bins[1] + at[:, 1]
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], np.arange(bins.prod() + 1))
    rows = np.column_stack([far.stars, far.masses])[order]
    most = [int((b[TILE - 1 :] - b[: 1 - TILE]).max()) + TAPS for b in (b1, b2)]
    return (
        (far.grid, *lines, b1, w1, b2, w2, *step, *most),
        (first, rows, *bins, *far.box, far.ewald_width),
    )


# --- the loops ----------------------------------------------------------------------------------


@compiled
def _buffers(tables):
    """Return the arrays in which a block of rays is worked on."""
    rows, lines = tables[0][-2:]
    return (
        np.empty((2, TILE, TILE)),  # alpha[c, j, i]: i along axis 1, contiguous
        np.empty((rows, lines)),
        np.empty((lines, TILE)),
        np.empty((3, max(TILE, lines))),
    )


@compiled
def _shoot_all(mu, tables, target, rows, across, thread, threads):
    """Shoot the rays of this thread's rows of tiles."""
    buffers = _buffers(tables)
    for ti in range(thread * rows // threads, (thread + 1) * rows // threads):
        for tj in range(across):
            _block(mu, tables, target, buffers, ti * TILE, tj * TILE, TILE)


@compiled
def _shoot_window(mu, tables, target, n1, n2, top, thread, threads):
    """Shoot the rays that may land in the window: cells are split until it is clear."""
    buffers = _buffers(tables)
    stack = np.empty((200, 3), np.int64)
    across = -(-n2 // top)
    for cell in range(thread, -(-n1 // top) * across, threads):
        stack[0, 0] = cell // across * top
        stack[0, 1] = cell % across * top
        stack[0, 2] = top
        depth = 1
        while depth > 0:
            depth -= 1
            i0, j0, size = stack[depth]
            if i0 >= n1 or j0 >= n2:
                continue
            lands, small = _may_land(tables, target, i0, j0, size)
            if not lands:
                continue
            if size == LEAF or (small and size <= TILE):
                _block(mu, tables, target, buffers, i0, j0, size)
                continue
            size //= 2
            for k in range(4):
                stack[depth, 0] = i0 + size * (k // 2)
                stack[depth, 1] = j0 + size * (k % 2)
                stack[depth, 2] = size
                depth += 1


@compiled
def _block(mu, tables, target, buffers, i0, j0, size):
    """Deflect the rays i0 ... i0 + size - 1 by j0 ... j0 + size - 1, and deposit them."""
    alpha, patch, half, line = buffers
    _far(alpha, patch, half, line, tables[0], i0, j0, size)
    _near(alpha, line, tables, i0, j0, size)
    _deposit(mu, alpha, line, tables[0], target, i0, j0, size)


@compiled
def _far(alpha, patch, half, line, table, i0, j0, size):
    """Set alpha to the far field of a block, interpolated along one axis and then the other."""
    grid, _, _, b1, w1, b2, w2, _, _, _, _ = table
    m1 = grid.shape[1]
    m2 = grid.shape[2]
    rows = b1[i0 + size - 1] - b1[i0] + TAPS  # of the grid that the block needs
    lines = b2[j0 + size - 1] - b2[j0] + TAPS
    for c in range(2):
        p = b1[i0] % m1
        for r in range(rows):
            q = b2[j0] % m2
            for k in range(lines):
                patch[r, k] = grid[c, p, q]
                q += 1
                if q == m2:
                    q = 0
            p += 1
            if p == m1:
                p = 0
        for i in range(size):
            start = b1[i0 + i] - b1[i0]
            for q in range(lines):
                value = 0.0
                for k in range(TAPS):
                    value += w1[i0 + i, k] * patch[start + k, q]
                line[0, q] = value
            for q in range(lines):
                half[q, i] = line[0, q]
        for j in range(size):
            start = b2[j0 + j] - b2[j0]
            for i in range(size):
                value = 0.0
                for k in range(TAPS):
                    value += w2[j0 + j, k] * half[start + k, i]
                alpha[c, j, i] = value


@compiled
def _near(alpha, line, tables, i0, j0, size):
    """Add the near field of every star that reaches the block: m d / |d|^2 exp(-|d|^2 / 2 s^2)."""
    x1 = tables[0][1]
    x2 = tables[0][2]
    h1 = tables[0][7]
    h2 = tables[0][8]
    first, stars, bins1, bins2, box1, box2, width = tables[1]
    reach = REACH * width
    low1 = int(np.floor((x1[i0] - reach) / box1 * bins1))
    high1 = int(np.floor((x1[i0 + size - 1] + reach) / box1 * bins1))
    low2 = int(np.floor((x2[j0] - reach) / box2 * bins2))
    high2 = int(np.floor((x2[j0 + size - 1] + reach) / box2 * bins2))
    for p in range(low1, high1 + 1):
        for q in range(low2, high2 + 1):
            number = (p % bins1) * bins2 + q % bins2
            for s in range(first[number], first[number + 1]):
                d1 = x1[i0] - stars[s, 0] - (p // bins1) * box1  # of the block's first ray
                d2 = x2[j0] - stars[s, 1] - (q // bins2) * box2
                _near_star(alpha, line, d1, d2, stars[s, 2], h1, h2, width, size)


@compiled
def _near_star(alpha, line, d1, d2, mass, h1, h2, width, size):
    """Add the near field of one star, at -(d1, d2) from the block's first ray."""
    square = (REACH * width) ** 2
    low = max(0, int(np.ceil((-d1 - REACH * width) / h1)))
    high = min(size, int(np.floor((-d1 + REACH * width) / h1)) + 1)
    below = max(0, int(np.ceil((-d2 - REACH * width) / h2)))
    above = min(size, int(np.floor((-d2 + REACH * width) / h2)) + 1)
    if low >= high or below >= above:
        return
    for i in range(low, high):
        line[0, i] = d1 + i * h1
        line[1, i] = mass * np.exp(-0.5 * (line[0, i] / width) ** 2)
    for j in range(below, above):
        dy = d2 + j * h2
        ey = np.exp(-0.5 * (dy / width) ** 2)
        chord = np.sqrt(max(0.0, square - dy * dy))
        left = max(low, int(np.ceil((-d1 - chord) / h1)))
        right = min(high, int(np.floor((-d1 + chord) / h1)) + 1)
        for i in range(left, right):
            dx = line[0, i]
            w = line[1, i] * ey / (dx * dx + dy * dy + 1e-24)
            alpha[0, j, i] += w * dx
            alpha[1, j, i] += w * dy


@compiled
def _deposit(mu, alpha, line, table, target, i0, j0, size):
    """Share each ray between the four nodes around y = slopes x - alpha; mu has node -1 first."""
    x1 = table[1]
    x2 = table[2]
    slope1, slope2, corner1, corner2, scale, period, pixels, _ = target
    inverse = 1 / period
    last = np.uint64(pixels)
    one = np.uint64(1)
    for j in range(size):
        middle = slope2 * x2[j0 + j] - corner2
        for i in range(size):
            u = (slope1 * x1[i0 + i] - corner1 - alpha[0, j, i]) * scale + 1
            v = (middle - alpha[1, j, i]) * scale + 1
            line[0, i] = u - period * np.floor(u * inverse)
            line[1, i] = v - period * np.floor(v * inverse)
        for i in range(size):
            p = np.uint64(np.int64(line[0, i]))  # unsigned: no test for indices below 0
            q = np.uint64(np.int64(line[1, i]))
            if p <= last and q <= last:
                fu = line[0, i] - np.int64(line[0, i])
                fv = line[1, i] - np.int64(line[1, i])
                both = fu * fv
                mu[p, q] += 1 - fu - fv + both
                mu[p, q + one] += fv - both
                mu[p + one, q] += fu - both
                mu[p + one, q + one] += both


# --- which rays land in a window ----------------------------------------------------------------


@compiled
def _may_land(tables, target, i0, j0, size):
    """Tell whether a ray of a cell may land in the window, and whether they all land close by.

    Write z for a place and c for the cell's middle, r for half of its diagonal.  The conjugate of
    the stars' deflection is g(z) = sum m / (z - z_s), plus what makes it periodic and is analytic
    too.  Stars within 4 r are taken out of g: over the cell each changes by at most
    m r / (d (d - r)), d its distance from c.  The rest is g0 + g1 (z - c) + g2 (z - c)^2, measured
    at three rays in a line, and an error of third order, m r^3 / (d^3 (d - r)) for each star.
    """
    grid, x1, x2, b1, w1, b2, w2, h1, h2, _, _ = tables[0]
    first, stars, bins1, bins2, box1, box2, width = tables[1]
    slope1, slope2, corner1, corner2, scale, period, pixels, even = target
    h1 *= size / 2
    h2 *= size / 2
    r = np.sqrt(h1 * h1 + h2 * h2)
    reach = REACH * width
    if 4 * r > reach:  # not all stars within 4 r would be seen
        return True, False
    i1 = i0 + size // 2
    j1 = j0 + size // 2
    a = np.zeros((3, 2))  # alpha, without the stars within 4 r, at c - h1, c and c + h1
    for point in range(3):
        i = i0 + size // 2 * point
        p = b1[i] % grid.shape[1]
        for k in range(TAPS):
            q = b2[j1] % grid.shape[2]
            for m in range(TAPS):
                weight = w1[i, k] * w2[j1, m]
                a[point, 0] += weight * grid[0, p, q]
                a[point, 1] += weight * grid[1, p, q]
                q += 1
                if q == grid.shape[2]:
                    q = 0
            p += 1
            if p == grid.shape[1]:
                p = 0
    own1 = 0.0  # deflection at c by the stars within 4 r
    own2 = 0.0
    error = 4 * even * r**3 / reach**2  # third order, stars out of reach
    low1 = int(np.floor((x1[i0] - reach) / box1 * bins1))
    high1 = int(np.floor((x1[i0 + size] + reach) / box1 * bins1))
    low2 = int(np.floor((x2[j1] - reach) / box2 * bins2))
    high2 = int(np.floor((x2[j1] + reach) / box2 * bins2))
    for p in range(low1, high1 + 1):
        for q in range(low2, high2 + 1):
            number = (p % bins1) * bins2 + q % bins2
            for s in range(first[number], first[number + 1]):
                mass = stars[s, 2]
                d1 = x1[i1] - stars[s, 0] - (p // bins1) * box1
                d2 = x2[j1] - stars[s, 1] - (q // bins2) * box2
                square = d1 * d1 + d2 * d2 + 1e-24
                d = np.sqrt(square)
                close = d < 4 * r
                if close:
                    own1 += mass * d1 / square
                    own2 += mass * d2 / square
                    error += mass * r / (d * (d - r)) if d > r else BIG
                else:
                    error += 2 * mass * r**3 / (square * d * (d - r))
                for point in range(3):
                    e1 = d1 + (point - 1) * h1
                    square = e1 * e1 + d2 * d2 + 1e-24
                    part = 0.0
                    if square < reach * reach:
                        part = np.exp(-0.5 * square / width**2)
                    if close:
                        part -= 1.0
                    part *= mass / square
                    a[point, 0] += part * e1
                    a[point, 1] += part * d2
    g1_real = (a[2, 0] - a[0, 0]) / (2 * h1) + even  # even: the mean sheet is no part of g
    g1_imag = -(a[2, 1] - a[0, 1]) / (2 * h1)
    bend1 = a[2, 0] + a[0, 0] - 2 * a[1, 0]
    bend2 = a[2, 1] + a[0, 1] - 2 * a[1, 1]
    error += np.sqrt(bend1 * bend1 + bend2 * bend2) * (r / h1) ** 2  # twice g2 r^2
    spread1 = abs(slope1 + even - g1_real) * h1 + abs(g1_imag) * h2 + error
    spread2 = abs(slope2 + even + g1_real) * h2 + abs(g1_imag) * h1 + error
    side = pixels / scale
    away1 = slope1 * x1[i1] - a[1, 0] - own1 - corner1 - side / 2
    away2 = slope2 * x2[j1] - a[1, 1] - own2 - corner2 - side / 2
    around = period / scale
    away1 -= around * np.floor(away1 / around + 0.5)
    away2 -= around * np.floor(away2 / around + 0.5)
    edge = side / 2 + 2 / scale + 1e-5  # rays up to a pixel outside share light with the window
    lands = abs(away1) <= edge + spread1 and abs(away2) <= edge + spread2
    return lands, max(spread1, spread2) < side / 8
