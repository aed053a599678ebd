"""Number to picture, labels to images: the contract, the shipped digits, every bad input."""

import shutil

import numpy as np
import pytest
import torch
from matplotlib.image import imread

import ex_1c
from common.digits import classifier, figures


def test_labels_of_any_kind_give_images_and_the_seed_repeats_them():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    images = ex_1c.generate([2, 0, 2, 3], seed=5)
    assert torch.equal(torch.rand(3), expected)  # the caller's random numbers are left alone
    assert images.shape == (4, 28, 28) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    kinds = (2, 0, 2, 3), np.array([2, 0, 2, 3], np.uint64), np.array([3, 2, 0, 2])[::-1]
    for labels in (*kinds, torch.tensor([2, 0, 2, 3]), [np.int64(2), np.int8(0), 2, 3]):
        np.testing.assert_array_equal(ex_1c.generate(labels, seed=5), images)
    assert not np.array_equal(images[0], images[2])  # two versions of the digit 2
    assert not np.array_equal(ex_1c.generate([2, 0, 2, 3]), ex_1c.generate([2, 0, 2, 3]))
    assert ex_1c.generate([]).shape == (0, 28, 28)
    assert ex_1c.generate(range(10), device="auto").shape == (10, 28, 28)


@pytest.mark.parametrize("labels", [
    [10], [-1], [1.0], [2.5], ["1"], [[1, 2]], [True], [True, 2], None, [1, None], [2**70],
    [float("nan")], {1: 2}, torch.tensor([1.5]), torch.tensor([True]), np.array(3),
    "", b"12", np.zeros((0, 3)), [10**5000], [torch.tensor(True)],
])  # fmt: skip
def test_labels_that_are_no_digits_are_refused(labels):
    with pytest.raises(ValueError, match="labels: "):
        ex_1c.generate(labels)


def test_a_number_is_its_digits_side_by_side():
    for number, digits in ((2023, [2, 0, 2, 3]), ("007", [0, 0, 7])):
        row = figures.number_row(ex_1c.generate(digits, seed=3))
        np.testing.assert_array_equal(ex_1c.draw_number(number, seed=3), row)
        assert row.shape[0] == 32 and row.max() > 0.9


def test_generated_digits_are_the_ones_asked_for():
    labels = torch.arange(10).repeat(200)
    critic, _ = classifier.load()
    read, _ = classifier.predict(critic, torch.tensor(ex_1c.generate(labels, seed=0)))
    assert (read == labels).float().mean() >= 0.98


def test_numbers_become_pictures(typed, tmp_path):
    status, output, error = typed("ex_1c", "2023", "007", "--out-dir", ".")
    assert (status, output.split()) == (0, ["figures/ex_1c_2023.png", "figures/ex_1c_007.png"])
    wide, narrow = (imread(tmp_path / name)[..., 0] for name in output.split())
    assert wide.shape[0] == narrow.shape[0] == 32 * 10 and wide.shape[1] > narrow.shape[1]
    assert wide[0].min() > 0.9 and wide.min() < 0.2  # black on white
    shutil.rmtree(tmp_path / "figures")
    out, written = tmp_path / "a b é.png", []
    for _ in range(2):
        status, output, error = typed("ex_1c", "42", "1", "--samples", "3", "--out", out)
        assert status == 0 and output.strip() == str(out), error
        written.append(out.read_bytes())
    assert written[0] == written[1]  # the same seed, the same bytes
    assert imread(out).shape[0] == 6 * 32 * 10
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


def test_digits_are_new_for_every_number_and_row():
    settings = ex_1c.Settings(numbers=("77", "77"), samples=2)
    rows = [row.tobytes() for _, row in ex_1c.rows_of(settings, "cpu")]
    assert len(rows) == len({*rows}) == 4


BAD = [[n] for n in ("-5", "+5", "", " 12", "12 ", "1\n", "١٢", "²", "1" * 1001, "0x1F", "1e3")]
BAD += [["1", *flags] for flags in (
    ["--seed", "x"], ["--frobnicate"], ["--device", "abacus"], ["--device", "meta"], ["--a\nb"],
    ["--threads", "-1"], ["--threads", "9" * 30], ["1" * 999, "--samples", "1000"])]  # fmt: skip
BAD += [["1", "--out", place] for place in (
    "file/a.png", "folder.png", "/proc/nowhere/a.png", "a.pgf", "a", "/dev/null",
    "é" * 200 + ".png", "**")]  # fmt: skip


@pytest.mark.parametrize("arguments", BAD)
def test_text_that_is_no_number_bad_flags_and_places_take_one_line(arguments, typed, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.png").mkdir()
    status, output, error = typed("ex_1c", *arguments)
    assert status == 2 and error.startswith("ex_1c.py: error: "), error
    assert output == "" and error.count("\n") == 1 and len(error) < 400
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]
    assert (tmp_path / "file").read_text() == "x"


def test_a_missing_checkpoint_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("common.runtime.files.ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"no checkpoint .*python ex_1b\.py"):
        ex_1c.generate([1])
