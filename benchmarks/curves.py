"""What limits exercise 2(b), the curves or the network: trainings on 250 ... 8,000 curves a source.

    python -m benchmarks.curves            -> figures/ex_2b_curves.json

The curves are simulated in the star field of the data set, on new tracks; fewer are part of more.
Each training is that of ex_2b.py and is scored, like it, on the test field.  Rows already in the
file with the same settings are kept, so a stopped run goes on.  About 7 minutes a row on a core.
"""

from pathlib import Path

import data_loader
import ex_2b
from common.light_curves import data as curve_data
from common.light_curves import evaluation, simulation
from common.runtime import results, script
from common.runtime.device import pick_device
from common.runtime.errors import InputError
from common.runtime.options import Common, parse, resume_key

COUNTS = (250, 500, 1000, 2000, 4000, 8000)  # curves of each of the seven sources


def simulated(most: int, own) -> dict:
    """Return {p: (most, 300)} for the sources that are trained on; own: `simulation.Settings`."""
    radii = [simulation.radius_of(disc) for disc in curve_data.TRAIN]
    maps = simulation.disc_maps(own, radii, own.seed)
    key = [own.seed, int(curve_data.MAP)]
    return {
        p: simulation.curves_of(disc_map, own, most, [*key, 100 + k]).astype("float32")
        for k, (p, disc_map) in enumerate(maps)
    }


def main(argv=None) -> dict:
    """Train what the JSON lacks, write each row at once; return the table."""
    settings = parse(Common, __doc__, argv)
    results.keep_shipped(settings)
    counts = (20, 40) if settings.smoke else COUNTS
    base = {"steps": 20, "refine": 0, "whitened": 8} if settings.smoke else {}
    base |= {"seed": settings.seed, "device": settings.device, "threads": settings.threads or 1}
    script.start(base := ex_2b.Settings(**base))
    folder = simulation.folder_of(settings)
    if not simulation.is_simulated(folder):
        raise InputError(f"{folder}: only simulated curves can be had in any number")
    data, source = curve_data.split(*data_loader.dataloader(folder)), simulation.source_of(folder)
    path = Path(settings.out_dir) / "figures/ex_2b_curves.json"
    key, train = results.to_json(resume_key(base)) | {"source": source}, None
    table = results.read_json(path).get("by_count", {})
    for count in counts:
        if table.get(str(count), {}).get("settings") != key:
            train = train or simulated(max(counts), simulation.made_with(folder))
            some = {p: curves[:count] for p, curves in train.items()}
            model, history = ex_2b.fit(some, base, pick_device(base.device))
            found = evaluation.measure(model.cpu(), data, base.seed)
            row = {"settings": key, "seconds": history["seconds"], **found["test"]}
            table[str(count)] = row | {"train": found["train"]["negative_elbo_nats"]}
            results.save_json(path, {"source": source, "by_count": table, "floor": found["floor"]})
        print(f"{count} curves: C2ST {table[str(count)]['distances']['c2st']:.3f}", flush=True)
    found = results.read_json(path) | {"by_count": {str(n): table[str(n)] for n in counts}}
    print(results.save_json(path, found))
    return found


if __name__ == "__main__":
    script.run(main)
