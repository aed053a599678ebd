"""What a new user may type: a result, or one line that says what is wrong.  Nothing in between."""

import re
import warnings

import numpy as np
import pytest
import torch
from conftest import ROOT, run_script

import ex_2c
from common import langevin
from common import light_curves as lc
from common.runtime import priors

REFUSED = {  # a command line: what the one line says
    # flags that would do nothing
    "ex_2a --prior standard --couplings 2": "--couplings has no effect with --prior standard",
    "ex_2b --prior standard --components 2": "--components has no effect with --prior standard",
    "ex_2c --n 5": "--n has no effect without --p",
    "ex_2c --p 1 --out a.csv --out-dir b": "--out-dir has no effect with --out",
    "simulate --out-dir b --curves 9": "--out-dir has no effect without --map",
    "ex_3a --method nce --chain 3": "--chain: nce takes no Langevin steps",
    "ex_2a --device cuda": "unrecognized arguments: --device",
    "ex_3a --force": "unrecognized arguments: --force",
    # data and models that are not there
    "ex_2b --data-dir nowhere": "--data-dir nowhere: no labels.dat",
    "ex_3a --data-dir nowhere": "--data-dir nowhere: no swiss_roll_2d.csv",
    "ex_3a --smoke --resume": "no unfinished training .*; leave --resume out",
    "ex_2c --p 1 --model nowhere.pt": "no checkpoint nowhere.pt",
    "ex_2d --model=": "--model: empty; leave it out for the default",
    "ex_3b --model nowhere": "--model nowhere: no such file or folder",
    "ex_3b --model .": "no model for these --eps",
    # places that cannot be written, before the work
    "ex_2b --smoke --out-dir /proc/x": "cannot write /proc/x",
    "ex_2c --p 1 --out a.txt": "must end in .csv or .npz",
    # numbers
    "simulate --pixels 16": "give more --pixels",
    "simulate --kappa 0.6": "magnifies without end",
    "ex_2c --p 0.3;1.7": "invalid number value: '0.3;1.7'",
    "ex_2c --p 0,3": "p = 0: give source sizes",
    "ex_2c --p 1 --n 1.5": "invalid int value: '1.5'",
    "ex_2b --least nan": "--least nan: must be finite",
    "ex_2d --each 1": "must be at least 4",
    "ex_3a --method adam": "invalid choice: 'adam'",
    "ex_3b --eps 0.1 0.10000001": "must differ in their first six digits",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused_in_one_line_and_nothing_is_written(line, typed, tmp_path):
    status, output, error = typed(*line.split(" "))
    *before, last = error.splitlines()
    assert status == 2 and re.search(REFUSED[line], last), error
    assert all(text.startswith(("reading ", "warning: ")) for text in before) and output == ""
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


DONE = ["ex_2a --smoke", "ex_2c --p 0.3,1.7 2 --n 1", "ex_2c --p 1e-6 --n 1",
        "ex_2c --p 1 --n 1 --out Ü.npz", "ex_2c --p 1 --n 1 --out ~/a.csv"]  # fmt: skip


@pytest.mark.filterwarnings("ignore:p = 1e-06")
@pytest.mark.parametrize("line", DONE)
def test_results_name_the_model_and_their_files(line, typed, tmp_path, monkeypatch):
    """A tilde is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    status, output, error = typed(*line.split(" "))
    assert status == 0, error
    assert "ex_2a" in line or error.startswith("reading checkpoints/ex_2b.pt: simulated, ")
    named = [name for name in output.split() if name.endswith((".png", ".json", ".csv", ".npz"))]
    assert named and all((tmp_path / name).is_file() for name in named)
    assert not (tmp_path / "~").exists()


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


CALLS = {
    "seed = 1.5": lambda: ex_2c.generate([1.0], 1, seed=1.5),
    "seed = True": lambda: ex_2c.generate([1.0], 1, seed=True),
    "seed = -1": lambda: ex_2c.generate([1.0], 1, seed=-1),
    "--device nope: not usable": lambda: ex_2c.generate([1.0], 1, device="nope"),
    "p: give numbers above 0": lambda: ex_2c.generate([True], 1),
    "n = 1.5": lambda: ex_2c.generate([1.0], 1.5),
    "ewald_width -1": lambda: lc.microlensing.deflection(lc.star_field(), [[1, 1]], -1),
    "y must be numbers above 0": lambda: priors.CouplingPrior(4, 2).sample(torch.tensor([0.0])),
    "CouplingPrior: y": lambda: priors.CouplingPrior(4, 2).log_prob(
        torch.zeros(1, 4), torch.tensor([float("nan")])),
    "width > 0": lambda: lc.star_field(width=float("nan")),
    "at least a pixel": lambda: lc.convolve(np.ones((16, 16)), 16.0, radius=0.5),
    r"map \(16, 15\)": lambda: lc.convolve(np.ones((16, 15)), 16.0, radius=2.0),
    "tracks: n 2, samples 0": lambda: lc.tracks(2, 6.0, 4.5, 0),
    "length nan": lambda: lc.tracks(2, 6.0, float("nan"), 10),
    "read_tracks: points": lambda: lc.read_tracks(np.ones((4, 4)), 6.0, [[float("inf"), 0]]),
    "light comes from within 0.000": lambda: lc.convolve(
        np.ones((16, 16)), 16.0, 2.0, lambda r: np.exp(-((r / 1e-3) ** 2))),
    "steps = -3": lambda: langevin.langevin(torch.zeros(2, 2), torch.neg, 0.1, -3),
}  # fmt: skip


@pytest.mark.parametrize("message", CALLS)
def test_the_api_refuses_what_the_command_line_refuses(message):
    with pytest.raises(ValueError, match=message):
        CALLS[message]()
