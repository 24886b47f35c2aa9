"""Networks of `corten.models` with the arguments and the weights that torchvision gives them."""

from ._api import Weights, WeightsEnum, get_model, get_model_builder, get_model_weights, get_weight, list_models
from .alexnet import *  # noqa: F403
from .convnext import *  # noqa: F403
from .densenet import *  # noqa: F403
from .inception import *  # noqa: F403
from .mobilenet import *  # noqa: F403
from .resnet import *  # noqa: F403
from .squeezenet import *  # noqa: F403
from .vgg import *  # noqa: F403


def __getattr__(name):
    from ..._missing import missing

    raise missing(
        __name__,
        name,
        "there are AlexNet, ConvNeXt, DenseNet, Inception v3, MobileNet, ResNet, ResNeXt, SqueezeNet and VGG",
    )
