"""Operators from a program's own WGSL: ``corten.gpu.kernel``."""

import inspect
import re

from . import _core

__all__ = ["Kernel", "kernel"]

_WORKGROUP_SIZE = 64
_RESERVED = ("shapes", "grid", "device")


def kernel(wgsl, *, inputs, outputs, scalars=None, grid=None, workgroup_size=None, name=None):
    """
    Make an operator from WGSL, the shader language of WebGPU.

    ``wgsl`` is either the body of a function that is run for every index ``i`` (a ``u32``), or a module with one
    ``@compute`` entry point, its own functions, constants and workgroup memory. It reads its tensors as ``NAME_at(i)``
    and writes them by ``NAME_put(i, v)``, where ``i`` counts elements in row-major order and ``v`` is an ``f32`` for
    every floating dtype, an ``i32`` for int32, int16, int8 and uint8, ``bool`` for bool, and ``I64`` (a
    ``vec2<u32>``, low word first, with the library's ``i64_add`` and so on) for int64. ``NAME_numel()``,
    ``NAME_rank()`` and ``NAME_dim(d)`` give the sizes, so that one kernel serves all of them; a scalar is read as
    ``NAME()``. The functions of the library (``f_erf``, ``f_tanh``, ``i64_mul``, ...) can be called. Reading past the
    end gives zero, writing there does nothing.

    The text is checked here, without a GPU. The operator is recorded, planned and run like the others. It has no
    derivative of its own: a `corten.autograd.Function` gives it one.

    Args:
        wgsl: the text.
        inputs: a dict from names to dtypes, in the order of the arguments. Tensors arrive in row-major order, copied
            where they are not.
        outputs: a dict from names to dtypes, or to pairs of a dtype and a shape: a sequence of sizes, the name of the
            input that has it, or a function from the inputs' shapes to it. Without a shape: that of the first input.
            Elements that are not written have any value.
        scalars: a dict from names to ``"f32"``, ``"i32"`` or ``"u32"``, in the order of the arguments that follow the
            tensors.
        grid: how many invocations there are: a number, or up to three along the dims of a module's
            ``global_invocation_id``; or a function from the inputs' shapes to either. Whole workgroups are run; a body
            runs for ``i`` below the number only. Without it: one for each element of the first output.
        workgroup_size: invocations of a workgroup that runs a body, 64 without it. A module says it itself.
        name: the name in errors and profiles.

    Returns:
        A `Kernel`: called with the tensors and scalars, by position or by name, it returns the output, or a tuple of
        several.

    Raises:
        ValueError: the text is refused, with its line; or names, grids or workgroup sizes do not fit.

    Example::

        >>> saxpy = corten.gpu.kernel(
        ...     "out_put(i, alpha() * x_at(i) + y_at(i));",
        ...     inputs={"x": corten.float32, "y": corten.float32},
        ...     outputs={"out": corten.float32},
        ...     scalars={"alpha": "f32"},
        ... )
        >>> saxpy(corten.ones(3, device="gpu"), corten.ones(3, device="gpu"), alpha=2.0).tolist()
        [3.0, 3.0, 3.0]
    """
    return Kernel(wgsl, inputs, outputs, scalars or {}, grid, workgroup_size, name)


class Kernel:
    """An operator made by `corten.gpu.kernel`. ``source`` is the complete WGSL, ``workgroup_size`` that of its text."""

    def __init__(self, wgsl, inputs, outputs, scalars, grid, workgroup_size, name):
        self.name = name or "kernel"
        self._inputs, self._scalars = list(inputs), list(scalars)
        described = {name: o if isinstance(o, tuple) else (o, None) for name, o in outputs.items()}
        self._shapes = {name: shape for name, (_, shape) in described.items()}
        self._grid = grid
        module = re.search(r"^[^/\n]*@compute\b", wgsl, re.MULTILINE) is not None
        if module and workgroup_size is not None:
            raise self._error("a module says its `@workgroup_size` itself")
        for taken in _RESERVED:
            if taken in (*inputs, *scalars):
                raise self._error(f"'{taken}' is an argument of every kernel; choose another name")
        for output, shape in self._shapes.items():
            if isinstance(shape, str) and shape not in inputs:
                raise self._error(f"'{output}' has the shape of '{shape}', which is no input")
        self._body = not module
        size = None if module else workgroup_size or _WORKGROUP_SIZE
        dtypes = [(name, dtype) for name, (dtype, _) in described.items()]
        self._core = _core.GpuKernel(self.name, wgsl, list(inputs.items()), dtypes, list(scalars.items()), body=size)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self._signature = inspect.Signature(inspect.Parameter(p, kind) for p in (*inputs, *scalars))

    @property
    def source(self):
        """The complete WGSL: accessors, the given text, and what it uses of the library."""
        return self._core.source

    @property
    def workgroup_size(self):
        """Invocations of a workgroup along its three dims."""
        return self._core.workgroup_size

    def __call__(self, *args, shapes=None, grid=None, device=None, **kwargs):
        """
        Record the kernel.

        Args:
            *args: the tensors and scalars, in order; or by name.
            shapes: a dict from names of outputs to shapes, instead of those of the definition.
            grid: the invocations, instead of the definition's.
            device: where a kernel without inputs runs; the current GPU without it.

        Returns:
            The output, or a tuple of several.
        """
        try:
            values = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"gpu.kernel '{self.name}': {error}") from None
        tensors = [values[name] for name in self._inputs]
        scalars = [values[name] for name in self._scalars]
        for name, tensor in zip(self._inputs, tensors):
            if not isinstance(tensor, _core.Tensor):
                raise TypeError(f"gpu.kernel '{self.name}': '{name}' must be a Tensor, not {type(tensor).__name__}")
        sizes = [tuple(t.shape) for t in tensors]
        results = self._result_shapes(sizes, shapes or {})
        outputs = self._core(tensors, scalars, results, self._invocations(sizes, results, grid), device=device)
        return outputs[0] if len(outputs) == 1 else outputs

    def _result_shapes(self, sizes, given):
        for name in given:
            if name not in self._shapes:
                raise self._error(f"a shape is given for '{name}', which is no output")
        shapes = []
        for name, shape in self._shapes.items():
            shape = given.get(name, shape)
            if shape is None and not sizes:
                raise self._error(f"'{name}' has no shape: say it in the definition, or at the call as shapes=")
            if shape is None:
                shape = sizes[0]
            elif isinstance(shape, str):
                shape = sizes[self._inputs.index(shape)]
            elif callable(shape):
                shape = shape(*sizes)
            shapes.append([shape] if isinstance(shape, int) else list(shape))
        return shapes

    def _invocations(self, sizes, results, grid):
        grid = self._grid if grid is None else grid
        if callable(grid):
            grid = grid(*sizes)
        if grid is None:
            grid = 1
            for size in results[0]:
                grid *= size
        grid = [grid] if isinstance(grid, int) else list(grid)
        if not 1 <= len(grid) <= (1 if self._body else 3) or any(count < 0 for count in grid):
            most = "a number" if self._body else "one to three numbers"
            raise self._error(f"the grid must be {most}, not negative, not {tuple(grid)}")
        return grid

    def _error(self, text):
        return ValueError(f"gpu.kernel '{self.name}': {text}")

    def __repr__(self):
        return f"<corten.gpu.Kernel {self.name}{self._signature}>"
