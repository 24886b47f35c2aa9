//! Compiled shaders, found by the kernel's variant; and the layouts of what they bind.

use super::device::{Features, Gpu};
use super::halves;
use super::wgsl::{IMMEDIATES, PARAMETERS, with_hardware};
use crate::error::{Error, Result};
use crate::exec::OPTIONS;
use crate::sync::lock;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

/// `1` keeps the runtime's bounds checks in our shaders: slow, for tests.
pub const CHECKS_VARIABLE: &str = "CORTEN_GPU_CHECKS";

/// A folder that gets the text of every shader that is compiled, for tools that check them.
pub const SHADERS_VARIABLE: &str = "CORTEN_GPU_SHADERS";

/// Pipelines to keep: more than any program needs at a time, so that one which makes ever new ones does not grow.
const MOST_PIPELINES: usize = 2048;

/// Bytes of the block of parameters that every kernel reads: sizes, strides, offsets and numbers.
pub const PARAMETER_BYTES: u64 = 4096;

/// Bytes of parameters that may come with a launch as immediates, on any device that has them.
pub const IMMEDIATE_BYTES: u32 = 128;

/// How a shader binds a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    Read,
    Write,
}

impl Access {
    pub fn of(write: bool) -> Access {
        if write { Access::Write } else { Access::Read }
    }
}

/// A compiled kernel.
#[derive(Debug)]
pub struct Pipeline {
    pub id: u64,
    pub name: String,
    /// One of the backend's own kernels, which number their groups through; not one of a program's.
    pub own: bool,
    pub layout: Arc<BindLayout>,
    source: String,
    /// Whether the text reads its parameters word by word, so that they may come as immediates.
    by_word: bool,
    /// Compiled for parameters in uniform memory, and for parameters as immediates.
    compiled: [OnceLock<wgpu::ComputePipeline>; 2],
}

/// The bindings of a kernel's buffers.
#[derive(Debug)]
pub struct BindLayout {
    pub id: u64,
    pub layout: wgpu::BindGroupLayout,
    /// As `Pipeline::compiled`.
    pipelines: [wgpu::PipelineLayout; 2],
}

/// A kernel by its family and everything its text depends on.
pub type Variant = (&'static str, Vec<u32>);

pub struct Pipelines {
    by_variant: HashMap<Variant, Arc<Pipeline>>,
    by_text: HashMap<String, Arc<Pipeline>>,
    layouts: HashMap<Vec<Access>, Arc<BindLayout>>,
    pub parameters: wgpu::BindGroupLayout,
    cache: Option<disk::Cache>,
    checks: bool,
    immediates: bool,
    collect: Option<PathBuf>,
    /// Kernels made and shaders compiled so far.
    made: u64,
    pub compiled: u64,
}

impl Pipelines {
    pub fn new(device: &wgpu::Device, info: &wgpu::AdapterInfo, features: Features) -> Pipelines {
        let entry = wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: true,
                min_binding_size: std::num::NonZero::new(PARAMETER_BYTES),
            },
            count: None,
        };
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some("parameters"), entries: &[entry] };
        let cache = features.pipeline_cache.then(|| disk::load(device, info));
        Pipelines {
            by_variant: HashMap::new(),
            by_text: HashMap::new(),
            layouts: HashMap::new(),
            parameters: device.create_bind_group_layout(&descriptor),
            cache,
            checks: std::env::var(CHECKS_VARIABLE).is_ok_and(|v| v == "1"),
            immediates: features.immediates,
            collect: std::env::var_os(SHADERS_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from),
            made: 0,
            compiled: 0,
        }
    }

    fn layout(&mut self, device: &wgpu::Device, accesses: &[Access]) -> Arc<BindLayout> {
        if let Some(found) = self.layouts.get(accesses) {
            return found.clone();
        }
        let entries: Vec<_> = accesses
            .iter()
            .enumerate()
            .map(|(i, access)| wgpu::BindGroupLayoutEntry {
                binding: i as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: *access == Access::Read },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipelines = [0, if self.immediates { IMMEDIATE_BYTES } else { 0 }].map(|immediate_size| {
            let parameters = (immediate_size == 0).then_some(&self.parameters);
            device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[parameters, Some(&layout)],
                immediate_size,
            })
        });
        let made = Arc::new(BindLayout { id: self.layouts.len() as u64, layout, pipelines });
        self.layouts.insert(accesses.to_vec(), made.clone());
        made
    }
}

impl Gpu {
    /// The pipeline of a kernel variant; `text` writes its WGSL and says how its buffers are bound when it is new.
    pub fn pipeline(&self, variant: Variant, text: impl FnOnce() -> (String, Vec<Access>)) -> Result<Arc<Pipeline>> {
        let name = variant.0;
        self.find_pipeline(variant, name, true, || self.suited(text()))
    }

