//! Locking.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks without the poison protocol: engine state is consistent at every unlock, panics included.
pub fn lock<T: ?Sized>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
