//! S3: against a real server that verifies signatures, and against a scripted one for what the real one accepts and
//! AWS does not.

#[path = "../common/mod.rs"]
mod common;

mod links;
mod parts;
mod real_server;
mod scripted_server;

use std::cell::Cell;
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
