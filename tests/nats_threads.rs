//! What connections leave behind. Alone in its process, whose threads it counts.

mod common;

use std::time::{Duration, Instant};

use common::contract::{LONG, bytes};
use common::nats_server::NatsServer;
use common::proxy::{Direction, Event, Fault, Faults, Proxy};
use natsbridge::host::{NatsClient, NatsOptions};
use natsbridge::{Broker, Outgoing, SliceBody};

const CONNECTIONS: usize = 50;

fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux's /proc");
    tasks.count()
}

/// The connection breaks within a message, and the flush behind it is never answered.
#[test]
fn lost_connections_leave_no_threads() {
    let server = NatsServer::start();
    let cut = Faults::only(Direction::ToServer, Fault::After(1000, Event::Close));
    let mut proxies = Vec::new();
    proxies.resize_with(CONNECTIONS, || Proxy::start(server.port(), cut));
    let before = threads();
    for proxy in &proxies {
        let options = NatsOptions::new(&format!("nats://{}", proxy.address()));
        let mut client = NatsClient::new(options);
        client.subscribe("a", None).unwrap();
        client
            .publish(&Outgoing::new("a"), &mut SliceBody::new(&bytes(2000)))
            .unwrap();
        client.flush(LONG).unwrap_err();
        client.connect().unwrap();
        drop(client);
    }
    let deadline = Instant::now() + LONG;
    while threads() > before {
        assert!(Instant::now() < deadline, "{} of {before}", threads());
        std::thread::sleep(Duration::from_millis(10));
    }
}
