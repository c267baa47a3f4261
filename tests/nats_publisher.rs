//! A client that sends and has each message confirmed reads the confirmations itself. Nothing else may suffer
//! from that.

mod common;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use common::LONG;
use common::certificates::Certificates;
use common::nats_server::NatsServer;
use natsbridge::BrokerErrorKind as Kind;
use natsbridge::adapter::{Broker, BrokerError, Outgoing, SliceBody};
use natsbridge::host::{NatsClient, NatsOptions};

/// After so many the client reads by itself for sure.
const MANY: usize = 500;

fn client(server: &NatsServer) -> NatsClient {
    let mut client = NatsClient::new(NatsOptions::new(&server.url()));
    client.connect().unwrap();
    client
}

fn publish(client: &mut NatsClient, subject: &str, body: &[u8]) {
    let message = Outgoing::new(subject);
    client.publish(&message, &mut SliceBody::new(body)).unwrap();
}

/// Sends a number, and waits until the server has it.
fn send(client: &mut NatsClient, number: usize) -> Result<(), BrokerError> {
    let (message, body) = (Outgoing::new("numbers"), number.to_string());
    client.publish(&message, &mut SliceBody::new(body.as_bytes()))?;
    client.flush(LONG)
}

fn send_many(client: &mut NatsClient) {
    (0..MANY).for_each(|number| send(client, number).unwrap());
}

/// The client need not be called for that.
#[test]
fn a_lost_connection_is_renewed_behind_many_confirmations() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let (connected, is_connected) = channel();
    let (ends, end) = channel::<()>();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            (&stream)
                .write_all(b"INFO {\"max_payload\":1000}\r\n")
                .unwrap();
            connected.send(()).unwrap();
            let ending = stream.try_clone().unwrap();
            thread::spawn(move || {
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                for _ in lines.filter(|line| line == "PING") {
                    (&stream).write_all(b"PONG\r\n").unwrap();
                }
            });
            end.recv().ok();
            ending.shutdown(std::net::Shutdown::Both).unwrap();
        }
    });
    let mut client = NatsClient::new(NatsOptions::new(&url));
    client.connect().unwrap();
    is_connected.recv_timeout(LONG).unwrap();
    for _ in 0..10 {
        send_many(&mut client);
        ends.send(()).unwrap();
        is_connected.recv_timeout(LONG).unwrap();
    }
}

#[test]
fn a_message_comes_behind_many_confirmations() {
    let server = NatsServer::start();
    let (mut sender, mut other) = (client(&server), client(&server));
    for _ in 0..10 {
        send_many(&mut sender);
        let mut listener = sender.clone();
        listener.subscribe("news", None).unwrap();
        listener.flush(LONG).unwrap();
        send_many(&mut sender);
        publish(&mut other, "news", b"x");
        other.flush(LONG).unwrap();
        assert!(listener.next(LONG).unwrap().is_some());
    }
}

/// Who waits already is served too, while others send and after that.
#[test]
fn a_clone_that_waits_gets_its_message_at_once() {
    const ROUNDS: u32 = 50;
    let server = NatsServer::start();
    let (mut sender, mut other) = (client(&server), client(&server));
    let mut listener = sender.clone();
    listener.subscribe("news", None).unwrap();
    listener.flush(LONG).unwrap();
    let (arrived, has_arrived) = channel();
    thread::spawn(move || {
        while let Ok(Some(_)) = listener.next(LONG) {
            arrived.send(Instant::now()).ok();
        }
    });
    let mut taken = Duration::ZERO;
    for round in 0..ROUNDS {
        (0..MANY / 10).for_each(|number| send(&mut sender, number).unwrap());
        let published = Instant::now();
        publish(&mut other, "news", b"x");
        other.flush(LONG).unwrap();
        if round % 2 == 0 {
            send_many(&mut sender);
        }
        taken += has_arrived.recv_timeout(LONG).unwrap() - published;
    }
    assert!(taken < ROUNDS * Duration::from_millis(20), "{taken:?}");
}

