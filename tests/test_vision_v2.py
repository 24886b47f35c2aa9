"""The second version of transforms: images with their masks, boxes and labels, all changed by one draw."""

from __future__ import annotations

import pickle

import corten
import numpy as np
import pytest
from corten.vision import tv_tensors
from corten.vision.transforms import v2
from corten.vision.transforms.v2 import functional as F
from PIL import Image


def sample() -> tuple:
    """One bright square in the image, its mask and its box."""
    image = corten.zeros(3, 40, 50)
    image[:, 10:20, 8:24] = 1
    boxes = tv_tensors.BoundingBoxes([[8.0, 10, 24, 20]], format="XYXY", canvas_size=(40, 50))
    target = {"boxes": boxes, "masks": tv_tensors.Mask(image[:1].to(corten.uint8)), "labels": corten.tensor([7])}
    return tv_tensors.Image(image), target


def extent(plane: corten.Tensor) -> list[int]:
    rows, columns = np.nonzero(plane.numpy(force=True) > 0.5)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


WARPS = {
    "flip": lambda: v2.RandomHorizontalFlip(1.0),
    "turn over": lambda: v2.RandomVerticalFlip(1.0),
    "resize": lambda: v2.Resize((80, 75)),
    "shorter edge": lambda: v2.Resize(20),
    "pad": lambda: v2.Pad((3, 1, 2, 5)),
    "centre": lambda: v2.CenterCrop((36, 46)),
    "larger centre": lambda: v2.CenterCrop((60, 60)),
    "zoom out": lambda: v2.RandomZoomOut(p=1.0),
    "right angle": lambda: v2.RandomRotation((90, 90), expand=True),
    "move": lambda: v2.RandomAffine(0, translate=(0.1, 0.1), scale=(0.9, 1.2)),
    "crop of padding": lambda: v2.RandomCrop((44, 52), padding=6),
    "scale": lambda: v2.ScaleJitter((40, 50), (0.8, 1.5)),
    "shortest": lambda: v2.RandomShortestSize([30, 60]),
    "random size": lambda: v2.RandomResize(30, 60),
}


@pytest.mark.parametrize("name", WARPS)
@pytest.mark.parametrize("seed", range(3))
def test_boxes_and_masks_follow_the_image(name, seed):
    corten.manual_seed(seed)
    image, target = WARPS[name]()(*sample())
    assert type(image) is tv_tensors.Image and type(target["masks"]) is tv_tensors.Mask
    boxes = target["boxes"]
    assert boxes.canvas_size == tuple(image.shape[-2:]) == tuple(target["masks"].shape[-2:])
    assert np.abs(np.array(extent(target["masks"][0])) - np.array(boxes[0].tolist())).max() <= 1
    assert np.abs(np.array(extent(image[0])) - np.array(boxes[0].tolist())).max() <= 1.5
    assert target["labels"].tolist() == [7]


@pytest.mark.parametrize(
    "make", [lambda: v2.RandomRotation((20, 20)), lambda: v2.RandomAffine((10, 10), shear=(8, 8, -5, -5)),
             lambda: v2.RandomPerspective(0.3, 1.0), lambda: v2.ElasticTransform(20.0, 6.0)]
)  # fmt: skip
def test_boxes_lie_around_what_is_warped(make):
    corten.manual_seed(1)
    _, target = make()(*sample())
    mask, box = np.array(extent(target["masks"][0])), np.array(target["boxes"][0].tolist())
    assert np.abs(mask - box).max() <= 2.5


@pytest.mark.parametrize("fmt", ["XYXY", "XYWH", "CXCYWH"])
def test_formats_of_boxes_are_kept_through_transforms(fmt):
    boxes = sample()[1]["boxes"]
    other = F.convert_bounding_box_format(boxes, new_format=fmt)
    assert other.format.value == fmt
    for change in (
        F.hflip,
        lambda b: F.resize(b, (20, 100)),
        lambda b: F.rotate(b, 30),
        lambda b: F.crop(b, 2, 3, 15, 9),
    ):
        again = F.convert_bounding_box_format(change(other), new_format="XYXY")
        assert np.allclose(again.tolist(), change(boxes).tolist(), atol=1e-4)
        assert change(other).format.value == fmt


def test_operators_give_plain_tensors_and_some_methods_keep_the_class():
    image, target = sample()
    assert type(image + 1) is corten.Tensor and type(image[0]) is corten.Tensor and type(image.add_(0)) is corten.Tensor
    for kept in (image.clone(), image.to(corten.float64), image.detach()):
        assert type(kept) is tv_tensors.Image
    boxes = target["boxes"].to(corten.float64)
    assert boxes.dtype == corten.float64 and boxes.canvas_size == (40, 50)
    with tv_tensors.set_return_type("TVTensor"):
        assert type(image * 2) is tv_tensors.Image
    assert type(image * 2) is corten.Tensor
    assert type(tv_tensors.wrap(corten.rand(3, 4, 4), like=image)) is tv_tensors.Image
    assert repr(target["boxes"]).startswith(
        "BoundingBoxes([[ 8., 10., 24., 20.]], format=BoundingBoxFormat.XYXY, canvas"
    )


