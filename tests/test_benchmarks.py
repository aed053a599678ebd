"""Every comparison runs in smoke size, and each fast path gives what the plain one gives."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from conftest import ROOT, run_script

from benchmarks import chains, epoch, magnification, scaling, timing
from benchmarks.__main__ import NAMES
from common import ebm
from common.digits import data as digit_data

NEEDS = {"chains": "torchebm", "energies": "torchebm"}


def here(package):
    """Skip the test, saying why, if a package that only comparisons need is not installed."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is missing: pip install -r requirements-bench.txt")


@pytest.mark.parametrize("name", NAMES)
def test_every_comparison_runs_in_smoke_size(name, tmp_path):
    if name in NEEDS:
        here(NEEDS[name])
    done = run_script(["-m", "benchmarks", name, "--smoke", "--threads", "1"], tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "smoke/benchmarks/results.json").read_text())[name]
    assert found["rows"] and found["hardware"] and found["smoke"]
    for row in found["rows"]:
        value = row["value"]
        assert value["min"] <= value["median"] <= value["max"] and value["repeats"] >= 1


def test_every_module_that_measures_is_listed():
    measuring = {path.stem for path in (ROOT / "benchmarks").glob("*.py")
                 if "def measure(settings, device)" in path.read_text()}  # fmt: skip
    assert measuring == set(NAMES)


def test_a_missing_package_takes_one_line(tmp_path):
    code = (
        "import sys; sys.modules['torchebm'] = None; from benchmarks.__main__ import main;"
        "from common.runtime import script; script.run(lambda: main(['chains', '--smoke']))"
    )
    done = run_script(["-c", code], tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "pip install -r requirements-bench.txt" in done.stderr


def test_an_unknown_comparison_takes_one_line(tmp_path):
    done = run_script(["-m", "benchmarks", "speed"], tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "chains" in done.stderr


def test_turns_alternate_and_ratios_are_taken_round_by_round():
    order = []
    sides = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = timing.alternate(sides, 3)
    assert "".join(order) == "ab" + "abbaab" and len(seconds["a"]) == 3
    assert timing.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert timing.spread([3, 1, 2]) == {"median": 2, "min": 1, "max": 3, "repeats": 3}


def test_torchebm_does_the_same_steps():
    """20 steps with the same random numbers, within float32."""
    here("torchebm")
    torch.manual_seed(0)
    model = ebm.LogDensity(16).requires_grad_(False)
    both = [chains.peer(model, torch.device("cpu")), chains.own(model)]
    assert chains.disagreement(both, 3 * torch.randn(20, 2), 20) < 1e-4


def test_both_training_loops_see_the_same_digits():
    data = digit_data.bundled()
    image, label = epoch.as_torchvision(data)[5]
    assert torch.equal(image[0], data.train_images[5] / 255) and label == data.train_labels[5]


def test_deflections_of_the_plain_way_are_the_sum_over_stars():
    """One star in the middle of a wide pixel grid: a ray at distance d is deflected by 1 / d."""
    counts, slopes = np.zeros((1, 100, 100), np.int32), np.array([1.0, 1.0])
    star, x = np.array([[5.0, 5.0]]), np.array([7.0])
    magnification.shoot_plainly(counts, x, np.array([5.0]), star, slopes, 10.0)
    assert counts[0, 65, 50] == 1 and counts.sum() == 1  # 7 - 1 / 2 = 6.5


def test_exponents_of_powers_are_those_powers():
    sizes = [10, 100, 1000, 10000]
    assert scaling.exponent(sizes, [3e-6 * n**1.5 for n in sizes]) == pytest.approx(1.5)
