"""Digits: the bundled ones, MNIST's files read and damaged, binarisation."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_idx

import ex_1b
from common.digits import classifier
from common.digits import data as digit_data
from common.runtime.errors import InputError


def test_bundled_digits_are_real_28x28_and_held_out(bundled):
    assert bundled.train_images.shape == (1500, 28, 28)
    assert bundled.test_images.shape == (297, 28, 28)
    assert bundled.train_images.dtype == torch.uint8 and bundled.train_labels.dtype == torch.int64
    assert torch.bincount(bundled.test_labels).min() >= 28  # every class is held out alike
    assert "not MNIST" in bundled.source
    seen = {image.numpy().tobytes() for image in bundled.train_images}
    assert not any(image.numpy().tobytes() in seen for image in bundled.test_images)


def test_settings_are_chosen_on_the_last_training_digits(bundled, tmp_path):
    """--validate logs -ELBO of digits it did not train on, once a setting, and writes no more."""
    held = digit_data.hold_out(bundled)
    assert torch.equal(held.train_images, bundled.train_images[:1250])
    assert torch.equal(held.test_labels, bundled.train_labels[1250:]) and "1,250" not in held.source
    arguments = ["--validate", "--smoke", "--threads", "1", "--out-dir", str(tmp_path)]
    for latent in ("2", "3", "2"):
        row = ex_1b.main([*arguments, "--latent", latent])
    (path,) = [path for path in tmp_path.rglob("*.*") if path.is_file()]
    tried = json.loads((tmp_path / "figures/ex_1b_choice.json").read_text())["tried"]
    assert path.name == "ex_1b_choice.json" and [t["settings"]["latent"] for t in tried] == [3, 2]
    assert row["test"]["images"] == 250 and row["train"]["images"] == 1250


def test_files_are_read_as_they_are_where_the_flag_or_the_variable_says(
    small_mnist, monkeypatch, capsys
):
    monkeypatch.setenv("MNIST_ROOT", str(small_mnist))
    assert len(digit_data.load().train_images) == 40
    monkeypatch.setenv("MNIST_ROOT", str(small_mnist / "nothing"))
    data = digit_data.load(str(small_mnist))
    assert data.source == f"own digits in {small_mnist}" and not capsys.readouterr().err
    raw = (small_mnist / "MNIST/raw/t10k-images-idx3-ubyte").read_bytes()
    assert data.test_images.numpy().tobytes() == raw[16:] and len(data.test_labels) == 20
    data, warning = digit_data.load(limit=100), capsys.readouterr().err  # without files: others
    assert warning.startswith("warning: ") and warning.count("\n") == 1
    assert data.source == f"{digit_data.BUNDLED}, first 100" and len(data.train_images) == 100


def test_a_failed_download_leaves_nothing(tmp_path, monkeypatch, capsys):
    def refuse(*arguments, **keywords):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(digit_data.torchvision_mnist(), "MNIST", refuse)
    monkeypatch.setenv("MNIST_ROOT", str(tmp_path / "new"))
    assert digit_data.load().source == digit_data.BUNDLED
    assert not [p for p in (tmp_path / "new").rglob("*") if p.is_file() and p.name != ".lock"]
    assert capsys.readouterr().err.count("\n") == 1


def test_a_download_completes_a_folder_with_missing_files(small_mnist, tmp_path, monkeypatch):
    source, target = small_mnist, tmp_path / "target"
    shutil.copytree(source / "MNIST", target / "MNIST")
    (target / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    real = digit_data.torchvision_mnist().MNIST

    def fake(root, train, download):
        if download:
            shutil.copytree(source / "MNIST", Path(root) / "MNIST")
        return real(root=root, train=train, download=False)

    monkeypatch.setattr(digit_data.torchvision_mnist(), "MNIST", fake)
    monkeypatch.setenv("MNIST_ROOT", str(target))
    assert len(digit_data.load().test_labels) == 20
    assert [path.name for path in target.iterdir()] == ["MNIST"]


def test_real_digits_are_known_by_their_checksums(real_mnist):
    assert real_mnist.source == "MNIST" and len(real_mnist.train_images) == 60_000


DIGITS = np.arange(30) % 10
DAMAGED = {
    "label 10": np.where(np.arange(30) == 2, 10, DIGITS), "other counts": DIGITS[:29],
    "no 7": np.where(DIGITS == 7, 1, DIGITS), "other size": DIGITS,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_contents_that_are_no_digits_are_refused(small_mnist, damage):
    images = np.zeros((30, 27 if damage == "other size" else 28, 28), np.uint8)
    write_idx(small_mnist, images, DAMAGED[damage])
    with pytest.raises(InputError, match="damaged"):
        digit_data.read(small_mnist)


def test_binarisation_is_exact_at_the_ends_and_unbiased_between():
    torch.manual_seed(0)
    grey = torch.arange(256, dtype=torch.uint8).expand(20_000, 256)
    x = digit_data.binarise(grey)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert x[:, 0].sum() == 0 and x[:, 255].min() == 1
    expected = torch.arange(256) / 255
    error = (expected * (1 - expected) / len(x)).sqrt()
    assert ((x.mean(0) - expected).abs() <= 5 * error).all()


def test_shift_moves_every_image_by_at_most_two_pixels():
    torch.manual_seed(0)
    images = torch.zeros(500, 28, 28)
    images[:, 10, 12] = 1
    at = digit_data.shift(images, most=2).nonzero()
    assert len(at) == 500 and at[:, 1].unique().tolist() == [8, 9, 10, 11, 12]
    assert at[:, 2].unique().tolist() == [10, 11, 12, 13, 14]


def test_a_classifier_of_other_digits_is_not_reused(monkeypatch, bundled):
    """Not even where the name of the folder begins alike."""
    asked = []
    monkeypatch.setattr(classifier, "train_classifier", lambda *a, **k: asked.append(k) or "new")
    content = {"source": "own digits in mine", "settings": {"epochs": 3}}
    monkeypatch.setattr(classifier, "load", lambda *a: ("old", content))
    settings = ex_1b.Settings()
    for source, wanted in (("mine", "old"), ("mine, first 100", "old"), ("mine2", "new")):
        data = dataclasses.replace(bundled, source=f"own digits in {source}")
        assert classifier.for_digits(data, settings, "cpu")[0] == wanted, source
    assert len(asked) == 1
