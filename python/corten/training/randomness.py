"""The random states that a training run reads: Python's, numpy's, corten's on the CPU and on GPUs."""

import random

import corten

__all__ = ["random_state", "seed_everything", "set_random_state"]


def seed_everything(seed):
    """Seeds Python's `random`, numpy's global generator and corten's default generators of all devices.

    Args:
        seed: from 0 to 2**32 - 1, which is what numpy takes.
    """
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    corten.manual_seed(seed)


def random_state(gpu=False):
    """All global random states, as plain values and tensors that `corten.save` takes.

    Args:
        gpu: with those of the GPUs.
    """
    import numpy as np

    kind, numbers, *rest = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [str(kind), numbers.tolist(), *rest],
        "corten": corten.get_rng_state(),
    }
    if gpu:
        state["gpu"] = corten.gpu.get_rng_state_all()
    return state


def set_random_state(state):
    """Goes back to what `random_state` told."""
    import numpy as np

    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, numbers, *rest = state["numpy"]
    np.random.set_state((kind, np.asarray(numbers, dtype=np.uint32), *rest))
    corten.set_rng_state(state["corten"])
    if "gpu" in state:
        corten.gpu.set_rng_state_all(state["gpu"])
