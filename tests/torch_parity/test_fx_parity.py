"""Graphs, their code and what passes make of them, beside PyTorch: the same programs traced by both."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import math
import operator
import pickle
import re

import corten
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:`torch.jit:DeprecationWarning")
LIBRARIES = (corten, torch)

# Calls by their text: `x`, `y`, `z` are traced.
FUNCTIONAL = """
    F.relu(x) | F.relu(x, inplace=True) | F.relu6(x) | F.elu(x, 2.0) | F.selu(x) | F.celu(x, alpha=2.0) | F.relu_(x)
    F.leaky_relu(x, 0.2) | F.rrelu(x, training=True) | F.hardtanh(x, -2, 2) | F.hardswish(x) | F.hardsigmoid(x)
    F.silu(x) | F.mish(x) | F.glu(x, dim=1) | F.sigmoid(x) | F.tanh(x) | F.softsign(x) | F.tanhshrink(x)
    F.softmax(x, dim=-1) | F.softmax(x, 1, dtype=lib.float32) | F.softmin(x, dim=1) | F.log_softmax(x, 1)
    F.gumbel_softmax(x, hard=True) | F.gelu(x) | F.gelu(x, approximate="tanh") | F.logsigmoid(x) | F.softplus(x, 2)
    F.softshrink(x) | F.hardshrink(x, 0.3) | F.prelu(x, y) | F.threshold_(x, 0.1, 2.0)
    F.dropout(x) | F.dropout(x, 0.1, training=False) | F.alpha_dropout(x, 0.1) | F.feature_alpha_dropout(x, 0.1)
    F.dropout1d(x) | F.dropout2d(x, p=0.2) | F.dropout3d(x)
    F.linear(x, y) | F.linear(x, y, z) | F.bilinear(x, y, z) | F.embedding(x, y) | F.embedding(x, y, padding_idx=0)
    F.embedding_bag(x, y, z, mode="sum") | F.one_hot(x, 3) | F.one_hot(x, num_classes=4)
    F.conv1d(x, y) | F.conv2d(x, y, None, 2, 1) | F.conv2d(x, y, stride=2, padding="same") | F.conv3d(x, y, z)
    F.conv_transpose1d(x, y) | F.conv_transpose2d(x, y, stride=2) | F.conv_transpose3d(x, y)
    F.avg_pool1d(x, 2) | F.avg_pool2d(x, 2) | F.avg_pool2d(x, 3, stride=2, padding=1) | F.avg_pool3d(x, 2)
    F.max_pool1d(x, 2) | F.max_pool2d(x, 3, stride=2, padding=1) | F.max_pool2d(x, 2, return_indices=True)
    F.max_pool3d(x, 2) | F.max_unpool2d(x, y, 2) | F.max_unpool1d(x, y, 2) | F.max_unpool3d(x, y, 2)
    F.adaptive_avg_pool1d(x, 1) | F.adaptive_avg_pool2d(x, (1, 1)) | F.adaptive_avg_pool2d(x, 1)
    F.adaptive_avg_pool3d(x, 1) | F.adaptive_max_pool1d(x, 2) | F.adaptive_max_pool2d(x, 1)
    F.adaptive_max_pool2d(x, 1, return_indices=True) | F.adaptive_max_pool3d(x, 1)
    F.lp_pool1d(x, 2, 2) | F.lp_pool2d(x, 2.0, 3, stride=2) | F.lp_pool3d(x, 2, 2)
    F.fractional_max_pool2d(x, 2, output_size=3) | F.fractional_max_pool3d(x, 2, output_ratio=0.5)
    F.batch_norm(x, y, z) | F.batch_norm(x, None, None, training=True) | F.instance_norm(x) | F.layer_norm(x, (3,))
    F.group_norm(x, 2, y, z) | F.rms_norm(x, (3,)) | F.local_response_norm(x, 2) | F.normalize(x, dim=1)
    F.cross_entropy(x, y) | F.cross_entropy(x, y, label_smoothing=0.1) | F.nll_loss(x, y) | F.mse_loss(x, y)
    F.smooth_l1_loss(x, y) | F.huber_loss(x, y, delta=2.0) | F.kl_div(x, y)
    F.binary_cross_entropy(x, y) | F.binary_cross_entropy_with_logits(x, y) | F.poisson_nll_loss(x, y)
    F.gaussian_nll_loss(x, y, z) | F.hinge_embedding_loss(x, y) | F.cosine_embedding_loss(x, y, z)
    F.margin_ranking_loss(x, y, z) | F.multi_margin_loss(x, y) | F.multilabel_margin_loss(x, y)
    F.multilabel_soft_margin_loss(x, y) | F.soft_margin_loss(x, y) | F.triplet_margin_loss(x, y, z)
    F.triplet_margin_with_distance_loss(x, y, z) | F.ctc_loss(x, y, z, z)
    F.cosine_similarity(x, y) | F.pairwise_distance(x, y) | F.pdist(x)
    F.pixel_shuffle(x, 2) | F.pixel_unshuffle(x, 2) | F.channel_shuffle(x, 2) | F.pad(x, (1, 1))
    F.pad(x, (1, 2), "reflect")
    F.interpolate(x, scale_factor=2) | F.interpolate(x, size=(4, 4), mode="bilinear", align_corners=False)
    F.unfold(x, 2) | F.fold(x, 4, 2) | F.grid_sample(x, y) | F.affine_grid(x, (1, 1, 2, 2))
    F.scaled_dot_product_attention(x, y, z) | F.scaled_dot_product_attention(x, y, z, is_causal=True)
