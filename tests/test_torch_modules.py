"""Modules of PyTorch that programs import beside the documented ones: each does what its names say."""

from __future__ import annotations

import io
import sys
import warnings

import corten as torch
import pytest
from corten import _jit_internal, _utils, nn
from corten.nn import functional as F
from corten.nn.attention.bias import CausalBias, CausalVariant, causal_lower_right, causal_upper_left
from corten.nn.modules.module import _addindent
from corten.nn.modules.utils import _list_with_default, _ntuple, _pair, _reverse_repeat_tuple
from corten.utils import benchmark
from corten.utils._contextlib import _DecoratorContextManager, _NoParamDecoratorContextManager, context_decorator


def test_tensors_travel_in_one_flat_buffer() -> None:
    tensors = [torch.arange(4.0).reshape(2, 2), torch.tensor(7.0), torch.empty(0)]
    flat = _utils._flatten_dense_tensors(tensors)
    assert flat.tolist() == [0, 1, 2, 3, 7]
    parts = _utils._unflatten_dense_tensors(flat, tensors)
    assert [part.shape for part in parts] == [tensor.shape for tensor in tensors]
    flat.mul_(2)
    assert parts[0].tolist() == [[0, 2], [4, 6]] and parts[1].item() == 14


def test_tensors_are_taken_by_type_in_buckets_of_bytes() -> None:
    kinds = [torch.float32, torch.int64, torch.float32, torch.float32]
    tensors = [torch.ones(2, dtype=kind) for kind in kinds]
    taken = list(_utils._take_tensors(tensors, 16))
    assert [[t.dtype for t in group] for group in taken] == [[torch.float32] * 2, [torch.float32], [torch.int64]]
    ordered = _utils._reorder_tensors_as([t for group in taken for t in group], tensors)
    assert [t.dtype for t in ordered] == kinds


def test_errors_of_workers_are_raised_as_their_class() -> None:
    try:
        {}["key"]
    except KeyError:
        wrapper = _utils.ExceptionWrapper(where="in replica 1")
    with pytest.raises(KeyError, match="Caught KeyError in replica 1"):
        wrapper.reraise()


@pytest.mark.cpu
def test_devices_have_numbers() -> None:
    assert _utils._get_device_index(2) == 2 and _utils._get_device_index("cpu", allow_cpu=True) == -1
    with pytest.raises(ValueError, match="non cpu device"):
        _utils._get_device_index("cpu")
    with pytest.raises(ValueError, match="a specified index or an integer"):
        _utils._get_device_index(None)
    assert _utils._import_dotted_name("corten.nn.Linear") is nn.Linear
    assert _utils._element_size(torch.int16) == 2 and not _utils.is_compiling()


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
def test_tensors_of_old_pickles_are_rebuilt_on_their_storage() -> None:
    base = torch.arange(6.0)
    made = _utils._rebuild_tensor_v2(base.storage(), 1, (2, 2), (3, 1), True, {})
    assert made.tolist() == [[1, 2], [4, 5]] and made.requires_grad


def test_one_function_of_two_is_called_as_an_argument_says() -> None:
    def both(x, extra=False):
        return x, extra

    chosen = _jit_internal.boolean_dispatch("extra", 1, False, both, lambda x, extra=False: x, "here", "chosen")
    assert (chosen(1), chosen(1, True), chosen(1, extra=True)) == (1, (1, True), (1, True))
    assert (chosen.__module__, chosen.__name__) == ("here", "chosen")


def test_operators_have_an_older_name() -> None:
    from corten import _VF, _tensor

    assert _tensor.Tensor is torch.Tensor and _VF.lstm is torch.lstm
    assert _VF.norm(torch.tensor([3.0, 4.0])).item() == 5
    with pytest.raises(AttributeError, match="no_such"):
        _ = _VF.no_such


