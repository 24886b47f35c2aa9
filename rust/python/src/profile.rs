//! Profiles for Python: `corten.profiler` makes its objects from what is returned here.

use crate::error::IntoPy;
use corten_core::device::Device;
use corten_core::exec::profile::{self, Event};
use corten_core::os;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// Starts a profile; false where one is taken already. `stacks` keeps the program's place at every flush.
#[pyfunction]
pub fn profile_start(gpu_times: bool, stacks: bool) -> bool {
    profile::start(gpu_times, stacks)
}

/// The number of this thread, and the time in nanoseconds, on the clock of profiles.
#[pyfunction]
pub fn profile_clock() -> (u64, u64) {
    (profile::thread(), os::clock())
}

fn event<'py>(py: Python<'py>, e: Event) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    let shapes = e.shapes.iter().map(|s| PyTuple::new(py, s.iter())).collect::<PyResult<Vec<_>>>()?;
    out.set_item("id", e.id)?;
    out.set_item("name", e.name)?;
    out.set_item("gpu", if let Device::Gpu(i) = e.device { Some(i) } else { None })?;
    out.set_item("thread", e.thread)?;
    out.set_item("begin", e.begin)?;
    out.set_item("end", e.end)?;
    out.set_item("read", e.cost.read)?;
    out.set_item("written", e.cost.written)?;
    out.set_item("flops", e.cost.flops)?;
    out.set_item("memory", e.memory)?;
    out.set_item("shapes", shapes)?;
    out.set_item("stack", e.stack)?;
    Ok(out)
}

/// Ends the profile: the kernels as they ran on the host, their launches on GPUs as (event, name, begin, end), and
/// whether a GPU took part whose launches could not be timed. Times are nanoseconds.
#[pyfunction]
pub fn profile_stop(py: Python<'_>) -> PyResult<(Bound<'_, PyList>, Vec<(u64, String, u64, u64)>, bool)> {
    let found = py.detach(profile::stop).py()?;
    let events = PyList::empty(py);
    for e in found.events {
        events.append(event(py, e)?)?;
    }
    let launches = found.launches.into_iter().map(|l| (l.unit, l.name, l.begin, l.end)).collect();
    Ok((events, launches, found.untimed))
}
