"""ex_2a to ex_2d: what they promise, with the shipped checkpoint; bad input; the distances."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, run_script
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from threadpoolctl import threadpool_limits

import ex_2b
import ex_2c
import ex_2d
from benchmarks import judges
from common import distances
from common.light_curves import evaluation as curve_evaluation
from common.light_curves import microlensing, reference, simulation
from common.runtime.errors import InputError


@pytest.fixture(scope="module")
def truth():
    """Two sets of curves each for p = 0.2 and 2, one small star field."""
    small = simulation.Settings(width=20.0, pixels=1000, rays=3.0)
    maps = simulation.disc_maps(small, [0.2, 2.0], seed=5)
    return {p: [simulation.curves_of(disc, small, 400, s) for s in (1, 2)] for p, disc in maps}


@pytest.mark.parametrize("name", ["w1", "sf", "ks"])
def test_distances_are_small_between_two_true_sets_and_large_between_sizes(truth, name):
    distance = curve_evaluation.DISTANCES[name]
    (one, other), (large, _) = truth[0.2], truth[2.0]
    assert distance(one, other) < distance(one, large)
    assert distance(one, one) == pytest.approx(0, abs=1e-9)


def test_the_judge_tells_sizes_apart_and_ripples_that_put_the_structure_function_off_by_5_percent(
    truth,
):
    one, other = truth[0.2]
    planted = judges.rippled(other)
    assert curve_evaluation.structure_distance(planted, other) == pytest.approx(0.05, abs=1e-3)
    near, far = (curve_evaluation.judged(side, one) for side in (other, truth[2.0][0]))
    assert near < 0.6 and far > 0.9
    assert curve_evaluation.judged(planted, one) > near + 0.05


def test_noise_shows_in_the_structure_function(truth):
    curves = truth[0.2][0]
    noisy = curves * np.exp(0.05 * np.random.default_rng(0).normal(size=curves.shape))
    assert curve_evaluation.structure_distance(noisy, curves) > 0.3


def test_generate_keeps_shape_seed_and_the_callers_random_state():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two = (ex_2c.generate([0.3, 1.7], 4, seed=1) for _ in range(2))
    assert one.shape == (2, 4, 300) and one.dtype == np.float32 and np.array_equal(one, two)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not np.array_equal(ex_2c.generate(0.3, 1), ex_2c.generate(0.3, 1))
    assert one.min() > 0


def test_a_sweep_takes_the_same_noise_through_the_sizes():
    near, next_to_it = ex_2c.sweep([0.5, 0.505], 3, seed=1)
    others = np.abs(near - np.roll(near, 1, 0)).max(1)
    assert (np.abs(near - next_to_it).max(1) < 0.1 * others).all()
    assert np.array_equal(near, ex_2c.generate(0.5, 3, 1)[0])


def test_rays_shot_at_tracks_agree_with_the_map_of_the_same_stars():
    small = simulation.Settings(width=8.0, pixels=400, rays=20.0)
    points = microlensing.tracks(12, small.width, 4.5, 300, seed=1)
    ((p, disc),) = simulation.disc_maps(small, [0.1], small.seed)
    ratio = reference.at_points(small, p, points) / microlensing.read_tracks(disc, 8.0, points)
    assert ratio.mean() == pytest.approx(1, abs=0.002) and ratio.std() < 0.02


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", True])
def test_generate_refuses_a_number_of_curves_that_is_none(n):
    with pytest.raises(InputError):
        ex_2c.generate([0.3], n)


def test_the_curves_asked_for_are_written(tmp_path):
    arguments = ["--p", "0.3", "1.7", "--n", "3", "--out"]
    for name in ("a.csv", "a.npz"):
        done = run_script([ROOT / "ex_2c.py", *arguments, name], tmp_path)
        assert done.returncode == 0 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("reading checkpoints/ex_2b.pt: simulated, kappa = 0.4")
        assert done.stderr.endswith(", 12000 steps\n")
    table = np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1)
    kept = np.load(tmp_path / "a.npz")
    assert table.shape == (6, 301) and kept["mu"].shape == (2, 3, 300)
    np.testing.assert_allclose(table[:, 1:], kept["mu"].reshape(6, 300), rtol=1e-5)
    assert table[:, 0] == pytest.approx([0.3] * 3 + [1.7] * 3)


@pytest.mark.filterwarnings("ignore")
def test_the_curves_asked_for_are_drawn_but_not_in_too_many_panels(tmp_path):
    out = ["--n", "2", "--out", str(tmp_path / "a.png"), "--p"]
    ex_2c.main([*out, ".01", "5"])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="at most 12 panels"):
        ex_2c.main([*out, *["1"] * 13])


def test_projections_do_not_depend_on_the_number_of_threads():
    """Those of UMAP cannot: with a random_state it has one thread by itself."""
    features, maps = np.random.default_rng(0).normal(size=(60, 20)), []
    for threads in (1, 2):
        with threadpool_limits(threads):
            maps.append(ex_2d.projection("t-SNE", features, 0))
    np.testing.assert_array_equal(*maps)


def test_order_is_found_where_it_is_and_not_where_it_is_not():
    random = np.random.default_rng(0)
    log_p = random.uniform(-1, 1, 300)
    line = np.stack([3 * log_p, 0.1 * random.normal(size=300)], 1)
    cloud = random.normal(size=(300, 2))
    found, none = (ex_2d.order(points, log_p, 50, 0) for points in (line, cloud))
    assert found["spearman_rho"] > 0.99 and found["knn_r2"] > 0.99
    assert none["spearman_rho"] < 2 * none["spearman_rho_shuffled_99"] and none["knn_r2"] < 0.1
    folds = KFold(5, shuffle=True, random_state=0)
    for points, row in ((line, found), (cloud, none)):
        scores = cross_val_score(KNeighborsRegressor(15), points, log_p, cv=folds)
        assert row["knn_r2"] == pytest.approx(scores.mean(), abs=1e-9)


def test_power_spectra_find_the_frequency():
    t = np.arange(300) / 300
    spectra = ex_2d.power_spectra(10 ** (0.1 * np.sin(2 * np.pi * np.array([[3], [40]]) * t)))
    assert spectra.shape == (2, 25) and spectra[0].argmax() < spectra[1].argmax()


def test_noise_that_a_telescope_would_not_see_does_not_show_in_power_spectra():
    random, t = np.random.default_rng(0), np.arange(300) / 300
    smooth = 0.1 * np.sin(2 * np.pi * (3 * t + random.uniform(size=(100, 1))))  # dex
    noise = 0.4 * curve_evaluation.FLOOR * random.normal(size=smooth.shape)
    clean, faint, seen = (
        ex_2d.power_spectra(10 ** (smooth + part * noise))[:, -10:].mean() for part in (0, 0.1, 1)
    )
    assert faint == pytest.approx(clean, abs=0.02) and seen > clean + 0.5


def test_the_shipped_model_draws_curves_like_new_true_ones():
    """Evaluated, not read: against a small star field that it was not trained on."""
    small = simulation.Settings(width=40.0, pixels=2000, rays=2.0)
    ((p, disc),) = simulation.disc_maps(small, [0.535734], seed=77)
    true = simulation.curves_of(disc, small, 1000, 1)
    fake = ex_2c.generate([p], 1000, seed=0)[0]
    assert distances.wasserstein(fake, true) < 0.1
    assert curve_evaluation.structure_distance(fake, true) < 0.2
    assert curve_evaluation.variability_ks(fake, true) < 0.12


def test_bad_light_curves_take_one_line_and_exit_status_2(tmp_path):
    (tmp_path / "12345").mkdir()
    (tmp_path / "12345/05.dat").write_text("1,2\n")
    (tmp_path / "labels.dat").write_text("map_id disc_id k g s p\n12345 5 0.4 0.4 0 0.2\n")
    done = run_script([ROOT / "ex_2b.py", "--smoke", "--data-dir", "."], tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "05.dat, line 1" in done.stderr


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A foreign set: 20 files of two maps, other kappa, ten wavy curves each."""
    monkeypatch.chdir(tmp_path)
    random, t = np.random.default_rng(0), np.arange(300)
    rows = []
    for k in range(20):
        p, name = 0.08 * 1.25**k, "AB"[k % 2]
        phase = random.uniform(0, 6, (10, 4, 1))
        waves = np.sin(np.arange(1, 5)[:, None] * t / (20 + 30 * p) + phase)
        (tmp_path / "own" / name).mkdir(parents=True, exist_ok=True)
        path = tmp_path / f"own/{name}/{k + 2:02d}.dat"
        np.savetxt(path, np.exp(0.3 * waves.sum(1)), "%.5f", ",")
        rows.append(f"{name} {k + 2} 0.55 0.2 0.1 {p:.5f}")
    (tmp_path / "own/labels.dat").write_text("map_id disc_id k g s p\n" + "\n".join(rows))
    return tmp_path / "own"