    /// As [`Gpu::pipeline`], for a kernel that takes the library's functions as they are.
    pub(super) fn library_pipeline(
        &self,
        variant: Variant,
        text: impl FnOnce() -> (String, Vec<Access>),
    ) -> Result<Arc<Pipeline>> {
        let name = variant.0;
        self.find_pipeline(variant, name, true, || Ok(text()))
    }

    /// The pipeline of a kernel from outside, which is compiled with the runtime's checks and with workgroup memory that
    /// starts as zeros, as WGSL promises.
    pub fn foreign_pipeline(
        &self,
        variant: Variant,
        name: &str,
        text: impl FnOnce() -> (String, Vec<Access>),
    ) -> Result<Arc<Pipeline>> {
        self.find_pipeline(variant, name, false, || self.suited(text()))
    }

    /// A kernel's text with the device's instructions in place of what the library computes without them.
    fn suited(&self, (source, accesses): (String, Vec<Access>)) -> Result<(String, Vec<Access>)> {
        let mut own: SmallVec<[&str; 3]> = SmallVec::new();
        if self.features.int64 {
            own.push("u32_mul_wide");
        }
        let converts = ["f16_to_f32(", "f32_to_f16("].iter().any(|name| source.contains(name));
        if converts
            && let Some(gpu) = self.shared.upgrade()
            && halves::usable(&gpu)?
        {
            own.extend(["f16_to_f32", "f32_to_f16"]);
        }
        Ok((with_hardware(source, &own), accesses))
    }

    /// `text` is called without the lock: it may run kernels of its own, which find out what the device can do.
    fn find_pipeline(
        &self,
        variant: Variant,
        name: &str,
        own: bool,
        text: impl FnOnce() -> Result<(String, Vec<Access>)>,
    ) -> Result<Arc<Pipeline>> {
        let known = lock(&self.pipelines).by_variant.get(&variant).cloned();
        if let Some(found) = known {
            return Ok(found);
        }
        let (source, accesses) = text()?;
        let mut all = lock(&self.pipelines);
        let pipeline = match all.by_text.get(&source) {
            Some(found) => found.clone(),
            None => {
                let made = Arc::new(self.make(&mut all, name, own, source.clone(), &accesses)?);
                if all.by_text.len() >= MOST_PIPELINES {
                    all.by_text.clear();
                    all.by_variant.clear();
                }
                all.by_text.insert(source, made.clone());
                made
            }
        };
        all.by_variant.insert(variant, pipeline.clone());
        Ok(pipeline)
    }

    /// How many shaders were compiled since the device was opened.
    pub fn shaders_compiled(&self) -> u64 {
        lock(&self.pipelines).compiled
    }

    fn save_shaders(&self, all: &mut Pipelines) {
        // A cache that cannot be written costs time alone.
        let _ = all.cache.as_mut().and_then(|cache| cache.save(&self.info));
    }

    /// Keeps the driver's compiled code for later processes, before this one ends.
    pub fn keep_shaders(&self) {
        self.save_shaders(&mut lock(&self.pipelines));
    }

    fn make(
        &self,
        all: &mut Pipelines,
        name: &str,
        own: bool,
        source: String,
        accesses: &[Access],
    ) -> Result<Pipeline> {
        let limit = self.limits.max_storage_buffers_per_shader_stage as usize;
        if accesses.len() > limit {
            return Err(Error::Internal(format!("{name}: {} buffers in one kernel, limit {limit}", accesses.len())));
        }
        let layout = all.layout(&self.device, accesses);
        all.made += 1;
        // A program's own text may do anything with the block of parameters.
        let by_word = own && immediate_text(&source).is_some();
        let pipeline = Pipeline {
            id: all.made,
            name: name.to_string(),
            own,
            layout,
            source,
            by_word,
            compiled: Default::default(),
        };
        if !own {
            // Its writer is told at once what is wrong with it.
            self.compile(all, &pipeline, false)?;
        }
        Ok(pipeline)
    }

