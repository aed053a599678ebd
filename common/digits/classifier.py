"""The classifier of exercise 1, a small CNN that reads digits: it measures generated ones.

python -m common.digits.classifier    trains it on real MNIST -> checkpoints/judge.pt
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from common import training
from common.digits import data as digit_data
from common.runtime import checkpoints, files, script
from common.runtime.device import autocast
from common.runtime.options import Common, option, parse

FEATURES = 128
MADE_BY = "python -m common.digits.classifier"


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


def train_classifier(images, labels, *, epochs, batch=256, seed=0, device="cpu") -> Classifier:
    """Train a fresh classifier on images (n, 28, 28), uint8 or in [0, 1], with labels (n,).

    Images are shifted by up to 2 pixels.  The same recipe serves the classifier itself (real
    digits) and the classification accuracy score (generated digits).
    """
    torch.manual_seed(seed)
    device, batch = torch.device(device), min(batch, len(images))
    classifier = Classifier().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=1e-2)

    def loss_terms(step):
        index = training.batch_indices(len(images), batch, step, seed)
        x = digit_data.shift(digit_data.as_float(images[index]), most=2)
        with autocast(device):
            logits = classifier(x.to(device))
        return {"loss": F.cross_entropy(logits.float(), labels[index].to(device))}  # nats per digit

    def rate(step, steps):
        return training.warmup_cosine(step, steps, warmup=0.2)

    steps = epochs * (len(images) // batch)
    training.train(classifier, loss_terms, optimizer, steps=steps, seed=seed, rate=rate)
    return classifier.eval()


@torch.no_grad()
def predict(classifier: Classifier, images: torch.Tensor, batch: int = 1000):
    """Return the digits read (n,) int64 and the features (n, 128) for images (n, 28, 28)."""
    device = next(classifier.parameters()).device
    digits, features = [], []
    for part in images.split(batch):
        feature = classifier.features(digit_data.as_float(part).to(device))
        features.append(feature.cpu())
        digits.append(classifier.logits(F.relu(feature)).argmax(1).cpu())
    return torch.cat(digits), torch.cat(features)


def accuracy(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images (n, 28, 28) that the classifier reads as their labels (n,)."""
    return (predict(classifier, images)[0] == labels).float().mean().item()


def load(out_dir: str = ".", device="cpu") -> tuple[Classifier, dict]:
    """Return (classifier, checkpoint): the one below `out_dir`, else the shipped one.

    Raises InputError when it is missing, damaged or foreign.
    """
    path = files.find("checkpoints/judge.pt", out_dir)
    content = checkpoints.load(path, "judge", MADE_BY, {"settings": dict, "source": str})
    epochs = content["settings"].get("epochs")
    if type(epochs) is not int or not 1 <= epochs <= 10**6:
        raise checkpoints.damaged(path, "no number of epochs", MADE_BY)
    classifier = Classifier()
    checkpoints.restore(classifier, content, path, MADE_BY)
    return classifier.to(device).eval(), content


def for_digits(data: digit_data.Digits, settings, device) -> tuple[Classifier, dict]:
    """Return (classifier, recipe) for these digits; train one if that on disk is of others.

    recipe: {"epochs", "batch"} with which it is made.  Raises InputError for a damaged file.
    """
    classifier, content = load(settings.out_dir, device)
    if data.source == content["source"] or data.source.startswith(f"{content['source']}, first "):
        epochs = 1 if settings.smoke else content["settings"]["epochs"]
        return classifier, {"epochs": epochs, "batch": 256}
    # few digits: as many steps as ten epochs of MNIST would be too many; 100 epochs of 1,500 do
    recipe = {"epochs": 1 if settings.smoke else 100, "batch": 64}
    train = data.train_images, data.train_labels
    return train_classifier(*train, **recipe, seed=settings.seed, device=device), recipe


@dataclass(frozen=True)
class Settings(Common):
    """How the classifier is trained."""

    epochs: int = option(10, "passes over the training set", minimum=1, smoke=1)
    force: bool = option(False, "overwrite a classifier of other settings", trains=False)


def main(argv=None) -> dict:
    """Train the classifier on real digits; write its checkpoint; return its accuracy."""
    settings = parse(Settings, __doc__, argv)
    device = script.start(settings)
    data = digit_data.load(settings.data_dir, limit=1500 if settings.smoke else None)
    path = Path(settings.out_dir) / "checkpoints/judge.pt"
    key = {"epochs": settings.epochs, "seed": settings.seed}
    checkpoints.unclaimed(path, key | {"source": data.source}, settings.force)
    train = data.train_images, data.train_labels
    classifier = train_classifier(*train, **key, device=device)
    content = {"exercise": "judge", "weights": classifier.state_dict(), "source": data.source}
    checkpoints.save(path, content | {"settings": key})
    test = accuracy(classifier, data.test_images, data.test_labels)
    metrics = {"accuracy_test": test, "accuracy_train": accuracy(classifier, *train)}
    print(f"{path}: {metrics}")
    return metrics


if __name__ == "__main__":
    script.run(main)
