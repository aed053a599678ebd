"""Checkpoints and other files made to harm: refused in one line, and no code is run."""

import zipfile

import pytest
import torch
from conftest import ROOT

from common import ebm
from common.digits import classifier
from common.digits import model as digit_model
from common.light_curves import model as curve_model
from common.runtime.errors import InputError
from common.swiss_roll import data as roll_data

LOADERS = {  # name of the checkpoint: what reads it, given its path
    "ex_1b": digit_model.load,
    "ex_2b": curve_model.load,
    "judge": lambda path: classifier.load(str(path.parents[1])),
    "ex_3a_cd": roll_data.load_model,
}


def shipped(name):
    return torch.load(ROOT / f"checkpoints/{name}.pt", weights_only=True)


def place(folder, name, content, **more):
    """Save `content` as the checkpoint `name` below `folder`."""
    path = folder / f"checkpoints/{name}.pt"
    path.parent.mkdir(exist_ok=True)
    torch.save(content, path, **more)
    return path


def refused(path):
    """Check that the checkpoint is refused in one line that says how to make it anew."""
    with pytest.raises(InputError, match="run `python ") as error:
        LOADERS[path.stem](path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


class Touch:
    """An object whose unpickling would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("place_of_code", ["weights", "model", "exercise", "alone", "legacy"])
def test_code_in_a_checkpoint_never_runs(tmp_path, name, place_of_code):
    bomb, legacy = Touch(str(tmp_path / "ran")), place_of_code == "legacy"
    content = bomb if place_of_code == "alone" else shipped(name) | {place_of_code: bomb}
    refused(place(tmp_path, name, content, _use_new_zipfile_serialization=not legacy))
    assert not (tmp_path / "ran").exists()


def stretched(content):
    """Claim 4096 units and give every tensor of that size as one number, repeated."""
    model = content["model"] | {"width": 4096, "depth": 8}
    with torch.device("meta"):
        wanted = ebm.LogDensity(**model).state_dict()
    weights = {k: torch.zeros(1).expand(v.shape) for k, v in wanted.items()}
    return {"model": model, "weights": weights}


def first_weight(change):
    """Return a damage: `change` applied to the first tensor with two dimensions."""

    def damage(content):
        weights = dict(content["weights"])
        name = next(name for name, value in weights.items() if value.dim() >= 2)
        return {"weights": weights | {name: change(weights[name])}}

    return damage


DAMAGES = {
    "ex_3a_cd": [
        stretched,
        *map(first_weight, (
            lambda w: w.float().to_sparse(), lambda w: w.to("meta"), lambda w: w.long(),
            lambda w: w.to(torch.complex64), lambda w: w.clone().fill_(torch.nan),
            lambda w: w.clone().fill_(-torch.inf), lambda w: w.tolist())),
        {"weights": {"a": torch.ones(1)}}, {"weights": {1: 2}}, {"weights": None},
        {"model": [1, 2]}, {"model": {1: 2}}, {"source": 3},
        {"noise": "0.2"}, {"noise": 1e-5}, {"noise": float("nan")},
    ],
    "ex_2b": [
        lambda c: {"weights": c["weights"] | {"prior.order0": torch.full((32,), 99)}},
        {"trained_p": []}, {"trained_p": ["0.1"]}, {"trained_p": [-0.1]},
    ],
    "judge": [{"settings": {}}, {"settings": {"epochs": 10**12}}],
    "ex_1b": [{"exercise": torch.ones(3)}, {"exercise": "x\n" * 10**6}, {"exercise": [["ex_1b"]]}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "damage"), [(k, damage) for k in DAMAGES for damage in DAMAGES[k]]
)
def test_contents_that_do_not_fit_are_refused(tmp_path, name, damage):
    content = shipped(name)
    change = damage(content) if callable(damage) else damage
    refused(place(tmp_path, name, content | change))


def entries(path):
    """Return the names and contents of the parts of an archive."""
    with zipfile.ZipFile(path) as file:
        return [(info.filename, file.read(info)) for info in file.infolist()]


def rewritten(path, compression=zipfile.ZIP_STORED, twice=()):
    """Write the archive `path` anew: compressed, or with some entries twice."""
    parts = entries(path)
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, data in parts + [part for part in parts if part[0].endswith(tuple(twice))]:
            new.writestr(name, data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_hide_their_size_are_refused(tmp_path):
    path = place(tmp_path, "ex_3a_cd", shipped("ex_3a_cd"))
    rewritten(path)
    LOADERS["ex_3a_cd"](path)  # the rewriting alone does no harm
    for harm in ({"compression": zipfile.ZIP_DEFLATED}, {"twice": ["data.pkl"]}):
        rewritten(place(tmp_path, "ex_3a_cd", shipped("ex_3a_cd")), **harm)
        refused(path)
