"""What README says is true: its commands run, its links exist, its numbers are measured."""

import os
import re
import statistics

import pytest
from conftest import ROOT, numbers, run_script

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = README + "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md"))


def test_python_examples_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert len(blocks) == 6
    for code in blocks:
        code = code.replace("limit=3000", "limit=300").replace("epochs=10", "epochs=1")
        done = run_script(["-c", code], tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [
    "python ex_1c.py 2023", "python ex_2c.py --p 0.3 1.7 --n 10 --out curves.csv",
    "python ex_1c.py 007 42 --samples 3 --out numbers.png",
])  # fmt: skip
def test_commands_that_draw_run(command, tmp_path):
    assert command in README
    _, script, *words = command.split()
    done = run_script([ROOT / script, *words], tmp_path)
    assert done.returncode == 0 and any(tmp_path.rglob("*.*")), done.stderr


def test_every_option_that_readme_gives_exists():
    for script, options in re.findall(r"python (ex_\d\w\.py)([^#`\n]*)", DOCS):
        text = run_script([ROOT / script, "--help"], ROOT).stdout
        for option in re.findall(r"--[\w-]+", options):
            assert option in text, (script, option)


def test_links_resolve_to_files():
    targets = re.findall(r"\]\((?!https://)([^)#]+)\)", README)  # no network in tests
    assert targets
    for target in targets:
        assert (ROOT / target).stat().st_size > 0, target


def test_functions_and_modules_that_readme_names_exist():
    for path, name in re.findall(r"`((?:common/)?\w+\.py)`: `(\w+)`", README):
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), (path, name)
    for name in re.findall(r"python -m ([\w.]+)", DOCS):
        path = ROOT / name.replace(".", os.sep)
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), name


def seeds(name, key, digits, unit="f", variant=""):
    """Return "mean ± sample deviation" over the seeds, as README prints it; one seed: its value."""
    runs = numbers(f"{name}_seeds")[variant or name]["seeds"]
    values = [run[key] for run in runs.values()]
    parts = [statistics.mean(values)]
    if len(values) > 1:
        parts.append(statistics.stdev(values))
    return " ± ".join(f"{value:.{digits}{unit}}" for value in parts)


def digits() -> dict:
    """Return what README says of exercise 1, {name: text}, from the shipped numbers."""
    rows = {}
    for label, variant in (("", "ex_1b"), ("P", "ex_1b_plain")):
        rows[f"{label}ELBO"] = seeds("ex_1b", "test.negative_elbo", 2, variant=variant)
        rows[f"{label}NLL"] = seeds("ex_1b", "nll.nll", 2, variant=variant)
        rows[f"{label}AGR"] = seeds("ex_1b", "samples.agreement", 2, "%", variant)
        rows[f"{label}REC"] = seeds("ex_1b", "test.reconstruction", 1, variant=variant)
        rows[f"{label}KL"] = seeds("ex_1b", "test.kl", 1, variant=variant)
        rows[f"{label}HAGR"] = seeds("ex_1b", "one_hand.agreement", 2, "%", variant)
        rows[f"{label}INK"] = seeds("ex_1b", "one_hand.ink", 2, variant=variant)
        rows[f"{label}SLANT"] = seeds("ex_1b", "one_hand.slant", 2, variant=variant)
        rows[f"{label}NEAR"] = seeds("ex_1b", "nearest.generated", 1, variant=variant)
        mean = numbers("ex_1b_seeds")[variant]["mean"]
        rows[f"{label}SEC"] = f"{mean['training_seconds'] / 60:.0f} min"
        rows[f"{label}PARAMS"] = f"{mean['parameters']:,.0f}"
        rows[f"{label}FD"] = seeds("ex_1b", "samples.fd", 1, variant=variant)
    rows["PSEEDS"] = f"{len(numbers('ex_1b_seeds')['ex_1b_plain']['seeds'])}"
    rows["RUNS"] = f"{len(numbers('ex_1b_time')['runs'])}"
    rows["CAS"] = seeds("ex_1b", "cas", 2, "%")
    rows["FLOOR"] = seeds("ex_1b", "samples.fd_floor", 1)
    rows["AREAL"] = f"{numbers('ex_1b')['samples']['agreement_real']:.2%}"
    mean = numbers("ex_1b_seeds")["ex_1b"]["mean"]
    rows["NEARREAL"] = f"{mean['nearest.test']:.1f}"
    rows["FDRATIO"] = f"{mean['samples.fd'] / mean['samples.fd_floor']:.1f}"
    rows["OVERFIT"] = f"{mean['test.negative_elbo'] - mean['train.negative_elbo']:.1f}"
    race = numbers("ex_1b_time")
    final = race["seconds_to"][f"{race['loop_final']:.2f}"]
    rows["LOOPS"] = f"{final['loop']:.0f}"
    rows["LOOPF"] = f"{race['loop_final']:.1f}"
    rows["OURS"] = f"{final['ours']:.0f}"
    rows["RATIO"] = f"{final['ratio']:.1f}"
    rows["TO86"] = f"{race['seconds_to']['86.00']['ours']:.0f}"
    return rows


