//! `natsbridge receive`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::common::bytes;
use crate::common::nats_server::NatsServer;
use crate::common::plik_stand_in::PlikStandIn;
use crate::common::web_server::WebServer;
use crate::program::{Files, Running, program, run, sha256, text};

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
#[ignore = "takes 8 GiB of disk: cargo test --release --all-features --test cli -- --ignored --nocapture"]
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
    let mut send = program("send");
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
fn receive_takes_lines_and_goes_on_after_a_bad_one() {
    let good = r#"{"correlation_id":"c","payloads":[{"dataname":"n","payload_type":"text","transport":"direct","data":"YQ=="}]}"#;
    let foreign = r#"{"correlation_id":"c","payloads":[{"dataname":"n","payload_type":"text","transport":"link","data":"http://127.0.0.1:1/x"}]}"#;
    let bad = good.replace("YQ==", "?");
    let mut command = program("receive");
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
    let mut command = program("receive");
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
    let reported = text(&output.stderr);
    assert!(
        reported.contains("cannot write to the folder /proc/self"),
        "{reported}"
    );
}

/// The name ends as those of files that are not whole yet.
#[test]
fn a_file_is_not_called_as_another_one_until_that_is_whole() {
    let out = tempfile::tempdir().unwrap();
    for (dataname, name) in [("a.part", "m-0-a.part_"), ("a.PART", "m-0-a.PART_")] {
        let message = format!(
            r#"{{"correlation_id":"c","msg_id":"m","payloads":[{{"dataname":"{dataname}","payload_type":"binary","transport":"direct","encoding":"base64","data":"AAAA"}}]}}"#
        );
        let mut command = program("receive");
        command.args(["--stdin", "--out"]).arg(out.path());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{message}").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stdout));
        assert!(out.path().join(name).is_file(), "{name}");
    }
}
