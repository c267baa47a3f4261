//! A server that sends the messages of a handshake that a test asks for: in any order, any number, spoiled
//! or cut. What depends on the messages before (signatures, `Finished`) is right for those.

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey};

use crate::secrets::{Sealer, Secret, derive, expand, extract, hmac, record_head, sha256};

/// What a server sends, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    Hello,
    Extensions,
    CertificateRequest,
    Certificate,
    /// A certificate message without certificates.
    NoCertificate,
    Verify,
    Finished,
    /// A message of this type with nothing in it.
    Empty(u8),
    /// A message of this type with this content.
    Message(u8, &'a [u8]),
    Ticket,
    KeyUpdate,
    /// A record of this kind (0: no kind) with this content and so many bytes of padding.
    Record(u8, &'a [u8], usize),
    /// Data of the application.
    Data(&'a [u8]),
    CloseNotify,
}

pub const HANDSHAKE: [Item<'static>; 5] = [
    Item::Hello,
    Item::Extensions,
    Item::Certificate,
    Item::Verify,
    Item::Finished,
];

/// A bit of a message that is changed.
#[derive(Debug, Clone, Copy)]
pub struct Spoil {
    /// Which of the items.
    pub item: usize,
    /// Which byte of it.
    pub at: usize,
    /// Whether `Finished` is right for the message that is sent, or for the right one.
    pub in_transcript: bool,
}

#[derive(Clone)]
pub struct Script<'a> {
    pub items: Vec<Item<'a>>,
    /// Certificates in DER, that of the server first.
    pub chain: Vec<Vec<u8>>,
    /// The key that signs.
    pub key: Vec<u8>,
    pub spoil: Option<Spoil>,
    /// So many bytes are sent, and no more.
    pub cut: usize,
}

pub struct ScriptedTls<'a> {
    script: Script<'a>,
    pub heard: Vec<u8>,
    has_answered: bool,
    /// Bytes that came behind the ClientHello.
    pub heard_later: Vec<u8>,
}

impl<'a> ScriptedTls<'a> {
    pub fn new(script: Script<'a>) -> Self {
        Self {
            script,
            heard: Vec::new(),
            has_answered: false,
            heard_later: Vec::new(),
        }
    }

    /// What is answered to what the client sends.
    pub fn sent(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.has_answered {
            self.heard_later.extend_from_slice(bytes);
            return Vec::new();
        }
        self.heard.extend_from_slice(bytes);
        let Some(len) = self.heard.get(3..5) else {
            return Vec::new();
        };
        let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
        if self.heard.len() < 5 + len {
            return Vec::new();
        }
        self.has_answered = true;
        let mut answer = Answer::new(&self.script, &self.heard[5..5 + len]);
        let items = self.script.items.iter().enumerate();
        items.for_each(|(place, item)| answer.send(place, *item));
        answer.out.truncate(self.script.cut);
        answer.out
    }
}

/// What is sent, as it grows.
struct Answer<'s> {
    script: &'s Script<'s>,
    out: Vec<u8>,
    transcript: Vec<u8>,
    session_id: Vec<u8>,
    client_key: PublicKey,
    /// Behind `Hello`: what is derived from the exchange of keys, the server's secret, and what encrypts.
    keys: Option<(Secret, Secret, Sealer)>,
    /// Behind `Finished`.
    application: Option<Sealer>,
}

impl<'s> Answer<'s> {
    fn new(script: &'s Script<'s>, hello: &[u8]) -> Self {
        // Type and length, version, random bytes; then what has a length of its own.
        let (session_id, rest) = split(&hello[38..], 1);
        let (_, rest) = split(rest, 2);
        let (_, rest) = split(rest, 1);
        let (mut extensions, _) = split(rest, 2);
        let mut client_key = None;
        while let Some(kind) = extensions.get(..2) {
            let (content, rest) = split(&extensions[2..], 2);
            if kind == [0, 51] {
                client_key = Some(&content[content.len() - 65..]);
            }
            extensions = rest;
        }
        let client_key = client_key.expect("the client offers a key");
        Self {
            script,
            out: Vec::new(),
            transcript: hello.to_vec(),
            session_id: session_id.to_vec(),
            client_key: PublicKey::from_sec1_bytes(client_key).expect("a key of P-256"),
            keys: None,
            application: None,
        }
    }

