"""Bad data by name, beyond what test_data_loader.py and test_swiss_roll.py hold: named or right."""

import gzip
import os
import struct

import data_loader
from common import swiss_roll
from common.digits import data as digit_data
from common.light_curves import data as curve_data
from common.light_curves import simulation
from common.runtime.errors import InputError
from common.swiss_roll import data as roll_data

import numpy as np
import pytest
import torch
from conftest import run_script

HEADER = "map_id disc_id k g s p\n"
ROW = ",".join(["1.5"] * 300) + "\n"


@pytest.fixture
def folder(tmp_path):
    """Two files of four curves."""
    (tmp_path / "12345").mkdir()
    (tmp_path / "12345/05.dat").write_text(ROW * 4)
    (tmp_path / "12345/25.dat").write_text(ROW * 4)
    (tmp_path / "labels.dat").write_text(HEADER + "12345 5 0 0 0 0.2\n12345 25 0 0 0 5.6\n")
    return tmp_path


@pytest.mark.parametrize("name", ["labels.dat", "12345/05.dat"])
def test_packed_files_are_called_packed(folder, name):
    (folder / name).write_bytes(gzip.compress((folder / name).read_bytes()))
    with pytest.raises(ValueError, match=r"line 1: not text but packed: gunzip"):
        data_loader.dataloader(folder)


def test_a_row_that_is_missing_leaves_its_file_out_and_nothing_else(folder):
    (folder / "labels.dat").write_text(HEADER + "12345 25 0 0 0 5.6\n")
    x, y = data_loader.dataloader(folder)
    assert list(x) == list(y) == ["12345_25"] and x["12345_25"].shape == (4, 300)


def test_pipes_and_folders_in_place_of_files_do_not_hang(folder, tmp_path):
    """A pipe that nobody writes to would be read for ever."""
    for name in ("labels.dat", "12345/05.dat", "simulated.json", roll_data.FILE):
        path = folder / name
        kept = path.read_bytes() if path.exists() else None
        for make in (os.mkfifo, os.mkdir):
            path.unlink(missing_ok=True)
            make(path)
            if name == "simulated.json":
                assert simulation.source_of(folder).startswith(f"{folder / 'labels.dat'}, SHA-256 ")
            elif name == roll_data.FILE:
                with pytest.raises(InputError, match="not a file"):
                    roll_data.load(str(folder), 0.2, 100, 0)
            else:
                assert simulation.source_of(folder)
                with pytest.raises(ValueError, match=r"\.dat"):
                    data_loader.dataloader(folder)
            path.unlink() if make is os.mkfifo else path.rmdir()
        if kept is not None:
            path.write_bytes(kept)


def test_sources_of_the_same_size_are_joined_and_not_overwritten(folder):
    (folder / "labels.dat").write_text(HEADER + "12345 5 0 0 0 0.2\n12345 25 0 0 0 0.2\n")
    x, y = data_loader.dataloader(folder)
    parts, _ = curve_data.split_own(x, y)
    assert len(parts.train[0.2]) + len(parts.test[0.2]) == 8
    assert len(curve_data.by_size(x, y, 3, False)[0.2]) == 3


def test_a_source_with_one_curve_cannot_be_split(folder):
    (folder / "12345/05.dat").write_text(ROW)
    with pytest.raises(InputError, match="at least two"):
        curve_data.split_own(*data_loader.dataloader(folder))


def test_old_processed_digits_do_not_replace_the_files(small_mnist):
    """torchvision reads MNIST/processed/*.pt, which its old versions wrote, in place of raw/."""
    folder = small_mnist / "MNIST/processed"
    folder.mkdir()
    other = (torch.zeros(50, 28, 28, dtype=torch.uint8), torch.arange(50) % 10)
    for name in ("training.pt", "test.pt"):
        torch.save(other, folder / name)
    data = digit_data.read(small_mnist)
    assert len(data.train_images) == 40 and data.train_images.max() > 0


