//! A real server of S3 for a test, which verifies signatures: s3s-fs, on a free port of the loopback, with its files
//! in a temporary directory. `S3S_FS` is the path of the program, if it is not in `PATH`.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use natsbridge::S3Options;
use tempfile::TempDir;

pub const BUCKET: &str = "films";
pub const KEY_ID: &str = "THEKEYID";
pub const SECRET: &str = "THESECRET";
const START_LIMIT: Duration = Duration::from_secs(20);
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// How many ports to try; another process can take a port between our look and the server's bind.
const PORT_TRIES: usize = 5;
const NOT_INSTALLED: &str = "s3s-fs is not installed: \
    cargo install --locked --debug s3s-fs --version 0.14.1 --features binary; or S3S_FS is its path";

pub struct S3Server {
    // Fields drop in this order: the program ends before its files go.
    _program: Program,
    dir: TempDir,
    port: u16,
}

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // An error means it has ended already; either way `wait` collects it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl S3Server {
    /// Starts a server with the bucket [`BUCKET`].
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(dir.path().join("files").join(BUCKET)).expect("the bucket");
        for _ in 0..PORT_TRIES {
            let port = free_port();
            let mut program = spawn(dir.path(), port);
            if is_up(&mut program, dir.path(), port) {
                let _program = program;
                return Self {
                    _program,
                    dir,
                    port,
                };
            }
        }
        panic!("{PORT_TRIES} ports were taken:\n{}", log(dir.path()));
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The bucket, with keys.
    pub fn options(&self) -> S3Options {
        S3Options::new(BUCKET)
            .endpoint(self.url())
            .keys(KEY_ID, SECRET)
    }

    /// How many files and folders the server has, those of unfinished uploads included.
    pub fn entries(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = std::fs::read_dir(folder).expect("list the files").flatten();
            entries
                .map(|entry| match entry.path() {
                    path if path.is_dir() => 1 + count(&path),
                    _ => 1,
                })
                .sum()
        }
        count(&self.dir.path().join("files"))
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a free port");
    listener.local_addr().expect("its address").port()
}

fn spawn(dir: &Path, port: u16) -> Program {
    let program = std::env::var("S3S_FS").unwrap_or_else(|_| "s3s-fs".into());
    let log = File::create(dir.join("log")).expect("create the log");
    let child = Command::new(program)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--access-key", KEY_ID, "--secret-key", SECRET])
        .arg(dir.join("files"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    Program(child.expect(NOT_INSTALLED))
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// Waits until the server listens; false if it has ended, because another process has the port.
fn is_up(program: &mut Program, dir: &Path, port: u16) -> bool {
    let deadline = Instant::now() + START_LIMIT;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if program.0.try_wait().expect("ask for its state").is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "no start:\n{}", log(dir));
        std::thread::sleep(POLL_PAUSE);
    }
    program.0.try_wait().expect("ask for its state").is_none()
}
