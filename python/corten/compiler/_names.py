"""The names in a function's code: globals, attributes and modules that it mentions, and what it only changes."""

import ast
import dis
import inspect
import textwrap
import types

_GLOBALS = frozenset(["LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"])
_ATTRIBUTES = frozenset(["LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR", "LOAD_SUPER_ATTR", "IMPORT_FROM"])
# The builtins that take an attribute's name as a text.
ASKING = frozenset(["getattr", "hasattr"])
# Methods of containers whose result says nothing about what the container holds.
_CHANGES = frozenset(["append", "add", "extend", "insert", "update", "appendleft"])


def mentioned(code):
    """The globals, the attributes and the imported modules that code and the functions inside it mention.

    Texts may name attributes too.
    """
    found = scopes, attributes, imports = set(), set(), set()
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("EXTENDED_ARG", "CACHE")]
    for k, instruction in enumerate(instructions):
        if instruction.opname in _GLOBALS:
            scopes.add(instruction.argval)
        elif instruction.opname in _ATTRIBUTES:
            attributes.add(instruction.argval)
        elif instruction.opname == "IMPORT_NAME":
            # Two instructions before, the level: how many dots stand before the name.
            imports.add("." * instructions[k - 2].argval + instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for names, inner in zip(found, mentioned(constant)):
                names |= inner
        elif isinstance(constant, str) and constant.isidentifier():
            attributes.add(constant)
    return found


def asks_by_value(function):
    """Whether a function may look for attributes whose names its code does not spell: ``getattr(x, name)``."""
    tree = _tree(function)
    if tree is None:
        return True
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    names = [node.args[1] for node in asked if node.func.id in ASKING and len(node.args) > 1]
    return not all(isinstance(name, ast.Constant) for name in names)


class _Uses(ast.NodeVisitor):
    """Looks for a use of a name, plain or as an attribute, that is more than a change."""

    def __init__(self, name):
        self.name = name
        self.read = False

    def _is_name(self, node):
        return (isinstance(node, ast.Name) and node.id == self.name) or (
            isinstance(node, ast.Attribute) and node.attr == self.name
        )

    def visit_AugAssign(self, node):
        target = node.target
        if isinstance(target, ast.Subscript) and self._is_name(target.value):
            self.visit(target.slice)
        elif not self._is_name(target):
            self.visit(target)
        self.visit(node.value)

    def visit_Expr(self, node):
        call = node.value
        changes = (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in _CHANGES
            and self._is_name(call.func.value)
        )
        if not changes:
            self.visit(call)
            return
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
            self.visit(argument)

    def visit_Constant(self, node):
        self.read |= node.value == self.name

    def visit_Name(self, node):
        self.read |= self._is_name(node)

    def visit_Attribute(self, node):
        self.read |= self._is_name(node)
        self.visit(node.value)


def only_changes(function, name):
    """Whether a function uses a name only to count or to collect (``n += 1``, ``seen.append(x)``), reading nothing."""
    tree = _tree(function)
    if tree is None:
        return False
    uses = _Uses(name)
    uses.visit(tree)
    return not uses.read


def _tree(function):
    """The syntax of a function, or of the statement around a lambda; None where its source does not stand alone."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function.__code__)))
    except (OSError, TypeError, SyntaxError):
        return None
