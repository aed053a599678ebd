"""Exercise 2(b): train the conditional VAE of light curves by maximising the conditional ELBO.

    python ex_2b.py                    -> checkpoints/ex_2b.pt, figures/ex_2b.png, ex_2b.json
    python ex_2b.py --limit 200        on 200 curves of each source
    python ex_2b.py --prior standard   the literal prior N(0, I), for comparison
    python ex_2b.py --resume           goes on with an interrupted training
    torchrun --standalone --nproc-per-node=2 ex_2b.py    2 processes, the same training

    log p(mu|p) >= E_q(z|x,p)[ log p(mu|z,p) ] - KL( q(z|x,p) || p(z|p) ),   x = log10 mu

mu: 300 relative magnifications; p: size of the source, R_E; the Jacobian of the logarithm is in, so
the bound is one of mu, in nats a curve.  First all is trained while the
standard deviation of p(x|z,p) falls to --least times the spread of the source's curves: one that
is learned at once makes codes so fine that p(z|p) cannot follow them.  Then p(z|p) and the
decoder's mean stay as they are (and with them the generated curves), and the encoder and the
deviation, now learned, find the tightest bound.
Reads --data-dir (default data/, simulated when absent).
Expect (seed 0, AMD EPYC, 1 threads, torch 2.13.0+cpu): 117 s of training, a minute of measuring;
on held-out sources -ELBO -1519 nats a curve (three seeds -1490 +- 25), W1 0.020 (floor 0.006),
C2ST 0.535 (floor 0.499).
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import data_loader
from common import (
    artifacts,
    curve_model,
    curve_report,
    curve_sets,
    cvae,
    light_curves,
    processes,
    resume,
    runtime,
    training,
)
from common.settings import Common, option, parse


@dataclass(frozen=True)
class Settings(Common):
    """The model and how it is trained."""

    threads: int = option(1, "CPU threads, 0: all; more do not pay here", minimum=0, maximum=1024)
    prior: str = option("coupling", "p(z|p)", choices=["coupling", "standard"])
    condition: str = option("value", "p itself, or ln p", choices=["value", "log"])
    components: int = option(16, "Gaussians in p(z|p)", minimum=1, maximum=1024)
    couplings: int = option(4, "affine couplings in p(z|p)", minimum=0, maximum=64)
    whitened: int = option(64, "principal components trained on", minimum=1, maximum=300, smoke=8)
    limit: int = option(0, "curves of each source; 0 takes all", minimum=0)
    steps: int = option(12000, "of the training of everything", minimum=2, smoke=30)
    refine: int = option(1500, "steps for encoder and deviation alone", minimum=0, smoke=10)
    batch: int = option(256, "curves a step", minimum=2, maximum=10**6)
    learning_rate: float = option(7e-3, "peak, Adam", minimum=0.0)
    least: float = option(0.02, "deviation / spread that is reached", minimum=1e-6, maximum=1.0)
    resume: bool = option(False, "go on with the interrupted training of the same settings")


def fit(train: dict, settings, device, state=None):
    """Train p(mu|p) on curves {p: (n, 300)}; return the asked network and the history (nats)."""
    x, p, spread = (t.to(device) for t in curve_sets.stacked(train, settings.limit))
    whitening = curve_model.Whitening(x, settings.whitened)
    both = [whitening.whiten(x, backwards) for backwards in (False, True)]  # time has no direction
    shape = {name: getattr(settings, name) for name in curve_model.SHAPE}
    model = curve_model.build(**shape, features=settings.whitened).to(device)
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
        index, eps = processes.own_rows(index, eps)  # all, unless torchrun started several
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
            return training.one_cycle(step, first, 0.01)
        return 0.2 * training.one_cycle(step - first, steps - first)

    history = training.train(
        model, loss_terms, optimizer, steps=first + settings.refine, seed=settings.seed,
        rate=rate, state=state, shared="some",
    )  # fmt: skip
    return curve_model.fold(model, whitening, shape).eval(), history


def prescribed_deviation(step: int, settings) -> float:
    """Return the deviation at `step` < --steps, in units of the spread of the source's curves.

    Falls from 1 to --least, evenly in its logarithm, in the first 70 % of --steps, and stays.
    """
    return settings.least ** min(1.0, step / (0.7 * settings.steps))


def main(argv=None) -> dict:
    """Train, write the checkpoint, measure, draw; return the metrics."""
    settings = parse(Settings, __doc__, argv)
    device = runtime.start(settings)
    folder = light_curves.folder_of(settings)
    data, source = (
        curve_sets.split(*data_loader.dataloader(folder)),
        light_curves.source_of(folder),
    )
    path = Path(settings.out_dir) / curve_model.NAME
    state = resume.State(path, curve_report.identity(settings, source), settings.resume)
    runtime.start(settings)
    model, history = fit(data.train, settings, device, state)
    if not processes.leads():
        return {}
    metrics = curve_report.measure(model.cpu(), data, source, settings, history)
    content = {"exercise": "ex_2b", "source": source, "settings": asdict(settings)}
    content |= {"model": {name: getattr(settings, name) for name in curve_model.SHAPE}}
    content |= {"weights": model.state_dict(), "trained_p": sorted(data.train), "metrics": metrics}
    print(artifacts.save_checkpoint(path, content))
    metrics = curve_report.write(model, data, settings, metrics, history)
    state.remove()
    return metrics


if __name__ == "__main__":
    runtime.run(main)
