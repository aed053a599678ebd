"""Samplers that spend as many gradients as the protocol of exercise 3(b), but better.

They take as many steps: a jump costs two evaluations of log p, a Langevin step one gradient.
"""

from common import langevin

LADDER = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # temperatures
JUMP = langevin.GaussianProposal(8.0)  # global proposals


def metropolis(x, log_p_and_gradient, steps: int, eps: float = 0.03):
    """MALA: every step tested, no discretisation bias; does not cross between the arms."""
    return langevin.mala(x, log_p_and_gradient, eps, steps)[0]


def tempered(x, log_p_and_gradient, steps: int, eps: float = 0.03):
    """Anneal: MALA on p^(1/T) with T falling from 32 to 1, the step size rising with T."""
    hot = max(1, steps // (2 * len(LADDER)))
    for temperature in reversed(LADDER):
        spent = hot if temperature > 1 else max(1, steps - hot * (len(LADDER) - 1))

        def scaled(x, t=temperature):
            return tuple(part / t for part in log_p_and_gradient(x))

        x, _ = langevin.mala(x, scaled, eps * temperature, spent)
    return x


def with_jumps(x, log_p_and_gradient, steps: int, eps: float = 0.03, share: float = 0.25):
    """MALA in which a quarter of the steps are jumps y ~ N(0, 8^2 I), tested: reaches p itself."""

    def log_p(x):
        return log_p_and_gradient(x)[0]

    every = max(1, round(1 / share))
    for _ in range(max(1, steps // every)):
        x, _, _ = langevin.independence_step(x, log_p(x), log_p, JUMP)
        if every > 1:
            x, _ = langevin.mala(x, log_p_and_gradient, eps, every - 1)
    return x


ALL = {"MALA": metropolis, "tempered": tempered, "MALA + jumps": with_jumps}
