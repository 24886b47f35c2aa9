//! An opened GPU: its queue, the features and limits in use, and what has gone wrong on it.

use super::adapters;
use super::encoder::Work;
use super::guards::Guards;
use super::matrices;
use super::memory::Pool;
use super::pipelines::Pipelines;
use crate::error::{Error, Result};
use crate::exec::OPTIONS;
use crate::sync::lock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};

/// Comma-separated features that may be used; `core` uses none and keeps to WebGPU's default limits.
pub const FEATURES_VARIABLE: &str = "CORTEN_GPU_FEATURES";

/// Whether products stage their operands in workgroup memory: `staged` or `direct`; else as suits the device.
pub const TILES_VARIABLE: &str = "CORTEN_GPU_TILES";

/// Comma-separated `name=value` pairs that lower the limits of wgpu's names, for tests of what is beyond them.
pub const LIMITS_VARIABLE: &str = "CORTEN_GPU_LIMITS";
/// The most bytes to hold on a device, as a number with `K`, `M` or `G` behind it or without.
pub const MEMORY_VARIABLE: &str = "CORTEN_GPU_MEMORY";

/// The optional features that make kernels faster. A kernel must work without any of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    pub immediates: bool,
    pub subgroups: bool,
    pub f16: bool,
    pub int64: bool,
    pub timestamps: bool,
    pub pipeline_cache: bool,
    /// Matrix units, which multiply float16 matrices of 8 × 8 or 16 × 16.
    pub matrices: bool,
    /// Whether the device's conversions between float16 and float32 are tried, see `halves`.
    pub halves: bool,
    /// Whether limits beyond WebGPU's defaults are asked for.
    pub limits: bool,
    /// Whether workgroup memory is faster than other memory.
    pub workgroup_memory: bool,
}

impl Features {
    /// By the name that [`FEATURES_VARIABLE`] uses.
    fn named(&mut self) -> [(&'static str, &mut bool, wgpu::Features); 8] {
        use wgpu::Features as F;
        [
            ("immediates", &mut self.immediates, F::IMMEDIATES),
            ("subgroups", &mut self.subgroups, F::SUBGROUP),
            ("f16", &mut self.f16, F::SHADER_F16),
            ("int64", &mut self.int64, F::SHADER_INT64),
            ("timestamps", &mut self.timestamps, F::TIMESTAMP_QUERY),
            ("pipeline_cache", &mut self.pipeline_cache, F::PIPELINE_CACHE),
            ("matrices", &mut self.matrices, F::EXPERIMENTAL_COOPERATIVE_MATRIX),
            // Every device has them.
            ("halves", &mut self.halves, F::empty()),
        ]
    }

    /// What the adapter has and the environment admits.
    fn choose(adapter: &wgpu::Adapter, wanted: Option<&str>) -> Features {
        let has = adapter.features();
        let admitted = |name: &str| wanted.is_none_or(|w| w.split(',').any(|n| n.trim() == name));
        let mut chosen = Features { limits: admitted("limits"), ..Features::default() };
        chosen.workgroup_memory = match std::env::var(TILES_VARIABLE).as_deref() {
            Ok("staged") => true,
            Ok("direct") => false,
            _ => adapter.get_info().device_type != wgpu::DeviceType::Cpu,
        };
        for (name, on, flag) in chosen.named() {
            *on = has.contains(flag) && admitted(name);
        }
        // A matrix is held by a subgroup, and made of float16 elements.
        chosen.matrices &= chosen.subgroups && chosen.f16 && matrices::size(adapter).is_some();
        chosen
    }

    fn flags(mut self) -> wgpu::Features {
        self.named().into_iter().filter(|(_, on, _)| **on).fold(wgpu::Features::empty(), |f, (_, _, flag)| f | flag)
    }

    /// The names of those in use.
    pub fn names(mut self) -> Vec<&'static str> {
        self.named().into_iter().filter(|(_, on, _)| **on).map(|(name, _, _)| name).collect()
    }
}

/// What went wrong on a device, noticed outside any call.
#[derive(Default)]
struct Trouble {
    lost: AtomicBool,
    /// Why it was lost.
    reason: Mutex<Option<String>>,
    /// What went wrong since the last look.
    message: Mutex<Option<String>>,
}

impl Trouble {
    /// What will go wrong on this device.
    fn of(device: &wgpu::Device) -> Arc<Trouble> {
        let trouble = Arc::new(Trouble::default());
        let seen = trouble.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| seen.report(e.to_string())));
        let seen = trouble.clone();
        device.set_device_lost_callback(move |reason, text| {
            let text = if text.is_empty() { format!("{reason:?}") } else { text };
            let reason = format!("the device was lost: {text}");
            lock(&seen.reason).get_or_insert(reason);
            seen.lost.store(true, Ordering::Release);
        });
        trouble
    }

    fn report(&self, message: String) {
        lock(&self.message).get_or_insert(message);
    }
}

