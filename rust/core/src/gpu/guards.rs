//! Rules that a GPU checks while it works: indices out of range set a flag, and whoever reads a value next is told.
//!
//! Reading the indices at the call would make every embedding and every loss wait for the device. Kernels that read by indices
//! stay inside their memory whatever the indices are, so a wrong one spoils values, and no value is read before the flags are.

use super::device::Gpu;
use super::memory::{self, Allocation};
use super::parts;
use super::pipelines::Access;
use super::text::Text;
use super::view::View;
use super::walk::{Walk, Words, each};
use crate::dtype::DType;
use crate::error::{Breach, Error, Result};
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::Arc;

const GUARD: &str = include_str!("../../../../shaders/index/guard.wgsl");

/// Different rules that may be checked; the last slot stands for all that come later.
const SLOTS: usize = 256;
/// Words of a slot: whether it was broken, and by which int64.
const SLOT_WORDS: usize = 3;
pub(super) const FLAG_BYTES: usize = SLOTS * SLOT_WORDS * 4;

#[derive(Default)]
pub struct Guards {
    rules: Vec<Breach>,
    slots: HashMap<(usize, [i64; 2]), u32>,
    flags: Option<Arc<Allocation>>,
    /// Whether a check was made since the flags were read.
    armed: bool,
}

impl Guards {
    /// The flags, where a check may have set some since they were read.
    pub(super) fn unread(&self) -> Option<Arc<Allocation>> {
        self.flags.clone().filter(|_| self.armed)
    }

    /// [`Guards::unread`], which whoever calls this reads.
    pub(super) fn take_unread(&mut self) -> Option<Arc<Allocation>> {
        let flags = self.unread();
        self.armed = false;
        flags
    }

    /// The flags that somebody took were not read after all.
    pub(super) fn give_back(&mut self) {
        self.armed = self.flags.is_some();
    }

    /// The error of the first flag that is set.
    pub(super) fn broken(&self, flags: &[u8]) -> Option<Error> {
        let words: Vec<u32> = flags.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
        let (slot, found) = words.chunks_exact(SLOT_WORDS).enumerate().find(|(_, w)| w[0] != 0)?;
        let value = (u64::from(found[1]) | u64::from(found[2]) << 32) as i64;
        match self.rules.get(slot) {
            Some(rule) => Some(rule.of(value)),
            None => Some(Error::Index(format!("index {value} is out of range"))),
        }
    }
}

impl Gpu {
    /// The number of a rule whose breach makes this error.
    pub fn rule(&self, breach: Breach) -> u64 {
        let mut guards = lock(&self.guards);
        if let Some(&slot) = guards.slots.get(&breach.key()) {
            return u64::from(slot);
        }
        let slot = guards.rules.len().min(SLOTS - 1) as u32;
        if guards.rules.len() < SLOTS - 1 {
            guards.rules.push(breach);
            guards.slots.insert(breach.key(), slot);
        }
        u64::from(slot)
    }

    /// The flags, which are about to be set by a check.
    fn arm(self: &Arc<Gpu>) -> Result<Arc<Allocation>> {
        let known = lock(&self.guards).flags.clone();
        let flags = match known {
            Some(flags) => flags,
            // Scarce memory waits for the device and reads the flags, so nothing is locked here.
            None => {
                let fresh = memory::allocate(self, FLAG_BYTES)?;
                self.upload(&fresh, &[0; FLAG_BYTES])?;
                lock(&self.guards).flags.get_or_insert(Arc::new(fresh)).clone()
            }
        };
        lock(&self.guards).armed = true;
        Ok(flags)
    }
}

/// Flags the rule `numbers[3]` where an element other than `numbers[2]` lies outside `numbers[0] .. numbers[1]`.
pub fn check(gpu: &Arc<Gpu>, index: &View, numbers: &[u64]) -> Result<()> {
    let flags = gpu.arm()?;
    parts::each_window(gpu, index, &mut |index| launch(gpu, index, numbers, &flags))
}

fn launch(gpu: &Gpu, index: &View, numbers: &[u64], flags: &Allocation) -> Result<()> {
    let mut p = Words::from_slice(&[index.numel() as u32]);
    for number in numbers {
        p.extend([*number as u32, (*number >> 32) as u32]);
    }
    Walk::of(index).write(&mut p);
    each(gpu, ("guard", &[index.dtype as u32]), &[index.memory, flags], &p, || {
        (Text::new().input("index", index.dtype, DType::I64).scratch("flags", "atomic<u32>", Access::Write), GUARD)
    })
}
