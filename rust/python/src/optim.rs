//! The steps of optimizers: gathers what belongs to each parameter of a group from the optimizer's state, in one call.

use crate::error::IntoPy;
use crate::tensor::PyTensor;
use corten_core::ops::optim::{self, Adam, AdamState, Sgd};
use corten_core::tensor::Tensor;
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Calls `update` with every parameter of a group that has a gradient, as an object and as a tensor, and its gradient.
fn for_each_gradient<'py>(
    params: &Bound<'py, PyAny>,
    mut update: impl FnMut(&Bound<'py, PyAny>, &Tensor, Tensor) -> PyResult<()>,
) -> PyResult<()> {
    for object in params.try_iter()? {
        let object = object?;
        let param = object.cast::<PyTensor>()?.get().tensor();
        let grad = param.meta().and_then(|m| m.state().grad.clone());
        grad.map_or(Ok(()), |g| update(&object, &param, g))?;
    }
    Ok(())
}

/// As [`for_each_gradient`], with the parameter's state, which `start(param)` makes where it is missing or empty.
fn for_each_state<'py>(
    params: &Bound<'py, PyAny>,
    state: &Bound<'py, PyDict>,
    start: &Bound<'py, PyAny>,
    mut update: impl FnMut(&Tensor, Tensor, &Bound<'py, PyDict>) -> PyResult<()>,
) -> PyResult<()> {
    for_each_gradient(params, |object, param, grad| {
        let known = state.get_item(object)?.filter(|s| s.len().is_ok_and(|n| n > 0));
        let own = match known {
            Some(own) => own,
            None => start.call1((object,))?,
        };
        update(param, grad, own.cast::<PyDict>()?)
    })
}

fn tensor_of(state: &Bound<'_, PyDict>, key: &Bound<'_, PyString>) -> PyResult<Tensor> {
    let found = state.get_item(key)?.ok_or_else(|| PyKeyError::new_err(key.to_string()))?;
    match found.cast::<PyTensor>() {
        Ok(t) => Ok(t.get().tensor()),
        Err(_) => Err(PyTypeError::new_err(format!("the optimizer's state '{key}' must be a Tensor"))),
    }
}

/// Takes the gradients of all parameters of a group away.
#[pyfunction]
pub fn drop_gradients(params: &Bound<'_, PyAny>) -> PyResult<()> {
    for object in params.try_iter()? {
        let object = object?;
        if let Some(meta) = object.cast::<PyTensor>()?.get().tensor().meta() {
            meta.set_grad(None);
        }
    }
    Ok(())
}

/// An Adam step of all parameters of a group that have a gradient.
#[pyfunction]
#[pyo3(signature = (params, state, start, *, lr, betas, eps, weight_decay, amsgrad, decoupled, maximize))]
#[expect(clippy::too_many_arguments, reason = "they are the options of the optimizer, given by name")]
pub fn adam_step(
    py: Python<'_>,
    params: &Bound<'_, PyAny>,
    state: &Bound<'_, PyDict>,
    start: &Bound<'_, PyAny>,
    lr: f64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
    amsgrad: bool,
    decoupled: bool,
    maximize: bool,
) -> PyResult<()> {
    let numbers = Adam { lr, betas, eps, weight_decay, decoupled, maximize };
    for_each_state(params, state, start, |param, grad, own| {
        let one = AdamState {
            param: param.clone(),
            grad,
            step: tensor_of(own, intern!(py, "step"))?,
            mean: tensor_of(own, intern!(py, "exp_avg"))?,
            square: tensor_of(own, intern!(py, "exp_avg_sq"))?,
            largest: amsgrad.then(|| tensor_of(own, intern!(py, "max_exp_avg_sq"))).transpose()?,
        };
        optim::adam(&one, &numbers).py()
    })
}

/// A step of gradient descent of all parameters of a group that have a gradient.
#[pyfunction]
#[pyo3(signature = (params, state, start, *, lr, momentum, dampening, weight_decay, nesterov, maximize))]
#[expect(clippy::too_many_arguments, reason = "they are the options of the optimizer, given by name")]
pub fn sgd_step(
    py: Python<'_>,
    params: &Bound<'_, PyAny>,
    state: &Bound<'_, PyDict>,
    start: &Bound<'_, PyAny>,
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    maximize: bool,
) -> PyResult<()> {
    let numbers = Sgd { lr, momentum, dampening, weight_decay, nesterov, maximize };
    let key = intern!(py, "momentum_buffer");
    if momentum == 0.0 {
        return for_each_gradient(params, |_, param, grad| optim::sgd(param, &grad, None, &numbers).map(|_| ()).py());
    }
    for_each_state(params, state, start, |param, grad, own| {
        let buffer = match own.get_item(key)? {
            Some(b) if !b.is_none() => Some(tensor_of(own, key)?),
            _ => None,
        };
        match optim::sgd(param, &grad, buffer.as_ref(), &numbers).py()? {
            Some(made) => own.set_item(key, PyTensor::wrap(py, made)?),
            None => Ok(()),
        }
    })
}
