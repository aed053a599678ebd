"""What a new user may type: a result, or one line that says what is wrong.  Nothing in between."""

import re

import pytest
import torch

from common import langevin

REFUSED = {  # a command line: what the one line says
    # flags that would do nothing
    "ex_3a --method nce --chain 3": "--chain: nce takes no Langevin steps",
    "ex_3a --force": "unrecognized arguments: --force",
    # data and models that are not there
    "ex_3a --data-dir nowhere": "--data-dir nowhere: no swiss_roll_2d.csv",
    "ex_3a --smoke --resume": "no unfinished training .*; leave --resume out",
    "ex_3b --model nowhere": "--model nowhere: no such file or folder",
    "ex_3b --model .": "no model for these --eps",
    # numbers
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


def test_the_sampler_refuses_steps_below_nought():
    with pytest.raises(ValueError, match="steps = -3"):
        langevin.langevin(torch.zeros(2, 2), torch.neg, 0.1, -3)
