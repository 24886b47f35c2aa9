"""Why a network says what it says: attributions of inputs, heat maps, activations, in captum's names.

A method is made of a model (any function from inputs ``(N, ...)`` to outputs ``(N, ...)``), and its ``attribute(inputs,
target=...)`` gives numbers of the inputs' shape. ``target`` chooses the output that is explained: None for outputs
``(N,)`` or ``(N, 1)``, an index or a tuple of indices for all examples, or a list or tensor with one for each.
Parameters get no gradients, and the model stays in the mode it is in: call ``eval()`` first.
"""

from .activations import LayerActivation, activation_maximization, layer_activations
from .attention import attention_rollout, record_attention
from .cam import GuidedBackprop, GuidedGradCam, LayerGradCam
from .drawing import overlay
from .gradients import GradientShap, InputXGradient, IntegratedGradients, NoiseTunnel, Saliency, SmoothGrad
from .occlusion import Occlusion

__all__ = [
    "Saliency",
    "InputXGradient",
    "IntegratedGradients",
    "GradientShap",
    "NoiseTunnel",
    "SmoothGrad",
    "LayerGradCam",
    "GuidedBackprop",
    "GuidedGradCam",
    "Occlusion",
    "attention_rollout",
    "record_attention",
    "LayerActivation",
    "layer_activations",
    "activation_maximization",
    "overlay",
]
