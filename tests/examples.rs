//! The examples, run as their users run them, with their output checked.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use common::bytes;
use common::nats_server::NatsServer;
use common::plik_stand_in::PlikStandIn;
use common::web_server::WebServer;
use natsbridge::adapter::{Broker, Outgoing, SliceBody};
use natsbridge::host::{NatsClient, NatsOptions};
use serde_json::Value;

/// The program of an example, built if it is not.
fn example(name: &str) -> Command {
    static BUILD: Once = Once::new();
    BUILD.call_once(|| {
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--examples", "--quiet"])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        // What cargo test has built.
        match cfg!(feature = "nats") {
            true => build.arg("--all-features"),
            false => build.args(["--features", "nal"]),
        };
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.status().unwrap();
        assert!(status.success(), "the examples cannot be built");
    });
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().and_then(Path::parent).unwrap();
    Command::new(profile.join("examples").join(name))
}

/// Runs an example to its end, which must be a good one, and returns what it printed.
fn output_of(name: &str, arguments: &[&str]) -> String {
    let output = example(name).args(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{name}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// An example that runs until its input ends, or it is killed.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.stderr(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn first_line(output: impl std::io::Read) -> String {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).unwrap();
    line
}

#[test]
fn quickstart_shows_nine_equal_rows() {
    let shown = output_of("quickstart", &[]);
    for kind in natsbridge::PayloadType::ALL {
        let is_equal = |line: &str| line.contains(kind.as_str()) && line.ends_with("yes");
        assert!(shown.lines().any(is_equal), "{kind}: {shown}");
    }
    assert!(shown.contains("link      5000000"), "{shown}");
}

#[test]
fn chat_sends_lines_and_prints_those_of_others() {
    let server = NatsServer::start();
    let mut listener = Running::start(example("chat").args(["Bo", &server.url()]));
    assert_eq!(first_line(listener.0.stderr.take().unwrap()), "ready\n");
    let mut sender = Running::start(example("chat").args(["Ana", &server.url()]));
    let mut input = sender.0.stdin.take().unwrap();
    input.write_all(b"hello\n").unwrap();
    drop(input);
    let line = first_line(listener.0.stdout.take().unwrap());
    assert_eq!(line, "\"Ana\": \"hello\"\n");
    assert!(sender.0.wait().unwrap().success());
}

#[test]
fn request_reply_adds() {
    let server = NatsServer::start();
    let shown = output_of("request_reply", &[&server.url()]);
    assert_eq!(shown, "the sum is 42\nno responders on `/divide`\n");
}

#[test]
fn big_file_copies_a_file() {
    let (server, plik) = (NatsServer::start(), PlikStandIn::start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film");
    fs::write(&file, bytes(1_000_000)).unwrap();
    let file = file.to_str().unwrap();
    let shown = output_of("big_file", &[file, &server.url(), &plik.url()]);
    assert!(shown.contains("1000000 bytes by link"), "{shown}");
    assert!(fs::read(format!("{file}.received")).unwrap() == bytes(1_000_000));
}

#[test]
fn own_store_needs_no_server() {
    assert_eq!(output_of("own_store", &[]), "a film of 1000000 bytes\n");
}

#[test]
fn embedded_runs_the_adapters_of_boards() {
    let (server, web) = (NatsServer::start(), WebServer::start());
    let shown = output_of("embedded", &[&server.url(), &web.url()]);
    assert_eq!(shown, "21.5 degrees, and a log of 100000 bytes\n");
    assert_eq!(web.stored_names().len(), 1);
}

#[test]
fn test_your_program_passes() {
    assert_eq!(output_of("test_your_program", &[]), "the test passed\n");
}

#[test]
fn plik_stand_in_says_where_it_is() {
    let mut server = Running::start(example("plik_stand_in").arg("127.0.0.1:0"));
    let url = first_line(server.0.stdout.take().unwrap());
    let address = url.trim().strip_prefix("http://").unwrap();
    std::net::TcpStream::connect(address).unwrap();
}

/// An example that needs more has more than one idea.
#[test]
fn examples_are_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let lens = files.map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path));
    let mut count = 0;
    for (len, path) in lens {
        assert!(len <= 60, "{} has {len} lines", path.display());
        count += 1;
    }
    assert!(count >= 7, "{count} examples");
}

/// Jobs that are sent before there is a worker, a worker that is killed, and a second one that goes on.
#[test]
fn workers_do_each_job_once() {
    let server = NatsServer::start_jetstream();
    let (url, folder) = (server.url(), tempfile::tempdir().unwrap());
    let send = |name: &str, len: usize| {
        let path = folder.path().join(name);
        fs::write(&path, bytes(len)).unwrap();
        output_of("worker", &[&url, path.to_str().unwrap()]);
    };
    let done = |worker: &mut Running| {
        let mut lines = BufReader::new(worker.0.stdout.take().unwrap()).lines();
        move || lines.next().unwrap().unwrap()
    };
    send("small", 10);
    send("large", 300_000);
    let mut first = Running::start(example("worker").arg(&url));
    let mut next = done(&mut first);
    assert!(next().ends_with("small: 10 bytes"));
    assert!(next().ends_with("large: 300000 bytes"));
    wait_until_acknowledged(&url, 2);
    drop(first);
    send("later", 20);
    let mut second = Running::start(example("worker").arg(&url));
    assert!(done(&mut second)().ends_with("later: 20 bytes"));
}

/// Waits until `count` jobs are acknowledged, in a row from the first.
fn wait_until_acknowledged(url: &str, count: u64) {
    let mut client = NatsClient::new(NatsOptions::new(url));
    let inbox = client.subscribe("info", None).unwrap();
    let request = Outgoing::new("$JS.API.CONSUMER.INFO.JOBS.worker").reply("info");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        client.publish(&request, &mut SliceBody::new(b"")).unwrap();
        let answer = client.next_of(inbox, Duration::from_secs(5)).unwrap();
        let info: Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
        if info["ack_floor"]["stream_seq"] == count {
            return;
        }
        assert!(Instant::now() < deadline, "{info}");
    }
}
