"""`FunctionSchema`: an operator's name, parameters and results, as ``mylib::scale(Tensor x, float by=2.) -> Tensor``.

`parser` makes schemas of text, `inference` of annotations, and `binding` fits the arguments of a call to one.
"""

import enum

from .. import _core
from . import types as t

Tensor = _core.Tensor
# The default of a parameter that has none.
NO_DEFAULT = object()


class Tag(enum.Enum):
    """Facts about an operator that a program may declare; their numbers are PyTorch's."""

    core = 0
    cudagraph_unsafe = 1
    data_dependent_output = 2
    dynamic_output_shape = 3
    flexible_layout = 4
    generated = 5
    inplace = 6
    inplace_view = 7
    maybe_aliasing_or_mutating = 8
    needs_contiguous_strides = 9
    needs_exact_strides = 10
    needs_fixed_stride_order = 11
    nondeterministic_bitwise = 12
    nondeterministic_seeded = 13
    out = 14
    out_variant = 15
    pointwise = 16
    pt2_compliant_tag = 17
    reduction = 18
    view_copy = 19

    def __int__(self):
        return self.value

    __index__ = __int__


def as_tags(tags):
    """Tags as a tuple: None, one, or several."""
    if tags is None:
        return ()
    return (tags,) if isinstance(tags, Tag) else tuple(tags)


class AliasInfo:
    """What a parameter or result shares memory with: names of sets of memory, "*" for any.

    Args:
        is_write: whether the operator writes to it.
        before_set: the sets that it is in before the call.
        after_set: the sets that it is in afterwards.
    """

    __slots__ = ("_after", "_before", "_contained", "is_write")

    def __init__(self, is_write, before_set, after_set, contained=None):
        self.is_write, self._contained = bool(is_write), contained
        self._before, self._after = tuple(before_set), tuple(after_set)

    @property
    def before_set(self):
        """The sets that it is in before the call."""
        return set(self._before)

    @property
    def after_set(self):
        """The sets that it is in after the call."""
        return set(self._after)

    def _key(self):
        return (self.is_write, frozenset(self._before), frozenset(self._after), self._contained)

    def __eq__(self, other):
        return isinstance(other, AliasInfo) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __str__(self):
        if not (self._before or self._after):
            return ""
        text = "|".join(self._before) + ("!" if self.is_write else "")
        if set(self._before) != set(self._after):
            text += f" -> {'|'.join(self._after)}"
        return f"({text})"


def _fake(kind):
    """The type that values have in Python: sizes, dtypes, layouts and memory formats are numbers in schemas."""
    numbers = (t.SymIntType, t.ScalarTypeType, t.LayoutType, t.MemoryFormatType)
    return t.with_replaced(kind, lambda leaf: t.IntType.get() if isinstance(leaf, numbers) else leaf)


class Argument:
    """A parameter or a result of an operator.

    Args:
        name: the name, "" for none.
        type: the type.
        N: how many elements a list has that a single number stands for, or None.
        default_value: what it is where a call leaves it out; None where a call has to give it.
        kwarg_only: whether it is given by name alone.
        alias_info: what it shares memory with, or None.
    """

    __slots__ = ("N", "_default", "_fake", "alias_info", "kwarg_only", "name", "real_type")

    def __init__(self, name, type, N, default_value, kwarg_only, alias_info):
        self.name, self.real_type, self.N = name, t.checked(type, "Argument"), N
        if not (alias_info is None or isinstance(alias_info, AliasInfo)):
            raise TypeError(f"Argument: alias_info has to be an AliasInfo or None, got {alias_info!r}")
        self._default = NO_DEFAULT if default_value is None else default_value
        self.kwarg_only, self.alias_info = bool(kwarg_only), alias_info
        self._fake = _fake(type)

    @classmethod
    def _made(cls, name, kind, size, default, kwarg_only, alias):
        made = cls(name, kind, size, None, kwarg_only, alias)
        made._default = default
        return made

    @property
    def type(self):
        """The type of its values, which for sizes, dtypes, layouts and memory formats is ``int``."""
        return self._fake

    @property
    def default_value(self):
        """What it is where a call leaves it out; None also where a call has to give it."""
        return None if self._default is NO_DEFAULT else self._default

    def has_default_value(self):
        """Whether a call may leave it out."""
        return self._default is not NO_DEFAULT

    @property
    def is_write(self):
        """Whether the operator writes to it."""
        return self.alias_info is not None and self.alias_info.is_write

    @property
    def is_out(self):
        """Whether it is where a result is put: it is written, and given by name."""
        return self.kwarg_only and self.is_write

    @property
    def holds_tensors(self):
        """Whether a tensor may be in it."""
        found = []
        t.with_replaced(self.real_type, lambda leaf: found.append(leaf) or leaf)
        return any(isinstance(leaf, t.TensorType) for leaf in found)

    def _key(self):
        default = "none" if self._default is NO_DEFAULT else repr(self._default)
        return (self.name, self._fake, self.N, default, self.kwarg_only, self.alias_info)

    def __eq__(self, other):
        return isinstance(other, Argument) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return f"Argument({self._spelled()})"

    def _spelled(self):
        kind, optional = self.real_type, ""
        if isinstance(kind, t.OptionalType):
            kind, optional = kind.getElementType(), "?"
        alias = self.alias_info
        if isinstance(kind, t.ListType):
            inner = alias._contained if alias is not None else None
            size = "" if self.N is None else self.N
            text = f"{kind.getElementType()._in_schema()}{inner or ''}[{size}]"
        else:
            text = kind._in_schema()
        text = f"{text}{'' if alias is None else alias}{optional} {self.name}".rstrip()
        return f"{text}={self._default_text()}" if self.has_default_value() else text

    def _default_text(self):
        kind, value = self.real_type, self._default
        if isinstance(value, list):
            numbers = isinstance(kind, t.ListType) and isinstance(kind.getElementType(), t.IntType)
            if numbers and len(value) > 1 and value.count(value[0]) == len(value):
                return str(value[0])
            return f"[{', '.join(map(shown, value))}]"
        inner = kind.getElementType() if isinstance(kind, t.OptionalType) else kind
        return shown(value, quoted=isinstance(inner, t.StringType))


_ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_ESCAPES |= {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v"}


def shown(value, quoted=False):
    """A constant as schemas write it: floats in 17 digits and with a point, texts in quotes if asked for."""
    if isinstance(value, str) and quoted:
        return f'"{"".join(_ESCAPES.get(letter, letter) for letter in value)}"'
    if isinstance(value, float):
        text = f"{value:.17g}"
        return f"{text}." if text.lstrip("-").isdigit() else text
    if isinstance(value, complex):
        imaginary = shown(value.imag)
        return f"{shown(value.real)}{'' if imaginary.startswith('-') else '+'}{imaginary}j"
    return str(value)


class FunctionSchema:
    """An operator's name, parameters and results.

    Args:
        name: ``"namespace::name"``.
        overload_name: the name of the overload, "" for none.
        arguments: the parameters.
        returns: the results.
        is_vararg: whether any arguments may follow.
        is_varret: whether any results may follow.
    """

    def __init__(self, name, overload_name, arguments, returns, is_vararg, is_varret):
        self._name, self._overload_name = name, overload_name
        self._arguments, self._returns = tuple(arguments), tuple(returns)
        self._is_vararg, self._is_varret = bool(is_vararg), bool(is_varret)
        if not all(isinstance(a, Argument) for a in (*self._arguments, *self._returns)):
            raise TypeError("FunctionSchema: arguments and returns have to be lists of Argument")
        self._namespace, _, self._operator = name.rpartition("::")
        self._check_defaults()

    def _check_defaults(self):
        defaults = False
        for argument in self._arguments:
            if argument.has_default_value():
                defaults = True
            elif defaults and not argument.kwarg_only and not isinstance(argument.real_type, t.ListType):
                # PyTorch lets lists follow, and a call has to give them by name.
                raise RuntimeError(
                    f"Non-default positional argument follows default argument. Parameter {argument.name} in {self}"
                )
        if self._is_vararg and any(a.has_default_value() or a.kwarg_only for a in self._arguments):
            raise RuntimeError(f"defaults and arguments by name alone do not go with '...' in {self}")

    @property
    def name(self):
        """``"namespace::name"``."""
        return self._name

    @property
    def overload_name(self):
        """The name of the overload, "" for none."""
        return self._overload_name

    @property
    def arguments(self):
        """The parameters."""
        return list(self._arguments)

    @property
    def returns(self):
        """The results."""
        return list(self._returns)

    @property
    def is_mutable(self):
        """Whether the operator writes to an argument."""
        return any(a.is_write for a in self._arguments)

    def _is_view_op(self):
        """Whether an argument is said to share memory with something and is not written."""
        return any(a.alias_info is not None and not a.is_write for a in self._arguments)

    @property
    def _qualified_name(self):
        return f"{self._name}.{self._overload_name}" if self._overload_name else self._name

    @property
    def _positional(self):
        return tuple(a for a in self._arguments if not a.kwarg_only)

    @property
    def _keyword_only(self):
        return tuple(a for a in self._arguments if a.kwarg_only)

    def _key(self):
        return (
            self._name,
            self._overload_name,
            self._arguments,
            self._returns,
            self._is_vararg,
            self._is_varret,
        )

    def __eq__(self, other):
        if not isinstance(other, FunctionSchema):
            raise TypeError(f"__eq__(): a FunctionSchema is compared with one, got {type(other).__name__}")
        return self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __reduce__(self):
        from .parser import parse_schema

        return (parse_schema, (str(self),))

    def __str__(self):
        parts = [a._spelled() for a in self._positional]
        if self._keyword_only:
            parts += ["*", *(a._spelled() for a in self._keyword_only)]
        parts += ["..."] * self._is_vararg
        results = [r._spelled() for r in self._returns] + ["..."] * self._is_varret
        shown = ", ".join(results)
        if len(results) != 1 or shown.startswith("("):
            shown = f"({shown})"
        return f"{self._qualified_name}({', '.join(parts)}) -> {shown}"

    __repr__ = __str__

    # -- whether programs written for one run with another ------------------------------------------------------------

    def is_backward_compatible_with(self, old):
        """Whether calls that were written for an ``old`` schema are right for this one, and results too.

        New parameters have to have defaults; types of parameters may become wider, and those of results narrower.
        """
        if not self._is_alike(old):
            return False
        results = zip(self._returns, old._returns, strict=True)
        if not all(_takes(before, now) for now, before in results):
            return False
        ours, theirs = self._inputs(), old._inputs()
        if len(ours) < len(theirs) or not all(_takes(x, y) for x, y in zip(ours, theirs, strict=False)):
            return False
        if not all(a.has_default_value() for a in ours[len(theirs) :]):
            return False
        outs, old_outs = self._arguments[len(ours) :], old._arguments[len(theirs) :]
        return len(outs) >= len(old_outs) and all(_takes(x, y) for x, y in zip(outs, old_outs, strict=False))

    def check_forward_compatible_with(self, old):
        """Whether calls written for this schema run with programs that know an ``old`` one, and why not.

        Returns:
            ``(True, "")``, or False and a text that names the parameter; "" where names or numbers of results differ.
        """
        if not self._is_alike(old):
            return False, ""
        ours, theirs = self._inputs(), old._inputs()
        outs, old_outs = self._arguments[len(ours) :], old._arguments[len(theirs) :]
        if len(outs) != len(old_outs):
            return False, "Function schema should have the same number of out arguments"
        for now, before in zip(ours, theirs, strict=False):
            if not _takes(before, now, widens=False):
                return False, f"'{now.name}' is not forward compatible with the older version of the schema"
        for added in ours[len(theirs) :]:
            said = f"the new argument '{added.name}' of type {added.type.str()}"
            if not added.has_default_value():
                why = f"since {said} did not provide a default value."
                return False, f"Function schema is not forward compatible {why}"
            if isinstance(added.default_value, (list, dict)):
                why = f"since {said} has a container type as its default value."
                return False, f"Function schema is not forward compatible {why}"
        for now, before in zip(outs, old_outs, strict=True):
            if not _takes(before, now, widens=False):
                return False, f"Out argument '{now.name}' is not FC with the older version of the schema"
        return True, ""

    def _is_alike(self, other):
        if not isinstance(other, FunctionSchema):
            raise TypeError(f"expected a FunctionSchema, got {type(other).__name__}")
        facts = ("_name", "_overload_name", "_is_vararg", "_is_varret")
        same = all(getattr(self, fact) == getattr(other, fact) for fact in facts)
        return same and len(self._returns) == len(other._returns)

    def _inputs(self):
        """The parameters in front of those where results are put."""
        for place, argument in enumerate(self._arguments):
            if argument.is_out:
                return self._arguments[:place]
        return self._arguments


def _takes(now, before, widens=True):
    """Whether what fits the parameter ``before`` fits ``now``; for ``widens`` False they are compared the other way."""
    new, old = (now, before) if widens else (before, now)
    if (now.name, now.N, now.alias_info) != (before.name, before.N, before.alias_info):
        return False
    if new.kwarg_only and not old.kwarg_only:
        return False
    if not widens:
        same = now.has_default_value() == before.has_default_value() and now.default_value == before.default_value
        return same and t.below(before.type, now.type)
    kept = not before.has_default_value() or (now.has_default_value() and now.default_value == before.default_value)
    return kept and t.below(before.type, now.type)
