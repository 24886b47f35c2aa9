"""RoIAlign over the levels of a feature pyramid."""

import math

import corten
from corten import nn

from ._regions import roi_align
from .boxes import box_area

__all__ = ["MultiScaleRoIAlign"]


class MultiScaleRoIAlign(nn.Module):
    """Pools each region from the level of a pyramid that fits its size (FPN, Lin et al. 2017, equation 1).

    Called with a dict of feature maps ``(N, C, H, W)``, a list of boxes ``(L, 4)`` for each image, and the list of the
    images' sizes ``(height, width)``. Returns ``(K, C, height, width)``.

    Args:
        featmap_names: the keys of the levels to use, finest first.
        output_size: bins of a region, a number or ``(height, width)``.
        sampling_ratio: that of `roi_align`.
        canonical_scale: the edge in pixels of boxes that belong to ``canonical_level``.
        canonical_level: their level, where level k has ``2 ** -k`` of the image's size.

    Raises:
        ValueError: no feature map has one of the names.
    """

    def __init__(self, featmap_names, output_size, sampling_ratio, *, canonical_scale=224, canonical_level=4):
        super().__init__()
        self.featmap_names = featmap_names
        self.sampling_ratio = sampling_ratio
        self.output_size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        self.scales = None
        self.canonical_scale = canonical_scale
        self.canonical_level = canonical_level

    def forward(self, x, boxes, image_shapes):
        maps = [value for name, value in x.items() if name in self.featmap_names]
        if not maps or not image_shapes:
            raise ValueError(
                f"MultiScaleRoIAlign: needs images and a feature map named in {self.featmap_names}, got {list(x)} and "
                f"{len(image_shapes)} images"
            )
        size = [max(sizes) for sizes in zip(*image_shapes)]
        self.scales = [2.0 ** round(math.log2(value.shape[-2] / size[0])) for value in maps]
        rois = corten.cat(
            [corten.cat([corten.full_like(part[:, :1], index), part], 1) for index, part in enumerate(boxes)]
        )
        if len(maps) == 1:
            return roi_align(maps[0], rois, self.output_size, self.scales[0], self.sampling_ratio)
        levels = self._levels(rois[:, 1:])
        result = maps[0].new_zeros(len(rois), maps[0].shape[1], *self.output_size)
        for level, (value, scale) in enumerate(zip(maps, self.scales)):
            here = corten.where(levels == level)[0]
            pooled = roi_align(value, rois[here], self.output_size, scale, self.sampling_ratio)
            result = result.index_put((here,), pooled.to(result.dtype))
        return result

    def _levels(self, boxes):
        """The index of each box's level among those used."""
        finest, coarsest = (-math.log2(self.scales[end]) for end in (0, -1))
        size = box_area(boxes).sqrt()
        level = (self.canonical_level + (size / self.canonical_scale).log2() + 1e-6).floor()
        return (level.clamp(finest, coarsest) - finest).long()

    def __repr__(self):
        return (
            f"{type(self).__name__}(featmap_names={self.featmap_names}, output_size={self.output_size}, "
            f"sampling_ratio={self.sampling_ratio})"
        )
