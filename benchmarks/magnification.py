"""A magnification map, ray by ray: the sum over all stars against `ray_shooting`.

Plain: a regular grid of rays, each deflected by the sum over all stars and counted in the nearest
pixel.  A whole map of that kind takes hours, so a grid of few rays is timed; both times are divided
by their rays.  For the same error it needs more rays: on a field of 8 R_E, pixels of 0.02 R_E and a
source of 0.1 R_E, errors were 0.48 % with 5 rays a pixel and 0.32 % with 10, of this project's map
0.38 % with 5, that is, MORE times as many.
Inverse polygon mapping: the one maintained package found, `microlensing`, is CUDA only, so there is
no row for it.
"""

from benchmarks.timing import alternate, ratios, row
from common.light_curves import microlensing

import numba
import numpy as np
import torch

MORE = 1.5  # rays that the plain way needs for the same error, over those of this project
RAYS = 5.0  # a pixel, of this project's map


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


def measure(settings, device) -> dict:
    """Time both by turns, and divide by the rays."""
    width, pixels, side = (8.0, 200, 64) if settings.smoke else (100.0, 5000, 600)
    field = microlensing.star_field(width=width, seed=settings.seed)
    threads = torch.get_num_threads()
    numba.set_num_threads(threads)
    counts = np.zeros((threads, pixels, pixels), np.int32)
    lines = [np.linspace(0, length, side, endpoint=False) for length in field.box]
    scale = pixels / field.width
    sides = {
        "this project": lambda: microlensing.magnification_map(field, pixels, RAYS),
        "plain rays": lambda: shoot_plainly(counts, *lines, field.stars, field.slopes, scale),
    }
    seconds = alternate(sides, settings.repeats)
    own = [s / (RAYS * pixels**2) for s in seconds["this project"]]
    plain = [s / side**2 for s in seconds["plain rays"]]
    work = f"a ray of a {width:g} R_E map, {len(field.stars):,} stars"
    times = ratios(plain, own)
    rows = [row(work, "direct sum over stars", times)]
    equal = [MORE * ratio for ratio in times]
    rows.append(row("a map of equal error at p = 0.1", "direct sum over stars", equal, 250.0))
    return {"rows": rows, "seconds_a_ray": {"this project": own, "plain": plain}}
