//! Encoding: dispatches go into one open compute pass and are submitted in batches. Parameters travel in a block of uniform
//! memory a dispatch, uploaded once a submission.

use super::device::Gpu;
use super::guards::FLAG_BYTES;
use super::memory::Allocation;
use super::pipelines::{PARAMETER_BYTES, Pipeline};
use super::timing::Timer;
use crate::error::{Error, Result};
use crate::sync::lock;
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Submissions that may be on their way: a further one waits for the oldest.
const IN_FLIGHT: usize = 3;
/// Dispatches after which a submission is made.
pub(super) const BATCH: usize = 256;
/// Bytes of one buffer of parameters.
const CHUNK: u64 = 256 << 10;
/// Bind groups kept; all go when there are more.
const GROUPS: usize = 16384;
/// Workgroups a dimension of a dispatch may have on any device.
pub const MAX_GROUPS: u32 = 65535;

/// One kernel launch.
pub struct Dispatch<'a> {
    pub pipeline: &'a Pipeline,
    /// In the order of the shader's bindings.
    pub buffers: &'a [&'a Allocation],
    pub parameters: &'a [u32],
    pub groups: [u32; 3],
}

type GroupKey = (u64, SmallVec<[u64; 8]>);

/// What is encoded and not submitted, and the caches of encoding.
pub struct Work {
    encoder: Option<wgpu::CommandEncoder>,
    pub(super) pass: Option<wgpu::ComputePass<'static>>,
    /// The pipeline that the pass has set.
    current: u64,
    dispatches: usize,
    alignment: u64,
    staged: Vec<u8>,
    chunks: Vec<(wgpu::Buffer, wgpu::BindGroup)>,
    groups: HashMap<GroupKey, wgpu::BindGroup>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    readback: HashMap<u64, wgpu::Buffer>,
    /// There while launches are timed.
    pub(super) timer: Option<Box<Timer>>,
    pub counters: Counters,
}

/// Events since the device was opened.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counters {
    pub dispatches: u64,
    pub submissions: u64,
    pub bind_groups: u64,
    pub waits: u64,
}

impl Work {
    pub fn new(limits: &wgpu::Limits) -> Work {
        Work {
            encoder: None,
            pass: None,
            current: 0,
            dispatches: 0,
            alignment: u64::from(limits.min_uniform_buffer_offset_alignment).max(16),
            staged: Vec::new(),
            chunks: Vec::new(),
            groups: HashMap::new(),
            in_flight: VecDeque::new(),
            readback: HashMap::new(),
            timer: None,
            counters: Counters::default(),
        }
    }

    pub(super) fn encoder(&mut self, gpu: &Gpu) -> &mut wgpu::CommandEncoder {
        self.encoder.get_or_insert_with(|| gpu.device.create_command_encoder(&Default::default()))
    }

    pub(super) fn end_pass(&mut self) {
        self.pass = None;
        self.current = 0;
    }

    /// Room for a block of parameters: the chunk and the offset in it. A block is read to its full declared size.
    fn stage(&mut self, parameters: &[u32]) -> (usize, u32) {
        let bytes = parameters.len() * 4;
        let mut at = (self.staged.len() as u64).next_multiple_of(self.alignment);
        if at % CHUNK + PARAMETER_BYTES > CHUNK {
            at = at.next_multiple_of(CHUNK);
        }
        self.staged.resize(at as usize + bytes, 0);
        for (slot, word) in self.staged[at as usize..].chunks_exact_mut(4).zip(parameters) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        ((at / CHUNK) as usize, (at % CHUNK) as u32)
    }

    fn group(&mut self, gpu: &Gpu, d: &Dispatch) -> wgpu::BindGroup {
        let key: GroupKey = (d.pipeline.layout.id, d.buffers.iter().map(|b| b.id).collect());
        if let Some(found) = self.groups.get(&key) {
            return found.clone();
        }
        if self.groups.len() >= GROUPS {
            self.groups.clear();
        }
        let entries: SmallVec<[wgpu::BindGroupEntry; 8]> = d
            .buffers
            .iter()
            .enumerate()
            .map(|(i, b)| wgpu::BindGroupEntry { binding: i as u32, resource: b.buffer.as_entire_binding() })
            .collect();
        let layout = &d.pipeline.layout.layout;
        let made = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        self.counters.bind_groups += 1;
        self.groups.insert(key, made.clone());
        made
    }

