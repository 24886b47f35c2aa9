//! Which GPUs there are, in which order, and what they say of themselves.

use crate::error::{Error, Result};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use wgpu::{Backend, Backends, DeviceType};

/// Comma-separated backends that may be used: `vulkan`, `metal`, `dx12`.
pub const BACKEND_VARIABLE: &str = "CORTEN_GPU_BACKEND";
/// Part of the name of the adapters that may be used, or a number in the order in which they are found.
pub const ADAPTER_VARIABLE: &str = "CORTEN_GPU_ADAPTER";
/// `1` admits adapters that compute on the CPU (llvmpipe, WARP): for tests, as they are slower than the CPU backend.
pub const SOFTWARE_VARIABLE: &str = "CORTEN_GPU_SOFTWARE";

/// Storage buffers that kernels bind, which is WebGPU's default.
const LEAST_BUFFERS: u32 = 8;

/// The GPUs of this process, in the order of their indices. They are looked for once.
static FOUND: LazyLock<Found> = LazyLock::new(find);

struct Found {
    usable: Vec<wgpu::Adapter>,
    /// Names of adapters that are not used, each with the reason.
    refused: Vec<String>,
}

/// The value of a future of `wgpu`, which on native backends is ready at the first poll.
pub fn ready<F: Future>(future: F) -> Result<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(Error::Internal("the GPU driver did not answer at once".into())),
    }
}

/// How many GPUs there are.
pub fn count() -> usize {
    FOUND.usable.len()
}

/// The adapter with this index.
pub fn adapter(index: u16) -> Result<&'static wgpu::Adapter> {
    FOUND.usable.get(index as usize).ok_or_else(|| Error::Runtime(missing(index, FOUND.usable.len(), &FOUND.refused)))
}

fn missing(index: u16, count: usize, refused: &[String]) -> String {
    let advice = if count > 0 {
        format!("this machine has {count} GPU(s), numbered from 0")
    } else {
        let why = if refused.is_empty() { String::new() } else { format!(": {}", refused.join("; ")) };
        format!(
            "no GPU was found{why}. Install a driver that offers Vulkan (on Linux the package mesa-vulkan-drivers or the vendor's), Metal or \
             DX12; set {SOFTWARE_VARIABLE}=1 to use a software adapter"
        )
    };
    format!("gpu:{index} is not available: {advice}")
}

/// Mesa's layer that orders devices asks a desktop for its own, and complains on standard error where there is none, as in
/// a container. Devices are chosen here, so it is told to stay away.
fn quieten() {
    const LAYER: &str = "NODEVICE_SELECT";
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() && std::env::var_os(LAYER).is_none() {
        // SAFETY: glibc and musl keep the old environment, so that threads which read it meanwhile read what was there.
        unsafe { std::env::set_var(LAYER, "1") };
    }
}

fn find() -> Found {
    quieten();
    let backends = wanted_backends();
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let mut all = ready(instance.enumerate_adapters(backends)).unwrap_or_default();
    let software = std::env::var(SOFTWARE_VARIABLE).is_ok_and(|v| v == "1");
    let mut refused = Vec::new();
    all.retain(|a| {
        let info = a.get_info();
        let why = shortcoming(&a.get_downlevel_capabilities(), &a.limits(), info.device_type, software);
        refused.extend(why.iter().map(|why| format!("{} ({:?}) {why}", info.name, info.backend)));
        why.is_none()
    });
    all.sort_by_key(|a| rank(&a.get_info()));
    drop_twins(&mut all);
    Found { usable: select(all, std::env::var(ADAPTER_VARIABLE).ok().as_deref()), refused }
}

fn wanted_backends() -> Backends {
    let Ok(text) = std::env::var(BACKEND_VARIABLE) else { return Backends::VULKAN | Backends::METAL | Backends::DX12 };
    text.split(',').fold(Backends::empty(), |set, name| {
        set | match name.trim().to_ascii_lowercase().as_str() {
            "vulkan" => Backends::VULKAN,
            "metal" => Backends::METAL,
            "dx12" => Backends::DX12,
            _ => Backends::empty(),
        }
    })
}

