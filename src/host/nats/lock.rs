//! Locks that a panic elsewhere does not poison.

use core::time::Duration;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A panic elsewhere does not make the state wrong: no panic can happen while it is changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for `condvar`, for at most so long.
pub(super) fn wait<'s, T>(
    condvar: &Condvar,
    state: MutexGuard<'s, T>,
    limit: Duration,
) -> MutexGuard<'s, T> {
    let waited = condvar.wait_timeout(state, limit);
    waited.unwrap_or_else(PoisonError::into_inner).0
}
