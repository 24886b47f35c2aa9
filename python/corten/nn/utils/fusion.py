"""Folding an evaluated batch normalisation into the layer before it."""

import copy

import corten

from ..parameter import Parameter


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose=False):
    """Returns the weight and bias of a convolution that includes the normalisation after it.

    Args:
        conv_w, conv_b: the convolution's parameters; the bias may be None.
        bn_rm, bn_rv, bn_eps: running mean, running variance and epsilon.
        bn_w, bn_b: the normalisation's affine parameters; either may be None.
        transpose: the convolution is a transposed one.
    """
    if conv_b is None:
        conv_b = corten.zeros_like(bn_rm)
    if bn_w is None:
        bn_w = corten.ones_like(bn_rm)
    if bn_b is None:
        bn_b = corten.zeros_like(bn_rm)
    scale = bn_w * corten.rsqrt(bn_rv + bn_eps)
    shape = [1, -1] if transpose else [-1, 1]
    weight = (conv_w * scale.reshape(shape + [1] * (conv_w.dim() - 2))).to(conv_w.dtype)
    bias = ((conv_b - bn_rm) * scale + bn_b).to(conv_b.dtype)
    return Parameter(weight, conv_w.requires_grad), Parameter(bias, conv_b.requires_grad)


def fuse_conv_bn_eval(conv, bn, transpose=False):
    """Returns a copy of ``conv`` that includes ``bn``; both in evaluation mode."""
    if conv.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """Returns the weight and bias of a linear layer that includes the normalisation after it."""
    scale = bn_w * corten.rsqrt(bn_rv + bn_eps)
    bias = (-bn_rm if linear_b is None else linear_b - bn_rm) * scale + bn_b
    requires_grad = linear_w.requires_grad if linear_b is None else linear_b.requires_grad
    weight = (linear_w * scale.unsqueeze(-1)).to(linear_w.dtype)
    return Parameter(weight, linear_w.requires_grad), Parameter(bias.to(linear_w.dtype), requires_grad)


def fuse_linear_bn_eval(linear, bn):
    """Returns a copy of ``linear`` that includes ``bn``; both in evaluation mode."""
    if linear.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1")
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
