"""Handwritten digits as tensors in memory: MNIST, your own, or those that scikit-learn carries.

`load` reads the four idx files of MNIST, or of anyone who writes them alike; data/README.md says
where they may lie and how to make them.
"""

import gzip
import hashlib
import http.client
import os
import socket
import sys
import tempfile
import textwrap
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F

from common.training import InputError, say

MNIST = "MNIST"
BUNDLED = "scikit-learn digits, 8x8 resampled to 28x28 (not MNIST)"
FILES = {  # the four files, and how the SHA-256 of the official ones begins
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351",
}
PLACES = ("MNIST/raw", "raw", ".")  # folders below data_dir, torchvision's layout first
GZIP = b"\x1f\x8b"  # the first bytes of a packed file


class Digits(NamedTuple):
    """Training and test digits, each as (images, labels), and in words where they are from.

    Images are (n, 28, 28) uint8, white ink 255 on black 0; labels are (n,) int64 from 0 to 9.
    """

    train: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    source: str


# --- load ---------------------------------------------------------------------------------------


def load(data_dir: str | Path = "", limit: int | None = None) -> Digits:
    """Return the digits in `data_dir`; by default MNIST, downloaded if need be.

    train, test = load()[:2]

    data_dir: folder with the four files.  "" is $MNIST_ROOT, or data/: if the files are not there,
    MNIST is downloaded, and if that fails, the digits of scikit-learn are used with a warning.
    limit: take the first so many digits of each part.
    Warns of pixels that are all 0, all 0 or 1, or inverted.  Raises InputError if `data_dir` holds
    none or only some of the files, and for files that are damaged or hold other things than
    28 x 28 images of ten classes.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: give 1 or more digits")

    root = Path(data_dir or os.environ.get("MNIST_ROOT") or "data")
    paths = _find(root)
    if data_dir and not paths:
        raise InputError(_nothing_in(root))
    if not paths and _download(root):
        paths = _find(root)

    digits = _read(paths, root) if paths else bundled()
    return digits if limit is None else _first(digits, limit)


def hold_out(train, n: int = 10_000):
    """Return (train, validation): the last `n` digits, or the last sixth if that is less.

    train: (images, labels), as each of the two that are returned.
    """
    images, labels = train
    n = min(n, len(images) // 6)
    kept = len(images) - n
    return (images[:kept], labels[:kept]), (images[kept:], labels[kept:])


def bundled() -> Digits:
    """Return scikit-learn's 1,797 real digits, resampled to a 20 x 20 box in a 28 x 28 image.

    Every class gives the same share to the 297 test images.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    labels = torch.tensor(digits.target, dtype=torch.int64)
    small = torch.tensor(digits.images / 16.0, dtype=torch.float32)[:, None]  # (n, 1, 8, 8)
    box = F.interpolate(small, size=(20, 20), mode="bicubic", antialias=True)
    images = F.pad(box, (4, 4, 4, 4))[:, 0].clamp(0, 1)  # (n, 28, 28)
    images = (images * 255).round().to(torch.uint8)

    first, second = train_test_split(
        range(len(labels)), test_size=297, stratify=digits.target, random_state=0
    )
    return Digits((images[first], labels[first]), (images[second], labels[second]), BUNDLED)


def _first(digits: Digits, limit: int) -> Digits:
    """Return the first `limit` digits of each part; `source` says so if that left any out."""
    train = tuple(tensor[:limit] for tensor in digits.train)
    test = tuple(tensor[:limit] for tensor in digits.test)
    fewer = len(digits.train[0]) > limit
    source = f"{digits.source}, first {limit:,}" if fewer else digits.source
    return Digits(train, test, source)


# --- find the files -----------------------------------------------------------------------------


def _find(root: Path) -> dict[str, Path]:
    """Return where each of the four files is below `root`; nothing if there is none of them.

    Raises InputError if only some of them are there.
    """
    places = [_find_in(root / place) for place in PLACES]
    paths = max(places, key=len)  # the first of equals
    missing = [name for name in FILES if name not in paths]
    if paths and missing:
        names = " and ".join(missing)
        folder = root / PLACES[places.index(paths)]
        raise InputError(f"{folder}: {names} missing; put all four files into one folder")
    return paths


