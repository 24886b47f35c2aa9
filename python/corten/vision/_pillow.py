"""Pillow, which images need and corten does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["is_pil_image", "pillow"]


def pillow(*parts: str) -> Any:
    """The module `PIL.Image`, with the other parts of Pillow that are named.

    Raises:
        ImportError: Pillow is not installed; the message says how to get it.
    """
    import importlib

    try:
        modules: list[ModuleType] = [importlib.import_module(f"PIL.{part}") for part in ("Image", *parts)]
    except ImportError as error:
        raise ImportError("images need pillow: pip install 'corten[vision]'") from error
    return modules if parts else modules[0]


def is_pil_image(value: object) -> bool:
    """Whether the value is an image of Pillow's; without importing it."""
    import sys

    image = sys.modules.get("PIL.Image")
    return image is not None and isinstance(value, image.Image)
