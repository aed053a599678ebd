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

import numpy as np
import torch

from common.light_curves.profiles import profile_transform
from common.runtime import files
from common.runtime.errors import InputError

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
    at, share, height = [], [0.0], 1.0
    for low, high, slope in MASS_FUNCTIONS[function]:  # continuous at the joints
        m = np.geomspace(low, high, 2001)
        density = height * (m / low) ** slope
        at, height = [*at, *m[:-1]], density[-1]
        share += [*(np.diff(m) * (density[1:] + density[:-1]) / 2)]
    total = np.cumsum(share)
    masses = np.interp(np.random.default_rng(seed).uniform(0, total[-1], n), total, [*at, high])
    return masses / (masses.mean() if n else 1)


def deflection(field: StarField, x, ewald_width: float = 0.25) -> np.ndarray:
    """Return alpha at points x (n, 2) of the lens plane, R_E: (n, 2), mean zero over the box.

    Each star, m d / |d|^2, is split: a Gaussian of deviation `ewald_width` (R_E) carries the far
    field, by FFT; the rest, m d / |d|^2 exp(-d^2 / 2 ewald_width^2), is summed over the stars
    within six widths.  The result does not depend on the split (to 1e-7).
    Raises InputError for a width that is not 0.01 to 10.
    """
    if not 0.01 <= ewald_width <= 10:
        raise InputError(f"ewald_width {ewald_width}: give 0.01 to 10 R_E")
    from common.light_curves import ray_shooting  # numba: seconds to load

    far = ray_shooting.FarField.of(field, ewald_width)
    return ray_shooting.at_points(far, np.asarray(x, float))


def magnification_map(field: StarField, pixels: int, rays: float = 5.0, threads: int = 0):
    """Shoot rays through the lens box and collect them: (pixels, pixels) float64, mu at the nodes.

    Node (i, j) lies at (i, j) width / pixels; rays come from a regular grid, on the average `rays`
    for each pixel, and are shared out bilinearly (cloud in cell) to four nodes.  The mean is
    `field.mean_magnification` to rounding.  threads: 0 takes torch's number.
    Memory: 8 bytes a pixel and thread.  Raises InputError for sizes that make no sense.
    """
    whole = isinstance(pixels, int | np.integer)
    if not (whole and 2 <= pixels <= 30_000 and 0 < rays <= 10_000):
        said = f"magnification map: pixels = {pixels!r}, rays = {rays!r}"
        raise InputError(f"{said}: give a whole number from 2 to 30,000, rays above 0 to 10,000")
    from common.light_curves import ray_shooting  # numba: seconds to load

    far, tiles = ray_shooting.FarField.of(field), _tiles(field, pixels, rays)
    threads = threads or torch.get_num_threads()
    return ray_shooting.shoot(far, field.slopes, field.width, int(pixels), tiles, threads)


def _tiles(field, pixels, rays) -> list[int]:
    """Return how many tiles of rays each side of the lens box gets, for so many rays a pixel."""
    from common.light_curves.ray_shooting import TILE  # numba: seconds to load

    side_of_tile = field.width / pixels * np.sqrt(field.mean_magnification / rays) * TILE
    return [max(1, int(np.ceil(side / side_of_tile))) for side in field.box]


def map_error(mu, field: StarField, rays: float = 5.0, radius: float | None = None) -> float:
    """Return the rms error of a map, relative to its mean, that the number of rays leaves.

    mu, rays: as from `magnification_map`.  A second map has a tenth more rays (a small one more),
    not aligned with the first; the difference is about sqrt(2) times the error.  radius: of a
    source, R_E, that is applied to both; None is the map itself.
    """
    if not np.isclose(np.mean(mu), field.mean_magnification, rtol=1e-3):
        raise InputError("map_error: give the map as it was made, its mean not divided out")
    more = 1.1 * rays
    while np.equal(_tiles(field, len(mu), more), _tiles(field, len(mu), rays)).any():
        more *= 1.1
    both = [mu, magnification_map(field, len(mu), more)]
    if radius is not None:
        both = [convolve(one, field.width, radius) for one in both]
    return float(np.std(both[0] - both[1]) / np.sqrt(2) / np.mean(mu))


