"""Operators of detection beside references written pixel by pixel and box by box, with their gradients."""

from __future__ import annotations

import math

import corten
import numpy as np
import pytest
from corten import nn
from corten.vision import ops


def random_boxes(count: int, scale: float = 30.0) -> np.ndarray:
    corner = np.random.rand(count, 2) * scale
    return np.concatenate([corner, corner + np.random.rand(count, 2) * scale * 0.6 + 0.5], 1).astype(np.float32)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    inside = np.float32(np.prod(sides.clip(0)))
    areas = np.prod(one[2:] - one[:2]), np.prod(other[2:] - other[:2])
    return inside / (areas[0] + areas[1] - inside)


def greedy(boxes: np.ndarray, scores: np.ndarray, threshold: float, groups: np.ndarray | None = None) -> list[int]:
    """The definition: best first, unless one that was kept overlaps it."""
    kept: list[int] = []
    for number in np.argsort(-scores, kind="stable"):
        rivals = [k for k in kept if groups is None or groups[k] == groups[number]]
        if not any(iou(boxes[k], boxes[number]) > threshold for k in rivals):
            kept.append(int(number))
    return kept


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("count", [0, 1, 7, 150])
def test_nms_is_the_greedy_choice(count, threshold):
    boxes, scores = random_boxes(count), np.random.rand(count).astype(np.float32)
    kept = ops.nms(corten.tensor(boxes).reshape(-1, 4), corten.tensor(scores), threshold)
    assert kept.dtype == corten.int64 and kept.tolist() == greedy(boxes, scores, threshold)


def test_nms_across_blocks_is_the_greedy_choice(monkeypatch):
    monkeypatch.setattr("corten.vision.ops.boxes._BLOCK", 16)
    boxes, scores = random_boxes(200), np.random.rand(200).astype(np.float32)
    groups = np.random.randint(0, 3, 200)
    assert ops.nms(corten.tensor(boxes), corten.tensor(scores), 0.3).tolist() == greedy(boxes, scores, 0.3)
    kept = ops.batched_nms(corten.tensor(boxes), corten.tensor(scores), corten.tensor(groups), 0.3)
    assert kept.tolist() == greedy(boxes, scores, 0.3, groups)


def test_nms_follows_a_chain_in_which_each_box_suppresses_the_next():
    start = np.arange(60, dtype=np.float32)[:, None]
    boxes = np.concatenate([start, 0 * start, start + 3, 0 * start + 1], 1)
    scores = np.linspace(1, 0, 60, dtype=np.float32)
    # Neighbours overlap by a half, every second one by a fifth.
    assert ops.nms(corten.tensor(boxes), corten.tensor(scores), 0.4).tolist() == list(range(0, 60, 2))


def test_nms_keeps_the_order_of_equal_scores_and_boxes_without_area():
    boxes = corten.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [9, 9, 9, 9], [9, 9, 9, 9]])
    assert ops.nms(boxes, corten.ones(4), 0.5).tolist() == [0, 2, 3]


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.3, 0.6, 0.7])
def test_nms_compares_with_the_threshold_as_it_is_written(threshold):
    """Two boxes whose overlap is the threshold rounded to float32: it is above iff the rounding went up."""
    tenths = round(threshold * 10)
    boxes = corten.tensor([[0.0, 0, 10, 1], [0, 0, tenths, 1]])
    above = float(np.float32(tenths) / np.float32(10)) > threshold
    assert ops.nms(boxes, corten.tensor([1.0, 0.5]), threshold).tolist() == ([0] if above else [0, 1])


@pytest.mark.parametrize(
    ("boxes", "scores", "error", "message"),
    [
        ((4,), (1,), RuntimeError, "boxes should be a 2d tensor, got 1D"),
        ((3, 5), (3,), RuntimeError, "boxes should have 4 elements in dimension 1, got 5"),
        ((3, 4), (3, 1), RuntimeError, "scores should be a 1d tensor, got 2D"),
        ((3, 4), (2,), RuntimeError, "same number of elements in dimension 0, got 3 and 2"),
    ],
)
def test_nms_refuses_shapes_that_do_not_belong_together(boxes, scores, error, message):
    with pytest.raises(error, match=message):
        ops.nms(corten.rand(boxes), corten.rand(scores), 0.5)


