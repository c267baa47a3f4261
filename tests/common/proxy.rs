//! A TCP proxy that does to connections what a bad network does to them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

/// What no protocol says, with the end of a line: a subject with other bytes in it would be another
/// subject to a server, which confirms what nobody listens to.
const GARBAGE: &[u8] = b"\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\r\n\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe";

/// The way of bytes through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub enum Fault {
    #[default]
    None,
    /// Each byte goes on its own.
    Bytewise,
    /// Each chunk comes so much later.
    Delay(Duration),
    /// The event comes right behind so many bytes.
    After(usize, Event),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The connection is reset (RST), in both directions.
    Reset,
    /// The connection is closed (FIN), in both directions.
    Close,
    /// This direction ends (FIN), and what comes further is lost. The other one stays open.
    HalfClose,
    /// Bytes of nobody's appear between the others.
    Garbage,
    /// What comes further is lost, and nobody is told.
    Stall,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub to_server: Fault,
    pub to_client: Fault,
}

impl Faults {
    pub fn only(direction: Direction, fault: Fault) -> Self {
        let mut faults = Self::default();
        *faults.of(direction) = fault;
        faults
    }

    fn of(&mut self, direction: Direction) -> &mut Fault {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

/// Listens on a free port of the loopback until it is dropped; that closes the connections, and
/// ends the threads.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_stopped: AtomicBool,
    /// For the first connection. Those after it are passed through.
    faults: Mutex<Faults>,
    connections: Mutex<Vec<Weak<Connection>>>,
    lost: Lost,
}

/// Bytes that were kept back, in both directions of all connections.
#[derive(Default)]
struct Lost {
    bytes: Mutex<usize>,
    changed: Condvar,
}

impl Proxy {
    /// In front of a server at this port of the loopback. `faults` are for the first connection.
    pub fn start(upstream: u16, faults: Faults) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            faults: Mutex::new(faults),
            ..Shared::default()
        });
        let of_acceptor = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&listener, upstream, &of_acceptor));
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keeps everything back from now on, on the connections that there are.
    pub fn stall(&self, direction: Direction) {
        *self.shared.lost.bytes.lock().unwrap() = 0;
        for connection in self.shared.connections() {
            *connection.faults.lock().unwrap().of(direction) = Fault::After(0, Event::Stall);
        }
    }

    /// Waits until bytes have come that had to be kept back; whether they did in time.
    pub fn has_kept_back(&self, wait: Duration) -> bool {
        let lost = &self.shared.lost;
        let bytes = lost.bytes.lock().unwrap();
        let waited = lost
            .changed
            .wait_timeout_while(bytes, wait, |bytes| *bytes == 0);
        *waited.unwrap().0 > 0
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor. It makes no more connections, so these are all.
        TcpStream::connect(self.address).ok();
        for connection in self.shared.connections() {
            connection.close();
        }
        let acceptor = self.acceptor.take().map(JoinHandle::join);
        assert!(thread::panicking() || acceptor.is_some_and(|ended| ended.is_ok()));
    }
}

impl Shared {
    fn connections(&self) -> Vec<Arc<Connection>> {
        let connections = self.connections.lock().unwrap();
        connections.iter().filter_map(Weak::upgrade).collect()
    }

    /// Connects to the server for a client; `None` if nobody is there.
    fn connect(&self, client: TcpStream, upstream: u16) -> Option<Arc<Connection>> {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).ok()?;
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        let connection = Arc::new(Connection {
            client,
            server,
            faults: Mutex::new(std::mem::take(&mut self.faults.lock().unwrap())),
            is_reset: AtomicBool::new(false),
        });
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(&connection));
        // Whoever stops the proxy sets this before it closes the connections in the list.
        let is_stopped = self.is_stopped.load(Ordering::SeqCst);
        (!is_stopped).then_some(connection)
    }
}

fn accept(listener: &TcpListener, upstream: u16, shared: &Shared) {
    thread::scope(|threads| {
        for client in listener.incoming().map_while(Result::ok) {
            if shared.is_stopped.load(Ordering::SeqCst) {
                break;
            }
            let Some(connection) = shared.connect(client, upstream) else {
                continue;
            };
            let other = Arc::clone(&connection);
            threads.spawn(move || pump(&connection, Direction::ToServer, &shared.lost));
            threads.spawn(move || pump(&other, Direction::ToClient, &shared.lost));
        }
    });
}

/// A client's connection and the one to the server. The last of the two pumps closes both.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    faults: Mutex<Faults>,
    is_reset: AtomicBool,
}

fn pump(connection: &Connection, direction: Direction, lost: &Lost) {
    let (mut from, to) = connection.ends(direction);
    let mut buffer = [0; 16 * 1024];
    let mut passed = 0;
    let forwarded = loop {
        match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                let chunk = &buffer[..count];
                if let Err(error) = connection.forward(direction, chunk, &mut passed, lost) {
                    break Err(error);
                }
            }
            Err(error) => break Err(error),
        }
    };
    if connection.is_reset.load(Ordering::SeqCst) {
        return;
    }
    match forwarded {
        // The end of one direction is no end of the other.
        Ok(()) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => connection.close(),
    }
}

impl Connection {
    fn ends(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::ToServer => (&self.client, &self.server),
            Direction::ToClient => (&self.server, &self.client),
        }
    }

    fn forward(
        &self,
        direction: Direction,
        chunk: &[u8],
        passed: &mut usize,
        lost: &Lost,
    ) -> io::Result<()> {
        let (_, mut to) = self.ends(direction);
        let fault = *self.faults.lock().unwrap().of(direction);
        match fault {
            Fault::None => to.write_all(chunk),
            Fault::Bytewise => chunk.chunks(1).try_for_each(|byte| to.write_all(byte)),
            Fault::Delay(delay) => {
                thread::sleep(delay);
                to.write_all(chunk)
            }
            Fault::After(limit, event) => {
                let before = chunk.len().min(limit.saturating_sub(*passed));
                to.write_all(&chunk[..before])?;
                *passed += before;
                if *passed < limit {
                    return Ok(());
                }
                self.strike(direction, event, &chunk[before..], lost)
            }
        }
    }

    fn strike(
        &self,
        direction: Direction,
        event: Event,
        rest: &[u8],
        lost: &Lost,
    ) -> io::Result<()> {
        let (_, mut to) = self.ends(direction);
        match event {
            Event::Reset => self.reset(),
            Event::Close => self.close(),
            Event::HalfClose => to.shutdown(Shutdown::Write)?,
            Event::Garbage => {
                *self.faults.lock().unwrap().of(direction) = Fault::None;
                to.write_all(GARBAGE)?;
                to.write_all(rest)?;
            }
            Event::Stall => {
                *lost.bytes.lock().unwrap() += rest.len();
                lost.changed.notify_all();
            }
        }
        Ok(())
    }

    fn close(&self) {
        // An error means that it is closed already.
        self.client.shutdown(Shutdown::Both).ok();
        self.server.shutdown(Shutdown::Both).ok();
    }

    /// Lets both pumps end without a FIN; then the sockets are closed, which resets them.
    fn reset(&self) {
        self.is_reset.store(true, Ordering::SeqCst);
        for socket in [&self.client, &self.server] {
            SockRef::from(socket).set_linger(Some(Duration::ZERO)).ok();
            socket.shutdown(Shutdown::Read).ok();
        }
    }
}