def test_classes_check_their_dims():
    with pytest.raises(ValueError, match="2D or higher, got 1D"):
        tv_tensors.Image(corten.rand(3))
    with pytest.raises(ValueError, match="at least four dims"):
        tv_tensors.Video(corten.rand(3, 3))
    with pytest.raises(ValueError, match="Expected a 1D or 2D tensor, got 3D"):
        tv_tensors.BoundingBoxes(corten.zeros(1, 2, 4), format="XYXY", canvas_size=(3, 3))
    with pytest.raises(KeyError, match="formats of boxes are"):
        tv_tensors.BoundingBoxes([1, 2, 3, 4], format="corners", canvas_size=(3, 3))
    assert tuple(tv_tensors.Image(Image.new("RGB", (4, 5))).shape) == (3, 5, 4)


def test_plain_tensors_are_images_where_there_is_no_other():
    resized = v2.Resize(5)({"a": corten.rand(3, 10, 12), "b": corten.rand(3, 10, 12), "c": 4})
    assert tuple(resized["a"].shape) == (3, 5, 6) and tuple(resized["b"].shape) == (3, 10, 12) and resized["c"] == 4
    image, plain = v2.Resize(5)(Image.new("RGB", (12, 10)), corten.rand(3, 10, 12))
    assert image.size == (6, 5) and tuple(plain.shape) == (3, 10, 12)


def test_images_become_tensors_by_the_usual_pipeline():
    pixels = np.random.randint(0, 256, (9, 8, 3)).astype(np.uint8)
    pipeline = v2.Compose([v2.ToImage(), v2.ToDtype(corten.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)])
    for given in (pixels, Image.fromarray(pixels)):
        found = pipeline(given)
        assert type(found) is tv_tensors.Image
        assert np.allclose(found.permute(1, 2, 0).numpy(), pixels / 127.5 - 1, atol=1e-6)
    again = v2.ToPILImage()(v2.ToImage()(pixels))
    assert np.array_equal(np.asarray(again), pixels)
    assert type(v2.ToPureTensor()(pipeline(pixels))) is corten.Tensor
    assert pickle.loads(pickle.dumps(v2.Resize(3))).size == [3]


def test_dtypes_are_chosen_by_class():
    image, target = sample()
    found = v2.ToDtype({tv_tensors.Image: corten.float64, tv_tensors.Mask: corten.int64, "others": None})(image, target)
    assert found[0].dtype == corten.float64 and found[1]["masks"].dtype == corten.int64
    assert found[1]["boxes"].dtype == corten.float32
    assert v2.ToDtype(corten.float64)(target)["masks"].dtype == corten.uint8
    with pytest.raises(ValueError, match="No dtype was specified for type"):
        v2.ToDtype({tv_tensors.Image: corten.float32})(target["masks"])


def test_small_boxes_go_with_their_labels_and_masks():
    boxes = tv_tensors.BoundingBoxes(
        [[1.0, 1, 9, 9], [2, 2, 2.5, 9], [-4, 0, 5, 5]], format="XYXY", canvas_size=(10, 10)
    )
    target = {"boxes": boxes, "labels": corten.tensor([5, 6, 7]), "masks": tv_tensors.Mask(corten.eye(3)[:, :, None])}
    found = v2.SanitizeBoundingBoxes()(tv_tensors.Image(corten.zeros(3, 10, 10)), target)[1]
    assert found["labels"].tolist() == [5] and len(found["masks"]) == 1
    assert found["boxes"].tolist() == [[1, 1, 9, 9]] and found["boxes"].canvas_size == (10, 10)
    assert F.clamp_bounding_boxes(boxes).tolist()[2] == [0, 0, 5, 5]
    with pytest.raises(ValueError, match="Could not infer where the labels are"):
        v2.SanitizeBoundingBoxes()({"boxes": boxes})


def test_iou_crop_keeps_boxes_whose_middle_is_inside():
    corten.manual_seed(0)
    crop = v2.RandomIoUCrop(sampler_options=[0.5])
    for _ in range(10):
        image, target = crop(*sample())
        assert target["boxes"].canvas_size == tuple(image.shape[-2:])
        assert np.abs(np.array(extent(image[0])) - np.array(target["boxes"][0].tolist())).max() <= 1
    with pytest.raises(TypeError, match="requires input sample to contain"):
        crop(sample()[0])


