"""Printing tensors as PyTorch does, `set_printoptions`, and the parts by which classes of tensors print themselves."""

import math
from types import SimpleNamespace

from . import _core, _spoken

_DEFAULTS = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
PRINT_OPTS = SimpleNamespace(**_DEFAULTS)
_options = vars(PRINT_OPTS)
_PROFILES = {
    "default": dict(_DEFAULTS),
    "short": dict(_DEFAULTS, precision=2, edgeitems=2),
    "full": dict(_DEFAULTS, threshold=math.inf),
}


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None):
    """Sets how tensors print; arguments and profiles ("default", "short", "full") as `torch.set_printoptions`."""
    if profile is not None:
        # Other names change nothing, as in PyTorch.
        _options.update(_PROFILES.get(profile, {}))
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({k: v for k, v in given.items() if v is not None})
    _options["sci_mode"] = sci_mode


def get_printoptions():
    """The options in force, as a dict."""
    return dict(_options)


class _ComplexFormatter:
    """Two formats, of all real and of all imaginary parts."""

    boolean = False

    def __init__(self, values):
        self.real = _Formatter([v.real for v in values], True, False)
        self.imag = _Formatter([v.imag for v in values], True, False)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value):
        imag = self.imag(value.imag).lstrip() + "j"
        return self.real(value.real) + (imag if imag[0] in "+-" else "+" + imag)


class _Formatter:
    """The common format of all printed elements: integers, fixed or scientific, and their width."""

    def __init__(self, values, floating, boolean):
        self.floating = floating
        self.boolean = boolean
        self.integral = self.scientific = False
        self.width = 1
        if not floating:
            self.width = max((len(str(v)) for v in values), default=1)
            return
        shown = [v for v in values if math.isfinite(v) and v != 0]
        if not shown:
            self.integral = bool(values)
            return
        finite = [abs(v) for v in shown]
        low, high = min(finite), max(finite)
        self.integral = all(v == math.ceil(v) for v in finite)
        self.scientific = high / low > 1000.0 or high > 1.0e8 or (not self.integral and low < 1.0e-4)
        if _options["sci_mode"] is not None:
            self.scientific = _options["sci_mode"]
        self.width = max(len(self(v, False)) for v in shown)
        # Zeros, infinities and NaN take the width of the other numbers, also where they are longer.

    def __call__(self, value, pad=True):
        if not self.floating:
            text = str(value)
        elif self.scientific and math.isfinite(value):
            text = f"{value:.{_options['precision']}e}"
        elif self.integral:
            text = f"{value:.0f}" + ("." if math.isfinite(value) else "")
        else:
            text = f"{value:.{_options['precision']}f}"
        return text.rjust(self.width) if pad else text


def _summarised(shape, edge):
    """Per dim the indices shown, with `None` for the dots."""
    for size in shape:
        if size > 2 * edge:
            yield [*range(edge), None, *range(size - edge, size)]
        else:
            yield list(range(size))


def _shown_values(tensor, summarise):
    """The elements that will be printed, nested like the tensor, `None` where dots stand."""
    if not summarise:
        return tensor.tolist()
    picks = list(_summarised(tensor.shape, _options["edgeitems"]))

    def walk(part, depth):
        if depth == len(picks):
            return part.item()
        return [None if i is None else walk(part[i], depth + 1) for i in picks[depth]]

    return walk(tensor, 0)


def _flat(nested):
    if isinstance(nested, list):
        for part in nested:
            yield from _flat(part)
    elif nested is not None:
        yield nested


