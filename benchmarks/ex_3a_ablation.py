"""Exercise 3(a) over training seeds: every method three times, with its controls.

    python -m benchmarks.ex_3a_ablation    -> figures/ex_3a_ablation.json, a table on the screen

Each row: the exact KL(data || model), and the sliced W2 under the protocol of ex_3b.py over that of
the oracle, five sampling seeds.  Controls: cd without the Metropolis test, jump without a Langevin
step.  Rows already in the file with the same settings are kept, so a stopped run goes on.
"""

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


@dataclass(frozen=True)
class Settings(Common):
    """How many trainings of each kind."""

    threads: int = option(1, "CPU threads", minimum=0, maximum=1024)
    seeds: int = option(3, "trainings of each kind", minimum=1, maximum=100, smoke=1)


def measure(wanted, exact, oracle, sets, protocol) -> dict:
    """Train as `wanted`; return KL, log Z, seconds, and the sliced W2 at every step size."""
    data = swiss_roll.sample(wanted.points, wanted.noise, wanted.seed + 1)
    model, history = ex_3a.fit(data, wanted)
    row = exact.kl(model) | {"seconds": history["seconds"], "hardware": history["hardware"]}
    for eps in [wanted.step_size] if wanted.method == "short-run" else protocol.eps:
        found = roll_report.scored(ex_3b.protocol, model.score, eps, protocol, sets)
        sw2 = roll_metrics.summary(found)["sw2"]["mean"]
        row[f"sw2_eps_{eps:g}"], row[f"sw2_over_oracle_eps_{eps:g}"] = sw2, sw2 / oracle[eps]
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


def main(argv=None) -> dict:
    """Train the rows that are missing or were made with other settings; write after each."""
    settings = parse(Settings, __doc__, argv)
    runtime.start(settings)
    path = Path(settings.out_dir) / "figures/ex_3a_ablation.json"
    rows = json.loads(path.read_text()).get("rows", {}) if path.exists() else {}
    protocol = (
        ex_3b.Settings(steps=20, chains=50, repeats=1) if settings.smoke else ex_3b.Settings()
    )
    noise = swiss_roll.NOISE
    exact, sets = ebm.Exact(noise), roll_report.true_sets(protocol, noise)
    oracle = {}
    for eps in protocol.eps:
        found = roll_report.scored(ex_3b.protocol, swiss_roll.score, eps, protocol, sets)
        oracle[eps] = roll_metrics.summary(found)["sw2"]["mean"]
    table = {"oracle_sw2": {f"eps_{eps:g}": value for eps, value in oracle.items()}}
    for seed in range(settings.seeds):
        for variant, change in VARIANTS.items():
            small = {"steps": 20, "points": 500} if settings.smoke else {}
            wanted = ex_3a.Settings(seed=seed, threads=settings.threads, **change, **small)
            recipe = artifacts.plain(asdict(wanted) | ebm_training.recipe_of(wanted))
            name = f"{variant}, seed {seed}"
            if rows.get(name, {}).get("settings") != recipe:
                rows[name] = {"settings": recipe, **measure(wanted, exact, oracle, sets, protocol)}
                artifacts.save_json(path, table | {"rows": rows, "over_seeds": over_seeds(rows)})
            row = rows[name]
            near = "  ".join(f"{v:.2f}" for k, v in row.items() if k.startswith("sw2_over"))
            print(
                f"{name:32s} {row['seconds']:4.0f} s  KL {row['kl_nats']:9.4f}  SW2/oracle {near}"
            )
    return table | {"rows": rows, "over_seeds": over_seeds(rows)}


if __name__ == "__main__":
    runtime.run(main)
