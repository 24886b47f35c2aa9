"""What a checkpoint may name, and what happens when it does: PyTorch's names, mapped to corten's objects.

Names stand in files as PyTorch writes them (``torch._utils._rebuild_tensor_v2``), so that files interchange. Each entry
is made here out of harmless parts; nothing is looked up by name in other modules.
"""

import collections
from pickle import UnpicklingError

import corten

STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
STORAGE_NAMES = {dtype: name for name, dtype in STORAGE_DTYPES.items()}
# dtypes whose storages are bytes in files.
UNTYPED = [
    "complex32",
    "uint16",
    "uint32",
    "uint64",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
]

_MEMORY_FORMATS = ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d")

_COMPRESSED_LAYOUTS = ("torch.sparse_csr", "torch.sparse_csc", "torch.sparse_bsr", "torch.sparse_bsc")

# Kinds of numpy values whose bytes mean nothing but numbers or text.
_NUMPY_KINDS = "biufcSU"

# Module classes of PyTorch that are others here.
_OTHERWISE_NAMED = {"NonDynamicallyQuantizableLinear": "Linear"}

_BLOCKED_MODULES = ("sys", "os", "posix", "nt", "subprocess")


def describe(value):
    """A value from a file, for an error message. Containers are named by type: writing one out may take for ever."""
    if isinstance(value, (str, int, Name)):
        return repr(value)[:80]
    return value.__qualname__ if isinstance(value, type) else f"a {type(value).__name__}"


def check_key(key):
    """Refuses dictionary keys whose hash would take exponentially long: tuples of tuples that share members.

    The hash of a tuple is computed anew from its members each time, so its cost is the number of paths.
    """
    if type(key) is not tuple:
        return
    left = 10_000
    todo = [key]
    while todo:
        item = todo.pop()
        left -= 1
        if left < 0:
            raise UnpicklingError("the pickle has a dictionary key with too many members")
        if type(item) is tuple:
            todo.extend(item)


class Name:
    """A name in a file that has no object of its own here: a storage type, or a function that rebuilds something."""

    __slots__ = ("module", "name")

    def __init__(self, module, name):
        self.module = module
        self.name = name

    def __repr__(self):
        return f"<{self.module}.{self.name}>"

    def __call__(self, *args):
        raise UnpicklingError(f"{self!r} can only be called while a file is loaded")


def _name(path):
    module, _, name = path.rpartition(".")
    return Name(module, name)


REBUILD_TENSOR = _name("torch._utils._rebuild_tensor")
REBUILD_TENSOR_V2 = _name("torch._utils._rebuild_tensor_v2")
REBUILD_TENSOR_V3 = _name("torch._utils._rebuild_tensor_v3")
REBUILD_META_TENSOR = _name("torch._utils._rebuild_meta_tensor_no_storage")
REBUILD_SPARSE = _name("torch._utils._rebuild_sparse_tensor")
REBUILD_PARAMETER = _name("torch._utils._rebuild_parameter")
REBUILD_PARAMETER_WITH_STATE = _name("torch._utils._rebuild_parameter_with_state")
REBUILD_FROM_TYPE = _name("torch._tensor._rebuild_from_type_v2")
GET_LAYOUT = _name("torch.serialization._get_layout")
SIZE = _name("torch.Size")
DEVICE = _name("torch.device")
STORAGES = {name: Name("torch", name) for name in STORAGE_DTYPES}
UNTYPED_STORAGE = _name("torch.storage.UntypedStorage")


def dtype_of_storage(storage_type):
    """The dtype of a storage type's elements; uint8 for an untyped one.

    Raises:
        RuntimeError: for dtypes that corten does not have.
    """
    if storage_type is UNTYPED_STORAGE:
        return corten.uint8
    if not isinstance(storage_type, Name) or storage_type.name not in STORAGE_DTYPES:
        raise UnpicklingError(f"a storage has the type {describe(storage_type)}, which is none")
    name = STORAGE_DTYPES[storage_type.name]
    dtype = getattr(corten, name, None)
    if dtype is None:
        raise RuntimeError(f"the file holds tensors of dtype {name}, which corten does not support")
    return dtype


