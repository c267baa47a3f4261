//! Every adapter passes the contract of its trait, against a real peer.

mod common;

use common::contract;
use common::nats_server::NatsServer;
use common::plik_stand_in::PlikStandIn;
use common::web_server::WebServer;
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform, UreqClient};
use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{Broker, FileServer, HttpPut, NoFileServer, Plik, SliceBody, VecSink};

#[test]
fn std_platform() {
    contract::platform(&StdPlatform);
    contract::platform(&&StdPlatform);
}

#[test]
fn memory_broker() {
    let broker = MemoryBroker::new();
    contract::broker(|| broker.clone(), "memory");
    let small = MemoryBroker::with_max_payload(10);
    assert_eq!(small.max_payload(), 10);
}

#[test]
fn nats_client() {
    let server = NatsServer::start();
    contract::broker(|| NatsClient::new(NatsOptions::new(&server.url())), "host");
}

#[test]
fn nats_client_with_another_max_payload() {
    let server = NatsServer::start_with("max_payload: 5000");
    let mut client = NatsClient::new(NatsOptions::new(&server.url()));
    client.connect().unwrap();
    assert_eq!(client.max_payload(), 5000);
    contract::broker(|| NatsClient::new(NatsOptions::new(&server.url())), "small");
}

#[test]
fn memory_file_server() {
    let mut server = MemoryFileServer::new();
    contract::file_server(&mut server, true);
    assert!(server.len() > 10);
}

#[test]
fn http_put() {
    let server = WebServer::start();
    let put = HttpPut::new(UreqClient::new(), StdPlatform, &server.url());
    contract::file_server(&mut put.unwrap(), true);
    contract::http_client(&mut UreqClient::new(), &server.url());
}

#[test]
fn http_put_with_basic_auth() {
    let server = WebServer::start_with_basic_auth("user", "secret");
    let put = || HttpPut::new(UreqClient::new(), StdPlatform, &server.url()).unwrap();
    contract::file_server(&mut put().basic_auth("user", "secret"), true);
    let error = put().upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    assert_eq!(error.kind(), natsbridge::FileServerErrorKind::Unauthorized);
}

#[test]
fn plik() {
    let server = PlikStandIn::start();
    let plik = Plik::new(UreqClient::new(), StdPlatform, &server.url());
    contract::file_server(&mut plik.unwrap(), true);
}

#[test]
fn plik_with_every_setting() {
    let server = PlikStandIn::start();
    server.require_token("12345678-1234-4123-8123-123456789012");
    let plik = Plik::new(
        UreqClient::new(),
        StdPlatform,
        &format!("{}/upload/", server.url()),
    );
    let plik = plik
        .unwrap()
        .login("me", "secret")
        .token("12345678-1234-4123-8123-123456789012");
    let plik = plik
        .ttl(std::time::Duration::from_secs(3600))
        .removable(true);
    contract::file_server(&mut { plik }, true);
}

#[test]
fn no_file_server() {
    let error = NoFileServer
        .upload("x", &mut SliceBody::new(b"x"))
        .unwrap_err();
    assert_eq!(error.kind(), natsbridge::FileServerErrorKind::Unsupported);
    let error = NoFileServer
        .download("http://h/x", 1, &mut VecSink::new(1))
        .unwrap_err();
    assert_eq!(error.kind(), natsbridge::FileServerErrorKind::Unsupported);
}
