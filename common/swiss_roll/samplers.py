"""Samplers that spend as many gradients as the protocol of exercise 3(b), but better.

Each takes x0 (n, 2), log p and its gradient (see `langevin.mala`), and the number of gradients a
sample; it returns samples (n, 2).
"""

import torch

from common import ebm, langevin

EPS = 0.03  # step size on p itself; on p^beta it is EPS / beta
LADDER = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # temperatures
BETAS = (1.0, 0.3, 0.0)  # levels of replica exchange


def metropolis(x, log_p_and_gradient, steps: int):
    """MALA: every step tested, no discretisation bias; does not cross between the arms."""
    return langevin.mala(x, log_p_and_gradient, EPS, steps)[0]


def tempered(x, log_p_and_gradient, steps: int):
    """Anneal: MALA on p^(1/T) with T falling from 32 to 1, the step size rising with T."""
    hot = max(1, steps // (2 * len(LADDER)))
    for temperature in reversed(LADDER):
        spent = hot if temperature > 1 else max(1, steps - hot * (len(LADDER) - 1))

        def scaled(x, t=temperature):
            return tuple(part / t for part in log_p_and_gradient(x))

        x, _ = langevin.mala(x, scaled, EPS * temperature, spent)
    return x


def replica(x, log_p_and_gradient, steps: int):
    """Replica exchange between p, p^0.3 N^0.7 and N = N(0, 8^2 I), a gradient a level and step."""
    copies = torch.stack([x] * len(BETAS))
    sizes = [EPS / beta for beta in BETAS[:-1]]
    steps = max(1, steps // len(BETAS))
    return langevin.replica_exchange(copies, log_p_and_gradient, BETAS, ebm.BASE, sizes, steps)[0][
        0
    ]


ALL = {"MALA": metropolis, "tempered MALA": tempered, "replica exchange": replica}
