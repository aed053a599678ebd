"""Exercise 2(b): short trainings reach what they should, with the loss wrong they do not."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import ROOT

import ex_2b
from common import microlensing as ml
from common.light_curves import data, evaluation
from common.light_curves.model import draw, load_model, prior_of
from common.training import InputError

SMALL = dict(steps=600, refine=600, components=32, mixture=4, couplings=2, hidden=32, sd=0.01)
MOST_NATS = {"ours": -560.0, "plain": -150.0}  # -ELBO of curves not trained on


@functools.cache
def curves():
    """Return training and test curves of two sizes, {p: (n, 300)} each, of one small star field."""
    field = ml.star_field(0.4, 0.4, width=25.0, seed=5)
    mu = ml.magnification_map(field, 1250, 3.0) / field.mean_magnification
    points = ml.tracks(1400, field.width, 4.5, 300, seed=1)
    train, test = {}, {}
    for p in (0.3, 1.0):
        disc = ml.convolve(mu, field.width, p)
        both = ml.read_tracks(disc, field.width, points).astype(np.float32)
        train[p], test[p] = both[:1000], both[1000:]
    return train, test


def loss(model):
    _, test = curves()
    return evaluation.elbo(model, test)["negative_elbo"]


def train(name, monkeypatch=None, terms=None):
    """Train briefly; return (model, history)."""
    if terms:
        monkeypatch.setattr(ex_2b, "elbo_terms" if name == "plain" else "elbo", terms)
    settings = ex_2b.Settings(**({"plain": True} if name == "plain" else SMALL))
    settings.steps = 600
    x, p = data.stacked(curves()[0])
    torch.manual_seed(0)
    fit = ex_2b.fit_plain if name == "plain" else ex_2b.fit
    return fit(prior_of(vars(settings), 0.3, 1.0), x, p, settings)


@pytest.mark.parametrize("name", MOST_NATS)
def test_a_short_training_reaches_its_bound(name):
    model, history = train(name)
    print(name, loss(model))
    assert loss(model) < MOST_NATS[name]
    assert history[-1][2] < history[0][2]


RIGHT = ex_2b.elbo
MISTAKES = {
    "KL averaged over latents": lambda rec, kl: (rec, kl / 32),
    "likelihood averaged over samples": lambda rec, kl: (rec / 300, kl),
    "KL left out": lambda rec, kl: (rec, 0 * kl),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_misses_it(mistake, monkeypatch):
    model, _ = train("ours", monkeypatch, lambda *a: MISTAKES[mistake](*RIGHT(*a)))
    print(mistake, loss(model))
    assert loss(model) > MOST_NATS["ours"]
