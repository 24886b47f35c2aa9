"""Checkpoints: what comes back, PyTorch's own files, the container, and files that are damaged or hostile."""

from __future__ import annotations

import base64
import collections
import contextlib
import copy
import datetime
import decimal
import errno
import fractions
import io
import os
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import zipfile
import zlib

import corten
import numpy as np
import pytest
from corten import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saved_files import loaded, saved

DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool"]
CLEAR = (RuntimeError, EOFError, pickle.UnpicklingError)


def round_trip(obj, **options):
    return loaded(saved(obj, **options))


def example():
    base = corten.arange(12, dtype=corten.float32).reshape(3, 4)
    return {
        "a": base,
        "view": base[1:, ::2],
        "p": corten.nn.Parameter(corten.ones(2, dtype=corten.float16)),
        "bf": corten.tensor([1.5, -2.0], dtype=corten.bfloat16),
        "flag": corten.tensor(True),
        "big": corten.tensor(2**40),
        "size": base.shape,
        "dtype": corten.int64,
        "device": corten.device("cpu"),
        "od": collections.OrderedDict(x=1),
        "empty": corten.empty(0),
    }


def assert_is_example(found):
    assert list(found) == list(example())
    for name, wanted in example().items():
        if not isinstance(wanted, corten.Tensor):
            assert type(found[name]) is type(wanted) and found[name] == wanted
            continue
        assert type(found[name]) is type(wanted) and found[name].dtype == wanted.dtype
        assert found[name].shape == wanted.shape and found[name].stride() == wanted.stride()
        assert found[name].requires_grad == wanted.requires_grad
        assert found[name].tolist() == wanted.tolist()
    found["a"][1, 0] = 99
    assert found["view"][0, 0].item() == 99


