"""The gradients of convolutions as functions of their own."""

import corten

from ..autograd import grad as _gradients

ops = corten._core.ops

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _of(rank, primitive, shape, operand, grad_output, options):
    """The gradient for an operand of a shape; the other operand is given."""
    stride, padding, dilation, groups = options
    if grad_output.is_complex():
        return _of_complex(rank, primitive is ops._conv_input_grad, shape, operand, grad_output, options)
    return primitive(tuple(shape), operand, grad_output, rank, stride, padding, dilation, groups)


def _of_complex(rank, of_input, shape, operand, grad_output, options):
    """By way of the convolution, whose complex product is put together from real ones."""
    target = grad_output.new_empty(tuple(shape)).requires_grad_()
    operands = (target, operand.detach()) if of_input else (operand.detach(), target)
    with corten.enable_grad():
        output = getattr(corten, f"conv{rank}d")(*operands, None, *options)
    (found,) = _gradients(output, target, grad_output)
    return found


def _make(rank, of_input):
    name = f"conv{rank}d_{'input' if of_input else 'weight'}"
    if of_input:

        def function(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
            options = stride, padding, dilation, groups
            return _of(rank, ops._conv_input_grad, input_size, weight, grad_output, options)

    else:

        def function(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
            options = stride, padding, dilation, groups
            return _of(rank, ops._conv_weight_grad, weight_size, input, grad_output, options)

    function.__name__ = function.__qualname__ = name
    what = "input, of shape ``input_size``" if of_input else "weight, of shape ``weight_size``"
    function.__doc__ = (
        f"The gradient of ``conv{rank}d`` for its {what}.\n\n"
        "Args:\n"
        "    grad_output: the gradient for the result.\n"
        "    stride, padding, dilation, groups: those of the convolution.\n"
    )
    return function


conv1d_input, conv1d_weight = _make(1, True), _make(1, False)
conv2d_input, conv2d_weight = _make(2, True), _make(2, False)
conv3d_input, conv3d_weight = _make(3, True), _make(3, False)
