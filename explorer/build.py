"""Put the shipped models into one web page, explorer.html, that opens without server or network.

    python -m explorer.build                    -> explorer.html
    python -m explorer.build --out-dir mine     -> mine/explorer.html, of mine/checkpoints/ if there

Weights go in as float16 (base64), with a few simulated light curves as the truth beside generated
ones (of --seed); explorer/explorer.js computes the rest in the browser and takes every size from
the weights' shapes.  Takes about half a minute.
"""

import base64
import json
from pathlib import Path

from common import ebm
from common.digits import model as digit_model
from common.light_curves import model as curve_model
from common.light_curves import simulation
from common.runtime import checkpoints, files, script
from common.runtime.errors import InputError
from common.runtime.options import Common, parse
from common.swiss_roll import density
from common.swiss_roll.data import load_model

import numpy as np

NAME, PARTS = "explorer.html", files.ROOT / "explorer"
# of the simulated truth: width of the star field and source sizes p [R_E], and curves of each size
FIELDS, CURVES = {6.0: (0.01, 0.025), 20.0: (0.06, 0.15, 0.35, 0.8, 2.0, 5.0)}, 12
METHODS = {
    "cd": "Contrastive divergence", "mala": "Metropolis-adjusted chains",
    "replica": "Replica exchange", "pcd": "Persistent chains", "nce": "Noise contrast",
    "short_0.1": "Short runs, ε = 0.1", "short_0.01": "Short runs, ε = 0.01",
    "short_0.001": "Short runs, ε = 0.001",
}  # fmt: skip


def packed(values) -> list:
    """Return [shape, base64 of little-endian float16] of an array."""
    with np.errstate(over="raise"):  # beyond float16
        half = np.asarray(values).astype("<f2")
    return [list(half.shape), base64.b64encode(half.tobytes()).decode()]


def read(module, first: str, out_dir: str):
    """Return (model, checkpoint, {tensor's name: `packed`} of decoder and prior).

    module: that of the model.  Raises InputError for a missing, damaged or foreign file, or one
    without the tensor `first`.
    """
    path = files.find(module.NAME, out_dir)
    model, content = module.load(path)
    parts = {k: v for k, v in content["weights"].items() if k.startswith(("decoder.", "prior."))}
    if first not in parts:
        raise InputError(f"{path}: no {first}: the page shows the default kinds of network")
    return model, content, {key: packed(value) for key, value in parts.items()}


def curves(settings) -> dict:
    """Return what the page needs to draw light curves, and simulated ones of each size beside them.

    These are `CURVES` curves, log10 magnification, of each size, in stars of their own.
    """
    model, content, weights = read(curve_model, "prior.base.means", settings.out_dir)
    if not content["source"].startswith(simulation.SIMULATED):
        raise InputError(f"{curve_model.NAME}: of {content['source']}: there is no truth to show")
    trained = [min(content["trained_p"]), max(content["trained_p"])]
    found = {"weights": weights, "trained": trained, "most": model.prior.most}
    found |= {"below": curve_model.BELOW, "bend": curve_model.BEND}
    sizes, truth = [], []
    for width, radii in FIELDS.items():
        pixels, seed = 300 if settings.smoke else 1000, settings.seed + 777
        sky = simulation.Settings(width=width, pixels=pixels, seed=seed)
        for p, disc_map in simulation.disc_maps(sky, radii, seed):
            sizes.append(p)
            truth.append(simulation.curves_of(disc_map, sky, CURVES, [seed, len(truth)]))
    return found | {"sizes": sizes, "truth": packed(np.log10(truth)), "length": sky.length}


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
    found |= {"nodes": nodes, "weights": weights}
    return found | {"first": density.FIRST, "last": density.LAST}


def page(settings) -> str:
    """Return the whole page; raise InputError for models that it cannot show."""
    digits = read(digit_model, "decoder.second.weight", settings.out_dir)[2]
    data = {"digits": {"weights": digits}, "curves": curves(settings), "roll": roll(settings)}
    text = (PARTS / "template.html").read_text("utf-8")
    for name in ("style.css", "explorer.js"):
        text = text.replace(f"{{{{{name}}}}}", (PARTS / name).read_text("utf-8"))
    return text.replace("{{data.json}}", json.dumps(data, separators=(",", ":"), allow_nan=False))


def main(argv=None) -> dict:
    """Write the page, whole; return its name and size."""
    settings = parse(Common, __doc__, argv, without=("data_dir", "device"))
    script.start(settings)
    text, path = page(settings), Path(settings.out_dir) / NAME
    print(files.atomic_write(path, lambda temporary: temporary.write_text(text, "utf-8")))
    return {"file": str(path), "bytes": path.stat().st_size}


if __name__ == "__main__":
    script.run(main)
