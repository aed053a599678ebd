"""The house: lint, imports that go one way, nothing slow loaded early, docstrings that are true."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT

SUBJECTS = ("digits", "light_curves", "swiss_roll")
METHODS = ("cvae", "priors", "networks", "bounds", "muon", "ebm", "langevin", "distances", "plots")
READERS = ("studies",)
FLOORS = (  # each sees those before it
    "microlensing",
    "training",
    "methods",
    "subjects",
    "scripts",
    "readers",
)


def test_lint():
    for command in (["check"], ["format", "--check"]):
        arguments = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def modules():
    """Return {dotted name: path} of every module of the project but the tests."""
    folders = [ROOT / name for name in ("common", *READERS)]
    paths = [*ROOT.glob("*.py"), *(p for folder in folders for p in folder.rglob("*.py"))]
    return {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in paths}


def floor_of(name: str):
    """Return (floor, subject or None) of a module by its dotted name."""
    top, part, *_ = [*name.split("."), "__init__"]  # common itself: the map, which imports nothing
    if top == "data_loader":
        return "subjects", "light_curves"
    if top != "common":
        return ("readers" if top in READERS else "scripts"), None
    if part in SUBJECTS:
        return "subjects", part
    places = {"__init__": "training", "training": "training"}
    places |= {"microlensing": "microlensing"}
    places |= dict.fromkeys(METHODS, "methods")
    assert part in places, f"{name} has no place in the house"
    return places[part], None


def imported(path):
    """Yield the dotted names of the project's modules that the module at `path` imports.

    Only the simulator, a package that others may copy, imports from itself by relative names.
    """
    known = {name.removesuffix(".__init__") for name in modules()}
    own = path.parent.name == "microlensing"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            if getattr(node, "level", 0):
                assert own and node.level == 1, f"{path}: relative import"
                continue
            before = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for name in (before + alias.name for alias in node.names):
                while name and name not in known:
                    name = name.rpartition(".")[0]
                yield from [name] if name else []


def broken(name: str, target: str) -> bool:
    """Tell whether the module `name` may not import `target`."""
    (floor, subject), (below, other) = floor_of(name), floor_of(target)
    apart = None not in (subject, other) and subject != other
    return apart or FLOORS.index(below) > FLOORS.index(floor)


def test_imports_go_one_way_and_no_module_asserts():
    """training <- methods <- subjects <- scripts <- readers; subjects stand alone."""
    for name, path in modules().items():
        assert not [target for target in imported(path) if broken(name, target)], name
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))  # `python -O` asserts nothing
        assert not any(isinstance(node, ast.Assert) for node in nodes), name


def test_the_law_would_notice():
    assert broken("common.training", "common.cvae")
    assert broken("common.ebm", "common.swiss_roll.density")
    assert broken("common.digits.model", "common.light_curves.model")
    assert broken("common.training", "ex_1b")
    assert broken("ex_1b", "studies.seeds")
    assert broken("common.microlensing.maps", "common.training")
    assert broken("common.digits.data", "data_loader")
    assert not broken("ex_1b", "common.digits.model")
    assert not broken("common.ebm", "common.training")


def test_the_bottom_knows_nothing():
    assert list(imported(ROOT / "common/training.py")) == []


SLOW = {"scipy", "sklearn", "numba", "umap", "torchvision", "torch._dynamo", "sympy"}
PACKAGES = (
    "common, common.microlensing, common.light_curves, common.swiss_roll, common.ebm, "
    "common.digits.model"
)
QUICK = {
    f"import {PACKAGES}": SLOW | {"matplotlib"},
    "import ex_2a, ex_2b, ex_2c, ex_2d, ex_3a, ex_3b": {"umap"},
    "import ex_2c as m; m.generate([0.3], 2)": SLOW,
}


@pytest.mark.parametrize("code", QUICK)
def test_neither_importing_a_package_nor_drawing_loads_anything_slow(code):
    code += f"; import sys; sys.exit(' '.join({QUICK[code]} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_docstrings_name_files_that_exist():
    for path in ROOT.glob("ex_*.py"):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        for name in re.findall(r"common/[\w/]+\.py", text):
            assert (ROOT / name).is_file(), (path, name)
