"""Intel's MKL (``torch.backends.mkl``), which is not used: products, threads and kernels are corten's own."""

__all__ = ["is_available"]


def is_available():
    """False: it is not used."""
    return False
