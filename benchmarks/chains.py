"""1000 chains, 1000 unadjusted Langevin steps: torchebm's LangevinDynamics against this project's.

Both do x + eps grad f(x) + sqrt(2 eps) z with the same network f (3 x 64 units).  torchebm takes
the gradient of the energy -f by autograd; `LogDensity.score` has it written out.
"""

from benchmarks.timing import alternate, ratios, row
from common import ebm, langevin
from common.runtime.errors import InputError

import torch

EPS = 0.01


def torchebm():
    """Return the package, or say in one line that it is missing."""
    try:
        import torchebm
        from torchebm import core, losses, samplers  # noqa: F401
    except ImportError as error:
        message = "torchebm is missing: pip install -r requirements-bench.txt"
        raise InputError(message) from error
    return torchebm


def energy_of(model, device):
    """Return torchebm's model of the energy -f."""

    class Minus(torchebm().core.BaseModel):
        def __init__(self):
            super().__init__(dtype=torch.float32, device=device)
            self.f = model

        def forward(self, x):
            return -self.f(x)

    return Minus()


def peer(model, device):
    """Return torchebm's sampler of exp(f): a function (x, steps, generator) -> x."""
    dynamics = torchebm().samplers.LangevinDynamics
    sampler = dynamics(energy_of(model, device), step_size=EPS, noise_scale=1.0, device=device)
    return lambda x, steps, generator: sampler.sample(x=x, n_steps=steps, generator=generator)


def own(model):
    """Return this project's sampler: a function (x, steps, generator) -> x."""
    return lambda x, steps, generator: langevin.langevin(x, model.score, EPS, steps, generator)


def disagreement(samplers, x, steps: int) -> float:
    """Return the largest difference of the chains' ends, all with the same random numbers."""
    ends = []
    for sample in samplers:
        generator = torch.Generator(x.device).manual_seed(1)
        ends.append(sample(x.clone(), steps, generator))
    return max(float((end - ends[0]).abs().max()) for end in ends)


def measure(settings, device) -> dict:
    """Time both samplers and the products; compare the ends of chains after few steps."""
    torch.manual_seed(0)
    model = ebm.LogDensity().to(device).requires_grad_(False)
    chains, steps = (50, 20) if settings.smoke else (1000, 1000)
    x = 3 * torch.randn(chains, 2, device=device)
    both = {"torchebm": peer(model, device), "this project": own(model)}
    apart = disagreement(both.values(), x, 20)
    generator = torch.Generator(device).manual_seed(0)
    sides = {name: lambda s=s: s(x.clone(), steps, generator) for name, s in both.items()}
    seconds = alternate(sides, settings.repeats)
    work, fast = f"{chains} chains x {steps} steps", seconds["this project"]
    rows = [row(work, "torchebm LangevinDynamics", ratios(seconds["torchebm"], fast), 1.8)]
    return {"rows": rows, "seconds": seconds, "largest_difference_after_20_steps": apart}