/// Why an adapter cannot be used, if so. Old hardware draws, but has no compute shaders, or too few buffers for them.
fn shortcoming(
    has: &wgpu::DownlevelCapabilities,
    limits: &wgpu::Limits,
    kind: DeviceType,
    software: bool,
) -> Option<String> {
    let buffers = limits.max_storage_buffers_per_shader_stage;
    if !has.flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Some("has no compute shaders".into());
    }
    if buffers < LEAST_BUFFERS {
        return Some(format!(
            "binds only {buffers} storage buffers to a compute shader, and {LEAST_BUFFERS} are needed"
        ));
    }
    (kind == DeviceType::Cpu && !software).then(|| "computes on the CPU".into())
}

/// Discrete GPUs first; of two ways to one device Vulkan before DX12.
fn rank(info: &wgpu::AdapterInfo) -> (u8, u8) {
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    };
    let backend = match info.backend {
        Backend::Metal => 0,
        Backend::Vulkan => 1,
        _ => 2,
    };
    (kind, backend)
}

/// One device reached through two backends counts once. Two equal cards have different addresses on the bus.
fn drop_twins(all: &mut Vec<wgpu::Adapter>) {
    let mut seen: Vec<wgpu::AdapterInfo> = Vec::new();
    all.retain(|a| {
        let info = a.get_info();
        let twin = seen
            .iter()
            .any(|s| s.backend != info.backend && s.vendor == info.vendor && s.device == info.device && s.vendor != 0);
        seen.push(info);
        !twin
    });
}

fn select(mut all: Vec<wgpu::Adapter>, wanted: Option<&str>) -> Vec<wgpu::Adapter> {
    match wanted.map(str::trim) {
        None | Some("") => all,
        Some(text) => match text.parse::<usize>() {
            Ok(i) if i < all.len() => vec![all.swap_remove(i)],
            Ok(_) => Vec::new(),
            Err(_) => {
                let text = text.to_lowercase();
                all.retain(|a| a.get_info().name.to_lowercase().contains(&text));
                all
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(flags: wgpu::DownlevelFlags, buffers: u32, kind: DeviceType, software: bool) -> Option<String> {
        let has = wgpu::DownlevelCapabilities { flags, ..Default::default() };
        let limits = wgpu::Limits { max_storage_buffers_per_shader_stage: buffers, ..Default::default() };
        shortcoming(&has, &limits, kind, software)
    }

    #[test]
    fn an_adapter_without_compute_is_refused_and_the_error_says_why() {
        let all = wgpu::DownlevelFlags::all();
        let draws = all - wgpu::DownlevelFlags::COMPUTE_SHADERS;
        let why = refusal(draws, 0, DeviceType::DiscreteGpu, true);
        assert_eq!(why.as_deref(), Some("has no compute shaders"));
        let told = missing(0, 0, &[format!("Old Card (Vulkan) {}", why.unwrap_or_default())]);
        assert!(told.starts_with(
            "gpu:0 is not available: no GPU was found: Old Card (Vulkan) has no compute shaders. Install"
        ));
        let few = refusal(all, 4, DeviceType::IntegratedGpu, false).unwrap_or_default();
        assert!(few.contains("only 4 storage buffers") && few.contains("8 are needed"));
    }

    #[test]
    fn software_is_used_where_it_is_asked_for() {
        let all = wgpu::DownlevelFlags::all();
        assert_eq!(refusal(all, 8, DeviceType::Cpu, false).as_deref(), Some("computes on the CPU"));
        assert_eq!(refusal(all, 8, DeviceType::Cpu, true), None);
        assert_eq!(refusal(all, 8, DeviceType::Other, false), None);
    }

    #[test]
    fn a_number_beyond_the_gpus_that_are_there_says_how_many_there_are() {
        assert_eq!(missing(2, 2, &[]), "gpu:2 is not available: this machine has 2 GPU(s), numbered from 0");
        assert!(missing(0, 0, &[]).contains("no GPU was found. Install"));
    }
}
