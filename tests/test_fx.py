"""Programs as graphs: tracing, nodes and their code, graph modules, interpreters, and what passes rely on."""

from __future__ import annotations

import copy
import doctest
import importlib
import math
import operator
import pickle
import subprocess
import sys

import corten as torch
import pytest
from corten import fx, nn
from corten.nn import functional as F
from corten.testing import assert_close as close

wrapped_calls = []


@fx.wrap
def counted(x, y):
    wrapped_calls.append(1)
    return x + y


fx.wrap("len")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        self.scale = nn.Parameter(torch.full((4,), 2.0))
        self.register_buffer("shift", torch.ones(4))

    def forward(self, x, flag=False):
        return self.body(x) * self.scale + self.shift


class Point:
    def __init__(self, x):
        self.x = x


def names(graph):
    return [node.name for node in graph.nodes]


def line(module):
    """The lines of a graph's code, without those that let go of values."""
    return [text.split(";")[0].strip() for text in module.code.strip().splitlines()]


# -- tracing ----------------------------------------------------------------------------------------------------------


def test_a_traced_module_computes_the_same_and_its_gradients():
    torch.manual_seed(0)
    net = Net()
    traced = fx.symbolic_trace(net)
    x = torch.randn(5, 3, requires_grad=True)
    close(traced(x), net(x))
    traced(x).square().sum().backward()
    found = [x.grad.clone(), net.scale.grad.clone(), net.body[0].weight.grad.clone()]
    x.grad = None
    net.zero_grad()
    net(x).square().sum().backward()
    for got, want in zip(found, [x.grad, net.scale.grad, net.body[0].weight.grad], strict=True):
        close(got, want)
    assert getattr(traced.body, "0") is net.body[0] and traced.scale is net.scale
    assert sorted(traced.state_dict()) == sorted(net.state_dict())


def test_nodes_have_the_names_and_the_order_of_the_program():
    graph = fx.Tracer().trace(Net())
    assert names(graph) == ["x", "flag", "body_0", "body_1", "scale", "mul", "shift", "add", "output"]
    assert [node.op for node in graph.nodes] == [
        "placeholder", "placeholder", "call_module", "call_module", "get_attr", "call_function", "get_attr",
        "call_function", "output",
    ]  # fmt: skip
    x, flag, *_ = graph.nodes
    assert flag.args == (False,) and next(iter(x.users)).target == "body.0" and x.next is flag and flag.prev is x


CALLED = """
    F.relu(x) | F.relu(x, inplace=False) | F.elu(x) | F.hardsigmoid(x) | F.glu(x, dim=-1) | F.softsign(x)
    F.tanhshrink(x) | F.relu_(x)
    F.softmin(x, dim=1) | F.dropout(x, 0.0) | F.dropout1d(x, 0.0) | F.gelu(x) | F.logsigmoid(x) | F.softplus(x)
    F.linear(x, y) | F.max_pool1d(x, 2) | F.avg_pool1d(x, 2) | F.adaptive_avg_pool1d(x, 1) | F.lp_pool1d(x, 2, 2)
    F.adaptive_max_pool1d(x, 1) | F.layer_norm(x, (4,)) | F.rms_norm(x, (4,)) | F.normalize(x)
    F.local_response_norm(x[None], 2) | F.rrelu(x)
    F.mse_loss(x, y) | F.poisson_nll_loss(x, y) | F.soft_margin_loss(x, y) | F.hinge_embedding_loss(x, y) | F.pdist(x)
    F.triplet_margin_loss(x, y, x) | F.triplet_margin_with_distance_loss(x, y, x) | F.cosine_similarity(x, y)
    F.pairwise_distance(x, y) | F.pixel_shuffle(x.view(1, 4, 2, 2), 2) | F.channel_shuffle(x.view(1, 4, 2, 2), 2)
    F.pad(x, (1, 1)) | F.scaled_dot_product_attention(x, y, x) | F.affine_grid(x[None, :2, :3], (1, 1, 2, 2), False)
    F.avg_pool2d(x[None], 2) | F.max_pool2d(x[None], 2) | F.adaptive_avg_pool2d(x[None], (1, 1))
    F.interpolate(x[None], 8) | F.hardtanh(x)
    F.one_hot(x.long().abs(), 9) | F.gaussian_nll_loss(x, y, x.abs()) | F.batch_norm(x, None, None, training=True)
    torch.split(x, 2)[1] | torch.einsum("ij,kj->ik", x, y) | torch.einsum("ij,kj->ik", [x, y]) | torch.tensordot(x, y)
    torch.norm(x, dim=1) | torch.cdist(x, y) | torch.meshgrid(x[0], y[0], indexing="ij")[0] | torch.unique(x)
    torch.broadcast_tensors(x, y[0])[1] | torch.atleast_3d(x) | torch.block_diag(x, y)
    torch.cartesian_prod(x[0], y[0]) | torch.combinations(x[0])
    torch.linalg.norm(x) | torch.linalg.det(x) | torch.linalg.vector_norm(x, dim=1) | torch.fft.rfft(x).abs()
    torch.special.entr(x.abs()) | torch.special.expit(x) | torch.cross(x[:, :3], y[:, :3], dim=1) | torch.kron(x, y)
    torch.vdot(x[0], y[0]) | torch.stack([x, y]).sum(0) | torch.where(x > y, x, 0.0) | torch.numel(x) + x
    torch.hstack([x, y]) | x + torch.zeros(x.shape[0], x.size(1)) | torch.zeros_like(x) | x.new_zeros(2) | x.t() @ y
    -abs(x) | ~(x > 0) | 2 ** x | x[..., 1:2] | x[:, None] | x[y > 0] | (1 + x) / (2 - y) // 3 % 2
    x.view(-1).type(torch.float16) | x.chunk(2)[0] | math.sqrt(x.sum() ** 2) + y | counted(x, y) | len(x) + y
"""
CALLS = [call.strip() for text in CALLED.strip().splitlines() for call in text.split(" | ")]