def test_switches_of_the_compiler_are_kept_and_patched() -> None:
    import corten._inductor.config as config

    assert torch._inductor.config is config
    with config.patch(max_autotune=True), config.triton.patch("cudagraphs", True):
        assert config.max_autotune and config.triton.cudagraphs
    assert not config.max_autotune and not config.triton.cudagraphs
    config.patch({"epilogue_fusion": False})(lambda: None)()
    assert config.epilogue_fusion


def test_gradcheck_is_a_function_and_a_module() -> None:
    from corten.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

    assert torch.autograd.gradcheck is gradcheck and torch.autograd.gradgradcheck is gradgradcheck
    assert sys.modules["corten.autograd.gradcheck"].gradcheck is gradcheck
    assert issubclass(GradcheckError, RuntimeError)


def test_modules_are_called_one_after_the_other() -> None:
    layer = nn.Linear(2, 1)
    (copy,) = nn.parallel.replicate(layer, ["cpu"])
    assert copy is layer
    got = nn.parallel.parallel_apply([len, sorted], [([1, 2],), [[3, 1]]], [None, {"reverse": True}])
    assert got == [2, [3, 1]]
    with pytest.raises(AssertionError, match="number of modules 1"):
        nn.parallel.parallel_apply([len], [])
    with pytest.raises(NotImplementedError, match="one device"):
        nn.parallel.replicate(layer, [0, 1])
    with pytest.raises(RuntimeError, match="must name a device"):
        nn.parallel.replicate(layer, [])
    from corten.nn.parallel.parallel_apply import get_a_var

    x = torch.ones(1)
    assert get_a_var({"a": [1, (x,)]}) is x and get_a_var([]) is None


def test_helpers_of_modules_have_pytorchs_names() -> None:
    assert _pair(3) == (3, 3) and _ntuple(5)(1) == (1,) * 5 and _ntuple(2, "f").__name__ == "f"
    assert _reverse_repeat_tuple((1, 2), 2) == (2, 2, 1, 1)
    assert _list_with_default((None, 4), [2, 3, 5, 7]) == [5, 4]
    with pytest.raises(ValueError, match="at least 3"):
        _list_with_default((None, 4), [2, 3])
    assert _addindent("a\nb", 2) == "a\n  b"


def test_a_prefix_is_taken_off_the_names_of_a_state() -> None:
    state = nn.DataParallel(nn.Linear(1, 1)).state_dict()
    nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    assert list(state) == ["weight", "bias"]
    nn.Linear(1, 1).load_state_dict(state)
    assert set(state._metadata) <= {"", "module"}


class _Counting(_NoParamDecoratorContextManager):
    depth = 0

    def __enter__(self) -> None:
        _Counting.depth += 1

    def __exit__(self, *error: object) -> None:
        _Counting.depth -= 1


def test_contexts_decorate_functions_and_steps_of_generators() -> None:
    @_Counting
    def inside() -> int:
        return _Counting.depth

    @_Counting()
    def steps():
        yield _Counting.depth

    assert inside() == 1 and list(steps()) == [1] and _Counting.depth == 0
    assert context_decorator(lambda: _Counting(), inside)() == 2
    generator = context_decorator(lambda: _Counting(), steps)()
    assert next(generator) == 2 and _Counting.depth == 0
    with pytest.raises(RuntimeError, match="Cannot decorate classes"):
        context_decorator(lambda: _Counting(), _Counting)
    with pytest.raises(AssertionError, match="give a function"):
        context_decorator(_Counting, steps)

    class Plain(_DecoratorContextManager):
        __enter__, __exit__ = _Counting.__enter__, _Counting.__exit__

    with pytest.warns(FutureWarning, match="Decorating classes"):

        @Plain()
        class Made:
            def __init__(self) -> None:
                self.depth = _Counting.depth

    assert Made().depth == 1


def test_there_are_no_modes_below_autograd() -> None:
    from corten.utils import _python_dispatch as dispatch

    assert not dispatch.is_in_torch_dispatch_mode() and not dispatch.is_traceable_wrapper_subclass(torch.ones(1))
    with pytest.raises(NotImplementedError, match="TorchFunctionMode"):
        dispatch.TorchDispatchMode()
    with pytest.raises(NotImplementedError, match="'meta'"):
        torch._subclasses.FakeTensorMode()


