"""What a checkpoint must be before it is believed: an undamaged archive, weights that fit."""

import contextlib
import zipfile
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode


class _Unfilled(TorchFunctionMode):
    """Leave tensors as they are instead of filling them with normal random numbers.

    Without memory there is nothing to fill; torch would load its compiler for it, a second.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.normal_:
            return args[0]
        function = torch.empty if function is torch.randn else function
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def shapes_only():
    """Let modules that are built in this block have shapes, but no memory and no numbers."""
    with torch.device("meta"), _Unfilled():
        yield


def archive(path: Path) -> None:
    """Raise an error unless `path` is a zip file as torch.save writes it, stored and undamaged.

    torch itself does not compare the checksums: a flipped bit would be another weight.
    """
    with zipfile.ZipFile(path) as file:
        entries = file.infolist()
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("two entries of the same name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("compressed: its size would not bound what is read")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("entries overlap")
        if file.testzip() is not None:
            raise ValueError("a checksum is wrong")


def weights(module: torch.nn.Module, found: dict) -> None:
    """Raise ValueError unless `found` can be those of `module`, which may be on device meta.

    Names and shapes are the same, every number is in the file itself (no tensor stretched over
    few bytes), parameters are finite, no number is nan, and permutations are permutations.
    """
    wanted, parameters = module.state_dict(), dict(module.named_parameters())
    if not isinstance(found, dict) or found.keys() != wanted.keys():
        raise ValueError("other names of weights")
    for name, value in found.items():
        want = wanted[name]
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            raise ValueError(f"{name} is not a tensor of numbers")
        if value.shape != want.shape or value.is_floating_point() != want.is_floating_point():
            raise ValueError(f"{name} has the shape {tuple(value.shape)}")
        if value.is_meta or value.untyped_storage().nbytes() < value.numel() * value.itemsize:
            raise ValueError(f"{name} has fewer numbers than its shape says")
        if value.isnan().any() or (name in parameters and not value.isfinite().all()):
            raise ValueError(f"{name} is not finite")
        if not value.is_floating_point():
            order = torch.arange(value.numel(), dtype=value.dtype)
            if not torch.equal(value.flatten().sort().values, order):
                raise ValueError(f"{name} is not a permutation")