"""
TOP = """
    lib.add(x, 1) | lib.add(x, y, alpha=2) | lib.sub(x, y) | lib.mul(x, y) | lib.div(x, y, rounding_mode="floor")
    lib.exp(x) | lib.log(x) | lib.sqrt(x) | lib.abs(x) | lib.neg(x) | lib.pow(x, 2) | lib.clamp(x, 0, 1)
    lib.clamp(x, min=0) | lib.relu(x) | lib.sigmoid(x) | lib.tanh(x) | lib.erf(x) | lib.where(x, y, z)
    lib.where(x > 0, y, 0.0) | lib.sum(x, dim=1) | lib.mean(x, 1, keepdim=True) | lib.max(x) | lib.max(x, dim=1)
    lib.argmax(x, dim=-1) | lib.softmax(x, dim=1) | lib.cat([x, y], 1) | lib.cat((x, y), dim=0) | lib.stack([x, y])
    lib.concat([x, y]) | lib.split(x, 2) | lib.split(x, [1, 2], dim=1) | lib.chunk(x, 2, dim=1) | lib.unbind(x)
    lib.flatten(x, 1) | lib.reshape(x, (2, -1)) | lib.transpose(x, 0, 1) | lib.permute(x, (1, 0)) | lib.squeeze(x, 1)
    lib.unsqueeze(x, 0) | lib.matmul(x, y) | lib.mm(x, y) | lib.bmm(x, y) | lib.einsum("ij,jk->ik", x, y)
    lib.tensordot(x, y, dims=1) | lib.outer(x, y) | lib.addmm(x, y, z)
    lib.baddbmm(x, y, z) | lib.norm(x) | lib.norm(x, dim=1) | lib.var(x, 1) | lib.std(x) | lib.cumsum(x, 0)
    lib.gather(x, 1, y) | lib.index_select(x, 0, y) | lib.masked_fill(x, y, 0.0) | lib.topk(x, 2) | lib.sort(x, 1)
    lib.meshgrid(x, y, indexing="ij") | lib.tril(x) | lib.triu(x, 1)
    lib.diag(x) | lib.eye(x) | lib.zeros_like(x) | lib.ones_like(x, dtype=lib.float64) | lib.full_like(x, 2)
    lib.rand_like(x) | lib.randn_like(x) | lib.empty_like(x) | lib.zeros(x) | lib.full((x,), 1.0)
    lib.zeros((x, y)) | lib.arange(x) | lib.arange(0, x, dtype=lib.float32) | lib.linspace(0, 1, x)
    lib.isnan(x) | lib.isfinite(x) | lib.logical_and(x, y) | lib.eq(x, y) | lib.allclose(x, y) | lib.equal(x, y)
    lib.bincount(x) | lib.histc(x) | lib.unique(x) | lib.flip(x, (0,)) | lib.roll(x, 1, 0) | lib.repeat_interleave(x, 2)
    lib.broadcast_tensors(x, y) | lib.cdist(x, y) | lib.cartesian_prod(x, y) | lib.block_diag(x, y) | lib.atleast_2d(x)
    lib.stft(x, 4, return_complex=True) | lib.cross(x, y, dim=1) | lib.lerp(x, y, 0.5) | lib.fft.fft(x)
    lib.fft.rfft(x, dim=1) | lib.linalg.norm(x) | lib.linalg.inv(x) | lib.linalg.solve(x, y) | lib.linalg.svd(x)
    lib.linalg.vector_norm(x, dim=1) | lib.linalg.matrix_norm(x) | lib.linalg.qr(x) | lib.linalg.eigh(x)
    lib.special.entr(x) | lib.special.ndtr(x) | lib.special.xlog1py(x, y) | lib.bernoulli(x) | lib.multinomial(x, 2)
    lib.dropout(x, 0.5, True) | lib.batch_norm(x, y, z, None, None, False, 0.1, 1e-5, True) | lib.layer_norm(x, (3,))
    lib.is_floating_point(x) | lib.numel(x) | lib.scatter(x, 0, y, z) | lib.nonzero(x) | lib.conv2d(x, y) | lib.t(x)
    lib.view_as_real(x) | lib.real(x) | F.elu_(x) | F.hardtanh_(x) | F.leaky_relu_(x)
    lib.adjoint(x) | lib.chain_matmul(x, y) | lib.conv_tbc(x, y, z)
    lib.ctc_loss(x, y, z, x) | lib.gru_cell(x, y, z, x)
    lib.positive(x) | lib.isreal(x) | lib.vander(x) | lib.hsplit(x, 2)
    lib.hann_window(x) | lib.float_power(x, y)
    lib.embedding_bag(x, y, z) | lib.grid_sampler(x, y, z, x, y) | lib.is_nonzero(x)
    lib.linalg.multi_dot(x) | lib.linalg.matmul(x, y) | lib.linalg.diagonal(x) | lib.pinverse(x)
    F.linear_cross_entropy(x, y, z)
    lib.movedim(x, 0, 1) | lib.logsumexp(x, 1) | lib.prod(x) | lib.any(x, 1)
    lib.count_nonzero(x) | lib.take_along_dim(x, y, 1) | lib.searchsorted(x, y) | lib.bucketize(x, y) | lib.kron(x, y)
    lib.trace(x) | lib.dot(x, y) | lib.mv(x, y) | lib.vdot(x, y) | lib.hypot(x, y) | lib.atan2(x, y) | lib.fmod(x, 2)
    lib.remainder(x, 2) | lib.maximum(x, y) | lib.minimum(x, y) | lib.floor(x) | lib.round(x, decimals=1) | lib.sign(x)
