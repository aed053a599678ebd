"""The conditional VAE of exercise 2: build it, train it preconditioned, fold, load, generate.

The asked network: condition p repeated 32 times at the input of both; encoder 300 + 32 -> 128 ->
2 * 32, decoder 32 + 32 -> 128 -> 300; its deviation a function of p alone.  Curves enter as
log10 of relative magnification.

Training works on whitened principal components instead of samples, x = m + w V: a linear map
before the first and after the last layer, which `fold` multiplies into them.  What is saved is the
asked network and nothing else.
"""

import math

from common import cvae, networks, priors
from common.runtime import checkpoints, files
from common.runtime.device import pick_device
from common.runtime.errors import InputError

import numpy as np
import torch

NAME, MADE_BY = "checkpoints/ex_2b.pt", "python ex_2b.py"
SAMPLES, LATENT, HIDDEN, REPEATS = 300, 32, 128, 32
ARCHITECTURE = ("prior", "components", "couplings", "condition")
LN10 = math.log(10.0)
BLOCK = 2**15  # curves that are computed on at once: bounds the memory for a million
LEAST_P, MOST_P = 1e-6, 1e6  # R_E, what a condition may be


def architecture(settings) -> dict:
    """Return what `build` needs, taken from `settings`."""
    return {name: getattr(settings, name) for name in ARCHITECTURE}


def build(*, prior, components, couplings, condition, features=SAMPLES) -> cvae.CVAE:
    """Build the CVAE of curves with `features` numbers each (300; fewer while preconditioned).

    prior: "coupling" (learned, `couplings` affine couplings over `components` Gaussians) or
    "standard", N(0, I).  condition: "value" (p itself) or "log" (ln p), repeated 32 times.
    Raises InputError for anything else, before memory is taken.
    """
    for name, size, most in (("components", components, 1024), ("couplings", couplings, 64)):
        if type(size) is not int or not 0 <= size <= most:
            raise InputError(f"{name} = {size!r}: must be a whole number from 0 to {most}")
    if prior not in ("coupling", "standard") or condition not in ("value", "log"):
        raise InputError(f"prior {prior!r}, condition {condition!r}: unknown")
    if prior == "standard":
        prior_net = priors.StandardPrior(LATENT)
    else:
        prior_net = priors.CouplingPrior(LATENT, max(1, components), couplings)
    embed = repeat_value if condition == "value" else repeat_log
    encoder = networks.MLP(features, REPEATS, HIDDEN, 2 * LATENT)
    decoder = networks.GaussianDecoder(
        LATENT, REPEATS, HIDDEN, features, logarithm=condition == "value"
    )
    return cvae.CVAE(encoder, decoder, prior_net, embed)


def repeat_value(p: torch.Tensor) -> torch.Tensor:
    """Return p (n,) repeated: (n, 32)."""
    return p[:, None].expand(-1, REPEATS)


def repeat_log(p: torch.Tensor) -> torch.Tensor:
    """Return ln p, p (n,), repeated: (n, 32)."""
    return p.log()[:, None].expand(-1, REPEATS)


class Whitening:
    """x = mean + w V for curves x (n, 300): w (n, components) are whitened principal components.

    Fitted on the curves and on their time-reversed images, log10 magnification.
    """

    def __init__(self, curves: torch.Tensor, components: int):
        parts = curves.split(BLOCK)
        self.limits = torch.stack([curves.min(), curves.max()])
        mean = sum(self._both(part).mean(0) * (len(part) / len(curves)) for part in parts)
        square = sum((self._both(part) - mean).T @ (self._both(part) - mean) for part in parts)
        values, axes = torch.linalg.eigh(square / (2 * len(curves)))
        values = values.flip(0)[:components].clamp_min(1e-12)  # variances, largest first
        axes = axes.flip(1)[:, :components].T  # (components, 300)
        self.mean, self.variances = mean.float(), values.float()
        # w = (x - mean) @ to_components.T,   x = mean + w @ to_samples
        self.to_components = (axes / values.sqrt()[:, None]).float()
        self.to_samples = (axes * values.sqrt()[:, None]).float()

    @staticmethod
    def _both(curves):
        return torch.cat([curves, curves.flip(1)]).double()

    def whiten(self, curves: torch.Tensor, reverse: bool = False):
        """Return w (n, components) and the squared norm of what they miss, (n,).

        reverse: of the curves backwards in time.
        """
        found = []
        for part in curves.split(BLOCK):
            part = part.flip(1) if reverse else part
            w = (part - self.mean) @ self.to_components.T
            rest = part - self.mean - w @ self.to_samples
            found.append((w, (rest**2).sum(1)))
        return tuple(torch.cat(column) for column in zip(*found, strict=True))

    def log_likelihood(self, w, rest, decoded, log_deviation=None) -> torch.Tensor:
        """Return log N(x; mean, sd^2) in nats a curve, for whitened curves: (n,).

        w (n, components), rest (n,): what `whiten` gave; decoded (n, components + 1): the mean of
        w and ln sd; log_deviation (n,): taken for ln sd instead, unless None.  `log_likelihood` of
        the folded network is this minus `jacobian`.
        """
        square = ((w - decoded[:, :-1]) ** 2 * self.variances).sum(1) + rest
        return _gaussian(square, decoded[:, -1] if log_deviation is None else log_deviation)


