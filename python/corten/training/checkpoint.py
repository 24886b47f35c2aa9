"""Files that appear whole or not at all, and copies of a state in memory."""

import copy
import os
from pathlib import Path

import corten

__all__ = ["copied", "load_checkpoint", "save_whole"]


def save_whole(state, path):
    """`corten.save` after which, whatever happens meanwhile, `path` is the old file or the new one, never a part.

    The state is written to a file beside `path`, brought to the disk and renamed. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        corten.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_checkpoint(path, config):
    """The checkpoint of a run with this `config`, on the CPU.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it was not written by `fit`, or by a run with another `config`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path} to resume from")
    state = corten.load(path, map_location="cpu")
    if not isinstance(state, dict) or "corten.fit" not in state:
        raise ValueError(f"{path} is no checkpoint of corten.fit")
    if state["config"] != config:
        raise ValueError(f"{path} is of a run with {state['config']}, this one has {config}")
    return state


def copied(state):
    """A copy of nested dicts, lists and tuples whose tensors are copies as well."""
    if isinstance(state, corten.Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if type(state) in (list, tuple):
        return type(state)(copied(value) for value in state)
    return copy.deepcopy(state)
