"""A field of stars, and the light that it deflects.

Lengths are Einstein radii R_E of a star of mass 1, sqrt(m) R_E of one of mass m.  Lens equation:

    y = diag(1 - kappa - gamma, 1 - kappa + gamma) x - alpha(x)

has the macro-lens (convergence kappa, shear gamma) in its first term; alpha is the deflection by
the stars minus that of the same mass spread evenly.  The field repeats itself in a lens box of
width / |1 - kappa - gamma| by width / |1 - kappa + gamma|, which maps onto a periodic square of
`width` in the source plane: no edges, and the mean magnification 1 / |(1 - kappa)^2 - gamma^2| is
exact.  (Kayser, Refsdal & Stabell 1986; Wambsganss 1999; Ewald 1921 for the split.)
"""

from dataclasses import dataclass

import numpy as np

MASS_FUNCTIONS = {  # pieces of a power law: (from, to, exponent), in any unit of mass
    "salpeter": [(0.1, 10.0, -2.35)],  # Salpeter 1955
    "kroupa": [(0.08, 0.5, -1.3), (0.5, 10.0, -2.3)],  # Kroupa 2001
}


class SimulatorError(ValueError):
    """Something that was given cannot be simulated: what, and what to do, in one line."""


@dataclass(frozen=True)
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
    Raises SimulatorError for a macro-lens of infinite magnification, or anything out of range.
    """
    slopes = np.array([1 - kappa - gamma, 1 - kappa + gamma])
    sane = np.isfinite([*slopes, width]).all() and kappa >= 0 and width > 0
    if not (sane and 0 <= smooth_fraction <= 1):
        raise SimulatorError("star field: give kappa >= 0, 0 <= smooth fraction <= 1, width > 0")
    if np.abs(slopes).min() < 1e-3:
        raise SimulatorError(
            f"kappa = {kappa}, gamma = {gamma}: the macro-lens magnifies without end; "
            "keep 1 - kappa away from gamma and -gamma"
        )

    box = width / np.abs(slopes)
    named = isinstance(masses, str)
    count = round(kappa * (1 - smooth_fraction) * box.prod() / np.pi)
    if stars is not None or not named:
        count = len(masses if stars is None else stars)
        if smooth_fraction:
            raise SimulatorError(
                "star field: own stars leave no choice of the smooth fraction; give 0"
            )
    if count > 10**7:
        raise SimulatorError(f"star field: {count} stars are too many; choose a smaller width")

    if stars is None:
        stars = np.random.default_rng(seed).uniform(size=(count, 2)) * box
    if named:
        masses = np.ones(count) if masses == "equal" else sample_masses(count, masses, [1, seed])
    stars = np.asarray(stars, float)
    masses = np.asarray(masses, float)
    fits = stars.shape == (count, 2) and masses.shape == (count,)
    if not (fits and np.isfinite(stars).all() and ((masses > 0) & (masses < 1e6)).all()):
        raise SimulatorError("star field: give finite positions (n, 2) and masses (n,) above 0")
    return StarField(kappa, gamma, width, np.mod(stars, box), masses)


def sample_masses(n: int, function: str, seed=0) -> np.ndarray:
    """Draw n masses of one of MASS_FUNCTIONS, scaled to the mean 1: (n,).

    Raises SimulatorError for another function.
    """
    if function not in MASS_FUNCTIONS:
        names = ", ".join(MASS_FUNCTIONS)
        raise SimulatorError(f"masses {function!r}: give equal, {names}, or an array")
    at = []
    share = [0.0]
    height = 1.0
    for low, high, slope in MASS_FUNCTIONS[function]:  # continuous at the joints
        m = np.geomspace(low, high, 2001)
        density = height * (m / low) ** slope
        at = [*at, *m[:-1]]
        height = density[-1]
        share += [*(np.diff(m) * (density[1:] + density[:-1]) / 2)]
    total = np.cumsum(share)
    masses = np.interp(np.random.default_rng(seed).uniform(0, total[-1], n), total, [*at, high])
    return masses / (masses.mean() if n else 1)


def deflection(field: StarField, x, ewald_width: float | None = None) -> np.ndarray:
    """Return alpha at points x (n, 2) of the lens plane, R_E: (n, 2), mean zero over the box.

    Each star, m d / |d|^2, is split: a Gaussian of deviation `ewald_width` (R_E) carries the far
    field, by FFT; the rest, m d / |d|^2 exp(-d^2 / 2 ewald_width^2), is summed over the stars
    within six widths.  The result does not depend on the split (to 1e-7); None takes the width
    that magnification_map takes.  Raises SimulatorError for a width that is not 0.01 to 10.
    """
    if ewald_width is not None and not 0.01 <= ewald_width <= 10:
        raise SimulatorError(f"ewald_width {ewald_width}: give 0.01 to 10 R_E")
    from . import rays  # numba: seconds to load

    return rays.at_points(rays.FarField.of(field, ewald_width), np.asarray(x, float))
