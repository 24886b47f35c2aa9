"""Converting the weights of convolutions to a memory format."""

from ..modules.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d


def _convert(module, kinds, memory_format):
    if isinstance(module, kinds):
        module.weight.data = module.weight.detach().clone(memory_format=memory_format)
    for child in module.children():
        _convert(child, kinds, memory_format)
    return module


def convert_conv2d_weight_memory_format(module, memory_format):
    """Stores the weights of all 2-d convolutions below ``module`` in ``memory_format``; returns the module."""
    return _convert(module, (Conv2d, ConvTranspose2d), memory_format)


def convert_conv3d_weight_memory_format(module, memory_format):
    """Stores the weights of all 3-d convolutions below ``module`` in ``memory_format``; returns the module."""
    return _convert(module, (Conv3d, ConvTranspose3d), memory_format)
