"""What README says is true: its commands run, its links exist, its numbers are measured."""

import json
import re
import statistics

import pypdf
import pytest
from conftest import ROOT, numbers, run_script

from benchmarks import timing

README = (ROOT / "README.md").read_text(encoding="utf-8")
FOUND = re.findall(r"^(?:\$ )?(python [^#\n]+)|`(python (?:-m )?[^`]+)`", README, re.MULTILINE)
COMMANDS = sorted({(line or quoted).strip() for line, quoted in FOUND})
SKIPPED = ("--resume", "benchmarks", "few/checkpoints", "textbook/checkpoints")
TO_RUN = [c for c in COMMANDS if len(c.split()) > 2 and not any(s in c for s in SKIPPED)]


@pytest.mark.parametrize("command", TO_RUN)
def test_commands_run(command, small_mnist):
    words = command.split()[1:]
    if words[0].endswith(".py"):
        words[0] = ROOT / words[0]
    done = run_script([*words, "--smoke", "--threads", "1"], small_mnist)
    assert done.returncode == 0, done.stderr


def test_the_python_example_runs(tmp_path):
    texts = README + "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md"))
    blocks = re.findall(r"```python\n(.*?)```", texts, re.DOTALL)
    assert len(blocks) == 5
    for code in blocks:
        done = run_script(["-c", code], tmp_path)
        assert done.returncode == 0, done.stderr


def test_links_resolve_to_files():
    targets = re.findall(r"\]\((?!https://)([^)#]+)\)", README)  # no network in tests
    assert targets
    for target in targets:
        assert (ROOT / target).is_file(), target


def seeds(name, key, digits, unit="f", variant=""):
    """Return "mean ± sample deviation" over seeds 0-4 as README prints it."""
    runs = numbers(f"{name}_seeds")[variant or name]["seeds"]
    assert [*runs] == [*"01234"]
    values = [run[key] for run in runs.values()]
    found = statistics.mean(values), statistics.stdev(values)
    return " ± ".join(f"{value:.{digits}{unit}}" for value in found)