@pytest.mark.parametrize("call", CALLS)
def test_what_a_call_becomes_runs_and_gives_the_same(call):
    function = eval(f"lambda x, y: {call}", globals())
    traced = fx.symbolic_trace(function)
    torch.manual_seed(1)
    x, y = torch.randn(4, 4), torch.randn(4, 4)
    close(traced(x.clone(), y.clone()), function(x.clone(), y.clone()))
    assert "corten" not in traced.code


def test_the_target_of_a_node_is_the_function_that_programs_know():
    graph = fx.symbolic_trace(lambda x: F.max_pool2d(torch.einsum("ij->ji", torch.add(x, 1)), 2)).graph
    targets = [node.target for node in graph.nodes if node.op == "call_function"]
    assert targets == [torch.add, torch.einsum, F.max_pool2d]
    assert [fx.node._get_qualified_name(target) for target in targets] == [
        "torch.add", "torch.functional.einsum", "torch.nn.functional.max_pool2d",
    ]  # fmt: skip
    for name in ("_nn.linear", "_nn.log_sigmoid", "_fft.fft_rfft", "_linalg.linalg_norm", "_special.special_entr"):
        part, function = name.split(".")
        assert callable(getattr(getattr(torch._C, part), function))
    with pytest.raises(AttributeError):
        torch._C._nn.nothing  # noqa: B018


