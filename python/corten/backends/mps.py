"""Apple's GPUs (``torch.backends.mps``): they are device ``gpu`` here, through Metal."""

__all__ = ["is_available", "is_built", "is_macos_or_newer", "is_macos13_or_newer"]


def is_built():
    """False: an Apple GPU is device ``gpu``."""
    return False


def is_available():
    """False: an Apple GPU is device ``gpu``; `corten.gpu.is_available` tells whether there is one."""
    return False


def is_macos_or_newer(major, minor):
    """Whether the system is macOS of that version or a newer one."""
    import platform

    version = platform.mac_ver()[0]
    return bool(version) and tuple(map(int, version.split(".")[:2])) >= (major, minor)


def is_macos13_or_newer(minor=0):
    """Whether the system is macOS 13 of that minor version or a newer one."""
    return is_macos_or_newer(13, minor)
