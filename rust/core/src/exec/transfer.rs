//! Values on their way between devices.

use super::cost::Cost;
use super::{profile, record, without_lock};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Breach, Error, Result};
use crate::gpu::{self, memory};
use crate::graph::{Buffer, Edge, Node, OutSpec};
use crate::shape::Layout;
use smallvec::SmallVec;
use std::sync::Arc;

/// A buffer of `bytes` uninitialised bytes on a device.
pub fn allocate(device: Device, bytes: usize) -> Result<Buffer> {
    match device {
        Device::Cpu => Buffer::new(bytes),
        Device::Gpu(i) => {
            let memory = memory::allocate(&gpu::gpu(i)?, bytes)?;
            Ok(Buffer::on_device(device, bytes, Box::new(memory)))
        }
        Device::Meta => Ok(Buffer::absent(bytes)),
    }
}

/// The error of whoever asks for the elements of a tensor on the device `meta`.
pub fn no_data() -> Error {
    Error::NotImplemented("Cannot copy out of meta tensor; no data!".into())
}

/// A tensor on the device `meta` with a dtype and a layout.
fn without_memory(dtype: DType, layout: Arc<Layout>) -> Node {
    Node::without_memory(SmallVec::from_buf([OutSpec { dtype, layout }]))
}

/// The device memory of a buffer.
pub fn memory(buffer: &Buffer) -> Result<&memory::Allocation> {
    buffer.owner().ok_or_else(|| Error::Internal("memory of the GPU was expected".into()))
}

/// Whether the buffer's values are gone with the device that held them.
pub fn is_lost(buffer: &Buffer) -> bool {
    memory(buffer).is_ok_and(|m| m.gpu.is_lost())
}

/// A copy of a whole buffer on another device, after everything that was recorded for it.
pub fn copy(source: &Buffer, device: Device) -> Result<Buffer> {
    let bytes = source.bytes() as u64;
    let name = || format!("copy from {} to {device}", source.device());
    let work = || without_lock(|| copy_now(source, device));
    profile::aside(name, Cost { read: bytes, written: bytes, flops: 0 }, work)
        .unwrap_or_else(|| Err(Error::Internal("a copy between devices did not run".into())))
}

fn copy_now(source: &Buffer, device: Device) -> Result<Buffer> {
    let bytes = source.bytes();
    let target = allocate(device, bytes)?;
    match (source.device(), device) {
        (Device::Cpu, Device::Gpu(i)) => {
            // SAFETY: the buffer holds `bytes` bytes.
            let data = unsafe { host_bytes(source) };
            gpu::gpu(i)?.upload(memory(&target)?, data)?;
        }
        (Device::Gpu(i), Device::Cpu) => {
            // SAFETY: a fresh buffer of `bytes` bytes that nobody else knows.
            let data = unsafe { std::slice::from_raw_parts_mut(target.ptr(), bytes) };
            gpu::gpu(i)?.download(memory(source)?, data)?;
        }
        (Device::Meta, _) => return Err(no_data()),
        (_, Device::Meta) => {}
        _ => return copy_now(&copy_now(source, Device::Cpu)?, device),
    }
    Ok(target)
}

/// # Safety
/// The buffer lies on the CPU, and nobody writes it meanwhile.
unsafe fn host_bytes(b: &Buffer) -> &[u8] {
    if b.bytes() == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(b.ptr(), b.bytes()) }
}

/// The number of a rule that a device checks while it works.
pub fn rule(device: Device, breach: Breach) -> Result<i64> {
    match device {
        Device::Cpu => Err(Error::Internal("rules on the CPU are checked at the call".into())),
        Device::Gpu(i) => Ok(gpu::gpu(i)?.rule(breach) as i64),
        Device::Meta => Err(Error::Internal("there are no values on the device meta to check".into())),
    }
}

/// Refuses a dtype that the device does not compute with.
pub fn check_dtype(dtype: DType, device: Device) -> Result<()> {
    if dtype.part() == DType::F64 && device.is_gpu() {
        return Err(Error::Type(format!(
            "{device} has no {dtype}: WebGPU has no 64-bit floating point. Convert to {} first (`x.{}()`) or stay on the CPU",
            if dtype.is_complex() { DType::C64 } else { DType::F32 },
            if dtype.is_complex() { "cfloat" } else { "float" }
        )));
    }
    Ok(())
}

/// The element of a tensor without dims, on another device.
pub fn edge(e: &Edge, device: Device) -> Result<Edge> {
    check_dtype(e.dtype, device)?;
    crate::capture::refuse(|| format!("it brings a number from {} to {device}", e.node.device));
    let layout = Arc::new(Layout::contiguous(Default::default()));
    let (dtype, own) = super::pairs::stored(e.dtype, &layout);
    if device == Device::Meta {
        let node = without_memory(dtype, own);
        return Ok(Edge { node: Arc::new(node), out: 0, dtype: e.dtype, layout });
    }
    if e.node.is_pending() {
        record::flush_value(&e.node)?;
    }
    let source = e.node.buffer(e.out).ok_or_else(|| Error::Internal("a number was lost on its way".into()))?;
    let size = e.dtype.size();
    let one = Buffer::new(size)?;
    // SAFETY: the element lies inside the source, and the new buffer has room for one.
    unsafe { std::ptr::copy_nonoverlapping(source.ptr().add(e.layout.offset * size), one.ptr(), size) };
    let node = Node::data(Arc::new(copy(&one, device)?), dtype, own);
    Ok(Edge { node: Arc::new(node), out: 0, dtype: e.dtype, layout })
}
