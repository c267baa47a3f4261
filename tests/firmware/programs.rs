//! The program `natsbridge`, as partner of a board.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A subcommand of `natsbridge`.
fn program(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_natsbridge"));
    command
        .arg(name)
        .env_remove("NATS_URL")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// Runs a subcommand to its end, which must be a good one, and gives what it printed.
pub fn run<A: AsRef<OsStr>>(name: &str, arguments: &[A]) -> String {
    let output = program(name).args(arguments).output();
    let output = output.expect("the program can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A subcommand that runs until it has done its work, or is ended.
pub struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it, and waits until it says that it is ready.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = program(name);
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
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
