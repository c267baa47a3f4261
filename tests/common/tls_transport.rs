//! TLS that a program brings itself: rustls over another transport.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use natsbridge::net::{Transport, TransportError, TransportErrorKind as Kind};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

pub struct TlsTransport<T> {
    inner: T,
    config: Arc<ClientConfig>,
    tls: Option<ClientConnection>,
}

impl<T: Transport> TlsTransport<T> {
    pub fn new(inner: T, config: Arc<ClientConfig>) -> Self {
        Self {
            inner,
            config,
            tls: None,
        }
    }

    /// Moves what can be moved without blocking, in both directions.
    fn pump(&mut self) -> Result<(), TransportError> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        let mut wire = Wire(&mut self.inner, None);
        let moved = (|| {
            while tls.wants_write() && tls.write_tls(&mut wire)? > 0 {}
            while tls.wants_read() && tls.read_tls(&mut wire)? > 0 {
                tls.process_new_packets().map_err(io::Error::other)?;
            }
            io::Result::Ok(())
        })();
        match (wire.1, moved) {
            (Some(error), _) => Err(error),
            (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

fn failed(error: io::Error) -> TransportError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    let kind = match cause {
        Some(rustls::Error::InvalidCertificate(_)) => Kind::Certificate,
        _ => Kind::Failed,
    };
    TransportError::new(kind, "TLS failed").with_source(error)
}

/// The transport as rustls uses it, and what it fails with.
struct Wire<'a, T>(&'a mut T, Option<TransportError>);

impl<T> Wire<'_, T> {
    fn moved(&mut self, moved: Result<usize, TransportError>) -> io::Result<usize> {
        match moved {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(count) => Ok(count),
            Err(error) => {
                self.1 = Some(error);
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }
}

impl<T: Transport> io::Read for Wire<'_, T> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let received = self.0.try_receive(out);
        self.moved(received)
    }
}

impl<T: Transport> io::Write for Wire<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.try_send(bytes);
        self.moved(sent)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Transport> Transport for TlsTransport<T> {
    fn open(&mut self, host: &str, port: u16, timeout: Duration) -> Result<(), TransportError> {
        self.close();
        self.inner.open(host, port, timeout)
    }

    fn start_tls(&mut self, server_name: &str, timeout: Duration) -> Result<(), TransportError> {
        let name = ServerName::try_from(server_name.to_string());
        let name = name.map_err(|error| failed(io::Error::other(error)))?;
        let tls = ClientConnection::new(Arc::clone(&self.config), name);
        let tls = tls.map_err(|error| failed(io::Error::other(error)))?;
        let deadline = Instant::now() + timeout;
        self.tls = Some(tls);
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            if Instant::now() > deadline {
                return Err(Kind::Timeout.into());
            }
            self.pump()?;
            self.inner.wait(Duration::from_millis(1));
        }
        Ok(())
    }

    fn try_send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        if self.tls.is_none() {
            return self.inner.try_send(bytes);
        }
        // One buffer full at a time.
        if !self.try_flush()? {
            return Ok(0);
        }
        let tls = self.tls.as_mut().expect("seen above");
        let taken = tls.writer().write(bytes).map_err(failed)?;
        self.pump()?;
        Ok(taken)
    }

    fn try_flush(&mut self) -> Result<bool, TransportError> {
        self.pump()?;
        Ok(!self.tls.as_ref().is_some_and(|tls| tls.wants_write()))
    }

    fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, TransportError> {
        if self.tls.is_none() {
            return self.inner.try_receive(out);
        }
        // What came before an error is read first.
        let pumped = self.pump();
        let tls = self.tls.as_mut().expect("seen above");
        match (tls.reader().read(out), pumped) {
            (Ok(0), Ok(())) if !out.is_empty() => Err(Kind::Closed.into()),
            (Ok(count @ 1..), _) => Ok(count),
            (_, Err(error)) => Err(error),
            _ => Ok(0),
        }
    }

    fn wait(&mut self, duration: Duration) {
        self.inner.wait(duration);
    }

    fn close(&mut self) {
        if let Some(mut tls) = self.tls.take() {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut Wire(&mut self.inner, None));
        }
        self.inner.close();
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }
}
