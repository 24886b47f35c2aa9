"""Colours of tensors ``(..., C, H, W)``; the names are those of `functional`, which checks and describes arguments.

Floating-point images go from 0 to 1, others over the range of their dtype. Integers are computed in float32.
"""

import corten

from ._common import check_channels, max_value

functional = corten.nn.functional


def _floats(image):
    return image if image.is_floating_point() else image.float()


def _blend(image, other, share):
    """``share`` of the image and the rest of the other, within the dtype's range."""
    bound = max_value(image.dtype)
    return (share * _floats(image) + (1.0 - share) * other).clamp(0, bound).to(image.dtype)


def gray(image, keep_dtype=True):
    """One channel ``(..., 1, H, W)`` of a colour image, by ITU-R BT.601 weights."""
    red, green, blue = image.unbind(-3)
    luma = (0.2989 * _floats(red) + 0.587 * _floats(green) + 0.114 * _floats(blue)).unsqueeze(-3)
    return luma.to(image.dtype) if keep_dtype else luma


def rgb_to_grayscale(image, num_output_channels=1):
    check_channels(image)
    if image.shape[-3] == 3:
        image = gray(image)
        return image if num_output_channels == 1 else image.expand(*image.shape[:-3], 3, *image.shape[-2:])
    if num_output_channels == 3:
        return image.expand(*image.shape[:-3], 3, *image.shape[-2:])
    return image.clone()


def adjust_brightness(image, factor):
    bound = max_value(image.dtype)
    return (_floats(image) * factor).clamp(0, bound).to(image.dtype)


def adjust_contrast(image, factor):
    light = gray(image) if image.shape[-3] == 3 else image
    return _blend(image, _floats(light).mean((-3, -2, -1), keepdim=True), factor)


def adjust_saturation(image, factor):
    if image.dim() < 3 or image.shape[-3] == 1:
        return image
    return _blend(image, _floats(gray(image)), factor)


def adjust_gamma(image, gamma, gain=1):
    values = convert_dtype(image, corten.float32) if not image.is_floating_point() else image
    return convert_dtype((gain * values**gamma).clamp(0, 1), image.dtype)


def adjust_hue(image, factor):
    if image.dim() < 3 or image.shape[-3] == 1 or not image.numel():
        return image
    values = convert_dtype(image, corten.float32) if not image.is_floating_point() else image
    hue, saturation, value = _to_hsv(values)
    return convert_dtype(_from_hsv((hue + factor) % 1.0, saturation, value), image.dtype)


def _to_hsv(image):
    """Hue, saturation and value, each ``(..., H, W)`` from 0 to 1."""
    red, green, blue = image.unbind(-3)
    most, least = image.amax(-3), image.amin(-3)
    equal = most == least
    spread = most - least
    saturation = spread / corten.where(equal, 1.0, most)
    divisor = corten.where(equal, 1.0, spread)
    red_part, green_part, blue_part = ((most - channel) / divisor for channel in (red, green, blue))
    hue_red = (most == red) * (blue_part - green_part)
    hue_green = ((most == green) & (most != red)) * (2.0 + red_part - blue_part)
    hue_blue = ((most != green) & (most != red)) * (4.0 + green_part - red_part)
    hue = corten.fmod((hue_red + hue_green + hue_blue) / 6.0 + 1.0, 1.0)
    return hue, saturation, most


def _from_hsv(hue, saturation, value):
    sector = (hue * 6.0).floor()
    part = hue * 6.0 - sector
    sector = sector.to(corten.int32) % 6
    low = (value * (1.0 - saturation)).clamp(0.0, 1.0)
    falling = (value * (1.0 - saturation * part)).clamp(0.0, 1.0)
    rising = (value * (1.0 - saturation * (1.0 - part))).clamp(0.0, 1.0)
    # What each channel is in each of the six sectors of the colour circle.
    channels = (
        (value, falling, low, low, rising, value),
        (rising, value, value, falling, low, low),
        (low, low, rising, value, value, falling),
    )
    results = []
    for choices in channels:
        result = choices[5]
        for number in range(4, -1, -1):
            result = corten.where(sector == number, choices[number], result)
        results.append(result)
    return corten.stack(results, -3)


def adjust_sharpness(image, factor):
    height, width = image.shape[-2:]
    if not image.numel() or height <= 2 or width <= 2:
        return image
    return _blend(image, _smoothed(image), factor)


def _smoothed(image):
    """Each inner pixel with its neighbours, five times its weight against theirs; the border stays."""
    dtype = image.dtype if image.is_floating_point() else corten.float32
    kernel = corten.ones(3, 3, dtype=dtype, device=image.device)
    kernel[1, 1] = 5.0
    kernel = (kernel / kernel.sum()).reshape(1, 1, 3, 3)
    height, width = image.shape[-2:]
    planes = image.to(dtype).reshape(-1, 1, height, width)
    inner = functional.conv2d(planes, kernel)
    if not image.is_floating_point():
        inner = inner.round()
    result = planes.clone()
    result[..., 1:-1, 1:-1] = inner
    return result.reshape(image.shape)


