//! A TCP connection, with or without TLS, that one thread reads and others write.

use alloc::sync::Arc;
#[cfg(feature = "tls")]
use alloc::vec::Vec;
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(feature = "tls")]
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// How long one write may block before its deadline is looked at.
const WRITE_SLICE: Duration = Duration::from_millis(100);

#[cfg(feature = "tls")]
type Tls = Arc<Mutex<rustls::ClientConnection>>;

/// A connection that is being made, used by one thread.
pub(super) struct Stream {
    tcp: TcpStream,
    deadline: Instant,
    #[cfg(feature = "tls")]
    tls: Option<rustls::ClientConnection>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, deadline: Instant) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(Self {
            tcp,
            deadline,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Upgrades the connection.
    #[cfg(feature = "tls")]
    pub(super) fn start_tls(&mut self, mut tls: rustls::ClientConnection) -> io::Result<()> {
        let mut tcp = WithDeadline(&self.tcp, self.deadline);
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        self.tls = Some(tls);
        Ok(())
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut tcp = WithDeadline(&self.tcp, self.deadline);
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return rustls::Stream::new(tls, &mut tcp).read(out);
        }
        tcp.read(out)
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut tcp = WithDeadline(&self.tcp, self.deadline);
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            let mut stream = rustls::Stream::new(tls, &mut tcp);
            stream.write_all(bytes)?;
            return stream.flush();
        }
        tcp.write_all(bytes)
    }

    /// Two halves, for two threads, without the deadline of the connect.
    pub(super) fn split(self) -> io::Result<(ReadHalf, WriteHalf)> {
        self.tcp.set_read_timeout(None)?;
        self.tcp.set_write_timeout(Some(WRITE_SLICE))?;
        let tcp = Arc::new(self.tcp);
        #[cfg(feature = "tls")]
        let tls = self.tls.map(|tls| Arc::new(Mutex::new(tls)));
        let read_half = ReadHalf {
            tcp: Arc::clone(&tcp),
            #[cfg(feature = "tls")]
            tls: tls.clone().map(|tls| Decrypting {
                tls,
                raw: std::vec![0; 16 << 10],
                start: 0,
                end: 0,
            }),
        };
        let write_half = WriteHalf {
            tcp,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "tls")]
            encrypted: Vec::new(),
        };
        Ok((read_half, write_half))
    }
}

/// A connection each of whose reads and writes ends by a deadline.
struct WithDeadline<'s>(&'s TcpStream, Instant);

impl WithDeadline<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.1.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

/// Unix says `WouldBlock` where a time limit is over, Windows `TimedOut`.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for WithDeadline<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.set_read_timeout(Some(self.left()?))?;
        self.0.read(out).map_err(timed_out)
    }
}

impl Write for WithDeadline<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set_write_timeout(Some(self.left()?))?;
        self.0.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the reader thread has. A read blocks until something comes or the connection is shut down.
pub(super) struct ReadHalf {
    tcp: Arc<TcpStream>,
    #[cfg(feature = "tls")]
    tls: Option<Decrypting>,
}

impl ReadHalf {
    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.read(&self.tcp, out);
        }
        read_some(&self.tcp, out)
    }

    /// Whether a read ends at once with `WouldBlock` if nothing is there. Meanwhile writes do too.
    pub(super) fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()> {
        self.tcp.set_nonblocking(is_nonblocking)
    }
}

fn read_some(mut tcp: &TcpStream, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match tcp.read(out) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Records that came and are not decrypted yet. The socket is read without holding the lock, so that
/// a read that blocks keeps nobody from writing.
#[cfg(feature = "tls")]
struct Decrypting {
    tls: Tls,
    raw: Vec<u8>,
    start: usize,
    end: usize,
}

#[cfg(feature = "tls")]
impl Decrypting {
    fn read(&mut self, tcp: &TcpStream, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.decrypt(out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            self.end = read_some(tcp, &mut self.raw)?;
            self.start = 0;
            if self.end == 0 {
                return Ok(0);
            }
        }
    }

    /// Decrypts what is there; `WouldBlock` if that is not enough.
    fn decrypt(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut tls = super::lock::lock(&self.tls);
        loop {
            match tls.reader().read(out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.start < self.end => {}
                done => return done,
            }
            let mut records = &self.raw[self.start..self.end];
            self.start += tls.read_tls(&mut records)?;
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

/// What writers share, one at a time.
pub(super) struct WriteHalf {
    tcp: Arc<TcpStream>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    #[cfg(feature = "tls")]
    encrypted: Vec<u8>,
}

impl WriteHalf {
    /// # Errors
    /// Of kind [`ErrorKind::TimedOut`] at the limit; part of `parts` may be written then.
    pub(super) fn write_all(
        &mut self,
        parts: &mut [IoSlice<'_>],
        limit: WriteLimit,
    ) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            for mut rest in parts.iter().map(|part| &**part) {
                while !rest.is_empty() {
                    self.encrypted.clear();
                    // The lock is not held while the socket is written.
                    let mut tls = super::lock::lock(tls);
                    let count = tls.writer().write(rest)?;
                    while tls.wants_write() {
                        tls.write_tls(&mut self.encrypted)?;
                    }
                    drop(tls);
                    write_all(&self.tcp, &mut [IoSlice::new(&self.encrypted)], limit)?;
                    rest = &rest[count..];
                }
            }
            return Ok(());
        }
        write_all(&self.tcp, parts, limit)
    }

    /// A handle that can end the connection, whatever its halves are doing.
    pub(super) fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.tcp))
    }
}

/// How long a write may take.
#[derive(Clone, Copy)]
pub(super) struct WriteLimit {
    /// When all must be written.
    pub(super) deadline: Instant,
    /// How long the peer may read nothing at all.
    pub(super) idle: Duration,
}

fn write_all(
    mut tcp: &TcpStream,
    mut parts: &mut [IoSlice<'_>],
    limit: WriteLimit,
) -> io::Result<()> {
    let mut progress_at = Instant::now();
    while parts.iter().any(|part| !part.is_empty()) {
        match tcp.write_vectored(parts) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                IoSlice::advance_slices(&mut parts, count);
                progress_at = Instant::now();
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock | ErrorKind::TimedOut
                    if Instant::now() < limit.deadline && progress_at.elapsed() < limit.idle =>
                {
                    // At once, while a caller reads.
                    thread::yield_now();
                }
                _ => return Err(timed_out(error)),
            },
        }
    }
    Ok(())
}

/// Ends a connection.
pub(super) struct Handle(Arc<TcpStream>);

impl Handle {
    pub(super) fn shut_down(&self) {
        // Whoever reads or writes notices; if it has ended already, all is well.
        self.0.shutdown(Shutdown::Both).ok();
    }
}