def test_nms_refuses_integers_and_categories_of_another_length():
    with pytest.raises(NotImplementedError, match="floating point, not"):
        ops.nms(corten.ones(2, 4, dtype=corten.int32), corten.ones(2, dtype=corten.int32), 0.5)
    with pytest.raises(RuntimeError, match=r"one category a box, got shape \(2,\) for 3 boxes"):
        ops.batched_nms(corten.rand(3, 4), corten.rand(3), corten.zeros(2), 0.5)


def test_overlaps_of_known_boxes():
    one, other = corten.tensor([[0.0, 0, 2, 2]]), corten.tensor([[1.0, 1, 3, 3], [5, 0, 7, 2], [0, 0, 2, 2]])
    assert ops.box_iou(one, other).tolist() == [pytest.approx([1 / 7, 0, 1])]
    assert ops.generalized_box_iou(one, other).tolist() == [pytest.approx([1 / 7 - 2 / 9, -6 / 14, 1])]
    assert ops.distance_box_iou(one, other).tolist() == [pytest.approx([1 / 7 - 2 / 18, -25 / 53, 1])]
    # Of equal shape: nothing is added for the ratio of edges.
    assert ops.complete_box_iou(one, other).tolist() == [pytest.approx([1 / 7 - 2 / 18, -25 / 53, 1])]
    wide = ops.complete_box_iou(one, corten.tensor([[0.0, 0, 4, 2]])).item()
    v = 4 / math.pi**2 * (math.atan(2) - math.atan(1)) ** 2
    assert wide == pytest.approx(0.5 - 1 / 20 - v * v / (0.5 + v), rel=1e-5)


@pytest.mark.parametrize("fmt", ["xyxy", "xywh", "cxcywh"])
def test_formats_of_boxes_agree(fmt):
    boxes = corten.tensor(random_boxes(5))
    other = ops.box_convert(boxes, "xyxy", fmt)
    assert np.allclose(ops.box_convert(other, fmt, "xyxy").numpy(force=True), boxes.numpy(force=True), atol=1e-5)
    assert np.allclose(ops.box_area(other, fmt).tolist(), ops.box_area(boxes).tolist(), rtol=1e-4)
    near = ops.box_iou(other, other, fmt=fmt)
    assert np.allclose(near.tolist(), ops.box_iou(boxes, boxes).tolist(), atol=1e-5)


def test_unknown_formats_of_boxes_are_refused():
    boxes = corten.rand(2, 4)
    with pytest.raises(ValueError, match="for given in_fmt abc and out_fmt xyxy"):
        ops.box_convert(boxes, "abc", "xyxy")
    with pytest.raises(ValueError, match="Unsupported Bounding Box area for given format abc"):
        ops.box_area(boxes, "abc")
    with pytest.raises(NotImplementedError, match="rotated boxes are not there"):
        ops.box_convert(boxes, "xyxy", "cxcywhr")


def test_areas_of_small_dtypes_do_not_overflow():
    boxes = corten.tensor([[0, 0, 200, 200]], dtype=corten.uint8)
    assert ops.box_area(boxes).tolist() == [40000] and ops.box_area(boxes).dtype == corten.int32
    assert ops.box_area(corten.tensor([[0.0, 0, 300, 300]]).half()).tolist() == [90000.0]


def test_boxes_are_clipped_and_small_ones_found():
    boxes = corten.tensor([[-3.0, 2, 50, 9], [1, 1, 2, 30], [4, 4, 8, 8]])
    assert ops.clip_boxes_to_image(boxes, (10, 20)).tolist() == [[0, 2, 20, 9], [1, 1, 2, 10], [4, 4, 8, 8]]
    assert ops.remove_small_boxes(boxes, 4).tolist() == [0, 2]


