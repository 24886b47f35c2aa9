"""The page on coverage is up to date, and what compares the packages sees what is wrong."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import corten
import pytest
import torch

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "oracle"]:
        del sys.modules[name]


def load(name):
    if name != "coverage":
        return importlib.import_module(name)
    # By its file, since another package has this name as well.
    spec = importlib.util.spec_from_file_location("corten_coverage", SCRIPTS / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_page_is_what_the_package_says():
    coverage = load("coverage")
    assert coverage.PAGE.read_text(encoding="utf-8") == coverage.page(coverage.kept_part()), "run `make coverage`"


def test_every_listed_name_is_pytorchs():
    assert load("coverage").not_in_pytorch() == []


def test_name_that_only_raises_is_missing():
    coverage = load("coverage")

    def stub():
        """Documented."""
        raise NotImplementedError("tensors are dense")

    class Stub:
        def __init__(self):
            raise NotImplementedError("tensors are dense")

    assert coverage.only_raises(stub) == coverage.only_raises(Stub) == "tensors are dense"
    assert coverage.only_raises(corten.nn.Linear) == ""
    with pytest.raises(AttributeError):
        coverage.find("nn.NoSuchModule")


def test_reflected_and_in_place_operators_count_by_their_public_name():
    surface = load("oracle.surface")
    assert surface.is_listed("nn.functional.relu") and surface.is_listed("__radd__") and surface.is_listed("expand")
    assert not surface.is_listed("masked.sum")


def test_tensors_are_carried_with_strides_offsets_and_dtypes():
    translate = load("oracle.translate")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    for tensor in (base.t(), base[1:, ::2], base[0].expand(3, 6), base.bfloat16().t(), base[:0], base > 3):
        carried = translate.Translator()(tensor)
        assert carried.stride() == tensor.stride() or not tensor.numel()
        assert translate.dtype_name(carried) == translate.dtype_name(tensor)
        assert torch.equal(translate.back(carried), tensor)
    leaf = base.clone().requires_grad_()
    first, (second, options) = translate.Translator()((leaf, [leaf, {"dtype": torch.int64}]))
    assert first is second and first.requires_grad and first.is_leaf
    assert options == {"dtype": corten.int64}


def test_functions_of_pytorchs_tests_call_corten_instead():
    translate = load("oracle.translate")
    offset = torch.float64

    def function(x):
        return torch.nn.functional.relu(x).to(offset)

    rebound = translate.rebound(function)
    result = rebound(corten.tensor([-1.0, 2.0]))
    assert isinstance(result, corten.Tensor) and result.dtype == corten.float64 and result.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("actual", "kind"),
    [
        (corten.tensor([1.0, 2.1]), "values"),
        (corten.tensor([1.0, 2.0], dtype=corten.float64), "dtype"),
        (corten.tensor([[1.0, 2.0]]), "shape"),
        ([corten.tensor([1.0, 2.0])] * 2, "structure"),
        (2.0, "structure"),
    ],
)
def test_differences_are_named_by_their_kind(actual, kind):
    compare = load("oracle.compare")
    with pytest.raises(compare.Different) as found:
        compare.same(actual, torch.tensor([1.0, 2.0]))
    assert found.value.kind == kind


def test_result_as_near_to_float64_as_pytorchs_is_right():
    compare = load("oracle.compare")
    exact = torch.tensor([1.0], dtype=torch.float64)
    compare.same(corten.tensor([1.0002]), torch.tensor([0.9999]), wide=lambda: exact)
    with pytest.raises(compare.Different):
        compare.same(corten.tensor([1.001]), torch.tensor([0.9999]), wide=lambda: exact)


def test_wrong_values_and_wrong_gradients_of_an_operator_are_found():
    operators = load("oracle.operators")
    sample = SimpleNamespace(
        input=torch.tensor([0.5, -2.0], requires_grad=True), args=(), kwargs={}, output_process_fn_grad=None
    )
    op = SimpleNamespace(name="square", op=torch.square, decorators=())

    def kind_of(function):
        case = operators.Case(op, function, sample, torch.float32, "cpu")
        assert case.run_reference()
        try:
            case.run()
        except Exception as error:
            return operators.describe(error)["kind"]
        return ""

    assert kind_of(corten.square) == ""
    assert kind_of(corten.abs) == "values"
    assert kind_of(lambda x: x * x.detach()) == "gradient"
    assert kind_of(lambda x: (x * x).detach()) == "gradient"
    assert kind_of(lambda x: corten.no_such_operator(x)) == "missing"


def test_crash_and_hang_are_outcomes(tmp_path, monkeypatch):
    pool = load("oracle.pool")
    script = tmp_path / "worker.py"
    script.write_text(
        "import os, sys, time\n"
        "for line in sys.stdin:\n"
        "    if 'crash' in line: print('thread panicked at here', file=sys.stderr, flush=True); os.abort()\n"
        "    if 'hang' in line: time.sleep(60)\n"
        '    print(\'{"status": "right"}\', flush=True)\n'
    )
    monkeypatch.setattr(pool, "SCRIPT", script)
    monkeypatch.setattr(pool, "STARTING", 1)
    worker = pool.Worker(0.5)
    assert worker.run(["fine"]) == {"status": "right"}
    crashed = worker.run(["crash"])
    assert crashed["kind"] == "crash" and crashed["error"] == "SIGABRT: thread panicked at here"
    assert worker.run(["fine"]) == {"status": "right"}
    assert worker.run(["hang"])["kind"] == "hang"
    assert worker.run(["fine"]) == {"status": "right"}
    worker.stop()


def test_outcomes_are_kept_by_item_and_dtype(tmp_path):
    results = load("oracle.pool").Results(tmp_path, "cpu")
    results.put("operators", "add", "float32", {"status": "right"})
    results.put("operators", "add", "bool", {"status": "wrong"})
    assert results.of("operators", "add") == {"float32": {"status": "right"}, "bool": {"status": "wrong"}}
    assert results.of("operators", "sub") == {}


def test_errors_of_one_cause_are_grouped():
    cause = load("oracle.report").cause
    first = {"kind": "error", "error": "IndexError: index 7 is out of bounds for [3, 4]"}
    second = {"kind": "error", "error": "IndexError: index 2 is out of bounds for [5]"}
    assert cause(first) == cause(second)
    assert cause({"kind": "missing", "error": "Missing: corten.stft"}) == "missing: names"


def test_strides_and_gradients_of_second_order_are_noted():
    operators, extras = load("oracle.operators"), load("oracle.extras")
    sample = SimpleNamespace(
        input=torch.tensor([[0.5, -2.0], [1.0, 3.0]], dtype=torch.float64, requires_grad=True),
        args=(),
        kwargs={},
        output_process_fn_grad=None,
    )
    op = SimpleNamespace(name="exp", op=torch.exp, decorators=())

    def notes_of(function):
        case = operators.Case(op, function, sample, torch.float64, "cpu")
        assert case.run_reference()
        case.run()
        return extras.strides(case.actual, case.expected), extras.second_order(case)

    class OnlyOnce(corten.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.slope = x.exp()
            return x.exp()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * ctx.slope.detach()

    assert notes_of(corten.exp) == ("", "")
    turned, second = notes_of(lambda x: x.exp().t().contiguous().t())
    assert turned == "strides (1, 2) instead of (2, 1) for shape (2, 2)" and second == ""
    assert notes_of(OnlyOnce.apply)[1] != ""


def test_a_gradient_that_pytorch_has_wrong_is_compared_with_differences():
    operators = load("oracle.operators")
    key = "as_strided_scatter"
    x, part = torch.randn(4, dtype=torch.float64, requires_grad=True), torch.randn(2, dtype=torch.float64)
    assert not torch.autograd.gradcheck(
        lambda t: torch.as_strided_scatter(t, part, (2,), (1,), 1), (x,), raise_exception=False
    )
    assert key in operators.NUMERICAL and operators.run(key, "float64", "cpu")["status"] == "right"


def test_refusals_of_wrong_arguments_are_noted():
    operators, extras = load("oracle.operators"), load("oracle.extras")
    op = operators.entries()["maximum"]
    assert extras.refusals(op, corten.maximum, "cpu") == ""
    assert extras.refusals(op, corten.add, "cpu").startswith("no TypeError: maximum(): argument 'other'")

    def other(x, y):
        raise ValueError(y)

    assert extras.refusals(op, other, "cpu").startswith("ValueError instead of TypeError")
    assert extras.refusals(operators.entries()["sin"], corten.sin, "cpu") is None
