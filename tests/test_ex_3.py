"""ex_3a and ex_3b: the shipped models evaluated, chains reproducible, bad input in one line."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import ROOT, run_script

import ex_3a
import ex_3b
from common import ebm, swiss_roll
from common.swiss_roll import evaluation as roll_evaluation


@pytest.mark.parametrize(("method", "most"), [("cd", 0.02), ("jump", 0.0008)])
def test_the_shipped_densities_meet_their_targets(method, most):
    """Evaluated, not read: the exact divergence, and no mass far from the roll."""
    found = roll_evaluation.ExactKL(0.2)(ebm.load(ROOT / f"checkpoints/ex_3a_{method}.pt"))
    assert 0 <= found["kl_nats"] <= most and found["log10_mass_beyond_20"] < -6


@pytest.mark.parametrize(("eps", "most"), [(0.1, 0.2), (0.01, 0.18), (0.001, 0.25)])
def test_the_shipped_short_run_models_meet_their_targets(eps, most):
    """Sampled by the protocol: the sliced W2 over that of the oracle, 20 sampling seeds."""
    settings = ex_3b.Settings(repeats=20)
    score = ebm.load(ROOT / f"checkpoints/ex_3a_short_{eps:g}.pt").score
    found = [
        roll_evaluation.measure(ex_3b.protocol(score, eps, settings, seed), truth)
        for seed in range(20)
        for truth in [swiss_roll.sample(1000, 0.2, 1000 + 2 * seed)]
    ]
    table = json.loads((ROOT / "figures/ex_3a_ablation.json").read_text())["oracle_sw2"]
    sw2, oracle = roll_evaluation.summary(found)["sw2"]["mean"], table[f"eps_{eps:g}"]
    assert sw2 <= most * oracle and all(row["diverged"] == 0 for row in found)


def test_a_chain_is_the_same_however_many_there_are():
    settings = ex_3b.Settings(steps=5, chains=1500)
    many = ex_3b.protocol(swiss_roll.score, 0.01, settings, 1)
    few = ex_3b.protocol(swiss_roll.score, 0.01, replace(settings, chains=100), 1)
    assert many.shape == (1500, 2) and torch.equal(many[:100], few)
    assert not torch.equal(ex_3b.protocol(swiss_roll.score, 0.01, settings, 2), many)


@pytest.mark.parametrize("method", ex_3a.RECIPES)
def test_every_method_trains_and_repeats_itself(method):
    settings = ex_3a.Settings(method=method, steps=8, batch=32, width=8, chain=2)
    data = swiss_roll.sample(500)
    weights = [ex_3a.fit(data, settings)[0].last.weight for _ in range(2)]
    assert torch.equal(*weights) and weights[0].isfinite().all()


BAD = [
    ("ex_3b.py", ["--eps", "0"]), ("ex_3b.py", ["--eps", "-0.1"]), ("ex_3b.py", ["--eps", "x"]),
    ("ex_3b.py", ["--steps", "0"]), ("ex_3b.py", ["--chains", "1"]),
    ("ex_3a.py", ["--method", "magic"]), ("ex_3a.py", ["--step-size", "0"]),
    ("ex_3a.py", ["--noise", "nan"]), ("ex_3a.py", ["--steps", "-1"]),
]  # fmt: skip


@pytest.mark.parametrize(("script", "arguments"), BAD)
def test_bad_input_takes_one_line_and_exit_status_2(script, arguments, tmp_path):
    done = run_script([ROOT / script, *arguments], tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bad_csv_and_a_foreign_checkpoint_are_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/swiss_roll_2d.csv").write_text("1,2\nthree,4\n")
    done = run_script([ROOT / "ex_3a.py", "--smoke"], tmp_path)
    assert done.returncode == 2 and "line 2" in done.stderr, done.stderr
    (tmp_path / "checkpoints").mkdir()
    foreign = (ROOT / "checkpoints/judge.pt").read_bytes()
    (tmp_path / "checkpoints/ex_3a_cd.pt").write_bytes(foreign)
    done = run_script([ROOT / "ex_3b.py", "--smoke", "--out-dir", "."], tmp_path)
    assert done.returncode == 2 and "python ex_3a.py" in done.stderr, done.stderr
