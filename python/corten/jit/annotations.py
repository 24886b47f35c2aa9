"""Names for annotations, which TorchScript reads and Python does not."""

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035  (the names are what is imported from here)

__all__ = ["Any", "Dict", "List", "Optional", "Tuple", "Union"]
