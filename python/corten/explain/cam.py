"""Maps of where convolutional networks look: Grad-CAM, guided backpropagation and their product."""

import corten
from corten import nn

from ._attribution import Attribution, like_inputs, select

__all__ = ["LayerGradCam", "GuidedBackprop", "GuidedGradCam"]


def interpolated(attribution, size, mode="bilinear"):
    """A map ``(N, C, H, W)`` at another size ``(height, width)``."""
    corners = {} if mode in ("nearest", "area") else {"align_corners": False}
    return nn.functional.interpolate(attribution, size=tuple(size), mode=mode, **corners)


class LayerGradCam(Attribution):
    """Which places of a layer's output speak for an output of the network (Selvaraju et al. 2017).

    A weighted sum of the layer's channels, weighted by the mean gradient of each.

    Args:
        forward_func: the network.
        layer: a module of it whose output is ``(N, C, ...)``; usually the last convolution, or what ends its block.
    """

    def __init__(self, forward_func, layer):
        super().__init__(forward_func)
        if not isinstance(layer, nn.Module):
            raise TypeError(f"{self.name}: layer is a module of the network, got {type(layer).__name__}")
        self.layer = layer

    def attribute(self, inputs, target=None, additional_forward_args=None, relu_attributions=False):
        """The map of the layer, ``(N, 1, ...)``.

        Args:
            inputs, target, additional_forward_args: as in `corten.explain.Saliency.attribute`; inputs of any dtype.
            relu_attributions: leaves out what speaks against, as the paper does.

        Raises:
            ValueError: a target that does not fit the output, or a layer without places.
            RuntimeError: a layer that does not run, or runs more than once.
        """
        activation, gradient = self._activation_and_gradient(inputs, target, additional_forward_args)
        if activation.dim() < 3:
            raise ValueError(f"{self.name}: the layer's output is (N, C, ...), got {tuple(activation.shape)}")
        weights = gradient.mean(tuple(range(2, gradient.dim())), keepdim=True)
        found = (weights * activation).sum(1, keepdim=True)
        return found.relu() if relu_attributions else found

    def _activation_and_gradient(self, inputs, target, additional_forward_args):
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        more = additional_forward_args
        more = () if more is None else more if isinstance(more, tuple) else (more,)
        seen = []

        def hook(module, arguments, output):
            if not isinstance(output, corten.Tensor):
                raise TypeError(f"{self.name}: the layer returns a Tensor, got {type(output).__name__}")
            # A leaf in the layer's place: the network behind it is differentiated, and no more.
            leaf = output.detach().requires_grad_()
            seen.append(leaf)
            # In-place operators that follow must not change what is kept.
            return leaf.clone()

        handle = self.layer.register_forward_hook(hook)
        try:
            with corten.enable_grad():
                output = self.forward_func(*(value.detach().clone() for value in inputs), *more)
                if len(seen) != 1:
                    raise RuntimeError(f"{self.name}: the layer runs once in a forward pass, here {len(seen)} times")
                explained = select(self.name, output, target, len(inputs[0]))
                (gradient,) = corten.autograd.grad(explained.sum(), seen)
        finally:
            handle.remove()
        return seen[0].detach(), gradient

    interpolate = staticmethod(interpolated)


class GuidedBackprop(Attribution):
    """The gradient that only passes what is positive through every ReLU (Springenberg et al. 2014).

    Args:
        model: a module whose rectifiers are ``nn.ReLU`` modules; calls of ``functional.relu`` are not seen.
    """

    def __init__(self, model):
        super().__init__(model)
        if not isinstance(model, nn.Module):
            raise TypeError(f"{self.name}: model is a module, got {type(model).__name__}")
        self.rectifiers = [module for module in model.modules() if isinstance(module, nn.ReLU)]
        if not self.rectifiers:
            raise ValueError(f"{self.name}: the model has no nn.ReLU modules to guide")

    def attribute(self, inputs, target=None, additional_forward_args=None):
        """The guided gradient; arguments and errors are those of `Saliency.attribute`."""
        values = self.as_inputs(inputs)
        inplace = [module for module in self.rectifiers if module.inplace]
        handles = [module.register_full_backward_hook(_positive) for module in self.rectifiers]
        try:
            for module in inplace:
                module.inplace = False
            return like_inputs(list(self.gradients(values, target, additional_forward_args)), inputs)
        finally:
            for handle in handles:
                handle.remove()
            for module in inplace:
                module.inplace = True


def _positive(module, grad_input, grad_output):
    return tuple(gradient.relu() for gradient in grad_input)


class GuidedGradCam(Attribution):
    """Guided backpropagation times the Grad-CAM of a layer at the input's size: sharp, and of one class.

    Args:
        model: a module whose rectifiers are ``nn.ReLU`` modules.
        layer: a module of it, as in `LayerGradCam`.
    """

    def __init__(self, model, layer):
        super().__init__(model)
        self.guided, self.cam = GuidedBackprop(model), LayerGradCam(model, layer)

    def attribute(self, inputs, target=None, additional_forward_args=None, interpolate_mode="nearest"):
        """Of the inputs' shape ``(N, C, H, W)``; other arguments and errors are those of its two factors."""
        values = self.as_inputs(inputs)
        maps = self.cam.attribute(values, target, additional_forward_args, relu_attributions=True)
        guided = self.guided.attribute(values, target, additional_forward_args)
        found = [g * interpolated(maps, g.shape[2:], interpolate_mode) for g in guided]
        return like_inputs(found, inputs)
