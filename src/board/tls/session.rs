//! One TLS connection, sans-io: records that came, what they say, and records to be sent.

use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{ClientConfig, Error, version};

use super::failure::failed;
use super::options::TlsOptions;
use super::provider::provider;
use super::verifier::Verifier;
use crate::net::{TransportError, TransportErrorKind as Kind};

pub(super) struct Session {
    connection: UnbufferedClientConnection,
    /// Records as they came, of which the first `filled` bytes are used.
    input: Vec<u8>,
    filled: usize,
    /// What the server said; the first `read` bytes are read.
    plain: Vec<u8>,
    read: usize,
    /// Records to be sent; the first `sent` bytes are.
    output: Vec<u8>,
    sent: usize,
    send_buffer: usize,
    is_ready: bool,
    is_closed: bool,
}

/// The moment at which certificates must be valid.
#[derive(Debug)]
struct Now(UnixTime);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

impl Session {
    /// A session with the server of this name, whose certificate must be valid now.
    pub(super) fn new(
        options: &TlsOptions,
        server_name: &str,
        unix_millis: u64,
    ) -> Result<Self, TransportError> {
        let name = ServerName::try_from(server_name.to_string());
        let invalid = "the host cannot be the name of a certificate";
        let name = name.map_err(|_| TransportError::new(Kind::Certificate, invalid))?;
        let now = UnixTime::since_unix_epoch(Duration::from_millis(unix_millis));
        let config = ClientConfig::builder_with_details(Arc::new(provider()), Arc::new(Now(now)))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| failed(&error))?;
        let config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier(Arc::clone(&options.roots))));
        let mut config = config.with_no_client_auth();
        // Tickets would be kept in memory, and each handshake checks the certificate again.
        config.resumption = Resumption::disabled();
        let connection = UnbufferedClientConnection::new(Arc::new(config), name);
        Ok(Self {
            connection: connection.map_err(|error| failed(&error))?,
            input: zeroed(options.receive_buffer)?,
            filled: 0,
            plain: Vec::new(),
            read: 0,
            output: Vec::new(),
            sent: 0,
            send_buffer: options.send_buffer,
            is_ready: false,
            is_closed: false,
        })
    }

    /// Whether the server has proved who it is, and data may be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether the server has said that it sends nothing more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Where bytes that come next go. Empty only while there is plain text to be read.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.input[self.filled..]
    }

    /// How many bytes of records are in memory at most.
    pub(super) fn input_len(&self) -> usize {
        self.input.len()
    }

    /// Notes that so many bytes of [`room`](Self::room) have come.
    pub(super) fn received(&mut self, count: usize) {
        self.filled = self.filled.saturating_add(count).min(self.input.len());
    }

    /// Moves plain text into `out`, as much as there is.
    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        let rest = &self.plain[self.read..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        if self.read == self.plain.len() {
            // The memory is free until the next record comes.
            (self.plain, self.read) = (Vec::new(), 0);
        }
        count
    }

    pub(super) fn has_plain(&self) -> bool {
        self.read < self.plain.len()
    }

    /// Records that wait to be sent.
    pub(super) fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// Notes that so many bytes of [`output`](Self::output) are sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Takes in what has come, up to the first plain text.
    pub(super) fn process(&mut self) -> Result<(), TransportError> {
        self.advance(&mut None)
    }

    /// Encrypts as much of `bytes` as a record holds, behind what waits to be sent.
    pub(super) fn encrypt(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let count = bytes.len().min(self.send_buffer);
        let mut left = Some(&bytes[..count]);
        self.advance(&mut left)?;
        match left {
            None => Ok(count),
            Some(_) => Err(Kind::Closed.into()),
        }
    }

    /// Tells the server that nothing more is sent.
    pub(super) fn close(&mut self) {
        let (input, output) = (&mut self.input[..self.filled], &mut self.output);
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(input);
        if let Ok(ConnectionState::WriteTraffic(mut writer)) = state {
            append(output, |room| writer.queue_close_notify(room)).ok();
        }
    }

    /// Goes on until the server must say more, or has said something; with something to send until that is
    /// encrypted.
    fn advance(&mut self, to_send: &mut Option<&[u8]>) -> Result<(), TransportError> {
        loop {
            let (input, output) = (&mut self.input[..self.filled], &mut self.output);
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(input);
            let mut is_done = false;
            let mut failure = None;
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(output, |room| data.encode(room))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(record) = records.next_record() {
                        let record = record.map_err(|error| failed(&error))?;
                        discard = discard.saturating_add(record.discard);
                        reserve(&mut self.plain, record.payload.len())?;
                        self.plain.extend_from_slice(record.payload);
                    }
                    is_done = to_send.is_none();
                }
                Ok(ConnectionState::WriteTraffic(mut writer)) => {
                    self.is_ready = true;
                    if let Some(bytes) = to_send.take() {
                        append(output, |room| writer.encrypt(bytes, room))?;
                    }
                    is_done = true;
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    is_done = self.is_closed;
                    self.is_closed = true;
                }
                // In a handshake nothing can be sent.
                Ok(_) => is_done = true,
                Err(error) => failure = Some(error),
            }
            self.discard(discard);
            if let Some(error) = failure {
                return Err(self.fail(&error));
            }
            if is_done {
                return self.check_room();
            }
        }
    }

    /// Adds the alert that tells the server why, if there is one.
    fn fail(&mut self, error: &Error) -> TransportError {
        let input = &mut self.input[..self.filled];
        let status = self.connection.process_tls_records(input);
        if let Ok(ConnectionState::EncodeTlsData(mut alert)) = status.state {
            append(&mut self.output, |room| alert.encode(room)).ok();
        }
        failed(error)
    }

    fn discard(&mut self, count: usize) {
        let count = count.min(self.filled);
        self.input.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    /// A record that does not fit would be waited for in vain, and so would the rest of a message.
    fn check_room(&self) -> Result<(), TransportError> {
        if self.filled < self.input.len() || self.has_plain() {
            return Ok(());
        }
        let message =
            "a TLS record or a handshake message of the server is longer than `receive_buffer`";
        Err(TransportError::new(Kind::Failed, message))
    }
}

/// What writes a record into a slice says how long that must be if it is too short.
trait Short {
    fn required_len(&self) -> Option<usize>;
}

impl Short for EncodeError {
    fn required_len(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl Short for EncryptError {
    fn required_len(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::EncryptExhausted => None,
        }
    }
}

/// Has a record written behind `output`, which becomes as long as that takes.
fn append<E: Short>(
    output: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), TransportError> {
    let error = match write(&mut []) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let cannot = || TransportError::new(Kind::Failed, "a TLS record cannot be written");
    let len = error.required_len().ok_or_else(cannot)?;
    let start = output.len();
    reserve(output, len)?;
    output.resize(start + len, 0);
    let written = write(&mut output[start..]);
    output.truncate(start + written.as_ref().copied().unwrap_or(0).min(len));
    written.map(|_| ()).map_err(|_| cannot())
}

fn reserve(bytes: &mut Vec<u8>, len: usize) -> Result<(), TransportError> {
    bytes.try_reserve_exact(len).map_err(|_| no_memory())
}

fn zeroed(len: usize) -> Result<Vec<u8>, TransportError> {
    let mut bytes = Vec::new();
    reserve(&mut bytes, len)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

fn no_memory() -> TransportError {
    TransportError::new(Kind::Failed, "no memory for TLS")
}
