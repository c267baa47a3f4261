//! A NATS server whose certificates lead to a root by their names alone.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::common::certificates::Certificates;
use crate::server::{HANDSHAKE, Script, ScriptedTls};

const INFO: &[u8] =
    b"INFO {\"proto\":1,\"headers\":true,\"max_payload\":1048576,\"tls_required\":true}\r\n";

/// Starts it with this number of certificates, which are for a root called `ca` of another key; its port. Every
/// authority is called so, so that each of them could be the one that signed the others.
pub fn start(count: usize) -> u16 {
    let authorities: Vec<_> = (1..count).map(|_| Certificates::make()).collect();
    let own = authorities[0].der("server");
    let chain = authorities.iter().map(|made| made.der("ca"));
    let chain: Vec<_> = [own].into_iter().chain(chain).collect();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            serve(tcp, chain.clone());
        }
    });
    port
}

fn serve(mut tcp: TcpStream, chain: Vec<Vec<u8>>) {
    let mut tls = ScriptedTls::new(Script {
        items: HANDSHAKE.to_vec(),
        chain,
        key: vec![1; 32],
        spoil: None,
        cut: usize::MAX,
    });
    tcp.write_all(INFO).ok();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = tcp.read(&mut buffer) {
        tcp.write_all(&tls.sent(&buffer[..count])).ok();
    }
}
