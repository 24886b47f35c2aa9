"""The second version of transforms as functions: of images, videos, masks and boxes, and of Pillow's images.

What an input is its class in `tv_tensors` says; plain tensors are images. Arguments are those of the functions of the
same name in `corten.vision.transforms.functional`, where interpolation may be a name too.
"""

from ..._common import InterpolationMode
from ._dispatch import is_pure_tensor, register_kernel
from .color import (
    adjust_brightness,
    adjust_contrast,
    adjust_gamma,
    adjust_hue,
    adjust_saturation,
    adjust_sharpness,
    autocontrast,
    equalize,
    gaussian_blur,
    gaussian_noise,
    grayscale_to_rgb,
    invert,
    normalize,
    permute_channels,
    posterize,
    rgb_to_grayscale,
    solarize,
    to_grayscale,
)
from .convert import (
    clamp_bounding_boxes,
    convert_bounding_box_format,
    convert_image_dtype,
    erase,
    get_dimensions,
    get_image_num_channels,
    get_image_size,
    get_num_channels,
    get_num_frames,
    get_size,
    jpeg,
    pil_to_tensor,
    sanitize_bounding_boxes,
    to_dtype,
    to_image,
    to_pil_image,
    to_tensor,
    uniform_temporal_subsample,
)
from .geometry import (
    affine,
    center_crop,
    crop,
    elastic,
    elastic_transform,
    five_crop,
    hflip,
    horizontal_flip,
    pad,
    perspective,
    resize,
    resized_crop,
    rotate,
    ten_crop,
    vertical_flip,
    vflip,
)
