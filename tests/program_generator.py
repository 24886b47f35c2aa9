"""Draws small random programs over a pool of tensors: the input of random_programs.py.

The generator keeps a model of every tensor (shape, dtype, memory shared with others, largest magnitude, bits behind the
binary point) so that most steps are legal, values stay tame, and operators with jumps (comparisons, rounding,
sorting) only
see values that every correct implementation computes exactly.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from op_table.row import is_float, promote, promote_weak

Shape = tuple[int, ...]

MANTISSA = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
SHAPES: tuple[Shape, ...] = (
    (), (1,), (3,), (4,), (7,), (2, 3), (3, 4), (4, 4), (1, 4), (3, 1), (2, 3, 4), (2, 2, 2), (0,), (0, 3), (17,),
    (5, 33),
)  # fmt: skip
DTYPES = ("float32",) * 10 + ("float64", "float64", "int64", "int64", "int32", "bool", "float16", "bfloat16", "uint8")
CEILING = 1000.0


@dataclass
class Cell:
    """What is known of the values in a piece of memory, whichever view looks at it."""

    bound: float
    fraction: int = 2  # bits behind the binary point, while exact
    exact: bool = True
    epsilon: float = 0.0  # the coarsest rounding that went into the values


@dataclass
class Var:
    name: str
    shape: Shape
    dtype: str
    cell: Cell
    grad: bool = False
    overlapping: bool = False  # several places share one element
    pinned: bool = False
    view: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Step:
    """One line of Python over `m` (the module), `np`, `record` and the variables of earlier steps."""

    text: str
    kind: str
    tolerance: tuple[float, float] | None = (0.0, 0.0)  # of what is recorded: (rtol, atol); None: not compared


@dataclass
class Program:
    seed: int
    steps: list[Step] = field(default_factory=list)
    tolerances: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    comparable: bool = True  # no random numbers that are this engine's own


def tolerance_of(cell: Cell) -> tuple[float, float]:
    if cell.exact:
        return (0.0, 0.0)
    # A few dozen roundings in a row; of 16-bit dtypes far fewer reach one value.
    margin = (64 if cell.epsilon < 1e-5 else 8) * cell.epsilon
    return (margin, margin * max(cell.bound, 1.0))


def broadcast(a: Shape, b: Shape) -> Shape | None:
    result: list[int] = []
    for i in range(1, max(len(a), len(b)) + 1):
        m, n = (a[-i] if i <= len(a) else 1), (b[-i] if i <= len(b) else 1)
        if m != n and 1 not in (m, n):
            return None
        result.append(n if m == 1 else m)
    return tuple(reversed(result))


class Generator:
    """Grows one program, step by step; a `plain` one has what every device has and does alike."""

    def __init__(self, seed: int, plain: bool = False):
        self.random = random.Random(seed)
        self.plain = plain
        self.dtypes = tuple(d for d in DTYPES if d != "float64") if plain else DTYPES
        self.program = Program(seed)
        self.vars: dict[str, Var] = {}
        self.arrays: dict[str, Var] = {}
        self.counter = 0
        self.weights: list[tuple[float, Callable[[], None]]] = [
            (2, self.create), (8, self.unary), (10, self.binary), (3, self.compare), (2, self.logic), (2, self.select),
            (12, self.view), (12, self.write), (5, self.assign), (2, self.assign_mask), (2, self.assign_index),
            (2, self.into_out), (4, self.reduce), (2, self.scan), (3, self.matmul), (2, self.cast), (2, self.index),
            (2, self.join), (2, self.order), (2, self.normalise), (2, self.branch), (4, self.read), (2, self.read_data),
            (3, self.export), (3, self.write_array), (2, self.import_array), (5, self.backward), (3, self.gradient),
            (2, self.update), (2, self.detach), (2, self.drop), (2, self.randomise), (0.4, self.dropout),
            (3, self.mistake),
            (1, self.hook),
        ]  # fmt: skip
        if plain:
            # numpy sees the memory of the CPU; each device draws its own numbers; a GPU finds some mistakes later.
            own = (self.export, self.write_array, self.import_array, self.randomise, self.dropout, self.mistake)
            self.weights = [(weight, maker) for weight, maker in self.weights if maker not in own]

    def generate(self) -> Program:
        self.emit(f"m.manual_seed({self.program.seed % 1000})", "random")
        for _ in range(self.random.randint(3, 5)):
            self.create()
        length = self.random.randint(10, 40)
        weights, makers = zip(*self.weights, strict=True)
        while len(self.program.steps) < length:
            self.random.choices(makers, weights)[0]()
        for var in (*self.vars.values(), *self.arrays.values()):
            self.program.tolerances[var.name] = tolerance_of(var.cell)
        return self.program

    # Bookkeeping

    def emit(self, text: str, kind: str, tolerance: tuple[float, float] | None = (0.0, 0.0)) -> None:
        self.program.steps.append(Step(text, kind, tolerance))

    def fresh(self, letter: str = "t") -> str:
        self.counter += 1
        return f"{letter}{self.counter}"

    def define(
        self, text: str, shape: Shape, dtype: str, cell: Cell, kind: str, grad: bool = False, **flags: bool
    ) -> Var:
        var = Var(self.fresh(), shape, dtype, cell, grad and is_float(dtype), view=kind == "view", **flags)
        self.emit(f"{var.name} = {text}", kind)
        self.vars[var.name] = var
        return var

    def pick(self, *tests: Callable[[Var], bool]) -> Var | None:
        """A variable that passes every test, late ones more often."""
        fitting = [v for v in self.vars.values() if all(test(v) for test in tests)]
        if not fitting:
            return None
        return self.random.choices(fitting, range(1, len(fitting) + 1))[0]

    def number(self, dtype: str) -> str:
        if dtype == "bool":
            return self.random.choice(["True", "False"])
        if dtype == "uint8":
            return str(self.random.randint(0, 3))
        return str(self.random.randint(-8, 8) / 4 if is_float(dtype) else self.random.randint(-3, 3))

    def result_cell(self, dtype: str, bound: float, fraction: int, *sources: Cell, rounds: bool = False) -> Cell:
        """The cell of a new value: exact while everything read is and the bits fit into the dtype."""
        if not is_float(dtype):
            return Cell(min(bound, 255.0) if dtype in ("uint8", "int8") else bound, 0)
        bits = fraction + max(0, math.ceil(math.log2(max(bound, 1e-9)))) + 1
        exact = not rounds and all(c.exact for c in sources) and bits <= MANTISSA[dtype]
        epsilon = max([2.0 ** -MANTISSA[dtype], *(c.epsilon for c in sources)])
        return Cell(bound, fraction if exact else 0, exact, epsilon)

    def value(self, text: str, shape: Shape, dtype: str, bound: float, fraction: int, *sources: Var, kind: str = "op",
              rounds: bool = False) -> Var:  # fmt: skip
        """Defines the result of an operator that makes new memory, clamped when it could grow without end."""
        if bound > CEILING and dtype not in ("bool", "uint8"):
            text, bound = f"({text}).clamp(-8, 8)", 8.0
        cell = self.result_cell(dtype, bound, fraction, *(s.cell for s in sources), rounds=rounds)
        return self.define(text, shape, dtype, cell, kind, any(s.grad for s in sources))

    # Making tensors

    def literal(self, shape: Shape, dtype: str) -> str:
        if not shape:
            return self.number(dtype)
        return "[" + ", ".join(self.literal(shape[1:], dtype) for _ in range(shape[0])) + "]"

    def create(self) -> None:
        shape, dtype = self.random.choice(SHAPES), self.random.choice(self.dtypes)
        bound, fraction = (2.0, 2) if is_float(dtype) else (3.0, 0)
        grad = is_float(dtype) and self.random.random() < 0.5
        way = self.random.randint(1 if self.plain else 0, 5)
        if way == 0 and dtype not in ("bool", "bfloat16"):
            name = self.fresh("n")
            self.emit(f"{name} = np.array({self.literal(shape, dtype)}, dtype=np.{dtype}).reshape({shape})", "make")
            array = Var(name, shape, dtype, Cell(bound, fraction), pinned=True)
            self.arrays[name] = array
            self.define(f"m.from_numpy({name})", shape, dtype, array.cell, "make", pinned=True)
            return
        if way == 1 and dtype != "bool" and math.prod(shape) <= 40:
            text = f"m.arange({math.prod(shape)}, dtype=m.{dtype}).reshape({shape})"
            self.define(text, shape, dtype, Cell(40.0, 0), "make")
            return
        if way == 2:
            text = f"m.full({shape}, {self.number(dtype)}, dtype=m.{dtype})"
        elif math.prod(shape) > 24:
            text = f"(m.arange({math.prod(shape)}).reshape({shape}) % 5).to(m.{dtype})"
            bound, fraction, grad = 4.0, 0, False
        else:
            text = f"m.tensor({self.literal(shape, dtype)}, dtype=m.{dtype}).reshape({shape})"
        # A copy first, so that what requires grad owns its storage: in PyTorch, views of a leaf that is itself a view
        # lose their history when the storage is written.
        suffix = ".clone().requires_grad_()" if grad else ""
        self.define(text + suffix, shape, dtype, Cell(bound, fraction), "make", grad)

    def randomise(self) -> None:
        shape = self.random.choice(SHAPES)
        way = self.random.choice(["rand", "randn", "randint", "randperm", "uniform_", "normal_", "seed"])
        if way == "seed":
            self.emit(f"m.manual_seed({self.random.randint(0, 99)})", "random")
        elif way == "randint":
            self.define(f"m.randint(-3, 4, {shape})", shape, "int64", Cell(3, 0), "random")
        elif way == "randperm":
            self.define("m.randperm(7)", (7,), "int64", Cell(7, 0), "random")
        elif way in ("rand", "randn"):
            cell = self.result_cell("float32", 6.0, 0, rounds=True)
            self.define(f"m.{way}({shape})", shape, "float32", cell, "random")
        elif var := self.pick(lambda v: v.dtype == "float32" and not v.overlapping):
            self.emit(f"{var.name}.{way}()", "random")
            self.spoil(var, 6.0)

    def dropout(self) -> None:
        if var := self.pick(lambda v: v.dtype == "float32"):
            self.program.comparable = False
            self.value(f"m.nn.functional.dropout({var.name}, 0.5)", var.shape, var.dtype, 2 * var.cell.bound, 2, var)

    # Elementwise

    def unary(self) -> None:
        var = self.pick(lambda v: v.dtype != "bool")
        if var is None:
            return
        x, cell = var.name, var.cell
        exact = [
            (f"-{x}", cell.bound, cell.fraction), (f"{x}.abs()", cell.bound, cell.fraction),
            (f"m.nn.functional.relu({x})", cell.bound, cell.fraction), (f"{x}.clamp(-1, 2)", 2.0, cell.fraction),
            (f"{x} * {x}", cell.bound**2, 2 * cell.fraction), (f"{x}.square()", cell.bound**2, 2 * cell.fraction),
            (f"{x}.clone()", cell.bound, cell.fraction),
        ]  # fmt: skip
        jumps = [f"{x}.sign()", f"{x}.floor()", f"{x}.round()", f"{x}.trunc()", f"{x}.ceil()"]
        smooth = [
            ("{0}.tanh()", 1.0), ("{0}.sin()", 1.0), ("{0}.cos()", 1.0), ("{0}.sigmoid()", 1.0), ("{0}.erf()", 1.0),
            ("{0}.clamp(-3, 3).exp()", 21.0), ("({0}.abs() + 1).sqrt()", 40.0), ("({0}.abs() + 1).log()", 10.0),
            ("1 / ({0}.abs() + 1)", 1.0), ("m.nn.functional.gelu({0})", cell.bound), ("{0}.atan()", 1.6),
            ("m.nn.functional.silu({0})", cell.bound), ("m.nn.functional.softplus({0})", cell.bound + 1),
        ]  # fmt: skip
        draw = self.random.random()
        if draw < 0.45 or not is_float(var.dtype):
            text, bound, fraction = self.random.choice(exact)
            self.value(text, var.shape, var.dtype, bound, fraction, var)
        elif draw < 0.55 and cell.exact:
            self.value(self.random.choice(jumps), var.shape, var.dtype, cell.bound + 1, 0, var)
        else:
            text, bound = self.random.choice(smooth)
            self.value(text.format(x), var.shape, var.dtype, max(bound, 1.0), 0, var, rounds=True)

    def partner(self, var: Var, *tests: Callable[[Var], bool]) -> Var | None:
        return self.pick(lambda v: broadcast(var.shape, v.shape) is not None, *tests)

    def promoted(self, a: Var, b: Var) -> str:
        if bool(a.shape) == bool(b.shape):
            return promote(a.dtype, b.dtype)
        return promote_weak(a.dtype, b.dtype) if a.shape else promote_weak(b.dtype, a.dtype)

    def binary(self) -> None:
        a = self.pick(lambda v: v.dtype != "bool")
        if a is None:
            return
        if self.random.random() < 0.35:
            self.with_number(a)
            return
        b = self.partner(a, lambda v: v.dtype != "bool")
        if b is None:
            return
        shape, dtype = broadcast(a.shape, b.shape), self.promoted(a, b)
        fraction = max(a.cell.fraction, b.cell.fraction)
        total, product = a.cell.bound + b.cell.bound, a.cell.bound * b.cell.bound
        largest = max(a.cell.bound, b.cell.bound)
        text, bound, bits = self.random.choice([
            ("{} + {}", total, fraction), ("{} - {}", total, fraction),
            ("{} * {}", product, a.cell.fraction + b.cell.fraction),
            ("m.maximum({}, {})", largest, fraction), ("m.minimum({}, {})", largest, fraction),
            ("{} + 2 * {}", a.cell.bound + 2 * b.cell.bound, fraction), ("{} / ({}.abs() + 1)", a.cell.bound, -1),
        ])  # fmt: skip
        if bits < 0:
            dtype = dtype if is_float(dtype) else "float32"
        self.value(text.format(a.name, b.name), shape, dtype, bound, max(bits, 0), a, b, rounds=bits < 0)

    def with_number(self, a: Var) -> None:
        number = self.number(a.dtype)
        text = self.random.choice(["{0} + {1}", "{0} - {1}", "{0} * {1}", "{1} - {0}", "{1} * {0}"])
        if a.dtype == "uint8":
            text = "{0} + {1}"
        product = "*" in text
        bound = a.cell.bound * abs(float(number)) if product else a.cell.bound + abs(float(number))
        fraction = a.cell.fraction + 2 if product else max(a.cell.fraction, 2)
        self.value(text.format(a.name, number), a.shape, a.dtype, max(bound, 0.25), fraction, a)

    def compare(self) -> None:
        a = self.pick(lambda v: v.cell.exact, lambda v: v.dtype != "bool")
        if a is None:
            return
        sign = self.random.choice([">", "<", ">=", "<=", "==", "!="])
        b = self.partner(a, lambda v: v.cell.exact, lambda v: v.dtype != "bool") if self.random.random() < 0.5 else None
        other = b.name if b else self.number(a.dtype)
        shape = broadcast(a.shape, b.shape) if b else a.shape
        self.define(f"{a.name} {sign} {other}", shape, "bool", Cell(1, 0), "op")

    def logic(self) -> None:
        a = self.pick(lambda v: v.dtype == "bool")
        b = self.partner(a, lambda v: v.dtype == "bool") if a else None
        if a and b:
            text = self.random.choice(["{} & {}", "{} | {}", "{} ^ ~{}", "m.logical_and({}, {})"])
            self.define(text.format(a.name, b.name), broadcast(a.shape, b.shape), "bool", Cell(1, 0), "op")

    def select(self) -> None:
        mask = self.pick(lambda v: v.dtype == "bool")
        a = self.partner(mask, lambda v: v.dtype != "bool") if mask else None
        if mask and a:
            shape = broadcast(mask.shape, a.shape)
            b = self.pick(lambda v: v.dtype == a.dtype, lambda v: v.shape == a.shape) or a
            bound, fraction = max(a.cell.bound, b.cell.bound), max(a.cell.fraction, b.cell.fraction)
            self.value(f"m.where({mask.name}, {a.name}, {b.name})", shape, a.dtype, bound, fraction, a, b)

    def cast(self) -> None:
        a = self.pick()
        if a is None:
            return
        targets = [d for d in ("float32", "float64") if d in self.dtypes]
        if a.cell.exact and a.cell.bound <= 255:
            targets += ["int64", "int32", "bool", "float16", "bfloat16"]
        dtype = self.random.choice(targets)
        if dtype == a.dtype:
            # No conversion: the same tensor comes back.
            self.define(f"{a.name}.to(m.{dtype})", a.shape, dtype, a.cell, "view", a.grad, overlapping=a.overlapping)
            return
        fraction = a.cell.fraction if is_float(dtype) else 0
        bound = 1.0 if dtype == "bool" else a.cell.bound
        self.value(f"{a.name}.to(m.{dtype})", a.shape, dtype, bound, fraction, a)

    # Views

    def view(self) -> None:
        a = self.pick(lambda v: bool(v.shape))
        if a is None:
            return
        shape, x, dim = a.shape, a.name, self.random.randrange(len(a.shape))
        n = shape[dim]
        lead = ":, " * dim
        options: list[tuple[str, Shape, bool]] = [
            (f"{x}.unsqueeze({dim})", (*shape[:dim], 1, *shape[dim:]), False),
            (f"{x}.flatten()", (a.size,), False), (f"{x}.reshape(-1)", (a.size,), False),
            (f"{x}[{lead}None]", (*shape[:dim], 1, *shape[dim:]), False),
            (f"{x}.view({shape})", shape, False),
            (f"{x}.expand(2, {', '.join(map(str, shape))})", (2, *shape), True),
            (f"{x}.transpose({dim}, -1)", self.swapped(shape, dim), False),
        ]  # fmt: skip
        if n:
            i = self.random.randrange(n)
            options += [
                (f"{x}[{lead}{i}]", (*shape[:dim], *shape[dim + 1 :]), False),
                (f"{x}.select({dim}, {i - n})", (*shape[:dim], *shape[dim + 1 :]), False),
                (f"{x}[{lead}{i}:]", (*shape[:dim], n - i, *shape[dim + 1 :]), False),
                (f"{x}[{lead}::2]", (*shape[:dim], (n + 1) // 2, *shape[dim + 1 :]), False),
                (f"{x}.narrow({dim}, {i}, 1)", (*shape[:dim], 1, *shape[dim + 1 :]), False),
                (f"{x}.split({i + 1}, {dim})[0]", (*shape[:dim], i + 1, *shape[dim + 1 :]), False),
                (f"{x}.unbind({dim})[{i}]", (*shape[:dim], *shape[dim + 1 :]), False),
                (f"{x}.unfold({dim}, 1, 1)", (*shape, 1), False),
            ]  # fmt: skip
        if len(shape) == 2:
            options += [(f"{x}.t()", shape[::-1], False), (f"{x}.diagonal()", (min(shape),), False)]
        if len(shape) == 3:
            options += [(f"{x}.permute(2, 0, 1)", (shape[2], shape[0], shape[1]), False)]
        text, result, overlapping = self.random.choice(options)
        self.define(
            text, result, a.dtype, a.cell, "view", a.grad, overlapping=overlapping or a.overlapping, pinned=a.pinned
        )

    @staticmethod
    def swapped(shape: Shape, dim: int) -> Shape:
        sizes = list(shape)
        sizes[dim], sizes[-1] = sizes[-1], sizes[dim]
        return tuple(sizes)

    def detach(self) -> None:
        if a := self.pick(lambda v: is_float(v.dtype)):
            text = self.random.choice([".detach()", ".data", ".clone()", ".contiguous()"])
            shared = text != ".clone()"
            cell = a.cell if shared else Cell(**vars(a.cell))
            grad = a.grad and text in (".clone()", ".contiguous()")
            self.define(a.name + text, a.shape, a.dtype, cell, "view", grad, overlapping=shared and a.overlapping)

    # Writing

    def spoil(self, var: Var, bound: float, *sources: Cell, fraction: int | None = None, rounds: bool = True) -> None:
        """Values of `bound` were written into the variable's memory."""
        cell = var.cell
        if fraction is not None and not rounds:
            written = self.result_cell(var.dtype, bound, fraction, *sources)
        else:
            written = self.result_cell(var.dtype, bound, 0, *sources, rounds=True)
        cell.bound, cell.fraction = max(cell.bound, written.bound), max(cell.fraction, written.fraction)
        merged = self.result_cell(var.dtype, cell.bound, cell.fraction, cell, written)
        cell.exact, cell.epsilon = merged.exact, max(merged.epsilon, cell.epsilon)

    def writable(self) -> Var | None:
        return self.pick(lambda v: v.dtype != "bool", lambda v: v.cell.bound <= CEILING)

    def write(self) -> None:
        """An in-place operator with a number or another tensor, through whichever alias."""
        a = self.writable()
        if a is None:
            return
        guard = "with m.no_grad(): " if a.grad and self.random.random() < 0.3 else ""
        fits = lambda v: v.cell is not a.cell and broadcast(a.shape, v.shape) == a.shape  # noqa: E731
        b = self.pick(fits, lambda v: self.promoted(a, v) == a.dtype, lambda v: v.dtype != "bool")
        if b is None or self.random.random() < 0.4:
            self.write_number(a, guard)
            return
        total, fraction = a.cell.bound + b.cell.bound, max(a.cell.fraction, b.cell.fraction)
        text, bound, bits = self.random.choice([
            ("{}.add_({})", total, fraction), ("{}.sub_({})", total, fraction),
            ("{}.mul_({})", a.cell.bound * b.cell.bound, a.cell.fraction + b.cell.fraction),
            ("{}.copy_({})", b.cell.bound, b.cell.fraction),
            ("{} += {}", total, fraction), ("{} *= {}", a.cell.bound * b.cell.bound, a.cell.fraction + b.cell.fraction),
        ])  # fmt: skip
        self.emit(guard + text.format(a.name, b.name), "write")
        self.spoil(a, bound, a.cell, b.cell, fraction=bits, rounds=False)

    def write_number(self, a: Var, guard: str) -> None:
        number = self.number(a.dtype)
        size = abs(float(number))
        choices = [
            (f"{a.name}.add_({number})", a.cell.bound + size, a.cell.fraction),
            (f"{a.name} += {number}", a.cell.bound + size, 2),
            (f"{a.name}.mul_({number})", a.cell.bound * max(size, 1), a.cell.fraction + 2),
            (f"{a.name}.fill_({number})", size, 2), (f"{a.name}.zero_()", 0.25, 0),
            (f"{a.name}.clamp_(0, 2)", 2.0, a.cell.fraction),
        ]  # fmt: skip
        if is_float(a.dtype):
            choices += [
                (f"{a.name}.tanh_()", 1.0, -1),
                (f"{a.name}.sigmoid_()", 1.0, -1),
                (f"{a.name}.neg_()", a.cell.bound, a.cell.fraction),
            ]
        text, bound, bits = self.random.choice(choices)
        self.emit(guard + text, "write")
        self.spoil(a, bound, a.cell, fraction=bits, rounds=bits < 0)

    def assign(self) -> None:
        """x[...] = value, with slices, numbers and tensors."""
        a = self.pick(
            lambda v: bool(v.shape),
            lambda v: v.size > 0,
            lambda v: not v.overlapping,
            lambda v: v.cell.bound <= CEILING,
        )
        if a is None:
            return
        dim = self.random.randrange(len(a.shape))
        i = self.random.randrange(a.shape[dim])
        key = ":, " * dim + self.random.choice([str(i), f"{i}:", f":{i + 1}", "::2"])
        key = self.random.choice([key, key, "..."])
        shape = a.shape if key == "..." else None
        b = self.pick(lambda v: v.cell is not a.cell, lambda v: v.dtype == a.dtype,
                      lambda v: v.shape == () or (shape and broadcast(shape, v.shape) == shape))  # fmt: skip
        if b is not None and self.random.random() < 0.6:
            self.emit(f"{a.name}[{key}] = {b.name}", "write")
            self.spoil(a, b.cell.bound, b.cell, fraction=b.cell.fraction, rounds=False)
            return
        operator = self.random.choice(["=", "+=", "*="])
        operator = "=" if a.dtype == "bool" else operator
        number = self.number(a.dtype)
        self.emit(f"{a.name}[{key}] {operator} {number}", "write")
        grown = a.cell.bound * 2 + 2 if operator != "=" else 2.0
        self.spoil(a, grown, a.cell, fraction=a.cell.fraction + 2, rounds=False)

    def assign_mask(self) -> None:
        mask = self.pick(lambda v: v.dtype == "bool", lambda v: bool(v.shape))
        if mask is None:
            return
        a = self.pick(
            lambda v: v.shape == mask.shape,
            lambda v: v.dtype != "bool",
            lambda v: not v.overlapping,
            lambda v: v.cell.bound <= CEILING,
        )
        if a is None:
            return
        number = self.number(a.dtype)
        text = self.random.choice([f"{a.name}[{mask.name}] = {number}", f"{a.name}[{mask.name}] += {number}",
                                   f"{a.name}.masked_fill_({mask.name}, {number})"])  # fmt: skip
        self.emit(text, "write")
        self.spoil(a, a.cell.bound + 3, a.cell, fraction=max(a.cell.fraction, 2), rounds=False)

    def indices(self, size: int) -> list[int]:
        return self.random.sample(range(size), self.random.randint(1, size))

    def assign_index(self) -> None:
        a = self.pick(
            lambda v: bool(v.shape),
            lambda v: v.size > 0,
            lambda v: v.dtype != "bool",
            lambda v: not v.overlapping,
            lambda v: v.cell.bound <= CEILING,
        )
        if a is None:
            return
        chosen, number = self.indices(a.shape[0]), self.number(a.dtype)
        rows = (len(chosen), *a.shape[1:])
        text = self.random.choice([
            f"{a.name}[{chosen}] = {number}", f"{a.name}[m.tensor({chosen})] = {number}",
            f"{a.name}.index_add_(0, m.tensor({chosen}), m.ones({rows}, dtype=m.{a.dtype}))",
            f"{a.name}.index_fill_(0, m.tensor({chosen}), {number})",
        ])  # fmt: skip
        self.emit(text, "write")
        self.spoil(a, a.cell.bound + 3, a.cell, fraction=max(a.cell.fraction, 2), rounds=False)

    def into_out(self) -> None:
        a = self.pick(lambda v: v.dtype == "float32", lambda v: not v.grad)
        if a is None:
            return
        same = lambda v: v.shape == a.shape and v.dtype == a.dtype and not v.grad  # noqa: E731
        b = self.pick(same)
        target = self.pick(same, lambda v: v.cell is not a.cell and v.cell is not b.cell and not v.overlapping)
        if target is not None:
            self.emit(f"m.add({a.name}, {b.name}, out={target.name})", "write")
            fraction = max(a.cell.fraction, b.cell.fraction)
            self.spoil(target, a.cell.bound + b.cell.bound, a.cell, b.cell, fraction=fraction, rounds=False)

    # Reductions, products and friends

    def reduced_shape(self, a: Var) -> tuple[str, Shape, int]:
        """Arguments, the result's shape and how many elements go into one."""
        if not a.shape or self.random.random() < 0.3:
            return "", (), a.size
        dim = self.random.randrange(len(a.shape))
        if self.random.random() < 0.3:
            return f"{dim}, keepdim=True", (*a.shape[:dim], 1, *a.shape[dim + 1 :]), a.shape[dim]
        return f"{dim}", (*a.shape[:dim], *a.shape[dim + 1 :]), a.shape[dim]

    def reduce(self) -> None:
        a = self.pick(lambda v: v.size > 0)
        if a is None:
            return
        arguments, shape, count = self.reduced_shape(a)
        total = a.cell.bound * max(count, 1)
        if a.dtype == "bool":
            self.define(f"{a.name}.{self.random.choice(['any', 'all'])}({arguments})", shape, "bool", Cell(1, 0), "op")
            return
        wide = a.dtype if is_float(a.dtype) else "int64"
        kind = self.random.choice(["sum", "sum", "mean", "amax", "amin", "argmax", "max", "var"])
        if kind == "sum":
            self.value(f"{a.name}.sum({arguments})", shape, wide, total, a.cell.fraction, a)
        elif kind == "mean" and is_float(a.dtype):
            self.value(f"{a.name}.mean({arguments})", shape, a.dtype, a.cell.bound, 0, a, rounds=True)
        elif kind == "var" and is_float(a.dtype) and count > 1:
            self.value(f"{a.name}.var({arguments})", shape, a.dtype, 4 * a.cell.bound**2, 0, a, rounds=True)
        elif kind in ("amax", "amin"):
            self.value(f"{a.name}.{kind}({arguments})", shape, a.dtype, a.cell.bound, a.cell.fraction, a)
        elif kind == "argmax" and a.cell.exact:
            self.define(f"{a.name}.argmax({arguments})", shape, "int64", Cell(a.size, 0), "op")
        elif kind == "max" and arguments and a.cell.exact:
            self.value(f"{a.name}.max({arguments}).values", shape, a.dtype, a.cell.bound, a.cell.fraction, a)

    def scan(self) -> None:
        a = self.pick(lambda v: bool(v.shape), lambda v: v.dtype != "bool")
        if a is not None:
            dim = self.random.randrange(len(a.shape))
            dtype = a.dtype if is_float(a.dtype) else "int64"
            self.value(
                f"{a.name}.cumsum({dim})", a.shape, dtype, a.cell.bound * max(a.shape[dim], 1), a.cell.fraction, a
            )

    def matmul(self) -> None:
        a = self.pick(lambda v: len(v.shape) == 2, lambda v: v.dtype in ("float32", "float64", "int64"))
        if a is None:
            return
        b = self.pick(lambda v: len(v.shape) == 2, lambda v: v.dtype == a.dtype) or a
        if a.shape[1] == b.shape[0]:
            text, shape, depth = f"{a.name} @ {b.name}", (a.shape[0], b.shape[1]), a.shape[1]
        elif a.shape[1] == b.shape[1]:
            text, shape, depth = f"{a.name} @ {b.name}.t()", (a.shape[0], b.shape[0]), a.shape[1]
        else:
            b = a
            text, shape, depth = f"{a.name}.t() @ {a.name}", (a.shape[1], a.shape[1]), a.shape[0]
        bound = a.cell.bound * b.cell.bound * max(depth, 1)
        self.value(text, shape, a.dtype, bound, a.cell.fraction + b.cell.fraction, a, b)

    def index(self) -> None:
        a = self.pick(lambda v: bool(v.shape), lambda v: v.size > 0)
        if a is None:
            return
        chosen = [self.random.randrange(a.shape[0]) for _ in range(self.random.randint(1, 4))]
        text = self.random.choice(
            [f"{a.name}[{chosen}]", f"{a.name}[m.tensor({chosen})]", f"{a.name}.index_select(0, m.tensor({chosen}))"]
        )
        self.value(text, (len(chosen), *a.shape[1:]), a.dtype, a.cell.bound, a.cell.fraction, a)

    def join(self) -> None:
        a = self.pick(lambda v: bool(v.shape))
        b = self.pick(lambda v: v.dtype == a.dtype, lambda v: v.shape == a.shape) if a else None
        if a is None or b is None:
            return
        bound, fraction = max(a.cell.bound, b.cell.bound), max(a.cell.fraction, b.cell.fraction)
        if self.random.random() < 0.5:
            self.value(f"m.stack([{a.name}, {b.name}])", (2, *a.shape), a.dtype, bound, fraction, a, b)
        else:
            self.value(f"m.cat([{a.name}, {b.name}])", (2 * a.shape[0], *a.shape[1:]), a.dtype, bound, fraction, a, b)

    def order(self) -> None:
        a = self.pick(
            lambda v: bool(v.shape), lambda v: v.size > 0, lambda v: v.cell.exact, lambda v: v.dtype != "bool"
        )
        if a is not None:
            text = self.random.choice(
                ["sort(stable=True).values", "sort(descending=True, stable=True).values", "flip(0)", "roll(1, 0)"]
            )
            self.value(f"{a.name}.{text}", a.shape, a.dtype, a.cell.bound, a.cell.fraction, a)

    def normalise(self) -> None:
        a = self.pick(lambda v: bool(v.shape), lambda v: v.size > 0, lambda v: v.dtype in ("float32", "float64"))
        if a is not None:
            text, bound = self.random.choice([
                (f"m.softmax({a.name}, -1)", 1.0), (f"m.log_softmax({a.name}, -1)", 2 * a.cell.bound + 6),
                (f"m.nn.functional.layer_norm({a.name}, {a.shape[-1:]}, eps=0.5)", 6.0),
                (f"m.logsumexp({a.name}, -1, keepdim=True)", None),
            ])  # fmt: skip
            shape = a.shape if bound else (*a.shape[:-1], 1)
            self.value(text, shape, a.dtype, bound or a.cell.bound + 6, 0, a, rounds=True)

    # Reading

    def branch(self) -> None:
        if a := self.pick(lambda v: v.cell.exact, lambda v: v.dtype not in ("bool", "uint8"), lambda v: v.size > 0):
            text = f"{a.name} + 1 if ({a.name} > 0).any() else {a.name} - 1"
            self.value(text, a.shape, a.dtype, a.cell.bound + 1, a.cell.fraction, a, kind="read")

    def read(self) -> None:
        a = self.pick()
        if a is None:
            return
        options = [f"{a.name}.tolist()", f"{a.name}", f"tuple({a.name}.shape)", f"{a.name}.is_contiguous()"]
        if a.size == 1:
            options += [f"{a.name}.item()", f"float({a.name})"]
        if a.shape:
            options += [f"len({a.name})", f"[float(v.sum()) for v in {a.name}]"]
        self.emit(f"record({self.random.choice(options)})", "read", tolerance_of(a.cell))

    def read_data(self) -> None:
        """Results whose shape depends on values."""
        if a := self.pick(lambda v: v.cell.exact, lambda v: v.dtype != "bool"):
            options = [f"m.nonzero({a.name})", f"{a.name}[{a.name} > 0]", f"m.unique({a.name}.detach())",
                       f"int({a.name}.count_nonzero())",
                       f"m.masked_select({a.name}, {a.name} > 1)"]  # fmt: skip
            self.emit(f"record({self.random.choice(options)})", "read")

    # Memory that numpy sees

    def export(self) -> None:
        a = self.pick(lambda v: v.dtype != "bool")
        if a is None:
            return
        name = self.fresh("n")
        way = self.random.choice(
            ["{}.numpy()", "{}.detach().numpy()", "np.asarray({}.detach())", "np.from_dlpack({}.detach())"]
        )
        self.emit(f"{name} = {way.format(a.name)}", "export")
        if a.dtype != "bfloat16" and not (a.grad and way == "{}.numpy()"):
            self.arrays[name] = Var(name, a.shape, a.dtype, a.cell, overlapping=a.overlapping, pinned=True)

    def write_array(self) -> None:
        arrays = [v for v in self.arrays.values() if not v.overlapping and v.cell.bound <= CEILING]
        if not arrays:
            return
        a = self.random.choice(arrays)
        number = self.number(a.dtype)
        keys = ["..."]
        if a.shape and a.shape[0]:
            keys += [str(self.random.randrange(a.shape[0])), "::2"]
        self.emit(f"{a.name}[{self.random.choice(keys)}] = {number}", "export")
        self.spoil(a, 3.0, fraction=2, rounds=False)
        if self.random.random() < 0.5:
            self.emit(f"record({a.name}.copy())", "read", tolerance_of(a.cell))

    def import_array(self) -> None:
        arrays = [v for v in self.arrays.values() if not v.overlapping]
        if arrays:
            a = self.random.choice(arrays)
            way = self.random.choice(["m.from_numpy({})", "m.from_dlpack({})", "m.as_tensor({})"])
            self.define(way.format(a.name), a.shape, a.dtype, a.cell, "export", pinned=True)

    # Gradients

    def backward(self) -> None:
        if a := self.pick(lambda v: v.grad):
            text = self.random.choice(
                ["{0}.sum().backward()", "({0} * {0}).sum().backward()", "{0}.mean().backward(retain_graph=True)"]
            )
            self.emit(text.format(a.name), "grad")

    def gradient(self) -> None:
        leaf = self.pick(lambda v: v.grad)
        a = self.pick(lambda v: v.grad)
        if leaf is None or a is None:
            return
        create = self.random.random() < 0.5
        text = f"m.autograd.grad(({a.name} * {a.name}).sum(), {leaf.name}, create_graph={create}, allow_unused=True)[0]"
        # None where the two are unrelated; its users then fail alike everywhere.
        name = self.fresh("g")
        self.emit(f"{name} = {text}", "grad")
        self.program.tolerances[name] = (2e-3, 1e-3)
        if create and self.random.random() < 0.7:
            self.emit(f"({name} * {name}).sum().backward()", "grad")

    def update(self) -> None:
        if leaf := self.pick(lambda v: v.grad):
            text = self.random.choice([
                "{0}.grad = None", "{0}.grad.zero_()", "record({0}.grad)", "record({0}.grad is None)",
                "{0}.retain_grad()",
            ])  # fmt: skip
            self.emit(text.format(leaf.name), "grad", (2e-3, 1e-3))

    def hook(self) -> None:
        # A hook on a view of a leaf that was written under no_grad crashes PyTorch.
        if a := self.pick(lambda v: v.grad, lambda v: not v.view):
            self.emit(f"h{self.counter} = {a.name}.register_hook(lambda g: g * 2)", "grad")

    # Endings and mistakes

    def drop(self) -> None:
        if len(self.vars) > 4 and (a := self.pick()):
            self.emit(f"del {a.name}", "drop")
            del self.vars[a.name]

    def mistake(self) -> None:
        a = self.pick()
        if a is None:
            return
        x, size = a.name, a.size
        options = [
            "m.ones(5, 7, 2) + m.ones(5, 3, 2)",
            f"{x}.view({size + 1})", f"{x}.reshape({size + 1}, 2)", f"{x}[{(a.shape[0] if a.shape else 0) + 7}]",
            f"m.cat([{x}, m.zeros(2, 3, 4, 5)])", f"{x} @ m.ones(19, 2)", f"{x}.sum(9)", f"{x}.transpose(0, 8)",
            "m.zeros(3).item()",
            f"{x}.expand({', '.join(str(n + 1 if n != 1 else -3) for n in (*a.shape, 4))})", "bool(m.zeros(2))",
            f"{x}.backward()",
            "m.tensor([1, 2]).requires_grad_()", "m.zeros(2, requires_grad=True).add_(1)",
            "m.zeros(2, requires_grad=True).numpy()",
            "m.zeros(2, dtype=m.int64).add_(0.5)", "m.ones(3).index_select(0, m.tensor([7]))",
            "m.ones(2)[m.tensor([0, 5])]",
            f"{x}.squeeze({len(a.shape) + 3})", "m.nn.functional.cross_entropy(m.ones(2, 3), m.tensor([0, 9]))",
            f"{x}.no_such_thing",
            "m.stack([m.ones(2), m.ones(3)])", "m.tensor([[1, 2], [3]])", "m.ones(2, 3).t().view(6)",
        ]  # fmt: skip
        self.emit(f"record({self.random.choice(options)})", "mistake", None)


def generate(seed: int, plain: bool = False) -> Program:
    """The program of a seed: the same one on every machine."""
    return Generator(seed, plain).generate()
