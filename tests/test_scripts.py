"""Scripts of exercise 3 with --smoke in an empty folder, without data or network."""

import json

import pytest
from conftest import ROOT, run_script

import ex_3a
import ex_3b
from common.runtime import checkpoints
from common.runtime.options import parse

SMOKE = {  # script: files that must be there afterwards, and no others
    "ex_3a.py": ["ex_3a_cd.json", "ex_3a_cd.png", "ex_3a_cd.pt"],
    "ex_3b.py": ["ex_3b.json", "ex_3b.png", "ex_3b_densities.png"],
}


def test_every_exercise_has_a_smoke_run():
    assert {path.name for path in ROOT.glob("ex_3*.py")} == set(SMOKE)


@pytest.mark.parametrize("script", SMOKE)
def test_smoke(script, tmp_path):
    """All that is written lies flat in smoke/, beside the simulated data/."""
    done = run_script([ROOT / script, "--smoke"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["smoke"]
    written = sorted(path.name for path in (tmp_path / "smoke").iterdir() if path.is_file())
    assert written == SMOKE[script]
    assert all((tmp_path / "smoke" / name).stat().st_size > 0 for name in written)
    assert {path.name for path in (tmp_path / "smoke").iterdir() if path.is_dir()} <= {"data"}
    for name in written:
        if name.endswith(".json"):
            assert json.loads((tmp_path / "smoke" / name).read_text())["source"]


@pytest.mark.parametrize("script", SMOKE)
def test_help_shows_the_run_line_and_every_flag(script, tmp_path):
    done = run_script([ROOT / script, "--help"], tmp_path)
    assert done.returncode == 0 and f"python {script}" in done.stdout
    for flag in ("--seed", "--threads", "--out-dir", "--smoke"):
        assert flag in done.stdout
    assert "--force" not in done.stdout and list(tmp_path.iterdir()) == []


def test_importing_has_no_effect(tmp_path):
    code = f"import {', '.join(name.removesuffix('.py') for name in SMOKE)}"
    done = run_script(["-c", code], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_model_is_the_one_given_else_that_in_the_out_dir_else_the_shipped_one(tmp_path):
    shipped = ROOT / "checkpoints/ex_3a_cd.pt"
    assert checkpoints.find("ex_3a_cd", "", tmp_path) == checkpoints.find("ex_3a_cd") == shipped
    own = tmp_path / "ex_3a_cd.pt"
    own.write_text("a model")
    assert checkpoints.find("ex_3a_cd", "", tmp_path) == own
    assert str(checkpoints.find("ex_3a_cd", "other.pt", tmp_path)) == "other.pt"
    assert parse(ex_3b.Settings, "", []).out_dir == "out"


@pytest.mark.parametrize(("variable", "flags", "threads"), [
    (None, [], (1, 0)), ("3", [], (3, 3)), ("3,2", [], (3, 3)), ("3", ["--threads", "2"], (2, 2)),
    ("many", [], (1, 0)), ("0", [], (1, 0)), ("3", ["--threads", "0"], (0, 0)),
])  # fmt: skip
def test_omp_num_threads_counts_unless_threads_is_given(variable, flags, threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    found = [parse(module.Settings, "", flags).threads for module in (ex_3a, ex_3b)]
    assert tuple(found) == threads
