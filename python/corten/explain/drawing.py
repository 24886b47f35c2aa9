"""Attributions drawn over images."""

import corten

from .cam import interpolated

__all__ = ["overlay"]

# Colours at equal steps: from blue over black to red for signed numbers, and from black over red to pale yellow.
_MAPS = {
    "signed": [(0.15, 0.45, 1.0), (0.0, 0.1, 0.35), (0.0, 0.0, 0.0), (0.4, 0.05, 0.0), (1.0, 0.35, 0.1)],
    "heat": [(0.0, 0.0, 0.0), (0.45, 0.05, 0.1), (0.9, 0.2, 0.05), (1.0, 0.65, 0.1), (1.0, 1.0, 0.75)],
}


def overlay(image, attribution, path=None, *, sign="all", alpha=0.6, percentile=99.0):
    """An attribution as colours over its image.

    The image is drawn in gray. The scale ends at a percentile of the attribution's sizes, so that single pixels do not
    take all the contrast.

    Args:
        image: ``(C, H, W)`` with one or three channels, or ``(H, W)``: uint8, or floats from their lowest to their
            highest value; or a batch ``(N, C, H, W)``, which becomes a grid.
        attribution: ``(H, W)`` or ``(C, H, W)``, summed over channels; or a batch. Another size is interpolated to the
            image's, as for Grad-CAM.
        path: where the picture is written, as a PNG file; needs Pillow.
        sign: ``"all"`` draws what speaks for the output in red and what speaks against it in blue, ``"positive"`` and
            ``"negative"`` one of them and ``"absolute_value"`` their size, as heat.
        alpha: how strong the colours are, from 0 to 1.
        percentile: of the sizes, where the scale ends.

    Returns:
        uint8 tensor ``(3, H, W)``, or of the grid.

    Raises:
        ValueError: shapes that do not belong together, NaN, or an unknown sign.
        ImportError: a path without Pillow.
    """
    if sign not in ("all", "positive", "negative", "absolute_value"):
        raise ValueError(f"overlay: sign is all, positive, negative or absolute_value, got {sign!r}")
    if not 0 <= alpha <= 1 or not 0 < percentile <= 100:
        raise ValueError(f"overlay: alpha lies in 0 to 1 and percentile in 0 to 100, got {alpha} and {percentile}")
    with corten.no_grad():
        images, maps = _batches(image, attribution)
        drawn = (1 - alpha) * images + alpha * _coloured(maps, sign, percentile)
        drawn = (drawn.clamp(0, 1) * 255).round().to(corten.uint8)
        if len(drawn) == 1:
            picture = drawn[0]
        else:
            from ..vision.utils import make_grid

            picture = make_grid(drawn)
    if path is not None:
        from ..vision.io import write_png

        write_png(picture.cpu(), str(path))
    return picture


def _batches(image, attribution):
    """Gray images ``(N, 1, H, W)`` from 0 to 1 and maps of the same shape."""
    if image.dim() not in (2, 3, 4) or attribution.dim() not in (2, 3, 4):
        raise ValueError(f"overlay: takes images and maps, got {tuple(image.shape)} and {tuple(attribution.shape)}")
    images = image.detach().float()
    images = images if image.dim() == 4 else images.reshape(1, -1, *image.shape[-2:])
    maps = attribution.detach().float()
    maps = maps if attribution.dim() == 4 else maps.reshape(1, -1, *attribution.shape[-2:])
    if images.shape[1] not in (1, 3) or len(images) != len(maps):
        raise ValueError(
            f"overlay: images have one or three channels and a map each, got {tuple(image.shape)} and "
            f"{tuple(attribution.shape)}"
        )
    if not bool(maps.isfinite().all()):
        raise ValueError("overlay: the attribution contains NaN or infinity")
    if image.dtype == corten.uint8:
        images = images / 255
    else:
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
        images = (images - low) / (high - low).clamp(min=1e-12)
    # Weights of luminance by ITU-R BT.601.
    weights = images.new_tensor([0.299, 0.587, 0.114] if images.shape[1] == 3 else [1.0]).reshape(1, -1, 1, 1)
    maps = maps.sum(1, keepdim=True)
    if maps.shape[2:] != images.shape[2:]:
        maps = interpolated(maps, images.shape[2:])
    return (images * weights).sum(1, keepdim=True), maps


def _coloured(maps, sign, percentile):
    """Colours ``(N, 3, H, W)``; each map has a scale of its own."""
    if sign != "all":
        maps = {"positive": maps.relu, "negative": (-maps).relu, "absolute_value": maps.abs}[sign]()
    end = maps.abs().flatten(1).quantile(percentile / 100, dim=1).reshape(-1, 1, 1, 1)
    # A percentile of 0, of a map with few pixels: the scale ends at the largest.
    end = corten.where(end > 0, end, maps.abs().amax((1, 2, 3), keepdim=True)).clamp(min=1e-30)
    scaled = (maps / end).clamp(-1, 1)
    colours = maps.new_tensor(_MAPS["signed" if sign == "all" else "heat"])
    place = ((scaled + 1) / 2 if sign == "all" else scaled) * (len(colours) - 1)
    below = place.floor().clamp(0, len(colours) - 2)
    share = place - below
    index = below.long()[:, 0]
    mixed = colours[index] * (1 - share[:, 0, ..., None]) + colours[index + 1] * share[:, 0, ..., None]
    return mixed.permute(0, 3, 1, 2)
