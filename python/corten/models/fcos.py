"""FCOS (Tian et al., arXiv:1904.01355): a detector without anchors, whose every location may see one object."""

import math
from collections import OrderedDict

from .. import arange, cat, full_like, meshgrid, nn, no_grad, stack, where, zeros
from ..nn import functional as F
from ..vision.ops import FeaturePyramidNetwork, batched_nms, clip_boxes_to_image, sigmoid_focal_loss
from ..vision.ops import generalized_box_iou_loss as giou_loss
from ..vision.ops.feature_pyramid_network import LastLevelP6P7
from ..vision.ops.misc import FrozenBatchNorm2d
from .resnet import BasicBlock, conv1x1, conv3x3, resnet50

__all__ = ["FCOS", "fcos_resnet50", "fcos_small"]


class PyramidBackbone(nn.Module):
    """A network without its head, and a feature pyramid on some of its stages: images to a list of maps.

    Args:
        body: by name, the layers in their order.
        stages: the layers whose outputs the pyramid reads, finest first.
        in_channels: those of their outputs.
        channels: those of the pyramid.
        extra: what adds coarser levels, or None.
    """

    def __init__(self, body, stages, in_channels, channels, extra=None):
        super().__init__()
        self.body = nn.ModuleDict(body)
        self.fpn = FeaturePyramidNetwork(in_channels, channels, extra)
        self.stages = stages

    def forward(self, x):
        maps = OrderedDict()
        for name, layer in self.body.items():
            x = layer(x)
            if name in self.stages:
                maps[name] = x
        return list(self.fpn(maps).values())


def _tower(channels, depth=4):
    layers = []
    for _ in range(depth):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(32, channels), nn.ReLU()]
    return nn.Sequential(*layers)


class ClassificationHead(nn.Module):
    """Maps ``(N, C, H, W)`` to logits ``(N, H W, num_classes)``."""

    def __init__(self, channels, num_classes, prior=0.01):
        super().__init__()
        self.conv = _tower(channels)
        self.cls_logits = nn.Conv2d(channels, num_classes, 3, padding=1)
        _initialize(self)
        # Almost all locations show nothing: they should say so from the start (Lin et al., arXiv:1708.02002).
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior) / prior))

    def forward(self, x):
        return self.cls_logits(self.conv(x)).flatten(2).mT


class RegressionHead(nn.Module):
    """Maps ``(N, C, H, W)`` to distances ``(N, H W, 4)`` in strides and logits of centre-ness ``(N, H W)``."""

    def __init__(self, channels):
        super().__init__()
        self.conv = _tower(channels)
        self.bbox_reg = nn.Conv2d(channels, 4, 3, padding=1)
        self.bbox_ctrness = nn.Conv2d(channels, 1, 3, padding=1)
        _initialize(self)
        # Boxes of two strides at the start, so that the ReLU lets gradients through.
        nn.init.ones_(self.bbox_reg.bias)

    def forward(self, x):
        x = self.conv(x)
        return F.relu(self.bbox_reg(x)).flatten(2).mT, self.bbox_ctrness(x).flatten(1)


def _initialize(head):
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


class FCOSHead(nn.Module):
    """The two heads, which all levels share."""

    def __init__(self, channels, num_classes):
        super().__init__()
        self.classification_head = ClassificationHead(channels, num_classes)
        self.regression_head = RegressionHead(channels)

    def forward(self, maps):
        """Of a list of maps: logits, distances and centre-ness of all locations, level behind level."""
        logits = cat([self.classification_head(level) for level in maps], 1)
        distances, centerness = zip(*(self.regression_head(level) for level in maps))
        return logits, cat(distances, 1), cat(centerness, 1)


def grid(maps, strides):
    """Where the locations of all levels lie in the image: places ``(L, 2)`` as x and y in pixels, strides ``(L,)``."""
    places, steps = [], []
    for level, stride in zip(maps, strides, strict=True):
        height, width = level.shape[-2:]
        rows = (arange(height, device=level.device) + 0.5) * stride
        columns = (arange(width, device=level.device) + 0.5) * stride
        y, x = meshgrid(rows, columns, indexing="ij")
        places.append(stack([x.flatten(), y.flatten()], 1))
        steps.append(full_like(places[-1][:, 0], stride))
    return cat(places), cat(steps)


