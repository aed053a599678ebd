"""Evaluate a digit model: bounds on its likelihood, quality of its samples."""

import math

import torch
from tqdm import tqdm

from common import cvae, distances
from common.digits import data as digit_data
from common.digits import model as digit_model
from common.digits.classifier import accuracy, predict, train_classifier
from common.runtime.seeding import step_seed

NLL_SAMPLES = 300  # of the refined q, for each digit


@torch.no_grad()
def elbo(model, images, labels, draws: int = 3, seed: int = 0, batch: int = 1000) -> dict:
    """Estimate -ELBO and its two terms on images (n, 28, 28) uint8, labels (n,).

    Each of the `draws` passes binarises anew and draws one z an image.  Nats per digit; the
    standard error is that over images.
    """
    torch.manual_seed(step_seed(seed, -1))
    device = next(model.parameters()).device
    total = []
    for _ in range(draws):
        for xs, ys in zip(images.split(batch), labels.split(batch), strict=True):
            x = digit_data.binarise(xs.to(device)).flatten(1)
            total.append(torch.stack(cvae.elbo_terms(model, x, ys.to(device))).cpu())
    terms = torch.cat(total, 1).view(2, draws, -1).mean(1)  # (2, n)
    loss = terms.sum(0)
    return {
        "negative_elbo_nats": loss.mean().item(),
        "standard_error_nats": standard_error(loss),
        "images": len(loss),
        "reconstruction_nats": terms[0].mean().item(),
        "kl_nats": terms[1].mean().item(),
    }


def both_elbos(model, data: digit_data.Digits, seed: int, images=None, draws: int = 3) -> dict:
    """Return {"test": ..., "train": ...}: `elbo` of the first `images` digits of each.

    None takes all test digits and 10,000 training digits.
    """
    most = images or 10_000
    return {
        "test": elbo(model, data.test_images[:images], data.test_labels[:images], draws, seed),
        "train": elbo(model, data.train_images[:most], data.train_labels[:most], draws, seed),
    }


def watch(model, data: digit_data.Digits, optimizer, every: int, state, seed: int) -> None:
    """After each `every` steps of `optimizer` note -ELBO (nats) in state.history["epochs"].

    A row is [held out, trained on]: 2,000 digits of each, in float32.
    """

    def note(optimizer, *_):
        if int(next(iter(optimizer.state.values()))["step"]) % every == 0:
            kept, model.bfloat16 = model.bfloat16, False
            bounds = both_elbos(model, data, seed, images=2000, draws=1)
            model.bfloat16 = kept
            row = [bound["negative_elbo_nats"] for bound in bounds.values()]
            state.history.setdefault("epochs", []).append(row)

    optimizer.register_step_post_hook(note)


def nll(model, images, labels, samples: int, seed: int = 0, batch: int = 250) -> dict:
    """Bound -log p(x|y) by `samples` importance samples of a q that is refined for each image.

    images (n, 28, 28) uint8, binarised once; nats per digit, standard errors over images.  The gap
    between -ELBO and the bound is split: amortisation, by which refining q lowers -ELBO;
    shape_of_q, from there to the bound; left, what the bound itself is still too high by, as
    estimated from halving the samples (it falls like 1 / samples).
    """
    device, found = next(model.parameters()).device, []
    for first in tqdm(range(0, len(images), batch), "NLL", unit="batch", dynamic_ncols=True):
        torch.manual_seed(step_seed(seed, first))
        x = digit_data.binarise(images[first : first + batch].to(device)).flatten(1)
        y = labels[first : first + batch].to(device)
        elbo = cvae.log_weights(model, x, y, 20).mean(0)
        log_w = cvae.log_weights(model, x, y, samples, cvae.refine_posterior(model, x, y))
        halves = [cvae.importance_weighted_nll(half) for half in log_w.tensor_split(2)]
        whole = cvae.importance_weighted_nll(log_w)
        found.append(torch.stack([-elbo, -log_w.mean(0), whole, sum(halves) / 2 - whole]).cpu())
    found = torch.cat(found, 1)
    elbo, own, bound, left = found.mean(1).tolist()
    return {
        "nll_nats": bound,
        "standard_error_nats": standard_error(found[2]),
        "first_1000_nats": found[2, :1000].mean().item(),
        "negative_elbo_nats": elbo,
        "negative_elbo_refined_nats": own,
        "gap_nats": {"amortisation": elbo - own, "shape_of_q": own - bound, "left": left},
        "samples": samples,
        "images": found.shape[1],
    }


def standard_error(values: torch.Tensor) -> float:
    """Return the standard error of the mean of values (n,); 0 for a single value."""
    return values.std().item() / math.sqrt(len(values)) if len(values) > 1 else 0.0


