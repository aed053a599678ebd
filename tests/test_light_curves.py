"""The curves of exercise 2: roles that do not overlap, own data, simulation, reference curves."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import HEADER, ROOT, random_curves

import data_loader
from common import microlensing
from common.light_curves import __main__ as command
from common.light_curves import data
from common.training import InputError, run

SMALL = data.Simulation(width=6.0, pixels=200, curves=12, rays=3.0)
FEW = replace(SMALL, p=(0.1, 0.5, 2.0), curves=4)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curves")
    data.simulate(folder, SMALL)
    for part in ("validation", "test"):
        data.load(folder, part=part)
    return folder


def own_folder(folder, sizes, n=6):
    """Write n curves of each of `sizes` as somebody else's data set."""
    (folder / "m1").mkdir(parents=True)
    rows = ""
    for disc, p in enumerate(sizes, start=1):
        curves = np.random.default_rng(disc).lognormal(size=(n, 300))
        np.savetxt(folder / f"m1/{disc:02d}.dat", curves, delimiter=",")
        rows += f"m1 {disc} 0.4 0.4 0 {p}\n"
    (folder / "labels.dat").write_text(HEADER + rows)
    return folder


def listing(folder):
    """Return what a folder holds, and when it was last changed."""
    return {str(p): p.stat().st_mtime_ns for p in [folder, *folder.rglob("*")]}


def rows_of(curves: dict) -> list[bytes]:
    return [row.tobytes() for part in curves.values() for row in part]


# --- simulated curves ---------------------------------------------------------------------------


def test_the_loader_reads_what_the_simulator_wrote_relative_to_the_mean(simulated):
    """A large source sees little but the mean; a small one is brighter at its peaks."""
    x, y = data_loader.dataloader(simulated)
    assert len(x) == 25 and x["12345_05"].shape == (12, 300)
    assert y["12345_05"][0] == pytest.approx([0.4, 0.4, 0.0, 0.195695], abs=1e-9)
    small, large = x["12345_01"], x["12345_25"]
    assert large.mean() == pytest.approx(1, abs=0.02)
    assert small.max() > large.max() and small.std() > 3 * large.std()
    assert not list(simulated.rglob("*.tmp*"))


def test_roles_do_not_overlap_and_are_of_three_star_fields(simulated):
    test = data.load(simulated)
    validation = data.load(simulated, part="validation")
    assert list(test.train) == [SMALL.radii[disc] for disc in data.TRAIN]
    assert list(test.test) == [SMALL.radii[disc] for disc in data.TEST]
    assert list(validation.test) == [SMALL.radii[disc] for disc in data.VALIDATION]
    assert test.simulated and test.folder == simulated
    assert test.train[0.195695].dtype == np.float32

    fields = [data.sizes(simulated, 12), validation.test, test.test]
    rows = [row for field in fields for row in rows_of(field)]
    assert len(rows) == len(set(rows)) == 12 * (25 + 7 + 12)
    assert set(rows_of(test.train)) < set(rows_of(fields[0]))
    maps = {next((simulated / part).glob("12*")).name for part in (".", "validation", "test")}
    assert maps == {"12345", "12347", "12349"}
    assert list(data.sizes(simulated, 5)) == list(SMALL.radii.values())
    assert {len(curves) for curves in data.sizes(simulated, 5).values()} == {5}


