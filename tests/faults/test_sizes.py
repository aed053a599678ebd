"""Large inputs fit: MNIST ten times over, a million light curves; below 4 GiB (long version)."""

import numpy as np
import pytest
from conftest import run_script, write_idx
from faults.campaign import long_only

PEAK = """
import resource, sys
from common import runtime, settings
runtime.start(settings.Common())
{code}
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def peak(code, folder, tally, name):
    """Run `code` in a process of its own; note its peak memory [GiB] and hold it below 4."""
    done = run_script(["-c", PEAK.format(code=code), folder], folder, timeout=3000)
    assert done.returncode == 0, done.stderr
    found = float(done.stdout.split("peak")[1])
    tally.facts[f"peak GiB {name}"] = round(found, 2)
    tally.tried = tally.survived = 1
    assert found < 4.0


DIGITS = """
import torch, ex_1b
from common import mnist
data = mnist.load(sys.argv[1])
assert len(data.train_images) == 600_000
settings = ex_1b.Settings(smoke=True, epochs=1, batch=20_000, channels=8, width=32, latent=4)
model, history = ex_1b.fit(data, settings, torch.device("cpu"))
"""


@long_only
def test_ten_times_mnist_is_read_and_trained_on(tmp_path, tally):
    random = np.random.default_rng(0)
    for part, n in (("train", 600_000), ("t10k", 100_000)):
        images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        write_idx(tmp_path, images, np.arange(n) % 10, part)
    peak(DIGITS, tmp_path, tally, "digits")


CURVES = """
import torch, data_loader, ex_2b
from common import curve_sets
train = curve_sets.split(*data_loader.dataloader(sys.argv[1])).train
assert sum(map(len, train.values())) == 900_000
{more}
"""
TRAIN = """
settings = ex_2b.Settings(steps=5, refine=2)
ex_2b.fit(train, settings, torch.device("cpu"))
"""


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """10^6 light curves: 25 discs of 40,000, all the same file under other names."""
    folder = tmp_path_factory.mktemp("million")
    (folder / "1").mkdir()
    rows = np.random.default_rng(0).lognormal(size=(400, 300))
    text = "\n".join(",".join(f"{v:.6f}" for v in row) for row in rows) + "\n"
    (folder / "1/100.dat").write_text(text * 100)
    labels = ["map_id disc_id k g s p"]
    for disc in range(100, 125):
        if disc > 100:
            (folder / f"1/{disc}.dat").hardlink_to(folder / "1/100.dat")
        labels.append(f"1 {disc} 0.4 0.4 0 {0.1 * 1.2 ** (disc - 100):.6f}")
    (folder / "labels.dat").write_text("\n".join(labels) + "\n")
    return folder


@long_only
@pytest.mark.parametrize("name", ["read", "trained on"])
def test_a_million_light_curves(million, tally, name):
    peak(CURVES.format(more=TRAIN if name == "trained on" else ""), million, tally, name)
