"""Exercise 2(c): generate light curves for sources of any size, and set them beside true ones.

    python ex_2c.py                                      -> out/ex_2c.json and three pictures
    python ex_2c.py --p 0.3 1.7 --n 10 --out curves.csv  ten curves for each size (or .npz)
    python ex_2c.py --p 0.3 1.7 --out curves.png         drawn (or .pdf, .svg)

    u ~ p(u),    z = T_p(u),    curve = 10^E[x|z,p]

x: log10 of relative magnification; p: half-light radius of the source, R_E.  Without --p three
things stand beside each other: *simulated*, new curves in the stars of the training field, *ours*
and *plain*, the two models of ex_2b.py.  ex_2c_figure1.png is the assignment's Figure 1, ten curves
of p = .1957; ex_2c_sizes.png has nine sizes from .01 to 5, and ex_2c_sweep.png takes one u through
p.  ex_2c.json has the distances from the truth (common/light_curves/evaluation.py says what they
and their floor are), whether p is obeyed, and the peaks.  The model and its `draw` are in
common/light_curves/model.py.  From Python:

    ex_2c.generate([0.3, 1.7], n=10)    (2, 10, 300) float32, relative magnification

The truth of p <= .05 is read off windows of the source plane (`reference` in
common/light_curves/data.py).  Both true sets share the windows, so the floor of these sizes lacks
what differs between windows.

Drawing takes 3 seconds; all of it takes about three minutes on 2 cores: one to simulate the truth,
which is kept, and two to train classifiers.

Expect at p = .1957: C2ST ours 0.57, plain 0.99, floor 0.50.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common.light_curves.model import as_sizes, draw, load_model, load_pair
from common.training import InputError, check, random_numbers, run, save_figure, say, write

SIZES = (0.01, 0.03, 0.1, 0.14, 0.1957, 0.5, 1.0, 2.5, 5.0)  # R_E
FIGURE1 = 0.1957  # R_E, the size in the assignment's Figure 1
SWEPT = (0.01, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 5.0)  # R_E, that one noise is taken through
EACH = 1000  # generated curves of each size, and simulated ones in each of two sets
TABLES, PICTURES = (".csv", ".npz"), (".png", ".pdf", ".svg")
PANELS, LINES = 12, 10  # of a picture at most, and curves in a panel


@dataclass
class Settings:
    p: tuple[float, ...] = ()  # source sizes [R_E]; none: the exercise's figures and numbers
    n: int = 10  # curves for each p
    out: Path | None = None  # where --p goes: .csv or .npz, or .png, .pdf or .svg to draw
    seed: int = 0
    model: str = ""  # checkpoint; default: ex_2b.pt in --out-dir if it is there, else the shipped
    device: str = "auto"  # cpu, cuda, ...
    data_dir: str = ""  # folder whose stars are simulated; default: data/
    out_dir: Path = Path("out")


def generate(
    p: Sequence[float], n: int, seed: int | None = None, model="", device="cpu"
) -> np.ndarray:
    """Draw n light curves for each size p: (len(p), n, 300) float32, relative magnification.

    p: half-light radii in R_E, one number or a sequence.  seed: the same seed gives the same
    curves, None new ones at each call.  model: a checkpoint of ex_2b.py, "" for the shipped one.
    Nothing is cut or selected.  Warns outside the trained range of p.
    Raises InputError (a ValueError) for a p that is not a number from 1e-6 to 100, for another n
    or seed that is none, and when there is no such checkpoint or device.
    """
    sizes = as_sizes(p)
    n = _count(n)
    network, content = _model(model, device)
    _warn_outside(sizes, content["trained_p"])
    with random_numbers(seed, device):
        return draw(network, sizes, n).numpy()


def sweep(p: Sequence[float], n: int, seed: int | None = None, model="", device="cpu"):
    """Draw n curves for each size p from the same n noises u: (len(p), n, 300) float32.

    Curve k of one size differs from curve k of the next by p alone.  Otherwise as `generate`.
    """
    sizes = as_sizes(p)
    n = _count(n)
    network, content = _model(model, device)
    _warn_outside(sizes, content["trained_p"])
    with random_numbers(seed, device):
        return swept(network, sizes, n)


def swept(network, sizes: torch.Tensor, n: int) -> np.ndarray:
    """Take n noises u through sizes (m,): (m, n, 300) relative magnification."""
    u = network.prior.sample_u(n)
    curves = [network.draw(size.to(u.device).expand(n), u).cpu() for size in sizes]
    return torch.stack(curves).numpy()


def _model(model, device):
    """Return (model, content); the random numbers that building it takes are not the caller's."""
    with torch.random.fork_rng([]):
        return load_model(model, device)[:2]


