"""Inception v3 of `corten.models` with torchvision's arguments and weights."""

from ...models import inception as _networks
from ...models.inception import (  # noqa: F401
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
    InceptionOutputs,
)
from ._api import build, enter, imagenet

__all__ = ["Inception3", "InceptionOutputs", "Inception_V3_Weights", "inception_v3"]

_InceptionOutputs = InceptionOutputs
Inception_V3_Weights = imagenet("Inception_V3_Weights", ["inception_v3_google-0cc3c7bd"], 299, 342)


def inception_v3(*, weights=None, progress=True, **kwargs):
    """Inception v3, of 27.2 million parameters; trained where ``weights`` are given.

    Published weights expect images normalised otherwise, so ``transform_input`` is on with them.

    Args:
        weights: a member of `Inception_V3_Weights`, or its name.
        progress: is shown while they are fetched.
        **kwargs: arguments of `corten.models.inception_v3`.
    """
    if weights is None and not kwargs.get("pretrained"):
        return build(_networks.inception_v3, weights, Inception_V3_Weights, progress, **kwargs)
    with_classifier = kwargs.get("aux_logits", True)
    kwargs |= {"aux_logits": True, "init_weights": False, "transform_input": True}
    model = build(_networks.inception_v3, weights, Inception_V3_Weights, progress, **kwargs)
    if not with_classifier:
        model.aux_logits, model.AuxLogits = False, None
    return model


enter(inception_v3, Inception_V3_Weights)
