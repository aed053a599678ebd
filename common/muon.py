"""The optimiser Muon for matrices: momentum whose singular values are all set to about 1.

torch.optim.Muon is the same update, but multiplies in bfloat16, which some processors imitate; for
the widest matrix of 1(b), 256 x 2352, the form below needs 40 % of its products, in float32.
(Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.)
"""

import torch

QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: steep at 0, flat around 1


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Return about U V^T of matrix = U S V^T: (m, n) -> (m, n).

    Its singular values are from .7 to 1.2, but for those below some thousandth of the largest.

    Newton-Schulz: X <- (a I + b G + c G^2) X with G = X X^T.  All factors are polynomials of the
    first G, so the steps run on the small (m, m) side, and X is multiplied once, at the end.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
    x = wide / (wide.norm() + 1e-7)
    a, b, c = QUINTIC
    gram = x @ x.t()
    identity = torch.eye(len(gram), device=x.device)
    product = identity
    for step in range(steps):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product if step else factor
        if step < steps - 1:
            gram = factor @ gram @ factor
    x = product @ x
    return x if wide is matrix else x.t()


class Muon(torch.optim.Optimizer):
    """W <- (1 - rate decay) W - rate sqrt(max(1, m/n)) orthogonalise(g + beta (M - g)).

    g: the gradient; M <- M + (1 - beta) (g - M), its momentum, used as Nesterov does; W (m, n).
    learning_rate: per step, of an update whose singular values are about 1.
    """

    def __init__(self, params, learning_rate=0.02, weight_decay=0.1, momentum=0.95):
        super().__init__(params, dict(lr=learning_rate, decay=weight_decay, momentum=momentum))

    @torch.no_grad()
    def step(self):
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, group)

    def _move(self, matrix, group):
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum = state["momentum"]
        momentum.lerp_(matrix.grad, 1 - group["momentum"])
        ahead = matrix.grad.lerp(momentum, group["momentum"])
        rate = group["lr"] * max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
        matrix.mul_(1 - group["lr"] * group["decay"])
        matrix.add_(orthogonalise(ahead), alpha=-rate)
