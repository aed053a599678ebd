"""How fast the simulator is: a ray of a map against the plain sum over all stars, at equal error.

    python -m studies.map_speed     -> out/ex_2_map_speed.json

The plain way deflects each ray by every star and counts it in the nearest pixel.  A whole map of
that kind takes hours, so few of its rays are timed, in turn with a whole map of the package, both
in CPU seconds of this process:

    ratio at equal error = cost of a plain ray / cost of our ray * rays of the plain way / our rays.

The plain sum is timed twice: as numba compiles it by default ("plain"), where a test for division
by zero in the inner loop forbids vector arithmetic, and without that test ("vectorised").

Rays at equal error: on a small field both ways make maps with several numbers of rays; the error is
the rms difference, for a source of p = 0.1, from the same way's map with very many rays.  log error
is fitted by a line in log rays, and the plain line is read where it reaches our error.

The ratios grow with the number of stars.  Also timed: windows of 0.5 R_E with pixels of 0.001 R_E.

Expect, on one thread of a busy machine, in two minutes: at equal error the plain sum costs 540
times as much (428 to 648 in single rounds), the vectorised one 136 times (114 to 162); a window
takes 1.7 s of CPU.
"""

import dataclasses
import functools
import time
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from common import microlensing
from common.training import check, run, write


@dataclass
class Settings:
    rounds: int = 5  # of both ways, in turn
    width: float = 100.0  # of the timed field, R_E
    pixels: int = 5000  # along each side of its map
    rays: float = 5.0  # a pixel
    plain_side: int = 300  # so many rays squared of the plain way are timed
    error_width: float = 8.0  # of the field on which errors are measured, R_E
    error_pixels: int = 400  # along each side of its map
    many_rays: float = 300.0  # a pixel, of the map that errors are measured from
    radius: float = 0.1  # of the source, R_E
    window_width: float = 100.0  # of the field of the window, R_E
    window_pixels: int = 500  # along each side of the window of 0.5 R_E
    seed: int = 100
    out_dir: Path = Path("out")


def count_rays(counts, x1, x2, stars1, stars2, slopes, scale):
    """Deflect the rays (x1[i], x2[j]) by every star; count them in the nearest of (n, n) pixels."""
    n = len(counts)
    for i in range(len(x1)):
        for j in range(len(x2)):
            alpha1 = 0.0
            alpha2 = 0.0
            for s in range(len(stars1)):
                d1 = x1[i] - stars1[s]
                d2 = x2[j] - stars2[s]
                inverse = 1 / (d1 * d1 + d2 * d2 + 1e-24)
                alpha1 += d1 * inverse
                alpha2 += d2 * inverse
            u = int(np.floor((slopes[0] * x1[i] - alpha1) * scale + 0.5)) % n
            v = int(np.floor((slopes[1] * x2[j] - alpha2) * scale + 0.5)) % n
            counts[u, v] += 1


SUMS = {
    "plain": numba.njit(count_rays, fastmath=True),
    "vectorised": numba.njit(count_rays, fastmath=True, error_model="numpy"),
}


def plain_counts(field, pixels: int, sides, way="vectorised") -> np.ndarray:
    """Count sides[0] * sides[1] rays, a regular grid over the lens box, in (pixels, pixels)."""
    counts = np.zeros((pixels, pixels))
    lines = [(np.arange(n) + 0.5) * side / n for n, side in zip(sides, field.box, strict=True)]
    stars = np.ascontiguousarray(field.stars.T)
    SUMS[way](counts, *lines, *stars, field.slopes, pixels / field.width)
    return counts


def plain_map(field, pixels: int, rays: float) -> np.ndarray:
    """Return the plain way's map (pixels, pixels) from about `rays` rays a pixel."""
    spacing = field.width / pixels * np.sqrt(field.mean_magnification / rays)
    sides = [int(np.ceil(side / spacing)) for side in field.box]
    counts = plain_counts(field, pixels, sides)
    return counts * field.mean_magnification / counts.mean()


