"""Every module of nn beside PyTorch's: the same seed gives the same parameters, the same input the same results."""

from __future__ import annotations

import copy
import re

import corten
import numpy as np
import pytest
import torch

RTOL, ATOL = 2e-5, 2e-6


def normal(*shape):
    return np.asarray(np.random.default_rng(sum(shape) + len(shape)).standard_normal(shape), np.float32)


def integers(high, *shape):
    return np.random.default_rng(sum(shape) + high).integers(0, high, shape)


def signs(*shape):
    return np.where(normal(*shape) > 0, 1, -1)


def into(framework, value):
    """Arrays as tensors of ``framework``; floating-point ones collect gradients, PyTorch's tensors do not."""
    if isinstance(value, np.ndarray):
        tensor = framework.from_numpy(value.copy())
        return tensor.requires_grad_() if tensor.is_floating_point() else tensor
    if isinstance(value, torch.Tensor):
        return framework.from_numpy(value.numpy().copy())
    if isinstance(value, (tuple, list)):
        return type(value)(into(framework, part) for part in value)
    return value


def tensors_in(value, kind):
    if isinstance(value, kind):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in tensors_in(part, kind)]
    return []


def as_numpy(tensor):
    return tensor.detach().numpy()


def backward(framework, outputs):
    """Back-propagates a sum of all outputs, weighted so that no gradient cancels."""
    total = None
    for output in outputs:
        if output.requires_grad:
            weights = framework.from_numpy(np.asarray(normal(*output.shape) + 0.5)).to(output.dtype)
            part = (output * weights).sum()
            total = part if total is None else total + part
    if total is not None:
        total.backward()


def neutral(text):
    """A repr or message without the framework's name."""
    return re.sub(r"\btorch\b", "corten", text)


