//! Matrix units: which sizes a device has, and the check that it computes with them what it should.
//!
//! Drivers advertise units that are emulated or wrong, and the way to them is experimental in the shader translator as well. So
//! the first product that would use them is preceded by one whose result is known; a device that fails computes without.

use super::device::{Gpu, proven};
use super::matmul::matmul_in;
use super::memory::{self, Allocation};
use super::product::Tile;
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use std::sync::Arc;

const INTEL: u32 = 0x8086;
const AMD: u32 = 0x1002;

/// Rows of the largest float16 matrices that are summed in float32.
pub fn size(adapter: &wgpu::Adapter) -> Option<usize> {
    use wgpu::CooperativeScalarType as Scalar;
    if slow_or_broken(&adapter.get_info()) {
        return None;
    }
    let fits = |p: &wgpu::CooperativeMatrixProperties| {
        let square = p.m_size == p.n_size && p.n_size == p.k_size && [8, 16].contains(&p.m_size);
        square && p.ab_type == Scalar::F16 && p.cr_type == Scalar::F32 && !p.saturating_accumulation
    };
    adapter.cooperative_matrix_properties().iter().filter(|p| fits(p)).map(|p| p.m_size as usize).max()
}

/// Intel's first discrete generation emulates them at a fraction of the ordinary speed, and AMD's driver for Windows fails on
/// integrated processors.
fn slow_or_broken(info: &wgpu::AdapterInfo) -> bool {
    let first_arc =
        info.vendor == INTEL && info.device_type == wgpu::DeviceType::DiscreteGpu && info.name.contains("Arc(TM) A");
    let on_windows = info.vendor == AMD && info.device_type == wgpu::DeviceType::IntegratedGpu && cfg!(windows);
    first_arc || on_windows
}

/// The rows of the matrices that products of float16 may use.
pub fn usable(gpu: &Arc<Gpu>) -> Result<Option<usize>> {
    let Some(size) = gpu.matrix_size else { return Ok(None) };
    let say =
        || eprintln!("corten: the matrix units of {} do not compute what they should and are not used", gpu.info.name);
    Ok(proven(&gpu.matrices_hold, || check(gpu, size), say)?.then_some(size))
}

/// Rows, columns and steps of the product whose result is known.
const M: usize = 160;
const N: usize = 136;
const K: usize = 96;

/// Whether a product is what it should be: of small whole numbers, so that every sum is exact.
fn check(gpu: &Arc<Gpu>, size: usize) -> Result<bool> {
    let a: Vec<i32> = (0..M * K).map(|i| (i * 7 % 13) as i32 - 6).collect();
    let b: Vec<i32> = (0..K * N).map(|i| (i * 5 % 11) as i32 - 5).collect();
    let upload = |values: &[i32]| -> Result<Allocation> {
        let bytes: Vec<u8> = values.iter().flat_map(|&v| half::f16::from_f32(v as f32).to_le_bytes()).collect();
        let memory = memory::allocate(gpu, bytes.len())?;
        gpu.upload(&memory, &bytes)?;
        Ok(memory)
    };
    let (at, bt, yt) = (upload(&a)?, upload(&b)?, memory::allocate(gpu, M * N * 4)?);
    let view = |memory, dtype, shape, strides| View { memory, offset: 0, dtype, shape, strides, inline: None };
    let (x, w) = (view(&at, DType::F16, &[M, K], &[K, 1]), view(&bt, DType::F16, &[K, N], &[N, 1]));
    let sum = |i: usize| (0..K).map(|s| a[i / N * K + s] * b[s * N + i % N]).sum::<i32>() as f32;
    let expected: Vec<f32> = (0..M * N).map(sum).collect();
    let mut bytes = vec![0; M * N * 4];
    for block in [2, 4] {
        let tile = Tile::of_matrices(gpu, size, block);
        matmul_in(gpu, tile, &x, &w, &view(&yt, DType::F32, &[M, N], &[N, 1]))?;
        gpu.download(&yt, &mut bytes)?;
        let found = bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        if !found.eq(expected.iter().copied()) {
            return Ok(false);
        }
    }
    Ok(true)
}
