"""The fault campaign: short inside `make test`, long with `make faults`, and the table it prints.

Every test below tests/faults/ is a row.  A test that makes many trials counts them with the fixture
`tally`; a test that fails is never counted as survived, and one that is skipped says why.
"""

import json
import os
import platform
import re
from pathlib import Path

import pytest
import torch

LONG = os.environ.get("FAULTS") == "long"
RESULTS = Path(__file__).with_name("results.json")
ROWS, FAILED, PASSED = {}, set(), set()


def size(short, long):
    """Return `long` under `make faults`, else `short`."""
    return long if LONG else short


long_only = pytest.mark.skipif(not LONG, reason="long version only: make faults")


class Tally:
    """tried and survived: counts of one row; facts: numbers worth a place in the table."""

    def __init__(self):
        self.tried, self.survived, self.facts = 0, 0, {}

    def __enter__(self):
        self.tried += 1

    def __exit__(self, kind, error, trace):
        self.survived += kind is None


@pytest.fixture
def tally(record_property):
    """Count trials: `with tally: ...` tries once, and survives if nothing is raised."""
    counts = Tally()
    yield counts
    record_property("tally", (counts.tried, counts.survived, counts.facts))


def row_of(nodeid: str) -> str:
    """Turn tests/faults/test_kill.py::test_files_are_whole[ex_1b] into "kill: files are whole"."""
    file, name = re.search(r"test_(\w+)\.py::test_(\w+)", nodeid).groups()
    return f"{file}: {name}".replace("_", " ")


def pytest_runtest_logreport(report):
    """Add the counts of one test to its row."""
    if "faults/" not in report.nodeid:
        return
    row = ROWS.setdefault(row_of(report.nodeid), {"tried": 0, "survived": 0})
    if report.failed:
        FAILED.add(report.nodeid)
    elif report.skipped:
        row["skipped"] = str(report.longrepr[2]).removeprefix("Skipped: ")
    elif report.when == "call":
        PASSED.add(report.nodeid)
    failed = report.nodeid in FAILED
    if report.when == "teardown" and (failed or report.nodeid in PASSED):
        tried, survived, facts = dict(report.user_properties).get("tally", (0, 0, {}))
        tried, survived = (tried, survived) if tried else (1, 1)
        row["tried"] += tried
        row["survived"] += min(survived, tried - failed)
        row.update(facts)


def pytest_terminal_summary(terminalreporter):
    """Print the table of a long version, and keep it in results.json."""
    if not LONG or not ROWS:
        return
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}
    rows |= ROWS
    where = f"Python {platform.python_version()}, torch {torch.__version__}, {platform.system()}"
    text = json.dumps({"rows": rows, "where": where}, indent=1, sort_keys=True)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    terminalreporter.section("what was tried, and what survived")
    for name, row in sorted(rows.items()):
        more = {k: v for k, v in row.items() if k not in ("tried", "survived")}
        note = ", ".join(f"{k} {v}" for k, v in more.items())
        terminalreporter.line(f"{row['tried']:7,d} {row['survived']:7,d}  {name}  {note}")
