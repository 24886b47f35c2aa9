"""Inference with Pyro: by guides and Hamiltonian chains, with labels summed out, of processes and flows."""

import pyro
import pyro.contrib.gp as gp
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.distributions import transforms
from pyro.infer import (
    MCMC,
    NUTS,
    SVI,
    Predictive,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceMeanField_ELBO,
    autoguide,
    infer_discrete,
)
from pyro.nn import PyroModule, PyroSample
from torch import nn


@pytest.fixture(autouse=True)
def fresh():
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    pyro.enable_validation(True)


def measured(n=200):
    return 3.0 + 2.0 * torch.randn(n)


def model_of(data):
    m = pyro.sample("m", dist.Normal(0.0, 10.0))
    s = pyro.sample("s", dist.HalfNormal(5.0))
    with pyro.plate("data", len(data)):
        pyro.sample("x", dist.Normal(m, s), obs=data)


@pytest.mark.parametrize("guide", ["AutoNormal", "AutoMultivariateNormal", "AutoLaplaceApproximation", "AutoIAFNormal"])
def test_guides_find_the_posterior(guide):
    data = measured()
    own = getattr(autoguide, guide)(model_of)
    svi = SVI(model_of, own, pyro.optim.ClippedAdam({"lr": 0.05}), Trace_ELBO(num_particles=2))
    losses = [svi.step(data) for _ in range(500)]
    assert losses[-1] < losses[0]
    if guide == "AutoLaplaceApproximation":
        own = own.laplace_approximation(data)
    draws = Predictive(model_of, guide=own, num_samples=200)(data)
    assert draws["m"].mean().item() == pytest.approx(data.mean().item(), abs=0.15)
    assert draws["s"].mean().item() == pytest.approx(data.std().item(), abs=0.25)


def test_hamiltonian_chains_find_the_posterior():
    data = measured()
    chain = MCMC(NUTS(model_of), num_samples=120, warmup_steps=80, disable_progbar=True)
    chain.run(data)
    draws = chain.get_samples()
    assert draws["m"].mean().item() == pytest.approx(data.mean().item(), abs=0.1)
    assert draws["s"].mean().item() == pytest.approx(data.std().item(), abs=0.15)
    assert 0.05 < draws["m"].std().item() < 0.3


def test_a_mixture_is_learned_with_its_labels_summed_out():
    data = torch.cat([torch.randn(60) - 4, torch.randn(40) + 4])

    def mixture(data):
        shares = pyro.param("shares", torch.tensor([0.5, 0.5]), constraint=dist.constraints.simplex)
        places = pyro.param("places", torch.tensor([-1.0, 1.0]))
        with pyro.plate("data", len(data)):
            label = pyro.sample("label", dist.Categorical(shares), infer={"enumerate": "parallel"})
            pyro.sample("x", dist.Normal(places[label], 1.0), obs=data)

    svi = SVI(mixture, lambda data: None, pyro.optim.Adam({"lr": 0.1}), TraceEnum_ELBO(max_plate_nesting=1))
    for _ in range(150):
        svi.step(data)
    assert pyro.param("places").tolist() == pytest.approx([data[:60].mean().item(), data[60:].mean().item()], abs=0.1)
    assert pyro.param("shares").tolist() == pytest.approx([0.6, 0.4], abs=0.02)
    labels = poutine.trace(infer_discrete(mixture, first_available_dim=-2)).get_trace(data).nodes["label"]["value"]
    assert (labels == (torch.arange(100) >= 60)).float().mean() > 0.98


def test_effects_are_handled():
    with poutine.seed(rng_seed=3):
        trace = poutine.trace(poutine.condition(model_of, data={"m": torch.tensor(1.0)})).get_trace(measured(5))
    assert trace.nodes["m"]["value"].item() == 1.0
    wanted = sum(
        site["fn"].log_prob(site["value"]).sum()
        for site in trace.nodes.values()
        if site["type"] == "sample" and not isinstance(site["fn"], poutine.subsample_messenger._Subsample)
    )
    assert trace.log_prob_sum().item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_gaussian_process_learns_its_kernel():
    x = torch.linspace(0, 5, 40)
    y = torch.sin(2 * x) + 0.1 * torch.randn(40)
    process = gp.models.GPRegression(x, y, gp.kernels.RBF(1, lengthscale=torch.tensor(2.0)), noise=torch.tensor(0.5))
    losses = gp.util.train(process, num_steps=200, optimizer=torch.optim.Adam(process.parameters(), lr=0.02))
    assert losses[-1] < losses[0]
    with torch.no_grad():
        mean, variance = process(torch.tensor([1.0, 2.5]), noiseless=True)
    assert mean.tolist() == pytest.approx(torch.sin(torch.tensor([2.0, 5.0])).tolist(), abs=0.15)
    assert (variance > 0).all()


def test_a_bayesian_regression_of_modules():
    class Regression(PyroModule):
        def __init__(self):
            super().__init__()
            self.linear = PyroModule[nn.Linear](2, 1)
            self.linear.weight = PyroSample(dist.Normal(0.0, 2.0).expand([1, 2]).to_event(2))
            self.linear.bias = PyroSample(dist.Normal(0.0, 2.0).expand([1]).to_event(1))

        def forward(self, x, y=None):
            mean = self.linear(x).squeeze(-1)
            with pyro.plate("data", len(x)):
                pyro.sample("y", dist.Normal(mean, 0.1), obs=y)
            return mean

    x = torch.randn(100, 2)
    y = x @ torch.tensor([1.5, -0.5]) + 0.3 + 0.1 * torch.randn(100)
    model = Regression()
    guide = autoguide.AutoDiagonalNormal(model)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), TraceMeanField_ELBO())
    for _ in range(600):
        svi.step(x, y)
    draws = Predictive(model, guide=guide, num_samples=100, return_sites=("linear.weight", "linear.bias"))(x)
    assert draws["linear.weight"].mean(0).flatten().tolist() == pytest.approx([1.5, -0.5], abs=0.05)


def test_a_flow_of_splines_learns_a_density():
    data = torch.rand(500, 2) * 2 + 1
    flow = transforms.Spline(2, count_bins=8, bound=4.0)
    density = dist.TransformedDistribution(dist.Normal(torch.zeros(2), 1.0).to_event(1), [flow])
    optimizer, losses = torch.optim.Adam(flow.parameters(), lr=0.05), []
    for _ in range(60):
        optimizer.zero_grad()
        loss = -density.log_prob(data).mean()
        loss.backward()
        optimizer.step()
        density.clear_cache()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1
