"""What `__torch_function__` of a class and of a mode gets from functions, operators and methods, beside PyTorch."""

from __future__ import annotations

import corten
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:`torch.jit:DeprecationWarning")
# A call by its text: `x` (2, 3) is of the class, `w` (4, 3), `y` (2, 3) and `t`, `image` (1, 2, 4, 4) too, as named.
CALLS = """
    F.softmax(x, dim=1) | F.softmax(x, 1) | F.log_softmax(x, -1, dtype=lib.float64) | F.relu(x)
    F.relu(x, inplace=True)
    F.gelu(x, approximate="tanh") | F.linear(x, w) | F.dropout(x, 0.2, training=False) | F.cross_entropy(x, t)
    F.cross_entropy(x, t, label_smoothing=0.1) | F.mse_loss(x, y) | F.layer_norm(x, (3,), eps=0.1) | F.pad(x, (1, 1))
    F.batch_norm(x, None, None, training=True) | F.embedding(t, x) | F.interpolate(image, scale_factor=2) | F.elu(x)
    F.nll_loss(x, t) | F.binary_cross_entropy_with_logits(x, y) | F.normalize(x) | F.leaky_relu(x, 0.1) | F.silu(x)
    F.unfold(image, 2) | F.hardtanh(x) | F.smooth_l1_loss(x, y) | F.kl_div(x, y, reduction="sum") | F.mish(x)
    F.group_norm(image, 2)
    F.conv2d(image, lib.ones(3, 2, 3, 3), padding=1) | F.avg_pool2d(image, 2) | F.huber_loss(x, y) | F.relu6(x)
    lib.add(x, 1, alpha=2) | x + 1 | 1 - x | x * y | x @ y.t() | x == 1 | -x | abs(x) | x[0] | x[:, 1:] | x.sum(1) | x.T
    lib.sum(x, dim=1, keepdim=True) | lib.cat([x, y], dim=1) | lib.stack((x, y)) | x.view(3, 2) | x.reshape((3, 2))
    x.transpose(0, 1) | x.permute(1, 0) | x.shape | x.size(0) | x.to(lib.float64) | x.detach() | x.max(dim=1) | x.mean()
    lib.where(x > 0, x, 0.0) | lib.mm(x, w.t()) | lib.einsum("ij->ji", x) | x.softmax(dim=-1) | lib.exp(x) | x.add_(1)
    lib.zeros_like(x) | x.clamp(min=0) | lib.topk(x, 2) | x.float() | len(x)
    x.requires_grad | x.masked_fill(y > 0, 0.0) | F.sigmoid(x) | F.tanhshrink(x) | F.softsign(x) | F.softmin(x, dim=1)
    F.rrelu(x) | F.hardsigmoid(x) | F.glu(image, dim=1) | F.alpha_dropout(x, 0.1) | F.dropout1d(x) | F.dropout2d(image)
    F.max_pool2d(image, 2) | F.max_pool2d(image, 2, return_indices=True) | F.max_pool1d(x, 2) | F.lp_pool2d(image, 2, 2)
    F.adaptive_avg_pool1d(x, 1) | F.adaptive_avg_pool2d(image, (1, 1)) | F.adaptive_max_pool2d(image, 1)
    F.rms_norm(x, (3,)) | F.local_response_norm(image, 2) | F.embedding_bag(t.view(1, 2), x) | F.soft_margin_loss(x, y)
    F.hinge_embedding_loss(x, y) | F.multi_margin_loss(x, t) | F.multilabel_soft_margin_loss(x, y)
    F.triplet_margin_loss(x, y, x) | F.triplet_margin_with_distance_loss(x, y, x) | F.poisson_nll_loss(x, y)
    F.gaussian_nll_loss(x, y, y) | F.cosine_similarity(x, y) | F.pairwise_distance(x, y)
    F.pixel_shuffle(x.view(1, 6, 1, 1), 1)
    lib.cdist(x, y) | lib.meshgrid(x[0], y[0], indexing="ij") | lib.atleast_2d(x) | lib.block_diag(x, y)
    lib.broadcast_tensors(x, y) | lib.tensordot(x, y) | lib.norm(x, dim=1) | lib.is_floating_point(x)
"""
ALL_CALLS = [call.strip() for line in CALLS.strip().splitlines() for call in line.split(" | ")]


def written(lib, value):
    """Arguments as text: tensors by their place, names without the library."""
    if isinstance(value, lib.Tensor):
        return "tensor"
    if isinstance(value, (list, tuple)):
        return [written(lib, part) for part in value]
    if isinstance(value, dict):
        return {name: written(lib, part) for name, part in value.items()}
    return str(value).removeprefix(f"{lib.__name__}.")


def space_of(lib, func):
    """Which of the library's objects a function is."""
    name = func.__name__
    for space, holder in (("F", lib.nn.functional), ("top", lib), ("Tensor", lib.Tensor)):
        if getattr(holder, name, None) is func:
            return f"{space}.{name}"
    return f"{name} of {getattr(getattr(func, '__self__', None), '__name__', None)}"


def received(lib, call, by_mode):
    calls = []

    def note(func, args, kwargs):
        calls.append((space_of(lib, func), written(lib, list(args)), written(lib, kwargs or {})))

    class Noted(lib.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            assert cls in types
            note(func, args, kwargs)
            with lib._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))

    class Mode(lib.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            note(func, args, kwargs)
            return func(*args, **(kwargs or {}))

    kind = lib.Tensor if by_mode else Noted
    names = {
        "x": lib.ones(2, 3).as_subclass(kind), "image": lib.ones(1, 2, 4, 4).as_subclass(kind), "y": lib.ones(2, 3),
        "w": lib.ones(4, 3), "t": lib.tensor([0, 1]), "lib": lib, "F": lib.nn.functional,
    }  # fmt: skip
    if by_mode:
        with Mode():
            eval(call, names)
    else:
        eval(call, names)
    # What an argument is computed by comes first, the function itself in the end.
    return calls[-1] if calls else None


# Facts of plain tensors are not shown to modes, nor functions written in operators.
UNSEEN_BY_MODES = ("x.T", "x.shape", "x.size(0)", "x.requires_grad", "x.detach()", "len(x)", 'lib.einsum("ij->ji", x)')


@pytest.mark.parametrize("call", ALL_CALLS)
def test_a_class_gets_a_function_as_pytorch_hands_it_over(call):
    assert received(corten, call, by_mode=False) == received(torch, call, by_mode=False)


@pytest.mark.parametrize("call", [call for call in ALL_CALLS if call not in UNSEEN_BY_MODES])
def test_a_mode_gets_a_function_as_pytorch_hands_it_over(call):
    assert received(corten, call, by_mode=True) == received(torch, call, by_mode=True)


def test_a_subclass_gets_its_class_back_from_functions():
    for lib in (corten, torch):

        class Plain(lib.Tensor):
            pass

        x = lib.ones(2, 3).as_subclass(Plain)
        for result in (lib.nn.functional.softmax(x, 1), lib.nn.functional.pad(x, (1, 1)), lib.nn.functional.relu(x)):
            assert type(result) is Plain
