//! Servers that are built for other clients, on this machine's network.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use natsbridge::board::{Nal, Tls, TlsOptions};
use natsbridge::host::StdPlatform;
use natsbridge::net::{Transport as _, TransportError, TransportErrorKind as Kind};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use crate::common::LONG;
use crate::common::certificates::Certificates;
use crate::common::tcp_stack::TcpStack;

/// Starts a server with this cryptography and connects to it; the server says `hello`.
fn connect(
    made: &Certificates,
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<[u8; 5], TransportError> {
    let chain = vec![CertificateDer::from_pem_file(made.path("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(made.path("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        serve(tcp, config);
    });
    let options = TlsOptions::new(&made.der("ca")).unwrap();
    let mut tls = Tls::new(Nal::new(TcpStack, StdPlatform), StdPlatform, options);
    tls.open("127.0.0.1", port, LONG).unwrap();
    let said = tls.start_tls("localhost", LONG).map(|()| {
        let mut said = [0; 5];
        let mut read = 0;
        while read < said.len() {
            read += tls.try_receive(&mut said[read..]).unwrap();
            tls.wait(Duration::from_millis(1));
        }
        said
    });
    tls.close();
    server.join().unwrap();
    said
}

fn serve(mut tcp: TcpStream, config: ServerConfig) {
    let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    // A client that refuses ends the connection.
    if stream.write_all(b"hello").is_ok() {
        stream.read_to_end(&mut Vec::new()).ok();
    }
}

#[test]
fn a_server_of_another_implementation_is_understood() {
    let made = Certificates::make();
    let said = connect(&made, ring::default_provider(), rustls::ALL_VERSIONS);
    assert_eq!(&said.unwrap(), b"hello");
}

#[test]
fn servers_without_what_a_board_has_are_refused() {
    let made = Certificates::make();
    let with = |groups: &[&'static dyn rustls::crypto::SupportedKxGroup]| CryptoProvider {
        kx_groups: groups.to_vec(),
        ..ring::default_provider()
    };
    let old = connect(&made, ring::default_provider(), &[&version::TLS12]).unwrap_err();
    assert_eq!(old.kind(), Kind::Failed);
    assert!(old.to_string().contains("TLS 1.3"), "{old}");
    let other_curves = [ring::kx_group::X25519, ring::kx_group::SECP384R1];
    let error = connect(&made, with(&other_curves), &[&version::TLS13]).unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    assert!(error.to_string().contains("P-256"), "{error}");
    let aes = CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..ring::default_provider()
    };
    let error = connect(&made, aes, &[&version::TLS13]).unwrap_err();
    assert!(error.to_string().contains("ChaCha20"), "{error}");
}
