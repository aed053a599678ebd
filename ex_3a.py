"""Exercise 3(a): train an energy-based model p(x) = exp(f(x)) / Z on the 2-D Swiss roll.

    python ex_3a.py                     -> checkpoints/ex_3a_cd.pt, figures/ex_3a_cd.json
    python ex_3a.py --method jump                        persistent chains with global jumps
    python ex_3a.py --method short-run --step-size 0.01  the sampler trained as it will be run
    python ex_3a.py --method nce                         noise-contrastive estimation

    grad log-likelihood = E_data[grad f] - E_model[grad f]
    loss = E_neg[f] - E_data[f] + l2 (E_neg[f^2] + E_data[f^2])

The gradient of the loss is minus that of the log-likelihood when the negatives are samples of the
model; the small l2, which falls to next to nothing, keeps f from drifting.  In cd (contrastive
divergence) the negatives are chains of Langevin steps, x + eps grad f(x) + sqrt(2 eps) z, that
start at the data; each step is Metropolis-tested (--plain leaves that out, and takes smaller
steps).  In jump persistent chains are also moved by Metropolis-tested jumps anywhere on the roll.
Network: common/ebm.py; steps: common/langevin.py; chains: common/swiss_roll/negatives.py.
Reads data/swiss_roll_2d.csv (--data-dir) if there is one, else draws from scikit-learn's roll;
its density is known, so KL(data || model) is computed, not estimated.
Expect (seed 0, AMD EPYC, 1 threads, torch 2.13.0+cpu): KL 0.0094 nats after 58 s;
with --method jump 0.0005 nats after 65 s.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel

from common import ebm, training
from common.runtime import checkpoints, results, script
from common.runtime.errors import InputError
from common.runtime.options import Common, option, parse, resume_key
from common.runtime.seeding import step_seed
from common.swiss_roll import data as roll_data
from common.swiss_roll import evaluation, negatives

# updates, points an update, learning rate, chain steps an update, decay of the weights' average
RECIPES = {
    "cd": {"steps": 1800, "batch": 512, "rate": 4e-3, "chain": 40, "eps": 0.06, "average": 0.998,
           "l2": (1e-2, 1e-4)},
    "jump": {"steps": 14000, "batch": 512, "rate": 1e-2, "chain": 1, "eps": 0.01, "average": 0.999,
             "l2": (1e-3, 1e-8)},
    "short-run": {"steps": 5000, "batch": 1024, "rate": 1e-3, "chain": 20, "eps": 0.1,
                  "average": 0.998, "l2": (1e-3, 1e-5), "noise": 0.6},
    "nce": {"steps": 6000, "batch": 1024, "rate": 3e-3, "chain": 0, "eps": 0.01, "average": 0.999,
            "l2": (0.0, 0.0)},
}  # fmt: skip


@dataclass(frozen=True)
class Settings(Common):
    """The method; 0 means the method's own value, see RECIPES."""

    threads: int = option(
        1, "CPU threads, 0: all; more do not pay", minimum=0, maximum=1024, trains=False
    )
    method: str = option("cd", "where negatives come from", choices=[*RECIPES])
    step_size: float = option(0.1, "eps of short-run", minimum=1e-6, maximum=10.0)
    plain: bool = option(False, "cd without the Metropolis test, smaller steps")
    steps: int = option(0, "updates", minimum=0, maximum=10**7, smoke=20)
    batch: int = option(0, "points an update", minimum=0, maximum=10**6)
    chain: int = option(-1, "Langevin steps an update", minimum=-1, maximum=10**5)
    width: int = option(64, "units of each of the 3 layers", minimum=1, maximum=4096)
    points: int = option(10**6, "points of the roll", minimum=100, maximum=10**8, smoke=500)
    noise: float = option(0.2, "of the roll", minimum=0.01, maximum=2.0)
    force: bool = option(False, "overwrite a checkpoint of other settings", trains=False)


def recipe_of(settings) -> dict:
    """Return the recipe of settings.method with what the settings change in it."""
    recipe = dict(RECIPES[settings.method])
    recipe |= {key: value for key in ("steps", "batch") if (value := getattr(settings, key))}
    recipe |= {"chain": settings.chain} if settings.chain >= 0 else {}
    if settings.method == "short-run":
        recipe["eps"] = settings.step_size
        if settings.step_size < 0.005:  # little time: f has to become steep
            recipe["rate"] *= 2
    return recipe


