"""Automatic augmentation: the learned policies, the ranges of magnitudes, and how an operation is applied."""

import math

import corten

from . import functional as F

# The policies of AutoAugment (Cubuk et al. 2019, appendix): on each line pairs of operation, probability, magnitude.
POLICIES = {
    "imagenet": """
Posterize .4 8 Rotate .6 9; Solarize .6 5 AutoContrast .6 -; Equalize .8 - Equalize .6 -; Posterize .6 7 Posterize .6 6;
Equalize .4 - Solarize .2 4; Equalize .4 - Rotate .8 8; Solarize .6 3 Equalize .6 -; Posterize .8 5 Equalize 1. -;
Rotate .2 3 Solarize .6 8; Equalize .6 - Posterize .4 6; Rotate .8 8 Color .4 0; Rotate .4 9 Equalize .6 -;
Equalize 0. - Equalize .8 -; Invert .6 - Equalize 1. -; Color .6 4 Contrast 1. 8; Rotate .8 8 Color 1. 2;
Color .8 8 Solarize .8 7; Sharpness .4 7 Invert .6 -; ShearX .6 5 Equalize 1. -; Color .4 0 Equalize .6 -;
Equalize .4 - Solarize .2 4; Solarize .6 5 AutoContrast .6 -; Invert .6 - Equalize 1. -; Color .6 4 Contrast 1. 8;
Equalize .8 - Equalize .6 -""",
    "cifar10": """
Invert .1 - Contrast .2 6; Rotate .7 2 TranslateX .3 9; Sharpness .8 1 Sharpness .9 3; ShearY .5 8 TranslateY .7 9;
AutoContrast .5 - Equalize .9 -; ShearY .2 7 Posterize .3 7; Color .4 3 Brightness .6 7; Sharpness .3 9 Brightness .7 9;
Equalize .6 - Equalize .5 -; Contrast .6 7 Sharpness .6 5; Color .7 7 TranslateX .5 8; Equalize .3 - AutoContrast .4 -;
TranslateY .4 3 Sharpness .2 6; Brightness .9 6 Color .2 8; Solarize .5 2 Invert 0. -; Equalize .2 - AutoContrast .6 -;
Equalize .2 - Equalize .6 -; Color .9 9 Equalize .6 -; AutoContrast .8 - Solarize .2 8; Brightness .1 3 Color .7 0;
Solarize .4 5 AutoContrast .9 -; TranslateY .9 9 TranslateY .7 9; AutoContrast .9 - Solarize .8 3;
Equalize .8 - Invert .1 -; TranslateY .7 9 AutoContrast .9 -""",
    "svhn": """
ShearX .9 4 Invert .2 -; ShearY .9 8 Invert .7 -; Equalize .6 - Solarize .6 6; Invert .9 - Equalize .6 -;
Equalize .6 - Rotate .9 3; ShearX .9 4 AutoContrast .8 -; ShearY .9 8 Invert .4 -; ShearY .9 5 Solarize .2 6;
Invert .9 - AutoContrast .8 -; Equalize .6 - Rotate .9 3; ShearX .9 4 Solarize .3 3; ShearY .8 8 Invert .7 -;
Equalize .9 - TranslateY .6 6; Invert .9 - Equalize .6 -; Contrast .3 3 Rotate .8 4; Invert .8 - TranslateY 0. 2;
ShearY .7 6 Solarize .4 8; Invert .6 - Rotate .8 4; ShearY .3 7 TranslateX .9 3; ShearX .1 6 Invert .6 -;
Solarize .7 2 TranslateY .6 7; ShearY .8 4 Invert .8 -; ShearX .7 9 TranslateY .8 3; ShearY .8 5 AutoContrast .7 -;
ShearX .7 2 Invert .1 -""",
}
_TURNS = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_COLOURS = ("Brightness", "Color", "Contrast", "Sharpness")


def policy(name):
    """The pairs of ``(operation, probability, magnitude or None)`` of a policy."""
    pairs = []
    for line in POLICIES[name].split(";"):
        words = line.split()
        parts = [words[:3], words[3:]]
        pairs.append(
            tuple((kind, float(p), None if magnitude == "-" else int(magnitude)) for kind, p, magnitude in parts)
        )
    return pairs


