"""Bayesian optimisation with BoTorch: models, acquisition functions and their optimisers, one and two objectives."""

import pytest
import torch
from botorch.acquisition import LogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogExpectedHypervolumeImprovement
from botorch.cross_validation import batch_cross_validation, gen_loo_cv_folds
from botorch.fit import fit_gpytorch_mll
from botorch.models import MixedSingleTaskGP, ModelListGP, SingleTaskGP
from botorch.optim import optimize_acqf
from botorch.sampling import SobolQMCNormalSampler
from botorch.test_functions import Branin, BraninCurrin
from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning
from botorch.utils.sampling import draw_sobol_samples
from gpytorch.mlls import ExactMarginalLogLikelihood, SumMarginalLogLikelihood

UNIT = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)


pytestmark = pytest.mark.usefixtures("quiet")


def first(n):
    return draw_sobol_samples(UNIT, n, 1, seed=1).squeeze(1).double()


def fitted(x, y):
    model = SingleTaskGP(x, y)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def test_a_minimum_is_approached():
    function = Branin(negate=True)
    low, high = function.bounds.double()
    x = first(8)
    y = function(low + x * (high - low)).unsqueeze(1)
    for step in range(6):
        model = fitted(x, y)
        sampler = SobolQMCNormalSampler(torch.Size([64]), seed=0)
        wanted = LogExpectedImprovement(model, y.max()) if step % 2 else qLogNoisyExpectedImprovement(model, x, sampler)
        found, _ = optimize_acqf(wanted, UNIT, q=1, num_restarts=4, raw_samples=64)
        x = torch.cat([x, found])
        y = torch.cat([y, function(low + found * (high - low)).unsqueeze(1)])
    # PyTorch 2.13 gets there.
    assert y[8:].max().item() == pytest.approx(-2.215645, abs=1e-3)


def test_two_objectives_share_a_front():
    function = BraninCurrin(negate=True)
    x = first(10)
    y = function(x)
    model = ModelListGP(*(SingleTaskGP(x, column.unsqueeze(1)) for column in y.T))
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    parts = FastNondominatedPartitioning(ref_point=function.ref_point, Y=y)
    sampler = SobolQMCNormalSampler(torch.Size([32]), seed=0)
    wanted = qLogExpectedHypervolumeImprovement(model, function.ref_point, parts, sampler)
    found, _ = optimize_acqf(wanted, UNIT, q=2, num_restarts=2, raw_samples=32, sequential=True)
    after = FastNondominatedPartitioning(ref_point=function.ref_point, Y=torch.cat([y, function(found)]))
    assert after.compute_hypervolume() >= parts.compute_hypervolume()
    assert found.shape == (2, 2) and ((found >= 0) & (found <= 1)).all()


def test_categories_and_folds():
    x = first(12)
    mixed = torch.cat([x, (x[:, :1] * 3).floor()], 1)
    y = (x.sum(1) + mixed[:, 2]).unsqueeze(1)
    model = MixedSingleTaskGP(mixed, y, cat_dims=[2])
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    with torch.no_grad():
        assert (model.posterior(mixed).mean - y).abs().max() < 0.2
    folds = gen_loo_cv_folds(train_X=x, train_Y=y)
    checked = batch_cross_validation(SingleTaskGP, ExactMarginalLogLikelihood, folds)
    assert checked.posterior.mean.shape == (12, 1, 1)


def test_posteriors_have_gradients():
    x = first(8)
    model = fitted(x, x.sin().sum(1, keepdim=True))
    place = torch.full((1, 2), 0.4, dtype=torch.float64, requires_grad=True)
    model.posterior(place).mean.sum().backward()
    assert place.grad.flatten().tolist() == pytest.approx([0.932602, 0.971788], abs=1e-4)  # PyTorch 2.13
