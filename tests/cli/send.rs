//! `natsbridge send`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::bytes;
use crate::common::nats_server::NatsServer;
use crate::program::{Files, Running, program, run, text};

#[test]
fn what_is_too_large_is_reported_with_both_numbers() {
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
    let reported = text(&output.stderr);
    assert!(
        reported.contains("1048576") && reported.contains("14544"),
        "{reported}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_server_that_is_not_there_is_reported_with_its_url() {
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
fn traces_carry_the_correlation_id() {
    let server = NatsServer::start();
    let output = program("send")
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

#[test]
fn sends_without_confirmations_are_confirmed_at_the_end() {
    let server = NatsServer::start();
    let url = server.url();
    let connection = ["--broker", &url, "--store", "none", "--subject", "/many"];
    let mut receive = Running::start("receive", &[&connection[..], &["--count", "50"]].concat());
    let many = ["--text", "a=b", "--no-confirm", "--repeat", "50"];
    let sent = run("send", &[&connection[..], &many].concat());
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert_eq!(text(&sent.stdout).lines().count(), 50);
    assert!(receive.0.wait().unwrap().success());
}

/// A server that reads everything and confirms nothing after the first PING, which belongs to the connect.
#[test]
fn a_message_that_is_not_confirmed_has_an_exit_code_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            stream
                .write_all(b"INFO {\"max_payload\":1048576}\r\n")
                .unwrap();
            let mut pings = 0;
            for line in lines.map_while(Result::ok) {
                pings += usize::from(line == "PING");
                if line == "PING" && pings == 1 {
                    stream.write_all(b"PONG\r\n").unwrap();
                }
            }
        }
    });
    let flags = [
        "--subject",
        "/s",
        "--store",
        "none",
        "--text",
        "a=b",
        "--timeout",
        "1",
    ];
    let sent = run("send", &[&["--broker", &url], &flags[..]].concat());
    let reported = text(&sent.stderr);
    assert_eq!(sent.status.code(), Some(3), "{reported}");
    assert!(reported.contains("before you send it again"), "{reported}");
}

#[test]
fn a_table_is_printed_for_people() {
    let server = NatsServer::start();
    let url = server.url();
    let connection = [
        "--broker",
        &url,
        "--store",
        "none",
        "--subject",
        "/table",
        "--format",
        "text",
    ];
    let mut receive = Running::start("receive", &[&connection[..], &["--count", "1"]].concat());
    let files = Files::new();
    let picture = files.write("picture", b"\x89PNG");
    let picture = format!("picture:image={}", picture.display());
    let data = [
        "--text",
        "note=first\nsecond \u{1b}[31m",
        "--json",
        r#"n={"a":1}"#,
        "--file",
        &picture,
    ];
    let sent = run("send", &[&connection[..], &data].concat());
    let shown = text(&sent.stdout);
    assert!(
        sent.status.success() && shown.starts_with("sent "),
        "{shown}"
    );
    assert!(receive.0.wait().unwrap().success());
    let mut received = String::new();
    receive
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut received)
        .unwrap();
    for part in [
        "from NATSBridge on /table",
        "\n    first\n    second \\u{1b}[31m\n",
        r#"{"a":1}"#,
        "image",
    ] {
        assert!(received.contains(part), "no {part:?} in {received}");
    }
    assert!(!received.contains('\u{1b}'), "{received}");
}