def sample_quality(model, classifier, data, seed: int = 0) -> dict:
    """Compare generated digits, one for each test label, with the test digits of `data`.

    agreement: share that `classifier` reads as the label asked for (of test digits:
    agreement_real); fd: Frechet distance of its features (Heusel et al. 2017, eq. 6; of as many
    training digits: fd_floor).
    """
    torch.manual_seed(step_seed(seed, -4))
    generated = digit_model.draw(model, data.test_labels)
    seen, features = predict(classifier, generated)
    seen_test, features_test = predict(classifier, data.test_images)
    some = torch.randperm(len(data.train_images))[: len(data.test_images)]
    _, features_train = predict(classifier, data.train_images[some])
    return {
        "agreement": (seen == data.test_labels).float().mean().item(),
        "agreement_real": (seen_test == data.test_labels).float().mean().item(),
        "fd": distances.frechet_distance(features, features_test),
        "fd_floor": distances.frechet_distance(features_train, features_test),
    }


def classification_accuracy_score(model, data, recipe: dict, seed: int = 0) -> dict:
    """Train a fresh classifier on generated digits, one for each training label; test on real ones.

    recipe: epochs and batch of the real digits' classifier.  (Ravuri & Vinyals 2019.)
    """
    torch.manual_seed(step_seed(seed, -6))
    device = next(model.parameters()).device
    synthetic = digit_model.draw(model, data.train_labels)
    student = train_classifier(synthetic, data.train_labels, **recipe, seed=seed + 1, device=device)
    cas = accuracy(student, data.test_images, data.test_labels)
    return {"cas": cas, "generated": len(synthetic)}


def nearest(queries: torch.Tensor, gallery: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (distance, index) of the nearest gallery image: (q, 28, 28), (n, 28, 28) in [0, 1].

    Euclidean over the 784 pixels, each in [0, 1].
    """
    queries, gallery = (digit_data.as_float(x).flatten(1) for x in (queries, gallery))
    best = [torch.cdist(part, gallery).min(1) for part in queries.split(500)]
    return torch.cat([b.values for b in best]), torch.cat([b.indices for b in best])


@torch.no_grad()
def reconstruct(model, images, labels) -> torch.Tensor:
    """Return E[x|z,y] at the posterior mean z of images uint8 (n, 28, 28) -> float32."""
    device = next(model.parameters()).device
    x, y = digit_data.as_float(images).flatten(1).to(device), labels.to(device)
    return model.decode(model.encode(x, y)[0], y).sigmoid().view(-1, 28, 28).cpu()


def memorisation(model, data: digit_data.Digits, count: int = 1000, seed: int = 0) -> dict:
    """Compare the distance to the nearest training digit: generated, reconstructed, real test ones.

    Generated and reconstructed digits are both smooth means: a model that had stored its training
    set would generate digits that lie much nearer.
    """
    torch.manual_seed(step_seed(seed, -5))
    images, labels = data.test_images[:count], data.test_labels[:count]
    sets = {"generated": digit_model.draw(model, labels), "test": images}
    sets["test_reconstructed"] = reconstruct(model, images, labels)
    found = {k: nearest(x, data.train_images)[0].median().item() for k, x in sets.items()}
    return found | {"images": len(images), "unit": "Euclidean, 784 pixels in [0, 1], median"}


def examples(model, data: digit_data.Digits, seed: int = 0) -> dict:
    """Return what the pictures show, {name: (..., 28, 28) in [0, 1]}.

    test, reconstructed: the first test digit of each class; sampled: ten of each class; new,
    nearest: two of each of them, and the training digits nearest to them.
    """
    torch.manual_seed(seed)
    labels = torch.arange(digit_model.CLASSES)
    first = torch.stack([(data.test_labels == c).nonzero()[0, 0] for c in labels])
    real = data.test_images[first]
    sampled = digit_model.draw(model, labels.repeat_interleave(10)).view(10, 10, 28, 28)
    new = sampled[:, :2].transpose(0, 1).flatten(0, 1)
    found = data.train_images[nearest(new, data.train_images)[1]]
    rebuilt = reconstruct(model, real, data.test_labels[first])
    pictures = {"test": digit_data.as_float(real), "reconstructed": rebuilt, "sampled": sampled}
    return pictures | {"new": new, "nearest": digit_data.as_float(found)}


def measure(model, data: digit_data.Digits, classifier, recipe: dict, settings) -> dict:
    """Return every number of exercise 1(b): likelihood, latents, samples, memorisation.

    classifier, recipe: what `classifier.for_digits` returned.  settings: has seed and
    nll_digits.
    """
    seed, test = settings.seed, (data.test_images, data.test_labels)
    bounds, some = both_elbos(model, data, seed), [t[: settings.nll_digits] for t in test]
    print(f"test -ELBO {bounds['test']['negative_elbo_nats']:.2f} nats", flush=True)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        **bounds,
        "sample_quality": sample_quality(model, classifier, data, seed)
        | classification_accuracy_score(model, data, recipe, seed),
        "nearest_training_digit": memorisation(model, data, seed=seed),
        "test_nll": nll(model, *some, NLL_SAMPLES, seed),
    }
