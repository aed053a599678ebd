"""A training that is stopped goes on to the same bits; files are whole or not there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn

from common import training
from common.training import InputError

TRAIN = """
import ex_1b
from common.digits import data
from common.training import run
ex_1b.load = lambda *_: data._first(data.bundled(), 400)
ex_1b.classifier_for = lambda *_: (None, None)
numbers = {"test": {"negative_elbo": 0.0}, "nll": {"nll": 0.0}, "samples": {"agreement": 0.0}}
ex_1b.evaluation.measure = lambda *_: numbers
ex_1b.evaluation.examples = lambda *_: {}
ex_1b.figures.of_training = lambda *_: {}
run(ex_1b.main, ex_1b.Settings)
"""
TINY = ["--epochs", "6"]
OURS = ["--batch", "50", "--components", "3"]


def start(folder, *more, script=TRAIN, root=ROOT):
    """Start ex_1b.py on 400 digits of scikit-learn, without its measuring, in `folder`."""
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ours = [] if "--plain" in more else OURS
    command = [sys.executable, "-c", script, *TINY, *ours, *more]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=hear_ctrl_c,
    )  # fmt: skip


def hear_ctrl_c():
    """Let a process hear SIGINT, as in a terminal, also when the tests run in the background.

    A shell starts background commands with SIGINT ignored, and what they start inherits that.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process):
    _, error = process.communicate(timeout=200)
    return process.returncode, error.replace("\r", "\n").splitlines()[-1:]


def weights(folder, name="ex_1b"):
    return torch.load(folder / f"out/{name}.pt", weights_only=True)["weights"]


@pytest.mark.parametrize("plain", [[], ["--plain"]])
def test_a_killed_training_goes_on_to_the_same_bits(plain, tmp_path):
    name = "ex_1b_plain" if plain else "ex_1b"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert finish(start(whole, *plain))[0] == 0
    unfinished = killed / f"out/{name}.unfinished.pt"
    process = start(killed, *plain)
    deadline = time.monotonic() + 100
    while not unfinished.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = torch.load(unfinished, weights_only=True)["done"]
    assert 1 <= done < 6  # else nothing was interrupted
    status, error = finish(start(killed, *plain))
    assert status == 0, error
    assert not unfinished.exists()
    for key, value in weights(whole, name).items():
        assert torch.equal(value, weights(killed, name)[key]), key


def test_an_edited_loss_other_settings_and_other_data_are_not_continued(tmp_path):
    """Each is refused by name; --restart begins anew."""
    stop = TRAIN.replace("run(ex", "ex_1b.checkpoint = lambda *a, **k: exit(3)\nrun(ex")
    assert finish(start(tmp_path, script=stop))[0] == 3  # trained, nothing saved
    status, error = finish(start(tmp_path, "--latent", "5"))
    assert status == 2 and "--latent changed; add --restart" in error[0]
    status, error = finish(start(tmp_path, script=TRAIN.replace("400", "300")))
    assert status == 2 and "the data changed" in error[0]

    copy = tmp_path / "copy"
    for name in ("common", "checkpoints"):
        shutil.copytree(ROOT / name, copy / name)
    shutil.copy(ROOT / "ex_1b.py", copy)
    path = copy / "common/cvae.py"
    path.write_text(path.read_text().replace("kl = q.log_prob(z) -", "kl = 0.5 * q.log_prob(z) -"))
    status, error = finish(start(tmp_path, root=copy))
    assert status == 2 and "the code of cvae.py changed" in error[0]
    assert finish(start(tmp_path, "--latent", "5", "--restart"))[0] == 0


def test_ctrl_c_takes_one_line_and_the_same_command_goes_on(tmp_path):
    process = start(tmp_path)
    while not (tmp_path / "out/ex_1b.unfinished.pt").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    status, error = finish(process)
    assert status == 130 and "the same command goes on" in error[0]
    assert finish(start(tmp_path))[0] == 0


def test_two_processes_train_one_model(tmp_path):
    """torchrun: the loss is that of one process, within noise."""
    losses = {}
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        script = folder / "run.py"
        script.write_text(TRAIN)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={count}", str(script), *OURS, "--epochs", "20"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        losses[count] = loss_of(folder / "out/ex_1b.pt")
    assert losses[2] == pytest.approx(losses[1], rel=0.05)


def loss_of(path):
    from common.digits import data, evaluation
    from common.digits.model import load_model

    model, _, _ = load_model(str(path))
    return evaluation.elbo(model, *data.bundled().test)["negative_elbo"]


class Half(nn.Linear):
    def probe(self):
        return self(torch.ones(1, 3)).detach()


def test_a_checkpoint_comes_back_and_others_are_refused_in_a_line(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "a.pt"
    model = Half(3, 2)
    training.save(path, training.checkpoint(model, "ex_9", about="x"))
    again, content = training.load(path, "ex_9", lambda _: Half(3, 2))
    assert torch.equal(again.weight, model.weight) and content["about"] == "x"

    class Other(Half):
        def probe(self):
            return super().probe().relu() + 1

    for kind, build, word in (
        ("ex_8", lambda _: Half(3, 2), "no checkpoint of ex_8"),
        ("ex_9", lambda _: Half(4, 2), "does not fit"),
        ("ex_9", lambda _: Other(3, 2), "another output"),
    ):
        with pytest.raises(InputError, match=word):
            training.load(path, kind, build)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="damaged"):
        training.load(path, "ex_9", lambda _: Half(3, 2))
    with pytest.raises(InputError, match="no such file"):
        training.load(tmp_path / "b.pt", "ex_9", lambda _: Half(3, 2))


def test_weights_that_are_not_finite_are_not_saved():
    model = Half(3, 2)
    model.weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match="diverged"):
        training.checkpoint(model, "ex_9")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    training.save(path, {"x": torch.zeros(3)})
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", lambda *_: Path("/dev/full").write_bytes(b"x" * 10**5))
        with pytest.raises(InputError, match="No space left"):
            training.save(path, {"x": torch.ones(3)})
    assert torch.load(path)["x"].sum() == 0
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_disk_that_is_full_at_the_last_save_loses_no_training(tmp_path):
    full = "import torch\nwhole = torch.save\ndef save(content, path):\n"
    full += "    if 'unfinished' not in str(path):\n"
    full += "        open('/dev/full', 'w', 1).write('x' * 9999)\n"
    full += "    whole(content, path)\ntorch.save = save\nrun(ex"
    status, error = finish(start(tmp_path, script=TRAIN.replace("run(ex", full)))
    assert status == 2 and "cannot write out/ex_1b.pt: No space left" in error[0]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["ex_1b.unfinished.pt"]
    assert finish(start(tmp_path))[0] == 0 and (tmp_path / "out/ex_1b.pt").exists()


def test_json_is_whole_rounded_and_without_nan(tmp_path):
    numbers = {"a": np.float32(1 / 3), "b": [float("nan")], "c": {"d": torch.tensor([1.0])}}
    training.write(tmp_path, "x", numbers)
    found = json.loads((tmp_path / "x.json").read_text())
    assert found == {"a": 0.333333, "b": [None], "c": {"d": [1.0]}}
    with pytest.raises(InputError, match="cannot write"):
        training.write(tmp_path / "x.json", "y", numbers)
