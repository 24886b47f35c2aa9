"""Transforms of images: known pixels, Pillow's images and tensors alike, and the numbers that torchvision draws."""

from __future__ import annotations

import random

import corten
import numpy as np
import pytest
from corten.vision import transforms as T
from corten.vision.transforms import functional as F
from PIL import Image

BILINEAR = T.InterpolationMode.BILINEAR


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.randint(0, 256, (20, 24, 3)).astype(np.uint8)


@pytest.fixture
def tensor(pixels) -> corten.Tensor:
    return corten.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


@pytest.fixture
def picture(pixels) -> Image.Image:
    return Image.fromarray(pixels)


def array(image) -> np.ndarray:
    return np.asarray(image) if isinstance(image, Image.Image) else image.permute(1, 2, 0).numpy()


def test_to_tensor_scales_bytes_and_keeps_other_numbers(pixels, picture):
    for given in (pixels, picture):
        found = T.ToTensor()(given)
        assert found.dtype == corten.float32 and np.array_equal(array(found), pixels / np.float32(255))
    assert tuple(F.to_tensor(pixels[:, :, 0]).shape) == (1, 20, 24)
    assert F.to_tensor(pixels.astype(np.float64)).dtype == corten.float64
    assert F.to_tensor(picture.convert("1")).unique().tolist() == [0, 1]
    assert F.to_tensor(Image.new("F", (2, 2), 0.5)).tolist() == [[[0.5, 0.5], [0.5, 0.5]]]


def test_to_tensor_refuses_other_things(tensor):
    with pytest.raises(TypeError, match=r"pic should be PIL Image or ndarray. Got <class 'int'>"):
        F.to_tensor(3)
    with pytest.raises(ValueError, match=r"pic should be 2/3 dimensional. Got 4 dimensions"):
        F.to_tensor(np.zeros((1, 2, 3, 4)))
    with pytest.raises(TypeError, match=r"pic should be PIL Image. Got"):
        F.pil_to_tensor(tensor)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_images_go_to_tensors_and_back(channels, mode):
    values = np.random.randint(0, 256, (5, 6, channels)).astype(np.uint8)
    picture = F.to_pil_image(values)
    assert picture.mode == mode and picture.size == (6, 5)
    again = F.pil_to_tensor(picture)
    assert np.array_equal(array(again), values)
    assert F.to_pil_image(again).tobytes() == picture.tobytes()
    assert F.to_pil_image(again.float() / 255).tobytes() == picture.tobytes()


def test_to_pil_image_refuses_what_no_mode_has():
    with pytest.raises(ValueError, match=r"should not have > 4 channels. Got 5"):
        F.to_pil_image(corten.zeros(5, 2, 2))
    with pytest.raises(ValueError, match="Incorrect mode"):
        F.to_pil_image(corten.zeros(2, 2, dtype=corten.uint8), "F")
    with pytest.raises(ValueError, match=r"Only modes .'RGB', 'YCbCr', 'HSV'. are supported"):
        F.to_pil_image(corten.zeros(3, 2, 2, dtype=corten.uint8), "L")
    with pytest.raises(TypeError, match="Input type int64 is not supported"):
        F.to_pil_image(corten.zeros(2, 2, dtype=corten.int64))


@pytest.mark.parametrize(
    "change",
    [
        F.hflip,
        F.vflip,
        lambda x: F.crop(x, 3, 5, 7, 9),
        lambda x: F.crop(x, -2, -3, 30, 30),
        lambda x: F.center_crop(x, (10, 30)),
        lambda x: F.pad(x, (1, 2, 3, 4), 7),
        lambda x: F.pad(x, [2, 3], padding_mode="edge"),
        lambda x: F.pad(x, 4, padding_mode="reflect"),
        lambda x: F.pad(x, 4, padding_mode="symmetric"),
        lambda x: F.pad(x, [-1, 2, -3, 0], 5),
        lambda x: F.resize(x, 10, T.InterpolationMode.NEAREST_EXACT),
        lambda x: F.rotate(x, 90, expand=True),
        lambda x: F.rotate(x, 180),
        lambda x: F.affine(x, 0, [3, -2], 1.0, [0.0, 0.0]),
        F.invert,
        lambda x: F.posterize(x, 3),
        lambda x: F.solarize(x, 100),
        F.equalize,
        lambda x: F.gaussian_blur(x, 3),
        lambda x: F.five_crop(x, 9)[3],
        lambda x: F.ten_crop(x, 9, vertical_flip=True)[9],
    ],
)
def test_tensors_and_pillows_images_are_changed_alike(tensor, picture, change):
    assert np.array_equal(array(change(tensor)), array(change(picture)))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: F.adjust_brightness(x, 1.3),
        lambda x: F.adjust_contrast(x, 0.6),
        lambda x: F.adjust_saturation(x, 1.5),
        lambda x: F.autocontrast(x),
        lambda x: F.adjust_gamma(x, 1.7),
        lambda x: F.rgb_to_grayscale(x, 3),
    ],
)
def test_colours_of_tensors_and_pillows_images_differ_by_rounding_alone(tensor, picture, change):
    difference = np.abs(array(change(tensor)).astype(int) - array(change(picture)).astype(int))
    assert difference.max() <= 3 and difference.mean() < 1