@pytest.mark.parametrize(
    ("make", "diagonal"), [(causal_upper_left, 0), (causal_lower_right, 3)], ids=["upper left", "lower right"]
)
def test_causal_masks_hide_what_their_triangle_hides(make, diagonal) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 2, 4), torch.randn(2, 5, 4)
    bias, mask = make(2, 5), torch.ones(2, 5, dtype=torch.bool).tril(diagonal)
    assert isinstance(bias, CausalBias) and bias.shape == (2, 5) and repr(bias) == repr(mask)
    got = F.scaled_dot_product_attention(query, key, key, attn_mask=bias)
    torch.testing.assert_close(got, F.scaled_dot_product_attention(query, key, key, mask))
    assert (bias & mask).tolist() == mask.tolist()
    with pytest.raises(ValueError, match="causal=True"):
        F.scaled_dot_product_attention(query, key, key, bias, is_causal=True)
    with pytest.raises(AssertionError, match="only supports 2D"):
        make(2)
    with pytest.raises(AssertionError, match="CausalVariant"):
        CausalBias(1, 2, 2)
    assert bias.variant in (CausalVariant.UPPER_LEFT, CausalVariant.LOWER_RIGHT)


def test_data_are_left_out_of_files_and_of_what_is_loaded() -> None:
    file = io.BytesIO()
    with torch.serialization.skip_data():
        torch.save({"a": torch.ones(2, 3)}, file)
    file.seek(0)
    assert torch.load(file)["a"].tolist() == [[0.0] * 3] * 2
    file = io.BytesIO()
    torch.save(torch.ones(2), file)
    file.seek(0)
    with torch.serialization.skip_data():
        assert torch.load(file).tolist() == [0, 0]
    file.seek(0)
    put = torch.serialization.default_restore_location
    assert torch.load(file, map_location=lambda storage, location: put(storage, "cpu")).tolist() == [1, 1]


def test_files_that_do_not_say_their_order_are_read_in_the_chosen_one() -> None:
    serialization = torch.serialization
    file = io.BytesIO()
    torch.save(torch.tensor([1], dtype=torch.int16), file, _disable_byteorder_record=True)
    orders = serialization.LoadEndianness
    found = {}
    try:
        for order in (None, *orders):
            serialization.set_default_load_endianness(order)
            assert serialization.get_default_load_endianness() is order
            file.seek(0)
            found[order] = torch.load(file).item()
    finally:
        serialization.set_default_load_endianness(None)
    other = orders.BIG if sys.byteorder == "little" else orders.LITTLE
    assert found.pop(other) == 256
    assert found.pop(None) == (1 if sys.byteorder == "little" else 256) and set(found.values()) == {1}
    with pytest.raises(TypeError, match="Invalid argument type"):
        serialization.set_default_load_endianness("big")


def test_options_of_serialization_that_are_not_there_say_so() -> None:
    import mmap

    with torch.serialization.set_default_mmap_options(mmap.MAP_PRIVATE):
        assert torch.serialization.get_default_mmap_options() == mmap.MAP_PRIVATE
    with pytest.raises(NotImplementedError, match="into the checkpoint"):
        torch.serialization.set_default_mmap_options(mmap.MAP_SHARED)
    with pytest.raises(ValueError, match="but got 77"):
        torch.serialization.set_default_mmap_options(77)
    with pytest.raises(NotImplementedError, match="map_location"):
        torch.serialization.register_package(0, None, None)
    warnings.filterwarnings("ignore", category=torch.serialization.SourceChangeWarning)
    assert not hasattr(torch.serialization, "no_such")


