"""Laws of the conditional VAE: densities, the bound and its ordering, gradients."""

import math

import pytest
import torch
from torch import distributions as law

from common import cvae, priors
from common.digits import evaluation
from common.digits import model as digit_model
from common.runtime.device import fast_bfloat16
from common.runtime.errors import InputError

SMALL = dict(width=32, channels=8, latent=6, components=4)
KINDS = [(n, p) for n in ("patch", "dense") for p in ("mixture", "gaussian", "standard")]


def small_model(network="patch", prior="mixture", seed=0, covariance="full"):
    torch.manual_seed(seed)
    return digit_model.build(network=network, prior=prior, covariance=covariance, **SMALL)


def some_digits(n=8):
    torch.manual_seed(1)
    return (torch.rand(n, 784) < 0.2).float(), torch.arange(n) % 10


def normal(mean, scale):
    """Return N(mean, scale^2), independent along the last axis."""
    return law.Independent(law.Normal(mean, scale), 1)


def standard(like):
    return normal(torch.zeros_like(like), torch.ones_like(like))


def test_terms_equal_torch_distributions():
    torch.manual_seed(0)
    mu, logvar, z = torch.randn(3, 50, 6, dtype=torch.float64)
    q = normal(mu, (0.5 * logvar).exp())
    drawn, log_q = cvae.reparameterise(mu, logvar)
    torch.testing.assert_close(log_q, q.log_prob(drawn))
    found = priors.StandardPrior(6).log_prob(z, torch.zeros(50))
    torch.testing.assert_close(found, standard(z).log_prob(z))
    x, logits = some_digits()[0], 20 * torch.randn(8, 784)
    expected = law.Bernoulli(logits=logits).log_prob(x).sum(1)
    torch.testing.assert_close(cvae.bernoulli_log_likelihood(x, logits), expected)


def full_law(mu, logvar, lower):
    triangle = torch.diag_embed((0.5 * logvar).exp())
    row, column = torch.tril_indices(mu.shape[1], mu.shape[1], -1)
    triangle[:, row, column] = lower
    return law.MultivariateNormal(mu, scale_tril=triangle)


def test_a_full_covariance_is_the_density_of_what_it_draws():
    torch.manual_seed(0)
    posterior = [torch.randn(1, 3, dtype=torch.float64) for _ in range(3)]
    z, log_q = cvae.reparameterise(*(t.expand(20_000, -1) for t in posterior))
    q = full_law(*posterior)
    torch.testing.assert_close(log_q, q.log_prob(z))
    torch.testing.assert_close(torch.cov(z.T), q.covariance_matrix[0], atol=0.1, rtol=0.05)


def reference(prior, y):
    parts = normal(prior.means[y], (0.5 * prior.logvars[y]).exp())
    return law.MixtureSameFamily(law.Categorical(logits=prior.logits[y]), parts)


@pytest.mark.parametrize("components", [1, 5])
def test_a_mixture_has_its_density_and_its_samples_its_mean_and_variance(components):
    torch.manual_seed(2)
    prior, n = priors.ClassMixturePrior(10, 3, components), 40_000
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter)
    y, z = torch.randint(0, 10, (200,)), 3 * torch.randn(200, 3)
    expected = reference(prior, y).log_prob(z)
    torch.testing.assert_close(prior.log_prob(z, y), expected, atol=1e-3, rtol=1e-4)
    z, exact = prior.sample(torch.full((n,), 7)).detach(), reference(prior, torch.tensor([7]))
    error = (exact.variance[0] / n).sqrt()
    assert ((z.mean(0) - exact.mean[0]).abs() < 5 * error).all()
    torch.testing.assert_close(z.var(0), exact.variance[0], rtol=0.06, atol=0)


def test_monte_carlo_kl_agrees_with_the_closed_form():
    model, (x, y) = small_model(prior="standard", covariance="diagonal"), some_digits(1)
    n = 4000
    _, kl = cvae.elbo_terms(model, x.expand(n, -1), y.expand(n))
    mu, logvar = model.encode(x, y)
    exact = law.kl_divergence(law.Normal(mu, (0.5 * logvar).exp()), law.Normal(0.0, 1.0)).sum()
    assert abs(kl.mean() - exact) < 5 * kl.std() / math.sqrt(n)