def small() -> tuple[corten.Tensor, corten.Tensor]:
    floats = corten.arange(16.0).reshape(1, 4, 4) / 16
    return floats, (corten.arange(48) * 5).to(corten.uint8).reshape(3, 4, 4)


def test_warps_give_torchvisions_pixels():
    image, _ = small()
    turned = F.affine(image, 30, [1, 0], 1.1, [5.0, 0.0], BILINEAR, fill=[2.0])
    assert turned[0, 0].tolist() == pytest.approx([2.0, 0.901, 0.1579, 0.091], abs=1e-4)
    assert turned[0, 3].tolist() == pytest.approx([1.6605, 1.0596, 0.8465, 0.7796], abs=1e-4)
    expanded = F.rotate(image, 45, expand=True)
    assert tuple(expanded.shape) == (1, 6, 6) and expanded[0, 2].tolist() == [0, 0.0625, 0.375, 0.625, 0.6875, 0]
    seen = F.perspective(image, [[0, 0], [3, 0], [3, 3], [0, 3]], [[0, 1], [3, 0], [2, 3], [0, 3]])
    assert seen[0, 2].tolist() == pytest.approx([0.433, 0.5469, 0.6354, 0.1987], abs=1e-4)
    displacement = corten.zeros(1, 4, 4, 2)
    displacement[..., 0] = 0.25
    shifted = F.elastic_transform(image, displacement)
    assert shifted[0, 0].tolist() == pytest.approx([0.03125, 0.09375, 0.15625, 0.09375])
    assert F.resize(image, [3, 2]).flatten().tolist() == pytest.approx(
        [0.1196, 0.2179, 0.4196, 0.5179, 0.7196, 0.8179], abs=1e-4
    )
    assert F.gaussian_blur(image, 3, 0.8)[0, 0].tolist() == pytest.approx([0.1494, 0.182, 0.2445, 0.2771], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (lambda x: F.adjust_hue(x, 0.2), [112, 117, 122, 127, 0, 5, 10, 15, 160, 165, 170, 175]),
        (lambda x: F.adjust_saturation(x, 0.3), [45, 50, 55, 60, 69, 74, 79, 84, 93, 98, 103, 108]),
        (lambda x: F.adjust_contrast(x, 1.5), [0, 0, 0, 0, 68, 76, 83, 91, 188, 196, 203, 211]),
        (F.equalize, [0, 5, 10, 15, 80, 85, 90, 95, 160, 165, 170, 175]),
        (F.autocontrast, [0, 17, 34, 51, 0, 17, 34, 51, 0, 17, 34, 51]),
        (lambda x: F.adjust_gamma(x, 2.0), [0, 0, 0, 0, 25, 28, 31, 35, 100, 107, 113, 120]),
        (F.rgb_to_grayscale, [65, 70, 75, 80]),
    ],
)
def test_colours_give_torchvisions_values(change, row):
    assert change(small()[1])[:, 0].flatten().tolist() == row


def test_dtypes_are_converted_by_their_ranges():
    assert F.convert_image_dtype(corten.tensor([0.0, 0.5, 1.0]), corten.uint8).tolist() == [0, 127, 255]
    assert F.convert_image_dtype(corten.tensor([0, 255], dtype=corten.uint8)).tolist() == [0, 1]
    assert F.convert_image_dtype(corten.tensor([255], dtype=corten.uint8), corten.int16).tolist() == [32640]
    assert F.convert_image_dtype(corten.tensor([32767], dtype=corten.int16), corten.uint8).tolist() == [255]
    with pytest.raises(RuntimeError, match="cannot be performed safely"):
        F.convert_image_dtype(corten.rand(2), corten.int64)


