"""The README's table of faults is what the last long version wrote."""

import json
import re

import pytest
from conftest import ROOT
from faults.campaign import LONG, RESULTS


@pytest.mark.skipif(LONG, reason="the table is being written")
def test_the_readme_shows_the_counts_of_the_long_version():
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## What you can rely on")[1]
    shown = re.findall(r"^\| (\w[\w ]+: [^|]+) \| ([0-9,]+) \| ([0-9,]+) \|", text, re.MULTILINE)
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    assert shown
    for name, *counts in shown:
        found = [f"{rows[name][kind]:,d}" for kind in ("tried", "survived")]
        assert found == counts, name
