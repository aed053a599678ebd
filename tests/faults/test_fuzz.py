"""Mutated files: an error of the ValueError family that names the file, or the right numbers.

Never another exception, never a number that is not in the file.  What found something once is
kept by name in the other files.
"""

import re
import resource
import sys
import zipfile

import pytest
import torch
from conftest import random_curves
from faults.test_hostile_files import entries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data_loader
from common import ebm, swiss_roll
from common.digits import data as digit_data
from common.runtime import checkpoints
from common.swiss_roll import data as roll_data

fuzz = settings(
    max_examples=60, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
WORDS = [b"nan", b"inf", b"-1", b"1e400", b"1_0", b"0x1", b",", b",,", b"\n", b"\r\n", b"\r", b"\t",
         b" ", b"\xef\xbb\xbf", b"\0", b"\x0c", b"\xe2\x80\xa8", b"\xff", b"1e30", b"1e31", b"../x",
         b"-0", b"1e-400", b"9" * 400, b"\x1f\x8b", b"#", b'"', b"\xd9\xa1"]  # fmt: skip


def mutations(words=()):
    """Return a strategy of one to four cuts, copies, flips, insertions, for `mutate`."""
    kinds = st.sampled_from(["cut", "copy", "flip", "insert", "insert", "truncate"])
    inserted = st.sampled_from(words) if words else st.binary(max_size=8)
    step = st.tuples(kinds, st.floats(0, 1), st.integers(0, 40), st.integers(0, 255), inserted)
    return st.lists(step, min_size=1, max_size=4)


def mutate(whole: bytes, steps) -> bytes:
    for kind, share, length, value, word in steps:
        at = int(share * len(whole))
        if kind == "cut":
            whole = whole[:at] + whole[at + length :]
        elif kind == "copy":
            whole = whole[:at] + whole[at : at + 10 * length] + whole[at:]
        elif kind == "flip" and at < len(whole):
            whole = whole[:at] + bytes([whole[at] ^ value]) + whole[at + 1 :]
        elif kind == "insert":
            whole = whole[:at] + word + whole[at:]
        elif kind == "truncate" and value < 20:
            whole = whole[:at]
    return whole


def refuses(call, name):
    """Return what `call` returns, or None where it refuses in one line that names the file."""
    try:
        return call()
    except ValueError as error:
        assert name in str(error) and "\n" not in str(error) and len(str(error)) < 600, error
        assert type(error).__name__ in ("ValueError", "InputError"), error
        return None


def rows_of(text: str, separator=None) -> list[list[str]]:
    """Split a text into rows of words in the plainest way, without empty rows."""
    lines = re.split("\r\n|\n|\r", text.removeprefix("\ufeff"))
    return [[word.strip() for word in line.split(separator)] for line in lines if line.strip()]


def numbers(rows) -> list[list[float]]:
    """Read decimal numbers: the judge of what a reader returns."""
    for word in (word for row in rows for word in row):
        assert re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", word), word
    return [[float(word) for word in row] for row in rows]


@pytest.mark.parametrize("name", ["labels.dat", "12345/05.dat"])
def test_light_curves(folder, name):
    path = folder / name
    for disc in ("05", "25"):  # short numbers, so that mutations hit all parts of a number
        rows = [",".join(f"{v:.3f}" for v in row) for row in random_curves(int(disc))[:2]]
        (folder / f"12345/{disc}.dat").write_text("\n".join(rows) + "\n")
    whole = path.read_bytes()

    @fuzz
    @given(steps=mutations(WORDS))
    def run(steps):
        path.write_bytes(mutate(whole, steps))
        found = refuses(lambda: data_loader.dataloader(folder), ".dat")
        if found is None:
            return
        x, y = found
        text = path.read_bytes().decode("utf-8")
        if name != "labels.dat":
            assert x["12345_05"].tolist() == numbers(rows_of(text, ","))
            return
        names, *rows = rows_of(text)
        assert len(x) == len(rows)
        for row in rows:
            cell = dict(zip(names, row, strict=True))
            key = f"{cell['map_id']}_{int(cell['disc_id']):02d}"
            assert y[key][0].tolist() == [float(cell[n]) for n in "kgsp"]

    run()


def test_the_roll(tmp_path):
    path = tmp_path / roll_data.FILE
    rows = [f"{a:.2f},{b:.2f}" for a, b in swiss_roll.sample(103).tolist()]
    whole = ("x,y\n" + "\n".join(rows) + "\n").encode()

    @fuzz
    @given(steps=mutations(WORDS))
    def run(steps):
        path.write_bytes(mutate(whole, steps))
        points = refuses(lambda: roll_data.read(path), roll_data.FILE)
        if points is not None:
            assert points.shape[1] == 2 and len(points) >= 100 and points.isfinite().all()
            text = path.read_bytes().decode("utf-8").removeprefix("\ufeff").replace(",", " ")
            first, *rest = re.split("\r\n|\n|\r", text)
            rest = rest if roll_data.HEADING.match(first.strip()) else [first, *rest]
            expected = numbers(rows_of("\n".join(rest)))
            assert torch.equal(points, torch.tensor(expected, dtype=torch.float32))

    run()


def test_digits(small_mnist):
    """The idx files: what is accepted is byte for byte what the file holds."""
    raw = small_mnist / "MNIST/raw"
    names = [f"train-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    wholes = {name: (raw / name).read_bytes() for name in names}

    @fuzz
    @given(steps=mutations(), name=st.sampled_from(names), head=st.booleans())
    def run(steps, name, head):
        whole, start = wholes[name], 16 if "images" in name else 8
        changed = mutate(whole[:start], steps) + whole[start:] if head else mutate(whole, steps)
        (raw / name).write_bytes(changed)
        data = refuses(lambda: digit_data.read(small_mnist), "-ubyte")
        if data is not None:
            found = data.train_images if "images" in name else data.train_labels.to(torch.uint8)
            assert found.numpy().tobytes() == changed[start:]
            assert data.train_labels.max() <= 9 and data.source.startswith("own digits")
        (raw / name).write_bytes(whole)

    run()


def test_checkpoints(tmp_path):
    """Mutated archives, and mutated pickles in archives that are whole: the same model, or none."""
    path = tmp_path / "ex_3a_cd.pt"
    content = {"exercise": "ex_3a", "model": {"width": 4}, "noise": 0.2, "source": "a test",
               "weights": ebm.LogDensity(4).state_dict()}  # fmt: skip
    torch.save(content, path)
    whole, parts = path.read_bytes(), entries(path)

    @fuzz
    @given(steps=mutations(), inside=st.booleans())
    def run(steps, inside):
        if inside:  # a pickle that was changed on purpose: the checksums are right
            with zipfile.ZipFile(path, "w") as file:
                for name, data in parts:
                    file.writestr(name, mutate(data, steps) if name.endswith("data.pkl") else data)
        else:
            path.write_bytes(mutate(whole, steps))
        found = refuses(lambda: roll_data.load_model(path), "ex_3a_cd.pt")
        if found is None:
            return
        assert all(p.isfinite().all() and p.numel() < 1000 for p in found[0].parameters())
        if not inside:  # damage by accident: never another number
            assert checkpoints.check_archive(path) is None and found[1]["noise"] == 0.2
            for key, value in found[0].state_dict().items():
                assert torch.equal(value, content["weights"][key])

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024  # MB on Linux
    assert sys.platform != "linux" or grown < 300