    fn send(&mut self, place: usize, item: Item<'_>) {
        match item {
            Item::Hello => self.hello(place),
            Item::Extensions => self.message(place, 8, &[0, 0]),
            Item::CertificateRequest => {
                self.message(place, 13, &[0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
            }
            Item::Certificate => {
                let entries = self
                    .script
                    .chain
                    .iter()
                    .map(|der| [&prefixed(der, 3)[..], &[0, 0]].concat());
                let entries = entries.collect::<Vec<_>>().concat();
                self.message(place, 11, &[&[0][..], &prefixed(&entries, 3)].concat());
            }
            Item::NoCertificate => self.message(place, 11, &[0, 0, 0, 0]),
            Item::Verify => {
                let key = SigningKey::from_slice(&self.script.key).expect("a key");
                let mut signed = vec![b' '; 64];
                signed.extend_from_slice(b"TLS 1.3, server CertificateVerify\0");
                signed.extend_from_slice(&sha256(&self.transcript));
                let signature: Signature = key.sign(&signed);
                let signature = prefixed(signature.to_der().as_bytes(), 2);
                self.message(place, 15, &[&[4, 3][..], &signature].concat());
            }
            Item::Finished => self.finished(place),
            Item::Empty(kind) => self.message(place, kind, &[]),
            Item::Message(kind, body) => self.message(place, kind, body),
            Item::Ticket => {
                let ticket = [&[0; 8][..], &[1, 7], &[0, 2, 7, 7], &[0, 0]].concat();
                self.message(place, 4, &ticket);
            }
            Item::KeyUpdate => self.message(place, 24, &[0]),
            Item::Record(kind, text, padding) => self.record(kind, text, padding),
            Item::Data(text) => self.record(23, text, 0),
            Item::CloseNotify => self.record(21, &[1, 0], 0),
        }
    }

    fn hello(&mut self, place: usize) {
        let secret = SecretKey::from_slice(&[0x42; 32]).expect("a key");
        let point = secret.public_key().to_sec1_point(false);
        let share = [&[0, 23][..], &prefixed(point.as_bytes(), 2)].concat();
        let extensions = [&[0, 43, 0, 2, 3, 4, 0, 51][..], &prefixed(&share, 2)].concat();
        let id = prefixed(&self.session_id, 1);
        let body = [
            &[3, 3][..],
            &[7; 32],
            &id,
            &[0x13, 3, 0],
            &prefixed(&extensions, 2),
        ]
        .concat();
        self.message(place, 2, &body);
        let shared =
            p256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), self.client_key.as_affine());
        let early = extract(&[0; 32], &[0; 32]);
        let salt = derive(&early, "derived", b"");
        let handshake = extract(&salt, &shared.raw_secret_bytes()[..]);
        let server = derive(&handshake, "s hs traffic", &self.transcript);
        self.keys = Some((handshake, server, Sealer::new(&server)));
    }

    fn finished(&mut self, place: usize) {
        let Some((handshake, server, _)) = &self.keys else {
            return self.message(place, 20, &[0; 32]);
        };
        let (handshake, server) = (*handshake, *server);
        let key = expand(&server, "finished", b"", 32)
            .try_into()
            .expect("32 bytes");
        let verify = hmac(&key, &sha256(&self.transcript));
        self.message(place, 20, &verify);
        let master = extract(&derive(&handshake, "derived", b""), &[0; 32]);
        let server = derive(&master, "s ap traffic", &self.transcript);
        self.application = Some(Sealer::new(&server));
    }

    fn message(&mut self, place: usize, kind: u8, body: &[u8]) {
        let right = [&[kind][..], &prefixed(body, 3)].concat();
        let mut sent = right.clone();
        let spoil = self.script.spoil.filter(|spoil| spoil.item == place);
        if let Some(Spoil { at, .. }) = spoil {
            let at = at % sent.len();
            sent[at] ^= 1 << (at % 8);
        }
        let is_spoiled = spoil.is_some_and(|spoil| spoil.in_transcript);
        self.transcript
            .extend_from_slice(if is_spoiled { &sent } else { &right });
        self.record(22, &sent, 0);
    }

    fn record(&mut self, kind: u8, text: &[u8], padding: usize) {
        // RFC 8446 section 5.1: the longest that a record may hold.
        if text.len() > 16_384 {
            let (start, rest) = text.split_at(16_384);
            self.record(kind, start, padding);
            return self.record(kind, rest, padding);
        }
        let sealer = match (&mut self.application, &mut self.keys) {
            (Some(sealer), _) | (None, Some((_, _, sealer))) => sealer,
            (None, None) => {
                self.out.extend_from_slice(&record_head(kind, text.len()));
                self.out.extend_from_slice(text);
                return;
            }
        };
        let sealed = sealer.seal(kind, text, padding);
        self.out.extend_from_slice(&sealed);
    }
}

/// A field whose length stands before it, in so many bytes; and what follows.
fn split(bytes: &[u8], len_len: usize) -> (&[u8], &[u8]) {
    let (len, rest) = bytes.split_at(len_len);
    let len = len
        .iter()
        .fold(0, |len, byte| len << 8 | usize::from(*byte));
    rest.split_at(len)
}

fn prefixed(bytes: &[u8], len_len: usize) -> Vec<u8> {
    let len = (bytes.len() as u32).to_be_bytes();
    [&len[4 - len_len..], bytes].concat()
}
