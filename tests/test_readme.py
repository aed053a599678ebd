"""What README says is true: its commands run, its links exist, its numbers are measured."""

import json
import re

import pytest
from conftest import ROOT, run_script

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted({
    line.split("#")[0].strip()
    for line in re.findall(r"^python .+$|`(?:python|python -m) [^`]+`", README, re.MULTILINE)
    for line in [line.strip("`")]
})  # fmt: skip
# Tested elsewhere: --resume (test_training), the benchmarks' own sizes, and each script without
# arguments (test_scripts); --show needs a display.
SKIPPED = ("--resume", "--show", "benchmarks")
TO_RUN = [c for c in COMMANDS if len(c.split()) > 2 and not any(s in c for s in SKIPPED)]


def test_there_are_commands():
    assert {"python ex_1b.py", "python ex_1c.py 2023"} <= set(COMMANDS)


@pytest.mark.parametrize("command", TO_RUN)
def test_commands_run(command, small_mnist):
    (small_mnist / "my_digits").mkdir()
    (small_mnist / "MNIST").rename(small_mnist / "my_digits/MNIST")
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


def test_the_table_holds_the_measured_numbers():
    numbers = json.loads((ROOT / "figures/ex_1b.json").read_text())
    test, judged = numbers["test"], numbers["judge"]
    for shown in (
        f"{test['negative_elbo_nats']:.2f}",
        f"{numbers['test_nll']['nll_nats']:.2f} ± {numbers['test_nll']['standard_error_nats']:.2f}",
        f"{judged['agreement']:.2%}",
        f"{judged['fd']:.1f}",
        f"{judged['fd_floor']:.1f}",
        f"{judged['cas']:.2%}",
        f"{judged['cas_real']:.2%}",
    ):
        assert shown in README, shown


def test_the_table_of_light_curves_holds_the_measured_numbers():
    numbers = json.loads((ROOT / "figures/ex_2b.json").read_text())
    distances, floor = numbers["test"]["distances"], numbers["floor"]
    assert f"{numbers['test']['negative_elbo_nats']:.0f}" in README
    for name in ("w1", "sf", "ks", "peaks", "sw", "c2st"):
        assert f"| {distances[name]:.3f} (three seeds" in README, name
        assert f"| {floor[name]:.3f} |" in README, name
    order = json.loads((ROOT / "figures/ex_2d.json").read_text())["order"]
    assert f"ρ = {order['UMAP, generated, spectra']['spearman_rho']:.2f}" in README


def test_no_measured_table_is_missing_a_number():
    assert "@" not in re.sub(r"\S+@\S+\.\S+", "", README)