"""
OPERATORS = """
    x + 1 | 1 + x | x - y | 2 - x | x * y | 3 * x | x / 2 | 1 / x | x // 2 | 7 // x | x % 3 | 5 % x | x ** 2 | 2 ** x
    x @ y | x & 1 | 1 & x | x | y | x ^ 2 | 3 ^ x | x << 1 | 1 << x | x >> 1 | 8 >> x | ~x | -x | +x | abs(x)
    x == y | x != 1 | x < y | x <= 1 | x > y | x >= 1 | 1 < x | x[0] | x[1:] | x[:, None] | x[..., 1:2] | x[y]
    x["key"] | x[x > 0] | x[y, 1] | x.shape | x.shape[0] | x.size(0) | x.size() | x.T | x.mT.shape
    x.view(y.size(0), -1) | x.relu().sum(dim=(0, 1), keepdim=True) | x.to(lib.float16)
    x.to("cpu") | x.to(lib.device("cpu"))
    x.type(y.dtype) | x.neg()
    x.add_(1) | x(y, k=z) | x.a.b(1).c | t + x | t * x | t - x | t / x | t @ x | t > x | t == x | t[x] | t.view(x)
    t.add(x) | x + t | t ** x | t // x | t % x | t.reshape(x, -1) | lib.add(t, x) | x + float("inf")
    x * float("nan") | x + 1j | {"a": x, "b": (y,), "c": [x, {"d": 1}]} | (x, None, 3, "text", lib.float32, slice(1, x))
    lib.Size([1, 2]) | x.to(lib.float16, memory_format=lib.channels_last)
    x.contiguous(memory_format=lib.channels_last) | lib.einsum("ij,jk->ik", [x, y])
    t & x | t | x | t ^ x | t < x | t.matmul(x) | t.mul(other=x) | t.sum(x) | t.permute(x, 0) | t.index_select(0, x)
