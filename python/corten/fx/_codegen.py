"""The Python code of a graph's function, line by line as PyTorch writes it."""

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .. import _core
from ..utils._pytree import tree_flatten, tree_unflatten
from ._names import CUSTOM_BUILTINS, is_of_torch, qualified_name, shown
from ._pytree import tree_flatten_spec
from .node import _type_repr

__all__ = ["CodeGen", "PythonCode", "_PyTreeCodeGen", "_PyTreeInfo"]

_BINARY = {
    "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "add": "+", "sub": "-", "mul": "*",
    "floordiv": "//", "truediv": "/", "mod": "%", "pow": "**", "lshift": "<<", "rshift": ">>", "and_": "&",
    "or_": "|", "xor": "^", "matmul": "@",
}  # fmt: skip
magic_methods = {name: f"{{}} {sign} {{}}" for name, sign in _BINARY.items()} | {
    "getitem": "{}[{}]",
    "pos": "+{}",
    "neg": "-{}",
    "invert": "~{}",
}
_SIGNS = (
    ("iadd", "add"), ("iand", "and_"), ("ifloordiv", "floordiv"), ("ilshift", "lshift"), ("imod", "mod"),
    ("imul", "mul"), ("imatmul", "matmul"), ("ior", "or_"), ("ipow", "pow"), ("irshift", "rshift"), ("isub", "sub"),
    ("itruediv", "truediv"), ("ixor", "xor"),
)  # fmt: skip
inplace_methods = {name: f"{{}} {_BINARY[sign]}= {{}}" for name, sign in _SIGNS} | {"setitem": "{}[{}] = {}"}

_SHORT_DTYPES = {
    "float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16", "complex32": "c32", "complex64": "c64",
    "complex128": "c128", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "uint8": "u8",
    "uint16": "u16", "uint32": "u32", "uint64": "u64", "bool": "b8", "float8_e4m3fn": "f8e4m3fn",
    "float8_e5m2": "f8e5m2",
}  # fmt: skip


@dataclass
class PythonCode:
    """The code of a graph.

    Attributes:
        src: the text, a function ``forward``.
        globals: the values of the names in it that it does not define.
    """

    src: str
    globals: dict[str, Any]
    _lineno_map: dict[int, int | None] | None = None
    _prologue_start: int = 0


def _format_target(base, target):
    """``target``, a path of attributes, behind ``base``."""
    for name in target.split("."):
        base = f"{base}.{name}" if name.isidentifier() else f'getattr({base}, "{name}")'
    return base


def _last_uses(nodes):
    """By node: the nodes that nobody reads any more behind it."""
    seen, found = set(), {}
    for node in reversed(nodes):
        for used in node._input_nodes:
            if used not in seen:
                seen.add(used)
                found.setdefault(node, []).append(used)
    return found


