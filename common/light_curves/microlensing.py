"""Simulate gravitational microlensing: star field -> magnification map -> source disc -> tracks.

    field = star_field(kappa=0.4, gamma=0.4, width=25.0, seed=1)
    mu = magnification_map(field, pixels=1250)                # (1250, 1250)
    disc = convolve(mu, field.width, radius=0.1)              # as seen by a source of that size
    curves = read_tracks(disc, field.width, tracks(10, field.width, 4.5, 300, seed=2))

Lengths are Einstein radii R_E of one star; all stars have the same mass.  The lens equation

    y = diag(1 - kappa - gamma, 1 - kappa + gamma) x - alpha(x)

has the macro-lens (convergence kappa, shear gamma) in its first term; alpha is the deflection by
the stars minus that of the same mass spread evenly.  The field repeats itself in a lens box of
width / |1 - kappa - gamma| by width / |1 - kappa + gamma|, which maps onto a periodic square of
`width` in the source plane: no edges, and the mean magnification 1 / |(1 - kappa)^2 - gamma^2| is
exact.  (Kayser, Refsdal & Stabell 1986; Wambsganss 1999; Ewald 1921 for the split.)
"""

from dataclasses import dataclass

from common.runtime.errors import InputError

import numpy as np
import torch

PROFILES = ("gaussian", "uniform", "shakura-sunyaev")


@dataclass(frozen=True)
class StarField:
    """Stars (n, 2) in R_E in a lens box that repeats itself, and the macro-lens around them."""

    kappa: float  # convergence: all matter, the stars among it
    gamma: float  # shear
    width: float  # of the periodic source plane, R_E
    stars: np.ndarray  # (n, 2), 0 <= x < box

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


def star_field(kappa=0.4, gamma=0.4, smooth_fraction=0.0, width=100.0, seed=0) -> StarField:
    """Scatter round(kappa (1 - smooth_fraction) area / pi) stars evenly over the lens box.

    kappa, gamma: convergence and shear; smooth_fraction: share of kappa that is not in stars;
    width: of the source plane, R_E.  Rounding to whole stars moves the smooth share, not kappa.
    Raises InputError for a macro-lens of infinite magnification, or a size out of range.
    """
    slopes = np.array([1 - kappa - gamma, 1 - kappa + gamma])
    if not (
        np.isfinite([*slopes, width]).all()
        and kappa >= 0
        and 0 <= smooth_fraction <= 1
        and width > 0
    ):
        raise InputError("star field: kappa >= 0, 0 <= smooth fraction <= 1 and width > 0, please")
    if np.abs(slopes).min() < 1e-3:
        raise InputError(f"kappa = {kappa}, gamma = {gamma}: the macro-lens magnifies without end")
    box = width / np.abs(slopes)
    count = round(kappa * (1 - smooth_fraction) * box.prod() / np.pi)
    if count > 10**7:
        raise InputError(f"{count} stars: too many; choose a smaller width")
    stars = np.random.default_rng(seed).uniform(size=(count, 2)) * box
    return StarField(kappa, gamma, width, stars)


def deflection(field: StarField, x, ewald_width: float = 0.25) -> np.ndarray:
    """Return alpha at points x (n, 2) of the lens plane, R_E: (n, 2), mean zero over the box.

    Each star d / |d|^2 is split: a Gaussian of standard deviation `ewald_width` (R_E) carries the
    far field, summed on a grid by FFT; the rest, d / |d|^2 exp(-d^2 / 2 ewald_width^2), is summed
    over the stars within six widths.  The result does not depend on the split (to 1e-7).
    """
    from common.light_curves import ray_shooting  # numba: seconds to load

    far = ray_shooting.FarField.of(field.stars, field.box, ewald_width)
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

    far = ray_shooting.FarField.of(field.stars, field.box, ewald_width)
    spacing = field.width / pixels * np.sqrt(field.mean_magnification / rays)
    threads = threads or torch.get_num_threads()
    return ray_shooting.shoot(far, field.slopes, field.width, pixels, spacing, threads)


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
    2.44 (Shakura & Sunyaev 1973).  k in radians per R_E, any shape.  Raises InputError.
    """
    if not (np.isfinite(radius) and radius > 0):
        raise InputError(f"source radius {radius}: must be a finite number above 0")
    k = np.asarray(k, float)
    if profile == "gaussian":
        return np.exp(-0.5 * (k * radius) ** 2 / (2 * np.log(2)))
    if profile == "uniform":
        x = torch.from_numpy(np.maximum(k * radius * np.sqrt(2), 1e-8))
        return (2 * torch.special.bessel_j1(x) / x).numpy()
    if profile != "shakura-sunyaev":
        raise InputError(f"profile {profile!r}: choose one of {', '.join(PROFILES)}")
    r = np.linspace(0, 1, 4001)[1:] ** 2 * 150  # in R0; exp(-150^0.75) = 2e-19
    ring = r / np.expm1(r**0.75) * np.gradient(r)
    q = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 2000)])
    bessel = torch.special.bessel_j0(torch.from_numpy(q[:, None] * r)).numpy()
    transform = bessel @ ring / ring.sum()
    return np.interp(k * radius / 2.44, q, transform, right=0.0)


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
