//! A transport that says what it was asked for, in which order, and whose TLS does nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use natsbridge::net::{Transport, TransportError, TransportErrorKind};

/// What happened, in words: `open HOST:PORT`, `tls NAME`, and `send` with the first word that was sent.
pub type Log = Rc<RefCell<Vec<String>>>;

pub struct FakeTls<T> {
    inner: T,
    pub log: Log,
    /// How a handshake fails.
    pub failure: Option<TransportErrorKind>,
    /// What is sent goes into a buffer of so many bytes, one byte at each flush.
    pub buffer: usize,
    held: VecDeque<u8>,
}

impl<T: Transport> FakeTls<T> {
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            log: Log::default(),
            failure: None,
            buffer: 0,
            held: VecDeque::new(),
        }
    }

    fn note(&self, what: String) {
        self.log.borrow_mut().push(what);
    }
}

impl<T: Transport> Transport for FakeTls<T> {
    fn open(&mut self, host: &str, port: u16, timeout: Duration) -> Result<(), TransportError> {
        self.note(format!("open {host}:{port}"));
        self.inner.open(host, port, timeout)
    }

    fn start_tls(&mut self, server_name: &str, _: Duration) -> Result<(), TransportError> {
        self.note(format!("tls {server_name}"));
        match self.failure {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }

    fn try_send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        if !bytes.is_empty() {
            let text = String::from_utf8_lossy(bytes);
            let word = text.split_whitespace().next().unwrap_or_default();
            self.note(format!("send {word}"));
        }
        if self.buffer == 0 {
            return self.inner.try_send(bytes);
        }
        let count = bytes.len().min(self.buffer - self.held.len());
        self.held.extend(&bytes[..count]);
        self.try_flush()?;
        Ok(count)
    }

    fn try_flush(&mut self) -> Result<bool, TransportError> {
        if let Some(byte) = self.held.front() {
            let sent = self.inner.try_send(&[*byte])?;
            self.held.drain(..sent);
        }
        Ok(self.held.is_empty())
    }

    fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, TransportError> {
        self.inner.try_receive(out)
    }

    fn wait(&mut self, duration: Duration) {
        self.inner.wait(duration);
    }

    fn close(&mut self) {
        self.inner.close();
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }
}