HEADS = {
    "no bytes": b"",
    "a short head": struct.pack(">I", 2051),
    "floats": struct.pack(">IIII", 0x0D03, 40, 28, 28) + bytes(4 * 40 * 784),
    "four dimensions": struct.pack(">IIIII", 2052, 40, 1, 28, 28) + bytes(40 * 784),
    "a size of 4 billion": struct.pack(">IIII", 2051, 2**32 - 1, 28, 28) + bytes(40 * 784),
    "sizes whose product is 2 ** 64": struct.pack(">IIII", 2051, 2**31, 2**31, 4),
    "more than it says": struct.pack(">IIII", 2051, 40, 28, 28) + bytes(40 * 784 + 1),
    "packed": gzip.compress(struct.pack(">IIII", 2051, 40, 28, 28) + bytes(40 * 784)),
}


@pytest.mark.parametrize("head", HEADS)
def test_idx_files_that_are_none_are_refused(small_mnist, head):
    name = "train-images-idx3-ubyte"
    (small_mnist / "MNIST/raw" / name).write_bytes(HEADS[head])
    with pytest.raises(InputError, match=f"{name} is truncated or damaged"):
        digit_data.read(small_mnist)


def test_nothing_depends_on_an_assertion(small_mnist):
    """Under `python -O` torchvision's reader asserts nothing."""
    name = "train-images-idx3-ubyte"
    heads = ("four dimensions", "floats", "more than it says")
    for head in heads:
        (small_mnist / head).write_bytes(HEADS[head])
    code = ["import sys", "from pathlib import Path", "from common.digits import data",
            "for head in sys.argv[1:]:", f"  path = Path('MNIST/raw/{name}')",
            "  path.write_bytes(Path(head).read_bytes())", "  try: data.read('.')",
            "  except data.InputError as error: print(error)"]  # fmt: skip
    done = run_script(["-O", "-c", "\n".join(code), *heads], small_mnist)
    assert done.stdout.count(f"{name} is truncated") == len(heads), done.stdout + done.stderr


POINTS = "1.0,2.0\n" * 120
ROLLS = {
    "1_0,2\n": "line 121", "١,2\n": "line 121", "1,2,\n3\n": "line 122", "0x1,2\n": "line 121",
    "1.0,2.O\n": "line 121", "infinity,1\n": "line 121", "1;2\n": "line 121",
    "1e999,1\n": "line 121", "\f1,x\n": "line 121",
}  # fmt: skip


@pytest.mark.parametrize("row", ROLLS)
def test_rows_of_the_roll_are_named_by_line(tmp_path, row):
    path = tmp_path / roll_data.FILE
    path.write_text(POINTS + row, encoding="utf-8")
    with pytest.raises(InputError, match=rf"csv, {ROLLS[row]}"):
        roll_data.read(path)


def test_a_first_row_with_a_slip_is_not_taken_for_a_header(tmp_path):
    path = tmp_path / roll_data.FILE
    for row in ("1.0,2.O", "\0-8.62,\x001.3", "nan,nan", "-inf,x", "1_0,٣", ".5x,1"):
        path.write_text(row + "\n" + POINTS, encoding="utf-8")
        with pytest.raises(InputError, match="line 1"):
            roll_data.read(path)
    path.write_text("\ufeffx [m],y [m]\r\n" + POINTS.replace("\n", "\r\n\r\n"), encoding="utf-8")
    assert len(roll_data.read(path)) == 120


def test_a_roll_without_noise_does_not_ask_for_a_grid_without_end(tmp_path):
    """Its exact density would take a grid of 10^9 points."""
    t = torch.linspace(swiss_roll.FIRST, swiss_roll.LAST, 500, dtype=torch.float64)
    np.savetxt(tmp_path / roll_data.FILE, swiss_roll.spiral(t), delimiter=",")
    points, noise, source = roll_data.load(str(tmp_path), 0.2, 100, 0)
    assert len(points) == 500 and noise is None and "too fine for the exact density" in source
