//! The W5500 stack of `examples/rp2040-w5500` over an imitated chip whose sockets are the operating system's,
//! against real servers. Nothing here shows what a real chip does beyond its data sheet.

mod chip;
#[path = "../common/mod.rs"]
mod common;
#[path = "../../examples/rp2040-w5500/src/w5500.rs"]
#[allow(dead_code, reason = "the board needs more of it")]
mod w5500;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use chip::Chip;
use common::nats_server::NatsServer;
use common::web_server::WebServer;
use common::{LONG, bytes};
use natsbridge::adapter::Platform;
use natsbridge::board::embedded_nal::{TcpClientStack, TcpError, TcpErrorKind, nb};
use natsbridge::board::{HttpClient, NatsClient, NatsOptions};
use natsbridge::host::StdPlatform;
use natsbridge::{HttpPut, contract};
use w5500::{ChipConfig, ChipError, SOCKETS, TcpSocket, W5500};

const CONFIG: ChipConfig = ChipConfig {
    mac: [2, 0, 0, 0, 0, 1],
    address: Ipv4Addr::LOCALHOST,
    mask: Ipv4Addr::new(255, 0, 0, 0),
    gateway: Ipv4Addr::LOCALHOST,
    seed: 7,
};

fn stack() -> W5500<Chip> {
    stack_over(Chip::new())
}

fn stack_over(chip: Chip) -> W5500<Chip> {
    W5500::new(chip, &CONFIG, uptime_ms).expect("the chip is there")
}

fn uptime_ms() -> u64 {
    StdPlatform.uptime_millis()
}

/// Repeats a call that would block, within a long time.
fn block<T>(mut call: impl FnMut() -> nb::Result<T, ChipError>) -> Result<T, ChipError> {
    let deadline = uptime_ms() + LONG.as_millis() as u64;
    loop {
        match call() {
            Ok(done) => return Ok(done),
            Err(nb::Error::Other(error)) => return Err(error),
            Err(nb::Error::WouldBlock) => assert!(uptime_ms() < deadline, "it blocks for ever"),
        }
    }
}

/// A connection, and its other end.
fn connected(stack: &mut W5500<Chip>) -> (TcpSocket, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut socket = stack.socket().unwrap();
    block(|| stack.connect(&mut socket, address)).unwrap();
    let (peer, _) = listener.accept().unwrap();
    (socket, peer)
}

#[test]
fn nats_client() {
    let server = NatsServer::start();
    let options = NatsOptions::new(&server.url());
    let client = || NatsClient::new(stack(), StdPlatform, options.clone());
    contract::broker(client, "w5500");
}

#[test]
fn http_put() {
    let server = WebServer::start();
    let http = || HttpClient::new(stack(), StdPlatform);
    let put = HttpPut::new(http(), StdPlatform, &server.url());
    contract::file_server(&mut put.unwrap(), true);
    contract::http_client(&mut http(), &server.url());
}

/// The trap of the crate `w5500`: it reports the end first, and what came before it is lost.
#[test]
fn what_came_before_the_end_is_received() {
    let mut stack = stack();
    let (mut socket, mut peer) = connected(&mut stack);
    let sent = bytes(10_000);
    let all = sent.clone();
    let writer = std::thread::spawn(move || peer.write_all(&all));
    let mut received: Vec<u8> = Vec::new();
    let mut part = [0; 700];
    let end = loop {
        match block(|| stack.receive(&mut socket, &mut part)) {
            Ok(len) => received.extend(&part[..len]),
            Err(error) => break error,
        }
    };
    writer.join().unwrap().unwrap();
    assert_eq!(end.kind(), TcpErrorKind::PipeClosed);
    assert!(received == sent, "{} bytes", received.len());
    stack.close(socket).unwrap();
}

#[test]
fn a_connect_that_is_refused_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut stack = stack();
    let mut socket = stack.socket().unwrap();
    let refused = block(|| stack.connect(&mut socket, address));
    assert_eq!(refused, Err(ChipError::Refused));
    stack.close(socket).unwrap();
    let v6: SocketAddr = "[::1]:4222".parse().unwrap();
    let mut socket = stack.socket().unwrap();
    let refused = block(|| stack.connect(&mut socket, v6));
    assert_eq!(refused, Err(ChipError::Ipv4Only));
}

/// The crate `w5500` waits in `send` for an interrupt.
#[test]
fn a_send_to_a_peer_that_does_not_read_blocks_no_longer_than_the_caller_wants() {
    let chip = Chip::new();
    let mut stack = stack_over(chip.clone());
    let (mut socket, mut peer) = connected(&mut stack);
    let sent = bytes(10_000_000);
    let mut len = 0;
    while !chip.is_stuck() {
        match stack.send(&mut socket, &sent[len..]) {
            Ok(count) => len += count,
            Err(error) => assert_eq!(error, nb::Error::WouldBlock),
        }
        assert!(len < sent.len(), "the operating system takes all of it");
    }
    // It goes on when the peer reads, with nothing lost or sent twice.
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).map(|_| received)
    });
    let end = len + 20_000;
    while len < end {
        len += block(|| stack.send(&mut socket, &sent[len..end])).unwrap();
    }
    stack.close(socket).unwrap();
    assert!(reader.join().unwrap().unwrap() == sent[..end]);
}

#[test]
fn a_send_after_the_connection_was_lost_is_an_error() {
    let chip = Chip::new();
    let mut stack = stack_over(chip.clone());
    let (mut socket, peer) = connected(&mut stack);
    chip.lose_connections();
    let error = block(|| stack.send(&mut socket, b"PING\r\n")).unwrap_err();
    assert_eq!(error.kind(), TcpErrorKind::PipeClosed);
    stack.close(socket).unwrap();
    drop(peer);
}

#[test]
fn every_socket_comes_back_to_the_pool() {
    let mut stack = stack();
    for _ in 0..3 {
        let connections: Vec<_> = (0..SOCKETS).map(|_| connected(&mut stack)).collect();
        assert_eq!(stack.socket().unwrap_err(), ChipError::NoSocket);
        for (socket, peer) in connections {
            drop(peer);
            stack.close(socket).unwrap();
        }
    }
}

#[test]
fn a_peer_that_does_not_close_is_waited_for_half_a_second() {
    let mut stack = stack();
    let (socket, _peer) = connected(&mut stack);
    let started = uptime_ms();
    stack.close(socket).unwrap();
    let took = uptime_ms() - started;
    assert!(
        (w5500::CLOSE_MS..5 * w5500::CLOSE_MS).contains(&took),
        "{took} ms"
    );
}

#[test]
fn a_chip_that_is_not_there_is_an_error() {
    let absent = W5500::new(chip::Absent, &CONFIG, uptime_ms);
    assert_eq!(absent.err(), Some(ChipError::NotResponding));
}
