"""Fixed-size features of regions: RoIAlign, RoIPool and their position-sensitive forms, as gathers of rows.

A feature map ``(N, C, H, W)`` is read as a table with a row of channels for each pixel. What a bin of a region reads
are rows of that table, so one gather serves all bins of all regions, and its gradient is the sum into the table.
"""

import corten
from corten import _ops, nn

__all__ = [
    "roi_align",
    "RoIAlign",
    "roi_pool",
    "RoIPool",
    "ps_roi_align",
    "PSRoIAlign",
    "ps_roi_pool",
    "PSRoIPool",
]

# Elements that are gathered at once; more regions are taken in parts.
_GATHERED_MAX = 1 << 25


def _pair(size):
    if isinstance(size, int):
        return size, size
    if len(size) == 1:
        return size[0], size[0]
    height, width = size
    return height, width


def _as_rows(boxes):
    """Boxes ``(K, 5)`` with the image's index in front, from that or from a list of ``(L, 4)``, one for each image."""
    if isinstance(boxes, (list, tuple)):
        for part in boxes:
            if part.dim() != 2 or part.shape[1] != 4:
                raise AssertionError(
                    "The shape of the tensor in the boxes list is not correct as List[Tensor[L, 4]], "
                    f"got {tuple(part.shape)}"
                )
        numbered = [corten.cat([corten.full_like(part[:, :1], index), part], 1) for index, part in enumerate(boxes)]
        return corten.cat(numbered) if numbered else corten.zeros(0, 5)
    if not isinstance(boxes, corten.Tensor):
        raise AssertionError("boxes is expected to be a Tensor[L, 5] or a List[Tensor[K, 4]]")
    if boxes.dim() != 2 or boxes.shape[1] != 5:
        raise AssertionError(f"The boxes tensor shape is not correct as Tensor[K, 5], got {tuple(boxes.shape)}")
    return boxes


def _check(name, input, boxes, output_size):
    """The regions ``(K, 5)`` and the output's two sizes."""
    rois = _as_rows(boxes).detach()
    if input.dim() != 4:
        raise IndexError(f"{name}: input is (N, C, H, W), got shape {tuple(input.shape)}")
    if not input.is_floating_point():
        raise NotImplementedError(f"{name}: input is floating point, not {input.dtype}")
    if len(rois) and input.dtype != rois.dtype:
        raise RuntimeError(
            f"Expected tensor for argument #1 'input' to have the same type as tensor for argument #2 'rois'; "
            f"but type {input.dtype} does not equal {rois.dtype} (while checking arguments for {name})"
        )
    height, width = _pair(output_size)
    if height < 1 or width < 1:
        raise RuntimeError(f"{name}: output_size is positive, got {(height, width)}")
    if len(rois):
        first, last = rois[:, 0].aminmax()
        if not (0 <= float(first) and float(last) < input.shape[0]):
            raise IndexError(
                f"{name}: boxes name images {float(first):g} to {float(last):g}, input has {input.shape[0]}"
            )
    return (rois if input.dtype == corten.float64 else rois.float()), height, width


def _table(input):
    """A row of channels for each pixel, ``(N * H * W, C)``."""
    return input.permute(0, 2, 3, 1).reshape(-1, input.shape[1])


