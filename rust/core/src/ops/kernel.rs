//! Kernels that a program brings along as WGSL: recorded like any operator, without a derivative of their own.

use super::contiguous;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::exec::record::record_all_on;
use crate::grad::Rule;
use crate::graph::{Input, Inputs, OutSpec};
use crate::op::Op;
use crate::op::kernel::Kernel;
use crate::shape::{Dims, Layout};
use crate::tensor::{Tensor, attach_rule};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// Elements that a kernel can count.
const MOST: usize = u32::MAX as usize;

/// The results of a kernel: `numbers` are words, `shapes` those of the outputs, `grid` the invocations along one to three
/// dims. It runs on the device of the tensors, on `device` where there are none.
pub fn call(
    kernel: &Kernel,
    tensors: &[Tensor],
    numbers: &[u32],
    shapes: &[Dims],
    grid: &[u64],
    device: Device,
) -> Result<SmallVec<[Tensor; 1]>> {
    let (name, source) = (kernel.name(), kernel.source());
    let device = tensors.first().map_or(device, Tensor::device);
    ensure!(
        device != Device::Cpu,
        Runtime,
        "gpu.kernel '{name}' runs on a GPU, but {} on the CPU: move it there with `.to('gpu')`",
        source.inputs.first().map_or("it was called".to_string(), |(x, _)| format!("'{x}' is"))
    );
    kernel.groups(grid)?;
    let mut inputs = Inputs::new();
    for (t, (argument, dtype)) in tensors.iter().zip(&source.inputs) {
        ensure!(
            t.device() == device,
            Runtime,
            "Expected all tensors to be on the same device, but found at least two devices, {device} and {}! \
             (gpu.kernel '{name}', argument '{argument}')",
            t.device()
        );
        ensure!(
            t.dtype() == *dtype,
            Type,
            "gpu.kernel '{name}': '{argument}' must be {dtype}, but it is {}",
            t.dtype()
        );
        ensure!(t.numel() <= MOST, Value, "gpu.kernel '{name}': '{argument}' has more than 2**32 - 1 elements");
        inputs.push(contiguous(&t.detach())?.input());
    }
    inputs.extend(numbers.iter().map(|&w| Input::Scalar(u64::from(w), DType::I64)));
    inputs.extend(grid.iter().map(|&n| Input::Scalar(n, DType::I64)));
    let mut outs = SmallVec::new();
    for (shape, (argument, dtype)) in shapes.iter().zip(&source.outputs) {
        let layout = Layout::contiguous(shape.clone());
        ensure!(layout.numel() <= MOST, Value, "gpu.kernel '{name}': '{argument}' has more than 2**32 - 1 elements");
        outs.push(OutSpec { dtype: *dtype, layout: Arc::new(layout) });
    }
    let results = record_all_on(Op::Kernel(kernel.clone()), inputs, outs, device)?;
    let owned = name.to_string();
    attach_rule("GpuKernelBackward0", &tensors.iter().collect::<Vec<_>>(), &results, || {
        Rule::Fn(Arc::new(move |_| {
            bail!(
                Runtime,
                "gpu.kernel '{owned}' has no derivative: call it in the forward of a corten.autograd.Function, whose \
                 backward says what it is"
            )
        }))
    });
    Ok(results)
}
