"""The 2-D Swiss roll of exercise 3: samples, exact density and score, negatives, distances.

density      log p(x), score, nearest point of the spiral: exact
data         draw from the roll, or read the user's points
negatives    what stands in for samples of the model while it is trained
evaluation   distances from the roll, exact KL divergence
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
