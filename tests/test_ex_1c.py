"""Number to picture, labels to images: the contract, the shipped digits, every bad input."""

import hashlib
import sys

import ex_1c
from common.digits import classifier, figures
from common.runtime import script

import numpy as np
import pytest
import torch
from conftest import ROOT, run_script
from matplotlib.image import imread

SCRIPT = ROOT / "ex_1c.py"


LABELS = [
    [10], [-1], [1.0], [2.5], ["1"], "12", [[1, 2]], [True], [True, 2], 7, None, [1, None],
    [2**70], [float("nan")], {1: 2}, torch.tensor([1.5]), torch.tensor([True]), np.array(3),
]  # fmt: skip


def test_labels_of_any_kind_give_images_and_the_seed_repeats_them():
    images = ex_1c.generate([2, 0, 2, 3], seed=5)
    assert images.shape == (4, 28, 28) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    kinds = (2, 0, 2, 3), np.array([2, 0, 2, 3], np.uint64), np.array([3, 2, 0, 2])[::-1]
    for labels in (*kinds, torch.tensor([2, 0, 2, 3]), [np.int64(2), np.int8(0), 2, 3]):
        np.testing.assert_array_equal(ex_1c.generate(labels, seed=5), images)
    assert not np.array_equal(images[0], images[2])  # two versions of the digit 2
    assert not np.array_equal(ex_1c.generate([2, 0, 2, 3]), ex_1c.generate([2, 0, 2, 3]))
    assert ex_1c.generate([]).shape == (0, 28, 28)
    assert ex_1c.generate(range(10)).shape == (10, 28, 28)


def test_the_callers_random_numbers_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    ex_1c.generate([1, 2], seed=9)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("labels", LABELS)
def test_labels_that_are_no_digits_are_refused(labels):
    with pytest.raises(ValueError, match="labels: "):
        ex_1c.generate(labels)


def test_generated_digits_are_the_ones_asked_for():
    labels = torch.arange(10).repeat(200)
    critic, _ = classifier.load()
    read, _ = classifier.predict(critic, torch.tensor(ex_1c.generate(labels, seed=0)))
    assert (read == labels).float().mean() >= 0.98


def test_a_number_becomes_a_picture(tmp_path):
    done = run_script([SCRIPT, "2023", "007", "--out-dir", "."], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["figures/ex_1c_2023.png", "figures/ex_1c_007.png"]
    wide, narrow = (imread(tmp_path / name)[..., 0] for name in done.stdout.split())
    assert wide.shape[0] == narrow.shape[0] == 32 * 10 and wide.shape[1] > narrow.shape[1]
    assert wide[0].min() > 0.9 and wide.min() < 0.2  # black on white


def test_out_samples_and_several_numbers(tmp_path):
    out = tmp_path / "a b é.png"
    again = hashlib.sha256()
    for _ in range(2):
        done = run_script([SCRIPT, "42", "1", "--samples", "3", "--out", out], tmp_path)
        assert done.returncode == 0 and done.stdout.strip() == str(out), done.stderr
        digest, again = again, hashlib.sha256(out.read_bytes())
    assert digest.digest() == again.digest()  # the same seed, the same bytes
    picture = imread(out)[..., 0]
    assert picture.shape[0] == 6 * 32 * 10
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_every_digit_stands_on_the_baseline():
    images = ex_1c.generate([1, 7, 4, 9], seed=1)
    images[0] = np.roll(images[0], 3, axis=0)
    images[1, 27, 10:18] = 1  # ink in the last row
    for image in images:
        row = figures.number_row([image])
        assert np.nonzero((row > figures.INK).any(1))[0].max() == 27
    blank = figures.number_row(np.zeros((1, 28, 28)))
    assert blank.shape[0] == 32 and blank.max() == 0


def test_digits_are_new_for_every_number_and_row(tmp_path):
    settings = ex_1c.Settings(numbers=("77", "77"), samples=2)
    rows = [row for _, row in ex_1c.rows_of(settings, "cpu")]
    assert len(rows) == 4
    assert len({row.tobytes() for row in rows}) == 4


BAD = ["abc", "-5", "+5", "1.5", "", " 12", "12 ", "1\n", "١٢", "²", "1" * 1001, "0x1F", "1e3"]


@pytest.fixture
def bad(tmp_path, monkeypatch, capsys):
    """Run the script with arguments it must refuse: one line, status 2, nothing written."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        with pytest.raises(SystemExit) as end:
            script.run(ex_1c.main)
        one_line(end.value.code, *capsys.readouterr(), tmp_path)

    return run


def one_line(status, out, err, folder):
    assert status == 2, (status, err)
    assert out == "" and err.count("\n") == 1 and len(err) < 400
    assert err.startswith("ex_1c.py: error: ")
    left = [path for path in folder.rglob("*") if path.suffix in (".png", ".tmp")]
    assert not [path for path in left if path.is_file()]


@pytest.mark.parametrize("number", BAD)
def test_text_that_is_no_number_takes_one_line(number, bad):
    bad(number)


FLAGS = [
    [], ["1", "--samples", "0"], ["1", "--seed", "x"], ["1", "--frobnicate"], ["--out", "a.png"],
    ["1", "--device", "abacus"], ["1", "--device", "meta"], ["1", "--threads", "-1"],
    ["1", "--threads", "9" * 30], ["1" * 1000, "--samples", "1000"], ["1", "--a\nb"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", FLAGS)
def test_nothing_to_draw_and_bad_flags_take_one_line(arguments, bad):
    bad(*arguments)


PLACES = ["file/a.png", "folder.png", "/proc/nowhere/a.png", "a.xyz", "a.pgf", "a", "/dev/null",
          "é" * 200 + ".png", "**"]  # fmt: skip


@pytest.mark.parametrize("out", PLACES)
def test_unwritable_places_take_one_line(out, bad, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.png").mkdir()
    bad("1", "--out", out)
    assert (tmp_path / "file").read_text() == "x"


def test_a_missing_checkpoint_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("common.runtime.files.ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"no checkpoint .*python ex_1b\.py"):
        ex_1c.generate([1])