def test_leaves_are_the_modules_of_nn_and_those_that_a_tracer_names():
    class Whole(fx.Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return module_qualified_name == "body" or super().is_leaf_module(m, module_qualified_name)

    assert "body" in names(Whole().trace(Net())) and "body_0" in names(fx.Tracer().trace(Net()))
    tracer = Whole()
    tracer.trace(net := Net())
    assert tracer.path_of_module(net.body[0]) == "body.0"
    with pytest.raises(NameError, match="not installed"):
        tracer.path_of_module(nn.Linear(1, 1))


def test_a_tracer_sees_every_node_that_is_made():
    made = []

    class Noted(fx.Tracer):
        def create_proxy(self, kind, target, args, kwargs, *rest, **options):
            proxy = super().create_proxy(kind, target, args, kwargs, *rest, **options)
            made.append((kind, proxy.node.name, list(proxy.node.meta.get("nn_module_stack", {}))))
            return proxy

    Noted().trace(Net())
    assert ("call_module", "body_0", ["body", "body.0"]) in made and ("call_function", "mul", []) in made


def test_tracing_leaves_modules_and_functions_as_they_were():
    call, read = nn.Module.__call__, nn.Module.__getattr__
    with pytest.raises(fx.proxy.TraceError):
        fx.symbolic_trace(lambda x: math.sqrt(x) if x else 0)
    assert nn.Module.__call__ is call and nn.Module.__getattr__ is read
    assert counted(1, 2) == 3 and len([1]) == 1 and math.sqrt(4) == 2 and not fx._symbolic_trace.is_fx_tracing()


def test_control_flow_on_values_is_refused_with_a_reason():
    for function, text in (
        (lambda x: x if x.sum() > 0 else -x, "cannot be used as inputs to control flow"),
        (lambda x: list(x), "cannot be iterated"),
        (lambda x: torch.cat([*x]), "cannot be iterated"),
    ):
        with pytest.raises(fx.proxy.TraceError, match=text):
            fx.symbolic_trace(function)
    with pytest.raises(RuntimeError, match="'len' is not supported"):
        fx.symbolic_trace(lambda x: x.__len__())
    with pytest.raises(NotImplementedError, match=r"argument of type.*Point"):
        fx.symbolic_trace(lambda x: x + Point(1))
    with pytest.raises(RuntimeError, match="Keys for dictionaries"):
        fx.symbolic_trace(lambda x: {x: 1})


def test_taking_apart_and_assertions_can_be_traced():
    def apart(x):
        first, (second, third) = x
        return first + second * third

    assert line(fx.symbolic_trace(apart))[1:] == [
        "getitem = x[0]", "getitem_1 = x[1]", "getitem_2 = getitem_1[0]", "getitem_3 = getitem_1[1]",
        "mul = getitem_2 * getitem_3", "add = getitem + mul", "return add",
    ]  # fmt: skip
    tracer = fx.Tracer()
    tracer.trace_asserts = True

    # From text, since pytest writes assertions of this file anew.
    space = {}
    exec("def checked(x):\n    assert x.sum() > 0, 'must be positive'\n    return x + 1", space)
    module = fx.GraphModule(nn.Module(), tracer.trace(space["checked"]))
    assert module(torch.ones(2)).tolist() == [2, 2]
    with pytest.raises(AssertionError, match="must be positive"):
        module(-torch.ones(2))


def test_wrapped_functions_are_single_nodes():
    wrapped_calls.clear()
    traced = fx.symbolic_trace(lambda x: counted(x, 1) + len(x))
    assert not wrapped_calls and names(traced.graph) == ["x", "counted", "len_1", "add", "output"]
    assert traced(torch.ones(2)).tolist() == [4, 4] and len(wrapped_calls) == 1
    assert 'torch.fx._symbolic_trace.wrap("len")' in traced.code
    again = fx.symbolic_trace(traced)
    assert names(again.graph) == names(traced.graph)
    with pytest.raises(RuntimeError, match="Unsupported type"):
        fx.wrap(3)
    with pytest.raises(NotImplementedError, match="top level"):
        fx.wrap("len")


def test_shapes_of_parameters_may_be_constants():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 3))

        def forward(self, x):
            return x @ self.weight if self.weight.shape[0] == 2 and self.weight.dim() == 2 else x

    with pytest.raises(fx.proxy.TraceError):
        fx.Tracer().trace(Branches())
    assert names(fx.Tracer(param_shapes_constant=True).trace(Branches())) == ["x", "weight", "matmul", "output"]


def test_buffers_are_proxies_where_a_tracer_wants_it():
    class Late(fx.Tracer):
        proxy_buffer_attributes = True

    class Shifts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("shift", torch.ones(2))

        def forward(self, x):
            return x + self.shift * 2

    assert names(Late().trace(Shifts())) == ["x", "shift", "mul", "add", "output"]
    assert names(fx.Tracer().trace(Shifts())) == ["x", "_tensor_constant0", "add", "output"]


def test_constant_arguments_are_checked_when_the_graph_runs():
    traced = fx.symbolic_trace(Net(), concrete_args={"flag": False})
    x = torch.ones(1, 3)
    close(traced(x), traced(x, False))
    with pytest.raises(AssertionError, match="flag has been specialized to have value False"):
        traced(x, True)
    none = fx.symbolic_trace(lambda x, mask=None: x if mask is None else x * mask, concrete_args={"mask": None})
    with pytest.raises(AssertionError, match="specialized to have value None"):
        none(x, x)
    tree = fx.symbolic_trace(lambda x: {"sum": x["a"] + x["b"][0]}, concrete_args={"x": {"a": fx.PH, "b": [fx.PH]}})
    assert tree({"a": 1, "b": [2], "more": 3}) == {"sum": 3}
    assert fx.Interpreter(tree).run({"a": 1, "b": [2]}) == {"sum": 3}


def test_where_nodes_were_made_is_noted_on_request():
    tracer = fx.Tracer()
    tracer.record_stack_traces = True
    graph = tracer.trace(Net())
    mul = next(node for node in graph.nodes if node.name == "mul")
    assert "return self.body(x) * self.scale + self.shift" in mul.stack_trace
    text = fx.GraphModule(tracer.root, graph).print_readable(print_output=False)
    assert "in forward, code: return self.body(x) * self.scale + self.shift" in text


# -- nodes and graphs -------------------------------------------------------------------------------------------------


def small():
    graph = fx.Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y")
    add = graph.call_function(operator.add, (x, y))
    graph.output(graph.call_method("relu", (add,)))
    return graph, x, y, add


