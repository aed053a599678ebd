"""The studies at tiny size, and what may be published."""

import json
import math

import pytest
import torch

import ex_1b
import ex_2b
from common.digits import data as digits
from common.digits.model import digit_cvae
from common.light_curves import data
from common.light_curves.model import Whitening, fold
from common.priors import StandardPrior
from common.training import InputError, checkpoint, save
from studies import (
    ablations,
    choose,
    kl_table,
    publish,
    seeds,
    small_sources,
    textbook,
    time_to_quality,
)


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    few = digits._first(digits.bundled(), 240)
    for study in (choose, textbook, time_to_quality):
        monkeypatch.setattr(study, "load", lambda *_: few)


def test_choices_are_logged_and_seeds_of_the_table_are_refused(tmp_path):
    for note in ("a", "b"):
        settings = choose.Settings(epochs=1, batch=50, components=2, out_dir=tmp_path, note=note)
        choose.main(settings)
    tried = json.loads((tmp_path / "ex_1b_choice.json").read_text())["tried"]
    assert [row["note"] for row in tried] == ["a", "b"] and tried[0]["settings"]["seed"] == 100
    with pytest.raises(InputError, match="seeds from 100 on"):
        choose.main(choose.Settings(seed=3, out_dir=tmp_path))


def test_the_textbook_has_a_row_for_each_step(tmp_path):
    table = textbook.main(textbook.Settings(seconds=0.1, seeds=(100,), out_dir=tmp_path))["rows"]
    assert list(table) == list(textbook.ROWS)
    assert all(row["epochs"] >= 1 and 0 < row["mean"] < 600 for row in table.values())


def test_time_to_quality_compares_both(tmp_path):
    size = {"runs": 1, "loop_epochs": 2, "schedules": (1,), "longest": 2}
    numbers = time_to_quality.main(time_to_quality.Settings(out_dir=tmp_path, **size))
    assert len(numbers["runs"][0]["loop"]) == len(numbers["runs"][0]["ours"]) == 2
    assert (tmp_path / "ex_1b_time_curve.png").exists()
    curve = [(1.0, 99.0), (2.0, 95.0), (3.0, 94.0)]
    assert time_to_quality.seconds_to(curve, 95.0) == 2.0
    assert time_to_quality.seconds_to(curve, 90.0) is None


def test_seeds_are_gathered_from_what_is_there(tmp_path):
    for seed in (0, 1):
        folder = tmp_path / f"seeds/{seed}"
        folder.mkdir(parents=True)
        for name in ("ex_1b", "ex_1b_plain"):
            (folder / f"{name}.json").write_text(json.dumps({"a": {"b": 2.0 + seed}, "c": "x"}))
    found = seeds.main(seeds.Settings(seeds=(0, 1), plain_seeds=(1,), out_dir=tmp_path))
    assert found["ex_1b"]["mean"] == {"a.b": 2.5}
    assert found["ex_1b"]["std"]["a.b"] == pytest.approx(0.5**0.5)
    assert found["ex_1b_plain"]["seeds"] == {1: {"a.b": 3.0}}


