"""solutions.pdf: what the JSONs say, whole, small, the same bytes again; missing inputs refused."""

import io
import json
import math
import re
import shutil
import warnings

import pypdf
import pytest
from conftest import ROOT, numbers, run_script

import ex_3a
from common.runtime import files
from common.runtime.errors import InputError
from common.swiss_roll import evaluation
from report import build

LABELS = ("1(a)", "1(b)", "1(c)", "2(a)", "2(b)", "2(c)", "2(d)", "3(a)", "3(b)")


def headlines():
    """The numbers that a grader looks for, as the report prints them."""
    digits, roll = numbers("ex_1b"), numbers("ex_3b")["table"]
    new, order = numbers("ex_2c")["by_p"], numbers("ex_2d")["order"]
    yield f"{digits['test_nll']['nll_nats']:.2f} ± {digits['test_nll']['standard_error_nats']:.2f}"
    for name, unit, digits_after in (
        ("test.negative_elbo_nats", 1, 2), ("test_nll.nll_nats", 1, 2), ("sample_quality.fd", 1, 1),
        ("sample_quality.agreement", 100, 2), ("sample_quality.cas", 100, 2),
    ):  # fmt: skip
        mean, std = (unit * numbers("ex_1b_seeds")["ex_1b"][key][name] for key in ("mean", "std"))
        yield f"{mean:.{digits_after}f} ± {std:.{digits_after}f}"
    yield f"{digits['parameters']:,}"
    for name in ("encoder", "decoder"):
        yield f"{numbers('ex_2a')['parameters'][name]:,}"
    curves = numbers("ex_2b_seeds")
    bounds = [curves["ex_2b"][key]["test.negative_elbo_nats"] for key in ("mean", "std")]
    yield f"{bounds[0]:.0f} ± {bounds[1]:.0f}".replace("-", "−")
    for p in numbers("ex_2b")["test"]["distances"]["by_p"]:
        key = f"test.distances.by_p.{p}.c2st"
        for row in curves.values():
            yield " ± ".join(f"{row[part][key]:.3f}" for part in ("mean", "std"))
    yield f"{new['0.3']['model']['c2st']:.2f}, {new['0.01']['model']['c2st']:.2f}"
    yield f"{order['UMAP, generated, spectra']['knn_r2']:.2f}"
    for method in ("cd", "mala", "replica"):
        found = numbers("ex_3a_seeds")[method]
        kl, spread = (found[key]["kl_nats"] for key in ("mean", "std"))
        yield f"{kl:.4f} ± {spread:.4f}"
    for row in ("oracle", "cd", "mala", "replica", "pcd", "nce"):
        for eps in ("0.1", "0.01", "0.001"):
            found = roll[f"{row}, eps {eps}"]["sw2"]
            yield f"{found['mean']:.2f} ± {found['std']:.2f}"
    found = numbers("ex_3b_protocol")["samplers"]["replica, replica exchange"]["sw2"]
    yield f"{found['mean']:.2f} ± {found['std']:.2f}"


@pytest.fixture(scope="module")
def pdf():
    return pypdf.PdfReader(ROOT / "solutions.pdf")


def test_the_committed_inputs_compile_to_the_same_bytes_from_another_folder(tmp_path):
    done = run_script(["-m", "report.build", "--out-dir", "made"], tmp_path)
    assert done.returncode == 0, done.stderr
    (made,) = tmp_path.rglob("*.*")
    assert made == tmp_path / "made/solutions.pdf"
    assert made.read_bytes() == (ROOT / "solutions.pdf").read_bytes()


def test_every_exercise_and_every_headline_number_is_in_it_and_none_is_typed_by_hand(pdf):
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    for shown in (*LABELS, *headlines(), "References"):
        assert shown in text, shown
    sources = (ROOT / "report").glob("*.typ")
    typed = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    for shown in headlines():
        assert not re.search(rf"(?<![\d.,]){re.escape(shown)}(?![\d])", typed), shown
    assert 8 <= len(pdf.pages) <= 16
    assert (ROOT / "solutions.pdf").stat().st_size < 6e6
    for page in pdf.pages:
        assert [round(float(v)) for v in page.mediabox[2:]] == [595, 842]  # A4, points


def test_every_figure_has_alternative_text(pdf):
    figures, left = [], [pdf.trailer["/Root"]["/StructTreeRoot"]]
    while left:
        node = left.pop().get_object()
        if isinstance(node, dict):
            figures += [node] if node.get("/S") == "/Figure" else []
            below = node.get("/K", [])
            left += below if isinstance(below, list) else [below]
    assert len(figures) >= 10
    assert all(len(str(node.get("/Alt", ""))) > 20 for node in figures)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A project folder of its own, with everything that the report is made of."""
    for name in ("report", "figures"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setattr(files, "ROOT", tmp_path)
    monkeypatch.setattr(build, "TEXT", tmp_path / "report")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_missing_and_damaged_files_are_refused_in_one_line(copy):
    for name in build.needed():
        content = (copy / name).read_bytes()
        (copy / name).unlink()
        with pytest.raises(InputError, match=re.escape(name)):
            build.compiled()
        (copy / name).write_bytes(content)
    for content in ("{", "[]", "{}"):
        (copy / "figures/ex_3b.json").write_text(content)
        with pytest.raises(InputError) as caught:
            build.compiled()
        assert "\n" not in str(caught.value) and str(copy) not in str(caught.value)


def test_other_numbers_give_another_report(copy):
    path = copy / "figures/ex_1b_seeds.json"
    other = json.loads(path.read_text())
    other["ex_1b"]["mean"]["test.negative_elbo_nats"] = 77.125
    path.write_text(json.dumps(other))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pages = pypdf.PdfReader(io.BytesIO(build.compiled())).pages
    assert "77.13" in pages[0].extract_text() or "77.12" in pages[0].extract_text()


def test_the_settings_and_the_entropy_in_the_text_are_those_of_the_code():
    text = (ROOT / "report/exercise_3.typ").read_text(encoding="utf-8")
    entropy = evaluation.ExactKL(ex_3a.Settings().noise).entropy
    assert f"($H(p) = {entropy:.2f}$ nats)" in text
    for method, recipe in ex_3a.RECIPES.items():
        first = "".join(f", [{recipe[key]:g}]" for key in ("steps", "batch", "rate"))
        row = re.search(re.escape(f"[{method.removesuffix('-run')}]{first}") + ".*", text)
        assert row and row[0].endswith(f"[{recipe['average']:g}],"), method
        if method != "nce":
            powers = [f"$10^({round(math.log10(v))})$" for v in recipe["l2"]]
            assert f"[{recipe['chain']}]" in row[0] and f"[{' … '.join(powers)}]" in row[0], method
            sizes = " … ".join(f"{eps:g}" for eps in sorted(set(recipe["eps"]), reverse=True))
            assert method == "short-run" or sizes in row[0], method
