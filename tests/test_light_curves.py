"""The simulated data set: in the assignment's format, whole, split as it says, told from others."""

import numpy as np
import pytest

import data_loader
import ex_2c
from common.light_curves import data as curve_data
from common.light_curves import simulation
from common.runtime.errors import InputError

SMALL = simulation.Settings(width=6.0, pixels=200, curves=12, rays=3.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("curves")
    simulation.simulate(path, SMALL)
    return path


def test_the_loader_reads_what_the_simulator_wrote_relative_to_the_mean(folder):
    """A large source sees little but the mean; a small one is brighter at its peaks."""
    x, y = data_loader.dataloader(folder)
    assert len(x) == 25 + 3 + 12 and x["12345_05"].shape == (12, 300)
    assert y["12345_05"][0] == pytest.approx([0.4, 0.4, 0.0, 0.195695], abs=1e-6)
    assert not list(folder.rglob("*.tmp"))
    small, large = x["12345_01"], x["12345_25"]
    assert large.mean() == pytest.approx(1, abs=0.02)
    assert small.max() > large.max() and small.std() > 3 * large.std()


def test_no_curve_has_two_roles_and_settings_are_chosen_on_sizes_of_their_own(folder):
    x, y = data_loader.dataloader(folder)
    parts = curve_data.split(x, y)
    assert [len(getattr(parts, r)) for r in ("train", "validation", "test")] == [7, 3, 12]
    assert set(parts.train) < set(parts.test) < set(parts.same_field)
    assert not set(parts.validation) & (set(parts.train) | set(parts.test))
    fields = [parts.same_field, parts.validation, parts.test]
    each = [curve.tobytes() for field in fields for part in field.values() for curve in part]
    assert len(each) == len(set(each)) == 12 * 40
    with pytest.raises(InputError, match="no map 12348"):
        curve_data.split({k: v for k, v in x.items() if "12348" not in k}, y)


@pytest.mark.parametrize("sizes", [3, 7, 25])
def test_of_own_data_whole_sizes_are_held_out_or_curves_of_few(folder, sizes):
    """Whatever the discs are called, each curve has one role, and none is lost."""
    x, y = data_loader.dataloader(folder)
    keys = [key for key in x if key.startswith("12345_")][:sizes]
    x, y = {f"m_{k}": x[k] for k in keys}, {f"m_{k}": y[k] for k in keys}
    parts, role = curve_data.split_own(x, y)
    assert [*role] == [*x] and len(parts.test) == {3: 3, 7: 1, 25: 6}[sizes]
    together = [c for part in (parts.train, parts.test) for c in part.values()]
    everything = np.concatenate([*x.values()]).astype(np.float32)
    np.testing.assert_array_equal(np.sort(np.concatenate(together), 0), np.sort(everything, 0))
    assert (set(parts.train) & set(parts.test) == set()) == (sizes > 4)


def test_sizes_to_hold_out_are_found_to_a_percent_or_refused(folder):
    x, y = data_loader.dataloader(folder)
    parts, role = curve_data.split_own(x, y, (0.1957, 5.62))
    assert [round(p, 3) for p in parts.test] == [0.196, 5.617]
    assert {key for key in role if role[key] == "held out"} == {
        f"{field}_{disc}" for field in ("12345", "12348") for disc in ("05", "25")
    }
    with pytest.raises(InputError, match=r"--hold-out 0.5: no such source size; there are 0\.1"):
        curve_data.split_own(x, y, (0.5,))
    with pytest.raises(InputError, match="nothing is left to train on"):
        curve_data.split_own(x, y, [y[key][0, 3] for key in x])


def test_a_foreign_set_is_not_called_simulated_and_nothing_is_overwritten(folder, tmp_path):
    assert simulation.source_of(folder).startswith("simulated, kappa = 0.4")
    (tmp_path / "labels.dat").write_text((folder / "labels.dat").read_text() + "\n")
    (tmp_path / "simulated.json").write_text((folder / "simulated.json").read_text())
    assert simulation.source_of(tmp_path).startswith(f"{tmp_path / 'labels.dat'}, SHA-256 ")
    for path in (tmp_path / "labels.dat", tmp_path / "simulated.json"):
        path.unlink()
    (tmp_path / "12345").mkdir()
    (tmp_path / "12345/05.dat").write_text("mine")
    for there in (folder, tmp_path):
        with pytest.raises(InputError, match="there already"):
            simulation.simulate(there, SMALL)
    assert (tmp_path / "12345/05.dat").read_text() == "mine"


def test_the_same_seed_gives_the_same_bytes_and_an_unfinished_run_is_begun_anew(folder, tmp_path):
    simulation.simulate(tmp_path, SMALL)
    (tmp_path / "labels.dat").unlink()
    simulation.simulate(tmp_path, SMALL)
    for path in folder.rglob("*.dat"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path


def test_the_truth_of_an_own_simulation_is_made_as_it_was(tmp_path, monkeypatch):
    """Its length, width and profile, not those of the shipped data."""
    monkeypatch.chdir(tmp_path)
    made = {"profile": "uniform", "length": 2.0, "seed": 5, "curves": 3, "discs": 5}
    own = simulation.Settings(width=8.0, pixels=400, data_dir="own", **made)
    simulation.simulate("own", own)
    source = simulation.source_of("own")
    assert source.endswith(", tracks of 2 R_E") and ex_2c.track_length(source) is None
    assert ex_2c.track_length(ex_2c.curve_model.load()[1]["source"]) == 4.5
    truth = simulation.truth_of(own, source, data_loader.read_labels)
    assert truth.width == 8.0 and truth.pixels == 400
    assert {name: getattr(truth, name) for name in made} == made
