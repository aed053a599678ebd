"""Evaluate a digit model: bounds on its likelihood, quality of its samples, one hand."""

import math

import torch
from tqdm import tqdm

from common import distances
from common.bounds import importance_bound, log_weights, refine
from common.cvae import elbo_terms
from common.digits.classifier import accuracy, read, train_classifier
from common.digits.data import as_float, binarise
from common.digits.model import CLASSES, draw

NLL_DIGITS = 500  # test digits whose q is refined, see `nll`


def measure(model, data, classifier, recipe: dict, seed: int = 0) -> dict:
    """Return every number of exercise 1(b): likelihood, samples, one hand, nearest digits.

    data: see data.load.  classifier, recipe: what `classifier.classifier_for` returned; recipe
    None leaves CAS out, which takes minutes.
    """
    numbers = {"parameters": sum(p.numel() for p in model.parameters())}
    numbers["test"] = elbo(model, *data.test, seed=seed)
    numbers["train"] = elbo(model, *(part[:10_000] for part in data.train), seed=seed)
    numbers["samples"] = sample_quality(model, classifier, data, seed)
    numbers["one_hand"] = one_hand(model, classifier, seed=seed)
    if recipe:
        numbers["cas"] = classification_accuracy_score(model, data, recipe, seed)
    numbers["nearest"] = nearest_training_digit(model, data, seed=seed)
    known = numbers["test"]["negative_elbo"]
    numbers["nll"] = nll(model, *data.test, known, NLL_DIGITS, seed=seed)
    return numbers


@torch.no_grad()
def elbo(model, images, labels, draws: int = 3, seed: int = 0, batch: int = 1000) -> dict:
    """Estimate -ELBO and its two terms on images (n, 28, 28) uint8, labels (n,): nats per digit.

    Each of the `draws` passes binarises anew and draws one z an image; the standard error is that
    over images.
    """
    torch.manual_seed(seed)
    device = next(model.parameters()).device
    passes = []
    for _ in range(draws):
        parts = []
        for xs, ys in zip(images.split(batch), labels.split(batch), strict=True):
            x = binarise(xs.to(device)).flatten(1)
            log_likelihood, kl = elbo_terms(model, x, ys.to(device))
            parts.append(torch.stack([-log_likelihood, kl]).cpu())
        passes.append(torch.cat(parts, 1))
    terms = torch.stack(passes).mean(0)  # (2, n)
    loss = terms.sum(0)
    return {
        "negative_elbo": loss.mean().item(),
        "standard_error": standard_error(loss),
        "reconstruction": terms[0].mean().item(),
        "kl": terms[1].mean().item(),
        "digits": len(loss),
    }


def nll(model, images, labels, negative_elbo: float, some=500, samples=300, seed=0) -> dict:
    """Bound -log p(x|y) of images (n, 28, 28) uint8, labels (n,), whose -ELBO is known: nats.

    The bound of 20 importance samples of q is measured on all of them; what `samples` of a q
    refined for each image gain on it, on the first `some`, is subtracted.  (Unlike -ELBO the
    former is not spoiled by the rare z ~ q at which the prior's density almost vanishes.)
    The gap between -ELBO and the bound is split: amortisation, by which refining q lowers -ELBO;
    shape_of_q, the rest.  left estimates what the bound is still too high by, from halving the
    samples: it falls like 1 / samples.
    """
    torch.manual_seed(seed)
    device = next(model.parameters()).device
    coarse, columns = [], []
    for first in tqdm(range(0, len(images), 250), desc="NLL", leave=False):
        x = binarise(images[first : first + 250].to(device)).flatten(1)
        y = labels[first : first + 250].to(device)
        coarse.append(importance_bound(log_weights(model, x, y, 20)).cpu())
        if first >= some:
            continue
        log_w = log_weights(model, x, y, samples, refine(model, x, y))
        bound = importance_bound(log_w)
        halves = torch.stack([importance_bound(half) for half in log_w.tensor_split(2)]).mean(0)
        columns.append(torch.stack([-log_w.mean(0), bound, halves]).cpu())
    refined, bound, halves = torch.cat(columns, 1)
    coarse = torch.cat(coarse)
    gain = coarse[: len(bound)] - bound
    found = (coarse.mean() - gain.mean()).item()
    shape_of_q = (refined - bound).mean().item()
    return {
        "nll": found,
        "standard_error_of_gain": standard_error(gain),
        "amortisation": negative_elbo - found - shape_of_q,
        "shape_of_q": shape_of_q,
        "left": (halves - bound).mean().item(),
        "samples": samples,
        "digits": len(bound),
    }


def standard_error(values: torch.Tensor) -> float:
    """Return the standard error of the mean of values (n,); 0 for a single value."""
    return values.std().item() / math.sqrt(len(values)) if len(values) > 1 else 0.0


