"""Exercise 3(a): train an energy-based model p(x) = exp(f(x)) / Z on the 2-D Swiss roll.

    python ex_3a.py                    -> out/ex_3a_cd.pt, out/ex_3a_cd.png and .json
    python ex_3a.py --method mala      the same, with Metropolis-tested steps
    python ex_3a.py --method replica   persistent chains at several temperatures
    python ex_3a.py --method pcd       persistent chains at one temperature
    python ex_3a.py --method short-run --step-size 0.01   training chains as in ex_3b
    python ex_3a.py --method nce       noise-contrastive estimation

    grad log-likelihood = E_data[grad f] - E_model[grad f]
    loss = E_neg[f] - E_data[f] + l2 (E_neg[f^2] + E_data[f^2])

The gradient of the loss is minus that of the log-likelihood when the negatives are samples of the
model; the small l2, which decays to almost 0, keeps f from drifting.  In contrastive
divergence (cd) the negatives are the ends of chains of Langevin steps that start at the data, x <-
x + eps grad f(x) + sqrt(2 eps) z; eps falls within a chain.
Network: common/ebm.py; steps: common/langevin.py; chains: common/swiss_roll/negatives.py.
Reads data/swiss_roll_2d.csv (--data-dir) if there is one, else draws from scikit-learn's roll,
whose density is known: KL(data || model) is computed, not estimated.
Expect (seeds 0-4, one thread of an Intel Xeon): KL 0.0159 +- 0.0112 nats after 80 s; replica
0.0011 +- 0.0001 after 50 s; nce 0.0324 +- 0.0086.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel

from common import ebm, swiss_roll
from common.runtime import checkpoints, results, resume, script
from common.runtime import loop as training
from common.runtime.errors import InputError
from common.runtime.options import Training, no_effect, option, parse, resume_key
from common.runtime.seeding import step_seed
from common.swiss_roll import data as roll_data
from common.swiss_roll import evaluation, figures, negatives

# updates, points an update, learning rate, chain steps an update and their sizes (the first and
# the last of a chain), memory of the weights' average, first and last l2
RECIPES = {
    "cd": {"steps": 2400, "batch": 512, "rate": 4e-3, "chain": 80, "eps": (0.02, 0.002),
           "average": 0.998, "l2": (1e-2, 1e-5)},
    "mala": {"steps": 3400, "batch": 256, "rate": 8e-3, "chain": 40, "eps": (0.06, 0.06),
             "average": 0.999, "l2": (1e-3, 1e-6)},
    "replica": {"steps": 10000, "batch": 512, "rate": 1e-2, "chain": 1, "eps": (0.02, 0.02),
                "average": 0.999, "l2": (1e-3, 1e-8), "betas": (1.0, 0.65, 0.35, 0.0)},
    "pcd": {"steps": 4000, "batch": 512, "rate": 4e-3, "chain": 20, "eps": (0.01, 0.01),
            "average": 0.998, "l2": (1e-2, 1e-4)},
    "short-run": {"steps": 5000, "batch": 1024, "rate": 1e-3, "chain": 20, "eps": (0.1, 0.1),
                  "average": 0.998, "l2": (1e-3, 1e-5), "noise": 0.6},
    "nce": {"steps": 6000, "batch": 1024, "rate": 3e-3, "average": 0.999},
}  # fmt: skip


def usual(name: str) -> str:
    """Return the help text with the default of each method."""
    return "; default: " + ", ".join(f"{r[name]} {m}" for m, r in RECIPES.items() if name in r)


@dataclass(frozen=True)
class Settings(Training):
    """The method, and what is changed in it."""

    threads: int = option(
        1,
        "CPU threads, 0: all cores; default: $OMP_NUM_THREADS, else 1",
        minimum=0,
        maximum=1024,
        trains=False,
    )
    method: str = option("cd", "where negatives come from", choices=[*RECIPES])
    step_size: float = option(
        0.0, "eps of all Langevin steps" + usual("eps"), minimum=0.0, maximum=10.0
    )
    chain: int = option(0, "Langevin steps an update" + usual("chain"), minimum=0, maximum=10**5)
    steps: int = option(0, "updates" + usual("steps"), minimum=0, maximum=10**7, smoke=20)
    batch: int = option(0, "points an update" + usual("batch"), minimum=0, maximum=10**6)
    width: int = option(64, "units of each of the 3 layers", minimum=1, maximum=4096)
    points: int = option(10**6, "points of the roll", minimum=100, maximum=10**8, smoke=500)
    noise: float = option(0.2, "of the roll", minimum=0.05, maximum=2.0)


def recipe_of(settings) -> dict:
    """Return the recipe of settings.method with what the settings change in it."""
    recipe = dict(RECIPES[settings.method])
    if settings.method == "nce" and (settings.step_size or settings.chain):
        raise InputError("--step-size, --chain: nce takes no Langevin steps")
    recipe |= {k: v for k in ("steps", "batch", "chain") if (v := getattr(settings, k))}
    if settings.step_size:
        recipe["eps"] = (settings.step_size, settings.step_size)
    if settings.method == "short-run" and recipe["eps"][0] < 0.005:  # f has to become steep
        recipe["rate"] *= 2
    return recipe


def contrastive_loss(model, x, y, l2: float) -> dict:
    """Return the loss for data x (n, 2) and negatives y (m, 2), and the gap E_data[f] - E_neg[f].

    E_neg[f] - E_data[f] + l2 (E_neg[f^2] + E_data[f^2]), in nats.
    """
    f_data, f_negatives = model(torch.cat([x, y])).split([len(x), len(y)])
    gap = f_data.mean() - f_negatives.mean()
    size = (f_data**2).mean() + (f_negatives**2).mean()
    return {"loss": l2 * size - gap, "energy_gap": gap}


def nce_loss(model, x) -> dict:
    """Tell data x (n, 2) from as many y ~ N(0, 8^2 I) by the logit f - log N(0, 8^2 I).

    f becomes a log-density, Z included.  (Gutmann & Hyvarinen 2010.)
    """
    y = ebm.BASE * torch.randn_like(x)

    def logit(x):
        return model(x) + (x * x).sum(1) / (2 * ebm.BASE**2) + ebm.LOG_BASE

    loss = F.softplus(-logit(x)).mean() + F.softplus(logit(y)).mean()
    return {"loss": loss, "energy_gap": (model(x).mean() - model(y).mean()).detach()}


def fit(data, settings, state=None, watch=None):
    """Train f on data (n, 2) by settings.method; return the averaged network and the history.

    watch: called as watch(network) at most 14 times; its numbers go into the history.
    Raises InputError when a term is not finite.
    """
    recipe, state = recipe_of(settings), state or resume.State(None, {})
    steps = recipe["steps"]
    torch.manual_seed(step_seed(settings.seed, -1))
    model = ebm.LogDensity(settings.width)
    optimizer = torch.optim.Adam(model.parameters(), recipe["rate"], fused=True)
    source = negatives.SOURCES.get(settings.method, negatives.Source)(data, recipe)

    def lerp(average, weights, updates):
        keep = min(recipe["average"], (int(updates) + 1) / (int(updates) + 10))
        torch._foreach_lerp_(average, weights, 1 - keep)

    average = AveragedModel(model, multi_avg_fn=lerp)

    def note(step):
        if watch and (step % max(10, steps // 12) == 0 or step == steps):
            for name, value in {"watched_step": step, **watch(average.module)}.items():
                state.history.setdefault(name, []).append(value)

    def loss_terms(step):
        average.update_parameters(model)
        note(step)
        if settings.method == "nce":
            return nce_loss(model, source.minibatch())
        x, y = source.pairs(model, step / steps)
        l2 = negatives.geometric_schedule(*recipe["l2"], step / (0.6 * steps))
        return contrastive_loss(model, x, y, l2)

    def rate(step, steps):
        return 0.02 + 0.98 * training.warmup_cosine(step, steps, min(0.5, 200 / steps))

    history = training.train(
        torch.nn.ModuleList([model, average, source]), loss_terms, optimizer, steps=steps,
        seed=settings.seed, rate=rate, state=state,
        advice="start anew with a lower --step-size, or another --seed",
    )  # fmt: skip
    note(steps)
    return average.module.eval(), history


def main(argv=None) -> dict:
    """Train, save the checkpoint, measure, draw, save the numbers; return them."""
    settings = parse(Settings, __doc__, argv, without=("device",))
    script.start(settings)
    name = f"ex_3a_{settings.method}"
    if settings.method == "short-run":
        name = f"ex_3a_short_{recipe_of(settings)['eps'][0]:g}"
    wanted = settings.noise, settings.points, settings.seed + 1
    data, noise, source = roll_data.load(settings.data_dir, *wanted)
    if Path(settings.data_dir or "data", roll_data.FILE).exists():
        no_effect(settings, "points noise", f"on the points of {roll_data.FILE}")
    key = resume_key(settings, source=source)
    path = Path(settings.out_dir) / f"{name}.pt"
    state = resume.State(path, key, settings.resume)
    exact = evaluation.ExactKL(noise) if noise else None
    model, history = fit(data, settings, state, exact)
    content = {"exercise": "ex_3a", "model": {"width": settings.width}, "noise": noise or 0.0}
    content |= {"weights": model.state_dict(), "settings": asdict(settings), "source": source}
    print(checkpoints.save(path, content))

    found = exact(model) if exact else ebm.normaliser(model)
    log_z, window = found["log_z"], evaluation.WINDOW
    metrics = {"source": source, "settings": asdict(settings), "hardware": history["hardware"]}
    metrics |= found | {"training_seconds": history["seconds"]}
    metrics["history"] = {k: v for k, v in history.items() if isinstance(v, list)}
    truth, shown = data[:2000], evaluation.picture_of(ebm.values(model, window) - log_z)
    if noise:
        truth = evaluation.picture_of(swiss_roll.log_density(window, noise))
    said = f"KL(data || model) = {found['kl_nats']:.4f} nats" if exact else "no exact KL"
    said = f"{name}: {said}, log Z = {log_z:.3f}"
    drawn = {name: figures.training(truth, shown, history, f"{said}; {source}")}
    print(f"{said}, {history['seconds']:.0f} s; {source}")
    done = results.save_results(settings.out_dir, name, metrics, drawn)
    state.remove()
    return done


if __name__ == "__main__":
    script.run(main)
