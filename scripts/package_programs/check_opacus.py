"""Training with differential privacy by opacus: gradients of each sample by hooks and by vmap, noise, budgets."""

import pytest
import torch
from opacus import GradSampleModule, PrivacyEngine
from opacus.accountants import GaussianAccountant, PRVAccountant, RDPAccountant
from opacus.accountants.utils import get_noise_multiplier
from opacus.layers import DPGRU, DPLSTM, DPMultiheadAttention
from opacus.utils.batch_memory_manager import BatchMemoryManager
from opacus.validators import ModuleValidator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

# PyTorch 2.13 computes these.
BUDGET = 28.363752
SPENT = [0.956091, 0.390553, 0.559834]
NOISE = 0.913086


pytestmark = pytest.mark.usefixtures("quiet")


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.inner = kind(5, 6, batch_first=True)

    def forward(self, x):
        return self.inner(x)[0]


LAYERS = {
    "linear": (lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)), (5,)),
    "convolution": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()), (2, 6, 6)),
    "groups": (lambda: nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.GroupNorm(2, 4), nn.Flatten()), (4, 5, 5)),
    "line": (lambda: nn.Sequential(nn.Conv1d(2, 3, 3, dilation=2), nn.InstanceNorm1d(3, affine=True)), (2, 9)),
    "volume": (lambda: nn.Conv3d(1, 2, 2), (1, 4, 4, 4)),
    "norm": (lambda: nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6)), (5,)),
    "lstm": (lambda: Recurrent(DPLSTM), (4, 5)),
    "gru": (lambda: Recurrent(DPGRU), (4, 5)),
}


@pytest.mark.parametrize("mode", ["hooks", "functorch"])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_samples_are_those_of_batches_of_one(name, mode):
    build, shape = LAYERS[name]
    model = build()
    x = torch.randn(3, *shape)
    one = []
    for sample in x:
        model.zero_grad()
        model(sample[None]).square().sum().backward()
        one.append([p.grad.clone() for p in model.parameters()])
    model.zero_grad()
    wrapped = GradSampleModule(model, batch_first=True, loss_reduction="sum", force_functorch=mode == "functorch")
    wrapped(x).square().sum().backward()
    for k, parameter in enumerate(wrapped.parameters()):
        expected = torch.stack([grads[k] for grads in one])
        torch.testing.assert_close(parameter.grad_sample, expected, atol=1e-4, rtol=1e-4)


def test_attention_has_gradients_of_samples():
    model = DPMultiheadAttention(8, 2)
    x = torch.randn(4, 3, 8)
    one = []
    for sample in x.split(1, 1):
        model.zero_grad()
        model(sample, sample, sample)[0].square().sum().backward()
        one.append([p.grad.clone() for p in model.parameters()])
    model.zero_grad()
    wrapped = GradSampleModule(model, batch_first=False, loss_reduction="sum")
    wrapped(x, x, x)[0].square().sum().backward()
    for k, parameter in enumerate(wrapped.parameters()):
        expected = torch.stack([grads[k] for grads in one])
        torch.testing.assert_close(parameter.grad_sample, expected, atol=1e-4, rtol=1e-4)


def data(n=64):
    x = torch.sin(torch.arange(4.0 * n)).reshape(n, 4)
    return TensorDataset(x, (x[:, 0] > x[:, 1]).long())


@pytest.mark.parametrize("clipping", ["flat", "per_layer"])
def test_private_training_spends_a_budget(clipping):
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    engine = PrivacyEngine(accountant="rdp")
    limit = 1.0 if clipping == "flat" else [0.5] * 4
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=optimizer,
        data_loader=DataLoader(data(), batch_size=16),
        noise_multiplier=0.6,
        max_grad_norm=limit,
        clipping=clipping,
        noise_generator=torch.Generator().manual_seed(1),
    )
    found = []
    for _ in range(8):
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    assert sum(found[-8:]) < sum(found[:8])
    assert engine.get_epsilon(1e-5) == pytest.approx(BUDGET, rel=1e-5)


def test_a_target_is_kept_and_large_batches_are_cut():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    engine = PrivacyEngine(accountant="prv")
    model, optimizer, loader = engine.make_private_with_epsilon(
        module=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=0.02),
        data_loader=DataLoader(data(), batch_size=32),
        target_epsilon=4.0,
        target_delta=1e-4,
        epochs=2,
        max_grad_norm=1.0,
    )
    before = [p.clone() for p in model.parameters()]
    with BatchMemoryManager(data_loader=loader, max_physical_batch_size=8, optimizer=optimizer) as cut:
        for x, y in cut:
            assert len(x) <= 8
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert 0 < engine.get_epsilon(1e-4) < 4.0


def test_without_noise_it_is_the_clipped_mean():
    model = nn.Linear(4, 2)
    other = nn.Linear(4, 2)
    other.load_state_dict(model.state_dict())
    private, optimizer, _ = PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        data_loader=DataLoader(data(8), batch_size=8),
        noise_multiplier=0.0,
        max_grad_norm=0.3,
        poisson_sampling=False,
    )
    x, y = data(8).tensors
    nn.functional.cross_entropy(private(x), y).backward()
    optimizer.step()
    for sample, label in zip(x, y, strict=True):
        grads = torch.autograd.grad(nn.functional.cross_entropy(other(sample[None]), label[None]), other.parameters())
        size = torch.cat([g.flatten() for g in grads]).norm()
        with torch.no_grad():
            for parameter, grad in zip(other.parameters(), grads, strict=True):
                parameter.grad = grad * (0.3 / (size + 1e-6)).clamp(max=1) / 8 + (
                    0 if parameter.grad is None else parameter.grad
                )
    with torch.no_grad():
        for parameter in other.parameters():
            parameter -= parameter.grad
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_accountants_and_checkpoints(tmp_path):
    for kind, expected in ((RDPAccountant, SPENT[0]), (GaussianAccountant, SPENT[1]), (PRVAccountant, SPENT[2])):
        accountant = kind()
        for _ in range(100):
            accountant.step(noise_multiplier=1.1, sample_rate=0.01)
        assert accountant.get_epsilon(1e-5) == pytest.approx(expected, rel=1e-4)
    noise = get_noise_multiplier(target_epsilon=3.0, target_delta=1e-5, sample_rate=0.02, epochs=5, accountant="rdp")
    assert noise == pytest.approx(NOISE, rel=1e-4)
    engine, model = PrivacyEngine(), nn.Linear(4, 2)
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(data(), batch_size=16),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    engine.save_checkpoint(path=tmp_path / "state", module=model, optimizer=optimizer)
    other = PrivacyEngine()
    other.load_checkpoint(path=tmp_path / "state", module=model, optimizer=optimizer)
    assert other.get_epsilon(1e-5) == pytest.approx(engine.get_epsilon(1e-5))


def test_networks_that_mix_samples_are_refused_and_mended():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
    assert ModuleValidator.validate(model)
    mended = ModuleValidator.fix(model)
    assert not ModuleValidator.validate(mended) and isinstance(mended[1], nn.GroupNorm)
    assert mended(torch.randn(2, 3, 4, 4)).shape == (2, 2)
