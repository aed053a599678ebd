"""Exercise 3(a) over training seeds: every method three times, with its controls.

    python -m benchmarks.ex_3a_ablation    -> figures/ex_3a_ablation.json, a table on the screen

Each row: the exact KL(data || model), and the sliced W2 under the protocol of ex_3b.py over that of
the oracle, 20 sampling seeds (five alone scatter by 8 %).  Controls: cd without the Metropolis
test, jump without a Langevin step.  Rows already in the file with the same settings are kept, so
a stopped run goes on.  About 25 minutes.
"""

import itertools
import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

import ex_3a
import ex_3b
from common import artifacts, ebm, ebm_training, roll_metrics, roll_report, runtime, swiss_roll
from common.settings import Common, option, parse

VARIANTS = {
    "cd": {"method": "cd"},
    "cd, no Metropolis test": {"method": "cd", "plain": True},
    "jump": {"method": "jump"},
    "jump, no Langevin step": {"method": "jump", "chain": 0},
    "nce": {"method": "nce"},
    **{
        f"short-run, eps {eps:g}": {"method": "short-run", "step_size": eps}
        for eps in (0.1, 0.01, 0.001)
    },
}
FREE = ("threads", "device", "data_dir", "out_dir", "smoke")  # settings that change no number


@dataclass(frozen=True)
class Settings(Common):
    """How many trainings of each kind."""

    threads: int = option(1, "CPU threads", minimum=0, maximum=1024)
    repeats: int = option(20, "sampling seeds", minimum=1, maximum=1000, smoke=1)
    seeds: int = option(3, "trainings of each kind", minimum=1, maximum=100, smoke=1)


def measure(wanted, exact, oracle, sets, protocol) -> dict:
    """Train as `wanted`; return KL, log Z, seconds, and the sliced W2 at every step size."""
    data = swiss_roll.sample(wanted.points, wanted.noise, wanted.seed + 1)
    model, history = ex_3a.fit(data, wanted)
    row = exact.kl(model) | {"seconds": history["seconds"], "hardware": history["hardware"]}
    for eps in [wanted.step_size] if wanted.method == "short-run" else protocol.eps:
        found = roll_report.scored(ex_3b.protocol, model.score, eps, protocol, sets)
        sw2 = roll_metrics.summary(found)["sw2"]["mean"]
        row[f"sw2_eps_{eps:g}"], row[f"sw2_over_oracle_eps_{eps:g}"] = (
            sw2,
            sw2 / oracle[f"eps_{eps:g}"],
        )
    return row


def over_seeds(rows: dict) -> dict:
    """Return {variant: {number: {"mean", "std", "seeds"}}} of the rows "variant, seed k"."""
    out = {}
    for variant in VARIANTS:
        some = [row for name, row in rows.items() if name.startswith(f"{variant}, seed ")]
        for key in some[0] if some else []:
            values = [row[key] for row in some]
            if isinstance(values[0], float):
                std = statistics.stdev(values) if len(values) > 1 else 0.0
                out.setdefault(variant, {})[key] = {
                    "mean": statistics.mean(values), "std": std, "seeds": len(values)
                }  # fmt: skip
    return out


def oracle_of(protocol, sets, done: dict) -> dict:
    """Return {"eps_0.1": sliced W2 of the true score under the protocol, ...}; kept if done."""
    if done.get("oracle_repeats") == protocol.repeats:
        return done["oracle_sw2"]
    found = {
        eps: roll_report.scored(ex_3b.protocol, swiss_roll.score, eps, protocol, sets)
        for eps in protocol.eps
    }
    return {f"eps_{eps:g}": roll_metrics.summary(v)["sw2"]["mean"] for eps, v in found.items()}


def main(argv=None) -> dict:
    """Train the rows that are missing or were made with other settings; write after each."""
    settings = parse(Settings, __doc__, argv)
    runtime.start(settings)
    path = Path(settings.out_dir) / "figures/ex_3a_ablation.json"
    done = json.loads(path.read_text()) if path.exists() else {}
    rows, small = done.get("rows", {}), {"steps": 20} if settings.smoke else {}
    protocol = ex_3b.Settings(
        repeats=settings.repeats, **small, **({"chains": 50} if small else {})
    )
    exact, sets = ebm.Exact(swiss_roll.NOISE), roll_report.true_sets(protocol, swiss_roll.NOISE)
    oracle = oracle_of(protocol, sets, done)
    table = {"oracle_sw2": oracle, "oracle_repeats": settings.repeats}
    for seed, (variant, change) in itertools.product(range(settings.seeds), VARIANTS.items()):
        name = f"{variant}, seed {seed}"
        wanted = ex_3a.Settings(seed=seed, **change, **small, **({"points": 500} if small else {}))
        recipe = asdict(wanted) | ebm_training.recipe_of(wanted) | {"repeats": settings.repeats}
        recipe = artifacts.plain({k: v for k, v in recipe.items() if k not in FREE})
        if rows.get(name, {}).get("settings") != recipe:
            rows[name] = {"settings": recipe, **measure(wanted, exact, oracle, sets, protocol)}
            everything = table | {"rows": rows, "over_seeds": over_seeds(rows)}
            artifacts.save_json(path, everything)
        row = rows[name]
        near = "  ".join(f"{v:.3f}" for k, v in row.items() if k.startswith("sw2_over"))
        print(f"{name:32s} {row['seconds']:4.0f} s  KL {row['kl_nats']:9.4f}  SW2 ratio {near}")
    return table | {"rows": rows, "over_seeds": over_seeds(rows)}


if __name__ == "__main__":
    runtime.run(main)
