"""The gradients of convolutions as functions of their own."""

import corten

from ..autograd import grad as _gradients

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _of(convolve, input, weight, grad_output, options, of_input):
    """The gradient for one operand; the other, whose shape alone counts, is made where it is not given."""
    like = grad_output
    input, weight = (
        like.new_empty(tuple(x)) if not isinstance(x, corten.Tensor) else x.detach() for x in (input, weight)
    )
    target = (input if of_input else weight).requires_grad_()
    with corten.enable_grad():
        output = convolve(input, weight, None, *options)
    (found,) = _gradients(output, target, grad_output)
    return found


def _make(rank, of_input):
    convolve = getattr(corten, f"conv{rank}d")
    name = f"conv{rank}d_{'input' if of_input else 'weight'}"
    if of_input:

        def function(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
            options = stride, padding, dilation, groups
            return _of(convolve, input_size, weight, grad_output, options, True)

    else:

        def function(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
            options = stride, padding, dilation, groups
            return _of(convolve, input, weight_size, grad_output, options, False)

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
