"""Encoder and decoder networks: (n, inputs), condition (n, c) -> (n, outputs)."""

import torch
import torch.nn.functional as F
from torch import nn


class MLP(nn.Module):
    """Map (n, inputs) and (n, c) to (n, outputs) by one hidden layer: Linear, SiLU, Linear."""

    def __init__(self, inputs: int, condition: int, hidden: int, outputs: int, activation=F.silu):
        super().__init__()
        self.first = nn.Linear(inputs + condition, hidden)
        self.last = nn.Linear(hidden, outputs)
        self.activation = activation

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return self.last(self.activation(self.first(torch.cat([x, c], 1))))  # (n, outputs)


class ResidualLayer(nn.Module):
    """h -> h + SiLU(Linear(LayerNorm h)), (n, width) -> (n, width)."""

    def __init__(self, width: int, activation=F.silu):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)
        self.activation = activation

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.activation(self.linear(self.norm(h)))


class PatchEncoder(nn.Module):
    """Encode an image as a 7 x 7 grid of 4 x 4 patches: two 3 x 3 convolutions, then dense.

    All convolutions run on the small grid, where a CPU is as fast at them as at dense products.
    """

    def __init__(self, condition: int, channels: int, width: int, outputs: int, activation=F.silu):
        super().__init__()
        self.first = nn.Conv2d(16, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.dense = nn.Linear(49 * channels, width)
        self.condition = nn.Linear(condition, width, bias=False)
        self.hidden = ResidualLayer(width, activation)
        self.last = nn.Linear(width, outputs)
        self.activation = activation

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        h = F.pixel_unshuffle(x.view(-1, 1, 28, 28), 4)  # (n, 16, 7, 7)
        h = self.activation(self.first(h.contiguous(memory_format=torch.channels_last)))
        h = h + self.activation(self.second(h))  # (n, channels, 7, 7)
        h = self.dense(h.permute(0, 2, 3, 1).flatten(1)) + self.condition(c)  # (n, width)
        return self.last(self.hidden(self.activation(h)))  # (n, outputs)


class PatchDecoder(nn.Module):
    """Decode to 28 x 28 logits: the mirror image of PatchEncoder, with one bias for each pixel."""

    def __init__(self, inputs: int, condition: int, channels: int, width: int, activation=F.silu):
        super().__init__()
        self.channels = channels
        self.first = nn.Linear(inputs + condition, width)
        self.hidden = ResidualLayer(width, activation)
        self.dense = nn.Linear(width, 49 * channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 16, 3, padding=1)
        self.bias = nn.Parameter(torch.zeros(784))
        self.activation = activation

    def forward(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        h = self.hidden(self.activation(self.first(torch.cat([z, c], 1))))  # (n, width)
        h = self.activation(self.dense(h)).view(-1, 7, 7, self.channels).permute(0, 3, 1, 2)
        h = h + self.activation(self.second(h))  # (n, channels, 7, 7), channels last in memory
        return F.pixel_shuffle(self.last(h), 4).flatten(1) + self.bias  # (n, 784)
