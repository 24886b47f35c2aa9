//! The payload of a kernel that a program brings along as WGSL (`corten.gpu.kernel`).

use crate::dtype::DType;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex};

/// Workgroups along a dim that every GPU runs.
const MOST_GROUPS: u64 = 65535;

/// The type of a number that a kernel is given at every call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Number {
    F32,
    I32,
    U32,
}

impl Number {
    pub const ALL: [Number; 3] = [Number::F32, Number::I32, Number::U32];

    /// WGSL's name.
    pub const fn name(self) -> &'static str {
        match self {
            Number::F32 => "f32",
            Number::I32 => "i32",
            Number::U32 => "u32",
        }
    }
}

/// What a kernel's text depends on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Source {
    pub name: String,
    pub wgsl: String,
    pub inputs: Vec<(String, DType)>,
    pub outputs: Vec<(String, DType)>,
    pub numbers: Vec<(String, Number)>,
    /// Invocations of a workgroup where the text is the body of a function, run for each `i`; none where the text has an
    /// entry point of its own.
    pub body: Option<u32>,
}

#[derive(Debug)]
struct Known {
    id: u64,
    /// Kept for good, as the kernel is.
    name: &'static str,
    source: Source,
    workgroup: [u32; 3],
}

/// A kernel by identity: two with the same source are one, so that plans find it by one word.
#[derive(Clone, Debug)]
pub struct Kernel(Arc<Known>);

static KNOWN: LazyLock<Mutex<HashMap<Source, Kernel>>> = LazyLock::new(Mutex::default);

impl Kernel {
    /// The kernel with this source, whose workgroups have the given size.
    pub fn new(source: Source, workgroup: [u32; 3]) -> Kernel {
        let mut known = crate::sync::lock(&KNOWN);
        let id = known.len() as u64;
        let make = || {
            let name = Box::leak(source.name.clone().into_boxed_str());
            Kernel(Arc::new(Known { id, name, source: source.clone(), workgroup }))
        };
        known.entry(source.clone()).or_insert_with(make).clone()
    }
    /// Never that of another source in this process.
    pub fn id(&self) -> u64 {
        self.0.id
    }
    pub fn source(&self) -> &Source {
        &self.0.source
    }
    pub fn workgroup(&self) -> [u32; 3] {
        self.0.workgroup
    }
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Workgroups for the invocations along one to three dims. Those along one dim alone are spread over two where they are
    /// many.
    pub fn groups(&self, grid: &[u64]) -> Result<[u32; 3]> {
        let size = self.0.workgroup.map(u64::from);
        let mut groups = [1; 3];
        if let [count] = grid {
            let needed = count.div_ceil(size.iter().product());
            groups[0] = needed.min(MOST_GROUPS);
            groups[1] = needed.div_ceil(groups[0].max(1));
        } else {
            grid.iter().zip(size).enumerate().for_each(|(d, (n, s))| groups[d] = n.div_ceil(s));
        }
        match groups.iter().find(|&&n| n > MOST_GROUPS) {
            Some(n) => Err(Error::Value(format!(
                "gpu.kernel '{}': the grid {grid:?} needs {n} workgroups along a dim, but a GPU has at most {MOST_GROUPS}",
                self.name()
            ))),
            None => Ok(groups.map(|n| n as u32)),
        }
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Kernel) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.id());
    }
}