def test_normalize_is_per_channel_and_inverts():
    x = corten.rand(2, 3, 4, 5)
    found = T.Normalize([0.1, 0.2, 0.3], [0.5, 2.0, 1.0])(x)
    assert np.allclose(found[:, 1].numpy(), (x[:, 1].numpy() - 0.2) / 2, atol=1e-6)
    y = x.clone()
    assert F.normalize(y, [0.5], [0.5], inplace=True) is y and np.allclose(y.numpy(), x.numpy() * 2 - 1, atol=1e-6)
    with pytest.raises(ValueError, match="std evaluated to zero after conversion"):
        F.normalize(x, [0.5] * 3, [0.1, 0, 0.1])
    with pytest.raises(TypeError, match="should be a float tensor"):
        F.normalize(x.to(corten.uint8), [0.5], [0.5])
    with pytest.raises(ValueError, match=r"tensor image of size \(..., C, H, W\)"):
        F.normalize(x[0, 0], [0.5], [0.5])


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [(10, {}, (10, 12)), ((7, 30), {}, (7, 30)), ([40], {"max_size": 42}, (35, 42)), (20, {}, (20, 24))],
)
def test_resize_keeps_the_ratio_for_one_number(tensor, picture, size, options, expected):
    assert tuple(F.resize(tensor, size, **options).shape[1:]) == expected
    assert F.resize(picture, size, **options).size == expected[::-1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.resize(x, [1, 2, 3]), ValueError, "1 or 2 element tuple/list, not a 3"),
        (lambda x: F.resize(x, 3, max_size=3), ValueError, "max_size = 3 must be strictly greater"),
        (lambda x: F.resize(x, 3, "bilinear"), TypeError, "should be a InterpolationMode"),
        (lambda x: F.resize(x, 3, T.InterpolationMode.BOX), NotImplementedError, "'box' is unsupported with Tensor"),
        (lambda x: F.pad(x, [1, 2, 3]), ValueError, "1, 2, or 4 element tuple, not a 3"),
        (lambda x: F.pad(x, 1, padding_mode="foo"), ValueError, "constant, edge, reflect or symmetric"),
        (lambda x: F.five_crop(x, 30), ValueError, "bigger than input size"),
        (lambda x: F.adjust_brightness(x, -1), ValueError, r"brightness_factor \(-1\) is not non-negative"),
        (lambda x: F.adjust_hue(x, 0.6), ValueError, r"hue_factor \(0.6\) is not in"),
        (lambda x: F.rotate(x, 3, T.InterpolationMode.BICUBIC), ValueError, "'bicubic' is unsupported"),
        (lambda x: F.rotate(x, 3, fill=[1, 2]), ValueError, r"channels of the image \(2 != 3\)"),
        (lambda x: F.affine(x, 3, [1, 2], -1, [0.0]), ValueError, "scale should be positive"),
        (lambda x: F.affine(x, 3, 1, 1, [0.0]), TypeError, "translate should be a sequence"),
        (lambda x: F.perspective(x, [[0, 0]], [[0, 0]]), ValueError, "exactly four corners, got 1"),
        (lambda x: F.gaussian_blur(x, 4), ValueError, r"odd and positive integers. Got \[4, 4\]"),
        (lambda x: F.posterize(x.float(), 4), TypeError, "Only torch.uint8 image tensors"),
        (lambda x: F.solarize(x, 256), TypeError, "Threshold should be less than bound"),
        (lambda x: F.elastic_transform(x, corten.zeros(1, 3, 3, 2)), ValueError, "displacement shape should be"),
        (lambda x: F.invert(x.repeat(2, 1, 1)), TypeError, "permitted channel values are .1, 3., but found 6"),
        (lambda x: F.crop(x[0, 0], 0, 0, 1, 1), TypeError, "Tensor is not a torch image"),
        (lambda x: F.hflip(x.numpy()), TypeError, "img should be PIL Image. Got <class 'numpy.ndarray'>"),
    ],
)
def test_what_cannot_be_done_is_refused(tensor, call, error, message):
    with pytest.raises(error, match=message):
        call(tensor)