def save_map(path, mu, field: StarField, rays: float) -> Path:
    """Write a map to `path` (.npz), whole: mu, its `map_error`, and the star field behind it."""
    files.check_writable(path)
    error = map_error(mu, field, rays)
    content = dataclasses.asdict(field) | {"mu": mu, "rays": rays, "relative_rms_error": error}
    return files.save_npz(path, **content)


def convolve(mu, width: float, radius, profile="gaussian", undo_grid=True):
    """Return the map (pixels, pixels), float32, as a source of half-light radius `radius` sees it.

    radius: half-light, R_E.  mu: magnification map of `width` R_E, or its `spectrum_of` (saves
    that transform when there are many radii).  undo_grid: divide out what the bilinear sharing of
    the rays and the bilinear reading of `read_tracks` smooth, sinc^2 each; right for a source
    larger than about a pixel, and refused for a smaller one.
    profile: see `profile_transform`.  Raises InputError.
    """
    if not 0 < width < np.inf:
        raise InputError(f"convolve: width {width}: give a width above 0")
    spectrum = mu if isinstance(mu, torch.Tensor) and mu.is_complex() else spectrum_of(mu)
    n = len(spectrum)
    if undo_grid and not radius >= width / n:
        size = f"a pixel, {width / n:.3g} R_E"
        raise InputError(f"source radius {radius}: must be at least {size}; take a finer map")
    along, across = torch.fft.fftfreq(n)[:, None], torch.fft.rfftfreq(n)  # cycles a pixel
    k = 2 * np.pi * n / width * torch.hypot(along, across)  # radians / R_E
    factor = profile_transform(k.numpy(), radius, profile)
    if undo_grid:
        factor = factor / (torch.sinc(along) ** 4 * torch.sinc(across) ** 4).numpy()
    product = spectrum * torch.from_numpy(factor.astype(np.float32))
    return torch.fft.irfft2(product, s=(n, n)).numpy()


def spectrum_of(mu) -> torch.Tensor:
    """Return the Fourier transform of a map (n, n): (n, n // 2 + 1) complex64."""
    return torch.fft.rfft2(torch.from_numpy(_square(mu).astype(np.float32)))


def _square(mu) -> np.ndarray:
    """Return a map as an array; raise InputError unless square, of finite real numbers."""
    mu = np.asarray(mu)
    if mu.ndim != 2 or len(mu) != mu.shape[1] or mu.dtype.kind not in "fiu" or np.isnan(mu.sum()):
        raise InputError(f"map {mu.shape}, {mu.dtype}: must be square, of finite real numbers")
    return mu


def tracks(n: int, width: float, length: float, samples: int, seed=0):
    """Draw n straight tracks at random: (n, samples, 2) in R_E.

    Starts are even over the map, directions even over the circle; the samples divide `length`
    (R_E) evenly, both ends among them.  Raises InputError.
    """
    whole = all(isinstance(k, int | np.integer) and k >= 1 for k in (n, samples))
    if not (whole and 0 < width < np.inf and 0 < length < np.inf):
        said = f"n {n!r}, samples {samples!r}, width {width!r}, length {length!r}"
        raise InputError(f"tracks: {said}: must be whole numbers from 1, and lengths above 0")
    random = np.random.default_rng(seed)
    start = random.uniform(0, width, (n, 1, 2))
    angle = random.uniform(0, 2 * np.pi, n)
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)[:, None]  # (n, 1, 2)
    return start + direction * np.linspace(0, length, samples)[:, None]


def read_tracks(disc_map, width: float, points) -> np.ndarray:
    """Read a periodic map (pixels, pixels) bilinearly at points (..., 2) in R_E: (...).

    Raises InputError.
    """
    n, points = len(disc_map := _square(disc_map)), np.asarray(points)
    if points.shape[-1:] != (2,) or not (np.abs(points) <= 1e6 * width).all():
        raise InputError("read_tracks: points must be (..., 2), within 10^6 widths of the map")
    u = points * (n / width)
    low = np.floor(u).astype(np.int64)
    f, (i, j) = u - low, np.moveaxis(low % n, -1, 0)
    fi, fj = f[..., 0], f[..., 1]
    i2, j2 = (i + 1) % n, (j + 1) % n
    top = (1 - fj) * disc_map[i, j] + fj * disc_map[i, j2]
    return (1 - fi) * top + fi * ((1 - fj) * disc_map[i2, j] + fj * disc_map[i2, j2])