def test_changed_arguments_change_the_users():
    _, x, y, add = small()
    add.args = (x, [x, {"k": y}])
    assert add.all_input_nodes == [x, y] and list(y.users) == [add]
    add.replace_input_with(y, x)
    assert add.all_input_nodes == [x] and not y.users and add.args == (x, [x, {"k": x}])
    add.update_arg(1, y)
    add.update_kwarg("alpha", x)
    add.insert_arg(0, 3)
    assert add.args == (3, x, y) and add.kwargs == {"alpha": x}
    assert x.replace_all_uses_with(y) == [add] and list(y.users) == [add] and not x.users
    with pytest.raises(TypeError, match="does not support mutation"):
        add.kwargs["alpha"] = 1
    add.args = ([1],)
    with pytest.raises(TypeError, match="does not support mutation"):
        add.args[0].append(1)
    with pytest.raises(AssertionError, match="between 0 and"):
        add.insert_arg(5, x)


def test_nodes_are_made_where_one_says():
    graph, x, y, add = small()
    with graph.inserting_before(add):
        first = graph.call_function(operator.neg, (x,))
        second = graph.call_function(operator.neg, (first,))
    with graph.inserting_after(add):
        third = graph.call_function(operator.neg, (add,))
    assert names(graph) == ["x", "y", "neg", "neg_1", "add", "neg_2", "relu", "output"]
    assert [node.name for node in reversed(graph.nodes)] == names(graph)[::-1] and len(graph.nodes) == 8
    assert x < first < second <= second < third and third > add
    add.prepend(y)
    graph.lint()
    assert names(graph)[1:5] == ["neg", "neg_1", "y", "add"]
    with pytest.raises(AssertionError, match="not in graph"):
        graph.inserting_before(fx.Graph().placeholder("x"))
    with pytest.raises(AssertionError, match="different Graph"):
        add.append(fx.Graph().placeholder("x"))


def test_nodes_can_be_erased_while_one_goes_through_them():
    graph, x, _, add = small()
    for _ in range(3):
        graph.call_function(operator.neg, (x,))
    for node in graph.nodes:
        if node.target is operator.neg:
            graph.erase_node(node)
    assert names(graph) == ["x", "y", "add", "relu", "output"]
    with pytest.raises(RuntimeError, match="still had 1 users"):
        graph.erase_node(add)
    with pytest.raises(RuntimeError, match="wrong graph"):
        fx.Graph().erase_node(graph.output_node())


def test_dead_code_goes_and_what_does_something_stays():
    graph, x, y, _ = small()
    with graph.inserting_before(graph.output_node()):
        graph.call_function(torch.neg, (graph.call_function(torch.exp, (x,)),))
        graph.call_function(torch._assert, (x, "text"))
        graph.call_function(operator.setitem, (x, 0, y))
        graph.call_function(torch.rand_like, (x,))
    assert graph.eliminate_dead_code() and not graph.eliminate_dead_code()
    assert names(graph) == ["x", "y", "add", "relu", "_assert", "setitem", "rand_like", "output"]
    assert graph.eliminate_dead_code(is_impure_node=lambda node: False)
    assert names(graph) == ["x", "y", "add", "relu", "output"]


def test_lint_finds_what_cannot_run():
    graph, x, _, add = small()
    graph.output_node().append(add)
    with pytest.raises(RuntimeError, match="used before it has been defined"):
        graph.lint()
    foreign = fx.Graph()
    foreign.output(foreign.call_function(operator.neg, (x,)))
    with pytest.raises(RuntimeError, match="does not belong to this Graph"):
        foreign.lint()
    traced = fx.symbolic_trace(Net())
    node = next(node for node in traced.graph.nodes if node.op == "call_module")
    node.target = "body.7"
    with pytest.raises(RuntimeError, match="nonexistent attribute 7 of body"):
        traced.graph.lint()
    node.target = "scale"
    with pytest.raises(RuntimeError, match=r"does not reference an nn\.Module"):
        traced.graph.lint()


def test_names_are_free_identifiers():
    graph = fx.Graph()
    x = graph.placeholder("x")
    made = [
        graph.create_node("call_function", operator.add, (x, x), name=name)
        for name in ("add", "add", "list", "torch", "x", "1 a-b", "class", "add_1", "add_7", "add")
    ]
    assert [node.name for node in made] == [
        "add", "add_1", "list_1", "torch_1", "x_1", "_1_a_b", "class_1", "add_2", "add_7", "add_8",
    ]  # fmt: skip
    assert graph.call_method("__getitem__", (x, 0)).name == "getitem"
    assert graph.call_module("layer1.0.convBN", (x,)).name == "layer1_0_conv_bn"


def test_nodes_are_found_by_what_they_do():
    graph, x, y, add = small()
    assert graph.find_nodes(op="placeholder") == [x, y] and graph.find_nodes(op="placeholder", target="y") == [y]
    assert graph.find_nodes(op="call_function", target=operator.add) == [add]
    with pytest.raises(AssertionError, match="target must not be None"):
        graph.find_nodes(op="call_function")


