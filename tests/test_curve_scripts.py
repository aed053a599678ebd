"""ex_2a, ex_2c and ex_2d keep their promises; what evaluation measures obeys its laws."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

import ex_2a
import ex_2c
import ex_2d
from common import training
from common.light_curves import data, evaluation, figures
from common.light_curves.model import CurveCVAE, prior_of
from common.training import InputError

TRAINED = [0.1, 0.2, 1.0]  # R_E
PRIOR = {"mixture": 2, "couplings": 2, "hidden": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with two untrained models, ours and plain, and a small set of curves."""
    folder = tmp_path_factory.mktemp("curves")
    for name, plain in (("ex_2b", False), ("ex_2b_plain", True)):
        torch.manual_seed(5)
        settings = PRIOR | {"plain": plain}
        model = CurveCVAE(prior_of(settings, min(TRAINED), max(TRAINED)))
        about = {"settings": settings, "about": "untrained", "simulated": True}
        about["trained_p"] = TRAINED
        training.save(folder / f"{name}.pt", training.checkpoint(model, "ex_2b", **about))
    small = data.Simulation(width=10.0, pixels=200, curves=12, p=(0.05, 0.1, 0.2, 1.0, 2.0))
    data.simulate(folder / "data", small)
    return folder


@pytest.fixture
def model(folder):
    return folder / "ex_2b.pt"


