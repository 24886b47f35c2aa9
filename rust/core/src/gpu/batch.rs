//! Several launches as one. A step of an optimizer is the same elementwise program for every parameter: such launches wait, as
//! many as a shader can bind, until something needs them.
//!
//! A launch joins those that wait if it has their pipeline and touches nothing that they write, and writes nothing that they
//! touch. All that is encoded otherwise is encoded after them, so nobody sees that they waited. Buffers are compared by name:
//! one that went back to the pool and came out again is the same buffer.

use super::device::Gpu;
use super::elementwise::{Form, Recipe, alike, workgroups};
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
    fn takes(&self, gpu: &Gpu, launch: &Dispatch) -> bool {
        let (bindings, jobs, shared) = (launch.buffers.len(), self.shares.len() + 1, self.shared_with(launch));
        let common = shared.count_ones() as usize;
        let bound = common + jobs * (bindings - common);
        let words = self.parameters.len() + launch.parameters.len();
        let total = self.groups() + u64::from(workgroups(launch.parameters));
        launch.pipeline.id == self.pipeline.id
            // Texts are made for what the first two launches share.
            && (jobs == 2 || shared == self.shared)
            && bound <= gpu.limits.max_storage_buffers_per_shader_stage as usize
            && words as u64 * 4 <= PARAMETER_BYTES
            && gpu.fit(Gpu::grid(total as usize), &self.pipeline).is_ok()
    }

    fn groups(&self) -> u64 {
        self.shares.iter().map(|s| u64::from(s.groups)).sum()
    }

    fn add(&mut self, launch: &Dispatch) {
        if !self.shares.is_empty() {
            self.shared = self.shared_with(launch);
        }
        self.buffers.extend(launch.buffers.iter().map(|b| (b.id, b.buffer.clone())));
        self.parameters.extend_from_slice(launch.parameters);
        self.shares.push(Share { unit: unit(), groups: workgroups(launch.parameters) });
    }

    /// The pipeline of all of them, and its parameters.
    fn joined(&self, gpu: &Gpu) -> Result<(Arc<Pipeline>, Vec<u32>)> {
        let words = self.parameters.len() / self.shares.len();
        let form = Form { jobs: self.shares.len(), shared: self.shared, alike: alike(&self.parameters, words) };
        let id = self.pipeline.id;
        let key = vec![id as u32, (id >> 32) as u32, form.jobs as u32, form.shared, u32::from(form.alike)];
        // The pipeline of one launch alone was made before, so it is known what the device can do, and nothing is run to find
        // out while the work is locked.
        let pipeline = gpu.pipeline(("elementwise_jobs", key), || self.recipe.shader(form))?;
        Ok((pipeline, form.parameters(&self.parameters, words)))
    }

    /// The buffers that are bound.
    fn bound(&self) -> SmallVec<[Named<'_>; 32]> {
        let jobs = self.shares.len();
        let bindings = self.buffers.len() / jobs;
        let form = Form { jobs, shared: if jobs == 1 { 0 } else { self.shared }, alike: false };
        let named = |(j, b): (usize, usize)| {
            let (id, buffer) = &self.buffers[j * bindings + b];
            Named { id: *id, buffer }
        };
        form.bound(bindings).into_iter().map(named).collect()
    }
}

impl Work {
    fn join(
        &mut self,
        gpu: &Gpu,
        launch: &Dispatch,
        pipeline: &Arc<Pipeline>,
        recipe: Recipe,
        alone: bool,
    ) -> Result<()> {
        if self.waiting.as_ref().is_some_and(|b| b.conflicts(launch, &recipe)) {
            self.emit(gpu);
        }
        if alone {
            return self.encode_dispatch(gpu, launch, &[]);
        }
        let mut batch = match self.waiting.take() {
            Some(batch) if batch.takes(gpu, launch) => batch,
            other => {
                self.waiting = other;
                self.emit(gpu);
                Batch::new(recipe, pipeline.clone())
            }
        };
        batch.add(launch);
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
        let joined = if batch.shares.len() > 1 { Some(batch.joined(gpu)?) } else { None };
        let (pipeline, parameters) = match &joined {
            Some((pipeline, parameters)) => (&**pipeline, &parameters[..]),
            None => (&*batch.pipeline, &batch.parameters[..]),
        };
        let (buffers, groups) = (batch.bound(), Gpu::grid(batch.groups() as usize));
        let shares = &batch.shares;
        self.encode(gpu, &Launch { pipeline, buffers: &buffers, windows: &[], parameters, groups, shares })
    }
}

impl Gpu {
    /// Encodes a kernel launch whose pipeline was made from `recipe`, which binds buffers as a whole. It may wait for others to
    /// join, or else, `alone`, go ahead of those that wait.
    pub(super) fn join(&self, d: &Dispatch, pipeline: &Arc<Pipeline>, recipe: Recipe, alone: bool) -> Result<()> {
        d.buffers.iter().try_for_each(|b| self.check_memory(b))?;
        self.fit(d.groups, pipeline)?;
        lock(&self.work).join(self, d, pipeline, recipe, alone)
    }
}
