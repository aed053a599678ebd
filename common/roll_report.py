"""Sample, measure and draw for exercise 3(b): everything of ex_3b.py but the protocol itself."""

import itertools
from pathlib import Path

import torch

from common import artifacts, ebm, roll_metrics, roll_plots, roll_samplers, swiss_roll

METHODS = ("cd", "jump", "short", "nce")


def models(settings) -> dict:
    """Return {row: {eps: gradient of log p}}: the oracle, and every checkpoint of ex_3a.py."""
    path = artifacts.find("checkpoints/ex_3a_cd.pt", settings.out_dir)
    noise = ebm.load_with_content(path)[1]["noise"]
    rows = {}
    if noise:
        rows["oracle"] = {eps: lambda x: swiss_roll.score(x, noise) for eps in settings.eps}
    for method in METHODS:
        for eps in settings.eps:
            name = f"checkpoints/ex_3a_{method}{f'_{eps:g}' if method == 'short' else ''}.pt"
            path = artifacts.find(name, settings.out_dir)
            if path.is_file():
                rows.setdefault(method, {})[eps] = ebm.load(path).score
    return rows


def run(settings, protocol) -> dict:
    """Sample every model by `protocol` (see ex_3b.py), measure, draw; return the numbers."""
    rows = models(settings)
    content = ebm.load_with_content(artifacts.find("checkpoints/ex_3a_cd.pt", settings.out_dir))[1]
    noise = content["noise"] or swiss_roll.NOISE
    sets = true_sets(settings, noise)
    floor = [roll_metrics.measure(a, b) for a, b in itertools.combinations(sets, 2)]
    table = {"floor": roll_metrics.summary(floor)}
    shown, captions, curves = {}, {}, {}
    for name, gradients in rows.items():
        for eps, gradient in gradients.items():
            path, first = [], []
            note = path_recorder(path, sets[0], settings.steps)
            found = scored(protocol, gradient, eps, settings, sets, note, first)
            shown[name, f"ε = {eps:g}"] = roll_metrics.alive(first[0])[:2000].numpy()
            row = table[f"{name}, eps {eps:g}"] = roll_metrics.summary(found)
            captions[name, f"ε = {eps:g}"] = (
                f"SW2 {row['sw2']['mean']:.2f}, diverged {row['diverged']['mean']:.1%}"
            )
            curves.setdefault(eps, {})[name] = path
            print(f"{name:8s} eps {eps:<6g} {captions[name, f'ε = {eps:g}']}", flush=True)
    better = better_samplers(settings, noise, sets)
    return write(settings, content, table | better[0], (shown, captions, curves, better[1]), rows)


def true_sets(settings, noise) -> list:
    """Return two sets of true points (chains, 2) a sampling seed: one stands for a model."""
    return [
        swiss_roll.sample(settings.chains, noise, 1000 + k) for k in range(2 * settings.repeats)
    ]


def scored(protocol, gradient, eps, settings, sets, record=None, first=None) -> list[dict]:
    """Sample by `protocol` with every sampling seed; return the distances of each from the truth.

    record: of the first seed's steps, see `langevin`; first: a list that gets its points.
    """
    found = []
    for seed in range(settings.repeats):
        x = protocol(gradient, eps, settings, seed, record if seed == 0 else None)
        found.append(roll_metrics.measure(x, sets[2 * seed]))
        if seed == 0 and first is not None:
            first.append(x)
    return found


def path_recorder(path, truth, steps):
    """Return a `record` for `langevin` that notes (step, distances) on a logarithmic scale."""
    wanted = {round(steps ** (k / 24)) for k in range(25)}

    def record(step, x):
        if step in wanted and len(roll_metrics.alive(x)) > 1:
            path.append((step, roll_metrics.measure(x, truth)))

    return record


def over_steps(path) -> dict:
    """Return {"step": [...], distance: [...]} of what `path_recorder` noted."""
    return {"step": [step for step, _ in path]} | {
        key: [found[key] for _, found in path] for key in roll_plots.DISTANCES
    }


def better_samplers(settings, noise, sets):
    """Spend the same number of gradients better, on the true score and on the jump model."""
    model = ebm.load(artifacts.find("checkpoints/ex_3a_jump.pt", settings.out_dir))
    targets = {
        "oracle": lambda x: swiss_roll.log_density_and_score(x, noise),
        "jump model": model.value_and_gradient,
    }
    table, shown = {}, {}
    for target, log_p_and_gradient in targets.items():
        for sampler in roll_samplers.ALL:
            found = []
            for seed in range(settings.repeats):
                torch.manual_seed(seed)
                x0 = 3 * torch.randn(settings.chains, 2)
                x = roll_samplers.ALL[sampler](x0, log_p_and_gradient, settings.steps)
                found.append(roll_metrics.measure(x, sets[2 * seed]))
            row = table[f"{target}, {sampler}"] = roll_metrics.summary(found)
            shown[target, sampler] = x[:2000].numpy(), f"SW2 {row['sw2']['mean']:.2f}"
            print(f"{target:10s} {sampler:20s} SW2 {row['sw2']['mean']:.2f}", flush=True)
    return table, shown


def write(settings, content, table, pictures, rows) -> dict:
    """Write the three figures and figures/ex_3b.json; return the numbers."""
    shown, captions, curves, better = pictures
    noise = content["noise"] or swiss_roll.NOISE
    truth = swiss_roll.sample(2000, noise, 999).numpy()
    line = torch.linspace(-15, 15, 25)
    points = torch.cartesian_prod(line, line)
    fields = {"truth": swiss_roll.score(points, noise)}
    fields |= {
        name: next(iter(rows[name].values()))(points) for name in ("cd", "jump") if name in rows
    }
    fields = {name: (points.numpy(), v.numpy()) for name, v in fields.items()}
    title = f"{content['source']}; x₀ ~ N(0, 3² I), T = {settings.steps}, {settings.chains} chains"
    floors = {name: value["mean"] for name, value in table["floor"].items()}
    floor = floors["sw2"]
    figures = {
        "ex_3b": roll_plots.panels(shown, truth, captions, f"{title}\nfloor SW2 {floor:.2f}"),
        "ex_3b_time": roll_plots.over_time(curves, floors, fields, title),
        "ex_3b_better": roll_plots.panels(
            {k: v[0] for k, v in better.items()}, truth, {k: v[1] for k, v in better.items()},
            f"the same {settings.steps} gradients, better samplers; floor SW2 {floor:.2f}",
        ),
    }  # fmt: skip
    folder = Path(settings.out_dir) / "figures"
    for name, figure in figures.items():
        print(artifacts.save_figure(folder / f"{name}.png", figure))
    metrics = {"table": table, "source": content["source"], "chains": settings.chains}
    metrics |= {"steps": settings.steps, "repeats": settings.repeats}
    metrics["over_time"] = {
        f"eps_{eps:g}": {name: over_steps(path) for name, path in lines.items()}
        for eps, lines in curves.items()
    }
    names = [f"ex_3a_{method}" for method in METHODS if method != "short"]
    names += [f"ex_3a_short_{eps:g}" for eps in settings.eps]
    metrics["checkpoints_sha256"] = {
        name: artifacts.sha256(path)
        for name in names
        if (path := artifacts.find(f"checkpoints/{name}.pt", settings.out_dir)).is_file()
    }
    print(artifacts.save_json(folder / "ex_3b.json", metrics))
    return metrics