def test_graphs_copy_with_what_is_noted_about_nodes():
    graph, _, _, add = small()
    add.meta["note"] = [1]
    copied = copy.deepcopy(graph)
    assert str(copied) == str(graph) and not set(copied.nodes) & set(graph.nodes)
    assert next(node for node in copied.nodes if node.name == "add").meta == {"note": [1]}


def test_structures_of_arguments_are_mapped():
    x = fx.Graph().placeholder("x")
    tree = (x, [1, {"k": x}], slice(x, None, 2))
    assert fx.map_arg(tree, lambda node: node.name) == ("x", [1, {"k": "x"}], slice("x", None, 2))
    assert fx.node.map_aggregate([1, (2,)], lambda leaf: leaf + 1) == [2, (3,)]
    frozen = fx.immutable_collections.immutable_list([1, 2])
    assert hash(frozen) == hash((1, 2)) and pickle.loads(pickle.dumps(frozen)) == frozen
    with pytest.raises(AssertionError, match="must be a callable"):
        fx.map_arg(tree, 3)


def test_a_table_needs_tabulate(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tabulate", None)
    with pytest.raises(ImportError):
        small()[0].print_tabular()
    assert "pip install tabulate" in capsys.readouterr().out


# -- graph modules ----------------------------------------------------------------------------------------------------


def test_a_changed_graph_runs_when_it_is_compiled():
    traced = fx.symbolic_trace(lambda x: torch.relu(x) + 1)
    node = next(iter(traced.graph.find_nodes(op="call_function", target=torch.relu)))
    node.target = torch.neg
    assert traced(torch.ones(1)).item() == 2
    assert traced.recompile().src == traced.code and traced(torch.ones(1)).item() == 0


def test_errors_in_generated_code_show_its_line():
    import traceback

    traced = fx.symbolic_trace(lambda x, y: torch.relu(x) @ y)
    with pytest.raises(RuntimeError) as caught:
        traced(torch.ones(2, 3), torch.ones(2, 3))
    assert "matmul = relu @ y" in "".join(traceback.format_exception(caught.value))


def test_modules_of_a_dict_of_values():
    graph = fx.Graph()
    x = graph.placeholder("x")
    layer = graph.call_module("head.layer", (x,))
    graph.output(graph.call_function(operator.add, (layer, graph.get_attr("head.shift"))))
    values = {"head.layer": nn.Linear(2, 2), "head.shift": torch.ones(2)}
    module = fx.GraphModule(values, graph, "Built")
    assert type(module).__name__ == "Built" and module.head.layer is values["head.layer"]
    assert list(module.state_dict()) == ["head.shift", "head.layer.weight", "head.layer.bias"]
    with pytest.raises(RuntimeError, match=r"head\.shift but that target was not provided"):
        fx.GraphModule({"head.layer": nn.Linear(2, 2)}, graph)
    with pytest.raises(RuntimeError, match="Unsupported type"):
        fx.GraphModule(3, graph)


def test_submodules_come_and_go():
    traced = fx.symbolic_trace(Net())
    assert traced.add_submodule("extra.layer", nn.Linear(1, 1)) and traced.extra.layer.in_features == 1
    assert not traced.add_submodule("scale.layer", nn.Linear(1, 1))
    assert traced.delete_submodule("extra.layer") and not traced.delete_submodule("extra.layer")
    traced.delete_all_unused_submodules()
    assert [name for name, _ in traced.named_modules()] == ["", "body", "body.0", "body.1"]


@pytest.mark.parametrize("kept", [copy.copy, copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_graph_modules_are_kept_whole(kept):
    traced = fx.symbolic_trace(Net())
    traced.eval()
    other = kept(traced)
    assert other.code == traced.code and not other.training and type(other).__name__ == "Net"
    x = torch.randn(2, 3)
    close(other(x), traced(x))
    assert (other.scale is traced.scale) == (kept is copy.copy)
    changed = next(node for node in other.graph.nodes if node.name == "mul")
    if kept is not copy.copy:
        changed.target = operator.sub
        other.recompile()
        assert not torch.equal(other(x), traced(x))


def test_a_pickled_module_is_read_in_another_process():
    traced = fx.symbolic_trace(lambda x: F.relu(x - math.sqrt(4)) * 2)
    program = """
import sys; sys.path[:0] = eval(sys.argv[1])
import pickle, corten
module = pickle.load(sys.stdin.buffer)
print(module(corten.tensor([1.0, 3.0], device="cpu")).tolist(), [node.name for node in module.graph.nodes])
"""
    command = [sys.executable, "-c", program, repr(sys.path)]
    shown = subprocess.run(command, input=pickle.dumps(traced), check=True, capture_output=True).stdout.decode()
    assert shown.strip() == "[0.0, 2.0] ['x', 'sub', 'relu', 'mul', 'output']"


def test_a_file_with_code_is_loaded_by_those_who_trust_it(tmp_path):
    torch.save(fx.symbolic_trace(Net()), tmp_path / "module.pt")
    with pytest.raises(pickle.UnpicklingError, match="if you trust reduce_graph_module"):
        torch.load(tmp_path / "module.pt", weights_only=False)
    with torch.serialization.safe_globals([fx.graph_module.reduce_graph_module, fx.Tracer]):
        assert torch.load(tmp_path / "module.pt", weights_only=False)(torch.ones(1, 3)).shape == (1, 4)


def test_a_module_becomes_a_package(tmp_path, monkeypatch):
    net = Net()
    net.rnn = nn.LSTM(4, 4)
    traced = fx.symbolic_trace(net)
    traced.add_submodule("rnn", net.rnn)
    traced.to_folder(tmp_path / "written_net", "Written")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("written_net").Written()
    x = torch.randn(2, 3)
    close(module(x), traced(x))
    assert isinstance(module.rnn, nn.LSTM) and len(module.state_dict()) == len(traced.state_dict())


def test_code_can_be_changed_while_it_is_written():
    graph = small()[0]
    with graph.on_generate_code(lambda before: lambda lines: ["y = y * 2\n", *(before(lines) if before else lines)]):
        module = fx.GraphModule({}, graph)
    assert module(torch.ones(1), torch.ones(1)).item() == 3

    class Doubling(fx.CodeGen):
        def generate_output(self, output_args, *, descs=None, repr_fn=None):
            return f"return {repr_fn(output_args)}, 2"

        def process_outputs(self, outputs):
            return outputs, 2

    graph.set_codegen(Doubling())
    module.recompile()
    assert module(torch.ones(1), torch.ones(1))[1] == 2
    assert fx.Interpreter(module).run(torch.ones(1), torch.ones(1))[1] == 2


def test_compiled_graphs_compute_the_same():
    traced = fx.symbolic_trace(Net())
    compiled, x = torch.compile(traced), torch.randn(2, 3)
    for _ in range(3):
        close(compiled(x), traced(x))


# -- running and rewriting --------------------------------------------------------------------------------------------


def test_an_interpreter_lets_go_of_values_and_tells_where_it_failed():
    traced = fx.symbolic_trace(lambda x, y=2: (x + 1).relu() * y)
    seen = []

    class Watching(fx.Interpreter):
        def run_node(self, n):
            seen.append((n.name, sorted(node.name for node in self.env)))
            return super().run_node(n)

    assert Watching(traced).run(torch.ones(1)).item() == 4
    assert seen[-1] == ("output", ["mul"]) and seen[3] == ("relu", ["add", "y"])
    kept = fx.Interpreter(traced, garbage_collect_values=False)
    kept.run(torch.ones(1))
    assert len(kept.env) == len(traced.graph.nodes)
    relu = next(node for node in traced.graph.nodes if node.name == "relu")
    given = {relu: torch.tensor([5.0])}
    assert fx.Interpreter(traced, garbage_collect_values=False).run(torch.ones(1), initial_env=given).item() == 10
    with pytest.raises(RuntimeError, match="Expected positional argument for parameter x"):
        fx.Interpreter(traced).run()
    with pytest.raises(RuntimeError) as caught:
        fx.Interpreter(fx.symbolic_trace(lambda x, y: x @ y)).run(torch.ones(2, 3), torch.ones(2, 3))
    assert any("While executing %matmul" in note for note in caught.value.__notes__)
    values = [torch.ones(1)]
    assert fx.Interpreter(traced).boxed_run(values).item() == 4 and not values


def test_a_transformer_writes_another_graph():
    class Swapped(fx.Transformer):
        def call_function(self, target, args, kwargs):
            return super().call_function(torch.tanh if target is torch.relu else target, args, kwargs)

        def call_module(self, target, args, kwargs):
            return super().call_module(target, args, kwargs) * 2

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x, scale=1.0):
            return torch.relu(self.layer(x)) * scale

    source = fx.symbolic_trace(Small())
    next(node for node in source.graph.nodes if node.name == "relu").meta["note"] = 1
    module = Swapped(source).transform()
    assert names(module.graph) == ["x", "scale", "layer", "mul", "tanh", "mul_1", "output"]
    assert next(node for node in module.graph.nodes if node.name == "tanh").meta["note"] == 1
    x = torch.randn(3, 2)
    close(module(x), torch.tanh(source.layer(x) * 2))


def test_shapes_are_noted_of_every_node():
    prop = importlib.import_module("corten.fx.passes.shape_prop")
    traced = fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))
    prop.ShapeProp(traced).propagate(torch.zeros(2, 3, 5, 5))
    found = {node.name: node.meta["tensor_meta"] for node in traced.graph.nodes}
    assert found["_0"].shape == (2, 4, 3, 3) and found["_0"].requires_grad and found["_1"].shape == (2, 36)
    assert found["input_1"].dtype is torch.float32 and found["input_1"].stride == (75, 25, 5, 1)
    assert found["input_1"].memory_format is torch.contiguous_format
    parts = fx.symbolic_trace(lambda x: x.chunk(2))
    prop.ShapeProp(parts).propagate(torch.zeros(4))
    assert [part.shape for part in parts.graph.output_node().meta["tensor_meta"]] == [(2,), (2,)]
    on_meta = torch.zeros(2, 3, 5, 5, device="meta")
    prop.ShapeProp(fx.symbolic_trace(lambda x: x.relu())).propagate(on_meta)
    with pytest.raises(NotImplementedError, match="meta"):
        prop.ShapeProp(traced, fake_mode=object())


