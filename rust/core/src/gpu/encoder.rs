//! Encoding: dispatches go into one open compute pass and are submitted in batches. Parameters travel in a block of uniform
//! memory a dispatch, uploaded once a submission.

use super::batch::Batch;
use super::device::Gpu;
use super::guards::FLAG_BYTES;
use super::memory::Allocation;
use super::pipelines::{IMMEDIATE_BYTES, PARAMETER_BYTES, Pipeline};
use super::timing::{Share, Timer, unit};
use crate::error::{Error, Result};
use crate::exec;
use crate::sync::lock;
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

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
/// What the first byte of a stretch of a buffer is a multiple of, on any device.
pub const WINDOW_ALIGNMENT: u64 = 256;
/// How long to look for the end of a submission without a pause, on a GPU and where the processor computes; and the longest
/// pause. A pause may take many times as long as it should, and the GPU must not run out of work meanwhile.
const AWAKE: [Duration; 2] = [Duration::from_millis(2), Duration::from_micros(100)];
const PAUSE: Duration = Duration::from_millis(2);

/// One kernel launch.
pub struct Dispatch<'a> {
    pub pipeline: &'a Pipeline,
    /// In the order of the shader's bindings.
    pub buffers: &'a [&'a Allocation],
    pub parameters: &'a [u32],
    pub groups: [u32; 3],
}

/// A buffer with its [`Allocation::id`].
pub(super) struct Named<'a> {
    pub id: u64,
    pub buffer: &'a wgpu::Buffer,
}

/// A launch as it is encoded.
pub(super) struct Launch<'a> {
    pub pipeline: &'a Pipeline,
    pub buffers: &'a [Named<'a>],
    /// What is bound of every buffer, or nothing where all of each is.
    pub windows: &'a [Window],
    pub parameters: &'a [u32],
    pub groups: [u32; 3],
    /// Whose work it is.
    pub shares: &'a [Share],
}

/// A stretch of a buffer that a launch binds: its first byte, a multiple of [`WINDOW_ALIGNMENT`], and its bytes.
pub type Window = (u64, u64);

/// By the layout, the buffers' names, and the stretches of them where they are not bound as a whole.
type GroupKey = (u64, SmallVec<[u64; 8]>, SmallVec<[Window; 8]>);

