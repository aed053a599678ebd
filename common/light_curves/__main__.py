"""Simulate the light curves of exercise 2 in the assignment's format, or draw the map behind them.

    python -m common.light_curves                     -> data/labels.dat, data/12345/01.dat ...
    python -m common.light_curves --part test         -> data/test/: another star field
    python -m common.light_curves --map               -> out/ex_2_map.png
    python -m common.light_curves --kappa 0.6 --gamma 0.5 --p 0.1 0.3 1 --data-dir other

The format is in data/README.md, the simulator is common/microlensing.  Takes about a minute on 2
cores, and 130 MB on disk.  A data set that is there is never touched; one that was stopped is begun
anew.
"""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from common.light_curves import data
from common.training import InputError, run, save_figure


@dataclass
class Settings(data.Simulation):
    data_dir: str = ""  # where the curves go; default: data/
    part: Literal["train", "validation", "test"] = "train"  # validation, test: below data_dir
    map: bool = False  # draw the magnification map, ex_2_map.png, and simulate no curves
    out_dir: Path = Path("out")  # where the map goes


def main(settings) -> dict:
    """Simulate one of the parts into data_dir, or draw its map; return the numbers."""
    names = [field.name for field in fields(data.Simulation)]
    simulation = data.Simulation(**{name: getattr(settings, name) for name in names})
    if settings.map:
        return draw_map(simulation, settings)

    folder = Path(settings.data_dir or data.DEFAULT)
    if settings.part != "train":
        trained = data.made_with(folder)
        if trained and trained != simulation:
            other = next(n for n in names if getattr(trained, n) != getattr(simulation, n))
            flag = f"--{other.replace('_', '-')} {getattr(trained, other)}"
            raise InputError(
                f"{folder} was simulated with {flag}; give the same for its {settings.part}"
            )
        folder = folder / settings.part
    print(data.simulate(folder, simulation, data.PARTS[settings.part].map_id))
    return asdict(simulation)


def draw_map(simulation, settings) -> dict:
    """Write ex_2_map.png, the map of a point source, whole and in part; return its mean."""
    from common.light_curves import figures  # matplotlib

    seed = simulation.seed + data.PARTS[settings.part].seed
    field, mu = data.magnification(replace(simulation, seed=seed))
    exact = field.mean_magnification
    title = (
        f"Magnification map of {len(field.stars):,} stars, kappa = {field.kappa:g}, "
        f"gamma = {field.gamma:g}, s = {simulation.smooth_fraction:g}; the bright lines are "
        f"caustics\nmean magnification {mu.mean():.4f}, exact {exact:.4f}"
    )
    figure = figures.magnification(mu / exact, field.width, min(10.0, field.width), title)
    path = settings.out_dir / "ex_2_map.png"
    save_figure(path, figure)
    print(path)
    return {"mean": mu.mean(), "exact": exact}


if __name__ == "__main__":
    run(main, Settings)
