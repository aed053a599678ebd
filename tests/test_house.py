"""The house: imports go one way, small modules, a map and a README that are true."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT

SUBJECTS = ("digits", "light_curves", "swiss_roll")
METHODS = ("cvae", "priors", "networks", "ebm", "langevin", "training", "distances", "plots")
FLOORS = ("runtime", "methods", "subjects", "scripts", "readers")  # each sees those before it


def modules():
    """Return {dotted name: path} of every module of the project but the tests."""
    folders = [ROOT / name for name in ("common", "report", "benchmarks")]
    paths = [*ROOT.glob("*.py"), *(p for folder in folders for p in folder.rglob("*.py"))]
    return {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in paths}


def floor_of(name: str):
    """Return (floor, subject or None) of a module by its dotted name."""
    top, part, *_ = [*name.split("."), "__init__"]  # common itself: the map, which imports nothing
    if top != "common":
        return ("readers" if top in ("report", "benchmarks") else "scripts"), None
    if part in SUBJECTS:
        return "subjects", part
    assert part in (*METHODS, "__init__", "runtime"), f"{name} has no place in the house"
    return ("methods" if part in METHODS else "runtime"), None


def imported(path):
    """Yield the dotted names of the project's modules that the module at `path` imports."""
    known = {name.removesuffix(".__init__") for name in modules()}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert getattr(node, "level", 0) == 0, f"{path}: relative import"
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
    """runtime <- methods <- subjects <- scripts <- report, benchmarks; subjects stand alone."""
    for name, path in modules().items():
        assert not [target for target in imported(path) if broken(name, target)], name
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))  # `python -O` asserts nothing
        assert not any(isinstance(node, ast.Assert) for node in nodes), name


def test_the_law_would_notice():
    assert broken("common.runtime.files", "common.cvae")
    assert broken("common.ebm", "common.swiss_roll.density")
    assert broken("common.digits.model", "common.light_curves.model")
    assert broken("common.training", "ex_1b") and broken("ex_1b", "benchmarks.epoch")
    assert not broken("ex_1b", "common.digits.model")


def test_the_bottom_knows_nothing_and_only_scripts_are_run():
    assert list(imported(ROOT / "common/runtime/errors.py")) == []
    with_main = {name for name, path in modules().items()
                 if name.startswith("common.") and "def main(" in path.read_text()}  # fmt: skip
    assert with_main == {"common.light_curves.__main__", "common.digits.classifier"}


def test_common_is_small_enough_to_walk_through():
    files = list((ROOT / "common").glob("*.py"))
    folders = [path for path in (ROOT / "common").iterdir() if (path / "__init__.py").exists()]
    assert len(files) <= 9 and len(folders) <= 4
    for name, path in modules().items():
        assert name.split(".")[0] != "common" or len(path.read_text().splitlines()) <= 250, name
    subjects = {
        f"common.{s}.{file}" for s in SUBJECTS for file in ("data", "evaluation", "figures")
    }
    assert subjects <= set(modules())


@pytest.mark.parametrize("package", ["common", *(f"common/{s}" for s in (*SUBJECTS, "runtime"))])
def test_the_map_of_a_package_names_what_is_there(package):
    folder = ROOT / package
    there = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    there |= {path.parent.name for path in folder.glob("*/__init__.py")}
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert set(re.findall(r"^ *(\w+)  +\S", text, re.MULTILINE)) == there


SLOW = {"scipy", "sklearn", "numba", "umap", "torchvision", "torch._dynamo", "sympy"}
PACKAGES = ("common", *(f"common.{s}" for s in (*SUBJECTS, "runtime")))
QUICK = {
    f"import {', '.join(PACKAGES)}": SLOW | {"matplotlib"},
    "import ex_1c as m; m.generate([2, 0])": SLOW,
    "import ex_2a, ex_2b, ex_2c, ex_2d": {"umap"},
    "import ex_2c as m; m.generate([0.3], 2)": SLOW,
}


@pytest.mark.parametrize("code", QUICK)
def test_neither_importing_a_package_nor_drawing_loads_anything_slow(code):
    code += f"; import sys; sys.exit(' '.join({QUICK[code]} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_readme_and_docstrings_name_files_and_functions_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150 and len(text.split()) <= 1500
    named = re.findall(r"`([\w/]+\.py)`: `(\w+)`", text)
    assert {file for file, _ in named} >= {path.name for path in ROOT.glob("ex_*.py")}
    for file, function in named:
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE), function
    for path in ROOT.glob("ex_*.py"):  # and docstrings, files that exist
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        for name in re.findall(r"common/[\w/]+\.py", text):
            assert (ROOT / name).is_file(), (path, name)
