"""Making a network whose weights are about to be loaded without drawing random ones first."""

from ..overrides import TorchFunctionMode


class undrawn(TorchFunctionMode):
    """Within it, what initialisations would draw is left out, so weights hold whatever their memory held.

    Example:
        >>> from corten.models._weights import undrawn
        >>> from corten.models.bert import bert_base
        >>> with undrawn():
        ...     model = bert_base()  # in a tenth of a second
        >>> sum(parameter.numel() for parameter in model.parameters())
        109482240
    """

    _is_partial = True

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "erfinv_", "clamp_"):
            return args[0]
        return func(*args, **(kwargs or {}))