def test_boxes_around_masks():
    masks = corten.zeros(3, 6, 7, dtype=corten.bool)
    masks[0, 2:5, 1:3] = True
    masks[1, 0, 6] = True
    assert ops.masks_to_boxes(masks).tolist() == [[1, 2, 2, 4], [6, 0, 6, 0], [0, 0, 0, 0]]
    assert tuple(ops.masks_to_boxes(masks[:0]).shape) == (0, 4)


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = (y - top if top < height - 1 else 0.0), (x - left if left < width - 1 else 0.0)
    upper = plane[top, left] * (1 - across) + plane[top, right] * across
    return upper * (1 - down) + (plane[bottom, left] * (1 - across) + plane[bottom, right] * across) * down


def aligned_regions(features, rois, size, scale, ratio, aligned):
    """RoIAlign sample by sample."""
    result = np.zeros((len(rois), features.shape[1], *size))
    for k, (image, *box) in enumerate(rois):
        x1, y1, x2, y2 = (side * scale - 0.5 * aligned for side in box)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
        bins = height / size[0], width / size[1]
        grid = [ratio if ratio > 0 else max(math.ceil(side), 0) for side in bins]
        for c, i, j in np.ndindex(result.shape[1:]):
            total = 0.0
            for a, b in np.ndindex(*grid):
                y, x = y1 + (i + (a + 0.5) / grid[0]) * bins[0], x1 + (j + (b + 0.5) / grid[1]) * bins[1]
                total += bilinear(features[int(image), c], y, x)
            result[k, c, i, j] = total / max(grid[0] * grid[1], 1)
    return result


ROIS = np.array(
    [
        [0, 1, 1, 9, 7],
        [1, -4, -4, 14, 12],
        [0, 3, 3, 3, 3],
        [1, 20, 20, 30, 30],
        [0, 6, 5, 2, 1],
        [1, 0.3, 2.7, 5.1, 8.9],
    ],
    dtype=np.float32,
)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 1, 2])
@pytest.mark.parametrize(("size", "scale"), [((2, 2), 1.0), ((3, 1), 0.5)])
def test_roi_align_is_the_mean_of_bilinear_samples(size, scale, ratio, aligned):
    features = np.random.standard_normal((2, 3, 8, 10)).astype(np.float32)
    found = ops.roi_align(corten.tensor(features), corten.tensor(ROIS), size, scale, ratio, aligned)
    expected = aligned_regions(features, ROIS, size, scale, ratio, aligned)
    assert np.allclose(found.numpy(force=True), expected, atol=1e-4)


def test_roi_align_of_many_regions_is_computed_in_parts(monkeypatch):
    features, rois = corten.randn(2, 3, 8, 10), corten.tensor(ROIS)
    whole = ops.roi_align(features, rois, 2)
    monkeypatch.setattr("corten.vision.ops._regions._GATHERED_MAX", 200)
    assert corten.equal(ops.roi_align(features, rois, 2), whole)


def test_roi_pool_takes_the_greatest_pixel_of_each_bin():
    features = corten.arange(64.0).reshape(1, 1, 8, 8)
    assert ops.roi_pool(features, corten.tensor([[0.0, 0, 0, 3, 3]]), 2).flatten().tolist() == [9, 11, 25, 27]
    # Bins share the pixels at uneven borders, and those outside the image are 0.
    assert ops.roi_pool(features, corten.tensor([[0.0, 0, 0, 4, 4]]), 2).flatten().tolist() == [18, 20, 34, 36]
    assert ops.roi_pool(features, corten.tensor([[0.0, 7, 7, 12, 12]]), 2).flatten().tolist() == [63, 0, 0, 0]
    # Halves are rounded away from zero.
    assert ops.roi_pool(features, corten.tensor([[0.0, 0.5, 0.5, 2.5, 2.5]]), 1).item() == 27


def test_roi_pool_sends_gradients_to_the_first_of_equal_pixels():
    features = corten.zeros(1, 1, 4, 4, requires_grad=True)
    ops.roi_pool(features, corten.tensor([[0.0, 1, 1, 3, 3]]), 1).sum().backward()
    assert features.grad.nonzero().tolist() == [[0, 0, 1, 1]]


