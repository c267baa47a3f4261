//! TCP, and TLS over it, as the clients of NATS and HTTP need it: the trait [`Transport`].
//!
//! [`board::Nal`](crate::board::Nal) is the one over an [`embedded_nal`] stack. Write another to use a
//! stack of a different kind, or to put TLS on top of one: every method but `start_tls` can be passed
//! on.
//!
//! ```
//! use core::time::Duration;
//! use natsbridge::net::{Transport, TransportError};
//!
//! /// Counts what is sent over another transport.
//! struct Counted<T> {
//!     inner: T,
//!     sent: u64,
//! }
//!
//! impl<T: Transport> Transport for Counted<T> {
//!     fn open(&mut self, host: &str, port: u16, timeout: Duration) -> Result<(), TransportError> {
//!         self.inner.open(host, port, timeout)
//!     }
//!     fn start_tls(&mut self, server_name: &str, timeout: Duration) -> Result<(), TransportError> {
//!         self.inner.start_tls(server_name, timeout)
//!     }
//!     fn try_send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
//!         let count = self.inner.try_send(bytes)?;
//!         self.sent += count as u64;
//!         Ok(count)
//!     }
//!     fn try_flush(&mut self) -> Result<bool, TransportError> {
//!         self.inner.try_flush()
//!     }
//!     fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, TransportError> {
//!         self.inner.try_receive(out)
//!     }
//!     fn wait(&mut self, duration: Duration) {
//!         self.inner.wait(duration);
//!     }
//!     fn close(&mut self) {
//!         self.inner.close();
//!     }
//!     fn is_open(&self) -> bool {
//!         self.inner.is_open()
//!     }
//! }
//! ```

mod connection;
pub(crate) mod deadline;
mod error;

use core::ops::DerefMut;
use core::time::Duration;

pub(crate) use self::connection::{Connection, Moved};
pub use self::error::{TransportError, TransportErrorKind};

/// At most one connection at a time, which moves bytes without blocking.
///
/// A client polls: it calls [`try_send`](Transport::try_send) and
/// [`try_receive`](Transport::try_receive) until its own deadline, and [`wait`](Transport::wait) whenever
/// nothing moved. Only [`open`](Transport::open) and [`start_tls`](Transport::start_tls) block, for as
/// long as they are told.
pub trait Transport {
    /// Connects to `host`, which is an IP address (IPv6 with or without brackets) or a name to be looked
    /// up, within `timeout`. If the name has addresses of both families, one that fails is followed by
    /// the other. A connection that is open is closed first.
    ///
    /// # Errors
    /// Of kind [`Timeout`](TransportErrorKind::Timeout), [`NotFound`](TransportErrorKind::NotFound),
    /// [`Unsupported`](TransportErrorKind::Unsupported) (names cannot be looked up here) or
    /// [`Failed`](TransportErrorKind::Failed). Nothing is open then.
    fn open(&mut self, host: &str, port: u16, timeout: Duration) -> Result<(), TransportError>;

    /// Makes a TLS connection of the one that is open, within `timeout`. `Ok` only if the server has
    /// proved to be `server_name`: what is sent from then on is encrypted, and nothing but the
    /// handshake was sent before.
    ///
    /// # Errors
    /// [`Unsupported`](TransportErrorKind::Unsupported) unless a transport has TLS: that is what this
    /// method does by default. Otherwise [`Certificate`](TransportErrorKind::Certificate) or the kinds
    /// of `open`. The caller closes the connection then.
    fn start_tls(&mut self, server_name: &str, timeout: Duration) -> Result<(), TransportError> {
        let _ = (server_name, timeout);
        let message = "this transport has no TLS";
        Err(TransportError::new(
            TransportErrorKind::Unsupported,
            message,
        ))
    }

    /// Writes as many of `bytes` as go without blocking, and returns their number: 0 if none do now.
    ///
    /// # Errors
    /// The connection is lost. What came before may still be received.
    fn try_send(&mut self, bytes: &[u8]) -> Result<usize, TransportError>;

    /// Writes, without blocking, what [`try_send`](Transport::try_send) took and a buffer of the transport
    /// still holds, such as the rest of a TLS record. Returns whether all of it is written: always by
    /// default, for transports without such a buffer. The others write it in `try_send` and
    /// `try_receive` too.
    ///
    /// # Errors
    /// The connection is lost.
    fn try_flush(&mut self) -> Result<bool, TransportError> {
        Ok(true)
    }

    /// Reads what has come, up to the length of `out`, and returns the number of bytes.
    ///
    /// 0 always means that nothing has come *yet*. The end of the stream is an error of kind
    /// [`Closed`](TransportErrorKind::Closed), once all that came before it has been read.
    ///
    /// # Errors
    /// The connection has ended or is lost.
    fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, TransportError>;

    /// Lets time pass because nothing moves: about `duration`. A board polls its stack here, or yields
    /// to its RTOS. A `duration` of zero comes while data flows: it asks for no pause, only for what
    /// else has to be done regularly; see [`Platform::wait`](crate::adapter::Platform::wait).
    fn wait(&mut self, duration: Duration);

    /// Closes the connection, if there is one. Nothing is reported: it is of no use any more.
    fn close(&mut self);

    /// Whether a connection was opened and not closed since. It may be lost all the same.
    fn is_open(&self) -> bool;
}

/// `&mut T`, `Box<T>` and other pointers to a transport are transports.
impl<P> Transport for P
where
    P: DerefMut,
    P::Target: Transport,
{
    fn open(&mut self, host: &str, port: u16, timeout: Duration) -> Result<(), TransportError> {
        (**self).open(host, port, timeout)
    }
    fn start_tls(&mut self, server_name: &str, timeout: Duration) -> Result<(), TransportError> {
        (**self).start_tls(server_name, timeout)
    }
    fn try_send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        (**self).try_send(bytes)
    }
    fn try_flush(&mut self) -> Result<bool, TransportError> {
        (**self).try_flush()
    }
    fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, TransportError> {
        (**self).try_receive(out)
    }
    fn wait(&mut self, duration: Duration) {
        (**self).wait(duration);
    }
    fn close(&mut self) {
        (**self).close();
    }
    fn is_open(&self) -> bool {
        (**self).is_open()
    }
}
