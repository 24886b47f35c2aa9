"""Arguments of every kind on both packages: their types, rare dtypes and sizes, strides of results, `out=`."""

from __future__ import annotations

import warnings
from typing import Any

import corten
import numpy as np
import pytest
import torch

# Expressions in a package `f`; values, dtypes, shapes and strides have to agree, or the classes of the errors.
EXPRESSIONS = """
f.einsum('i->', f.tensor([200, 100], dtype=f.uint8))
f.einsum('ij,jk->', f.ones(2, 2, dtype=f.int32), f.ones(2, 2, dtype=f.int32))
f.einsum('ij,k->j', f.ones(2, 2, dtype=f.int32), f.ones(2, dtype=f.int32))
f.einsum('ij->i', f.ones(2, 2, dtype=f.bool))
f.trapezoid(f.tensor([200, 100, 50], dtype=f.uint8))
f.trapezoid(f.tensor([[1., 5., 2.], [3., 4., 7.]]), dx=0.5, dim=0)
f.trapezoid(f.tensor([1., 5., 2.]), dx=3)
f.trapezoid(f.tensor([4.]))
f.trapezoid(f.tensor([True, False]))
f.trapezoid(f.tensor([1., 2.]), f.tensor([True, False]))
f.cumulative_trapezoid(f.tensor([True, False]))
f.gradient(f.tensor([1, 2, 4], dtype=f.uint8))
f.gradient(f.tensor([True, False, True]))
f.rad2deg(f.tensor([1j]))
f.deg2rad(f.tensor([1j]))
f.linalg.cross(f.ones(3, dtype=f.bool), f.ones(3, dtype=f.bool))
f.linalg.vander(f.ones(3, dtype=f.bool))
f.linalg.vander(f.ones(3, dtype=f.float16))
f.linalg.householder_product(f.tensor(1.), f.tensor(1.))
f.lu_unpack(f.tensor(1.), f.tensor(1, dtype=f.int32))
f.lu_unpack(f.eye(3), f.tensor([1, 0, 2, 0, 3, 0], dtype=f.int32)[::2])
f.cov(f.ones(0), aweights=f.ones(0))
f.cov(f.ones(2, 0), fweights=f.ones(0, dtype=f.int64))
f.tensor(1.).mH
f.tensor(1j).H
f.matrix_power(f.ones(2, 2).t(), 0)
f.renorm(f.ones(2, 3).t().contiguous().t(), 2, 0, 1.)
f.unravel_index(f.arange(6).reshape(2, 3)[:, ::2], (4, 5))
f.unravel_index(f.arange(12).reshape(3, 4).t(), (4, 5))
f.unravel_index(f.tensor([19, -1], dtype=f.int32), (4, 5))
f.unravel_index(f.tensor([200], dtype=f.uint8), (300, 5))
f.unravel_index(f.tensor(3), 5)
f.float_power(f.ones(2), 2, out=f.zeros(2, dtype=f.complex64))
f.float_power(f.ones(2), 2, out=f.zeros(2, dtype=f.float16))
f.float_power(f.ones(2), 2, out=f.zeros(2, dtype=f.float64))
f.geqrf(f.eye(2), out=(f.zeros(2, 2, dtype=f.float64), f.zeros(2, dtype=f.float64)))
F.pixel_shuffle(f.arange(8.).reshape(1, 2, 2, 2).transpose(2, 3), 1)
F.pixel_unshuffle(f.arange(8.).reshape(1, 2, 2, 2).transpose(2, 3), 1)
F.grid_sample(f.ones(0, 3, 5, 5), f.ones(0, 5, 4, 2), align_corners=False)
F.grid_sample(f.ones(0, 3, 5, 5, 5), f.ones(0, 5, 5, 4, 3), align_corners=False)
F.grid_sample(f.ones(2, 3, 5, 5), f.ones(2, 0, 5, 2), align_corners=False)
F.grid_sample(f.ones(2, 0, 5, 5), f.ones(2, 5, 5, 2), align_corners=False)
F.celu(f.ones(1), 0.)
F.pairwise_distance(f.ones(2, 2), f.ones(2, 2), p='fro')
F.interpolate(f.arange(36.).reshape(1, 1, 6, 6).sin(), (4, 9), mode='lanczos', antialias=True)
F.interpolate(f.arange(36.).reshape(1, 1, 6, 6), scale_factor=0.6, mode='lanczos', antialias=True)
F.interpolate(f.arange(36.).reshape(1, 1, 6, 6), (6, 3), mode='lanczos', antialias=True)
F.interpolate(f.arange(36.).reshape(1, 1, 6, 6), (6, 6), mode='lanczos', antialias=True)
F.interpolate(f.full((1, 1, 4, 4), 9, dtype=f.uint8), (7, 2), mode='lanczos', antialias=True)
F.interpolate(f.ones(1, 1, 4, 4), (2, 2), mode='lanczos')
F.interpolate(f.ones(1, 1, 4, 4), (2, 2), mode='lanczos', antialias=True, align_corners=True)
F.interpolate(f.ones(1, 1, 4), (2,), mode='lanczos', antialias=True)
F.interpolate(f.ones(1, 1, 4, 4, dtype=f.int32), (2, 2), mode='lanczos', antialias=True)
f.svd(f.eye(2), some='yes')
f.svd(f.eye(2), True, 1)
f.cholesky_inverse(f.eye(2), upper=1)
f.cholesky_solve(f.eye(2), f.eye(2), upper='x')
f.cov(f.ones(3), fweights='x')
f.cov(f.ones(3), correction=1.5)
f.cov([1., 2.])
f.gradient(f.ones(3), edge_order='x')
f.histogram(f.ones(3), 3, weight='x')
f.histogram(f.ones(3), 3, density='x')
f.isclose(f.ones(1), f.ones(1), equal_nan='x')
f.isclose(f.ones(1), f.ones(1), 'x')
f.istft(f.ones(3, 3), 4, hop_length='x')
f.istft(f.ones(3, 3), 4, window='x')
f.istft(f.ones(3, 3), 4, center='x')
f.lu_unpack(f.eye(2), f.ones(2, dtype=f.int32), unpack_data='x')
f.nanquantile(f.ones(3), 0.5, dim='x')
f.quantile(f.ones(3), 0.5, keepdim='x')
f.quantile(f.ones(3), 0.5, interpolation=3.5)
f.quantile([1., 2.], 0.5)
f.ormqr(f.eye(2), f.ones(2), f.eye(2), left='x')
f.triangular_solve(f.eye(2), f.eye(2), upper='x')
f.linalg.cholesky_ex(f.eye(2), check_errors='x')
f.linalg.eigh(f.eye(2), UPLO=3.5)
f.linalg.inv_ex(f.eye(2), check_errors='x')
f.linalg.lstsq(f.eye(2), f.eye(2), rcond='x')
f.linalg.lu(f.eye(2), pivot='x')
f.linalg.matrix_rank(f.eye(2), hermitian='x')
f.linalg.pinv(f.eye(2), hermitian='x')
f.linalg.solve_ex(f.eye(2), f.eye(2), check_errors='x')
f.linalg.norm(f.eye(2), dtype='x')
f.linalg.det([[1.]])
f.linalg.matrix_power(f.eye(2), 1.5)
f.kron(f.ones(2), 3)
f.diff(f.ones(3), n=True)
f.nansum('x')
f.nansum(f.arange(6.).reshape(2, 3), axis=0, keepdims=True)
f.nansum(f.arange(6.).reshape(2, 3), dim=0, axis=0)
f.nanmean(f.arange(6.).reshape(2, 3), axis=-1)
f.nanmean(f.ones(3), dtype=f.int64)
f.std_mean(f.arange(6.).reshape(2, 3), axis=0, keepdims=True)
f.var_mean(f.arange(6.).reshape(2, 3), axis=1)
f.var_mean(f.arange(6.).reshape(2, 3), (0, 1), False, True)
f.var_mean(f.arange(6.), correction=2)
f.std_mean(f.arange(6.), False)
f.std_mean(f.arange(6))
f.sum(f.ones(2, 3) * 1.7, 0, out=f.empty(3, dtype=f.int32))
f.prod(f.ones(2, 3), 0, out=f.empty(3, dtype=f.float64))
f.cumsum(f.arange(6).reshape(2, 3), 0, out=f.empty(2, 3, dtype=f.int32))
f.sum(f.ones(2, 3), 0, dtype=f.float64, out=f.empty(3))
f.cumprod(f.ones(2, 3), 0, dtype=f.int64, out=f.empty(2, 3))
f.quantile(f.arange(6.).reshape(2, 3), 0.3, axis=0)
f.diff(f.arange(6.).reshape(2, 3) ** 2, axis=0)
f.fft.fft(f.arange(6.).reshape(2, 3), axis=0)
f.fft.irfftn(f.arange(6.).reshape(2, 3), axis=(0, 1))
f.fft.fftshift(x=f.arange(6.).reshape(2, 3), axis=1)
f.linalg.vector_norm(f.arange(6.).reshape(2, 3), axis=0, keepdims=True)
f.linalg.norm(input=f.arange(6.).reshape(2, 3), axis=1)
f.linalg.cross(f.arange(6.).reshape(2, 3), f.arange(6.).reshape(2, 3) ** 2, axis=1)
f.linalg.det(A=f.eye(2))
f.norm(f.ones(2, 3, 4), 'nuc')
""".strip().splitlines()
FRAMEWORKS = (corten, torch)


