//! The bridge over a real nats-server and a real web server, beside the crates `nats` and `ureq`
//! alone, which move the same bytes.
#![expect(deprecated, reason = "all of the crate `nats` is")]

mod messages;
#[path = "../common/nats_server.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod nats_server;
mod plain;
mod side_by_side;
#[path = "../common/web_server.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod web_server;

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use messages::{bytes, message, payloads};
use nats_server::NatsServer;
use natsbridge::adapter::{Broker as _, FileServer, Outgoing, Sink, SliceBody, StreamError};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform, UreqClient};
use natsbridge::{
    Envelope, HttpPut, Limits, NatsBridge, NoFileServer, ReceiveOptions, SendOptions,
};
use sha2::{Digest as _, Sha256};
use side_by_side::{SideBySide, Way, way};
use web_server::WebServer;

const LONG: Duration = Duration::from_secs(30);
const FILE: usize = 10_000_000;

fn main() {
    let mut sides = SideBySide::new();
    publish(&mut sides);
    receive(&mut sides);
    clones(&mut sides);
    links(&mut sides);
    sides.finish();
}

/// Beside the crate that publishes a message made before, and beside one that makes each by serde.
/// `client` is the library's adapter alone, which gets a message made before too.
fn publish(sides: &mut SideBySide) {
    let server = NatsServer::start();
    for (name, len, many) in [("1 KB", 1_000, 1_000), ("100 KB", 100_000, 50)] {
        let payload = &bytes(len);
        let made = message(1, payload);
        let batches = [
            ("confirmed", name.to_string(), 1),
            ("pipelined", format!("{many} of {name}"), many),
        ];
        for (group, name, many) in batches {
            sides.group(group, many, many * len);
            let bare = || by_crate(&server, || &made, many);
            let serde = by_crate(&server, || plain::send(1, payload), many);
            let bridge = || by_bridge(&server, payload, many);
            sides.compare(&name, "nats", bridge(), bare());
            sides.compare(&name, "nats, serde", bridge(), serde);
            let name = format!("{name}, client");
            sides.compare(&name, "nats", by_client(&server, &made, many), bare());
            let socket = by_socket(&server, &made, many);
            sides.compare(&name, "socket", by_client(&server, &made, many), socket);
        }
    }
}

/// Messages that one connection publishes and another one receives.
fn receive(sides: &mut SideBySide) {
    const MANY: usize = 1_000;
    let server = NatsServer::start();
    let made = message(1, &bytes(1_000));
    sides.group("received", MANY, MANY * made.len());
    let (mut sender, mut receiver) = (client(&server), client(&server));
    receiver.subscribe("bench", None).unwrap();
    receiver.flush(LONG).unwrap();
    let ours = way(move || {
        for _ in 0..MANY {
            let mut body = SliceBody::new(made.as_bytes());
            sender.publish(&Outgoing::new("bench"), &mut body).unwrap();
        }
        sender.flush(LONG).unwrap();
        for _ in 0..MANY {
            black_box(receiver.next(LONG).unwrap().unwrap());
        }
    });
    let made = message(1, &bytes(1_000));
    let mut sender = client(&server);
    let receiver = nats::connect(server.url()).unwrap();
    let subscription = receiver.subscribe("bare").unwrap();
    receiver.flush().unwrap();
    let bare = way(move || {
        for _ in 0..MANY {
            let mut body = SliceBody::new(made.as_bytes());
            sender.publish(&Outgoing::new("bare"), &mut body).unwrap();
        }
        sender.flush(LONG).unwrap();
        for _ in 0..MANY {
            black_box(subscription.next_timeout(LONG).unwrap());
        }
    });
    sides.compare("1000 of 1 KB, client", "nats", ours, bare);
}