MODULES = {
    "Identity": ("Identity(3, a=4)", (normal(2, 3),)),
    "Linear": ("Linear(5, 3)", (normal(2, 4, 5),)),
    "Linear without bias": ("Linear(5, 3, bias=False)", (normal(2, 5),)),
    "Bilinear": ("Bilinear(3, 4, 5)", (normal(2, 3), normal(2, 4))),
    "Conv1d": ("Conv1d(4, 6, 3, stride=2, padding=1, groups=2)", (normal(2, 4, 9),)),
    "Conv1d unbatched": ("Conv1d(4, 6, 3)", (normal(4, 9),)),
    "Conv2d": ("Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))", (normal(2, 3, 8, 9),)),
    "Conv2d same": ("Conv2d(3, 4, 4, padding='same', dilation=2)", (normal(2, 3, 8, 9),)),
    "Conv2d valid": ("Conv2d(3, 4, 3, padding='valid', bias=False)", (normal(2, 3, 8, 9),)),
    "Conv2d reflect": ("Conv2d(3, 4, 3, padding=(2, 1), padding_mode='reflect')", (normal(2, 3, 8, 9),)),
    "Conv2d same circular": ("Conv2d(3, 4, 4, padding='same', padding_mode='circular')", (normal(2, 3, 8, 9),)),
    "Conv2d replicate": ("Conv2d(3, 4, 3, padding=1, padding_mode='replicate')", (normal(2, 3, 8, 9),)),
    "Conv3d": ("Conv3d(2, 3, 2, padding=1)", (normal(1, 2, 4, 5, 4),)),
    "ConvTranspose1d": ("ConvTranspose1d(4, 6, 3, stride=2, output_padding=1, groups=2)", (normal(2, 4, 5),)),
    "ConvTranspose2d": ("ConvTranspose2d(3, 2, 3, stride=2, padding=1, dilation=2)", (normal(2, 3, 4, 5),)),
    "ConvTranspose3d": ("ConvTranspose3d(2, 3, 2, stride=2)", (normal(1, 2, 3, 3, 2),)),
    "LazyLinear": ("LazyLinear(3)", (normal(2, 5),)),
    "LazyConv2d": ("LazyConv2d(4, 3, groups=2)", (normal(2, 4, 6, 6),)),
    "LazyConvTranspose1d": ("LazyConvTranspose1d(4, 3, stride=2, bias=False)", (normal(2, 3, 6),)),
    "LazyBatchNorm2d": ("LazyBatchNorm2d()", (normal(3, 4, 5, 5),)),
    "LazyInstanceNorm1d": ("LazyInstanceNorm1d()", (normal(3, 4, 5),)),
    "MaxPool1d": ("MaxPool1d(3, stride=2, padding=1)", (normal(2, 3, 9),)),
    "MaxPool2d with indices": ("MaxPool2d(2, return_indices=True)", (normal(2, 3, 6, 7),)),
    "MaxPool2d ceil": ("MaxPool2d((3, 2), 2, dilation=(1, 2), ceil_mode=True)", (normal(2, 3, 8, 8),)),
    "MaxPool3d": ("MaxPool3d(2)", (normal(1, 2, 4, 4, 4),)),
    "AvgPool1d": ("AvgPool1d(3, 2, 1, count_include_pad=False)", (normal(2, 3, 9),)),
    "AvgPool2d": ("AvgPool2d(3, 2, 1, ceil_mode=True)", (normal(2, 3, 8, 9),)),
    "AvgPool2d with divisor": ("AvgPool2d(2, divisor_override=3)", (normal(2, 3, 8, 9),)),
    "AvgPool3d": ("AvgPool3d(2)", (normal(1, 2, 4, 4, 4),)),
    "AdaptiveAvgPool1d": ("AdaptiveAvgPool1d(4)", (normal(2, 3, 9),)),
    "AdaptiveAvgPool2d": ("AdaptiveAvgPool2d((None, 3))", (normal(2, 3, 8, 7),)),
    "AdaptiveAvgPool3d": ("AdaptiveAvgPool3d(2)", (normal(1, 2, 5, 4, 4),)),
    "AdaptiveMaxPool1d": ("AdaptiveMaxPool1d(4, return_indices=True)", (normal(2, 3, 9),)),
    "AdaptiveMaxPool2d": ("AdaptiveMaxPool2d((3, None))", (normal(2, 3, 8, 7),)),
    "AdaptiveMaxPool3d": ("AdaptiveMaxPool3d(2)", (normal(1, 2, 5, 4, 4),)),
    "LPPool1d": ("LPPool1d(2, 3, stride=2)", (normal(2, 3, 9),)),
    "LPPool2d": ("LPPool2d(3, (2, 3))", (np.abs(normal(2, 3, 8, 9)),)),
    "LPPool3d": ("LPPool3d(2, 2)", (normal(1, 2, 4, 4, 4),)),
    "MaxUnpool1d": ("MaxUnpool1d(2)", (normal(1, 2, 3), np.array([[[0, 3, 4], [1, 2, 5]]]))),
    "MaxUnpool2d": ("MaxUnpool2d(2)", (normal(1, 1, 2, 2), np.array([[[[0, 3], [9, 15]]]]))),
    "MaxUnpool2d to a size": (
        "MaxUnpool2d(2)",
        (normal(1, 1, 2, 2), np.array([[[[0, 3], [9, 15]]]]), (1, 1, 5, 5)),
    ),
    "MaxUnpool3d": ("MaxUnpool3d(2)", (normal(1, 1, 1, 1, 2), np.array([[[[[0, 7]]]]]))),
    "BatchNorm1d": ("BatchNorm1d(4)", (normal(6, 4),)),
    "BatchNorm1d sequence": ("BatchNorm1d(4, momentum=None)", (normal(3, 4, 5),)),
    "BatchNorm2d": ("BatchNorm2d(3)", (normal(2, 3, 4, 5),)),
    "BatchNorm2d plain": ("BatchNorm2d(3, affine=False, track_running_stats=False)", (normal(2, 3, 4, 5),)),
    "BatchNorm2d no bias": ("BatchNorm2d(3, bias=False)", (normal(2, 3, 4, 5),)),
    "BatchNorm3d": ("BatchNorm3d(2)", (normal(2, 2, 3, 3, 3),)),
    "InstanceNorm1d": ("InstanceNorm1d(3)", (normal(2, 3, 6),)),
    "InstanceNorm2d": ("InstanceNorm2d(3, affine=True, track_running_stats=True)", (normal(2, 3, 4, 5),)),
    "InstanceNorm2d unbatched": ("InstanceNorm2d(3, affine=True)", (normal(3, 4, 5),)),
    "InstanceNorm3d": ("InstanceNorm3d(2)", (normal(2, 2, 3, 3, 3),)),
    "LayerNorm": ("LayerNorm((4, 5))", (normal(2, 4, 5),)),
    "LayerNorm plain": ("LayerNorm(5, elementwise_affine=False)", (normal(2, 4, 5),)),
    "LayerNorm no bias": ("LayerNorm(5, bias=False)", (normal(2, 4, 5),)),
    "GroupNorm": ("GroupNorm(2, 4)", (normal(2, 4, 5, 3),)),
    "RMSNorm": ("RMSNorm((4, 5))", (normal(2, 4, 5),)),
    "RMSNorm plain": ("RMSNorm(5, eps=1e-3, elementwise_affine=False)", (normal(2, 4, 5),)),
    "LocalResponseNorm": ("LocalResponseNorm(3, alpha=0.5)", (normal(2, 6, 4, 4),)),
    "LocalResponseNorm even": ("LocalResponseNorm(2, alpha=0.5)", (normal(2, 6, 4),)),
    # PyTorch's own gradient of CrossMapLRN2d is not the derivative of its output: the output alone is compared.
    "CrossMapLRN2d": ("CrossMapLRN2d(3, alpha=0.5)", (torch.from_numpy(normal(2, 6, 4, 4)),)),
    "Dropout p=0": ("Dropout(0.0)", (normal(2, 3),)),
    "Dropout p=1": ("Dropout(1.0)", (normal(2, 3),)),
    "Embedding": ("Embedding(7, 3)", (integers(7, 2, 5),)),
    "Embedding padding": ("Embedding(7, 3, padding_idx=-1)", (integers(7, 4, 5),)),
    "Embedding max_norm": ("Embedding(7, 3, max_norm=1.0)", (integers(7, 2, 5),)),
    "Embedding by frequency": ("Embedding(4, 3, scale_grad_by_freq=True)", (integers(4, 2, 5),)),
    "EmbeddingBag": ("EmbeddingBag(7, 3)", (integers(7, 2, 5),)),
    "EmbeddingBag offsets": (
        "EmbeddingBag(7, 3, mode='sum')",
        (integers(7, 6), np.array([0, 2, 2, 5]), normal(6)),
    ),
    "EmbeddingBag max": ("EmbeddingBag(7, 3, mode='max')", (integers(7, 6), np.array([0, 2, 2, 5]))),
    "EmbeddingBag padding": (
        "EmbeddingBag(4, 3, padding_idx=1, include_last_offset=True)",
        (integers(4, 6), np.array([0, 2, 6])),
    ),
    "CELU": ("CELU(0.7)", (normal(3, 4),)),
    "ELU": ("ELU(0.7)", (normal(3, 4),)),
    "GELU": ("GELU()", (normal(3, 4),)),
    "GELU tanh": ("GELU('tanh')", (normal(3, 4),)),
    "GLU": ("GLU(0)", (normal(4, 3),)),
    "Hardshrink": ("Hardshrink(0.3)", (normal(3, 4),)),
    "Hardsigmoid": ("Hardsigmoid()", (normal(3, 4),)),
    "Hardswish": ("Hardswish()", (normal(3, 4),)),
    "Hardtanh": ("Hardtanh(-0.5, 0.8)", (normal(3, 4),)),
    "LeakyReLU": ("LeakyReLU(0.2)", (normal(3, 4),)),
    "LogSigmoid": ("LogSigmoid()", (normal(3, 4),)),
    "LogSoftmax": ("LogSoftmax(1)", (normal(3, 4),)),
    "Mish": ("Mish()", (normal(3, 4),)),
    "PReLU": ("PReLU(4)", (normal(3, 4, 2),)),
    "ReLU": ("ReLU()", (normal(3, 4),)),
    "ReLU6": ("ReLU6()", (normal(3, 4) * 5,)),
    "SELU": ("SELU()", (normal(3, 4),)),
    "SiLU": ("SiLU()", (normal(3, 4),)),
    "Sigmoid": ("Sigmoid()", (normal(3, 4),)),
    "Softmax": ("Softmax(-1)", (normal(3, 4),)),
    "Softmax2d": ("Softmax2d()", (normal(2, 3, 4, 2),)),
    "Softmin": ("Softmin(0)", (normal(3, 4),)),
    "Softplus": ("Softplus(2.0, 1.0)", (normal(3, 4),)),
    "Softshrink": ("Softshrink(0.3)", (normal(3, 4),)),
    "Softsign": ("Softsign()", (normal(3, 4),)),
    "Tanh": ("Tanh()", (normal(3, 4),)),
    "Tanhshrink": ("Tanhshrink()", (normal(3, 4),)),
    "Threshold": ("Threshold(0.1, -2.0)", (normal(3, 4),)),
    "ConstantPad1d": ("ConstantPad1d((1, 2), 3.5)", (normal(2, 3, 4),)),
    "ConstantPad2d": ("ConstantPad2d((1, -1, 0, 2), 3.5)", (normal(2, 3, 4),)),
    "ConstantPad3d": ("ConstantPad3d(1, 2.0)", (normal(2, 3, 4),)),
    "ZeroPad1d": ("ZeroPad1d(2)", (normal(2, 3),)),
    "ZeroPad2d": ("ZeroPad2d((1, 2, 3, 4))", (normal(2, 3, 4),)),
    "ZeroPad3d": ("ZeroPad3d(1)", (normal(2, 3, 4),)),
    "ReflectionPad1d": ("ReflectionPad1d((2, 1))", (normal(2, 3, 4),)),
    "ReflectionPad2d": ("ReflectionPad2d((2, 1, 0, 2))", (normal(2, 3, 4, 5),)),
    "ReflectionPad3d": ("ReflectionPad3d(1)", (normal(1, 2, 3, 4, 3),)),
    "ReplicationPad1d": ("ReplicationPad1d((2, 1))", (normal(2, 3, 4),)),
    "ReplicationPad2d": ("ReplicationPad2d((2, 1, 0, 6))", (normal(2, 3, 4, 5),)),
    "ReplicationPad3d": ("ReplicationPad3d(1)", (normal(1, 2, 3, 4, 3),)),
    "CircularPad1d": ("CircularPad1d((2, 1))", (normal(2, 3, 4),)),
    "CircularPad2d": ("CircularPad2d((2, 1, 0, 2))", (normal(2, 3, 4, 5),)),
    "CircularPad3d": ("CircularPad3d(1)", (normal(1, 2, 3, 4, 3),)),
    "Flatten": ("Flatten()", (normal(2, 3, 4),)),
    "Unflatten": ("Unflatten(1, (2, -1))", (normal(2, 6, 4),)),
    "PixelShuffle": ("PixelShuffle(2)", (normal(2, 8, 3, 2),)),
    "PixelUnshuffle": ("PixelUnshuffle(2)", (normal(2, 3, 4, 6),)),
    "ChannelShuffle": ("ChannelShuffle(3)", (normal(2, 6, 3, 2),)),
    "Upsample nearest": ("Upsample(scale_factor=1.7)", (normal(2, 3, 4, 5),)),
    "Upsample linear": ("Upsample(7, mode='linear')", (normal(2, 3, 4),)),
    "Upsample bilinear": ("Upsample((7, 9), mode='bilinear', align_corners=True)", (normal(2, 3, 4, 5),)),
    "Upsample bicubic": ("Upsample(scale_factor=(1.5, 2.2), mode='bicubic')", (normal(2, 3, 4, 5),)),
    "Upsample trilinear": ("Upsample(scale_factor=2, mode='trilinear')", (normal(1, 2, 3, 4, 3),)),
    "UpsamplingNearest2d": ("UpsamplingNearest2d(6)", (normal(2, 3, 4, 5),)),
    "UpsamplingBilinear2d": ("UpsamplingBilinear2d(scale_factor=2)", (normal(2, 3, 4, 5),)),
    "Fold": ("Fold((4, 5), (2, 2), padding=1)", (normal(2, 12, 30),)),
    "Unfold": ("Unfold((2, 3), dilation=1, padding=1, stride=2)", (normal(2, 3, 5, 6),)),
    "CosineSimilarity": ("CosineSimilarity(1, 1e-6)", (normal(4, 5, 2), normal(4, 5, 1))),
    "PairwiseDistance": ("PairwiseDistance(3.0, keepdim=True)", (normal(4, 5), normal(1, 5))),
    "RNN": ("RNN(3, 4, num_layers=2)", (normal(5, 2, 3),)),
    "RNN relu": ("RNN(3, 4, 1, 'relu', False)", (normal(5, 2, 3), normal(1, 2, 4))),
    "LSTM": ("LSTM(3, 4)", (normal(5, 2, 3),)),
    "LSTM deep": (
        "LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)",
        (normal(2, 5, 3), (normal(4, 2, 4), normal(4, 2, 4))),
    ),
    "LSTM projected": ("LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2)", (normal(5, 2, 3),)),
    "LSTM unbatched": ("LSTM(3, 4, bias=False)", (normal(5, 3), (normal(1, 4), normal(1, 4)))),
    "GRU": ("GRU(3, 4, num_layers=2, bidirectional=True)", (normal(5, 2, 3), normal(4, 2, 4))),
    "GRU without bias": ("GRU(3, 4, bias=False)", (normal(5, 2, 3),)),
    "RNNCell": ("RNNCell(3, 4)", (normal(2, 3), normal(2, 4))),
    "RNNCell relu": ("RNNCell(3, 4, bias=False, nonlinearity='relu')", (normal(2, 3),)),
    "LSTMCell": ("LSTMCell(3, 4)", (normal(2, 3), (normal(2, 4), normal(2, 4)))),
    "LSTMCell unbatched": ("LSTMCell(3, 4)", (normal(3),)),
    "GRUCell": ("GRUCell(3, 4)", (normal(2, 3), normal(2, 4))),
    "TransformerEncoderLayer": ("TransformerEncoderLayer(8, 2, 16, 0.0)", (normal(5, 2, 8),)),
    "TransformerEncoderLayer norm first": (
        "TransformerEncoderLayer(8, 2, 16, 0.0, 'gelu', batch_first=True, norm_first=True, bias=False)",
        (normal(2, 5, 8),),
    ),
    "TransformerDecoderLayer": ("TransformerDecoderLayer(8, 2, 16, 0.0)", (normal(5, 2, 8), normal(4, 2, 8))),
    "Transformer": ("Transformer(8, 2, 2, 2, 16, 0.0)", (normal(5, 2, 8), normal(4, 2, 8))),
    "AdaptiveLogSoftmaxWithLoss": (
        "AdaptiveLogSoftmaxWithLoss(8, 12, [3, 6], div_value=2.0, head_bias=True)",
        (normal(5, 8), np.array([0, 11, 4, 3, 7])),
    ),
    "Sequential": ("Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))", (normal(5, 4),)),
    "L1Loss": ("L1Loss()", (normal(3, 4), normal(3, 1, 4)[:, 0])),
    "MSELoss": ("MSELoss(reduction='sum')", (normal(3, 4), normal(4, 3).T.copy())),
    "SmoothL1Loss": ("SmoothL1Loss(beta=0.5)", (normal(3, 4), normal(4, 3).T.copy())),
    "SmoothL1Loss beta 0": ("SmoothL1Loss(beta=0.0)", (normal(3, 4), normal(4, 3).T.copy())),
    "HuberLoss": ("HuberLoss(delta=0.5, reduction='none')", (normal(3, 4), normal(4, 3).T.copy())),
    "NLLLoss": ("NLLLoss(ignore_index=1)", (normal(6, 4), integers(4, 6))),
    "NLLLoss 2d": ("NLLLoss(reduction='none')", (normal(2, 4, 3, 3), integers(4, 2, 3, 3))),
    "CrossEntropyLoss": ("CrossEntropyLoss(label_smoothing=0.1)", (normal(6, 4), integers(4, 6))),
    "CrossEntropyLoss probabilities": (
        "CrossEntropyLoss(reduction='sum')",
        (normal(6, 4), np.abs(normal(4, 6)).T.copy()),
    ),
    "PoissonNLLLoss": ("PoissonNLLLoss(full=True)", (normal(3, 4), integers(5, 3, 4).astype(np.float32))),
    "PoissonNLLLoss rate": ("PoissonNLLLoss(False)", (np.abs(normal(3, 4)), integers(5, 3, 4))),
    "GaussianNLLLoss": ("GaussianNLLLoss(full=True)", (normal(3, 4), normal(4, 3).T.copy(), np.abs(normal(3, 1)))),
    "KLDivLoss": ("KLDivLoss(reduction='batchmean')", (normal(3, 4), np.abs(normal(4, 3)).T.copy())),
    "KLDivLoss log": ("KLDivLoss(reduction='sum', log_target=True)", (normal(3, 4), normal(4, 3).T.copy())),
    "BCELoss": ("BCELoss()", (np.clip(np.abs(normal(3, 4)), 0.05, 0.9), integers(2, 3, 4).astype(np.float32))),
    "BCEWithLogitsLoss": ("BCEWithLogitsLoss()", (normal(3, 4), integers(2, 3, 4).astype(np.float32))),
    "HingeEmbeddingLoss": ("HingeEmbeddingLoss(0.7)", (normal(3, 4), signs(3, 4))),
    "MultiLabelMarginLoss": (
        "MultiLabelMarginLoss(reduction='none')",
        (normal(3, 4), np.array([[3, 0, -1, 1], [-1, 2, 2, 2], [0, 1, 2, 3]])),
    ),
    "MultiLabelSoftMarginLoss": ("MultiLabelSoftMarginLoss()", (normal(3, 4), integers(2, 3, 4).astype(np.float32))),
    "SoftMarginLoss": ("SoftMarginLoss()", (normal(3, 4), signs(3, 4))),
    "CosineEmbeddingLoss": ("CosineEmbeddingLoss(0.2)", (normal(4, 5), normal(5, 4).T.copy(), signs(4))),
    "MarginRankingLoss": ("MarginRankingLoss(0.5)", (normal(6), normal(7)[:6], signs(6).astype(np.float32))),
    "MultiMarginLoss": ("MultiMarginLoss(p=2, margin=0.8)", (normal(5, 4), integers(4, 5))),
    "TripletMarginLoss": ("TripletMarginLoss(swap=True)", (normal(3, 4), normal(4, 4)[:3], normal(5, 4)[:3])),
    "TripletMarginWithDistanceLoss": (
        "TripletMarginWithDistanceLoss(margin=2.0)",
        (normal(3, 4), normal(4, 4)[:3], normal(5, 4)[:3]),
    ),
    "CTCLoss": (
        "CTCLoss(zero_infinity=True)",
        (normal(6, 3, 5), np.array([[1, 1, 2], [3, 4, 0], [1, 2, 3]]), (6, 5, 2), (3, 2, 3)),
    ),
    "CTCLoss concatenated": (
        "CTCLoss(blank=4, reduction='none')",
        (normal(6, 2, 5), np.array([1, 2, 1, 0, 3]), (6, 4), (3, 2)),
    ),
}


