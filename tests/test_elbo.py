"""The terms of the ELBO, its tighter bounds and the optimiser, against closed forms."""

import math

import pytest
import torch
from torch import distributions as law
from torch import nn

from common import bounds, cvae, muon, priors
from common.digits.model import digit_cvae
from common.training import fast_bfloat16


def some_digits(n=8):
    torch.manual_seed(1)
    return (torch.rand(n, 784) < 0.2).float(), torch.arange(n) % 10


def lively(module, scale=0.05):
    """Move every parameter a little: layers that start at zero would hide mistakes."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module.eval()


def models():
    torch.manual_seed(0)
    ours = digit_cvae(6, 4, channels=(8, 8), width=32)
    return {"ours": ours, "plain": cvae.plain_cvae(784, 32, 6)}


@pytest.mark.parametrize("name", ["ours", "plain"])
def test_the_terms_are_the_formula(name):
    """log p(x|z,y) and log q - log p, written out with the same z."""
    model = lively(models()[name])
    x, y = some_digits()
    torch.manual_seed(3)
    log_likelihood, kl = cvae.elbo_terms(model, x, y)
    torch.manual_seed(3)
    q = model.posterior(x, y)
    z = q.rsample()
    logits = model.decoder(z, nn.functional.one_hot(y, 10).float())
    expected = (x * logits - nn.functional.softplus(logits)).sum(1)
    torch.testing.assert_close(log_likelihood, expected, rtol=1e-4, atol=1e-2)
    precision = torch.linalg.inv(q.covariance_matrix) if name == "ours" else None
    if name == "ours":
        d = z - q.mean
        quadratic = (d[:, None] @ precision @ d[:, :, None]).flatten()
        log_q = -0.5 * (quadratic + torch.logdet(q.covariance_matrix) + 6 * priors.LOG_2PI)
        torch.testing.assert_close(kl, log_q - model.prior.log_prob(z, y), rtol=1e-3, atol=1e-3)


def test_the_mean_of_the_kl_term_is_the_closed_form():
    model = lively(models()["plain"])
    x, y = some_digits(1)
    _, kl = cvae.elbo_terms(model, x.expand(8000, -1), y.expand(8000))
    q = model.posterior(x, y).base_dist
    exact = law.kl_divergence(q, law.Normal(0.0, 1.0)).sum().item()
    assert kl.mean().item() == pytest.approx(exact, abs=5 * kl.std().item() / math.sqrt(8000))


def test_a_full_covariance_is_that_of_what_it_draws():
    torch.manual_seed(0)
    q = cvae.gaussian(torch.randn(1, 3 + 3 + 3, dtype=torch.float64), 3)
    z = q.sample((40_000,))[:, 0]
    torch.testing.assert_close(torch.cov(z.T), q.covariance_matrix[0], atol=0.1, rtol=0.05)


@pytest.mark.parametrize("name", ["ours", "plain"])
def test_the_label_reaches_both_networks_and_every_weight_is_trained(name):
    model = lively(models()[name])
    x, y = some_digits(10)
    z = torch.randn(10, 6)
    other = (y + 1) % 10
    assert not torch.allclose(model.likelihood(z, y).mean, model.likelihood(z, other).mean)
    assert not torch.allclose(model.posterior(x, y).mean, model.posterior(x, other).mean)
    sum(term.mean() for term in cvae.elbo_terms(model, x, y)).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, parameter_name


class LinearGaussian(nn.Module):
    """z ~ N(0, I), x ~ N(w z, I / 4): log p(x) is known."""

    def __init__(self, w, full):
        super().__init__()
        self.w = w
        self.prior = priors.StandardPrior(w.shape[1])
        latent = w.shape[1]
        self.numbers = 2 * latent + (latent * (latent - 1) // 2 if full else 0)

    def encode(self, x, y):
        return torch.ones(len(x), self.numbers)

    def posterior(self, x, y):
        return cvae.gaussian(self.encode(x, y), self.prior.latent)

    def likelihood(self, z, y):
        return law.Independent(law.Normal(z @ self.w.T, 0.5), 1)

    def log_prob(self):
        covariance = self.w @ self.w.T + 0.25 * torch.eye(len(self.w))
        return law.MultivariateNormal(torch.zeros(len(self.w)), covariance)


@pytest.mark.parametrize(("orthogonal", "full"), [(True, False), (False, False), (False, True)])
def test_a_refined_posterior_finds_a_likelihood_that_is_known(orthogonal, full):
    """Where q can be p(z|x), every weight is p(x): if `full`, else for orthogonal columns."""
    torch.manual_seed(1)
    w = torch.randn(6, 4) * torch.tensor([0.7, 0.5, 0.5, 0.2])
    model = LinearGaussian(torch.linalg.qr(3 * w)[0] if orthogonal else w, full)
    x = model.log_prob().sample((200,))
    y = torch.zeros(200)
    exact = model.log_prob().log_prob(x)
    q = bounds.refine(model, x, y, steps=300, draws=32, rate=0.1)
    log_w = bounds.log_weights(model, x, y, 4000, q)
    gap = exact - log_w.mean(0)
    error = bounds.importance_bound(log_w) + exact
    assert gap.abs().mean() < 0.015 if orthogonal or full else gap.min() > 0.05
    assert error.abs().mean() < 0.06 and abs(error.mean()) < 0.015
    assert (exact - bounds.log_weights(model, x, y, 100).mean(0)).mean() > 3


def test_the_bound_tightens_with_samples_and_one_sample_is_the_elbo():
    model = lively(models()["ours"])
    x, y = some_digits(4)
    x, y = x.repeat(250, 1), y.repeat(250)
    with torch.no_grad():
        log_likelihood, kl = cvae.elbo_terms(model, x, y)
    loss = kl - log_likelihood
    one, ten = (bounds.importance_bound(bounds.log_weights(model, x, y, k)) for k in (1, 10))
    error = ((one.var() + loss.var()) / len(x)).sqrt()
    assert abs(one.mean() - loss.mean()) < 5 * error
    assert ten.mean() < one.mean() - 0.1


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (64, 90)])
def test_muon_orthogonalises_like_torch_and_keeps_the_singular_vectors(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = muon.orthogonalise(matrix)
    inner = u.T @ found @ v.T
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-3
    assert inner.diagonal().min() > 0.6 and inner.diagonal().max() < 1.25


def test_a_step_of_muon_is_a_step_of_torchs():
    torch.manual_seed(0)
    start, gradients = torch.randn(32, 100), torch.randn(3, 32, 100)
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    optimizers = [
        (ours, muon.Muon([ours], 0.02, weight_decay=0.1)),
        (theirs, torch.optim.Muon([theirs], 0.02, weight_decay=0.1, momentum=0.95)),
    ]
    for gradient in gradients:
        for parameter, optimizer in optimizers:
            parameter.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.03 * moved  # torch's products are bfloat16


@pytest.mark.skipif(not fast_bfloat16(torch.device("cpu")), reason="no bfloat16 instructions here")
def test_bfloat16_products_change_the_bound_by_less_than_a_thousandth():
    model = lively(models()["ours"])
    x, y = some_digits(200)
    values = []
    for mode in (True, False):
        torch.manual_seed(3)
        with torch.no_grad():
            log_likelihood, kl = cvae.elbo_terms(model.train(mode), x, y)
        values.append((kl - log_likelihood).mean())
    assert abs(values[0] - values[1]) < 1e-3 * values[1]