# -- names that users allow ------------------------------------------------------------------------------------------

_user_names: dict = {}


def _path_of(entry):
    """The path and object of an entry of ``add_safe_globals``: an object, or a pair of object and path."""
    if isinstance(entry, tuple):
        if len(entry) != 2:
            raise ValueError(
                f"Expected tuple of length 2 (global, str of callable full path), but got tuple of length: {len(entry)}"
            )
        value, path = entry
        if type(path) is not str:
            raise TypeError(f"Expected second item in tuple to be str of callable full path, but got: {type(path)}")
        return path, value
    return f"{entry.__module__}.{entry.__qualname__}", entry


def allow(entries):
    """Adds entries to what files may name."""
    _user_names.update(_path_of(entry) for entry in entries)


def disallow(entries):
    """Takes entries back."""
    for entry in entries:
        _user_names.pop(_path_of(entry)[0], None)


def allowed_by_user():
    """The objects that were added."""
    return list(_user_names.values())


def disallow_all():
    """Takes all entries back."""
    _user_names.clear()


# -- safe constructors -----------------------------------------------------------------------------------------------


def _encode(text, encoding="latin1"):
    if type(text) is not str or encoding not in ("latin1", "latin-1", "ascii", "utf-8"):
        raise UnpicklingError("_codecs.encode is only supported for text in a plain encoding")
    return text.encode(encoding)


def _bytearray(*args):
    # A number would allocate that many bytes, however short the file.
    if args and type(args[0]) not in (bytes, bytearray, str, list):
        raise UnpicklingError(f"bytearray cannot be made of {type(args[0])}")
    return bytearray(*args)


def _bytes(*args):
    if args and type(args[0]) not in (bytes, bytearray, list):
        raise UnpicklingError(f"bytes cannot be made of {type(args[0])}")
    return bytes(*args)


def _plain_iterable(kind):
    """A constructor of ``kind`` that takes nothing or one plain container."""

    def make(*args):
        if not args:
            return kind()
        items = args[0]
        if len(args) > 1 or type(items) not in (list, tuple, set, frozenset, dict):
            raise UnpicklingError(f"{kind.__name__} cannot be made of {describe(items)}")
        pairs = issubclass(kind, dict) and kind is not collections.Counter
        for item in items:
            check_key(item[0] if pairs and type(item) in (list, tuple) and item else item)
        return kind(items)

    return make


def _complex(*args):
    if len(args) > 2 or not all(type(arg) in (int, float) for arg in args):
        raise UnpicklingError("complex needs one or two numbers")
    return complex(*args)


def _default_dict(factory=None, *args):
    if factory is not None and factory not in (list, dict, set, int, float, str, bool, tuple):
        raise UnpicklingError(f"defaultdict cannot be made with {describe(factory)}")
    return collections.defaultdict(factory, *map(_plain_iterable(dict), args))


def _size(values=()):
    if type(values) not in (list, tuple) or not all(type(value) is int for value in values):
        raise UnpicklingError("torch.Size needs integers")
    return corten.Size(values)


def _device(*args):
    if not args or len(args) > 2 or not all(type(arg) in (str, int) for arg in args):
        raise UnpicklingError("torch.device needs a type and an index")
    return corten.device(*args)


def _layout(name):
    if name == "torch.strided":
        return corten.strided
    if name == "torch.sparse_coo":
        return corten.sparse_coo
    if name in _COMPRESSED_LAYOUTS:
        raise UnpicklingError(
            f"the file holds a tensor of layout {name}, and the sparse tensors here are of torch.sparse_coo: convert "
            "it in PyTorch with x.to_sparse_coo() and save it again"
        )
    raise UnpicklingError(f"the layout {describe(name)} is not supported")


