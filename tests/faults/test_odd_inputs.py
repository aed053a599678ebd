"""What a new user may type: a result, or one line that says what is wrong.  Nothing in between."""

import os
import re
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from conftest import ROOT, run_script

import ex_1c
import ex_2c
from common import langevin
from common import light_curves as lc
from common.runtime import priors

REFUSED = {  # what the one line says: command lines
    # flags that would do nothing
    "--{flag} has no effect without a number": [
        "ex_1c --examples --temperature .1", "ex_1c --examples --samples 3",
        "ex_1c --examples --samples 1", "ex_1c --examples --out a.png"],
    "--{flag} has no effect with --prior standard": [
        "ex_1b --prior standard --components 3", "ex_2a --prior standard --couplings 2",
        "ex_2b --prior standard --components 2"],
    "--{flag} has no effect with --prior gaussian": ["ex_1b --prior gaussian --components 3"],
    "--{flag} has no effect with --network dense": ["ex_1b --network dense --channels 3"],
    "--{flag} has no effect with --validate": ["ex_1b --validate --nll-digits 5"],
    "--{flag} has no effect without --p": ["ex_2c --n 5"],
    "--{flag} has no effect with --p": ["ex_2c --p 1 --data-dir x"],
    "--{flag} has no effect with --out": [
        "ex_2c --p 1 --out a.csv --out-dir b", "ex_1c 7 --out a.png --out-dir b"],
    "--out-dir has no effect without --map": ["simulate --out-dir b --curves 9"],
    "--chain: nce takes no Langevin steps": ["ex_3a --method nce --chain 3"],
    "--model: empty; leave it out for the default": ["ex_1c 5 --model="],
    "unrecognized arguments: --{flag}": [
        "ex_1c 7 --data-dir .", "ex_1c 7 --white", "ex_2a --device cuda", "ex_2d --device mps",
        "ex_3a --device cuda", "ex_3b --data-dir .", "ex_1b --epoch 3 --lr 2"],
    # data and models that are not there
    "--data-dir nowhere: no MNIST/raw/": ["ex_1b --data-dir nowhere"],
    "--data-dir nowhere: no labels.dat": [f"ex_2{x} --data-dir nowhere" for x in "bcd"],
    "--data-dir nowhere: no swiss_roll_2d.csv": ["ex_3a --data-dir nowhere"],
    "no checkpoint nowhere.pt": ["ex_1c 7 --model nowhere.pt", "ex_2c --p 1 --model nowhere.pt"],
    r"no checkpoint \.": ["ex_2d --model ."],
    "--model nowhere: no such file or folder": ["ex_3b --model nowhere"],
    "--model nowhere/ex_3a_cd.pt: no such file": ["ex_3b --model nowhere/ex_3a_cd.pt"],
    "no model for these --eps": ["ex_3b --model ."],
    # places that cannot be written, before the work
    "cannot write /proc/x": [
        "ex_1c 7 --out-dir /proc/x", "ex_1b --out-dir /proc/x", "ex_2b --smoke --out-dir /proc/x",
        "ex_2c --p 1 --out /proc/x/a.csv"],
    "must end in .png, .pdf or .svg": ["ex_1c 7 --out a.jpg"],
    "must end in .csv or .npz": ["ex_2c --p 1 --out a.txt"],
    # numbers
    "give more --pixels": ["simulate --pixels 16"],
    "must differ in their first six digits": ["ex_3b --eps 0.1 0.10000001"],
    "invalid number value: '{word}'": ["ex_2c --p 0.3;1.7", "ex_2c --p ,"],
    "p = 0: give source sizes": ["ex_2c --p 0,3"],
    r"p = 1e\+07: give source sizes": ["ex_2c --p 1e7"],
    "invalid int value: '1.5'": ["ex_2c --p 1 --n 1.5", "ex_1c 7 --seed 1.5"],
    "--temperature nan: must be finite": ["ex_1c 7 --temperature nan"],
    "must be at least 0": [
        "ex_1c 7 --temperature -1", "ex_1c 7 --seed -1", "ex_1b --learning-rate -1",
        "ex_2b --least -1"],
    "must be at least 0.05": ["ex_3a --noise 0"],
    "must be at least 1": [
        "ex_1c 7 --samples 0", "ex_1b --epochs 0", "ex_1b --latent 0", "ex_2c --p 1 --n -1"],
    "must be at least 2": ["ex_2b --batch 1", "ex_3b --chains 1", "simulate --curves 1"],
    "must be at least 4": ["ex_2d --each 1"],
    "'{word}' is not a number": ["ex_1c 20.23", "ex_1c two"],
    "give a number such as 2023": ["ex_1c"],
    "invalid choice: '{word}'": [
        "ex_1b --prior normal", "ex_3a --method adam", "simulate --profile disk"],
    "give distinct step sizes": ["ex_3b --eps 0.1 0.1"],
    "give distinct step sizes above 0": ["ex_3b --eps .1,0"],
    "magnifies without end": ["simulate --kappa 0.6"],
}  # fmt: skip


