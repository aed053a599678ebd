"""Every script runs with --smoke in an empty folder, without data or network; lint."""

import json
import shutil
import statistics
import subprocess
import sys

import pytest
from conftest import ROOT, run_script

import ex_1b
import ex_2b
from common.digits import classifier
from common.digits import evaluation as digit_evaluation
from common.digits import model as digit_model
from common.runtime import files

# script: (arguments, files that must be there afterwards)
SMOKE = {
    "ex_1b.py": ([], ["checkpoints/ex_1b.pt", "figures/ex_1b.png", "figures/ex_1b.json"]),
    "ex_1c.py": (["2023", "--examples"], ["figures/ex_1c_2023.png", "figures/ex_1c.json"]),
    "ex_2a.py": ([], ["figures/ex_2a.png", "figures/ex_2a.json"]),
    "ex_2b.py": ([], ["checkpoints/ex_2b.pt", "figures/ex_2b.png", "figures/ex_2b.json"]),
    "ex_2c.py": ([], ["figures/ex_2c.png", "figures/ex_2c.json"]),
    "ex_2d.py": ([], ["figures/ex_2d.png", "figures/ex_2d.json"]),
    "ex_3a.py": ([], ["checkpoints/ex_3a_cd.pt", "figures/ex_3a_cd.png"]),
    "ex_3b.py": ([], ["figures/ex_3b.png", "figures/ex_3b_densities.png", "figures/ex_3b.json"]),
}


def test_every_exercise_has_a_smoke_run():
    assert {path.name for path in ROOT.glob("ex_*.py")} == set(SMOKE)


@pytest.mark.parametrize("script", SMOKE)
def test_smoke(script, tmp_path):
    arguments, files = SMOKE[script]
    done = run_script([ROOT / script, *arguments, "--smoke", "--threads", "1"], tmp_path)
    assert done.returncode == 0, done.stderr
    for name in files:
        assert (tmp_path / "smoke" / name).stat().st_size > 0, name
    assert [path.name for path in tmp_path.iterdir()] == ["smoke"]
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob("*.resume.pt"))
    for path in tmp_path.rglob("*.json"):
        assert json.loads(path.read_text())["source"]


@pytest.mark.parametrize("script", SMOKE)
def test_help_shows_the_run_line_and_every_flag(script, tmp_path):
    done = run_script([ROOT / script, "--help"], tmp_path)
    assert done.returncode == 0 and f"python {script}" in done.stdout
    for flag in ("--seed", "--threads", "--out-dir", "--smoke"):
        assert flag in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SMOKE)
def test_importing_has_no_effect(script, tmp_path):
    done = run_script(["-c", f"import {script.removesuffix('.py')}"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


MODULES = {
    "report.build": "solutions.pdf",
    "report.overview": "figures/overview.png",
    "benchmarks.protocol": "figures/ex_3b_protocol.json",
    "benchmarks.curves": "figures/ex_2b_curves.json",
    "benchmarks.judges": "figures/ex_2b_judges.json",
    "common.light_curves": "data/labels.dat",
    "common.digits.classifier": "checkpoints/judge.pt",
}


def test_seeds_are_trained_once_and_summed_up(tmp_path):
    """One seed, then two: the first is kept as it is."""
    code = "from benchmarks import seeds; seeds.VARIANTS = {'ex_3a': {'': []}}; seeds.main()"
    arguments = ["-c", code, "ex_3a", "--smoke", "--scratch", "s", "--threads", "1"]
    tables = []
    for seeds in (["--seeds", "0"], []):
        done = run_script([*arguments, *seeds], tmp_path)
        assert done.returncode == 0, done.stderr
        text = (tmp_path / "smoke/figures/ex_3a_seeds.json").read_text()
        tables.append(json.loads(text)["ex_3a"])
    first, second = tables
    assert [*first["seeds"]] == ["0"] and [*second["seeds"]] == ["0", "1"]
    assert first["seeds"].items() <= second["seeds"].items()
    key = "kl_nats"
    values = [run[key] for run in second["seeds"].values()]
    assert len(set(values)) == 2
    assert second["mean"][key] == pytest.approx(statistics.mean(values), rel=1e-4)
    assert second["std"][key] == pytest.approx(statistics.stdev(values), rel=1e-4)


@pytest.mark.parametrize("module", MODULES)
def test_modules_with_a_command_run_in_smoke_size(module, tmp_path):
    done = run_script(["-m", module, "--smoke", "--threads", "1"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "smoke" / MODULES[module]).exists()


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_lint(command):
    done = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=ROOT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


OVERWRITE = [
    ["ex_1b.py", "--latent", "8"], ["ex_1b.py", "--seed", "1"], ["ex_2b.py", "--smoke"],
    ["ex_3a.py", "--smoke"], ["ex_3a.py", "--steps", "7"],
]  # fmt: skip


@pytest.mark.parametrize("command", OVERWRITE, ids=lambda command: " ".join(command))
def test_a_shipped_checkpoint_is_not_overwritten_by_other_settings(command, tmp_path):
    """It takes another --out-dir, or --force."""
    shutil.copytree(ROOT / "checkpoints", tmp_path / "checkpoints")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.pt")}
    done = run_script([ROOT / command[0], *command[1:], "--out-dir", "."], tmp_path)
    assert done.returncode == 2 and "--force" in done.stderr, done.stderr
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.pt")} == before


def test_the_checkpoint_is_saved_before_anything_is_measured(tmp_path, monkeypatch):
    """A crash while measuring or drawing leaves the training on disk."""

    def crash(*arguments, **keywords):
        raise RuntimeError("while measuring")

    for module in (ex_1b, ex_2b):
        monkeypatch.setattr(module.evaluation, "measure", crash)
        with pytest.raises(RuntimeError, match="while measuring"):
            module.main(["--smoke", "--threads", "1", "--out-dir", str(tmp_path)])
        assert (tmp_path / f"checkpoints/{module.__name__}.pt").is_file()


def test_the_shipped_model_is_as_good_as_its_numbers_on_real_digits(real_mnist):
    """-ELBO of all test digits, measured anew with other random numbers; and the judge."""
    model, _ = digit_model.load()
    numbers = json.loads((ROOT / "figures/ex_1b.json").read_text())
    images, labels = real_mnist.test_images, real_mnist.test_labels
    found = digit_evaluation.elbo(model, images, labels, draws=1, seed=99)["negative_elbo_nats"]
    assert abs(found - numbers["test"]["negative_elbo_nats"]) < 0.3
    assert classifier.accuracy(classifier.load()[0], images, labels) >= 0.99


def test_shipped_numbers_belong_to_the_shipped_checkpoints():
    """Every JSON of a trained model records the hash of the checkpoint that it speaks of."""
    owner = {"ex_1b_bounds": "ex_1b", "ex_1c": "ex_1b", "ex_1b_priors": "ex_1b"}
    owner |= dict.fromkeys(("ex_2c", "ex_2d", "ex_2b_judges"), "ex_2b")
    for path in (ROOT / "figures").glob("*.json"):
        numbers = json.loads(path.read_text(encoding="utf-8"))
        stamps = dict(numbers.get("checkpoints_sha256", {}))
        if "checkpoint_sha256" in numbers:
            stamps[owner.get(path.stem, path.stem)] = numbers["checkpoint_sha256"]
        made_without = ("overview", "ex_2a", "ex_2_simulator")
        assert (
            stamps
            or path.stem in made_without
            or path.stem.endswith(("_curves", "_seeds", "_choice"))
        )
        for name, stamp in stamps.items():
            assert stamp == files.sha256(ROOT / f"checkpoints/{name}.pt"), (path.name, name)
