"""Every script runs with --smoke in an empty folder, without data or network; lint."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT, run_script

from common import artifacts, digit_metrics, digits, judge

# script: (arguments, files that must be there afterwards)
SMOKE = {
    "ex_1b.py": ([], ["checkpoints/ex_1b.pt", "figures/ex_1b.png", "figures/ex_1b.json"]),
    "ex_1c.py": (["2023", "--examples"], ["figures/ex_1c_2023.png", "figures/ex_1c.json"]),
    "ex_2a.py": ([], ["figures/ex_2a.png", "figures/ex_2a.json"]),
    "ex_2b.py": ([], ["checkpoints/ex_2b.pt", "figures/ex_2b.png", "figures/ex_2b.json"]),
    "ex_2c.py": ([], ["figures/ex_2c.png", "figures/ex_2c_distances.png", "figures/ex_2c.json"]),
    "ex_2d.py": ([], ["figures/ex_2d.png", "figures/ex_2d.json"]),
    "ex_3a.py": ([], ["checkpoints/ex_3a_cd.pt", "figures/ex_3a_cd.json"]),
    "ex_3b.py": ([], ["figures/ex_3b.png", "figures/ex_3b_better.png", "figures/ex_3b.json"]),
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
    for flag in ("--seed", "--device", "--threads", "--data-dir", "--out-dir", "--smoke"):
        assert flag in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SMOKE)
def test_importing_has_no_effect(script, tmp_path):
    done = run_script(["-c", f"import {script.removesuffix('.py')}"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


MODULES = {
    "common.report": "solutions.pdf",
    "common.overview": "figures/overview.png",
    "common.light_curves": "data/labels.dat",
    "benchmarks.ex_2b_ablation": "figures/ex_2b_ablation.json",
    "benchmarks.ex_3a_ablation": "figures/ex_3a_ablation.json",
    "common.judge": "checkpoints/judge.pt",
    "benchmarks.ex_1b_ablation": "figures/ex_1b_ablation.json",
}


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


def test_imports_go_one_way():
    """Helpers never import a script, and only the script that needs it imports umap."""
    for path in (ROOT / "common").glob("*.py"):
        text = path.read_text()
        assert "import ex_" not in text and "from ex_" not in text, path
        assert "import data_loader" not in text and "import umap" not in text, path


def test_the_shipped_model_is_as_good_as_its_numbers_on_real_digits(real_mnist):
    """-ELBO of all test digits, measured anew with other random numbers; and the judge."""
    model, content = digits.load()
    images, labels = real_mnist.test_images, real_mnist.test_labels
    found = digit_metrics.elbo(model, images, labels, draws=1, seed=99)["negative_elbo_nats"]
    assert abs(found - content["metrics"]["test"]["negative_elbo_nats"]) < 0.3
    assert judge.accuracy(judge.load()[0], images, labels) >= 0.99


def test_shipped_numbers_belong_to_the_shipped_checkpoints():
    for name in ("ex_1b", "ex_1c"):
        numbers = json.loads((ROOT / f"figures/{name}.json").read_text())
        assert numbers["checkpoint_sha256"] == artifacts.sha256(ROOT / "checkpoints/ex_1b.pt")
        assert numbers["source"] == "MNIST"
