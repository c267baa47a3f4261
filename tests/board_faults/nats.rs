//! `board::NatsClient` when the server or the network does not do its part.

use std::time::Duration;

use natsbridge::adapter::{Broker, BrokerError, Outgoing, SliceBody};
use natsbridge::board::{NatsClient, NatsOptions};
use natsbridge::{BrokerErrorKind as Kind, SubscriptionId};

use crate::common::bytes;
use crate::common::faulty_stack::{Clock, Connect, Cut, DIALECTS, Dialect, Faults, FaultyStack};
use crate::fake_nats::FakeNats;

pub type Stack = FaultyStack<FakeNats>;
pub type Client = NatsClient<Stack, Clock>;

pub const URL: &str = "nats://10.0.0.1:4222";
pub const WAIT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(600);

pub fn options() -> NatsOptions {
    NatsOptions::new(URL)
        .connect_timeout(WAIT)
        .timeout(WAIT)
        .ping_interval(Duration::from_secs(10))
}

pub fn world(dialect: Dialect) -> (Clock, Stack) {
    let clock = Clock::default();
    let stack = FaultyStack::new(dialect, &clock, FakeNats::default());
    (clock, stack)
}

fn client(stack: &Stack, clock: &Clock) -> Client {
    NatsClient::new(stack.clone(), clock.clone(), options())
}

/// A connected client of a new world.
pub fn connected(dialect: Dialect, options: NatsOptions) -> (Clock, Stack, Client) {
    let (clock, stack) = world(dialect);
    let mut client = NatsClient::new(stack.clone(), clock.clone(), options);
    client.connect().unwrap();
    (clock, stack, client)
}

pub fn publish(client: &mut Client, body: &[u8]) -> Result<(), BrokerError> {
    client.publish(&Outgoing::new("a"), &mut SliceBody::new(body))
}

pub fn subscribe(client: &mut Client) -> SubscriptionId {
    let id = client.subscribe("a", None).unwrap();
    client.flush(WAIT).unwrap();
    id
}

pub fn next_body(client: &mut Client) -> Vec<u8> {
    client
        .next(WAIT)
        .unwrap()
        .expect("a message in time")
        .payload
}

pub fn kind<T: std::fmt::Debug>(result: Result<T, BrokerError>) -> Kind {
    result.expect_err("this fails").kind()
}

#[test]
fn short_writes_and_reads_change_nothing() {
    for dialect in DIALECTS {
        for (max_send, max_receive, stalls) in [(1, 1, 0), (1, 1, 1), (7, 3, 2), (513, 511, 1)] {
            let (clock, stack) = world(dialect);
            stack.set(Faults {
                connect: Connect::After(3),
                max_send,
                max_receive,
                stalls,
                ..Faults::default()
            });
            let options = options().connect_timeout(LONG).timeout(LONG);
            let mut client = NatsClient::new(stack.clone(), clock, options);
            client.subscribe("a", None).unwrap();
            for len in [0, 1, 480, 511, 512, 513, 3000] {
                publish(&mut client, &bytes(len)).unwrap();
                client.flush(LONG).unwrap();
                let message = client.next(LONG).unwrap().unwrap();
                assert!(message.payload == bytes(len), "{len} bytes on {dialect:?}");
            }
        }
    }
}

#[test]
fn failing_connects_give_their_sockets_back() {
    for dialect in DIALECTS {
        let (clock, stack) = world(dialect);
        let mut client = client(&stack, &clock);
        for attempt in 0..10_000 {
            let faults = Faults::default();
            let (faults, info) = match attempt % 5 {
                0 => (with(faults, Connect::Refused), "{}"),
                1 => (with(faults, Connect::Never), "{}"),
                2 => (cut_after_sent(faults, attempt % 7), "{}"),
                3 => (faults, "{\"tls_required\":true}"),
                _ => (faults, "nonsense"),
            };
            stack.set(faults);
            stack.peer(|peer| peer.info = info.to_string());
            clock.within(WAIT, || client.connect()).unwrap_err();
            assert_eq!(stack.free(), 2, "attempt {attempt} on {dialect:?}");
        }
        stack.set(Faults::default());
        stack.peer(|peer| peer.info = "{}".to_string());
        client.connect().unwrap();
        assert_eq!(stack.free(), 1);
        drop(client);
        assert_eq!(stack.free(), 2);
    }
}

