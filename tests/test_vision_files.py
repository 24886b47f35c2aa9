"""Data sets in files, hostile ones too, and images that are read, written and drawn on."""

from __future__ import annotations

import io
import lzma
import os
import pickle
import struct
import tarfile
from pathlib import Path

import corten
import numpy as np
import pytest
from corten.vision import datasets, transforms, utils
from corten.vision import io as vision_io
from corten.vision.datasets import CIFAR10, CIFAR100, EMNIST, KMNIST, QMNIST, DatasetFolder, FakeData, ImageFolder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image


def idx(values: np.ndarray) -> bytes:
    code = {"u1": 8, "i4": 12}[values.dtype.str[1:]]
    header = bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def python2_batch(data: np.ndarray, labels: list[int], names: str = "labels") -> bytes:
    """A batch as Python 2 wrote CIFAR's: protocol 2, bytes as its text."""
    rows, columns = data.shape
    raw = data.tobytes()
    text = lambda value: b"U" + bytes([len(value)]) + value  # noqa: E731
    number = lambda value: b"J" + struct.pack("<i", value)  # noqa: E731
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\0K\1\x87R(K\3" + text(b"|") + b"NNN" + number(-1) * 2 + b"K\0tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text(b"b") + b"\x87R"
    array += b"(K\1" + number(rows) + number(columns) + b"\x86" + dtype + b"\x89T" + struct.pack("<I", len(raw)) + raw
    listed = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\2}(" + text(b"data") + array + b"tb" + text(names.encode()) + listed + b"u."


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.randint(0, 256, (4, 3072)).astype(np.uint8)


def cifar10_files(pixels: np.ndarray, python3: bool = False) -> dict[str, bytes]:
    files = {}
    for name in [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]:
        labels = [3, 1, 4, 1]
        if python3:
            files[name] = pickle.dumps({b"data": pixels, b"labels": labels}, protocol=2)
        else:
            files[name] = python2_batch(pixels, labels)
    files["batches.meta"] = pickle.dumps({"label_names": list("abcdefghij")}, protocol=2)
    return files


def write(folder, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("python3", [False, True])
def test_cifar_is_read_from_pickles_of_both_pythons(tmp_path, pixels, python3):
    write(tmp_path / "cifar-10-batches-py", cifar10_files(pixels, python3))
    train, test = CIFAR10(tmp_path), CIFAR10(str(tmp_path), train=False, download=True)
    assert (len(train), len(test)) == (20, 4) and train.targets[:4] == [3, 1, 4, 1]
    assert train.data.shape == (20, 32, 32, 3)
    assert np.array_equal(test.data[2], pixels[2].reshape(3, 32, 32).transpose(1, 2, 0))
    image, label = train[5]
    assert image.mode == "RGB" and np.array_equal(np.asarray(image), train.data[5]) and label == 1
    assert train.class_to_idx["c"] == 2 and "Split: Train" in repr(train)
    batch, targets = next(iter(corten.utils.data.DataLoader(CIFAR10(tmp_path, transform=transforms.ToTensor()), 3)))
    assert tuple(batch.shape) == (3, 3, 32, 32) and targets.tolist() == [3, 1, 4]


def test_cifar_is_read_from_its_archive(tmp_path, pixels):
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as tar:
        for name, content in cifar10_files(pixels).items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert len(CIFAR10(tmp_path)) == 20 and not (tmp_path / "cifar-10-batches-py").exists()
    whole = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"the archive is damaged or cut short|the archive has no"):
        CIFAR10(tmp_path)


def test_cifar_100_has_fine_labels(tmp_path, pixels):
    meta = pickle.dumps({"fine_label_names": [f"class {n}" for n in range(100)]}, protocol=2)
    batch = python2_batch(pixels, [99, 0, 7, 5], "fine_labels")
    write(tmp_path / "cifar-100-python", {"train": batch, "test": batch, "meta": meta})
    assert CIFAR100(tmp_path).targets == [99, 0, 7, 5] and CIFAR100(tmp_path).classes[99] == "class 99"


@pytest.mark.parametrize("download", [False, True])
def test_missing_cifar_says_where_its_files_must_lie(tmp_path, download):
    with pytest.raises(RuntimeError) as caught:
        CIFAR10(tmp_path, download=download)
    message = str(caught.value)
    assert str(tmp_path / "cifar-10-batches-py") in message and "cifar-10-python.tar.gz" in message
    assert "data_batch_1" in message and ("downloads nothing" in message) == download


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil_was_here",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), r"it names (posix|nt)\.system, which no batch"),
        (pickle.dumps({"data": Evil(), "labels": [1]}), "which no batch of images needs"),
        (b"", "cut short"),
        (b"hello", "not a batch of CIFAR"),
        (pickle.dumps([1, 2]), "a list instead of a dictionary"),
        (pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [1, 2]}, 2), r"not uint8 \(2, 5\)"),
        (pickle.dumps({"data": np.zeros((2, 3072)), "labels": [1, 2]}, 2), "not float64"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, 2), "2 images and 1 labels"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, 2), "label 10 is out of range"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": ["a"]}, 2), "is not a list of numbers"),
        (pickle.dumps({"data": np.zeros((1, 3072), object), "labels": [1]}, 2), "not a batch of CIFAR"),
        (b"\x80\x02J\xff\xff\xff\x7fr\xff\xff\xff\xff.", "an int instead of a dictionary|a int instead"),
    ],
)
def test_hostile_batches_are_refused_and_nothing_is_run(tmp_path, monkeypatch, pixels, content, message):
    monkeypatch.chdir(tmp_path)
    files = cifar10_files(pixels)
    files["data_batch_3"] = content
    write(tmp_path / "cifar-10-batches-py", files)
    with pytest.raises(ValueError, match=message):
        CIFAR10(tmp_path)
    assert not (tmp_path / "evil_was_here").exists()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_batches_are_read_or_refused(tmp_path, data):
    files = cifar10_files(np.zeros((1, 3072), np.uint8), python3=data.draw(st.booleans()))
    content = bytearray(python2_batch(np.zeros((1, 3072), np.uint8), [1]))
    ends = [*range(0, 160), *range(len(content) - 40, len(content))]
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.sampled_from(ends))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), len(content), *ends]))]
    files["test_batch"] = bytes(content)
    write(tmp_path / "cifar-10-batches-py", files)
    try:
        read = CIFAR10(tmp_path, train=False)
    except ValueError as error:
        assert "test_batch" in str(error)
    else:
        assert read.data.shape == (1, 32, 32, 3)


