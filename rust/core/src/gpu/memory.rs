//! Device memory: buffers by size class, of which the oldest free one is reused first. So a program that repeats itself finds
//! the same buffers in the same places each time, and the bind groups that were made for them.
//!
//! Commands run in the order in which they are encoded, so a buffer may be handed out again as soon as its last user is
//! encoded: what comes later overwrites it later.

use super::device::{Gpu, MEMORY_VARIABLE};
use super::encoder::Window;
use crate::error::{Error, Result};
use crate::sync::lock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes are multiples of this, so that kernels may read and write whole vectors past the last element.
const GRAIN: u64 = 256;

/// A piece of device memory. It returns to its pool when dropped.
pub struct Allocation {
    pub gpu: Arc<Gpu>,
    pub buffer: wgpu::Buffer,
    /// Never used twice in a process: names the buffer in the cache of bind groups, and where operands share memory.
    pub id: u64,
    bytes: u64,
    /// Of `bytes`, what was asked for.
    pub used: u64,
    /// A stretch of memory that somebody else holds, as if it were a buffer.
    pub part: Option<Window>,
}

impl Allocation {
    /// A stretch of the memory as if it were a buffer. It must not outlive the memory's use.
    pub fn window(&self, window: Window) -> Allocation {
        Allocation {
            gpu: self.gpu.clone(),
            buffer: self.buffer.clone(),
            id: self.id,
            bytes: window.1,
            used: window.1,
            part: Some(window),
        }
    }
}

impl std::fmt::Debug for Allocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Allocation({} bytes on gpu:{})", self.bytes, self.gpu.index)
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Free buffers and the sums of what is held.
#[derive(Default)]
pub struct Pool {
    free: HashMap<u64, BTreeMap<u64, wgpu::Buffer>>,
    pub stats: Stats,
}

/// Bytes and events since the device was opened.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stats {
    /// In live tensors.
    pub allocated: u64,
    pub peak: u64,
    /// Held from the driver, free buffers included.
    pub reserved: u64,
    /// Buffers asked of the driver.
    pub created: u64,
}

/// Sizes rounded up to an eighth of their power of two, so that similar sizes share buffers.
fn class(bytes: usize) -> Option<u64> {
    let bytes = (bytes as u64).max(GRAIN);
    let step = (bytes.checked_next_power_of_two()? >> 3).max(GRAIN);
    bytes.checked_next_multiple_of(step)
}

/// Uninitialised device memory for at least `bytes`.
pub fn allocate(gpu: &Arc<Gpu>, bytes: usize) -> Result<Allocation> {
    let limit = gpu.limits.max_buffer_size;
    let size = class(bytes).filter(|&c| c <= limit).or((bytes as u64 <= limit).then_some(limit & !(GRAIN - 1)));
    let Some(size) = size.filter(|&c| c >= bytes as u64) else {
        return Err(Error::OutOfMemory(format!(
            "out of memory: a result of {bytes} bytes is larger than the largest buffer of gpu:{} ({limit} bytes)",
            gpu.index
        )));
    };
    let kept = lock(&gpu.pool).take(size);
    let (id, buffer) = match kept {
        Some(found) => found,
        None => create(gpu, size)?,
    };
    let mut pool = lock(&gpu.pool);
    pool.stats.allocated += size;
    pool.stats.peak = pool.stats.peak.max(pool.stats.allocated);
    Ok(Allocation { gpu: gpu.clone(), buffer, id, bytes: size, used: bytes as u64, part: None })
}

fn create(gpu: &Arc<Gpu>, size: u64) -> Result<(u64, wgpu::Buffer)> {
    use wgpu::BufferUsages as U;
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size,
        usage: U::STORAGE | U::COPY_SRC | U::COPY_DST,
        mapped_at_creation: false,
    };
    let make = || match over_budget(gpu, size) {
        true => Ok(None),
        false => gpu.with_memory(|| gpu.device.create_buffer(&descriptor)),
    };
    let made = match make()? {
        Some(b) => Some(b),
        None => {
            // What is free but kept, and what finished work still holds, may be enough.
            empty_cache(gpu)?;
            make()?
        }
    };
    let buffer = made.ok_or_else(|| {
        let held = lock(&gpu.pool).stats;
        let who = match gpu.budget {
            Some(most) if held.reserved + size > most => format!("{MEMORY_VARIABLE} allows {most} bytes"),
            _ => format!("{} refused them", gpu.info.name),
        };
        Error::OutOfMemory(format!(
            "out of memory: gpu:{} has no room for {size} bytes: {who}, and tensors hold {} bytes",
            gpu.index, held.allocated
        ))
    })?;
    let mut pool = lock(&gpu.pool);
    pool.stats.created += 1;
    pool.stats.reserved += size;
    Ok((NEXT.fetch_add(1, Ordering::Relaxed), buffer))
}

fn over_budget(gpu: &Gpu, size: u64) -> bool {
    gpu.budget.is_some_and(|most| lock(&gpu.pool).stats.reserved + size > most)
}

/// Gives every free buffer back to the driver.
pub fn empty_cache(gpu: &Arc<Gpu>) -> Result<()> {
    gpu.synchronize()?;
    let freed: Vec<_> = {
        let mut pool = lock(&gpu.pool);
        let freed: Vec<_> =
            pool.free.drain().flat_map(|(size, list)| list.into_iter().map(move |b| (size, b))).collect();
        pool.stats.reserved -= freed.iter().map(|(size, _)| size).sum::<u64>();
        freed
    };
    gpu.forget_buffers(freed.iter().map(|(_, (id, _))| *id));
    Ok(())
}

impl Pool {
    fn take(&mut self, size: u64) -> Option<(u64, wgpu::Buffer)> {
        self.free.get_mut(&size)?.pop_first()
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if self.part.is_some() {
            return;
        }
        let mut pool = lock(&self.gpu.pool);
        pool.stats.allocated -= self.bytes;
        pool.free.entry(self.bytes).or_default().insert(self.id, self.buffer.clone());
    }
}

impl Gpu {
    /// What is allocated and held.
    pub fn memory(&self) -> Stats {
        lock(&self.pool).stats
    }

    /// The peak starts anew from what is allocated now.
    pub fn reset_peak(&self) {
        let mut pool = lock(&self.pool);
        pool.stats.peak = pool.stats.allocated;
    }
}
