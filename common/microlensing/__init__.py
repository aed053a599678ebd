"""Gravitational microlensing: star field -> magnification map -> source disc -> light curves.

    field = star_field(kappa=0.4, gamma=0.4, width=25.0, seed=1)
    disc = convolve(magnification_map(field, pixels=1250), field.width, radius=0.1)
    curves = read_tracks(disc, field.width, tracks(10, field.width, 4.5, 300, seed=2))

A package of its own: copy the folder; it needs NumPy, SciPy and numba.

field    the macro-lens, stars and their masses, deflections
maps     magnification maps, whole or of a window; sources of any size and profile
tracks   straight tracks, and what they read off a map
rays     the inner loops (numba)
"""

from .field import MASS_FUNCTIONS, SimulatorError, StarField, deflection, star_field
from .maps import (
    PROFILES,
    convolve,
    magnification_map,
    map_error,
    profile_transform,
    save_map,
    spectrum_of,
)
from .tracks import read_tracks, tracks

__all__ = [
    "MASS_FUNCTIONS",
    "PROFILES",
    "SimulatorError",
    "StarField",
    "convolve",
    "deflection",
    "magnification_map",
    "map_error",
    "profile_transform",
    "read_tracks",
    "save_map",
    "spectrum_of",
    "star_field",
    "tracks",
]