def test_replaced_patterns_are_listed_and_may_be_filtered():
    traced = fx.symbolic_trace(lambda x, y: torch.relu(x) + torch.relu(y))
    found = fx.replace_pattern(traced, lambda a: torch.relu(a), lambda a: torch.neg(a))
    assert len(found) == 2 and found[1].nodes_map[found[1].anchor].name == "relu_1"
    assert traced(torch.ones(1), torch.ones(1)).item() == -2
    rewriter = importlib.import_module("corten.fx.subgraph_rewriter")
    done = rewriter.replace_pattern_with_filters(
        traced,
        lambda a: torch.neg(a),
        lambda a: torch.abs(a),
        [lambda match, graph, pattern: match.placeholder_nodes[0].name == "y"],
    )
    assert [[node.name for node in place.replacements] for place in done] == [["abs_1"]]
    assert traced(torch.ones(1), torch.ones(1)).item() == 0


def test_patterns_match_modules_by_their_class():
    class Part(nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.act = kind()

        def forward(self, x):
            return self.act(x)

    traced = fx.symbolic_trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU()))
    found = fx.replace_pattern(traced, fx.symbolic_trace(Part(nn.ReLU)), fx.symbolic_trace(Part(nn.Tanh)))
    assert len(found) == 2 and isinstance(traced.act, nn.Tanh) and not hasattr(traced, "1")
    x = torch.randn(3, 2)
    close(traced(x), torch.tanh(getattr(traced, "2")(torch.tanh(getattr(traced, "0")(x)))))


