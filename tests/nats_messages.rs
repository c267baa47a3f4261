//! Messages that other programs spoil, servers that announce much, and what survives a loss: nothing of
//! it may cost another message.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::LONG;
use common::nats_server::NatsServer;
use natsbridge::adapter::{Broker, BrokerError, Outgoing, SliceBody};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::memory::MemoryFileServer;
use natsbridge::{BrokerErrorKind as Kind, Error, NatsBridge, NoFileServer, Payload, SendOptions};

/// Good messages, and bad ones among them.
const GOOD: usize = 10_000;
const BAD: usize = 1000;
/// An INFO line is as long as this, in bytes.
const LONG_INFO: usize = 60_000;
/// Messages that are received and wait.
const WAITING: usize = 99;
/// Programs that send one message and end.
const PROGRAMS: usize = 60;
/// The address of the server, for such a program.
const SEND_TO: &str = "NATSBRIDGE_TEST_SEND_TO";

fn client(server: &NatsServer) -> NatsClient {
    let mut client = NatsClient::new(NatsOptions::new(&server.url()));
    client.connect().unwrap();
    client
}

fn publish(client: &mut NatsClient, subject: &str, body: &[u8]) -> Result<(), BrokerError> {
    client.publish(&Outgoing::new(subject), &mut SliceBody::new(body))
}

fn subscribe(client: &mut NatsClient, subject: &str) {
    client.subscribe(subject, None).unwrap();
    client.flush(LONG).unwrap();
}

/// Writes to a server without a look at what is written, and waits until the server has it all.
fn write_raw(server: &NatsServer, bytes: &[u8]) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let connect = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n";
    stream
        .write_all(&[connect, bytes, b"PING\r\n"].concat())
        .unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("INFO"));
    assert_eq!(lines.next().unwrap().unwrap(), "PONG");
}

/// Good messages with `bad` among them: all the good ones arrive in order, on the same connection, and
/// the bad ones arrive or are reported.
fn good_among_bad(bad: &[u8]) {
    let server = NatsServer::start();
    let mut receiver = client(&server);
    subscribe(&mut receiver, "f.>");
    let mut bytes = Vec::new();
    for number in 0..GOOD {
        let body = number.to_string();
        write!(bytes, "PUB f.good {}\r\n{body}\r\n", body.len()).unwrap();
        if number % (GOOD / BAD) == 0 {
            bytes.extend_from_slice(bad);
        }
    }
    write_raw(&server, &bytes);
    let (mut good, mut rest) = (0, 0);
    while good < GOOD || rest < BAD {
        match receiver.next(LONG) {
            Ok(Some(message)) if message.subject == "f.good" => {
                assert_eq!(message.payload, good.to_string().as_bytes());
                good += 1;
            }
            Ok(Some(_)) => rest += 1,
            Ok(None) => panic!("{good} good ones, {rest} others"),
            Err(error) => rest += reported(&error),
        }
    }
    assert_eq!((good, rest), (GOOD, BAD));
    receiver.flush(LONG).unwrap();
    assert_eq!(receiver.next(Duration::ZERO).unwrap(), None);
}

/// How many messages an error reports: it begins with their number.
fn reported(error: &BrokerError) -> usize {
    assert_eq!(error.kind(), Kind::Local, "{error:?}");
    let text = error.to_string();
    let number = text.split(' ').next().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("{text}"))
}

/// Together with the subscription's number the line is longer than a server takes from a client.
#[test]
fn subjects_of_4087_bytes_cost_no_other_message() {
    let subject = ["f.", &"x".repeat(4085)].concat();
    good_among_bad(format!("PUB {subject} 1\r\nx\r\n").as_bytes());
}

#[test]
fn subjects_that_are_not_utf8_cost_no_other_message() {
    good_among_bad(b"PUB f.\xff\xfe 1\r\nx\r\n");
}

#[test]
fn headers_without_a_colon_cost_no_other_message() {
    good_among_bad(b"HPUB f.h 22 23\r\nNATS/1.0\r\nno colon\r\n\r\nx\r\n");
}