def smooth(n, width, seed=0, scale=0.15):
    """Return curves 10^x of a stationary Gaussian process x, correlated over `width` samples."""
    random = np.random.default_rng(seed)
    lags = np.arange(-4 * width, 4 * width + 1)
    kernel = np.exp(-0.5 * (lags / width) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    noise = random.normal(0, scale, (n, 300 + 8 * width))
    x = np.stack([np.convolve(row, kernel, "valid") for row in noise])
    return (10**x).astype(np.float32)


# --- drawing ------------------------------------------------------------------------------------


def test_generate_keeps_shape_seed_and_the_callers_random_state(model):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two = (ex_2c.generate([0.1, 0.3], 4, seed=1, model=model) for _ in range(2))
    assert one.shape == (2, 4, 300) and one.dtype == np.float32 and (one > 0).all()
    assert np.array_equal(one, two)
    assert not np.array_equal(one, ex_2c.generate([0.1, 0.3], 4, seed=2, model=model))
    new = [ex_2c.generate(0.3, 1, model=model) for _ in range(2)]
    assert not np.array_equal(*new)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_sweep_takes_the_same_noise_through_the_sizes(model):
    near, next_to_it = ex_2c.sweep([0.5, 0.5001], 3, seed=1, model=model)
    others = np.abs(near - np.roll(near, 1, 0)).max(1)
    assert (np.abs(near - next_to_it).max(1) < 0.1 * others).all()
    torch.testing.assert_close(near, ex_2c.generate(0.5, 3, 1, model=model)[0])


def test_a_warning_outside_the_trained_range_and_none_inside(model):
    with pytest.warns(UserWarning, match=r"p = 0.01, 5 R_E: trained on 0.1 to 1"):
        ex_2c.generate([0.01, 0.3, 5], 1, model=model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ex_2c.generate([0.1, 1.0], 1, model=model)


@pytest.mark.parametrize(
    "wrong",
    [
        {"p": []},
        {"p": "x"},
        {"p": [-1]},
        {"p": [float("nan")]},
        {"n": 0},
        {"n": 1.5},
        {"n": True},
        {"seed": -1},
        {"seed": "a"},
        {"model": "nowhere.pt"},
        {"device": "abacus"},
    ],
)
def test_bad_input_is_answered_in_one_line(wrong, model):
    with pytest.raises(InputError) as error:
        ex_2c.generate(**{"p": [0.3], "n": 1, "model": model} | wrong)
    assert "\n" not in str(error.value)


def python(arguments, folder):
    """Run python as a user would; return the result."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_curves_from_the_command_line(model, tmp_path):
    command = [ROOT / "ex_2c.py", "--p", "0.3", "1", "--n", "3", "--model", model]
    done = python([*command, "--out", "x.csv"], tmp_path)
    assert done.returncode == 0, done.stderr
    table = np.loadtxt(tmp_path / "x.csv", delimiter=",", skiprows=1)
    expected = ex_2c.generate([0.3, 1.0], 3, seed=0, model=model)
    assert table[:, 0] == pytest.approx([0.3] * 3 + [1.0] * 3)
    np.testing.assert_allclose(table[:, 1:], expected.reshape(6, 300), rtol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]

    done = python([*command, "--out", "x.doc"], tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_drawing_loads_nothing_slow(model, tmp_path):
    code = f"import ex_2c, sys; ex_2c.generate([0.3], 2, model={str(model)!r}); "
    code += "slow = {'scipy', 'sklearn', 'numba', 'umap', 'matplotlib'} & {*sys.modules}; "
    code += "sys.exit(' '.join(slow) or 0)"
    done = python(["-c", code], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("count", [1, 2, 5, 7, 12])
def test_any_number_of_sizes_is_drawn(count, model, folder, tmp_path):
    p = tuple(np.geomspace(0.1, 1, count).tolist())
    png = tmp_path / "x.png"
    ex_2c.main(ex_2c.Settings(p=p, n=2, out=png, model=model, data_dir=folder / "data"))
    assert png.stat().st_size > 10_000
    curves = {size: smooth(2, 5) for size in p}
    figures.figure1({"simulated": curves[p[0]]}, p[0], None)
    figures.sizes({"simulated": curves, "ours": curves}, TRAINED, 4.5)
    figures.sweep(p, np.stack([*curves.values()]), TRAINED, None)
    figures.training([[1.0, 2.0, 3.0, 4.0]], {size: (c, c) for size, c in curves.items()}, "")


def test_too_many_panels_and_options_without_effect_are_refused(model):
    with pytest.raises(InputError, match="at most 12 panels"):
        ex_2c.main(ex_2c.Settings(p=(1.0,) * 13, out=Path("x.png"), model=model))
    with pytest.raises(InputError, match="--n needs --p"):
        ex_2c.main(ex_2c.Settings(n=3, model=model))


# --- the answers --------------------------------------------------------------------------------


def test_2a_writes_the_layers_that_are_asked_for(tmp_path):
    numbers = ex_2a.main(ex_2a.Settings(**PRIOR, out_dir=tmp_path))
    assert numbers["parameters"]["encoder"] == 50_880
    assert numbers["parameters"]["decoder"] == 47_020
    assert numbers["layers"]["encoder"] == [(332, 128, 42_624), (128, 64, 8_256)]
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"ex_2a.json", "ex_2a_network.png", "ex_2a_network.svg"}


@pytest.mark.parametrize("mistake", ["activation", "one p", "units", "sd of a sample"])
def test_2a_notices_a_network_that_is_another_one(mistake):
    model = CurveCVAE(prior_of({"plain": True}))
    ex_2a.check_network(model)
    if mistake == "activation":
        model.decoder.activation = torch.nn.ReLU()
    elif mistake == "one p":
        model.condition = lambda p: p[:, None] * torch.eye(32)[0]
    elif mistake == "units":
        model.unit = 8.0
    else:
        model.likelihood = lambda z, p: torch.distributions.Normal(
            model.decode(z, p), torch.rand(len(z), 300) + 0.1
        )
    with pytest.raises(RuntimeError):
        ex_2a.check_network(model)


def test_2c_sets_both_models_beside_the_truth(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ex_2c, "SIZES", (0.05, 0.1957, 1.0))
    monkeypatch.setattr(ex_2c, "EACH", 40)
    for name in ("ex_2b", "ex_2b_plain"):
        (tmp_path / f"{name}.pt").write_bytes((folder / f"{name}.pt").read_bytes())
    ex_2c.main(ex_2c.Settings(data_dir=folder / "data", out_dir=tmp_path))
    numbers = json.loads((tmp_path / "ex_2c.json").read_text())
    assert list(numbers["by_p"]) == ["0.05", "0.1957", "1"]
    for row in numbers["by_p"].values():
        assert row["floor"]["c2st"] < 0.75 < 0.9 < row["ours"]["c2st"]
        assert row["plain"]["sf"] > 3 * row["floor"]["sf"]
    assert numbers["by_p"]["0.05"]["trained"] == "outside"
    assert set(numbers["p_obeyed"]) == {"ours", "plain"}
    assert set(numbers["p_obeyed"]["ours"]["by_p"]) == {"0.1957", "1"}
    for name in ("figure1", "sizes", "sweep"):
        assert (tmp_path / f"ex_2c_{name}.png").stat().st_size > 10_000
    assert "C2ST ours" in capsys.readouterr().out


def test_2d_writes_maps_of_both_models_and_what_orders_them(folder, tmp_path, monkeypatch):
    def principal_axes(method, features, seed):
        return {key: rows[:, :2] for key, rows in features.items()}

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(ex_2d, "projections", principal_axes)  # UMAP takes 20 seconds to start
    for name in ("ex_2b", "ex_2b_plain"):
        (tmp_path / f"{name}.pt").write_bytes((folder / f"{name}.pt").read_bytes())
    numbers = ex_2d.main(ex_2d.Settings(each=6, data_dir=folder / "data", out_dir=tmp_path))
    maps = [f"{method} of {kind}" for method in ("UMAP", "t-SNE") for kind in ("curves", "spectra")]
    sets = ("ours", "plain", "simulated")
    assert set(numbers["r2"]) == {f"{what}, {name}" for what in maps for name in sets}
    assert (tmp_path / "ex_2d_maps.png").stat().st_size > 10_000


def test_t_sne_is_the_same_again_and_keeps_neighbours():
    centres = np.repeat(10 * np.eye(3), 20, axis=0)
    rows = {"a": (centres + np.random.default_rng(0).normal(size=(60, 3))).astype(np.float32)}
    one, two = (ex_2d.projections("t-SNE", rows, seed=1)["a"] for _ in range(2))
    assert np.array_equal(one, two)
    assert evaluation.order(one, np.repeat([0.0, 1.0, 5.0], 20)) > 0.8


# --- the laws of evaluation ---------------------------------------------------------------------


def test_equal_laws_are_at_the_floor_and_a_planted_difference_is_seen():
    first, second, third = (smooth(250, 12, seed) for seed in range(3))
    floor = evaluation.floor_of(first, second)
    perfect = evaluation.distances_to((first, second), third)
    assert floor["c2st"] == pytest.approx(0.5, abs=0.06)
    assert perfect["c2st"] == pytest.approx(floor["c2st"], abs=0.08)
    assert perfect["sf"] < 0.05 and perfect["ks"] < 0.15

    waves = 0.008 * np.sin(np.arange(300))  # dex
    rippled = evaluation.distances_to((first, second), third * 10**waves)
    wide = smooth(250, 12, 2, scale=0.25)
    assert rippled["c2st"] > 0.9
    assert evaluation.structure_distance(first, wide) == pytest.approx(np.log(25 / 15), abs=0.06)
    assert evaluation.variability_ks(first, wide) > 0.3
    assert perfect["w1"] < 0.05


def test_noise_that_no_telescope_sees_does_not_tell_curves_apart():
    first, second = smooth(400, 12, 0), smooth(400, 12, 1)
    noise = 10 ** np.random.default_rng(0).normal(0, 1e-4, second.shape)
    assert evaluation.judged(first, second * noise) < 0.56


def test_few_curves_have_no_c2st():
    assert evaluation.floor_of(smooth(20, 5), smooth(20, 5, 1))["c2st"] is None


def test_the_structure_function_of_a_known_process():
    """E[(x(t + lag) - x(t))^2] of white noise is 2 sd^2, of this process 2 sd^2 (1 - rho)."""
    white = 10 ** np.random.default_rng(0).normal(0, 0.1, (2000, 300))
    np.testing.assert_allclose(evaluation.structure_function(white), 0.1 * 2**0.5, rtol=0.02)
    rho = np.exp(-0.25 * (np.array(evaluation.LAGS) / 10) ** 2)
    found = evaluation.structure_function(smooth(4000, 10))
    np.testing.assert_allclose(found, 0.15 * np.sqrt(2 * (1 - rho)), rtol=0.04)
    assert evaluation.structure_distance(white, white) == 0


def test_p_is_read_off_curves_that_obey_it_and_not_off_shuffled_ones():
    widths = {0.1: 5, 0.3: 15, 1.0: 45}
    true = {p: np.stack([smooth(150, w, 1), smooth(150, w, 2)]) for p, w in widths.items()}
    good = {p: smooth(150, w, 3) for p, w in widths.items()}
    obeyed = evaluation.p_recovered(true, good)
    assert obeyed["floor"] < 0.08
    assert obeyed["true_to_generated"] < 1.5 * obeyed["floor"] + 0.02
    assert obeyed["generated_to_true"] < 1.5 * obeyed["floor"] + 0.02

    mixed = np.random.default_rng(0).permutation(np.concatenate([*good.values()]))
    shuffled = dict(zip(widths, mixed.reshape(3, 150, 300), strict=True))
    ignored = evaluation.p_recovered(true, shuffled)
    assert ignored["true_to_generated"] > 0.3 and ignored["generated_to_true"] > 0.3
    assert ignored["floor"] == obeyed["floor"]

    swapped = evaluation.p_recovered(true, {0.1: good[0.3], 0.3: good[0.3], 1.0: good[1.0]})
    assert swapped["by_p"]["0.1"]["bias"] == pytest.approx(np.log10(3), abs=0.1)
    assert evaluation.p_recovered({0.1: true[0.1]}, {0.1: good[0.1]}) is None


def test_planted_peaks_are_counted_with_their_height_and_width():
    t = np.arange(300)
    peaks = sum(0.3 * np.exp(-0.5 * ((t - c) / 8) ** 2) for c in (60, 150, 240))
    found = evaluation.peaks(np.tile(10 ** (peaks - 0.1), (20, 1)))
    assert found["number"] == 3
    assert found["height_dex"] == pytest.approx(0.3, abs=0.003)
    assert found["width"] == pytest.approx(8 * 2.355, rel=0.03)
    few = evaluation.peaks(np.tile(10**peaks, (2, 1)))
    assert few == {"number": 3, "height_dex": None, "width": None}


def test_order_is_1_on_an_ordered_map_and_0_for_shuffled_targets():
    points = np.random.default_rng(0).uniform(size=(500, 2))
    assert evaluation.order(points, points[:, 0]) > 0.95
    shuffled = np.random.default_rng(1).permutation(points[:, 0])
    assert evaluation.order(points, shuffled) < 0.05
    assert evaluation.spearman(points * [1, 0.01], points[:, 0]) > 0.99


def test_properties_of_curves():
    curves = 10 ** (0.2 + 0.1 * np.resize([1.0, -1.0], (2, 300)))
    found = evaluation.properties(curves, np.array([0.1, 1.0]))
    assert found["log p"] == pytest.approx([-1, 0])
    assert found["mean"] == pytest.approx(0.2, abs=1e-5)
    assert found["spread"] == pytest.approx(0.1, abs=1e-5)
    assert found["roughness"] == pytest.approx(np.log(0.2), abs=1e-3)


def test_spectra_know_nothing_of_the_mean_and_see_roughness():
    curves = smooth(50, 12)
    spectra = evaluation.power_spectra(curves)
    assert spectra.shape[0] == 50
    np.testing.assert_allclose(evaluation.power_spectra(2 * curves), spectra, atol=1e-3)
    assert (evaluation.power_spectra(smooth(50, 3))[:, -8:-4] > spectra[:, -8:-4] - 0.1).all()
