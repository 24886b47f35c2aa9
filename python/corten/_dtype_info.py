"""`finfo` and `iinfo`: the limits of dtypes."""

from . import _core

# Per dtype: mantissa bits, the exponents of the smallest normal number and above the largest, decimal resolution.
_FLOATS = {
    "float16": (10, -14, 16, 1e-3),
    "bfloat16": (7, -126, 128, 1e-2),
    "float32": (23, -126, 128, 1e-6),
    "float64": (52, -1022, 1024, 1e-15),
    "float8_e4m3fn": (3, -6, 9, 1.0),
    "float8_e5m2": (2, -14, 16, 1.0),
    "float8_e4m3fnuz": (3, -7, 8, 1.0),
    "float8_e5m2fnuz": (2, -15, 16, 1.0),
    "float8_e8m0fnu": (0, -127, 128, 1.0),
}
# What does not follow from these, with PyTorch's values: NaN in the place of the largest number, half of the spacing at
# 1, numbers without a sign.
_EXCEPTIONS = {
    "float8_e4m3fn": {"max": 448.0, "min": -448.0},
    "float8_e5m2fnuz": {"eps": 0.125},
    "float8_e8m0fnu": {"max": 2.0**127, "min": 2.0**-127},
}
_MISSING = object()


def _name(dtype):
    return str(dtype).rsplit(".", 1)[-1]


class _Info:
    """What both have in common: values that cannot be written, equality by dtype, no hash."""

    __slots__ = ("_values",)

    def __eq__(self, other):
        return isinstance(other, type(self)) and self.dtype == other.dtype

    def __getattr__(self, name):
        if name != "_values" and name in self._values:
            return self._values[name]
        raise AttributeError(f"'corten.{type(self).__name__}' object has no attribute {name!r}")

    def __setattr__(self, name, value):
        raise AttributeError(f"attribute {name!r} of 'corten.{type(self).__name__}' objects is not writable")

    def __dir__(self):
        return [*super().__dir__(), *self._values]

    def __repr__(self):
        fields = [(k, self._values[k]) for k in self._SHOWN]
        parts = [f"{k}={v:g}" if not isinstance(v, str) else f"{k}={v}" for k, v in fields]
        return f"{type(self).__name__}({', '.join(parts)})"


def _checked(owner, dtype):
    if not isinstance(dtype, _core.dtype):
        raise TypeError(f"{owner}(): argument 'type' (position 1) must be corten.dtype, not {type(dtype).__name__}")
    return dtype


class finfo(_Info):
    """The limits of a floating dtype, of a complex one those of its parts; the default dtype if none is given.

    Attributes: ``bits``, ``eps`` (the spacing at 1), ``max``, ``min``, ``tiny`` and ``smallest_normal`` (the smallest
    positive number of full precision), ``resolution`` (decimal), ``dtype`` (a string).

    Raises:
        TypeError: the dtype is not floating.
    """

    __slots__ = ()
    _SHOWN = ("resolution", "min", "max", "eps", "smallest_normal", "tiny", "dtype")

    def __init__(self, type=None):
        dtype = _core.get_default_dtype() if type is None else _checked("finfo", type)
        dtype = dtype.to_real() if dtype.is_complex else dtype
        if not dtype.is_floating_point:
            raise TypeError(
                "corten.finfo() requires a floating point input type. Use corten.iinfo to handle 'corten.finfo'"
            )
        name = _name(dtype)
        mantissa, low, high, resolution = _FLOATS[name]
        largest = (2.0 - 2.0**-mantissa) * 2.0 ** (high - 1)
        values = {"bits": 8 * dtype.itemsize, "eps": 2.0**-mantissa, "max": largest, "min": -largest, "tiny": 2.0**low}
        values.update(smallest_normal=2.0**low, resolution=resolution, dtype=name, **_EXCEPTIONS.get(name, {}))
        object.__setattr__(self, "_values", values)


class iinfo(_Info):
    """The limits of an integer dtype: ``bits``, ``max``, ``min`` and ``dtype`` (a string).

    Raises:
        TypeError: the dtype is floating or bool.
    """

    __slots__ = ()
    _SHOWN = ("min", "max", "dtype")

    def __init__(self, type=_MISSING):
        if type is _MISSING:
            raise TypeError('iinfo() missing 1 required positional arguments: "type"')
        dtype = _checked("iinfo", type)
        if dtype.is_floating_point or dtype.is_complex:
            raise TypeError("corten.iinfo() requires an integer input type. Use corten.finfo to handle 'corten.iinfo'")
        if dtype == _core.bool:
            raise TypeError("corten.bool is not supported by corten.iinfo")
        bits, signed = 8 * dtype.itemsize, dtype.is_signed
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        object.__setattr__(self, "_values", {"bits": bits, "max": high, "min": low, "dtype": _name(dtype)})


finfo.__module__ = iinfo.__module__ = "corten"