/// An INFO line of a large cluster, with its line end.
fn long_info() -> Vec<u8> {
    let mut info = String::from(r#"INFO {"max_payload":1000,"headers":true,"connect_urls":["#);
    let end = "\"10.0.0.0:4222\"]}\r\n";
    while info.len() + end.len() + 17 < LONG_INFO {
        info.push_str(&format!("\"10.0.0.{}:4222\",", info.len() % 90 + 10));
    }
    let padding = LONG_INFO - info.len() - end.len();
    info.push_str(&" ".repeat(padding));
    info.push_str(end);
    info.into_bytes()
}

#[test]
fn an_info_of_60_000_bytes_is_read_at_once_and_in_pieces() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let info = long_info();
    assert_eq!(info.len(), LONG_INFO);
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&info).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut pings = 0;
        while let Some(Ok(line)) = lines.next() {
            if line != "PING" {
                continue;
            }
            stream.write_all(b"PONG\r\n").unwrap();
            pings += 1;
            if pings == 2 {
                // The second confirms the subscription.
                for piece in info.chunks(1000) {
                    stream.write_all(piece).unwrap();
                    thread::sleep(Duration::from_micros(200));
                }
                stream.write_all(b"MSG a 1 1\r\nx\r\n").unwrap();
            }
        }
    });
    let mut client = NatsClient::new(NatsOptions::new(&url));
    client.connect().unwrap();
    subscribe(&mut client, "a");
    assert_eq!(client.next(LONG).unwrap().unwrap().payload, b"x");
    assert!(client.is_connected());
    drop(client);
    server.join().unwrap();
}

/// What `notices` a killed server: a call that fails.
fn waiting_messages_survive(notices: fn(&mut NatsClient) -> Result<(), BrokerError>) {
    let mut server = NatsServer::start();
    let mut receiver = client(&server);
    subscribe(&mut receiver, "a");
    let mut sender = client(&server);
    (0..WAITING).for_each(|number| publish(&mut sender, "a", &[number as u8]).unwrap());
    sender.flush(LONG).unwrap();
    // What was sent before the answer has arrived.
    receiver.flush(LONG).unwrap();
    publish(&mut receiver, "b", b"unconfirmed").unwrap();
    server.kill();
    let deadline = Instant::now() + LONG;
    let kind = loop {
        match notices(&mut receiver) {
            Ok(()) => assert!(Instant::now() < deadline, "the loss is not noticed"),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(kind, Kind::Disconnected);
    for number in 0..WAITING {
        let message = receiver.next(LONG).unwrap().unwrap();
        assert_eq!(message.payload, [number as u8]);
    }
    let error = receiver.next(LONG).unwrap_err();
    assert_eq!(error.kind(), Kind::Disconnected);
    server.restart();
    receiver.flush(LONG).unwrap();
    publish(&mut receiver, "a", b"after").unwrap();
    assert_eq!(receiver.next(LONG).unwrap().unwrap().payload, b"after");
}

#[test]
fn waiting_messages_survive_a_loss_that_a_flush_notices() {
    waiting_messages_survive(|client| client.flush(LONG));
}

#[test]
fn waiting_messages_survive_a_loss_that_a_publish_notices() {
    waiting_messages_survive(|client| publish(client, "b", b"x"));
}

#[test]
fn refused_sends_fail_no_others() {
    let server = NatsServer::start_with(
        r#"authorization { users: [{ user: "me", password: "secret",
            permissions: { publish: "good.>", subscribe: ">" } }] }"#,
    );
    let options = NatsOptions::new(&server.url()).user_password("me", "secret");
    let mut client = NatsClient::new(options);
    let mut receiver = client.clone();
    subscribe(&mut receiver, "good.>");
    client.connect().unwrap();
    let files = MemoryFileServer::new();
    let mut bridge = NatsBridge::new(client, files.clone(), StdPlatform);
    let unconfirmed = SendOptions::default().confirm(false).allow_empty(true);
    for subject in ["bad.1", "bad.2", "bad.3"] {
        bridge.smartsend(subject, &[], &unconfirmed).unwrap();
    }
    for (count, subject) in [(1, "good.1"), (2, "good.2")] {
        let payloads = [("film", Payload::binary(vec![1; 200_000]))];
        bridge
            .smartsend(subject, &payloads, &SendOptions::default())
            .unwrap();
        assert_eq!(files.len(), count, "files of {subject}");
        assert_eq!(receiver.next(LONG).unwrap().unwrap().subject, subject);
    }
    for subject in ["bad.1", "bad.2", "bad.3"] {
        let error = bridge.next(LONG).unwrap_err();
        let reported = matches!(&error, Error::Broker(error)
            if error.kind() == Kind::Refused && error.subject() == Some(subject));
        assert!(reported, "{subject}: {error:?}");
    }
}

/// A server whose user may subscribe to and publish on these subjects only.
fn restricted(publish: &str, subscribe: &str) -> (NatsServer, NatsOptions) {
    let server = NatsServer::start_with(&format!(
        r#"authorization {{ users: [{{ user: "me", password: "secret",
            permissions: {{ publish: {publish}, subscribe: {subscribe} }} }}] }}"#
    ));
    let options = NatsOptions::new(&server.url()).user_password("me", "secret");
    (server, options)
}

