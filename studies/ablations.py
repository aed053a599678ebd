"""What lies between the two models of 2(b), on validation curves; here settings are chosen, too.

    python -m studies.ablations      -> out/ex_2b_ablations.json: a line for each of ROWS
    python -m studies.ablations --rows ours --steps 5000 --seed 101     try settings of ex_2b.py

Every row is trained on the curves that 2(b) is trained on and compared with another star field,
data/validation/, which is simulated when it is first asked for.  Seeds from 100 on are for this;
0-4 are for the table, whose curves no choice has seen.  All rows take half an hour on one core.
"""

import json
import math
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

import ex_2b
from common.light_curves import data, evaluation
from common.light_curves.model import draw, prior_of
from common.training import InputError, one_thread, pick_device, run, write

EACH = 500  # generated curves of each size, and true ones in each of the two sets
ROWS = {  # what is changed, in the order of the table
    "plain": "the asked network as a student trains it",
    "plain, learned prior": "p(z|p) of ours, all else plain",
    "ours, N(0, I)": "all of ours but p(z|p)",
    "ours, p in R_E": "without p / 8",
    "ours, one sd": "the decoder's sd ends at .002 dex for all sizes",
    "ours": "",
}


@dataclass
class Settings(ex_2b.Settings):
    seed: int = 100
    rows: tuple[str, ...] = tuple(ROWS)


def train(row: str, x, p, sizes, settings):
    """Train one of ROWS on x (n, 300), p (n,), of the `sizes`: return the model."""
    plain = row.startswith("plain")
    learned = asdict(settings) | {"plain": row in ("plain", "ours, N(0, I)")}
    torch.manual_seed(settings.seed)
    prior = prior_of(learned, min(sizes), max(sizes))
    fit = ex_2b.fit_plain if plain else ex_2b.fit
    with changed(row):
        model, _ = fit(prior, x, p, replace(settings, plain=plain))
    return model


@contextmanager
def changed(row: str):
    """Run a block with what the row changes in ex_2b.py."""
    before = ex_2b.UNIT, ex_2b.prescribed_sd
    if row == "ours, p in R_E":
        ex_2b.UNIT = 1.0
    if row == "ours, one sd":
        ex_2b.prescribed_sd = one_sd
    try:
        yield
    finally:
        ex_2b.UNIT, ex_2b.prescribed_sd = before


def one_sd(x, p, least: float) -> dict:
    """Return {size: (start, end)}, ln of an sd that falls to .002 dex for all sizes."""
    return {size: (math.log(float(x.std())), math.log(0.002)) for size in p.unique().tolist()}


def judge(model, true: dict, seed: int) -> dict:
    """Return {p: {"model", "floor"}}: C2ST of drawn curves from two sets of true {p: (n, 300)}."""
    torch.manual_seed(seed)
    rows = {}
    for p, curves in true.items():
        one, other = curves[:EACH], curves[EACH : 2 * EACH]
        drawn = draw(model, torch.tensor([p]), EACH)[0].numpy()
        rows[f"{p:g}"] = {
            "model": np.mean([evaluation.judged(drawn, part, seed) for part in (one, other)]),
            "floor": evaluation.judged(one, other, seed),
        }
    return rows


def main(settings) -> dict:
    """Train each row, compare it with the validation field, add it to the table; return that."""
    if settings.seed < 100:
        raise InputError(f"--seed {settings.seed}: settings are chosen with seeds from 100 on")
    for row in settings.rows:
        if row not in ROWS:
            raise InputError(f"--rows {row!r}: give some of {', '.join(ROWS)}")
    one_thread()
    device = pick_device(settings.device)
    curves = data.load(settings.data_dir, part="validation")
    x, p = (part.to(device) for part in data.stacked(curves.train, settings.limit))

    path = settings.out_dir / "ex_2b_ablations.json"
    table = json.loads(path.read_text(encoding="utf-8"))["table"] if path.exists() else []
    for row in settings.rows:
        model = train(row, x, p, curves.train, settings).cpu()
        by_p = judge(model, curves.test, settings.seed)
        mean = np.mean([each["model"] for each in by_p.values()])
        print(f"{row}: C2ST {mean:.3f}, mean over {len(by_p)} sizes")
        elbo = evaluation.elbo(model, curves.test)["negative_elbo"]
        chosen = {name: getattr(settings, name) for name in ("steps", "refine", *ex_2b.OURS_ONLY)}
        table.append({"row": row, "seed": settings.seed, "c2st": mean, "by_p": by_p})
        table[-1] |= {"negative_elbo": elbo, "settings": chosen}
        write(settings.out_dir, "ex_2b_ablations", {"table": table})
    return {"table": table}


if __name__ == "__main__":
    run(main, Settings)