# `example()` as PyTorch 2.13's torch.save wrote it, in both formats: base85 of zlib.
BY_PYTORCH = {
    "zip": (
        "c-o~_U2oe|7(V$9Ug_5cWgV2k_()+(<9xX3nl-IA%)nzyJ&>Ya5V?tySh#Us=QLX<O)5eu>`x$s#vOME!5#ezMTjdTChdwVegHR|bDVg"
        "#vn<e_<c;I_JkR^Q$LD?Gk{k*n6py2!F^y)CYE_$hS6iy7SWUJ+GbC{mZF$Ci@IIhKIY0m^1gh91h-76K>qdvGSlafkZqzDRYjsSk(oJ"
        "&^OeD%NGPy%$stpZ7HiVN5Q^mLKA2|p!!W2ZxA#$v?cOfcIV2EwXNDj&21BlCEIdA~aJ*ZYq!_cZ&H(MR<mQ~X%t#(bXVh*@P1x{g@P~"
        "iD8DG_yb?G8*fiGXIP8E!_JjB;v|Fa_n{0Zh{`2Qc%XNs+S{PAhPR>1e|XBMNJ)mb#;1&Enuio4H@kb=9al)yy##9$q3TgBZ@zDuO+jm"
        "jgXGXQz7^!z&6be8o;){SwYA@LD-YP}_BQ-NP)hmEr}5{Q_f8!y7jHn|=1TDEr$sdjbRbe1|PV-B26wu9wm@4TtU`qszc0LKnc0By@|5"
        "Hq8=-lma}vC);`h(jJx@W~<?_WEe{pvNlW3#Ufx>Rv^#Bbo6@~tn>+PlM@au+c$W%2L%PLlp|zT4ezxzSnE&ITUf|)P%KC3C9SJhHCXR"
        "ovrjqLaQ2PZgR2T$V{2*F;5{ZmV(RX~`*NVeGH5$(ya(3@n}c1>!3RV<!tfzoQPcyOuILTBh>tMbRN&TbvLwgiN8kT?6VZeuN+bJe4y`"
        ")<l&qW9j*2T?&FYYyD~Zd#w))S5rviTZ`;RZEWE!Id%%kNe0{Z<|Q4PJ(+R<8A5;MoqAY`e4;vM*lu5j>~0%lOr5wN|7HIufhB(5H}b~"
        "+3lV?(1FdRHEwrCTEUObwH0&EslIDM`G10s%Jbevy2vlQ)Td65o(GB=Lv@+8|y^;yj7e2330Zetj)P{cViWGhU^<Bu)=0MFmu#oaQfE7"
        "idR?$8fHDIn$C@ILY#F9Tw3c%^%y`dVGxhnUm%Z(B$X-jC?nK|4*W;-sD+HES@O&;Qj|_+F1P4A0O3d-nb(JJyk}*D<da~`D4o%UG5Y*"
        "?c{NMX3C!^!!ZZ@y79^Q{#`)nCkDc#cQi{U4suVW|GyQzCW*=aSqYyO@;PBSvm&erS@KE?JfF(u@~MoF=Y=diW(0vxQ<a~8`*0~ibR?L"
        "{02S-#bbIjhkaGWXj34bb&^ZsX6hfn1+fU*)!FdnKk(*@5dHp<YBb)K?C}A{gpnka9T_!#7-^0k~eSWOlMZDPkh!4yAv2F+OVt?~v(|)"
        "YGfxXy|qdsiLk9BvQ7klK#W(U}(_oaK#hg5Hu4(&Ks&rEr+hc4`hz2e@=3m))n9F1wRk{pd*9JFNUl7pP^9sjXQML+j*5*&T<Mn9ZF1J"
        "@$IMWQxlg3Y(*{tF?Xu*d"
    ),
    "legacy": (
        "c-nPS+fvg|6iw0=G=kz?yyCs}QhP~Tswfu`(SSgB$&1qo?V*hmny%!uiZjgc(h7cq4?g-Ce2TArf-^q2bD>bIne5Eo`<$$`*FO7fOJ8N"
        "{&$qeXV;_Djk0!UJ#a|KnZb69aBZ43_9Glx^+bXq~<C=CIB5lxzX~i-*w^)hQE2dG0w4=+E<eLpva?Q`oMPv)nxE`aVTeBUGm@4TJip)"
        "C4fEv}K9)?}7Vo;4XoBNz1WetdBZad{#vee|J<;o?8tu;-nQsS)c+D@sJks-z7`k)6+JB=zsB=|+1vuuN}21yxF{Uq%vDw%9HpD7dy<C"
        "$C@F~5#-qe*oPz2g{MQ3W-kMmspBMpdzc<GW>&Y_T#Y#jd>MRG7mmvu2sgkP{kCa13b}_9e7T_7Nv*R8B2Y>q~d47SN2W5W1vF9h~-@4"
        "$kb>JhZbM=QN!6r8jWlKhhh9V{9<a92pk_wovfAVXb%dUOFfsr=+u~Y`&PsC>0=40hc|UQX5xPv5l(%`8AH~8gA_P!Ppnv)No6e2xDy>"
        "w|jVI{LZHHU9LMvxyF?g?uK0VLazHBS3KZKa6HiP&~MwiWmNH~m%z5IF8Jdf@LY;s1xW%I3H%9xClUc@iX*Kd;~(joSw*%7bAbk|i>Vy"
        "J%%l|sxezmd2(!R3uA%4`>J2lVhH$GC$aoeE%S0Q`HN5agyy6W$Cc|ws;(0~Jls@1sv6fk8m=4#1P{vGm2w%1_tKpU3b-RK&zl7KRIDE"
        "pqD!M)c+i37jy!m&~0x89G25(7<KvGn%_d**BUhfwJNt9mFu<YHl_uf70GbUoc^OX9XL!@6L`<4{zcOeE?($nfc6T-y4zc(rDiJ>p<J3"
        "(~d4js-5+mrN}qL*x&>^s>W*-tWIS`bFa#>i6Be*u0wIP?"
    ),
}


