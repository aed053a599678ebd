"""Simulate gravitational microlensing: star field -> magnification map -> source disc -> tracks.

    field = star_field(kappa=0.4, gamma=0.4, width=25.0, seed=1)
    disc = convolve(magnification_map(field, pixels=1250), field.width, radius=0.1)
    curves = read_tracks(disc, field.width, tracks(10, field.width, 4.5, 300, seed=2))

Lengths are Einstein radii R_E of a star of mass 1, sqrt(m) R_E of one of mass m.  Lens equation:

    y = diag(1 - kappa - gamma, 1 - kappa + gamma) x - alpha(x)

has the macro-lens (convergence kappa, shear gamma) in its first term; alpha is the deflection by
the stars minus that of the same mass spread evenly.  The field repeats itself in a lens box of
width / |1 - kappa - gamma| by width / |1 - kappa + gamma|, which maps onto a periodic square of
`width` in the source plane: no edges, and the mean magnification 1 / |(1 - kappa)^2 - gamma^2| is
exact.  (Kayser, Refsdal & Stabell 1986; Wambsganss 1999; Ewald 1921 for the split.)
"""

import dataclasses
from pathlib import Path

from common.runtime import files
from common.runtime.errors import InputError

import numpy as np
import torch

PROFILES = ("gaussian", "uniform", "shakura-sunyaev")
MASS_FUNCTIONS = {  # pieces of a power law: (from, to, exponent), in any unit of mass
    "salpeter": [(0.1, 10.0, -2.35)],  # Salpeter 1955
    "kroupa": [(0.08, 0.5, -1.3), (0.5, 10.0, -2.3)],  # Kroupa 2001
}


@dataclasses.dataclass(frozen=True)
class StarField:
    """Stars (n, 2) in R_E in a lens box that repeats itself, and the macro-lens around them."""

    kappa: float  # convergence: all matter, the stars among it
    gamma: float  # shear
    width: float  # of the periodic source plane, R_E
    stars: np.ndarray  # (n, 2), 0 <= x < box
    masses: np.ndarray  # (n,), in the unit of mass whose Einstein radius is R_E

    @property
    def slopes(self) -> np.ndarray:
        """Eigenvalues of the macro-lens: (1 - kappa - gamma, 1 - kappa + gamma)."""
        return np.array([1 - self.kappa - self.gamma, 1 - self.kappa + self.gamma])

    @property
    def box(self) -> np.ndarray:
        """Sides of the lens box, R_E: (2,)."""
        return self.width / np.abs(self.slopes)

    @property
    def mean_magnification(self) -> float:
        """1 / |(1 - kappa)^2 - gamma^2|, the area of the lens box over that of the source plane."""
        return 1 / abs(self.slopes.prod())


def star_field(
    kappa=0.4, gamma=0.4, smooth_fraction=0.0, width=100.0, seed=0, masses="equal", stars=None
) -> StarField:
    """Scatter stars of the mass kappa (1 - smooth_fraction) area / pi evenly over the lens box.

    kappa, gamma: convergence and shear; smooth_fraction: share of kappa that is not in stars;
    width: of the source plane, R_E.  masses: "equal" (1), "salpeter", "kroupa" (of mean 1), or
    an array (n,), and then there are n stars.  stars: positions (n, 2) in the lens box, R_E, drawn
    unless given.  The rest of kappa, negative if the stars exceed it, is smooth matter.
    Raises InputError for a macro-lens of infinite magnification, or anything out of range.
    """
    slopes = np.array([1 - kappa - gamma, 1 - kappa + gamma])
    sane = np.isfinite([*slopes, width]).all() and kappa >= 0 and width > 0
    if not (sane and 0 <= smooth_fraction <= 1):
        raise InputError("star field: kappa >= 0, 0 <= smooth fraction <= 1 and width > 0, please")
    if np.abs(slopes).min() < 1e-3:
        raise InputError(f"kappa = {kappa}, gamma = {gamma}: the macro-lens magnifies without end")
    box, named = width / np.abs(slopes), isinstance(masses, str)
    count = round(kappa * (1 - smooth_fraction) * box.prod() / np.pi)
    if stars is not None or not named:
        count = len(masses if stars is None else stars)
        if smooth_fraction:
            raise InputError("star field: own stars leave no choice of the smooth fraction; give 0")
    if count > 10**7:
        raise InputError(f"{count} stars: too many; choose a smaller width")
    if stars is None:
        stars = np.random.default_rng(seed).uniform(size=(count, 2)) * box
    if named:
        masses = np.ones(count) if masses == "equal" else sample_masses(count, masses, [1, seed])
    stars, masses = np.asarray(stars, float), np.asarray(masses, float)
    fits = stars.shape == (count, 2) and masses.shape == (count,)
    if not (fits and np.isfinite(stars).all() and ((masses > 0) & (masses < 1e6)).all()):
        raise InputError("star field: give finite positions (n, 2) and masses (n,) above 0")
    return StarField(kappa, gamma, width, np.mod(stars, box), masses)


