"""The conditional VAE of exercise 2: build it, train it preconditioned, fold, load, generate.

The network asked for: p repeated 32 times at both inputs; encoder 300 + 32 -> 128 -> 2 * 32,
decoder 32 + 32 -> 128 -> 300, with a sigma that depends on p only.  Curves enter as x: log10 of
relative magnification, stretched below a lower edge (`from_code`).

Training works on whitened principal components instead of samples, x = m + w V, and on p / UNIT
instead of p: Adam updates the 32 copies alike, so p would be learned 32 times too fast.  Both
are linear maps before the first and after the last layer, which `fold` multiplies into them.  Only
the network asked for is saved.
"""

import math

import numpy as np
import torch

from common import networks
from common.runtime import checkpoints, cvae, files, priors
from common.runtime.device import pick_device
from common.runtime.errors import InputError

NAME, MADE_BY = "checkpoints/ex_2b.pt", "python ex_2b.py"
SAMPLES, LATENT, HIDDEN, REPEATS = 300, 32, 128, 32
ARCHITECTURE = ("prior", "components", "couplings", "units")
LN10 = math.log(10.0)
BLOCK = 2**15  # curves that are computed on at once: bounds the memory for a million
LEAST_P, MOST_P = 1e-6, 100.0  # R_E, what a condition may be
BELOW, BEND = 0.05, 0.02  # d log10 mu / dx below the edge; half-width of the bend, dex
UNIT = 8.0  # R_E, of p in training
MARGIN, NO_EDGE = 0.9, -4.0  # the edge in units of the least training value; log10 mu: none


def architecture(settings) -> dict:
    """Return what `build` needs, taken from `settings`."""
    return {name: getattr(settings, name) for name in ARCHITECTURE}


def build(*, prior, components, couplings, units, features=0) -> cvae.CVAE:
    """Build the CVAE of curves; or, for training, the one of `features` numbers and of p / UNIT.

    prior: "coupling" (learned: `couplings` affine couplings, whose networks have `units` in each
    hidden layer, over `components` Gaussians) or "standard", N(0, I).
    Raises InputError for anything else, before memory is taken.
    """
    sizes = ("components", components, 1024), ("couplings", couplings, 64), ("units", units, 4096)
    for name, size, most in sizes:
        if type(size) is not int or not 0 <= size <= most:
            raise InputError(f"{name} = {size!r}: must be a whole number from 0 to {most}")
    if prior not in ("coupling", "standard"):
        raise InputError(f"prior = {prior!r}: must be coupling or standard")
    if prior == "standard":
        prior_net = priors.StandardPrior(LATENT)
    else:
        prior_net = priors.CouplingPrior(LATENT, max(1, components), couplings, max(1, units))
    encoder = networks.MLP(features or SAMPLES, REPEATS, HIDDEN, 2 * LATENT)
    decoder = networks.GaussianDecoder(LATENT, REPEATS, HIDDEN, features or SAMPLES)

    def repeated(p):
        return (p / UNIT if features else p)[:, None].expand(-1, REPEATS)  # (n,) -> (n, 32)

    return cvae.CVAE(encoder, decoder, prior_net, repeated)


def from_code(x: torch.Tensor, edge) -> torch.Tensor:
    """Return log10 relative magnification of codes x, any shape.

    l = e + BELOW u + (1 - BELOW) BEND softplus(u / BEND), u = x - e: l is x above the edge e, and
    below it l falls BELOW times as fast.  No star field makes a curve darker than its smooth
    minimum; with the edge just under it, neither does a draw, and every l keeps its code.
    """
    u = x - edge
    return edge + BELOW * u + (1 - BELOW) * BEND * torch.nn.functional.softplus(u / BEND)


def to_code(log_mu, edge) -> torch.Tensor:
    """Invert `from_code`: log10 relative magnification, any shape -> float32 codes.

    Newton's method from above, where it cannot overshoot, since `from_code` is convex.
    """
    log_mu, edge = torch.as_tensor(log_mu).double(), float(edge)
    x = torch.maximum(log_mu, torch.tensor(edge, dtype=torch.float64))
    for _ in range(12):
        slope = BELOW + (1 - BELOW) * ((x - edge) / BEND).sigmoid()
        x = x - (from_code(x, edge) - log_mu) / slope
    return x.float()


def edge_of(curves: dict) -> float:
    """Return the edge for training curves {p: (n, 300)}: log10 of MARGIN times their least."""
    least = min(float(part.min()) for part in curves.values())
    return max(NO_EDGE, math.log10(max(1e-9, MARGIN * least)))


def missed(codes: torch.Tensor, components: int) -> float:
    """Return the rms of what the leading `components` of codes (n, 300) miss, dex.

    Principal components of these codes alone, and of their time-reversed images.
    """
    values = torch.linalg.eigvalsh(torch.cov(_both_ways(codes).T)).clamp_min(0)  # smallest first
    return float(values[: max(0, SAMPLES - components)].sum().div(SAMPLES).sqrt())


def _both_ways(codes):
    """Return codes (n, 300) and their time-reversed images: (2 n, 300) float64."""
    return torch.cat([codes, codes.flip(1)]).double()


