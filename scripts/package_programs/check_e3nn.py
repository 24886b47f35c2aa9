"""Equivariant networks with e3nn: harmonics, tensor products, gates, a network over points; opt_einsum_fx beneath."""

import copy
import math
import pickle

import pytest
import torch
from e3nn import o3
from e3nn.math import soft_one_hot_linspace, soft_unit_step
from e3nn.nn import BatchNorm, FullyConnectedNet, Gate, NormActivation
from e3nn.util.test import equivariance_error
from opt_einsum_fx import jitable, optimize_einsums_full
from torch import fx

# PyTorch 2.13 computes these.
SECOND = [-1.682448, -0.716385, -0.775934, 0.927722, 0.439797]
SLOPE = [5.586666, 6.248992, 3.90641]
WIGNER = [0.118929, 0.560269, 0.541653, 0.438348, -0.098969, -0.215671, -0.360706]
PRODUCT = [0.568061, 0.464107]
PATHS = -7.297439
NETWORK = 0.930272


pytestmark = pytest.mark.usefixtures("quiet")


def points(n, seed=0):
    """Places in space, the same under each package."""
    grid = torch.arange(3.0 * n, dtype=torch.float64).reshape(n, 3)
    return torch.sin(grid * (1.3 + seed) + seed).float()


def turned(irreps, alpha=0.3, beta=1.1, gamma=-0.7, parity=0):
    """How a rotation, and a reflection where the parity is odd, acts on values of irreps."""
    angles = torch.tensor([alpha, beta, gamma, parity])
    return o3.Irreps(irreps).D_from_angles(*angles)


def test_harmonics_turn_with_their_points():
    where = points(20)
    irreps = o3.Irreps.spherical_harmonics(4)
    harmonics = o3.SphericalHarmonics(irreps, normalize=True, normalization="component")
    values = harmonics(where)
    for parity in (0, 1):
        torch.testing.assert_close(
            harmonics(where @ turned("1o", parity=parity).T),
            values @ turned(irreps, parity=parity).T,
            atol=2e-5,
            rtol=0,
        )
    sizes = torch.stack([part.square().sum(1) for part in values.split([1, 3, 5, 7, 9], 1)], 1)
    torch.testing.assert_close(sizes, torch.tensor([[1.0, 3, 5, 7, 9]]).expand(20, 5), atol=1e-4, rtol=0)
    assert values[3, 4:9].tolist() == pytest.approx(SECOND, abs=1e-5)
    place = where.clone().requires_grad_()
    o3.spherical_harmonics([1, 2, 3], place, normalize=False).sum().backward()
    assert place.grad[0].tolist() == pytest.approx(SLOPE, rel=1e-4)


