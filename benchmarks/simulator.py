"""The simulator of exercise 2 against exact results: the error of each check, and what is demanded.

    python -m benchmarks.simulator   -> figures/ex_2_simulator.json, in ten seconds

tests/test_microlensing.py makes the same checks, one by one.
"""

from common.light_curves import microlensing, profiles
from common.runtime import results, script
from common.runtime.device import hardware
from common.runtime.options import Common, parse

import numpy as np

MASSES = {"equal": "equal", "Salpeter": "salpeter", "Kroupa": "kroupa", "0.01 to 30": None}
WIDTHS = (0.15, 0.2, 0.4)  # R_E, of the split
MACRO = ((0.4, 0.4, 0.0), (0.6, -0.3, 0.5), (1.7, 0.2, 0.3), (0.3, 0, 1))  # kappa, gamma, s


def small_field(masses="equal"):
    """Return a star field of 4 R_E; masses None: 40 of them from 0.01 to 30, evenly in ln m."""
    masses = np.geomspace(0.01, 30, 40) if masses is None else masses
    return microlensing.star_field(0.4, 0.4, 0.0, 4.0, seed=1, masses=masses)


def image_sum(field, x):
    """Return alpha (n, 2) at x (n, 2) by the direct sum over stars and all their periodic images.

    A row of images is closed: sum_n 1 / (z - n L) = (pi / L) cot(pi z / L); the rows converge
    exponentially; the same mass, spread evenly over the rows, is taken off.
    """
    (a, b), stars = field.box, field.stars
    z = (x[:, 0] + 1j * x[:, 1])[:, None] - (stars[:, 0] + 1j * stars[:, 1])
    total = sum(np.pi / a / np.tan(np.pi * (z - 1j * row * b) / a) for row in range(-15, 16))
    total, even = total * field.masses, 2 * np.pi / (a * b) * z.imag * field.masses
    return np.stack([total.real.sum(1), (-total.imag - even).sum(1)], 1)


def deflections(masses: str) -> float:
    """Return the rms error [R_E] of a deflection, over the stars' rms mass if that exceeds 1."""
    field = small_field(MASSES[masses])
    x = np.random.default_rng(0).uniform(size=(500, 2)) * field.box
    error = microlensing.deflection(field, x) - image_sum(field, x)
    return np.sqrt((error**2).mean()) / max(1, np.sqrt((field.masses**2).mean()))


def split(width: float) -> float:
    """Return the greatest difference [R_E] that another width of the split makes."""
    field = small_field()
    x = np.random.default_rng(0).uniform(size=(200, 2)) * field.box
    apart = microlensing.deflection(field, x, width) - microlensing.deflection(field, x, 0.25)
    return np.abs(apart).max()


def mean(macro) -> float:
    """Return the relative error of a map's mean, 1 / |(1 - kappa)^2 - gamma^2| being exact."""
    mu = microlensing.magnification_map(microlensing.star_field(*macro, 5.0, 2), 100, rays=2.0)
    return abs(mu.mean() * abs((1 - macro[0]) ** 2 - macro[1] ** 2) - 1)


def one_star(kappa=1e-4, gamma=0.0, mass=1.0):
    """One star in a box so large that its images do not matter; the macro-lens is their mass."""
    slopes = np.abs([1 - kappa - gamma, 1 - kappa + gamma])
    width = np.sqrt(np.pi * mass / kappa * slopes.prod())
    box = width / slopes
    return microlensing.StarField(kappa, gamma, width, box[None] / 2, np.full(1, mass))


def single_lens(mass: float) -> float:
    """Return the greatest relative error of mu(u) = (u^2 + 2) / (u sqrt(u^2 + 4)).

    u in units of the star's own R_E; over a disc of 0.05 R_E, which is a part of the error.
    """
    field = one_star(2.5e-3, mass=mass)
    mu = microlensing.magnification_map(field, 1500, rays=20.0)
    disc = microlensing.convolve(mu, field.width, 0.05)
    errors, angles = [], np.linspace(0, 2 * np.pi, 40)
    for u in (0.5, 1.0, 1.5, 2.5):
        ring = np.sqrt(mass) * u * np.stack([np.cos(angles), np.sin(angles)], 1)
        found = microlensing.read_tracks(disc, field.width, field.width / 2 + ring).mean()
        errors.append(abs(found / ((u**2 + 2) / (u * np.sqrt(u**2 + 4))) - 1))
    return max(errors)


def cusps(gamma: float) -> float:
    """Return the greatest relative error of a star's cusps in a shear, 0 < gamma < 1.

    The caustic is the image of |gamma - 1 / z^2| = 1.  Rays through the critical points of the axes
    land at its cusps, 2 gamma / sqrt(1 +- gamma) (Chang & Refsdal 1984).
    """
    field, errors = one_star(2e-5, gamma), []
    for axis, sign in ((0, 1), (1, -1)):
        # axis with slope 1 - gamma: 1 - gamma + 1 / x^2 has no zero; the tangential one does
        x = field.box / 2 + np.eye(2)[axis] / np.sqrt(1 - field.kappa + sign * gamma)
        alpha = microlensing.deflection(field, x[None], ewald_width=1.0)[0]
        y = field.slopes * (x - field.box / 2) - alpha
        errors.append(abs(abs(y[axis]) / (2 * gamma / np.sqrt(1 + sign * gamma)) - 1))
    return max(errors)


def half_light(profile: str) -> float:
    """Return by how much the share of light within the half-light radius differs from 0.5.

    The source as an image: a map with a single bright node, convolved.
    """
    n, width, radius = 1024, 40.0, 1.0
    mu = np.zeros((n, n))
    mu[n // 2, n // 2] = 1.0
    image = microlensing.convolve(mu, width, radius, profile, undo_grid=False)
    x = (np.arange(n) - n // 2) * width / n
    return abs(image[np.hypot(x[:, None], x) <= radius].sum() - 0.5)


CHECKS = {  # name: (check, its cases, what is demanded of each)
    "deflections": (deflections, MASSES, 5e-7),
    "split": (split, WIDTHS, 2e-6),
    "mean": (mean, MACRO, 1e-11),
    "single_lens": (single_lens, (1.0, 4.0), 0.01),
    "cusps": (cusps, (0.3,), 2e-3),
    "half_light": (half_light, profiles.PROFILES, 0.02),
}


def main(argv=None) -> dict:
    """Make every check; write and return the greatest error of each beside what is demanded."""
    settings = parse(Common, __doc__, argv, without=("seed", "data_dir", "device"))
    results.keep_shipped(settings)
    device, found = script.start(settings), {}
    for name, (check, cases, demanded) in CHECKS.items():
        error = float(max(check(case) for case in cases))
        found[name] = {"error": error, "demanded": demanded}
        print(f"{name:12s} {error:.1e}, demanded {demanded:g}", flush=True)
    field = microlensing.star_field(width=20.0)
    mu = microlensing.magnification_map(field, 1000, 5.0)  # as dense as the data's map
    metrics = {"checks": found, "pixel": field.width / 1000, "rays": 5.0, "radius": 0.1}
    metrics |= {"noise": microlensing.map_error(mu, field, 5.0, 0.1), "hardware": hardware(device)}
    return results.save_results(settings.out_dir, "ex_2_simulator", metrics, {}, [])


if __name__ == "__main__":
    script.run(main)
