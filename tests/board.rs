//! The board's adapters over the operating system's stack, against real servers.
#![cfg(all(feature = "nal", feature = "std", feature = "ureq"))]

mod common;

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::nats_server::NatsServer;
use common::plik_stand_in::PlikStandIn;
use common::tcp_stack::TcpStack;
use common::web_server::WebServer;
use common::{LONG, bytes};
use natsbridge::adapter::{Broker, FileServer, Outgoing, SliceBody};
use natsbridge::board::embedded_nal::SharableStack;
use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
use natsbridge::host::{self, StdPlatform, UreqClient};
use natsbridge::{
    BrokerErrorKind as Kind, FileServerErrorKind, HttpPut, Json, NatsBridge, Payload, Plik,
    ReceiveOptions, SendOptions, contract,
};
use std_embedded_nal::Stack;

type Client = NatsClient<Stack, StdPlatform>;

const SOON: Duration = Duration::from_millis(300);

fn http() -> HttpClient<Stack, StdPlatform> {
    HttpClient::new(Stack, StdPlatform)
}

fn client(options: NatsOptions) -> Client {
    NatsClient::new(Stack, StdPlatform, options)
}

fn publish(client: &mut Client, body: &[u8]) -> Result<(), natsbridge::adapter::BrokerError> {
    client.publish(&Outgoing::new("board.a"), &mut SliceBody::new(body))
}

#[test]
fn nats_client() {
    let server = NatsServer::start();
    contract::broker(|| client(NatsOptions::new(&server.url())), "board");
}

#[test]
fn nats_client_with_another_max_payload_and_smallest_chunks() {
    let server = NatsServer::start_with("max_payload: 5000");
    let options = NatsOptions::new(&server.url()).chunk_size(0);
    contract::broker(|| client(options.clone()), "small");
}

#[test]
fn http_put() {
    let server = WebServer::start();
    let put = HttpPut::new(http(), StdPlatform, &server.url());
    contract::file_server(&mut put.unwrap(), true);
    contract::http_client(&mut http(), &server.url());
}

#[test]
fn http_put_with_basic_auth() {
    let server = WebServer::start_with_basic_auth("user", "secret");
    let put = || HttpPut::new(http(), StdPlatform, &server.url()).unwrap();
    contract::file_server(&mut put().basic_auth("user", "secret"), true);
    let error = put().upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    assert_eq!(error.kind(), FileServerErrorKind::Unauthorized);
}

#[test]
fn plik() {
    let server = PlikStandIn::start();
    let plik = Plik::new(http(), StdPlatform, &server.url());
    contract::file_server(&mut plik.unwrap(), true);
}

#[test]
fn names_are_looked_up() {
    let server = NatsServer::start();
    let options = NatsOptions::new(&format!("localhost:{}", server.port()));
    assert_eq!(
        client(options.clone()).connect().unwrap_err().kind(),
        Kind::InvalidOption
    );
    client(options).with_dns().connect().unwrap();
    let server = WebServer::start();
    let url = server.url().replace("127.0.0.1", "localhost");
    let put = HttpPut::new(http().with_dns(), StdPlatform, &url);
    let upload = put.unwrap().upload("x", &mut SliceBody::new(b"x"));
    assert!(upload.unwrap().url.starts_with(&url));
}