fn with(faults: Faults, connect: Connect) -> Faults {
    Faults { connect, ..faults }
}

fn cut_after_sent(faults: Faults, cut_after_sent: usize) -> Faults {
    Faults {
        cut: Some(Cut::Reset),
        cut_after_sent,
        ..faults
    }
}

#[test]
fn a_pool_without_sockets_is_an_error() {
    let (clock, stack) = world(Dialect::Smoltcp);
    let mut clients = [0; 3].map(|_| client(&stack, &clock));
    clients[0].connect().unwrap();
    clients[1].connect().unwrap();
    let error = clients[2].connect().unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    clients[0].close();
    clients[2].connect().unwrap();
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    for dialect in DIALECTS {
        let (clock, stack, mut client) = connected(dialect, options());
        let id = subscribe(&mut client);
        publish(&mut client, b"x").unwrap();
        stack.cut(Cut::Silence);
        // Half of the time that the server is given, and all of it.
        let flushed = clock.within(WAIT / 2, || client.flush(WAIT / 2));
        assert_eq!(kind(flushed), Kind::Timeout);
        assert!(client.is_connected());
        let flushed = clock.within(WAIT, || client.flush(WAIT));
        assert_eq!(kind(flushed), Kind::Disconnected);
        stack.set(Faults {
            cut: Some(Cut::Silence),
            cut_after_sent: 0,
            ..Faults::default()
        });
        let error = clock.within(WAIT, || client.connect()).unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.to_string().contains(URL), "{error}");
        clock.within(WAIT, || client.flush(WAIT)).unwrap();
        clock.within(WAIT, || client.unsubscribe(id)).unwrap();
    }
}

#[test]
fn a_send_that_does_not_end_is_given_up_in_time() {
    // A long message may take a second longer for each 65,536 bytes.
    for (len, more) in [(5_000, 0), (100_000, 1500), (1_000_000, 15_200)] {
        let at_least = WAIT + Duration::from_millis(more);
        for dialect in DIALECTS {
            let (clock, stack, mut client) = connected(dialect, options());
            stack.cut(Cut::Silence);
            let started = clock.now();
            let limit = at_least + Duration::from_millis(100);
            let published = clock.within(limit, || publish(&mut client, &bytes(len)));
            assert_eq!(kind(published), Kind::Timeout);
            assert!(clock.now() - started >= at_least, "{len}");
            assert_eq!(stack.free(), 2);
            publish(&mut client, b"again").unwrap();
        }
    }
}

#[test]
fn one_byte_a_second_holds_nobody_up() {
    let second = Duration::from_secs(1);
    for dialect in DIALECTS {
        let (clock, stack) = world(dialect);
        let options = options().connect_timeout(5 * second).timeout(5 * second);
        let mut client = NatsClient::new(stack.clone(), clock.clone(), options);
        let trickle = Faults {
            trickle: second,
            ..Faults::default()
        };
        stack.set(trickle.clone());
        let connected = clock.within(5 * second, || client.connect());
        assert_eq!(kind(connected), Kind::Unreachable);
        stack.set(Faults::default());
        client.connect().unwrap();
        subscribe(&mut client);
        stack.set(trickle);
        stack.say(b"MSG a 1 2\r\nhi\r\n");
        for _ in 0..4 {
            assert_eq!(
                clock
                    .within(3 * second, || client.next(3 * second))
                    .unwrap(),
                None
            );
        }
        // What has come so far is not lost.
        let message = clock.within(4 * second, || client.next(4 * second));
        assert_eq!(message.unwrap().unwrap().payload, b"hi");
        let flushed = clock.within(3 * second, || client.flush(3 * second));
        assert_eq!(kind(flushed), Kind::Timeout);
    }
}

#[test]
fn a_flood_holds_nobody_up() {
    for line in ["PING\r\n", "+OK\r\n", "MSG b 9 1\r\nx\r\n"] {
        let (clock, stack, mut client) = connected(Dialect::Std, options());
        subscribe(&mut client);
        stack.peer(|peer| peer.is_mute = true);
        stack.say(line.repeat(1_000_000).as_bytes());
        for wait in [Duration::ZERO, WAIT] {
            assert_eq!(clock.within(wait, || client.next(wait)).unwrap(), None);
        }
        let flushed = clock.within(WAIT, || client.flush(WAIT));
        assert_eq!(kind(flushed), Kind::Timeout, "{line:?}");
    }
}