def test_sums_of_sparse_tensors_stay_sparse_where_places_remain() -> None:
    values = torch.arange(8.0).reshape(4, 2).requires_grad_()
    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 1, 1, 0], [2, 0, 2, 2]]), values, (2, 3, 2))
    dense = sparse.to_dense().detach()
    assert torch.sparse.sum(sparse).item() == 28
    for dim in (0, 1, -1, [0, 2], (1, 2)):
        got = torch.sparse.sum(sparse, dim=dim)
        assert got.is_sparse
        assert got.to_dense().tolist() == dense.sum(dim).tolist()
    total = torch.sparse.sum(sparse, dim=[0, 1])
    assert not total.is_sparse and total.tolist() == [12, 16]
    total.sum().backward()
    assert values.grad.tolist() == [[1, 1]] * 4
    with pytest.raises(NotImplementedError, match=r"x\.sum\(\)"):
        torch.sparse.sum(dense)


# -- benchmarks --------------------------------------------------------------------------------------------------------


def measured(times, runs=1, **labels):
    spec = benchmark.TaskSpec(stmt="f(x)", setup="pass", **labels)
    return benchmark.Measurement(runs, [t * runs for t in times], spec)


def test_a_timer_computes_what_it_times() -> None:
    before = torch._core.counters()["kernels"]
    x = torch.ones(1000)
    timer = benchmark.Timer("y = x * 2\nx + 1  # its value is needed by nobody", globals={"x": x})
    assert timer.timeit(10).number_per_run == 10
    assert torch._core.counters()["kernels"] >= before + 10


def test_a_timer_runs_its_setup_and_counts_rounds() -> None:
    rounds = []
    timer = benchmark.Timer(
        "n.append(1)", setup="n = []", globals={"q": 1}, label="appending", num_threads=torch.get_num_threads()
    )
    got = timer.blocked_autorange(callback=lambda number, seconds: rounds.append((number, seconds)), min_run_time=0.01)
    assert [seconds for _, seconds in rounds] == got.raw_times and sum(got.raw_times) >= 0.01
    assert {number for number, _ in rounds} == {got.number_per_run} and got.label == "appending"
    adapted = timer.adaptive_autorange(threshold=10.0, max_run_time=0.5)
    assert len(adapted.times) > 3 and 0 < adapted.median < 1
    with pytest.raises(NotImplementedError, match="blocked_autorange"):
        timer.autorange()
    with pytest.raises(NotImplementedError, match=r"corten\.profiler"):
        timer.collect_callgrind()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"stmt": len}, ValueError),
        ({"language": "cpp"}, ValueError),
        ({"global_setup": "#include"}, ValueError),
        ({"stmt": "x ="}, SyntaxError),
    ],
)
def test_what_cannot_be_timed_is_refused(arguments, error) -> None:
    with pytest.raises(error):
        benchmark.Timer(**arguments)


def test_a_timer_sets_the_threads_and_puts_them_back() -> None:
    before, seen = torch.get_num_threads(), []
    benchmark.Timer("seen.append(n())", globals={"seen": seen, "n": torch.get_num_threads}, num_threads=1).timeit(3)
    assert set(seen) == {1} and torch.get_num_threads() == before


def test_a_measurement_tells_median_spread_and_digits() -> None:
    one = measured([1e-3, 2e-3, 3e-3, 4e-3, 100e-3], runs=10, label="L", sub_label="S", description="D")
    assert one.median == 3e-3 and one.mean == pytest.approx(22e-3) and one.iqr == pytest.approx(2e-3)
    assert one.has_warnings and not one.meets_confidence(0.5) and one.significant_figures == 1
    assert measured([1.0] * 8).significant_figures == 5 and not measured([1.0] * 8).has_warnings
    text = repr(one)
    assert "L: S\nD\n" in text and "Median: 3.00 ms" in text and "5 measurements, 10 runs per measurement" in text
    assert "Interquartile range is 66.7%" in text
    assert (one.title, one.as_row_name, one.env, one.stmt) == ("L: S", "S", "Unspecified env", "f(x)")
    with pytest.raises(AttributeError, match="no_such"):
        _ = one.no_such
    with pytest.raises(ValueError, match="no times"):
        _ = measured([]).median