@pytest.mark.cpu
def test_gradients_of_regions():
    features = corten.randn(2, 4, 6, 7, dtype=corten.float64, requires_grad=True)
    rois = corten.tensor(ROIS, dtype=corten.float64)
    for pool in (
        lambda x: ops.roi_align(x, rois, 2, 0.7, 2),
        lambda x: ops.roi_align(x, rois, (1, 2), 0.7, -1, aligned=True),
        lambda x: ops.roi_pool(x, rois, 2, 0.7),
        lambda x: ops.ps_roi_align(x, rois, 2, 0.7, 2),
        lambda x: ops.ps_roi_pool(x, rois, 2, 0.7),
    ):
        assert corten.autograd.gradcheck(pool, (features,))
    assert corten.autograd.gradgradcheck(lambda x: ops.roi_align(x, rois, 1, 0.7, 1).sin(), (features,))


def test_position_sensitive_regions_read_channels_of_their_own():
    features = corten.arange(4.0).reshape(1, 4, 1, 1).expand(1, 4, 6, 6)
    box = corten.tensor([[0.0, 1, 1, 5, 5]])
    assert ops.ps_roi_align(features, box, 2).tolist() == [[[[0, 1], [2, 3]]]]
    assert ops.ps_roi_pool(features, box, 2).tolist() == [[[[0, 1], [2, 3]]]]
    with pytest.raises(RuntimeError, match="got 4 for 3 \\* 3"):
        ops.ps_roi_align(features, box, 3)


def test_lists_of_boxes_name_their_images():
    features = corten.randn(2, 3, 8, 8)
    boxes = [corten.tensor([[0.0, 0, 4, 4]]), corten.tensor([[1.0, 1, 5, 5], [2, 2, 6, 6]])]
    rows = corten.tensor([[0.0, 0, 0, 4, 4], [1, 1, 1, 5, 5], [1, 2, 2, 6, 6]])
    assert corten.equal(ops.roi_align(features, boxes, 2), ops.roi_align(features, rows, 2))
    assert tuple(ops.roi_align(features, [boxes[0][:0], boxes[0][:0]], 2).shape) == (0, 3, 2, 2)


@pytest.mark.parametrize("pool", [ops.roi_align, ops.roi_pool])
def test_regions_that_cannot_be_are_refused(pool):
    features = corten.rand(1, 2, 4, 4)
    with pytest.raises(AssertionError, match=r"not correct as Tensor\[K, 5\], got \(3, 4\)"):
        pool(features, corten.rand(3, 4), 2)
    with pytest.raises(AssertionError, match=r"not correct as List\[Tensor\[L, 4\]\]"):
        pool(features, [corten.rand(3, 3)], 2)
    with pytest.raises(AssertionError, match="is expected to be"):
        pool(features, 3, 2)
    with pytest.raises(RuntimeError, match="to have the same type"):
        pool(features, corten.zeros(1, 5).half(), 2)
    with pytest.raises(IndexError, match="boxes name images 0 to 3, input has 1"):
        pool(features, corten.tensor([[0.0, 0, 0, 1, 1], [3, 0, 0, 1, 1]]), 2)
    with pytest.raises(IndexError, match=r"input is \(N, C, H, W\)"):
        pool(features[0], corten.zeros(1, 5), 2)


def test_deformable_convolution_without_displacement_is_convolution():
    x, w, b = corten.randn(2, 4, 7, 8), corten.randn(6, 2, 3, 2), corten.randn(6)
    options = dict(stride=(2, 1), padding=(1, 0), dilation=(1, 2))
    expected = nn.functional.conv2d(x, w, b, groups=2, **options)
    offset = corten.zeros(2, 2 * 6, *expected.shape[2:])
    found = ops.deform_conv2d(x, offset, w, b, **options)
    assert np.allclose(found.numpy(force=True), expected.numpy(force=True), atol=1e-4)
    half = ops.deform_conv2d(x, offset, w, mask=corten.full((2, 6, *expected.shape[2:]), 0.5), **options)
    assert np.allclose(half.numpy(force=True), (expected - b[:, None, None]).numpy(force=True) / 2, atol=1e-4)