/// What is encoded and not submitted, and the caches of encoding.
pub struct Work {
    encoder: Option<wgpu::CommandEncoder>,
    pub(super) pass: Option<wgpu::ComputePass<'static>>,
    /// The pipeline that the pass has set, and whether it is the form with immediates.
    current: (u64, bool),
    dispatches: usize,
    /// Launches to encode before anything else.
    pub(super) waiting: Option<Batch>,
    alignment: u64,
    staged: Vec<u8>,
    chunks: Vec<(wgpu::Buffer, wgpu::BindGroup)>,
    groups: HashMap<GroupKey, wgpu::BindGroup>,
    /// How many submissions were sent, and the numbers of those that may be on their way.
    sent: u64,
    in_flight: VecDeque<u64>,
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

/// Columns up to a limit, and as many rows, of at least `count` workgroups and few more.
fn balanced(count: u64, limit: u32) -> [u64; 2] {
    let rows = count.div_ceil(u64::from(limit)).max(1);
    [count.div_ceil(rows), rows]
}

impl Work {
    pub fn new(limits: &wgpu::Limits) -> Work {
        Work {
            encoder: None,
            pass: None,
            current: (0, false),
            dispatches: 0,
            waiting: None,
            alignment: u64::from(limits.min_uniform_buffer_offset_alignment).max(16),
            staged: Vec::new(),
            chunks: Vec::new(),
            groups: HashMap::new(),
            sent: 0,
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
        self.current = (0, false);
    }

    /// For commands that are no launches, in order with those.
    fn outside_passes(&mut self, gpu: &Gpu) -> &mut wgpu::CommandEncoder {
        self.emit(gpu);
        self.end_pass();
        self.encoder(gpu)
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

    fn group(&mut self, gpu: &Gpu, launch: &Launch) -> wgpu::BindGroup {
        let Launch { buffers, windows, .. } = launch;
        let layout = &launch.pipeline.layout;
        let key: GroupKey = (layout.id, buffers.iter().map(|b| b.id).collect(), SmallVec::from_slice(windows));
        if let Some(found) = self.groups.get(&key) {
            return found.clone();
        }
        if self.groups.len() >= GROUPS {
            self.groups.clear();
        }
        let mut entries: SmallVec<[wgpu::BindGroupEntry; 8]> = SmallVec::new();
        for (i, Named { buffer, .. }) in buffers.iter().enumerate() {
            let (offset, bytes) = windows.get(i).copied().unwrap_or((0, gpu.shown(buffer)));
            let binding = wgpu::BufferBinding { buffer, offset, size: std::num::NonZero::new(bytes) };
            entries.push(wgpu::BindGroupEntry { binding: i as u32, resource: wgpu::BindingResource::Buffer(binding) });
        }
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &layout.layout, entries: &entries };
        let made = gpu.device.create_bind_group(&descriptor);
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

    fn dispatch(&mut self, gpu: &Gpu, d: &Dispatch, windows: &[Window]) -> Result<()> {
        self.emit(gpu);
        self.encode_dispatch(gpu, d, windows)
    }

    /// Encodes a launch ahead of those that wait.
    pub(super) fn encode_dispatch(&mut self, gpu: &Gpu, d: &Dispatch, windows: &[Window]) -> Result<()> {
        d.buffers.iter().try_for_each(|b| gpu.check_memory(b))?;
        let mut shown: SmallVec<[Window; 8]> = SmallVec::from_slice(windows);
        if windows.is_empty() {
            let parts = d.buffers.iter().any(|b| b.part.is_some());
            for b in d.buffers {
                let window = b.part.map_or_else(|| Ok((0, gpu.whole(b, &d.pipeline.name)?)), Ok)?;
                if parts {
                    shown.push(window);
                }
            }
        }
        let buffers: SmallVec<[Named; 8]> = d.buffers.iter().map(|b| Named { id: b.id, buffer: &b.buffer }).collect();
        let Dispatch { pipeline, parameters, groups, .. } = *d;
        let shares = &[Share { unit: unit(), groups: 1 }];
        self.encode(gpu, &Launch { pipeline, buffers: &buffers, windows: &shown, parameters, groups, shares })
    }

    pub(super) fn encode(&mut self, gpu: &Gpu, launch: &Launch) -> Result<()> {
        let Launch { parameters, .. } = *launch;
        debug_assert!(parameters.len() as u64 * 4 <= PARAMETER_BYTES);
        let groups = gpu.fit(launch.groups, launch.pipeline)?;
        let (pipeline, immediate) = gpu.compiled(launch.pipeline, parameters.len())?;
        let mut staged = None;
        if !immediate {
            let (chunk, offset) = self.stage(parameters);
            self.grow_chunks(gpu, chunk + 1);
            staged = Some((chunk, offset));
        }
        let group = self.group(gpu, launch);
        self.open_pass(gpu, &launch.pipeline.name, launch.shares);
        let Some(pass) = &mut self.pass else { return Err(Error::Internal("no compute pass".into())) };
        if self.current != (launch.pipeline.id, immediate) {
            pass.set_pipeline(pipeline);
            self.current = (launch.pipeline.id, immediate);
        }
        match staged {
            Some((chunk, offset)) => pass.set_bind_group(0, &self.chunks[chunk].1, &[offset]),
            None => {
                let mut bytes = [0; IMMEDIATE_BYTES as usize];
                for (slot, word) in bytes.chunks_exact_mut(4).zip(parameters) {
                    slot.copy_from_slice(&word.to_le_bytes());
                }
                pass.set_immediates(0, &bytes);
            }
        }
        pass.set_bind_group(1, &group, &[]);
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        self.dispatches += 1;
        self.counters.dispatches += 1;
        if self.dispatches >= BATCH {
            self.submit(gpu)?;
        }
        Ok(())
    }

    /// Sends what is encoded, if anything is, and waits while too much is on its way.
    pub(super) fn submit(&mut self, gpu: &Gpu) -> Result<()> {
        self.send(gpu);
        // Work is half encoded here: a stop would have it done twice.
        self.surplus().into_iter().try_for_each(|oldest| gpu.wait(oldest, false))
    }

    /// Sends what is encoded, if anything is; its number.
    fn send(&mut self, gpu: &Gpu) -> Option<u64> {
        self.emit(gpu);
        self.end_pass();
        let mut encoder = self.encoder.take()?;
        if let Some(timer) = &mut self.timer {
            timer.resolve(gpu, &mut encoder);
        }
        for (chunk, (buffer, _)) in self.staged.chunks(CHUNK as usize).zip(&self.chunks) {
            gpu.queue.write_buffer(buffer, 0, chunk);
        }
        self.staged.clear();
        self.dispatches = 0;
        gpu.queue.submit([encoder.finish()]);
        self.sent += 1;
        let (number, done) = (self.sent, gpu.done.clone());
        gpu.queue.on_submitted_work_done(move || {
            done.fetch_max(number, Ordering::Release);
        });
        self.counters.submissions += 1;
        self.in_flight.push_back(number);
        Some(number)
    }

    /// The last of the submissions to wait for, so that no more than [`IN_FLIGHT`] are on their way.
    fn surplus(&mut self) -> Option<u64> {
        let count = self.in_flight.len().saturating_sub(IN_FLIGHT);
        self.counters.waits += u64::from(count > 0);
        self.in_flight.drain(..count).next_back()
    }

    fn readback_buffer(&mut self, gpu: &Gpu, bytes: u64) -> Result<wgpu::Buffer> {
        let size = bytes.next_power_of_two().clamp(256, gpu.limits.max_buffer_size.max(bytes));
        if let Some(kept) = self.readback.remove(&size) {
            return Ok(kept);
        }
        let make = || {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size,
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            })
        };
        gpu.with_memory(make)?
            .ok_or_else(|| Error::OutOfMemory(format!("out of memory: no room to read back {bytes} bytes")))
    }
}

impl Gpu {
    /// Encodes a kernel launch.
    pub fn dispatch(&self, d: &Dispatch) -> Result<()> {
        lock(&self.work).dispatch(self, d, &[])
    }

