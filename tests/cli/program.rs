//! The program under test, run as its users run it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use sha2::{Digest, Sha256};

/// A subcommand, without what the environment says.
pub fn program(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_natsbridge"));
    command.arg(subcommand);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("NATS") || name.starts_with("AWS") || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
    command
}

pub fn run(subcommand: &str, arguments: &[&str]) -> Output {
    program(subcommand)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs it with `input` on its stdin.
pub fn run_with_input(subcommand: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = program(subcommand);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A subcommand that runs until it has done its work, or is ended.
pub struct Running(pub Child);

impl Running {
    /// Starts it, and waits until it says that it is ready.
    pub fn start(subcommand: &str, arguments: &[&str]) -> Self {
        Self::start_command(program(subcommand).args(arguments))
    }

    pub fn start_command(command: &mut Command) -> Self {
        let mut running = Self::spawn_command(command);
        let errors = running.0.stderr.take().unwrap();
        let mut line = String::new();
        let mut errors = BufReader::new(errors);
        errors.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::stderr()));
        running
    }

    pub fn spawn(subcommand: &str, arguments: &[&str]) -> Self {
        Self::spawn_command(program(subcommand).args(arguments))
    }

    fn spawn_command(command: &mut Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub struct Files {
    pub folder: tempfile::TempDir,
}

impl Files {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}
