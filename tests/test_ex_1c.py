"""Number to picture, labels to images: the contract, the shipped digits, bad input."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

import ex_1c
from common import training
from common.digits import classifier, evaluation, figures
from common.digits.model import digit_cvae, load_model


def run(folder, *arguments):
    """Run ex_1c.py in `folder`; return the process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "ex_1c.py"), *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200
    )


def test_labels_of_any_kind_give_images_and_the_seed_repeats_them():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    images = ex_1c.generate([2, 0, 2, 3], seed=5)
    assert torch.equal(torch.rand(3), expected)  # the caller's random numbers are left alone
    assert images.shape == (4, 28, 28) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    for labels in ((2, 0, 2, 3), np.array([2, 0, 2, 3], np.uint64), torch.tensor([2, 0, 2, 3])):
        np.testing.assert_array_equal(ex_1c.generate(labels, seed=5), images)
    assert not np.array_equal(images[0], images[2])  # two versions of the digit 2
    assert not np.array_equal(ex_1c.generate([2, 0, 2, 3]), ex_1c.generate([2, 0, 2, 3]))
    assert ex_1c.generate([]).shape == (0, 28, 28)
    same = ex_1c.generate([2, 2], seed=1, one_hand=True)
    np.testing.assert_allclose(same[0], same[1], atol=1e-5)  # one hand writes one 2


@pytest.mark.parametrize("labels", [
    [10], [-1], [1.0], ["1"], [[1, 2]], [True], None, [2**70], torch.tensor([1.5]),
    torch.tensor([True]), np.array(3), "12", 2023,
])  # fmt: skip
def test_labels_that_are_no_digits_are_refused(labels):
    with pytest.raises(ValueError, match="labels: "):
        ex_1c.generate(labels)


@pytest.mark.parametrize("seed", [1.5, -1, "a", 2**63])
def test_seeds_that_are_no_whole_numbers_are_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        ex_1c.generate([1], seed=seed)


def test_a_one_hot_vector_is_noticed():
    with pytest.warns(UserWarning, match="one-hot"):
        ex_1c.generate([0, 0, 0, 1, 0, 0, 0, 0, 0, 0])


def test_a_number_is_its_digits_side_by_side_in_one_hand_or_several():
    for number, digits in ((2023, [2, 0, 2, 3]), ("007", [0, 0, 7])):
        for hand in (True, False):
            row = figures.number_row(ex_1c.generate(digits, seed=3, one_hand=hand))
            np.testing.assert_array_equal(ex_1c.draw_number(number, 3, one_hand=hand), row)
            assert row.shape[0] == 32 and row.max() > 0.9


@pytest.mark.parametrize(("number", "word"), [
    (-5, "'-' is no digit"), ("+5", r"'\+' is no digit"), ("", "there is no digit"),
    ("12 ", "no digit"),
    ("١٢", "no digit"), ("1e3", "'e' is no digit"), ("1" * 1001, "1,001 digits"),
    pytest.param(10**5000, "more than 1,000", id="10^5000"), (2.5, r"'\.' is no digit"),
])  # fmt: skip
def test_what_is_no_number_is_refused_with_the_reason(number, word):
    with pytest.raises(ValueError, match=word):
        ex_1c.draw_number(number)


@pytest.mark.parametrize("one_hand", [False, True])
def test_the_shipped_digits_are_the_ones_asked_for(one_hand):
    reader = classifier.shipped_classifier()
    if one_hand:
        found = evaluation.one_hand(load_model()[0], reader, hands=100)
        assert found["agreement"] >= 0.97 and found["ink"] >= 0.7 and found["slant"] >= 0.8
        return
    labels = torch.arange(10).repeat(200)
    images = torch.tensor(ex_1c.generate(labels, seed=0))
    assert classifier.accuracy(reader, images, labels) >= 0.98


