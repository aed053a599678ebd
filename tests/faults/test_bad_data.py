"""Bad data by name, beyond what test_data_loader.py holds: named or right."""

import os

import numpy as np
import pytest
import torch

from common import swiss_roll
from common.runtime.errors import InputError
from common.swiss_roll import data as roll_data


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_pipes_and_folders_in_place_of_files_do_not_hang(tmp_path, make):
    """A pipe that nobody writes to would be read for ever."""
    make(tmp_path / roll_data.FILE)
    with pytest.raises(InputError, match="not a file"):
        roll_data.load(str(tmp_path), 0.2, 100, 0)


POINTS = "1.0,2.0\n" * 120
ROLLS = {
    "": "csv",
    "1,2\n" * 99: "csv",
    POINTS + "1e9,0\n": "csv",
    POINTS + "1,2,\n3\n": "line 122",
}
ROLLS |= {f"{POINTS}{row}\n": "csv, line 121" for row in (
    "1_0,2", "١,2", "0x1,2", "1.0,2.O", "infinity,1", "1;2", "1e999,1", "\f1,x")}  # fmt: skip
ROLLS |= {f"{row}\n{POINTS}": "csv, line 1" for row in (  # a slip, not a header
    "1.0,2.O", "\0-8.62,\x001.3", "nan,nan", "-inf,x", "1_0,٣", ".5x,1")}  # fmt: skip


@pytest.mark.parametrize("text", ROLLS)
def test_a_bad_roll_is_refused_by_name_and_line(tmp_path, text):
    (tmp_path / roll_data.FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"{roll_data.FILE[:-4]}.*{ROLLS[text]}\b"):
        roll_data.read(tmp_path / roll_data.FILE)


def test_a_header_and_white_space_are_free(tmp_path):
    path, points = tmp_path / roll_data.FILE, POINTS.replace("\n", "\r\n\r\n")
    path.write_text(f"\ufeffx [m],y [m]\r\n{points}", encoding="utf-8")
    assert len(roll_data.read(path)) == 120


def test_a_roll_without_noise_does_not_ask_for_a_grid_without_end(tmp_path):
    """Its exact density would take a grid of 10^9 points."""
    t = torch.linspace(swiss_roll.FIRST, swiss_roll.LAST, 500, dtype=torch.float64)
    np.savetxt(tmp_path / roll_data.FILE, swiss_roll.spiral(t), delimiter=",")
    points, noise, source = roll_data.load(str(tmp_path), 0.2, 100, 0)
    assert len(points) == 500 and noise is None and "too fine for the exact density" in source
