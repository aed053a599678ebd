"""Handwritten digits as uint8 tensors in memory: MNIST, or the digits that scikit-learn carries."""

import http.client
import os
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F


from common.training import InputError

MNIST = "MNIST"
BUNDLED = "scikit-learn digits, 8x8 resampled to 28x28 (not MNIST)"
RAW = {  # the four files and the start of the SHA-256 of the official ones
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351",
}


@dataclass(frozen=True)
class Digits:
    """Images (n, 28, 28) uint8 and labels (n,) int64, for training and test, and their source."""

    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    source: str


def load(data_dir: str = "", limit: int | None = None) -> Digits:
    """Return MNIST from `data_dir`, $MNIST_ROOT or data/; else download it; else other digits.

    data_dir: folder that holds MNIST/raw/.  limit: take only so many digits of each part, and do
    not download.  A damaged file, or a `data_dir` without the files, raises InputError; without
    any MNIST there is a warning, and `source` says which digits these are.
    """
    root = Path(data_dir or os.environ.get("MNIST_ROOT") or "data")
    if data_dir and not has_files(root):
        missing = f"--data-dir {root}: no MNIST/raw/ with the four files of MNIST"
        raise InputError(f"{missing}; without --data-dir they are downloaded to data/")
    if has_files(root) or (limit is None and _download(root)):
        data = read(root)
    else:
        sys.stderr.write(
            f"warning: no MNIST below {root} and no download; using {BUNDLED}: 1,797 small digits, "
            "results are not comparable. Set --data-dir or MNIST_ROOT to a folder with MNIST/raw/\n"
        )
        data = bundled()
    if limit is None or len(data.train_images) <= limit:
        return data
    parts = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    return Digits(*(part[:limit] for part in parts), source=f"{data.source}, first {limit:,}")


def hold_out(data: Digits) -> Digits:
    """Return `data` with the last sixth of its training digits as test digits."""
    images, labels = data.train_images, data.train_labels
    kept = len(images) - len(images) // 6
    source = f"{data.source}, without the last {len(images) - kept:,} training digits"
    return Digits(images[:kept], labels[:kept], images[kept:], labels[kept:], source)


def has_files(root: Path) -> bool:
    """Tell whether the four MNIST files lie in root/MNIST/raw."""
    return all((root / "MNIST/raw" / name).is_file() for name in RAW)


def read(root: Path) -> Digits:
    """Read the four files below root/MNIST/raw.

    Raises InputError for damaged files, and for sets in which a digit occurs less than twice.
    """
    raw, parts = Path(root) / "MNIST/raw", []
    for part in ("train", "t10k"):
        paths = raw / f"{part}-images-idx3-ubyte", raw / f"{part}-labels-idx1-ubyte"
        images, labels = _idx(paths[0], 3), _idx(paths[1], 1)
        if images.shape[1:] != (28, 28) or len(images) == 0:
            raise _damaged(paths[0], f"images have the shape {tuple(images.shape)}")
        if len(labels) != len(images) or labels.max() > 9:
            raise _damaged(paths[1], "labels do not fit the images, or are outside 0-9")
        if torch.bincount(labels, minlength=10).min() < 2:
            raise _damaged(paths[1], "some digit occurs less than twice")
        parts += [images, labels.long()]
    official = all(files.sha256(raw / name).startswith(start) for name, start in RAW.items())
    return Digits(*parts, source=MNIST if official else f"own digits in {root}")


def _idx(path: Path, dimensions: int) -> torch.Tensor:
    """Read an idx file of bytes with torchvision: (n, ...) uint8."""
    read_idx = torchvision_mnist().read_sn3_pascalvincent_tensor
    try:
        found = read_idx(str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (AssertionError, IndexError, KeyError, RuntimeError, ValueError) as error:
        raise _damaged(path, "it is not an idx file of bytes, or cut short") from error
    if found.dtype != torch.uint8 or found.dim() != dimensions:
        raise _damaged(path, f"{found.dtype} of shape {tuple(found.shape)}")
    return found


def _damaged(path, what):
    return InputError(f"{path} is truncated or damaged ({what}): delete it and download again")


def torchvision_mnist():
    """Return the module torchvision.datasets.mnist, also where only torch is a CPU build.

    The CUDA wheel of torchvision registers fake kernels for two operators that its compiled part
    did not define beside a CPU torch; declaring their schemas first lets the import succeed.
    """
    try:
        from torchvision.datasets import mnist
    except ModuleNotFoundError as error:
        raise InputError("MNIST needs torchvision: pip install -r requirements.txt") from error
    except RuntimeError:  # operator torchvision::nms does not exist
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _guard = torch.library.Library("torchvision", "DEF")
        _guard.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _guard.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchvision_mnist.guard = _guard  # the schemas live as long as this object
        from torchvision.datasets import mnist
    return mnist


def _download(root: Path) -> bool:
    """Download MNIST into root/MNIST/raw, each file whole; torchvision verifies the checksums.

    Of several processes one downloads, the others wait.  Returns whether the files are there.
    """
    target, before = root / "MNIST/raw", socket.getdefaulttimeout()
    socket.setdefaulttimeout(15)  # seconds
    try:
        with files.exclusive(target):
            if not has_files(root):
                with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as temporary:
                    torchvision_mnist().MNIST(root=temporary, train=True, download=True)
                    for name in RAW:
                        os.replace(Path(temporary) / "MNIST/raw" / name, target / name)
        return True
    except (OSError, RuntimeError, EOFError, InputError, http.client.HTTPException):
        return False  # no network, no mirror, wrong checksum, no space
    finally:
        socket.setdefaulttimeout(before)


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
    return Digits(images[first], labels[first], images[second], labels[second], source=BUNDLED)


def as_float(images: torch.Tensor) -> torch.Tensor:
    """Return images as float32 in [0, 1]; uint8 is divided by 255."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def binarise(images: torch.Tensor) -> torch.Tensor:
    """Draw x ~ Bernoulli(grey / 255) for each pixel: uint8 of any shape -> float32 of {0, 1}.

    Exact: P(r < grey) = grey / 255 for r uniform on the integers 0..254.
    (Salakhutdinov & Murray 2008, On the Quantitative Analysis of Deep Belief Networks.)
    """
    uniform = torch.randint(0, 255, images.shape, dtype=torch.uint8, device=images.device)
    return (uniform < images).float()


def shift(images: torch.Tensor, most: int) -> torch.Tensor:
    """Move each image (n, 28, 28) by its own random whole number of pixels, at most `most`."""
    dy, dx = torch.randint(0, 2 * most + 1, (2, len(images)), device=images.device)
    windows = F.pad(images, (most,) * 4).unfold(1, images.shape[1], 1).unfold(2, images.shape[2], 1)
    return windows[torch.arange(len(images), device=images.device), dy, dx]  # (n, 28, 28)