def _uninitialized(kind):
    def make(requires_grad, device=None, dtype=None):
        if not isinstance(device, (corten.device, type(None))) or not isinstance(dtype, (corten.dtype, type(None))):
            raise UnpicklingError(f"{kind.__name__} needs a device and a dtype")
        return kind(bool(requires_grad), device, dtype)

    return make


def _slice(*args):
    if len(args) > 3 or not all(arg is None or type(arg) is int for arg in args):
        raise UnpicklingError("slice needs integers")
    return slice(*args)


class Names:
    """Finds, calls and fills what a pickle names; everything else raises.

    Args:
        loader: has ``tensor(storage, offset, size, stride, dtype)`` and makes tensors.
        with_modules: allows the module classes and functions of ``corten.nn`` too, and plain values of the standard
            library.
    """

    def __init__(self, loader, with_modules=False):
        self._loader = loader
        self._with_modules = with_modules
        self._user = dict(_user_names)
        self._values, self._calls = self._standard()

    def _standard(self):
        """Two tables: from paths to objects, and from the ids of those that may be called to what is called."""
        callables = {
            "collections.OrderedDict": (collections.OrderedDict, _plain_iterable(collections.OrderedDict)),
            "collections.Counter": (collections.Counter, _plain_iterable(collections.Counter)),
            "collections.defaultdict": (collections.defaultdict, _default_dict),
            "_codecs.encode": (_encode, _encode),
            "builtins.bytearray": (bytearray, _bytearray),
            "builtins.bytes": (bytes, _bytes),
            "builtins.set": (set, _plain_iterable(set)),
            "builtins.frozenset": (frozenset, _plain_iterable(frozenset)),
            "builtins.list": (list, _plain_iterable(list)),
            "builtins.tuple": (tuple, _plain_iterable(tuple)),
            "builtins.dict": (dict, _plain_iterable(dict)),
            "builtins.complex": (complex, _complex),
            "builtins.slice": (slice, _slice),
            "torch.Size": (SIZE, _size),
            "torch.device": (DEVICE, _device),
            "torch.serialization._get_layout": (GET_LAYOUT, _layout),
            "torch._utils._rebuild_tensor": (REBUILD_TENSOR, self._rebuild_tensor),
            "torch._utils._rebuild_tensor_v2": (REBUILD_TENSOR_V2, self._rebuild_tensor_v2),
            "torch._utils._rebuild_tensor_v3": (REBUILD_TENSOR_V3, self._rebuild_tensor_v3),
            "torch._utils._rebuild_meta_tensor_no_storage": (REBUILD_META_TENSOR, self._rebuild_meta_tensor),
            "torch._utils._rebuild_sparse_tensor": (REBUILD_SPARSE, self._rebuild_sparse),
            "torch._utils._rebuild_parameter": (REBUILD_PARAMETER, self._rebuild_parameter),
            "torch._utils._rebuild_parameter_with_state": (REBUILD_PARAMETER_WITH_STATE, self._rebuild_parameter),
            "torch._tensor._rebuild_from_type_v2": (REBUILD_FROM_TYPE, self._rebuild_from_type),
        }
        if self._with_modules:
            from .standard_library import constructors

            callables.update(constructors())
            for kind in (corten.nn.UninitializedParameter, corten.nn.UninitializedBuffer):
                callables[f"torch.nn.parameter.{kind.__name__}"] = (kind, _uninitialized(kind))
        values = {path: value for path, (value, _) in callables.items()}
        calls = {id(value): call for value, call in callables.values()}
        for kind in (int, float, str, bool, object):
            values[f"builtins.{kind.__name__}"] = kind
        for name, storage in STORAGES.items():
            values[f"torch.{name}"] = values[f"torch.storage.{name}"] = storage
        values["torch.UntypedStorage"] = values["torch.storage.UntypedStorage"] = UNTYPED_STORAGE
        for name in (*STORAGE_DTYPES.values(), *UNTYPED, *_MEMORY_FORMATS):
            if hasattr(corten, name):
                values[f"torch.{name}"] = getattr(corten, name)
        values["torch.Tensor"] = corten.Tensor
        values["torch.nn.parameter.Parameter"] = corten.nn.Parameter
        return values, calls

    def find(self, path):
        """The object that a file calls ``path``.

        Raises:
            UnpicklingError: for names that are not allowed.
        """
        if path.startswith("corten."):
            path = "torch." + path.removeprefix("corten.")
        if path in self._values:
            return self._values[path]
        if path in self._user:
            return self._user[path]
        if "corten." + path.removeprefix("torch.") in self._user:
            return self._user["corten." + path.removeprefix("torch.")]
        if path.split(".")[0] in _BLOCKED_MODULES:
            raise UnpicklingError(
                f"Trying to load unsupported GLOBAL {path} whose module {path.split('.')[0]} is blocked."
            )
        if path.startswith("numpy."):
            self._add_numpy()
            if path in self._values:
                return self._values[path]
        module, _, name = path.rpartition(".")
        if self._with_modules and module in ("torch.nn.functional", "torch._C._nn") and not name.startswith("_"):
            # What a module keeps as its activation. A pickle cannot call it.
            function = getattr(corten.nn.functional, name, None)
            if callable(function):
                return function
        if self._with_modules and path.startswith("torch.nn."):
            cls = getattr(corten.nn, _OTHERWISE_NAMED.get(name, name), None)
            if isinstance(cls, type) and issubclass(cls, corten.nn.Module):
                return cls
        raise UnpicklingError(self._refusal(path.removeprefix("builtins.")))

    def _refusal(self, short):
        """Why a name is not allowed, and what its user can do."""
        if self._with_modules:
            name = short.rpartition(".")[2]
            return (
                f"the file names {short}. corten.load never imports what a file names and never runs its code, with "
                "weights_only=False either: there it knows the classes of corten.nn and plain values of the standard "
                "library besides. Save a module's state_dict() and load it with load_state_dict(); or, if you trust "
                f"{name}, import it and allow it, and every other class of your own that the object is made of, with "
                f"`corten.serialization.add_safe_globals([{name}])` or the context manager "
                f"`corten.serialization.safe_globals([{name}])`."
            )
        return (
            f"Unsupported global: GLOBAL {short} was not an allowed global by default. Please use "
            f"`corten.serialization.add_safe_globals([{short}])` or the "
            f"`corten.serialization.safe_globals([{short}])` context manager to allowlist this global if you trust "
            "this class/function."
        )

    def _is_user_value(self, value):
        return any(value is allowed for allowed in self._user.values())

    def _is_module_class(self, cls):
        return self._with_modules and isinstance(cls, type) and issubclass(cls, corten.nn.Module)

    def call(self, function, args):
        """What a pickle gets for ``function(*args)``."""
        call = self._calls.get(id(function))
        if call is not None:
            return call(*args)
        if self._is_user_value(function):
            return function(*args)
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {describe(function)}")

    def new(self, cls, args):
        """What a pickle gets for ``cls.__new__(cls, *args)``."""
        if cls is corten.nn.Parameter:
            return corten.nn.Parameter(*args)
        if self._is_user_value(cls) or self._is_module_class(cls):
            return cls.__new__(cls, *args)
        if id(cls) in self._calls:
            return self._calls[id(cls)](*args)
        raise UnpicklingError(
            "Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` "
            f"but got {describe(cls)}"
        )

    def accepts_items(self, instance):
        """Whether a pickle may set items of ``instance``: dictionaries of the user's own types."""
        return isinstance(instance, dict) and self._is_user_value(type(instance))

    def build(self, instance, state):
        """Fills a new object with its state."""
        kind = type(instance)
        if kind in (collections.OrderedDict, collections.Counter):
            set_attributes(instance, state)
        elif kind.__module__ == "numpy" and kind.__name__.endswith("ndarray"):
            _fill_array(instance, state)
        elif kind.__module__.startswith("numpy") and hasattr(instance, "newbyteorder"):
            _fill_dtype(instance, state)
        elif self._with_modules and _fill_standard(instance, state):
            return
        elif self._is_user_value(kind) or self._is_module_class(kind):
            if hasattr(instance, "__setstate__"):
                instance.__setstate__(state)
                return
            slots = None
            if isinstance(state, tuple) and len(state) == 2:
                state, slots = state
            set_attributes(instance, state or {})
            for name, value in (slots or {}).items():
                setattr(instance, name, value)
        else:
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, "
                f"but got {kind}"
            )

    # -- tensors ---------------------------------------------------------------------------------------------------

    def _rebuild_tensor(self, storage, offset, size, stride):
        return self._loader.tensor(storage, offset, size, stride)

    def _rebuild_tensor_v2(self, storage, offset, size, stride, requires_grad, hooks, metadata=None):
        return self._rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, None, metadata)

    def _rebuild_tensor_v3(self, storage, offset, size, stride, requires_grad, hooks, dtype, metadata=None):
        tensor = self._loader.tensor(storage, offset, size, stride, dtype)
        # PyTorch's marks of tensors that wait to be conjugated or negated.
        if not (isinstance(metadata, (dict, type(None))) and set(metadata or ()) <= {"conj", "neg"}):
            raise UnpicklingError("tensors with metadata other than `conj` and `neg` are not supported")
        if metadata and metadata.get("conj"):
            tensor = tensor.conj()
        if metadata and metadata.get("neg"):
            tensor = tensor.neg()
        return tensor.requires_grad_() if requires_grad else tensor

    def _rebuild_meta_tensor(self, dtype, size, stride, requires_grad):
        sizes = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
        if not (sizes and isinstance(dtype, corten.dtype) and all(type(n) is int and n >= 0 for n in size + stride)):
            raise UnpicklingError("the dtype, size or stride of a tensor on the device meta is not valid")
        return corten.empty_strided(size, stride, dtype=dtype, device="meta").requires_grad_(bool(requires_grad))

    def _rebuild_sparse(self, layout, parts):
        if layout is not corten.sparse_coo or type(parts) is not tuple or len(parts) not in (3, 4):
            raise UnpicklingError("the layout or the parts of a sparse tensor are not valid")
        # Files of PyTorch before 2.1 do not tell whether places are in order.
        indices, values, size, coalesced = (*parts, None)[:4]
        if not isinstance(indices, corten.Tensor) or not isinstance(values, corten.Tensor):
            raise UnpicklingError("a sparse tensor needs tensors of places and values")
        if not isinstance(size, tuple) or not all(type(n) is int and n >= 0 for n in size):
            raise UnpicklingError("the size of a sparse tensor is not valid")
        if indices.dtype != corten.int64 or type(coalesced) not in (bool, type(None)):
            raise UnpicklingError("the places of a sparse tensor are not valid")
        return corten.sparse_coo_tensor(indices, values, size, device=values.device, is_coalesced=coalesced)

    def _rebuild_parameter(self, data, requires_grad, hooks, state=None):
        if not isinstance(data, corten.Tensor):
            raise UnpicklingError(f"a parameter needs a tensor, but got {type(data)}")
        parameter = corten.nn.Parameter(data, bool(requires_grad))
        if state:
            set_attributes(parameter, state)
        return parameter

    def _rebuild_from_type(self, function, kind, args, state):
        if not isinstance(function, Name) or id(function) not in self._calls:
            raise UnpicklingError(f"Trying to call reduce for unrecognized function {describe(function)}")
        result = self._calls[id(function)](*args)
        if kind is not type(result) and kind is not corten.Tensor:
            if not self._is_user_value(kind):
                raise UnpicklingError(f"the tensor type {describe(kind)} is not allowed")
            result = result.as_subclass(kind)
        if state:
            set_attributes(result, state)
        return result

    # -- numpy -----------------------------------------------------------------------------------------------------

    def _add_numpy(self):
        import numpy

        if id(numpy.dtype) in self._calls:
            return
        self._values["numpy.dtype"] = numpy.dtype
        self._values["numpy.ndarray"] = numpy.ndarray
        self._calls[id(numpy.dtype)] = _numpy_dtype
        # Numpy 2 moved its modules; files have either name.
        for module, name, call in (
            ("multiarray", "_reconstruct", _numpy_reconstruct),
            ("multiarray", "scalar", _numpy_scalar),
            ("numeric", "_frombuffer", _numpy_frombuffer),
        ):
            self._values[f"numpy.core.{module}.{name}"] = self._values[f"numpy._core.{module}.{name}"] = call
            self._calls[id(call)] = call


