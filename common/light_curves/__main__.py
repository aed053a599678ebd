"""Simulate the light curves of exercise 2, or draw the magnification map behind them.

    python -m common.light_curves                    -> data/labels.dat, data/12345/01.dat ...
    python -m common.light_curves --map              -> out/ex_2_map.png
    python -m common.light_curves --kappa 0.6 --gamma 0.5 --smooth-fraction 0.5 --data-dir other

The format is the assignment's (data/README.md).  Takes about a minute on 2 cores, 220 MB on disk;
an existing data set is never touched.
"""

from dataclasses import asdict
from pathlib import Path

from common.light_curves import figures, magnification_map, simulation
from common.runtime import results, script
from common.runtime.options import no_effect, parse


def draw_map(settings) -> dict:
    """Write OUT_DIR/ex_2_map.png: the map of a point source, whole and in part; its mean."""
    field = simulation.field_of(settings, settings.seed)
    mu, exact = magnification_map(field, settings.pixels, settings.rays), field.mean_magnification
    title = (
        f"Magnification map of {len(field.stars):,} stars, kappa = {field.kappa:g}, "
        f"gamma = {field.gamma:g}, s = {settings.smooth_fraction:g}; the bright lines are caustics"
        f"\nmean magnification {mu.mean():.9f}, exact {exact:.9f}"
    )
    figure = figures.magnification(mu / exact, field.width, min(10.0, field.width), title)
    print(results.save_figure(Path(settings.out_dir) / "ex_2_map.png", figure))
    return {"mean": mu.mean(), "exact": exact}


def main(argv=None) -> dict:
    """Simulate a data set into --data-dir (default data/), or draw the map."""
    settings = parse(simulation.Settings, __doc__, argv, without=("device",))
    if settings.map:
        no_effect(settings, "curves discs length profile data_dir", "with --map")
        script.start(settings)
        return draw_map(settings)
    no_effect(settings, "out_dir", "without --map: --data-dir says where the data go")
    script.start(settings)
    folder = Path(settings.data_dir) if settings.data_dir else simulation.data_folder(settings)
    simulation.simulate(folder, settings)
    print(folder / "labels.dat", simulation.source_of(folder), sep=": ")
    return asdict(settings)


if __name__ == "__main__":
    script.run(main)
