"""The simulator against exact physics: sums over images, single lenses, windows, conservation."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from common import microlensing as ml
from common.microlensing import maps, rays
from studies import map_speed

WIDE = np.geomspace(0.01, 30, 40)  # masses
MASSES = {"equal": "equal", "salpeter": "salpeter", "kroupa": "kroupa", "0.01 to 30": WIDE}


@pytest.fixture(scope="module")
def field():
    return ml.star_field(0.4, 0.4, 0.0, 4.0, seed=1)


def one_star(kappa=1e-4, gamma=0.0, mass=1.0):
    """Return one star in a box so large that its images do not matter."""
    slopes = np.abs([1 - kappa - gamma, 1 - kappa + gamma])
    width = np.sqrt(np.pi * mass / kappa * slopes.prod())
    box = width / slopes
    return ml.StarField(kappa, gamma, width, box[None] / 2, np.full(1, mass))


# --- deflections --------------------------------------------------------------------------------


def image_sum(field, x):
    """Return alpha (n, 2) by the direct sum over stars and all their periodic images.

    A row of images is closed: sum_n 1 / (z - n L) = (pi / L) cot(pi z / L); the rows converge
    exponentially; the same mass, spread evenly over the rows, is taken off.
    """
    a, b = field.box
    z = (x[:, 0] + 1j * x[:, 1])[:, None] - (field.stars[:, 0] + 1j * field.stars[:, 1])
    rows = sum(np.pi / a / np.tan(np.pi * (z - 1j * row * b) / a) for row in range(-15, 16))
    even = 2 * np.pi / (a * b) * z.imag * field.masses
    total = rows * field.masses
    return np.stack([total.real.sum(1), (-total.imag - even).sum(1)], 1)


@pytest.mark.parametrize("masses", MASSES)
def test_the_deflection_is_the_sum_over_all_images(masses):
    field = ml.star_field(0.4, 0.4, 0.0, 4.0, seed=1, masses=MASSES[masses])
    x = np.random.default_rng(0).uniform(size=(500, 2)) * field.box
    error = ml.deflection(field, x) - image_sum(field, x)
    assert np.sqrt((error**2).mean()) < 5e-7 * max(1, np.sqrt((field.masses**2).mean()))


@pytest.mark.parametrize("width", [0.15, 0.2, 0.5])
def test_the_deflection_does_not_depend_on_the_split(field, width):
    x = np.random.default_rng(0).uniform(size=(200, 2)) * field.box
    apart = ml.deflection(field, x, width) - ml.deflection(field, x)
    assert np.sqrt((apart**2).mean()) < 1e-7
    assert np.abs(apart).max() < 1e-6


def test_the_deflection_has_no_curl_and_the_divergence_of_the_mean_sheet(field):
    step = 1e-3
    x = np.random.default_rng(2).uniform(size=(300, 2)) * field.box
    x = x[np.linalg.norm(x[:, None] - field.stars, axis=2).min(1) > 0.4]
    slopes = [
        (ml.deflection(field, x + step * e) - ml.deflection(field, x - step * e)) / (2 * step)
        for e in np.eye(2)
    ]
    np.testing.assert_allclose(slopes[0][:, 1] - slopes[1][:, 0], 0, atol=2e-3)
    divergence = slopes[0][:, 0] + slopes[1][:, 1]
    sheet = np.pi * field.masses.sum() / field.box.prod()
    np.testing.assert_allclose(divergence, -2 * sheet, atol=2e-3)


PUBLISHED = {  # Salpeter 1955, Kroupa 2001
    "salpeter": [(0.1, 10.0, -2.35)],
    "kroupa": [(0.08, 0.5, -1.3), (0.5, 10.0, -2.3)],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_mass_functions_have_their_slopes_and_the_mean_one(name):
    pieces = PUBLISHED[name]
    field = ml.star_field(width=400.0, masses=name)  # 100,000 stars
    m = field.masses
    assert m.mean() == pytest.approx(1)
    least = pieces[0][0]
    assert m.max() / m.min() == pytest.approx(pieces[-1][1] / least, rel=0.02)
    weights = []
    height = 1.0
    for low, high, slope in pieces:
        weights.append(height * low / (slope + 1) * ((high / low) ** (slope + 1) - 1))
        height *= (high / low) ** slope
    cut = 0.3  # within the first piece
    first, _, slope = pieces[0]
    below = first / (slope + 1) * ((cut / first) ** (slope + 1) - 1) / sum(weights)
    assert np.mean(m < cut * m.min() / least) == pytest.approx(below, abs=0.01)
    places = (field.stars / field.box)[:, 0]
    assert abs(np.corrcoef(m, places)[0, 1]) < 0.02  # masses and places are independent


# --- maps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("macro", [(0.4, 0.4, 0), (0.6, -0.3, 0.5), (1.7, 0.2, 0.3), (0.3, 0, 1)])
def test_the_mean_of_a_map_is_exact(macro):
    mu = ml.magnification_map(ml.star_field(*macro, 5.0, 2), 100, rays=2.0)
    assert mu.mean() * abs((1 - macro[0]) ** 2 - macro[1] ** 2) == pytest.approx(1, abs=1e-11)


def test_own_stars_are_taken_and_given_back():
    drawn = ml.star_field(width=4.0, seed=1, masses="salpeter")
    own = ml.star_field(width=4.0, stars=drawn.stars + drawn.box, masses=drawn.masses)
    np.testing.assert_allclose(own.stars, drawn.stars)
    maps_of = [ml.magnification_map(one, 64) for one in (drawn, own)]
    np.testing.assert_allclose(*maps_of, rtol=1e-6)
    moved = drawn.stars.copy()
    before = ml.StarField(0.4, 0.4, 4.0, moved, drawn.masses)
    ml.magnification_map(before, 64)
    moved[0] = (moved[0] + 3) % drawn.box  # in place: what a map keeps for the next must notice
    after = ml.magnification_map(before, 64)
    fresh = ml.StarField(0.4, 0.4, 4.0, moved.copy(), drawn.masses.copy())
    assert np.array_equal(after, ml.magnification_map(fresh, 64))
    assert np.abs(after - maps_of[0]).max() > 1


def deposited(y, n, weight=1.0):
    """Share rays at y (m, 2), in pixels, between the four nodes around each: (n, n)."""
    mu = np.zeros((n, n))
    low = np.floor(y).astype(int)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - i - (y - low)[:, 0]) * np.abs(1 - j - (y - low)[:, 1])
        np.add.at(mu, tuple(((low + np.array([i, j])) % n).T), share * weight)
    return mu


@pytest.mark.parametrize("masses", ["equal", "kroupa"])
def test_the_fast_loops_give_the_map_of_the_plain_deflections(masses):
    """Rays at the same places, deflected one by one and collected by NumPy."""
    field = ml.star_field(0.4, 0.4, 0.0, 4.0, seed=1, masses=masses)
    pixels = 64
    mu = ml.magnification_map(field, pixels, rays=3.0)
    spacing = field.width / pixels * np.sqrt(field.mean_magnification / 3.0)
    lines = []
    for side in field.box:
        n = rays.TILE * int(np.ceil(side / (spacing * rays.TILE)))
        lines.append((np.arange(n) + 0.5) * side / n)
    x = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, 2)
    y = (x * field.slopes - ml.deflection(field, x)) * pixels / field.width
    plain = deposited(y, pixels) * field.box.prod() / len(x) * (pixels / field.width) ** 2
    np.testing.assert_allclose(mu, plain, atol=2e-5)


def test_without_stars_the_map_is_flat():
    field = ml.star_field(0.3, 0.2, 1.0, 4.0)
    disc = ml.convolve(ml.magnification_map(field, 64, rays=9.0), field.width, 0.3)
    np.testing.assert_allclose(disc, field.mean_magnification, rtol=1e-3)


def uniform_disc(u: float, radius: float) -> float:
    """Return the magnification of a uniform disc at u by a star of mass 1 (Witt & Mao 1994).

    It is the area of its two images over its own, the images' outlines being those of its rim.
    """
    y = u + radius * np.exp(2j * np.pi * np.arange(4000) / 4000)
    areas = []
    for sign in (1, -1):
        image = y / 2 * (1 + sign * np.sqrt(1 + 4 / np.abs(y) ** 2))
        areas.append(abs(0.5 * np.sum(image.conj() * np.roll(image, -1)).imag))
    return (areas[0] + (areas[1] if u > radius else -areas[1])) / (np.pi * radius**2)


def test_a_uniform_disc_behind_one_star_has_the_exact_magnification():
    assert uniform_disc(1e-9, 0.5) == pytest.approx(np.sqrt(1 + 4 / 0.5**2), rel=1e-5)
    for mass in (1.0, 4.0):
        field = one_star(mass=mass)
        scale = np.sqrt(mass)  # the star's own R_E
        side = 4 * scale
        corner = field.width / 2 - side / 2
        mu = ml.magnification_map(field, 800, 20.0, window=(corner, corner, side))
        for radius in (0.1, 0.3):
            half_light = radius * scale / np.sqrt(2)
            disc = ml.convolve(mu, side, half_light, "uniform", periodic=False)
            for u in (0.0, 0.2, 0.5, 0.8):
                place = side / 2 + scale * u * np.array([[0.6, 0.8], [-0.8, 0.6]])
                read = ml.read_tracks(disc, side, place, periodic=False)
                expected = uniform_disc(max(u, 1e-9), radius)
                np.testing.assert_allclose(read, expected, rtol=5e-3, err_msg=f"{mass, radius, u}")


def test_the_cusps_of_a_star_in_a_shear_lie_where_chang_and_refsdal_have_them():
    """The caustic's cusps lie at 2 gamma / sqrt(1 +- gamma) on the axes (1984)."""
    gamma = 0.3
    field = one_star(2e-5, gamma)
    for axis, sign in ((0, 1), (1, -1)):
        x = field.box / 2 + np.eye(2)[axis] / np.sqrt(1 - field.kappa + sign * gamma)
        alpha = ml.deflection(field, x[None], ewald_width=1.0)[0]
        y = field.slopes * (x - field.box / 2) - alpha
        assert abs(y[axis]) == pytest.approx(2 * gamma / np.sqrt(1 + sign * gamma), rel=2e-3)