@pytest.mark.cpu
@pytest.mark.parametrize("kind", BY_PYTORCH)
@pytest.mark.parametrize("weights_only", [True, False])
def test_files_of_pytorch_are_read(kind, weights_only):
    content = zlib.decompress(base64.b85decode(BY_PYTORCH[kind]))
    assert_is_example(loaded(content, weights_only=weights_only))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_everything_comes_back(zipped, protocol):
    assert_is_example(round_trip(example(), pickle_protocol=protocol, _use_new_zipfile_serialization=zipped))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_every_dtype_and_shape_comes_back(dtype, shape):
    tensor = (corten.rand(shape) * 5).to(getattr(corten, dtype))
    found = round_trip(tensor)
    assert found.dtype == tensor.dtype and found.shape == tensor.shape
    assert found.tolist() == tensor.tolist()


@pytest.mark.parametrize("mmap", [False, True])
def test_strides_and_shared_memory_come_back(tmp_path, mmap):
    base = corten.randn(4, 5)
    tensors = [base, base.t(), base[1:3, ::2], base.flatten()[7:], corten.ones(1).expand(1000), base.unsqueeze(0)]
    path = tmp_path / "views.pt"
    corten.save(tensors, path)
    found = corten.load(path, mmap=mmap)
    for own, wanted in zip(found, tensors):
        assert own.stride() == wanted.stride() and own.storage_offset() == wanted.storage_offset()
        assert own.tolist() == wanted.tolist()
    found[0].zero_()
    assert not any(own.cpu().numpy().any() for own in found[:4])
    assert found[4].untyped_storage().nbytes() == 4
    # A mapped file is not written to.
    assert corten.load(path)[0].tolist() == base.tolist()


def test_layouts_other_than_contiguous_come_back():
    tensor = corten.randn(2, 3, 4, 5).to(memory_format=corten.channels_last)
    found = round_trip(tensor)
    assert found.stride() == tensor.stride() and found.tolist() == tensor.tolist()


@pytest.mark.parametrize("protocol", [2, 4])
def test_containers_and_numbers_come_back(protocol):
    values = {
        "ints": [0, 1, -1, 255, 256, 65536, -(2**31), 2**31, 2**63, -(2**70), 10**400],
        "floats": [0.5, -0.0, float("inf"), 1e-300],
        "texts": ["", "héllo", "\n", "𝕏" * 300],
        "bytes": [b"", b"\x00\xff" * 200, bytearray(b"abc")],
        "sets": [set(), {1, "a"}, frozenset({2})],
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, (4,))),
        "others": [None, True, False, 1 + 2j, slice(1, None, 2)],
        "counter": collections.Counter("aab"),
        "default": collections.defaultdict(list, {1: [2]}),
        ("a", 1): "tuple key",
        "size": corten.Size([2, 3]),
        "device": corten.device("cpu"),
        "memory format": corten.channels_last,
        "layout": corten.strided,
        "dtypes": [getattr(corten, name) for name in DTYPES],
    }
    found = round_trip(values, pickle_protocol=protocol)
    assert found == values
    assert type(found["default"]) is collections.defaultdict and found["default"].default_factory is list


def test_the_same_object_comes_back_once():
    shared = [1]
    found = round_trip({"a": shared, "b": shared, "t": (shared,)})
    assert found["a"] is found["b"] is found["t"][0]
    circle = []
    circle.append(circle)
    found = round_trip(circle)
    assert found[0] is found


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numpy_values_come_back(protocol):
    values = {
        "scalar": np.float32(2.5),
        "integer": np.int64(-3),
        "bool": np.bool_(True),
        "array": np.arange(6).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array(["ab", "c"]),
        "big endian": np.array([1, 2], dtype=">i4"),
        "empty": np.zeros((0, 3)),
        "none": np.array(5),
    }
    found = round_trip(values, pickle_protocol=protocol)
    for name, wanted in values.items():
        assert type(found[name]) is type(wanted) and found[name].dtype.kind == wanted.dtype.kind
        np.testing.assert_array_equal(found[name], wanted)


