//! Every adapter passes the contract of its trait, against a real peer.

mod common;

use common::LONG;
use common::nats_server::NatsServer;
use common::plik_stand_in::PlikStandIn;
use common::web_server::WebServer;
use natsbridge::adapter::{Broker, FileServer, SliceBody, VecSink};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform, UreqClient, UreqOptions};
use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{
    FileServerErrorKind, HttpPut, NatsBridge, NoFileServer, Payload, Plik, SendOptions, Stores,
    contract,
};

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

/// Issue 10, point 15: own roots and a client certificate without ureq's types.
#[test]
fn http_put_with_tls() {
    let server = WebServer::start_with_tls();
    let [root, chain, key] = ["ca.pem", "client.pem", "client.key"].map(|name| server.pem(name));
    let put = |options: UreqOptions| {
        let client = UreqClient::with_options(&options);
        HttpPut::new(client, StdPlatform, &server.url()).unwrap()
    };
    let rooted = || UreqOptions::default().root_certificates(&root).unwrap();
    let trusted = rooted().client_certificate(&chain, &key).unwrap();
    contract::file_server(&mut put(trusted), true);
    let unknown_server = UreqOptions::default().client_certificate(&chain, &key);
    let refused = put(unknown_server.unwrap()).upload("x", &mut SliceBody::new(b"x"));
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), FileServerErrorKind::Unauthorized, "{error:?}");
    let refused = put(rooted()).upload("x", &mut SliceBody::new(b"x"));
    assert!(refused.is_err(), "{refused:?}");
    for refused in [
        UreqOptions::default().root_certificates(b""),
        UreqOptions::default().root_certificates(&key),
        UreqOptions::default().client_certificate(&chain, &chain),
        UreqOptions::default().client_certificate(b"SECRET", &key),
    ] {
        let words = refused.expect_err("no such certificate").to_string();
        assert!(words.contains("in PEM"), "{words}");
    }
}

#[test]
fn http_put_with_basic_auth() {
    let server = WebServer::start_with_basic_auth("user", "secret");
    let put = || HttpPut::new(UreqClient::new(), StdPlatform, &server.url()).unwrap();
    contract::file_server(&mut put().basic_auth("user", "secret"), true);
    let error = put().upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    assert_eq!(error.kind(), FileServerErrorKind::Unauthorized);
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

/// Issue 10, point 13: a receiver that never uploads does not learn the domain from the server.
#[test]
fn plik_with_a_download_domain_and_a_login() {
    let server = PlikStandIn::start();
    let domain = server.url().replace("127.0.0.1", "localhost");
    server.download_domain(&domain);
    let plik = || Plik::new(UreqClient::new(), StdPlatform, &server.url()).unwrap();
    let upload = plik()
        .login("me", "secret")
        .upload("x", &mut SliceBody::new(b"abc"));
    let url = upload.unwrap().url;
    assert!(url.starts_with(&domain), "{url}");
    assert!(!plik().owns(&url));
    let fetch = |mut plik: Plik<_, _>| {
        assert!(plik.owns(&url));
        let mut sink = VecSink::new(3);
        plik.download(&url, 3, &mut sink).map(|_| sink.into_bytes())
    };
    let with_domain = || plik().download_domain(&domain).unwrap();
    let received = fetch(with_domain().login("me", "secret"));
    assert_eq!(received.unwrap(), b"abc");
    let received = fetch(
        plik()
            .login("me", "secret")
            .download_domain(&domain)
            .unwrap(),
    );
    assert_eq!(received.unwrap(), b"abc", "in any order");
    let error = fetch(with_domain()).unwrap_err();
    assert_eq!(error.kind(), natsbridge::FileServerErrorKind::Unauthorized);
}

/// Issue 10, point 13: the stand-in keeps a file for a whole number of seconds, and 0 is 30 days.
#[test]
fn plik_with_a_short_time_to_live() {
    let server = PlikStandIn::start();
    let plik = Plik::new(UreqClient::new(), StdPlatform, &server.url()).unwrap();
    let mut plik = plik.ttl(std::time::Duration::from_millis(300));
    let upload = plik.upload("x", &mut SliceBody::new(b"abc")).unwrap();
    let started = std::time::Instant::now();
    while plik.download(&upload.url, 3, &mut VecSink::new(3)).is_ok() {
        assert!(started.elapsed() < LONG, "it does not expire");
    }
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

/// Whichever comes first.
#[test]
fn a_payload_for_which_there_is_no_store_goes_direct_and_the_others_as_links() {
    let sizes = [200_000, 5_000_000];
    for sizes in [sizes, [sizes[1], sizes[0]]] {
        let stores = Stores::new(NoFileServer).at_least(1_000_000, MemoryFileServer::new());
        let mut bridge = NatsBridge::new(MemoryBroker::new(), stores, StdPlatform);
        let data = sizes.map(|size| ("data", Payload::binary(vec![7; size])));
        let sent = bridge
            .smartsend("a", &data, &SendOptions::default())
            .unwrap();
        let entries = sent.envelope().payloads.iter();
        let links: Vec<_> = entries
            .map(|entry| entry.transport_name == "link")
            .collect();
        assert_eq!(links, sizes.map(|size| size > 1_000_000), "{sizes:?}");
    }
}
