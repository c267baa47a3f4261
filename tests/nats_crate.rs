//! `host::NatsCrateClient` against a real server: the contract, and what its documentation promises beyond it.

mod common;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::nats_server::NatsServer;
use common::{LONG, bytes};
use natsbridge::BrokerErrorKind as Kind;
use natsbridge::adapter::{Broker, BrokerError, Outgoing, SliceBody};
use natsbridge::contract;
use natsbridge::host::{NatsCrateClient, NatsOptions};

fn client(options: NatsOptions) -> NatsCrateClient {
    NatsCrateClient::new(options)
}

fn publish(client: &mut NatsCrateClient, subject: &str, body: &[u8]) -> Result<(), BrokerError> {
    client.publish(&Outgoing::new(subject), &mut SliceBody::new(body))
}

fn subscribe(client: &mut NatsCrateClient, subject: &str) {
    client.subscribe(subject, None).unwrap();
    client.flush(LONG).unwrap();
}

#[test]
fn contract() {
    let server = NatsServer::start();
    contract::broker(|| client(NatsOptions::new(&server.url())), "crate");
}

#[test]
fn contract_with_another_max_payload() {
    let server = NatsServer::start_with("max_payload: 5000");
    let options = NatsOptions::new(&server.url());
    let mut connected = client(options.clone());
    connected.connect().unwrap();
    assert_eq!(connected.max_payload(), 5000);
    contract::broker(|| client(options.clone()), "small");
}

#[test]
fn what_the_crate_cannot_do_is_refused() {
    let server = NatsServer::start();
    let options = || NatsOptions::new(&server.url());
    let seed = "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU";
    for (options, why) in [
        (options().nkey(seed), "nkeys"),
        (options().echo(false), "echo(false)"),
        (options().tls_first(true), "TLS before INFO"),
        (options().root_certificate_pem("x"), "PEM"),
        (options().client_certificate_pem("x", "y"), "PEM"),
        (options().root_certificate("/no/such/file"), "/no/such/file"),
        (options().credentials_file("/no/such/file"), "/no/such/file"),
        (options().jwt("a.b.c", &seed[..40]), "nkey seed"),
        (NatsOptions::new("http://u:hidden@h"), "http://h cannot"),
    ] {
        let error = client(options).connect().unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidOption, "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }
    let error = client(options().inbox_prefix("a b\r\n")).connect();
    assert_eq!(error.unwrap_err().kind(), Kind::InvalidSubject);
}

#[test]
fn credentials_of_options_and_urls() {
    let config = r#"authorization { user: "u@:/", password: "p ss%ü#?" }"#;
    let server = NatsServer::start_with(config);
    let url = |credentials: &str| format!("nats://{credentials}127.0.0.1:{}", server.port());
    let right = "u%40%3A%2F:p%20ss%25%C3%BC%23%3F@";
    for options in [
        NatsOptions::new(&url(right)),
        NatsOptions::new(&url("")).user_password("u@:/", "p ss%ü#?"),
    ] {
        let mut client = client(options);
        client.flush(LONG).unwrap();
    }
    for options in [
        NatsOptions::new(&url("")),
        NatsOptions::new(&url("u%40%3A%2F:hidden@")),
        NatsOptions::new(&url(right)).token("hidden"),
    ] {
        let error = client(options).connect().unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized, "{error:?}");
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }
    let server = NatsServer::start_with("authorization { token: \"a:b@c\" }");
    let url = format!("nats://a%3Ab%40c@127.0.0.1:{}", server.port());
    client(NatsOptions::new(&url)).connect().unwrap();
}

#[test]
fn a_failed_connect_names_every_server_and_is_bounded() {
    // It accepts, as its backlog does, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let [a, b] = [&silent, &closed].map(|listener| listener.local_addr().unwrap());
    drop(closed);
    let options = NatsOptions::new(&format!("nats://{a},nats://{b}")).keep_order(true);
    let mut failing = client(options.connect_timeout(Duration::from_millis(600)));
    let started = Instant::now();
    let error = failing.connect().unwrap_err();
    assert!(started.elapsed() < LONG / 2);
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&a.to_string()) && text.contains(&b.to_string()),
        "{text}"
    );

    let server = NatsServer::start();
    let urls = format!("nats://{b},{}", server.url());
    client(NatsOptions::new(&urls).keep_order(true))
        .connect()
        .unwrap();
}

