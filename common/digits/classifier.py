"""The classifier of exercise 1, a small CNN that reads digits: it measures generated ones.

python -m common.digits.classifier      trains it on MNIST -> out/judge.pt; 4 minutes
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from common.digits.data import as_float, load, shift
from common.training import SHIPPED, checkpoint, pick_device, run, save
from common.training import load as load_checkpoint

FEATURES = 128


class Classifier(nn.Module):
    """Two strided convolutions, one hidden layer of 128 features, ten logits."""

    def __init__(self, channels: int = 32):
        super().__init__()
        self.first = nn.Conv2d(1, channels, 5, stride=2, padding=2)
        self.second = nn.Conv2d(channels, 2 * channels, 5, stride=2, padding=2)
        self.hidden = nn.Linear(2 * channels * 49, FEATURES)
        self.logits = nn.Linear(FEATURES, 10)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (n, 28, 28) in [0, 1] to features (n, 128) before the last activation."""
        h = F.relu(self.first(images[:, None]))  # (n, c, 14, 14)
        h = F.relu(self.second(h))  # (n, 2c, 7, 7)
        return self.hidden(h.flatten(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (n, 28, 28) in [0, 1] to logits (n, 10)."""
        return self.logits(F.relu(self.features(images)))

    @torch.no_grad()
    def probe(self) -> torch.Tensor:
        """Return the logits of one fixed image."""
        device = next(self.parameters()).device
        return self(torch.linspace(0, 1, 784, device=device).view(1, 28, 28)).flatten()


def train_classifier(images, labels, epochs=10, batch=256, seed=0, device="cpu") -> Classifier:
    """Train a fresh classifier on images (n, 28, 28), uint8 or in [0, 1], with labels (n,).

    Images are moved by up to 2 pixels.  The same recipe serves the classifier itself (real
    digits) and the classification accuracy score (generated digits).
    """
    torch.manual_seed(seed)
    classifier = Classifier().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=1e-2)
    batch = min(batch, len(images))
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, max(2, steps), pct_start=0.2)
    progress = tqdm(total=steps, desc="classifier", leave=False)
    for _ in range(epochs):
        for index in torch.randperm(len(images)).split(batch)[: len(images) // batch]:
            x = shift(as_float(images[index]), most=2).to(device)
            loss = F.cross_entropy(classifier(x), labels[index].to(device))  # nats per digit
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.update()
    progress.close()
    return classifier.eval()


@torch.no_grad()
def read(classifier: Classifier, images: torch.Tensor, batch: int = 1000):
    """Return the digits read (n,) int64 and the features (n, 128) for images (n, 28, 28)."""
    device = next(classifier.parameters()).device
    digits, features = [], []
    for part in images.split(batch):
        feature = classifier.features(as_float(part).to(device))
        features.append(feature.cpu())
        digits.append(classifier.logits(F.relu(feature)).argmax(1).cpu())
    return torch.cat(digits), torch.cat(features)


def accuracy(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images (n, 28, 28) that the classifier reads as their labels (n,)."""
    return (read(classifier, images)[0] == labels).float().mean().item()


def shipped_classifier(device="cpu") -> Classifier:
    """Return the classifier of real MNIST in checkpoints/judge.pt."""
    return load_checkpoint(SHIPPED / "judge.pt", "judge", lambda _: Classifier(), device)[0]


def classifier_for(train, source: str, device="cpu"):
    """Return (classifier, recipe) for digits like `train`: the shipped one for MNIST, or a new one.

    recipe: the epochs and the batch with which it was trained, for others to be trained alike.
    """
    if source.startswith("MNIST"):
        return shipped_classifier(device), {"epochs": 10, "batch": 256}
    recipe = {"epochs": max(10, 150_000 // len(train[0])), "batch": 64}  # few digits: more passes
    return train_classifier(*train, **recipe, device=device), recipe


@dataclass
class Settings:
    epochs: int = 10  # passes over the training digits
    seed: int = 0
    device: str = "auto"  # cpu, cuda, ...
    data_dir: str = ""  # folder with MNIST/raw; default: $MNIST_ROOT, or data/
    out_dir: Path = Path("out")


def main(settings) -> dict:
    """Train the classifier, save it, return its accuracy on training and test digits."""
    device = pick_device(settings.device)
    data = load(settings.data_dir)
    recipe = {"epochs": settings.epochs, "seed": settings.seed}
    classifier = train_classifier(*data.train, **recipe, device=device)
    about = {"settings": {k: str(v) for k, v in asdict(settings).items()} | recipe}
    path = settings.out_dir / "judge.pt"
    save(path, checkpoint(classifier, "judge", source=data.source, **about))
    numbers = {
        "accuracy_test": accuracy(classifier, *data.test),
        "accuracy_train": accuracy(classifier, *data.train),
    }
    print(path, numbers)
    return numbers


if __name__ == "__main__":
    run(main, Settings)
