"""What README says is true: its commands run, its links exist, its numbers are measured."""

import math
import os
import re
import statistics

import pytest
from conftest import ROOT, numbers, run_script

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = README + "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md"))


def test_python_examples_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert len(blocks) == 7
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


SHOWN = {  # sizes of sources in labels.dat, as README rounds them
    "0.1": "0.1", "0.139891": "0.14", "0.195695": "0.20", "0.231459": "0.23", "0.382965": "0.38",
    "0.535734": "0.54", "0.749444": "0.75", "0.886409": "0.89", "1.46662": "1.47",
    "2.05168": "2.05", "2.87011": "2.87", "5.61666": "5.62",
}  # fmt: skip


def curves():
    """Yield (script, text) of what README says of exercise 2 outside of tables."""
    for variant in ("ex_2b", "ex_2b_plain"):
        yield "ex_2b", f"{seeds('ex_2b', 'test.negative_elbo', 0, variant=variant)} nats"
    for variant in ("ex_2b", "ex_2b_plain"):
        yield "ex_2b", seeds("ex_2b", "distances.by_p.0.195695.c2st", 2, variant=variant)
    yield "ex_2b", f"floor {seeds('ex_2b', 'floor.by_p.0.195695.c2st', 2).split(' ')[0]}"
    asked = numbers("ex_2c")
    row = asked["by_p"]["0.1957"]
    for name in ("ours", "plain", "floor"):
        yield "ex_2c", f"{name} {row[name]['c2st']:.2f}"
    for name in ("ours", "plain"):
        obeyed = asked["p_obeyed"][name]
        yield "", "{true_to_generated:.3f} and {generated_to_true:.3f} dex".format(**obeyed)
    yield "", f"{asked['p_obeyed']['ours']['floor']:.3f} dex"
    r2 = numbers("ex_2d")["r2"]
    for kind in ("spectra", "curves"):
        for name in ("ours", "plain", "simulated"):
            yield "", f"{name} {r2[f'UMAP of {kind}, {name}']['log p']:.2f}"
    tsne = [r2[f"t-SNE of curves, {name}"]["log p"] for name in ("ours", "plain", "simulated")]
    yield "", "t-SNE: spectra alike, curves {:.2f}, {:.2f}, {:.2f}".format(*tsne)
    mean = r2["UMAP of curves, ours"]["mean"]
    yield "", f"the curves' means ({mean:.2f})"


def by_size() -> str:
    """Return README's table of C2ST by size: five seeds, two true sets of the test field."""
    mean = numbers("ex_2b_seeds")["ex_2b"]["mean"]
    plain = f"plain, {len(numbers('ex_2b_seeds')['ex_2b_plain']['seeds'])} seeds"
    lines = [f"| p [R_E] | ours, 5 seeds | {plain} | floor |", "|---|---|---|---|"]
    for p, shown in SHOWN.items():
        key = f"distances.by_p.{p}.c2st"
        both = [seeds("ex_2b", key, 2, variant=name) for name in ("ex_2b", "ex_2b_plain")]
        floor = f"{mean[f'floor.by_p.{p}.c2st']:.2f}"
        lines.append(f"| {shown} | {' | '.join(both)} | {floor} |")
    return "\n".join(lines)


def ablations() -> str:
    """Return README's table of studies/ablations.py."""
    lines = ["| model | C2ST | at p = 0.20 | −ELBO |", "|---|---|---|---|"]
    for line in numbers("ex_2b_ablations")["table"]:
        near = line["by_p"]["0.195695"]["model"]
        loss = f"{line['negative_elbo']:.0f}"
        lines.append(f"| {line['row']} | {line['c2st']:.2f} | {near:.2f} | {loss} |")
    return "\n".join(lines)


def small_sources() -> str:
    """Return README's table of studies/small_sources.py."""
    rows = numbers("ex_2c_small")["rows"]
    asked = list(rows["floor"])
    lines = [f"| C2ST, structure function | {' | '.join(f'p = {p}' for p in asked)} |"]
    lines.append("|---" * (len(asked) + 1) + "|")
    for name, row in rows.items():
        structure = [row[p]["sf"] for p in asked]  # None: curves that are not finite
        shown = ["–" if value is None else f"{value:.2f}" for value in structure]
        values = [f"{row[p]['c2st']:.2f}, {sf}" for p, sf in zip(asked, shown, strict=True)]
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


def peaks() -> str:
    """Return README's table of the peaks of curves: number, height, width."""
    lines = ["| p [R_E] | simulated | ours | plain |", "|---|---|---|---|"]
    for p, row in numbers("ex_2c")["peaks"].items():
        values = []
        for name in ("simulated", "ours", "plain"):
            peak = row[name]
            shape = "–, –"  # fewer than 30 peaks
            if peak["width"] is not None:
                shape = f"{peak['height_dex']:.2f}, {peak['width']:.0f}"
            values.append(f"{peak['number']:.2f}, {shape}")
        lines.append(f"| {p} | {' | '.join(values)} |")
    return "\n".join(lines)


def measured():
    """Yield (script, a measured number): README quotes it, and the docstring of the script."""
    yield from (("", text) for text in digits().values())
    if "studies.textbook" in README:
        yield from (("", line) for line in textbook().splitlines())
    yield "ex_1b", f"−ELBO {digits()['ELBO']} nats"
    yield "ex_1b", f"NLL ≤ {digits()['NLL']}"
    count = numbers("ex_2a")["parameters"]
    yield "ex_2a", f"{count['encoder']:,}"
    yield "ex_2a", f"{count['decoder']:,}"
    yield from ((script, text) for script, text in curves())
    if "studies.ablations" in README:
        tables = (by_size(), ablations(), small_sources(), peaks())
        yield from (("", line) for table in tables for line in table.splitlines())
    yield from roll()
    if "studies.kl_table" in README:
        yield from (("", line) for line in kl_table().splitlines())


def roll():
    """Yield (script, text) of what README says of exercise 3 outside of its table."""
    for name in ("cd", "replica"):
        yield "ex_3a", f"{seeds('ex_3a', 'kl_nats', 4, variant=f'ex_3a_{name}')} nats"
    eps = ("0.1", "0.01", "0.001")
    floor = numbers("ex_3b")["floor"]
    for name, word in (("distance", "mean distance from the spiral"), ("unevenness", "unevenness")):
        keys = [f"table.cd.{e}.{name}.mean" for e in eps]
        asked = ", ".join(seeds("ex_3b", key, 2) for key in keys)
        yield "ex_3b", f"{word} {asked} (true points: {floor[name]['mean']:.2f})"
        table = numbers("ex_3b")["table"]["exact score"]
        exact = ", ".join(f"{table[e][name]['mean']:.2f}" for e in eps)
        yield "ex_3b", f"exact score {exact}"


def kl_table() -> str:
    """Return README's table of studies/kl_table.py, the best first."""
    table = numbers("ex_3a_table")["table"]
    rows = {}
    for name, row in table.items():
        runs = [math.inf if r["kl_nats"] is None else r["kl_nats"] for r in row["seeds"].values()]
        rows[name] = (statistics.median(runs), min(runs), max(runs))
        rows[name] += (statistics.mean(r["updates"] for r in row["seeds"].values()),)
    lines = ["| method | KL, median of 5 seeds | least, greatest | updates |", "|---|---|---|---|"]
    for name, (middle, least, most, updates) in sorted(rows.items(), key=lambda r: r[1]):
        lines.append(f"| {name} | {middle:.4f} | {least:.4f}, {most:.4f} | {updates:,.0f} |")
    return "\n".join(lines)


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
