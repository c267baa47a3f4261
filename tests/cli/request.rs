//! `natsbridge request` and `natsbridge serve`.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use crate::common::nats_server::NatsServer;
use crate::program::{Running, run, sha256, text};

#[test]
fn a_request_is_answered_by_echo() {
    let server = NatsServer::start();
    let url = server.url();
    let connection = ["--broker", &url, "--store", "none", "--subject", "/echo"];
    let nobody = run("request", &[&connection[..], &["--text", "a=b"]].concat());
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("no responders"));
    let mut echo = Running::start(
        "serve",
        &[&connection[..], &["--echo", "--count", "1"]].concat(),
    );
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

/// Starts `serve` with more flags and a command, and asks it once.
fn ask(flags: &[&str], command: &[&str], question: &[&str]) -> (Value, String) {
    let server = NatsServer::start();
    let url = server.url();
    let connection = ["--broker", &url, "--store", "none", "--subject", "/ask"];
    let serve = [&connection[..], &["--count", "1"], flags, &["--"], command].concat();
    let mut serve = Running::spawn("serve", &serve);
    let mut errors = BufReader::new(serve.0.stderr.take().unwrap());
    let mut ready = String::new();
    errors.read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    let request = [&connection[..], &["--wait", "20"], question].concat();
    let answer = run("request", &request);
    assert!(answer.status.success(), "{}", text(&answer.stderr));
    assert!(serve.0.wait().unwrap().success());
    let mut reported = String::new();
    errors.read_to_string(&mut reported).unwrap();
    (serde_json::from_slice(&answer.stdout).unwrap(), reported)
}

fn hash_of(answer: &Value) -> &str {
    answer["ok"]["payloads"][0]["sha256"].as_str().unwrap()
}

#[test]
fn a_request_is_answered_by_the_output_of_a_command() {
    let question = ["--text", "a=hello", "--text", "b=world"];
    let (answer, reported) = ask(&[], &["tr", "a-z", "A-Z"], &question);
    assert_eq!(hash_of(&answer), sha256(b"HELLO"), "{answer}");
    let payload = &answer["ok"]["payloads"][0];
    assert_eq!(
        (&payload["dataname"], &payload["payload_type"]),
        (&"answer".into(), &"text".into())
    );
    assert_eq!(reported, "");

    let flags = [
        "--input",
        "b",
        "--answer-name",
        "sum",
        "--answer-type",
        "binary",
    ];
    let (answer, _) = ask(&flags, &["cat"], &question);
    assert_eq!(hash_of(&answer), sha256(b"world"), "{answer}");
    let payload = &answer["ok"]["payloads"][0];
    assert_eq!(
        (&payload["dataname"], &payload["payload_type"]),
        (&"sum".into(), &"binary".into())
    );
}

#[test]
fn a_command_knows_the_message_and_may_ignore_its_input() {
    let script = "printf '%s %s' \"$NATSBRIDGE_SUBJECT\" \"$NATSBRIDGE_CORRELATION_ID\"";
    let large = format!("a={}", "x".repeat(90_000));
    let question = ["--text", &large, "--correlation-id", "c7"];
    let (answer, _) = ask(&[], &["sh", "-c", script], &question);
    assert_eq!(hash_of(&answer), sha256(b"/ask c7"), "{answer}");
}

#[test]
fn a_command_that_fails_is_answered_with_the_reason() {
    let question = ["--text", "a=b"];
    for (flags, command, reason) in [
        (&[][..], &["sh", "-c", "exit 7"][..], "exit status: 7"),
        (&[], &["/does/not/exist"], "cannot run /does/not/exist"),
        (
            &["--command-timeout", "0.2"],
            &["sleep", "100"],
            "more than 0.2 s",
        ),
        (&["--input", "c"], &["cat"], "there is no payload `c`"),
        (&["--answer-type", "dictionary"], &["cat"], "JSON"),
    ] {
        let (answer, reported) = ask(flags, command, &question);
        assert_eq!(answer["ok"]["msg_purpose"], "NACK", "{answer}");
        assert_eq!(answer["ok"]["payloads"][0]["dataname"], "error");
        assert!(reported.contains(reason), "{reason}: {reported}");
    }
}

#[test]
fn a_request_without_an_answer_may_have_been_delivered() {
    let server = NatsServer::start();
    let url = server.url();
    let connection = ["--broker", &url, "--store", "none", "--subject", "/silent"];
    let _silent = Running::start("receive", &connection);
    let request = run(
        "request",
        &[&connection[..], &["--text", "a=b", "--wait", "0.1"]].concat(),
    );
    assert_eq!(request.status.code(), Some(3));
    let reported = text(&request.stderr);
    assert!(
        reported.contains("no answer") && reported.contains("--wait"),
        "{reported}"
    );
}
