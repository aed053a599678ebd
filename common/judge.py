"""The digit judge: a small CNN that reads digits, and three numbers for generated ones.

    agreement  share of generated digits that the judge reads as the label asked for
    FD         Frechet distance between the judge's features of generated and of real digits
               (Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, eq. 6)
    CAS        accuracy on real test digits of the same CNN trained only on generated digits
               (Ravuri & Vinyals 2019, Classification Accuracy Score)

`python -m common.judge` trains the judge on real MNIST and writes checkpoints/judge.pt.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from common import artifacts, mnist, runtime, training
from common.settings import Common, option, parse

FEATURES = 128
MADE_BY = "python -m common.judge"


class Judge(nn.Module):
    """Two strided convolutions, one hidden layer of 128 features, ten logits."""

    def __init__(self, channels: int = 32):
        super().__init__()
        self.first = nn.Conv2d(1, channels, 5, stride=2, padding=2)
        self.second = nn.Conv2d(channels, 2 * channels, 5, stride=2, padding=2)
        self.hidden = nn.Linear(2 * channels * 49, FEATURES)
        self.logits = nn.Linear(FEATURES, 10)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (n, 28, 28) in [0, 1] to features (n, 128) before the last activation."""
        h = F.gelu(self.first(images[:, None]))  # (n, c, 14, 14)
        h = F.gelu(self.second(h))  # (n, 2c, 7, 7)
        return self.hidden(F.dropout(h.flatten(1), 0.3, self.training))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (n, 28, 28) in [0, 1] to logits (n, 10)."""
        return self.logits(F.dropout(F.gelu(self.features(images)), 0.3, self.training))


def train_judge(images, labels, *, epochs, batch=256, seed=0, device="cpu") -> Judge:
    """Train a fresh judge on images (n, 28, 28), uint8 or in [0, 1], with labels (n,).

    Images are shifted by up to 2 pixels.  The same recipe serves the judge itself (real digits)
    and the CAS (generated digits).
    """
    torch.manual_seed(seed)
    device, batch = torch.device(device), min(batch, len(images))
    judge = Judge().to(device, memory_format=torch.channels_last)

    def loss_terms(step):
        index = training.batch_indices(len(images), batch, step, seed)
        x, target = mnist.shift(as_float(images[index]), most=2), labels[index].to(device)
        with runtime.autocast(device):
            logits = judge(x.to(device))
        return {"loss": F.cross_entropy(logits.float(), target)}  # nats per digit

    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * (len(images) // batch)
    rate = functools.partial(training.one_cycle, warmup=0.2)
    training.train(judge, loss_terms, optimizer, steps=steps, seed=seed, rate=rate)
    return judge.eval()


def as_float(images: torch.Tensor) -> torch.Tensor:
    """Return images as float32 in [0, 1]; uint8 is divided by 255."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


@torch.no_grad()
def read(judge: Judge, images: torch.Tensor, batch: int = 1000):
    """Return the digits read (n,) int64 and the features (n, 128) for images (n, 28, 28)."""
    device = next(judge.parameters()).device
    digits, features = [], []
    for part in images.split(batch):
        feature = judge.features(as_float(part).to(device))
        features.append(feature.cpu())
        digits.append(judge.logits(F.gelu(feature)).argmax(1).cpu())
    return torch.cat(digits), torch.cat(features)


def accuracy(judge: Judge, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images (n, 28, 28) that the judge reads as their labels (n,)."""
    return (read(judge, images)[0] == labels).float().mean().item()


def frechet_distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of two feature sets (n, d).

    In the features' own units, squared; 0 for equal Gaussians; wants n well above d.
    """
    a, b = a.double(), b.double()
    c_a, c_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(c_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # C_a^(1/2)
    # tr (C_a C_b)^(1/2) = sum of the roots of the eigenvalues of the symmetric C_a^½ C_b C_a^½
    cross = torch.linalg.eigvalsh(root @ c_b @ root).clamp(min=0).sqrt().sum()
    gap = (a.mean(0) - b.mean(0)).square().sum()
    return (gap + c_a.trace() + c_b.trace() - 2 * cross).clamp(min=0).item()


def load(out_dir: str = ".", device="cpu") -> tuple[Judge, dict]:
    """Return (judge, checkpoint): the one below `out_dir`, else the shipped one.

    Raises InputError when it is missing, damaged or foreign.
    """
    path = artifacts.find("checkpoints/judge.pt", out_dir)
    needs = {"settings": dict, "source": str}
    content = artifacts.load_checkpoint(path, "judge", MADE_BY, needs)
    epochs = content["settings"].get("epochs")
    if type(epochs) is not int or not 1 <= epochs <= 10**6:
        raise artifacts.damaged(path, "no number of epochs", MADE_BY)
    judge = Judge()
    artifacts.restore(judge, content, path, MADE_BY)
    return judge.to(device).eval(), content


@dataclass(frozen=True)
class Settings(Common):
    """How the judge is trained."""

    epochs: int = option(10, "passes over the training set", minimum=1, smoke=1)


def main(argv=None) -> dict:
    """Train the judge on real digits; write its checkpoint; return its accuracy."""
    settings = parse(Settings, __doc__, argv)
    device = runtime.start(settings)
    digits = mnist.load(settings.data_dir, limit=1500 if settings.smoke else None)
    judge = train_judge(
        digits.train_images,
        digits.train_labels,
        epochs=settings.epochs,
        seed=settings.seed,
        device=device,
    )
    metrics = {
        "accuracy_test": accuracy(judge, digits.test_images, digits.test_labels),
        "accuracy_train": accuracy(judge, digits.train_images, digits.train_labels),
    }
    content = dict(
        exercise="judge",
        weights=judge.state_dict(),
        metrics=metrics,
        settings=dict(epochs=settings.epochs, seed=settings.seed),
        source=digits.source,
    )
    path = artifacts.save_checkpoint(Path(settings.out_dir) / "checkpoints/judge.pt", content)
    print(f"{path}: {metrics}")
    return metrics


if __name__ == "__main__":
    runtime.run(main)