def test_measurements_of_one_task_are_merged() -> None:
    same = benchmark.Measurement.merge(
        [measured([1.0], runs=2), measured([3.0], runs=2), measured([9.0], label="other")]
    )
    assert [(one.number_per_run, one.times) for one in same] == [(2, [1.0, 3.0]), (1, [9.0])]
    (mixed,) = benchmark.Measurement.merge([measured([1.0], runs=2), measured([3.0], runs=4)])
    assert (mixed.number_per_run, mixed.times) == (1, [1.0, 3.0])


def test_units_and_digits() -> None:
    assert benchmark.select_unit(2e-5) == ("us", 1e-6) and benchmark.select_unit(3.0) == ("s", 1.0)
    assert benchmark.select_unit(1e-12) == ("ns", 1e-9) and benchmark.unit_to_english("ms") == "millisecond"
    assert [benchmark.trim_sigfig(123456, 3), benchmark.trim_sigfig(0.00123456, 2), benchmark.trim_sigfig(0, 2)] == [
        123000.0,
        0.0012,
        0.0,
    ]


def test_tables_put_measurements_side_by_side() -> None:
    rows = [
        measured([2e-6] * 4, label="sums", sub_label="short", description="ours"),
        measured([4e-6] * 4, label="sums", sub_label="short", description="theirs"),
        measured([25e-6] * 4, label="sums", sub_label="long", description="ours", num_threads=2),
    ]
    table = benchmark.Compare(rows)
    assert str(table).splitlines() == [
        "[----------- sums ----------]",
        "             | ours | theirs",
        "1 threads: ------------------",
        "      short  |  2.0 |    4.0",
        "2 threads: ------------------",
        "      long   | 25.0 |",
        "",
        "Times are in microseconds (us).",
    ]
    table.colorize()
    assert "\033[92m" in str(table)
    noisy = benchmark.Compare([measured([1e-3, 2e-3, 3e-3, 4e-3], label="noisy", description="d")])
    noisy.highlight_warnings()
    noisy.trim_significant_figures()
    assert "(! 60%)" in str(noisy) and "high variance" in str(noisy) and " 2 " in str(noisy)
    with pytest.raises(ValueError, match="instance of `Measurement`"):
        table.extend_results([1])


# -- counts of operations ----------------------------------------------------------------------------------------------


def counts(call, backward=False):
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        out = call()
        if backward:
            out.sum().backward()
    return {operator.__name__: flops for operator, flops in counter.get_flop_counts()["Global"].items()}


def test_products_count_two_operations_a_term() -> None:
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert counts(lambda: a @ b) == {"mm": 120}
    assert counts(lambda: torch.addmm(torch.ones(5), a, b)) == {"addmm": 120}
    assert counts(lambda: torch.bmm(a.expand(2, 3, 4), b.expand(2, 4, 5))) == {"bmm": 240}
    assert counts(lambda: torch.ones(2, 3, 4) @ b) == {"mm": 240}
    assert counts(lambda: a @ b[:, 0]) == {} and counts(lambda: a + 1) == {}


def test_each_gradient_of_a_product_counts_once_more() -> None:
    a, b = torch.ones(3, 4), torch.ones(4, 5, requires_grad=True)
    assert counts(lambda: a @ b, backward=True) == {"mm": 240}
    assert counts(lambda: a.clone().requires_grad_() @ b, backward=True) == {"mm": 360}
    assert counts(lambda: nn.Linear(4, 5)(a), backward=True) == {"addmm": 120, "mm": 120}
    with torch.no_grad():
        assert counts(lambda: a @ b) == {"mm": 120}


