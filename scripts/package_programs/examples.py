"""A plugin of pytest for examples of docstrings: what packages' own settings for them do, which wheels leave out."""

import random
import sys

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def examples_begin_with_a_seed_and_some_names(request, doctest_namespace):
    random.seed(42)
    np.random.seed(42)
    torch.manual_seed(42)
    package = request.node.nodeid.removeprefix("venv/").partition("site-packages/")[2].partition("/")[0]
    doctest_namespace.update(np=np, torch=torch)
    if package in sys.modules:
        doctest_namespace[package] = sys.modules[package]
