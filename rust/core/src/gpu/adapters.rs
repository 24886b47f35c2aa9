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

/// The GPUs of this process, in the order of their indices. They are looked for once.
static FOUND: LazyLock<Vec<wgpu::Adapter>> = LazyLock::new(find);

/// The value of a future of `wgpu`, which on native backends is ready at the first poll.
pub fn ready<F: Future>(future: F) -> Result<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(Error::Internal("the GPU driver did not answer at once".into())),
    }
}

/// How many GPUs there are.
pub fn count() -> usize {
    FOUND.len()
}

/// The adapter with this index.
pub fn adapter(index: u16) -> Result<&'static wgpu::Adapter> {
    FOUND.get(index as usize).ok_or_else(|| Error::Runtime(missing(index)))
}

fn missing(index: u16) -> String {
    let advice = if FOUND.is_empty() {
        format!(
            "no GPU was found. Install a driver that offers Vulkan (on Linux the package mesa-vulkan-drivers or the vendor's), \
             Metal or DX12; set {SOFTWARE_VARIABLE}=1 to use a software adapter"
        )
    } else {
        format!("this machine has {} GPU(s), numbered from 0", FOUND.len())
    };
    format!("gpu:{index} is not available: {advice}")
}

fn find() -> Vec<wgpu::Adapter> {
    let backends = wanted_backends();
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let mut all = ready(instance.enumerate_adapters(backends)).unwrap_or_default();
    let software = std::env::var(SOFTWARE_VARIABLE).is_ok_and(|v| v == "1");
    all.retain(|a| computes(a) && (software || a.get_info().device_type != DeviceType::Cpu));
    all.sort_by_key(|a| rank(&a.get_info()));
    drop_twins(&mut all);
    select(all, std::env::var(ADAPTER_VARIABLE).ok().as_deref())
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

fn computes(adapter: &wgpu::Adapter) -> bool {
    adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        && adapter.limits().max_storage_buffers_per_shader_stage >= 8
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