def test_convolutions_count_their_windows() -> None:
    x = torch.ones(2, 4, 8, 8)
    # 2 * (2 * 6 * 4 * 4 outputs) * (4 * 3 * 3 terms)
    assert counts(lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1)(x)) == {"convolution": 13824}
    both = counts(lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1)(x.clone().requires_grad_()), backward=True)
    assert both == {"convolution": 13824, "convolution_backward": 27648}
    grouped = counts(lambda: nn.Conv2d(4, 6, 3, groups=2)(x), backward=True)
    assert grouped == {"convolution": 15552, "convolution_backward": 15552}
    assert counts(lambda: nn.ConvTranspose2d(4, 6, 3)(x)) == {"convolution": 55296}


def test_attention_counts_two_products_and_five_for_its_gradients() -> None:
    q = torch.ones(2, 2, 5, 8, requires_grad=True)
    found = counts(lambda: F.scaled_dot_product_attention(q, q * 1, q * 1), backward=True)
    assert sorted(found.values()) == [3200, 8000]


def test_operations_are_counted_by_module() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 2)))
    counter = torch.utils.flop_counter.FlopCounterMode(display=False)
    with counter:
        model(torch.ones(3, 4)).sum().backward()
    total = {name: sum(found.values()) for name, found in counter.get_flop_counts().items()}
    assert total == {
        "Global": 996,
        "Sequential": 996,
        "Sequential.0": 240,
        "Sequential.2": 756,
        "Sequential.2.0": 540,
        "Sequential.2.1": 216,
    }
    assert counter.get_total_flops() == 996
    lines = counter.get_table(2).splitlines()
    assert lines[0].split() == ["Module", "FLOP", "%", "Total"] and lines[2].split() == ["Sequential", "996", "100.00%"]
    assert not any("Sequential.2.0" in line for line in lines)
    model(torch.ones(3, 4))
    assert counter.get_total_flops() == 996


def test_a_program_gives_formulas_of_its_own(capsys) -> None:
    mapping = {torch.ops.aten.mv: lambda matrix, vector, out_shape, **rest: 2 * matrix[0] * matrix[1]}
    with torch.utils.flop_counter.FlopCounterMode(custom_mapping=mapping) as counter:
        torch.ones(3, 4).mv(torch.ones(4))
    assert counter.get_total_flops() == 24
    assert "aten.mv" in capsys.readouterr().out


# -- stores ------------------------------------------------------------------------------------------------------------


def test_a_store_keeps_values_for_all_threads() -> None:
    import datetime
    import threading

    store = torch.distributed.HashStore()
    assert isinstance(store, torch.distributed.Store) and store.timeout == datetime.timedelta(minutes=5)
    waiting = threading.Timer(0.05, lambda: store.set("late", "here"))
    waiting.start()
    assert store.get("late") == b"here"
    waiting.join()
    assert [store.add("n", 3), store.add("n", -1), store.get("n")] == [3, 2, b"2"]
    store.append("late", b"\x00")
    store.multi_set(["a", "b"], ["1", b"2"])
    assert store.multi_get(["late", "b"]) == [b"here\x00", b"2"] and store.num_keys() == 4
    assert store.check(["a", "b"]) and not store.check(["a", "c"])
    assert (store.delete_key("a"), store.delete_key("a"), sorted(store.list_keys())) == (
        True,
        False,
        ["b", "late", "n"],
    )
    changed = [
        store.compare_set(*given) for given in (("b", "2", "3"), ("b", "2", "4"), ("c", "", "5"), ("d", "6", "7"))
    ]
    assert changed == [b"3", b"3", b"5", b"6"] and not store.check(["d"])
    assert store.clone() is store and store.has_extended_api()


def test_a_store_tells_what_it_waited_for() -> None:
    import datetime

    store, errors = torch.distributed.HashStore(), torch.distributed
    store.set_timeout(datetime.timedelta(milliseconds=5))
    for call in (lambda: store.get("a"), lambda: store.wait(["a"]), lambda: store.queue_pop("a")):
        with pytest.raises(errors.DistStoreError, match=r"Wait timeout.*a"):
            call()
    with pytest.raises(errors.QueueEmptyError, match="empty"):
        store.queue_pop("a", block=False)
    store.queue_push("a", "first")
    store.queue_push("a", "second")
    assert (store.queue_len("a"), store.queue_pop("a"), store.queue_pop("a", False)) == (2, b"first", b"second")
    store.set("text", "x")
    with pytest.raises(ValueError, match="no number"):
        store.add("text", 1)
    for call in (lambda: store.set("a", 1), lambda: store.get(1)):
        with pytest.raises(TypeError, match="is a str"):
            call()


