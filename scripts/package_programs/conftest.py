"""What programs of several packages begin with."""

import warnings

import pytest
import torch


@pytest.fixture
def quiet():
    """The seed 0, and no warnings of the package about itself."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
