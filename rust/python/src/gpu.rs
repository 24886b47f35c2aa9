//! What Python asks of the GPUs: which there are, what they hold, and waiting for them.

use crate::error::IntoPy;
use corten_core::exec;
use corten_core::gpu::{self, adapters, memory};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// How many GPUs there are; looking for them loads the drivers.
#[pyfunction]
pub fn gpu_count(py: Python<'_>) -> usize {
    py.detach(adapters::count)
}

/// Name, vendor, kind, backend, driver, limits and the features in use of a GPU, which is opened for it.
#[pyfunction]
pub fn gpu_info(py: Python<'_>, index: u16) -> PyResult<Bound<'_, PyDict>> {
    let g = py.detach(|| gpu::gpu(index)).py()?;
    let out = PyDict::new(py);
    out.set_item("name", &g.info.name)?;
    out.set_item("vendor", g.info.vendor)?;
    out.set_item("device", g.info.device)?;
    out.set_item("type", format!("{:?}", g.info.device_type))?;
    out.set_item("backend", format!("{:?}", g.info.backend))?;
    out.set_item("driver", format!("{} {}", g.info.driver, g.info.driver_info).trim())?;
    out.set_item("features", g.features.names())?;
    out.set_item("max_buffer_size", g.limits.max_buffer_size)?;
    out.set_item("max_storage_buffer_binding_size", g.limits.max_storage_buffer_binding_size)?;
    out.set_item("max_storage_buffers", g.limits.max_storage_buffers_per_shader_stage)?;
    out.set_item("max_workgroups", g.limits.max_compute_workgroups_per_dimension)?;
    out.set_item("memory_limit", g.budget)?;
    out.set_item("max_workgroup_size", g.limits.max_compute_invocations_per_workgroup)?;
    out.set_item("max_workgroup_storage_size", g.limits.max_compute_workgroup_storage_size)?;
    Ok(out)
}

/// Runs what is pending and waits for the GPU to finish it.
#[pyfunction]
pub fn gpu_synchronize(py: Python<'_>, index: u16) -> PyResult<()> {
    exec::flush().py()?;
    py.detach(|| gpu::gpu(index)?.synchronize()).py()
}

/// Bytes and events of a GPU since it was opened.
#[pyfunction]
pub fn gpu_counters(py: Python<'_>, index: u16) -> PyResult<Bound<'_, PyDict>> {
    let g = py.detach(|| gpu::gpu(index)).py()?;
    let (m, c) = (g.memory(), g.counters());
    let out = PyDict::new(py);
    for (name, value) in [
        ("allocated_bytes", m.allocated),
        ("peak_bytes", m.peak),
        ("reserved_bytes", m.reserved),
        ("buffers_created", m.created),
        ("dispatches", c.dispatches),
        ("submissions", c.submissions),
        ("bind_groups_created", c.bind_groups),
        ("waits", c.waits),
        ("shaders_compiled", g.shaders_compiled()),
    ] {
        out.set_item(name, value)?;
    }
    Ok(out)
}

/// Forgets the peak of allocated memory: it starts anew from what is allocated now.
#[pyfunction]
pub fn gpu_reset_peak(py: Python<'_>, index: u16) -> PyResult<()> {
    let g = py.detach(|| gpu::gpu(index)).py()?;
    g.reset_peak();
    Ok(())
}

/// Gives the memory that no tensor uses back to the driver.
#[pyfunction]
pub fn gpu_empty_cache(py: Python<'_>, index: u16) -> PyResult<()> {
    exec::flush_quietly().py()?;
    py.detach(|| memory::empty_cache(&gpu::gpu(index)?)).py()
}

/// Keeps what the drivers compiled on disk, for later processes: called when the interpreter ends.
#[pyfunction]
pub fn gpu_keep_shaders(py: Python<'_>) {
    py.detach(gpu::device::keep_shaders);
}

/// Loses the device as a driver's reset does, for tests: what it holds is gone, and its next use opens it anew.
#[pyfunction]
pub fn gpu_lose(py: Python<'_>, index: u16) -> PyResult<()> {
    py.detach(|| gpu::gpu(index).map(|g| g.lose())).py()
}
