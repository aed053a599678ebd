"""The importance-weighted bound (IWAE) of exercise 1: the loop over samples, and this project's.

The loop is the usual one: for each sample a pass of the whole model over a batch of digits, all
log-weights kept for the log of their mean at the end, all in float32.  `digit_evaluation.nll`
encodes a digit once and decodes 1,000 samples of it together, with bfloat16 products where they
are fast and in float32 for every fiftieth digit, whose mean difference it adds; its memory does
not grow with the samples.  Both are timed on fewer digits; time is proportional to their number.
"""

import math

import torch

from benchmarks.timing import alternate, ratios, row
from common import cvae
from common.digits import data as digit_data
from common.digits import evaluation as digit_evaluation
from common.digits import model as digit_model
from common.runtime.seeding import step_seed

BATCH, EVERY = 100, 50


@torch.no_grad()
def loop_over_samples(model, x, y, samples: int, noise=None) -> torch.Tensor:
    """Return the bound -log 1/K sum_k w_k of x (n, 784), y (n,) in nats: (n,), written plainly.

    noise (n, samples, latent): the random numbers to use, or None for new ones.
    """
    parts = []
    for start in range(0, len(x), BATCH):
        rows, log_w = slice(start, start + BATCH), []
        for k in range(samples):
            mu, logvar = model.encode(x[rows], y[rows])
            eps = torch.randn_like(mu) if noise is None else noise[rows, k]
            z = mu + (0.5 * logvar).exp() * eps
            log_p = cvae.bernoulli_log_likelihood(x[rows], model.decode(z, y[rows]))
            log_q = cvae.gaussian_log_density(z, mu, logvar)
            log_w.append(log_p + model.prior.log_prob(z, y[rows]) - log_q)
        parts.append(math.log(samples) - torch.stack(log_w).logsumexp(0))
    return torch.cat(parts)


def binarised(images, i: int, seed: int = 0) -> torch.Tensor:
    """Return digit i as `digit_evaluation.nll` binarises it: (1, 784)."""
    torch.manual_seed(step_seed(seed, i))
    return digit_data.binarise(images[i : i + 1]).flatten(1)


def own(model, x, y, samples: int, seed: int = 0) -> torch.Tensor:
    """Return the same bound by `cvae.importance_weighted_nll`, digit by digit as ex_1b.py does."""
    values = []
    for i in range(len(x)):
        torch.manual_seed(step_seed(seed, i))
        one = slice(i, i + 1)
        values.append(cvae.importance_weighted_nll(model, x[one], y[one], samples))
    return torch.cat(values)


def disagreement(model, x, y, samples: int = 50) -> float:
    """Return the largest difference of the two for the same random numbers, nats."""
    noise = []
    for i in range(len(x)):
        torch.manual_seed(step_seed(0, i))
        noise.append(torch.randn(samples, model.encode(x[:1], y[:1])[0].shape[1]))
    noise = torch.stack(noise).to(x.device)
    plain = loop_over_samples(model, x, y, samples, noise)
    return float((own(model, x, y, samples) - plain).abs().max())


def measure(settings, device) -> dict:
    """Time both on some test digits, with the shipped model."""
    data = digit_data.load(settings.data_dir, limit=1500 if settings.smoke else None)
    model, _ = digit_model.load(settings.out_dir, device)
    count, samples = (4, 20) if settings.smoke else (BATCH, 5000)
    x = torch.cat([binarised(data.test_images, i) for i in range(count)]).to(device)
    y = data.test_labels[:count].to(device)
    apart = disagreement(model, x, y)
    images = data.test_images[:count]

    def fast():
        return digit_evaluation.nll(model, images, y, samples, every=EVERY)

    sides = {"loop": lambda: loop_over_samples(model, x, y, samples), "this project": fast}
    seconds = alternate(sides, settings.repeats, device)
    values = ratios(seconds["loop"], seconds["this project"])
    rows = [row(f"IWAE-{samples}, {count} digits", "loop over samples", values, 5.0)]
    exact = {"float32": float(own(model, x, y, samples).mean())}
    exact |= {"this project": fast()["nll_nats"]}
    return {"rows": rows, "seconds": seconds, "largest_difference_nats": apart, "digits": count,
            "mean_nats": exact, "source": data.source}  # fmt: skip
