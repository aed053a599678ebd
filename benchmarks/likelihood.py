"""The likelihood of digits: 5,000 samples of the encoder's q against a q refined for each digit.

Each round takes the next 200 test digits, binarised once for all, so that the bounds are paired.
The refined q is sampled as in 1(b), and a third as often, which is enough for as tight a bound; the
last bound has as many samples of it as the first has of the encoder's.  Writes
figures/ex_1b_bounds.json besides.
"""

import time

from benchmarks import timing
from common import cvae
from common.digits import data as digit_data
from common.digits import evaluation
from common.digits import model as digit_model
from common.runtime import files, results

import torch


def measure(settings, device) -> dict:
    """Return the rows of speed; write the bounds on the same digits, and their differences."""
    many, few, n = (20, 10, 10) if settings.smoke else (5000, evaluation.NLL_SAMPLES, 200)
    data = digit_data.load(settings.data_dir, limit=1500 if settings.smoke else None)
    path = files.ROOT / digit_model.NAME
    model = digit_model.load(path, device)[0]
    torch.manual_seed(settings.seed)
    ratios, found = {few: [], few // 3: []}, []
    for first in range(0, n * settings.repeats, n):
        y = data.test_labels[first : first + n].to(device)
        x = digit_data.binarise(data.test_images[first : first + n].to(device)).flatten(1)
        clock = [time.perf_counter()]
        log_w = [cvae.log_weights(model, x, y, many)]
        clock.append(time.perf_counter())
        q = cvae.refine_posterior(model, x, y)
        clock.append(time.perf_counter())
        for samples, ratio in ratios.items():
            log_w.append(cvae.log_weights(model, x, y, samples, q))
            clock.append(time.perf_counter())
            own = clock[2] - clock[1] + clock[-1] - clock[-2]
            ratio.append((clock[1] - clock[0]) / own)
        log_w.append(cvae.log_weights(model, x, y, many, q))
        found.append(torch.stack([cvae.importance_weighted_nll(w) for w in log_w]).cpu())
    found, bounds = torch.cat(found, 1), {}
    for k, name in enumerate(("encoder", "refined", "refined_third", "best")):
        samples = (many, few, few // 3, many)[k]
        bounds[name] = {"samples": samples, "nll_nats": found[k].mean().item()}
        gain = found[0] - found[k]
        error = evaluation.standard_error(gain)
        bounds[name] |= {"gain_nats": gain.mean().item(), "gain_standard_error_nats": error}
    bounds |= {"source": data.source, "digits": found.shape[1]}
    results.save_results(settings.out_dir, "ex_1b_bounds", bounds, {}, [path])
    work = f"NLL of {found.shape[1]:,} digits, refined q"
    against = f"{many:,} samples of the encoder's q"
    rows = [timing.row(f"{work}, {n} samples", against, ratio, 8.0) for n, ratio in ratios.items()]
    return {"rows": rows}
