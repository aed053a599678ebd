"""The conditional VAE of exercise 2: the asked network as three distributions, and `Whitening`.

    q(z|x,p) = N(m, diag exp b)     [x, p ... p]  300 + 32 -> 128 -> 32 + 32
    p(x|z,p) = N(mean, sd(p)^2)     [z, p ... p]   32 + 32 -> 128 -> 300
    p(z|p)   = N(0, I), or the learned prior of common/priors.py

x: log10 of relative magnification at 300 samples of a track; p: half-light radius of the source,
R_E, repeated 32 times at the input of both networks; z: 32 latents; sd(p): learned, in dex.  For
safety b is kept in [-10, 5], ln sd in [-9, 3].  `fold` merges the whitening of curves, which `fit`
trains with, into the network's first and last layers.  The two terms of the ELBO are in
common/cvae.py.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.distributions import Independent, Normal

from common.cvae import gaussian
from common.networks import MLP
from common.priors import FlowPrior, StandardPrior
from common.training import InputError, find_model, load, say

SAMPLES = 300  # of a light curve
LATENT = 32
HIDDEN = 128
REPEATS = 32  # copies of p at the input of both networks
LEAST_P, MOST_P = 1e-6, 100.0  # R_E, what a condition may be


class CurveCVAE(nn.Module):
    """The network that the exercise asks for, as three distributions.

    prior: has log_prob(z, p), sample_u(n) and transform(u, p); see common/priors.py.  features: how
    many numbers a curve is: 300 samples, or the components that `Whitening` makes of them in
    training.  unit: of p in training, R_E, which `fold` multiplies into the weights.
    """

    def __init__(self, prior: nn.Module, features: int = SAMPLES, unit: float = 1.0):
        super().__init__()
        self.unit = unit
        self.encoder = MLP(features, REPEATS, HIDDEN, 2 * LATENT)
        self.decoder = MLP(LATENT, REPEATS, HIDDEN, features)
        self.deviation = nn.Sequential(nn.Linear(1, 16), nn.SiLU(), nn.Linear(16, 1))
        self.prior = prior
        self.register_buffer("shift", torch.tensor(0.0))  # the networks see (x - shift) / scale
        self.register_buffer("scale", torch.tensor(1.0))

    def condition(self, p: torch.Tensor) -> torch.Tensor:
        """Return p / unit, repeated 32 times: (n,) -> (n, 32)."""
        return (p / self.unit)[:, None].expand(-1, REPEATS)

    def posterior(self, x: torch.Tensor, p: torch.Tensor):
        """Return q(z|x,p), a distribution over (n, 32): x (n, features), p (n,) R_E."""
        return gaussian(self.encoder((x - self.shift) / self.scale, self.condition(p)), LATENT)

    def decode(self, z: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        """Return the mean of p(x|z,p): z (n, 32), p (n,) -> (n, features)."""
        return self.shift + self.scale * self.decoder(z, self.condition(p))

    def log_sd(self, p: torch.Tensor) -> torch.Tensor:
        """Return ln of the standard deviation of p(x|z,p), a function of p alone: (n,) -> (n,)."""
        return self.scale.log() + self.deviation(p.log()[:, None])[:, 0].clamp(-9.0, 3.0)

    def likelihood(self, z: torch.Tensor, p: torch.Tensor):
        """Return p(x|z,p), a distribution over (n, features); its mean is the curve we draw."""
        mean = self.decode(z, p)
        sd = self.log_sd(p).exp()[:, None].expand_as(mean)
        return Independent(Normal(mean, sd, validate_args=False), 1, validate_args=False)

    @torch.no_grad()
    def draw(self, p: torch.Tensor, u=None) -> torch.Tensor:
        """Draw z ~ p(z|p) and return 10^E[x|z,p], relative magnification: (n,) -> (n, 300).

        z = T_p(u), u ~ p(u); u (n, 32) is one noise for several p, None draws it.
        """
        u = self.prior.sample_u(len(p)) if u is None else u
        z = self.prior.transform(u, p)
        return 10 ** self.decode(z, p)

    @torch.no_grad()
    def probe(self) -> torch.Tensor:
        """Return the output for one fixed input; it tells whether the code is still the same."""
        p = torch.tensor([0.1, 1.0, 5.0], device=next(self.parameters()).device)
        z = torch.linspace(-1, 1, LATENT, device=p.device).expand(3, -1)
        x = self.decode(z, p)
        q = self.encoder(x, self.condition(p))
        return torch.cat([q.mean(1), x.mean(1), self.log_sd(p), 0.01 * self.prior.log_prob(z, p)])


def prior_of(settings: dict, least: float = 0.0, most: float = math.inf) -> nn.Module:
    """Return the prior that the settings of ex_2b.py describe.

    least, most: the range of the training sizes p, R_E; outside it p(z|p) stays as at its end.
    """
    if settings["plain"]:
        return StandardPrior(LATENT)
    names = ("mixture", "couplings", "hidden")
    mixture, couplings, hidden = (settings[name] for name in names)
    prior = FlowPrior(LATENT, mixture, None, couplings, hidden)
    prior.limits.copy_(torch.tensor([least, most]))
    return prior


class Whitening:
    """Principal components w (n, k) of curves x (n, 300), each scaled to the variance 1.

        x = mean + (w * scale) axes + rest

    Fitted (scikit-learn) on curves and on their time-reversed images, since time has no direction.
    """

    def __init__(self, x: torch.Tensor, components: int):
        from sklearn.decomposition import PCA  # a second to load

        both = torch.cat([x, x.flip(1)]).cpu().numpy()
        pca = PCA(min(components, *both.shape), svd_solver="full").fit(both)
        variance = np.maximum(pca.explained_variance_, 1e-12)
        arrays = (pca.mean_, pca.components_, np.sqrt(variance))
        self.mean, self.axes, self.scale = (
            torch.from_numpy(a).float().to(x.device) for a in arrays
        )

    def __call__(self, x: torch.Tensor):
        """Return w (n, k), and |rest|^2, the squared error of leaving out the others: (n,)."""
        w = (x - self.mean) @ self.axes.T / self.scale
        rest = x - self.mean - (w * self.scale) @ self.axes
        return w, (rest**2).sum(1)

    def square(self, w: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return |x - x'|^2 of the curves that w, other (n, k) stand for: (n,), dex^2."""
        return ((w - other) * self.scale).square().sum(1)


