//! Many senders on one connection, and subscribers and publishers that are busy with other things.

mod common;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use common::LONG;
use common::nats_server::NatsServer;
use natsbridge::BrokerErrorKind as Kind;
use natsbridge::adapter::{Broker, Outgoing, SliceBody};
use natsbridge::host::{NatsClient, NatsOptions};

const SENDERS: usize = 4;
/// Throughput is measured so often, each way in turn.
const ROUNDS: usize = 25;
const ROUND: Duration = Duration::from_millis(50);
/// A server that asks all the time whether a client is there, and writes to none that does not read.
const IMPATIENT: &str = r#"
    ping_interval: "200ms"
    ping_max: 2
    write_deadline: "300ms"
    max_payload: 100000
    max_pending: 1000000
    debug: true
"#;
/// Several times as long as such a server has patience.
const BUSY: Duration = Duration::from_secs(2);

fn client(server: &NatsServer) -> NatsClient {
    let mut client = NatsClient::new(NatsOptions::new(&server.url()));
    client.connect().unwrap();
    client
}

fn publish(client: &mut NatsClient, subject: &str, body: &[u8]) {
    client
        .publish(&Outgoing::new(subject), &mut SliceBody::new(body))
        .unwrap();
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap());
    values[values.len() / 2]
}

/// How many messages all clients together send in one round, each with a confirmation for so many.
fn sent_in_a_round(clients: &mut [NatsClient], at_once: usize) -> usize {
    let (count, barrier) = (AtomicUsize::new(0), Barrier::new(clients.len()));
    let send = |client: &mut NatsClient| {
        barrier.wait();
        let until = Instant::now() + ROUND;
        while Instant::now() < until {
            (0..at_once).for_each(|_| publish(client, "load", &[0; 100]));
            client.flush(LONG).unwrap();
            count.fetch_add(at_once, Ordering::Relaxed);
        }
    };
    thread::scope(|threads| {
        for client in clients {
            threads.spawn(|| send(client));
        }
    });
    count.into_inner()
}

/// Senders that share a connection with one who waits, against senders with connections of their own.
fn assert_shared_is_as_fast(at_once: usize) {
    let server = NatsServer::start();
    let mut waiting = client(&server);
    let mut shared: Vec<_> = (0..SENDERS).map(|_| waiting.clone()).collect();
    let mut apart: Vec<_> = (0..SENDERS).map(|_| client(&server)).collect();
    waiting.subscribe("nothing", None).unwrap();
    let is_over = AtomicBool::new(false);
    let ratios = thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(waiting.next(Duration::from_secs(1)).unwrap(), None);
            }
        });
        let round = |_| {
            let shared = sent_in_a_round(&mut shared, at_once);
            shared as f64 / sent_in_a_round(&mut apart, at_once) as f64
        };
        let ratios: Vec<_> = (0..ROUNDS).map(round).collect();
        is_over.store(true, Ordering::Relaxed);
        ratios
    });
    println!("{at_once} at once: {ratios:.2?}");
    let ratio = median(ratios);
    // It is 0.8 and more on a machine without other work (`cargo bench --bench end_to_end`); the test bears some.
    assert!(ratio >= 0.5, "{ratio:.2} of the throughput");
}

#[test]
fn throughput_of_clones() {
    for len in [1, 100] {
        assert_shared_is_as_fast(len);
    }
}

#[test]
fn a_busy_subscriber_and_an_idle_publisher_lose_nothing() {
    const COUNT: usize = 2000;
    let server = NatsServer::start_with(IMPATIENT);
    let mut receiver = client(&server);
    receiver.subscribe("a", None).unwrap();
    receiver.flush(LONG).unwrap();
    let [mut sender, mut idle] = [client(&server), client(&server)];
    // More than the server and the operating system keep for a client.
    let body = vec![7; 10_000];
    let busy_until = Instant::now() + BUSY;
    for _ in 0..COUNT {
        publish(&mut sender, "a", &body);
        sender.flush(LONG).unwrap();
    }
    thread::sleep(busy_until.saturating_duration_since(Instant::now()));
    publish(&mut idle, "a", b"last");
    idle.flush(LONG).unwrap();
    for _ in 0..COUNT {
        assert!(receiver.next(LONG).unwrap().unwrap().payload == body);
    }
    assert_eq!(receiver.next(LONG).unwrap().unwrap().payload, b"last");
    let log = server.log();
    assert!(
        log.contains("Client Ping Timer"),
        "the server has not asked"
    );
    // Tests of the server's own readiness connect and go.
    let closed = log.matches("Slow Consumer").count() + log.matches("Stale Connection").count();
    assert_eq!(closed, 0, "{log}");
}