#[test]
fn credentials_are_used_and_their_lack_is_told() {
    let server = NatsServer::start_with(r#"authorization { user: "me", password: "secret" }"#);
    let options = || NatsOptions::new(&server.url());
    let error = client(options()).connect().unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    let mut client = client(options().user_password("me", "secret"));
    client.connect().unwrap();
    let token = NatsServer::start_with(r#"authorization { token: "secret" }"#);
    let options = NatsOptions::new(&token.url().replace("nats://", "nats://secret@"));
    NatsClient::new(Stack, StdPlatform, options)
        .connect()
        .unwrap();
}

/// The client connects, and a message goes to the server and back; or why not.
#[cfg(feature = "nkeys")]
fn exchange(options: NatsOptions) -> Result<(), natsbridge::adapter::BrokerError> {
    let mut client = client(options);
    client.subscribe("board.a", None)?;
    publish(&mut client, &bytes(5000))?;
    let message = client.next(LONG)?.expect("a message in time");
    assert_eq!(message.payload, bytes(5000));
    Ok(())
}

#[test]
#[cfg(feature = "nkeys")]
fn nkeys_sign_what_the_server_asks_for() {
    let (user, stranger) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let public = user.public_key();
    let server = NatsServer::start_with(&format!(
        "authorization {{ users: [{{ nkey: {public} }}] }}"
    ));
    let with = |seed: &str| exchange(NatsOptions::new(&server.url()).nkey(seed));
    with(&user.seed().unwrap()).unwrap();
    let of_stranger = stranger.seed().unwrap();
    let account = nkeys::KeyPair::new_account().seed().unwrap();
    for (seed, kind, reason) in [
        (&*of_stranger, Kind::Unauthorized, "Authorization Violation"),
        (&account, Kind::InvalidOption, "not one of a user"),
        (&of_stranger[..57], Kind::InvalidOption, "58 characters"),
    ] {
        let error = with(seed).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(reason) && !shown.contains(seed), "{shown}");
    }
}

#[test]
#[cfg(feature = "nkeys")]
fn jwts_are_shown_with_the_signature_of_their_key() {
    let trust = common::trust::Trust::new(None);
    let server = NatsServer::start_with(&trust.config);
    let with = |jwt: &str, seed: &str| exchange(NatsOptions::new(&server.url()).jwt(jwt, seed));
    with(&trust.jwt, &trust.seed).unwrap();
    let stranger = common::trust::Trust::new(None);
    let over = common::trust::Trust::new(Some(1_700_000_001));
    for (jwt, seed) in [
        (&trust.jwt, &stranger.seed),
        (&stranger.jwt, &stranger.seed),
        (&over.jwt, &over.seed),
    ] {
        let error = with(jwt, seed).unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(jwt) && !shown.contains(seed), "{shown}");
    }
}

#[test]
fn a_missing_permission_is_an_error_of_the_flush() {
    let server = NatsServer::start_with(
        r#"authorization { users: [{ user: "me", password: "secret",
            permissions: { publish: "open", subscribe: "open" } }] }"#,
    );
    let options = NatsOptions::new(&server.url()).user_password("me", "secret");
    let mut client = client(options);
    publish(&mut client, b"x").unwrap();
    let error = client.flush(LONG).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("board.a"), "{error}");
    client.flush(LONG).unwrap();
}

#[test]
fn a_server_that_hangs_is_given_up_in_time() {
    let server = NatsServer::start();
    let options = NatsOptions::new(&server.url());
    let mut client = client(options.connect_timeout(SOON).timeout(SOON));
    publish(&mut client, b"x").unwrap();
    client.flush(LONG).unwrap();
    server.pause();
    let started = Instant::now();
    publish(&mut client, b"y").unwrap();
    let error = client.flush(SOON * 2).unwrap_err();
    assert_eq!(error.kind(), Kind::Disconnected);
    assert!(error.to_string().contains("no answer to a PING"), "{error}");
    assert_eq!(client.flush(SOON).unwrap_err().kind(), Kind::Unreachable);
    assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    server.resume();
    client.reconnect().unwrap();
}

#[test]
fn a_server_that_went_away_is_noticed_soon() {
    let mut server = NatsServer::start();
    let mut client = client(NatsOptions::new(&server.url()));
    client.subscribe("board.a", None).unwrap();
    client.flush(LONG).unwrap();
    server.restart();
    let started = Instant::now();
    assert_eq!(client.next(LONG).unwrap_err().kind(), Kind::Disconnected);
    assert!(started.elapsed() < LONG / 2);
    assert_eq!(client.next(SOON).unwrap(), None);
    publish(&mut client, b"back").unwrap();
    assert_eq!(client.next(LONG).unwrap().unwrap().payload, b"back");
}

/// A message and the PING behind it are two small segments: with Nagle's algorithm the second waits for an
/// acknowledgement of the first, which Linux delays by 40 ms.
#[test]
fn a_confirmed_send_waits_for_nothing_but_the_server() {
    let server = NatsServer::start();
    let mut client = NatsClient::new(TcpStack, StdPlatform, NatsOptions::new(&server.url()));
    client.connect().unwrap();
    let body = bytes(1024);
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let start = Instant::now();
            client
                .publish(&Outgoing::new("board.a"), &mut SliceBody::new(&body))
                .unwrap();
            client.flush(LONG).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    let median = times[times.len() / 2];
    println!("a confirmed send of 1 KB: {median:?}");
    // 0.1 ms on a machine that has nothing else to do.
    assert!(median < Duration::from_millis(10), "{median:?}");
}