def assign(places, steps, boxes, strides, radius=1.5):
    """Which box each location has to find: its number, or −1 for none; ``(L,)``.

    A location takes the smallest box that it lies in, within ``radius`` strides of the centre, and whose farthest
    side is as far as its level is for: 8 strides at most, and more than 4, which are 8 of the level below.

    Args:
        places, steps: see `grid`.
        boxes: ``(K, 4)`` as left, top, right and bottom in pixels.
        strides: those of all levels.
    """
    if len(boxes) == 0:
        return full_like(steps, -1).long()
    distances = _distances(places[:, None], boxes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = (places[:, None] - centres).abs().amax(-1) < radius * steps[:, None]
    farthest = distances.amax(-1)
    low = where(steps == strides[0], 0.0, 4 * steps)
    high = where(steps == strides[-1], math.inf, 8 * steps)
    fits = near & (distances.amin(-1) > 0) & (farthest > low[:, None]) & (farthest <= high[:, None])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    smallest, which = where(fits, area, math.inf).min(1)
    return where(smallest < math.inf, which, -1)


def _distances(places, boxes):
    """From places ``(..., 2)`` to the sides of boxes ``(..., 4)``, broadcast: left, top, right, bottom."""
    return cat([places - boxes[..., :2], boxes[..., 2:] - places], -1)


def centerness(distances):
    """1 in the middle of a box and 0 at its sides, of distances ``(..., 4)`` to them (equation 3 of the paper)."""
    left, top, right, bottom = distances.unbind(-1)
    across = left.minimum(right) / left.maximum(right)
    return (across * top.minimum(bottom) / top.maximum(bottom)).sqrt()


class FCOS(nn.Module):
    """Images ``(N, 3, H, W)`` to boxes, classes and scores of the objects in them.

    Called with targets while it trains, it returns losses; otherwise, for each image, a dict of ``boxes`` ``(D, 4)``
    as left, top, right and bottom in pixels, ``labels`` ``(D,)`` and ``scores`` ``(D,)``, best first. Images are
    taken as they are: scaled and normalised before.

    Args:
        backbone: a module that gives a list of maps ``(N, channels, H / stride, W / stride)``.
        channels: those of the maps, a multiple of 32.
        num_classes: the number of classes; labels run from 0.
        strides: pixels from one location to the next of each level, finest first, doubling.
        score_threshold: detections have at least this score.
        nms_threshold: two detections of one class overlap by at most this.
        detections: the most in an image.
        candidates: the most of a level before the overlapping ones are removed.
    """

    def __init__(
        self,
        backbone,
        channels,
        num_classes,
        strides=(8, 16, 32, 64, 128),
        score_threshold=0.2,
        nms_threshold=0.6,
        detections=100,
        candidates=1000,
    ):
        super().__init__()
        self.backbone = backbone
        self.head = FCOSHead(channels, num_classes)
        self.strides, self.num_classes = strides, num_classes
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.detections, self.candidates = detections, candidates

    def forward(self, images, targets=None):
        """The losses or the detections.

        Args:
            images: ``(N, 3, H, W)``.
            targets: for each image, a dict of ``boxes`` ``(K, 4)`` and ``labels`` ``(K,)``.

        Raises:
            ValueError: targets are missing while it trains, or are not as many as the images.
        """
        maps = self.backbone(images)
        outputs = self.head(maps)
        places, steps = grid(maps, self.strides)
        if not self.training:
            sizes = [level.shape[-2] * level.shape[-1] for level in maps]
            return self.decode(outputs, places, steps, sizes, images.shape[-2:])
        if targets is None or len(targets) != len(images):
            given = "no targets" if targets is None else f"{len(targets)} targets"
            raise ValueError(f"FCOS: {len(images)} images in training need as many targets, got {given}")
        return self.losses(outputs, places, steps, targets)

    def losses(self, outputs, places, steps, targets):
        """The focal loss of classes, the IoU loss of boxes and the cross-entropy of centre-ness, by name."""
        logits, distances, centre = outputs
        with no_grad():
            which = stack([assign(places, steps, target["boxes"], self.strides) for target in targets])
            found = which >= 0
            classes = zeros(logits.shape, device=logits.device)
            boxes = zeros(*which.shape, 4, device=logits.device)
            for number, target in enumerate(targets):
                if len(target["boxes"]):
                    chosen = which[number].clamp(min=0)
                    boxes[number] = target["boxes"][chosen].to(boxes.dtype)
                    hot = F.one_hot(target["labels"][chosen], self.num_classes)
                    classes[number] = hot.to(classes.dtype) * found[number, :, None]
            positives = found.sum().clamp(min=1)
            image, location = found.nonzero(as_tuple=True)
            places, steps, boxes = places[location], steps[location, None], boxes[image, location]
            wanted = centerness(_distances(places, boxes))
        predicted = _boxes(places, distances[image, location] * steps)
        overlap = giou_loss(predicted, boxes)
        return {
            "classification": sigmoid_focal_loss(logits, classes, reduction="sum") / positives,
            "bbox_regression": (overlap * wanted).sum() / wanted.sum().clamp(min=1e-6),
            "bbox_ctrness": F.binary_cross_entropy_with_logits(centre[image, location], wanted, reduction="sum")
            / positives,
        }

    @no_grad()
    def decode(self, outputs, places, steps, sizes, image_size):
        """The detections of each image, of what `FCOSHead` gives.

        Args:
            sizes: the locations of each level.
            image_size: H and W.
        """
        logits, distances, centre = outputs
        boxes = clip_boxes_to_image(_boxes(places, distances * steps[:, None]), image_size)
        scores = (logits.sigmoid() * centre.sigmoid()[..., None]).sqrt()
        results = []
        for image in range(len(scores)):
            found = []
            for level_scores, level_boxes in zip(scores[image].split(sizes), boxes[image].split(sizes)):
                flat = level_scores.flatten()
                best, order = flat.topk(min(self.candidates, len(flat)))
                order, best = order[best > self.score_threshold], best[best > self.score_threshold]
                which, label = order // self.num_classes, order % self.num_classes
                found.append((level_boxes[which], best, label))
            found_boxes, found_scores, labels = (cat(parts) for parts in zip(*found))
            keep = batched_nms(found_boxes, found_scores, labels, self.nms_threshold)[: self.detections]
            results.append({"boxes": found_boxes[keep], "scores": found_scores[keep], "labels": labels[keep]})
        return results


def _boxes(places, distances):
    """Boxes ``(..., 4)`` around places ``(..., 2)`` with distances ``(..., 4)`` to their sides, in pixels."""
    return cat([places - distances[..., :2], places + distances[..., 2:]], -1)


def fcos_resnet50(num_classes=91, **options):
    """`FCOS` on a ResNet-50, five levels; 32.3 million parameters with 91 classes, torchvision's keys."""
    network = resnet50(norm_layer=FrozenBatchNorm2d)
    body = {name: layer for name, layer in network.named_children() if name not in ("avgpool", "fc")}
    stages = ("layer2", "layer3", "layer4")
    backbone = PyramidBackbone(body, stages, (512, 1024, 2048), 256, LastLevelP6P7(256, 256))
    return FCOS(backbone, 256, num_classes, **options)


def fcos_small(num_classes=10, width=32, channels=96, **options):
    """`FCOS` for images of about 128 × 128: three levels with strides of 4, 8 and 16; 2.2 million parameters."""

    def stage(before, after):
        skip = nn.Sequential(conv1x1(before, after, 2), nn.BatchNorm2d(after))
        return nn.Sequential(BasicBlock(before, after, 2, skip))

    body = {"conv1": conv3x3(3, width, 2), "bn1": nn.BatchNorm2d(width), "relu": nn.ReLU(inplace=True)}
    body |= {f"layer{n + 1}": stage(width * 2**n, width * 2 ** (n + 1)) for n in range(3)}
    stages = ("layer1", "layer2", "layer3")
    backbone = PyramidBackbone(body, stages, (2 * width, 4 * width, 8 * width), channels)
    return FCOS(backbone, channels, num_classes, strides=(4, 8, 16), **options)