def invert(image):
    if image.dtype == corten.bool:
        return ~image
    return image.bitwise_not() if image.dtype == corten.uint8 else max_value(image.dtype) - image


def posterize(image, bits):
    if image.is_floating_point():
        levels = 1 << bits
        return (image * levels).floor().clamp(0, levels - 1) * (1.0 / levels)
    whole = max_value(image.dtype).bit_length()
    if bits >= whole:
        return image
    return image & (((1 << bits) - 1) << (whole - bits))


def solarize(image, threshold):
    return corten.where(image >= threshold, invert(image), image)


def autocontrast(image):
    bound = max_value(image.dtype)
    values = _floats(image)
    least, most = values.amin((-2, -1), keepdim=True), values.amax((-2, -1), keepdim=True)
    scale = bound / (most - least)
    flat = ~scale.isfinite()
    least, scale = corten.where(flat, 0.0, least), corten.where(flat, 1.0, scale)
    return ((values - least) * scale).clamp(0, bound).to(image.dtype)


def equalize(image):
    if not image.numel():
        return image
    values = image if image.dtype == corten.uint8 else convert_dtype(image, corten.uint8)
    height, width = values.shape[-2:]
    flat = values.reshape(-1, height * width).long()
    planes = flat.shape[0]
    first = corten.arange(0, 256 * planes, 256, device=image.device)[:, None]
    counts = corten.bincount((flat + first).flatten(), minlength=256 * planes).reshape(planes, 256)
    running = counts.cumsum(1)
    # The brightest value present is left out of the count that a step has.
    step = (running[:, -1:] - counts.gather(1, flat.amax(1, keepdim=True))) // 255
    table = (running + step // 2) // step.clamp(min=1)
    table = functional.pad(table, [1, 0])[:, :-1].clamp(0, 255)
    result = corten.where(step == 0, flat, table.gather(1, flat)).to(corten.uint8).reshape(values.shape)
    return result if image.dtype == corten.uint8 else convert_dtype(result, image.dtype)


def convert_dtype(image, dtype):
    """The image in another dtype, its values scaled from the range of one to that of the other.

    Raises:
        RuntimeError: a floating-point dtype that cannot hold the integers of the other.
    """
    if image.dtype == dtype:
        return image
    if image.is_floating_point():
        if dtype.is_floating_point:
            return image.to(dtype)
        wide = image.dtype == corten.float32 and dtype in (corten.int32, corten.int64)
        if wide or (image.dtype == corten.float64 and dtype == corten.int64):
            raise RuntimeError(f"The cast from {image.dtype} to {dtype} cannot be performed safely.")
        # Just below one more than white, so that each integer has an equal share of [0, 1].
        return (image * (max_value(dtype) + 1.0 - 1e-3)).to(dtype)
    white = max_value(image.dtype)
    if dtype.is_floating_point:
        return image.to(dtype) / white
    bits, new_bits = white.bit_length(), max_value(dtype).bit_length()
    if bits > new_bits:
        return corten.div(image, 1 << (bits - new_bits), rounding_mode="floor").to(dtype)
    return image.to(dtype) * (1 << (new_bits - bits))


def normalize(image, mean, std, inplace=False):
    dtype = image.dtype
    mean, std = (corten.as_tensor(value, dtype=dtype, device=image.device) for value in (mean, std))
    if (std == 0).any():
        raise ValueError(f"std evaluated to zero after conversion to {dtype}, leading to division by zero.")
    mean, std = (value.reshape(-1, 1, 1) if value.dim() == 1 else value for value in (mean, std))
    return image.sub_(mean).div_(std) if inplace else (image - mean) / std


def gaussian_kernel(size, sigma, dtype, device):
    """Weights ``(size,)`` that sum to 1."""
    half = (size - 1) * 0.5
    place = corten.linspace(-half, half, size, dtype=dtype, device=device)
    weights = (-0.5 * (place / sigma).square()).exp()
    return weights / weights.sum()


def gaussian_blur(image, kernel_size, sigma):
    if not image.numel():
        return image
    dtype = image.dtype if image.is_floating_point() else corten.float32
    along_x, along_y = (gaussian_kernel(size, width, dtype, image.device) for size, width in zip(kernel_size, sigma))
    height, width = image.shape[-2:]
    planes = image.to(dtype).reshape(-1, 1, height, width)
    left, top = kernel_size[0] // 2, kernel_size[1] // 2
    planes = functional.pad(planes, [left, left, top, top], mode="reflect")
    # A Gaussian is a product: rows first, then columns.
    planes = functional.conv2d(planes, along_y.reshape(1, 1, -1, 1))
    planes = functional.conv2d(planes, along_x.reshape(1, 1, 1, -1)).reshape(image.shape)
    return planes if image.is_floating_point() else planes.round().to(image.dtype)