def test_seeds_draw_torchvisions_parameters():
    image = corten.zeros(3, 40, 50)
    cases = [
        (T.RandomCrop.get_params, (image, (20, 30)), (11, 3, 20, 30)),
        (T.RandomResizedCrop.get_params, (image, (0.08, 1.0), (3 / 4, 4 / 3)), (1, 0, 30, 35)),
        (T.RandomRotation.get_params, ((-30, 30),), -0.22460460662841797),
        (T.GaussianBlur.get_params, (0.1, 2.0), 1.042887568473816),
    ]
    for draw, arguments, expected in cases:
        corten.manual_seed(0)
        assert draw(*arguments) == pytest.approx(expected, rel=1e-6)
    corten.manual_seed(0)
    order, brightness, contrast, saturation, hue = T.ColorJitter.get_params((0.6, 1.4), (0.6, 1.4), None, (-0.1, 0.1))
    assert order.tolist() == [0, 1, 3, 2] and saturation is None
    assert (brightness, contrast, hue) == pytest.approx((0.7056244, 0.8459383, 0.0268157), abs=1e-6)
    corten.manual_seed(0)
    angle, move, scale, shear = T.RandomAffine.get_params((-10, 20), (0.1, 0.2), (0.8, 1.2), (-5, 5, -3, 3), [50, 40])
    assert (angle, scale, *shear) == pytest.approx((4.8876977, 0.8528122, -1.9257718, 0.8044721), abs=1e-6)
    assert move == (3, -7)
    corten.manual_seed(0)
    points = T.RandomPerspective.get_params(50, 40, 0.5)
    assert points == ([[0, 0], [49, 0], [49, 39], [0, 39]], [[3, 7], [38, 3], [49, 32], [3, 29]])
    corten.manual_seed(0)
    assert T.RandomErasing.get_params(image, (0.02, 0.33), (0.3, 3.3), [0.0])[:4] == (8, 2, 26, 14)


ALL = {
    "resize": lambda: T.Resize(16),
    "crop": lambda: T.RandomCrop(20, padding=4),
    "resized crop": lambda: T.RandomResizedCrop(16),
    "flips": lambda: T.Compose([T.RandomHorizontalFlip(), T.RandomVerticalFlip()]),
    "perspective": lambda: T.RandomPerspective(p=1.0, fill=3),
    "rotation": lambda: T.RandomRotation(30, BILINEAR),
    "affine": lambda: T.RandomAffine(30, (0.1, 0.2), (0.8, 1.2), 10),
    "jitter": lambda: T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "grey": lambda: T.RandomGrayscale(1.0),
    "blur": lambda: T.GaussianBlur(5),
    "elastic": lambda: T.ElasticTransform(30.0, 2.0),
    "invert": lambda: T.RandomInvert(1.0),
    "posterize": lambda: T.RandomPosterize(3, 1.0),
    "solarize": lambda: T.RandomSolarize(99, 1.0),
    "sharpness": lambda: T.RandomAdjustSharpness(2, 1.0),
    "autocontrast": lambda: T.RandomAutocontrast(1.0),
    "equalize": lambda: T.RandomEqualize(1.0),
    "apply": lambda: T.RandomApply([T.Pad(2)], p=0.5),
    "order": lambda: T.RandomOrder([T.Pad(1), T.CenterCrop(18)]),
    "choice": lambda: T.RandomChoice([T.Pad(1), T.CenterCrop(18)]),
    "auto": lambda: T.AutoAugment(T.AutoAugmentPolicy.CIFAR10),
    "rand": lambda: T.RandAugment(),
    "trivial": lambda: T.TrivialAugmentWide(),
    "mix": lambda: T.AugMix(),
}


@pytest.mark.parametrize("name", ALL)
def test_random_transforms_follow_the_seed_and_take_images_of_both_kinds(name, tensor, picture):
    for image in (tensor, picture):
        results = []
        for _ in range(2):
            corten.manual_seed(7)
            random.seed(7)
            found = ALL[name]()(image)
            assert type(found) is type(image)
            results.append(array(found))
        assert np.array_equal(*results) and results[0].dtype == np.uint8


