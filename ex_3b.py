"""Exercise 3(b): 1000 samples by Langevin dynamics at three step sizes, against the truth.

    python ex_3b.py        -> figures/ex_3b.png, ex_3b_time.png, ex_3b_better.png, ex_3b.json

    x0 ~ N(0, 3^2 I),   x <- x + eps grad f(x) + sqrt(2 eps) z,   eps = 0.1, 0.01, 0.001,   T = 1000

for the models of ex_3a.py and, under the same protocol, for the oracle: the roll's own score, which
a perfect model has.  What the oracle does not reach no model is to blame for.
Needs checkpoints/ex_3a_*.pt (shipped).  About two minutes.
Expect at eps = 0.01 a sliced W2 of 3.01 for cd, 2.84 for the oracle, 0.49 for short-run training
(two true sets: 0.47).
"""

from dataclasses import dataclass

import torch

from common import roll_report, runtime
from common.langevin import langevin
from common.settings import Common, InputError, option, parse
from common.training import step_seed

BLOCK = 1000  # chains


@dataclass(frozen=True)
class Settings(Common):
    """The protocol of the exercise."""

    eps: tuple = option((0.1, 0.01, 0.001), "step sizes")
    steps: int = option(1000, "T, Langevin steps", minimum=1, maximum=10**8, smoke=20)
    chains: int = option(1000, "samples", minimum=2, maximum=10**6, smoke=50)
    repeats: int = option(5, "sampling seeds", minimum=1, maximum=1000, smoke=1)


def protocol(gradient, eps: float, settings, seed: int, record=None) -> torch.Tensor:
    """Sample as the exercise says with `gradient` of log p: (chains, 2).

    In blocks of 1000 chains, each with its own random numbers: memory is bounded, and a chain
    is the same however many there are.  record: see `langevin`; it sees the first block.
    """
    done = []
    for block in range(-(-settings.chains // BLOCK)):
        generator = torch.Generator().manual_seed(step_seed(seed, block))
        x0 = 3 * torch.randn(BLOCK, 2, generator=generator)
        done.append(langevin(x0, gradient, eps, settings.steps, generator, record))
        record = None
    return torch.cat(done)[: settings.chains]


def main(argv=None) -> dict:
    """Sample, measure, draw; return the numbers."""
    settings = parse(Settings, __doc__, argv)
    runtime.start(settings)
    if not settings.eps or not all(0 < eps <= 100 for eps in settings.eps):
        raise InputError(f"--eps {settings.eps}: step sizes must be above 0 and at most 100")
    return roll_report.run(settings, protocol)


if __name__ == "__main__":
    runtime.run(main)
