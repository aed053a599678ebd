"""Exercise 2(a): build the conditional VAE of light curves and show that it is the one asked for.

    python ex_2a.py        -> out/ex_2a.json, out/ex_2a_network.png; prints the layers

    q(z|x,p) = N(m, diag exp b):     [x, p ... p]   300 + 32 -> 128 -> 32 + 32
    p(x|z,p) = N(mean, sd(p)^2):     [z, p ... p]    32 + 32 -> 128 -> 300
    p(z|p)   = N(0, I) (plain), or learned (ours)

x: log10 of relative magnification at 300 samples; p: half-light radius of the source in R_E,
repeated 32 times at the input of both networks; z: 32 latents; one hidden layer of 128 units (SiLU)
in each network; sd(p): learned, a function of p alone (1 -> 16 -> 1).

`encoder` and `decoder` below are these lines in PyTorch's own words; `main` checks that the model
which 2(b) trains, common/light_curves/model.py, computes the same.  Needs no data; takes 3 seconds.
Expect: 50,880 parameters in the encoder, 47,020 in the decoder and 49 in sd(p).
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from common.light_curves.model import HIDDEN, LATENT, REPEATS, SAMPLES, CurveCVAE, prior_of
from common.training import InputError, check, run, write


@dataclass
class Settings:
    mixture: int = 16  # Gaussians in the p(u) behind our p(z|p)
    couplings: int = 8  # affine couplings in our p(z|p)
    hidden: int = 96  # units in each hidden layer of a coupling
    seed: int = 0
    out_dir: Path = Path("out")


def encoder() -> nn.Sequential:
    """Return the encoder: (n, 300 + 32) -> (n, 32 + 32), mean m and log variance b of q(z|x,p)."""
    return nn.Sequential(
        nn.Linear(SAMPLES + REPEATS, HIDDEN),  # 300 + 32 -> 128
        nn.SiLU(),
        nn.Linear(HIDDEN, 2 * LATENT),  # 128 -> 32 + 32
    )


def decoder() -> nn.Sequential:
    """Return the decoder: (n, 32 + 32) -> (n, 300), the mean of p(x|z,p)."""
    return nn.Sequential(
        nn.Linear(LATENT + REPEATS, HIDDEN),  # 32 + 32 -> 128
        nn.SiLU(),
        nn.Linear(HIDDEN, SAMPLES),  # 128 -> 300
    )


@torch.no_grad()
def check_network(model: CurveCVAE) -> dict:
    """Return {name: shape} of a curve on its way through the model.

    Raises RuntimeError unless the model has the shapes that are asked for, and computes what
    `encoder` and `decoder` compute with the same weights.
    """
    p = torch.tensor([0.1, 1.0, 5.0])
    x = torch.randn(len(p), SAMPLES)

    q = model.posterior(x, p)
    z = q.sample()
    likelihood = model.likelihood(z, p)
    shapes = {"x": x, "p, repeated": model.condition(p), "mean of q(z|x,p)": q.mean, "z": z}
    shapes |= {"mean of p(x|z,p)": likelihood.mean, "sd of p(x|z,p)": likelihood.stddev}
    shapes = {name: tuple(tensor.shape) for name, tensor in shapes.items()}
    expected = [SAMPLES, REPEATS, LATENT, LATENT, SAMPLES, SAMPLES]
    if list(shapes.values()) != [(len(p), size) for size in expected]:
        raise RuntimeError(f"not the shapes that are asked for: {shapes}")

    copies = p[:, None].repeat(1, REPEATS)
    m, b = with_weights(encoder(), model.encoder)(torch.cat([x, copies], 1)).chunk(2, 1)
    mean = with_weights(decoder(), model.decoder)(torch.cat([z, copies], 1))
    pairs = {"m": (m, q.mean), "b": (b.clamp(-10, 5).exp(), q.variance)}
    pairs["mean"] = (mean, likelihood.mean)
    for name, (ours, theirs) in pairs.items():
        if not torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5):
            raise RuntimeError(f"{name}: the model does not compute what is asked for")
    if likelihood.stddev.std(1).max() > 0:
        raise RuntimeError("sd(p) differs between the samples of a curve")
    return shapes


def with_weights(network: nn.Sequential, trained: nn.Module) -> nn.Sequential:
    """Copy the weights of `trained` into a network of the same layers; return the network."""
    for parameter, value in zip(network.parameters(), trained.parameters(), strict=True):
        parameter.copy_(value)
    return network


def count(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def linear_layers(network: nn.Module) -> list:
    """Return (inputs, outputs, parameters) of each linear layer of a network."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return [(layer.in_features, layer.out_features, count(layer)) for layer in layers]


def main(settings) -> dict:
    """Build, check, print, draw, write; return the numbers."""
    check(settings, mixture=(1, 4096), couplings=(0, 64), hidden=(1, 4096), seed=(0, 2**62))
    torch.manual_seed(settings.seed)
    sizes = {name: getattr(settings, name) for name in ("mixture", "couplings", "hidden")}
    try:
        model = CurveCVAE(prior_of({"plain": False, **sizes}))
    except RuntimeError as error:  # torch's word for memory that is not there
        raise InputError(f"this prior is too large: {str(error).splitlines()[0]}") from error
    shapes = check_network(model)

    layers = {name: linear_layers(getattr(model, name)) for name in ("encoder", "decoder")}
    layers["sd(p)"] = linear_layers(model.deviation)
    for name, rows in layers.items():
        for inputs, outputs, parameters in rows:
            print(f"{name:8s} {inputs:4d} -> {outputs:4d} {parameters:8,d} parameters")
    parameters = {"encoder": count(model.encoder), "decoder": count(model.decoder)}
    parameters["sd(p)"] = count(model.deviation)
    plain = count(prior_of({"plain": True}))
    parameters |= {"plain prior N(0, I)": plain, "our learned prior": count(model.prior)}
    for name, number in parameters.items():
        print(f"{name:20s} {number:8,d} parameters")

    from common.light_curves import figures  # matplotlib

    numbers = {"layers": layers, "shapes_of_3_curves": shapes, "parameters": parameters}
    drawn = figures.layers(layers["encoder"], layers["decoder"], parameters)
    return write(settings.out_dir, "ex_2a", numbers, network=drawn)


if __name__ == "__main__":
    run(main, Settings)