def test_a_prefix_keeps_stores_apart() -> None:
    import datetime

    dist = torch.distributed
    store = dist.HashStore()
    first, second = dist.PrefixStore("a", store), dist.PrefixStore(prefix="b", store=store)
    inner = dist.PrefixStore("c", first)
    first.set("k", "1")
    second.multi_set(["k", "l"], ["2", "3"])
    inner.set("k", "4")
    assert (first.get("k"), second.multi_get(["k", "l"]), inner.get("k")) == (b"1", [b"2", b"3"], b"4")
    assert (store.get("a/k"), store.get("a/c/k")) == (b"1", b"4")
    assert sorted(first.list_keys()) == ["c/k", "k"] and first.num_keys() == 4
    assert inner.underlying_store is first and inner._underlying_non_prefix_store is store
    first.append("k", "0")
    assert (first.add("k", 5), first.compare_set("k", "15", "16"), second.get("k")) == (15, b"16", b"2")
    assert first.check(["k"]) and not second.check(["m"]) and first.delete_key("k") and first.has_extended_api()
    first.queue_push("q", "x")
    assert (second.queue_len("q"), store.queue_len("a/q"), first.clone().queue_pop("q")) == (0, 1, b"x")
    first.set_timeout(datetime.timedelta(milliseconds=5))
    assert store.timeout == second.timeout == datetime.timedelta(milliseconds=5)
    for call in (lambda: first.get("none"), lambda: first.wait(["none"], datetime.timedelta(milliseconds=1))):
        with pytest.raises(dist.DistStoreError, match="a/none"):
            call()
    for wrong in (lambda: dist.PrefixStore("a", 3), lambda: dist.PrefixStore(3, store), lambda: first.set(1, "x")):
        with pytest.raises(TypeError, match=r"must be a|is a str"):
            wrong()


def test_a_prefix_goes_before_keys_of_a_store_of_ones_own() -> None:
    class Kept(torch.distributed.Store):
        def __init__(self):
            self.values = {}

        def set(self, key, value):
            self.values[key] = value

    kept = Kept()
    store = torch.distributed.PrefixStore("a", kept)
    store.set("k", "1")
    assert kept.values == {"a/k": "1"}
    with pytest.raises(RuntimeError, match=r"Kept\.add is not there"):
        store.add("k", 1)


def test_memory_is_filled_whatever_is_noted_of_it() -> None:
    settings = torch.utils.deterministic
    assert settings.fill_uninitialized_memory is True
    settings.fill_uninitialized_memory = False
    try:
        assert settings.fill_uninitialized_memory is False
        assert torch.empty(100).eq(0).all()
    finally:
        settings.fill_uninitialized_memory = True
    with pytest.raises(RuntimeError, match="expected a bool, but got int"):
        settings.fill_uninitialized_memory = 1


def test_marks_for_a_tool_that_is_not_there_say_so() -> None:
    from corten.cuda import nvtx

    calls = (lambda: nvtx.mark("a"), lambda: nvtx.range_push("a"), nvtx.range_pop, lambda: nvtx.range_start("a"))
    for call in (*calls, lambda: nvtx.range_end(1), nvtx.range("a {}", 1).__enter__):
        with pytest.raises(RuntimeError, match="CORTEN_DEBUG"):
            call()


def test_errors_of_matrices_have_pytorchs_home():
    with pytest.raises(torch._C._LinAlgError):
        torch.linalg.inv(torch.zeros(2, 2))
    assert torch.linalg.LinAlgError is torch._C._LinAlgError and torch._C._LinAlgError.__name__ == "_LinAlgError"