/// Whether a device does what it says it can, which is tried once. One whose driver does not take the shader does not.
/// `failed` is called when the try fails.
pub(super) fn proven(
    known: &Mutex<Option<bool>>,
    check: impl FnOnce() -> Result<bool>,
    failed: impl FnOnce(),
) -> Result<bool> {
    let mut known = lock(known);
    if let Some(hold) = *known {
        return Ok(hold);
    }
    let hold = match check() {
        Err(Error::Internal(_)) => false,
        checked => checked?,
    };
    if !hold {
        failed();
    }
    *known = Some(hold);
    Ok(hold)
}

/// An opened GPU.
pub struct Gpu {
    pub index: u16,
    pub info: wgpu::AdapterInfo,
    pub features: Features,
    pub limits: wgpu::Limits,
    /// The most bytes that may be held, from the environment.
    pub budget: Option<u64>,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) work: Mutex<Work>,
    pub(super) guards: Mutex<Guards>,
    pub(super) pool: Mutex<Pool>,
    /// The number of the last submission that is done.
    pub(super) done: Arc<AtomicU64>,
    pub(super) pipelines: Mutex<Pipelines>,
    trouble: Arc<Trouble>,
    process: u32,
    /// Rows of the matrices of its matrix units, and whether these have computed a product right.
    pub(super) matrix_size: Option<usize>,
    pub(super) matrices_hold: Mutex<Option<bool>>,
    /// Whether it has converted float16 right.
    pub(super) halves_hold: Mutex<Option<bool>>,
    /// Itself, for checks at the first use of something.
    pub(super) shared: Weak<Gpu>,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({}: {})", self.index, self.info.name)
    }
}

static OPEN: LazyLock<Mutex<Vec<Option<Arc<Gpu>>>>> = LazyLock::new(Mutex::default);

/// The GPU with this index, opened when it is first used. A lost one is opened anew.
pub fn gpu(index: u16) -> Result<Arc<Gpu>> {
    let mut open = lock(&OPEN);
    if let Some(Some(g)) = open.get(index as usize) {
        g.check_process()?;
        if !g.trouble.lost.load(Ordering::Acquire) {
            return Ok(g.clone());
        }
    }
    let mut opened = Gpu::open(index)?;
    let opened = Arc::new_cyclic(|shared| {
        opened.shared = shared.clone();
        opened
    });
    if open.len() <= index as usize {
        open.resize(index as usize + 1, None);
    }
    open[index as usize] = Some(opened.clone());
    Ok(opened)
}

/// What the GPUs of this process leave for the next ones.
pub fn keep_shaders() {
    let process = std::process::id();
    let open: Vec<Arc<Gpu>> = lock(&OPEN).iter().flatten().cloned().collect();
    open.iter().filter(|g| g.process == process && !g.is_lost()).for_each(|g| g.keep_shaders());
}