def log_likelihood(x: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
    """Return log p(mu|z,p) in nats a curve of 300 relative magnifications mu = 10^x: (n,).

    x (n, 300); decoded (n, 301): the mean of x, and ln of its standard deviation in dex.
    log p(mu) = log N(x; mean, sd^2) - sum ln(mu ln 10): the Jacobian makes it one of mu itself.
    """
    square = ((x - decoded[:, :-1]) ** 2).sum(1)
    return _gaussian(square, decoded[:, -1]) - jacobian(x)


def jacobian(x: torch.Tensor) -> torch.Tensor:
    """Return sum ln(d mu / d x) = sum ln(mu ln 10) for x = log10 mu (n, 300): (n,)."""
    return torch.cat([(part * LN10 + math.log(LN10)).sum(1) for part in x.split(BLOCK)])


def _gaussian(square, log_deviation):
    """Return log N summed over 300 samples with one standard deviation: square error (n,)."""
    log_deviation = log_deviation.clamp(-9.0, 3.0)
    each = -log_deviation - 0.5 * priors.LOG_2PI
    return SAMPLES * each - 0.5 * square * (-2 * log_deviation).exp()


@torch.no_grad()
def fold(model: cvae.CVAE, whitening: Whitening, architecture: dict) -> cvae.CVAE:
    """Multiply the whitening into the first and last layer: the asked network on 300 samples."""
    whole = build(**architecture)
    whole.decoder.limits.copy_(whitening.limits)
    whole.prior.load_state_dict(model.prior.state_dict())
    k, first, last = len(whitening.variances), model.encoder.first, model.decoder.last
    whole.encoder.first.weight.copy_(
        torch.cat([first.weight[:, :k] @ whitening.to_components, first.weight[:, k:]], 1)
    )
    shift = first.weight[:, :k] @ (whitening.to_components @ whitening.mean)
    whole.encoder.first.bias.copy_(first.bias - shift)
    whole.decoder.last.weight.copy_(whitening.to_samples.T @ last.weight)
    whole.decoder.last.bias.copy_(whitening.mean + last.bias @ whitening.to_samples)
    for inner, outer in (
        (model.encoder.last, whole.encoder.last),
        (model.decoder.first, whole.decoder.first),
        (model.decoder.deviation, whole.decoder.deviation),
    ):
        outer.load_state_dict(inner.state_dict())
    return whole


def load(path="", device="cpu") -> tuple[cvae.CVAE, dict]:
    """Return (model, checkpoint) of the checkpoint `path`, "": the shipped one.

    Raises InputError when there is none, or when it is damaged or foreign.
    """
    path = path or files.ROOT / NAME
    model, content = checkpoints.load_model(path, "ex_2b", MADE_BY, build, {"trained_p": list})
    try:
        as_sizes([float.__pos__(p) for p in content["trained_p"]])  # floats, not text
    except (InputError, TypeError) as error:
        raise checkpoints.damaged(path, f"trained_p: {error}", MADE_BY) from error
    return model.to(pick_device(str(device))), content


def as_sizes(p) -> torch.Tensor:
    """Return source sizes p as (n,) float32; raise InputError unless finite, in [1e-6, 1e6]."""
    try:
        found = np.atleast_1d(np.asarray(p))
        if found.dtype.kind == "b":
            raise TypeError("truth values")
        found = found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("p: give numbers above 0, source sizes in R_E") from error
    if found.ndim != 1 or not found.size:
        raise InputError("p: give one or more numbers, source sizes in R_E")
    bad = found[~((found >= LEAST_P) & (found <= MOST_P))]  # nan is bad, too
    if len(bad):
        raise InputError(f"p = {bad[0]:g}: give source sizes from {LEAST_P:g} to {MOST_P:g} R_E")
    return torch.from_numpy(found.astype(np.float32))


@torch.no_grad()
def draw(model: cvae.CVAE, p: torch.Tensor, n: int, logarithm: bool = True) -> torch.Tensor:
    """Draw n curves for each p (m,): z ~ p(z|p), then mu = 10^E[x|z,p] -> (m, n, 300).

    The mean is cut at the least and greatest value of a training curve (`decoder.limits`): one
    draw in thousands, far out in the tails of p(z|p), would else be absurdly bright.
    logarithm: False for a model of mu itself (the course's baseline): mu = E[x|z,p].
    """
    y = p.to(next(model.parameters()).device).repeat_interleave(n)
    x = model.decode(model.prior.sample(y), y)[:, :-1].clamp(*model.decoder.limits)
    mu = (x * LN10).exp() if logarithm else x
    return mu.view(len(p), n, SAMPLES).cpu()