def test_values_used_outside_keep_a_place_from_being_replaced():
    traced = fx.symbolic_trace(lambda x: torch.relu(inner := torch.exp(x)) + inner)
    assert fx.replace_pattern(traced, lambda a: torch.relu(torch.exp(a)), lambda a: torch.neg(a)) == []
    with pytest.raises(AssertionError, match="the pattern has 1 arguments, the replacement 2"):
        fx.replace_pattern(traced, lambda a: torch.exp(a), lambda a, b: a + b)


def test_normalisations_are_folded_and_dropout_goes():
    optimization = importlib.import_module("corten.fx.experimental.optimization")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4, 2), nn.BatchNorm1d(2)
    )
    for _ in range(3):
        net(torch.randn(8, 3, 3, 3))
    net.eval()
    x = torch.randn(2, 3, 3, 3)
    for fused in (optimization.fuse(net), optimization.optimize_for_inference(net)):
        assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in fused.modules())
        close(fused(x), net(x))
    assert not any(isinstance(module, nn.Dropout) for module in optimization.optimize_for_inference(net).modules())
    part = fx.symbolic_trace(net)
    nodes = list(part.graph.nodes)
    middle = optimization.extract_subgraph(part, nodes[1:3], [nodes[0]], [nodes[2]])
    close(middle(x)[0], net[1](net[0](x)))
    with pytest.raises(AssertionError, match="only for eval"):
        optimization.fuse(net.train())


def test_arguments_are_put_in_the_order_of_a_signature():
    schemas = importlib.import_module("corten.fx.operator_schemas")
    assert schemas.normalize_function(F.relu, (1,)) == ((1,), {"inplace": False})
    assert schemas.normalize_function(torch.flatten, (1, 2)) == ((1, 2), {"end_dim": -1})
    by_name = schemas.normalize_function(torch.flatten, (1,), {"end_dim": 3}, normalize_to_only_use_kwargs=True)
    assert by_name == ((), {"input": 1, "start_dim": 0, "end_dim": 3})
    assert schemas.normalize_function(len, (1,)) is None
    traced = fx.symbolic_trace(nn.Sequential(nn.Linear(1, 1)))
    call = next(node for node in traced.graph.nodes if node.op == "call_module")
    assert call.normalized_arguments(traced, normalize_to_only_use_kwargs=True).kwargs["input"].name == "input_1"
    with pytest.raises(RuntimeError, match="did not have module nothing"):
        schemas.normalize_module(traced, "nothing", ())