def test_mixtures_have_labels_in_the_same_share():
    images = corten.stack([corten.full((3, 8, 8), float(value)) for value in (0, 1, 3)])
    labels = corten.tensor([0, 1, 2])
    mixed, shares = v2.MixUp(num_classes=3)(images, labels)
    share = shares[1, 1].item()
    assert np.allclose(shares.sum(1).tolist(), 1) and np.allclose(mixed[1].numpy(), share, atol=1e-6)
    assert np.allclose(mixed[2].numpy(), 3 * share + (1 - share), atol=1e-5)
    cut, shares = v2.CutMix(num_classes=3)(images, labels)
    assert (cut[1] == 1).float().mean().item() == pytest.approx(shares[1, 1].item(), abs=1e-6)
    with pytest.raises(ValueError, match="num_classes must be passed if the labels are index-based"):
        v2.MixUp()(images, labels)
    with pytest.raises(ValueError, match="does not match the batch size of the labels: 3 != 2"):
        v2.MixUp(num_classes=3)(images, labels[:2])


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: v2.RandomCrop((20, 30)), (20, 30)),
        (lambda: v2.ColorJitter(0.4, 0.4, 0.4, 0.1), (40, 50)),
        (lambda: v2.AutoAugment(), (40, 50)),
        (lambda: v2.RandAugment(), (40, 50)),
        (lambda: v2.TrivialAugmentWide(), (40, 50)),
        (lambda: v2.AugMix(), (40, 50)),
        (lambda: v2.RandomPhotometricDistort(), (40, 50)),
        (lambda: v2.RandomErasing(1.0), (40, 50)),
        (lambda: v2.JPEG((40, 90)), (40, 50)),
        (lambda: v2.GaussianNoise(), (40, 50)),
        (lambda: v2.RandomChannelPermutation(), (40, 50)),
    ],
)
def test_random_transforms_follow_the_seed(make, size):
    image = tv_tensors.Image((corten.rand(3, 40, 50) * 255).to(corten.uint8))
    found = []
    for _ in range(2):
        corten.manual_seed(3)
        found.append(make()(image))
    assert corten.equal(*found) and tuple(found[0].shape[-2:]) == size and type(found[0]) is tv_tensors.Image


def test_fills_are_chosen_by_class():
    image, target = sample()
    found, masks = v2.Pad(2, fill={tv_tensors.Mask: 9, "others": 0.5})(image, target["masks"])
    assert found[0, 0, 0] == 0.5 and masks[0, 0, 0] == 9


def test_containers_hold_transforms():
    flip = v2.RandomHorizontalFlip(1.0)
    image, target = v2.Compose([flip, v2.RandomChoice([flip, flip]), v2.RandomOrder([v2.Identity()])])(*sample())
    assert corten.equal(image, sample()[0]) and target["boxes"].tolist() == sample()[1]["boxes"].tolist()
    assert repr(v2.Compose([v2.ToImage(), v2.ToDtype(corten.float32, scale=True)])) == (
        "Compose(\n      ToImage()\n      ToDtype(scale=True)\n)"
    )
    assert v2.Lambda(lambda x: 5, int)([1, "a"]) == [5, "a"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: v2.Compose([]), ValueError, "Pass at least one transform"),
        (lambda: v2.Compose(3), TypeError, "sequence of callables"),
        (lambda: v2.RandomHorizontalFlip(2), ValueError, "interval"),
        (lambda: v2.Resize(None), ValueError, "max_size must be an integer when size is None"),
        (lambda: v2.RandomChoice([v2.Identity()], p=[1, 2]), ValueError, "2 != 1"),
        (
            lambda: F.adjust_brightness(sample()[1]["boxes"], 1),
            TypeError,
            "F.adjust_brightness supports inputs of type",
        ),
        (lambda: F.hflip("a"), TypeError, "F.horizontal_flip supports inputs of type"),
        (
            lambda: F.pad(sample()[1]["boxes"], 1, padding_mode="reflect"),
            ValueError,
            "not supported with bounding boxes",
        ),
        (
            lambda: F.convert_bounding_box_format(corten.rand(1, 4), new_format="XYWH"),
            ValueError,
            "`old_format` has to",
        ),
        (lambda: v2.FiveCrop(3)(sample()[1]), TypeError, "not supported by FiveCrop"),
        (lambda: v2.RandomCrop(5)(3), TypeError, "was found in the sample"),
        (lambda: v2.RandomCrop(99)(sample()[0]), ValueError, "larger than input image size"),
        (lambda: v2.Normalize([0.5], [0.5])(Image.new("L", (2, 2))), TypeError, "does not support PIL images"),
        (lambda: v2.Transform()(sample()[0]), NotImplementedError, "has no transform"),
        (lambda: F.resize(sample()[0], 5, interpolation="cubic"), ValueError, "but got cubic"),
    ],
)
def test_what_cannot_be_done_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_kernels_of_a_programs_own_classes_are_used():
    class Depth(tv_tensors.TVTensor):
        pass

    @F.register_kernel(F.horizontal_flip, Depth)
    def flipped(depth):
        return -depth

    depth = corten.ones(2, 2).as_subclass(Depth)
    found = v2.RandomHorizontalFlip(1.0)(depth)
    assert type(found) is Depth and found.tolist() == [[-1, -1], [-1, -1]]
    with pytest.raises(ValueError, match="Could not find functional with name 'fold'"):
        F.register_kernel("fold", Depth)