class _Writer:
    """Collects the lines of one function and the globals that they name."""

    def __init__(self, codegen, nodes, root_module, namespace, verbose, include):
        self.codegen, self.root, self.namespace = codegen, root_module, namespace
        self.nodes = list(nodes)
        self.verbose, self.include = verbose, include
        self.globals = {}
        self.free_vars = []
        self.lines = []
        self.wrapped = {}
        self.annotation = ""
        self.last_uses = _last_uses(self.nodes)
        self.place = None
        for name, value in CUSTOM_BUILTINS.items():
            self.add_global(name, value)

    def add_global(self, hint, value):
        """The name by which code finds a value of outside."""
        if is_of_torch(value) and value is not _core.device:
            # The package is a global, and what it holds is found in it.
            return qualified_name(value) if callable(value) else shown(value)
        hint = hint.replace(".", "_")
        if self.globals.get(hint, self) is value:
            return hint
        name = self.namespace.create_name(hint, value if isinstance(value, typing.Hashable) else None)
        self.globals[name] = value
        return name

    def type_name(self, annotation):
        """An annotation as code."""
        if annotation == ():
            return "()"
        origin = getattr(annotation, "__origin__", None)
        if origin is None:
            return self.add_global(_type_repr(annotation), annotation)
        if hasattr(annotation, "_name") and annotation._name is None:
            annotation_name = _type_repr(origin)
            return f"{self.add_global(annotation_name, origin)}[{self._type_args(annotation)}]"
        if isinstance(origin, type) and hasattr(annotation, "_name"):
            alias = getattr(typing, annotation._name)
            return f"{self.add_global(_type_repr(alias), alias)}[{self._type_args(annotation)}]"
        if origin is typing.Union:
            return f"{self.add_global('typing_Union', typing.Union)}[{self._type_args(annotation)}]"
        return f"{self.add_global(_type_repr(origin), origin)}[{self._type_args(annotation)}]"

    def _type_args(self, annotation):
        return ",".join(self.type_name(part) for part in annotation.__args__)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def typed(self, node):
        """What stands behind a node's name: its annotation, and in verbose code its shape."""
        if self.verbose:
            shape = self._shape_of(node)
            if shape is not None:
                return f': "{shape}"'
        return "" if node.type is None else f" : {self.type_name(node.type)}"

    def _shape_of(self, node):
        value = node.meta.get("val", node.meta.get("tensor_meta", node.meta.get("example_value")))
        dtype = getattr(value, "dtype", None)
        if not hasattr(value, "shape") or dtype is None:
            return None
        name = str(dtype).rpartition(".")[2]
        stride = value.stride() if callable(getattr(value, "stride", None)) else getattr(value, "stride", None)
        behind = str(list(stride)) if self.include["include_stride"] and stride is not None else ""
        device = getattr(value, "device", None) if self.include["include_device"] else None
        return f"{_SHORT_DTYPES.get(name, name)}{list(value.shape)}{behind}{'' if device is None else device}"

    def arguments(self, args, kwargs):
        return ", ".join([*map(shown, args), *(f"{name} = {shown(value)}" for name, value in kwargs.items())])

    def write(self, node):
        """Writes the line of one node, without its end."""
        getattr(self, f"_write_{node.op}")(node)

    def _write_placeholder(self, node):
        assert isinstance(node.target, str)
        default = "" if not node.args else f" = {shown(node.args[0])}"
        self.free_vars.append(f"{node.target}{self.typed(node)}{default}")
        name = node.target.replace("*", "")
        if name != repr(node):
            self.lines.append(f"{node!r} = {name}\n")

    def _write_get_attr(self, node):
        self.lines.append(f"{node!r}{self.typed(node)} = {_format_target(self.root, node.target)}")

    def _write_call_module(self, node):
        target = _format_target(self.root, node.target)
        self.lines.append(f"{node!r}{self.typed(node)} = {target}({self.arguments(node.args, node.kwargs)})")

    def _write_call_method(self, node):
        target = _format_target(shown(node.args[0]), node.target)
        self.lines.append(f"{node!r}{self.typed(node)} = {target}({self.arguments(node.args[1:], node.kwargs)})")

    def _write_call_function(self, node):
        target, name = node.target, getattr(node.target, "__name__", "")
        begin = f"{node!r}{self.typed(node)} = "
        if getattr(target, "__module__", None) == "_operator" and not node.kwargs:
            if name in magic_methods:
                self.lines.append(begin + magic_methods[name].format(*map(shown, node.args)))
                return
            if name in inplace_methods:
                change = inplace_methods[name].format(*map(shown, node.args))
                self.lines.append(f"{change};  {begin}{shown(node.args[0])}")
                return
        path = qualified_name(target)
        found = self.add_global(path, target)
        if found in self.globals and node.meta.get("is_wrapped"):
            self.wrapped.setdefault(found)
        if target is getattr and len(node.args) == 2 and isinstance(node.args[1], str) and node.args[1].isidentifier():
            self.lines.append(f"{begin}{_format_target(shown(node.args[0]), node.args[1])}")
            return
        self.lines.append(f"{begin}{found}({self.arguments(node.args, node.kwargs)})")

    def _write_output(self, node):
        if node.type is not None:
            self.annotation = f" -> {self.type_name(node.type)}"
        self.lines.append(self.codegen.generate_output(node.args[0], repr_fn=shown))

    def end(self, node):
        """Ends a node's line by letting go of what nobody reads any more."""
        if node.op == "placeholder":
            return
        if node.op != "output":
            names = [repr(used) for used in self.last_uses.get(node, [])]
            names += [] if node.users else [repr(node)]
            if names:
                self.lines.append(f";  {' = '.join(names)} = None")
        self.lines.append("\n")

    def comment(self, node):
        """In verbose code: where the traced program made the nodes that follow, once for each place."""
        if node.op in ("placeholder", "output"):
            return
        place = _place_of(node.stack_trace)
        if place != self.place:
            self.place = place
            self.lines.append(f"\n# {place}\n")


def _place_of(trace):
    if not trace:
        return "No stacktrace found for following nodes"
    lines = [line.strip() for line in trace.strip().split("\n") if line.strip()]
    places = [i for i, line in enumerate(lines) if line.startswith("File ")]
    if not places:
        return lines[-1]
    file, line, name = (part.strip() for part in lines[places[-1]].removeprefix("File ").rsplit(", ", 2))
    code = " ".join(lines[places[-1] + 1 :][:1])
    return f"File: {file.strip(chr(34))}:{line.removeprefix('line ')} in {name.removeprefix('in ')}, code: {code}"