# -- networks, names and examples -------------------------------------------------------------------------------------


def test_networks_of_the_package_are_traced():
    for build in (torch.models.resnet18, torch.models.mobilenet_v2, torch.models.convnext_tiny):
        torch.manual_seed(0)
        net = build(num_classes=3).eval()
        traced, x = fx.symbolic_trace(net), torch.randn(1, 3, 32, 32)
        close(traced(x), net(x))


def test_features_are_taken_out_of_a_network():
    from corten.vision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    net = torch.models.resnet18(num_classes=3).eval()
    train, evaluation = get_graph_node_names(net)
    assert train == evaluation and {"layer1.0.add", "layer4.1.relu_1", "flatten", "fc"} <= set(train)
    features = create_feature_extractor(net, {"layer2": "middle", "flatten": "end"})
    x = torch.randn(1, 3, 64, 64)
    found = features(x)
    close(found["end"] @ net.fc.weight.t() + net.fc.bias, net(x))
    assert list(found) == ["middle", "end"] and found["middle"].shape == (1, 128, 8, 8) and not features.training
    copied = copy.deepcopy(features)
    close(copied(x)["end"], found["end"])
    modes = create_feature_extractor(net, train_return_nodes=["layer1"], eval_return_nodes=["layer2"])
    assert list(modes(x)) == ["layer2"] and list(modes.train()(torch.randn(2, 3, 32, 32))) == ["layer1"]
    assert not any(name.startswith("fc") for name, _ in modes.named_parameters())
    with pytest.raises(ValueError, match="'zzz' is not present"):
        create_feature_extractor(net, ["zzz"])
    with pytest.raises(ValueError, match="both should be specified"):
        create_feature_extractor(net, train_return_nodes=["layer1"])


def test_features_of_modes_that_differ_are_warned_about():
    from corten.vision.models.feature_extraction import get_graph_node_names

    class Differs(nn.Module):
        def forward(self, x):
            return x.relu() if self.training else x.exp()

    with pytest.warns(UserWarning, match="other nodes in training"):
        assert get_graph_node_names(Differs()) == (["x", "relu"], ["x", "exp"])
    assert get_graph_node_names(Differs(), suppress_diff_warning=True)[0] == ["x", "relu"]


SUBMODULES = (
    "graph node proxy graph_module interpreter subgraph_rewriter _symbolic_trace immutable_collections traceback "
    "operator_schemas annotate _pytree _compatibility passes passes.shape_prop passes.utils.matcher_utils experimental "
    "experimental.optimization experimental.proxy_tensor"
)


def test_every_submodule_is_found_under_pytorchs_name():
    program = f"""
import sys; sys.path[:0] = eval(sys.argv[1])
import corten
corten.install_as_torch()
import importlib, torch
for name in {SUBMODULES!r}.split():
    assert importlib.import_module("torch.fx." + name) is importlib.import_module("corten.fx." + name), name
from torch.fx import Graph, GraphModule, Interpreter, Node, Proxy, Tracer, Transformer, wrap
from torch.fx import replace_pattern, symbolic_trace
from torch.fx.node import Argument, Target, map_aggregate, map_arg, base_types
from torchvision.models.feature_extraction import create_feature_extractor
print(symbolic_trace(lambda x: torch.nn.functional.gelu(x)).code.strip().splitlines()[1].strip(), torch.float32)
"""
    shown = subprocess.run([sys.executable, "-c", program, repr(sys.path)], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "gelu = torch._C._nn.gelu(x);  x = None torch.float32"


def test_what_is_absent_names_another_way():
    with pytest.raises(NotImplementedError, match="Interpreter"):
        fx.passes.split_module  # noqa: B018
    with pytest.raises(NotImplementedError, match="symbolic_trace"):
        fx.experimental.symbolic_shapes  # noqa: B018
    make_fx = importlib.import_module("corten.fx.experimental.proxy_tensor").make_fx
    with pytest.raises(NotImplementedError, match="symbolic_trace"):
        make_fx(lambda x: x)


DOCUMENTED = (
    "fx.graph fx.graph_module fx.interpreter fx._symbolic_trace fx.subgraph_rewriter fx.passes.shape_prop "
    "vision.models.feature_extraction"
)


@pytest.mark.cpu
@pytest.mark.parametrize("name", DOCUMENTED.split())
def test_examples_in_docstrings_run(name):
    tried = doctest.testmod(importlib.import_module(f"corten.{name}"), extraglobs={"corten": torch})
    assert tried.failed == 0 and tried.attempted > 0
