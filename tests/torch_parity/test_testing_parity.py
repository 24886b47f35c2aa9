"""corten.testing beside PyTorch's: the same comparisons pass, errors have the same text, draws the same numbers."""

from __future__ import annotations

import warnings

import corten
import corten.testing
import numpy as np
import pytest
import torch
import torch.testing

LIBRARIES = (corten, torch)

COMPARISONS = [
    "close(t([1.,2.,3.]),t([1.,2.,4.]))",
    "close(t([1.,2.]),t([1.,2.],dtype=torch.float64))",
    "close(t([1.,2.]),t([1.,2.,3.]))",
    "close(t(1.),t(2.))",
    "close(1.,2.)",
    "close(1,1.)",
    "close(1,2)",
    "close(True,False)",
    "close(None,3)",
    "close(None,None)",
    "close([1,2],[1])",
    "close([1,(2,3)],[1,(2,4)])",
    "close({'a':1},{'b':1})",
    "close({'a':t([1.])},{'a':t([2.])})",
    "close('x','x')",
    "close(t([1]),[1])",
    "close(np.ones(2),np.zeros(2))",
    "close(np.ones(2),t([1.,1.]))",
    "close(t([nan]),t([nan]))",
    "close(t([nan]),t([nan]),equal_nan=True)",
    "close(t([1.]),t([1.1]),rtol=0.2)",
    "close(t([1.]),t([1.1]),rtol=0.2,atol=0)",
    "close(t([1.]),t([1.1]),rtol=0,atol=0)",
    "close(t([1,2]),t([1,3]))",
    "close(t([True,False]),t([True,True]))",
    "close(t([1.,2.]),t([1.,3.]),msg='mine')",
    "close(t([1.,2.]),t([1.,3.]),msg=lambda m:'X '+m)",
    "close(torch.ones(2,3),torch.ones(3,2).t(),check_stride=True)",
    "close(torch.ones(2,3),torch.ones(3,2).t())",
    "close(t([1]),t([1.]),check_dtype=False)",
    "close(1,1.,check_dtype=False)",
    "close(t([[1.,2.],[3.,5.]]),t([[1.,0.],[3.,4.]]))",
    "close(nan,nan)",
    "close(nan,nan,equal_nan=True)",
    "close(t([float('inf')]),t([1.]))",
    "close((1,2),[1,2])",
    "close(torch.nn.Parameter(t([1.])),t([1.]))",
    "close(torch.nn.Parameter(t([1.])),t([1.]),allow_subclasses=False)",
    "close(t([]),t([]))",
    "close([t([1.])],[t([2.])])",
    "close(t([0.]),t([0.]),atol=1e-3)",
    "close(1j,1j)",
    "close(t([1.]),1.)",
    "close(t([5,9],dtype=torch.uint8),t([7,9],dtype=torch.uint8))",
    "close(t([1.0,1.0]).half(),t([1.0,1.01]).half())",
    "close(t([1.0,1.0]).half(),t([1.0,1.01]),check_dtype=False)",
]

DRAWS = [
    "make(3,dtype=torch.float32,device='cpu')",
    "make((2,3),dtype=torch.int64,device='cpu')",
    "make(3,dtype=torch.uint8,device='cpu')",
    "make(6,dtype=torch.bool,device='cpu')",
    "make(2,2,dtype=torch.float64,device='cpu',low=0,high=1,requires_grad=True)",
    "make(3,dtype=torch.bfloat16,device='cpu',low=-1)",
    "make(2,2,dtype=torch.float32,device='cpu',noncontiguous=True).stride()",
    "make(3,dtype=torch.float32,device='cpu',low=3,high=1)",
    "make(3,dtype=torch.int64,device='cpu',low=3,high=3)",
    "make(3,dtype=torch.float32,device='cpu',low=1,high=1)",
    "make(3,dtype=torch.int64,device='cpu',requires_grad=True)",
    "make(3,dtype=torch.float32,device='cpu',low=nan)",
    "make(3,3,dtype=torch.float32,device='cpu',noncontiguous=True,memory_format=torch.channels_last)",
    "make(20,dtype=torch.int64,device='cpu',low=-1,high=2,exclude_zero=True)",
    "make(3,dtype=torch.bool,device='cpu',low=0,high=1)",
    "make(3,dtype=torch.float32)",
    "make([2],dtype=torch.float16,device='cpu',low=-1e10,high=1e10)",
    "make((),dtype=torch.float32,device='cpu')",
    "make(2,3,4,4,dtype=torch.float32,device='cpu',memory_format=torch.channels_last).stride()",
    "make(3,dtype=torch.int64,device='cpu',low=-100.5,high=3.5)",
    "make(3,dtype=torch.bool,device='cpu',low=3,high=5)",
    "make(3,dtype=torch.float32,device='cpu',low=-1,exclude_zero=True)",
    "make(3,dtype=torch.int8,device='cpu',low=-1000,high=1000)",
]


def outcome(lib, call):
    """What the call gives, or its error's class and text, without the library's name."""
    names = {
        "torch": lib, "np": np, "nan": float("nan"), "t": lib.tensor, "close": lib.testing.assert_close,
        "make": lib.testing.make_tensor,
    }  # fmt: skip
    lib.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return repr(eval(call, names)).replace("torch.", "corten.")
        except Exception as error:
            return type(error).__name__, str(error).replace("torch.", "corten.")


@pytest.mark.parametrize("call", COMPARISONS + DRAWS)
def test_calls_give_what_pytorchs_give(call):
    assert outcome(corten, call) == outcome(torch, call)