#[test]
fn a_loss_is_reported_behind_what_came_before_and_by_the_next_flush() {
    let mut server = NatsServer::start();
    let mut client = client(NatsOptions::new(&server.url()));
    subscribe(&mut client, "a");
    for number in 0u8..100 {
        publish(&mut client, "a", &[number]).unwrap();
    }
    client.flush(LONG).unwrap();
    publish(&mut client, "elsewhere", b"unconfirmed").unwrap();
    server.restart();
    for number in 0u8..100 {
        let message = client.next(LONG).unwrap().expect("in time");
        assert_eq!(message.payload, [number]);
    }
    assert_eq!(client.next(LONG).unwrap_err().kind(), Kind::Disconnected);
    assert_eq!(client.flush(LONG).unwrap_err().kind(), Kind::Disconnected);
    // The subscription is there again.
    client.flush(LONG).unwrap();
    publish(&mut client, "a", b"renewed").unwrap();
    assert_eq!(client.next(LONG).unwrap().unwrap().payload, b"renewed");
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let mut server = NatsServer::start();
    let mut client = client(NatsOptions::new(&server.url()));
    let id = client.subscribe("a", None).unwrap();
    client.flush(LONG).unwrap();
    server.kill();
    assert_eq!(
        client.next_of(id, LONG).unwrap_err().kind(),
        Kind::Disconnected
    );
    let started = Instant::now();
    let error = client.next(Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_millis(200) && waited < LONG,
        "{waited:?}"
    );
    assert_eq!(
        publish(&mut client, "a", b"x").unwrap_err().kind(),
        Kind::Unreachable
    );
    server.restart();
    publish(&mut client, "a", b"again").unwrap();
    assert_eq!(client.next_of(id, LONG).unwrap().unwrap().payload, b"again");
}

/// What `NatsClient` survives ends the reader of the crate, which is one of its documented limits.
#[test]
fn foreign_messages_cut_the_connection_and_it_is_renewed() {
    let server = NatsServer::start();
    let wait = Duration::from_millis(300);
    let options = NatsOptions::new(&server.url()).ping_interval(wait);
    let mut client = client(options.timeout(wait));
    subscribe(&mut client, ">");
    let long = format!("PUB {} 0\r\n\r\n", "x".repeat(4087));
    let no_colon = "HPUB a 16 16\r\nNATS/1.0\r\nno\r\n\r\n\r\n";
    for foreign in [
        long.as_bytes(),
        b"PUB caf\xe9 0\r\n\r\n",
        no_colon.as_bytes(),
    ] {
        let mut publisher = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        let connect = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n";
        publisher.write_all(&[connect, foreign].concat()).unwrap();
        let error = client.next(LONG).unwrap_err();
        assert_eq!(error.kind(), Kind::Disconnected, "{error:?}");
        client.flush(LONG).unwrap();
        publish(&mut client, "good", b"x").unwrap();
        client.flush(LONG).unwrap();
        assert_eq!(client.next(LONG).unwrap().unwrap().payload, b"x");
    }
}

/// The crate's own flush would wait for ever.
#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    let server = NatsServer::start();
    let timeout = Duration::from_millis(700);
    let options = NatsOptions::new(&server.url()).timeout(timeout);
    let mut client = client(options.ping_interval(timeout));
    subscribe(&mut client, "a");
    server.pause();
    publish(&mut client, "b", b"x").unwrap();
    let started = Instant::now();
    let error = client.flush(Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(started.elapsed() < timeout, "{:?}", started.elapsed());
    assert_eq!(client.flush(LONG).unwrap_err().kind(), Kind::Disconnected);
    server.resume();
    assert_eq!(client.next(LONG).unwrap_err().kind(), Kind::Disconnected);
    client.flush(LONG).unwrap();

    // Also by who only listens.
    server.pause();
    assert_eq!(client.next(LONG).unwrap_err().kind(), Kind::Disconnected);
    server.resume();
}