def gaussian_log_prob(square: torch.Tensor, log_sd: torch.Tensor) -> torch.Tensor:
    """Return log N(x; mean, sd^2) of 300 samples: square = |x - mean|^2, ln sd (n,) -> (n,)."""
    return -0.5 * square * (-2 * log_sd).exp() - SAMPLES * (log_sd + 0.5 * math.log(2 * math.pi))


@torch.no_grad()
def fold(model: CurveCVAE, whitening: Whitening) -> CurveCVAE:
    """Return the asked network, 300 samples in and out, of one that was trained on w and p / unit.

    x -> w, w -> x and p -> p / unit are linear, so they multiply into the first and last layers.
    """
    to_w = whitening.axes / whitening.scale[:, None]  # w = (x - mean) to_w^T
    to_x = whitening.axes * whitening.scale[:, None]  # x = mean + w to_x
    first, last = model.encoder.first, model.decoder.last
    seen = first.weight[:, : len(to_w)] @ to_w  # (128, 300)
    copies = first.weight[:, len(to_w) :] / model.unit  # (128, 32)
    encoder = {
        "first.weight": torch.cat([seen, copies], 1),
        "first.bias": first.bias - seen @ whitening.mean,
    }
    z, copies = model.decoder.first.weight.split([LATENT, REPEATS], 1)
    decoder = {
        "first.weight": torch.cat([z, copies / model.unit], 1),
        "last.weight": to_x.T @ last.weight,
        "last.bias": whitening.mean + last.bias @ to_x,
    }
    whole = type(model)(model.prior).to(to_x.device)
    whole.encoder.load_state_dict(model.encoder.state_dict() | encoder)
    whole.decoder.load_state_dict(model.decoder.state_dict() | decoder)
    whole.deviation.load_state_dict(model.deviation.state_dict())
    return whole.eval()


def load_model(model="", device="cpu", out_dir=None, plain=False) -> tuple[CurveCVAE, dict, Path]:
    """Return (model, content, path) of the checkpoint `model` of ex_2b.py.

    "": ex_2b.pt (plain: ex_2b_plain.pt) in `out_dir` if it is there, else the shipped one.
    content: "trained_p", "about", "settings", "simulated".  Raises InputError.
    """
    path = find_model("ex_2b_plain" if plain else "ex_2b", model, out_dir)

    def build(content):
        return CurveCVAE(prior_of(content["settings"]))

    return *load(path, "ex_2b", build, device), path


def load_pair(model, device, out_dir, data_dir) -> tuple[dict, dict]:
    """Return ({"ours": model, "plain": model}, content of the first); says what is read.

    The plain model stands beside ours if it was trained on the same curves; a plain one that was
    asked for stands alone.
    Raises InputError for a model of the user's own curves without their data_dir.
    """
    network, content, path = load_model(model, device, out_dir)
    say(f"reading {path}: {content['about']}")
    if not content["simulated"] and not data_dir:
        raise InputError("the model was trained on your own curves: give their --data-dir, too")
    if content["settings"]["plain"]:
        return {"plain": network}, content
    plain, other, path = load_model("", device, out_dir, plain=True)
    first, second = (each["about"].partition(" sizes, ")[2] for each in (content, other))
    if first != second or content["trained_p"] != other["trained_p"]:
        say(f"{path} was trained on other curves and is left out")
        return {"ours": network}, content
    say(f"reading {path}: {other['about']}")
    return {"ours": network, "plain": plain}, content


def as_sizes(p) -> torch.Tensor:
    """Return source sizes p as (n,) float32; raise InputError unless finite, in [1e-6, 100]."""
    try:
        p = p.detach().cpu() if isinstance(p, torch.Tensor) else p
        sizes = np.atleast_1d(np.asarray(p))
    except (TypeError, ValueError):  # lists of unequal lengths
        sizes = np.empty(0)
    numbers = sizes.dtype.kind in "fiu" and not np.ma.isMaskedArray(p)
    if not numbers or sizes.ndim != 1 or not sizes.size:
        raise InputError("p: give numbers above 0, source sizes in R_E")
    bad = sizes[~((sizes >= LEAST_P) & (sizes <= MOST_P))]  # nan is bad, too
    if len(bad):
        raise InputError(f"p = {bad[0]:g}: give source sizes from {LEAST_P:g} to {MOST_P:g} R_E")
    return torch.from_numpy(sizes.astype(np.float32))


@torch.no_grad()
def draw(model: CurveCVAE, p: torch.Tensor, n: int) -> torch.Tensor:
    """Draw n curves for each source size p (m,): relative magnification (m, n, 300), on the CPU.

    Nothing is cut or selected.
    """
    y = p.to(next(model.parameters()).device).repeat_interleave(n)
    curves = torch.cat([model.draw(part).cpu() for part in y.split(2**15)])
    return curves.view(len(p), n, SAMPLES)
