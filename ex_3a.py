"""Exercise 3(a): train an energy-based model p(x) = exp(f(x)) / Z on the 2-D Swiss roll.

    python ex_3a.py                     -> checkpoints/ex_3a_cd.pt, figures/ex_3a_cd.json
    python ex_3a.py --method jump                        persistent chains with global jumps
    python ex_3a.py --method short-run --step-size 0.01  the sampler trained as it will be run
    python ex_3a.py --method nce                         noise-contrastive, the course's solution

    grad log-likelihood = E_data[grad f] - E_model[grad f]

cd (contrastive divergence): in place of the model's samples stand chains of Langevin steps,
x + eps grad f(x) + sqrt(2 eps) z, that start at the data; a Metropolis test after each step
(--plain leaves it out, and takes smaller steps) makes each step leave exp(f) invariant.
jump: persistent chains that are also moved by Metropolis-tested jumps anywhere on the roll.
The density of the roll is known, so KL(data || model) is computed, not estimated.
Reads data/swiss_roll_2d.csv (--data-dir) if there is one, else draws from scikit-learn's roll.
Expect (seed 0, AMD EPYC, 1 threads, torch 2.13.0+cpu): KL 0.0094 nats after 58 s;
with --method jump 0.0005 nats after 65 s.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from common import artifacts, ebm, ebm_training, processes, runtime, swiss_roll
from common.settings import Common, option, parse


@dataclass(frozen=True)
class Settings(Common):
    """The method; 0 means the method's own value (common/ebm_training.py)."""

    threads: int = option(1, "CPU threads, 0: all; more do not pay here", minimum=0, maximum=1024)
    method: str = option("cd", "where negatives come from", choices=[*ebm_training.RECIPES])
    step_size: float = option(0.1, "eps of short-run", minimum=1e-6, maximum=10.0)
    plain: bool = option(False, "cd without the Metropolis test, smaller steps")
    steps: int = option(0, "updates", minimum=0, maximum=10**7, smoke=20)
    batch: int = option(0, "points an update", minimum=0, maximum=10**6)
    chain: int = option(-1, "Langevin steps an update", minimum=-1, maximum=10**5)
    width: int = option(64, "units of each of the 3 layers", minimum=1, maximum=4096)
    points: int = option(
        1_000_000, "points drawn from the roll", minimum=100, maximum=10**8, smoke=500
    )
    noise: float = option(0.2, "of the roll", minimum=0.01, maximum=2.0)


def name_of(settings) -> str:
    """Return ex_3a_cd, ex_3a_jump, ex_3a_short_0.01, ..."""
    if settings.method == "short-run":
        return f"ex_3a_short_{settings.step_size:g}"
    return f"ex_3a_{settings.method}" + ("_plain" if settings.plain else "")


def fit(data, settings, watch=None):
    """Train f on data (n, 2) by settings.method; return the network and the history."""
    recipe = ebm_training.recipe_of(settings)
    return ebm_training.fit(
        data, settings.method, recipe, settings.seed, settings.width, watch, settings.plain
    )


def main(argv=None) -> dict:
    """Train, measure, write the checkpoint and the numbers."""
    settings = parse(Settings, __doc__, argv)
    runtime.start(settings)
    data, noise, source = swiss_roll.load(
        settings.data_dir, settings.noise, settings.points, settings.seed + 1
    )
    exact = ebm.Exact(noise) if noise else None
    model, history = fit(data, settings, exact.kl if exact else None)
    if not processes.leads():
        return {}
    metrics = {"source": source, "settings": asdict(settings), "hardware": history["hardware"]}
    metrics |= exact.kl(model) if exact else {"log_z": ebm.log_normaliser(model)}
    metrics |= {"training_seconds": history["seconds"], "watched": history["watched"]}
    metrics["history"] = {
        k: v for k, v in history.items() if isinstance(v, list) and k != "watched"
    }
    content = {"exercise": "ex_3a", "model": {"width": settings.width}, "noise": noise or 0.0}
    content |= {"weights": model.state_dict(), "settings": asdict(settings), "source": source}
    name = name_of(settings)
    path = Path(settings.out_dir) / f"checkpoints/{name}.pt"
    print(artifacts.save_checkpoint(path, content | {"metrics": metrics}))
    metrics["checkpoint_sha256"] = artifacts.sha256(path)
    print(artifacts.save_json(Path(settings.out_dir) / f"figures/{name}.json", metrics))
    kl = f"KL(data || model) = {metrics['kl_nats']:.4f} nats" if exact else "no exact KL"
    print(f"{name}: {kl}, log Z = {metrics['log_z']:.3f}, {history['seconds']:.0f} s; {source}")
    return metrics


if __name__ == "__main__":
    runtime.run(main)