def _find_in(folder: Path) -> dict[str, Path]:
    """Return the path of each of the four files that lies in `folder`, also by its other names."""
    paths = {}
    for name in FILES:
        dotted = name.replace("-idx", ".idx")  # train-images.idx3-ubyte
        names = [name, dotted, f"{name}.gz", f"{dotted}.gz"]
        parents = [folder, folder / name, folder / dotted]  # Kaggle: in a folder of its own name
        candidates = [parent / each for parent in parents for each in names]
        for path in candidates:
            if os.path.isfile(path):
                paths[name] = path
                break
    return paths


def _nothing_in(root: Path) -> str:
    """Say that `root` holds no digits, and what it holds."""
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        return f"--data-dir {root}: cannot be read ({error.strerror}); name a folder with digits"
    for place in PLACES[:2]:
        if (root / place).is_dir():
            entries += sorted((root / place).iterdir())
    names = [str(path.relative_to(root)) for path in entries]
    listed = ", ".join(names[:10]) or "nothing"
    if len(names) > 10:
        listed += f" and {len(names) - 10:,} more"
    return (
        f"--data-dir {root}: found {listed}, but not {', '.join(FILES)}; "
        "rename or convert yours (data/README.md), or leave --data-dir out to download MNIST"
    )


# --- read and check them ------------------------------------------------------------------------


def _read(paths: dict[str, Path], root: Path) -> Digits:
    """Read and check the four files.

    Raises InputError, and warns of odd pixels where `load` was called.
    """
    parts = []
    official = True
    for part in ("train", "t10k"):
        image_name = f"{part}-images-idx3-ubyte"
        label_name = f"{part}-labels-idx1-ubyte"
        images, image_digest = _read_idx(paths[image_name], 3)
        labels, label_digest = _read_idx(paths[label_name], 1)
        official &= image_digest.startswith(FILES[image_name])
        official &= label_digest.startswith(FILES[label_name])

        _check_images(paths[image_name], images)
        if len(labels) != len(images):
            counts = f"{len(labels):,} labels for the {len(images):,} images"
            raise InputError(
                f"{paths[label_name]}: {counts} of {paths[image_name]}; there must be as many"
            )
        _check_labels(paths[label_name], labels)
        parts.append((images, labels.long()))
    return Digits(*parts, source=MNIST if official else f"own digits in {root}")


