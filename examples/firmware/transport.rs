//! How bytes go to the servers: as they are, or with TLS.

use embedded_nal::{SharableStack, SharedStack};
use natsbridge::board::Nal;

use crate::bench::Failure;
use crate::board::CommandLine;
use crate::network::Network;
use crate::platform::Board;

type Plain<'b> = Nal<SharedStack<'b, Network>, Board>;

#[cfg(not(feature = "tls"))]
mod way {
    use super::*;

    /// Schemes of the servers' URLs.
    pub const NATS: &str = "nats";
    #[cfg(not(feature = "jetstream"))]
    pub const HTTP: &str = "http";

    pub type Wire<'b> = Plain<'b>;

    pub fn new<'b>(
        network: &'b SharableStack<Network>,
        _: &CommandLine,
    ) -> Result<Wire<'b>, Failure> {
        Ok(Nal::new(network.acquire(), Board))
    }
}

#[cfg(feature = "tls")]
mod way {
    use alloc::vec::Vec;

    use natsbridge::board::{Tls, TlsOptions};

    use super::*;
    use crate::bench::Unmet;

    pub const NATS: &str = "tls";
    #[cfg(not(feature = "jetstream"))]
    pub const HTTP: &str = "https";

    pub type Wire<'b> = Tls<Plain<'b>, Board>;

    pub fn new<'b>(
        network: &'b SharableStack<Network>,
        words: &CommandLine,
    ) -> Result<Wire<'b>, Failure> {
        let root = words.get("ca").and_then(bytes);
        let root = root.ok_or(Unmet("`ca=` with hexadecimal digits"))?;
        let plain = Nal::new(network.acquire(), Board);
        Ok(Tls::new(plain, Board, TlsOptions::new(&root)?))
    }

    /// The bytes that hexadecimal digits stand for.
    fn bytes(digits: &str) -> Option<Vec<u8>> {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let pairs = digits.as_bytes().chunks(2);
        let byte = |pair: &[u8]| Some((digit(pair.first()?)? << 4 | digit(pair.get(1)?)?) as u8);
        pairs.map(byte).collect()
    }
}

#[cfg(not(feature = "jetstream"))]
pub use way::HTTP;
pub use way::{NATS, Wire, new};