def test_state_dicts_come_back_with_their_metadata():
    model = corten.nn.Sequential(corten.nn.Linear(3, 4), corten.nn.BatchNorm1d(4))
    state = round_trip(model.state_dict())
    assert type(state) is collections.OrderedDict and state._metadata == model.state_dict()._metadata
    other = copy.deepcopy(model)
    with corten.no_grad():
        other[0].weight.zero_()
    other.load_state_dict(state)
    assert other[0].weight.tolist() == model[0].weight.tolist()


def test_optimizer_states_come_back():
    param = corten.nn.Parameter(corten.ones(3))
    optimizer = corten.optim.Adam([param])
    param.sum().backward()
    optimizer.step()
    found = round_trip(optimizer.state_dict())
    assert found["param_groups"] == optimizer.state_dict()["param_groups"]
    assert found["state"][0]["step"].item() == 1.0
    optimizer.load_state_dict(found)


def test_attributes_of_tensors_come_back():
    tensor, param = corten.ones(2), corten.nn.Parameter(corten.ones(2))
    tensor.label, param.rank = "x", [1]
    found = round_trip([tensor, param])
    assert found[0].label == "x" and found[1].rank == [1]
    assert isinstance(found[1], corten.nn.Parameter)


# -- the container ---------------------------------------------------------------------------------------------------


def test_the_container_is_an_aligned_zip_file():
    content = saved(example())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names[:4] == [
            f"archive/{name}" for name in ("data.pkl", ".format_version", ".storage_alignment", "byteorder")
        ]
        assert archive.read("archive/version") == b"3\n"
        assert archive.read("archive/byteorder").decode() == sys.byteorder
        # One record for each storage: the view has none of its own.
        assert sum(name.startswith("archive/data/") for name in names) == 6
        for info in archive.infolist():
            name_size, extra_size = struct.unpack_from("<2H", content, info.header_offset + 26)
            assert (info.header_offset + 30 + name_size + extra_size) % 64 == 0
            assert info.compress_type == zipfile.ZIP_STORED


def test_names_in_the_pickle_are_pytorchs():
    with zipfile.ZipFile(io.BytesIO(saved([corten.ones(1), corten.nn.Parameter(corten.ones(1))]))) as archive:
        content = archive.read("archive/data.pkl")
    assert b"ctorch._utils\n_rebuild_tensor_v2\n" in content and b"ctorch\nFloatStorage\n" in content
    assert b"ctorch._utils\n_rebuild_parameter\n" in content and b"corten" not in content


def test_equal_objects_give_equal_files(tmp_path):
    assert saved(example()) == saved(example())
    corten.save(example(), tmp_path / "model.v1.pt")
    with zipfile.ZipFile(tmp_path / "model.v1.pt") as archive:
        assert archive.namelist()[0] == "model.v1/data.pkl"


def test_checksums_may_be_left_out():
    serialization.set_crc32_options(False)
    try:
        content = saved(example())
        assert not serialization.get_crc32_options()
    finally:
        serialization.set_crc32_options(True)
    assert_is_example(loaded(content))


