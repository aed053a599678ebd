"""Every script runs with --smoke in an empty folder, without data or network; lint."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT, run_script

from common import artifacts

# script: (arguments, files that must be there afterwards)
SMOKE = {
    "ex_1b.py": ([], ["checkpoints/ex_1b.pt", "figures/ex_1b.png", "figures/ex_1b.json"]),
    "ex_1c.py": (["2023", "--examples"], ["figures/ex_1c_2023.png", "figures/ex_1c.json"]),
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


def test_the_judge_trains_in_smoke_size(tmp_path):
    done = run_script(["-m", "common.judge", "--smoke", "--threads", "1"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "smoke/checkpoints/judge.pt").exists()


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
        assert "data_loader" not in text and "umap" not in text, path


def test_shipped_numbers_belong_to_the_shipped_checkpoints():
    for name in ("ex_1b", "ex_1c"):
        numbers = json.loads((ROOT / f"figures/{name}.json").read_text())
        assert numbers["checkpoint_sha256"] == artifacts.sha256(ROOT / "checkpoints/ex_1b.pt")
        assert numbers["source"] == "MNIST"
