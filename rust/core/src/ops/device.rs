//! Moving tensors between devices.

use super::elementwise::preserved;
use super::{copy_as, create};
use crate::device::Device;
use crate::error::Result;
use crate::exec::{self, transfer};
use crate::grad::Rule;
use crate::graph::Node;
use crate::tensor::{Keep, Tensor, attach};
use smallvec::SmallVec;
use std::sync::Arc;

/// The tensor on `device`, itself where it is there already; dense in the order of its strides (`torch.Tensor.to`).
pub fn to_device(t: &Tensor, device: Device) -> Result<Tensor> {
    if t.device() == device {
        return Ok(t.clone());
    }
    transfer::check_dtype(t.dtype(), device)?;
    if !t.dtype().is_primitive() {
        let stored = to_device(&t.stored(), device)?;
        return match t.dtype().is_complex() {
            true => returned(t, super::complex::owned(&stored)?),
            false => returned(t, stored.alias((**stored.layout()).clone(), t.dtype())),
        };
    }
    if t.device() == Device::Meta {
        return Err(transfer::no_data());
    }
    let layout = preserved(t.layout());
    if device == Device::Meta {
        return returned(t, create::empty(layout, t.dtype(), device)?);
    }
    let dense = if t.covers_storage() && **t.layout() == layout { t.detach() } else { copy_as(&t.detach(), layout)? };
    let source = exec::compute(&dense)?;
    let node = Node::data(Arc::new(transfer::copy(&source, device)?), t.dtype(), dense.layout().clone());
    let moved = Tensor::from_node(Arc::new(node), 0, device);
    returned(t, moved)
}

/// The copy with the gradient that goes back to where the tensor is.
fn returned(t: &Tensor, moved: Tensor) -> Result<Tensor> {
    let home = t.device();
    attach("ToCopyBackward0", &[t], std::slice::from_ref(&moved), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(SmallVec::from_iter([Some(to_device(v.grad()?, home)?)]))))
    })?;
    Ok(moved)
}

/// The tensor as it can be read on the CPU.
pub fn on_host(t: &Tensor) -> Result<Tensor> {
    if t.device() == Device::Cpu { Ok(t.clone()) } else { to_device(&t.detach(), Device::Cpu) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::{DType, Scalar};
    use crate::error::Error;
    use crate::ops::{holds, to_vec};
    use crate::shape::Dims;

    #[test]
    fn results_on_meta_are_finished_without_memory_and_hold_no_inputs() {
        let x = create::zeros(Dims::from([2, 3]), DType::F32, Device::Meta).expect("a tensor without memory");
        let input = Arc::downgrade(&x.cell().peek().node);
        let y = x.mul(2.0).and_then(|t| t.exp()).expect("operators on it");
        let value = y.cell().peek();
        let buffer = value.node.buffer(value.out).expect("a finished node");
        assert_eq!((buffer.device(), buffer.bytes(), buffer.ptr().is_null()), (Device::Meta, 24, true));
        drop(x);
        assert!(input.upgrade().is_none(), "the result keeps what it was made of");
    }

    #[test]
    fn nobody_gets_elements_of_meta_and_rules_about_them_count_as_kept() {
        let there = create::number(Scalar::Float(1.0), DType::F32, Device::Cpu).expect("a number");
        let gone = to_device(&there, Device::Meta).expect("its facts");
        assert!(matches!(to_vec(&gone), Err(Error::NotImplemented(_))));
        assert!(matches!(to_device(&gone, Device::Cpu), Err(Error::NotImplemented(_))));
        assert!(holds(&gone).expect("no look at elements"));
    }
}
