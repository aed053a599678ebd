"""The light curves of exercise 2, and the simulator behind them.

microlensing  star field -> magnification map -> source disc -> tracks
profiles      what a source of some shape does to a map
ray_shooting  the simulator's inner loops (numba)
simulation    a data set in the assignment's format
data          roles of the sources, curves stacked as tensors
reference     simulated curves of any source size, to set beside generated ones
model         the conditional VAE: build, precondition, fold, load, sample
evaluation    bounds and distances between sets of curves
figures       arrays in, figures out
"""

from common.light_curves.microlensing import (
    convolve,
    magnification_map,
    map_error,
    read_tracks,
    save_map,
    star_field,
    tracks,
)

__all__ = [
    "convolve", "magnification_map", "map_error", "read_tracks", "save_map", "star_field", "tracks"
]  # fmt: skip
