"""Flows, mixtures and transformations of zuko: densities, samples, inverses and training."""

import math

import pytest
import torch
import zuko

HIDDEN = {"hidden_features": (32, 32)}
# PyTorch 2.13 computes these.
LOSSES = {
    "MAF": [3.961095, 1.820286],
    "NSF": [4.30089, 1.812941],
    "NICE": [4.182268, 1.864902],
    "GF": [2.56648, 2.310196],
}
MIXED = [-2.2322, -0.537012]
SPLINE = [-4.0, -3.070121, -2.329105, -1.305459, 0.232513, 0.95645, 1.731753, 3.227758, 4.001842]


pytestmark = pytest.mark.usefixtures("quiet")


def moons(n):
    """Points on two arcs, the same under each package."""
    turn = torch.linspace(0, math.pi, n // 2)
    upper, lower = torch.stack([turn.cos(), turn.sin()], 1), torch.stack([1 - turn.cos(), 0.5 - turn.sin()], 1)
    return torch.cat([upper, lower]) + 0.05 * torch.sin(37.0 * torch.arange(2.0 * n)).reshape(n, 2)


FLOWS = {
    "NICE": lambda: zuko.flows.NICE(3, 2, transforms=3),
    "MAF": lambda: zuko.flows.MAF(3, 2, transforms=2),
    "NSF": lambda: zuko.flows.NSF(3, 2, transforms=2, bins=4),
    "NCSF": lambda: zuko.flows.NCSF(3, 2, transforms=2, bins=4),
    "SOSPF": lambda: zuko.flows.SOSPF(3, 2, transforms=2, degree=2),
    "NAF": lambda: zuko.flows.NAF(3, 2, transforms=2, hidden_features=(16,)),
    "UNAF": lambda: zuko.flows.UNAF(3, 2, transforms=2, hidden_features=(16,)),
    "CNF": lambda: zuko.flows.CNF(3, 2, hidden_features=(16,)),
    "GF": lambda: zuko.flows.GF(3, 2, transforms=2),
    "BPF": lambda: zuko.flows.BPF(3, 2, transforms=2, degree=4),
    "RealNVP": lambda: zuko.flows.RealNVP(3, 2, transforms=3),
    "GMM": lambda: zuko.mixtures.GMM(3, 2, components=3),
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_has_densities_samples_and_gradients(name):
    flow = FLOWS[name]()
    context = torch.randn(2)
    conditioned = flow(context)
    x = conditioned.sample((16,))
    assert x.shape == (16, 3) and x.isfinite().all()
    density = conditioned.log_prob(x)
    assert density.shape == (16,)
    (-density.mean()).backward()
    grads = [p.grad for p in flow.parameters() if p.grad is not None]
    assert grads and all(g.isfinite().all() for g in grads)
    if name not in ("GMM", "CNF"):
        transform = conditioned.transform
        torch.testing.assert_close(transform.inv(transform(x)), x, atol=2e-3, rtol=1e-3)
    if name not in ("GMM", "NAF", "UNAF", "CNF", "SOSPF"):
        jacobian = torch.func.vmap(torch.func.jacrev(lambda v: flow(context).transform(v)))(x)
        ladj = flow(context).transform.log_abs_det_jacobian(x, flow(context).transform(x))
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], ladj, atol=1e-3, rtol=1e-3)


def with_known_weights(module):
    with torch.no_grad():
        for k, weight in enumerate(module.parameters()):
            weight.copy_(0.3 * torch.cos(torch.arange(weight.numel()) * 0.7 + k).reshape(weight.shape))
    return module


@pytest.mark.parametrize("name", ["MAF", "NSF", "NICE", "GF"])
def test_a_flow_learns_two_arcs(name):
    flow = with_known_weights(getattr(zuko.flows, name)(2, transforms=2, **({} if name == "GF" else HIDDEN)))
    x = moons(128)
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = -flow().log_prob(x).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert [losses[0], losses[-1]] == pytest.approx(LOSSES[name], rel=2e-3)
    assert losses[-1] < losses[0]


def test_distributions():
    box = zuko.distributions.BoxUniform(-torch.ones(2), torch.ones(2))
    assert box.log_prob(torch.zeros(2)).item() == pytest.approx(-2 * math.log(2))
    mixed = zuko.distributions.Mixture(
        torch.distributions.Normal(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 0.5])), torch.tensor([0.0, 1.0])
    )
    assert mixed.log_prob(torch.tensor([0.0, 3.0])).tolist() == pytest.approx(MIXED, abs=1e-5)
    ordered = zuko.distributions.Sort(torch.distributions.Normal(0.0, 1.0), 4)
    assert (ordered.sample((5,)).diff(dim=-1) >= 0).all()
    cut = zuko.distributions.Truncated(torch.distributions.Normal(0.0, 1.0), torch.tensor(-0.5), torch.tensor(1.0))
    assert ((cut.sample((50,)) > -0.5) & (cut.sample((50,)) < 1.0)).all()


def test_transforms_and_steps():
    spline = zuko.transforms.MonotonicRQSTransform(*(torch.sin(torch.arange(float(n))) for n in (5, 5, 4)))
    x = torch.linspace(-4, 4, 9)
    y, _ = spline.call_and_ladj(x)
    assert y.tolist() == pytest.approx(SPLINE, abs=1e-4)
    torch.testing.assert_close(spline.inv(y), x, atol=1e-4, rtol=1e-4)
    time = torch.tensor(2.0, requires_grad=True)
    rate = torch.tensor(0.5, requires_grad=True)
    value = zuko.utils.odeint(lambda t, x: -rate * x, torch.ones(3), torch.tensor(0.0), time, phi=[rate])
    assert value[0].item() == pytest.approx(math.exp(-1.0), abs=1e-5)
    value.sum().backward()
    assert rate.grad.item() == pytest.approx(-6 * math.exp(-1.0), rel=1e-4)
    root = zuko.utils.bisection(lambda v: v**3, torch.tensor([8.0]), torch.tensor([-5.0]), torch.tensor([5.0]), n=40)
    assert root.item() == pytest.approx(2.0, abs=1e-5)
    found = zuko.utils.gauss_legendre(lambda v: v**4, torch.zeros(1), torch.ones(1), n=4)
    assert found.item() == pytest.approx(0.2, abs=1e-6)