def test_only_default_settings_and_seed_0_are_published(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    monkeypatch.setattr(publish, "SHIPPED", tmp_path / "checkpoints")
    for name in ("figures", "checkpoints", "out"):
        (tmp_path / name).mkdir()
    model = digit_cvae(4, 2)
    (tmp_path / "out/ex_1c_2023.png").write_bytes(b"x")
    for seed in (1, 0):
        chosen = vars(ex_1b.Settings(seed=seed)) | {"out_dir": "out"}
        save(tmp_path / "out/ex_1b.pt", checkpoint(model, "ex_1b", settings=chosen))
        if seed:
            with pytest.raises(InputError, match="seed = 1, not 0"):
                publish.main(publish.Settings(tmp_path / "out"))
            assert not list((tmp_path / "figures").iterdir())
    copied = publish.main(publish.Settings(tmp_path / "out"))["copied"]
    assert len(copied) == 2 and (tmp_path / "figures/ex_1c_2023.png").exists()
    assert torch.load(tmp_path / "checkpoints/ex_1b.pt", weights_only=True)["kind"] == "ex_1b"


@pytest.fixture
def small_field(tmp_path):
    """Curves of a star field of 10 R_E, in the assignment's format."""
    settings = data.Simulation(width=10.0, pixels=200, curves=60)
    data.simulate(tmp_path / "data", settings)
    return str(tmp_path / "data")


TINY = {"steps": 24, "refine": 3, "components": 8, "mixture": 2, "couplings": 1, "hidden": 8}


def test_ablations_have_a_line_for_each_row_and_add_to_the_table(
    small_field, tmp_path, monkeypatch
):
    monkeypatch.setattr(ablations, "EACH", 30)
    monkeypatch.setattr(ablations.evaluation, "judged", lambda *_: 0.6)  # 40 classifiers, slow
    settings = ablations.Settings(**TINY, data_dir=small_field, out_dir=tmp_path)
    table = ablations.main(settings)["table"]
    assert [line["row"] for line in table] == list(ablations.ROWS)
    assert all(line["c2st"] == pytest.approx(0.6) for line in table)
    settings.rows = ("plain",)
    settings.seed = 101
    assert len(ablations.main(settings)["table"]) == len(ablations.ROWS) + 1
    settings.seed = 4
    with pytest.raises(InputError, match="seeds from 100 on"):
        ablations.main(settings)


def test_an_ablation_changes_one_thing_and_leaves_the_script_as_it_was():
    before = ex_2b.UNIT, ex_2b.prescribed_sd
    with ablations.changed("ours, one sd"):
        x = torch.randn(40, 300)
        levels = ex_2b.prescribed_sd(x, torch.ones(40), 0.001)
        assert levels[1.0][1] == pytest.approx(math.log(0.002)) and before[0] == ex_2b.UNIT
    with ablations.changed("ours, p in R_E"):
        assert ex_2b.UNIT == 1.0
    assert (ex_2b.UNIT, ex_2b.prescribed_sd) == before


def test_small_sources_are_drawn_five_ways(small_field, tmp_path, monkeypatch):
    for name, value in (("ASKED", (0.06, 0.08)), ("ADDED", (0.07,)), ("EACH", 30)):
        monkeypatch.setattr(small_sources, name, value)
    settings = small_sources.Settings(**TINY, data_dir=small_field, out_dir=tmp_path)
    rows = small_sources.main(settings)["rows"]
    assert len(rows) == 6 and all(set(row) == {"0.06", "0.08"} for row in rows.values())
    assert rows["given p, prior held at 0.1"] != rows["given p, prior free"]


def test_a_network_given_log_p_folds_to_the_same_curves():
    torch.manual_seed(0)
    x = 0.1 * torch.randn(60, 300).cumsum(1)
    whitening = Whitening(x, 8)
    model = small_sources.LogCVAE(StandardPrior(32), features=8, unit=4.0)
    folded = fold(model, whitening)
    z = torch.randn(5, 32)
    p = torch.tensor([0.01, 0.1, 0.3, 1.0, 5.0])
    expected = whitening.mean + (model.decode(z, p) * whitening.scale) @ whitening.axes
    assert torch.allclose(folded.decode(z, p), expected, atol=1e-4)


def test_each_row_of_the_table_of_kl_trains_and_is_added(tmp_path):
    rows = tuple(row for row in kl_table.ROWS if row != "torchebm CD")  # may not be installed
    settings = kl_table.Settings(rows[:1], seconds=0.1, seeds=(100,), out_dir=tmp_path)
    kl_table.main(settings)
    settings.rows = rows[1:]
    table = kl_table.main(settings)["table"]
    assert list(table) == list(rows) and all(
        row["seeds"]["100"]["updates"] for row in table.values()
    )
    with pytest.raises(InputError, match="give some of cd, "):
        kl_table.main(kl_table.Settings(("abacus",), out_dir=tmp_path))
