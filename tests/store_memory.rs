//! What a large file takes of the heap on its way through a store, from disk to disk: at most 32 MiB on each side,
//! whatever its size. `STORE_BYTES=4294967296` is the whole of it.

mod common;

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use common::nats_server::NatsServer;
use natsbridge::adapter::{Body, FileServer, StreamError};
use natsbridge::host::{FileSink, NatsClient, NatsOptions, StdPlatform};
use natsbridge::{BucketOptions, Directory, ObjectStore};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MOST: usize = 32 << 20;

/// Bytes that are the same again after a number of them that fits to no chunk.
fn pattern() -> Vec<u8> {
    common::bytes(1_000_003)
}

/// Writes a file of the pattern.
fn write_file(path: &Path, len: u64) {
    let (pattern, mut file) = (pattern(), File::create(path).unwrap());
    let mut left = len;
    while left > 0 {
        let count = left.min(pattern.len() as u64);
        file.write_all(&pattern[..count as usize]).unwrap();
        left -= count;
    }
    file.sync_all().unwrap();
}

/// Whether a file is one of the pattern.
fn check_file(path: &Path, len: u64) {
    let (pattern, mut file) = (pattern(), File::open(path).unwrap());
    assert_eq!(file.metadata().unwrap().len(), len);
    let mut block = vec![0; pattern.len()];
    let mut left = len;
    while left > 0 {
        let count = left.min(pattern.len() as u64) as usize;
        file.read_exact(&mut block[..count]).unwrap();
        assert!(block[..count] == pattern[..count], "{left} before the end");
        left -= count as u64;
    }
}

struct FileBody {
    file: File,
    len: u64,
}

impl Body for FileBody {
    fn len(&self) -> u64 {
        self.len
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        Ok(self.file.read(out)?)
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        self.file.rewind()?;
        Ok(())
    }
}

/// The most heap in use during a call, beside what was in use before, in bytes.
fn measure(what: &str, len: u64, call: impl FnOnce()) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let started = Instant::now();
    call();
    let rate = len as f64 / 1e6 / started.elapsed().as_secs_f64();
    let taken = HEAP.peak_usage().saturating_sub(before);
    println!("{what}: {rate:.0} MB/s, {taken} bytes of the heap");
    taken
}

/// Stores a file and fetches it again, each in little memory.
fn move_through(what: &str, store: &mut dyn FileServer, dir: &Path, len: u64) {
    let (from, to) = (dir.join("from"), dir.join("to"));
    let mut url = String::new();
    let up = measure(&format!("{what}, upload"), len, || {
        let file = File::open(&from).unwrap();
        let upload = store.upload("large", &mut FileBody { file, len });
        url = upload.unwrap().url;
    });
    let down = measure(&format!("{what}, download"), len, || {
        let mut sink = FileSink::create(&to).unwrap();
        assert_eq!(store.download(&url, len, &mut sink).unwrap(), len);
    });
    check_file(&to, len);
    std::fs::remove_file(&to).unwrap();
    for (direction, taken) in [("upload", up), ("download", down)] {
        assert!(taken <= MOST, "{what}: {taken} bytes for the {direction}");
    }
}

/// One store after the other: the heap is that of the whole program.
#[test]
fn a_large_file_takes_no_more_memory_than_a_small_one() {
    let given = std::env::var("STORE_BYTES").ok();
    let len = given.map_or(200_000_000, |len| len.parse().expect("a number"));
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_file(&dir.join("from"), len);

    let server = NatsServer::start_jetstream();
    let client = NatsClient::new(NatsOptions::new(&server.url()));
    let mut store = ObjectStore::new(client, StdPlatform, "files").unwrap();
    store.create_bucket(&BucketOptions::default()).unwrap();
    move_through("Object Store", &mut store, dir, len);
    drop((store, server));

    let mut store = Directory::new(StdPlatform, dir.join("folder")).unwrap();
    move_through("folder", &mut store, dir, len);
    store.remove_older_than(Duration::ZERO).unwrap();

    #[cfg(all(feature = "s3", feature = "ureq"))]
    {
        let server = common::s3_server::S3Server::start();
        let http = natsbridge::host::UreqClient::new();
        let mut store = natsbridge::S3::new(http, StdPlatform, server.options()).unwrap();
        move_through("S3", &mut store, dir, len);
    }
}
