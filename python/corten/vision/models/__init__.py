"""Networks for images with torchvision's names and keys: AlexNet, VGG, ResNet and its kin, SqueezeNet."""

from ._api import Weights, WeightsEnum, get_model, get_model_builder, get_model_weights, get_weight, list_models
from .alexnet import *  # noqa: F403
from .resnet import *  # noqa: F403
from .squeezenet import *  # noqa: F403
from .vgg import *  # noqa: F403


def __getattr__(name):
    from ..._missing import missing

    raise missing(__name__, name, "there are AlexNet, VGG, ResNet, ResNeXt and SqueezeNet")
