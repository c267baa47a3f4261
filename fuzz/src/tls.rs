//! Any messages from a server of TLS, in the clear and encrypted by the keys that both sides have.

use std::time::Duration;

use natsbridge::adapter::{Platform, PlatformError};
use natsbridge::board::{Tls, TlsOptions};
use natsbridge::net::{Transport, TransportError, TransportErrorKind};
use peak_alloc::PeakAlloc;

use crate::server::{HANDSHAKE, Item, Script, ScriptedTls, Spoil};
use crate::still::{Still, check_words};

/// A root, and a certificate for `localhost` with its key: for tests alone, valid for a hundred years.
const ROOT: &[u8] = include_bytes!("tls/root.der");
const CERTIFICATE: &[u8] = include_bytes!("tls/server.der");
const KEY: &[u8] = include_bytes!("tls/server.key");
/// 2030-03-17.
const NOW: u64 = 1_900_000_000_000;
const WAIT: Duration = Duration::from_millis(20);
/// What a connection may take of the heap, beside three times what the server sends.
const MOST_HEAP: usize = 96 << 10;

/// A machine with a time at which the certificates are valid.
struct Board(Still);

impl Platform for &Board {
    fn unix_millis(&self) -> u64 {
        NOW
    }
    fn uptime_millis(&self) -> u64 {
        self.0.uptime_millis()
    }
    fn wait(&self, duration: Duration) {
        self.0.wait(duration);
    }
    fn random(&self, out: &mut [u8]) -> Result<(), PlatformError> {
        self.0.random(out)
    }
}

/// A connection to the server.
struct Memory<'a> {
    server: ScriptedTls<'a>,
    to_client: Vec<u8>,
    board: &'a Board,
}

impl Transport for Memory<'_> {
    fn open(&mut self, _: &str, _: u16, _: Duration) -> Result<(), TransportError> {
        Ok(())
    }
    fn try_send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let answer = self.server.sent(bytes);
        self.to_client.extend(answer);
        Ok(bytes.len())
    }
    fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, TransportError> {
        let count = out.len().min(self.to_client.len());
        out[..count].copy_from_slice(&self.to_client[..count]);
        self.to_client.drain(..count);
        Ok(count)
    }
    fn wait(&mut self, duration: Duration) {
        self.board.wait(duration);
    }
    fn close(&mut self) {}
    fn is_open(&self) -> bool {
        true
    }
}

/// Reads a script: a byte for each item, and what that needs.
fn script(mut input: &[u8]) -> Script<'_> {
    let mut script = Script {
        items: Vec::new(),
        chain: vec![CERTIFICATE.to_vec()],
        key: KEY.to_vec(),
        spoil: None,
        cut: usize::MAX,
    };
    while let [kind, rest @ ..] = input {
        input = rest;
        let mut take = |most: u8| {
            let count = rest.first().copied().unwrap_or(0).min(most);
            let rest = rest.get(1..).unwrap_or_default();
            let (taken, left) = rest.split_at(usize::from(count).min(rest.len()));
            input = left;
            taken
        };
        script.items.push(match kind {
            0 => Item::Hello,
            1 => Item::Extensions,
            2 => Item::Certificate,
            3 => Item::Verify,
            4 => Item::Finished,
            5 => Item::CertificateRequest,
            6 => Item::NoCertificate,
            7 => Item::Ticket,
            8 => Item::KeyUpdate,
            9 => Item::CloseNotify,
            10 => {
                script.items.extend(HANDSHAKE);
                continue;
            }
            11 => Item::Data(take(255)),
            12 => {
                let at = take(3)
                    .iter()
                    .fold(0, |at, byte| at << 8 | usize::from(*byte));
                let (item, in_transcript) = (script.items.len(), at % 2 == 0);
                script.spoil = Some(Spoil {
                    item,
                    at: at / 2,
                    in_transcript,
                });
                continue;
            }
            13 => {
                let at = take(2)
                    .iter()
                    .fold(0, |at, byte| at << 8 | usize::from(*byte));
                script.cut = at;
                continue;
            }
            14 => Item::Record(22, take(255), 0),
            15 => Item::Record(22, take(255), 100),
            kind => Item::Record(kind - 16, take(255), 0),
        });
    }
    script
}

/// Whether the server has shown its certificate, signed and finished, in this order, and no bit was changed.
fn has_proved(script: &Script<'_>) -> bool {
    let place = |wanted| script.items.iter().position(|item| *item == wanted);
    let places = HANDSHAKE.map(place);
    places.iter().all(Option::is_some) && places.is_sorted()
}

/// A handshake, and reading what follows.
///
/// # Panics
/// If it succeeds with a server that has not proved who it is, does not end, or takes too much memory.
pub fn shake_hands(input: &[u8], heap: &PeakAlloc) {
    let board = Board(Still::default());
    let script = script(input);
    let has_proved = has_proved(&script);
    let memory = Memory {
        server: ScriptedTls::new(script),
        to_client: Vec::new(),
        board: &board,
    };
    let options = TlsOptions::new(ROOT).expect("a root");
    let mut tls = Tls::new(memory, &board, options);
    heap.reset_peak_usage();
    let before = heap.current_usage();
    match tls.start_tls("localhost", WAIT) {
        Ok(()) => {
            assert!(has_proved, "a server is accepted that has proved nothing");
            read(&mut tls);
        }
        Err(error) => {
            check_words(&error);
            assert!(error.kind() != TransportErrorKind::Unsupported, "{error}");
        }
    }
    tls.close();
    let taken = heap.peak_usage().saturating_sub(before);
    assert!(
        taken <= MOST_HEAP + 8 * 700 * input.len().max(1),
        "{taken} bytes of heap"
    );
    assert!(board.0.waited() <= 2 * WAIT, "it does not end");
}

fn read(tls: &mut impl Transport) {
    let mut out = [0; 100];
    let mut silent = 0;
    while silent < 3 {
        match tls.try_receive(&mut out) {
            Ok(0) => silent += 1,
            Ok(_) => {}
            Err(error) => return check_words(&error),
        }
        tls.try_send(b"PING\r\n").ok();
    }
}
