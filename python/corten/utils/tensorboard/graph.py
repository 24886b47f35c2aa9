"""A model's operators as a graph: what one call of it does, recorded while it runs.

Operators are steps in the module that calls them; parameters, inputs and outputs are steps of their own.
"""

import contextlib

import corten
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef

from ...overrides import TorchFunctionMode
from ...utils._pytree import tree_flatten


def _tensors(value):
    return [x for x in tree_flatten(value)[0] if isinstance(x, corten.Tensor)]


class _Recorder(TorchFunctionMode):
    """A step for every operator; tensors are known by identity, and kept so that none takes another's."""

    _is_partial = True

    def __init__(self, model):
        self.steps, self.of, self.kept, self.counts = [], {}, [], {}
        self.path = [type(model).__name__]

    def unique(self, name):
        number = self.counts[name] = self.counts.get(name, -1) + 1
        return f"{name}_{number}" if number else name

    def add(self, name, operator, inputs, outputs):
        name = self.unique(name)
        shapes = [TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in t.shape]) for t in outputs]
        attributes = {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=shapes))} if shapes else {}
        names = list(dict.fromkeys(self.of[id(t)] for t in inputs if id(t) in self.of))
        self.steps.append(NodeDef(name=name, op=operator, input=names, attr=attributes))
        for tensor in outputs:
            self.of[id(tensor)] = name
            self.kept.append(tensor)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        made = _tensors(result)
        name = getattr(func, "__name__", "")
        # Questions about tensors are no steps; neither is reading an attribute that gives no tensor.
        if made and name not in ("__get__", "__set__"):
            self.add("/".join([*self.path, name.strip("_")]), f"corten::{name}", _tensors((args, kwargs)), made)
        return result


def _with_scopes(stack, recorder, model):
    """Hooks at every module that keep the recorder's path while the module runs."""
    names = {}
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        names.setdefault(id(module), f"{type(module).__name__}[{last}]" if name else type(module).__name__)
    for module in model.modules():

        def enter(module, inputs):
            if module is not model:
                recorder.path.append(names[id(module)])

        def leave(module, inputs, output):
            if module is not model:
                recorder.path.pop()

        for handle in (module.register_forward_pre_hook(enter), module.register_forward_hook(leave)):
            stack.callback(handle.remove)


def graph(model, args, verbose=False):
    """The graph of a call of a module.

    Args:
        args: the module's arguments, a tensor or a tuple.

    Raises:
        TypeError: the model is no module.
    """
    if not isinstance(model, corten.nn.Module):
        raise TypeError(f"add_graph: expected a corten.nn.Module, got {type(model).__name__}")
    if args is None:
        raise ValueError("add_graph: input_to_model is needed, the arguments that the model is called with")
    args = args if isinstance(args, tuple) else tuple(args) if isinstance(args, list) else (args,)
    recorder = _Recorder(model)
    root = type(model).__name__
    for tensor in _tensors(args):
        recorder.add("input/x", "IO Node", [], [tensor])
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        recorder.add(f"{root}/{name.replace('.', '/')}", "corten::parameter", [], [tensor])
    with contextlib.ExitStack() as stack:
        _with_scopes(stack, recorder, model)
        stack.enter_context(corten.no_grad())
        stack.enter_context(recorder)
        outputs = model(*args)
    for tensor in _tensors(outputs):
        recorder.add("output/output", "IO Node", [tensor], [])
    if verbose:
        print(*(f"{s.name} = {s.op}({', '.join(s.input)})" for s in recorder.steps), sep="\n")
    return GraphDef(node=recorder.steps, versions=VersionDef(producer=22))