def test_relatives_of_mnist_have_their_files_and_classes(tmp_path):
    images, labels = np.random.randint(0, 256, (3, 28, 28)).astype(np.uint8), np.array([0, 9, 5], np.uint8)
    files = {"train-images-idx3-ubyte": idx(images), "train-labels-idx1-ubyte": idx(labels)}
    write(tmp_path / "KMNIST" / "raw", files)
    assert KMNIST(tmp_path).targets.tolist() == [0, 9, 5] and KMNIST(tmp_path).classes[9] == "wo"
    letters = {"images-idx3-ubyte": idx(images), "labels-idx1-ubyte": idx(labels)}
    write(tmp_path / "EMNIST" / "raw", {f"emnist-letters-test-{name}": content for name, content in letters.items()})
    read = EMNIST(tmp_path, "letters", train=False)
    assert len(read.classes) == 27 and read.classes[1] == "a" and read[1][1] == 9
    with pytest.raises(ValueError, match="Unknown value 'words' for argument split"):
        EMNIST(tmp_path, "words")
    with pytest.raises(RuntimeError, match="emnist-letters-train-images"):
        EMNIST(tmp_path, "letters", download=True)


@pytest.mark.parametrize("compress", [False, True])
def test_qmnist_has_eight_numbers_for_each_image(tmp_path, compress):
    images = np.random.randint(0, 256, (3, 28, 28)).astype(np.uint8)
    labels = np.arange(24, dtype=np.int32).reshape(3, 8) % 10
    suffix, pack = (".xz", lzma.compress) if compress else ("", bytes)
    names = {"qmnist-test-images-idx3-ubyte": images, "qmnist-test-labels-idx2-int": labels}
    write(tmp_path, {name + suffix: pack(idx(values)) for name, values in names.items()})
    read = QMNIST(tmp_path, train=False)
    assert read.targets.tolist() == labels.tolist() and read[1][1] == 8
    assert QMNIST(tmp_path, "test", compat=False)[1][1].tolist() == labels[1].tolist()
    assert len(QMNIST(tmp_path, "test50k")) == 0
    if compress:
        path = tmp_path / "qmnist-test-images-idx3-ubyte.xz"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ValueError, match="xz stream is damaged or cut short"):
            QMNIST(tmp_path, "test")


