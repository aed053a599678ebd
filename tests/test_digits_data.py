"""The digits of exercise 1: where the files may lie, what is refused, what is warned of."""

import gzip
import os
import re
import socket
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from common.digits import data as digit_data
from common.training import InputError

ROOT = Path(__file__).resolve().parents[1]
NAMES = list(digit_data.FILES)
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = NAMES


def idx(array) -> bytes:
    """Return the bytes of the idx file that holds `array` as uint8."""
    array = np.asarray(array, np.uint8)
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def digits():
    """The content of the four files, by name: 40 training and 20 test digits, mean about 30."""
    generator = np.random.default_rng(0)
    contents = {}
    for part, n in (("train", 40), ("t10k", 20)):
        ink = generator.integers(0, 256, (n, 28, 28))
        ink[:, :, 6:] = 0
        contents[f"{part}-images-idx3-ubyte"] = idx(ink)
        contents[f"{part}-labels-idx1-ubyte"] = idx(np.arange(n) % 10)
    return contents


def write(folder, contents, name=lambda name: name, pack=lambda content: content):
    """Write the files into `folder`, each at the path that name(its name) says."""
    for each, content in contents.items():
        path = folder / name(each)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pack(content))


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Work in an empty folder, without MNIST_ROOT; let every attempt to download fail the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MNIST_ROOT", raising=False)

    def refuse(*arguments, **keywords):
        raise AssertionError("MNIST was to be downloaded")

    monkeypatch.setattr(digit_data.torchvision_mnist(), "MNIST", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def refusal(folder) -> str:
    """Return the one line with which `load(folder)` refuses the folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError) as caught:
            digit_data.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- what is read -------------------------------------------------------------------------------


def dotted(name):
    return name.replace("-idx", ".idx")


LAYOUTS = {
    "torchvision's": lambda name: f"MNIST/raw/{name}",
    "raw": lambda name: f"raw/{name}",
    "the folder itself": lambda name: name,
    "dotted": dotted,
    "a folder each": lambda name: f"{name}/{name}",
    "a folder each, dotted": lambda name: f"{dotted(name)}/{dotted(name)}",
    "a folder each, dotted in it": lambda name: f"raw/{name}/{dotted(name)}",
    "packed": lambda name: f"{name}.gz",
    "packed and dotted": lambda name: f"MNIST/raw/{dotted(name)}.gz",
    "packed under the plain name": lambda name: name,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_are_read_by_all_their_names(tmp_path, digits, layout):
    pack = gzip.compress if "packed" in layout else bytes
    write(tmp_path / "own", digits, LAYOUTS[layout], pack)
    (train_images, train_labels), (test_images, test_labels) = digit_data.load("own")[:2]
    assert train_images.shape == (40, 28, 28) and train_images.dtype == torch.uint8
    assert test_labels.shape == (20,) and test_labels.dtype == torch.int64
    assert train_images.numpy().tobytes() == digits[IMAGES][16:]
    assert test_images.numpy().tobytes() == digits[TEST_IMAGES][16:]
    assert train_labels.tolist() == [*range(10)] * 4 and test_labels.tolist() == [*range(10)] * 2
    assert digit_data.load(tmp_path / "own").source == f"own digits in {tmp_path / 'own'}"


def test_torchvisions_layout_comes_first_and_plain_files_before_packed_ones(tmp_path, digits):
    write(tmp_path, digits, LAYOUTS["torchvision's"])
    write(tmp_path, digits, LAYOUTS["packed and dotted"], lambda content: b"not read")
    write(tmp_path, digits, LAYOUTS["raw"], lambda content: b"not read")
    assert len(digit_data.load(tmp_path).train[0]) == 40


def test_a_complete_folder_is_not_spoilt_by_a_partial_one(tmp_path, digits):
    write(tmp_path, digits)
    write(tmp_path, {IMAGES: b"not read"}, LAYOUTS["torchvision's"])
    assert len(digit_data.load(tmp_path).train[0]) == 40


def test_without_a_folder_the_variable_counts_and_then_data(tmp_path, digits, monkeypatch):
    write(tmp_path / "data", digits, LAYOUTS["packed and dotted"])
    assert digit_data.load().source == "own digits in data"
    write(tmp_path / "other", digits)
    monkeypatch.setenv("MNIST_ROOT", str(tmp_path / "other"))
    assert digit_data.load().source == f"own digits in {tmp_path / 'other'}"
    assert digit_data.load("data").source == "own digits in data"  # what is given counts more


def test_a_limit_takes_the_first_digits_of_both_parts(tmp_path, digits):
    write(tmp_path, digits)
    whole, (train, test, source) = digit_data.load(tmp_path), digit_data.load(tmp_path, limit=7)
    assert all(torch.equal(few, all_of[:7]) for few, all_of in zip(train, whole.train, strict=True))
    assert all(torch.equal(few, all_of[:7]) for few, all_of in zip(test, whole.test, strict=True))
    assert source == f"{whole.source}, first 7"
    same = digit_data.load(tmp_path, limit=40)
    assert len(same.test[0]) == 20 and same.source == whole.source
    with pytest.raises(InputError, match="--limit 0"):
        digit_data.load(tmp_path, limit=0)


OFFICIAL = os.environ.get("MNIST_ROOT")


@pytest.mark.skipif(not OFFICIAL, reason="set MNIST_ROOT to a folder with MNIST/raw/")
def test_official_mnist_is_known_by_its_checksums():
    train, test, source = digit_data.load(OFFICIAL)
    assert source == "MNIST" and len(train[0]) == 60_000 and len(test[0]) == 10_000
    assert train[1][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert 33 < train[0].float().mean() < 34


@pytest.mark.skipif(not OFFICIAL, reason="set MNIST_ROOT to a folder with MNIST/raw/")
def test_one_changed_byte_makes_own_digits_and_packing_does_not(tmp_path):
    raw = Path(OFFICIAL) / "MNIST/raw"
    for name in NAMES:
        (tmp_path / name).symlink_to(raw / name)
    packed = gzip.compress((raw / TEST_IMAGES).read_bytes(), compresslevel=1)
    (tmp_path / TEST_IMAGES).unlink()
    (tmp_path / f"{TEST_IMAGES}.gz").write_bytes(packed)
    assert digit_data.load(tmp_path).source == "MNIST"
    for changed in (LABELS, TEST_LABELS, IMAGES):
        path = tmp_path / changed
        content = bytearray(path.read_bytes())
        content[-1] = 5  # the last training digit is an 8, the last test digit a 6
        path.unlink()
        path.write_bytes(content)
        assert digit_data.load(tmp_path).source == f"own digits in {tmp_path}", changed
        path.write_bytes((raw / changed).read_bytes())
    assert digit_data.load(tmp_path).source == "MNIST"


# --- what is refused ----------------------------------------------------------------------------


def test_a_folder_without_the_files_is_refused_with_what_it_holds(tmp_path):
    for name in ("emnist-letters-train-images-idx3-ubyte", "MNIST/raw/mnist.npz"):
        write(tmp_path / "own", {name: b""})
    message = refusal("own")
    assert "found MNIST, emnist-letters-train-images-idx3-ubyte, MNIST/raw" in message
    assert "MNIST/raw/mnist.npz" in message and all(name in message for name in NAMES)
    (tmp_path / "empty").mkdir()
    assert "found nothing" in refusal("empty")
    assert "nowhere: cannot be read (No such file or directory)" in refusal("nowhere")
    write(tmp_path / "many", {f"{n:02d}.png": b"" for n in range(30)})
    assert "09.png and 20 more" in refusal("many")


@pytest.mark.parametrize("root", ["own", "data"])
def test_the_files_that_are_missing_are_named(tmp_path, digits, root):
    """Also where no folder is given, in place of a download over what is there."""
    del digits[LABELS], digits[TEST_IMAGES]
    write(tmp_path / root, digits, LAYOUTS["torchvision's"])
    message = refusal("" if root == "data" else root)
    assert message.startswith(f"{root}/MNIST/raw: {LABELS} and {TEST_IMAGES} missing")
    assert IMAGES not in message and TEST_LABELS not in message


CLASSES = np.arange(40) % 10
REFUSED_LABELS = {
    "letters": (1 + np.arange(260) % 26, r"the labels found are 1 to 26;"),
    "from 1": (1 + CLASSES, r"the labels found are 1 to 10;"),
    "no 7": (np.where(CLASSES == 7, 1, CLASSES), r"found are 0, 1, 2, 3, 4, 5, 6, 8, 9;"),
    "two": (CLASSES % 2, r"found are 0, 1;"),
    "one 3": (np.where((CLASSES == 3) & (np.arange(40) > 5), 1, CLASSES), "only one digit is a 3"),
    "fewer": (CLASSES[:39], r"39 labels for the 40 images of own/train-images-idx3-ubyte"),
    "more": (np.arange(50) % 10, r"50 labels for the 40 images"),
    "a column": (CLASSES[:, None], r"an array of shape \(40, 1\); labels must be \(n,\)"),
}


@pytest.mark.parametrize("case", REFUSED_LABELS)
def test_labels_that_are_not_ten_classes_are_refused(tmp_path, digits, case):
    labels, expected = REFUSED_LABELS[case]
    digits[LABELS] = idx(labels)
    if case == "letters":
        digits[IMAGES] = idx(np.zeros((260, 28, 28)))
    write(tmp_path / "own", digits)
    message = refusal("own")
    assert message.startswith(f"own/{LABELS}: ") and re.search(expected, message)
    assert "damaged" not in message and "download" not in message


def test_labels_of_the_test_digits_are_checked_too(tmp_path, digits):
    digits[TEST_LABELS] = idx(1 + np.arange(20) % 10)
    write(tmp_path / "own", digits)
    assert refusal("own").startswith(f"own/{TEST_LABELS}: the labels found are 1 to 10;")


PIXELS = np.zeros((40, 28, 28), np.uint8)
FLOATS = struct.pack(">IIII", 0x0D03, 40, 28, 28) + bytes(4 * 40 * 784)
REFUSED_IMAGES = {
    "cut short": (idx(PIXELS)[:-1], "cut short"),
    "too long": (idx(PIXELS) + b"0", "empty or no idx file"),
    "no bytes": (b"", "cut short"),
    "a short head": (struct.pack(">I", 2051), "cut short"),
    "a web page": (b"<!DOCTYPE html><html>", "no idx file"),
    "4 billion": (struct.pack(">IIII", 2051, 2**32 - 1, 28, 28) + bytes(784), "cut short"),
    "packed, cut short": (gzip.compress(idx(PIXELS))[:-9], r"cut short or damaged \(gzip\)"),
    "packed, damaged": (gzip.compress(idx(PIXELS))[:20] + bytes(90), r"damaged \(gzip\)"),
    "27 rows": (idx(PIXELS[:, 1:]), "images of 27 x 28 pixels; make them 28 x 28"),
    "four dimensions": (idx(PIXELS[:, None]), "empty or no idx file"),
    "flat": (idx(PIXELS.reshape(40, 784)), r"an array of shape \(40, 784\); images must be"),
    "floats": (FLOATS, "numbers of type float32; write them as bytes"),
    "none": (idx(PIXELS[:0]), "cut short, empty or"),
}


@pytest.mark.parametrize("case", REFUSED_IMAGES)
def test_files_that_are_no_images_are_refused_by_name(tmp_path, digits, case):
    content, expected = REFUSED_IMAGES[case]
    write(tmp_path / "own", digits | {TEST_IMAGES: content})
    message = refusal("own")
    assert message.startswith(f"own/{TEST_IMAGES}: ") and re.search(expected, message)


# --- what is warned of --------------------------------------------------------------------------


def warned(folder) -> list:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        digit_data.load(folder)
    return caught


ODD = {
    "inverted": (lambda images: 255 - images, r"the mean pixel is 2\d\d,.*write 255 - images"),
    "0 or 1": (lambda images: images > 127, r"all pixels are 0 or 1,.*write 255 \* images"),
    "no ink": (lambda images: 0 * images, r"all pixels are 0,.*look at how"),
}


@pytest.mark.parametrize("name", [IMAGES, TEST_IMAGES])
@pytest.mark.parametrize("odd", ODD)
def test_odd_pixels_are_warned_of_where_load_is_called(tmp_path, digits, odd, name):
    change, expected = ODD[odd]
    images = np.frombuffer(digits[name][16:], np.uint8).reshape(-1, 28, 28)
    write(tmp_path / "own", digits | {name: idx(change(images))})
    (warning,) = warned("own")
    assert re.match(rf"own/{name}: {expected}", str(warning.message))
    assert warning.filename == __file__


def test_black_and_white_digits_are_not_warned_of(tmp_path, digits):
    """0 and 255, as a scan with a threshold gives."""
    images = np.frombuffer(digits[IMAGES][16:], np.uint8).reshape(-1, 28, 28)
    write(tmp_path / "own", digits | {IMAGES: idx(255 * (images > 127))})
    assert warned("own") == []


# --- the download, and what replaces it ---------------------------------------------------------


def test_a_download_arrives_whole_with_a_time_limit(tmp_path, digits, monkeypatch):
    seen = []

    def fake(root, train, download):
        seen.append(socket.getdefaulttimeout())
        write(Path(root) / "MNIST/raw", digits)
        write(Path(root) / "MNIST/raw", {f"{IMAGES}.gz": b"packed"})

    monkeypatch.setattr(digit_data.torchvision_mnist(), "MNIST", fake)
    before = socket.getdefaulttimeout()
    assert len(digit_data.load(limit=30).train[0]) == 30
    assert seen == [15] and socket.getdefaulttimeout() == before
    paths = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(paths) == sorted(Path("data/MNIST/raw") / name for name in NAMES)
    digit_data.load()
    assert len(seen) == 1


@pytest.mark.parametrize("error", [RuntimeError("Error downloading\nTried a"), OSError("no space")])
def test_where_no_download_succeeds_the_digits_of_scikit_learn_are_used(
    tmp_path, digits, monkeypatch, capsys, error
):
    def fail(root, train, download):
        write(Path(root) / "MNIST/raw", {IMAGES: digits[IMAGES]})
        raise error

    monkeypatch.setattr(digit_data.torchvision_mnist(), "MNIST", fail)
    train, test, source = digit_data.load()
    assert source == digit_data.BUNDLED and "not MNIST" in source
    reason = " ".join(str(error).split())
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("warning: MNIST is not in data") and f"({reason})" in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    assert train[0].shape == (1500, 28, 28) and test[0].shape == (297, 28, 28)
    assert train[0].dtype == torch.uint8 and train[1].dtype == torch.int64
    assert torch.bincount(test[1]).min() >= 28  # every class is held out alike
    seen = {image.numpy().tobytes() for image in train[0]}
    assert not any(image.numpy().tobytes() in seen for image in test[0])


# --- parts and pixels ---------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "n", "kept"), [(60, 10, 50), (59, 10, 50), (30, 10, 25)])
def test_the_last_digits_are_held_out(count, n, kept):
    images, labels = torch.arange(count), torch.arange(count) + 100
    train, validation = digit_data.hold_out((images, labels), n)
    assert torch.equal(train[0], images[:kept]) and torch.equal(train[1], labels[:kept])
    assert torch.equal(validation[0], images[kept:]) and torch.equal(validation[1], labels[kept:])


def test_binarisation_is_exact_at_the_ends_and_unbiased_between():
    torch.manual_seed(0)
    grey = torch.arange(256, dtype=torch.uint8).expand(20_000, 256)
    x = digit_data.binarise(grey)
    assert x.dtype == torch.float32 and set(x.unique().tolist()) == {0.0, 1.0}
    assert x[:, 0].sum() == 0 and x[:, 255].min() == 1
    expected = torch.arange(256) / 255
    error = (expected * (1 - expected) / len(x)).sqrt()
    assert ((x.mean(0) - expected).abs() <= 5 * error).all()


def test_shift_moves_every_image_by_at_most_two_pixels():
    torch.manual_seed(0)
    images = torch.zeros(500, 28, 28, dtype=torch.uint8)
    images[:, 10, 12] = 200
    moved = digit_data.shift(images, most=2)
    at = moved.nonzero()
    assert len(at) == 500 and moved.dtype == torch.uint8 and moved.max() == 200
    assert at[:, 1].unique().tolist() == [8, 9, 10, 11, 12]
    assert at[:, 2].unique().tolist() == [10, 11, 12, 13, 14]


def test_only_bytes_are_divided():
    assert digit_data.as_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == (
        pytest.approx([0, 0.2, 1])
    )
    assert digit_data.as_float(torch.tensor([0.5], dtype=torch.float64)).tolist() == [0.5]


# --- data/README.md -----------------------------------------------------------------------------


def snippets() -> list[str]:
    """Return the blocks of Python in data/README.md that are about digits."""
    text = (ROOT / "data/README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return [block for block in blocks if "idx3-ubyte" in block]


def test_the_readme_turns_an_npz_file_into_idx_files(tmp_path, digits):
    convert, _ = snippets()
    assert len(convert.splitlines()) == 8
    arrays = {}
    for ours, theirs in (("train", "train"), ("t10k", "test")):
        images = np.frombuffer(digits[f"{ours}-images-idx3-ubyte"][16:], np.uint8)
        arrays[f"x_{theirs}"] = images.reshape(-1, 28, 28, 1).astype(np.float64)  # as some have it
        arrays[f"y_{theirs}"] = np.arange(len(images) // 784)[:, None] % 10
    np.savez(tmp_path / "mnist.npz", **arrays)
    exec(convert, {})
    for name, content in digits.items():
        assert (tmp_path / name).read_bytes() == content, name
    assert len(digit_data.load(tmp_path).test[0]) == 20


def test_the_readme_mends_the_transposed_images_of_emnist(tmp_path, digits):
    images = np.frombuffer(digits[IMAGES][16:], np.uint8).reshape(-1, 28, 28)
    write(tmp_path, digits | {IMAGES: idx(images.swapaxes(1, 2))})
    assert not np.array_equal(digit_data.load(tmp_path).train[0], images)
    exec(snippets()[1], {"np": np})
    assert np.array_equal(digit_data.load(tmp_path).train[0], images)


def test_the_readme_names_the_files_and_their_places():
    text = (ROOT / "data/README.md").read_text(encoding="utf-8")
    for name in [*NAMES, "FOLDER/MNIST/raw", "FOLDER/raw", dotted(IMAGES), ".gz"]:
        assert f"`{name}`" in text, name
