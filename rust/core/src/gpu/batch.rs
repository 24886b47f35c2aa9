//! Several launches as one. A step of an optimizer is the same elementwise program for every parameter: such launches wait, as
//! many as a shader can bind, until something needs them.
//!
//! A launch joins those that wait if it has their pipeline and touches nothing that they write, and writes nothing that they
//! touch. All that is encoded otherwise is encoded after them, so nobody sees that they waited. Buffers are compared by name:
//! one that went back to the pool and came out again is the same buffer.

use super::device::Gpu;
use super::elementwise::{Recipe, bound};
use super::encoder::{Dispatch, Launch, Named, Work};
use super::pipelines::{PARAMETER_BYTES, Pipeline};
use super::timing::{Share, unit};
use crate::error::Result;
use crate::sync::lock;
use smallvec::SmallVec;
use std::sync::Arc;

/// Launches that wait.
pub(super) struct Batch {
    recipe: Recipe,
    /// That of one launch alone.
    pipeline: Arc<Pipeline>,
    /// Of every launch, one after the other. Holding the buffers keeps them from being destroyed.
    buffers: Vec<(u64, wgpu::Buffer)>,
    parameters: Vec<u32>,
    shares: SmallVec<[Share; 8]>,
    /// The bits of the buffers that are the same in all launches, where there are several.
    shared: u32,
}

impl Batch {
    fn new(recipe: Recipe, pipeline: Arc<Pipeline>) -> Batch {
        Batch {
            recipe,
            pipeline,
            buffers: Vec::new(),
            parameters: Vec::new(),
            shares: SmallVec::new(),
            shared: u32::MAX,
        }
    }

    /// Whether a launch has to run after those that wait.
    fn conflicts(&self, launch: &Dispatch, recipe: &Recipe) -> bool {
        let own = || self.buffers.iter().zip(self.recipe.writes().cycle());
        let mut new = launch.buffers.iter().zip(recipe.writes());
        new.any(|(b, writes)| own().any(|((id, _), written)| *id == b.id && (writes || written)))
    }

    /// The buffers that are the same in all launches once this one has joined.
    fn shared_with(&self, launch: &Dispatch) -> u32 {
        let same = launch.buffers.iter().zip(&self.buffers).zip(self.recipe.writes()).enumerate();
        same.fold(0, |bits, (k, ((b, (id, _)), writes))| bits | u32::from(b.id == *id && !writes) << k) & self.shared
    }

    /// Whether a launch that does not conflict can join.
    fn takes(&self, gpu: &Gpu, launch: &Dispatch, groups: u32) -> bool {
        let (bindings, jobs) = (launch.buffers.len(), self.shares.len() + 1);
        let shared = self.shared_with(launch);
        let words = self.parameters.len() + launch.parameters.len() + jobs;
        let total = self.groups() + u64::from(groups);
        launch.pipeline.id == self.pipeline.id
            // Texts are made for what the first two launches share.
            && (jobs == 2 || shared == self.shared)
            && bound(jobs, bindings, shared).len() <= gpu.limits.max_storage_buffers_per_shader_stage as usize
            && words as u64 * 4 <= PARAMETER_BYTES
            && gpu.fit(Gpu::grid(total as usize), &self.pipeline).is_ok()
    }

    fn groups(&self) -> u64 {
        self.shares.iter().map(|s| u64::from(s.groups)).sum()
    }

    fn add(&mut self, launch: &Dispatch, groups: u32) {
        if !self.shares.is_empty() {
            self.shared = self.shared_with(launch);
        }
        self.buffers.extend(launch.buffers.iter().map(|b| (b.id, b.buffer.clone())));
        self.parameters.extend_from_slice(launch.parameters);
        self.shares.push(Share { unit: unit(), groups });
    }

    /// The first workgroup of every launch, then their parameters.
    fn joined_parameters(&self) -> Vec<u32> {
        let mut words = Vec::with_capacity(self.shares.len() + self.parameters.len());
        let mut first = 0;
        for share in &self.shares {
            words.push(first);
            first += share.groups;
        }
        words.extend_from_slice(&self.parameters);
        words
    }

    fn joined_pipeline(&self, gpu: &Gpu) -> Result<Arc<Pipeline>> {
        let (jobs, shared, id) = (self.shares.len(), self.shared, self.pipeline.id);
        let variant = ("elementwise_jobs", vec![id as u32, (id >> 32) as u32, jobs as u32, shared]);
        // The pipeline of one launch alone was made before, so it is known what the device can do, and nothing is run to find
        // out while the work is locked.
        gpu.pipeline(variant, || self.recipe.shader(jobs, shared))
    }
}

impl Work {
    fn join(
        &mut self,
        gpu: &Gpu,
        launch: &Dispatch,
        pipeline: &Arc<Pipeline>,
        recipe: Recipe,
        groups: u32,
        alone: bool,
    ) -> Result<()> {
        if self.waiting.as_ref().is_some_and(|b| b.conflicts(launch, &recipe)) {
            self.emit(gpu);
        }
        if alone {
            return self.encode_dispatch(gpu, launch, &[]);
        }
        let mut batch = match self.waiting.take() {
            Some(batch) if batch.takes(gpu, launch, groups) => batch,
            other => {
                self.waiting = other;
                self.emit(gpu);
                Batch::new(recipe, pipeline.clone())
            }
        };
        batch.add(launch, groups);
        self.waiting = Some(batch);
        Ok(())
    }

    /// Encodes the launches that wait. What goes wrong is told by the next look at the device.
    pub(super) fn emit(&mut self, gpu: &Gpu) {
        if let Some(batch) = self.waiting.take()
            && let Err(e) = self.encode_batch(gpu, &batch)
        {
            gpu.report(e.to_string());
        }
    }

    fn encode_batch(&mut self, gpu: &Gpu, batch: &Batch) -> Result<()> {
        let jobs = batch.shares.len();
        let (mut pipeline, mut joined) = (batch.pipeline.clone(), Vec::new());
        if jobs > 1 {
            (pipeline, joined) = (batch.joined_pipeline(gpu)?, batch.joined_parameters());
        }
        let parameters = if jobs > 1 { &joined } else { &batch.parameters };
        let bindings = batch.buffers.len() / jobs;
        let shared = if jobs == 1 { 0 } else { batch.shared };
        let places = bound(jobs, bindings, shared);
        let buffers: SmallVec<[Named; 8]> = places
            .iter()
            .map(|(j, b)| &batch.buffers[j * bindings + b])
            .map(|(id, buffer)| Named { id: *id, buffer })
            .collect();
        self.encode(
            gpu,
            &Launch {
                pipeline: &pipeline,
                buffers: &buffers,
                windows: &[],
                parameters,
                groups: Gpu::grid(batch.groups() as usize),
                shares: &batch.shares,
            },
        )
    }
}

impl Gpu {
    /// Encodes a kernel launch whose pipeline was made from `recipe`, which binds buffers as a whole. It may wait for others to
    /// join, or else, `alone`, go ahead of those that wait.
    pub(super) fn join(&self, d: &Dispatch, pipeline: &Arc<Pipeline>, recipe: Recipe, alone: bool) -> Result<()> {
        d.buffers.iter().try_for_each(|b| self.check_memory(b))?;
        let groups = self.fit(d.groups, pipeline)?.iter().product();
        lock(&self.work).join(self, d, pipeline, recipe, groups, alone)
    }
}