@pytest.mark.parametrize(("network", "prior"), KINDS)
def test_every_parameter_gets_a_gradient(network, prior):
    model, (x, y) = small_model(network, prior), some_digits(20)
    sum(term.mean() for term in cvae.elbo_terms(model, x, y)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if prior != "gaussian" or name != "prior.logits":  # a single weight is always 1
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("network", ["patch", "dense"])
def test_a_code_decodes_alone_as_in_a_batch_and_the_label_reaches_both_networks(network):
    model, (x, y) = small_model(network), some_digits(10)
    z = torch.randn(10, SMALL["latent"])
    alone = torch.cat([model.decode(z[i : i + 1], y[i : i + 1]) for i in range(10)])
    torch.testing.assert_close(alone, model.decode(z, y), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(alone, model.decode(z, y.flip(0)))
    assert not torch.allclose(model.encode(x, y)[0], model.encode(x, y.flip(0))[0])


@pytest.mark.parametrize("prior", ["mixture", "standard"])
def test_elbo_terms_are_the_formula(prior):
    """With the same z, both terms equal those of torch.distributions."""
    model, (x, y) = small_model(prior=prior), some_digits()
    torch.nn.init.normal_(model.encoder.last.weight)
    eps = torch.randn(len(x), SMALL["latent"])
    reconstruction, kl = cvae.elbo_terms(model, x, y, eps=eps)
    q = full_law(*model.encode(x, y))
    z = q.mean + (q.scale_tril @ eps[:, :, None])[:, :, 0]
    p = reference(model.prior, y) if prior == "mixture" else standard(z)
    expected = law.Bernoulli(logits=model.decode(z, y)).log_prob(x).sum(1)
    torch.testing.assert_close(reconstruction, -expected)
    torch.testing.assert_close(kl, q.log_prob(z) - p.log_prob(z), atol=1e-3, rtol=1e-4)


def nll(model, x, y, samples, **more):
    return cvae.importance_weighted_nll(cvae.log_weights(model, x, y, samples, **more))


def test_bound_tightens_with_samples():
    """One sample gives the -ELBO, more give less, each within five standard errors."""
    model, (x, y) = small_model(), some_digits(4)
    x, y = x.repeat(250, 1), y.repeat(250)
    with torch.no_grad():
        elbo = sum(cvae.elbo_terms(model, x, y))
    one, ten, hundred = (nll(model, x, y, k) for k in (1, 10, 100))

    def error(a, b):
        return 5 * ((a.var() + b.var()) / len(x)).sqrt()

    assert abs(one.mean() - elbo.mean()) < error(one, elbo)
    assert hundred.mean() < ten.mean() + error(hundred, ten)
    assert hundred.mean() < one.mean() - 0.1
    bounds = []
    for rows in (2000, 400):  # chunks bound the memory; 400 * 6 numbers are whole blocks of the
        torch.manual_seed(0)  # generator: the same z, the same bound
        bounds.append(nll(model, x[:1], y[:1], 2000, rows=rows))
    torch.testing.assert_close(*bounds, atol=1e-3, rtol=0)


def linear_gaussian(w, full=False):
    """Return x ~ N(0, w w^T + I / 4), log p(x), a model p(x|z) = N(w z, I / 4), its log p(x|z)."""
    torch.manual_seed(0)
    latent, n = w.shape[1], 200
    outputs = cvae.posterior_size(latent) if full else 2 * latent
    model = cvae.CVAE(
        lambda x, c: torch.ones(len(x), outputs), lambda z, c: z @ w.T,
        priors.StandardPrior(latent), lambda y: y, latent if full else 0,
    )  # fmt: skip
    covariance = w @ w.T + 0.25 * torch.eye(len(w))
    exact = law.MultivariateNormal(torch.zeros(len(w)), covariance)
    x = exact.sample((n,))
    return x, exact.log_prob(x), model, lambda x, mean: normal(mean, 0.5).log_prob(x)


@pytest.mark.parametrize(("orthogonal", "full"), [(True, False), (False, False), (False, True)])
def test_a_refined_posterior_finds_a_likelihood_that_is_known(orthogonal, full):
    """Where q can be p(z|x), every weight is p(x): if `full`, else for orthogonal columns."""
    torch.manual_seed(1)
    w = torch.randn(6, 4) * torch.tensor([0.7, 0.5, 0.5, 0.2])
    x, exact, model, log_likelihood = linear_gaussian(
        torch.linalg.qr(3 * w)[0] if orthogonal else w, full
    )
    keywords, y = {"log_likelihood": log_likelihood}, torch.zeros(len(x))
    q = cvae.refine_posterior(model, x, y, steps=300, draws=32, rate=0.1, **keywords)
    log_w = cvae.log_weights(model, x, y, 4000, q, **keywords)
    gap, error = exact - log_w.mean(0), cvae.importance_weighted_nll(log_w) + exact
    assert gap.abs().mean() < 0.015 if orthogonal or full else gap.min() > 0.05
    assert error.abs().mean() < 0.06 and abs(error.mean()) < 0.015
    assert (exact - cvae.log_weights(model, x, y, 100, **keywords).mean(0)).mean() > 3
    assert (model.encode(x, y)[0] == 1).all()  # the encoder is as it was


def test_the_gap_is_split_into_its_parts(bundled):
    """On digits that the shipped model has not seen."""
    model, _ = digit_model.load()
    found = evaluation.nll(model, bundled.test_images[:30], bundled.test_labels[:30], 50, batch=20)
    gap = found["gap_nats"]
    whole = found["negative_elbo_nats"] - found["nll_nats"]
    assert gap["amortisation"] + gap["shape_of_q"] == pytest.approx(whole, abs=1e-3)
    assert min(gap["amortisation"], gap["shape_of_q"]) > 0.3 and 0 < gap["left"] < 2
    assert found["images"] == 30 and not model.bfloat16


@pytest.mark.skipif(not fast_bfloat16(torch.device("cpu")), reason="no bfloat16 instructions here")
def test_bfloat16_products_change_the_bound_by_less_than_a_thousandth():
    """The same random numbers, the networks' products rounded."""
    model, (x, y) = small_model(), some_digits(200)
    values = []
    for model.bfloat16 in (False, True):
        torch.manual_seed(3)
        with torch.no_grad():
            values.append(sum(cvae.elbo_terms(model, x, y)).mean())
    assert abs(values[0] - values[1]) < 1e-3 * values[0]


@pytest.mark.parametrize("change", [{"width": 10**9}, {"latent": 0}, {"channels": 2.5},
                                    {"network": "x"}, {"components": True}])  # fmt: skip
def test_absurd_shapes_are_refused_before_memory_is_taken(change):
    with pytest.raises(InputError):
        right = {"network": "patch", "prior": "mixture", "covariance": "full", **SMALL}
        digit_model.build(**right | change)