def repacked(content: bytes, compression=zipfile.ZIP_STORED, **records) -> bytes:
    """The file with some records replaced; None leaves a record out."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w", compression) as new:
        for name in old.namelist():
            data = records.get(name.partition("/")[2].replace("/", "_").replace(".", "_"), old.read(name))
            if data is not None:
                new.writestr(name, data)
    return result.getvalue()


def test_files_written_by_other_zip_programs_are_read():
    assert_is_example(loaded(repacked(saved(example()))))
    assert_is_example(loaded(repacked(saved(example()), zipfile.ZIP_DEFLATED)))
    assert_is_example(loaded(saved(example()) + b"appended"))


def test_files_inside_others_are_read():
    buffer = io.BytesIO(b"prefix" + saved(example()))
    buffer.seek(6)
    assert_is_example(corten.load(buffer))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_other_byte_order_is_read(dtype):
    tensor = (corten.rand(3) * 5).to(getattr(corten, dtype))
    width = tensor.element_size()
    content = saved(tensor)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        data = archive.read("archive/data/0")
    swapped = np.frombuffer(data, f"u{width}").byteswap().tobytes()
    other = b"big" if sys.byteorder == "little" else b"little"
    found = loaded(repacked(content, byteorder=other, data_0=swapped))
    assert found.tolist() == tensor.tolist()


@pytest.mark.cpu
def test_safetensors_files_are_read(tmp_path):
    path = tmp_path / "x.safetensors"
    header = (
        b'{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
        b'"n":{"dtype":"I64","shape":[],"data_offsets":[24,32]}}'
    )
    body = np.arange(6, dtype="<f4").tobytes() + struct.pack("<q", 7)
    content = struct.pack("<Q", len(header)) + header + body
    path.write_bytes(content)
    found = corten.load(path)
    assert found["w"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["n"].item() == 7
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(RuntimeError, match="damaged"):
            corten.load(path)


# -- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.cpu
@pytest.mark.parametrize(
    "location", ["cpu", b"cpu", corten.device("cpu"), {"cpu": "cpu"}, lambda storage, location: storage, None]
)
def test_every_kind_of_map_location(location):
    assert_is_example(loaded(saved(example()), map_location=location))


def test_devices_that_are_not_there_say_so(monkeypatch):
    content = saved(corten.ones(1, device="cpu"))
    monkeypatch.setattr(corten.gpu, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
        loaded(content, map_location="cuda:0")
    with pytest.raises(RuntimeError, match="don't know how to restore data location"):
        loaded(content, map_location={"cpu": "abacus"})


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: corten.load("no such file.pt"), FileNotFoundError, "no such file.pt"),
        (lambda: corten.load(3), AttributeError, "You can only load from a file that is seekable"),
        (lambda: corten.save(1, io.BytesIO(), pickle_protocol=0), ValueError, "cannot refer to tensors"),
        (lambda: corten.save(1, None), AttributeError, "expected 'f' to be string, path, or a file-like object"),
        (lambda: corten.save(1, "/no/such/folder/x.pt"), RuntimeError, "Parent directory .* does not exist"),
        (lambda: corten.load(io.BytesIO(), mmap=True), ValueError, "f must be a file path"),
        (lambda: corten.load(io.BytesIO()), EOFError, "Ran out of input"),
        (lambda: loaded(b"x", pickle_module=pickle, weights_only=True), RuntimeError, "Can not safely load weights"),
        (lambda: loaded(b"x", pickle_module=copy), RuntimeError, "never hands a file to another unpickler"),
    ],
)
def test_wrong_arguments_raise(use, error, message):
    with pytest.raises(error, match=message):
        use()


def test_old_files_cannot_be_mapped(tmp_path):
    corten.save(example(), tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    assert_is_example(corten.load(tmp_path / "x.pt"))
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with"):
        corten.load(tmp_path / "x.pt", mmap=True)


def test_two_dtypes_on_one_storage_cannot_be_saved():
    tensor = corten.ones(4)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        saved([tensor, tensor.view(corten.int32)])


# -- classes ---------------------------------------------------------------------------------------------------------


class Settings:
    def __init__(self):
        self.rate = corten.ones(1)


class Slots:
    __slots__ = ("x",)


def test_own_classes_need_to_be_allowed():
    content = saved(Settings())
    name = f"{Settings.__module__}.Settings"
    with pytest.raises(pickle.UnpicklingError, match=f"Unsupported global: GLOBAL {name} was not an allowed"):
        loaded(content)
    with pytest.raises(pickle.UnpicklingError, match=rf"the file names {name}.*never runs.*state_dict.*\[Settings\]"):
        loaded(content, weights_only=False)
    assert serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)) == [name]
    with serialization.safe_globals([Settings]):
        assert serialization.get_safe_globals() == [Settings]
        assert loaded(content).rate.item() == 1.0
    assert serialization.get_safe_globals() == []
    serialization.add_safe_globals([(Settings, name)])
    assert loaded(content).rate.item() == 1.0
    serialization.clear_safe_globals()
    with pytest.raises(pickle.UnpicklingError):
        loaded(content)
    with pytest.raises(ValueError, match="tuple of length 2"):
        serialization.add_safe_globals([(Settings, name, 1)])
    with pytest.raises(TypeError, match="str of callable full path"):
        serialization.add_safe_globals([(Settings, 1)])


def test_slots_of_allowed_classes_come_back():
    value = Slots()
    value.x = 5
    with serialization.safe_globals([Slots]):
        assert round_trip(value).x == 5


def test_whole_modules_come_back_where_weights_only_is_off():
    model = corten.nn.Sequential(corten.nn.Linear(2, 3), corten.nn.ReLU())
    content = saved(model)
    with pytest.raises(pickle.UnpicklingError, match=r"nn\..*Sequential"):
        loaded(content)
    found = loaded(content, weights_only=False)
    assert found(corten.ones(1, 2)).tolist() == model(corten.ones(1, 2)).tolist()


# -- hostile files ---------------------------------------------------------------------------------------------------


class Call:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def with_pickle(content: bytes) -> bytes:
    return repacked(saved([corten.ones(2)]), data_pkl=content)


def hostile_calls(tmp_path):
    marker = str(tmp_path / "marker")
    import functools
    import operator

    return [
        Call(os.system, f"touch {marker}"),
        Call(open, marker, "w"),
        Call(eval, f"open({marker!r}, 'w')"),
        Call(exec, f"open({marker!r}, 'w')"),
        Call(subprocess.Popen, ["touch", marker]),
        Call(operator.attrgetter, "system"),
        Call(functools.partial, open, marker, "w"),
        Call(pickle.loads, pickle.dumps(Call(open, marker, "w"))),
        Call(collections.defaultdict, os.getcwd),
        Call(corten.load, marker),
        Call(corten.save, 1, marker),
        Call(__import__, "antigravity"),
        Call(bytearray, 10**13),
        Call(bytes, 10**13),
        Call(collections.deque, "text"),
        Call(fractions.Fraction, "1e999999999"),
        Call(decimal.Decimal, "9" * 10_000),
        Call(pathlib.Path, 10**9),
        Call(pathlib.Path.touch, pathlib.Path(marker)),
        Call(datetime.datetime.now),
        Call(corten.nn.functional.relu, corten.ones(1)),
        Call(map, open, [marker]),
    ]


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_no_call_from_a_file_is_made(tmp_path, protocol, weights_only):
    prefix = b"".join(pickle.dumps(value, 2) for value in (serialization.MAGIC_NUMBER, 1001, {"little_endian": True}))
    for call in hostile_calls(tmp_path):
        content = pickle.dumps(call, protocol)
        for file in (with_pickle(content), prefix + content + pickle.dumps([], 2)):
            with pytest.raises(pickle.UnpicklingError):
                loaded(file, weights_only=weights_only)
    assert os.listdir(tmp_path) == []


def doubled_tuple(times: int) -> bytes:
    """A tuple of two of the last tuple, many times over: short to write, endless to hash."""
    body = b"\x80\x02)q\x00"
    for index in range(times):
        body += b"h" + bytes([index]) + b"h" + bytes([index]) + b"\x86q" + bytes([index + 1])
    return body


BOMB = doubled_tuple(60) + b"0"
LAST = b"h\x3c"
FUNCTION = b"ctorch._utils\n_rebuild_tensor_v2\n"
STATE = b"}X\x01\x00\x00\x00aK\x01s"


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"\x80\x02X\xff\xff\xff\xffab.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xffab.",
        b"\x80\x04\x96\xff\xff\xff\xff\xff\x00\x00\x00ab.",
        b"\x80\x02h\x05.",
        b"\x80\x02.",
        b"\x80\x02(.a",
        b"\x80\x02t.",
        b"\x80\x02(\x85.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02]K\x01u.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02}(]K\x01u.",
        b"\x80\x02i\nx\ny\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02" + FUNCTION + STATE + b"b.",
        b"\x80\x02" + FUNCTION + b")R.",
        b"\x80\x02ctorch.nn.parameter\nParameter\n" + STATE + b"b.",
        b"\x80\x02ctorch.nn.parameter\nParameter\nN" + STATE + b"\x86b.",
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x09\x00\x00\x00__class__K\x01sb.",
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        BOMB + b"}" + LAST + b"Ns.",
        BOMB + b"(" + LAST + b"Nd.",
        BOMB + b"\x8f(" + LAST + b"\x90.",
        BOMB + b"(" + LAST + b"\x91.",
        BOMB + b"ccollections\nOrderedDict\n](" + LAST + b"N\x86e\x85R.",
        BOMB + b"ccollections\nCounter\n]" + LAST + b"a\x85R.",
        BOMB + b"cbuiltins\nset\n]" + LAST + b"a\x85R.",
        BOMB + LAST + b"Q.",
        BOMB + LAST + b")R.",
    ],
)
def test_pickles_that_no_pickler_writes_raise(content):
    with pytest.raises(CLEAR):
        loaded(with_pickle(content))


def tensor_pickle(offset=0, size=(2,), stride=(1,), numel=2, key="0", storage="FloatStorage") -> bytes:
    """A pickle with one tensor on the storage of two float32 numbers that `with_pickle` files have."""
    text = lambda value: b"X" + struct.pack("<I", len(value)) + value.encode()  # noqa: E731
    number = lambda value: b"\x8a\x09" + value.to_bytes(9, "little", signed=True)  # noqa: E731
    numbers = lambda values: b"(" + b"".join(map(number, values)) + b"t"  # noqa: E731
    place = b"(" + text("storage") + b"ctorch\n" + storage.encode() + b"\n" + text(key) + text("cpu") + number(numel)
    rest = number(offset) + numbers(size) + numbers(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02" + FUNCTION + b"(" + place + b"tQ" + rest + b"tR."


def test_a_hand_written_tensor_is_read():
    assert loaded(with_pickle(tensor_pickle())).tolist() == [1.0, 1.0]
    assert loaded(with_pickle(tensor_pickle(size=(10**6,), stride=(0,)))).shape == (10**6,)
    assert loaded(with_pickle(tensor_pickle(offset=10**9, size=(0,)))).shape == (0,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=(3,)), "reaches outside its storage"),
        (dict(offset=1), "reaches outside its storage"),
        (dict(offset=2**62, size=(2**62,), stride=(2**62,)), "reaches outside its storage"),
        (dict(size=(2,), stride=(2,)), "reaches outside its storage"),
        (dict(offset=-1), "not valid"),
        (dict(stride=(-1,)), "not valid"),
        (dict(size=(-2,)), "not valid"),
        (dict(size=(1, 2)), "not valid"),
        (dict(numel=3), "does not match expected size"),
        (dict(numel=2**62), "does not match expected size"),
        (dict(numel=-1), "not described properly"),
        (dict(storage="DoubleStorage"), "does not match expected size"),
        (dict(storage="QInt8Storage"), "was not an allowed global"),
        (dict(key="7"), "no record 'data/7'"),
        (dict(key="../version"), "no record"),
    ],
)
def test_tensors_must_lie_inside_their_storage(options, message):
    with pytest.raises(CLEAR, match=message):
        loaded(with_pickle(tensor_pickle(**options)))


@pytest.mark.parametrize(
    ("records", "error", "message"),
    [
        (dict(data_pkl=None), RuntimeError, "no record 'data.pkl'"),
        (dict(data_0=None), RuntimeError, "no record 'data/0'"),
        (dict(data_0=b"123"), RuntimeError, "record size"),
        (dict(version=None), RuntimeError, "no record 'version'"),
        (dict(version=b"99\n"), RuntimeError, "version 99, but the maximum supported version"),
        (dict(version=b"x"), RuntimeError, "Couldn't parse the version"),
        (dict(byteorder=b"middle"), ValueError, "Unknown endianness type: middle"),
    ],
)
def test_records_that_are_missing_or_wrong_raise(records, error, message):
    with pytest.raises(error, match=message):
        loaded(repacked(saved(corten.ones(2)), **records))


def test_records_that_overlap_or_claim_too_much_raise():
    content = bytearray(saved([corten.ones(4), corten.zeros(4)]))
    at = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", at + 4)
    overlapping = content.copy()
    overlapping[second + 42 : second + 46] = overlapping[at + 42 : at + 46]
    with pytest.raises(RuntimeError, match="damaged"):
        loaded(bytes(overlapping))
    bomb = repacked(bytes(content), zipfile.ZIP_DEFLATED, data_0=bytes(1 << 24))
    entry = bomb.index(b"PK\x01\x02", bomb.index(b"data/0", bomb.index(b"PK\x01\x02")) - 60)
    claims = bomb[: entry + 24] + struct.pack("<I", 0xF0000000) + bomb[entry + 28 :]
    with pytest.raises(RuntimeError, match="damaged"):
        loaded(claims)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_cut_short_anywhere_raise(zipped):
    content = saved(example(), _use_new_zipfile_serialization=zipped)
    for size in range(len(content)):
        with pytest.raises(CLEAR):
            loaded(content[:size])


def test_flipped_bits_in_tensors_are_noticed():
    content = saved(corten.arange(1000))
    start = content.index(np.arange(1000).tobytes())
    for _ in range(50):
        damaged = bytearray(content)
        damaged[start + random.randrange(8000)] ^= 1 << random.randrange(8)
        with pytest.raises(RuntimeError, match="does not match its checksum"):
            loaded(bytes(damaged))


@pytest.mark.parametrize("zipped", [True, False])
def test_flipped_bits_anywhere_never_crash(zipped):
    content = saved(example(), _use_new_zipfile_serialization=zipped)
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(random.choice((1, 1, 2, 5))):
            damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
        with contextlib.suppress(*CLEAR, ValueError):
            loaded(bytes(damaged))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_edited_pickles_never_crash(draw):
    content = saved(example())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        edited = bytearray(archive.read("archive/data.pkl"))
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(edited)))
        edited[at : at + draw.draw(st.integers(0, 5))] = draw.draw(st.binary(max_size=5))
    with contextlib.suppress(*CLEAR):
        loaded(repacked(content, data_pkl=bytes(edited)))


# -- files half written ----------------------------------------------------------------------------------------------


class Interrupting:
    """An object whose pickling fails."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), ValueError("x")])
