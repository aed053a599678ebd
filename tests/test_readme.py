"""What README says is true: its commands run, its links exist, its numbers are measured."""

import json
import re
import statistics

import pypdf
import pytest
from conftest import ROOT, run_script

from benchmarks import report

README = (ROOT / "README.md").read_text(encoding="utf-8")
FOUND = re.findall(r"^(?:\$ )?(python [^#\n]+)|`(python (?:-m )?[^`]+)`", README, re.MULTILINE)
COMMANDS = sorted({(line or quoted).strip() for line, quoted in FOUND})
SKIPPED = ("--resume", "benchmarks")
TO_RUN = [c for c in COMMANDS if len(c.split()) > 2 and not any(s in c for s in SKIPPED)]


@pytest.mark.parametrize("command", TO_RUN)
def test_commands_run(command, small_mnist):
    words = command.split()[1:]
    if words[0].endswith(".py"):
        words[0] = ROOT / words[0]
    done = run_script([*words, "--smoke", "--threads", "1"], small_mnist)
    assert done.returncode == 0, done.stderr


def test_the_python_example_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for code in blocks:
        done = run_script(["-c", code], tmp_path)
        assert done.returncode == 0, done.stderr


def test_links_resolve_to_files():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    for target in targets:
        if target.startswith("https://"):
            continue  # no network in tests
        assert (ROOT / target).is_file(), target


def numbers(name):
    return json.loads((ROOT / f"figures/{name}.json").read_text(encoding="utf-8"))


def spread(values, digits, unit=""):
    """Return "mean ± sample deviation" of `values` as README prints it."""
    mean, std = statistics.mean(values), statistics.stdev(values)
    return f"{mean:.{digits}{unit or 'f'}} ± {std:.{digits}{unit or 'f'}}"


def three(name, first, get):
    """Return the values of seed 0 (shipped) and of seeds 1 and 2 of the ablation."""
    rows = numbers(f"{name}_ablation")["rows"]
    others = [rows[row] for row in rows if re.fullmatch(r"(full, )?seed [12]", row)]
    return [first, *map(get, others)]


def measured():
    """Yield every measured number that README quotes, as it has to stand there."""
    digits, curves = numbers("ex_1b"), numbers("ex_2b")
    judge, test = digits["judge"], curves["test"]
    bounds = three("ex_1b", digits["test"]["negative_elbo_nats"],
                   lambda row: row["test_negative_elbo_nats"])  # fmt: skip
    yield f"−ELBO {spread(bounds, 2)} nats"
    yield f"NLL ≤ {digits['test_nll']['nll_nats']:.2f}"
    yield spread(three("ex_1b", judge["agreement"], lambda row: row["agreement"]), 2, "%")
    yield f"real digits: {judge['agreement_real']:.2%}"
    fd = spread(three("ex_1b", judge["fd"], lambda row: row["fd"]), 1)
    yield f"FD {fd} (real: {judge['fd_floor']:.1f})"
    yield f"FD of generated digits is {judge['fd'] / judge['fd_floor']:.1f} times its floor"
    count = numbers("ex_2a")["parameters"]
    yield f"{count['encoder']:,} and {count['decoder']:,} parameters"
    bounds = three("ex_2b", test["negative_elbo_nats"], lambda row: row["negative_elbo_nats"])
    yield f"−ELBO {spread(bounds, 0)} nats a curve"
    c2st = three("ex_2b", test["distances"]["c2st"], lambda row: row["distances"]["c2st"])
    yield f"C2ST {spread(c2st, 3)} (two true sets: {curves['floor']['c2st']:.3f})"
    new = {p: row["model"]["c2st"] for p, row in numbers("ex_2c")["by_p"].items()}
    yield f"C2ST {new['0.3']:.2f} at p = 0.3, {new['0.01']:.2f} at p = 0.01"
    yield f"(ρ = {numbers('ex_2d')['order']['UMAP, generated, spectra']['spearman_rho']:.2f})"
    for name in ("cd", "replica", "nce"):
        row = numbers("ex_3a_seeds")[name]
        yield f"{row['mean']['kl_nats']:.4f} ± {row['std']['kl_nats']:.4f}"
    roll = {k: v["sw2"]["mean"] for k, v in numbers("ex_3b")["table"].items()}
    mean, std = (numbers("ex_3a_seeds")["cd"][key]["sw2_eps_0.01"] for key in ("mean", "std"))
    yield f"sliced W2 {mean:.2f} ± {std:.2f} at ε = 0.01"
    yield f"reaches {roll['oracle, eps 0.01']:.2f}, two true sets {roll['floor']:.2f}"
    yield f"{digits['training_seconds']:.0f}, then 40 min of measuring"
    yield f"{curves['training_seconds']:.0f}, then 60"


@pytest.mark.parametrize("shown", list(measured()))
def test_numbers_are_those_that_were_measured(shown):
    """Whole numbers: 9.9 is not found in 99.9 or 9.95."""
    assert re.search(rf"(?<![\d.]){re.escape(shown)}(?![\d]|\.\d)", README), shown


def test_pages_of_the_pdf_hold_the_exercises():
    pdf = pypdf.PdfReader(ROOT / "solutions.pdf")
    pages = {}

    def walk(items):
        for item in items:
            if isinstance(item, list):
                walk(item)
            else:
                pages[item.title[:4]] = pdf.get_destination_page_number(item) + 1

    walk(pdf.outline)
    rows = re.findall(r"^\| (\d\([a-d]\)) [^|]*\| (\d+) \|", README, re.MULTILINE)
    assert len(rows) == 9
    for exercise, page in rows:
        assert pages[exercise] == int(page), exercise


def test_the_table_of_speed_is_what_was_measured():
    text = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8").splitlines()
    rows = report.table(json.loads((ROOT / "benchmarks/results.json").read_text()))
    assert rows and set(rows) <= set(text)
    assert sum(line.startswith("| ") for line in text) == len(rows) + 1  # the header