@pytest.mark.parametrize("line, said", [(line, said) for said in REFUSED for line in REFUSED[said]])
def test_refused_in_one_line_and_nothing_is_written(line, said, typed, tmp_path):
    flag, word = line.rpartition("--")[2].split(" ")[0], line.split(" ")[-1]
    status, output, error = typed(*line.split(" "))
    *before, last = error.splitlines()
    assert status == 2 and re.search(said.format(flag=flag, word=word), last), error
    assert all(text.startswith(("reading ", "warning: ")) for text in before) and output == ""
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


DONE = ["ex_1c 0", "ex_1c 007 42 --samples 2", "ex_1c 7 --temperature 0", "ex_1c 7 --out Ü.svg",
        "ex_2c --p 0.3,1.7 2 --n 1", "ex_2c --p 0.3, --n 1", "ex_2c --p 1e-6 --n 1",
        "ex_2a --smoke", "ex_2c --p 1 --n 1 --out a.npz"]  # fmt: skip


@pytest.mark.filterwarnings("ignore:p = 1e-06")
@pytest.mark.parametrize("line", DONE)
def test_results_name_the_model_and_their_files(line, typed, tmp_path):
    status, output, error = typed(*line.split(" "))
    assert status == 0, error
    assert "ex_2a" in line or error.startswith("reading the project's checkpoints/")
    named = [name for name in output.split() if name.endswith(("g", "n", "v"))]
    assert all((tmp_path / name).is_file() for name in named)