def test_deformable_convolution_reads_where_offsets_say():
    x = corten.arange(16.0).reshape(1, 1, 4, 4)
    offset = corten.zeros(1, 2, 4, 4)
    offset[:, 0], offset[:, 1] = 1.0, -0.5
    found = ops.deform_conv2d(x, offset, corten.ones(1, 1, 1, 1))
    assert found[0, 0].tolist() == [[2, 4.5, 5.5, 6.5], [4, 8.5, 9.5, 10.5], [6, 12.5, 13.5, 14.5], [0, 0, 0, 0]]


@pytest.mark.cpu
def test_gradients_of_deformable_convolution():
    inputs = [
        corten.randn(1, 2, 4, 4, dtype=corten.float64, requires_grad=True),
        (corten.rand(1, 2 * 4, 3, 3, dtype=corten.float64) * 0.8 + 0.1).requires_grad_(),
        corten.randn(2, 2, 2, 2, dtype=corten.float64, requires_grad=True),
    ]
    assert corten.autograd.gradcheck(ops.deform_conv2d, inputs)


def test_deformable_convolution_refuses_what_does_not_fit():
    x, w = corten.rand(1, 2, 5, 5), corten.rand(2, 2, 3, 3)
    with pytest.raises(RuntimeError, match="multiple of 2 \\* weight"):
        ops.deform_conv2d(x, corten.rand(1, 17, 3, 3), w)
    with pytest.raises(RuntimeError, match=r"offset output dims: \(4, 3\) - computed output dims: \(3, 3\)"):
        ops.deform_conv2d(x, corten.rand(1, 18, 4, 3), w)
    with pytest.raises(RuntimeError, match=r"mask.shape.1. is not valid: got: 8 expected: 9"):
        ops.deform_conv2d(x, corten.rand(1, 18, 3, 3), w, mask=corten.rand(1, 8, 3, 3))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_focal_loss_is_its_formula(reduction):
    logits, targets = corten.randn(5, 3), (corten.rand(5, 3) > 0.5).float()
    z, t = logits.numpy(force=True), targets.numpy(force=True)
    p = 1 / (1 + np.exp(-z))
    likely = p * t + (1 - p) * (1 - t)
    expected = -np.log(likely) * (1 - likely) ** 1.5 * (0.3 * t + 0.7 * (1 - t))
    expected = {"none": expected, "mean": expected.mean(), "sum": expected.sum()}[reduction]
    found = ops.sigmoid_focal_loss(logits, targets, 0.3, 1.5, reduction)
    assert np.allclose(found.numpy(force=True), expected, rtol=1e-4, atol=1e-6)


def test_losses_of_boxes_are_one_less_their_overlap():
    one, other = corten.tensor(random_boxes(6)), corten.tensor(random_boxes(6))
    for loss, overlap in (
        (ops.generalized_box_iou_loss, ops.generalized_box_iou),
        (ops.distance_box_iou_loss, ops.distance_box_iou),
        (ops.complete_box_iou_loss, ops.complete_box_iou),
    ):
        expected = 1 - overlap(one, other).diagonal()
        assert np.allclose(loss(one, other).numpy(force=True), expected.numpy(force=True), atol=1e-5)
        assert loss(one[:0], other[:0], "mean").item() == 0
        with pytest.raises(ValueError, match="Invalid Value for arg 'reduction': 'most"):
            loss(one, other, "most")


def test_stochastic_depth_drops_rows_and_keeps_the_mean():
    x = corten.ones(4000, 2, 3)
    rows = ops.stochastic_depth(x, 0.25, "row")
    assert set(rows.flatten(1).sum(1).tolist()) == {0.0, 8.0} and abs(rows.mean().item() - 1) < 0.05
    assert ops.stochastic_depth(x, 0.25, "batch").unique().numel() == 1
    assert ops.StochasticDepth(0.25, "row").eval()(x) is x
    with pytest.raises(ValueError, match="between 0 and 1, but got 2"):
        ops.stochastic_depth(x, 2, "row")
    with pytest.raises(ValueError, match="either 'batch' or 'row', but got all"):
        ops.stochastic_depth(x, 0.1, "all")