def _read_idx(path: Path, dimensions: int) -> tuple[torch.Tensor, str]:
    """Read an idx file of bytes, packed or not, with torchvision: (n, ...) uint8, and its SHA-256.

    Raises InputError if it is anything else, empty, or cut short.
    """
    reader = torchvision_mnist().read_sn3_pascalvincent_tensor
    try:
        content = path.read_bytes()
        if content.startswith(GZIP):
            content = gzip.decompress(content)
            with tempfile.TemporaryDirectory() as folder:
                unpacked = Path(folder) / "idx"
                unpacked.write_bytes(content)
                tensor = reader(str(unpacked))
        else:
            tensor = reader(str(path))
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: cut short or damaged (gzip); copy it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (AssertionError, IndexError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: cut short, empty or no idx file; copy it again") from error

    if tensor.dtype != torch.uint8:
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise InputError(f"{path}: numbers of type {dtype}; write them as bytes from 0 to 255")
    if tensor.dim() != dimensions:
        wanted = "images must be (n, 28, 28)" if dimensions == 3 else "labels must be (n,)"
        raise InputError(f"{path}: an array of shape {tuple(tensor.shape)}; {wanted}")
    return tensor, hashlib.sha256(content).hexdigest()


def _check_images(path: Path, images: torch.Tensor) -> None:
    """Raise InputError unless images are (n, 28, 28); warn of odd pixels."""
    _, height, width = images.shape
    if (height, width) != (28, 28):
        raise InputError(f"{path}: images of {height} x {width} pixels; make them 28 x 28")

    largest = images.max().item()
    mean = images.numpy().mean()  # NumPy sums bytes ten times faster
    odd = ""
    if largest == 0:
        odd = "all pixels are 0, there is no ink; look at how the file was written"
    elif largest == 1:
        odd = "all pixels are 0 or 1, nearly black; ink must be 255: write 255 * images"
    elif mean > 128:
        odd = f"the mean pixel is {mean:.0f}, dark ink on white; write 255 - images"
    if odd:
        warnings.warn(f"{path}: {odd}", stacklevel=4)  # 4: where `load` was called


def _check_labels(path: Path, labels: torch.Tensor) -> None:
    """Raise InputError unless the labels (n,) are the ten classes 0-9, each at least twice."""
    values = labels.unique().tolist()
    if values != list(range(10)):
        listed = ", ".join(map(str, values))
        if len(values) > 2 and values == list(range(values[0], values[-1] + 1)):
            listed = f"{values[0]} to {values[-1]}"
        raise InputError(f"{path}: the labels found are {listed}; make them ten classes, 0 to 9")
    counts = torch.bincount(labels)
    if counts.min() < 2:
        raise InputError(f"{path}: only one digit is a {counts.argmin()}; give two or more of each")


# --- torchvision and the download ---------------------------------------------------------------


def torchvision_mnist():
    """Return the module torchvision.datasets.mnist, also where only torch is a CPU build.

    The CUDA wheel of torchvision registers fake kernels for two operators that its compiled part
    did not define beside a CPU torch; declaring their schemas first lets the import succeed.
    Raises InputError if torchvision is not installed.
    """
    try:
        from torchvision.datasets import mnist
    except ModuleNotFoundError as error:
        raise InputError("MNIST needs torchvision: pip install -r requirements.txt") from error
    except RuntimeError:  # operator torchvision::nms does not exist
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        guard = torch.library.Library("torchvision", "DEF")
        guard.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        guard.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchvision_mnist.guard = guard  # the schemas live as long as this object
        from torchvision.datasets import mnist
    return mnist


def _download(root: Path) -> bool:
    """Download MNIST to root/MNIST/raw, each file whole; torchvision verifies the checksums.

    Returns whether it succeeded; if not, a warning says why.
    """
    target = root / "MNIST/raw"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(15)  # seconds
    say(f"downloading MNIST to {target}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as temporary:
            torchvision_mnist().MNIST(root=temporary, train=True, download=True)
            target.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                os.replace(Path(temporary) / "MNIST/raw" / name, target / name)
        return True
    except (OSError, RuntimeError, EOFError, InputError, http.client.HTTPException) as error:
        reason = textwrap.shorten(str(error), 200)  # no network, wrong checksum, no space
        say(
            f"warning: MNIST is not in {root}, and the download failed ({reason}); "
            f"using {BUNDLED}: 1,797 small digits, whose results are not comparable. "
            "Name a folder with MNIST by --data-dir or MNIST_ROOT"
        )
        return False
    finally:
        socket.setdefaulttimeout(before)


# --- pixels -------------------------------------------------------------------------------------


def as_float(images: torch.Tensor) -> torch.Tensor:
    """Return images as float32 in [0, 1]; uint8 is divided by 255."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def binarise(grey: torch.Tensor) -> torch.Tensor:
    """Draw x ~ Bernoulli(grey / 255) for each pixel: uint8 of any shape -> float32 of {0, 1}.

    Source: Salakhutdinov & Murray 2008, On the Quantitative Analysis of Deep Belief Networks.
    """
    return torch.bernoulli(grey / 255)


def shift(images: torch.Tensor, most: int) -> torch.Tensor:
    """Move each image (n, 28, 28) by its own random whole number of pixels, at most `most`."""
    dy, dx = torch.randint(0, 2 * most + 1, (2, len(images)), device=images.device)
    windows = F.pad(images, (most,) * 4).unfold(1, images.shape[1], 1).unfold(2, images.shape[2], 1)
    return windows[torch.arange(len(images), device=images.device), dy, dx]  # (n, 28, 28)
