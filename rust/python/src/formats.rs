//! Layouts in the memory formats that programs name.

use crate::types::Format;
use corten_core::ops;
use corten_core::shape::{Dims, Layout};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Whether dims lie in the order N, spatial, C.
pub fn is_channels_last(l: &Layout) -> bool {
    Layout::channels_last(l.shape.clone()).strides == l.strides
        || (l.numel() > 0 && l.rank() >= 4 && {
            let mut order: Vec<usize> = (2..l.rank()).collect();
            order.push(1);
            order.insert(0, 0);
            l.permute(&order).is_contiguous()
        })
}

/// A dense layout of `shape` in the wanted format; preserve follows `like`.
pub fn layout_for(shape: &Dims, format: Option<Format>, like: Option<&Layout>) -> PyResult<Layout> {
    match format {
        None | Some(Format::Contiguous) => Ok(Layout::contiguous(shape.clone())),
        Some(Format::Preserve) => Ok(match like {
            Some(l) if l.shape == *shape => ops::elementwise::preserved(l),
            _ => Layout::contiguous(shape.clone()),
        }),
        Some(f) => {
            let rank = if f == Format::ChannelsLast { 4 } else { 5 };
            if shape.len() != rank {
                return Err(PyRuntimeError::new_err(format!("required rank {rank} tensor to use {} format", f.name())));
            }
            Ok(Layout::channels_last(shape.clone()))
        }
    }
}