def measured():
    """Yield (script, a measured number): README quotes it, and the docstring of the script."""
    digits, curves = numbers("ex_1b"), numbers("ex_2b")
    quality = digits["sample_quality"]
    yield "ex_1b", f"−ELBO {seeds('ex_1b', 'test.negative_elbo_nats', 2)} nats"
    yield "ex_1b", f"NLL ≤ {seeds('ex_1b', 'test_nll.nll_nats', 2)}"
    agreement = seeds("ex_1b", "sample_quality.agreement", 2, "%")
    yield "ex_1b", f"{agreement} (real digits: {quality['agreement_real']:.2%})"
    fd, floor = seeds("ex_1b", "sample_quality.fd", 1), seeds("ex_1b", "sample_quality.fd_floor", 1)
    yield "ex_1b", f"FD {fd} (real digits: {floor})"
    yield "ex_1b", f"CAS {seeds('ex_1b', 'sample_quality.cas', 2, '%')}"
    mean = numbers("ex_1b_seeds")["ex_1b"]["mean"]
    ratio = mean["sample_quality.fd"] / mean["sample_quality.fd_floor"]
    yield "", f"FD of generated digits is {ratio:.1f} times that of real ones"
    count = numbers("ex_2a")["parameters"]
    yield "ex_2a", f"{count['encoder']:,} and {count['decoder']:,} parameters"
    yield "ex_2b", f"−ELBO {seeds('ex_2b', 'test.negative_elbo_nats', 0)} nats per curve"
    shown_as = {"0.1": "0.1", "0.139891": "0.14", "0.195695": "0.20", "0.535734": "0.54"}
    for p, shown in shown_as.items():
        c2st = seeds("ex_2b", f"test.distances.by_p.{p}.c2st", 2)
        yield "ex_2b", f"{c2st} at p = {shown}"
    mean = numbers("ex_2b_seeds")["ex_2b"]["mean"]
    large = [p for p in curves["test"]["distances"]["by_p"] if float(p) > 0.7]
    most = max(mean[f"test.distances.by_p.{p}.c2st"] for p in large)
    yield "", f"p = 0.54, above at most {most:.2f}"
    literal, own = (numbers("ex_2b_seeds")[k]["mean"] for k in ("literal", "ex_2b"))
    key = "test.distances.by_p.0.195695.c2st"
    yield "", f"is {literal[key]:.2f} at p = 0.20 instead of {own[key]:.2f}"
    key, table = "sample_quality.agreement", numbers("ex_1b_seeds")
    pair = [table[k]["mean"][key] for k in ("patch_standard", "patch_mixture")]
    yield "", f"reads {pair[0]:.1%} of digits as asked instead of {pair[1]:.1%}"
    judged = numbers("ex_2b_judges")["by_p"]["0.195695"]
    sharp = [judged[kind]["network"] for kind in ("model", "floor")]
    yield "", "{:.3f} at p = 0.2 (two true sets: {:.3f})".format(*sharp)
    peaks = (f"extremes.0.195695.{side}.greatest_999" for side in ("generated", "true"))
    yield (
        "",
        "above {:.1f} times the mean, one true curve in a thousand above {:.1f}".format(
            *(numbers("ex_2b_seeds")["ex_2b"]["mean"][key] for key in peaks)
        ),
    )
    floors = [row["c2st"] for row in curves["floor"]["by_p"].values()]
    yield "ex_2b", f"two true sets: {min(floors):.2f} to {max(floors):.2f}"
    new = {p: row["model"]["c2st"] for p, row in numbers("ex_2c")["by_p"].items()}
    yield "ex_2c", f"C2ST {new['0.3']:.2f} at p = 0.3, {new['0.01']:.2f} at p = 0.01"
    order = numbers("ex_2d")["order"]
    tsne = [order[f"t-SNE, generated, {kind}"]["knn_r2"] for kind in ("curves", "spectra")]
    yield "", "t-SNE {:.2f} and {:.2f}".format(*tsne)
    for kind in ("curves", "spectra"):
        own, true = (order[f"UMAP, {k}, {kind}"]["knn_r2"] for k in ("generated", "simulated"))
        yield "ex_2d", f"R² = {own:.2f}"
        yield "", f"R² = {own:.2f} (true curves: {true:.2f})"
    for name in ("cd", "replica", "nce"):
        yield "ex_3a", seeds("ex_3a", "kl_nats", 4, variant=name)
    roll = {k: v["sw2"]["mean"] for k, v in numbers("ex_3b")["table"].items()}
    eps = ("0.1", "0.01", "0.001")
    asked = ", ".join(seeds("ex_3a", f"sw2_eps_{e}", 2, variant="cd") for e in eps)
    yield "ex_3b", f"sliced W2 {asked} for ε = 0.1, 0.01, 0.001"
    away = [numbers("ex_3b")["table"][f"cd, eps {e}"]["ridge"]["mean"] for e in eps]
    yield "", "distance to the spiral {:.2f}, {:.2f}, {:.2f}".format(*away)
    true = ", ".join(f"{roll[f'oracle, eps {e}']:.2f}" for e in eps)
    yield "ex_3b", f"the true score: {true}; two true sets: {roll['floor']:.2f}"
    speed = json.loads((ROOT / "benchmarks/results.json").read_text())
    said = (("chains", 0, "torchebm's, NLL"), ("likelihood", 0, "by the encoder's q"),
            ("magnification", 1, "direct sums"))  # fmt: skip
    for name, row, words in said:
        yield "", f"{speed[name]['rows'][row]['value']['median']:.3g} times as fast as {words}"
    for script, found in (("ex_1b", digits), ("ex_2b", curves)):
        yield script, f"{found['training_seconds']:.0f}"


def whole(shown):
    """Return a pattern of `shown` in which 9.9 is not found in 99.9 or 9.95."""
    return rf"(?<![\d.]){re.escape(shown)}(?![\d]|\.\d)"


ASCII = str.maketrans({"−": "-", "±": "+-", "≤": "<=", "ε": "eps", "²": "^2"})


@pytest.mark.parametrize(("script", "shown"), [*measured()])
def test_numbers_of_readme_and_docstrings_are_those_that_were_measured(script, shown):
    assert re.search(whole(shown), " ".join(README.split())), shown
    if script:
        text = (ROOT / f"{script}.py").read_text(encoding="utf-8").split('"""')[1]
        promise = " ".join(text[text.index("\nExpect") :].split())
        assert re.search(whole(shown.translate(ASCII)), promise), shown


def test_pages_of_the_pdf_hold_the_exercises():
    pdf = pypdf.PdfReader(ROOT / "solutions.pdf")

    def pages(items):
        for item in items:
            if isinstance(item, list):
                yield from pages(item)
            else:
                yield item.title[:4], pdf.get_destination_page_number(item) + 1

    rows = re.findall(r"^\| (\d\([a-d]\)) [^|]*\| (\d+) \|", README, re.MULTILINE)
    assert len(rows) == 9
    assert {(exercise, int(page)) for exercise, page in rows} <= set(pages(pdf.outline))


def test_the_table_of_speed_is_what_was_measured():
    text = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8").splitlines()
    rows = timing.table(json.loads((ROOT / "benchmarks/results.json").read_text()))
    assert rows and set(rows) <= set(text)
    assert sum(line.startswith("| ") for line in text) == len(rows) + 1  # the header
