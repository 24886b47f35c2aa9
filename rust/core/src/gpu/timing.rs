//! GPU time of kernels by timestamp queries, while a profile is taken: each launch then has a compute pass of its own, at
//! whose beginning and end the GPU writes down its clock.

use super::device::Gpu;
use super::encoder::{BATCH, Work};
use crate::error::{Error, Result};
use crate::os::clock;
use crate::sync::lock;
use std::cell::Cell;

/// Launches of one submission that can be timed: all.
const LAUNCHES: u32 = BATCH as u32;
const BYTES: u64 = LAUNCHES as u64 * 16;

/// A kernel's run on the GPU, or its share of one.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The step of a plan that it belongs to, as given by [`within`].
    pub unit: u64,
    pub name: String,
    /// Nanoseconds on [`clock`].
    pub begin: u64,
    pub end: u64,
}

/// The step of a plan that a launch belongs to, and the workgroups that work for it: a launch may be several in one.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub unit: u64,
    pub groups: u32,
}

/// A launch that is timed: its name, and whose it is.
type Timed = (String, Vec<Share>);

/// Queries under way and results that were not fetched.
pub struct Timer {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    launches: Vec<Timed>,
    submitted: Vec<(wgpu::Buffer, Vec<Timed>)>,
    /// Nanoseconds of a tick, and what [`clock`] shows at tick 0 where that is known yet.
    period: f64,
    origin: Option<f64>,
}

thread_local! {
    static UNIT: Cell<u64> = const { Cell::new(0) };
}

/// From now on launches of this thread belong to step `unit`.
pub fn within(unit: u64) {
    UNIT.set(unit);
}

/// The step that launches of this thread belong to.
pub(super) fn unit() -> u64 {
    UNIT.get()
}

impl Timer {
    fn new(gpu: &Gpu) -> Timer {
        use wgpu::BufferUsages as U;
        let set = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("times"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * LAUNCHES,
        });
        let usage = U::QUERY_RESOLVE | U::COPY_SRC;
        let resolved = buffer(gpu, usage);
        let period = f64::from(gpu.queue.get_timestamp_period());
        Timer { set, resolved, launches: Vec::new(), submitted: Vec::new(), period, origin: None }
    }

    /// The tick is of now, as nearly as the host can tell. Drivers may leave the queries of empty passes at 0.
    fn relate(&mut self, tick: u64) {
        if tick != 0 {
            self.origin.get_or_insert(clock() as f64 - tick as f64 * self.period);
        }
    }

    /// The queries around the pass of the next launch.
    pub fn writes(&mut self, name: &str, shares: &[Share]) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * self.launches.len() as u32;
        self.launches.push((name.to_string(), shares.to_vec()));
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Ends a submission: its times are copied to where the host can read them.
    pub fn resolve(&mut self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) {
        if self.launches.is_empty() {
            return;
        }
        let launches = std::mem::take(&mut self.launches);
        let target = buffer(gpu, wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
        encoder.resolve_query_set(&self.set, 0..2 * launches.len() as u32, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &target, 0, 16 * launches.len() as u64);
        self.submitted.push((target, launches));
    }
}

fn buffer(gpu: &Gpu, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("times"),
        size: BYTES,
        usage,
        mapped_at_creation: false,
    })
}

/// Each step gets its share of a launch's time, under a name that says so.
fn divide((name, shares): Timed, begin: u64, end: u64, found: &mut Vec<Launch>) {
    let (count, all) = (shares.len(), shares.iter().map(|s| u64::from(s.groups)).sum::<u64>());
    let mut groups = 0;
    let mut from = begin;
    for (k, share) in shares.into_iter().enumerate() {
        groups += u64::from(share.groups);
        let to = begin + ((end - begin) as f64 * groups as f64 / all as f64) as u64;
        let name = if count == 1 { name.clone() } else { format!("{name} {} of {count}", k + 1) };
        found.push(Launch { unit: share.unit, name, begin: from, end: to });
        from = to;
    }
}

/// The ticks in a buffer.
fn read(gpu: &Gpu, buffer: &wgpu::Buffer, count: usize) -> Result<Vec<u64>> {
    let failed = |e: String| Error::Runtime(format!("gpu:{}: the times of kernels could not be read: {e}", gpu.index));
    let bytes = 8 * count as u64;
    buffer.slice(..bytes).map_async(wgpu::MapMode::Read, |_| {});
    gpu.device
        .poll(wgpu::PollType::Wait { submission_index: None, timeout: None })
        .map_err(|e| failed(e.to_string()))?;
    let view = buffer.slice(..bytes).get_mapped_range().map_err(|e| failed(e.to_string()))?;
    let ticks = view.chunks_exact(8).map(|c| c.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b))).collect();
    drop(view);
    buffer.unmap();
    Ok(ticks)
}

impl Gpu {
    /// Times every launch from now on; false where the GPU cannot. Nothing happens where it does already.
    pub fn start_timing(&self) -> Result<bool> {
        if !self.features.timestamps {
            return Ok(false);
        }
        let mut work = lock(&self.work);
        if work.timer.is_some() {
            return Ok(true);
        }
        work.submit(self)?;
        let mut timer = Box::new(Timer::new(self));
        // An empty pass that ends now relates the two clocks.
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let writes = timer.writes("", &[]);
        drop(encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) }));
        timer.resolve(self, &mut encoder);
        self.queue.submit([encoder.finish()]);
        if let Some((buffer, _)) = timer.submitted.pop() {
            let ticks = read(self, &buffer, 2)?;
            timer.relate(ticks[1]);
        }
        work.timer = Some(timer);
        Ok(true)
    }

    /// Waits for the launches that were timed since the last call and tells their times.
    pub fn take_launches(&self) -> Result<Vec<Launch>> {
        let mut work = lock(&self.work);
        work.submit(self)?;
        let Some(timer) = &mut work.timer else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (buffer, launches) in std::mem::take(&mut timer.submitted) {
            let ticks = read(self, &buffer, 2 * launches.len())?;
            ticks.iter().rev().take(1).for_each(|&last| timer.relate(last));
            let (origin, period) = (timer.origin.unwrap_or_default(), timer.period);
            let time = |tick: u64| (origin + tick as f64 * period).max(0.0) as u64;
            for (timed, pair) in launches.into_iter().zip(ticks.chunks_exact(2)) {
                let begin = time(pair[0]);
                divide(timed, begin, time(pair[1]).max(begin), &mut found);
            }
        }
        Ok(found)
    }

    /// Submissions whose times were not fetched yet.
    pub fn submissions_to_read(&self) -> usize {
        lock(&self.work).timer.as_ref().map_or(0, |t| t.submitted.len())
    }

    /// Launches are no longer timed.
    pub fn stop_timing(&self) {
        lock(&self.work).timer = None;
    }
}

impl Work {
    /// The pass of the next launch: the open one, or one of its own where launches are timed.
    pub(super) fn open_pass(&mut self, gpu: &Gpu, name: &str, shares: &[Share]) {
        let mut timer = self.timer.take();
        if timer.is_some() {
            self.end_pass();
        }
        if self.pass.is_none() {
            let timestamp_writes = timer.as_mut().map(|t| t.writes(name, shares));
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            self.pass = Some(self.encoder(gpu).begin_compute_pass(&descriptor).forget_lifetime());
        }
        self.timer = timer;
    }
}