def test_numbers_and_labels_become_pictures(tmp_path):
    done = run(tmp_path, "2023", "007", "--labels", "0", "2", "3")
    assert done.returncode == 0, done.stderr
    names = ["out/ex_1c_2023.png", "out/ex_1c_007.png", "out/ex_1c_labels.png"]
    assert done.stdout.split() == names
    assert "checkpoints/ex_1b.pt: 60,000 digits of MNIST" in done.stderr
    wide, narrow = (np.asarray(Image.open(tmp_path / name)) for name in names[:2])
    assert wide.shape[0] == narrow.shape[0] == 32 * 10 and wide.shape[1] > narrow.shape[1]
    assert wide[0].min() > 230 and wide.min() < 50  # black on white

    for out in ("a b é.png", "c.pdf"):
        done = run(tmp_path, "42", "1", "--samples", "3", "--out", out)
        assert done.returncode == 0 and done.stdout.strip() == out, done.stderr
    assert np.asarray(Image.open(tmp_path / "a b é.png")).shape[0] == 6 * 32 * 10


def test_a_number_of_a_thousand_digits_and_a_thousand_samples_can_be_opened():
    """Sizes of a page, and no more memory than half a gigabyte."""
    number = figures.number_row(ex_1c.generate([8] * 70, seed=1))
    assert all(
        (part[:, -1] == 0).all() for part in figures._wrapped(number, 300)
    )  # no digit is cut
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cell = np.random.default_rng(0).random((32, 22)).astype(np.float32)
    cell[:, -3:] = 0
    for rows in ([np.tile(cell, 1000)], [np.tile(cell, 4)] * 1000, [cell] * 20_000):
        page = figures.page(rows)
        height, width = page.shape
        assert max(height, width) < 15_000 and height * width <= 17_000_000
        assert min(height, width) > 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KB


def test_every_digit_stands_on_the_baseline():
    images = ex_1c.generate([1, 7, 4, 9], seed=1)
    images[0] = np.roll(images[0], 3, axis=0)
    images[1, 27, 10:18] = 1  # ink in the last row
    for image in images:
        row = figures.number_row([image])
        assert np.nonzero((row > figures.INK).any(1))[0].max() == 27
    blank = figures.number_row(np.zeros((1, 28, 28)))
    assert blank.shape[0] == 32 and blank.max() == 0


@pytest.mark.parametrize("arguments", [
    [], ["-5"], ["12x"], ["1", "--seed", "x"], ["1", "--frobnicate"], ["1", "--device", "abacus"],
    ["1", "--samples", "0"], ["1", "--out", "a.gif"], ["1", "--out", "file/a.png"],
    ["1" * 999, "--samples", "1000"], ["1", "--model", "none.pt"], ["--labels", "11"],
    ["1", "--labels", "2", "--out", "a.png"],
])  # fmt: skip
def test_bad_input_ends_with_status_2_and_writes_nothing(arguments, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ex_1c.py", *arguments])
    with pytest.raises(SystemExit) as end:
        ex_1c.run(ex_1c.main, ex_1c.Settings)
    output, error = capsys.readouterr()
    assert end.value.code == 2 and output == "" and error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]


def test_your_own_model_comes_first_and_a_wrong_one_is_named(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/ex_1b.pt").write_bytes(b"x")
    done = run(tmp_path, "1")
    assert done.returncode == 2 and "out/ex_1b.pt: damaged" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_shipped_weights_are_refused_by_a_network_with_another_activation():
    def relu(content):
        chosen = content["settings"]
        return digit_cvae(chosen["latent"], chosen["components"], activation=torch.relu)

    with pytest.raises(ValueError, match="activation"):
        training.load(training.SHIPPED / "ex_1b.pt", "ex_1b", relu)


def test_drawing_loads_neither_scipy_nor_numba_nor_umap():
    code = (
        "import sys, ex_1c; ex_1c.draw_number(1)\n"
        "print([m for m in ('scipy', 'numba', 'umap', 'sklearn', 'matplotlib.figure')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