def test_a_failed_save_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "x.pt"
    corten.save(corten.ones(2), path)
    with pytest.raises(type(error)):
        corten.save([corten.zeros(2), Interrupting(error)], path)
    assert corten.load(path).tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["x.pt"]


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits of POSIX")
def test_a_full_disk_keeps_the_old_file(tmp_path):
    import resource

    path = tmp_path / "x.pt"
    corten.save(corten.ones(2), path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError):
            corten.save(corten.zeros(1_000_000), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert corten.load(path).tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["x.pt"]


@pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")
def test_replaced_files_keep_mode_and_links_keep_pointing(tmp_path):
    target, link = tmp_path / "target.pt", tmp_path / "link.pt"
    corten.save(1, target)
    os.chmod(target, 0o640)
    link.symlink_to(target)
    corten.save(2, link)
    assert link.is_symlink() and corten.load(target) == 2
    assert os.stat(target).st_mode & 0o777 == 0o640
    corten.save(3, os.devnull)


def test_plain_file_objects_are_written_and_read(tmp_path):
    class WriteOnly:
        def __init__(self):
            self.parts = []

        def write(self, part):
            # As a raw file does, takes less than it is given.
            self.parts.append(bytes(part[:1000]))
            return len(self.parts[-1])

    sink = WriteOnly()
    corten.save(corten.arange(5000), sink)
    assert loaded(b"".join(sink.parts)).tolist() == list(range(5000))
    with open(tmp_path / "x.pt", "w+b") as file:
        corten.save(example(), file)
        file.seek(0)
        assert_is_example(corten.load(file))
