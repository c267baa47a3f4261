//! A bucket of a server that verifies signatures: `S3S_FS` is the path of the program s3s-fs.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use natsbridge::adapter::{FileServer, SliceBody, VecSink};
use natsbridge::host::{StdPlatform, UreqClient};
use natsbridge::{FileServerErrorKind as Kind, S3, S3Options, contract};

struct Server(Child, u16, #[allow(dead_code)] tempfile::TempDir);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("films")).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let program = std::env::var("S3S_FS").unwrap_or_else(|_| "s3s-fs".into());
        let child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--access-key", "KEYID", "--secret-key", "SECRET"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("cargo install s3s-fs --locked --features binary");
        let server = Self(child, port, dir);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "it does not start");
            std::thread::yield_now();
        }
        server
    }

    fn bucket(&self, secret: &str) -> S3Options {
        S3Options::new("films")
            .endpoint(format!("http://127.0.0.1:{}", self.1))
            .prefix("in box+%ü")
            .keys("KEYID", secret)
    }
}

fn s3(options: S3Options) -> S3<UreqClient, StdPlatform> {
    S3::new(UreqClient::new(), StdPlatform, options).unwrap()
}

#[test]
fn the_contract() {
    let server = Server::start();
    // s3s-fs keeps the key, in base64, in a name of at most 255 bytes: there is no room for a prefix.
    contract::file_server(&mut s3(server.bucket("SECRET").prefix("")), true);
}

#[test]
fn parts_come_back_as_they_were() {
    let server = Server::start();
    let mut files = s3(server.bucket("SECRET").multipart_threshold(0).part_size(0));
    for len in [1, (5 << 20) - 1, 5 << 20, (5 << 20) + 1, (16 << 20) + 7] {
        let sent: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let upload = files.upload("x", &mut SliceBody::new(&sent)).unwrap();
        let mut sink = VecSink::new(len);
        files.download(&upload.url, len as u64, &mut sink).unwrap();
        assert!(sink.into_bytes() == sent, "{len}");
    }
}

#[test]
fn wrong_keys_are_reported_without_them() {
    let server = Server::start();
    let mut files = s3(server.bucket("WRONG"));
    let error = files.upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let words = format!("{error:?} {files:?}");
    assert!(words.contains("SignatureDoesNotMatch"), "{words}");
    assert!(
        !words.contains("WRONG") && !words.contains("KEYID"),
        "{words}"
    );
}
