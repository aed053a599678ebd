"""The matrix products of a network's training step alone: the time that no code can beat."""

import itertools

import torch


def dense_shapes(*chains) -> list[tuple[int, int, bool]]:
    """Return (inputs, outputs, whether the gradient of the input is needed) for each layer.

    chains: sizes of consecutive dense layers, (794, 512, 256, 128); the first layer of the first
    chain needs no gradient of its input.
    """
    layers = [pair for sizes in chains for pair in itertools.pairwise(sizes)]
    return [(*pair, number > 0) for number, pair in enumerate(layers)]


def one_step(shapes, batch: int, dtype, device="cpu", weights: bool = True):
    """Return (function that does all products of one step, floating-point operations in them).

    shapes: (inputs, outputs, whether the input's gradient is needed); weights: theirs, too.
    """
    tensors, count = [], 0
    for inputs, outputs, through in shapes:
        x = torch.randn(batch, inputs, device=device).to(dtype)
        w = torch.randn(outputs, inputs, device=device).to(dtype)
        g = torch.randn(batch, outputs, device=device).to(dtype)
        tensors.append((x, w, g, through))
        count += 2 * batch * inputs * outputs * (1 + weights + through)

    def step():
        for x, w, g, through in tensors:
            torch.nn.functional.linear(x, w)
            if weights:
                torch.mm(g.t(), x)
            if through:
                torch.mm(g, w)

    return step, count
