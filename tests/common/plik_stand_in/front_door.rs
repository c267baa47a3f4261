//! The connections of the stand-in's clients.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

/// The listening socket, and a relay of bytes to tiny_http behind it. tiny_http keeps its sockets
/// to itself; owning these is what lets the stand-in break a download half-way, and stop so that
/// no client waits on a connection to a server that has gone.
pub(super) struct FrontDoor {
    pub(super) address: SocketAddr,
    behind: SocketAddr,
    is_closing: AtomicBool,
    /// By the address that tiny_http sees as the client's.
    connections: Mutex<HashMap<SocketAddr, Arc<Connection>>>,
}

impl FrontDoor {
    pub(super) fn new(address: SocketAddr, behind: SocketAddr) -> Self {
        Self {
            address,
            behind,
            is_closing: AtomicBool::new(false),
            connections: Mutex::default(),
        }
    }

    pub(super) fn connection(&self, peer: &SocketAddr) -> Option<Arc<Connection>> {
        self.connections().get(peer).cloned()
    }

    /// Runs until `close`, and ends only when every relay has.
    pub(super) fn relay_all(&self, listener: TcpListener) {
        thread::scope(|scope| {
            for client in listener.incoming() {
                if self.is_closing.load(Ordering::SeqCst) {
                    break;
                }
                let Ok((peer, connection)) = client.and_then(|client| self.open(client)) else {
                    continue;
                };
                let requests = Arc::clone(&connection);
                scope.spawn(move || requests.relay_requests());
                scope.spawn(move || {
                    connection.relay_answers();
                    self.connections().remove(&peer);
                });
            }
            // Only this thread adds connections: none is forgotten.
            self.connections()
                .values()
                .for_each(|connection| connection.close());
        });
    }

    fn open(&self, client: TcpStream) -> io::Result<(SocketAddr, Arc<Connection>)> {
        let server = TcpStream::connect(self.behind)?;
        let peer = server.local_addr()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let connection = Arc::new(Connection {
            client,
            server,
            forwarded: Mutex::new(0),
            progress: Condvar::new(),
        });
        self.connections().insert(peer, Arc::clone(&connection));
        Ok((peer, connection))
    }

    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Connection>>> {
        self.connections
            .lock()
            .expect("no thread panicked with the lock")
    }
}

pub(super) struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// How many bytes the client was sent; all there can be, once it is closed.
    forwarded: Mutex<u64>,
    progress: Condvar,
}

impl Connection {
    /// A client that has sent everything may still wait for its answer.
    fn relay_requests(&self) {
        let _ = io::copy(&mut &self.client, &mut &self.server);
        let _ = self.server.shutdown(Shutdown::Write);
    }

    fn relay_answers(&self) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = (&self.server).read(&mut buffer) {
            // Counted under the lock: whoever asks sees no byte sent but not counted.
            let mut forwarded = self.forwarded();
            if (&self.client).write_all(&buffer[..length]).is_err() {
                break;
            }
            *forwarded += length as u64;
            self.progress.notify_all();
        }
        self.close();
        *self.forwarded() = u64::MAX;
        self.progress.notify_all();
    }

    pub(super) fn forwarded(&self) -> MutexGuard<'_, u64> {
        self.forwarded
            .lock()
            .expect("no thread panicked with the lock")
    }

    pub(super) fn wait_until_forwarded(&self, goal: u64) {
        let waited = self
            .progress
            .wait_while(self.forwarded(), |bytes| *bytes < goal);
        drop(waited.expect("no thread panicked with the lock"));
    }

    pub(super) fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}