    /// Encodes a kernel launch that binds a stretch of every buffer.
    pub fn dispatch_windows(&self, d: &Dispatch, windows: &[Window]) -> Result<()> {
        lock(&self.work).dispatch(self, d, windows)
    }

    /// The most bytes of a buffer that a shader sees at once, as a multiple of what a window starts at.
    pub fn window_bytes(&self) -> u64 {
        let limit = self.limits.max_storage_buffer_binding_size.min(u64::from(u32::MAX));
        limit / WINDOW_ALIGNMENT * WINDOW_ALIGNMENT
    }

    /// Whether a shader cannot see all of some buffer at once.
    pub fn too_large<'a>(&self, mut buffers: impl Iterator<Item = &'a Allocation>) -> bool {
        let limit = self.window_bytes();
        buffers.any(|b| b.used > limit)
    }

    /// The bytes of a buffer that a launch binds which does not say which.
    fn shown(&self, buffer: &wgpu::Buffer) -> u64 {
        buffer.size().min(self.window_bytes())
    }

    /// The bytes with which a buffer is bound as a whole.
    pub(super) fn whole(&self, b: &Allocation, kernel: &str) -> Result<u64> {
        let limit = self.window_bytes();
        if b.used <= limit {
            return Ok(self.shown(&b.buffer));
        }
        Err(Error::Runtime(format!(
            "a tensor of {} bytes is larger than what a shader of gpu:{} ({}) can see at once, {limit} bytes \
             (max_storage_buffer_binding_size), and the kernel {kernel} does not work in parts: split the tensor",
            b.used, self.index, self.info.name
        )))
    }

    /// A grid of as many groups within the device's limit. The backend's shaders number their groups through (`group.x + group.y * grid.x`)
    /// and drop those beyond their count, so the form does not matter to them.
    pub(super) fn fit(&self, groups: [u32; 3], kernel: &Pipeline) -> Result<[u32; 3]> {
        let limit = self.limits.max_compute_workgroups_per_dimension;
        if groups.iter().all(|&g| g <= limit) {
            return Ok(groups);
        }
        let count: u64 = groups.iter().map(|&g| u64::from(g)).product();
        let [columns, rows] = balanced(count, limit);
        if rows > u64::from(limit) || !kernel.own {
            return Err(Error::Runtime(format!(
                "{}: {groups:?} workgroups are more than gpu:{} ({}) takes in one launch, {limit} a dimension",
                kernel.name, self.index, self.info.name
            )));
        }
        Ok([columns as u32, rows as u32, 1])
    }

    /// Sends everything that is encoded; waits only while too much is on its way.
    pub fn submit(&self, doing: &str) -> Result<()> {
        let surplus = {
            let mut work = lock(&self.work);
            work.send(self);
            work.surplus()
        };
        surplus.into_iter().try_for_each(|oldest| self.wait(oldest, true))?;
        self.check(doing)
    }

    /// Waits until everything that was recorded is done.
    pub fn synchronize(&self) -> Result<()> {
        let last = {
            let mut work = lock(&self.work);
            work.send(self);
            work.counters.waits += u64::from(!work.in_flight.is_empty());
            work.in_flight.drain(..).next_back()
        };
        last.into_iter().try_for_each(|last| self.wait(last, true))?;
        let flags = lock(&self.guards).unread();
        if let Some(flags) = flags {
            self.download(&flags, &mut [0; 4])?;
        }
        self.check("synchronize")
    }

