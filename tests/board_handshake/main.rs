//! `board::Tls` against a server that does what no server should, and certificates that must not be
//! accepted: an error of the right kind within the deadline, and nothing is sent.

mod certificates;
#[path = "../common/mod.rs"]
mod common;
mod messages;
mod real;
mod secrets;
mod server;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::certificates::Certificates;
use common::faulty_stack::{Clock, Dialect, FaultyStack, Peer};
use natsbridge::adapter::{Platform, PlatformError};
use natsbridge::board::{Nal, Tls, TlsOptions};
use natsbridge::net::{Transport, TransportError};
use server::{Item, Script, ScriptedTls};

const WAIT: Duration = Duration::from_millis(500);

/// A clock of deadlines that stands still between waits, and the time of certificates.
#[derive(Clone)]
pub struct Board {
    clock: Clock,
    unix_millis: u64,
}

impl Board {
    /// So many days after today.
    fn in_days(days: i64) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let millis = now.as_millis() as i64 + days * 24 * 3_600_000;
        Self {
            clock: Clock::default(),
            unix_millis: millis as u64,
        }
    }
}

impl Platform for Board {
    fn unix_millis(&self) -> u64 {
        self.unix_millis
    }
    fn uptime_millis(&self) -> u64 {
        self.clock.uptime_millis()
    }
    fn wait(&self, duration: Duration) {
        self.clock.wait(duration);
    }
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        self.clock.random(out)
    }
}

type Stack = FaultyStack<ScriptedTls<'static>>;
type Client = Tls<Nal<Stack, Board>, Board>;

impl Peer for ScriptedTls<'_> {
    fn connected(&mut self) -> Vec<u8> {
        Vec::new()
    }
    fn sent(&mut self, bytes: &[u8]) -> Vec<u8> {
        ScriptedTls::sent(self, bytes)
    }
}

/// A server with these of the certificates, and the key of the first.
fn script(certificates: &Certificates, chain: &[&str], items: &[Item<'static>]) -> Script<'static> {
    Script {
        items: items.to_vec(),
        chain: chain.iter().map(|name| certificates.der(name)).collect(),
        key: private_key(&certificates.text(&format!("{}.key", chain[0]))),
        spoil: None,
        cut: usize::MAX,
    }
}

/// The 32 bytes in PKCS #8, in PEM.
fn private_key(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    let der = STANDARD.decode(lines.collect::<String>()).expect("PEM");
    let at = der.windows(2).position(|pair| pair == [4, 32]);
    let at = at.expect("a key of P-256") + 2;
    der[at..at + 32].to_vec()
}

/// A client that trusts `ca`, connected to a server with this script; TLS is not started.
fn world(certificates: &Certificates, board: &Board, script: &Script<'static>) -> (Stack, Client) {
    let server = ScriptedTls::new(script.clone());
    let stack = FaultyStack::new(Dialect::Smoltcp, &board.clock, server);
    let options = TlsOptions::new(&certificates.der("ca")).expect("a root");
    let plain = Nal::new(stack.clone(), board.clone());
    let mut tls = Tls::new(plain, board.clone(), options);
    tls.open("10.0.0.1", 4222, WAIT).expect("it connects");
    (stack, tls)
}

/// The handshake as `name`; where it fails, nothing can be sent, and nothing but an alert was.
fn shake(
    (stack, tls): &mut (Stack, Client),
    board: &Board,
    name: &str,
) -> Result<(), TransportError> {
    let shaken = board.clock.within(WAIT, || tls.start_tls(name, WAIT));
    if shaken.is_err() {
        assert!(tls.try_send(b"secret").is_err(), "nothing can be sent");
        assert!(tls.try_receive(&mut [0; 9]).is_err(), "nothing is read");
        tls.close();
        let heard = stack.peer(|server| server.heard_later.clone());
        // The alert, in the clear or encrypted, behind a change of ciphers that means nothing.
        assert!(heard.len() <= 6 + 24, "{} bytes were sent", heard.len());
    }
    shaken
}