#[test]
fn refused_sends_fail_no_subscription_and_no_request() {
    let (_server, options) = restricted(r#"["good", "_INBOX.>"]"#, r#"">""#);
    let client = NatsClient::new(options);
    let mut service = NatsBridge::new(client.clone(), NoFileServer, StdPlatform);
    service.subscribe("good", None).unwrap();
    let mut bridge = NatsBridge::new(client, NoFileServer, StdPlatform);
    let unconfirmed = SendOptions::default().confirm(false).allow_empty(true);
    let options = SendOptions::default().allow_empty(true);
    for subject in ["bad.1", "bad.2"] {
        bridge.smartsend(subject, &[], &unconfirmed).unwrap();
    }
    bridge.subscribe("other", None).unwrap();
    bridge.smartsend("bad.3", &[], &unconfirmed).unwrap();
    thread::scope(|threads| {
        threads.spawn(|| {
            let asked = service.next(LONG).unwrap().unwrap();
            service.reply(&asked, &[], &options).unwrap();
        });
        bridge.request("good", &[], &options, LONG).unwrap();
    });
    for subject in ["bad.1", "bad.2", "bad.3"] {
        let Error::Broker(error) = bridge.next(LONG).unwrap_err() else {
            panic!("another error")
        };
        assert_eq!(error.subject(), Some(subject), "{error}");
    }
}

/// The server refuses the subscription and delivers the message, whose file stays.
#[test]
fn a_refused_subscription_fails_no_send_to_the_same_subject() {
    let (server, options) = restricted(r#"">""#, r#""_INBOX.>""#);
    let files = MemoryFileServer::new();
    let mut bridge = NatsBridge::new(NatsClient::new(options), files.clone(), StdPlatform);
    bridge.broker().subscribe("orders", None).unwrap();
    let payloads = [("film", Payload::binary(vec![1; 2_000_000]))];
    bridge
        .smartsend("orders", &payloads, &SendOptions::default())
        .unwrap();
    assert_eq!(files.len(), 1);
    let Error::Broker(error) = bridge.next(LONG).unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(error.subject(), Some("orders"), "{error}");
    let error = bridge.subscribe("orders", None).unwrap_err();
    assert!(matches!(&error, Error::Broker(error) if error.kind() == Kind::Refused));
    drop(server);
}

#[test]
fn a_refused_message_of_one_call_leaves_no_file() {
    let (server, _) = restricted(r#""good""#, r#"">""#);
    let folder = tempfile::tempdir().unwrap();
    let url = server.url().replace("nats://", "nats://me:secret@");
    let store = format!("file://{}", folder.path().display());
    let options = SendOptions::default().broker_url(url).fileserver_url(store);
    let payloads = [("film", Payload::binary(vec![1; 2_000_000]))];
    for (subject, files) in [("bad", 0), ("good", 1)] {
        let sent = natsbridge::host::smartsend(subject, &payloads, &options.clone().confirm(false));
        assert_eq!(sent.is_ok(), files == 1, "{subject}: {sent:?}");
        assert_eq!(
            folder.path().read_dir().unwrap().count(),
            files,
            "{subject}"
        );
    }
}

/// What each of the programs does, which are this test again.
fn send_one_and_end(url: &str) {
    let client = NatsClient::new(NatsOptions::new(url));
    let mut bridge = NatsBridge::new(client, NoFileServer, StdPlatform);
    let options = SendOptions::default().confirm(false);
    bridge
        .smartsend("programs", &[("text", Payload::text("x"))], &options)
        .unwrap();
}

#[test]
fn what_a_program_sends_arrives_although_it_ends() {
    if let Ok(url) = std::env::var(SEND_TO) {
        return send_one_and_end(&url);
    }
    let server = NatsServer::start();
    let mut receiver = client(&server);
    subscribe(&mut receiver, "programs");
    let this = std::env::current_exe().unwrap();
    let start = |_| {
        let mut program = Command::new(&this);
        program.args(["--exact", "what_a_program_sends_arrives_although_it_ends"]);
        program.env(SEND_TO, server.url()).output().unwrap()
    };
    for program in (0..PROGRAMS).map(start) {
        assert!(program.status.success(), "{program:?}");
    }
    for arrived in 0..PROGRAMS {
        let message = receiver.next(Duration::from_secs(2)).unwrap();
        assert!(message.is_some(), "{arrived} of {PROGRAMS} arrived");
    }
    assert_eq!(receiver.next(Duration::ZERO).unwrap(), None);
}
