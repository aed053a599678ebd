"""Mutated files: an error of the ValueError family that names the file, or the right numbers.

Never another exception, never a number that is not in the file.  What found something once is
kept by name in the other files.
"""

import io
import re
import resource
import sys
import zipfile

import data_loader
from common import ebm, swiss_roll
from common.digits import data as digit_data
from common.runtime import checkpoints
from common.swiss_roll import data as roll_data

import numpy as np
import pytest
import torch
from conftest import write_idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

fuzz = settings(
    max_examples=60, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
WORDS = [b"nan", b"inf", b"-1", b"1e400", b"1_0", b"0x1", b",", b",,", b"\n", b"\r\n", b"\r", b"\t",
         b" ", b"\xef\xbb\xbf", b"\0", b"\x0c", b"\xe2\x80\xa8", b"\xff", b"1e30", b"1e31", b"../x",
         b"-0", b"1e-400", b"9" * 400, b"\x1f\x8b", b"#", b'"', b"\xd9\xa1"]  # fmt: skip


@st.composite
def mutations(draw, words=()):
    """Return a function bytes -> bytes: one to four cuts, copies, flips, insertions."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["cut", "copy", "flip", "insert", "insert", "truncate"]),
                st.floats(0, 1), st.integers(0, 40), st.integers(0, 255),
                st.sampled_from(list(words)) if words else st.binary(max_size=8),
            ), min_size=1, max_size=4,
        )
    )  # fmt: skip

    def mutate(whole: bytes) -> bytes:
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

    return mutate


def refuses(call, name):
    """Return what `call` returns, or None where it refuses in one line that names the file."""
    try:
        return call()
    except ValueError as error:
        assert name in str(error) and "\n" not in str(error) and len(str(error)) < 600, error
        assert type(error).__name__ in ("ValueError", "InputError"), error
        return None


def numbers(text: str, separator) -> list[list[float]]:
    """Read rows of decimal numbers in the plainest way: the judge of what a reader returns."""
    rows = []
    for line in re.split("\r\n|\n|\r", text.removeprefix("\ufeff")):
        if line.strip():
            words = [word.strip() for word in line.split(separator)]
            assert all(re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", word) for word in words), (
                words
            )
            rows.append([float(word) for word in words])
    return rows


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """A folder with two small files of curves."""
    folder = tmp_path_factory.mktemp("curves")
    (folder / "12345").mkdir()
    random = np.random.default_rng(0)
    for disc in (5, 25):
        rows = [",".join(f"{v:.3f}" for v in row) for row in random.lognormal(size=(2, 300))]
        (folder / f"12345/{disc:02d}.dat").write_text("\n".join(rows) + "\n")
    text = "map_id disc_id k g s p\n12345 05 0.4 0.4 0 0.2\n12345 25 0.4 0.4 0 5.6\n"
    (folder / "labels.dat").write_text(text)
    return folder


@pytest.mark.parametrize("name", ["labels.dat", "12345/05.dat"])
def test_light_curves(curves, name):
    path = curves / name
    whole = path.read_bytes()

    @fuzz
    @given(mutate=mutations(WORDS))
    def run(mutate):
        path.write_bytes(mutate(whole))
        found = refuses(lambda: data_loader.dataloader(curves), ".dat")
        if found is None:
            return
        x, y = found
        text = path.read_bytes().decode("utf-8")
        if name == "labels.dat":
            rows = [line.split() for line in re.split("\r\n|\n|\r", text) if line.strip()]
            names = [word.removeprefix("\ufeff") for word in rows[0]]
            assert len(x) == len(rows) - 1
            for row in rows[1:]:
                cell = dict(zip(names, row, strict=True))
                key = f"{cell['map_id']}_{int(cell['disc_id']):02d}"
                assert y[key][0].tolist() == [float(cell[n]) for n in "kgsp"]
        else:
            assert x["12345_05"].tolist() == numbers(text, ",")

    try:
        run()
    finally:
        path.write_bytes(whole)


def test_the_roll(tmp_path):
    path = tmp_path / roll_data.FILE
    rows = [f"{a:.2f},{b:.2f}" for a, b in swiss_roll.sample(103).tolist()]
    whole = ("x,y\n" + "\n".join(rows) + "\n").encode()

    @fuzz
    @given(mutate=mutations(WORDS))
    def run(mutate):
        path.write_bytes(mutate(whole))
        points = refuses(lambda: roll_data.read(path), roll_data.FILE)
        if points is not None:
            assert points.shape[1] == 2 and len(points) >= 100 and points.isfinite().all()
            text = path.read_bytes().decode("utf-8").removeprefix("\ufeff").replace(",", " ")
            first, *rest = re.split("\r\n|\n|\r", text)
            rest = rest if roll_data.HEADING.match(first.strip()) else [first, *rest]
            expected = numbers("\n".join(" ".join(line.split()) for line in rest), " ")
            assert torch.equal(points, torch.tensor(expected, dtype=torch.float32))

    run()


def test_digits(tmp_path):
    """The idx files: what is accepted is byte for byte what the file holds."""
    random = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = random.integers(0, 256, (30, 28, 28), dtype=np.uint8)
        raw = write_idx(tmp_path, images, np.arange(30) % 10, part)
    names = [f"train-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    wholes = {name: (raw / name).read_bytes() for name in names}

    @fuzz
    @given(mutate=mutations(), name=st.sampled_from(names), head=st.booleans())
    def run(mutate, name, head):
        whole, start = wholes[name], 16 if "images" in name else 8
        changed = mutate(whole[:start]) + whole[start:] if head else mutate(whole)
        (raw / name).write_bytes(changed)
        data = refuses(lambda: digit_data.read(tmp_path), "-ubyte")
        if data is not None:
            found = data.train_images if "images" in name else data.train_labels.to(torch.uint8)
            assert found.numpy().tobytes() == changed[start:]
            assert data.train_labels.max() <= 9 and data.source.startswith("own digits")
        (raw / name).write_bytes(whole)

    run()


def entries(whole: bytes):
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        return [(info.filename, file.read(info)) for info in file.infolist()]


def test_checkpoints(tmp_path):
    """Mutated archives, and mutated pickles in archives that are whole: the same model, or none."""
    path = tmp_path / "ex_3a_cd.pt"
    model = ebm.LogDensity(4)
    content = {"exercise": "ex_3a", "model": {"width": 4}, "noise": 0.2, "source": "a test",
               "weights": model.state_dict()}  # fmt: skip
    torch.save(content, path)
    whole, parts = path.read_bytes(), entries(path.read_bytes())

    @fuzz
    @given(mutate=mutations(), inside=st.booleans())
    def run(mutate, inside):
        if inside:  # a pickle that was changed on purpose: the checksums are right
            with zipfile.ZipFile(path, "w") as file:
                for name, data in parts:
                    file.writestr(name, mutate(data) if name.endswith("data.pkl") else data)
        else:
            path.write_bytes(mutate(whole))
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