def _count(n) -> int:
    """Return n; raise InputError unless it is a whole number from 1 to 1,000,000."""
    whole = isinstance(n, int | np.integer) and not isinstance(n, bool)
    if not whole or not 1 <= n <= 10**6:
        raise InputError(f"n = {n!r}: give a whole number of curves, 1 to 1,000,000")
    return int(n)


def _warn_outside(sizes, trained_p):
    least, most = min(trained_p), max(trained_p)
    far = [f"{p:g}" for p in sizes.tolist() if not least / 1.001 <= p <= 1.001 * most]
    if far:
        reason = f"trained on {least:.3g} to {most:.3g} R_E, not to be trusted outside"
        warnings.warn(f"p = {', '.join(far)} R_E: {reason}", stacklevel=3)


def main(settings) -> dict:
    """Write the curves of --p; without it generate, simulate, measure, draw and write."""
    check(settings, n=(1, 10**6), seed=(0, 2**62))
    if not settings.p:
        for name in ("n", "out"):
            if getattr(settings, name) != getattr(Settings, name):
                raise InputError(f"--{name} needs --p, the source sizes")
        models, content = load_pair(
            settings.model, settings.device, settings.out_dir, settings.data_dir
        )
        return answer(settings, models, content)
    path = _out_path(settings)
    network, content, model_path = load_model(settings.model, settings.device, settings.out_dir)
    say(f"reading {model_path}: {content['about']}")
    return write_curves(settings, path, network, content)


def _out_path(settings) -> Path:
    """Return where the curves of --p go; raise InputError for a name or a p that will not do."""
    as_sizes(settings.p)
    path = settings.out or settings.out_dir / "ex_2c_curves.csv"
    kind = path.suffix.lower()
    if kind not in TABLES + PICTURES:
        names = "in .csv or .npz for numbers, or in .png, .pdf or .svg for a picture"
        raise InputError(f"cannot write {path}: the name must end {names}")
    if kind in PICTURES and len(settings.p) > PANELS:
        cure = "give fewer, or an --out that ends in .csv or .npz"
        raise InputError(f"{len(settings.p)} sizes: a picture has at most {PANELS} panels; {cure}")
    return path


def write_curves(settings, path: Path, network, content) -> dict:
    """Write or draw the curves that --p asks for; return where they are."""
    from common.light_curves.data import save_curves

    sizes = as_sizes(settings.p)
    with warnings.catch_warnings(record=True) as warned:  # a line of its own for the terminal
        warnings.simplefilter("always")
        _warn_outside(sizes, content["trained_p"])
    for warning in warned:
        say(f"warning: {warning.message}")
    with random_numbers(settings.seed, settings.device):
        curves = draw(network, sizes, settings.n).numpy()
    if path.suffix.lower() in PICTURES:
        from common.light_curves import figures

        length = _track_length(settings, content)
        drawn = figures.asked(settings.p, curves[:, :LINES], content["trained_p"], length)
        save_figure(path, drawn)
    else:
        save_curves(path, settings.p, curves)
    print(path)
    return {"files": [str(path)], "p": list(settings.p)}