    fn grow_chunks(&mut self, gpu: &Gpu, count: usize) {
        while self.chunks.len() < count {
            let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("parameters"),
                size: CHUNK,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let binding =
                wgpu::BufferBinding { buffer: &buffer, offset: 0, size: std::num::NonZero::new(PARAMETER_BYTES) };
            let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("parameters"),
                layout: &lock(&gpu.pipelines).parameters,
                entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(binding) }],
            });
            self.chunks.push((buffer, group));
        }
    }

    fn dispatch(&mut self, gpu: &Gpu, d: &Dispatch) -> Result<()> {
        let (chunk, offset) = self.stage(d.parameters);
        self.grow_chunks(gpu, chunk + 1);
        let group = self.group(gpu, d);
        self.open_pass(gpu, &d.pipeline.name);
        let Some(pass) = &mut self.pass else { return Err(Error::Internal("no compute pass".into())) };
        if self.current != d.pipeline.id {
            pass.set_pipeline(&d.pipeline.pipeline);
            self.current = d.pipeline.id;
        }
        pass.set_bind_group(0, &self.chunks[chunk].1, &[offset]);
        pass.set_bind_group(1, &group, &[]);
        pass.dispatch_workgroups(d.groups[0], d.groups[1], d.groups[2]);
        self.dispatches += 1;
        self.counters.dispatches += 1;
        if self.dispatches >= BATCH {
            self.submit(gpu)?;
        }
        Ok(())
    }

    /// Sends what is encoded, if anything is, and waits while too much is on its way.
    pub(super) fn submit(&mut self, gpu: &Gpu) -> Result<Option<wgpu::SubmissionIndex>> {
        self.end_pass();
        let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
        if let Some(timer) = &mut self.timer {
            timer.resolve(gpu, &mut encoder);
        }
        for (chunk, (buffer, _)) in self.staged.chunks(CHUNK as usize).zip(&self.chunks) {
            gpu.queue.write_buffer(buffer, 0, chunk);
        }
        self.staged.clear();
        self.dispatches = 0;
        let index = gpu.queue.submit([encoder.finish()]);
        self.counters.submissions += 1;
        self.in_flight.push_back(index.clone());
        while self.in_flight.len() > IN_FLIGHT {
            if let Some(oldest) = self.in_flight.pop_front() {
                self.wait(gpu, oldest)?;
            }
        }
        Ok(Some(index))
    }

    fn wait(&mut self, gpu: &Gpu, index: wgpu::SubmissionIndex) -> Result<()> {
        self.counters.waits += 1;
        gpu.device
            .poll(wgpu::PollType::Wait { submission_index: Some(index), timeout: None })
            .map_err(|e| Error::Runtime(format!("gpu:{} did not finish its work: {e}", gpu.index)))?;
        Ok(())
    }

    fn readback_buffer(&mut self, gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
        let size = bytes.next_power_of_two().max(256);
        let make = || {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size,
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            })
        };
        self.readback.remove(&size).unwrap_or_else(make)
    }
}

impl Gpu {
    /// Encodes a kernel launch.
    pub fn dispatch(&self, d: &Dispatch) -> Result<()> {
        debug_assert!(d.parameters.len() as u64 * 4 <= PARAMETER_BYTES);
        lock(&self.work).dispatch(self, d)
    }

    /// Sends everything that is encoded, without waiting for it.
    pub fn submit(&self, doing: &str) -> Result<()> {
        lock(&self.work).submit(self)?;
        self.check(doing)
    }

    /// Waits until everything that was recorded is done.
    pub fn synchronize(&self) -> Result<()> {
        let mut work = lock(&self.work);
        work.submit(self)?;
        if let Some(last) = work.in_flight.pop_back() {
            work.in_flight.clear();
            work.wait(self, last)?;
        }
        drop(work);
        let flags = lock(&self.guards).unread();
        if let Some(flags) = flags {
            self.download(&flags, &mut [0; 4])?;
        }
        self.check("synchronize")
    }