def sample_quality(model, classifier, data, seed: int = 0) -> dict:
    """Compare generated digits, one for each test label, with the test digits of `data`.

    agreement: share that `classifier` reads as the label asked for (of test digits:
    agreement_real).  fd: Frechet distance of its features (Heusel et al. 2017, eq. 6); fd_floor:
    the same for as many training digits instead of generated ones.
    """
    torch.manual_seed(seed + 1)
    images, labels = data.test
    digits, features = read(classifier, draw(model, labels))
    digits_test, features_test = read(classifier, images)
    some = torch.randperm(len(data.train[0]))[: len(images)]
    _, features_train = read(classifier, data.train[0][some])
    return {
        "agreement": (digits == labels).float().mean().item(),
        "agreement_real": (digits_test == labels).float().mean().item(),
        "fd": distances.frechet_distance(features, features_test),
        "fd_floor": distances.frechet_distance(features_train, features_test),
    }


def classification_accuracy_score(model, data, recipe: dict, seed: int = 0) -> float:
    """Train a classifier on generated digits, one for each training label; test it on real ones.

    recipe: epochs and batch of the real digits' classifier.  (Ravuri & Vinyals 2019.)
    """
    torch.manual_seed(seed + 2)
    labels = data.train[1]
    device = next(model.parameters()).device
    student = train_classifier(draw(model, labels), labels, **recipe, seed=seed, device=device)
    return accuracy(student, *data.test)


@torch.no_grad()
def one_hand(model, classifier, hands: int = 1000, seed: int = 0) -> dict:
    """Measure what ten digits with one u share: read as asked, correlation of ink and of slant.

    For each of `hands` u all ten labels are drawn.  A correlation is taken over u between two
    labels, and averaged over the 45 pairs; 0 means that u carries none of it from label to label.
    """
    torch.manual_seed(seed + 3)
    device = next(model.parameters()).device
    u = model.prior.sample_u(hands)
    columns, agreement = [], []
    for label in range(CLASSES):
        y = torch.full((hands,), label, device=device)
        images = model.draw(y, u).cpu().view(-1, 28, 28)
        agreement.append(accuracy(classifier, images, y.cpu()))
        columns.append(torch.stack([images.sum((1, 2)), slant(images)]))
    measures = torch.stack(columns, 1)  # (2, labels, hands)
    pairs = torch.triu_indices(CLASSES, CLASSES, 1)
    ink, slants = (torch.corrcoef(m)[pairs[0], pairs[1]].mean().item() for m in measures)
    return {"agreement": sum(agreement) / CLASSES, "ink": ink, "slant": slants, "hands": hands}


def slant(images: torch.Tensor) -> torch.Tensor:
    """Return how far strokes lean, the covariance of x and y by the variance of y: (n, 28, 28)."""
    weight = images / images.sum((1, 2), keepdim=True)
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    dy = rows - (weight * rows).sum((1, 2), keepdim=True)
    dx = columns - (weight * columns).sum((1, 2), keepdim=True)
    return (weight * dx * dy).sum((1, 2)) / (weight * dy * dy).sum((1, 2))


def nearest(queries: torch.Tensor, gallery: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (distance, index) of the nearest gallery image: (q, 28, 28), (n, 28, 28) in [0, 1].

    Euclidean over the 784 pixels, each in [0, 1].
    """
    queries = as_float(queries).flatten(1)
    gallery = as_float(gallery).flatten(1)
    best = [torch.cdist(part, gallery).min(1) for part in queries.split(500)]
    return torch.cat([b.values for b in best]), torch.cat([b.indices for b in best])


@torch.no_grad()
def reconstruct(model, images, labels) -> torch.Tensor:
    """Return E[x|z,y] at the posterior's mean z: (n, 28, 28) uint8, (n,) -> (n, 28, 28) float32."""
    device = next(model.parameters()).device
    y = labels.to(device)
    q = model.posterior(as_float(images).flatten(1).to(device), y)
    return model.likelihood(q.mean, y).mean.view(-1, 28, 28).cpu()


def nearest_training_digit(model, data, count: int = 1000, seed: int = 0) -> dict:
    """Return median distances to the nearest training digit, Euclidean: is the set only copied?

    Generated and reconstructed test digits are both smooth means; a model that had stored its
    training set would generate digits that lie much nearer to it than reconstructions do.
    """
    torch.manual_seed(seed + 4)
    images, labels = (part[:count] for part in data.test)
    sets = {"generated": draw(model, labels), "test": images}
    sets["test_reconstructed"] = reconstruct(model, images, labels)
    return {name: nearest(x, data.train[0])[0].median().item() for name, x in sets.items()}


def examples(model, data, seed: int = 0) -> dict:
    """Return what the pictures show, {name: (rows, columns, 28, 28) in [0, 1]}.

    samples: twenty of each class, a row each; one_hand: a row for each of ten u; reconstructions:
    two test digits of each class, each above its reconstruction.
    """
    torch.manual_seed(seed)
    device = next(model.parameters()).device
    every = torch.arange(CLASSES)
    samples = draw(model, every.repeat_interleave(20)).view(10, 20, 28, 28)
    u = model.prior.sample_u(10).repeat_interleave(CLASSES, 0)
    hands = model.draw(every.repeat(10).to(device), u).cpu().view(10, 10, 28, 28)
    images, labels = data.test
    chosen = torch.cat([(labels == c).nonzero()[:2, 0] for c in every])
    pairs = [as_float(images[chosen]), reconstruct(model, images[chosen], labels[chosen])]
    return {"samples": samples, "one_hand": hands, "reconstructions": torch.stack(pairs)}
