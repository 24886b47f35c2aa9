//! Everything that differs between operating systems.

use crate::error::{Error, Result};
use std::sync::LazyLock;
use std::time::Instant;

/// Physical memory in bytes; `usize::MAX` where it cannot be found out.
static MEMORY: LazyLock<usize> = LazyLock::new(physical_memory);

/// Nanoseconds since the process first asked: the clock of profiles.
pub fn clock() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}

/// Sizes below this are not worth a check.
const SMALL: usize = 64 << 20;

/// Refuses a result larger than the machine's memory when it is recorded, long before it would be allocated.
#[inline]
pub fn check_allocation(bytes: usize, shape: impl FnOnce() -> String) -> Result<()> {
    if bytes > SMALL && bytes > *MEMORY {
        return Err(Error::OutOfMemory(format!(
            "out of memory: a result of shape {} needs {bytes} bytes; this machine has {}",
            shape(),
            *MEMORY
        )));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn physical_memory() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<usize>().ok())
        .map_or(usize::MAX, |kb| kb.saturating_mul(1024))
}

#[cfg(not(target_os = "linux"))]
fn physical_memory() -> usize {
    // Half the address space: the allocator's own refusal decides below it.
    usize::MAX / 2
}