def tensors(found: Any) -> list[Any]:
    return [t for part in found for t in tensors(part)] if isinstance(found, (tuple, list)) else [found]


def evaluated(text: str, framework: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tensors(eval(text, {"f": framework, "F": framework.nn.functional}))
        except Exception as error:
            return next(base for base in type(error).__mro__ if base.__module__ == "builtins")


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_arguments_give_what_pytorch_gives_or_are_refused_with_its_class_of_error(text):
    mine, other = (evaluated(text, framework) for framework in FRAMEWORKS)
    if isinstance(mine, type) or isinstance(other, type):
        # NotImplementedError is a RuntimeError.
        assert isinstance(mine, type) and isinstance(other, type) and issubclass(mine, other), (mine, other)
        return
    assert len(mine) == len(other)
    for a, b in zip(mine, other, strict=True):
        assert str(a.dtype).split(".")[1] == str(b.dtype).split(".")[1] and tuple(a.shape) == tuple(b.shape)
        if b.numel() > 1:
            dims = [d for d, size in enumerate(b.shape) if size > 1]
            assert [a.stride()[d] for d in dims] == [b.stride()[d] for d in dims]
        np.testing.assert_allclose(np.array(a.tolist()), np.array(b.tolist()), 1e-5, 1e-5)


@pytest.mark.parametrize("size", [(4, 4), (7, 7), (3, 9), (1, 1)])
def test_lanczos_images_of_bytes_are_pytorchs_to_one_level(size):
    results = []
    for framework in FRAMEWORKS:
        x = (framework.arange(100, dtype=framework.uint8) * 37).reshape(1, 1, 10, 10)
        images = framework.nn.functional.interpolate(x, size, mode="lanczos", antialias=True)
        assert images.dtype == framework.uint8
        results.append(np.array(images.tolist()))
    assert np.abs(results[0] - results[1]).max() <= 1


def test_lanczos_images_have_pytorchs_gradient():
    gradients = []
    for framework in FRAMEWORKS:
        x = framework.arange(25.0).reshape(1, 1, 5, 5).requires_grad_()
        out = framework.nn.functional.interpolate(x, (3, 8), mode="lanczos", antialias=True)
        (out * framework.arange(24.0).reshape(1, 1, 3, 8)).sum().backward()
        gradients.append(np.array(x.grad.tolist()))
    np.testing.assert_allclose(*gradients, 1e-4, 1e-4)


@pytest.mark.parametrize("name", ["AdamW", "Adam", "RMSprop", "NAdam", "Adadelta", "ASGD", "Rprop"])
def test_an_update_of_all_parameters_at_once_is_not_differentiable(name):
    for framework in FRAMEWORKS:
        parameter = framework.nn.Parameter(framework.ones(2))
        optimizer = getattr(framework.optim, name)([parameter], lr=0.1, foreach=True, differentiable=True)
        parameter.grad = framework.ones(2)
        with pytest.raises(AssertionError, match="support autograd"):
            optimizer.step()


# Calls with an object `d` that is no tensor, whose class takes over functions.
TAKEN_OVER = """
f.einsum('i', d)
f.einsum('i,i', f.ones(2), d)
f.svd(d)
f.quantile(d, .5)
f.isclose(d, f.ones(2))
f.cov(d)
f.diff(d)
f.rad2deg(d)
f.gradient(d)
f.kron(f.ones(2), d)
f.histogram(d, 3)
f.norm(d)
f.linalg.norm(d)
f.linalg.lstsq(f.eye(2), d)
f.fft.fft(d)
f.stft(d, 4)
""".strip().splitlines()


@pytest.mark.parametrize("text", TAKEN_OVER)
def test_functions_in_python_are_taken_over_as_a_whole(text):
    found = []
    for framework in FRAMEWORKS:

        class Stranger:
            calls: list[str] = []

            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                cls.calls.append(func.__name__.split("_")[-1])
                return "taken over"

        assert eval(text, {"f": framework, "d": Stranger()}) == "taken over"
        found.append(Stranger.calls)
    assert found[0] == found[1] and len(found[0]) == 1


@pytest.mark.parametrize("name", ["add", "linalg.norm", "fft.fft", "nn.functional.relu"])
def test_functions_are_found_by_the_name_that_pytorch_gives(name):
    names = []
    for framework in FRAMEWORKS:
        function = framework
        for part in name.split("."):
            function = getattr(function, part)
        names.append(framework.overrides.resolve_name(function))
    assert names[0].replace("corten.", "torch.") == names[1]