def textbook() -> str:
    """Return README's table of studies/textbook.py."""
    book = numbers("ex_1b_textbook")
    lines = ["| what is added | −ELBO | epochs | seconds |", "|---|---|---|---|"]
    for name, row in book["rows"].items():
        losses = ", ".join(f"{loss:.2f}" for loss in row["validation"])
        seconds = statistics.mean(row["seconds"])
        lines.append(f"| {name} | {losses} | {row['epochs']} | {seconds:.0f} |")
    return "\n".join(lines)


def measured():
    """Yield (script, a measured number): README quotes it, and the docstring of the script."""
    yield from (("", text) for text in digits().values())
    if "studies.textbook" in README:
        yield from (("", line) for line in textbook().splitlines())
    yield "ex_1b", f"−ELBO {digits()['ELBO']} nats"
    yield "ex_1b", f"NLL ≤ {digits()['NLL']}"
    count = numbers("ex_2a")["parameters"]
    yield "ex_2a", f"{count['encoder']:,} and {count['decoder']:,} parameters"
    yield "ex_2b", f"−ELBO {seeds('ex_2b', 'test.negative_elbo_nats', 0)} nats per curve"
    shown_as = {"0.1": "0.1", "0.139891": "0.14", "0.195695": "0.20", "0.535734": "0.54"}
    for p, shown in shown_as.items():
        c2st = seeds("ex_2b", f"test.distances.by_p.{p}.c2st", 2)
        yield "ex_2b", f"{c2st} at p = {shown}"
    literal = numbers("ex_2b_seeds")["literal"]["mean"]["test.distances.by_p.0.195695.c2st"]
    yield "", f"C2ST is {literal:.2f} at p = 0.20"
    judged = numbers("ex_2b_judges")["by_p"]["0.195695"]
    sharp = [judged[kind]["network"] for kind in ("model", "floor")]
    yield "", "{:.3f} at p = 0.2 (two true sets: {:.3f})".format(*sharp)
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
    eps = ("0.1", "0.01", "0.001")
    asked = ", ".join(seeds("ex_3a", f"sw2_eps_{e}", 2, variant="cd") for e in eps)
    yield "ex_3b", f"sliced W2 {asked} for ε = 0.1, 0.01, 0.001"
    table = numbers("ex_3b")["table"]
    away = [table[f"cd, eps {e}"]["ridge"]["mean"] for e in eps]
    yield "", "distance to the spiral {:.2f}, {:.2f}, {:.2f}".format(*away)
    true = ", ".join(f"{table[f'oracle, eps {e}']['sw2']['mean']:.2f}" for e in eps)
    yield "ex_3b", f"the true score: {true}; two true sets: {table['floor']['sw2']['mean']:.2f}"


def whole(shown):
    """Return a pattern of `shown` in which 9.9 is not found in 99.9 or 9.95."""
    return rf"(?<![\d.]){re.escape(shown)}(?![\d]|\.\d)"


ASCII = str.maketrans({"−": "-", "±": "+-", "≤": "<=", "ε": "eps", "²": "^2"})


def test_numbers_of_readme_and_docstrings_are_those_that_were_measured():
    text = " ".join(README.split())
    for script, shown in measured():
        assert re.search(whole(shown), text), shown
        if script:
            docstring = (ROOT / f"{script}.py").read_text(encoding="utf-8").split('"""')[1]
            promise = " ".join(docstring[docstring.index("\nExpect") :].split())
            assert re.search(whole(shown.translate(ASCII)), promise), shown


def test_a_wrong_number_would_be_noticed():
    assert not re.search(whole("9.9"), "99.9") and not re.search(whole("9.9"), "9.95")
    assert re.search(whole("9.9"), "is 9.9 nats")
