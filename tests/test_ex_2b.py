"""Exercise 2(b): trainings learn, stop and go on; with the loss wrong they miss their bound."""

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import HEADER, ROOT
from matplotlib.axes import Axes

import ex_2b
from common import microlensing as ml
from common.light_curves import data, evaluation, figures
from common.light_curves.model import draw, load_model, prior_of
from common.training import InputError, checkpoint

SMALL = {"steps": 240, "refine": 150, "components": 32, "mixture": 4, "couplings": 2, "hidden": 32}
SMALL["sd"] = 0.05  # blunt: a wrong KL counts for more
TINY = SMALL | {"steps": 24, "refine": 6, "components": 8, "mixture": 2, "hidden": 8, "batch": 20}
PLAIN = {"plain": True, "steps": 480, "refine": 3}


@functools.cache
def curves():
    """Return training and test curves of two sizes, {p: (n, 300)} each, of one small star field."""
    field = ml.star_field(0.4, 0.4, width=25.0, seed=5)
    mu = ml.magnification_map(field, 1250, 3.0) / field.mean_magnification
    points = ml.tracks(1400, field.width, 4.5, 300, seed=1)
    train = {}
    test = {}
    for p in (0.3, 1.0):
        disc = ml.convolve(mu, field.width, p)
        both = ml.read_tracks(disc, field.width, points).astype(np.float32)
        train[p], test[p] = both[:1000], both[1000:]
    return train, test


def train(limit=None, unfinished=None, key=None, seed=0, **settings):
    """Train on `curves`; return (model, history)."""
    settings = ex_2b.Settings(**settings)
    x, p = data.stacked(curves()[0], limit)
    torch.manual_seed(seed)
    fit = ex_2b.fit_plain if settings.plain else ex_2b.fit
    return fit(prior_of(vars(settings), 0.3, 1.0), x, p, settings, unfinished, key)


def loss(model) -> float:
    return evaluation.elbo(model, curves()[1])["negative_elbo"]


# --- learning -----------------------------------------------------------------------------------

BOUNDS = {"ours": (SMALL, -600.0), "plain": (PLAIN, -700.0)}  # -ELBO of new curves, nats


@pytest.mark.parametrize("name", BOUNDS)
def test_a_short_training_reaches_its_bound_and_its_loss_is_minus_the_elbo(name):
    settings, most = BOUNDS[name]
    model, history = train(**settings)
    assert loss(model) < most
    assert history[-1][2] < history[0][2]
    assert history[-1][2] == pytest.approx(loss(model), abs=15)


