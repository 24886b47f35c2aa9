"""What stands around tensors: entry points of folders, weights from an address, the build, and other vendors."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import urllib.error
import zipfile

import corten
import pytest
from corten import hub

pytestmark = pytest.mark.cpu

HUBCONF = '''
dependencies = ["numpy"]
from helper import width

def layer(n=2):
    """A square layer."""
    import corten
    return corten.nn.Linear(n, n * width)

def _hidden():
    pass

number = 3
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with entry points; the cache is a folder of the test's own."""
    monkeypatch.setattr(hub, "_folder", str(tmp_path / "cache"))
    place = tmp_path / "cache" / "someone_models_v1"
    place.mkdir(parents=True)
    (place / "hubconf.py").write_text(HUBCONF)
    (place / "helper.py").write_text("width = 3\n")
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    yield place
    sys.modules.pop("helper", None)


def test_entry_points_are_those_of_a_folder(folder):
    before = list(sys.path)
    layer = hub.load(str(folder), "layer", 4, source="local")
    assert (layer.in_features, layer.out_features) == (4, 12)
    assert hub.load("someone/models:v1", "layer", n=1).in_features == 1
    assert hub.list(str(folder)) == hub.list("someone/models:v1") == ["layer"]
    assert hub.help(str(folder), "layer") == "A square layer."
    assert sys.path == before


def test_what_is_no_entry_point_is_refused(folder):
    with pytest.raises(RuntimeError, match="Cannot find callable number"):
        hub.load(str(folder), "number", source="local")
    with pytest.raises(ValueError, match="function name"):
        hub.load(str(folder), 3, source="local")
    with pytest.raises(ValueError, match='Unknown source: "other"'):
        hub.load(str(folder), "layer", source="other")
    with pytest.raises(NotImplementedError, match="programs are not downloaded"):
        hub.load("someone/else", "layer")
    with pytest.raises(ValueError, match="owner/name"):
        hub.load("someone", "layer")
    with pytest.raises(FileNotFoundError, match=r"no hubconf\.py"):
        hub.load(str(folder.parent), "layer", source="local")
    (folder / "hubconf.py").write_text("dependencies = ['absent_package']")
    with pytest.raises(RuntimeError, match="Missing dependencies: absent_package"):
        hub.load(str(folder), "layer", source="local")


@pytest.fixture
def weights(tmp_path):
    """A file whose name has the beginning of its hash, and its address."""
    path = tmp_path / "weights.pth"
    corten.save({"w": corten.arange(3.0)}, path)
    named = path.with_name(f"weights-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")
    path.rename(named)
    return named


def test_weights_come_from_an_address_and_stay(folder, weights, tmp_path, capsys):
    found = hub.load_state_dict_from_url(weights.as_uri(), check_hash=True)
    assert found["w"].tolist() == [0, 1, 2]
    assert "Downloading" in capsys.readouterr().err
    kept = tmp_path / "cache" / "checkpoints" / weights.name
    assert kept.read_bytes() == weights.read_bytes()
    weights.unlink()
    assert hub.load_state_dict_from_url(weights.as_uri())["w"].tolist() == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_an_archive_of_one_file_is_unpacked(folder, weights, tmp_path):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(weights, "inside.pth")
    found = hub.load_state_dict_from_url((tmp_path / "packed.zip").as_uri(), model_dir=tmp_path / "own")
    assert found["w"].tolist() == [0, 1, 2]


def test_a_wrong_hash_leaves_no_file(folder, weights, tmp_path):
    target = tmp_path / "own"
    with pytest.raises(RuntimeError, match="invalid hash value"):
        hub.load_state_dict_from_url(weights.as_uri(), target, check_hash=True, file_name="weights-12345678.pth")
    assert list(target.iterdir()) == []
    with pytest.raises(urllib.error.URLError):
        hub.load_state_dict_from_url((tmp_path / "absent.pth").as_uri(), target)
    with pytest.raises(ValueError, match="no file's name"):
        hub.load_state_dict_from_url("https://example.invalid/", target)
    assert list(target.iterdir()) == []


