//! `natsbridge inspect`.

use serde_json::Value;

use crate::program::{run, run_with_input, sha256, text};

const LINK: &str = r#"{"correlation_id": "c", "payloads": [
    {"dataname": "film", "payload_type": "video", "transport": "link", "size": 5,
     "data": "http://127.0.0.1:1/f?signature=SECRET", "metadata": {"sha256": "00ff"}}]}"#;

fn lines(stdout: &[u8]) -> Vec<Value> {
    let text = text(stdout);
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_send_prints_can_be_inspected() {
    let flags = ["--dry-run", "--store", "none", "--subject", "/i"];
    let data = ["--text", "note=hello", "--json", "n=[1]"];
    let sent = run("send", &[&flags[..], &data].concat());
    let input = text(&sent.stdout);
    let inspected = run_with_input("inspect", &[], &input);
    assert!(inspected.status.success(), "{}", text(&inspected.stderr));
    let line = &lines(&inspected.stdout)[0];
    assert_eq!(line["ok"]["send_to"], "/i");
    let payloads = &line["ok"]["payloads"];
    assert_eq!(payloads[0]["sha256"], sha256(b"hello").as_str());
    assert_eq!(payloads[1]["size"], 3);
    let table = run_with_input("inspect", &["--format", "text"], &input);
    let table = text(&table.stdout);
    assert!(table.contains("hello") && table.contains("[1]"), "{table}");
}

#[test]
fn a_link_is_shown_and_not_followed() {
    for flags in [&["--whole"][..], &["--whole", "--format", "text"]] {
        let inspected = run_with_input("inspect", flags, LINK);
        assert!(inspected.status.success(), "{}", text(&inspected.stderr));
        let shown = text(&inspected.stdout);
        assert!(shown.contains("http://127.0.0.1:1/f"), "{shown}");
        assert!(!shown.contains("SECRET"), "{shown}");
    }
    let line = lines(&run_with_input("inspect", &["--whole"], LINK).stdout).remove(0);
    let payload = &line["ok"]["payloads"][0];
    assert_eq!(
        (&payload["size"], &payload["sha256"]),
        (&5.into(), &"00ff".into())
    );
}

#[test]
fn messages_that_cannot_be_read_are_named_and_counted() {
    let good = LINK.replace('\n', " ");
    let bad_payload = good.replace("video", "opera");
    let input = format!("{good}\nnot json\n{bad_payload}\n{good}\n");
    let inspected = run_with_input("inspect", &[], &input);
    assert_eq!(inspected.status.code(), Some(1));
    let lines = lines(&inspected.stdout);
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1]["error"]["kind"], "invalid_message");
    assert_eq!(lines[2]["error"]["payload"]["dataname"], "film");
    assert_eq!(lines[3], lines[0]);
    let reported = text(&inspected.stderr);
    assert!(reported.contains("2 of 4"), "{reported}");
}
