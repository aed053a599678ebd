"""Exercise 2(c): draw new light curves for source sizes p in [0.01, 5] R_E.

    python ex_2c.py                        -> out/ex_2c.png, out/ex_2c.json
    python ex_2c.py --p 0.3 1.7 --n 10 --out curves.csv     the curves themselves (.csv or .npz)
    python ex_2c.py --p .01 5 --out curves.png              draws them (.png, .pdf or .svg)

z ~ p(z|p), then mu = 10^E[x|z,p]: 300 samples of relative magnification
(common/light_curves/model.py, `draw`).  The model is --model, else out/ex_2b.pt of ex_2b.py, else
the shipped checkpoints/ex_2b.pt.  The figure varies p at fixed noise, and shows independent draws
above simulated light curves of the same p and stars; the simulation takes about two minutes, once
(kept as out/ex_2c_truth.npz), and measuring their distances 20 seconds.
As a module: `ex_2c.generate([0.3, 1.7], 10)` -> (2, 10, 300).
Expect: C2ST 0.57 at p = 0.3, 1.00 at p = 0.01, outside the trained range (0.5 is chance).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.light_curves import model as curve_model
from common.light_curves.data import save_curves
from common.runtime import checkpoints, files, results, script
from common.runtime.errors import InputError
from common.runtime.options import Drawing, no_effect, option, parse
from common.runtime.seeding import fork_rng
from data_loader import read_labels

SIZES = (0.01, 0.03, 0.1, 0.14, 0.3, 0.75, 2.0, 5.0, 7.0)  # R_E, measured
DRAWN = (0.01, 0.1, 0.14, 0.3, 0.75, 5.0, 7.0)
SWEPT = np.geomspace(0.01, 5, 24)  # R_E, the sizes that one noise is swept through
DISTANCES = ("w1", "sf", "ks", "c2st")  # of common.light_curves.evaluation
LITERAL = "ex_2b_literal"  # p(z) = N(0, I), no extras: `python ex_2b.py --prior standard`
SHOWN = 3  # noises that are swept through them
TABLES, PICTURES = (".csv", ".npz"), (".png", ".pdf", ".svg")
PANELS, MOST = 12, 10  # at most, of a picture; curves at most in one


@dataclass(frozen=True)
class Settings(Drawing):
    """What is drawn."""

    p: tuple = option((), "source sizes [R_E]; none: the figures and numbers of the exercise")
    n: int = option(10, "curves for each p", minimum=1, maximum=10**6)
    out: str = option("", "file for the curves of --p: .csv, .npz, or .png, .pdf, .svg to draw")


def generate(p: Sequence[float], n: int, seed: int | None = None, model="", device="cpu"):
    """Draw n light curves for each source size: (len(p), n, 300) float32, relative magnification.

    p: half-light radii in R_E, one number or a sequence.  seed: the same seed gives the same
    curves; None gives new ones at each call.  model: a checkpoint of ex_2b.py, "" for the shipped
    one.  Warns outside the trained range of p.  Raises InputError (a ValueError) for a p that is
    not a number from 1e-6 to 100, for another argument out of range, or without a checkpoint.
    """
    sizes = curve_model.as_sizes(p)
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= 10**6:
        raise InputError(f"n = {n!r}: give a whole number of curves, 1 to 1,000,000")
    with fork_rng(seed, device):
        network, content = curve_model.load(model, device)
        least, most = min(content["trained_p"]), max(content["trained_p"])
        far = ", ".join(f"{p:g}" for p in sizes if not least / 1.01 <= p <= 1.01 * most)
        if far:
            said = f"p = {far} R_E: not to be trusted outside {least:.3g} ... {most:.3g} R_E"
            warnings.warn(said, stacklevel=2)
        return curve_model.draw(network, sizes, int(n)).numpy()


def sweep(p: Sequence[float], n: int, seed: int, model="", device="cpu"):
    """Draw n curves for each source size p [R_E] from the same noise: (len(p), n, 300) float32.

    Curve k of one size differs from curve k of the next by p alone.  Otherwise as `generate`.
    """
    sizes = curve_model.as_sizes(p).tolist()
    return np.concatenate([generate(one, n, seed, model, device) for one in sizes])


def out_path(settings) -> Path:
    """Return where the curves of --p go; raise InputError if they cannot, or for a bad p."""
    path = Path(settings.out or Path(settings.out_dir) / "ex_2c_curves.csv")
    curve_model.as_sizes(settings.p)
    kind = path.suffix.lower()
    if kind not in TABLES + PICTURES:
        names = "in .csv or .npz for numbers, or in .png, .pdf or .svg for a picture"
        raise InputError(f"cannot write {path}: the name must end {names}")
    if kind in PICTURES and len(settings.p) > PANELS:
        said = f"{len(settings.p)} source sizes: a picture has at most {PANELS} panels"
        raise InputError(f"{said}; give fewer, or an --out that ends in .csv or .npz")
    files.check_writable(path)
    return path


def track_length(source: str) -> float | None:
    """Return the length of a track in R_E, None where the data `source` do not tell it."""
    from common.light_curves import simulation

    known = source.startswith(simulation.SIMULATED) and simulation.TRACKS not in source
    return simulation.Settings().length if known else None


def literal_beside(settings, content) -> Path | None:
    """Return the checkpoint of the model as asked for word by word, beside that of `content`.

    None with --model, and where it was trained on other data.
    """
    if settings.model:
        return None
    path = checkpoints.find(LITERAL, "", settings.out_dir)
    _, literal = curve_model.load(path)
    return path if literal["source"] == content["source"] else None


def write_curves(settings, device, model: Path, content) -> dict:
    """Write or draw the curves that --p asks for; model: the checkpoint, `content` is in it."""
    sizes, path = settings.p, out_path(settings)
    curves = generate(sizes, settings.n, settings.seed, model, device)
    if path.suffix.lower() in PICTURES:
        from common.light_curves import figures

        trained, length = content["trained_p"], track_length(content["source"])
        figure = figures.asked(sizes, curves[:, :MOST], trained, length)
        print(results.save_figure(path, figure))
    else:
        print(save_curves(path, sizes, curves))
    return {"file": str(path), "p": sizes, "source": content["source"]}


def main(argv=None) -> dict:
    """Generate, simulate the truth, measure, draw, save the numbers; return them."""
    settings = parse(Settings, __doc__, argv)
    if settings.p:
        no_effect(settings, "data_dir", "with --p")
        if settings.out:
            no_effect(settings, "out_dir", "with --out")
        out_path(settings)
    else:
        no_effect(settings, "n out", "without --p, the source sizes")
    device = script.start(settings)
    path = checkpoints.find("ex_2b", settings.model, settings.out_dir)
    _, content = curve_model.load(path)
    literal = None if settings.p else literal_beside(settings, content)
    also = f"; beside it {checkpoints.shown(literal)}" if literal else ""
    checkpoints.announce(path, content, also)
    if settings.p:
        return write_curves(settings, device, path, content)
    from common.light_curves import evaluation, figures, reference, simulation  # not for --p

    simulated = simulation.truth_of(settings, content["source"], read_labels)
    n = 40 if settings.smoke else 1000
    sides = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the figure shades what is outside
        sides["generated"] = generate(SIZES, n, settings.seed, path, device)
        swept = sweep(SWEPT, SHOWN, settings.seed, path, device)
        if literal:
            sides["literal"] = generate(SIZES, n, settings.seed, literal, device)
    kept = Path(settings.out_dir) / "ex_2c_truth.npz"
    truth, noise = reference.reference_curves(kept, SIZES, n, simulated)  # {p: (2, n, 300)}
    sides["simulated"] = [truth[p][0] for p in SIZES]
    curves = {
        name: np.stack([side[SIZES.index(p)][:2] for p in DRAWN]) for name, side in sides.items()
    }
    trained, source = content["trained_p"], f"data: {content['source']}; truth: simulated"
    length = track_length(content["source"])
    figure = figures.generated_and_true(DRAWN, curves, (SWEPT, swept), trained, length, source)
    rows = {}
    for p, fake in zip(SIZES, sides["generated"], strict=True):
        real, again = truth[p]
        near, floor = (evaluation.curve_distances(x, real, DISTANCES) for x in (fake, again))
        rows[f"{p:g}"] = {
            "model": near,
            "floor": floor,
            "generated": evaluation.extremes(fake),
            "simulated": evaluation.extremes(real),
        }
        if "literal" in sides:
            plain = sides["literal"][SIZES.index(p)]
            rows[f"{p:g}"]["literal"] = evaluation.curve_distances(plain, real, ("c2st",))
        for k in ("c2st", "sf"):
            print(f"p = {p:<5g} R_E: {k.upper()} {near[k]:.2f}, floor {floor[k]:.2f}")
    metrics = {"source": source, "curves_each": n, "trained_p": trained, "seed": settings.seed}
    metrics |= {"truth_ray_noise_rms": {f"{p:g}": e for p, e in noise.items()}, "by_p": rows}
    return results.save_results(settings.out_dir, "ex_2c", metrics, {"ex_2c": figure})


if __name__ == "__main__":
    script.run(main)
