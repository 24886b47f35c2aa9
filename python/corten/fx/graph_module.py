"""A module whose function is a graph, and runs as the code that the graph writes."""

import copy
import itertools
import linecache
import os
import re

import corten

from ..nn import Module
from ._names import import_statement
from .graph import Graph, _PyTreeCodeGen

__all__ = ["GraphModule", "reduce_graph_module"]

_numbers = itertools.count()
_SEE_MORE = "\n# To see more debug info, please use `graph_module.print_readable()`"


def _forward_from_src(src, globals_, filename=None):
    """The function ``forward`` of a text, which tracebacks can show."""
    filename = filename or f"<eval_with_key>.{next(_numbers)}"
    namespace = dict(globals_)
    exec(compile(src, filename, "exec"), namespace)
    lines = [line + "\n" for line in src.splitlines()]
    linecache.cache[filename] = (len(src), None, lines, filename)
    return namespace["forward"]


def _walked(module, path):
    """The module that holds the last name of ``path``."""
    *parents, name = path.split(".")
    for parent in parents:
        module = getattr(module, parent)
    return module, name


def _parent_in(module, path):
    """As :func:`_walked`, making the modules on the way."""
    *parents, name = path.split(".")
    for parent in parents:
        child = getattr(module, parent, None)
        if not isinstance(child, Module):
            child = Module()
            module.add_module(parent, child)
        module = child
    return module, name


def _assign_attr(value, module, path):
    """Sets an attribute by its path; a tensor that is no parameter becomes a buffer."""
    module, name = _parent_in(module, path)
    if isinstance(value, corten.Tensor) and not isinstance(value, corten.nn.Parameter):
        if name in module._buffers:
            module._buffers[name] = value
            return
        module.register_buffer(name, value)
    else:
        setattr(module, name, value)


def _copy_attr(from_module, to_module, path):
    source, name = _walked(from_module, path)
    value = getattr(source, name)
    target, name = _parent_in(to_module, path)
    if isinstance(value, corten.Tensor) and not isinstance(value, corten.nn.Parameter):
        persistent = name not in getattr(source, "_non_persistent_buffers_set", ())
        target.register_buffer(name, value, persistent)
    elif not (isinstance(value, Module) and getattr(target, name, None) is not None):
        setattr(target, name, value)
    else:
        _merge(value, target, name)


def _merge(value, target, name):
    # A module may be called as a whole after a part of it was copied.
    if getattr(target, name) is not value:
        setattr(target, name, value)