def test_the_map_does_not_depend_on_the_number_of_threads(field):
    for window in (None, (1.0, 3.0, 2.0)):
        one, two = (ml.magnification_map(field, 64, threads=n, window=window) for n in (1, 2))
        np.testing.assert_allclose(one, two, rtol=1e-12)


# --- windows ------------------------------------------------------------------------------------

FIELDS = {
    "0.4, 0.4": dict(kappa=0.4, gamma=0.4, width=6.0),
    "0.4, -0.4, Salpeter": dict(kappa=0.4, gamma=-0.4, width=6.0, masses="salpeter"),
    "0.8, 0.14, a tenth in stars": dict(kappa=0.8, gamma=0.14, smooth_fraction=0.9, width=6.0),
    "1.7, 0.2": dict(kappa=1.7, gamma=0.2, width=6.0),
    "no stars": dict(kappa=0.3, gamma=0.2, smooth_fraction=1.0, width=6.0),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_window_is_that_part_of_the_whole_map(name):
    """To rounding; within the map, across its edge, beyond it, and as large as it."""
    field = ml.star_field(**FIELDS[name], seed=3)
    n = 600  # pixels of 0.01 R_E
    whole = ml.magnification_map(field, n, 3.0)
    for i, j, pixels in ((211, 87, 50), (580, 590, 40), (-620, 1500, 30), (5, 7, 599)):
        window = (i * 0.01, j * 0.01, pixels * 0.01)
        part = ml.magnification_map(field, pixels, 3.0, window=window)
        rows, columns = np.arange(i, i + pixels) % n, np.arange(j, j + pixels) % n
        np.testing.assert_allclose(part, whole[np.ix_(rows, columns)], atol=1e-8 * whole.mean())


@pytest.mark.parametrize("name", ["0.4, 0.4", "0.8, 0.14, a tenth in stars"])
def test_a_window_with_other_pixels_agrees_within_the_stated_error(name):
    field = ml.star_field(**FIELDS[name], seed=3)
    whole = ml.magnification_map(field, 300)
    window = (2.0, 5.0, 2.0)  # across the edge
    part = ml.magnification_map(field, 200, window=window)
    discs = [ml.convolve(whole, 6.0, 0.1), ml.convolve(part, 2.0, 0.1, periodic=False)]
    points = np.random.default_rng(0).uniform(0.5, 1.5, (2000, 2))
    seen = ml.read_tracks(discs[0], 6.0, points + window[:2])
    apart = np.std(seen - ml.read_tracks(discs[1], 2.0, points, periodic=False))
    errors = [ml.map_error(whole, field, radius=0.1), ml.map_error(part, field, 5, 0.1, window)]
    assert 0 < apart / field.mean_magnification < 3 * np.hypot(*errors)
    assert max(errors) < 0.02


# --- errors and files ---------------------------------------------------------------------------


def test_the_stated_error_is_that_to_a_map_of_many_more_rays(field, tmp_path):
    def seen(mu, radius):
        return mu if radius is None else ml.convolve(mu, field.width, radius)

    best = ml.magnification_map(field, 128, 400.0)
    errors = []
    for number in (1.0, 5.0, 25.0):
        mu = ml.magnification_map(field, 128, number)
        for radius in (None, 0.1):
            stated = ml.map_error(mu, field, number, radius)
            errors.append(np.std(seen(mu, radius) - seen(best, radius)) / mu.mean())
            assert stated == pytest.approx(errors[-1], rel=0.5)
    assert errors[0] > 1.4 * errors[2] > 1.4**2 * errors[4]
    assert errors[1] > 1.5 * errors[3] > 1.5**2 * errors[5]

    with np.load(ml.save_map(tmp_path / "new/map.npz", mu, field, 25.0)) as saved:
        np.testing.assert_array_equal(saved["mu"], mu)
        np.testing.assert_array_equal(saved["stars"], field.stars)
        assert saved["kappa"] == 0.4 and "window" not in saved
        assert float(saved["relative_rms_error"]) == ml.map_error(mu, field, 25.0)
    part = ml.magnification_map(field, 64, window=(0, 0, 2))
    with np.load(ml.save_map(tmp_path / "part.npz", part, field, 5.0, (0, 0, 2))) as saved:
        assert saved["window"].tolist() == [0, 0, 2]
    (tmp_path / "file").touch()
    with pytest.raises(ml.SimulatorError, match=r"cannot write .*choose another"):
        ml.save_map(tmp_path / "file/map.npz", mu, field, 25.0)


def test_the_errors_that_the_docs_state_are_measured():
    """Two rows of the table, on a field of half the width."""
    text = (ROOT / "docs/simulator.md").read_text(encoding="utf-8")
    field = ml.star_field(width=20.0)
    for number in (5, 20):
        row = re.search(rf"^\| {number}\b.*", text, re.MULTILINE)[0]
        stated = [float(share) / 100 for share in re.findall(r"([\d.]+) %", row)]
        mu = ml.magnification_map(field, 1000, number)
        measured = [ml.map_error(mu, field, number, radius) for radius in (None, 0.02, 0.1, 0.2)]
        del stated[2]
        np.testing.assert_allclose(measured, stated, rtol=0.25)


# --- sources ------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ml.PROFILES)
def test_half_of_the_light_comes_from_within_the_half_light_radius(profile):
    """The source as an image: a map with a single bright node, convolved."""
    n, width, radius = 1024, 40.0, 1.0
    mu = np.zeros((n, n))
    mu[n // 2, n // 2] = 1.0
    image = ml.convolve(mu, width, radius, profile, undo_grid=False)
    x = (np.arange(n) - n // 2) * width / n
    assert image.sum() == pytest.approx(1, abs=1e-4)
    assert image[np.hypot(x[:, None], x) <= radius].sum() == pytest.approx(0.5, abs=0.02)


def test_convolve_is_the_sum_over_the_pixels_of_the_source():
    n, width, radius = 64, 8.0, 0.5
    mu = np.random.default_rng(0).lognormal(size=(n, n))
    x = (np.arange(n) - n // 2) * width / n
    sigma = radius / np.sqrt(2 * np.log(2))
    source = np.exp(-0.5 * (x[:, None] ** 2 + x**2) / sigma**2)
    source /= source.sum()
    nodes = np.argwhere(source > 1e-9)
    direct = sum(source[i, j] * np.roll(mu, (i - n // 2, j - n // 2), (0, 1)) for i, j in nodes)
    disc = ml.convolve(mu, width, radius, undo_grid=False)
    np.testing.assert_allclose(disc, direct, rtol=1e-4)
    np.testing.assert_array_equal(
        disc, ml.convolve(ml.spectrum_of(mu), width, radius, "gaussian", False)
    )
    inside = ml.convolve(mu, width, radius, undo_grid=False, periodic=False)
    rim = int(np.ceil(maps.RIM * radius * n / width))
    assert np.isnan(inside[:rim]).all() and np.isnan(inside[:, -rim:]).all()
    np.testing.assert_array_equal(inside[rim:-rim, rim:-rim], disc[rim:-rim, rim:-rim])


def test_undoing_the_grid_undoes_it():
    """A wave, shared out and read bilinearly, loses sinc^4; with undo_grid it comes back whole."""
    n = 64
    random = np.random.default_rng(1)
    places = random.uniform(0, n, (400_000, 2))
    mu = deposited(places, n, 1 + np.cos(2 * np.pi * places[:, 0] / 8))
    disc = ml.convolve(mu / mu.mean(), float(n), 1.0)
    x = np.linspace(0, n, 1000)
    read = ml.read_tracks(disc, float(n), np.stack([x, np.full(1000, 20.3)], 1))
    amplitude = 2 * np.mean((read - 1) * np.cos(2 * np.pi * x / 8))
    assert amplitude == pytest.approx(ml.profile_transform(np.pi / 4, 1.0), abs=0.008)


def test_any_radial_profile_is_a_function():
    k = np.linspace(0, 10, 50)
    written = {"gaussian": lambda r: np.exp(-np.log(2) * r**2), "uniform": lambda r: r < 2**0.5}
    for name, profile in written.items():
        apart = ml.profile_transform(k, 0.7, profile) - ml.profile_transform(k, 0.7, name)
        assert np.abs(apart).max() < 0.01, name


# --- tracks -------------------------------------------------------------------------------------


def test_tracks_are_straight_even_and_reproducible():
    points = ml.tracks(2000, 10.0, 4.5, 300, seed=3)
    steps = np.diff(points, axis=1)
    np.testing.assert_allclose(steps, steps[:, :1].repeat(299, 1), atol=1e-9)
    way = points[:, -1] - points[:, 0]
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 4.5)
    assert np.abs(way.mean(0)).max() < 0.3 and np.abs(points[:, 0].mean(0) - 5).max() < 0.3
    assert np.array_equal(points, ml.tracks(2000, 10.0, 4.5, 300, seed=3))


def test_reading_is_bilinear_and_periodic():
    n, width = 16, 8.0
    disc = np.random.default_rng(0).normal(size=(n, n))
    nodes = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1) * width / n
    for shift in (0, width, -3 * width):
        np.testing.assert_allclose(ml.read_tracks(disc, width, nodes + shift), disc, atol=1e-12)
    read = ml.read_tracks(disc, width, nodes + np.array([0.25, 0.5]) * width / n)
    down = 0.75 * disc + 0.25 * np.roll(disc, -1, 0)
    np.testing.assert_allclose(read, (down + np.roll(down, -1, 1)) / 2, atol=1e-12)
    inside = nodes[:-1, :-1] + 0.5 * width / n
    both = [ml.read_tracks(disc, width, inside, periodic=way) for way in (True, False)]
    np.testing.assert_allclose(*both, atol=1e-12)


# --- what is refused ----------------------------------------------------------------------------

SMALL = ml.star_field(width=1.0)
MAP = np.ones((64, 64))
REFUSED = {
    "magnifies without end": lambda: ml.star_field(0.5, 0.5),
    "give kappa >= 0": lambda: ml.star_field(-0.1),
    "0 <= smooth fraction <= 1": lambda: ml.star_field(smooth_fraction=1.5),
    "choose a smaller width": lambda: ml.star_field(width=1e6),
    "own stars leave no choice": lambda: ml.star_field(smooth_fraction=0.5, stars=[[0, 0]]),
    "give finite positions": lambda: ml.star_field(stars=[[0, np.nan]]),
    "masses 'heavy': give equal, salpeter, kroupa": lambda: ml.star_field(masses="heavy"),
    "ewald_width 0: give 0.01 to 10": lambda: ml.deflection(SMALL, [[0, 0]], 0),
    "whole number from 2 to 30,000": lambda: ml.magnification_map(SMALL, 0),
    "rays above 0": lambda: ml.magnification_map(SMALL, 10, rays=-1),
    "threads = -1": lambda: ml.magnification_map(SMALL, 10, threads=-1),
    "give (x, y, side)": lambda: ml.magnification_map(SMALL, 10, window=(0, 1)),
    "a pixel smaller than the map's width": lambda: ml.magnification_map(
        SMALL, 9, window=(0, 0, 1)
    ),
    "its mean not divided out": lambda: ml.map_error(MAP, SMALL),
    "no larger than its rim": lambda: ml.map_error(MAP, SMALL, radius=0.1, window=(0, 0, 0.5)),
    "must be a finite number above 0": lambda: ml.profile_transform([1.0], 0.0),
    "profile 'square': give gaussian": lambda: ml.profile_transform([1.0], 1.0, "square"),
    "finite, 0 or more": lambda: ml.profile_transform([1.0], 1.0, lambda r: 1 - r),
    "must be about 1": lambda: ml.profile_transform([1.0], 1.0, lambda r: np.exp(-r / 9)),
    "must be at least a pixel, 0.125 R_E": lambda: ml.convolve(MAP, 8.0, 0.12),
    "must be square": lambda: ml.convolve(MAP[1:], 8.0, 1.0),
    "tracks: ": lambda: ml.tracks(0, 8.0, 4.0, 300),
    "give a square of real numbers": lambda: ml.read_tracks(MAP[1:], 8.0, [[0, 0]]),
    "within 10^6 widths": lambda: ml.read_tracks(MAP, 8.0, [[0, np.inf]]),
    "points outside the window": lambda: ml.read_tracks(MAP, 8.0, [[7.9, 1]], periodic=False),
    "the map holds NaN": lambda: ml.read_tracks(MAP * np.nan, 8.0, [[0, 0]]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(message):
    with pytest.raises(ml.SimulatorError, match=re.escape(message)) as error:
        REFUSED[message]()
    assert "\n" not in str(error.value)


# --- the package, and its speed -----------------------------------------------------------------


def test_the_package_alone_runs_the_example_of_readme(tmp_path):
    """Copied to an empty folder, in a Python that sees neither this project nor torch."""
    shutil.copytree(ROOT / "common/microlensing", tmp_path / "microlensing")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(
        r"```python\n([^`]*from common import microlensing.*?)```", text, re.DOTALL
    )
    code = code.replace("from common import microlensing", "import microlensing")
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{code}\n"
    code += "assert 'torch' not in sys.modules\nprint(curves.shape, curves.mean())"
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(10, 300)")


def test_the_study_of_speed_at_a_small_size(tmp_path, capsys):
    small = dict(width=6.0, pixels=60, plain_side=20, error_width=4.0, error_pixels=128)
    small |= dict(many_rays=60.0, window_width=6.0, window_pixels=50, rounds=2)
    map_speed.main(map_speed.Settings(**small, out_dir=tmp_path))
    numbers = json.loads((tmp_path / "ex_2_map_speed.json").read_text())
    assert 0.5 < numbers["equal_error"]["more_rays"] < 3
    assert all(numbers["against"][way]["at_equal_error"] > 0 for way in map_speed.SUMS)
    field = ml.star_field(width=4.0)
    plain, fast = (map_speed.plain_counts(field, 40, (99, 55), way) for way in map_speed.SUMS)
    assert plain.sum() == 99 * 55 and np.abs(plain - fast).sum() <= 4  # rounding at pixels' edges
