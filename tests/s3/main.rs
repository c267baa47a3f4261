//! S3: against a real server that verifies signatures, and against a scripted one for what the real one accepts and
//! AWS does not.

#[path = "../common/mod.rs"]
mod common;

mod links;
mod parts;
mod real_server;
mod scripted_server;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use natsbridge::adapter::{FileServer, Platform, PlatformError, SliceBody, VecSink};
use natsbridge::host::{StdPlatform, UreqClient};
use natsbridge::{S3, S3Options};

/// A clock that is so many seconds late, or early, and does not make pauses but counts them.
#[derive(Default)]
struct Clock {
    offset: i64,
    pauses: Cell<usize>,
}

impl Clock {
    fn off_by(seconds: i64) -> Self {
        Self {
            offset: seconds,
            ..Self::default()
        }
    }
}

impl Platform for Clock {
    fn unix_millis(&self) -> u64 {
        let now = StdPlatform.unix_millis();
        now.saturating_add_signed(self.offset * 1000)
    }
    fn uptime_millis(&self) -> u64 {
        StdPlatform.uptime_millis()
    }
    fn wait(&self, _: Duration) {
        self.pauses.set(self.pauses.get() + 1);
    }
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        StdPlatform.random(out)
    }
}

thread_local! {
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "natsbridge"
    }
    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            WARNINGS.with_borrow_mut(|warnings| warnings.push(record.args().to_string()));
        }
    }
    fn flush(&self) {}
}

/// Runs `call`, and returns what it warned of on this thread.
fn warnings_of(call: impl FnOnce()) -> Vec<String> {
    // Another test may have set it already.
    log::set_logger(&Warnings).ok();
    log::set_max_level(log::LevelFilter::Warn);
    WARNINGS.take();
    call();
    WARNINGS.take()
}

fn s3(options: S3Options) -> S3<UreqClient, StdPlatform> {
    S3::new(UreqClient::new(), StdPlatform, options).unwrap()
}

/// Stores bytes, and returns the link to them.
fn upload(files: &mut impl FileServer, dataname: &str, bytes: &[u8]) -> String {
    let upload = files.upload(dataname, &mut SliceBody::new(bytes));
    upload.unwrap().url
}

fn download(files: &mut impl FileServer, url: &str, limit: usize) -> Vec<u8> {
    let mut sink = VecSink::new(limit);
    let len = files.download(url, limit as u64, &mut sink).unwrap();
    let bytes = sink.into_bytes();
    assert_eq!(len, bytes.len() as u64);
    bytes
}