"""


def calls(text):
    """The calls of a table; a bar between spaces separates them, but for that of the operator."""
    found = [call.strip() for line in text.strip().splitlines() for call in line.split(" | ")]
    joined = []
    for call in found:
        if call in ("y", "x") and joined:
            joined[-1] += f" | {call}"
        else:
            joined.append(call)
    return joined


def traced(lib, source, **names):
    """A function of `x`, `y` and `z`, by its text, as a graph module."""
    space = {"lib": lib, "F": lib.nn.functional, "math": math, "t": lib.ones(2, 2), **names}
    function = eval(f"lambda x, y, z: {source}", space)
    return lib.fx.symbolic_trace(function)


def written(lib, module):
    return module.code, str(module.graph).replace("corten.", "torch."), [node.name for node in module.graph.nodes]


@pytest.mark.parametrize("call", calls(FUNCTIONAL) + calls(TOP) + calls(OPERATORS))
def test_a_call_becomes_the_same_node(call):
    ours, theirs = (written(lib, traced(lib, call)) for lib in LIBRARIES)
    assert ours == theirs


# Modules by their text: the class `M`, of a library's `nn`, `F` and the library itself, `lib`.
PROGRAMS = {
    "parameters, buffers and constants": """
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear, self.scale = nn.Linear(3, 3), nn.Parameter(lib.ones(3))
                self.register_buffer("mean", lib.zeros(3))
            def forward(self, x):
                return self.linear(x - self.mean) * self.scale + self.scale + lib.ones(3) @ self.linear.weight
    """,
    "nested modules": """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Sequential(nn.LayerNorm(3), nn.Dropout(0.1)))
            def forward(self, x):
                return x + self.layers(x)
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = nn.ModuleList([Block() for _ in range(2)])
            def forward(self, x):
                for block in self.blocks:
                    x = block(x)
                return x
    """,
    "residual blocks": """
        class Block(nn.Module):
            def __init__(self, n):
                super().__init__()
                self.conv1, self.bn1 = nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n)
                self.conv2, self.bn2 = nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n)
                self.relu = nn.ReLU(inplace=True)
            def forward(self, x):
                out = self.relu(self.bn1(self.conv1(x)))
                out = self.bn2(self.conv2(out))
                out += x
                return self.relu(out)
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem, self.layer1 = nn.Conv2d(3, 3, 3, padding=1), nn.Sequential(Block(3), Block(3))
                self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(3, 4)
            def forward(self, x):
                return self.fc(lib.flatten(self.pool(self.layer1(self.stem(x))), 1))
    """,
    "defaults and annotations": """
        class M(nn.Module):
            def forward(self, x: lib.Tensor, y: int = 2, *, z: "float" = 1.5, w=None) -> lib.Tensor:
                return x * y + z
    """,
    "arguments that are left": """
        class M(nn.Module):
            def forward(self, x, *args, scale=2, **kwargs):
                return x * scale + args[0] + kwargs["bias"]
    """,
    "attention": """
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.q, self.k, self.v = (nn.Linear(4, 4) for _ in range(3))
            def forward(self, x, mask=None):
                n, t, d = x.shape
                q, k, v = (f(x).view(n, t, 2, d // 2).transpose(1, 2) for f in (self.q, self.k, self.v))
                weights = F.softmax(q @ k.transpose(-2, -1) / math.sqrt(2), dim=-1)
                return (weights @ v).transpose(1, 2).reshape(n, t, d)
    """,
    "recurrent": """
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed, self.rnn = nn.Embedding(5, 3), nn.LSTM(3, 4, batch_first=True)
            def forward(self, x):
                out, (h, c) = self.rnn(self.embed(x))
                return out[:, -1], h.squeeze(0), c
    """,
    "structures": """
        class M(nn.Module):
            def forward(self, x, y):
                first, second = x.chunk(2, dim=1)
                return {"sum": first + second, "list": [first, (second, y[0], None)], "n": x.size(0), "t": lib.int64}
    """,
    "python functions": """
        def helper(x, n):
            for i in range(n):
                x = x + i
            return x
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.n = 3
            def forward(self, x):
                return helper(x, self.n) if self.training else x
    """,
    "math and mutation": """
        class M(nn.Module):
            def forward(self, x, y):
                x.add_(1).mul_(2)
                y = F.relu(y, inplace=True)
                return lib.where(x > math.pi, x.clamp(0, math.inf), y) ** 2
    """,
    "shared modules": """
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(3, 3)
                self.b = self.a
            def forward(self, x):
                return self.b(self.a(x)) + self.a.bias
    """,
    "names that Python has": """
        class M(nn.Module):
            def forward(self, input, type, max, lambda_):
                return lib.max(input, type).sum() + max.list.len + lambda_
    """,
    "creation": """
        class M(nn.Module):
            def forward(self, x):
                n = x.shape[0]
                eye = lib.eye(n, dtype=x.dtype, device=x.device)
                return lib.cat([x, lib.zeros(n), lib.arange(n, dtype=lib.float32)], dim=0), eye, x.new_zeros(n)
    """,
    "losses": """
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.loss = nn.CrossEntropyLoss(label_smoothing=0.1)
            def forward(self, x, t):
                return self.loss(x, t) + F.mse_loss(x, t, reduction="sum") + F.nll_loss(F.log_softmax(x, 1), t)
    """,
    "dead code": """
        class M(nn.Module):
            def forward(self, x):
                unused = x * 2
                lib.relu(unused)
                return x
    """,
}


def module_of(lib, name):
    import textwrap

    space = {"lib": lib, "nn": lib.nn, "F": lib.nn.functional, "math": math, "__name__": "program"}
    exec(textwrap.dedent(PROGRAMS[name]), space)
    lib.manual_seed(0)
    return space["M"]()


def table_of(graph):
    """The printed table, without what differs between processes; none without the package that prints it."""
    if importlib.util.find_spec("tabulate") is None:
        return []
    with contextlib.redirect_stdout(io.StringIO()) as out:
        graph.print_tabular()
    text = re.sub(r"<(built-in (?:method|function)|function) (\w+)[^>]*>", r"<\2>", out.getvalue())
    return [re.split(r"  +", line.strip()) for line in text.splitlines()[2:]]


def without_functions(table):
    return [[cell for cell in row if not cell.startswith("<")] for row in table]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_module_is_traced_the_same(name):
    found = []
    for lib in LIBRARIES:
        module = lib.fx.symbolic_trace(module_of(lib, name))
        readable = module.print_readable(print_output=False)
        table = without_functions(table_of(module.graph))
        nodes = [
            (n.op, n.name, str(n.args), len(n.users), [str(m) for m in n.all_input_nodes]) for n in module.graph.nodes
        ]
        stack = [list(n.meta.get("nn_module_stack", {})) for n in module.graph.nodes]
        found.append(
            (*written(lib, module), str(module), readable, table, str(nodes).replace("corten.", "torch."), stack)
        )
    for ours, theirs in zip(*found, strict=True):
        assert ours == theirs


INPUTS = {
    "parameters, buffers and constants": [(2, 3)],
    "nested modules": [(2, 3)],
    "residual blocks": [(2, 3, 4, 4)],
    "attention": [(2, 3, 4)],
    "structures": [(2, 4), (2, 4)],
    "math and mutation": [(2, 4), (2, 4)],
    "creation": [(3,)],
}


def with_weights(module, source):
    state = {name: corten.tensor(value.numpy()) for name, value in source.state_dict().items()}
    module.load_state_dict(state)
    return module


@pytest.mark.parametrize("name", INPUTS)
def test_a_graph_computes_what_pytorchs_does(name):
    reference = module_of(torch, name).eval()
    ours = corten.fx.symbolic_trace(with_weights(module_of(corten, name), reference).eval())
    theirs = torch.fx.symbolic_trace(reference)
    inputs = [torch.randn(shape) for shape in INPUTS[name]]
    expected = torch.utils._pytree.tree_leaves(theirs(*(x.clone() for x in inputs)))
    for run in (ours, corten.fx.Interpreter(ours).run, copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        results = corten.utils._pytree.tree_leaves(run(*(corten.tensor(x.numpy()) for x in inputs)))
        for got, want in zip(results, expected, strict=True):
            if isinstance(want, torch.Tensor):
                torch.testing.assert_close(torch.from_numpy(got.detach().numpy()), want.detach())


def test_shapes_are_noted_and_shown_the_same():
    texts = []
    for lib in LIBRARIES:
        from importlib import import_module

        prop = import_module(f"{lib.__name__}.fx.passes.shape_prop").ShapeProp
        module = lib.fx.symbolic_trace(module_of(lib, "residual blocks").eval())
        prop(module).propagate(lib.zeros(2, 3, 4, 4))
        metas = [node.meta.get("tensor_meta") for node in module.graph.nodes]
        texts.append((module.print_readable(False), str(metas).replace("corten.", "torch.")))
    assert texts[0] == texts[1]


CONCRETE = [
    ("lambda x, flag=True, n=None: (x + 1 if flag else x) * (2 if n is None else n)", {"flag": True, "n": None}),
    ("lambda x, flag=True, n=None: x + 1 if flag else x", {"flag": False}),
    ("lambda x, scale: x * 2 if scale > 1.5 else x", {"scale": 2.5}),
    ("lambda x, mode: x.relu() if mode == 'relu' else x", {"mode": "relu"}),
    ("lambda x, y: {'out': x['a'] + x['b'][0], 'y': y}", {"x": {"a": "PH", "b": ["PH"]}}),
    ("lambda x: [part * 2 for part in x]", {"x": ["PH", "PH"]}),
]


def marked(lib, tree):
    return lib.utils._pytree.tree_map(lambda leaf: lib.fx._symbolic_trace.PH if leaf == "PH" else leaf, tree)


@pytest.mark.parametrize(("source", "constants"), CONCRETE)
def test_constant_arguments_are_traced_the_same(source, constants):
    found = []
    for lib in LIBRARIES:
        module = lib.fx.symbolic_trace(eval(source), concrete_args=marked(lib, constants))
        found.append(written(lib, module))
    assert found[0] == found[1]


PATTERNS = [
    ("lib.relu(x + 1) * lib.relu(y)", "lambda x: lib.relu(x)", "lambda x: lib.sigmoid(x)"),
    (
        "lib.cat([x, y]) + lib.cat([y, x])",
        "lambda a, b: lib.cat([a, b])",
        "lambda a, b: lib.stack([a, b]).flatten(0, 1)",
    ),
    ("(x + y).relu() + (x + y)", "lambda a, b: (a + b).relu()", "lambda a, b: F.relu(a - b)"),
    ("lib.sum(x, dim=1) + lib.sum(y, dim=0)", "lambda a: lib.sum(a, dim=1)", "lambda a: lib.mean(a, dim=1)"),
    ("x * y + z", "lambda a, b, c: a * b + c", "lambda a, b, c: lib.addcmul(c, a, b)"),
    ("lib.relu(lib.relu(lib.relu(x)))", "lambda a: lib.relu(lib.relu(a))", "lambda a: lib.tanh(a)"),
    ("lib.max(x, 1)[0] + lib.max(x, 1)[1]", "lambda a: lib.max(a, 1)", "lambda a: lib.min(a, 1)"),
    ("x + y + z", "lambda a, b: a + b", "lambda a, b: lib.add(a, b)"),
    ("F.dropout(x, 0.5) + y", "lambda a: F.dropout(a, 0.5)", "lambda a: a * 1"),
]


@pytest.mark.parametrize(("program", "pattern", "replacement"), PATTERNS)
def test_patterns_are_replaced_the_same(program, pattern, replacement):
    found = []
    for lib in LIBRARIES:
        module, space = traced(lib, program), {"lib": lib, "F": lib.nn.functional}
        matches = lib.fx.replace_pattern(module, eval(pattern, space), eval(replacement, space))
        module.graph.lint()
        pairs = [(str(match.anchor), {str(a): str(b) for a, b in match.nodes_map.items()}) for match in matches]
        found.append((module.code, len(matches), pairs))
    assert found[0] == found[1]


def exchanged(lib):
    """A pass as the tutorial has it: another function for some nodes."""
    module = traced(lib, "lib.add(x, y) * lib.relu(lib.add(x, z))")
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target == lib.add:
            node.target = lib.mul
    module.graph.lint()
    module.recompile()
    return module


def inserted(lib):
    module = traced(lib, "lib.relu(x) + y")
    for node in list(module.graph.nodes):
        if node.target == lib.relu:
            with module.graph.inserting_after(node):
                new = module.graph.call_function(lib.neg, (node,))
                node.replace_all_uses_with(new, delete_user_cb=lambda user, new=new: user is not new)
            with module.graph.inserting_before(node):
                module.graph.call_method("float", (node.args[0],))
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def built_by_hand(lib):
    graph = lib.fx.Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y", default_value=2)
    with graph.inserting_before(y):
        first = graph.call_function(operator.iadd, (x, 1))
    second = graph.call_function(getattr, (first, "T"))
    third = graph.call_method("reshape", (second, -1), {"shape": None})
    graph.call_function(operator.setitem, (third, 0, y))
    third.update_kwarg("shape", y)
    third.insert_arg(1, 7)
    third.update_arg(2, (1, y))
    graph.output((third, first))
    return lib.fx.GraphModule(lib.nn.Module(), graph, "ByHand")


def decomposed(lib):
    """Retracing with proxies, as in the documentation."""
    module = traced(lib, "F.relu(x) + F.gelu(y) + z")
    rules = {lib.nn.functional.relu: lambda x: (x > 0) * x}
    graph, env = lib.fx.Graph(), {}
    tracer = lib.fx.proxy.GraphAppendingTracer(graph)
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target in rules:
            env[node] = rules[node.target](*(lib.fx.Proxy(env[arg.name], tracer) for arg in node.args)).node
        else:
            env[node] = graph.node_copy(node, lambda used: env[used.name] if used.name in env else env[used])
        env[node.name] = env[node]
    return lib.fx.GraphModule(lib.nn.Module(), graph)


def transformed(lib):
    class Swapped(lib.fx.Transformer):
        def call_function(self, target, args, kwargs):
            return super().call_function(lib.tanh if target is lib.sigmoid else target, args, kwargs)

        def call_method(self, target, args, kwargs):
            return args[0] + 1 if target == "neg" else super().call_method(target, args, kwargs)

    return Swapped(traced(lib, "lib.sigmoid(x).neg() * y.exp()")).transform()


def fused(lib):
    from importlib import import_module

    lib.manual_seed(0)
    net = lib.nn.Sequential(
        lib.nn.Conv2d(3, 4, 3), lib.nn.BatchNorm2d(4), lib.nn.ReLU(), lib.nn.Conv2d(4, 4, 1), lib.nn.Dropout(0.1)
    ).eval()
    optimization = import_module(f"{lib.__name__}.fx.experimental.optimization")
    return optimization.remove_dropout(optimization.fuse(net))


def leaves_of_its_own(lib):
    class Custom(lib.fx.Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return isinstance(m, lib.nn.Sequential) or super().is_leaf_module(m, module_qualified_name)

    tracer = Custom()
    graph = tracer.trace(module_of(lib, "nested modules"))
    return lib.fx.GraphModule(tracer.root, graph)


def edited_modules(lib):
    module = lib.fx.symbolic_trace(module_of(lib, "nested modules"))
    assert module.add_submodule("extra.head", lib.nn.Linear(3, 2))
    node = module.graph.output_node()
    with module.graph.inserting_before(node):
        head = module.graph.call_module("extra.head", (node.args[0],))
    node.args = (head,)
    assert not module.delete_submodule("nothing") and module.add_submodule("unused", lib.nn.ReLU())
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def copied(lib):
    module = traced(lib, "x + y * z")
    graph = lib.fx.Graph()
    values = {}
    result = graph.graph_copy(module.graph, values)
    graph.output((result, graph.call_function(lib.neg, (result,))))
    return lib.fx.GraphModule(lib.nn.Module(), copy.deepcopy(graph))


MAKERS = (
    exchanged, inserted, built_by_hand, decomposed, transformed, fused, leaves_of_its_own, edited_modules, copied,
)  # fmt: skip


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_passes_make_the_same(maker):
    ours, theirs = ((written(lib, module), str(module)) for lib, module in ((lib, maker(lib)) for lib in LIBRARIES))
    assert ours == theirs


REFUSALS = {
    "an if": lambda lib: traced(lib, "x if x > 0 else y"),
    "a loop": lambda lib: traced(lib, "[part for part in x]"),
    "stars": lambda lib: traced(lib, "lib.cat(*x)"),
    "a length": lambda lib: traced(lib, "len(x)"),
    "an object": lambda lib: traced(lib, "x + object()"),
    "another mapping": lambda lib: traced(lib, "{x: 1}"),
    "no function": lambda lib: lib.fx.symbolic_trace(3),
    "a used node": lambda lib: used_node(lib),
    "a foreign node": lambda lib: foreign_node(lib),
    "a node too late": lambda lib: late_node(lib),
    "an operation": lambda lib: lib.fx.Graph().create_node("call", "x"),
    "a target": lambda lib: lib.fx.Graph().create_node("call_function", "x"),
    "a root": lambda lib: lib.fx.GraphModule(3, lib.fx.Graph()),
    "a missing name": lambda lib: lib.fx.GraphModule({}, attribute_graph(lib)),
    "a name of the root": lambda lib: lib.fx.GraphModule(lib.nn.Module(), attribute_graph(lib)),
    "arguments of another kind": lambda lib: lib.fx.Graph().create_node("call_function", len, [1]),
    "an argument that lacks": lambda lib: lib.fx.Interpreter(traced(lib, "x + y")).run(1),
    "a changed list": lambda lib: lib.fx.immutable_collections.immutable_list([1]).append(2),
    "a changed dict": lambda lib: lib.fx.immutable_collections.immutable_dict(a=1).update(b=2),
    "a name that is none": lambda lib: lib.fx.wrap(3),
    "a wrap inside": lambda lib: lib.fx.wrap("len"),
    "nodes of no function": lambda lib: lib.fx.Graph().find_nodes(op="call_function"),
    "a module of elsewhere": lambda lib: lib.fx.Tracer().path_of_module(lib.nn.Linear(1, 1)),
}


def used_node(lib):
    graph = traced(lib, "x + y").graph
    graph.erase_node(next(iter(graph.nodes)))


def foreign_node(lib):
    graph, other = lib.fx.Graph(), lib.fx.Graph()
    graph.call_function(len, (other.placeholder("x"),))
    graph.lint()


def late_node(lib):
    graph = traced(lib, "(x + y).relu()").graph
    first, *_, last = [node for node in graph.nodes if node.op.startswith("call")]
    last.append(first)
    graph.lint()


def attribute_graph(lib):
    graph = lib.fx.Graph()
    graph.output(graph.get_attr("weight"))
    return graph


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_refused_alike(name):
    classes = []
    for lib in LIBRARIES:
        with pytest.raises(Exception) as caught:
            REFUSALS[name](lib)
        classes.append(caught.type.__name__)
    assert classes[0] == classes[1]