def test_drop_block_drops_squares_and_keeps_the_mean():
    x = corten.ones(8, 4, 24, 24)
    dropped = ops.drop_block2d(x, 0.2, 5)
    share = (dropped == 0).float().mean().item()
    assert 0.1 < share < 0.25 and abs(dropped.mean().item() - 1) < 1e-4
    # Each dropped pixel lies in a square of dropped ones.
    gone = (dropped == 0).float()
    corners = -nn.functional.max_pool2d(-gone, 5, 1)
    assert corten.equal(nn.functional.max_pool2d(nn.functional.pad(corners, [4] * 4), 5, 1), gone)
    with pytest.raises(ValueError, match=r"block size should be odd. Got 4"):
        ops.drop_block2d(x, 0.2, 4)


def test_frozen_batch_norm_is_batch_norm_in_evaluation():
    norm = nn.BatchNorm2d(3).eval()
    for value in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        value.copy_(corten.rand(3) + 0.5)
    frozen = ops.FrozenBatchNorm2d(3)
    frozen.load_state_dict(norm.state_dict())
    x = corten.randn(2, 3, 4, 5)
    assert np.allclose(frozen(x).numpy(force=True), norm(x).numpy(force=True), atol=1e-5)
    assert list(frozen.state_dict()) == ["weight", "bias", "running_mean", "running_var"] and not list(
        frozen.parameters()
    )


def test_blocks_have_torchvisions_layers_and_keys():
    block = ops.Conv2dNormActivation(3, 4, kernel_size=(3, 5), dilation=2)
    assert block[0].padding == (2, 4) and block[0].bias is None and block[2].inplace and block.out_channels == 4
    assert ops.Conv2dNormActivation(3, 4, norm_layer=None, activation_layer=None)[0].bias is not None
    assert list(ops.SqueezeExcitation(4, 2).state_dict()) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert [type(layer).__name__ for layer in ops.MLP(3, [4, 5], norm_layer=nn.LayerNorm)] == [
        *("Linear", "LayerNorm", "ReLU", "Dropout"),
        *("Linear", "Dropout"),
    ]
    assert tuple(ops.Permute([2, 0, 1])(corten.rand(2, 3, 4)).shape) == (4, 2, 3)
    assert (
        repr(ops.RoIAlign(2, 0.5, 2)) == "RoIAlign(output_size=2, spatial_scale=0.5, sampling_ratio=2, aligned=False)"
    )


def test_pyramids_add_coarser_levels_and_pool_from_the_level_of_the_boxes_size():
    network = ops.FeaturePyramidNetwork([4, 8], 5)
    levels = {"a": corten.randn(2, 4, 16, 16), "b": corten.randn(2, 8, 8, 8)}
    found = network(levels)
    assert {name: tuple(value.shape) for name, value in found.items()} == {"a": (2, 5, 16, 16), "b": (2, 5, 8, 8)}
    pooler = ops.MultiScaleRoIAlign(["a", "b"], 2, 2, canonical_scale=32, canonical_level=3)
    boxes = [corten.tensor([[0.0, 0, 10, 10], [0, 0, 60, 60]]), corten.tensor([[8.0, 8, 20, 20]])]
    pooled = pooler(found, boxes, [(64, 64), (60, 64)])
    assert pooler.scales == [0.25, 0.125] and tuple(pooled.shape) == (3, 5, 2, 2)
    rows = corten.tensor([[0.0, 0, 0, 60, 60]])
    assert np.allclose(pooled[1].tolist(), ops.roi_align(found["b"], rows, 2, 0.125, 2)[0].tolist(), atol=1e-6)
    rows = corten.tensor([[1.0, 8, 8, 20, 20]])
    assert np.allclose(pooled[2].tolist(), ops.roi_align(found["a"], rows, 2, 0.25, 2)[0].tolist(), atol=1e-6)
