"""The studies of exercise 1 at tiny size, and what may be published."""

import json

import pytest
import torch

import ex_1b
from common.digits import data
from common.digits.model import digit_cvae
from common.training import InputError, checkpoint, save
from studies import choose, publish, seeds, textbook, time_to_quality


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    few = data._first(data.bundled(), 240)
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