def _fill_standard(instance, state):
    from .standard_library import fill

    return fill(instance, state)


def set_attributes(instance, state):
    """Puts a dictionary's members into an object's own dictionary; names of Python itself are refused."""
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UnpicklingError(f"the state of a {type(instance).__name__} is not a dictionary of attributes")
    for name, value in state.items():
        if name.startswith("__"):
            raise UnpicklingError(f"the state of a {type(instance).__name__} may not set {name!r}")
        instance.__dict__[name] = value


def _numpy_dtype(code, align=False, copy=True):
    import numpy

    if type(code) is not str:
        raise UnpicklingError("numpy dtypes are only supported by their code")
    dtype = numpy.dtype(code, False, True)
    if dtype.kind not in _NUMPY_KINDS or dtype.hasobject:
        raise UnpicklingError(f"the numpy dtype {code!r} is not supported in checkpoints")
    return dtype


def _fill_dtype(dtype, state):
    """The state of a plain dtype only says the byte order; everything else has to be as it is already."""
    plain = type(state) is tuple and len(state) == 8 and state[2:5] == (None, None, None)
    if not plain or state[1] not in ("<", ">", "=", "|") or dtype.kind not in _NUMPY_KINDS:
        raise UnpicklingError("the state of a numpy dtype is not plain")
    if state[5] not in (-1, dtype.itemsize):
        raise UnpicklingError("the state of a numpy dtype has the wrong size")
    dtype.__setstate__(state)