#[test]
fn a_pong_that_nobody_asked_for_confirms_nothing() {
    let (_, stack, mut client) = connected(Dialect::Smoltcp, options());
    stack.say(b"PONG\r\nPONG\r\n");
    assert_eq!(client.next(WAIT).unwrap(), None);
    stack.peer(|peer| peer.is_mute = true);
    publish(&mut client, b"x").unwrap();
    assert_eq!(kind(client.flush(WAIT / 2)), Kind::Timeout);
}

#[test]
fn an_answered_ping_is_no_loss_however_late_it_is_looked_for() {
    for dialect in DIALECTS {
        let (clock, stack, mut client) = connected(dialect, options());
        for _ in 0..3 {
            clock.pass(Duration::from_secs(11));
            stack.peer(|peer| peer.is_mute = true);
            publish(&mut client, b"x").unwrap();
            stack.say(b"PONG\r\n");
            clock.pass(Duration::from_secs(1));
            publish(&mut client, b"x").unwrap();
            stack.peer(|peer| peer.is_mute = false);
            client.flush(WAIT).unwrap();
        }
        assert_eq!(stack.connects(), 1);
    }
}

/// A connect takes longer than each of its waits.
#[test]
fn a_subscriber_that_only_polls_connects_again() {
    for wait in [Duration::ZERO, Duration::from_millis(1)] {
        let (clock, stack, mut client) = connected(Dialect::Smoltcp, options());
        subscribe(&mut client);
        stack.set(Faults {
            connect: Connect::After(20),
            ..Faults::default()
        });
        stack.cut(Cut::Reset);
        let mut lost = 0;
        let connects = stack.connects();
        for _ in 0..100 {
            clock.pass(Duration::from_millis(20));
            match clock.within(WAIT + wait, || client.next(wait)) {
                Ok(message) => assert_eq!(message, None),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Disconnected);
                    lost += 1;
                }
            }
        }
        assert_eq!((lost, stack.connects()), (1, connects + 1));
        publish(&mut client, b"again").unwrap();
        assert_eq!(next_body(&mut client), b"again");
    }
}

#[test]
fn a_dead_link_is_found_by_pings() {
    for dialect in DIALECTS {
        let (clock, stack, mut client) = connected(dialect, options());
        subscribe(&mut client);
        assert_eq!(
            client.next(LONG).unwrap(),
            None,
            "answered pings are no loss"
        );
        let connects = stack.connects();
        stack.cut(Cut::Silence);
        let started = clock.now();
        assert_eq!(kind(client.next(LONG)), Kind::Disconnected);
        let taken = clock.now() - started;
        assert!(taken <= Duration::from_millis(30_100), "{taken:?}");
        assert_eq!(client.next(WAIT).unwrap(), None);
        assert_eq!(stack.connects(), connects + 1);
    }
}

#[test]
fn the_end_of_the_stream_is_noticed_at_once() {
    for dialect in DIALECTS {
        let (clock, stack, mut client) = connected(dialect, options());
        subscribe(&mut client);
        assert_eq!(client.next(WAIT).unwrap(), None);
        stack.cut(Cut::Close);
        let lost = clock.within(Duration::ZERO, || client.next(LONG));
        assert_eq!(kind(lost), Kind::Disconnected, "{dialect:?}");
    }
}

#[test]
fn the_platform_waits_while_data_flows() {
    for dialect in DIALECTS {
        let (clock, stack, mut client) = connected(dialect, options());
        subscribe(&mut client);
        publish(&mut client, &bytes(1_000_000)).unwrap();
        assert!(next_body(&mut client) == bytes(1_000_000));
        stack.say(&b"MSG a 1 1\r\nx\r\n".repeat(1000));
        for _ in 0..1000 {
            assert_eq!(next_body(&mut client), b"x");
        }
        assert!(clock.most_moved() <= 4096 + 512, "{}", clock.most_moved());
    }
}

