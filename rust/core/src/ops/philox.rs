//! The (seed, offset) pairs of random kernels, reserved in program order.

use crate::graph::lock;
use crate::rng::Generator;
use std::sync::{LazyLock, Mutex};

static GENERATOR: LazyLock<Mutex<Generator>> = LazyLock::new(Mutex::default);

/// The pair of a kernel about to be recorded.
pub fn reserve_philox() -> (u64, u64) {
    lock(&GENERATOR).reserve_philox()
}
