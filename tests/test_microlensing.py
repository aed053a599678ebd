"""The simulator against exact physics: sums with images, one lens, caustics, conservation."""

import re

import numpy as np
import pytest
import torch
from conftest import ROOT

from benchmarks import simulator
from common.light_curves import microlensing, ray_shooting
from common.runtime.errors import InputError


@pytest.fixture(scope="module")
def field():
    return microlensing.star_field(0.4, 0.4, 0.0, 4.0, seed=1)


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, row in simulator.CHECKS.items() for case in row[1]]
)
def test_the_simulator_meets_exact_results(name, case):
    check, _, demanded = simulator.CHECKS[name]
    assert check(case) < demanded


@pytest.mark.parametrize("masses", simulator.MASSES)
def test_the_mean_magnification_does_not_depend_on_the_masses_or_places(masses):
    field = simulator.small_field(simulator.MASSES[masses])
    moved = microlensing.star_field(masses=field.masses, stars=field.stars + 1, width=4.0)
    for one in (field, moved):
        mu = microlensing.magnification_map(one, 64, rays=5.0)
        assert mu.mean() == pytest.approx(field.mean_magnification, rel=1e-9)
    field = microlensing.star_field(width=20.0, seed=3, masses="salpeter")
    drawn = (field.stars / field.box).ravel()[: len(field.masses)]  # in the order of the stream
    assert abs(np.corrcoef(field.masses.argsort().argsort(), drawn)[0, 1]) < 0.2


def test_the_errors_that_the_docs_state_are_measured():
    """Two rows of the table, on a field of half the width."""
    text = (ROOT / "docs/simulator.md").read_text(encoding="utf-8")
    field = microlensing.star_field(width=20.0)
    for rays in (5, 20):
        row = re.search(rf"^\| {rays}\b.*", text, re.MULTILINE)[0]
        stated = [float(share) / 100 for share in re.findall(r"([\d.]+) %", row)]
        mu = microlensing.magnification_map(field, 1000, rays)
        radii = (None, 0.02, 0.04, 0.1, 0.2)
        found = [microlensing.map_error(mu, field, rays, radius) for radius in radii]
        np.testing.assert_allclose(found, stated, rtol=0.25)


@pytest.mark.parametrize("name", microlensing.MASS_FUNCTIONS)
def test_mass_functions_have_their_slopes_and_the_mean_one(name):
    m, pieces = microlensing.sample_masses(200_000, name), microlensing.MASS_FUNCTIONS[name]
    least, most = pieces[0][0], pieces[-1][1]
    assert m.mean() == pytest.approx(1)
    assert m.max() / m.min() == pytest.approx(most / least, rel=0.02)
    weights, height = [], 1.0
    for low, high, slope in pieces:
        weights.append(height * low / (slope + 1) * ((high / low) ** (slope + 1) - 1))
        height *= (high / low) ** slope
    share = np.mean(m < pieces[0][1] * m.min() / least)
    assert share == pytest.approx(weights[0] / sum(weights), abs=0.01)


def deposited(y, n, weight=1.0):
    """Share rays at y (m, 2), in pixels, between the four nodes around each: (n, n)."""
    mu, low = np.zeros((n, n)), np.floor(y).astype(int)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - i - (y - low)[:, 0]) * np.abs(1 - j - (y - low)[:, 1])
        np.add.at(mu, tuple(((low + np.array([i, j])) % n).T), share * weight)
    return mu


@pytest.mark.parametrize("masses", ["equal", "kroupa"])
def test_the_fast_loops_give_the_map_of_the_plain_deflections(masses):
    """Rays at the same places, deflected one by one and collected by NumPy."""
    field = microlensing.star_field(0.4, 0.4, 0.0, 4.0, seed=1, masses=masses)
    pixels, tile = 64, ray_shooting.TILE
    mu = microlensing.magnification_map(field, pixels, rays=3.0)
    spacing = field.width / pixels * np.sqrt(field.mean_magnification / 3.0)
    lines = []
    for side in field.box:
        n = tile * int(np.ceil(side / (spacing * tile)))
        lines.append((np.arange(n) + 0.5) * side / n)
    x = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, 2)
    y = (x * field.slopes - microlensing.deflection(field, x)) * pixels / field.width
    plain = deposited(y, pixels) * field.box.prod() / len(x) * (pixels / field.width) ** 2
    np.testing.assert_allclose(mu, plain, atol=2e-5)


def test_without_stars_the_map_is_flat():
    field = microlensing.star_field(0.3, 0.2, 1.0, 4.0)
    mu = microlensing.magnification_map(field, 64, rays=9.0)
    disc = microlensing.convolve(mu, field.width, 0.3)
    np.testing.assert_allclose(disc, field.mean_magnification, rtol=1e-3)


