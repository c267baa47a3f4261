//! Credentials, TLS and stores, and that no secret is printed.

use std::fs;
use std::process::Output;

use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::common::certificates::Certificates;
use crate::common::nats_server::NatsServer;
use crate::common::plik_stand_in::PlikStandIn;
use crate::common::web_server::WebServer;
use crate::program::{Files, Running, program, run, text};

const SECRET: &str = "m4rk3r";

fn assert_no_secret(output: &Output) {
    for bytes in [&output.stdout, &output.stderr] {
        let shown = text(bytes);
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

/// Sends with these flags and variables, and returns the exit code.
fn send(url: &str, flags: &[&str], variables: &[(&str, &str)]) -> Option<i32> {
    let mut command = program("send");
    command.args([
        "--broker",
        url,
        "--subject",
        "/s",
        "--text",
        "a=b",
        "--store",
        "none",
    ]);
    command.args(flags).envs(variables.iter().copied());
    let output = command.env("RUST_LOG", "trace").output().unwrap();
    assert_no_secret(&output);
    output.status.code()
}

#[test]
fn a_password_comes_from_a_flag_a_file_or_the_environment() {
    let config = format!("authorization {{ user: me, password: {SECRET} }}");
    let server = NatsServer::start_with(&config);
    let (url, files) = (server.url(), Files::new());
    // With the line end that an editor leaves.
    let file = files.write("password", format!("{SECRET}\n").as_bytes());
    let file = file.to_str().unwrap();
    let variable = [("NATSBRIDGE_PASSWORD", SECRET)];
    assert_eq!(
        send(&url, &["--user", "me", "--password", SECRET], &[]),
        Some(0)
    );
    assert_eq!(
        send(&url, &["--user", "me", "--password-file", file], &[]),
        Some(0)
    );
    assert_eq!(send(&url, &["--user", "me"], &variable), Some(0));
    let both = [variable[0], ("NATSBRIDGE_USER", "me")];
    assert_eq!(send(&url, &[], &both), Some(0));
    // A flag goes before the environment, and credentials in the URL too.
    let wrong = [("NATSBRIDGE_PASSWORD", "wrong"), ("NATSBRIDGE_USER", "me")];
    assert_eq!(
        send(&url, &["--user", "me", "--password-file", file], &wrong),
        Some(0)
    );
    let with_user = url.replace("//", &format!("//me:{SECRET}@"));
    assert_eq!(send(&with_user, &[], &wrong), Some(0));
    assert_eq!(send(&url, &[], &wrong), Some(1));
    assert_eq!(send(&url, &[], &[]), Some(1));
}

#[test]
fn refused_credentials_are_reported_with_the_flags_that_help() {
    let server = NatsServer::start_with("authorization { token: t }");
    let url = server.url();
    let flags = [
        "--broker",
        &url,
        "--subject",
        "/s",
        "--text",
        "a=b",
        "--token",
        SECRET,
    ];
    let output = run("send", &flags);
    assert_eq!(output.status.code(), Some(1));
    assert_no_secret(&output);
    let reported = text(&output.stderr);
    assert!(reported.contains("--token-file"), "{reported}");
}

#[test]
fn tokens_and_nkeys() {
    let server = NatsServer::start_with(&format!("authorization {{ token: {} }}", json!(SECRET)));
    assert_eq!(send(&server.url(), &["--token", SECRET], &[]), Some(0));
    assert_eq!(
        send(&server.url(), &[], &[("NATSBRIDGE_TOKEN", SECRET)]),
        Some(0)
    );

    let user = KeyPair::new_user();
    let public = user.public_key();
    let config = format!("authorization {{ users: [{{ nkey: {public} }}] }}");
    let server = NatsServer::start_with(&config);
    let (seed, files) = (user.seed().unwrap(), Files::new());
    let file = files.write("user.nk", seed.as_bytes());
    assert_eq!(send(&server.url(), &["--nkey", &seed], &[]), Some(0));
    let flags = ["--nkey-file", file.to_str().unwrap()];
    assert_eq!(send(&server.url(), &flags, &[]), Some(0));
    assert_eq!(
        send(&server.url(), &["--creds", "/does/not/exist"], &[]),
        Some(1)
    );
}

#[test]
fn tls_with_own_roots_and_a_client_certificate() {
    let certificates = Certificates::make();
    let tls = certificates.config("server");
    let server = NatsServer::start_with(&format!("tls {{ {tls}, verify: true }}"));
    let url = server.url().replace("nats://", "tls://");
    let path = |name: &str| certificates.path(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let flags = ["--ca", &ca, "--cert", &cert, "--key", &key];
    assert_eq!(send(&url, &flags, &[]), Some(0));
    assert_eq!(send(&url, &flags[..2], &[]), Some(1));
    assert_eq!(send(&url, &[], &[]), Some(1));
}

/// Sends a payload by way of a store, and receives it with the same flags.
fn by_way_of(flags: &[&str], variables: &[(&str, &str)]) -> Value {
    let server = NatsServer::start();
    let url = server.url();
    let connection = [&["--broker", &url, "--subject", "/s"], flags].concat();
    let mut receive = program("receive");
    receive.args(&connection).args(["--count", "1"]);
    let mut receive = Running::start_command(receive.envs(variables.iter().copied()));
    let mut send = program("send");
    send.args(&connection)
        .args(["--text", "a=bc", "--threshold", "1"]);
    let sent = send.envs(variables.iter().copied()).output().unwrap();
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert_no_secret(&sent);
    let line = receive.line();
    assert!(!line.contains(SECRET), "{line}");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["ok"]["payloads"][0]["transport"], "link", "{line}");
    assert_eq!(line["ok"]["payloads"][0]["size"], 2, "{line}");
    line
}

#[test]
fn a_store_is_chosen_by_its_url() {
    let (web, plik) = (WebServer::start(), PlikStandIn::start());
    by_way_of(&["--store", &format!("put+{}/", web.url())], &[]);
    assert_eq!(web.stored_names().len(), 1);
    by_way_of(&["--store", &plik.url()], &[]);
    by_way_of(&[], &[("NATSBRIDGE_STORE", &plik.url())]);
    by_way_of(&["--fileserver", &plik.url()], &[]);
    assert_eq!(plik.uploads(), 3);
}

#[test]
fn basic_credentials_and_headers_go_to_the_store() {
    let web = WebServer::start_with_basic_auth("me", SECRET);
    let store = format!("put+{}/", web.url());
    let basic = format!("me:{SECRET}");
    by_way_of(&["--store", &store, "--basic-auth", &basic], &[]);
    by_way_of(&["--store", &store], &[("NATSBRIDGE_BASIC_AUTH", &basic)]);
    let files = Files::new();
    // me:m4rk3r
    let file = files.write("header", b"Authorization: Basic bWU6bTRyazNy\n");
    by_way_of(
        &["--store", &store, "--header-file", file.to_str().unwrap()],
        &[],
    );
    assert_eq!(web.stored_names().len(), 3);
}

#[test]
fn options_of_plik() {
    let plik = PlikStandIn::start();
    plik.require_token(SECRET);
    let url = plik.url();
    let login = format!("me:{SECRET}");
    let flags = [
        "--store",
        &url,
        "--plik-login",
        &login,
        "--ttl",
        "60",
        "--removable",
        "--one-shot",
    ];
    by_way_of(&flags, &[("NATSBRIDGE_PLIK_TOKEN", SECRET)]);
    // The first download has deleted it.
    assert_eq!(plik.uploads(), 1);
    let requests = plik.requests();
    assert_eq!(requests.len(), 3, "{requests:?}");
}

#[test]
fn a_store_with_tls_and_a_client_certificate() {
    let web = WebServer::start_with_tls();
    let files = Files::new();
    let file = |name: &str| {
        let path = files.folder.path().join(name);
        fs::write(&path, web.pem(name)).unwrap();
        path.display().to_string()
    };
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let store = format!("put+{}/", web.url());
    by_way_of(
        &[
            "--store",
            &store,
            "--store-ca",
            &ca,
            "--store-cert",
            &cert,
            "--store-key",
            &key,
        ],
        &[],
    );
    assert_eq!(web.stored_names().len(), 1);
}