#[test]
fn slow_consumers_know_what_they_miss() {
    const LENGTH: Duration = Duration::from_millis(3500);
    let server = NatsServer::start();
    let options = NatsOptions::new(&server.url()).max_pending(20_000);
    let mut receiver = NatsClient::new(options);
    receiver.subscribe("a", None).unwrap();
    receiver.flush(LONG).unwrap();
    let mut sender = client(&server);
    let sending = thread::spawn(move || {
        let (until, mut sent) = (Instant::now() + LENGTH, 0);
        while Instant::now() < until {
            (0..100).for_each(|_| publish(&mut sender, "a", &[0; 1000]));
            sender.flush(LONG).unwrap();
            sent += 100;
            thread::sleep(Duration::from_millis(5));
        }
        sent
    });
    let (mut received, mut reports) = (0, Vec::new());
    let mut missed = 0;
    let mut sent = None::<u64>;
    let mut sending = Some(sending);
    while sent != Some(received + missed) {
        match receiver.next(LONG) {
            Ok(Some(_)) => received += 1,
            Ok(None) => panic!("{received} received, {missed} missed of {sent:?}"),
            Err(error) => match error.kind() {
                Kind::SlowConsumer { dropped } => {
                    missed += dropped;
                    reports.push(Instant::now());
                }
                kind => panic!("{kind:?}"),
            },
        }
        thread::sleep(Duration::from_millis(1));
        if let Some(ended) = sending.take_if(|sending| sending.is_finished()) {
            sent = Some(ended.join().unwrap());
        }
    }
    let gaps = reports.windows(2).map(|two| two[1] - two[0]);
    let shortest = gaps.min().unwrap();
    println!(
        "{sent:?} sent, {received} received, {missed} missed, {} reports",
        reports.len()
    );
    assert!(received > 0 && missed > 0);
    // The server's time is in whole milliseconds.
    assert!(shortest >= Duration::from_millis(900), "{shortest:?}");
}

#[test]
fn what_is_published_leaves_at_once_without_a_flush() {
    const COUNT: usize = 100;
    let server = NatsServer::start();
    let mut witness = client(&server);
    witness.subscribe("a", None).unwrap();
    witness.flush(LONG).unwrap();
    let (arrived, arrivals) = channel();
    let witness = thread::spawn(move || {
        for _ in 0..COUNT {
            witness.next(LONG).unwrap().unwrap();
            arrived.send(Instant::now()).unwrap();
        }
    });
    let mut sender = client(&server);
    let mut times = Vec::new();
    for number in 0..COUNT {
        // Right behind another one, and after a while.
        thread::sleep(Duration::from_millis([3, 80][number % 2]));
        let published = Instant::now();
        publish(&mut sender, "a", b"x");
        let arrived = arrivals.recv_timeout(LONG).unwrap();
        times.push(arrived - published);
    }
    witness.join().unwrap();
    times.sort();
    println!(
        "median {:?}, longest {:?}",
        times[COUNT / 2],
        times[COUNT - 1]
    );
    // 2 ms, on a machine that has other things to do.
    assert!(times[COUNT / 2] < Duration::from_millis(10), "{times:?}");
    assert!(
        times[COUNT * 9 / 10] < Duration::from_millis(50),
        "{times:?}"
    );
}

/// The thread that writes it has only just been started.
#[test]
fn what_is_published_first_leaves_at_once_too() {
    let server = NatsServer::start();
    let mut witness = client(&server);
    witness.subscribe("a", None).unwrap();
    witness.flush(LONG).unwrap();
    for _ in 0..40 {
        let mut sender = NatsClient::new(NatsOptions::new(&server.url()));
        publish(&mut sender, "a", b"x");
        let message = witness.next(Duration::from_secs(1)).unwrap();
        assert!(message.is_some(), "nothing in a second");
    }
}