def answer(settings, models, content) -> dict:
    """Write the three pictures and the numbers of the exercise; return the numbers."""
    from common.light_curves import figures  # matplotlib and SciPy, not for --p
    from common.light_curves.data import reference

    trained = content["trained_p"]
    sizes, first = sizes_shown(trained, content["simulated"])

    true = reference(sizes, EACH, settings.data_dir, settings.out_dir)  # {p: (2, n, 300)}
    generated = {}
    for name, model in models.items():
        with random_numbers(settings.seed, settings.device):
            curves = draw(model, as_sizes(sizes), EACH).numpy()
        generated[name] = dict(zip(sizes, curves, strict=True))
    with random_numbers(settings.seed, settings.device):
        through_p = swept(next(iter(models.values())), as_sizes(SWEPT), n=3)

    numbers = {"about": content["about"], "curves_each": EACH, "trained_p": trained}
    numbers |= compare(true, generated, trained, settings.seed)

    panels = {"simulated": {p: true[p][0] for p in sizes}} | generated
    length = _track_length(settings, content)
    ten = {name: curves[first][:10] for name, curves in panels.items()}
    five = {name: {p: curves[p][:5] for p in sizes} for name, curves in panels.items()}
    drawn = {
        "figure1": figures.figure1(ten, first, length),
        "sizes": figures.sizes(five, trained, length),
        "sweep": figures.sweep(SWEPT, through_p, trained, length),
    }
    return write(settings.out_dir, "ex_2c", numbers, **drawn)


def sizes_shown(trained, simulated: bool) -> tuple[list, float]:
    """Return the sizes that are compared, R_E, and the one of which ten curves are drawn.

    For a model of your own curves: seven sizes through the trained range, one on either side of
    it, and the trained one that is nearest to the assignment's .1957 R_E.
    """
    if simulated:
        return list(SIZES), FIGURE1
    least, most = min(trained), max(trained)
    first = min(trained, key=lambda p: abs(np.log(p / FIGURE1)))
    inside = np.geomspace(least, most, 7 if most > least else 1)
    sizes = {least / 3, *inside[1:-1], least, most, 2 * most, first}
    return sorted(float(p) for p in sizes if 0.002 <= p <= 100), first


def compare(true: dict, generated: dict, trained, seed: int) -> dict:
    """Return the numbers of generated curves {name: {p: (n, 300)}} against true {p: (2, n, 300)}.

    Prints a line for each size.
    """
    from common.light_curves import evaluation  # SciPy and scikit-learn

    rows = {}
    peaks = {}
    for number, (p, (one, other)) in enumerate(true.items()):
        own_seed = seed + 10 * number
        row = {"trained": "inside" if min(trained) <= p <= max(trained) else "outside"}
        both = np.concatenate([one, other])
        row["floor"] = evaluation.floor_of(one, other, own_seed)
        row["quantiles"] = {"simulated": evaluation.quantiles(both)}
        peaks[f"{p:g}"] = {"simulated": evaluation.peaks(both)}
        for name, curves in generated.items():
            row[name] = evaluation.distances_to((one, other), curves[p], own_seed)
            row["quantiles"][name] = evaluation.quantiles(curves[p])
            peaks[f"{p:g}"][name] = evaluation.peaks(curves[p])
        rows[f"{p:g}"] = row
        c2st = ", ".join(f"{name} {row[name]['c2st']:.2f}" for name in (*generated, "floor"))
        print(f"p = {p:<6.4g} R_E, {row['trained']} the trained range: C2ST {c2st}")

    inside = {p: sets for p, sets in true.items() if min(trained) <= p <= max(trained)}
    obeyed = {}
    for name, curves in generated.items():
        errors = evaluation.p_recovered(inside, {p: curves[p] for p in inside}, seed)
        obeyed[name] = errors
        if errors:
            print(
                f"log p read off curves, {name}: rms error {errors['true_to_generated']:.3f} dex "
                f"(off true curves {errors['floor']:.3f}); "
                f"learned from them and read off true curves {errors['generated_to_true']:.3f}"
            )
    return {"by_p": rows, "p_obeyed": obeyed, "peaks": peaks}


def _track_length(settings, content) -> float | None:
    """Return the length of a track in R_E; None for own curves, whose length nothing tells."""
    from common.light_curves.data import DEFAULT, LENGTH, made_with

    if not content["simulated"]:
        return None
    simulation = made_with(settings.data_dir or DEFAULT)
    return simulation.length if simulation else LENGTH


if __name__ == "__main__":
    run(main, Settings)
