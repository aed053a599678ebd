"""Measure a trained digit model and draw its pictures: what ex_1b.py writes besides weights."""

from dataclasses import asdict
from pathlib import Path

import torch

from common import artifacts, digit_metrics, digits, judge, mnist, plots, processes


def measure(model, data: mnist.Digits, critic, recipe, settings, history) -> dict:
    """Return every number of exercise 1(b): likelihood, latents, judge, memorisation.

    critic, recipe: what `judge_of` returned.  history: what the training returned.
    Of torchrun's processes the leader alone measures, but all share the NLL.
    """
    found = measured(model, data, critic, recipe, settings, history) if processes.leads() else {}
    test = (data.test_images, data.test_labels)
    nll = digit_metrics.nll(model, *test, settings.nll_samples, settings.seed, settings.nll_every)
    return found | {"test_nll": nll}


def measured(model, data: mnist.Digits, critic, recipe, settings, history) -> dict:
    """Return every number but the NLL: see `measure`."""
    seed, train = settings.seed, (data.train_images[:10_000], data.train_labels[:10_000])
    test = (data.test_images, data.test_labels)
    bound = digit_metrics.elbo(model, *test, seed=seed)
    error = bound["standard_error_nats"]
    print(f"test -ELBO {bound['negative_elbo_nats']:.2f} +- {error:.2f} nats", flush=True)
    return {
        "source": data.source,
        "settings": asdict(settings),
        "hardware": history["hardware"],  # of the training
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_seconds": history["seconds"],
        "test": bound | digit_metrics.latent_use(model, *test, seed=seed),
        "train": digit_metrics.elbo(model, *train, seed=seed),
        "judge": digit_metrics.judged(model, critic, data, seed)
        | digit_metrics.classification_accuracy_score(model, critic, data, recipe, seed),
        "nearest_training_digit": digit_metrics.memorisation(model, data, seed=seed),
    }


def judge_of(data: mnist.Digits, settings, device):
    """Return (judge, recipe) for these digits; train a judge if the one on disk read others.

    recipe: {"epochs", "batch"} with which a judge is made.  Raises InputError for a bad file.
    """
    critic, content = judge.load(settings.out_dir, device)
    recipe = {"epochs": content["settings"]["epochs"], "batch": 256}
    if data.source.startswith(content["source"]):
        return critic, recipe | ({"epochs": 1} if settings.smoke else {})
    # few digits: as many steps as ten epochs of MNIST would be too many; 100 epochs of 1,500 do
    recipe = {"epochs": 1 if settings.smoke else 100, "batch": 64}
    images, labels = data.train_images, data.train_labels
    return judge.train_judge(images, labels, **recipe, seed=settings.seed, device=device), recipe


def write(model, data: mnist.Digits, settings, metrics: dict, history: dict) -> dict:
    """Write figures/ex_1b*.png and figures/ex_1b.json; return the metrics with the file's hash."""
    folder = Path(settings.out_dir) / "figures"
    checkpoint = Path(settings.out_dir) / digits.NAME
    metrics = metrics | {"checkpoint_sha256": artifacts.sha256(checkpoint)}
    metrics["history_nats"] = {k: v for k, v in history.items() if isinstance(v, list)}
    for name, figure in figures(model, data, settings, metrics, history).items():
        print(artifacts.save_figure(folder / f"{name}.png", figure))
    print(artifacts.save_json(folder / "ex_1b.json", metrics))
    test, read, bound = metrics["test"], metrics["judge"], metrics["test_nll"]["nll_nats"]
    print(
        f"-ELBO {test['negative_elbo_nats']:.2f} nats, NLL {bound:.2f}, agreement "
        f"{read['agreement']:.2%}, FD {read['fd']:.1f} (floor {read['fd_floor']:.1f}), "
        f"CAS {read['cas']:.2%} (real {read['cas_real']:.2%}); {data.source}"
    )
    return metrics


def figures(model, data, settings, metrics, history) -> dict:
    """Return the four figures of exercise 1(b) by file name."""
    torch.manual_seed(settings.seed)
    source = f"training data: {data.source}"
    each = torch.stack([(data.test_labels == c).nonzero()[0, 0] for c in range(digits.CLASSES)])
    real = data.test_images[each]
    rebuilt = digit_metrics.reconstruct(model, real, data.test_labels[each])
    labels = torch.arange(digits.CLASSES)
    sampled = digits.draw(model, labels.repeat_interleave(10)).view(10, 10, 28, 28)
    twenty = digits.draw(model, labels.repeat(2))
    _, index = digit_metrics.nearest(twenty, data.train_images)
    neighbours = judge.as_float(data.train_images[index])
    near = metrics["nearest_training_digit"]
    title = (
        "generated digits and, below each, the nearest training digit\n"
        f"median distance: generated {near['generated']:.2f}, "
        f"reconstructed test digits {near['test_reconstructed']:.2f}, "
        f"test digits {near['test']:.2f}\n{source}"
    )
    pairs = torch.stack([twenty[:10], neighbours[:10], twenty[10:], neighbours[10:]])
    return {
        "ex_1b": plots.learning_curves(history, metrics["test"], f"CVAE, {source}"),
        "ex_1b_reconstructions": plots.sheet(
            torch.stack([judge.as_float(real), rebuilt]),
            f"test digits and their reconstructions; {source}",
            ["test", "E[x|z,y]"],
        ),
        "ex_1b_samples": plots.sheet(
            sampled, f"generated: a row for each label y; {source}", [f"y = {c}" for c in labels]
        ),
        "ex_1b_nearest": plots.sheet(pairs, title, ["generated", "nearest"] * 2),
    }


def examples(images, labels, settings) -> tuple:
    """Return the labelled sheet of images (n, 28, 28) and what the judge reads in them."""
    critic, _ = judge.load(settings.out_dir)
    _, content = digits.load(settings.out_dir)
    metrics = {
        "labels": labels,
        "read_by_judge": judge.read(critic, torch.tensor(images))[0].tolist(),
        "source": content["source"],
        "seed": settings.seed,
        "checkpoint_sha256": artifacts.sha256(artifacts.find(digits.NAME, settings.out_dir)),
    }
    title = f"Generated digits; training data: {content['source']}"
    return plots.labelled(images, labels, title), metrics