def _table_by_bin(input, height, width, name):
    """A row for each bin and pixel, ``(N * height * width * H * W, C / (height * width))``."""
    batch, channels, rows, columns = input.shape
    if channels % (height * width):
        raise RuntimeError(
            f"{name}: input channels must be a multiple of pooling height * pooling width, "
            f"got {channels} for {height} * {width}"
        )
    split = input.reshape(batch, -1, height, width, rows, columns)
    return split.permute(0, 2, 3, 4, 5, 1).reshape(-1, channels // (height * width))


def _row_numbers(rois, input, along_y, along_x, by_bin):
    """Numbers of table rows ``(K, height, width, read_y * read_x)`` from places ``(K, bins, read)`` on each axis."""
    rows, columns = input.shape[2:]
    first = rois[:, 0].long()[:, None, None, None, None]
    if by_bin:
        height, width = along_y.shape[1], along_x.shape[1]
        bins = corten.arange(height * width, device=rois.device).reshape(1, height, width, 1, 1)
        first = first * (height * width) + bins
    places = along_y[:, :, None, :, None] * columns + along_x[:, None, :, None, :]
    return (first * (rows * columns) + places).flatten(3)


def _in_parts(count, elements_each, compute):
    """Computes regions ``[start, stop)`` in parts of bounded memory and joins the results ``(K, H, W, C)``."""
    step = max(1, _GATHERED_MAX // max(1, elements_each))
    parts = [compute(slice(start, min(start + step, count))) for start in range(0, count, step)]
    joined = parts[0] if len(parts) == 1 else corten.cat(parts)
    return joined.permute(0, 3, 1, 2).contiguous()


def _samples(start, bin, bins, counts, most, extent):
    """Where bilinear sampling reads along one axis, and with which weights.

    Args:
        start, bin: the regions' beginnings and bin sizes in pixels ``(K,)``.
        bins: how many bins a region has.
        counts: samples of a bin, ``(K,)`` or a number.
        most: the greatest of them.
        extent: pixels on this axis.

    Returns:
        Places and weights ``(K, bins, 2 * most)``: each sample reads two pixels.
    """
    device, dtype = start.device, start.dtype
    number = corten.arange(most, device=device, dtype=dtype)
    index = corten.arange(bins, device=device, dtype=dtype)[:, None]
    counts = counts[:, None, None] if isinstance(counts, corten.Tensor) else float(counts)
    bin = bin[:, None, None]
    position = start[:, None, None] + index * bin + (number + 0.5) * bin / counts
    inside = (position >= -1) & (position <= extent) & (number < counts)
    position = corten.where(inside, position, 0.0).clamp(min=0)
    low = position.floor().clamp(max=extent - 1)
    high = (low + 1).clamp(max=extent - 1)
    # At the last pixel both are the same one.
    part = corten.where(low >= extent - 1, 0.0, position - low)
    here = inside.to(dtype)
    places = corten.stack([low, high], -1).long().flatten(2)
    return places, corten.stack([(1 - part) * here, part * here], -1).flatten(2)


def _align(name, input, boxes, output_size, spatial_scale, sampling_ratio, offset, smallest, by_bin):
    rois, height, width = _check(name, input, boxes, output_size)
    channels = input.shape[1]
    if not len(rois):
        channels = channels // (height * width) if by_bin else channels
        return input.new_zeros(0, channels, height, width) + 0 * input.sum()
    table = _table_by_bin(input, height, width, name) if by_bin else _table(input)
    corners = rois[:, 1:] * spatial_scale - offset
    x, y = corners[:, 0], corners[:, 1]
    sides = corners[:, 2:] - corners[:, :2]
    if smallest is not None:
        sides = sides.clamp(min=smallest)
    axes, shares = [], []
    for begin, side, bins, extent in (
        (y, sides[:, 1], height, input.shape[2]),
        (x, sides[:, 0], width, input.shape[3]),
    ):
        bin = side / bins
        if sampling_ratio > 0:
            counts, most = sampling_ratio, sampling_ratio
            shares.append(1.0 / sampling_ratio)
        else:
            counts = bin.ceil()
            most = max(1, int(counts.amax()))
            shares.append(1 / counts.clamp(min=1))
        axes.append(_samples(begin, bin, bins, counts, most, extent))
    (place_y, weight_y), (place_x, weight_x) = axes
    share = shares[0] * shares[1]
    weight_y = weight_y * (share[:, None, None] if isinstance(share, corten.Tensor) else share)

    def compute(part):
        rows = _row_numbers(rois[part], input, place_y[part], place_x[part], by_bin)
        weights = (weight_y[part][:, :, None, :, None] * weight_x[part][:, None, :, None, :]).flatten(3)
        means = _ops._embedding_bag_sum(table, rows.flatten(0, 2), weights.flatten(0, 2).to(table.dtype))
        return means.reshape(*rows.shape[:3], -1).to(input.dtype)

    reads = height * width * place_y.shape[2] * place_x.shape[2] * table.shape[1]
    return _in_parts(len(rois), reads, compute)


def roi_align(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    """The mean of bilinear samples in each bin of each region (RoIAlign, He et al. 2017).

    Args:
        input: feature maps ``(N, C, H, W)``.
        boxes: ``(K, 5)`` as ``(image, x1, y1, x2, y2)``, or a list of ``(L, 4)``, one for each image.
        output_size: bins of a region, a number or ``(height, width)``.
        spatial_scale: feature pixels in a unit of the boxes' coordinates.
        sampling_ratio: samples of a bin on each axis; not positive for one a pixel, which reads their number back.
        aligned: shifts coordinates by half a pixel, so that they name pixels' centres.

    Returns:
        ``(K, C, height, width)``. Gradients reach ``input``, not ``boxes``.

    Raises:
        AssertionError: boxes of another shape.
        RuntimeError: boxes of another dtype than the input's.
        IndexError: boxes that name an image which is not there.
    """
    offset, smallest = (0.5, None) if aligned else (0.0, 1.0)
    return _align("roi_align", input, boxes, output_size, spatial_scale, sampling_ratio, offset, smallest, by_bin=False)


def ps_roi_align(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1):
    """Position-sensitive RoIAlign (Light-Head R-CNN, Li et al. 2017): each bin reads channels of its own.

    Args:
        input: ``(N, C * height * width, H, W)``.
        boxes, output_size, spatial_scale, sampling_ratio: as in `roi_align`, with pixels' centres.

    Returns:
        ``(K, C, height, width)``; 0 where a region without area would be sampled nowhere.

    Raises:
        RuntimeError: channels that are no multiple of the bins, besides what `roi_align` raises.
    """
    return _align("ps_roi_align", input, boxes, output_size, spatial_scale, sampling_ratio, 0.5, None, by_bin=True)


def _round(values):
    """To the nearest integer, halves away from zero."""
    return values.sign() * (values.abs() + 0.5).floor()


def _windows(start, bin, bins, extent, last):
    """First and last place (not included) of each bin along an axis, ``(K, bins)``, kept from 0 to ``last``."""
    index = corten.arange(bins, device=start.device, dtype=start.dtype)
    begin = ((index * bin[:, None]).floor() + start[:, None]).clamp(0, last)
    end = (((index + 1) * bin[:, None]).ceil() + start[:, None]).clamp(0, last)
    most = max(1, int((end - begin).amax()))
    place = begin[..., None] + corten.arange(most, device=start.device, dtype=start.dtype)
    return place.clamp(max=extent - 1).long(), place < end[..., None]


def _pool(name, input, boxes, output_size, spatial_scale, by_bin):
    """Gathers the pixels of bins with whole-pixel borders: values ``(K, height, width, read, C)`` and which count."""
    rois, height, width = _check(name, input, boxes, output_size)
    rows, columns = input.shape[2:]
    if not len(rois):
        channels = input.shape[1] // (height * width) if by_bin else input.shape[1]
        return input.new_zeros(0, channels, height, width) + 0 * input.sum()
    table = _table_by_bin(input, height, width, name) if by_bin else _table(input)
    x1, y1, x2, y2 = _round(rois[:, 1:] * spatial_scale).unbind(1)
    extra = 0 if by_bin else 1
    sides = ((y2 - y1 + extra).clamp(min=1), (x2 - x1 + extra).clamp(min=1))
    last = (rows - 1, columns - 1) if by_bin else (rows, columns)
    place_y, count_y = _windows(y1, sides[0] / height, height, rows, last[0])
    place_x, count_x = _windows(x1, sides[1] / width, width, columns, last[1])

    def compute(part):
        numbers = _row_numbers(rois[part], input, place_y[part], place_x[part], by_bin)
        counted = (count_y[part][:, :, None, :, None] & count_x[part][:, None, :, None, :]).flatten(3)[..., None]
        values = table.index_select(0, numbers.flatten()).reshape(*numbers.shape, -1)
        if by_bin:
            return corten.where(counted, values, 0.0).sum(3) / counted.sum(3).clamp(min=1).to(input.dtype)
        largest = corten.where(counted, values, -corten.inf).max(3).values
        return corten.where(counted.any(3), largest, 0.0)

    reads = height * width * place_y.shape[2] * place_x.shape[2] * table.shape[1]
    return _in_parts(len(rois), reads, compute)


def roi_pool(input, boxes, output_size, spatial_scale=1.0):
    """The greatest value in each bin of each region, with borders at whole pixels (Fast R-CNN, Girshick 2015).

    Args:
        input, boxes, output_size, spatial_scale: as in `roi_align`. The size of the largest bin is read back.

    Returns:
        ``(K, C, height, width)``; 0 in bins without a pixel. Gradients reach the first greatest pixel of a bin.

    Raises:
        AssertionError, RuntimeError, IndexError: as `roi_align`.
    """
    return _pool("roi_pool", input, boxes, output_size, spatial_scale, by_bin=False)


def ps_roi_pool(input, boxes, output_size, spatial_scale=1.0):
    """Position-sensitive average pooling of regions (R-FCN, Dai et al. 2016): each bin reads channels of its own.

    Args:
        input: ``(N, C * height * width, H, W)``.
        boxes, output_size, spatial_scale: as in `roi_pool`.

    Returns:
        ``(K, C, height, width)``.
    """
    return _pool("ps_roi_pool", input, boxes, output_size, spatial_scale, by_bin=True)


class _Regions(nn.Module):
    _shown: tuple[str, ...] = ("output_size", "spatial_scale")

    def __repr__(self):
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in self._shown)
        return f"{type(self).__name__}({shown})"


class RoIAlign(_Regions):
    """`roi_align` as a module: called with ``input`` and ``rois``."""

    _shown = ("output_size", "spatial_scale", "sampling_ratio", "aligned")

    def __init__(self, output_size, spatial_scale, sampling_ratio, aligned=False):
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(self, input, rois):
        return roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)


class PSRoIAlign(_Regions):
    """`ps_roi_align` as a module: called with ``input`` and ``rois``."""

    _shown = ("output_size", "spatial_scale", "sampling_ratio")

    def __init__(self, output_size, spatial_scale, sampling_ratio):
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio

    def forward(self, input, rois):
        return ps_roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio)


class RoIPool(_Regions):
    """`roi_pool` as a module: called with ``input`` and ``rois``."""

    def __init__(self, output_size, spatial_scale):
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale

    def forward(self, input, rois):
        return roi_pool(input, rois, self.output_size, self.spatial_scale)


class PSRoIPool(RoIPool):
    """`ps_roi_pool` as a module: called with ``input`` and ``rois``."""

    def forward(self, input, rois):
        return ps_roi_pool(input, rois, self.output_size, self.spatial_scale)