def test_matrices_of_wigner_and_coefficients():
    matrix = o3.wigner_D(3, *torch.tensor([0.3, 1.1, -0.7]))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(7), atol=1e-5, rtol=0)
    assert matrix[0].tolist() == pytest.approx(WIGNER, abs=1e-5)
    coefficients = o3.wigner_3j(1, 2, 3)
    assert coefficients.norm().item() == pytest.approx(1.0, abs=1e-5)
    first, second, third = (o3.Irrep(l, 1).D_from_angles(*torch.tensor([0.3, 1.1, -0.7])) for l in (1, 2, 3))
    acted = torch.einsum("ijk,li,mj,nk->lmn", coefficients, first, second, third)
    torch.testing.assert_close(acted, coefficients, atol=1e-5, rtol=0)
    rotation = o3.rand_matrix(5)
    torch.testing.assert_close(o3.angles_to_matrix(*o3.matrix_to_angles(rotation)), rotation, atol=1e-4, rtol=0)
    torch.testing.assert_close(o3.quaternion_to_matrix(o3.matrix_to_quaternion(rotation)), rotation, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: o3.FullyConnectedTensorProduct("4x0e + 3x1o", "2x0e + 2x1o + 1x2e", "4x0e + 2x1e + 3x2o"),
        lambda: o3.FullTensorProduct("2x0e + 1x1o", "1x1o + 1x2e"),
        lambda: o3.ElementwiseTensorProduct("3x0e + 2x1o", "3x0o + 2x1o"),
        lambda: o3.TensorSquare("2x0e + 2x1o"),
        lambda: o3.Linear("4x0e + 3x1o", "2x0e + 5x1o"),
        lambda: o3.Norm("3x0e + 2x1o + 1x2e"),
        lambda: NormActivation("3x0e + 2x1o + 1x2e", torch.sigmoid),
        lambda: Gate("4x0e", [torch.tanh], "2x0e + 3x0o", [torch.sigmoid, torch.tanh], "2x1o + 3x2e"),
    ],
    ids=["fully", "full", "elementwise", "square", "linear", "norm", "activation", "gate"],
)
def test_layers_turn_with_what_they_are_given(layer):
    module = layer()
    sides = ["irreps_in"] if hasattr(module, "irreps_in") else ["irreps_in1", "irreps_in2"]
    irreps = [o3.Irreps(getattr(module, name)) for name in sides]
    given = [side.randn(6, -1).requires_grad_() for side in irreps]
    output = module(*given)
    assert output.shape == (6, module.irreps_out.dim)
    for parity in (0, 1):
        turn = [x @ turned(side, parity=parity).T for x, side in zip(given, irreps, strict=True)]
        wanted = output @ turned(module.irreps_out, parity=parity).T
        torch.testing.assert_close(module(*turn), wanted, atol=1e-4, rtol=1e-4)
    errors = equivariance_error(module, [x.detach() for x in given], irreps, [module.irreps_out])
    assert all(error.max().item() < 1e-3 for error in errors.values())
    output.square().sum().backward()
    assert all(x.grad.isfinite().all() for x in (*given, *module.parameters()))


def with_known_weights(module):
    """The module with the same weights under each package."""
    for k, weight in enumerate(module.parameters()):
        with torch.no_grad():
            weight.copy_(torch.cos(torch.arange(weight.numel()) * 0.7 + k).reshape(weight.shape))
    return module