def sample_masses(n: int, function: str, seed=0) -> np.ndarray:
    """Draw n masses of one of MASS_FUNCTIONS, scaled to the mean 1: (n,); InputError for others."""
    if function not in MASS_FUNCTIONS:
        raise InputError(f"masses {function!r}: equal, {', '.join(MASS_FUNCTIONS)}, or an array")
    at, share, height = [], [], 1.0
    for low, high, slope in MASS_FUNCTIONS[function]:  # continuous at the joints
        m = np.geomspace(low, high, 2001)
        density = height * (m / low) ** slope
        at, height = [*at, *m[:-1]], density[-1]
        share += [*(np.diff(m) * (density[1:] + density[:-1]) / 2)]
    total = np.append(0, np.cumsum(share))
    masses = np.interp(np.random.default_rng(seed).uniform(0, total[-1], n), total, [*at, high])
    return masses / (masses.mean() if n else 1)


def deflection(field: StarField, x, ewald_width: float = 0.25) -> np.ndarray:
    """Return alpha at points x (n, 2) of the lens plane, R_E: (n, 2), mean zero over the box.

    Each star, m d / |d|^2, is split: a Gaussian of deviation `ewald_width` (R_E) carries the far
    field, by FFT; the rest, m d / |d|^2 exp(-d^2 / 2 ewald_width^2), is summed over the stars
    within six widths.  The result does not depend on the split (to 1e-7).
    """
    from common.light_curves import ray_shooting  # numba: seconds to load

    far = ray_shooting.FarField.of(field.stars, field.masses, field.box, ewald_width)
    return ray_shooting.at_points(far, np.asarray(x, float))


def magnification_map(
    field: StarField, pixels: int, rays: float = 5.0, ewald_width: float = 0.25, threads: int = 0
) -> np.ndarray:
    """Shoot rays through the lens box and collect them: (pixels, pixels) float64, mu at the nodes.

    Node (i, j) lies at (i, j) width / pixels; rays come from a regular grid, on the average `rays`
    for each pixel, and are shared out bilinearly (cloud in cell) to four nodes.  The mean is
    `field.mean_magnification` to rounding.  threads: 0 takes torch's number.
    Memory: 8 bytes a pixel and thread.  Raises InputError for sizes that make no sense.
    """
    if not (isinstance(pixels, int) and 2 <= pixels <= 30_000 and 0 < rays <= 10_000):
        raise InputError(f"magnification map: {pixels} pixels, {rays} rays a pixel: out of range")
    from common.light_curves import ray_shooting  # numba: seconds to load

    far = ray_shooting.FarField.of(field.stars, field.masses, field.box, ewald_width)
    spacing = field.width / pixels * np.sqrt(field.mean_magnification / rays)
    threads = threads or torch.get_num_threads()
    return ray_shooting.shoot(far, field.slopes, field.width, pixels, spacing, threads)


def map_error(mu, field: StarField, rays: float = 5.0, radius: float | None = None) -> float:
    """Return the rms error of a map, relative to its mean, that the number of rays leaves.

    mu, rays: as from `magnification_map`.  A second map is made with a tenth more rays, on a grid
    that does not align with the first; their difference is sqrt(2) times the error.  radius: of a
    source, R_E, that is applied to both; None is the map itself.
    """
    if not np.isclose(np.mean(mu), field.mean_magnification, rtol=1e-3):
        raise InputError("map_error: give the map as it was made, its mean not divided out")
    both = [mu, magnification_map(field, len(mu), 1.1 * rays)]
    if radius is not None:
        both = [convolve(one, field.width, radius) for one in both]
    return float(np.std(both[0] - both[1]) / np.sqrt(2) / np.mean(mu))


def save_map(path, mu, field: StarField, rays: float) -> Path:
    """Write a map to `path` (.npz), whole: mu, its `map_error`, and the star field behind it."""
    files.check_writable(path)
    error = map_error(mu, field, rays)
    content = dataclasses.asdict(field) | {"mu": mu, "rays": rays, "relative_rms_error": error}
    return files.save_npz(path, **content)