/// More than the buffers of the crate and of both kernels hold.
#[test]
fn a_server_that_does_not_read_holds_a_publish_up_for_the_timeout() {
    let server = NatsServer::start();
    let timeout = Duration::from_millis(500);
    let mut client = client(NatsOptions::new(&server.url()).timeout(timeout));
    client.connect().unwrap();
    server.pause();
    let body = bytes(1_000_000);
    let mut attempts = 0..100;
    let error = loop {
        assert!(attempts.next().is_some(), "everything was taken");
        let started = Instant::now();
        if let Err(error) = publish(&mut client, "a", &body) {
            assert!(started.elapsed() < Duration::from_secs(4));
            break error;
        }
    };
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(!error.is_not_sent());
    server.resume();
    client.flush(LONG).unwrap();
}

#[test]
fn messages_without_room_are_reported() {
    let server = NatsServer::start();
    let mut slow = client(NatsOptions::new(&server.url()).max_pending(20_000));
    subscribe(&mut slow, "a");
    let mut sender = client(NatsOptions::new(&server.url()));
    for _ in 0..300 {
        publish(&mut sender, "a", &[7; 1000]).unwrap();
    }
    sender.flush(LONG).unwrap();
    slow.flush(LONG).unwrap();
    let (mut received, mut reported) = (0, 0);
    while received + reported < 300 {
        match slow.next(LONG) {
            Ok(message) => received += u64::from(message.is_some()),
            Err(error) => match error.kind() {
                Kind::SlowConsumer { dropped } => reported += dropped,
                kind => panic!("{kind}: {error:?}"),
            },
        }
    }
    assert_eq!(received + reported, 300);
    assert!(received > 0 && reported > 0, "{received} and {reported}");
}

#[test]
fn a_server_error_belongs_to_the_send_whose_subject_it_names() {
    let config = r#"authorization { users: [{ user: u, password: p, permissions: {
        publish: { deny: "denied" }, subscribe: { deny: "secret" } } }] }"#;
    let server = NatsServer::start_with(config);
    let mut client = client(NatsOptions::new(&server.url()).user_password("u", "p"));
    publish(&mut client, "denied", b"x").unwrap();
    let error = client.flush(LONG).unwrap_err();
    assert_eq!(
        (error.kind(), error.subject()),
        (Kind::Refused, Some("denied"))
    );
    publish(&mut client, "allowed", b"x").unwrap();
    client.flush(LONG).unwrap();
    client.subscribe("secret", None).unwrap();
    let error = client.flush(LONG).unwrap_err();
    assert_eq!(
        (error.kind(), error.subject()),
        (Kind::Refused, Some("secret"))
    );
}

#[test]
fn what_was_published_is_sent_before_the_client_is_gone() {
    let server = NatsServer::start();
    let mut listener = client(NatsOptions::new(&server.url()).inbox_prefix("inbox.of.one"));
    assert_eq!(listener.inbox_prefix(), "inbox.of.one");
    subscribe(&mut listener, "a");
    let mut sender = client(NatsOptions::new(&server.url()));
    publish(&mut sender, "a", b"last words").unwrap();
    drop(sender);
    assert_eq!(listener.next(LONG).unwrap().unwrap().payload, b"last words");
}

#[test]
fn files_of_credentials_and_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem";
    let mut openssl = std::process::Command::new("openssl");
    let made = openssl
        .args(arguments.split_whitespace())
        .current_dir(&folder)
        .output();
    let made = made.expect("openssl is not installed: apt-get install -y openssl");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let config = format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\" }}");
    let server = NatsServer::start_with(&config);
    let options = || NatsOptions::new(&format!("tls://localhost:{}", server.port()));
    let mut trusting = client(
        options()
            .root_certificate(&cert)
            .client_certificate(&cert, &key),
    );
    subscribe(&mut trusting, "a");
    publish(&mut trusting, "a", &[7; 100_000]).unwrap();
    assert_eq!(trusting.next(LONG).unwrap().unwrap().payload.len(), 100_000);
    let error = client(options()).connect().unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error:?}");

    // A server without authentication does not look at them, but the crate has to read them.
    let seed = "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU";
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    std::fs::write(path("me.creds"), creds).unwrap();
    let server = NatsServer::start();
    let options = || NatsOptions::new(&server.url());
    client(options().jwt("a.b.c", seed)).connect().unwrap();
    let by_file = |name: &str| client(options().credentials_file(path(name))).connect();
    by_file("me.creds").unwrap();
    let error = by_file("cert.pem").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidOption);
    assert!(error.to_string().contains("cert.pem"), "{error}");
}
