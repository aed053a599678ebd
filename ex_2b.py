"""Exercise 2(b): train the conditional VAE of light curves by maximising the conditional ELBO.

    python ex_2b.py            -> out/ex_2b.pt, .json, _training.png; interrupted, it goes on
    python ex_2b.py --plain    the asked network as a student trains it -> out/ex_2b_plain.pt, ...
    python ex_2b.py --data-dir own --out-dir mine     your own curves: see data/README.md
    torchrun --standalone --nproc-per-node=2 ex_2b.py

    log p(x|p) >= E_q(z|x,p)[ log p(x|z,p) ] - KL( q(z|x,p) || p(z|p) )

x: log10 of 300 relative magnifications; p: half-light radius of the source, R_E.  There are two
models, both with the network of 2(a).

*Plain*, `fit_plain`: p(z|p) = N(0, I), x standardised, Adam 1e-3, one loop.

*Ours*, `fit`: p(z|p) is learned (common/priors.py), and curves are seen as whitened principal
components; these linear maps are merged into the first and last layers afterwards (`fold`).  There
are two loops.  In the first the decoder's sd is prescribed for each size, and falls: an sd that is
learned at once makes q(z|x,p) too narrow for p(z|p) to match.  The second freezes p(z|p) and the
decoder's mean, so that generated curves stay as they are, and learns q(z|x,p) and sd(p) for the
greatest ELBO.

In this order below: settings, `fit_plain`, `fit` with its loss `whitened_elbo`, `main` with the
data.  Read next: the network and `Whitening` in common/light_curves/model.py, and `elbo_terms`, the
loss of the plain model, in common/cvae.py.

Expect (seeds 0-4, another star field): -ELBO -1824 +- 6 nats per curve; C2ST at p = 0.20
0.55 +- 0.02 (floor 0.51).  With --plain: -1226 +- 69 nats and 0.99 +- 0.00.
Takes six to ten minutes of training and one and a half of measuring on one core of an AMD EPYC.
"""

import copy
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from common.cvae import elbo_terms
from common.light_curves import data, evaluation, figures
from common.light_curves.model import (
    LATENT,
    SAMPLES,
    CurveCVAE,
    Whitening,
    fold,
    gaussian_log_prob,
    prior_of,
)
from common.training import (
    InputError,
    average_gradients,
    check,
    checkpoint,
    is_main,
    key_of,
    main_first,
    my_share,
    one_thread,
    pick_device,
    processes,
    resumable,
    run,
    save,
    say,
    without_places,
    write,
)  # fmt: skip

CODE = ("common/cvae.py", "common/priors.py", "common/networks.py", "common/light_curves/model.py",
        "common/light_curves/data.py")  # fmt: skip
ROUNDS = 24  # of the first loop, and of the plain model's; after each the training is saved
REFINE_ROUNDS = 3  # of the second
REFINE_RATE = 0.2  # of the second loop's learning rate: times --rate
BETAS = (0.9, 0.99)  # of Adam: gradients grow while the sd falls, and .999 would lag behind
FALLEN = 0.7  # of the first loop, until the sd has fallen
MARKS = ((ROUNDS * FALLEN, "sd has fallen"), (ROUNDS + 0.5, "second loop"))  # in the picture
UNIT = 8.0  # R_E, of p: 32 equal inputs learn like one with 32 times the rate


@dataclass
class Settings:
    plain: bool = False  # N(0, I), x standardised, Adam 1e-3, one loop
    steps: int = 18_000  # of the first loop
    refine: int = 1500  # steps of the second loop (--plain adds them to the first)
    batch: int = 256  # curves a step
    rate: float = 7e-3  # peak of Adam's learning rate (--plain has 1e-3)
    sd: float = 0.001  # least one of the decoder in the first loop, dex (not with --plain)
    components: int = 64  # principal components trained on (not with --plain)
    mixture: int = 16  # Gaussians in the p(u) behind p(z|p) (not with --plain)
    couplings: int = 8  # affine couplings in p(z|p) (not with --plain)
    hidden: int = 96  # units in each hidden layer of a coupling (not with --plain)
    hold_out: tuple[float, ...] = ()  # own data: sizes p to test on; none: every fourth
    limit: int | None = None  # train on so many curves of each size only
    seed: int = 0
    device: str = "auto"  # cpu, cuda, ...
    data_dir: str = ""  # folder with labels.dat; default: data/, simulated if it is not there
    out_dir: Path = Path("out")
    restart: bool = False  # forget an unfinished training


