"""Why the samples of exercise 3(b) look as they do, and what would sample better.

    python -m benchmarks.protocol   -> figures/ex_3b_protocol.json, figures/ex_3b_better.png

Everything under the protocol of ex_3b.py, but for the samplers:
noise      the oracle for other noises sigma of the roll: sigma = 0.2 is a guess
mixed      the true score within 3 sigma of the spiral and a model's outside, and the reverse:
           which of the two makes the difference between oracle and model
pull       how strongly a field draws back to the spiral, at several distances from it
samplers   as many gradients, spent better, on the oracle and on two models
About eight minutes on 2 cores.
"""

import itertools
from functools import partial

import ex_3b
from common import ebm, langevin, swiss_roll
from common.runtime import results, script
from common.runtime.options import parse
from common.swiss_roll import evaluation, figures

import torch

NOISES = (0.1, 0.3, 0.5)
BESIDE = (1, 3, 5, 10)  # distances from the spiral, in noises, at which the pull is measured
OUTSIDE = ("cd", "replica", "nce")  # models that are mixed with the truth
EPS = 0.03  # step size of the better samplers on p itself; on p^beta it is EPS / beta
BETAS = (1.0, 0.3, 0.0)  # levels of replica exchange


def exchange(x, target, gradients: int):
    """Replica exchange with `gradients` gradients a sample: one for each level and step."""
    sizes, steps = [EPS / beta for beta in BETAS[:-1]], max(1, gradients // len(BETAS))
    copies = torch.stack([x] * len(BETAS))
    return langevin.replica_exchange(copies, target, BETAS, ebm.BASE, sizes, steps)[0][0]


SAMPLERS = {  # MALA: no discretisation bias, but no way between the arms
    "MALA": lambda x, target, gradients: langevin.mala(x, target, EPS, gradients)[0],
    "replica exchange": exchange,
}


def mixed(x, near, far, noise: float):
    """Return the field at x that is `near` within 3 sigma of the spiral and `far` elsewhere."""
    inside = swiss_roll.nearest(x)[1] < 3 * noise
    return torch.where(inside[:, None], near(x), far(x))


def pull(field, noise: float) -> dict:
    """Return {k: the pull of a field x (n, 2) -> (n, 2) at k noises beside the spiral}.

    The part of the field that points to the spiral, over distance / noise^2, the pull of a Gaussian
    ridge; median over both sides of 4000 places, where no other arm is nearer.
    """
    first, last = swiss_roll.FIRST, swiss_roll.LAST
    t = torch.linspace(first, last, 4000).requires_grad_()
    arm = swiss_roll.spiral(t)
    along = torch.stack([torch.autograd.grad(x.sum(), t, retain_graph=True)[0] for x in arm.T], 1)
    across = torch.stack([along[:, 1], -along[:, 0]], 1) / along.norm(dim=1, keepdim=True)
    found = {}
    for k in BESIDE:
        off = torch.cat([k * noise * across, -k * noise * across])
        x = arm.detach().repeat(2, 1) + off
        near = (swiss_roll.nearest(x)[1] - k * noise).abs() < 0.25 * noise
        found[str(k)] = (-(field(x) * off).sum(1)[near] / k**2).median().item()
    return found


def better_samplers(settings, targets: dict, truth: list) -> tuple[dict, dict]:
    """Spend as many gradients better on targets {name: log p and its gradient}.

    Returns (table of distances, {(target, sampler): (points, caption)}).
    """
    table, shown = {}, {}
    for target, name in itertools.product(targets, SAMPLERS):
        found = []
        for k in range(settings.repeats):
            torch.manual_seed(settings.seed + k)
            x0 = 3 * torch.randn(settings.chains, 2)
            x = SAMPLERS[name](x0, targets[target], settings.steps)
            found.append(evaluation.measure(x, truth[2 * k]))
        row = table[f"{target}, {name}"] = evaluation.summary(found)
        shown[target, name] = x[:2000].numpy(), f"SW2 {row['sw2']['mean']:.2f}"
        print(f"{target:10s} {name:20s} SW2 {row['sw2']['mean']:.2f}", flush=True)
    return table, shown


def main(argv=None) -> dict:
    """Measure, draw, save the numbers; return them."""
    settings = parse(ex_3b.Settings, __doc__, argv, without=("data_dir", "device"))
    results.keep_shipped(settings)
    script.start(settings)
    models, names, noise, source = ex_3b.load_models(settings)
    truth = evaluation.true_sets(settings, noise)
    floor = evaluation.floor_of(truth)
    oracle = partial(swiss_roll.score, noise=noise)
    targets = {"oracle": partial(swiss_roll.log_density_and_score, noise=noise)}
    for name in [name for name in ("cd", "replica") if name in models]:
        targets[name] = next(iter(models[name].values())).value_and_gradient
    better, shown = better_samplers(settings, targets, truth)
    metrics = {"source": source, "samplers": {"floor": floor} | better}
    fields = {name: models[name][min(settings.eps)].score for name in models if name != "short"}
    fields["oracle"] = oracle
    metrics["pull"] = {name: pull(field, noise) for name, field in fields.items()}

    rows = {}
    for name, eps in itertools.product([n for n in OUTSIDE if n in models], settings.eps):
        pair = {"oracle": oracle, name: models[name][eps].score}
        for near, far in itertools.permutations(pair):
            field = partial(mixed, near=pair[near], far=pair[far], noise=noise)
            rows.setdefault(f"{near} near, {far} far", {})[eps] = field
    metrics["mixed"] = ex_3b.sample_all(settings, rows, noise, truth)[0]
    for other in NOISES:
        field = dict.fromkeys(settings.eps, partial(swiss_roll.score, noise=other))
        true = evaluation.true_sets(settings, other)
        table = {"floor": evaluation.floor_of(true)}
        table |= ex_3b.sample_all(settings, {"oracle": field}, other, true)[0]
        metrics.setdefault("noise", {})[f"sigma_{other:g}"] = table
    metrics |= {"chains": settings.chains, "steps": settings.steps, "repeats": settings.repeats}
    title = f"{settings.steps} gradients a sample; two true sets: SW2 {floor['sw2']['mean']:.2f}"
    points = swiss_roll.sample(2000, noise, 999).numpy()
    drawn = {"ex_3b_better": figures.panels(shown, points, title)}
    return results.save_results(settings.out_dir, "ex_3b_protocol", metrics, drawn, names)


if __name__ == "__main__":
    script.run(main)