def build(framework, text):
    framework.manual_seed(7)
    return eval(f"nn.{text}", {"nn": framework.nn})


def call(framework, module, arguments, text):
    """The module's result, from a fixed seed: lazy modules draw their parameters in the first call."""
    framework.manual_seed(5)
    if "CTC" in text:
        return module(arguments[0].log_softmax(-1), *arguments[1:])
    return module(*arguments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text, inputs", MODULES.values(), ids=MODULES)
def test_a_seeded_module_computes_what_pytorch_computes(text, inputs):
    ours, theirs = build(corten, text), build(torch, text)
    assert repr(ours) == repr(theirs)
    arguments = into(corten, inputs), into(torch, inputs)
    results = [call(*case, text) for case in zip((corten, torch), (ours, theirs), arguments)]
    assert repr(ours) == repr(theirs)

    outputs = tensors_in(results[0], corten.Tensor), tensors_in(results[1], torch.Tensor)
    assert len(outputs[0]) == len(outputs[1])
    for mine, other in zip(*outputs):
        assert tuple(mine.shape) == tuple(other.shape)
        np.testing.assert_allclose(as_numpy(mine), as_numpy(other), RTOL, ATOL)

    backward(corten, outputs[0])
    backward(torch, outputs[1])
    for mine, other in zip(tensors_in(arguments[0], corten.Tensor), tensors_in(arguments[1], torch.Tensor)):
        assert (mine.grad is None) == (other.grad is None)
        if mine.grad is not None:
            np.testing.assert_allclose(as_numpy(mine.grad), as_numpy(other.grad), RTOL, ATOL)

    parameters = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert list(parameters[0]) == list(parameters[1])
    for name in parameters[0]:
        mine, other = parameters[0][name].grad, parameters[1][name].grad
        assert (mine is None) == (other is None), name
        if mine is not None:
            np.testing.assert_allclose(as_numpy(mine), as_numpy(other), 1e-4, 1e-5, err_msg=name)

    states = ours.state_dict(), theirs.state_dict()
    assert list(states[0]) == list(states[1])
    assert states[0]._metadata == states[1]._metadata
    for name in states[0]:
        np.testing.assert_allclose(as_numpy(states[0][name]), as_numpy(states[1][name]), RTOL, ATOL, err_msg=name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text, inputs", MODULES.values(), ids=MODULES)
def test_evaluation_mode_and_a_copy_compute_what_pytorch_computes(text, inputs):
    ours, theirs = build(corten, text).eval(), build(torch, text).eval()
    arguments = into(corten, inputs), into(torch, inputs)
    theirs_result = call(torch, theirs, arguments[1], text)
    for module in (copy.deepcopy(ours), ours):
        result = call(corten, module, arguments[0], text)
        for mine, other in zip(tensors_in(result, corten.Tensor), tensors_in(theirs_result, torch.Tensor)):
            np.testing.assert_allclose(as_numpy(mine), as_numpy(other), RTOL, ATOL)


REPRS = [
    "Dropout(0.3, inplace=True)",
    "Dropout2d()",
    "AlphaDropout(0.2)",
    "RReLU(inplace=True)",
    "ReLU(inplace=True)",
    "Threshold(1, 2, inplace=True)",
    "Embedding(3, 2, padding_idx=-1, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True, sparse=True)",
    "EmbeddingBag(3, 2, max_norm=2.0, norm_type=1.0, mode='sum', padding_idx=1, scale_grad_by_freq=True)",
    "MultiheadAttention(4, 2)",
    "FractionalMaxPool2d(2, output_size=3)",
    "ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])",
    "ModuleList([nn.Sequential(nn.Linear(1, 2)) for _ in range(2)])",
    "ModuleDict({'a': nn.Linear(1, 2), 'b': nn.ModuleDict()})",
    "ParameterList([nn.Parameter(framework.ones(2, 3)), 3, nn.Parameter(framework.ones(()))])",
    "Sequential(nn.ParameterList([framework.ones(2)]), nn.ModuleList([nn.ParameterList([1, 2])]))",
    "RNN(2, 3, nonlinearity='relu')",
    "LSTM(2, 3, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True, proj_size=2)",
    "BatchNorm1d(3, momentum=None, affine=False)",
    "CrossEntropyLoss(reduction='sum')",
    "TransformerEncoder(nn.TransformerEncoderLayer(4, 2), 2)",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", REPRS)
def test_a_module_prints_as_in_pytorch(text):
    printed = [repr(eval(f"nn.{text}", {"nn": framework.nn, "framework": framework})) for framework in (corten, torch)]
    assert neutral(printed[0]) == neutral(printed[1])


ATTENTION = {
    "self": ({}, {}),
    "no weights": ({}, {"need_weights": False}),
    "weights of each head": ({"bias": False}, {"average_attn_weights": False}),
    "bias_kv and zero": ({"add_bias_kv": True, "add_zero_attn": True}, {}),
    "batch first": ({"batch_first": True}, {}),
    "float mask": ({}, {"attn_mask": normal(4, 5)}),
    "boolean mask without weights": ({}, {"attn_mask": normal(4, 5) > 1.0, "need_weights": False}),
    "mask of each head": ({}, {"attn_mask": normal(6, 4, 5), "need_weights": False}),
    "padding": ({}, {"key_padding_mask": normal(3, 5) > 0.8}),
    "both masks": (
        {"add_bias_kv": True},
        {"key_padding_mask": normal(3, 5) > 0.8, "attn_mask": normal(4, 5) > 1.5, "need_weights": False},
    ),
    "other sizes": ({"kdim": 6, "vdim": 7}, {}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options, masked", ATTENTION.values(), ids=ATTENTION)
def test_attention_computes_what_pytorch_computes(options, masked):
    results = []
    for framework in (corten, torch):
        framework.manual_seed(3)
        module = framework.nn.MultiheadAttention(8, 2, **options)
        query = into(framework, normal(4, 3, 8))
        key = into(framework, normal(5, 3, options.get("kdim", 8)))
        value = into(framework, normal(5, 3, options["vdim"])) if "vdim" in options else key
        inputs = [query, key, value]
        if options.get("batch_first"):
            inputs = [tensor.transpose(0, 1) for tensor in inputs]
            inputs[2] = inputs[1]
        masks = {name: into(framework, mask) if isinstance(mask, np.ndarray) else mask for name, mask in masked.items()}
        output, weights = module(*inputs, **masks)
        backward(framework, [output] if weights is None else [output, weights])
        results.append((output, weights, query.grad, key.grad, *[p.grad for p in module.parameters()]))
    for mine, other in zip(*results):
        assert (mine is None) == (other is None)
        if mine is not None:
            np.testing.assert_allclose(as_numpy(mine), as_numpy(other), 1e-4, 1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_masked_transformer_computes_what_pytorch_computes():
    results = []
    for framework in (corten, torch):
        framework.manual_seed(3)
        module = framework.nn.Transformer(8, 2, 1, 2, 16, 0.0, batch_first=True)
        src, tgt = into(framework, normal(2, 5, 8)), into(framework, normal(2, 4, 8))
        causal = framework.nn.Transformer.generate_square_subsequent_mask(4)
        hidden = into(framework, normal(2, 5) > 0.9)
        output = module(
            src, tgt, tgt_mask=causal, tgt_is_causal=True, src_key_padding_mask=hidden, memory_key_padding_mask=hidden
        )
        backward(framework, [output])
        results.append((output, src.grad, tgt.grad))
    for mine, other in zip(*results):
        np.testing.assert_allclose(as_numpy(mine), as_numpy(other), 1e-4, 1e-5)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packed_sequences_run_as_in_pytorch(kind, enforce_sorted):
    lengths = [5, 3, 3, 1] if enforce_sorted else [3, 5, 1, 3]
    results = []
    for framework in (corten, torch):
        framework.manual_seed(3)
        module = getattr(framework.nn, kind)(3, 4, num_layers=2, bidirectional=True)
        rnn = framework.nn.utils.rnn
        x = into(framework, normal(5, 4, 3))
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=enforce_sorted)
        output, state = module(packed)
        padded, out_lengths = rnn.pad_packed_sequence(output, padding_value=-1.0, total_length=6)
        assert out_lengths.tolist() == lengths
        state = state if isinstance(state, tuple) else (state,)
        backward(framework, [padded, *state])
        results.append(
            (packed.data, packed.batch_sizes, padded, *state, x.grad, *[p.grad for p in module.parameters()])
        )
    for mine, other in zip(*results):
        np.testing.assert_allclose(as_numpy(mine), as_numpy(other), 1e-4, 1e-5)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_gradients_of_gradients_of_recurrent_layers_are_those_of_pytorch(kind):
    results = []
    for framework in (corten, torch):
        framework.manual_seed(3)
        module = getattr(framework.nn, kind)(3, 33, num_layers=2, bidirectional=True)
        x = into(framework, normal(7, 5, 3))
        output, state = module(x)
        states = state if isinstance(state, tuple) else (state,)
        total = sum((y**2).sum() for y in (output, *states))
        first = framework.autograd.grad(total, [x, *module.parameters()], create_graph=True)
        sum((g**2).sum() for g in first).backward()
        results.append([*first, x.grad, *[p.grad for p in module.parameters()]])
    for mine, other in zip(*results, strict=True):
        np.testing.assert_allclose(as_numpy(mine), as_numpy(other), 1e-4, 1e-5 * float(other.detach().abs().max()))


INITIALISERS = {
    "uniform_": ((3, 4), {"a": -1.0, "b": 2.0}),
    "normal_": ((30, 4), {"mean": 1.0, "std": 0.5}),
    "trunc_normal_": ((30, 4), {"std": 0.02, "a": -0.03, "b": 0.03}),
    "constant_": ((3,), {"val": 2.5}),
    "ones_": ((3,), {}),
    "zeros_": ((3,), {}),
    "eye_": ((3, 4), {}),
    "dirac_": ((4, 2, 3, 3), {"groups": 2}),
    "xavier_uniform_": ((4, 5, 3), {"gain": 2.0}),
    "xavier_normal_": ((20, 5), {}),
    "kaiming_uniform_": ((4, 5), {"mode": "fan_out", "nonlinearity": "relu"}),
    "kaiming_normal_": ((20, 5), {"a": 0.1}),
    "orthogonal_": ((4, 6), {"gain": 1.5}),
    "sparse_": ((6, 5), {"sparsity": 0.3}),
}


@pytest.mark.parametrize("name", INITIALISERS)
def test_an_initialiser_draws_pytorchs_numbers(name):
    shape, options = INITIALISERS[name]
    drawn = []
    for framework in (corten, torch):
        framework.manual_seed(11)
        tensor = framework.empty(shape)
        assert getattr(framework.nn.init, name)(tensor, **options) is tensor
        drawn.append(as_numpy(tensor))
    np.testing.assert_allclose(*drawn, RTOL, ATOL)


@pytest.mark.parametrize("wide", [True, False])
def test_orthogonal_spans_the_same_matrix_both_ways(wide):
    drawn = []
    for framework in (corten, torch):
        framework.manual_seed(11)
        drawn.append(as_numpy(framework.nn.init.orthogonal_(framework.empty((3, 7) if wide else (7, 3)))))
    np.testing.assert_allclose(*drawn, 1e-4, 1e-5)


def test_every_name_of_pytorchs_nn_that_is_a_module_exists():
    # Multi-device wrappers and quantisation have no counterpart.
    absent = {"DataParallel", "SyncBatchNorm", "LinearCrossEntropyLoss"}
    names = {
        name
        for name, value in vars(torch.nn).items()
        if isinstance(value, type) and issubclass(value, torch.nn.Module) and name not in absent
    }
    assert names <= set(corten.nn.__all__)