def test_the_cache_is_where_pytorch_has_it(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "_folder", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    assert hub.get_dir() == str(tmp_path / "torch" / "hub")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "other"))
    assert hub.get_dir() == str(tmp_path / "other" / "hub")
    hub.set_dir(tmp_path / "set")
    assert hub.get_dir() == str(tmp_path / "set")


def test_the_build_tells_of_itself():
    assert corten._core.simd_level() in corten.__config__.show()
    assert f"get_num_threads() : {corten.get_num_threads()}" in corten.__config__.parallel_info()


def test_a_report_names_versions_and_devices():
    from corten.utils import collect_env

    info = collect_env.get_env_info()
    assert info.torch_version == str(corten.__version__)
    assert "numpy==" in info.pip_packages
    assert info.cuda_runtime_version == "N/A"
    done = subprocess.run(
        [sys.executable, "-m", "corten.utils.collect_env"], capture_output=True, text=True, check=True
    )
    assert f"corten version: {info.torch_version}" in done.stdout


def test_other_vendors_are_not_available():
    for module in (corten.mps, corten.xpu):
        assert module.is_available() is False and module.device_count() == 0


def test_switching_takeovers_off_has_its_names_at_the_top():
    class Loud(corten.Tensor):
        pass

    x = corten.ones(2).as_subclass(Loud)
    assert type(x + 1) is Loud
    with corten.DisableTorchFunctionSubclass():
        assert type(x + 1) is corten.Tensor
    with corten.DisableTorchFunction():
        assert type(x + 1) is corten.Tensor
    with corten._C.DisableTorchFunctionSubclass():
        assert type(x + 1) is corten.Tensor


def test_the_inverse_of_a_slice_is_what_was_sliced():
    x = corten.arange(12.0).reshape(3, 4)
    part = x[:, 1:3]
    whole = corten.slice_inverse(part, x, 1, 1, 3)
    assert corten.equal(whole, x) and whole.data_ptr() == x.data_ptr()
    assert corten.equal(part.slice_inverse(x, 1, 1, 3), x)
    with pytest.raises(RuntimeError):
        corten.slice_inverse(part.clone(), x, 1, 1, 3)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
def test_storages_are_made_of_sizes_and_sequences():
    storage = corten.TypedStorage([1, 2, 3], dtype=corten.float32)
    assert storage.tolist() == [1.0, 2.0, 3.0] and corten.is_storage(storage)
    assert corten.TypedStorage(5).dtype is corten.float32 and corten.TypedStorage(5, dtype=corten.int8).size() == 5
    assert corten.UntypedStorage(8).nbytes() == 8 and corten.UntypedStorage([1, 2]).tolist() == [1, 2]
    wrapped = corten.TypedStorage(wrap_storage=storage.untyped(), dtype=corten.int32)
    assert wrapped.data_ptr() == storage.data_ptr() and wrapped.size() == 3
    with pytest.raises(TypeError, match="a size or a sequence"):
        corten.TypedStorage("a")
    with pytest.raises(RuntimeError, match="given with a dtype alone"):
        corten.TypedStorage(3, wrap_storage=storage.untyped())


def test_an_array_of_a_tensor_keeps_its_history_unless_told():
    x = corten.tensor([1.0, 2.0], requires_grad=True)
    y = x + 2
    assert corten.asarray(y) is y and corten.asarray(y, requires_grad=True) is y
    plain = corten.asarray(y, requires_grad=False)
    assert not plain.requires_grad and plain.data_ptr() == y.data_ptr()
    assert corten.asarray(y, copy=True).grad_fn is not None
    assert corten.asarray([1.0], requires_grad=True).requires_grad


def test_a_mode_entered_again_sees_the_operators_inside():
    from corten.overrides import TorchFunctionMode, handle_torch_function, has_torch_function, redispatch_function

    seen = []

    class Logging(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            with self:
                return redispatch_function(func, types, args, kwargs)

    def scaled(a, b):
        if has_torch_function((a, b)):
            return handle_torch_function(scaled, (a, b), a, b)
        return a * b + 1

    with Logging():
        result = scaled(corten.tensor([3.0]), corten.tensor([4.0]))
    assert result.item() == 13 and seen == ["scaled", "mul", "add"]
