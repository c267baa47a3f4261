//! One TCP stack for several tasks.

use alloc::sync::Arc;
use core::net::SocketAddr;

use embedded_nal::TcpClientStack;
use freertos_next::{Duration, Mutex, MutexGuard, MutexNormal};

use crate::network::Network;
use crate::stack::{StackError, TcpSocket};

/// The stack behind a mutex that is held for one call at a time, so no task waits for another's answer: only
/// `close` may hold it longer, for as long as the stack lets it.
#[derive(Clone)]
pub struct SharedNetwork(Arc<Mutex<Network>>);

impl SharedNetwork {
    /// # Panics
    ///
    /// When the kernel has no memory for a mutex.
    pub fn new(network: Network) -> Self {
        Self(Arc::new(Mutex::new(network).expect("room for a mutex")))
    }

    fn lock(&self) -> MutexGuard<'_, Network, MutexNormal> {
        self.0
            .lock(Duration::infinite())
            .expect("a wait without an end does not time out")
    }
}

impl TcpClientStack for SharedNetwork {
    type TcpSocket = TcpSocket;
    type Error = StackError;

    fn socket(&mut self) -> Result<TcpSocket, StackError> {
        self.lock().socket()
    }

    fn connect(
        &mut self,
        socket: &mut TcpSocket,
        remote: SocketAddr,
    ) -> nb::Result<(), StackError> {
        self.lock().connect(socket, remote)
    }

    fn send(&mut self, socket: &mut TcpSocket, bytes: &[u8]) -> nb::Result<usize, StackError> {
        self.lock().send(socket, bytes)
    }

    fn receive(
        &mut self,
        socket: &mut TcpSocket,
        buffer: &mut [u8],
    ) -> nb::Result<usize, StackError> {
        self.lock().receive(socket, buffer)
    }

    fn close(&mut self, socket: TcpSocket) -> Result<(), StackError> {
        self.lock().close(socket)
    }
}
