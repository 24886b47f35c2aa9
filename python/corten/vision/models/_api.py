"""What the networks share: their register by name, and the addresses of trained weights."""

import fnmatch
import functools
import warnings
from dataclasses import dataclass, field
from enum import Enum

__all__ = [
    "Weights",
    "WeightsEnum",
    "build",
    "enter",
    "get_model",
    "get_model_builder",
    "get_model_weights",
    "get_weight",
    "imagenet",
    "list_models",
    "publish",
]

_BUILDERS: dict = {}
_WEIGHTS: dict = {}


class ImageClassification:
    """What trained weights expect of images: resized, cropped at the centre, of floats from 0 to 1, normalised.

    Args:
        crop_size, resize_size: pixels of the shorter side, before and after the crop.
    """

    def __init__(self, *, crop_size, resize_size=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(mean), list(std)

    def __call__(self, img):
        """A PIL image or a tensor ``(..., 3, H, W)`` as the network's input ``(..., 3, crop_size, crop_size)``."""
        import corten

        from ..transforms import functional as F

        img = F.center_crop(F.resize(img, self.resize_size, antialias=True), self.crop_size)
        if not isinstance(img, corten.Tensor):
            img = F.pil_to_tensor(img)
        return F.normalize(F.convert_image_dtype(img, corten.float32), mean=self.mean, std=self.std)


@dataclass(eq=False)
class Weights:
    """Trained weights: where they are, and what they expect of images."""

    url: str
    transforms: functools.partial
    meta: dict = field(default_factory=dict)


class WeightsEnum(Enum):
    """The trained weights of one network; each member's value is a `Weights`."""

    @classmethod
    def verify(cls, obj):
        """A member given itself or by its name, such as ``"DEFAULT"``.

        Raises:
            TypeError: weights of another network.
        """
        if obj is None or isinstance(obj, cls):
            return obj
        if isinstance(obj, str):
            return cls[obj.removeprefix(cls.__name__ + ".")]
        raise TypeError(f"Invalid Weight class provided; expected {cls.__name__} but received {type(obj).__name__}.")

    def get_state_dict(self, *args, **kwargs):
        """The weights, read by `corten.hub.load_state_dict_from_url`, which takes the other arguments."""
        from ... import hub

        return hub.load_state_dict_from_url(self.url, *args, **kwargs)

    @property
    def url(self):
        return self.value.url

    @property
    def transforms(self):
        return self.value.transforms

    @property
    def meta(self):
        return self.value.meta


def imagenet(name, files, crop_size=224, resize_size=256):
    """The enumeration of the weights that torchvision publishes for a network, trained on ImageNet's 1000 classes.

    Args:
        name: of the enumeration, such as ``"ResNet18_Weights"``.
        files: their names without ``.pth``; the second is the later training, made for images resized to 232.
        crop_size, resize_size: what the first training expects of images, see `ImageClassification`.
    """
    members = {}
    for version, file in enumerate(files, start=1):
        preset = functools.partial(
            ImageClassification, crop_size=crop_size, resize_size=232 if version > 1 else resize_size
        )
        address = f"https://download.pytorch.org/models/{file}.pth"
        members[f"IMAGENET1K_V{version}"] = Weights(address, preset, {"num_classes": 1000})
    members["DEFAULT"] = members[f"IMAGENET1K_V{len(files)}"]
    return WeightsEnum(name, members, module="corten.vision.models")


def enter(builder, enumeration):
    """Enters a function that makes a network into the register, with its weights."""
    _BUILDERS[builder.__name__], _WEIGHTS[builder.__name__] = builder, enumeration


def publish(namespace, names):
    """Puts functions into a module that make the networks of `corten.models` with torchvision's arguments.

    Each is entered into the register with the enumeration of its weights, which joins the module as well.

    Args:
        namespace: the module's globals.
        names: by function, the enumeration's name without ``_Weights``, and the files of weights without ``.pth``,
            divided by blanks.

    Returns:
        The names of the functions and enumerations.
    """
    from ... import models

    entered = []
    for name, (spelled, files) in names.items():
        enumeration = imagenet(f"{spelled}_Weights", [f"{name}-{file}" for file in files.split()])
        builder = _builder(getattr(models, name), enumeration)
        builder.__module__ = namespace["__name__"]
        namespace[name], namespace[enumeration.__name__] = builder, enumeration
        enter(builder, enumeration)
        entered += [name, enumeration.__name__]
    return entered


def _builder(network, enumeration):
    def builder(*, weights=None, progress=True, **kwargs):
        return build(network, weights, enumeration, progress, **kwargs)

    builder.__name__ = builder.__qualname__ = network.__name__
    builder.__doc__ = (
        f"{network.__doc__}\n\nTrained where ``weights`` are given: a member of `{enumeration.__name__}`, or its name; "
        f"``progress`` is shown while they are fetched. Other arguments go to `corten.models.{network.__name__}`."
    )
    return builder


def build(kind, weights, enumeration, progress, **kwargs):
    """A network ``kind(**kwargs)`` with trained weights, or with fresh ones where ``weights`` is None.

    The older argument ``pretrained`` stands for the first weights, with a warning.

    Raises:
        ValueError: ``num_classes`` is not that of the weights.
    """
    if "pretrained" in kwargs:
        warnings.warn("The parameter 'pretrained' is deprecated, please use 'weights' instead.", stacklevel=3)
        weights = enumeration.IMAGENET1K_V1 if kwargs.pop("pretrained") else weights
    weights = enumeration.verify(weights)
    if weights is None:
        return kind(**kwargs)
    classes = weights.meta["num_classes"]
    if kwargs.setdefault("num_classes", classes) != classes:
        raise ValueError(
            f"The parameter 'num_classes' expected value {classes} but got {kwargs['num_classes']} instead."
        )
    model = kind(**kwargs)
    model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    return model


def list_models(module=None, include=None, exclude=None):
    """The names of the networks, sorted.

    Args:
        module: only those of this module.
        include, exclude: patterns of names, with ``*`` and ``?``; one or several.
    """
    patterns = [[given] if isinstance(given, str) else list(given or ()) for given in (include, exclude)]

    def fits(name, which):
        return any(fnmatch.fnmatch(name, pattern) for pattern in patterns[which])

    return sorted(
        name
        for name, builder in _BUILDERS.items()
        if (module is None or builder.__module__ == module.__name__)
        and (not patterns[0] or fits(name, 0))
        and not fits(name, 1)
    )


def get_model_builder(name):
    """The function that makes the network of a name, whatever the case of its letters.

    Raises:
        ValueError: there is none.
    """
    try:
        return _BUILDERS[name.lower()]
    except KeyError:
        raise ValueError(f"Unknown model {name}; there are {', '.join(list_models())}") from None


def get_model(name, **config):
    """The network of a name, made with the arguments of its function."""
    return get_model_builder(name)(**config)


def get_model_weights(name):
    """The enumeration of the weights of a network, given by its name or by the function that makes it."""
    return _WEIGHTS[(name if callable(name) else get_model_builder(name)).__name__]


def get_weight(name):
    """Weights by their full name, such as ``"ResNet18_Weights.DEFAULT"``.

    Raises:
        ValueError: there are none.
    """
    kind, _, member = name.partition(".")
    for enumeration in _WEIGHTS.values():
        if enumeration.__name__ == kind and member in enumeration.__members__:
            return enumeration[member]
    raise ValueError(f"Unable to find weights {name}; they are called as 'ResNet18_Weights.DEFAULT' is")