    /// The compiled form for a launch with so many words of parameters, and whether these come as immediates.
    pub(super) fn compiled<'a>(
        &self,
        pipeline: &'a Pipeline,
        words: usize,
    ) -> Result<(&'a wgpu::ComputePipeline, bool)> {
        let immediate = self.features.immediates && pipeline.by_word && words * 4 <= IMMEDIATE_BYTES as usize;
        let place = &pipeline.compiled[usize::from(immediate)];
        if let Some(found) = place.get() {
            return Ok((found, immediate));
        }
        let made = self.compile(&mut lock(&self.pipelines), pipeline, immediate)?;
        Ok((made, immediate))
    }

    fn compile<'a>(
        &self,
        all: &mut Pipelines,
        pipeline: &'a Pipeline,
        immediate: bool,
    ) -> Result<&'a wgpu::ComputePipeline> {
        let place = &pipeline.compiled[usize::from(immediate)];
        if let Some(found) = place.get() {
            return Ok(found);
        }
        let (name, own, layout) = (pipeline.name.as_str(), pipeline.own, &pipeline.layout);
        let changed = if immediate { immediate_text(&pipeline.source) } else { None };
        let source = changed.as_deref().unwrap_or(&pipeline.source);
        if OPTIONS.debug.load(Relaxed) >= 3 {
            eprintln!("corten: shader {name}\n{source}");
        }
        if let Some(folder) = all.collect.as_ref().filter(|_| own) {
            collect(folder, name, source).map_err(|e| {
                Error::Runtime(format!("{SHADERS_VARIABLE}: {} could not be written: {e}", folder.display()))
            })?;
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(Cow::Borrowed(source)) };
        let module = if all.checks || !own {
            self.device.create_shader_module(descriptor)
        } else {
            // SAFETY: our kernels guard their own edges, end their loops and clamp indices that come from data; the tests run
            // them with the checks on as well.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let made = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout.pipelines[usize::from(immediate)]),
            module: &module,
            // The only one that there is.
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: !own,
                ..Default::default()
            },
            cache: all.cache.as_ref().map(|c| &c.driver),
        });
        if let Some(e) = super::adapters::ready(scope.pop())? {
            let message = format!("the shader of {name} was refused: {e}\n{}", numbered(source));
            return Err(if own { Error::Internal(message) } else { Error::Runtime(message) });
        }
        all.compiled += 1;
        // After the 1st, 2nd, 4th, 8th … new shader: few writes, and little is lost when the process is killed.
        if all.compiled.is_power_of_two() {
            self.save_shaders(all);
        }
        Ok(place.get_or_init(|| made))
    }
}

/// The shader with its parameters as immediates, if it reads them by word only.
fn immediate_text(source: &str) -> Option<String> {
    let (before, after) = source.split_once(PARAMETERS)?;
    let by_word = !after.contains("parameters[") && !before.contains("parameters[");
    by_word.then(|| format!("{before}{IMMEDIATES}{after}"))
}

/// Writes a shader's text to a file of its own; other processes may write the same one.
fn collect(folder: &Path, name: &str, source: &str) -> std::io::Result<()> {
    let mut hash = DefaultHasher::new();
    source.hash(&mut hash);
    let file = folder.join(format!("{name}-{:016x}.wgsl", hash.finish()));
    if file.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let partial = file.with_extension(std::process::id().to_string());
    std::fs::write(&partial, source)?;
    std::fs::rename(&partial, &file)
}

fn numbered(source: &str) -> String {
    source.lines().enumerate().map(|(i, line)| format!("{:4} {line}\n", i + 1)).collect()
}

/// The driver's compiled code, kept between runs where the backend allows it (Vulkan).
mod disk {
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::path::PathBuf;

    /// Set to an empty text to keep nothing on disk.
    const FOLDER_VARIABLE: &str = "CORTEN_CACHE";

    fn folder() -> Option<PathBuf> {
        if let Some(chosen) = std::env::var_os(FOLDER_VARIABLE) {
            return (!chosen.is_empty()).then(|| PathBuf::from(chosen));
        }
        let base = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let cache = base("XDG_CACHE_HOME")
            .or_else(|| base("LOCALAPPDATA"))
            .or_else(|| base("HOME").map(|h| h.join(".cache")))?;
        Some(cache.join("corten"))
    }

    /// One file per device and driver version.
    fn file(info: &wgpu::AdapterInfo) -> Option<PathBuf> {
        let key = wgpu::util::pipeline_cache_key(info)?;
        let driver: String = info.driver_info.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
        Some(folder()?.join(format!("{key}_{driver}")))
    }

    /// The driver's cache of a device, and what is known to be in its file.
    pub struct Cache {
        pub driver: wgpu::PipelineCache,
        saved: Option<u64>,
    }

    fn hash(data: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        hasher.finish()
    }

    pub fn load(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Cache {
        let data = file(info).and_then(|f| std::fs::read(f).ok());
        let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: data.as_deref(), fallback: true };
        // SAFETY: the file was written by `save`; wgpu checks its header against this device and driver and starts empty
        // when they differ.
        let driver = unsafe { device.create_pipeline_cache(&descriptor) };
        Cache { driver, saved: data.map(|d| hash(&d)) }
    }

    impl Cache {
        /// Writes what the driver has compiled, if the file has less.
        pub fn save(&mut self, info: &wgpu::AdapterInfo) -> Option<()> {
            let (target, data) = (file(info)?, self.driver.get_data()?);
            let found = Some(hash(&data));
            if found == self.saved {
                return Some(());
            }
            std::fs::create_dir_all(target.parent()?).ok()?;
            let partial = target.with_extension(format!("{}.part", std::process::id()));
            let written = std::fs::write(&partial, data).and_then(|()| std::fs::rename(&partial, &target));
            if written.is_err() {
                // A full disk must not keep the beginning.
                let _ = std::fs::remove_file(&partial);
            }
            written.ok()?;
            self.saved = found;
            Some(())
        }
    }
}