impl Gpu {
    fn open(index: u16) -> Result<Gpu> {
        let adapter = adapters::adapter(index)?;
        let info = adapter.get_info();
        let wanted = std::env::var(FEATURES_VARIABLE).ok();
        let mut features = Features::choose(adapter, wanted.as_deref());
        let mut limits = wanted_limits(&adapter.limits(), features);
        lower(&mut limits, &std::env::var(LIMITS_VARIABLE).unwrap_or_default())?;
        let budget = std::env::var(MEMORY_VARIABLE).ok().filter(|t| !t.trim().is_empty());
        let budget = budget.map(|t| bytes_of(&t)).transpose()?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("corten"),
            required_features: features.flags(),
            required_limits: limits.clone(),
            // SAFETY: of what is experimental only cooperative matrices are used, in one kernel whose results are checked
            // before it is relied on.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..Default::default()
        };
        let mut opened = adapters::ready(adapter.request_device(&descriptor))?;
        if opened.is_err() && features.matrices {
            // Some drivers advertise matrix units that they do not have.
            if let (Err(e), true) = (&opened, OPTIONS.debug.load(Ordering::Relaxed) > 0) {
                eprintln!("corten: gpu:{index} ({}) could not be opened with matrix units: {e}", info.name);
            }
            features.matrices = false;
            let plain = wgpu::DeviceDescriptor { required_features: features.flags(), ..descriptor.clone() };
            opened = adapters::ready(adapter.request_device(&plain))?;
        }
        let (device, queue) =
            opened.map_err(|e| Error::Runtime(format!("gpu:{index} ({}) could not be opened: {e}", info.name)))?;
        let matrix_size = if features.matrices { matrices::size(adapter) } else { None };
        let trouble = Trouble::of(&device);
        let work = Mutex::new(Work::new(&limits));
        let pipelines = Mutex::new(Pipelines::new(&device, &info, features));
        let process = std::process::id();
        let (pool, guards, done) = (Mutex::default(), Mutex::default(), Arc::default());
        Ok(Gpu {
            index,
            info,
            features,
            limits,
            budget,
            device,
            queue,
            work,
            guards,
            pool,
            done,
            pipelines,
            trouble,
            process,
            matrix_size,
            matrices_hold: Mutex::default(),
            halves_hold: Mutex::default(),
            shared: Weak::new(),
        })
    }

    /// A forked child shares the parent's device by accident only.
    fn check_process(&self) -> Result<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(Error::Runtime(format!(
            "gpu:{} was opened before this process was forked, and a forked process cannot use it: start workers with the \
             'spawn' or 'forkserver' method",
            self.index
        )))
    }

    /// Something went wrong that the next look is to tell.
    pub(super) fn report(&self, message: String) {
        self.trouble.report(message);
    }

    /// What the driver reported since the last look. `doing` names the operator or transfer that noticed.
    pub fn check(&self, doing: &str) -> Result<()> {
        let message = match lock(&self.trouble.reason).clone() {
            Some(reason) => Some(reason),
            None => lock(&self.trouble.message).take(),
        };
        let Some(message) = message else { return Ok(()) };
        Err(Error::Runtime(format!("gpu:{} ({}) failed at {doing}: {message}", self.index, self.info.name)))
    }

    /// Whether the device is gone, with everything that its memory held.
    pub fn is_lost(&self) -> bool {
        self.trouble.lost.load(Ordering::Acquire)
    }

    /// Refuses memory of a device that is gone.
    pub(super) fn check_memory(&self, memory: &super::memory::Allocation) -> Result<()> {
        if std::ptr::eq(&*memory.gpu, self) && !self.is_lost() {
            return Ok(());
        }
        let reason = lock(&memory.gpu.trouble.reason).clone();
        Err(Error::Runtime(format!(
            "gpu:{} ({}): {}. The tensors that it held are gone; new ones can be made on it",
            memory.gpu.index,
            memory.gpu.info.name,
            reason.unwrap_or_else(|| "the tensor is on another GPU".into())
        )))
    }

    /// Loses the device, as a driver's reset does: for tests.
    pub fn lose(&self) {
        self.device.destroy();
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }

    /// Runs `make` and tells whether the driver had the memory for it.
    pub(super) fn with_memory<T>(&self, make: impl FnOnce() -> T) -> Result<Option<T>> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = make();
        let refused = adapters::ready(scope.pop())?;
        Ok(refused.is_none().then_some(made))
    }
}

/// Lowers limits by the pairs of [`LIMITS_VARIABLE`].
fn lower(limits: &mut wgpu::Limits, pairs: &str) -> Result<()> {
    for pair in pairs.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let wrong = || Error::Value(format!("{LIMITS_VARIABLE}: '{pair}' is not a limit's name, '=' and its value"));
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let value: u64 = value.trim().parse().map_err(|_| wrong())?;
        let small = value.min(u64::from(u32::MAX)) as u32;
        match name.trim() {
            "max_buffer_size" => limits.max_buffer_size = limits.max_buffer_size.min(value),
            "max_storage_buffer_binding_size" => {
                limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(value as _)
            }
            "max_compute_workgroups_per_dimension" => {
                limits.max_compute_workgroups_per_dimension = limits.max_compute_workgroups_per_dimension.min(small)
            }
            _ => return Err(wrong()),
        }
    }
    Ok(())
}

/// A number of bytes with a unit behind it or without.
fn bytes_of(text: &str) -> Result<u64> {
    let text = text.trim();
    let (digits, shift) = match text.bytes().last().map(|b| b.to_ascii_uppercase()) {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: Option<u64> = digits.trim().parse().ok();
    number.and_then(|n| n.checked_mul(1 << shift)).ok_or_else(|| {
        Error::Value(format!("{MEMORY_VARIABLE}: '{text}' is not a number of bytes, such as 500M or 4G"))
    })
}

/// WebGPU's default limits, raised to the adapter's where kernels profit.
fn wanted_limits(has: &wgpu::Limits, features: Features) -> wgpu::Limits {
    let mut limits = wgpu::Limits::default();
    if features.limits {
        limits.max_buffer_size = has.max_buffer_size;
        limits.max_storage_buffer_binding_size = has.max_storage_buffer_binding_size;
        // The parameters take a place among the buffers.
        let buffers = has.max_buffers_and_acceleration_structures_per_shader_stage;
        limits.max_buffers_and_acceleration_structures_per_shader_stage = buffers;
        limits.max_storage_buffers_per_shader_stage =
            has.max_storage_buffers_per_shader_stage.min(buffers.saturating_sub(1)).min(32);
        limits.max_compute_workgroup_storage_size = has.max_compute_workgroup_storage_size;
        limits.max_compute_invocations_per_workgroup = has.max_compute_invocations_per_workgroup;
        limits.max_compute_workgroup_size_x = has.max_compute_workgroup_size_x;
        limits.max_compute_workgroup_size_y = has.max_compute_workgroup_size_y;
    }
    if features.immediates {
        limits.max_immediate_size = super::pipelines::IMMEDIATE_BYTES;
    }
    limits
}