def image_folder(root, names=("cat/a.png", "cat/deep/b.PNG", "dog/c.jpg", "dog/notes.txt")):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            path.write_text("no image")
        else:
            Image.new("RGB", (4 + number, 5), (number * 40, 0, 0)).save(path)


def test_folders_are_classes(tmp_path):
    image_folder(tmp_path)
    read = ImageFolder(tmp_path, transform=transforms.ToTensor(), target_transform=lambda label: -label)
    assert read.classes == ["cat", "dog"] and read.class_to_idx == {"cat": 0, "dog": 1}
    assert [os.path.relpath(path, tmp_path) for path, _ in read.imgs] == [
        os.path.join("cat", "a.png"),
        os.path.join("cat", "deep", "b.PNG"),
        os.path.join("dog", "c.jpg"),
    ]
    assert read.targets == [0, 0, 1] and tuple(read[1][0].shape) == (3, 5, 5) and read[2][1] == -1
    texts = DatasetFolder(
        tmp_path, lambda path: Path(path).read_text(), is_valid_file=lambda path: path.endswith("txt"), allow_empty=True
    )
    assert texts[0] == ("no image", 1)


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder"):
        ImageFolder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no valid file for the classes empty. Supported extensions are: .jpg"):
        ImageFolder(tmp_path)
    assert len(ImageFolder(tmp_path, allow_empty=True)) == 0
    with pytest.raises(ValueError, match="Both extensions and is_valid_file"):
        DatasetFolder(tmp_path, str)


def test_an_image_that_is_cut_short_raises(tmp_path):
    (tmp_path / "a").mkdir()
    file = io.BytesIO()
    Image.fromarray(np.random.randint(0, 256, (40, 40, 3)).astype(np.uint8)).save(file, "PNG")
    (tmp_path / "a" / "x.png").write_bytes(file.getvalue()[:2000])
    (tmp_path / "a" / "y.png").write_bytes(b"nothing")
    read = ImageFolder(tmp_path)
    for number in (0, 1):
        with pytest.raises((OSError, SyntaxError)):
            read[number]


def test_fake_data_are_the_same_at_each_visit():
    data = FakeData(5, (3, 6, 7), num_classes=4, random_offset=2)
    state = corten.get_rng_state()
    image, label = data[3]
    assert image.size == (7, 6) and 0 <= label < 4 and corten.equal(state, corten.get_rng_state())
    assert data[3][0].tobytes() == image.tobytes() and FakeData(9, (3, 6, 7), 4)[5][0].tobytes() == image.tobytes()
    with pytest.raises(IndexError, match="FakeData index out of range"):
        data[5]


def test_a_data_set_takes_one_kind_of_transforms():
    with pytest.raises(ValueError, match="Only transforms or transform/target_transform"):
        datasets.VisionDataset("x", transforms=print, transform=print)


