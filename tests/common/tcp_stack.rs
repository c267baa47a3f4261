//! This machine's TCP for boards' adapters, with Nagle's algorithm turned off as their documentation asks for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};

use embedded_nal::{AddrType, Dns, TcpClientStack, TcpError, TcpErrorKind, nb};
use natsbridge::board::embedded_nal;

#[derive(Debug)]
pub struct StackError(io::Error);

impl TcpError for StackError {
    fn kind(&self) -> TcpErrorKind {
        TcpErrorKind::Other
    }
}

fn nb_error(error: io::Error) -> nb::Error<StackError> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => nb::Error::WouldBlock,
        _ => nb::Error::Other(StackError(error)),
    }
}

fn stream(socket: &mut Option<TcpStream>) -> nb::Result<&mut TcpStream, StackError> {
    let not_connected = || nb_error(ErrorKind::NotConnected.into());
    socket.as_mut().ok_or_else(not_connected)
}

pub struct TcpStack;

impl TcpClientStack for TcpStack {
    type TcpSocket = Option<TcpStream>;
    type Error = StackError;

    fn socket(&mut self) -> Result<Self::TcpSocket, StackError> {
        Ok(None)
    }

    fn connect(
        &mut self,
        socket: &mut Self::TcpSocket,
        remote: SocketAddr,
    ) -> nb::Result<(), StackError> {
        let stream = TcpStream::connect(remote).map_err(nb_error)?;
        stream.set_nodelay(true).map_err(nb_error)?;
        stream.set_nonblocking(true).map_err(nb_error)?;
        *socket = Some(stream);
        Ok(())
    }

    fn send(
        &mut self,
        socket: &mut Self::TcpSocket,
        bytes: &[u8],
    ) -> nb::Result<usize, StackError> {
        stream(socket)?.write(bytes).map_err(nb_error)
    }

    fn receive(
        &mut self,
        socket: &mut Self::TcpSocket,
        out: &mut [u8],
    ) -> nb::Result<usize, StackError> {
        stream(socket)?.read(out).map_err(nb_error)
    }

    fn close(&mut self, _: Self::TcpSocket) -> Result<(), StackError> {
        Ok(())
    }
}

impl Dns for TcpStack {
    type Error = StackError;

    fn get_host_by_name(&mut self, name: &str, kind: AddrType) -> nb::Result<IpAddr, StackError> {
        let mut found = (name, 0).to_socket_addrs().map_err(nb_error)?;
        let wanted = found.find(|address| address.is_ipv4() == (kind == AddrType::IPv4));
        let not_found = || nb_error(ErrorKind::NotFound.into());
        wanted.map(|address| address.ip()).ok_or_else(not_found)
    }

    fn get_host_by_address(&mut self, _: IpAddr, _: &mut [u8]) -> nb::Result<usize, StackError> {
        Err(nb_error(ErrorKind::Unsupported.into()))
    }
}
