//! A client that is given one server of a cluster of three, when that server goes.

mod common;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use common::LONG;
use common::nats_server::{NatsCluster, NatsServer};
#[cfg(feature = "nal")]
use common::tcp_stack::TcpStack;
use natsbridge::BrokerErrorKind;
use natsbridge::adapter::{Broker, BrokerError, Outgoing, SliceBody};
#[cfg(feature = "nal")]
use natsbridge::board;
#[cfg(feature = "nal")]
use natsbridge::host::StdPlatform;
use natsbridge::host::{NatsClient, NatsOptions};

/// 200 sends a second.
const SEND_INTERVAL: Duration = Duration::from_millis(5);
/// Between two messages that others send to the client.
const TICK_INTERVAL: Duration = Duration::from_millis(2);
/// How long the client sends before and after something happens.
const CALM: Duration = Duration::from_millis(700);
/// The longest time without a confirmed send.
const LONGEST_GAP: Duration = Duration::from_millis(500);
/// Lame duck mode begins to close connections after so long.
const CONFIG: &str = r#"
    lame_duck_duration: "30s"
    lame_duck_grace_period: "300ms"
"#;

fn publish(client: &mut impl Broker, subject: &str, body: &str) -> Result<(), BrokerError> {
    client.publish(
        &Outgoing::new(subject),
        &mut SliceBody::new(body.as_bytes()),
    )
}

/// A client that stays with one server.
fn loyal(server: &NatsServer) -> NatsClient {
    NatsClient::new(NatsOptions::new(&server.url()).use_announced(false))
}

/// Waits until what is published at each node arrives at all the others.
fn await_routes(nodes: &[NatsServer]) {
    let mut receivers: Vec<_> = nodes.iter().map(loyal).collect();
    let mut senders: Vec<_> = nodes.iter().map(loyal).collect();
    let deadline = Instant::now() + LONG;
    for receiver in &mut receivers {
        receiver.subscribe("probe.*", None).unwrap();
        receiver.flush(LONG).unwrap();
    }
    for (place, sender) in senders.iter_mut().enumerate() {
        let subject = format!("probe.{place}");
        for receiver in &mut receivers {
            loop {
                assert!(Instant::now() < deadline, "no route from node {place}");
                publish(sender, &subject, "").unwrap();
                sender.flush(LONG).unwrap();
                let arrived = receiver.next(Duration::from_millis(20)).unwrap();
                if arrived.is_some_and(|message| message.subject == subject) {
                    break;
                }
            }
        }
    }
}

fn cluster() -> NatsCluster {
    let cluster = NatsCluster::start(3, CONFIG);
    await_routes(&cluster.nodes);
    cluster
}

/// A client that is given the first server.
fn client_of(cluster: &NatsCluster) -> NatsClient {
    let mut client = NatsClient::new(NatsOptions::new(&cluster.nodes[0].url()));
    client.connect().unwrap();
    client
}

/// The same for boards, over this machine's network.
#[cfg(feature = "nal")]
fn board_client_of(cluster: &NatsCluster) -> board::NatsClient<TcpStack, StdPlatform> {
    let options = board::NatsOptions::new(&cluster.nodes[0].url());
    let mut client = board::NatsClient::new(TcpStack, StdPlatform, options);
    client.connect().unwrap();
    client
}

/// Texts, and how often each arrived.
type Counts = BTreeMap<String, u32>;

/// What arrives, and how often, until the end is sent.
fn receive_all(mut client: NatsClient, counts: &Mutex<Counts>, on_error: fn(BrokerError)) {
    loop {
        match client.next(LONG) {
            Ok(Some(message)) => {
                let text = String::from_utf8(message.payload).unwrap();
                if text == "end" {
                    return;
                }
                *counts.lock().unwrap().entry(text).or_default() += 1;
            }
            Ok(None) => panic!("nothing came"),
            Err(error) => on_error(error),
        }
    }
}

/// For a client whose node goes, and comes back.
fn any_error(_: BrokerError) {}

fn no_error(error: BrokerError) {
    panic!("{error:?}");
}

/// A send, what came of it, and when.
struct Sent {
    text: String,
    result: Result<(), BrokerError>,
    ended: Instant,
}

/// Sends until `is_over`, and waits for each confirmation.
fn send_all(client: &mut impl Broker, is_over: &AtomicBool) -> Vec<Sent> {
    let mut sends = Vec::new();
    let mut at = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        let text = sends.len().to_string();
        let sent = publish(client, "numbers", &text).and_then(|()| client.flush(LONG));
        let ended = Instant::now();
        sends.push(Sent {
            text,
            result: sent,
            ended,
        });
        at = (at + SEND_INTERVAL).max(ended);
        thread::sleep(at.saturating_duration_since(Instant::now()));
    }
    sends
}

