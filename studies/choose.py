"""Try settings of 1(b) on validation digits: the last 10,000 training digits, held out.

    python -m studies.choose --epochs 20 --seed 101      -> a row in out/ex_1b_choice.json

Options are those of ex_1b.py.  Seeds from 100 on are for choosing; 0-4 are for the table, whose
test digits no choice has seen.
"""

import json
from dataclasses import asdict, dataclass

import torch

import ex_1b
from common.cvae import plain_cvae
from common.digits.data import hold_out, load
from common.digits.evaluation import elbo
from common.digits.model import digit_cvae
from common.training import InputError, pick_device, run, write


@dataclass
class Settings(ex_1b.Settings):
    seed: int = 100
    note: str = ""  # what was changed in the code, for the row


def main(settings) -> dict:
    """Train without the validation digits, add a row to the table, return the table."""
    if settings.seed < 100:
        raise InputError(f"--seed {settings.seed}: settings are chosen with seeds from 100 on")
    device = pick_device(settings.device)
    train, validation = hold_out(load(settings.data_dir, settings.limit).train)
    torch.manual_seed(settings.seed)
    if settings.plain:
        model = plain_cvae(latent=settings.latent).to(device)
        history = ex_1b.fit_plain(model, *train, settings)
    else:
        model = digit_cvae(settings.latent, settings.components).to(device)
        history = ex_1b.fit(model, *train, settings)
    row = {"note": settings.note}
    row["validation"] = elbo(model, *validation)["negative_elbo"]
    row["training"] = elbo(model, *(part[:10_000] for part in train))["negative_elbo"]
    row["seconds"] = sum(seconds for _, _, seconds in history)
    places = ("out_dir", "data_dir", "device", "restart", "note")
    row["settings"] = {k: v for k, v in asdict(settings).items() if k not in places}
    print(f"-ELBO {row['validation']:.2f} nats held out, {row['training']:.2f} trained on")
    path = settings.out_dir / "ex_1b_choice.json"
    tried = json.loads(path.read_text(encoding="utf-8"))["tried"] if path.exists() else []
    return write(settings.out_dir, "ex_1b_choice", {"tried": [*tried, row]})


if __name__ == "__main__":
    run(main, Settings)