def _steps(most, bins):
    return corten.linspace(0.0, most, bins, device="cpu")


def magnitudes(bins, shears, moves, degrees, colours, bits, white):
    """Magnitudes of each operation, None where it has none, and whether they have a sign.

    Args:
        bins: how many magnitudes.
        shears: the greatest shear.
        moves: the greatest translations ``(x, y)`` in pixels.
        degrees: the greatest angle.
        colours: the greatest change of a colour's factor.
        bits: how many bits posterising keeps and takes away at most.
        white: the threshold at which solarising changes nothing.
    """
    keeps, takes = bits
    lost = (corten.arange(bins, device="cpu") / ((bins - 1) / takes)).round().int()
    space = {"Identity": (None, False)}
    for name, most in zip(_TURNS, (shears, shears, *moves, degrees)):
        space[name] = (_steps(most, bins), True)
    for name in _COLOURS:
        space[name] = (_steps(colours, bins), True)
    space["Posterize"] = (keeps - lost, False)
    space["Solarize"] = (corten.linspace(white, 0.0, bins, device="cpu"), False)
    for name in ("AutoContrast", "Equalize", "Invert"):
        space[name] = (None, False)
    return space


def _without(space, *names):
    return {name: value for name, value in space.items() if name not in names}


def auto_space(bins, height, width, white=255.0):
    """The magnitudes of AutoAugment."""
    moves = (150.0 / 331.0 * width, 150.0 / 331.0 * height)
    return _without(magnitudes(bins, 0.3, moves, 30.0, 0.9, (8, 4), white), "Identity")


def rand_space(bins, height, width, white=255.0):
    """The magnitudes of RandAugment."""
    moves = (150.0 / 331.0 * width, 150.0 / 331.0 * height)
    return _without(magnitudes(bins, 0.3, moves, 30.0, 0.9, (8, 4), white), "Invert")


def trivial_space(bins, height, width, white=255.0):
    """The magnitudes of TrivialAugment, which know nothing of the image's size."""
    return _without(magnitudes(bins, 0.99, (32.0, 32.0), 135.0, 0.99, (8, 6), white), "Invert")


def mix_space(bins, height, width, white=255.0, all_ops=True):
    """The magnitudes of AugMix, whose order has the colours last."""
    space = magnitudes(bins, 0.3, (width / 3.0, height / 3.0), 30.0, 0.9, (4, 4), white)
    first = (*_TURNS, "Posterize", "Solarize", "AutoContrast", "Equalize")
    return {name: space[name] for name in (first + _COLOURS if all_ops else first)}


def apply(image, name, magnitude, interpolation, fill, functions=F):
    """The image after an operation.

    Args:
        functions: the module whose functions do it.

    Raises:
        ValueError: an unknown operation.
    """
    warp = dict(interpolation=interpolation, fill=fill)
    if name in ("ShearX", "ShearY"):
        shear = [math.degrees(math.atan(magnitude)), 0.0]
        shear = shear if name == "ShearX" else shear[::-1]
        return functions.affine(image, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0], **warp)
    if name in ("TranslateX", "TranslateY"):
        move = [int(magnitude), 0] if name == "TranslateX" else [0, int(magnitude)]
        return functions.affine(image, angle=0.0, translate=move, scale=1.0, shear=[0.0, 0.0], **warp)
    if name == "Rotate":
        return functions.rotate(image, magnitude, **warp)
    if name in _COLOURS:
        change = {"Color": "saturation"}.get(name, name.lower())
        return getattr(functions, f"adjust_{change}")(image, 1.0 + magnitude)
    if name == "Posterize":
        return functions.posterize(image, int(magnitude))
    if name == "Solarize":
        return functions.solarize(image, magnitude)
    if name in ("AutoContrast", "Equalize", "Invert"):
        return getattr(functions, name.lower())(image)
    if name == "Identity":
        return image
    raise ValueError(f"No transform available for {name}")
