"""Reading 25 files of 2,000 light curves: pandas, as one would, against `data_loader.dataloader`.

Both return the same two dictionaries.  Every number is compared, bit by bit, with float() of the
word in the file.
"""

import tempfile
from pathlib import Path

import numpy as np

import data_loader
from benchmarks.timing import alternate, need, ratios, row
from common import light_curves


def usual(root, pandas):
    """Read labels.dat and its curve files with pandas: what `data_loader.dataloader` returns."""
    labels, x, y = pandas.read_csv(Path(root) / "labels.dat", sep=r"\s+"), {}, {}
    for _, one in labels.iterrows():
        name, disc = str(int(one["map_id"])), int(one["disc_id"])
        curves = pandas.read_csv(Path(root) / name / f"{disc:02d}.dat", header=None).to_numpy()
        x[f"{name}_{disc:02d}"] = curves
        y[f"{name}_{disc:02d}"] = np.tile(one[["k", "g", "s", "p"]].to_numpy(), (len(curves), 1))
    return x, y


def write(root, files: int, curves: int) -> None:
    """Write `files` files of `curves` made-up light curves in the data set's own format."""
    random, rows = np.random.default_rng(0), ["map_id disc_id k g s p\n"]
    for disc in range(1, files + 1):
        steps = random.normal(0, 0.02, (curves, data_loader.SAMPLES)).cumsum(1)
        light_curves.write(root, "12345", disc, np.exp(steps + random.normal(0, 0.7, (curves, 1))))
        rows.append(f"12345 {disc:02d} 0.4 0.4 0.0 {light_curves.radius_of(disc):.6f}\n")
    (Path(root) / "labels.dat").write_text("".join(rows))


def wrong(read: dict, root) -> int:
    """Count the numbers that differ from float() of the words in the files."""
    count = 0
    for key, curves in read.items():
        name, disc = key.rsplit("_", 1)
        lines = (Path(root) / name / f"{disc}.dat").read_text().split()
        count += int((curves != [[float(w) for w in line.split(",")] for line in lines]).sum())
    return count


def measure(settings, device) -> dict:
    """Time both readers on the same files; count lost digits."""
    pandas = need("pandas")
    files, curves = (3, 20) if settings.smoke else (25, 2000)
    with tempfile.TemporaryDirectory() as root:
        write(root, files, curves)
        sides = {"pandas": lambda: usual(root, pandas),
                 "data_loader": lambda: data_loader.dataloader(root)}  # fmt: skip
        seconds = alternate(sides, settings.repeats)
        lost = {name: wrong(read()[0], root) for name, read in sides.items()}
    values = ratios(seconds["pandas"], seconds["data_loader"])
    rows = [row(f"read {files} x {curves} curves", f"pandas {pandas.__version__}", values, 1.5)]
    return {"rows": rows, "seconds": seconds, "numbers_not_exact": lost}