def test_a_product_learns():
    product = with_known_weights(o3.FullyConnectedTensorProduct("1x0e + 1x1o", "1x0e + 1x1o + 1x2e", "2x0e + 2x1o"))
    harmonics = o3.spherical_harmonics([0, 1, 2], points(16), normalize=True)
    given = torch.cat([torch.ones(16, 1), points(16, 1)], 1)
    wanted = torch.cat([given[:, 1:].norm(dim=1, keepdim=True).expand(16, 2), harmonics[:, 1:4], given[:, 1:]], 1)
    optimizer = torch.optim.Adam(product.parameters(), lr=0.05)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = (product(given, harmonics) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(PRODUCT[0], rel=1e-4) and losses[-1] == pytest.approx(PRODUCT[1], rel=1e-3)


@pytest.mark.parametrize("specialized", [True, False])
@pytest.mark.parametrize("optimized", [True, False])
def test_products_of_all_kinds_of_paths(specialized, optimized):
    kinds = ["uvw", "uvu", "uvv", "uuw", "uuu"]
    paths = [(k, k, k, kind, kind != "uuu", 1.0) for k, kind in enumerate(kinds)]
    sides = [o3.Irreps("2x0e + 3x1o + 3x1o + 2x1o + 2x2e"), o3.Irreps("3x1o + 2x1o + 4x0e + 2x1e + 2x1o")]
    product = o3.TensorProduct(
        *sides,
        "4x1o + 3x1e + 4x1o + 5x1o + 2x2o",
        paths,
        compile_left_right=True,
        compile_right=True,
        _specialized_code=specialized,
        _optimize_einsums=optimized,
    )
    with_known_weights(product)
    left, right = (torch.sin(torch.arange(3.0 * s.dim)).reshape(3, s.dim) for s in sides)
    found = product(left, right)
    assert found.sum().item() == pytest.approx(PATHS, rel=1e-4)
    torch.testing.assert_close(torch.einsum("zi,zij->zj", left, product.right(right)), found, atol=1e-4, rtol=1e-4)


def test_planned_sums_are_those_that_were_written():
    def chain(a, b, c):
        return torch.einsum("ij,jk->ik", torch.einsum("ij,jk->ik", a, b), 2.0 * c) / 3.0

    given = [torch.randn(5, 6), torch.randn(6, 7), torch.randn(7, 2)]
    traced = fx.symbolic_trace(chain)
    planned = optimize_einsums_full(traced, given)
    torch.testing.assert_close(jitable(planned)(*given), chain(*given), atol=1e-5, rtol=1e-5)
    assert sum(node.op == "call_function" for node in planned.graph.nodes) > 1


class Layer(torch.nn.Module):
    """A convolution over points with a gate, as the package's guide builds it."""

    def __init__(self, given, wanted, harmonics):
        super().__init__()
        wanted = o3.Irreps(wanted)
        scalars = o3.Irreps([part for part in wanted if part.ir.l == 0])
        gated = o3.Irreps([part for part in wanted if part.ir.l > 0])
        gates = o3.Irreps(f"{gated.num_irreps}x0e") if gated.num_irreps else o3.Irreps("")
        self.gate = Gate(scalars, [torch.tanh for _ in scalars], gates, [torch.sigmoid for _ in gates], gated)
        self.product = o3.FullyConnectedTensorProduct(given, harmonics, self.gate.irreps_in, shared_weights=False)
        self.weights = FullyConnectedNet([6, 12, self.product.weight_numel], torch.nn.functional.silu)
        self.norm = BatchNorm(self.gate.irreps_out)

    def forward(self, values, harmonics, lengths, start, end):
        sent = self.product(values[start], harmonics, self.weights(lengths))
        gathered = torch.zeros(len(values), sent.shape[1]).index_add(0, end, sent) / math.sqrt(8)
        return self.norm(self.gate(gathered))


class Network(torch.nn.Module):
    harmonics = o3.Irreps.spherical_harmonics(2)

    def __init__(self):
        super().__init__()
        middle = "8x0e + 4x0o + 3x1o + 2x1e + 2x2e"
        self.first = Layer("1x0e", middle, self.harmonics)
        self.second = Layer(self.first.gate.irreps_out, "4x0e", self.harmonics)
        self.last = o3.Linear("4x0e", "1x0e")

    def forward(self, clouds):
        """A number for each cloud of points, of shape (clouds, points, 3)."""
        count, size, _ = clouds.shape
        where = clouds.flatten(0, 1)
        start, end = torch.block_diag(*[torch.ones(size, size) - torch.eye(size)] * count).nonzero().T
        edges = where[start] - where[end]
        harmonics = o3.spherical_harmonics(self.harmonics, edges, normalize=True, normalization="component")
        distances = edges.norm(dim=1)
        lengths = soft_one_hot_linspace(distances, 0.0, 3.5, 6, basis="smooth_finite", cutoff=True) * math.sqrt(6)
        lengths = lengths * soft_unit_step(10 * (1 - distances / 4)).unsqueeze(1)
        values = self.first(torch.ones(len(where), 1), harmonics, lengths, start, end)
        return self.last(self.second(values, harmonics, lengths, start, end)).reshape(count, size).mean(1)


def test_a_network_over_points_learns_what_does_not_turn():
    network = with_known_weights(Network())
    clouds = torch.stack([points(6, seed) for seed in range(1, 9)])
    wanted = torch.linalg.svdvals(clouds - clouds.mean(1, keepdim=True))[:, 0]
    wanted = (wanted - wanted.mean()) / wanted.std()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (network(clouds) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(NETWORK, rel=1e-4) and losses[-1] < 0.5 * losses[0]
    network.eval()
    with torch.no_grad():
        found = network(clouds)
        alike = [clouds @ turned("1o", parity=parity).T for parity in (0, 1)]
        for other in (*alike, clouds[:, [3, 1, 0, 5, 4, 2]], clouds + 2.0):
            torch.testing.assert_close(network(other), found, atol=1e-3, rtol=1e-3)
        assert found.std() > 0.1


def test_networks_are_saved_copied_and_loaded(tmp_path):
    first, second = Network(), Network()
    torch.save(first.state_dict(), tmp_path / "network")
    second.load_state_dict(torch.load(tmp_path / "network"))
    clouds = points(5).unsqueeze(0)
    wanted = first.eval()(clouds)
    for other in (second.eval(), copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert torch.equal(other(clouds), wanted)
