"""Short trainings reach what they should, and would not with the science wrong.

Each training has a limit that it meets with room; the same training with a planted mistake (the
sign of the energy's loss, a KL term averaged over the wrong axis) misses it.
"""

import numpy as np
import pytest
import torch

import ex_1b
import ex_2b
import ex_3a
import ex_3b
from common import cvae, swiss_roll
from common.digits import data as digit_data
from common.digits import evaluation as digit_evaluation
from common.light_curves import evaluation as curve_evaluation
from common.light_curves import simulation
from common.runtime.errors import InputError
from common.swiss_roll import evaluation as roll_evaluation

CPU = torch.device("cpu")
LIMIT = {"digits": 0.0, "curves": 0.0, "cd": 0.0, "nce": 0.0, "short-run": 0.0}


def averaged(over):
    """Return ELBO terms whose KL is divided by `over`: averaged over the wrong axis."""
    right = cvae.elbo_terms

    def terms(*arguments, **keywords):
        reconstruction, kl = right(*arguments, **keywords)
        return reconstruction, kl / over

    return terms


def train_digits(terms=cvae.elbo_terms):
    """Return -ELBO on test digits, nats, after a training whose loss is made of `terms`."""
    size = dict(width=128, channels=16, latent=16, components=4, epochs=40, batch=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ex_1b.cvae, "elbo_terms", terms)
        torch.manual_seed(0)
        data = digit_data.bundled()
        model, _ = ex_1b.fit(data, ex_1b.Settings(**size), CPU, bfloat16=False)
    found = digit_evaluation.elbo(model, data.test_images, data.test_labels)
    return found["negative_elbo_nats"]


def train_curves(terms=cvae.elbo_terms):
    small = simulation.Settings(width=20.0, pixels=1000, rays=3.0)
    maps = dict(simulation.disc_maps(small, [0.2, 0.5, 1.0, 2.0], seed=5))
    curves = {p: simulation.curves_of(disc, small, 400, 1).astype(np.float32) for p, disc in maps.items()}
    test = {0.5: curves.pop(0.5)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ex_2b.cvae, "elbo_terms", terms)
        torch.manual_seed(0)
        settings = ex_2b.Settings(steps=1000, refine=300, whitened=32, components=4)
        model, _ = ex_2b.fit(curves, settings, CPU)
    return curve_evaluation.evaluate_elbo(model, test)["negative_elbo_nats"]


def train_roll(method, **more):
    settings = ex_3a.Settings(method=method, width=32, **more)
    return ex_3a.fit(swiss_roll.sample(20_000), settings)[0]
