//! The example programs, as partners of a board.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Once;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The program of an example, built if it is not.
fn example(name: &str) -> Command {
    static BUILD: Once = Once::new();
    BUILD.call_once(|| {
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--examples", "--quiet"])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.status().expect("cargo can be started");
        assert!(status.success(), "the examples cannot be built");
    });
    let tests = std::env::current_exe().expect("this program has a path");
    let profile = tests.parent().and_then(Path::parent).expect("target/debug");
    let mut command = Command::new(profile.join("examples").join(name));
    command
        .env_remove("NATS_URL")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// Runs an example to its end, which must be a good one, and gives what it printed.
pub fn run<A: AsRef<OsStr>>(name: &str, arguments: &[A]) -> String {
    let output = example(name).args(arguments).output();
    let output = output.expect("the example can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// An example that runs until it has done its work, or is ended.
pub struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it, and waits until it says that it is ready.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = example(name);
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the example can be started");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        errors.read_line(&mut line).expect("it says something");
        assert_eq!(line.trim(), "ready", "{name}");
        // Passed on, so that the pipe does not fill.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::stderr()));
        Self { child, output }
    }

    /// Waits for its next line, which is JSON.
    pub fn json(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it says something");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Waits for its end, which must be a good one.
    pub fn succeeds(mut self) {
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error means it has ended already; either way `wait` collects it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