def test_p_beyond_the_trained_range_warns_on_the_command_line_and_in_python(tmp_path):
    done = run_script([ROOT / "ex_2c.py", "--p", "0.3", "9", "--n", "1"], tmp_path)
    assert done.returncode == 0 and "\nwarning: p = 9 R_E: not to be trusted" in done.stderr
    with pytest.warns(UserWarning, match="not to be trusted"):
        curves = ex_2c.generate([1e-6, 90.0, 100], 50, seed=0)
    assert np.isfinite(curves).all() and curves.min() >= 0
    for p in (9e-7, 110):
        with pytest.raises(ValueError, match="give source sizes"):
            ex_2c.generate([p], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ex_2c.generate([0.1, 5.62], 1)


def test_a_tilde_is_the_home_folder(typed, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert typed("ex_1c", "7", "--out", "~/x.png")[0] == 0
    assert (tmp_path / "home/x.png").is_file() and not (tmp_path / "~").exists()


SHIPPED = ["ex_2a --prior standard", "ex_2d --each 9", "ex_3b --eps .5",
           "ex_1c --examples --seed 1", "ex_2c --smoke", "ex_3b --repeats 1"]  # fmt: skip


@pytest.mark.parametrize("line", SHIPPED)
def test_shipped_figures_are_not_overwritten_by_other_settings(line, typed):
    status, _, error = typed(*line.split(" "), "--out-dir", ROOT)
    assert status == 2 and "would overwrite the shipped results" in error


CALLS = {
    "temperature = nan": lambda: ex_1c.generate([1], temperature=float("nan")),
    "temperature = -1": lambda: ex_1c.generate([1], temperature=-1),
    "seed = 1.5": lambda: ex_1c.generate([1], seed=1.5),
    "seed = True": lambda: ex_2c.generate([1.0], 1, seed=True),
    "seed = -1": lambda: ex_2c.generate([1.0], 1, seed=-1),
    r"such as \[2, 0, 2, 3\]": lambda: ex_1c.generate(2023),
    r"such as \[4, 2\]": lambda: ex_1c.generate("42"),
    "--device nope: not usable": lambda: ex_1c.generate([1], device="nope"),
    "p: give numbers above 0": lambda: ex_2c.generate([True], 1),
    "n = 1.5": lambda: ex_2c.generate([1.0], 1.5),
    "'two' is not a number": lambda: ex_1c.draw_number("two"),
    "'so long a number' is not": lambda: ex_1c.draw_number(10**5000),
    "ewald_width -1": lambda: lc.microlensing.deflection(lc.star_field(), [[1, 1]], -1),
    "y must be numbers above 0": lambda: priors.CouplingPrior(4, 2).sample(torch.tensor([0.0])),
    "CouplingPrior: y": lambda: priors.CouplingPrior(4, 2).log_prob(
        torch.zeros(1, 4), torch.tensor([float("nan")])),
    "width > 0": lambda: lc.star_field(width=float("nan")),
    "at least a pixel": lambda: lc.convolve(np.ones((16, 16)), 16.0, radius=0.5),
    r"map \(16, 15\)": lambda: lc.convolve(np.ones((16, 15)), 16.0, radius=2.0),
    "a width above 0": lambda: lc.convolve(np.ones((16, 16)), -16.0, radius=2.0),
    "tracks: n 2, samples 0": lambda: lc.tracks(2, 6.0, 4.5, 0),
    "length nan": lambda: lc.tracks(2, 6.0, float("nan"), 10),
    "read_tracks: points": lambda: lc.read_tracks(np.ones((4, 4)), 6.0, [[float("inf"), 0]]),
    "light comes from within 0.000": lambda: lc.convolve(
        np.ones((16, 16)), 16.0, 2.0, lambda r: np.exp(-((r / 1e-3) ** 2))),
    "temperature = 1": lambda: ex_1c.generate([2], temperature="1"),
    "steps = -3": lambda: langevin.langevin(torch.zeros(2, 2), torch.neg, 0.1, -3),
}  # fmt: skip


@pytest.mark.parametrize("message", CALLS)
def test_the_api_refuses_what_the_command_line_refuses(message):
    with pytest.raises(ValueError, match=message):
        CALLS[message]()


@pytest.mark.parametrize("command", [["ex_2c.py", "--p", "1"], ["-m", "report.overview"]])
def test_ctrl_c_while_importing_takes_one_line(command, tmp_path):
    usual = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    quiet = {"stderr": subprocess.PIPE, "text": True, "preexec_fn": usual}
    command = [sys.executable, *command, "--out-dir", tmp_path]
    started = subprocess.Popen(command, cwd=ROOT, **quiet)
    time.sleep(0.5)
    started.send_signal(signal.SIGINT)
    _, error = started.communicate(timeout=60)
    assert started.returncode == 130 and error.count("\n") == 1 and "Ctrl-C" in error, error


def test_without_the_environment_the_line_says_how_to_get_it(tmp_path):
    done = subprocess.run([sys.executable, "-S", ROOT / "ex_1c.py", "7"], cwd=tmp_path,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "packages are missing: run `make`, then `source .venv/bin/activate`\n"


def test_a_closed_a_full_and_a_plain_terminal(tmp_path):
    """The last is one without Greek letters."""
    run = f"cd '{tmp_path}'; '{sys.executable}' '{ROOT}/ex_2"
    done = subprocess.run(["sh", "-c", f"{run}c.py' --p 1 --n 1 >&- 2>&-"])
    assert done.returncode == 0 and (tmp_path / "figures/ex_2c_curves.csv").is_file()
    if os.path.exists("/dev/full"):
        command = ["sh", "-c", f"{run}a.py' > /dev/full"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    code = ["import sys, ex_2d", "from common.runtime import script",
            "row = {'spearman_rho': 1, 'knn_r2': 1}", "sys.stdout = open(1, 'w', encoding='ascii')",
            "rows = {f'UMAP, generated, {kind}': row for kind in ('curves', 'spectra')}",
            "script.run(lambda: print(ex_2d.answer(rows)))"]  # fmt: skip
    done = run_script(["-c", "\n".join(code)], tmp_path)
    assert done.returncode == 0 and "clear order" in done.stdout, done.stderr
