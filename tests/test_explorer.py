"""The web page: its JavaScript computes what PyTorch computes, and a browser runs it unharmed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

from common import distances
from common.digits import model as digit_model
from common.light_curves import model as curve_model
from common.light_curves import simulation
from common.runtime import checkpoints
from common.swiss_roll import density
from common.swiss_roll.data import load_model
from explorer import build

CLOSE = dict(rtol=1e-6, atol=1e-3)
START = "const given = JSON.parse(require('fs').readFileSync(0)), page = require('./explorer.js');"
RUN = dict(cwd=ROOT / "explorer", capture_output=True, text=True, timeout=120)
NET = "const net = page.network(given.data.weights), f64 = (x) => Float64Array.from(x);"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(page, its data) of the shipped models, the truth flat light curves: none is simulated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "disc_maps", lambda _, radii, seed: ((p, None) for p in radii))
        patch.setattr(simulation, "curves_of", lambda *_: np.ones((build.CURVES, 300)))
        out = str(tmp_path_factory.mktemp("page"))
        text = Path(build.main(["--out-dir", out, "--threads", "1"])["file"]).read_text("utf-8")
    return text, json.loads(re.search('id="data">(.*?)</script>', text, re.DOTALL)[1])


def javascript(expression: str, first: str = "", **given):
    """Return the value of an expression in `page` (explorer.js) and `given`, after `first`."""
    if not shutil.which("node"):
        pytest.skip("no node: JavaScript cannot be run")
    command = ["node", "-e", f"{START}{first}console.log(JSON.stringify({expression}))"]
    done = subprocess.run(command, input=json.dumps(given), **RUN)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_shipped_page_is_one_small_file_of_the_shipped_weights(made):
    text = (ROOT / build.NAME).read_text("utf-8")
    assert len(text.encode()) < 4e6 and "{{" not in text and "://" not in text
    shipped, anew = (re.findall('"weights":{[^}]*}', page) for page in (text, made[0]))
    assert shipped == anew, "run `make explorer`"


@torch.no_grad()
def test_digits_are_those_of_pytorch(made):
    model, y = digit_model.load()[0], torch.arange(10)
    z = model.prior.sample(y.flip(0))
    code = "given.z.map((z, y) => [...page.decodeDigit(net, f64(z), y)])"
    drawn = javascript(code, NET, data=made[1]["digits"], z=z.tolist())
    np.testing.assert_allclose(drawn, model.decode(z, y).sigmoid(), **CLOSE)


def test_light_curves_are_those_of_pytorch(made, monkeypatch):
    model = checkpoints.round_to_fp16(curve_model.load()[0])
    p = torch.tensor([0.01, 0.1, 0.3, 1.0, 5.0, 10.0]).repeat_interleave(5)
    u = model.prior.base.sample(torch.zeros(30, dtype=torch.int64))
    monkeypatch.setattr(model.prior, "sample", lambda y: model.prior.from_base(u, y))
    code = "given.u.map((u, i) => [...page.decodeCurve(net, f64(u), given.p[i], given.data)])"
    drawn = javascript(code, NET, data=made[1]["curves"], u=u.tolist(), p=p.tolist())
    np.testing.assert_allclose(drawn, curve_model.draw(model, p, 1)[:, 0].log10(), **CLOSE)


def test_densities_scores_and_distances_are_those_of_pytorch(made):
    roll, x = made[1]["roll"], 6 * torch.randn(50, 2, dtype=torch.float64)
    fields = "const energy = (m) => page.energyField(page.network(m.weights), given.roll), g = [];"
    code = "[page.trueField(given.roll), ...given.roll.models.map(energy)].map((f) => "
    code += "given.x.map(([x, y]) => [f(x, y, g), ...g]))"
    paths = (ROOT / f"checkpoints/ex_3a_{model['method']}.pt" for model in roll["models"])
    networks = [checkpoints.round_to_fp16(load_model(path)[0]).double() for path in paths]
    expected = [np.column_stack(density.log_density_and_score(x, roll["noise"]))]
    expected += [np.column_stack(network.value_and_gradient(x)) for network in networks]
    np.testing.assert_allclose(javascript(code, fields, roll=roll, x=x.tolist()), expected, **CLOSE)

    a, b, turn = np.random.randn(1000, 2), 2 * np.random.randn(700, 2), np.pi * np.arange(9) / 9
    code = "page.slicedWasserstein(...given.sets.map((s) => page.projections(s.flat(), 9, 0)))"
    expected = distances.sliced_wasserstein(a, b, np.stack([np.cos(turn), np.sin(turn)]))
    assert abs(javascript(code, sets=[a.tolist(), b.tolist()]) - expected) < 1e-6


def test_every_control_does_something(made):
    found = javascript("require('./fake_browser.js').run(page, given)", **made[1])
    later = {"eps input", "speed input", "roll-start click"}  # they act on the next frame
    assert {what for what, drawn in found["counts"].items() if not drawn} == later
    assert found["step"] > 0 and "small" in found["warning"]


def test_a_browser_runs_it(made, tmp_path):
    if not (browser := shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("no chromium: the page cannot be opened")
    act = f"<script>{(ROOT / 'explorer/act.js').read_text('utf-8')}</script></body>"
    (tmp_path / "page.html").write_text(made[0].replace("</body>", act), "utf-8")
    flags = "--headless --no-sandbox --disable-gpu --enable-logging=stderr --dump-dom "
    flags += f"--virtual-time-budget=5000 --user-data-dir={tmp_path} file://{tmp_path}/page.html"
    done = subprocess.run([browser, *flags.split()], **RUN)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = json.loads(re.search("<title>(.*?)</title>", done.stdout)[1])
    assert found["step"] > 0 and found["empty"] == 0 and "small" in found["warning"]
