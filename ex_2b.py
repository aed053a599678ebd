"""Exercise 2(b): train the conditional VAE of light curves by maximising the conditional ELBO.

    python ex_2b.py                    -> checkpoints/ex_2b.pt, figures/ex_2b.png, ex_2b.json
    python ex_2b.py --limit 200 --out-dir few            on 200 curves of each source
    python ex_2b.py --prior standard --out-dir literal   the literal prior N(0, I)
    python ex_2b.py --resume           goes on with an interrupted training
    torchrun --standalone --nproc-per-node=2 ex_2b.py    2 processes, the same training

    log p(mu|p) >= E_q(z|x,p)[ log p(mu|z,p) ] - KL( q(z|x,p) || p(z|p) ),   x = log10 mu

mu: 300 relative magnifications; p: size of the source, R_E; the Jacobian of the logarithm is in, so
the bound is one of mu, in nats a curve.  Stage 1 trains everything with the decoder's sigma
annealed on a schedule, down to --least times the spread of the source's curves; learning sigma at
once makes posteriors too narrow for the prior to match.  Stage 2 freezes p(z|p) and the decoder's
mean (and with them the generated curves), and trains the encoder and the now learned sigma for the
tightest bound.  The terms of the bound are in common/cvae.py, the network and the whitened
components that it is trained on in common/light_curves/model.py.
Reads --data-dir (default data/, simulated when absent).
Expect (three training seeds, held-out sources): -ELBO -1490 +- 25 nats a curve, C2ST 0.535 +- 0.007
(two true sets: 0.499); 117 s of training and a minute of measuring on one thread of an AMD EPYC.
"""

from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path

import data_loader
from common import cvae, training
from common.light_curves import data as curve_data
from common.light_curves import evaluation, figures, simulation
from common.light_curves import model as curve_model
from common.runtime import checkpoints, distributed, results, resume, script
from common.runtime.options import Training, no_effect, option, parse, resume_key

import torch


@dataclass(frozen=True)
class Settings(Training):
    """The model and how it is trained."""

    threads: int = option(
        1, "CPU threads, 0: all; more do not pay", minimum=0, maximum=1024, trains=False
    )
    prior: str = option("coupling", "p(z|p)", choices=["coupling", "standard"])
    condition: str = option("value", "p itself, or ln p", choices=["value", "log"])
    components: int = option(16, "Gaussians in p(z|p)", minimum=1, maximum=1024)
    couplings: int = option(4, "affine couplings in p(z|p)", minimum=0, maximum=64)
    whitened: int = option(64, "principal components trained on", minimum=1, maximum=300, smoke=8)
    hold_out: tuple = option((), "own data: sizes p to hold out; none: every fourth")
    limit: int = option(0, "curves of each source; 0 takes all", minimum=0)
    steps: int = option(12000, "of the training of everything", minimum=2, smoke=30)
    refine: int = option(1500, "steps for encoder and deviation alone", minimum=0, smoke=10)
    batch: int = option(256, "curves a step", minimum=2, maximum=10**6)
    learning_rate: float = option(7e-3, "peak, Adam", minimum=0.0)
    least: float = option(0.02, "deviation / spread that is reached", minimum=1e-6, maximum=1.0)