@pytest.mark.filterwarnings("ignore")
def test_own_light_curves_from_training_to_drawing(own, capsys, monkeypatch):
    """Each file has a role that is said, the truth is at the labels' kappa, the folder is left.

    The scripts that draw find the model in --out-dir, and say so.
    """
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    places = ["--smoke", "--threads", "1", "--data-dir", "own", "--out-dir", "mine"]
    monkeypatch.setattr(distances, "two_sample_accuracy", lambda *_, **__: 0.5)  # takes a second
    trained = ex_2b.main(places)
    said = capsys.readouterr().out
    assert "held out: A_04, A_08, A_12, A_16, A_20" in said and "trained on: A_02, B_03" in said
    assert len(trained["trained_p"]) == 15 and trained["test"]["distances"]["w1"] > 0
    for wrong in (
        lambda: ex_2c.main(["--smoke", "--out-dir", "mine"]),
        lambda: ex_2d.main([*places, "--model", str(ROOT / "checkpoints/ex_2b.pt")]),
    ):
        with pytest.raises(InputError, match="must belong together"):
            wrong()
    capsys.readouterr()
    drawn = ex_2c.main(places)
    assert "reading mine/ex_2b.pt: own/labels.dat, SHA-256" in capsys.readouterr().err
    assert "literal" not in drawn["by_p"]["0.3"]  # the shipped one is of other data
    recipe = json.loads(str(np.load("mine/ex_2c_truth.npz")["recipe"]))[2]
    assert [recipe[name] for name in ("kappa", "gamma", "smooth_fraction")] == [0.55, 0.2, 0.1]
    monkeypatch.setattr(ex_2d, "projection", lambda method, features, seed: features[:, :2])
    ex_2d.main(places)
    order = json.loads(Path("mine/ex_2d.json").read_text())["order"]
    assert any("true, curves" in name for name in order)
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before
    labels = (own / "labels.dat").read_text().replace("A 2 0.55", "A 2 0.45")
    (own / "labels.dat").write_text(labels)
    with pytest.raises(InputError, match="must belong together"):  # other labels, other data
        ex_2c.main(places)
    with pytest.raises(InputError, match="several k, g, s"):
        here, changed = ex_2c.Settings(data_dir="own"), simulation.source_of("own")
        simulation.truth_of(here, changed, ex_2c.read_labels)
