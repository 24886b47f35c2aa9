"""What `corten.cpu.amp` and `corten.cuda.amp` say of their names."""

import warnings


def warn_deprecated(device, name):
    """Warns the caller's caller that ``torch.<device>.amp.<name>`` has a successor in `torch.amp`."""
    argument = f"device_type='{device}'" if name.startswith("custom") else f"'{device}'"
    warnings.warn(
        f"`torch.{device}.amp.{name}(args...)` is deprecated. "
        f"Please use `torch.amp.{name}({argument}, args...)` instead.",
        FutureWarning,
        stacklevel=3,
    )