OURS_ONLY = ("rate", "sd", "components", "mixture", "couplings", "hidden")  # settings


def fit_plain(prior, x, p, settings, unfinished=None, key=None):
    """Train the asked network as a student does: x (n, 300), p (n,) -> (model, history).

    history: for each round the means of -log p(x|z,p) and of the KL, -ELBO of held-out curves [nats
    per curve], and seconds.  A tenth of the curves, at most 500, is held out.
    unfinished, key: the file that a stopped training goes on from; see training.resumable.
    """
    (x, p), held_out = split_off(x, p)
    model = CurveCVAE(prior).to(x.device)
    model.shift.copy_(x.mean())  # the networks see (x - shift) / scale
    model.scale.copy_(x.std())
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    steps = (settings.steps + settings.refine) // ROUNDS
    history = []

    for done in resumable(unfinished, ROUNDS, key, history, model=model, adam=adam):
        started = time.monotonic()
        sums = torch.zeros(2, device=x.device)
        for _ in tqdm(range(steps), desc=f"round {done + 1} of {ROUNDS}", leave=False):
            i = torch.randint(len(x), (settings.batch,), device=x.device)
            log_likelihood, kl = elbo_terms(model, x[i], p[i])
            loss = (kl - log_likelihood).mean()  # -ELBO
            adam.zero_grad()
            loss.backward()
            adam.step()
            sums += torch.stack([-log_likelihood.mean(), kl.mean()]).detach()
        with torch.no_grad():
            log_likelihood, kl = elbo_terms(model, *held_out)
        loss = float((kl - log_likelihood).mean())
        history.append([*(sums / steps).tolist(), loss, time.monotonic() - started])
    return model, history


