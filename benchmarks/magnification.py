"""A magnification map at equal error: plain inverse ray shooting against `ray_shooting`.

Plain: a regular grid of rays, each deflected by the sum over all stars, each counted in the nearest
pixel.  A whole map of that kind takes hours, so its time is put together from two measurements:
seconds a ray (timed, all stars, all threads) and the rays it needs.  The latter come from maps of
nearest-pixel counts with this project's deflections, which differ from the sum by 1e-7: the error
is that after a disc of p = 0.1 R_E against a map of many more rays, rms over the mean.  The pixel's
own smoothing is divided out for both.

Inverse polygon mapping: the one maintained package found, `microlensing`, is CUDA only, so there is
no row for it.
"""

import time

import numba
import numpy as np
import torch

from benchmarks.timing import alternate, ratios, row, spread
from common.light_curves import microlensing, ray_shooting
from common.light_curves.ray_shooting import TILE

RADIUS = 0.1  # R_E
OWN_RAYS, LADDER, MANY = 5.0, (5.0, 10.0, 20.0, 40.0), 80.0  # a pixel


@numba.njit(parallel=True, fastmath=True)
def shoot_plainly(counts, x1, x2, stars, slopes, scale):
    """Deflect the rays (x1[i], x2[j]) by every star; count them in counts (threads, n, n)."""
    threads, n = counts.shape[0], counts.shape[1]
    for thread in numba.prange(threads):
        for i in range(thread * len(x1) // threads, (thread + 1) * len(x1) // threads):
            for j in range(len(x2)):
                a, b = 0.0, 0.0
                for s in range(len(stars)):
                    dx, dy = x1[i] - stars[s, 0], x2[j] - stars[s, 1]
                    inverse = 1.0 / (dx * dx + dy * dy + 1e-24)
                    a += dx * inverse
                    b += dy * inverse
                u = int(np.floor((slopes[0] * x1[i] - a) * scale + 0.5)) % n
                v = int(np.floor((slopes[1] * x2[j] - b) * scale + 0.5)) % n
                counts[thread, u, v] += 1


@numba.njit(fastmath=True)
def _count(counts, a, x1, x2, i0, j0, slopes, scale):
    """Count the rays of a tile, deflected by a (2, TILE, TILE), in the nearest pixel."""
    n = len(counts)
    for j in range(TILE):
        for i in range(TILE):
            u = int(np.floor((slopes[0] * x1[i0 + i] - a[0, j, i]) * scale + 0.5)) % n
            v = int(np.floor((slopes[1] * x2[j0 + j] - a[1, j, i]) * scale + 0.5)) % n
            counts[u, v] += 1


@numba.njit(parallel=True, fastmath=True)
def _shoot_nearest(maps, grid, x1, x2, b1, w1, b2, w2, first, places, width, slopes, scale, across):
    """`ray_shooting._shoot` with nearest-pixel counts in place of shared rays."""
    threads = len(maps)
    rows = len(x1) // TILE
    for thread in numba.prange(threads):
        a = np.empty((2, TILE, TILE))
        for ti in range(thread * rows // threads, (thread + 1) * rows // threads):
            for tj in range(across):
                i0, j0, t = ti * TILE, tj * TILE, ti * across + tj
                ray_shooting._far(a, grid, b1, w1, b2, w2, i0, j0)
                for s in range(first[t], first[t + 1]):
                    ray_shooting._near(a, x1, x2, places[s, 0], places[s, 1], i0, j0, width)
                _count(maps[thread], a, x1, x2, i0, j0, slopes, scale)


def nearest_pixel_map(field, pixels: int, rays: float) -> np.ndarray:
    """Return the map (pixels, pixels) of nearest-pixel counts, with this project's deflections."""
    spacing = field.width / pixels * np.sqrt(field.mean_magnification / rays)
    far = ray_shooting.FarField.of(field.stars, field.box, 0.25)
    threads = torch.get_num_threads()
    return ray_shooting.shoot(
        far, field.slopes, field.width, pixels, spacing, threads, _shoot_nearest
    )


def seen(mu, width: float, power: int) -> torch.Tensor:
    """Return a map as a disc of 0.1 R_E sees it, the deposit's own smoothing sinc^power undone."""
    n = len(mu)
    along, across = torch.fft.fftfreq(n), torch.fft.rfftfreq(n)
    k = 2 * np.pi * n / width * torch.hypot(along[:, None], across[None, :])
    factor = torch.from_numpy(microlensing.profile_transform(k.numpy(), RADIUS))
    factor = factor / (torch.sinc(along)[:, None] * torch.sinc(across)[None, :]) ** power
    product = microlensing.spectrum_of(mu) * factor.float()
    return torch.fft.irfft2(product, s=(n, n))


def errors(field, pixels: int, ladder, many: float) -> tuple[float, list[float]]:
    """Return the error of this project's map, and of nearest-pixel maps of `ladder` rays a pixel.

    rms of the difference from a map of `many` rays a pixel, over the mean, after the disc.
    """
    width, mean = field.width, field.mean_magnification
    best = seen(microlensing.magnification_map(field, pixels, many), width, 2)

    def error(mu, power):
        return float((seen(mu, width, power) - best).square().mean().sqrt()) / mean

    own = error(microlensing.magnification_map(field, pixels, OWN_RAYS), 2)
    return own, [error(nearest_pixel_map(field, pixels, rays), 1) for rays in ladder]


def rays_needed(own: float, ladder, found) -> float:
    """Return the rays a pixel of nearest-pixel counts with the error `own`: a line, log-log."""
    slope, offset = np.polyfit(np.log(ladder), np.log(found), 1)
    return float(np.exp((np.log(own) - offset) / slope))


def plain_seconds_per_ray(field, pixels: int, side: int) -> float:
    """Return the seconds that one ray of the plain way takes, on a grid of side x side rays."""
    threads = torch.get_num_threads()
    numba.set_num_threads(threads)
    counts = np.zeros((threads, pixels, pixels), np.int32)
    lines = [np.linspace(0, length, side, endpoint=False) for length in field.box]
    started = time.perf_counter()
    shoot_plainly(counts, *lines, field.stars, field.slopes, pixels / field.width)
    return (time.perf_counter() - started) / side**2


def measure(settings, device) -> dict:
    """Find the rays needed, then time both by turns."""
    width, pixels, side = (8.0, 200, 64) if settings.smoke else (100.0, 5000, 600)
    field = microlensing.star_field(width=width, seed=settings.seed)
    many = 4 * OWN_RAYS if settings.smoke else MANY
    own_error, plain_errors = errors(field, pixels, LADDER, many)
    needed = rays_needed(own_error, LADDER, plain_errors)
    each = []
    sides = {
        "this project": lambda: microlensing.magnification_map(field, pixels, OWN_RAYS),
        "plain rays": lambda: each.append(plain_seconds_per_ray(field, pixels, side)),
    }
    seconds = alternate(sides, settings.repeats)
    per_ray, own = each[1:], seconds["this project"]  # the first was the warm-up
    plain = [needed * pixels**2 * s for s in per_ray]
    work = f"{width:g} R_E, {pixels}^2 map, {len(field.stars):,} stars"
    against = "direct sum over stars, equal error, extrapolated"
    rows = [row(work, against, ratios(plain, own), 100.0)]
    return {
        "rows": rows, "seconds": seconds | {"plain, extrapolated": plain}, "radius": RADIUS,
        "error_over_mean": {"this project": own_error, "nearest pixel": plain_errors},
        "rays_a_pixel": {"this project": OWN_RAYS, "nearest pixel": LADDER, "needed": needed},
        "plain_seconds": spread(plain),
    }  # fmt: skip
