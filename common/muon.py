"""The optimiser Muon for matrices: momentum whose singular values are all set to about 1.

torch.optim.Muon is the same update, but multiplies in bfloat16, which some processors imitate; for
a wide matrix (256 x 2352 here) the form below needs a third of its products, in float32.
(Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.)
"""

import torch

QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: steep at 0, about 1 from .7 to 1.2


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Return U V^T of matrix = U S V^T, up to singular values between .7 and 1.2: (m, n) -> (m, n).

    Newton-Schulz: X <- (a I + b G + c G^2) X with G = X X^T.  All factors are polynomials of the
    first G, so the steps run on the small (m, m) side, and X is multiplied once, at the end.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
    x = wide / (wide.norm() + 1e-7)
    a, b, c = QUINTIC
    gram = x @ x.t()
    product = identity = torch.eye(len(gram), device=x.device)
    for _ in range(steps):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return x if wide is matrix else x.t()


class Muon(torch.optim.Optimizer):
    """W <- (1 - rate decay) W - rate sqrt(max(1, m/n)) orthogonalise(momentum of the gradient).

    params: matrices (m, n).  learning_rate: per step, of an update whose singular values are
    about 1.  Nesterov momentum, decoupled weight decay, as in torch.optim.Muon.
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
        momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
        momentum.lerp_(matrix.grad, 1 - group["momentum"])
        ahead = matrix.grad.lerp(momentum, group["momentum"])
        rate = group["lr"] * max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
        matrix.mul_(1 - group["lr"] * group["decay"])
        matrix.add_(orthogonalise(ahead), alpha=-rate)