def test_random_transforms_happen_as_often_as_they_should():
    image = corten.arange(4.0).reshape(1, 2, 2)
    for transform, share in (
        (T.RandomHorizontalFlip(0.3), 0.3),
        (T.RandomApply([T.RandomHorizontalFlip(1.0)], 0.8), 0.8),
    ):
        count = sum(not corten.equal(transform(image), image) for _ in range(400))
        assert abs(count / 400 - share) < 0.08


def test_erasing_writes_its_value_into_one_box():
    image = corten.zeros(3, 30, 30)
    found = T.RandomErasing(1.0, value=(1, 2, 3))(image)
    rows, columns = (found[0] != 0).nonzero().unbind(1)
    box = found[:, int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1]
    assert [plane.unique().tolist() for plane in box] == [[1], [2], [3]] and not image.any()
    assert T.RandomErasing(1.0, inplace=True, value=1)(image) is image and image.any()
    with pytest.raises(ValueError, match=r"single value or 3 \(number of input channels\)"):
        T.RandomErasing(1.0, value=(1, 2))(image)
    with pytest.raises(TypeError, match="should be Tensor Image"):
        T.RandomErasing(1.0)(Image.new("RGB", (3, 3)))


def test_whitening_by_the_inverse_root_of_the_covariance_gives_the_identity():
    data = (
        corten.randn(500, 1, 2, 2, dtype=corten.float64) @ corten.tensor([[2.0, 1], [0, 1]], dtype=corten.float64) + 3
    )
    flat = data.reshape(500, 4)
    mean = flat.mean(0)
    values, vectors = corten.linalg.eigh((flat - mean).T @ (flat - mean) / 500)
    white = T.LinearTransformation(vectors @ corten.diag(values.rsqrt()) @ vectors.T, mean)(data).reshape(500, 4)
    assert np.allclose((white.T @ white / 500).numpy(), np.eye(4), atol=1e-8)
    with pytest.raises(ValueError, match="should be square"):
        T.LinearTransformation(corten.zeros(2, 3), corten.zeros(3))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: T.Resize([1, 2, 3]), ValueError, "1 or 2 values"),
        (lambda: T.RandomRotation(-3), ValueError, "If degrees is a single number, it must be positive"),
        (lambda: T.RandomAffine(0, translate=(0.1, 2)), ValueError, "between 0 and 1"),
        (lambda: T.ColorJitter(hue=0.6), ValueError, r"hue values should be between \(-0.5, 0.5\)"),
        (lambda: T.GaussianBlur(4), ValueError, "odd and positive"),
        (lambda: T.RandomErasing(value="x"), ValueError, "should be 'random'"),
        (lambda: T.Lambda(3), TypeError, "should be callable, got 'int'"),
        (lambda: T.RandomOrder(T.Pad(1)), TypeError, "should be a sequence"),
        (lambda: T.AugMix(11), ValueError, r"between \[1, 10\]. Got 11"),
        (lambda: T.AutoAugment("a"), ValueError, "policy a is not recognized"),
        (lambda: T.ElasticTransform(10), TypeError, "alpha should be float"),
        (lambda: T.RandomCrop(50)(corten.zeros(1, 20, 20)), ValueError, "larger than input image size"),
    ],
)
def test_transforms_refuse_arguments_that_cannot_be(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_transforms_print_as_torchvisions_do():
    shown = repr(T.Compose([T.RandomCrop(32, padding=4), T.ToTensor(), T.Normalize((0.5,), (0.5,))]))
    assert shown == (
        "Compose(\n    RandomCrop(size=(32, 32), padding=4)\n    ToTensor()\n    Normalize(mean=(0.5,), std=(0.5,))\n)"
    )
    assert repr(T.RandomRotation(30)) == (
        "RandomRotation(degrees=[-30.0, 30.0], interpolation=nearest, expand=False, fill=0)"
    )


def test_gradients_pass_through_transforms_of_tensors():
    image = corten.rand(3, 8, 9, requires_grad=True)
    for change in (
        lambda x: F.resize(x, 5),
        lambda x: F.rotate(x, 20, BILINEAR),
        lambda x: F.gaussian_blur(x, 3),
        lambda x: F.adjust_saturation(x, 0.5),
        lambda x: F.normalize(x, [0.5] * 3, [0.5] * 3),
    ):
        assert corten.autograd.grad(change(image).sum(), image)[0].abs().sum() > 0
