"""The networks of the field in the names of their papers, one file a family; docs/models.md lists them.

A network is made by a function, ``corten.models.resnet18(num_classes=10)``, or by the class that the function calls.
"""

from .alexnet import *  # noqa: F403
from .autoencoder import *  # noqa: F403
from .convnext import *  # noqa: F403
from .crepe import *  # noqa: F403
from .densenet import *  # noqa: F403
from .diffusion import *  # noqa: F403
from .diffusion_unet import *  # noqa: F403
from .efficientnet import *  # noqa: F403
from .fcos import *  # noqa: F403
from .gan import *  # noqa: F403
from .log_mel import *  # noqa: F403
from .mobilenet import *  # noqa: F403
from .resnet import *  # noqa: F403
from .shallow_deep import *  # noqa: F403
from .siamese import *  # noqa: F403
from .silero_vad import *  # noqa: F403
from .squeezenet import *  # noqa: F403
from .unet import *  # noqa: F403
from .vgg import *  # noqa: F403
