"""Put the shipped models into one web page, explorer.html, that opens without server or network.

    python -m explorer.build                    -> explorer.html
    python -m explorer.build --out-dir mine     -> mine/explorer.html, of mine/checkpoints/ if there

Weights go in as float16 (base64), with a few simulated light curves as the truth beside generated
ones; explorer/explorer.js computes the rest in the browser and takes every size from the weights'
shapes.  Takes about half a minute.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from common import ebm, priors
from common.digits import model as digit_model
from common.light_curves import model as curve_model
from common.light_curves import simulation
from common.runtime import checkpoints, files, script
from common.runtime.errors import InputError
from common.runtime.options import Common, parse
from common.swiss_roll import density
from common.swiss_roll.data import load_model

import numpy as np

NAME, PARTS, MOST_BYTES = "explorer.html", files.ROOT / "explorer", 4_000_000
# of the simulated truth: width of the star field and source sizes p [R_E], and curves of each size
FIELDS, CURVES = {6.0: (0.01, 0.025), 20.0: (0.06, 0.15, 0.35, 0.8, 2.0, 5.0)}, 12
METHODS = {
    "cd": "Contrastive divergence", "mala": "Metropolis-adjusted chains",
    "replica": "Replica exchange", "pcd": "Persistent chains", "nce": "Noise contrast",
    "short_0.1": "Short runs, ε = 0.1", "short_0.01": "Short runs, ε = 0.01",
    "short_0.001": "Short runs, ε = 0.001",
}  # fmt: skip


@dataclass(frozen=True)
class Settings(Common):
    """Where the page is written: --out-dir; --seed is that of the simulated light curves."""


def packed(values) -> list:
    """Return [shape, base64 of little-endian float16] of an array; InputError if it overflows."""
    values = np.asarray(values)
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    if not np.array_equal(np.isfinite(half), np.isfinite(values)):
        raise InputError("a weight is beyond float16's 65,504")
    return [list(half.shape), base64.b64encode(half.tobytes()).decode()]


def read(name: str, exercise: str, made_by: str, first: str, out_dir: str) -> tuple[dict, dict]:
    """Return ({tensor's name: `packed`} of decoder and prior, the whole checkpoint).

    Raises InputError for a missing, damaged or foreign file, or one without the tensor `first`.
    """
    path = files.find(name, out_dir)
    content = checkpoints.load(path, exercise, made_by, {"weights": dict, "source": str})
    parts = {k: v for k, v in content["weights"].items() if k.startswith(("decoder.", "prior."))}
    if first not in parts:
        raise InputError(f"{path}: no {first}: the page shows the default kinds of network")
    with checkpoints.damage(path, made_by):
        return {key: packed(value) for key, value in parts.items()}, content


def digits(settings) -> dict:
    """Return what the page needs to draw digits."""
    what = digit_model.NAME, "ex_1b", digit_model.MADE_BY, "decoder.second.weight"
    return {"weights": read(*what, settings.out_dir)[0]}


def curves(settings) -> dict:
    """Return what the page needs to draw light curves, and the simulated ones beside them."""
    what = curve_model.NAME, "ex_2b", curve_model.MADE_BY, "prior.base.means"
    weights, content = read(*what, settings.out_dir)
    if not content["source"].startswith(simulation.SIMULATED):
        raise InputError(f"{curve_model.NAME}: of {content['source']}: there is no truth to show")
    with checkpoints.damage(curve_model.NAME, curve_model.MADE_BY):
        trained = [min(content["trained_p"]), max(content["trained_p"])]
    couplings = sum(name.startswith("prior.order") for name in weights)
    most = getattr(priors.CouplingPrior(2, 1, couplings), "most", 1.0)  # |s| of a coupling
    below, bend = getattr(curve_model, "BELOW", 0.05), getattr(curve_model, "BEND", 0.02)
    found = {"weights": weights, "trained": trained, "most": most, "below": below, "bend": bend}
    return found | truth(settings)


def truth(settings) -> dict:
    """Simulate `CURVES` light curves, log10 magnification, of each size, in stars of their own."""
    sizes, found = [], []
    for width, radii in FIELDS.items():
        pixels, seed = 300 if settings.smoke else 1000, settings.seed + 777
        sky = simulation.Settings(width=width, pixels=pixels, seed=seed)
        for p, disc_map in simulation.disc_maps(sky, radii, seed):
            sizes.append(p)
            found.append(simulation.curves_of(disc_map, sky, CURVES, [seed, len(found)]))
    return {"sizes": sizes, "truth": packed(np.log10(found)), "length": sky.length}


def roll(settings) -> dict:
    """Return every energy network, with log Z of what float16 leaves of it, and the true roll."""
    own = Path(settings.out_dir) / "checkpoints"
    folder = files.announced(own if any(own.glob("ex_3a_*.pt")) else files.ROOT / "checkpoints")
    models, noises = [], set()
    for method, name in METHODS.items():
        if (folder / f"ex_3a_{method}.pt").is_file():
            network, content = load_model(folder / f"ex_3a_{method}.pt")
            log_z = round(ebm.log_normaliser(checkpoints.round_to_fp16(network)), 4)
            weights = {key: packed(value) for key, value in network.state_dict().items()}
            models.append({"name": name, "method": method, "log_z": log_z, "weights": weights})
            noises.add(content["noise"])
    if len(noises) != 1 or 0 in noises:
        raise InputError(f"{folder}: the page needs ex_3a_*.pt, all of the same Swiss roll")
    found = {"models": models, "noise": noises.pop(), "base": ebm.BASE, "scale": ebm.SCALE}
    nodes, weights = (values.tolist() for values in density.quadrature(found["noise"]))
    found |= {"nodes": nodes, "weights": weights, "first": density.FIRST, "last": density.LAST}
    return found


def page(settings) -> str:
    """Return the whole page; raise InputError if it is 4 MB or larger."""
    data = {"digits": digits(settings), "curves": curves(settings), "roll": roll(settings)}
    text, names = (PARTS / "template.html").read_text("utf-8"), ("style.css", "explorer.js")
    parts = {name: (PARTS / name).read_text("utf-8") for name in names}
    parts["data.json"] = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    if len(text.encode()) >= MOST_BYTES:
        raise InputError(f"{NAME}: {len(text.encode()):,} bytes: the models are too large for it")
    return text


def main(argv=None) -> dict:
    """Write the page, whole; return its name and size."""
    settings = parse(Settings, __doc__, argv, without=("data_dir", "device"))
    script.start(settings)
    text, path = page(settings), Path(settings.out_dir) / NAME
    print(files.atomic_write(path, lambda temporary: temporary.write_text(text, "utf-8")))
    return {"file": str(path), "bytes": path.stat().st_size}


if __name__ == "__main__":
    script.run(main)