def _lines(nested, dims, indent, formatter):
    """The text of one (sub-)tensor, broken as PyTorch breaks it."""
    if dims == 0:
        return formatter(nested)
    if dims == 1:
        per_line = max(1, int((_options["linewidth"] - indent) / (formatter.width + 2)))
        if formatter.boolean:
            per_line = max(1, int((_options["linewidth"] - indent) / (formatter.width + 2)))
        cells = [" ..." if v is None else formatter(v) for v in nested]
        rows = [cells[i : i + per_line] for i in range(0, len(cells), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(", ".join(row) for row in rows) + "]"
    parts = ["..." if p is None else _lines(p, dims - 1, indent + 1, formatter) for p in nested]
    gap = ",\n" * 1 + "\n" * (dims - 2) + " " * (indent + 1)
    return "[" + gap.join(parts) + "]"


def _suffixes(tensor, default_dtype):
    """What follows the data: device, size, dtype, grad_fn or requires_grad."""
    out = []
    home = _core.get_default_device()
    if tensor.device != (_core.device("cpu") if home.type == "meta" else home):
        out.append(f"device='{tensor.device}'")
    dtype = tensor.dtype
    if tensor.is_meta:
        out.append(f"size={tuple(tensor.shape)}")
        return out + ([f"dtype={dtype!r}"] if dtype != default_dtype else []) + _history(tensor)
    if tensor.numel() == 0 and tensor.dim() != 1:
        out.append(f"size={tuple(tensor.shape)}")
    complex_dtype = default_dtype.to_complex()
    usual = (default_dtype, complex_dtype, _core.int64, _core.bool)
    if dtype not in usual or (tensor.numel() == 0 and dtype != default_dtype):
        out.append(f"dtype={dtype!r}")
    return out + _history(tensor)


def _history(tensor):
    """What is printed of the tensor's place in a gradient graph."""
    try:
        grad_fn = tensor.grad_fn
    except RuntimeError:  # a view whose storage was written in a way that gradients cannot follow
        return ["grad_fn=<Invalid>"]
    if grad_fn is not None:
        name = grad_fn.name() if hasattr(grad_fn, "name") else type(grad_fn).__name__
        return [f"grad_fn=<{name.rpartition('::')[2]}>"]
    return ["requires_grad=True"] if tensor.requires_grad else []


def _tensor_str(self, indent):
    """The elements, as they stand in ``tensor(...)``; lines after the first begin with ``indent`` blanks."""
    values = self.detach()
    if values.numel() > _options["threshold"] and values.device.type not in ("cpu", "meta"):
        values = values.cpu()
    if values.is_meta:
        return "..."
    if self.numel() == 0:
        return "[]"
    nested = _shown_values(values, self.numel() > _options["threshold"])
    if values.is_complex():
        formatter = _ComplexFormatter(list(_flat(nested)))
    else:
        formatter = _Formatter(list(_flat(nested)), values.is_floating_point(), self.dtype == _core.bool)
    return _lines(nested, self.dim(), indent, formatter)


def _add_suffixes(tensor_str, suffixes, indent, force_newline):
    """``tensor_str`` with what follows the elements and a closing parenthesis.

    Args:
        indent: blanks in front of lines that begin with a suffix.
        force_newline: whether the first suffix begins a line.
    """
    last_line = len(tensor_str) - tensor_str.rfind("\n") + 1
    for suffix in suffixes:
        # Lines break where PyTorch breaks them, whose name is shorter.
        length = len(suffix.replace(f"{_spoken.name}.", "torch."))
        if force_newline or last_line + length + 2 > _options["linewidth"]:
            tensor_str += ",\n" + " " * indent + suffix
            last_line, force_newline = indent + length, False
        else:
            tensor_str += ", " + suffix
            last_line += length + 2
    return tensor_str + ")"


def _str_intern(inp, *, tensor_contents=None):
    """`repr(tensor)` in PyTorch's format; ``tensor_contents`` is text that stands for the elements."""
    # Classes of programs print by their name, parameters and what stands for tensors inside the package do not.
    own = type(inp).__module__.partition(".")[0] == "corten"
    prefix = "tensor(" if own else f"{type(inp).__name__}("
    body = _tensor_str(inp, len(prefix)) if tensor_contents is None else tensor_contents
    return _add_suffixes(prefix + body, _suffixes(inp, _core.get_default_dtype()), len(prefix), False)


def tensor_repr(self, *, tensor_contents=None):
    """`repr(tensor)` in PyTorch's format."""
    return _str_intern(self, tensor_contents=tensor_contents)