/// Four threads send on one connection, on which a fifth waits for messages, beside four with connections of
/// their own.
fn clones(sides: &mut SideBySide) {
    const SENDERS: usize = 4;
    const MANY: usize = 400;
    let server = NatsServer::start();
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        let mut waiting = client(&server);
        waiting.subscribe("nothing", None).unwrap();
        let shared = waiting.clone();
        threads.spawn(|| {
            let mut waiting = waiting;
            while !is_over.load(Ordering::Relaxed) {
                assert!(waiting.next(Duration::from_secs(1)).unwrap().is_none());
            }
        });
        let len = 100;
        sides.group("four clones", SENDERS * MANY, SENDERS * MANY * len);
        for (name, at_once) in [("confirmed", 1), ("100 pipelined", 100)] {
            let clones = (0..SENDERS).map(|_| shared.clone()).collect();
            let others = (0..SENDERS).map(|_| client(&server)).collect();
            let batches = MANY / at_once;
            let [clones, others] =
                [clones, others].map(|clients| by_threads(clients, len, at_once, batches));
            sides.compare(name, "connections", clones, others);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// Each client in a thread of its own sends so many batches, each confirmed.
fn by_threads(mut clients: Vec<NatsClient>, len: usize, many: usize, batches: usize) -> impl Way {
    let message = bytes(len);
    way(move || {
        thread::scope(|threads| {
            for client in &mut clients {
                threads.spawn(|| {
                    (0..batches).for_each(|_| publish_all(client, &message, many));
                });
            }
        });
    })
}

/// The same bytes on a socket, without a client: the lower bound of a client's time.
fn by_socket(server: &NatsServer, message: &str, many: usize) -> impl Way {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut answers = BufReader::new(socket.try_clone().unwrap());
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    socket
        .write_all(b"CONNECT {\"verbose\":false}\r\n")
        .unwrap();
    let mut batch = Vec::new();
    for _ in 0..many {
        write!(batch, "PUB bench {}\r\n{message}\r\n", message.len()).unwrap();
    }
    batch.extend_from_slice(b"PING\r\n");
    way(move || {
        socket.write_all(&batch).unwrap();
        line.clear();
        while line != "PONG\r\n" {
            line.clear();
            answers.read_line(&mut line).unwrap();
        }
    })
}

fn client(server: &NatsServer) -> NatsClient {
    let mut client = NatsClient::new(NatsOptions::new(&server.url()));
    client.connect().unwrap();
    client
}

/// So many messages, of which the server has the last when this ends, and so all before it.
fn by_bridge(server: &NatsServer, payload: &[u8], many: usize) -> impl Way {
    let limits = Limits::default().size_threshold(usize::MAX);
    let bridge = NatsBridge::new(client(server), NoFileServer, StdPlatform);
    let (mut bridge, payloads) = (bridge.with_limits(limits), payloads(1, payload));
    let last = SendOptions::default();
    let others = last.clone().confirm(false);
    way(move || {
        for left in (0..many).rev() {
            let options = if left == 0 { &last } else { &others };
            bridge.smartsend("bench", &payloads, options).unwrap();
        }
    })
}

fn by_client(server: &NatsServer, message: &str, many: usize) -> impl Way {
    let mut client = client(server);
    way(move || publish_all(&mut client, message.as_bytes(), many))
}

fn publish_all(client: &mut NatsClient, message: &[u8], many: usize) {
    for _ in 0..many {
        let mut body = SliceBody::new(message);
        client.publish(&Outgoing::new("bench"), &mut body).unwrap();
    }
    client.flush(LONG).unwrap();
}

fn by_crate<M: AsRef<[u8]>>(server: &NatsServer, message: impl Fn() -> M, many: usize) -> impl Way {
    let connection = nats::connect(server.url()).unwrap();
    way(move || {
        for _ in 0..many {
            connection.publish("bench", message()).unwrap();
        }
        connection.flush().unwrap();
    })
}

fn links(sides: &mut SideBySide) {
    let (web, bytes) = (WebServer::start(), bytes(FILE));
    let url = put(&web, &bytes);
    sides.group("10 MB by link", 1, FILE);
    let crates = [("ureq", false), ("ureq, sha256", true)];
    for (against, hashes) in crates {
        let bare = bare_upload(&web, &bytes, hashes);
        sides.compare("up", against, upload(put_bridge(&web), &bytes), bare);
    }
    for (against, hashes) in crates {
        let bare = bare_download(&url, hashes);
        sides.compare("down", against, download(put_bridge(&web), &bytes), bare);
    }
    #[cfg(feature = "s3")]
    s3(sides, &web, &bytes, &url);
}

/// By S3 to the same server, which does not look at signatures.
#[cfg(feature = "s3")]
fn s3(sides: &mut SideBySide, web: &WebServer, bytes: &[u8], url: &str) {
    web.make_folder("films");
    let bridge = || {
        let bucket = natsbridge::S3Options::new("films").endpoint(web.url());
        let bucket = bucket.keys("id", "secret");
        link_bridge(natsbridge::S3::new(UreqClient::new(), StdPlatform, bucket).unwrap())
    };
    let against = "ureq, sha256";
    let bare = bare_upload(web, bytes, true);
    sides.compare("S3, up", against, upload(bridge(), bytes), bare);
    let bare = bare_download(url, true);
    sides.compare("S3, down", against, download(bridge(), bytes), bare);
}

type LinkBridge<F> = NatsBridge<NatsClient, F, StdPlatform>;

/// Nothing is published: the broker is not asked.
fn link_bridge<F: FileServer>(files: F) -> LinkBridge<F> {
    let broker = NatsClient::new(NatsOptions::new("nats://127.0.0.1:1"));
    NatsBridge::new(broker, files, StdPlatform)
}

fn put_bridge(web: &WebServer) -> LinkBridge<HttpPut<UreqClient, StdPlatform>> {
    link_bridge(HttpPut::new(UreqClient::new(), StdPlatform, &web.url()).unwrap())
}

/// The clock stands while a file is deleted, that the disk does not fill.
fn upload<F: FileServer>(mut bridge: LinkBridge<F>, bytes: &[u8]) -> impl Way {
    let (payloads, options) = (payloads(1, bytes), SendOptions::default().is_publish(false));
    move |times| {
        let mut taken = Duration::ZERO;
        for _ in 0..times {
            let started = Instant::now();
            let sent = bridge.smartsend("bench", &payloads, &options).unwrap();
            taken += started.elapsed();
            let stored = &sent.uploads()[0];
            bridge.file_server().delete(stored).unwrap();
        }
        taken
    }
}

fn bare_upload(web: &WebServer, bytes: &[u8], hashes: bool) -> impl Way {
    let agent = ureq::agent();
    let url = format!("{}/bare", web.url());
    move |times| {
        let mut taken = Duration::ZERO;
        for _ in 0..times {
            let started = Instant::now();
            if hashes {
                black_box(Sha256::digest(bytes));
            }
            agent.put(&url).send(bytes).unwrap();
            taken += started.elapsed();
            agent.delete(&url).call().unwrap();
        }
        taken
    }
}

fn download<F: FileServer>(mut bridge: LinkBridge<F>, bytes: &[u8]) -> impl Way {
    let (payloads, options) = (payloads(1, bytes), SendOptions::default().is_publish(false));
    let sent = bridge.smartsend("bench", &payloads, &options).unwrap();
    let message = sent.json().unwrap().to_string();
    let options = ReceiveOptions::default();
    way(move || {
        let envelope = Envelope::parse(message.as_bytes(), &Limits::default()).unwrap();
        let entry = &envelope.payloads[0];
        bridge.download(entry, &options, &mut Discarded).unwrap()
    })
}

/// Where a download goes of which only the time is wanted.
struct Discarded;

impl Sink for Discarded {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        black_box(chunk);
        Ok(())
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

fn bare_download(url: &str, hashes: bool) -> impl Way {
    let agent = ureq::agent();
    let mut chunk = vec![0; 64 << 10];
    way(move || {
        let mut body = agent.get(url).call().unwrap().into_body();
        let (mut reader, mut sha256) = (body.as_reader(), Sha256::new());
        loop {
            let count = reader.read(&mut chunk).unwrap();
            if hashes {
                sha256.update(&chunk[..count]);
            }
            black_box(&chunk[..count]);
            if count == 0 {
                return sha256.finalize();
            }
        }
    })
}

/// Stores a file, and says where.
fn put(web: &WebServer, bytes: &[u8]) -> String {
    let url = format!("{}/stored", web.url());
    ureq::put(&url).send(bytes).unwrap();
    url
}