def error_line(make, field, settings) -> np.ndarray:
    """Fit log error = slope log rays + constant for maps make(field, pixels, rays): (2,)."""

    def disc(rays):
        mu = make(field, settings.error_pixels, rays) / field.mean_magnification
        return microlensing.convolve(mu, field.width, settings.radius)

    best = disc(settings.many_rays)
    rays = settings.rays * np.geomspace(0.7, 3, 9)
    errors = [np.std(disc(number) - best) for number in rays]
    return np.polyfit(np.log(rays), np.log(errors), 1)


def rays_at_equal_error(settings) -> dict:
    """Return both errors at settings.rays, and how many times more rays the plain way needs."""
    field = microlensing.star_field(width=settings.error_width, seed=settings.seed)
    ours = error_line(microlensing.magnification_map, field, settings)
    plain = error_line(plain_map, field, settings)
    at = np.log(settings.rays)
    error = np.polyval(ours, at)
    more = np.exp((error - plain[1]) / plain[0] - at)
    errors = {"ours": np.exp(error), "plain": np.exp(np.polyval(plain, at))}
    return {"errors": errors, "slopes": {"ours": ours[0], "plain": plain[0]}, "more_rays": more}


def cost_of_rays(settings) -> dict:
    """Time the ways in turn, after a call of each that compiles; nanoseconds of CPU a ray."""
    field = microlensing.star_field(width=settings.width, seed=settings.seed)
    sides = (settings.plain_side, settings.plain_side)
    ways = {"ours": lambda field, n, sides: microlensing.magnification_map(field, n, settings.rays)}
    ways |= {way: functools.partial(plain_counts, way=way) for way in SUMS}
    rays = dict.fromkeys(SUMS, settings.plain_side**2)
    rays["ours"] = settings.rays * settings.pixels**2

    small = microlensing.star_field(width=4.0)
    for shoot in ways.values():
        shoot(small, 16, (4, 4))
    cost = {name: [] for name in ways}
    for k in range(settings.rounds):
        for name in list(ways)[:: 1 if k % 2 == 0 else -1]:
            started = time.process_time()
            ways[name](field, settings.pixels, sides)
            cost[name].append(1e9 * (time.process_time() - started) / rays[name])
    return {"stars": len(field.stars), "nanoseconds": cost}


def time_window(settings) -> dict:
    """Time windows of 0.5 R_E at random places; kappa = 0.8, gamma = 0.14, a tenth in stars."""
    field = microlensing.star_field(0.8, 0.14, 0.9, settings.window_width, settings.seed)
    pixels = settings.window_pixels
    places = np.random.default_rng(settings.seed).uniform(0, field.width, (settings.rounds, 2))
    microlensing.magnification_map(field, 16, window=(0, 0, 0.5))  # compiles, and the far field
    cpu = []
    wall = []
    for place in places:
        started = time.perf_counter()
        started_cpu = time.process_time()
        microlensing.magnification_map(field, pixels, settings.rays, window=(*place, 0.5))
        cpu.append(time.process_time() - started_cpu)
        wall.append(time.perf_counter() - started)
    medians = {"cpu_seconds": np.median(cpu), "wall_seconds": np.median(wall)}
    return medians | {"stars": len(field.stars), "pixels": pixels, "cpu": cpu, "wall": wall}


def main(settings) -> dict:
    """Measure errors, costs and windows; write and return the numbers."""
    check(settings, rounds=(1, 100), plain_side=(1, 10_000), rays=(0.1, 1000))
    equal = rays_at_equal_error(settings)
    cost = cost_of_rays(settings)
    nanoseconds = cost["nanoseconds"]
    against = {}
    for way in SUMS:
        ratios = np.divide(nanoseconds[way], nanoseconds["ours"])
        each = ratios * equal["more_rays"]
        about = {"at_equal_error": np.median(each), "of_a_ray": np.median(ratios)}
        against[way] = about | {"least": each.min(), "greatest": each.max()}
    numbers = {
        "against": against,
        "equal_error": equal,
        "cost_of_a_ray": cost,
        "window": time_window(settings),
        "settings": dataclasses.asdict(settings),
    }
    write(settings.out_dir, "ex_2_map_speed", numbers)
    return numbers


if __name__ == "__main__":
    run(main, Settings)