def test_the_same_seed_gives_the_same_bytes_and_what_was_killed_is_begun_anew(
    tmp_path, monkeypatch
):
    data.simulate(tmp_path / "whole", FEW)
    write = data._write_curves

    def stop_at_the_second(path, curves):
        if path.name == "02.dat":
            raise KeyboardInterrupt
        write(path, curves)

    monkeypatch.setattr(data, "_write_curves", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        data.simulate(tmp_path / "cut", FEW)
    names = {path.name for path in (tmp_path / "cut").rglob("*") if path.is_file()}
    assert names == {"simulated.json", "01.dat"}  # nobody takes it for a data set
    with pytest.raises(InputError, match=r"no labels.dat there; `python -m common.light_curves"):
        data.load(tmp_path / "cut")

    monkeypatch.undo()
    data.simulate(tmp_path / "cut", FEW)
    for path in (tmp_path / "whole").rglob("*.*"):
        assert (
            path.read_bytes()
            == (tmp_path / "cut" / path.relative_to(tmp_path / "whole")).read_bytes()
        )
    data.simulate(tmp_path / "other", replace(FEW, seed=1))
    curves = "12345/01.dat"
    assert (tmp_path / "other" / curves).read_bytes() != (tmp_path / "cut" / curves).read_bytes()


def test_nothing_that_is_there_is_overwritten(simulated, tmp_path):
    (tmp_path / "12345").mkdir()
    (tmp_path / "12345/05.dat").write_text("mine")
    for folder in (simulated, tmp_path):
        before = listing(folder)
        with pytest.raises(InputError, match="is there already; choose another --data-dir"):
            data.simulate(folder, SMALL)
        assert listing(folder) == before


def test_own_sizes_are_trained_on_and_tested_on_another_field(tmp_path, capsys):
    data.simulate(tmp_path, FEW)
    curves = data.load(tmp_path)
    assert list(curves.train) == list(curves.test) == [0.1, 0.5, 2.0]
    assert not set(rows_of(curves.train)) & set(rows_of(curves.test))
    assert "simulating another star field" in capsys.readouterr().err
    with pytest.raises(InputError, match="--hold-out has no effect on simulated curves"):
        data.load(tmp_path, hold_out=(0.5,))
    mark = tmp_path / "simulated.json"
    mark.write_text(mark.read_text().replace('"seed": 0', '"seed": 3'))
    with pytest.raises(InputError, match="simulated with other settings"):
        data.load(tmp_path)
    mark.write_text("{")
    with pytest.raises(InputError, match=r"simulated.json: damaged, or of an earlier version"):
        data.load(tmp_path)


def test_the_default_folder_is_simulated_and_a_given_one_is_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr(data, "Simulation", lambda: FEW)
    monkeypatch.setattr(data, "simulate", lambda folder, *_: calls.append(str(folder)))
    with pytest.raises(InputError):  # nothing was written
        data.sizes()
    assert calls == ["data"]
    said = "no data/labels.dat: simulating it, as `python -m common.light_curves` does\n"
    assert capsys.readouterr().err == said
    for given in (data.load, data.sizes, lambda folder: data.reference([0.3], 2, folder)):
        with pytest.raises(
            InputError, match=r"`python -m common\.light_curves --data-dir nowhere`"
        ):
            given("nowhere")
    assert calls == ["data"] and list(tmp_path.iterdir()) == []


SETTINGS = {
    "--kappa -1: give a number from 0 to 10": {"kappa": -1},
    "--pixels 8: give": {"pixels": 8},
    "--seed -1: give": {"seed": -1},
    "magnifies without end": {"kappa": 0.6},
    "p = 0.1: a pixel of the map is 0.375 R_E": {"pixels": 16, "p": ()},
    "p = nan": {"p": (float("nan"),)},
    "a size is given twice": {"p": (0.3, 0.3)},
}


@pytest.mark.parametrize("message", SETTINGS)
def test_impossible_settings_are_refused_before_anything_is_written(tmp_path, message):
    with pytest.raises(InputError, match=message):
        data.simulate(tmp_path / "new", replace(FEW, **SETTINGS[message]))
    assert list(tmp_path.iterdir()) == []


# --- own curves ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_of_own_data_whole_sizes_are_held_out_or_curves_of_few(tmp_path, count, capsys):
    """No curve is lost, none is in two roles, and nothing is written beside them."""
    sizes = [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0][:count]
    folder = own_folder(tmp_path / "own", sizes)
    before = listing(folder)
    curves = data.load(folder)
    assert listing(folder) == before
    assert not curves.simulated and curves.about.startswith(f"own curves in {folder}, trained on")
    assert curves.about in capsys.readouterr().err

    rows = rows_of(curves.train) + rows_of(curves.test)
    assert len(set(rows)) == len(rows) == 6 * count
    if count > 4:
        assert list(curves.test) == [0.3]
        assert list(curves.train) == [p for p in sizes if p != 0.3]
    else:
        assert list(curves.test) == list(curves.train) == sizes
        assert {len(part) for part in curves.test.values()} == {2}
    assert list(data.sizes(folder, 4)) == sizes


def test_files_of_one_size_are_joined_and_damage_is_named(tmp_path):
    folder = own_folder(tmp_path / "own", [0.2, 0.2])
    assert data.sizes(folder, 100)[0.2].shape == (12, 300)
    (folder / "m1/01.dat").write_text("1 2 3")
    with pytest.raises(InputError, match=r"01\.dat, line 1: 3 values with white space"):
        data.load(folder)
    folder = own_folder(tmp_path / "single", [0.2, 0.4], n=1)
    with pytest.raises(InputError, match=r"p = 0\.2 has only one light curve; give two or more"):
        data.load(folder)


def test_sizes_to_hold_out_are_found_to_a_percent_or_refused(tmp_path):
    folder = own_folder(tmp_path / "own", [0.1, 0.195695, 0.5, 5.62])
    curves = data.load(folder, hold_out=(0.1957, 5.6))
    assert list(curves.test) == [0.195695, 5.62] and list(curves.train) == [0.1, 0.5]
    with pytest.raises(InputError, match=r"--hold-out 0\.3: no such size; there are 0\.1, 0\.19"):
        data.load(folder, hold_out=(0.3,))
    with pytest.raises(InputError, match="no size is left to train on"):
        data.load(folder, hold_out=(0.1, 0.195695, 0.5, 5.62))


# --- reference curves ---------------------------------------------------------------------------


def test_reference_curves_are_the_same_whatever_else_is_asked_for(simulated, tmp_path):
    for p in (0.001, float("nan"), 1000.0):
        with pytest.raises(InputError, match="reference curves are simulated for p of"):
            data.reference([0.3, p], 4, simulated, tmp_path / "a")
    first = data.reference([0.3, 0.1], 4, simulated, tmp_path / "a")
    other = data.reference([0.1, 2.0], 4, simulated, tmp_path / "b")
    assert list(first) == [0.3, 0.1]
    assert first[0.3].shape == (2, 4, 300) and first[0.3].dtype == np.float32
    np.testing.assert_array_equal(first[0.1], other[0.1])
    rows = rows_of({p: both.reshape(-1, 300) for p, both in first.items()})
    assert len(set(rows)) == 16
    assert not set(rows) & set(rows_of(data.sizes(simulated, 12)))
    assert not (simulated / data.CACHE).exists()


def test_reference_curves_are_kept_and_only_new_sizes_are_simulated(
    simulated, tmp_path, monkeypatch
):
    asked = []
    simulate = data._reference
    monkeypatch.setattr(data, "_reference", lambda p, *_: asked.append(p) or simulate(p, *_))
    first = data.reference([0.3], 4, simulated, tmp_path)
    again = data.reference([0.3, 2.0], 4, simulated, tmp_path)
    assert asked == [[0.3], [2.0]]
    np.testing.assert_array_equal(first[0.3], again[0.3])
    data.reference([2.0, 0.3], 4, simulated, tmp_path)
    assert len(asked) == 2

    for damage in (b"", (tmp_path / data.CACHE).read_bytes()[:-900]):
        (tmp_path / data.CACHE).write_bytes(damage)
        mended = data.reference([0.3], 4, simulated, tmp_path)
        np.testing.assert_array_equal(first[0.3], mended[0.3])
    assert asked[2:] == [[0.3], [0.3]]


def test_reference_curves_are_kept_where_one_may_write(simulated, tmp_path, monkeypatch, capsys):
    """Beside simulated curves, but not beside your own; on a read-only disk they are made anew."""
    monkeypatch.setattr(data, "_reference", lambda p, n, _: {q: np.ones((2, n, 300)) for q in p})
    blocked = tmp_path / "a file"
    blocked.write_text("root, too, cannot write below it")
    data.reference([0.3], 4, simulated, blocked)
    assert (simulated / data.CACHE).is_file()
    (simulated / data.CACHE).unlink()

    own = own_folder(tmp_path / "own", [0.2])
    before = listing(own)
    capsys.readouterr()
    data.reference([0.3], 4, own, blocked)
    assert listing(own) == before
    assert "cannot be written: these curves will be simulated again" in capsys.readouterr().err
    data.reference([0.3], 4, own, tmp_path / "out")
    assert (tmp_path / "out" / data.CACHE).is_file() and listing(own) == before


def test_the_reference_beside_own_curves_has_their_stars(tmp_path, monkeypatch):
    asked = []

    def note(p, n, simulation):
        asked.append(simulation)
        return {q: np.ones((2, n, 300)) for q in p}

    monkeypatch.setattr(data, "_reference", note)
    folder = own_folder(tmp_path / "own", [0.2, 0.4])
    labels = folder / "labels.dat"
    labels.write_text(labels.read_text().replace(" 0.4 0.4 0 ", " 0.3 0.2 0.5 "))
    data.reference([0.3], 4, folder, tmp_path)
    assert asked == [data.Simulation(kappa=0.3, gamma=0.2, smooth_fraction=0.5)]
    labels.write_text(labels.read_text().replace("m1 2 0.3", "m1 2 0.4"))
    with pytest.raises(InputError, match=r"labels\.dat: several k, g, s.*draw with --p"):
        data.reference([0.3], 4, folder, tmp_path)


def test_windows_show_what_the_map_shows(monkeypatch):
    """A window in the wrong place, scale or mean, or too small for its tracks, would differ."""
    simulation = data.Simulation(width=8.0, pixels=800, length=2.0)
    field = data._field(simulation)
    p, rim, side = 0.1, 0.5, 5.0
    corners, places = [], []
    shoot, read = microlensing.magnification_map, microlensing.read_tracks

    def noted_map(*arguments, window):
        corners.append(window[:2])
        assert window[2] == pytest.approx(side)
        return shoot(*arguments, window=window)

    def noted_read(disc_map, width, points, periodic):
        assert rim <= points.min() and points.max() <= side - rim
        places.append(points + corners[-1])
        return read(disc_map, width, points, periodic)

    monkeypatch.setattr(microlensing, "magnification_map", noted_map)
    monkeypatch.setattr(microlensing, "read_tracks", noted_read)
    monkeypatch.setattr(data, "PIXELS", 150)
    curves = data._from_windows(field, simulation, p, 12)
    monkeypatch.undo()

    disc_map = next(data._disc_maps(field, simulation, [p]))
    whole = np.stack([read(disc_map, field.width, points) for points in places])  # (2, 6, 300)
    seen = curves.reshape(3, 2, 2, 300).swapaxes(0, 1).reshape(2, 6, 300)  # two by two
    assert np.std(seen / whole - 1) < 0.03
    assert np.mean(seen) == pytest.approx(np.mean(whole), rel=0.005)
    lengths = np.linalg.norm(places[0][:, -1] - places[0][:, 0], axis=-1)
    np.testing.assert_allclose(lengths, 2.0)


def test_small_sources_are_read_off_finer_maps_and_all_have_mean_one(monkeypatch):
    """Three pixels of .1 R_E are .3: the sources below are seen on windows, or a finer map."""
    simulation = data.Simulation(width=16.0, pixels=160, p=(0.1, 0.3), length=3.0)
    used = []
    windows = data._from_windows
    note = lambda *given: used.append(given[2]) or windows(*given)  # noqa: E731
    monkeypatch.setattr(data, "_from_windows", note)
    whole = data._reference([0.2, 0.4], 100, simulation)
    assert used == []
    monkeypatch.setattr(data, "PIXELS", 100)
    curves = data._reference([0.2, 0.4], 100, simulation)
    assert used == [0.2]
    np.testing.assert_array_equal(whole[0.4], curves[0.4])
    for both in (whole[0.2], whole[0.4], curves[0.2]):
        assert both.shape == (2, 100, 300) and both.dtype == np.float32
        assert both.mean() == pytest.approx(1, abs=0.25)


# --- arrays, files, the command line ------------------------------------------------------------


def test_curves_are_stacked_as_logarithms_and_saved_as_they_are(tmp_path):
    train = {0.2: random_curves(), 0.5: np.zeros((2, 300))}
    x, p = data.stacked(train, 2)
    np.testing.assert_allclose(x[:2], np.log10(random_curves()[:2]), rtol=1e-5, atol=1e-6)
    assert (x[2:] == -3).all() and p.tolist() == pytest.approx([0.2, 0.2, 0.5, 0.5])
    assert x.dtype == p.dtype == torch.float32 and len(data.stacked(train)[0]) == 5

    curves = np.stack([random_curves(1), random_curves(2)])
    table = np.loadtxt(
        data.save_curves(tmp_path / "a.csv", [0.2, 0.5], curves), delimiter=",", skiprows=1
    )
    np.testing.assert_allclose(table[:, 1:], curves.reshape(6, 300), rtol=1e-5)
    assert table[:, 0].tolist() == [0.2] * 3 + [0.5] * 3
    with np.load(data.save_curves(tmp_path / "a.npz", [0.2, 0.5], curves)) as file:
        np.testing.assert_array_equal(file["mu"], curves)
    with pytest.raises(InputError, match=r"must end in \.csv or \.npz"):
        data.save_curves(tmp_path / "a.txt", [0.2, 0.5], curves)


def test_the_command_prepares_each_part_and_draws_the_map(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {"width": 6.0, "pixels": 200, "rays": 2.0, "curves": 3, "p": (0.1, 1.0)}
    for part, labels in (("train", "data/labels.dat"), ("test", "data/test/labels.dat")):
        command.main(command.Settings(**small, part=part))
        assert capsys.readouterr().out == f"{labels}\n"
    assert json.loads((tmp_path / "data/simulated.json").read_text())["p"] == [0.1, 1.0]
    assert data.load().train.keys() == {0.1, 1.0}
    with pytest.raises(InputError, match=r"data was simulated with --kappa 0\.4; give the same"):
        command.main(command.Settings(**small, kappa=0.3, part="validation"))

    numbers = command.main(command.Settings(**small, map=True))
    assert numbers["mean"] == pytest.approx(numbers["exact"], rel=1e-9)
    assert capsys.readouterr().out == "out/ex_2_map.png\n"
    assert (tmp_path / "out/ex_2_map.png").stat().st_size > 1000


def test_importing_loads_nothing_slow():
    code = "import sys, data_loader, common.light_curves.data"
    code += "; sys.exit(' '.join({'scipy', 'numba', 'matplotlib'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_help_explains_every_setting(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["common.light_curves", "--help"])
    with pytest.raises(SystemExit):
        run(command.main, command.Settings)
    said = capsys.readouterr().out
    assert "share of kappa that is smooth matter" in said
    for flag in ("--p", "--masses", "--profile", "--data-dir", "--part", "--map", "--out-dir"):
        assert flag in said