def convolve(mu, width: float, radius, profile="gaussian", undo_grid=True, spectrum=None):
    """Return the map (pixels, pixels), float32, as a source of half-light radius `radius` sees it.

    radius: half-light, R_E.  mu: magnification map of `width` R_E, or None with `spectrum`, what
    `spectrum_of(mu)` gave (saves that transform when there are many radii).  undo_grid: divide out
    what the bilinear sharing of the rays and the bilinear reading of `read_tracks` smooth, sinc^2
    each; right for a source larger than about a pixel, and refused for a smaller one.
    profile: see `profile_transform`.  Raises InputError.
    """
    spectrum = spectrum_of(mu) if spectrum is None else spectrum
    n = spectrum.shape[0]
    if undo_grid and not radius >= width / n:
        size = f"a pixel, {width / n:.3g} R_E"
        raise InputError(f"source radius {radius}: must be at least {size}; take a finer map")
    along, across = torch.fft.fftfreq(n), torch.fft.rfftfreq(n)  # cycles a pixel
    k = 2 * np.pi * n / width * torch.hypot(along[:, None], across[None, :])  # radians / R_E
    factor = profile_transform(k.numpy(), radius, profile)
    if undo_grid:
        grid = torch.sinc(along)[:, None] ** 4 * torch.sinc(across)[None, :] ** 4
        factor = factor / grid.numpy()
    product = spectrum * torch.from_numpy(factor.astype(np.float32))
    return torch.fft.irfft2(product, s=(n, n)).numpy()


def spectrum_of(mu) -> torch.Tensor:
    """Return the Fourier transform of a map (n, n): (n, n // 2 + 1) complex64."""
    return torch.fft.rfft2(torch.from_numpy(np.asarray(mu, np.float32)))


def profile_transform(k, radius: float, profile: str = "gaussian") -> np.ndarray:
    """Return the Fourier transform, 1 at k = 0, of a source with half-light radius `radius` (R_E).

    gaussian: exp(-k^2 s^2 / 2), s = radius / sqrt(2 ln 2).  uniform: 2 J1(kR) / kR, R = sqrt(2)
    radius.  shakura-sunyaev: the thin disc I(R) ~ 1 / (exp((R / R0)^(3/4)) - 1), R0 = radius /
    2.44 (Shakura & Sunyaev 1973).  Or any function of R / radius, an array, that is the surface
    brightness there, in any unit; beyond R = 150 radius it counts as dark.
    k in radians per R_E, any shape.  Raises InputError.
    """
    if not (np.isfinite(radius) and radius > 0):
        raise InputError(f"source radius {radius}: must be a finite number above 0")
    k = np.asarray(k, float)
    if profile == "gaussian":
        return np.exp(-0.5 * (k * radius) ** 2 / (2 * np.log(2)))
    if profile == "uniform":
        x = torch.from_numpy(np.maximum(k * radius * np.sqrt(2), 1e-8))
        return (2 * torch.special.bessel_j1(x) / x).numpy()
    if profile == "shakura-sunyaev":
        radius = radius / 2.44
        profile = lambda r: 1 / np.expm1(r**0.75)  # noqa: E731
    elif not callable(profile):
        raise InputError(f"profile {profile!r}: {', '.join(PROFILES)}, or a function of R / radius")
    r = np.linspace(0, 1, 4001)[1:] ** 2 * 150  # for the thin disc: exp(-150^0.75) = 2e-19
    ring = r * np.asarray(profile(r), float) * np.gradient(r)
    if not (np.isfinite(ring).all() and ring.sum() > 0):
        raise InputError("profile: the surface brightness must be finite, and not 0 everywhere")
    q = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 2000)])
    bessel = torch.special.bessel_j0(torch.from_numpy(q[:, None] * r)).numpy()
    transform = bessel @ ring / ring.sum()
    return np.interp(k * radius, q, transform, right=0.0)


def tracks(n: int, width: float, length: float, samples: int, seed=0):
    """Draw n straight tracks at random: (n, samples, 2) in R_E.

    Starts are even over the map, directions even over the circle; the samples divide `length`
    (R_E) evenly, both ends among them.
    """
    random = np.random.default_rng(seed)
    start = random.uniform(0, width, (n, 1, 2))
    angle = random.uniform(0, 2 * np.pi, n)
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)[:, None]  # (n, 1, 2)
    return start + direction * np.linspace(0, length, samples)[:, None]


def read_tracks(disc_map, width: float, points) -> np.ndarray:
    """Read a periodic map (pixels, pixels) bilinearly at points (..., 2) in R_E: (...)."""
    n = len(disc_map)
    u = np.asarray(points) * (n / width)
    low = np.floor(u).astype(np.int64)
    f, (i, j) = u - low, np.moveaxis(low % n, -1, 0)
    fi, fj = f[..., 0], f[..., 1]
    i2, j2 = (i + 1) % n, (j + 1) % n
    top = (1 - fj) * disc_map[i, j] + fj * disc_map[i, j2]
    return (1 - fi) * top + fi * ((1 - fj) * disc_map[i2, j] + fj * disc_map[i2, j2])