#[test]
fn pings_of_the_server_are_answered() {
    let (_, stack, mut client) = connected(Dialect::Std, options());
    stack.say(b"PING\r\nPING\r\n");
    assert_eq!(client.next(WAIT).unwrap(), None);
    assert_eq!(stack.peer(|peer| peer.count("PONG")), 2);
}

#[test]
fn a_new_connection_has_the_old_subscriptions() {
    for dialect in DIALECTS {
        let (_, stack, mut client) = connected(dialect, options());
        let ended = client.subscribe("ended", None).unwrap();
        let id = subscribe(&mut client);
        client.subscribe("work.*", Some("group")).unwrap();
        client.unsubscribe(ended).unwrap();
        stack.cut(Cut::Reset);
        assert_eq!(kind(client.next(WAIT)), Kind::Disconnected);
        assert_eq!(client.next(WAIT).unwrap(), None, "told once");
        let lines = stack.peer(|peer| peer.lines[1..].to_vec());
        assert_eq!(lines, ["SUB a 2", "SUB work.* group 3", "PING"]);
        publish(&mut client, b"back").unwrap();
        let message = client.next(WAIT).unwrap().unwrap();
        assert_eq!(
            (message.subscription, &*message.payload),
            (id, &b"back"[..])
        );
        client.flush(WAIT).unwrap();
        client.reconnect().unwrap();
        assert_eq!(kind(client.next(WAIT)), Kind::Disconnected);
        publish(&mut client, b"again").unwrap();
        assert_eq!(next_body(&mut client), b"again");
        client.close();
        assert_eq!(stack.free(), 2);
        client.connect().unwrap();
        assert_eq!(
            stack.peer(|peer| peer.count("SUB a 2")),
            0,
            "closed is closed"
        );
    }
}

#[test]
fn reconnecting_is_tried_with_pauses_until_the_time_is_over() {
    let (clock, stack, _) = connected(Dialect::Std, options());
    let options = options().connect_timeout(Duration::from_secs(5));
    let mut client = NatsClient::new(stack.clone(), clock.clone(), options);
    stack.set(with(Faults::default(), Connect::Refused));
    let limit = Duration::from_secs(5);
    // After 50, 100, 200, 400 and 800 ms, and then every second, or up to half of it earlier.
    let mut tried = |call: fn(&mut Client, Duration) -> Result<(), BrokerError>| {
        let before = stack.attempts();
        let failed = clock.within(limit, || call(&mut client, limit));
        assert_eq!(kind(failed), Kind::Unreachable);
        stack.attempts() - before
    };
    let rounds = tried(|client, _| client.reconnect());
    assert!((9..=14).contains(&rounds), "{rounds}");
    // The pauses are long by now.
    let rounds = tried(|client, limit| client.next(limit).map(drop));
    assert!((5..=10).contains(&rounds), "{rounds}");
    stack.set(with(Faults::default(), Connect::After(100)));
    client.reconnect().unwrap();
}

#[test]
fn an_unconfirmed_publish_is_not_passed_over() {
    let (_, stack, mut client) = connected(Dialect::Smoltcp, options());
    publish(&mut client, b"maybe lost").unwrap();
    stack.cut(Cut::Reset);
    // It has no subscriptions, so it has missed nothing.
    assert_eq!(client.next(WAIT).unwrap(), None);
    assert_eq!(kind(client.flush(WAIT)), Kind::Disconnected);
    client.flush(WAIT).unwrap();
    publish(&mut client, b"maybe lost").unwrap();
    stack.cut(Cut::Reset);
    let error = publish(&mut client, b"not sent").unwrap_err();
    assert_eq!(error.kind(), Kind::Disconnected);
    assert!(error.is_not_sent());
    publish(&mut client, b"x").unwrap();
    client.flush(WAIT).unwrap();
    // Nothing is unconfirmed: the connection is renewed without a word.
    for cut in [Cut::Reset, Cut::Close] {
        stack.cut(cut);
        publish(&mut client, b"y").unwrap();
        client.flush(WAIT).unwrap();
    }
    let published = stack.peer(|peer| peer.published.clone());
    assert_eq!(published[2..], [b"x", b"y", b"y"]);
}

