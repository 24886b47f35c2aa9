"""Which function does an operation for which kind of input."""

import corten
from corten.vision import tv_tensors
from corten.vision._pillow import is_pil_image

# By operation: the function for each class of `tv_tensors`, and for "pil".
KERNELS: dict = {}
_IMAGES = (tv_tensors.Image, tv_tensors.Video)


def add(operation, image=None, pil=None, mask=None, boxes=None):
    """Registers the functions of an operation; plain tensors are images."""
    table = KERNELS.setdefault(operation, {})
    for kinds, kernel in ((_IMAGES, image), ((tv_tensors.Mask,), mask), ((tv_tensors.BoundingBoxes,), boxes)):
        if kernel is not None:
            table.update(dict.fromkeys(kinds, kernel))
    if pil is not None:
        table["pil"] = pil


def add_still(operation, image, pil):
    """As `add`, for operations that videos do not have."""
    KERNELS[operation] = {tv_tensors.Image: image, "pil": pil}


def is_pure_tensor(inpt):
    """Whether the input is a tensor that says nothing of what it holds."""
    return isinstance(inpt, corten.Tensor) and not isinstance(inpt, tv_tensors.TVTensor)


def find(operation, inpt):
    """The function for an input; None where there is none."""
    table = KERNELS[operation]
    if is_pil_image(inpt):
        return table.get("pil")
    if is_pure_tensor(inpt):
        return table.get(tv_tensors.Image)
    return next((table[kind] for kind in type(inpt).__mro__ if kind in table), None)


def call(operation, inpt, *args, **kwargs):
    """The operation on an input; results of a class of `tv_tensors` stay of it.

    Raises:
        TypeError: no function is there for such an input.
    """
    kernel = find(operation, inpt)
    if kernel is None:
        known = [kind if isinstance(kind, str) else kind.__name__ for kind in KERNELS[operation]]
        raise TypeError(
            f"Functional F.{operation} supports inputs of type {known} and Tensor, but got {type(inpt)} instead."
        )
    if not isinstance(inpt, tv_tensors.TVTensor) or isinstance(inpt, tv_tensors.BoundingBoxes):
        return kernel(inpt, *args, **kwargs)
    result = kernel(inpt.as_subclass(corten.Tensor), *args, **kwargs)
    if isinstance(result, tuple):
        return tuple(tv_tensors.wrap(part, like=inpt) for part in result)
    return tv_tensors.wrap(result, like=inpt) if isinstance(result, corten.Tensor) else result


def register_kernel(functional, tv_tensor_cls):
    """Decorates a function that does an operation of this module for a class of the program's own.

    Args:
        functional: the operation, a function of this module or its name.
        tv_tensor_cls: a subclass of `tv_tensors.TVTensor`.

    Raises:
        ValueError: no operation of this module, or another class.
    """
    name = functional if isinstance(functional, str) else functional.__name__
    if name not in KERNELS:
        raise ValueError(f"Could not find functional with name '{name}' in torchvision.transforms.v2.functional.")
    if not (isinstance(tv_tensor_cls, type) and issubclass(tv_tensor_cls, tv_tensors.TVTensor)):
        raise ValueError(f"Kernels can only be registered for subclasses of TVTensor, but got {tv_tensor_cls}.")

    def register(kernel):
        KERNELS[name][tv_tensor_cls] = kernel
        return kernel

    return register
