//! The examples, run as their users run them.

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Once, mpsc};
use std::time::{Duration, Instant};

use common::bytes;
use common::nats_server::NatsServer;
use common::plik_stand_in::PlikStandIn;
use common::web_server::WebServer;
use natsbridge::host::{NatsClient, NatsOptions};
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
        if cfg!(feature = "nal") {
            build.arg("--all-features"); // what cargo test has built
        }
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(
            build.status().unwrap().success(),
            "the examples cannot be built"
        );
    });
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().and_then(Path::parent).unwrap();
    let mut command = Command::new(profile.join("examples").join(name));
    command.env_remove("NATS_URL").env_remove("RUST_LOG");
    command
}

fn run(name: &str, arguments: &[&str]) -> Output {
    example(name)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An example that runs until it has done its work, or is ended.
struct Running(Child);

impl Running {
    /// Starts it, and waits until it says that it is ready.
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut running = Self::spawn(name, arguments);
        let errors = running.0.stderr.take().unwrap();
        let mut line = String::new();
        let mut errors = BufReader::new(errors);
        errors.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::stderr()));
        running
    }

    fn spawn(name: &str, arguments: &[&str]) -> Self {
        let mut command = example(name);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn line(&mut self) -> String {
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

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn quickstart_needs_nothing_and_shows_nine_equal_rows() {
    let output = run("quickstart", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for kind in natsbridge::PayloadType::ALL {
        assert!(
            shown
                .lines()
                .any(|line| line.contains(kind.as_str()) && line.contains("yes")),
            "{kind}: {shown}"
        );
    }
    assert!(
        shown.contains("link") && shown.contains("5000000"),
        "{shown}"
    );
}

#[test]
fn own_file_server_proves_itself() {
    let output = run("own_file_server", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("equal"));
}

#[test]
fn every_example_has_help() {
    for name in ["send", "receive", "request", "echo", "plik_stand_in"] {
        let output = run(name, &["--help"]);
        assert!(output.status.success(), "{name}");
        assert!(text(&output.stdout).contains("Usage:"), "{name}");
    }
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Sends text, JSON, a picture and 20 MB, and compares what `receive` says of them and stored.
fn send_and_receive(server: &NatsServer, store: &str, files_url: &str) {
    let files = Files::new();
    let picture = [b"\x89PNG\r\n\x1a\n".as_slice(), &bytes(1000)].concat();
    let large = bytes(20_000_000);
    let picture_path = files.write("picture.png", &picture);
    let large_path = files.write("large.bin", &large);
    let out = files.folder.path().join("out");
    let url = server.url();
    let connection = [
        "--broker",
        &url,
        "--fileserver",
        files_url,
        "--store",
        store,
        "--subject",
        "/demo",
    ];
    let out_arguments = [
        "--count",
        "1",
        "--wait",
        "60",
        "--out",
        out.to_str().unwrap(),
    ];
    let mut receive = Running::start("receive", &[&connection[..], &out_arguments[..]].concat());
    let image = format!("picture.png:image={}", picture_path.display());
    let binary = format!("large.bin:binary={}", large_path.display());
    let payloads = [
        "--json",
        r#"config={"n":1}"#,
        "--text",
        "note=hello",
        "--file",
        &image,
        "--file",
        &binary,
    ];
    let sent = run("send", &[&connection[..], &payloads[..]].concat());
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert_eq!(text(&sent.stdout).lines().count(), 1);
    let line: Value = serde_json::from_str(&receive.line()).unwrap();
    let received = line["ok"]["payloads"]
        .as_array()
        .unwrap_or_else(|| panic!("{line}"));
    let expected: [(&str, &str, &str, &[u8]); 4] = [
        ("config", "dictionary", "direct", br#"{"n":1}"#),
        ("note", "text", "direct", b"hello"),
        ("picture.png", "image", "direct", &picture),
        ("large.bin", "binary", "link", &large),
    ];
    assert_eq!(received.len(), expected.len());
    for (payload, (name, kind, transport, bytes)) in received.iter().zip(expected) {
        assert_eq!(payload["dataname"], name);
        assert_eq!(payload["payload_type"], kind);
        assert_eq!(payload["transport"], transport);
        assert_eq!(payload["size"], bytes.len());
        assert_eq!(payload["sha256"], sha256(bytes).as_str());
        assert!(
            fs::read(payload["file"].as_str().unwrap()).unwrap() == bytes,
            "{name}"
        );
    }
    assert!(receive.0.wait().unwrap().success());
}

#[test]
fn send_and_receive_by_way_of_a_web_server() {
    let (server, web) = (NatsServer::start(), WebServer::start());
    send_and_receive(&server, "put", &web.url());
}

#[test]
fn send_and_receive_by_way_of_plik() {
    let (server, plik) = (NatsServer::start(), PlikStandIn::start());
    send_and_receive(&server, "plik", &plik.url());
}

/// Most memory that a running program has had, in KiB.
fn peak_kib(program: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{program}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_large_file_is_sent_and_received_in_little_memory() {
    send_and_receive_in_little_memory(64 << 20);
}

#[test]
#[ignore = "takes 8 GiB of disk: cargo test --release --test examples -- --ignored --nocapture"]
fn a_huge_file_is_sent_and_received_in_little_memory() {
    send_and_receive_in_little_memory(4 << 30);
}

fn send_and_receive_in_little_memory(len: u64) {
    const MOST_KIB: u64 = 32 << 10;
    let (server, web, files) = (NatsServer::start(), WebServer::start(), Files::new());
    let path = files.write("large", b"start");
    // The rest is a hole, which takes no disk.
    let large = File::options().append(true).open(&path).unwrap();
    large.set_len(len).unwrap();
    let (url, files_url) = (server.url(), web.url());
    let connection = ["--broker", &url, "--subject", "/demo", "--store", "put"];
    let connection = [&connection[..], &["--fileserver", &files_url]].concat();
    let out = files.folder.path().join("out");
    let max_download = len.to_string();
    let out_arguments = [
        "--max-download",
        &max_download,
        "--out",
        out.to_str().unwrap(),
    ];
    let mut receive = Running::start("receive", &[&connection[..], &out_arguments].concat());
    let mut send = example("send");
    send.args(&connection).stdout(Stdio::null());
    send.arg("--file")
        .arg(format!("large:binary={}", path.display()));
    let mut send = send.spawn().unwrap();
    let mut sent_in = 0;
    while send.try_wait().unwrap().is_none() {
        sent_in = peak_kib(send.id()).unwrap_or(sent_in);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(send.wait().unwrap().success());
    let line: Value = serde_json::from_str(&receive.line()).unwrap();
    let payload = &line["ok"]["payloads"][0];
    let received_in = peak_kib(receive.0.id()).unwrap();
    assert_eq!(payload["size"], len, "{line}");
    let stored = File::open(payload["file"].as_str().unwrap()).unwrap();
    assert_eq!(stored.metadata().unwrap().len(), len);
    assert!((1..MOST_KIB).contains(&sent_in), "{sent_in} KiB");
    assert!(received_in < MOST_KIB, "{received_in} KiB");
    println!("{len} bytes sent in {sent_in} KiB, received in {received_in} KiB");
}

#[test]
fn a_file_that_is_longer_than_wanted_is_refused_and_not_kept() {
    let (server, web, files) = (NatsServer::start(), WebServer::start(), Files::new());
    let (url, files_url) = (server.url(), web.url());
    let connection = ["--broker", &url, "--subject", "/demo", "--store", "put"];
    let connection = [&connection[..], &["--fileserver", &files_url]].concat();
    let out = files.folder.path().join("out");
    let limited = ["--max-download", "199999", "--out", out.to_str().unwrap()];
    let mut receive = Running::start("receive", &[&connection[..], &limited].concat());
    let path = files.write("file", &bytes(200_000));
    let small = format!("small:binary={}", files.write("small", b"small").display());
    let file = format!("file:binary={}", path.display());
    let payloads = ["--file", &small, "--file", &file];
    let sent = run("send", &[&connection[..], &payloads].concat());
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let line: Value = serde_json::from_str(&receive.line()).unwrap();
    assert_eq!(line["error"]["kind"], "too_large", "{line}");
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);
}

#[test]
fn what_is_too_large_is_told_with_both_numbers() {
    let server = NatsServer::start();
    let files = Files::new();
    let path = files.write("part", &bytes(99_000));
    let part = |i| format!("p{i}:binary={}", path.display());
    let parts: Vec<_> = (0..11).map(part).collect();
    let url = server.url();
    let mut arguments = vec!["--broker", &url, "--store", "none", "--subject", "/demo"];
    parts
        .iter()
        .for_each(|part| arguments.extend(["--file", part.as_str()]));
    let output = run("send", &arguments);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("1048576") && told.contains("14544"), "{told}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_url() {
    let mut server = NatsServer::start();
    let url = server.url();
    server.kill();
    let output = run(
        "send",
        &[
            "--broker",
            &url,
            "--subject",
            "/demo",
            "--text",
            "a=b",
            "--timeout",
            "2",
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(&url),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn bad_subjects_are_refused() {
    let server = NatsServer::start();
    for subject in ["a b", "a..b", "", "a\r\nPUB x 0\r\n", "a.>"] {
        let output = run(
            "send",
            &[
                "--broker",
                &server.url(),
                "--subject",
                subject,
                "--text",
                "a=b",
            ],
        );
        assert_eq!(output.status.code(), Some(1), "{subject:?}");
        assert!(
            text(&output.stderr).contains("subject"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_dry_run_needs_no_broker_and_keeps_every_option() {
    let options = [
        ("--correlation-id", "correlation_id"),
        ("--msg-purpose", "msg_purpose"),
        ("--sender-name", "sender_name"),
        ("--sender-id", "sender_id"),
        ("--receiver-name", "receiver_name"),
        ("--receiver-id", "receiver_id"),
        ("--reply-to", "reply_to"),
        ("--reply-to-msg-id", "reply_to_msg_id"),
        ("--msg-id", "msg_id"),
    ];
    let mut arguments = vec![
        "--dry-run",
        "--store",
        "none",
        "--subject",
        "/demo",
        "--text",
        "a=b",
    ];
    options
        .iter()
        .for_each(|(flag, field)| arguments.extend([flag, field]));
    let output = run("send", &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (_, field) in options {
        assert_eq!(envelope[field], field);
    }
    assert_eq!(envelope["payloads"][0]["data"], "Yg==");
}

#[test]
fn receive_takes_lines_and_goes_on_after_a_bad_one() {
    let good = r#"{"correlation_id":"c","payloads":[{"dataname":"n","payload_type":"text","transport":"direct","data":"YQ=="}]}"#;
    let foreign = r#"{"correlation_id":"c","payloads":[{"dataname":"n","payload_type":"text","transport":"link","data":"http://127.0.0.1:1/x"}]}"#;
    let bad = good.replace("YQ==", "?");
    let mut command = example("receive");
    command
        .args(["--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    write!(input, "{good}\nnot json\n{bad}\n{foreign}\n{good}\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["ok"]["payloads"][0]["size"], 1);
    assert_eq!(lines[1]["error"]["kind"], "invalid_message");
    assert_eq!(lines[2]["error"]["payload"]["dataname"], "n");
    assert_eq!(lines[3]["error"]["kind"], "link_refused");
    assert_eq!(lines[4], lines[0]);
}

#[test]
fn a_request_is_answered_by_echo() {
    let server = NatsServer::start();
    let url = server.url();
    let connection = ["--broker", &url, "--store", "none", "--subject", "/echo"];
    let nobody = run("request", &[&connection[..], &["--text", "a=b"]].concat());
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("no responders"));
    let mut echo = Running::start("echo", &[&connection[..], &["--count", "1"]].concat());
    let answer = run(
        "request",
        &[
            &connection[..],
            &["--text", "question=why?", "--wait", "20"],
        ]
        .concat(),
    );
    assert!(answer.status.success(), "{}", text(&answer.stderr));
    let line: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(line["ok"]["payloads"][0]["dataname"], "question");
    assert_eq!(
        line["ok"]["payloads"][0]["sha256"],
        sha256(b"why?").as_str()
    );
    assert!(echo.0.wait().unwrap().success());
}

#[test]
fn traces_carry_the_correlation_id() {
    let server = NatsServer::start();
    let output = example("send")
        .args([
            "--broker",
            &server.url(),
            "--store",
            "none",
            "--subject",
            "/demo",
            "--text",
            "a=b",
        ])
        .args(["--correlation-id", "one\nconversation"])
        .env("RUST_LOG", "natsbridge=debug")
        .output()
        .unwrap();
    assert!(output.status.success());
    let traces = text(&output.stderr);
    assert!(
        traces.contains("[Correlation: one\\u{a}conversation]"),
        "{traces}"
    );
}

/// A link to a file of 8 bytes, of which the server sends the second half when it is told to.
#[test]
fn a_file_has_its_name_when_it_is_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (half_sent, wait_for_half) = mpsc::channel();
    let (go_on, wait_to_go_on) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while !lines.next().unwrap().unwrap().is_empty() {}
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nhalf";
        stream.write_all(head.as_bytes()).unwrap();
        half_sent.send(()).unwrap();
        wait_to_go_on.recv().unwrap();
        stream.write_all(b"half").unwrap();
    });
    let files = Files::new();
    let out = files.folder.path().join("out");
    let names = || -> Vec<String> {
        let names = fs::read_dir(&out)
            .unwrap()
            .map(|file| file.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    };
    let mut command = example("receive");
    command
        .args([
            "--stdin",
            "--store",
            "put",
            "--fileserver",
            &origin,
            "--out",
        ])
        .arg(&out)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let message = format!(
        r#"{{"correlation_id":"c","msg_id":"m","payloads":[{{"dataname":"n","payload_type":"binary","transport":"link","data":"{origin}/n"}}]}}"#
    );
    writeln!(child.stdin.take().unwrap(), "{message}").unwrap();
    wait_for_half.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(names(), ["m-0-n.part"]);
    go_on.send(()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(names(), ["m-0-n"], "{}", text(&output.stdout));
    assert_eq!(fs::read(out.join("m-0-n")).unwrap(), b"halfhalf");
    server.join().unwrap();
}

/// Nothing can be created in `/proc`, not even by root.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_to_is_reported_at_once() {
    let output = run("receive", &["--stdin", "--out", "/proc/self"]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains("cannot write to the folder /proc/self"),
        "{told}"
    );
}

/// Recovery can be watched from outside: a line for each attempt, and a send after the restart succeeds.
#[test]
fn repeated_sends_go_on_after_a_restart_of_the_server() {
    let mut server = NatsServer::start();
    let url = server.url();
    let arguments = [
        "--broker",
        &url,
        "--store",
        "none",
        "--subject",
        "/repeat",
        "--text",
        "n=x",
        "--timeout",
        "2",
        "--repeat",
        "100000",
        "--interval",
        "20",
        "--keep-going",
    ];
    let mut send = Running::spawn("send", &arguments);
    let sent = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            line["ok"]["msg_id"].is_string() != line["error"]["kind"].is_string(),
            "{line}"
        );
        line["ok"].is_object()
    };
    assert!(sent(&send.line()));
    server.kill();
    let deadline = Instant::now() + Duration::from_secs(20);
    while sent(&send.line()) {
        assert!(
            Instant::now() < deadline,
            "a server that is gone takes messages"
        );
    }
    server.restart();
    while !sent(&send.line()) {
        assert!(Instant::now() < deadline, "no send after the restart");
    }
}

#[test]
fn a_repeated_send_ends_at_its_first_failure_unless_it_is_to_go_on() {
    let arguments = [
        "--broker",
        "nats://127.0.0.1:1",
        "--store",
        "none",
        "--subject",
        "/repeat",
        "--text",
        "n=x",
        "--repeat",
        "3",
    ];
    let output = run("send", &arguments);
    assert!(!output.status.success());
}

/// Jobs that are sent before there is a worker, a worker that is killed, and a second one that goes on.
#[test]
fn workers_do_each_job_once() {
    let server = NatsServer::start_jetstream();
    let (url, files) = (server.url(), Files::new());
    let send = |name: &str, len: usize| {
        let path = files.write(name, &bytes(len));
        let output = run("worker", &[&url, path.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    send("small", 10);
    send("large", 300_000);
    let mut first = Running::spawn("worker", &[&url]);
    assert!(first.line().ends_with("small: 10 bytes\n"));
    assert!(first.line().ends_with("large: 300000 bytes\n"));
    wait_until_acknowledged(&url, 2);
    drop(first);
    send("later", 20);
    let mut second = Running::spawn("worker", &[&url]);
    assert!(second.line().ends_with("later: 20 bytes\n"));
}

/// Waits until `count` jobs are acknowledged, in a row from the first.
fn wait_until_acknowledged(url: &str, count: u64) {
    use natsbridge::adapter::{Broker, Outgoing, SliceBody};

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
