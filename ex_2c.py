"""Exercise 2(c): draw new light curves for source sizes p in [0.01, 5] R_E.

    python ex_2c.py                        -> figures/ex_2c.png, ex_2c_distances.png, ex_2c.json
    python ex_2c.py --p 0.3 1.7 --n 10 --out curves.csv     the curves themselves (.csv or .npz)

z ~ p(z|p), then mu = 10^E[x|z,p]: 300 samples of relative magnification.  Needs
checkpoints/ex_2b.pt (shipped).  Beside each generated set stand simulated light curves of the same
p; the simulation takes about half a minute, once (kept in --data-dir, default data/), measuring
their distances 20 seconds, unless figures/ex_2c.json has them of these very curves.
As a module: `ex_2c.generate([0.3, 1.7], 10)` -> (2, 10, 300).
Expect: C2ST 0.52 (0.5 is perfect) at p = 0.3; at p = 0.01, outside the trained range, 0.87.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import artifacts, curve_model, runtime
from common.digits import own_random_numbers
from common.settings import Common, InputError, option, parse

SIZES = (0.01, 0.03, 0.1, 0.14, 0.3, 0.75, 2.0, 5.0)  # R_E, drawn and measured


@dataclass(frozen=True)
class Settings(Common):
    """What is drawn."""

    p: tuple = option((), "source sizes [R_E]; none: the figures and numbers of the exercise")
    n: int = option(10, "curves for each p", minimum=1, maximum=10**6)
    out: str = option("", "file for the curves of --p: .csv or .npz")
    measure: bool = option(False, "measure distances anew, also those that ex_2c.json holds")


def generate(p: Sequence[float], n: int, seed: int | None = None, out_dir=".", device="cpu"):
    """Draw n light curves for each source size: (len(p), n, 300) float32, relative magnification.

    p: half-light radii in R_E, one number or a sequence.  seed: the same seed gives the same
    curves; None gives new ones at each call.  Raises InputError (a ValueError) for a p that is not
    a finite number above 0, or when there is no checkpoint.
    """
    sizes = curve_model.as_sizes(p)
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"n = {n!r}: give a whole number of curves, at least 1")
    with own_random_numbers(seed, device):
        model, _ = curve_model.load(out_dir, device)
        return curve_model.draw(model, sizes, int(n)).numpy()


def warn_outside(p, trained) -> None:
    """Say on standard error which of the sizes p lie outside those trained on."""
    far = [size for size in p if not min(trained) / 1.01 <= size <= 1.01 * max(trained)]
    if far:
        sizes = ", ".join(f"{size:g}" for size in far)
        limits = f"{min(trained):.3g} ... {max(trained):.3g}"
        sys.stderr.write(f"warning: p = {sizes} R_E: not to be trusted outside {limits} R_E\n")


def main(argv=None) -> dict:
    """Write the curves asked for, or the figures and numbers of the exercise."""
    settings = parse(Settings, __doc__, argv)
    device = runtime.start(settings)
    _, content = curve_model.load(settings.out_dir)
    if not settings.p:
        if settings.out:
            raise InputError("--out needs --p, the source sizes")
        from common import curve_comparison  # and the simulator, which --p does not need

        return curve_comparison.compare(SIZES, generate, content, settings, device)
    sizes = curve_model.as_sizes(settings.p).tolist()
    warn_outside(sizes, content["trained_p"])
    curves = generate(sizes, settings.n, settings.seed, settings.out_dir, device)
    path = Path(settings.out or Path(settings.out_dir) / "figures/ex_2c_curves.csv")
    print(artifacts.save_table(path, sizes, curves))
    return {"file": str(path), "p": sizes, "source": content["source"]}


if __name__ == "__main__":
    runtime.run(main)