def fit(train: dict, settings, device, state=None):
    """Train p(mu|p) on curves {p: (n, 300)}; return the asked network and the history (nats)."""
    x, p, spread = (t.to(device) for t in curve_data.stacked(train, settings.limit))
    whitening = curve_model.Whitening(x, settings.whitened)
    both = [whitening.whiten(x, backwards) for backwards in (False, True)]  # time has no direction
    architecture = curve_model.architecture(settings)
    model = curve_model.build(**architecture, features=settings.whitened).to(device)
    if settings.prior == "coupling":
        model.prior.limits.copy_(torch.stack([p.min(), p.max()]))
    optimizer = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=0.0)
    training.clip_to_running_norm(optimizer)
    settled = [*model.decoder.first.parameters(), *model.decoder.last.parameters()]
    settled += [*model.prior.parameters()]
    constant = curve_model.jacobian(x)  # log p(mu) = log p(x) - constant
    first, batch = settings.steps, min(settings.batch, len(x))

    def loss_terms(step):
        for parameter in settled:
            parameter.requires_grad_(step < first)
        index = training.batch_indices(len(x), batch, step, settings.seed)
        eps = torch.randn(batch, curve_model.LATENT, device=x.device)
        index, eps = distributed.shard(index, eps)  # all of them, but under torchrun
        w, rest = (part[index] for part in both[step % 2])
        prescribed = (spread[index] * prescribed_deviation(step, settings)).log()

        def log_likelihood(w, decoded):
            log_deviation = prescribed if step < first else None  # None: the learned one
            return whitening.log_likelihood(w, rest, decoded, log_deviation) - constant[index]

        terms = cvae.elbo_terms(model, w, p[index], log_likelihood, eps)
        reconstruction, kl = (term.mean() for term in terms)
        return {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}

    def rate(step, steps):
        if step < first:
            return training.warmup_cosine(step, first, 0.01)
        return 0.2 * training.warmup_cosine(step - first, steps - first)

    history = training.train(
        model, loss_terms, optimizer, steps=first + settings.refine, seed=settings.seed,
        rate=rate, state=state, ddp=True, find_unused=True,
    )  # fmt: skip
    return curve_model.fold(model, whitening, architecture).eval(), history


def prescribed_deviation(step: int, settings) -> float:
    """Return the deviation at `step` < --steps, in units of the spread of the source's curves.

    Falls from 1 to --least, evenly in its logarithm, in the first 70 % of --steps, and stays.
    """
    return settings.least ** min(1.0, step / (0.7 * settings.steps))


def main(argv=None) -> dict:
    """Train, save the checkpoint, measure, draw, save the numbers; return them."""
    settings = parse(Settings, __doc__, argv)
    if settings.prior == "standard":
        no_effect(settings, "components couplings", "with --prior standard")
    device = script.start(settings)
    folder = simulation.folder_of(settings)
    (x, y), source = data_loader.dataloader(folder), simulation.source_of(folder)
    if simulation.is_simulated(folder):
        no_effect(settings, "hold_out", "on the simulated set, whose roles are fixed")
        data = curve_data.split(x, y)
    else:
        data, roles = curve_data.split_own(x, y, settings.hold_out)
        for role in sorted(set(roles.values())):
            print(f"{role}:", ", ".join(k for k in roles if roles[k] == role), flush=True)
    key = resume_key(settings, source=source, data_sha256=curve_data.digest(data.train))
    path = checkpoints.unclaimed(
        Path(settings.out_dir) / curve_model.NAME, key, settings.force, {"hold_out": ()}
    )
    state = resume.State(path, key, settings.resume, settings.force)
    torch.manual_seed(settings.seed)  # reading or simulating the data may have drawn numbers
    model, history = fit(data.train, settings, device, state)
    if not distributed.is_main():
        return {}
    content = {"exercise": "ex_2b", "source": source, "settings": asdict(settings)}
    content |= {"model": curve_model.architecture(settings), "trained_p": sorted(data.train)}
    content |= {"data_sha256": key["data_sha256"]}
    print(checkpoints.save(path, content | {"weights": model.cpu().state_dict()}))

    metrics = {"source": source, "settings": asdict(settings), "trained_p": sorted(data.train)}
    metrics |= {"hardware": history["hardware"], "training_seconds": history["seconds"]}
    metrics |= evaluation.measure(model, data, settings.seed)
    metrics["history_nats"] = {k: v for k, v in history.items() if isinstance(v, list)}
    shown = [*data.test.items()][:3]
    pairs = {p: (c[:3], evaluation.reconstruct(model, c[:3], p)) for p, c in shown}
    drawn = {"ex_2b": figures.training(metrics, pairs)}
    test, near, floor = metrics["test"], metrics["test"]["distances"], metrics["floor"]
    names = [k for k in near if k != "by_p"]
    numbers = ", ".join(f"{k} {near[k]:.3f} (floor {floor.get(k, nan):.3f})" for k in names)
    usual = results.expected("ex_2b", "test.negative_elbo_nats", digits=0)
    print(f"-ELBO {test['negative_elbo_nats']:.0f} nats a curve{usual}; {numbers}; {source}")
    metrics = results.save_results(settings.out_dir, "ex_2b", metrics, drawn, [path])
    state.remove()
    return metrics


if __name__ == "__main__":
    script.run(main)