#[test]
fn the_servers_limit_may_change() {
    let (_, stack, mut client) = connected(Dialect::Std, options());
    assert_eq!(client.max_payload(), 1_048_576);
    stack.say(b"INFO {\"max_payload\":3}\r\n");
    client.flush(WAIT).unwrap();
    let (len, limit) = (4, 3);
    assert_eq!(
        kind(publish(&mut client, b"four")),
        Kind::TooLarge { len, limit }
    );
    publish(&mut client, b"abc").unwrap();
    assert_eq!(stack.peer(|peer| peer.published.len()), 1);
}

#[test]
fn what_cannot_be_connected_to_is_told() {
    let with_info = |info: &str, greeting: &[u8]| {
        let (clock, stack) = world(Dialect::Std);
        stack.peer(|peer| {
            peer.info = info.to_string();
            peer.greeting = greeting.to_vec();
        });
        client(&stack, &clock).connect().unwrap_err()
    };
    let tls = with_info("{\"tls_required\":true}", b"");
    assert_eq!(tls.kind(), Kind::InvalidOption);
    assert!(tls.to_string().contains("TLS"), "{tls}");
    let unauthorized = with_info("{}", b"-ERR 'Authorization Violation'\r\n");
    assert_eq!(unauthorized.kind(), Kind::Unauthorized);
    let full = with_info("{}", b"-ERR 'maximum connections exceeded'\r\n");
    assert_eq!(full.kind(), Kind::Unreachable);
    assert_eq!(with_info("[]", b"").kind(), Kind::Protocol);
    let (clock, stack) = world(Dialect::Std);
    for url in ["tls://10.0.0.1", "nats://", "nats://name"] {
        let options = NatsOptions::new(url);
        let mut client = NatsClient::new(stack.clone(), clock.clone(), options);
        assert_eq!(kind(client.connect()), Kind::InvalidOption, "{url}");
    }
}

#[test]
fn names_are_looked_up() {
    let (clock, stack) = world(Dialect::Smoltcp);
    let options = NatsOptions::new("me:secret@name").connect_timeout(WAIT);
    let client = NatsClient::new(stack.clone(), clock.clone(), options);
    let mut client = client.with_dns();
    assert_eq!(
        kind(clock.within(WAIT, || client.connect())),
        Kind::Unreachable
    );
    for (calls, found) in [(1000, false), (10, true)] {
        let dns = Some(calls);
        stack.set(Faults {
            dns,
            ..Faults::default()
        });
        let connected = clock.within(WAIT, || client.connect());
        assert_eq!(connected.is_ok(), found, "{connected:?}");
    }
    assert!(stack.peer(|peer| peer.lines[0].contains("\"user\":\"me\",\"pass\":\"secret\"")));
    assert!(!format!("{client:?}").contains("secret"));
}

/// The server would go on sending what nobody reads.
#[test]
fn a_subscription_ends_at_the_server_too() {
    for dialect in DIALECTS {
        let (_, stack, mut client) = connected(dialect, options());
        let id = subscribe(&mut client);
        client.unsubscribe(id).unwrap();
        client.flush(WAIT).unwrap();
        let unsubscribed =
            stack.peer(|peer| peer.lines.iter().any(|line| line.starts_with("UNSUB ")));
        assert!(unsubscribed, "{dialect:?}");
    }
}

#[test]
fn headers_are_asked_for_where_the_server_has_them() {
    for (info, expected) in [
        (
            "{\"headers\":true}",
            "\"headers\":true,\"no_responders\":true",
        ),
        ("{}", "\"headers\":false,\"no_responders\":false"),
    ] {
        let (clock, stack) = world(Dialect::Std);
        stack.peer(|peer| peer.info = info.to_string());
        client(&stack, &clock).connect().unwrap();
        let connect = stack.peer(|peer| peer.lines[0].clone());
        assert!(connect.contains(expected), "{info}: {connect}");
    }
}

/// Lines that a client sends while it waits go byte by byte where the stack takes no more.
#[test]
fn pings_are_answered_in_pieces() {
    for dialect in DIALECTS {
        let (_, stack, mut client) = connected(dialect, options());
        stack.set(Faults {
            max_send: 1,
            ..Faults::default()
        });
        stack.say(b"PING\r\nPING\r\n");
        assert!(client.next(WAIT).unwrap().is_none());
        assert_eq!(stack.peer(|peer| peer.count("PONG")), 2, "{dialect:?}");
        client.flush(WAIT).unwrap();
    }
}