/// Restarts the server whenever it is told, without regard to what anybody is doing.
fn restart(mut server: NatsServer, now: &Receiver<()>) {
    while now.recv().is_ok() {
        server.restart();
    }
}

#[test]
fn what_was_confirmed_has_arrived_however_often_the_server_is_killed() {
    let server = NatsServer::start();
    let options = NatsOptions::new(&server.url()).timeout(SOON);
    let mut client = client(options);
    client.subscribe("board.a", None).unwrap();
    let (kill, now) = channel();
    let killer = thread::spawn(move || restart(server, &now));
    let (mut confirmed, mut lost, mut arrived) = (Vec::new(), 0, Vec::new());
    for number in 0u32..1000 {
        if number % 200 == 100 {
            kill.send(()).unwrap();
        }
        let sent = publish(&mut client, &number.to_le_bytes()).and_then(|()| client.flush(SOON));
        match sent {
            Ok(()) => confirmed.push(number.to_le_bytes().to_vec()),
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                lost += 1;
                client.reconnect().unwrap();
            }
        }
        // Own messages come before the confirmation of what was sent with them.
        while let Ok(Some(message)) = client.next(Duration::ZERO) {
            arrived.push(message.payload);
        }
    }
    drop(kill);
    killer.join().unwrap();
    assert!(lost > 0 && confirmed.len() > 900, "{lost} were lost");
    for number in confirmed {
        assert!(arrived.contains(&number), "{number:?}");
    }
}

fn all_types(binary: &[u8]) -> Vec<(&'static str, Payload<'_>)> {
    let json = |text: &'static str| Json::from_text(text).unwrap();
    vec![
        ("text", Payload::text("grüße 你好")),
        ("dictionary", Payload::Dictionary(json("{\"a\":[1.50]}"))),
        ("image", Payload::Image(binary[..3000].into())),
        ("audio", Payload::Audio(binary[..1].into())),
        ("video", Payload::Video(binary[..2].into())),
        ("binary", Payload::binary(binary)),
        ("table", Payload::Table(binary[..50].into())),
        ("arrowtable", Payload::ArrowTable(binary[..0].into())),
        ("jsontable", Payload::JsonTable(json("[{\"a\":1}]"))),
    ]
}

#[test]
fn a_board_and_a_host_understand_each_other() {
    let (broker, files) = (NatsServer::start(), WebServer::start());
    let stack = SharableStack::new(Stack);
    let nats = NatsClient::new(
        stack.acquire(),
        StdPlatform,
        NatsOptions::new(&broker.url()),
    );
    let http = HttpClient::new(stack.acquire(), StdPlatform);
    let put = HttpPut::new(http, StdPlatform, &files.url()).unwrap();
    let mut board = NatsBridge::new(nats, put, StdPlatform);
    let nats = host::NatsClient::new(host::NatsOptions::new(&broker.url()));
    let put = HttpPut::new(UreqClient::new(), StdPlatform, &files.url()).unwrap();
    let mut host = NatsBridge::new(nats, put, StdPlatform);
    board.subscribe("to.board", None).unwrap();
    host.subscribe("to.host", None).unwrap();

    let binary = bytes(1_000_000);
    let sent = all_types(&binary);
    let options = SendOptions::default();
    host.smartsend("to.board", &sent, &options).unwrap();
    board.smartsend("to.host", &sent, &options).unwrap();
    let mut message = board.next_message(LONG).unwrap().unwrap();
    let on_board = board.receive_in_place(&mut message, &ReceiveOptions::default());
    let on_host = host.next(LONG).unwrap().unwrap();
    for received in [on_board.unwrap().into_owned(), on_host] {
        let names: Vec<_> = received.payloads.iter().map(|(name, _)| name).collect();
        assert_eq!(names, sent.iter().map(|(name, _)| name).collect::<Vec<_>>());
        for ((name, ours), (_, theirs)) in sent.iter().zip(&received.payloads) {
            assert!(ours == theirs, "{name}");
        }
        let transports = &received.envelope.payloads;
        assert_eq!(transports[5].transport_name, "link");
    }
}