class Whitening:
    """x = mean + w V for codes x (n, 300): w (n, components) are whitened principal components.

    Fitted on the codes of curves and on their time-reversed images.
    """

    def __init__(self, curves: torch.Tensor, components: int):
        parts = curves.split(BLOCK)
        mean = sum(_both_ways(part).mean(0) * (len(part) / len(curves)) for part in parts)
        square = sum((_both_ways(part) - mean).T @ (_both_ways(part) - mean) for part in parts)
        values, axes = torch.linalg.eigh(square / (2 * len(curves)))
        values = values.flip(0)[:components].clamp_min(1e-12)  # variances, largest first
        axes = axes.flip(1)[:, :components].T  # (components, 300)
        self.mean, self.variances = mean.float(), values.float()
        # w = (x - mean) @ to_components.T,   x = mean + w @ to_samples
        self.to_components = (axes / values.sqrt()[:, None]).float()
        self.to_samples = (axes * values.sqrt()[:, None]).float()

    def whiten(self, curves: torch.Tensor):
        """Return w (n, components) and the squared norm of what they miss, (n,)."""
        found = []
        for part in curves.split(BLOCK):
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


def log_likelihood(x: torch.Tensor, decoded: torch.Tensor, edge) -> torch.Tensor:
    """Return log p(mu|z,p) in nats a curve of 300 relative magnifications mu of the codes x: (n,).

    x (n, 300); decoded (n, 301): the mean of x, and ln of its standard deviation in dex.
    log p(mu) = log N(x; mean, sd^2) - sum ln(d mu / d x): the Jacobian makes it one of mu itself.
    """
    square = ((x - decoded[:, :-1]) ** 2).sum(1)
    return _gaussian(square, decoded[:, -1]) - jacobian(x, edge)


def jacobian(x: torch.Tensor, edge) -> torch.Tensor:
    """Return sum ln(d mu / d x) for the codes x (n, 300) of mu: (n,)."""
    found = []
    for part in x.split(BLOCK):
        slope = BELOW + (1 - BELOW) * ((part - edge) / BEND).sigmoid()
        found.append((from_code(part, edge) * LN10 + (LN10 * slope).log()).sum(1))
    return torch.cat(found)


def _gaussian(square, log_deviation):
    """Return log N summed over 300 samples with one standard deviation: square error (n,)."""
    log_deviation = log_deviation.clamp(-9.0, 3.0)
    each = -log_deviation - 0.5 * priors.LOG_2PI
    return SAMPLES * each - 0.5 * square * (-2 * log_deviation).exp()


@torch.no_grad()
def fold(model: cvae.CVAE, whitening: Whitening, architecture: dict) -> cvae.CVAE:
    """Multiply whitening and UNIT into the first and last layers: the asked network."""
    whole = build(**architecture)
    whole.decoder.edge.copy_(model.decoder.edge)
    for part in ("prior", "encoder.last", "decoder.first", "decoder.deviation"):
        whole.get_submodule(part).load_state_dict(model.get_submodule(part).state_dict())
    k, first, last = len(whitening.variances), model.encoder.first, model.decoder.last
    whole.encoder.first.weight.copy_(
        torch.cat([first.weight[:, :k] @ whitening.to_components, first.weight[:, k:] / UNIT], 1)
    )
    shift = first.weight[:, :k] @ (whitening.to_components @ whitening.mean)
    whole.encoder.first.bias.copy_(first.bias - shift)
    whole.decoder.last.weight.copy_(whitening.to_samples.T @ last.weight)
    whole.decoder.last.bias.copy_(whitening.mean + last.bias @ whitening.to_samples)
    whole.decoder.first.weight[:, LATENT:] /= UNIT
    whole.decoder.deviation[0].bias -= whole.decoder.deviation[0].weight[:, 0] * math.log(UNIT)
    return whole


def load(path="", device="cpu") -> tuple[cvae.CVAE, dict]:
    """Return (model, checkpoint) of the checkpoint `path`, "": the shipped one.

    Raises InputError when there is none, or when it is damaged or foreign.
    """
    path = path or files.ROOT / NAME
    model, content = checkpoints.load_model(path, "ex_2b", MADE_BY, build, {"trained_p": list})
    with checkpoints.damage(path, MADE_BY):
        as_sizes(content["trained_p"])
    return model.to(pick_device(str(device))), content


def as_sizes(p) -> torch.Tensor:
    """Return source sizes p as (n,) float32; raise InputError unless finite, in [1e-6, 100]."""
    try:
        found = np.atleast_1d(np.asarray(p))
    except (TypeError, ValueError):  # lists of unequal lengths
        found = np.empty(0)
    numbers = found.dtype.kind in "fiu" and not np.ma.isMaskedArray(p)
    if not numbers or found.ndim != 1 or not found.size:
        raise InputError("p: give numbers above 0, source sizes in R_E")
    bad = found[~((found >= LEAST_P) & (found <= MOST_P))]  # nan is bad, too
    if len(bad):
        raise InputError(f"p = {bad[0]:g}: give source sizes from {LEAST_P:g} to {MOST_P:g} R_E")
    return torch.from_numpy(found.astype(np.float32))


@torch.no_grad()
def draw(model: cvae.CVAE, p: torch.Tensor, n: int) -> torch.Tensor:
    """Draw n curves for each p (m,): z ~ p(z|p), then mu of the code E[x|z,p] -> (m, n, 300).

    Nothing is cut or selected.
    """
    y = p.to(next(model.parameters()).device).repeat_interleave(n)
    x = model.decode(model.prior.sample(y), y)[:, :-1]
    mu = (from_code(x, model.decoder.edge) * LN10).exp()
    return mu.view(len(p), n, SAMPLES).cpu()