class GraphModule(Module):
    """A module that is made of a graph.

    Args:
        root: a module, or a dict of values by paths, that has what the graph calls and reads; that alone is copied.
        graph: a :class:`Graph`; the module's code follows it when :meth:`recompile` is called after a change.
        class_name: the name of the module's class.

    Raises:
        RuntimeError: another root, or a dict that lacks something.

    Example:
        >>> graph = corten.fx.Graph()
        >>> x = graph.placeholder("x")
        >>> _ = graph.output(graph.call_function(corten.add, (x, 1)))
        >>> corten.fx.GraphModule({}, graph)(corten.ones(2))
        tensor([2., 2.])
    """

    def __new__(cls, *args, **kwargs):
        # Each has a class of its own, since calls look their method up in the class.
        base = next(kind for kind in cls.__mro__ if "_is_of_one_graph" not in vars(kind))
        return object.__new__(type(base.__name__, (base,), {"_is_of_one_graph": True, "__module__": base.__module__}))

    def __init__(self, root, graph, class_name="GraphModule"):
        super().__init__()
        type(self).__name__ = class_name
        if isinstance(root, Module):
            self.training = root.training
            for node in _targets(graph):
                if hasattr(root, "_modules") or "." not in node.target:
                    _copy_attr(root, self, node.target)
        elif isinstance(root, dict):
            missing = [node for node in _targets(graph) if node.target not in root]
            if missing:
                raise RuntimeError(
                    f"Node {missing[0]} referenced target {missing[0].target} but that target was not provided in "
                    "``root``!"
                )
            for path in sorted({node.target for node in _targets(graph)}, key=lambda path: path.count(".")):
                _assign_attr(root[path], self, path)
        else:
            raise RuntimeError(f"Unsupported type {root} passed for root!")
        self.graph = graph
        self._tracer_cls = graph._tracer_cls
        self._tracer_extras = graph._tracer_extras or {}
        self.meta = dict(getattr(root, "meta", None) or {}) if isinstance(root, GraphModule) else {}

    @property
    def graph(self):
        """The graph; assigning another one compiles its code."""
        return self._graph

    @graph.setter
    def graph(self, g):
        if not isinstance(g, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(g)}")
        self._graph = g
        g.owning_module = self
        self.recompile()

    @property
    def code(self):
        """The text of the function."""
        if not hasattr(self, "_code"):
            raise RuntimeError("GraphModule.code: the graph has not been compiled; call recompile()")
        return self._code

    def recompile(self):
        """Makes the function anew of the graph as it is now.

        Returns:
            its :class:`PythonCode`.
        """
        if isinstance(self._graph._codegen, _PyTreeCodeGen) and self._graph._codegen.pytree_info is not None:
            self._in_spec = self._graph._codegen.pytree_info.in_spec
            self._out_spec = self._graph._codegen.pytree_info.out_spec
        python_code = self._graph.python_code(root_module="self")
        self._code = python_code.src
        type(self).forward = _forward_from_src(python_code.src, python_code.globals)
        return python_code

    # -- submodules ---------------------------------------------------------------------------------------------------

    def add_submodule(self, target, m):
        """Adds a submodule at a path, and plain modules on the way.

        Returns:
            whether that was possible: nothing but modules stands in the way.
        """
        *parents, name = target.split(".")
        module = self
        for parent in parents:
            child = getattr(module, parent, None)
            if child is None:
                child = Module()
                setattr(module, parent, child)
            if not isinstance(child, Module):
                return False
            module = child
        module.add_module(name, m)
        return True

    def delete_submodule(self, target):
        """Deletes a submodule.

        Returns:
            whether there was one.
        """
        *parents, name = target.split(".")
        module = self
        for parent in parents:
            module = getattr(module, parent, None)
            if not isinstance(module, Module):
                return False
        if not isinstance(getattr(module, name, None), Module):
            return False
        delattr(module, name)
        return True

    def delete_all_unused_submodules(self):
        """Deletes the submodules that no node calls or reads from."""
        used = set()
        for node in _targets(self.graph):
            parts = node.target.split(".")
            used.update(".".join(parts[:i]) for i in range(1, len(parts) + 1))
            if node.op == "call_module" or isinstance(_value_at(self, node.target), Module):
                try:
                    called = self.get_submodule(node.target)
                except AttributeError:
                    continue
                used.update(f"{node.target}.{name}" for name, _ in called.named_modules() if name)
        for name in [name for name, _ in self.named_modules() if name and name not in used]:
            self.delete_submodule(name)

    # -- copies and files ---------------------------------------------------------------------------------------------

    def _bare_state(self):
        state = self.__dict__.copy()
        del state["_graph"]
        return state

    def __reduce__(self):
        state = self._bare_state()
        python_code = self._graph.python_code(root_module="self")
        state["_graphmodule_cls_name"] = type(self).__name__
        return reduce_graph_module, (state, _import_block(python_code.globals))

    def __reduce_ex__(self, protocol):
        return self.__reduce__()

    def __deepcopy__(self, memo):
        result = type(self).__new__(type(self))
        memo[id(self)] = result
        holder = _Bare(copy.deepcopy(self._bare_state(), memo))
        graph = copy.deepcopy(self._graph, memo)
        # The graph need not name all that the module holds.
        result.__dict__.update(holder.__dict__)
        type(result).__name__ = type(self).__name__
        result.graph = graph
        return result

    def __copy__(self):
        copied = GraphModule(self, self.graph, type(self).__name__)
        copied.meta = dict(self.meta)
        return copied

    def to_folder(self, folder, module_name="FxModule"):
        """Writes the module as a package of Python: ``module.py`` with its code, and ``state_dict.pt``.

        Submodules whose ``repr`` is not how they are made are saved as they are.

        Args:
            module_name: the name of the class.
        """
        os.makedirs(folder, exist_ok=True)
        corten.save(self.state_dict(), os.path.join(folder, "state_dict.pt"))
        text = _package_text(self, folder, module_name)
        with open(os.path.join(folder, "module.py"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(os.path.join(folder, "__init__.py"), "w", encoding="utf-8") as file:
            file.write("from .module import *\n")

    # -- as text ------------------------------------------------------------------------------------------------------

    def __str__(self):
        return "\n".join([super().__str__(), self._code, _SEE_MORE.removeprefix("\n")])

    def print_readable(
        self,
        print_output=True,
        include_stride=False,
        include_device=False,
        colored=False,
        *,
        fast_sympy_print=False,
        expanded_def=False,
        additional_meta=None,
    ):
        """The code of the module and of the graph modules in it, with shapes that are known and where nodes come from.

        Args:
            print_output: print it as well.
            include_stride, include_device: tell these of values whose shape is known.

        Returns:
            the text.
        """
        code = self._graph.python_code(
            "self",
            verbose=True,
            include_stride=include_stride,
            include_device=include_device,
            expanded_def=expanded_def,
        ).src
        text = f"class {type(self).__name__}(torch.nn.Module):\n" + _indented(code.lstrip("\n"), 4)
        for child in self.children():
            if hasattr(child, "print_readable"):
                text += "\n" + _indented(child.print_readable(False, include_stride, include_device), 4)
        if print_output:
            print(text)
        return text


class _Bare(Module):
    """What a graph module holds besides its graph."""

    def __init__(self, state):
        super().__init__()
        self.__dict__ = state


def _indented(text, width):
    return "\n".join(" " * width + line if line.strip() else "" for line in text.split("\n"))


def _targets(graph):
    return [node for node in graph.nodes if node.op in ("get_attr", "call_module")]


def _value_at(module, path):
    for name in path.split("."):
        module = getattr(module, name, None)
    return module


def _import_block(values, torch="torch"):
    lines = {import_statement(name, value, torch) for name, value in values.items()} - {""}
    return "\n".join(sorted(lines, key=lambda line: (not line.startswith(("import", "from")), line)))


def _own_imports(block):
    """The lines with this package's name in the place of PyTorch's."""
    block = re.sub(r"^import torch$", "import corten as torch", block, flags=re.MULTILINE)
    return re.sub(r"^(from|import) torch\b", r"\1 corten", block, flags=re.MULTILINE)


def reduce_graph_module(body, import_block):
    """What a pickle makes a graph module of: its state, and its code, which is traced again."""
    from ._symbolic_trace import Tracer

    class KeepModules(Tracer):
        """All modules are leaves: the code calls no others."""

        def is_leaf_module(self, m, module_qualified_name):
            return True

    code, class_name = body["_code"], body.pop("_graphmodule_cls_name", "GraphModule")
    namespace = {}
    exec(_own_imports(import_block), namespace)
    holder = _Bare(body)
    tracer_cls = body.get("_tracer_cls")
    forward = _forward_from_src(code, namespace)
    type(holder).forward = forward
    graph = KeepModules().trace(holder)
    graph._tracer_cls = tracer_cls
    made = GraphModule.__new__(GraphModule)
    made.__dict__.update(body)
    type(made).__name__ = class_name
    made.graph = graph
    return made


# Modules whose text is how they are made.
_SAFE_REPR = (
    "Linear", "Conv1d", "Conv2d", "Conv3d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "ReLU", "ReLU6", "Dropout",
    "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "LayerNorm", "GELU", "SiLU", "Sigmoid", "Tanh", "Identity",
    "Embedding", "Softmax", "LeakyReLU", "ELU", "Hardswish", "Hardsigmoid", "GroupNorm",
)  # fmt: skip
_HERE = "__file__.rpartition('module.py')[0]"


def _package_text(module, folder, class_name):
    """The file of :meth:`GraphModule.to_folder`."""
    python_code = module._graph.python_code(root_module="self")
    lines = [_import_block(python_code.globals, corten._spoken.name), f"from {corten._spoken.name}.nn import *", "", ""]
    lines += [f"class {class_name}(torch.nn.Module):", "    def __init__(self):", "        super().__init__()"]
    for name, child in module.named_children():
        lines.append(f"        self.add_module({name!r}, {_module_text(name, child, folder)})")
    for name, value in module._parameters.items():
        lines.append(f"        self.{name} = torch.nn.Parameter({_empty_text(value)})")
    for name, value in module._buffers.items():
        persistent = name not in module._non_persistent_buffers_set
        lines.append(f"        self.register_buffer({name!r}, {_empty_text(value)}, {persistent})")
    lines.append(f"        self.load_state_dict(torch.load({_HERE} + 'state_dict.pt'))")
    return "\n".join(lines) + "\n" + _indented(module._code.rstrip(), 4) + "\n"


def _module_text(name, child, folder):
    """How a submodule is made: by its text, or from a file that is written here."""
    if type(child).__name__ in _SAFE_REPR and type(child).__module__.startswith("corten.nn"):
        return repr(child)
    corten.save(child, os.path.join(folder, f"{name}.pt"))
    return f"torch.load({_HERE} + {name + '.pt'!r}, weights_only=False)"


def _empty_text(value):
    return f"torch.empty({list(value.shape)}, dtype=torch.{repr(value.dtype).rpartition('.')[2]})"


def _make_graph_module(root, graph, class_name):
    return GraphModule(root, graph, class_name)