def test_the_map_does_not_depend_on_the_number_of_threads_and_leaves_torch_its_own(field):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    one, two = (microlensing.magnification_map(field, 64, threads=n) for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-12)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_any_radial_profile_is_a_function():
    """Those that have a name, written out; k to where half of the power is gone, and beyond."""
    k = np.linspace(0, 10, 50)
    for name, profile in (
        ("gaussian", lambda r: np.exp(-np.log(2) * r**2)), ("uniform", lambda r: r < np.sqrt(2))
    ):  # fmt: skip
        found = microlensing.profile_transform(k, 0.7, profile)
        assert np.abs(found - microlensing.profile_transform(k, 0.7, name)).max() < 0.01, name
    for wrong in (lambda r: r * np.nan, lambda r: 1 - r):
        with pytest.raises(InputError, match="finite, 0 or more"):
            microlensing.profile_transform(k, 0.7, wrong)


def test_a_map_is_kept_with_its_error_which_falls_with_the_rays(field, tmp_path):
    """The error is that to a map of many more rays, with a source and without."""

    def seen(mu, radius):
        return mu if radius is None else microlensing.convolve(mu, field.width, radius)

    best, errors = microlensing.magnification_map(field, 128, 400.0), []
    for rays in (1.0, 5.0, 25.0):
        mu = microlensing.magnification_map(field, 128, rays)
        stated = {radius: microlensing.map_error(mu, field, rays, radius) for radius in (None, 0.1)}
        for radius, error in stated.items():
            errors.append(np.std(seen(mu, radius) - seen(best, radius)) / mu.mean())
            assert error == pytest.approx(errors[-1], rel=0.5)
    assert errors[1] > 1.5 * errors[3] > 2.25 * errors[5]
    assert errors[2] > 1.6 * errors[4] and errors[2] > 5 * errors[3]
    assert errors[3] * mu.mean() < 0.02 * seen(best, 0.1).std()
    small = microlensing.star_field(0.4, 0.3, 0, 6.0, 1)
    assert microlensing.map_error(microlensing.magnification_map(small, 100), small) > 0.03
    with np.load(microlensing.save_map(tmp_path / "map.npz", mu, field, rays)) as kept:
        np.testing.assert_array_equal(kept["mu"], mu)
        np.testing.assert_array_equal(kept["stars"], field.stars)
        assert kept["kappa"] == 0.4 and float(kept["relative_rms_error"]) == stated[None]


def test_undoing_the_grid_undoes_it():
    """A wave, shared out and read bilinearly, loses sinc^4; with undo_grid it comes back whole."""
    n, width = 64, 64.0
    random = np.random.default_rng(1)
    rays = random.uniform(0, n, (400_000, 2))
    weight = 1 + np.cos(2 * np.pi * rays[:, 0] / 8)
    mu = deposited(rays, n, weight)
    disc = microlensing.convolve(mu / mu.mean(), width, 1.0)
    x = np.linspace(0, n, 1000)
    read = microlensing.read_tracks(disc, width, np.stack([x, np.full(1000, 20.3)], 1))
    amplitude = 2 * np.mean((read - 1) * np.cos(2 * np.pi * x / 8))
    assert amplitude == pytest.approx(microlensing.profile_transform(np.pi / 4, 1.0), abs=0.05)


def test_tracks_are_straight_even_and_reproducible():
    points = microlensing.tracks(50, 10.0, 4.5, 300, seed=3)
    steps = np.diff(points, axis=1)
    np.testing.assert_allclose(steps, steps[:, :1].repeat(299, 1), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(points[:, -1] - points[:, 0], axis=1), 4.5)
    assert np.array_equal(points, microlensing.tracks(50, 10.0, 4.5, 300, seed=3))


def test_reading_is_bilinear_and_periodic():
    n, width = 16, 8.0
    disc = np.random.default_rng(0).normal(size=(n, n))
    nodes = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1) * width / n
    np.testing.assert_allclose(microlensing.read_tracks(disc, width, nodes), disc)
    np.testing.assert_allclose(microlensing.read_tracks(disc, width, nodes + width), disc)
    half = microlensing.read_tracks(disc, width, nodes + width / n / 2)
    mean = (disc + np.roll(disc, -1, 0) + np.roll(disc, -1, 1) + np.roll(disc, -1, (0, 1))) / 4
    np.testing.assert_allclose(half, mean, atol=1e-12)


BAD = [
    lambda: microlensing.star_field(0.5, 0.5), lambda: microlensing.star_field(-0.1),
    lambda: microlensing.star_field(0.4, smooth_fraction=1.5),
    lambda: microlensing.star_field(0.4, 0.4, width=1e6),
    lambda: microlensing.magnification_map(microlensing.star_field(width=1.0), 0),
    lambda: microlensing.magnification_map(microlensing.star_field(width=1.0), 10, rays=-1),
    lambda: microlensing.profile_transform([1.0], 0.0),
    lambda: microlensing.profile_transform([1.0], 1.0, "square"),
]  # fmt: skip


@pytest.mark.parametrize("call", BAD)
def test_impossible_fields_are_refused(call):
    with pytest.raises(InputError):
        call()
