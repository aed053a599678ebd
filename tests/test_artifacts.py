"""Files are written whole or not at all, and read with a clear word; settings become flags."""

import json
import os
from dataclasses import dataclass

import pytest
import torch

from common import distances
from common.runtime import checkpoints, files, results
from common.runtime.device import pick_device
from common.runtime.errors import InputError
from common.runtime.options import Common, option, parse


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    mark = files._mark(tmp_path / "a.json")
    dead, living = tmp_path / f"{mark}999999999.x.tmp", tmp_path / f"{mark}{os.getpid()}.x.tmp"
    dead.touch()
    living.touch()
    results.save_json(tmp_path / "a.json", {})
    assert not dead.exists() and living.exists()


def test_json_is_sorted_rounded_and_never_nan(tmp_path):
    content = {"b": float("nan"), "a": torch.tensor([1 / 3]), 1: (True, None, 2)}
    text = results.save_json(tmp_path / "a.json", content).read_text()
    assert json.loads(text) == {"1": [True, None, 2], "a": [0.333333], "b": None}
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o666 & ~umask


def test_checkpoints_come_back_rounded_alike_and_know_their_exercise(tmp_path):
    """Half precision on disk, float32 in memory, and the same values in both."""
    model, other = torch.nn.Linear(3, 4), torch.nn.Linear(3, 4)
    checkpoints.round_to_fp16(model)
    content = {"exercise": "x", "weights": checkpoints.to_fp16(model.state_dict())}
    path = checkpoints.save(tmp_path / "x.pt", content)
    found = checkpoints.load(path, "x", "python x.py")
    checkpoints.restore(other, found, path, "y")
    assert found["torch"] and other.weight.dtype == torch.float32
    assert torch.equal(other.weight, model.weight)
    with pytest.raises(InputError, match="is a checkpoint of x, not of y"):
        checkpoints.load(path, "y", "python y.py")
    torch.nn.init.constant_(model.weight, 1e6)
    with pytest.raises(InputError, match="weight"):
        checkpoints.round_to_fp16(model)


@dataclass(frozen=True)
class Settings(Common):
    rate: float = option(0.5, "a rate, 50% by default", minimum=0, maximum=1, smoke=0.1)
    kind: str = option("a", "a kind", choices=["a", "b"])
    fast: bool = option(False, "be fast")


def test_flags_follow_the_fields_and_smoke_changes_what_is_not_given():
    assert parse(Settings, "", []) == Settings()
    settings = parse(Settings, "", ["--rate", "0.25", "--kind", "b", "--fast", "--seed", "3"])
    assert settings == Settings(rate=0.25, kind="b", fast=True, seed=3)
    assert parse(Settings, "", ["--smoke"]) == Settings(smoke=True, rate=0.1, out_dir="smoke")
    assert parse(Settings, "", ["--smoke", "--rate", "0.7", "--out-dir", "x"]).rate == 0.7


@pytest.mark.parametrize("arguments", ["--rate 2", "--rate nan", "--rate inf", "--kind c", "--no",
                                       "--seed -1", "--rate", "x", "--rate 1e400"])  # fmt: skip
def test_bad_flags_take_one_line_and_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        parse(Settings, "", arguments.split())
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and ": error: " in error


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="try --device cpu"):
        pick_device("cuda:99")


def test_frechet_distance_of_gaussians():
    """N(0, I) against N(m, s^2 I): |m|^2 + d (s - 1)^2; and 0 for a set against itself."""
    torch.manual_seed(0)
    a = torch.randn(20_000, 8)
    b = 2 * torch.randn(20_000, 8) + 0.5
    assert distances.frechet_distance(a, a) < 1e-6
    assert abs(distances.frechet_distance(a, b) - (8 * 0.25 + 8)) < 0.3


def test_a_long_name_and_one_with_stars_can_be_written(tmp_path):
    for name in ("x" * 250 + ".txt", "**[a].txt"):
        path = files.atomic_write(tmp_path / name, lambda temporary: temporary.write_text("x"))
        assert path.read_text() == "x"
