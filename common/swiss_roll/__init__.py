"""The 2-D Swiss roll of exercise 3: samples, exact density and score, negatives, distances.

density      log p(x), score, nearest point of the spiral: exact
data         draw from the roll, or read the user's points, and bring them to the roll's scale
negatives    where the methods of 3(a) other than cd have their negatives from
evaluation   log Z, exact KL divergence, held-out log p; distances of samples
figures      arrays in, figures out
"""

from common.swiss_roll.data import sample  # noqa: F401
from common.swiss_roll.density import (  # noqa: F401
    FIRST,
    LAST,
    NOISE,
    log_density,
    log_density_and_score,
    nearest,
    score,
    spiral,
)
