//! `--stored`, `--stream` and stores of JetStream: one server is enough.

use std::io::Read as _;

use crate::common::bytes;
use crate::common::nats_server::NatsServer;
use crate::program::{Files, Running, run, sha256, text};

const BUCKET: &str = "nats-object://files";

/// A stream `JOBS` of the subjects `jobs.>`.
fn create_stream(server: &NatsServer) {
    use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
    use natsbridge::{JetStream, StreamOptions};

    let client = NatsClient::new(NatsOptions::new(&server.url()));
    let jobs = StreamOptions::new("JOBS").subject("jobs.>");
    let mut jetstream = JetStream::new(client, StdPlatform);
    jetstream.ensure_stream(&jobs).unwrap();
}

#[test]
fn stored_messages_and_their_files_are_received_once_when_acknowledged() {
    let server = NatsServer::start_jetstream();
    let (url, files) = (server.url(), Files::new());
    create_stream(&server);
    let large = files.write("large", &bytes(300_000));
    let payload = format!("film:video={}", large.display());
    let at = ["--broker", &url, "--store", BUCKET];
    let send = [
        "--subject",
        "jobs.film",
        "--stored",
        "--text",
        "note=one",
        "--file",
        &payload,
    ];
    let output = run("send", &[&at[..], &send].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("\"data\":\"nats-object://files/"));

    let of = ["--stream", "JOBS", "--consumer", "worker", "--count", "1"];
    let seen = run("receive", &[&at[..], &of, &["--wait", "20"]].concat());
    assert!(seen.status.success(), "{}", text(&seen.stderr));
    // It was not acknowledged, and comes again after ack_wait: another consumer need not wait.
    let of = [
        "--stream",
        "JOBS",
        "--consumer",
        "other",
        "--ack",
        "--count",
        "1",
    ];
    let mut worker = Running::start("receive", &[&at[..], &of].concat());
    let line: serde_json::Value = serde_json::from_str(&worker.line()).unwrap();
    let payloads = &line["ok"]["payloads"];
    assert_eq!(payloads[0]["dataname"], "note");
    assert_eq!(payloads[1]["sha256"], sha256(&bytes(300_000)));
    assert!(worker.0.wait().unwrap().success());
    let again = run("receive", &[&at[..], &of, &["--wait", "0.5"]].concat());
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stdout));
}

/// The program waits until its output is read, so that it is known when it acknowledges.
#[test]
fn a_server_that_is_away_at_an_acknowledgement_is_reported_and_waited_for() {
    let server = NatsServer::start_jetstream();
    let url = server.url();
    create_stream(&server);
    let at = ["--broker", &url, "--store", "none"];
    let send = |payloads: &[String]| {
        let mut arguments = [&at[..], &["--subject", "jobs.a", "--stored"]].concat();
        for payload in payloads {
            arguments.extend(["--text", payload]);
        }
        let output = run("send", &arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    // Its line is longer than what a pipe holds.
    let name = "n".repeat(1000);
    send(&vec![format!("{name}=x"); 200]);
    let of = ["--stream", "JOBS", "--consumer", "w"];
    let until = ["--ack", "--count", "2"];
    let mut worker = Running::start("receive", &[&at[..], &of, &until].concat());
    let mut start = [0];
    worker
        .0
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut start)
        .unwrap();
    server.pause();
    assert!(worker.line().contains(&name));
    let mut line = || -> serde_json::Value { serde_json::from_str(&worker.line()).unwrap() };
    let first = line();
    assert!(first["error"]["kind"].is_string(), "{first}");
    server.resume();
    send(&["next=x".into()]);
    // There may be further errors.
    let next = std::iter::repeat_with(line).find(|line| line["error"].is_null());
    assert_eq!(next.unwrap()["ok"]["payloads"][0]["dataname"], "next");
    assert!(worker.0.wait().unwrap().success());
}

#[test]
fn a_message_that_no_stream_stores_is_an_error() {
    let server = NatsServer::start_jetstream();
    create_stream(&server);
    let url = server.url();
    let at = ["--server", &url, "--store", "none", "--text", "a=b"];
    let send = ["--subject", "other", "--stored", "--timeout", "5"];
    let output = run("send", &[&at[..], &send].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("nats stream add"),
        "{}",
        text(&output.stderr)
    );
    let send = ["--subject", "jobs.a", "--expected-stream", "OTHER"];
    let output = run("send", &[&at[..], &send].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}