def source_of(model, data, settings, recipe):
    """Return where the negatives of settings.method come from; None for nce."""
    if settings.method == "cd":
        return negatives.ContrastiveDivergence(model, data, recipe, settings.plain)
    if settings.method == "jump":
        return negatives.PersistentJumps(model, data, recipe)
    return negatives.ShortRun(model, data, recipe) if settings.method == "short-run" else None


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


def fit(data, settings, watch=None):
    """Train f on data (n, 2) by settings.method; return the averaged network and the history.

    watch: called as watch(network) about ten times; what it returns (a dict of numbers) goes into
    the history.  Raises InputError when a term is not finite.
    """
    recipe = recipe_of(settings)
    torch.manual_seed(step_seed(settings.seed, -1))
    model = ebm.LogDensity(settings.width)
    optimizer = torch.optim.Adam(model.parameters(), recipe["rate"], fused=True)
    source = source_of(model, data, settings, recipe)
    steps, watched = recipe["steps"], []

    def lerp(average, weights, updates):
        keep = min(recipe["average"], (int(updates) + 1) / (int(updates) + 10))
        torch._foreach_lerp_(average, weights, 1 - keep)

    average = AveragedModel(model, multi_avg_fn=lerp)

    def loss_terms(step):
        average.update_parameters(model)
        if watch and step % max(1, steps // 10) == 0:
            watched.append({"step": step, **watch(average.module)})
        if settings.method == "nce":
            return nce_loss(model, negatives.minibatch(data, recipe["batch"]))
        x, y = source.pairs(step / steps)
        l2 = negatives.geometric_schedule(*recipe["l2"], step / (0.6 * steps))
        return contrastive_loss(model, x, y, l2)

    def rate(step, steps):
        return 0.02 + 0.98 * training.warmup_cosine(step, steps, min(0.5, 200 / steps))

    advice = "start anew with a lower --step-size, or another --seed"
    history = training.train(
        model, loss_terms, optimizer, steps=steps, seed=settings.seed, rate=rate, advice=advice
    )
    return average.module.eval(), history | {"watched": watched}


def main(argv=None) -> dict:
    """Train, save the checkpoint, measure, save the numbers; return them."""
    settings = parse(Settings, __doc__, argv)
    if settings.plain and settings.method != "cd":
        raise InputError("--plain is of --method cd alone")
    script.start(settings)
    name = f"ex_3a_{settings.method}" + ("_plain" if settings.plain else "")
    if settings.method == "short-run":
        name = f"ex_3a_short_{settings.step_size:g}"
    data, noise, source = roll_data.load(
        settings.data_dir, settings.noise, settings.points, settings.seed + 1
    )
    path = Path(settings.out_dir) / f"checkpoints/{name}.pt"
    checkpoints.unclaimed(path, resume_key(settings, source=source), settings.force)
    exact_kl = evaluation.ExactKL(noise) if noise else None
    model, history = fit(data, settings, exact_kl)
    content = {"exercise": "ex_3a", "model": {"width": settings.width}, "noise": noise or 0.0}
    content |= {"weights": model.state_dict(), "settings": asdict(settings), "source": source}
    print(checkpoints.save(path, content))

    metrics = {"source": source, "settings": asdict(settings), "hardware": history["hardware"]}
    metrics |= exact_kl(model) if exact_kl else {"log_z": ebm.log_normaliser(model)}
    metrics |= {"training_seconds": history["seconds"], "watched": history.pop("watched")}
    metrics["history"] = {k: v for k, v in history.items() if isinstance(v, list)}
    metrics = results.save_results(settings.out_dir, name, metrics, {}, [name])
    kl = f"KL(data || model) = {metrics['kl_nats']:.4f} nats" if exact_kl else "no exact KL"
    print(f"{name}: {kl}, log Z = {metrics['log_z']:.3f}, {history['seconds']:.0f} s; {source}")
    return metrics


if __name__ == "__main__":
    script.run(main)
