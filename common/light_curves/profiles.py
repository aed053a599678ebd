"""Radial profiles of sources, as the Fourier transforms that a map is multiplied by."""

import numpy as np
import torch

from common.runtime.errors import InputError

PROFILES = ("gaussian", "uniform", "shakura-sunyaev")


def profile_transform(k, radius: float, profile="gaussian") -> np.ndarray:
    """Return the Fourier transform, 1 at k = 0, of a source with half-light radius `radius` (R_E).

    gaussian: exp(-k^2 s^2 / 2), s = radius / sqrt(2 ln 2).  uniform: 2 J1(kR) / kR, R = sqrt(2)
    radius.  shakura-sunyaev: the thin disc I(R) ~ 1 / (exp((R / R0)^(3/4)) - 1), R0 = radius /
    2.44 (Shakura & Sunyaev 1973).  Or any function of R / radius, an array, that is the surface
    brightness there, in any unit, half of it from within about `radius`; beyond R = 150 radius it
    counts as dark.
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
    within = 1.0  # half of the light comes from so many units of R
    if profile == "shakura-sunyaev":
        radius, within = radius / 2.44, 2.44
        profile = lambda r: 1 / np.expm1(r**0.75)  # noqa: E731
    elif not callable(profile):
        raise InputError(f"profile {profile!r}: {', '.join(PROFILES)}, or a function of R / radius")
    r = np.linspace(0, 1, 4001)[1:] ** 2 * 150  # for the thin disc: exp(-150^0.75) = 2e-19
    ring = r * np.asarray(profile(r), float) * np.gradient(r)
    if not (np.isfinite(ring).all() and ring.min() >= 0 < ring.sum()):
        raise InputError("profile: brightness must be finite, 0 or more, not 0 everywhere")
    half = r[np.searchsorted(ring.cumsum(), 0.5 * ring.sum())] / within
    if not 0.5 <= half <= 2:
        said = f"profile: half of the light comes from within {half:.3g} radii; must be about 1"
        raise InputError(said)
    q = np.append(0, np.geomspace(1e-3, 1e3, 2000))
    bessel = torch.special.bessel_j0(torch.from_numpy(q[:, None] * r)).numpy()
    return np.interp(k * radius, q, bessel @ ring / ring.sum(), right=0.0)
