"""Exercise 1(b): short trainings reach what they should, and would not with the loss wrong."""

import json

import pytest
import torch

import ex_1b
from common.cvae import plain_cvae
from common.digits import data, evaluation
from common.digits.classifier import shipped_classifier, train_classifier
from common.digits.model import digit_cvae, draw, load_model
from common.training import InputError

MOST_NATS = {"ours": 136.0, "plain": 145.0}  # -ELBO of held-out scikit-learn digits


def train(name, monkeypatch=None, terms=None):
    """Train briefly on the digits of scikit-learn; return (model, history, digits)."""
    digits = data.bundled()
    torch.manual_seed(0)
    if terms:
        monkeypatch.setattr(ex_1b, "elbo_terms", terms)
    if name == "plain":
        model = plain_cvae(latent=16)
        history = ex_1b.fit_plain(model, *digits.train, ex_1b.Settings(epochs=40))
    else:
        model = digit_cvae(12, 4, channels=(8, 16), width=64)
        settings = ex_1b.Settings(epochs=20, batch=100)
        history = ex_1b.fit(model, *digits.train, settings)
    return model, history, digits


@pytest.fixture(scope="module")
def trained():
    return train("ours")


def test_a_short_training_reaches_its_bound(trained):
    model, history, digits = trained
    assert evaluation.elbo(model, *digits.test)["negative_elbo"] < MOST_NATS["ours"]
    assert len(history) == 20 and history[-1][0] + history[-1][1] < history[0][0] + history[0][1]


def test_the_plain_model_reaches_its_bound():
    model, _, digits = train("plain")
    assert evaluation.elbo(model, *digits.test)["negative_elbo"] < MOST_NATS["plain"]


RIGHT = ex_1b.elbo_terms
MISTAKES = {
    "KL averaged over latents": lambda m, x, y: (RIGHT(m, x, y)[0], RIGHT(m, x, y)[1] / 12),
    "likelihood averaged over pixels": lambda m, x, y: (RIGHT(m, x, y)[0] / 784, RIGHT(m, x, y)[1]),
    "KL left out": lambda m, x, y: (RIGHT(m, x, y)[0], 0 * RIGHT(m, x, y)[1]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_misses_it(mistake, monkeypatch):
    model, _, digits = train("ours", monkeypatch, MISTAKES[mistake])
    assert evaluation.elbo(model, *digits.test)["negative_elbo"] > MOST_NATS["ours"]


def test_generated_digits_are_read_as_asked_and_one_u_is_one_hand(trained):
    model, _, digits = trained
    classifier = train_classifier(*digits.train, epochs=12, batch=64)
    quality = evaluation.sample_quality(model, classifier, digits)
    assert quality["agreement"] > 0.85 and quality["agreement_real"] > 0.95
    hand = evaluation.one_hand(model, classifier, hands=200)
    assert hand["agreement"] > 0.8 and hand["ink"] > 0.4
    wrong = evaluation.one_hand(Anew(model), classifier, hands=200)
    assert abs(wrong["ink"]) < 0.2  # the measure would notice


class Anew(torch.nn.Module):
    """A model that draws each label with a u of its own."""

    def __init__(self, model):
        super().__init__()
        self.model, self.prior = model, model.prior

    def draw(self, y, u):
        return self.model.draw(y)


def test_slant_is_the_shear():
    upright = torch.zeros(1, 28, 28)
    upright[0, 4:24, 12:16] = 1
    leaning = torch.stack([upright[0, r].roll(round(0.5 * (r - 14))) for r in range(28)])[None]
    assert evaluation.slant(upright).item() == pytest.approx(0, abs=1e-5)
    assert evaluation.slant(leaning).item() == pytest.approx(0.5, abs=0.03)


def test_the_bound_on_the_likelihood_is_below_and_the_gap_is_split(trained):
    model, _, digits = trained
    images, labels = (part[:40] for part in digits.test)
    own = evaluation.elbo(model, images, labels, draws=40)["negative_elbo"]
    found = evaluation.nll(model, images, labels, own, some=40, samples=60)
    assert found["nll"] < own - 0.5
    assert found["amortisation"] + found["shape_of_q"] == pytest.approx(
        own - found["nll"], abs=1e-4
    )
    assert found["amortisation"] > 0 and found["shape_of_q"] > 0


def test_copies_of_training_digits_are_noticed(trained):
    model, _, digits = trained
    copies = data.as_float(digits.train[0][:20])
    distance, index = evaluation.nearest(copies, digits.train[0])
    assert distance.max() < 1e-2 and index.tolist() == list(range(20))
    found = evaluation.nearest_training_digit(model, digits, 50)
    assert found["generated"] > 1


@pytest.mark.parametrize("plain", [False, True])
def test_the_script_writes_checkpoint_numbers_and_pictures(plain, tmp_path, monkeypatch):
    few = data._first(data.bundled(), 300)
    monkeypatch.setattr(ex_1b, "load", lambda *_: few)
    monkeypatch.setattr(evaluation, "NLL_DIGITS", 20)
    quick = (shipped_classifier(), {"epochs": 1, "batch": 100})
    monkeypatch.setattr(ex_1b, "classifier_for", lambda *_: quick)
    size = {} if plain else {"batch": 50, "components": 3}
    settings = ex_1b.Settings(plain=plain, epochs=2, out_dir=tmp_path, **size)
    numbers = ex_1b.main(settings)
    name = "ex_1b_plain" if plain else "ex_1b"
    written = json.loads((tmp_path / f"{name}.json").read_text())
    assert written["test"]["negative_elbo"] == pytest.approx(numbers["test"]["negative_elbo"], 1e-5)
    for label in ("training", "samples", "one_hand", "reconstructions"):
        for suffix in ("png", "svg"):
            assert (tmp_path / f"{name}_{label}.{suffix}").stat().st_size > 1000
    assert not list(tmp_path.glob("*unfinished*")) and not list(tmp_path.glob("*.tmp*"))
    model, content, _ = load_model("", out_dir=tmp_path, plain=plain)
    assert "300 digits" in content["about"] and "2 epochs" in content["about"]
    assert draw(model, torch.arange(10)).shape == (10, 28, 28)


@pytest.mark.parametrize(("name", "value"), [
    ("epochs", 0), ("batch", 0), ("latent", 0), ("rate", float("nan")), ("limit", 1),
    ("device", "abacus"), ("seed", -1), ("data_dir", "nowhere"),
])  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(name, value, tmp_path):
    settings = ex_1b.Settings(**{name: value, "out_dir": tmp_path})
    with pytest.raises(InputError, match=name.replace("_", "-")):
        ex_1b.main(settings)


def test_a_setting_without_effect_is_refused(tmp_path):
    with pytest.raises(InputError, match="--batch has no effect with --plain"):
        ex_1b.main(ex_1b.Settings(plain=True, batch=64, out_dir=tmp_path))