    /// Waits for a submission. `yielding` says that Ctrl-C ends the wait; then no lock may be held, as the interpreter's is taken.
    ///
    /// The runtime's own wait cannot be interrupted, and with a time limit it is not safe beside other threads' waits.
    fn wait(&self, number: u64, yielding: bool) -> Result<()> {
        let begin = Instant::now();
        let awake = AWAKE[usize::from(self.info.device_type == wgpu::DeviceType::Cpu)];
        while self.done.load(Ordering::Acquire) < number {
            let polled = self.device.poll(wgpu::PollType::Poll);
            if self.done.load(Ordering::Acquire) >= number {
                break;
            }
            if self.is_lost() {
                return self.check("waiting for it");
            }
            if let Err(e) = polled {
                self.check("waiting for it")?;
                return Err(Error::Runtime(format!("gpu:{} did not finish its work: {e}", self.index)));
            }
            if yielding && exec::interrupted() {
                return Err(Error::Interrupted);
            }
            let waited = begin.elapsed();
            if waited < awake {
                std::thread::yield_now();
            } else {
                std::thread::sleep((waited / 32).min(PAUSE));
            }
        }
        Ok(())
    }

    /// Copies between buffers, in order with the kernels. Sizes and offsets are multiples of 4.
    pub fn copy(&self, source: &Allocation, from: u64, target: &Allocation, to: u64, bytes: u64) -> Result<()> {
        self.check_memory(source)?;
        self.check_memory(target)?;
        let (from, to) = (from + source.part.map_or(0, |p| p.0), to + target.part.map_or(0, |p| p.0));
        let mut work = lock(&self.work);
        work.outside_passes(self).copy_buffer_to_buffer(&source.buffer, from, &target.buffer, to, bytes);
        Ok(())
    }

    /// Copies host memory to the start of a buffer, in order with the kernels.
    pub fn upload(&self, target: &Allocation, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.check_memory(target)?;
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
        work.outside_passes(self).copy_buffer_to_buffer(&staging, 0, &target.buffer, 0, size);
        Ok(())
    }

    /// Copies the start of a buffer to host memory; waits for all kernels before.
    pub fn download(&self, source: &Allocation, data: &mut [u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.check_memory(source)?;
        let flags = lock(&self.guards).take_unread();
        let read = self.read_back(source, data, flags.as_deref());
        if let (Err(_), Some(_)) = (&read, &flags) {
            lock(&self.guards).give_back();
        }
        if let (Some(error), Some(flags)) = (read?, flags) {
            self.upload(&flags, &[0; FLAG_BYTES])?;
            return Err(error);
        }
        self.check("reading a tensor")
    }

    /// Copies the start of a buffer to host memory, and the flags; the error of one that is set.
    pub(super) fn read_back(
        &self,
        source: &Allocation,
        data: &mut [u8],
        flags: Option<&Allocation>,
    ) -> Result<Option<Error>> {
        let own = (data.len() as u64).next_multiple_of(4);
        let bytes = own + flags.map_or(0, |_| FLAG_BYTES as u64);
        let (staging, number) = {
            let mut work = lock(&self.work);
            let staging = work.readback_buffer(self, bytes)?;
            let encoder = work.outside_passes(self);
            encoder.copy_buffer_to_buffer(&source.buffer, 0, &staging, 0, own);
            if let Some(flags) = flags {
                encoder.copy_buffer_to_buffer(&flags.buffer, 0, &staging, own, FLAG_BYTES as u64);
            }
            work.counters.waits += 1;
            let number = work.send(self);
            work.in_flight.clear();
            (staging, number)
        };
        let outcome = Arc::new(std::sync::Mutex::new(None));
        let seen = outcome.clone();
        staging.slice(..bytes).map_async(wgpu::MapMode::Read, move |r| *lock(&seen) = Some(r.is_ok()));
        number.into_iter().try_for_each(|number| self.wait(number, true))?;
        // Another thread that waited at the same time may have to call back yet.
        while lock(&outcome).is_none() && !self.is_lost() {
            std::thread::yield_now();
            let _ = self.device.poll(wgpu::PollType::Poll);
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
        lock(&self.work).readback.insert(staging.size(), staging);
        Ok(broken)
    }

    /// Drops the bind groups of buffers that are gone, and the buffers for reading back.
    pub(super) fn forget_buffers(&self, ids: impl Iterator<Item = u64>) {
        let gone: std::collections::HashSet<u64> = ids.collect();
        let mut work = lock(&self.work);
        work.readback.clear();
        work.groups.retain(|(_, buffers, _), _| !buffers.iter().any(|b| gone.contains(b)));
    }

    pub fn counters(&self) -> Counters {
        lock(&self.work).counters
    }

    /// A grid of at least `count` workgroups within the limit of a dimension, and few more. The shader drops those beyond the
    /// count.
    pub fn grid(count: usize) -> [u32; 3] {
        let [columns, rows] = balanced(count as u64, MAX_GROUPS);
        [columns as u32, rows as u32, 1]
    }
}
