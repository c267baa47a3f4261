//! The host's adapters on a bad network, with bad servers, and with links that lead astray.

#[path = "../common/mod.rs"]
mod common;

mod http;
mod links;
mod nats;
mod restarts;
#[cfg(feature = "s3")]
mod s3;
mod witness;

use std::time::{Duration, Instant};

/// What a call may take beyond its time limits, on a machine that has other things to do. One that
/// hangs takes 30 s and more.
const MARGIN: Duration = Duration::from_secs(10);

/// Runs `call`, which has to end in time.
fn within<T>(limit: Duration, call: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = call();
    let taken = started.elapsed();
    assert!(taken < limit + MARGIN, "{taken:?} of {limit:?}");
    done
}
