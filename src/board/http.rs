//! HTTP over the stack of a board.

use embedded_nal::{Dns, TcpClientStack};

use super::Nal;
use crate::http::TransportHttpClient;
use crate::platform::Platform;

/// An [`HttpClient`](crate::adapter::HttpClient) over the TCP stack of a board: `http` only, one connection for
/// each request, which is given back to the stack before the call returns.
///
/// ```no_run
/// use natsbridge::HttpPut;
/// use natsbridge::board::HttpClient;
/// use natsbridge::host::StdPlatform;
/// use std_embedded_nal::Stack;
///
/// let http = HttpClient::new(Stack::default(), StdPlatform).with_dns();
/// let files = HttpPut::new(http, StdPlatform, "http://files.example.com/files")?;
/// # Ok::<(), natsbridge::OptionError>(())
/// ```
pub type HttpClient<S, P> = TransportHttpClient<Nal<S, P>, P>;

/// Over the stack of a board: [`board::HttpClient`](HttpClient).
impl<S: TcpClientStack, P: Platform + Clone> TransportHttpClient<Nal<S, P>, P> {
    /// A client that talks to hosts given by their IP addresses.
    pub fn new(stack: S, platform: P) -> Self {
        Self::over(Nal::new(stack, platform.clone()), platform)
    }

    /// Also looks up names, with the stack's DNS: the IPv4 address is tried first, then the IPv6
    /// address.
    #[must_use]
    pub fn with_dns(mut self) -> Self
    where
        S: Dns,
    {
        self.transport().use_dns();
        self
    }

    /// The stack, for what only it can do.
    pub fn stack(&mut self) -> &mut S {
        self.transport().stack()
    }
}