class CodeGen:
    """Writes a graph's function; a class of its own may change how arguments come in and results go out."""

    def __init__(self):
        self._body_transformer: Callable[[list[str]], list[str]] | None = None
        self._func_name = "forward"

    def gen_fn_def(self, free_vars, maybe_return_annotation, *, expanded_def=False):
        """The line that begins the function.

        Args:
            free_vars: the parameters, with annotations and defaults.
            maybe_return_annotation: ``" -> int"`` or nothing.
        """
        if not free_vars or free_vars[0] != "self":
            free_vars.insert(0, "self")
        if expanded_def:
            inner = "".join(f"    {name},\n" for name in free_vars)
            return f"def {self._func_name}(\n{inner}){maybe_return_annotation}:"
        return f"def {self._func_name}({', '.join(free_vars)}){maybe_return_annotation}:"

    def generate_output(self, output_args, *, descs=None, repr_fn=None):
        """The line that ends the function."""
        return f"return {(repr_fn or shown)(output_args)}"

    def process_inputs(self, *args):
        """The values of the placeholders, from the function's arguments."""
        return args

    def process_outputs(self, outputs):
        """The function's result, from what the output node gets."""
        return outputs

    def additional_globals(self):
        """Names and values that the code needs besides."""
        return []

    def _gen_python_code(self, nodes, root_module, namespace, *, verbose=False, expanded_def=False, **include):
        include = {"include_stride": False, "include_device": False, **include}
        writer = _Writer(self, nodes, root_module, namespace, verbose, include)
        for name, value in self.additional_globals():
            writer.add_global(name, value)
        for node in writer.nodes:
            if verbose:
                writer.comment(node)
            writer.write(node)
            writer.end(node)
        lines = writer.lines or ["pass\n"]
        if self._body_transformer is not None:
            lines = self._body_transformer(lines)
        wraps = "\n".join(f'torch.fx._symbolic_trace.wrap("{name}")' for name in writer.wrapped)
        begin = self.gen_fn_def(writer.free_vars, writer.annotation, expanded_def=expanded_def)
        body = "".join(lines).lstrip("\n")
        body = "\n".join("    " + line for line in body.split("\n"))
        src = f"\n{wraps}\n\n{begin}\n{body}"
        return PythonCode(src, writer.globals, {}, wraps.count("\n") + 4)


class _PyTreeInfo(NamedTuple):
    orig_args: list
    in_spec: Any
    out_spec: Any


class _PyTreeCodeGen(CodeGen):
    """Code of a function whose arguments and results are structures of containers, as they were when it was traced."""

    def __init__(self, pytree_info):
        super().__init__()
        self.pytree_info = pytree_info

    def process_inputs(self, *inputs):
        """The leaves of the arguments."""
        return tree_flatten(inputs)[0]

    def process_outputs(self, out):
        """The structure that the leaves make."""
        if not isinstance(out, (list, tuple)):
            out = [out]
        return tree_unflatten(out, self.pytree_info.out_spec)

    def gen_fn_def(self, free_vars, maybe_return_annotation, *, expanded_def=False):
        """The line that begins the function, and those that take its arguments apart."""
        if self.pytree_info is None:
            return super().gen_fn_def(free_vars, maybe_return_annotation, expanded_def=expanded_def)
        names = list(self.pytree_info.orig_args)
        has_self = bool(names) and names[0] == "self"
        begin = super().gen_fn_def(names[:], maybe_return_annotation, expanded_def=expanded_def)
        if not free_vars:
            return begin
        plain = [var.partition(":")[0].partition("=")[0].strip() for var in free_vars]
        given = ", ".join(names[1:] if has_self else names)
        text = f"{begin}\n    {', '.join(plain)}, = fx_pytree.tree_flatten_spec([{given}], self._in_spec)"
        typed = [var.partition("=")[0].strip() for var in free_vars if ":" in var]
        return text + "".join(f"\n    {var}" for var in typed)

    def generate_output(self, output_args, *, descs=None, repr_fn=None):
        """The line that ends the function."""
        if self.pytree_info and self.pytree_info.out_spec:
            return f"return pytree.tree_unflatten({(repr_fn or shown)(output_args)}, self._out_spec)"
        return super().generate_output(output_args, repr_fn=repr_fn)

    @staticmethod
    def flatten(args, spec):
        """The leaves of arguments that are laid out as ``spec`` says."""
        return tree_flatten_spec(args, spec)
