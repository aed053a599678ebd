"""Checkpoints and other files made to harm: refused in one line, and no code is run."""

import zipfile

from common import ebm
from common.digits import classifier
from common.digits import model as digit_model
from common.light_curves import model as curve_model
from common.runtime.errors import InputError
from common.swiss_roll import data as roll_data

import pytest
import torch
from conftest import ROOT


def from_folder(name, load):
    """Return a loader of the file `name` in checkpoints/ below the folder it is given."""
    return name, lambda folder: load(folder / f"checkpoints/{name}.pt")


LOADERS = {
    "digits": from_folder("ex_1b", digit_model.load),
    "curves": from_folder("ex_2b", curve_model.load),
    "judge": ("judge", lambda folder: classifier.load(str(folder))),
    "energy": from_folder("ex_3a_cd", roll_data.load_model),
}


def shipped(name):
    return torch.load(ROOT / f"checkpoints/{name}.pt", weights_only=True)


def place(folder, name, content):
    """Save `content` (a dictionary or bytes) as the checkpoint `name` below `folder`."""
    path = folder / f"checkpoints/{name}.pt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    return path


def refused(load, folder):
    with pytest.raises(InputError, match="run `python ") as error:
        load(folder)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


class Touch:
    """An object whose unpickling would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("place_of_code", ["weights", "model", "exercise", "alone", "legacy"])
def test_code_in_a_checkpoint_never_runs(tmp_path, loader, place_of_code):
    name, load = LOADERS[loader]
    bomb, path = Touch(str(tmp_path / "ran")), tmp_path / f"checkpoints/{name}.pt"
    content = shipped(name) | {place_of_code: bomb}
    path.parent.mkdir()
    legacy = place_of_code == "legacy"
    torch.save(bomb if place_of_code == "alone" else content, path,
               _use_new_zipfile_serialization=not legacy)  # fmt: skip
    refused(load, tmp_path)
    assert not (tmp_path / "ran").exists()


def stretched(content):
    """Claim 4096 units and give every tensor of that size as one number, repeated."""
    model = content["model"] | {"width": 4096, "depth": 8}
    with torch.device("meta"):
        wanted = ebm.LogDensity(**model).state_dict()
    return {
        "model": model,
        "weights": {k: torch.zeros(1).expand(v.shape) for k, v in wanted.items()},
    }


def first_weight(change):
    """Return a damage: `change` applied to the first tensor with two dimensions."""

    def damage(content):
        weights = dict(content["weights"])
        name = next(name for name, value in weights.items() if value.dim() >= 2)
        return {"weights": weights | {name: change(weights[name])}}

    return damage


DAMAGES = {
    "stretched tensors": stretched,
    "sparse tensor": first_weight(lambda w: w.float().to_sparse()),
    "meta tensor": first_weight(lambda w: w.to("meta")),
    "whole numbers": first_weight(lambda w: w.long()),
    "complex numbers": first_weight(lambda w: w.to(torch.complex64)),
    "nan": first_weight(lambda w: w.clone().fill_(torch.nan)),
    "inf": first_weight(lambda w: w.clone().fill_(-torch.inf)),
    "a list": first_weight(lambda w: w.tolist()),
    "other names": lambda content: {"weights": {"a": torch.ones(1)}},
    "other types of names": lambda content: {"weights": {1: 2}},
    "no weights": lambda content: {"weights": None},
    "model is a list": lambda content: {"model": [1, 2]},
    "model has numbers for names": lambda content: {"model": {1: 2}},
    "source is a number": lambda content: {"source": 3},
    "noise is text": lambda content: {"noise": "0.2"},
    "noise is tiny": lambda content: {"noise": 1e-5},
    "noise is nan": lambda content: {"noise": float("nan")},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_contents_that_do_not_fit_are_refused(tmp_path, damage):
    content = shipped("ex_3a_cd")
    place(tmp_path, "ex_3a_cd", content | DAMAGES[damage](content))
    refused(LOADERS["energy"][1], tmp_path)


OTHER = {
    "an order that is none": ("curves", lambda c: {"weights": c["weights"] | {
        "prior.order0": torch.full((32,), 99)}}),
    "no sizes": ("curves", lambda c: {"trained_p": []}),
    "sizes of text": ("curves", lambda c: {"trained_p": ["0.1"]}),
    "negative sizes": ("curves", lambda c: {"trained_p": [-0.1]}),
    "no recipe": ("judge", lambda c: {"settings": {}}),
    "a recipe without end": ("judge", lambda c: {"settings": {"epochs": 10**12}}),
    "another exercise": ("digits", lambda c: {"exercise": torch.ones(3)}),
    "a long name": ("digits", lambda c: {"exercise": "x\n" * 10**6}),
}  # fmt: skip


@pytest.mark.parametrize("damage", OTHER)
def test_fields_that_scripts_use_are_checked_when_read(tmp_path, damage):
    loader, change = OTHER[damage]
    name, load = LOADERS[loader]
    content = shipped(name)
    place(tmp_path, name, content | change(content))
    refused(load, tmp_path)


def rewritten(path, compression=zipfile.ZIP_STORED, twice=()):
    """Write the archive `path` anew: compressed, or with some entries twice."""
    with zipfile.ZipFile(path) as old:
        entries = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, data in entries + [e for e in entries if e[0].endswith(tuple(twice) or "\0")]:
            new.writestr(name, data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_hide_their_size_are_refused(tmp_path):
    path = place(tmp_path, "ex_3a_cd", shipped("ex_3a_cd"))
    rewritten(path)
    LOADERS["energy"][1](tmp_path)  # the rewriting alone does no harm
    rewritten(path, zipfile.ZIP_DEFLATED)
    refused(LOADERS["energy"][1], tmp_path)
    path = place(tmp_path, "ex_3a_cd", shipped("ex_3a_cd"))
    rewritten(path, twice=["data.pkl"])
    refused(LOADERS["energy"][1], tmp_path)
