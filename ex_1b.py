"""Exercise 1(b): train a conditional VAE on MNIST by maximising the conditional ELBO.

    python ex_1b.py            -> out/ex_1b.pt (weights), .json (numbers) and four pictures
    python ex_1b.py --plain    the textbook's model -> out/ex_1b_plain.*
    torchrun --standalone --nproc-per-node=2 ex_1b.py    two processes, one training

    log p(x|y) >= E_q[ log p(x|z,y) ] - KL( q(z|x,y) || p(z|y) ),    z ~ q(z|x,y)

x: a digit, binarised anew in every batch; y: its label; the bound is in nats per digit.  The two
terms and the three distributions are in common/cvae.py, the learned prior is in common/priors.py:
read them next.  Learning rates and the weight of the KL rise during the first twentieth, and half
of the batches are moved by a pixel during the first 70 %, against overfitting.

After each epoch everything goes into out/ex_1b.unfinished.pt.  Stop the training when you like:
the same command goes on after the last whole epoch, to the same bits as without a stop.

Expect (seeds 0-4): -ELBO 80.09 +- 0.07 nats, NLL <= 78.35 +- 0.07 (--plain: 93.82 +- 0.10,
88.13 +- 0.19); 24 min of training on one busy core without bfloat16, then some of measuring.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from common.cvae import elbo_terms, plain_cvae
from common.digits import evaluation, figures
from common.digits.classifier import classifier_for
from common.digits.data import binarise, load, shift
from common.digits.model import digit_cvae
from common.muon import Muon
from common.training import (
    InputError,
    average_gradients,
    check,
    checkpoint,
    is_main,
    key_of,
    my_share,
    pick_device,
    processes,
    resumable,
    run,
    save,
    without_places,
    write,
)  # fmt: skip

CODE = ("common/cvae.py", "common/priors.py", "common/networks.py", "common/muon.py",
        "common/digits/model.py", "common/digits/data.py")  # fmt: skip


@dataclass
class Settings:
    plain: bool = False  # the textbook's model: dense layers, N(0, I), Adam 1e-3, batches of 128
    epochs: int = 36  # passes over the training digits
    batch: int = 512  # digits a step (not with --plain)
    matrix_rate: float = 0.02  # peak rate of Muon, for the networks' matrices (not with --plain)
    rate: float = 4e-3  # of AdamW, for the rest, and 5 times it for the prior (not with --plain)
    latent: int = 24  # dimensions of z
    components: int = 128  # Gaussians in the mixture p(u) behind p(z|y) (not with --plain)
    seed: int = 0
    limit: int | None = None  # train and test on so many digits only
    device: str = "auto"  # cpu, cuda, ...
    data_dir: str = ""  # folder with MNIST/raw; default: $MNIST_ROOT, or data/
    out_dir: Path = Path("out")
    restart: bool = False  # forget an unfinished training


OURS_ONLY = ("batch", "matrix_rate", "rate", "components")  # settings


def fit(model, images, labels, settings, unfinished=None, key=None):
    """Train a CVAE on images (n, 28, 28) uint8, labels (n,), in place; return the history.

    history: for each epoch the means of -log p(x|z,y) and of the KL [nats per digit], and seconds.
    unfinished, key: the file that a stopped training goes on from; see training.resumable.
    """
    model.train()
    device = next(model.parameters()).device
    images, labels = my_share(images.to(device), labels.to(device))
    size = max(1, min(settings.batch // processes(), len(images)))
    batches = len(images) // size  # the rest of an epoch's permutation, less than one, is left out
    steps = settings.epochs * batches

    weights = [*model.encoder.parameters(), *model.decoder.parameters()]
    matrices = [w for w in weights if w.dim() == 2]
    others = [w for w in weights if w.dim() != 2]  # kernels of convolutions, biases
    prior = list(model.prior.parameters())
    groups = [
        {"params": others, "lr": settings.rate, "weight_decay": 0.1},
        {"params": prior, "lr": 5 * settings.rate, "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups if prior else groups[:1], betas=(0.9, 0.98))
    muon = Muon(matrices, settings.matrix_rate, weight_decay=0.1)
    peaks = [group["lr"] for group in adam.param_groups + muon.param_groups]
    history = []

    parts = {"model": model, "adam": adam, "muon": muon}
    for epoch in resumable(unfinished, settings.epochs, key, history, **parts):  # saves each epoch
        started = time.monotonic()
        sums = torch.zeros(2, device=device)
        order = torch.randperm(len(images), device=device)
        for k in tqdm(range(batches), desc=f"epoch {epoch + 1} of {settings.epochs}", leave=False):
            progress = (epoch * batches + k) / steps
            warm_up = min(1.0, 20 * progress + 1 / steps)
            fall = 0.5 + 0.5 * math.cos(math.pi * progress)
            for group, peak in zip(adam.param_groups + muon.param_groups, peaks, strict=True):
                group["lr"] = peak * warm_up * fall

            index = order[k * size : (k + 1) * size]
            x, y = images[index], labels[index]
            if progress < 0.7 and torch.rand(()) < 0.5:
                x = shift(x, most=1)
            x = binarise(x).flatten(1)

            log_likelihood, kl = elbo_terms(model, x, y)  # log p(x|z,y), log q(z|x,y) - log p(z|y)
            loss = (warm_up * kl - log_likelihood).mean()  # -ELBO, once q has learned to use z

            adam.zero_grad()
            muon.zero_grad()
            loss.backward()
            average_gradients(model)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 50.0)  # far above the usual norm
            adam.step()
            muon.step()
            sums += torch.stack([-log_likelihood.mean(), kl.mean()]).detach()
        history.append([*(sums / batches).tolist(), time.monotonic() - started])
    model.eval()
    return history


def fit_plain(model, images, labels, settings, unfinished=None, key=None):
    """Train a CVAE as a tutorial does; arguments and result as for `fit`."""
    device = next(model.parameters()).device
    images, labels = images.to(device), labels.to(device)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    history = []

    for epoch in resumable(unfinished, settings.epochs, key, history, model=model, adam=adam):
        started = time.monotonic()
        terms = []
        batches = torch.randperm(len(images), device=device).split(128)
        for index in tqdm(batches, desc=f"epoch {epoch + 1} of {settings.epochs}", leave=False):
            x = binarise(images[index]).flatten(1)
            log_likelihood, kl = elbo_terms(model, x, labels[index])
            loss = (kl - log_likelihood).mean()  # -ELBO
            adam.zero_grad()
            loss.backward()
            adam.step()
            terms.append(torch.stack([-log_likelihood.mean(), kl.mean()]).detach())
        history.append([*torch.stack(terms).mean(0).tolist(), time.monotonic() - started])
    model.eval()
    return history


def main(settings) -> dict:
    """Train, save the checkpoint, measure, draw, write; return the numbers."""
    check_settings(settings)
    device = pick_device(settings.device)
    data = load(settings.data_dir, settings.limit)
    name = "ex_1b_plain" if settings.plain else "ex_1b"
    unfinished = settings.out_dir / f"{name}.unfinished.pt"
    if settings.restart:
        unfinished.unlink(missing_ok=True)
    key = key_of(settings, data.train, __file__, *CODE)

    torch.manual_seed(settings.seed)
    if settings.plain:
        model = plain_cvae(latent=settings.latent).to(device)
        history = fit_plain(model, *data.train, settings, unfinished, key)
    else:
        model = digit_cvae(settings.latent, settings.components).to(device)
        history = fit(model, *data.train, settings, unfinished, key)
    if not is_main():
        return {}

    epochs = f"{settings.epochs} epoch{'s' * (settings.epochs > 1)}"
    about = f"{len(data.train[0]):,} digits of {data.source.split(', first')[0]}, {epochs}"
    chosen = without_places(settings)
    content = checkpoint(model, "ex_1b", settings=chosen, about=about, source=data.source)
    save(settings.out_dir / f"{name}.pt", content)

    classifier, recipe = classifier_for(data.train, data.source, device)
    numbers = {"about": about, "settings": chosen}
    numbers["training_seconds"] = sum(seconds for _, _, seconds in history)
    recipe = None if settings.plain else recipe  # CAS is measured on ours only
    numbers |= evaluation.measure(model, data, classifier, recipe, settings.seed)
    numbers["history"] = history
    print(
        f"-ELBO {numbers['test']['negative_elbo']:.2f} nats, NLL <= {numbers['nll']['nll']:.2f}; "
        f"{numbers['samples']['agreement']:.2%} read as asked; {about}"
    )
    pictures = evaluation.examples(model, data, settings.seed)
    shifted = None if settings.plain else 0.7 * settings.epochs
    drawn = figures.of_training(pictures, history, numbers, about, shifted)
    write(settings.out_dir, name, numbers, **drawn)
    unfinished.unlink(missing_ok=True)
    return numbers


def check_settings(settings) -> None:
    """Raise InputError for a setting out of range, or one that would have no effect."""
    check(settings, epochs=(1, 10**5), batch=(1, 10**6), latent=(1, 256), components=(1, 4096))
    check(settings, matrix_rate=(1e-9, 10), rate=(1e-9, 10), limit=(20, 10**6), seed=(0, 2**62))
    if settings.plain:
        if processes() > 1:
            raise InputError("--plain: trains in one process, without torchrun")
        for name in OURS_ONLY:
            if getattr(settings, name) != getattr(Settings, name):
                raise InputError(f"--{name.replace('_', '-')} has no effect with --plain")


if __name__ == "__main__":
    run(main, Settings)
