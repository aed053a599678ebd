"""Exercise 2(a): build the conditional VAE of light curves and show that it is the one asked for.

    python ex_2a.py        -> out/ex_2a.json, out/ex_2a.png; prints the layer table

    q(z|x,p) = N(m, diag exp logvar):   [x, p ... p]  300 + 32 -> 128 -> 32 + 32
    p(x|z,p) = N(mean, sd(p)^2):        [z, p ... p]   32 + 32 -> 128 -> 300

x: 300 samples of log10 relative magnification; p: size of the source in R_E, repeated 32 times at
the input of both networks; z: 32 latents; one hidden layer of 128 units (SiLU) in each network;
sd(p): learned, a function of p alone (1 -> 16 -> 1).
The prior p(z|p) is learned (--prior coupling, the default; see common/runtime/priors.py) or N(0, I)
(--prior standard, the literal one).  The layers are in common/networks.py, put together in
common/light_curves/model.py.  Needs nothing; takes a second.
Expect: 50,880 and 47,069 parameters in encoder and decoder, 49 of them for sd(p).
"""

from dataclasses import dataclass

import torch

from common.light_curves import figures
from common.light_curves import model as curve_model
from common.runtime import results, script
from common.runtime.options import Common, no_effect, option, parse


@dataclass(frozen=True)
class Settings(Common):
    """The prior; everything else is given by the exercise."""

    prior: str = option("coupling", "p(z|p)", choices=["coupling", "standard"])
    components: int = option(16, "Gaussians in p(z|p)", minimum=1, maximum=1024)
    couplings: int = option(8, "affine couplings in p(z|p)", minimum=0, maximum=64)
    units: int = option(96, "in each hidden layer of a coupling", minimum=1, maximum=4096)


def table(model, p: torch.Tensor) -> list[dict]:
    """Run a curve for each p (n,) through the model; return name, shapes, parameters by layer.

    Raises RuntimeError if a shape is not the one asked for.
    """
    rows, x = [], torch.zeros(len(p), curve_model.SAMPLES)
    names = {module: name for name, module in model.named_modules()}

    def note(module, inputs, output):
        shape = {"in": inputs[0].shape[1], "out": output.shape[1]}
        count = sum(parameter.numel() for parameter in module.parameters())
        rows.append({"layer": names[module], **shape, "parameters": count})

    linear = [layer for layer in names if isinstance(layer, torch.nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in linear]
    mu, logvar = model.encode(x, p)
    decoded = model.decode(mu, p)
    for hook in hooks:
        hook.remove()
    found = [tuple(t.shape) for t in (model.embed(p), mu, logvar, decoded)]
    wanted = [curve_model.REPEATS, curve_model.LATENT, curve_model.LATENT, curve_model.SAMPLES + 1]
    if found != [(len(p), size) for size in wanted] or model.embed(p).unique(dim=1).shape[1] != 1:
        raise RuntimeError(f"not the network that was asked for: {found}")
    return rows


def main(argv=None) -> dict:
    """Build, check, print and write; return the table."""
    settings = parse(Settings, __doc__, argv, without=("data_dir", "device"))
    if settings.prior == "standard":
        no_effect(settings, "components couplings units", "with --prior standard")
    script.start(settings)
    architecture = curve_model.architecture(settings)
    model = curve_model.build(**architecture)
    rows = table(model, torch.tensor([0.1, 1.0, 5.0]))
    count = {
        name: sum(q.numel() for q in part.parameters()) for name, part in model.named_children()
    }
    for row in rows:
        sizes = f"{row['in']:4d} -> {row['out']:4d}"
        print(f"{row['layer']:15s} {sizes} {row['parameters']:7,d} parameters")
    print(", ".join(f"{name} {number:,d}" for name, number in count.items()), "parameters")
    metrics = {"layers": rows, "parameters": count, "model": architecture, "source": "no data"}
    drawn = {"ex_2a": figures.layers(rows, count)}
    return results.save_results(settings.out_dir, "ex_2a", metrics, drawn)


if __name__ == "__main__":
    script.run(main)