    /// Copies between buffers, in order with the kernels. Sizes and offsets are multiples of 4.
    pub fn copy(&self, source: &Allocation, from: u64, target: &Allocation, to: u64, bytes: u64) {
        let mut work = lock(&self.work);
        work.end_pass();
        work.encoder(self).copy_buffer_to_buffer(&source.buffer, from, &target.buffer, to, bytes);
    }

    /// Copies host memory to the start of a buffer, in order with the kernels.
    pub fn upload(&self, target: &Allocation, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let size = (data.len() as u64).next_multiple_of(4);
        let staging = self.with_memory(|| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("upload"),
                size,
                usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::MAP_WRITE,
                mapped_at_creation: true,
            })
        })?;
        let refused = || Error::OutOfMemory(format!("out of memory: no room to upload {} bytes", data.len()));
        let staging = staging.ok_or_else(refused)?;
        let mut view = staging.slice(..).get_mapped_range_mut().map_err(|_| refused())?;
        view.slice(..data.len()).copy_from_slice(data);
        drop(view);
        staging.unmap();
        let mut work = lock(&self.work);
        work.end_pass();
        work.encoder(self).copy_buffer_to_buffer(&staging, 0, &target.buffer, 0, size);
        Ok(())
    }

    /// Copies the start of a buffer to host memory; waits for all kernels before.
    pub fn download(&self, source: &Allocation, data: &mut [u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let own = (data.len() as u64).next_multiple_of(4);
        let flags = lock(&self.guards).to_read();
        let bytes = own + flags.as_ref().map_or(0, |_| FLAG_BYTES as u64);
        let mut work = lock(&self.work);
        let staging = work.readback_buffer(self, bytes);
        work.end_pass();
        work.encoder(self).copy_buffer_to_buffer(&source.buffer, 0, &staging, 0, own);
        if let Some(flags) = &flags {
            work.encoder(self).copy_buffer_to_buffer(&flags.buffer, 0, &staging, own, FLAG_BYTES as u64);
        }
        let index = work.submit(self)?;
        let outcome = Arc::new(std::sync::Mutex::new(None));
        let seen = outcome.clone();
        staging.slice(..bytes).map_async(wgpu::MapMode::Read, move |r| *lock(&seen) = Some(r.is_ok()));
        if let Some(index) = index {
            work.wait(self, index)?;
        }
        if *lock(&outcome) != Some(true) {
            self.check("reading a tensor")?;
            return Err(Error::Runtime(format!("gpu:{}: a tensor could not be read back", self.index)));
        }
        let view = staging
            .slice(..bytes)
            .get_mapped_range()
            .map_err(|e| Error::Runtime(format!("gpu:{}: a tensor could not be read back: {e}", self.index)))?;
        data.copy_from_slice(&view[..data.len()]);
        let broken = lock(&self.guards).broken(&view[own as usize..]);
        drop(view);
        staging.unmap();
        work.readback.insert(staging.size(), staging);
        drop(work);
        if let (Some(error), Some(flags)) = (broken, flags) {
            self.upload(&flags, &[0; FLAG_BYTES])?;
            return Err(error);
        }
        self.check("reading a tensor")
    }

    /// Drops the bind groups of buffers that are gone.
    pub(super) fn forget_buffers(&self, ids: impl Iterator<Item = u64>) {
        let gone: std::collections::HashSet<u64> = ids.collect();
        lock(&self.work).groups.retain(|(_, buffers), _| !buffers.iter().any(|b| gone.contains(b)));
    }

    pub fn counters(&self) -> Counters {
        lock(&self.work).counters
    }

    /// A grid of at least `count` workgroups within the limit of a dimension. The shader drops those beyond the count.
    pub fn grid(count: usize) -> [u32; 3] {
        let x = count.min(MAX_GROUPS as usize);
        [x as u32, count.div_ceil(x.max(1)) as u32, 1]
    }
}