#[test]
fn an_error_comes_behind_many_confirmations() {
    let server = NatsServer::start_with(
        "authorization { users: [{ user: a, password: b, permissions: { publish: numbers } }] }",
    );
    let options = NatsOptions::new(&server.url()).user_password("a", "b");
    let mut client = NatsClient::new(options);
    for _ in 0..10 {
        send_many(&mut client);
        publish(&mut client, "secrets", b"x");
        let error = client.flush(LONG).unwrap_err();
        assert_eq!(
            (error.kind(), error.subject()),
            (Kind::Refused, Some("secrets"))
        );
    }
}

/// A thread that panics drops its clone, which confirms what was published.
#[test]
fn a_panic_costs_the_other_clones_nothing() {
    let server = NatsServer::start();
    let shared = client(&server);
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        let mut other = shared.clone();
        let sending = threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                send(&mut other, 0).unwrap();
            }
            drop(other);
        });
        for _ in 0..100 {
            let mut panicking = shared.clone();
            let unwinding = threads.spawn(move || {
                (0..20).for_each(|number| send(&mut panicking, number).unwrap());
                publish(&mut panicking, "numbers", b"last");
                resume_unwind(Box::new("a panic of the program's own"));
            });
            unwinding.join().unwrap_err();
        }
        is_over.store(true, Ordering::Relaxed);
        sending.join().unwrap();
    });
}

#[test]
fn confirmations_are_read_over_tls() {
    let certificates = Certificates::make();
    let server = NatsServer::start_with(&format!("tls {{ {} }}", certificates.config("server")));
    let options = NatsOptions::new(&format!("tls://localhost:{}", server.port()));
    let mut client = NatsClient::new(options.root_certificate(certificates.path("ca.pem")));
    send_many(&mut client);
    publish(&mut client, "long", &vec![7; 900_000]);
    send_many(&mut client);
}

/// Clones that send, one that subscribes, waits and ends again, and one that has all of them connect again.
#[test]
fn clones_hold_each_other_up_at_nothing() {
    const LENGTH: Duration = Duration::from_secs(2);
    let server = NatsServer::start();
    let mut witness = client(&server);
    witness.subscribe("numbers", None).unwrap();
    witness.flush(LONG).unwrap();
    let shared = client(&server);
    let (is_over, last) = (AtomicBool::new(false), AtomicUsize::new(0));
    let is_over = &is_over;
    let confirmed: HashSet<String> = thread::scope(|threads| {
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (mut client, last) = (shared.clone(), &last);
                threads.spawn(move || {
                    let mut confirmed = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        let number = last.fetch_add(1, Ordering::Relaxed);
                        match send(&mut client, number) {
                            Ok(()) => confirmed.push(number.to_string()),
                            Err(error) => assert_eq!(error.kind(), Kind::Disconnected, "{error}"),
                        }
                    }
                    confirmed
                })
            })
            .collect();
        let (mut listener, mut restless, mut other) =
            (shared.clone(), shared.clone(), client(&server));
        threads.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let id = listener.subscribe("news", None).unwrap();
                // On a connection that is being given up it may be lost.
                while listener.flush(LONG).is_err() {}
                publish(&mut other, "news", b"x");
                other.flush(LONG).unwrap();
                let started = Instant::now();
                match listener.next(LONG) {
                    Ok(message) => assert!(message.is_some(), "nothing in {:?}", started.elapsed()),
                    Err(error) => assert_eq!(error.kind(), Kind::Disconnected, "{error}"),
                }
                listener.unsubscribe(id).unwrap();
                thread::sleep(Duration::from_millis(10));
            }
        });
        threads.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(100));
                restless.reconnect().unwrap();
            }
        });
        thread::sleep(LENGTH);
        is_over.store(true, Ordering::Relaxed);
        senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect()
    });
    let mut missing = confirmed;
    assert!(missing.len() > MANY, "{}", missing.len());
    while !missing.is_empty() {
        let message = witness.next(LONG).unwrap().expect("what was confirmed");
        missing.remove(&String::from_utf8(message.payload).unwrap());
    }
}
