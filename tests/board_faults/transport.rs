//! `board::Nal`: addresses, the end of the stream, and what it gives back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use natsbridge::board::Nal;
use natsbridge::net::{Transport, TransportError, TransportErrorKind as Kind};

use crate::common::faulty_stack::{
    Clock, Connect, Cut, DIALECTS, Dialect, Faults, FaultyStack, Peer,
};

const WAIT: Duration = Duration::from_millis(200);
const V4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7);
const V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 7);

/// Says hello, and repeats what it hears.
struct Echo;

impl Peer for Echo {
    fn connected(&mut self) -> Vec<u8> {
        b"hello".to_vec()
    }
    fn sent(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
}

type Stack = FaultyStack<Echo>;

fn world(dialect: Dialect, faults: Faults) -> (Clock, Stack, Nal<Stack, Clock>) {
    let clock = Clock::default();
    let stack = FaultyStack::new(dialect, &clock, Echo);
    stack.set(faults);
    let nal = Nal::new(stack.clone(), clock.clone());
    (clock, stack, nal)
}

fn open(faults: Faults) -> Result<Option<SocketAddr>, TransportError> {
    let (clock, stack, nal) = world(Dialect::Std, faults);
    let mut nal = nal.with_dns();
    let opened = clock.within(WAIT, || nal.open("name", 7, WAIT));
    assert_eq!(nal.is_open(), opened.is_ok());
    assert_eq!(stack.free(), 2 - usize::from(opened.is_ok()));
    opened.map(|()| stack.remote())
}

fn named(v4: bool, v6: bool) -> Faults {
    Faults {
        dns: v4.then_some(0),
        dns_v6: v6,
        ..Faults::default()
    }
}

#[test]
fn a_name_has_its_ipv4_address_tried_first() {
    assert_eq!(open(named(true, true)).unwrap(), Some(V4));
    assert_eq!(open(named(true, false)).unwrap(), Some(V4));
    assert_eq!(open(named(false, true)).unwrap(), Some(V6));
    let error = open(named(false, false)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("NoSuchName"), "{error}");
}

#[test]
fn an_ipv4_address_that_fails_is_followed_by_the_ipv6_address() {
    for connect in [Connect::Refused, Connect::Never] {
        let faults = |v6| Faults {
            connect,
            ..named(true, v6)
        };
        assert_eq!(open(faults(true)).unwrap(), Some(V6), "{connect:?}");
        let error = open(faults(false)).unwrap_err();
        let expected = match connect {
            Connect::Never => Kind::Timeout,
            _ => Kind::Failed,
        };
        assert_eq!(error.kind(), expected);
        let both = Faults {
            connect_v6: connect,
            ..faults(true)
        };
        let error = open(both).unwrap_err();
        assert_eq!(error.kind(), expected);
        for family in ["IPv4: ", "IPv6: "] {
            assert!(error.to_string().contains(family), "{error}");
        }
    }
}

#[test]
fn an_ipv4_address_alone_has_all_of_the_time() {
    let faults = Faults {
        connect: Connect::After(150),
        ..named(true, false)
    };
    assert_eq!(open(faults).unwrap(), Some(V4));
}

#[test]
fn addresses_are_not_looked_up() {
    for (host, ip) in [("127.0.0.1", V4), ("[::1]", V6), ("::1", V6)] {
        let (_, stack, mut nal) = world(Dialect::Smoltcp, Faults::default());
        nal.open(host, 7, WAIT).unwrap();
        assert_eq!(stack.remote(), Some(ip));
    }
    let (_, stack, mut nal) = world(Dialect::Smoltcp, named(true, true));
    let error = nal.open("name", 7, WAIT).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("with_dns"), "{error}");
    assert_eq!(stack.names(), [""; 0]);
}

#[test]
fn names_over_255_bytes_are_not_looked_up() {
    for (len, is_asked) in [(254, true), (255, true), (256, false)] {
        let (_, stack, nal) = world(Dialect::Std, named(true, true));
        let opened = nal.with_dns().open(&"x".repeat(len), 7, WAIT);
        assert_eq!(stack.names().len(), usize::from(is_asked), "{len}");
        let kind = opened.map_err(|error| error.kind());
        assert_eq!(
            kind,
            if is_asked {
                Ok(())
            } else {
                Err(Kind::NotFound)
            }
        );
    }
}

#[test]
fn the_end_of_the_stream_is_no_silence() {
    for dialect in DIALECTS {
        let (_, stack, mut nal) = world(dialect, Faults::default());
        let mut out = [0; 9];
        nal.open("127.0.0.1", 7, WAIT).unwrap();
        assert_eq!(nal.try_receive(&mut out).unwrap(), 5);
        assert_eq!(nal.try_receive(&mut out).unwrap(), 0);
        assert_eq!(nal.try_receive(&mut []).unwrap(), 0, "no room is no end");
        stack.say(b"bye");
        stack.cut(Cut::Close);
        assert_eq!(nal.try_receive(&mut out).unwrap(), 3, "what came before");
        let end = nal.try_receive(&mut out).unwrap_err();
        assert_eq!(end.kind(), Kind::Closed, "{dialect:?}");
        // The stack is known now: a new connection need not be silent first.
        nal.open("127.0.0.1", 7, WAIT).unwrap();
        stack.cut(Cut::Close);
        assert_eq!(nal.try_receive(&mut out).unwrap(), 5);
        let end = nal.try_receive(&mut out).unwrap_err();
        assert_eq!(end.kind(), Kind::Closed, "{dialect:?}");
        nal.close();
        assert!(!nal.is_open());
        for error in [
            nal.try_receive(&mut out).unwrap_err(),
            nal.try_send(b"x").unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::Closed);
        }
    }
}

#[test]
fn tls_is_not_supported_by_default() {
    let (_, _, mut nal) = world(Dialect::Std, Faults::default());
    nal.open("127.0.0.1", 7, WAIT).unwrap();
    let error = nal.start_tls("name", WAIT).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[test]
fn sockets_are_given_back_once() {
    let (_, stack, mut nal) = world(Dialect::Smoltcp, Faults::default());
    for _ in 0..10 {
        // Opening closes what was open; the fake panics if a socket is closed twice.
        Transport::open(&mut &mut nal, "127.0.0.1", 7, WAIT).unwrap();
        assert_eq!(stack.free(), 1);
    }
    nal.close();
    nal.close();
    assert_eq!(stack.free(), 2);
    nal.open("127.0.0.1", 7, WAIT).unwrap();
    drop(nal);
    assert_eq!(stack.free(), 2);
}