RIGHT = ex_2b.whitened_elbo
MISTAKES = {
    "KL averaged over latents": lambda log_likelihood, kl: (log_likelihood, kl / 32),
    "likelihood averaged over samples": lambda log_likelihood, kl: (log_likelihood / 300, kl),
    "sign of the KL": lambda log_likelihood, kl: (log_likelihood, -kl),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_noticed(mistake, monkeypatch):
    """The loss is then far from minus the ELBO of common/cvae.py."""
    monkeypatch.setattr(ex_2b, "whitened_elbo", lambda *a: MISTAKES[mistake](*RIGHT(*a)))
    model, history = train(**SMALL | {"refine": 3})
    assert history[-1][2] != pytest.approx(loss(model), abs=25)


@pytest.mark.parametrize(("dtype", "kept"), [(torch.float32, True), (torch.float16, False)])
def test_a_checkpoint_keeps_the_bound(dtype, kept):
    """float16 would not: the first layer of the encoder holds the whitening."""
    model, _ = train(**SMALL | {"components": 64, "sd": 0.001})
    before = loss(model)
    checkpoint(model, "ex_2b", dtype)
    assert (abs(loss(model) - before) < 20) == kept


def test_ours_draws_curves_that_vary_as_true_ones_do():
    model, _ = train(**SMALL)
    for p, true in curves()[1].items():
        drawn = draw(model, torch.tensor([p]), 400)[0].numpy()
        assert evaluation.structure_distance(drawn, true) < 0.4  # an untrained model: above 1


def test_the_prescribed_sd_is_what_components_leave_out():
    torch.manual_seed(0)
    smooth = torch.randn(200, 3) @ torch.randn(3, 300)  # three components hold all of it
    rough = smooth + 0.2 * torch.randn(200, 300)
    x = torch.cat([smooth, rough])
    p = torch.tensor([0.1, 1.0]).repeat_interleave(200)
    levels = ex_2b.prescribed_sd(x, p, least=0.01)
    start, end = ex_2b.at_sizes(levels, p)
    assert start[0].exp() == pytest.approx(float(smooth.std()), rel=1e-3)
    assert end[0].exp() == pytest.approx(0.01, rel=0.02)
    assert 0.17 < end[-1].exp() < 0.23


def test_no_curve_is_both_trained_on_and_held_out():
    n = torch.arange(6000)
    for count, expected in ((1, 0), (2, 1), (71, 7), (2000, 200), (5499, 500), (6000, 500)):
        (kept,), (held,) = ex_2b.split_off(n[:count])
        assert expected - 50 <= len(held) <= expected
        assert sorted([*kept, *held]) == list(range(count))


# --- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("rounds", [3, ex_2b.ROUNDS + 1])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(plain, rounds, tmp_path, monkeypatch):
    """It is stopped in the first loop, or in the second."""
    if plain and rounds > ex_2b.ROUNDS:
        pytest.skip("one loop")
    settings = TINY | ({"plain": True} if plain else {})
    whole, history = train(20, **settings)
    file = tmp_path / "a.unfinished.pt"
    last = rounds if rounds <= ex_2b.ROUNDS else ex_2b.ROUNDS + 3  # a round has one step, then two

    real = torch.optim.Adam.step
    steps = 0

    def stop(*arguments, **keywords):
        nonlocal steps
        steps += 1
        if steps > last:
            raise KeyboardInterrupt
        return real(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(20, file, {}, **settings)
    assert file.exists()
    again, continued = train(20, file, {}, seed=1, **settings)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert [row[:3] for row in continued] == [row[:3] for row in history]


def test_the_best_state_is_kept():
    model = torch.nn.Linear(1, 1)
    best = torch.nn.Linear(1, 1)
    losses = []
    for number, held_out in enumerate((5.0, 2.0, 3.0, float("inf"))):
        torch.nn.init.constant_(model.weight, number)
        losses.append(held_out)
        ex_2b.keep_best(model, best, losses)
    assert best.weight == 1


def test_overfitting_takes_one_line(capsys):
    losses = [-100.0 * k for k in range(1, 7)] + [1e6] * (ex_2b.ROUNDS - 6)
    history = [[0.0, 0.0, loss, 0.1] for loss in losses]
    ex_2b.warn_of_overfitting(history, ex_2b.Settings(steps=2400))
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "least after 600 of 2400 steps (-600 nats)" in error
    ex_2b.warn_of_overfitting([[0, 0, -float(k), 0] for k in range(24)], ex_2b.Settings())
    assert capsys.readouterr().err == ""


def test_few_curves_are_modelled_by_their_best_state():
    """72 curves.  Of the last state -ELBO of new curves is 3e5 nats."""
    model, history = train(36, **SMALL | {"steps": 1200, "sd": 0.001})
    assert loss(model) < -200
    assert history[ex_2b.ROUNDS - 1][2] > 1000  # without a watch on held-out curves


def test_the_picture_of_a_training_has_a_panel_for_each_size():
    history = [[-100.0 * k, k, -90.0 * k, 1.0] for k in range(1, 28)]
    for count in (1, 2, 4):
        pairs = {0.1 * (1 + k): (np.ones((3, 300)), np.ones((3, 300))) for k in range(count)}
        axes = figures.training(history, pairs, "about").findobj(Axes)
        assert [len(axis.lines) for axis in axes if axis.axison] == [2, 1] + [6] * count


# --- the script ---------------------------------------------------------------------------------


def own_folder(path, sizes, n=12):
    """Write n smooth random curves of each size in the assignment's format; return the folder."""
    (path / "1").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = []
    for disc, p in enumerate(sizes, start=1):
        steps = 0.02 * random.normal(size=(n, 300)).cumsum(1)
        np.savetxt(path / f"1/{disc:02d}.dat", np.exp(steps), delimiter=",")
        rows.append(f"1 {disc} 0.4 0.4 0 {p}\n")
    (path / "labels.dat").write_text(HEADER + "".join(rows))
    return path


@pytest.mark.parametrize(("count", "plain"), [(1, False), (2, True), (5, False), (7, True)])
def test_own_curves_of_one_size_or_more_are_trained_on_measured_and_drawn(count, plain, tmp_path):
    folder = own_folder(tmp_path / "own", [0.2 * (1 + k) for k in range(count)])
    before = sorted(folder.rglob("*"))
    sizes = {"steps": 24, "refine": 3} if plain else TINY
    settings = ex_2b.Settings(**sizes | {"plain": plain}, data_dir=str(folder), out_dir=tmp_path)
    numbers = ex_2b.main(settings)
    name = "ex_2b_plain" if plain else "ex_2b"
    assert not numbers["simulated"] and "own curves" in numbers["about"]
    written = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert written == [f"{name}.json", f"{name}.pt", f"{name}_training.png", f"{name}_training.svg"]
    found = json.loads((tmp_path / f"{name}.json").read_text())
    assert found["test"]["by_p"] and len(found["history"]) >= ex_2b.ROUNDS
    assert sorted(folder.rglob("*")) == before  # nothing is written beside data
    model, content, _ = load_model(tmp_path / f"{name}.pt")
    assert content["trained_p"] == pytest.approx(found["trained_p"])
    assert draw(model, torch.tensor([0.2]), 3).isfinite().all()
    weights = torch.load(tmp_path / f"{name}.pt", weights_only=True)["weights"]
    assert weights["encoder.first.weight"].dtype == torch.float32


def test_the_checkpoint_is_saved_before_anything_is_measured(tmp_path, monkeypatch):
    """A crash while measuring loses no training: the same command measures again."""
    folder = own_folder(tmp_path / "own", [0.2, 0.3])
    settings = ex_2b.Settings(**TINY, data_dir=str(folder), out_dir=tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "measure", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ex_2b.main(settings)
    assert (tmp_path / "out/ex_2b.pt").exists()
    before = torch.load(tmp_path / "out/ex_2b.pt")["weights"]
    ex_2b.main(settings)
    after = torch.load(tmp_path / "out/ex_2b.pt")["weights"]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not [*tmp_path.rglob("*unfinished*")]


def test_two_processes_train_one_model(tmp_path):
    """torchrun: held-out -ELBO is that of one process, within noise."""
    folder = tmp_path / "own"
    (folder / "1").mkdir(parents=True)
    for disc, some in enumerate(curves()[0].values(), start=1):
        np.savetxt(folder / f"1/{disc:02d}.dat", some[:200], fmt="%.6f", delimiter=",")
    (folder / "labels.dat").write_text(HEADER + "1 1 0.4 0.4 0 0.3\n1 2 0.4 0.4 0 1.0\n")
    flags = [f"--{name}={value}" for name, value in (SMALL | {"refine": 60}).items()]
    losses = []
    for count in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={count}", str(ROOT / "ex_2b.py"), *flags]
        command += ["--data-dir", str(folder), "--out-dir", str(tmp_path / f"{count}")]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads((tmp_path / f"{count}/ex_2b.json").read_text())
        losses.append(found["history"][ex_2b.ROUNDS - 1][2])
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


REFUSED = {
    "--rate has no effect with --plain": {"plain": True, "rate": 1e-2},
    "--steps 3: give a number": {"steps": 3},
    "--data-dir nowhere: no labels.dat": {"data_dir": "nowhere"},
    "--sd nan": {"sd": float("nan")},
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_settings_are_refused_in_one_line(message, tmp_path):
    with pytest.raises(InputError, match=message):
        ex_2b.main(ex_2b.Settings(**REFUSED[message], out_dir=tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_size_that_is_not_there_cannot_be_held_out(tmp_path):
    folder = own_folder(tmp_path / "own", [0.2, 0.3])
    with pytest.raises(InputError, match="no such size"):
        ex_2b.main(ex_2b.Settings(data_dir=str(folder), hold_out=(9.0,), out_dir=tmp_path))