/// Sends while `happens`, with a witness at each node. Every confirmed message must arrive once at each
/// of the `live` nodes, and at one at least. What happens may wait for the next message to arrive.
fn send_while(
    mut client: impl Broker + Send,
    cluster: &mut NatsCluster,
    live: &[usize],
    happens: impl FnOnce(&mut NatsCluster, &dyn Fn()),
) -> Vec<Sent> {
    let counts: [Mutex<Counts>; 3] = Default::default();
    let is_over = AtomicBool::new(false);
    let sends = thread::scope(|threads| {
        let mut witnesses = Vec::new();
        for (node, counts) in cluster.nodes.iter().zip(&counts) {
            let mut witness = loyal(node);
            witness.subscribe("numbers", None).unwrap();
            witness.flush(LONG).unwrap();
            witnesses.push(threads.spawn(move || receive_all(witness, counts, any_error)));
        }
        await_routes(&cluster.nodes);
        let sending = threads.spawn(|| send_all(&mut client, &is_over));
        thread::sleep(CALM);
        happens(cluster, &|| {
            let count = |place: &usize| counts[*place].lock().unwrap().len();
            let arrived = || live.iter().map(count).min();
            let (before, deadline) = (arrived(), Instant::now() + LONG);
            while arrived() == before {
                assert!(Instant::now() < deadline, "nothing is sent");
                thread::yield_now();
            }
        });
        thread::sleep(CALM);
        is_over.store(true, Ordering::Relaxed);
        let sends = sending.join().unwrap();
        for node in &mut cluster.nodes {
            if node.has_ended() {
                node.restart();
            }
        }
        end(&cluster.nodes, &witnesses);
        sends
    });
    let counts = counts.map(|counts| counts.into_inner().unwrap());
    live.iter().for_each(|place| check(&sends, &counts[*place]));
    let mut most = Counts::new();
    for (text, count) in counts.into_iter().flatten() {
        let known = most.entry(text).or_default();
        *known = count.max(*known);
    }
    check(&sends, &most);
    sends
}

/// Sends the end until all the witnesses have it.
fn end(nodes: &[NatsServer], witnesses: &[ScopedJoinHandle<'_, ()>]) {
    let mut senders: Vec<_> = nodes.iter().map(loyal).collect();
    while !witnesses.iter().all(ScopedJoinHandle::is_finished) {
        for sender in &mut senders {
            publish(sender, "numbers", "end").unwrap();
            sender.flush(LONG).unwrap();
        }
        thread::sleep(SEND_INTERVAL);
    }
}

/// Every `Ok` has arrived once, everything else at most once.
fn check(sends: &[Sent], counts: &Counts) {
    for send in sends {
        let count = counts.get(&send.text).copied().unwrap_or_default();
        let is_right = count == 1 || count == 0 && send.result.is_err();
        assert!(is_right, "{}: {:?}, {count} times", send.text, send.result);
    }
}

/// Puts a server into lame duck mode and waits for its end.
fn retire(node: &mut NatsServer) {
    node.start_lame_duck_mode();
    let deadline = Instant::now() + LONG;
    while !node.has_ended() {
        assert!(Instant::now() < deadline, "it does not end");
        thread::sleep(SEND_INTERVAL);
    }
}

fn assert_gaps(sends: &[Sent], most_failures: usize) {
    let confirmed: Vec<_> = sends.iter().filter(|send| send.result.is_ok()).collect();
    let gaps = confirmed.windows(2).map(|two| two[1].ended - two[0].ended);
    let longest = gaps.max().unwrap();
    let failed: Vec<_> = sends
        .iter()
        .filter_map(|send| send.result.as_ref().err())
        .collect();
    println!(
        "{} sends, longest gap {longest:.1?}, failed: {failed:?}",
        sends.len()
    );
    assert!(longest <= LONGEST_GAP, "{longest:?}");
    assert!(failed.len() <= most_failures, "{failed:?}");
    assert!(confirmed.len() > 100, "{} sends", confirmed.len());
}

#[test]
fn a_server_that_is_killed_costs_less_than_half_a_second() {
    let mut cluster = cluster();
    let client = client_of(&cluster);
    let sends = send_while(client, &mut cluster, &[1, 2], |cluster, await_next| {
        // A server may have confirmed what it has not passed on yet: this is not the moment for it.
        await_next();
        cluster.nodes[0].kill();
    });
    assert_gaps(&sends, 1);
}

#[test]
fn the_send_that_a_kill_hits_is_reported_and_no_other() {
    let mut cluster = cluster();
    let client = client_of(&cluster);
    let sends = send_while(client, &mut cluster, &[1, 2], |cluster, _| {
        cluster.nodes[0].pause();
        thread::sleep(SEND_INTERVAL * 4);
        cluster.nodes[0].kill();
    });
    assert_gaps(&sends, 1);
    let failed = sends.iter().find_map(|send| send.result.as_ref().err());
    let kind = failed.map(BrokerError::kind);
    assert_eq!(kind, Some(BrokerErrorKind::Disconnected));
}

#[test]
fn a_rolling_restart_costs_less_than_half_a_second_each() {
    let mut cluster = cluster();
    // Each witness loses its node for a while: together they have it all.
    let client = client_of(&cluster);
    let sends = send_while(client, &mut cluster, &[], |cluster, _| {
        for place in 0..3 {
            cluster.nodes[place].terminate();
            thread::sleep(CALM / 2);
            cluster.nodes[place].restart();
            await_routes(&cluster.nodes);
            thread::sleep(CALM / 2);
        }
    });
    assert_gaps(&sends, 3);
}

#[cfg(feature = "nal")]
#[test]
fn a_board_loses_less_than_half_a_second_when_its_server_is_killed() {
    let mut cluster = cluster();
    let client = board_client_of(&cluster);
    let sends = send_while(client, &mut cluster, &[1, 2], |cluster, await_next| {
        await_next();
        cluster.nodes[0].kill();
    });
    assert_gaps(&sends, 1);
}

#[cfg(feature = "nal")]
#[test]
fn a_board_leaves_a_server_in_lame_duck_mode_without_an_error() {
    let mut cluster = cluster();
    let client = board_client_of(&cluster);
    let sends = send_while(client, &mut cluster, &[1, 2], |cluster, _| {
        retire(&mut cluster.nodes[0]);
    });
    assert_gaps(&sends, 0);
}

/// Ticks are all different, jobs of a queue group all the same.
fn send_ticks(client: &mut NatsClient, is_over: &AtomicBool) -> usize {
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        publish(client, "ticks", &count.to_string()).unwrap();
        publish(client, "jobs", "job").unwrap();
        client.flush(LONG).unwrap();
        count += 1;
        thread::sleep(TICK_INTERVAL);
    }
    publish(client, "ticks", "end").unwrap();
    publish(client, "jobs", "end").unwrap();
    client.flush(LONG).unwrap();
    count
}