def fit(prior, x, p, settings, unfinished=None, key=None, network=CurveCVAE):
    """Train the asked network and a learned prior; arguments and result as for `fit_plain`.

    The state that is best for the held-out curves is kept; history has the rounds of both loops.
    """
    (x, p), (held_x, held_p) = split_off(x, p)
    whitening = Whitening(x, settings.components)
    levels = prescribed_sd(x, p, settings.sd)
    model = network(prior, features=len(whitening.axes), unit=UNIT).to(x.device)
    best = copy.deepcopy(model)

    x, p = my_share(x, p)
    views = whitening(x), whitening(x.flip(1))  # time has no direction
    start, end = at_sizes(levels, p)
    held_start, held_end = at_sizes(levels, held_p)
    batch = max(1, settings.batch // processes())
    history = []

    # The first loop trains everything, while the decoder's sd falls as prescribed.
    adam = torch.optim.Adam(model.parameters(), settings.rate, BETAS)
    steps = settings.steps // ROUNDS
    parts = {"model": model, "best": best, "adam": adam}
    for done in resumable(unfinished, ROUNDS, key, history, **parts):  # saves each round
        started = time.monotonic()
        sums = torch.zeros(2, device=x.device)
        for k in tqdm(range(steps), desc=f"round {done + 1} of {ROUNDS}", leave=False):
            progress = (done + k / steps) / ROUNDS
            adam.param_groups[0]["lr"] = settings.rate * schedule(progress)

            w, rest = views[k % 2]
            i = torch.randint(len(w), (batch,), device=x.device)
            log_sd = torch.lerp(start[i], end[i], sd_progress(progress))
            log_likelihood, kl = whitened_elbo(model, whitening, w[i], rest[i], p[i], log_sd)
            loss = (kl - log_likelihood).mean()  # -ELBO

            adam.zero_grad()
            loss.backward()
            average_gradients(model)
            adam.step()
            sums += torch.stack([-log_likelihood.mean(), kl.mean()]).detach()

        fallen = sd_progress((done + 1) / ROUNDS)
        log_sd = torch.lerp(held_start, held_end, fallen)
        loss = held_out_loss(model, whitening, held_x, held_p, log_sd)
        history.append([*(sums / steps).tolist(), loss, time.monotonic() - started])
        # The second loop's sd(p) starts near the sd that is prescribed now.
        middle = np.mean([(1 - fallen) * high + fallen * low for high, low in levels.values()])
        torch.nn.init.constant_(model.deviation[-1].bias, middle)
        keep_best(model, best, [row[2] for row in history])
    model.load_state_dict(best.state_dict())

    # The second loop trains q(z|x,p) and sd(p), now learned, and nothing else.
    model.prior.requires_grad_(False)
    model.decoder.requires_grad_(False)
    learned = [*model.encoder.parameters(), *model.deviation.parameters()]
    adam = torch.optim.Adam(learned, settings.rate, BETAS)
    steps = settings.refine // REFINE_ROUNDS
    losses = [held_out_loss(model, whitening, held_x, held_p)]
    second = unfinished and unfinished.with_suffix(".second.pt")
    parts = {"model": model, "best": best, "adam": adam}
    for done in resumable(second, REFINE_ROUNDS, key, history, **parts):
        started = time.monotonic()
        sums = torch.zeros(2, device=x.device)
        for k in tqdm(range(steps), desc="second loop", leave=False):
            progress = (done + k / steps) / REFINE_ROUNDS
            adam.param_groups[0]["lr"] = REFINE_RATE * settings.rate * schedule(progress)

            w, rest = views[k % 2]
            i = torch.randint(len(w), (batch,), device=x.device)
            log_sd = model.log_sd(p[i])
            log_likelihood, kl = whitened_elbo(model, whitening, w[i], rest[i], p[i], log_sd)
            loss = (kl - log_likelihood).mean()

            adam.zero_grad()
            loss.backward()
            average_gradients(model)
            adam.step()
            sums += torch.stack([-log_likelihood.mean(), kl.mean()]).detach()

        loss = held_out_loss(model, whitening, held_x, held_p)
        history.append([*(sums / steps).tolist(), loss, time.monotonic() - started])
        keep_best(model, best, losses + [row[2] for row in history[ROUNDS:]])
    model.load_state_dict(best.state_dict())
    return fold(model, whitening).requires_grad_(True), history


def whitened_elbo(model, whitening, w, rest, p, log_sd):
    """Return log p(x|z,p) and log q(z|x,p) - log p(z|p) for one z ~ q(z|x,p): (n,), (n,) nats.

    w (n, k), rest (n,): what `whitening` makes of curves; log_sd: ln of the decoder's sd, dex.
    """
    q = model.posterior(w, p)
    z = q.rsample()
    square = whitening.square(w, model.decode(z, p)) + rest  # |x - E[x|z,p]|^2
    log_likelihood = gaussian_log_prob(square, log_sd)
    kl = q.log_prob(z) - model.prior.log_prob(z, p)
    return log_likelihood, kl


def schedule(progress: float) -> float:
    """Return the factor on the learning rate: up during the first hundredth, then half a cosine."""
    return min(1.0, 100 * progress + 0.01) * (0.5 + 0.5 * math.cos(math.pi * progress))


def sd_progress(progress: float) -> float:
    """Return how far ln sd has fallen, 0 to 1."""
    return min(1.0, progress / FALLEN)


def split_off(*tensors):
    """Return the tensors without every tenth row (or more rarely: at most 500), and those rows."""
    n = len(tensors[0])
    out = torch.zeros(n, dtype=torch.bool)
    out[min(5, n - 1) :: max(10, -(-n // 500))] = n > 1
    return [tensor[~out] for tensor in tensors], [tensor[out] for tensor in tensors]


def prescribed_sd(x, p, least: float) -> dict:
    """Return {size: (start, end)}, ln of the decoder's sd [dex] in the first loop.

    It starts at the standard deviation of the curves of that size.  It ends at what LATENT - 4
    principal components leave out of them: sqrt(least^2 + rms^2).  The components are fitted to
    every other curve, and the rms is that of the others.
    """
    levels = {}
    for size in p.unique().tolist():
        own = x[p == size]
        others = own[1::2] if len(own) > 1 else own
        _, rest = Whitening(own[::2], LATENT - 4)(others)
        end = math.hypot(least, float(rest.mean() / SAMPLES) ** 0.5)
        start = max(float(own.std(unbiased=False)), end)
        levels[size] = (math.log(start), math.log(end))
    return levels


def at_sizes(levels: dict, p):
    """Return the two values of each curve's size: {size: (a, b)}, p (n,) -> (n,), (n,)."""
    pairs = [levels[size] for size in p.tolist()]
    return torch.tensor(pairs, device=p.device).reshape(-1, 2).T


@torch.no_grad()
def held_out_loss(model, whitening, x, p, log_sd=None) -> float:
    """Return -ELBO of held-out curves x (n, 300), p (n,), nats per curve; with equal noise.

    log_sd: ln of the decoder's sd, dex; None: the learned one.  nan if there are no curves.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        log_sd = model.log_sd(p) if log_sd is None else log_sd
        log_likelihood, kl = whitened_elbo(model, whitening, *whitening(x), p, log_sd)
    return float((kl - log_likelihood).mean())


def keep_best(model, best, losses) -> None:
    """Copy the model's state to `best` if the last of the held-out losses is the least.

    It is also copied if all of them are nan: where no curve is held out.
    """
    known = [loss for loss in losses if not math.isnan(loss)]
    if not known or losses[-1] == min(known):
        best.load_state_dict(model.state_dict())


def main(settings) -> dict:
    """Train, save the checkpoint, measure, draw, write; return the numbers."""
    check_settings(settings)
    device = pick_device(settings.device)
    one_thread()
    with main_first():  # data/ is simulated once
        curves = data.load(settings.data_dir, settings.hold_out)
    x, p = data.stacked(curves.train, settings.limit)
    name = "ex_2b_plain" if settings.plain else "ex_2b"
    unfinished = settings.out_dir / f"{name}.unfinished.pt"
    files = (unfinished, unfinished.with_suffix(".second.pt"))
    if settings.restart:
        for path in files:
            path.unlink(missing_ok=True)
    key = key_of(settings, (x, p), __file__, *CODE)

    torch.manual_seed(settings.seed)
    prior = prior_of(asdict(settings), min(curves.train), max(curves.train))
    train = fit_plain if settings.plain else fit
    model, history = train(prior, x.to(device), p.to(device), settings, unfinished, key)
    if not is_main():
        return {}
    warn_of_overfitting(history, settings)

    about = f"{len(x):,} curves of {len(curves.train)} sizes, {curves.about}"
    chosen = without_places(settings)
    content = {"settings": chosen, "about": about, "simulated": curves.simulated}
    content["trained_p"] = sorted(curves.train)
    # float16 is too coarse for the encoder, whose first layer holds the whitening.
    saved = checkpoint(model.cpu(), "ex_2b", torch.float32, **content)
    save(settings.out_dir / f"{name}.pt", saved)

    numbers = content | {"training_seconds": sum(row[3] for row in history)}
    numbers |= evaluation.measure(model, curves, settings.seed)
    numbers["history"] = history
    print(evaluation.sentence(numbers))
    drawn = figures.training(
        history,
        evaluation.examples(model, curves),
        f"{'Plain' if settings.plain else 'Ours'}, trained on\n{about}",
        () if settings.plain else MARKS,
    )
    write(settings.out_dir, name, numbers, training=drawn)
    for path in files:
        path.unlink(missing_ok=True)
    return numbers


def warn_of_overfitting(history, settings) -> None:
    """Say in a line when held-out curves were modelled best long before the end."""
    losses = [row[2] for row in history[:ROUNDS]]
    if any(map(math.isnan, losses)):
        return  # no curve is held out
    best = losses.index(min(losses)) + 1
    if best < 0.9 * len(losses):
        steps = settings.steps + (settings.refine if settings.plain else 0)
        at_best = best * steps // ROUNDS
        kept = "The last state is kept" if settings.plain else "The state of then is kept"
        say(
            f"-ELBO of held-out curves was least after {at_best} of {steps} steps "
            f"({min(losses):.0f} nats) and rose to {losses[-1]:.0f}: too few curves for so many "
            f"steps? {kept}"
        )


def check_settings(settings) -> None:
    """Raise InputError for a setting out of range, or one that would have no effect."""
    check(
        settings,
        steps=(ROUNDS, 10**8),
        refine=(REFINE_ROUNDS, 10**8),
        batch=(1, 10**6),
        limit=(2, 10**7),
    )
    check(settings, rate=(1e-9, 1), sd=(1e-6, 10), components=(1, 300), seed=(0, 2**62))
    check(settings, mixture=(1, 4096), couplings=(0, 64), hidden=(1, 4096))
    if settings.plain:
        if processes() > 1:
            raise InputError("--plain: trains in one process, without torchrun")
        for name in OURS_ONLY:
            if getattr(settings, name) != getattr(Settings, name):
                raise InputError(f"--{name.replace('_', '-')} has no effect with --plain")


if __name__ == "__main__":
    run(main, Settings)