def _numpy_reconstruct(kind, shape, code):
    import numpy

    if kind is not numpy.ndarray:
        raise UnpicklingError(f"the array type {describe(kind)} is not supported")
    return numpy.ndarray((0,), numpy.int8)


def _check_array(dtype, shape, data):
    import numpy

    if not isinstance(dtype, numpy.dtype) or dtype.kind not in _NUMPY_KINDS:
        raise UnpicklingError("the dtype of a numpy array is not plain")
    if type(shape) is not tuple or not all(type(count) is int and count >= 0 for count in shape):
        raise UnpicklingError("the shape of a numpy array is not one")
    size = dtype.itemsize
    for count in shape:
        size *= count
    if not isinstance(data, (bytes, bytearray)) or len(data) != size:
        raise UnpicklingError("a numpy array does not have the size its shape needs")


def _fill_array(array, state):
    if type(state) is not tuple or len(state) != 5:
        raise UnpicklingError("the state of a numpy array is incomplete")
    version, shape, dtype, fortran_order, data = state
    if type(version) is not int:
        raise UnpicklingError("the state of a numpy array is incomplete")
    _check_array(dtype, shape, data)
    array.__setstate__((version, shape, dtype, bool(fortran_order), bytes(data)))


def _numpy_scalar(dtype, data):
    import numpy

    _check_array(dtype, (), data)
    return numpy.frombuffer(data, dtype)[0] if data else dtype.type()


def _numpy_frombuffer(data, dtype, shape, order, axis_order=None):
    import numpy

    _check_array(dtype, shape, data)
    if order not in ("C", "F") or axis_order is not None:
        raise UnpicklingError("the order of a numpy array is not supported")
    return numpy.frombuffer(data, dtype).reshape(shape, order=order)