/// The client's sends and subscriptions move with it: no error, and each message once.
#[test]
fn lame_duck_mode_costs_nothing() {
    let mut cluster = cluster();
    let mut client = NatsClient::new(NatsOptions::new(&cluster.nodes[0].url()));
    let [mut listener, mut worker] = [client.clone(), client.clone()];
    listener.subscribe("ticks", None).unwrap();
    worker.subscribe("jobs", Some("workers")).unwrap();
    for client in [&mut listener, &mut worker] {
        client.flush(LONG).unwrap();
    }
    let mut witness = loyal(&cluster.nodes[2]);
    witness.subscribe("numbers", None).unwrap();
    witness.flush(LONG).unwrap();
    await_routes(&cluster.nodes);
    let [mut ticker, mut last] = [1, 2].map(|place| loyal(&cluster.nodes[place]));
    let is_over = &AtomicBool::new(false);
    let [ticks, jobs, numbers] = &<[Mutex<Counts>; 3]>::default();
    let (sends, ticked) = thread::scope(|threads| {
        threads.spawn(|| receive_all(listener, ticks, no_error));
        threads.spawn(|| receive_all(worker, jobs, no_error));
        let witness = threads.spawn(|| receive_all(witness, numbers, no_error));
        let ticking = threads.spawn(|| send_ticks(&mut ticker, is_over));
        let sending = threads.spawn(|| send_all(&mut client, is_over));
        thread::sleep(CALM);
        retire(&mut cluster.nodes[0]);
        thread::sleep(CALM);
        is_over.store(true, Ordering::Relaxed);
        let (sends, ticked) = (sending.join().unwrap(), ticking.join().unwrap());
        publish(&mut last, "numbers", "end").unwrap();
        last.flush(LONG).unwrap();
        witness.join().unwrap();
        (sends, ticked)
    });
    assert_ne!(client.connected_url(), Some(cluster.nodes[0].url()));
    assert_gaps(&sends, 0);
    check(&sends, &numbers.lock().unwrap());
    let ticks = ticks.lock().unwrap();
    for number in 0..ticked {
        let count = ticks.get(&number.to_string()).copied();
        assert_eq!(count, Some(1), "tick {number} of {ticked}");
    }
    let jobs = jobs.lock().unwrap().get("job").copied();
    assert_eq!(jobs.map(|count| count as usize), Some(ticked));
}