@pytest.fixture
def image() -> corten.Tensor:
    ramp = np.add.outer(np.arange(20) * 6, np.arange(24) * 4)
    return corten.from_numpy(np.stack([ramp, ramp + 20, 200 - ramp // 2]).astype(np.uint8))


def test_png_keeps_every_pixel_and_jpeg_nearly(image, tmp_path):
    for part in (image, image[:1]):
        assert corten.equal(vision_io.decode_png(vision_io.encode_png(part, 9)), part)
        near = vision_io.decode_jpeg(vision_io.encode_jpeg(part, 95))
        assert near.shape == part.shape and (near.int() - part.int()).abs().float().mean() < 3
    vision_io.write_png(image, tmp_path / "a.png")
    vision_io.write_jpeg(image, str(tmp_path / "a.jpg"))
    assert corten.equal(vision_io.read_image(tmp_path / "a.png"), image)
    assert tuple(vision_io.read_image(str(tmp_path / "a.jpg")).shape) == (3, 20, 24)
    vision_io.write_file(tmp_path / "b", corten.arange(5).to(corten.uint8))
    assert vision_io.read_file(tmp_path / "b").tolist() == [0, 1, 2, 3, 4]


def test_modes_choose_the_channels(image, tmp_path):
    vision_io.write_png(image, tmp_path / "a.png")
    mode = vision_io.ImageReadMode
    for chosen, channels in ((mode.GRAY, 1), (mode.GRAY_ALPHA, 2), (mode.RGB, 3), (mode.RGB_ALPHA, 4), ("gray", 1)):
        assert vision_io.read_image(tmp_path / "a.png", chosen).shape[0] == channels
    gray = vision_io.decode_image(str(tmp_path / "a.png"), mode.GRAY)
    assert (gray.int() - transforms.functional.rgb_to_grayscale(image).int()).abs().max() <= 1


def test_animations_give_frames():
    file = io.BytesIO()
    frames = [Image.new("L", (6, 5), value).convert("P") for value in (0, 99, 200)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    read = vision_io.decode_gif(corten.frombuffer(bytearray(file.getvalue()), dtype=corten.uint8))
    assert tuple(read.shape) == (3, 3, 5, 6) and read[:, 0, 0, 0].tolist() == [0, 99, 200]


def test_bytes_that_are_no_image_are_refused(image, tmp_path):
    png, jpeg = vision_io.encode_png(image), vision_io.encode_jpeg(image)
    for part in (png[: len(png) // 2], jpeg[:100], png[:9], corten.arange(50).to(corten.uint8)):
        with pytest.raises(RuntimeError, match=r"decode_image: the (image is damaged|bytes are no image)"):
            vision_io.decode_image(part)
    with pytest.raises(RuntimeError, match="no image in PNG"):
        vision_io.decode_png(jpeg)
    for wrong in (png[:0], png[None], png.float()):
        with pytest.raises(RuntimeError, match="non empty 1-dimensional tensor of uint8"):
            vision_io.decode_image(wrong)
    with pytest.raises(RuntimeError, match="No such file or directory"):
        vision_io.read_image(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: vision_io.encode_png(x.float()), RuntimeError, "dtype should be uint8"),
        (lambda x: vision_io.encode_png(x[0]), RuntimeError, "3-dimensional"),
        (lambda x: vision_io.encode_png(x[:2]), RuntimeError, "should be 1 or 3, got: 2"),
        (lambda x: vision_io.encode_png(x, 11), RuntimeError, "between 0 and 9, got 11"),
        (lambda x: vision_io.encode_jpeg(x, 0), ValueError, "between 1 and 100"),
    ],
)
def test_what_cannot_be_encoded_is_refused(image, call, error, message):
    with pytest.raises(error, match=message):
        call(image)


def test_grids_put_images_side_by_side():
    images = corten.arange(5 * 1 * 2 * 3.0).reshape(5, 1, 2, 3) + 1
    grid = utils.make_grid(images, nrow=3, padding=1, pad_value=-1)
    assert tuple(grid.shape) == (3, 7, 13)
    for number in range(5):
        top, left = 1 + 3 * (number // 3), 1 + 4 * (number % 3)
        assert corten.equal(grid[1, top : top + 2, left : left + 3], images[number, 0])
        grid[:, top : top + 2, left : left + 3] = -1
    assert (grid == -1).all()
    assert corten.equal(utils.make_grid([images[0], images[1]]), utils.make_grid(images[:2]))


def test_grids_stretch_values():
    images = corten.tensor([0.0, 2, 4, 8]).reshape(2, 1, 1, 2)
    plain = dict(padding=0, normalize=True)
    assert utils.make_grid(images, **plain)[0].tolist() == [[0, 0.25, 0.5, 1]]
    assert utils.make_grid(images, scale_each=True, **plain)[0].tolist() == [[0, 1, 0, 1]]
    assert utils.make_grid(images, value_range=(2, 6), **plain)[0].tolist() == [[0, 0, 0.5, 1]]
    with pytest.raises(TypeError, match="tensor or list of tensors expected"):
        utils.make_grid(3)
    with pytest.raises(TypeError, match="value_range has to be a tuple"):
        utils.make_grid(images, normalize=True, value_range=[0, 1])


def test_saved_images_are_rounded_to_bytes(tmp_path):
    values = corten.tensor([0.0, 0.5, 1.0, 2.0, -1.0, 0.1]).reshape(1, 2, 3).expand(3, 2, 3)
    for target in (tmp_path / "a.png", io.BytesIO()):
        utils.save_image(values, target, format="png")
        with Image.open(target) as picture:
            assert np.asarray(picture)[..., 0].tolist() == [[0, 128, 255], [255, 0, 26]]


@pytest.mark.parametrize("floats", [False, True])
def test_boxes_are_drawn_in_their_colours(floats):
    image = corten.zeros(3, 20, 20) if floats else corten.zeros(3, 20, 20, dtype=corten.uint8)
    boxes = corten.tensor([[2.0, 3, 10, 12], [5, 5, 15, 18]])
    drawn = utils.draw_bounding_boxes(image, boxes, colors=["red", (0, 0, 255)], labels=[None, "x"])
    white = 1.0 if floats else 255
    assert drawn.dtype == image.dtype and drawn[:, 3, 4].tolist() == [white, 0, 0]
    assert drawn[:, 18, 9].tolist() == [0, 0, white] and not image.any()
    assert drawn[:, 4, 4].tolist() == [0, 0, 0]
    assert utils.draw_bounding_boxes(image, boxes, colors="red", fill=True)[0, 4, 4] > 0


def test_drawing_refuses_what_it_cannot_draw():
    image, boxes = corten.zeros(3, 9, 9, dtype=corten.uint8), corten.tensor([[1.0, 1, 4, 4]])
    with pytest.raises(ValueError, match="Boxes need to be in"):
        utils.draw_bounding_boxes(image, boxes[:, [2, 1, 0, 3]])
    with pytest.raises(ValueError, match=r"Number of boxes \(1\) and labels \(2\) mismatch"):
        utils.draw_bounding_boxes(image, boxes, labels=["a", "b"])
    with pytest.raises(ValueError, match="but got 0 < 1"):
        utils.draw_bounding_boxes(image, boxes, colors=[])
    with pytest.raises(ValueError, match="must be of dtype bool"):
        utils.draw_segmentation_masks(image, corten.zeros(1, 9, 9))
    with pytest.raises(ValueError, match="same height and width"):
        utils.draw_segmentation_masks(image, corten.zeros(1, 9, 8, dtype=corten.bool))
    with pytest.warns(UserWarning, match="No box was drawn"):
        assert utils.draw_bounding_boxes(image, boxes[:0]) is image


def test_masks_are_blended_and_black_where_they_overlap():
    image = corten.full((3, 2, 4), 100, dtype=corten.uint8)
    masks = corten.zeros(2, 2, 4, dtype=corten.bool)
    masks[0, :, :2], masks[1, :, 1:3] = True, True
    drawn = utils.draw_segmentation_masks(image, masks, alpha=0.5, colors=[(200, 0, 10), (0, 50, 99)])
    assert drawn[:, 0].T.tolist() == [[150, 50, 55], [50, 50, 50], [50, 75, 99], [100, 100, 100]]


def test_keypoints_and_flow_are_drawn():
    image = corten.zeros(3, 20, 20, dtype=corten.uint8)
    points = corten.tensor([[[4.0, 4], [15, 15], [4, 15]]])
    seen = corten.tensor([[True, True, False]])
    drawn = utils.draw_keypoints(image, points, connectivity=[(0, 1), (1, 2)], colors="red", visibility=seen, width=1)
    assert drawn[:, 4, 3].tolist() == [255, 0, 0] and drawn[:, 10, 10].tolist() == [255] * 3
    assert not drawn[:, 15, 4].any() and not drawn[:, 15, 10].any()
    flow = corten.zeros(2, 1, 3)
    flow[0, 0] = corten.tensor([0.0, 1, -1])
    shown = utils.flow_to_image(flow)
    assert shown[:, 0, 0].tolist() == [255] * 3 and shown[0, 0, 1] == 255 and shown[0, 0, 2] < 20
