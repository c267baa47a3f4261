//! What is stored comes back; keys and clocks that are wrong are reported.

use natsbridge::adapter::{FileServer, SliceBody};
use natsbridge::host::{StdPlatform, Store, StoreOptions, UreqClient};
use natsbridge::memory::MemoryBroker;
use natsbridge::{
    Credentials, Directory, FileServerErrorKind as Kind, NatsBridge, Payload, ReceiveOptions, S3,
    SendOptions, Stores, contract,
};

use crate::common::bytes;
use crate::common::s3_server::{KEY_ID, S3Server, SECRET};
use crate::{Clock, download, s3, upload};

const MIB: usize = 1 << 20;

#[test]
fn the_contract() {
    let server = S3Server::start();
    // s3s-fs keeps the key, in base64, in a name of at most 255 bytes: there is no room for a prefix.
    contract::file_server(&mut s3(server.options()), true);
}

#[test]
fn the_contract_of_several_stores() {
    let (server, folder) = (S3Server::start(), tempfile::tempdir().unwrap());
    let directory = Directory::new(StdPlatform, folder.path()).unwrap();
    let mut stores = Stores::new(directory).at_least(1000, s3(server.options()));
    contract::file_server(&mut stores, true);
    let urls = [999, 1000].map(|len| upload(&mut stores, "x", &bytes(len)));
    assert!(urls[0].starts_with("file:") && urls[1].starts_with("http:"));
}

/// By one request, in parts, and as the defaults have it.
#[test]
fn files_of_any_size_come_back_as_they_were() {
    let server = S3Server::start();
    let whole = server.options().multipart_threshold(u64::MAX);
    let parts = server.options().multipart_threshold(0).part_size(0);
    let sizes = [
        0,
        1,
        MIB,
        MIB + 1,
        5 * MIB - 1,
        5 * MIB,
        5 * MIB + 1,
        64 * MIB + 7,
    ];
    let sent = bytes(64 * MIB + 7);
    for options in [whole, parts, server.options()] {
        let mut files = s3(options);
        for len in sizes {
            let stored = files.upload("x", &mut SliceBody::new(&sent[..len]));
            let stored = stored.unwrap();
            let got = download(&mut files, &stored.url, len);
            assert!(got == sent[..len], "{len} bytes with {files:?}");
            files.delete(&stored).unwrap();
        }
    }
}

#[test]
fn any_prefix_is_part_of_the_link() {
    let server = S3Server::start();
    for prefix in [
        "Fotos für dich",
        "a+b",
        "100%",
        "%2F",
        "a/b c/ü?#&='\"",
        "你",
    ] {
        let mut files = s3(server.options().prefix(prefix));
        let url = upload(&mut files, "ä ö+%.txt", b"x");
        assert!(files.owns(&url), "{url}");
        assert_eq!(download(&mut files, &url, 1), b"x", "{prefix}");
    }
}

#[test]
fn keys_that_are_wrong_are_reported_without_them() {
    let server = S3Server::start();
    for (id, secret, reason) in [
        (KEY_ID, "WRONG", "SignatureDoesNotMatch"),
        ("OTHERID", SECRET, "NotSignedUp"),
    ] {
        // The second one is refused while it is sent: the bridge's retry asks first.
        for len in [200_000, 20 * MIB] {
            let files = s3(server.options().keys(id, secret));
            let mut bridge = NatsBridge::new(MemoryBroker::new(), files, StdPlatform);
            let payloads = [("x", Payload::binary(bytes(len)))];
            let error = bridge.smartsend("s", &payloads, &SendOptions::default());
            let error = error.unwrap_err();
            let kind = error.kind().to_string();
            assert_eq!(kind, "file_server_unauthorized", "{error:?}");
            let words = format!("{error:?} {:?}", bridge.file_server());
            assert!(words.contains(reason), "{words}");
            for hidden in [id, secret] {
                assert!(!words.contains(hidden), "{words}");
            }
        }
    }
    assert_eq!(server.entries(), 1, "the bucket alone");
}

#[test]
fn a_clock_that_is_wrong_is_reported() {
    let server = S3Server::start();
    let clock = Clock::off_by(20 * 60);
    let mut files = S3::new(UreqClient::new(), &clock, server.options()).unwrap();
    let error = files.upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error:?}");
    let words = format!("{error:?}");
    assert!(words.contains("RequestTimeTooSkewed"), "{words}");
    assert!(
        !words.contains(KEY_ID) && !words.contains(SECRET),
        "{words}"
    );
}

#[test]
fn without_keys_it_only_downloads() {
    let server = S3Server::start();
    let url = upload(&mut s3(server.options()), "x", b"abc");
    let keyless = natsbridge::S3Options::new("films").endpoint(server.url());
    let mut files = s3(keyless);
    assert_eq!(download(&mut files, &url, 3), b"abc");
    let error = files.upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(error.to_string().contains("no keys"), "{error}");
}

/// The link of a message is fetched by any receiver with an HTTP client, and by one with the bucket.
#[test]
fn a_message_is_sent_and_received() {
    let server = S3Server::start();
    let files = s3(server.options());
    let mut bridge = NatsBridge::new(MemoryBroker::new(), files, StdPlatform);
    let sent = bytes(200_000);
    let options = SendOptions::default().keep_json(true);
    let payloads = [("film", Payload::binary(sent.clone()))];
    let message = bridge.smartsend("/chat", &payloads, &options).unwrap();
    let json = message.json().unwrap();
    let received = bridge.smartreceive(json, &ReceiveOptions::default());
    assert!(received.unwrap().bytes("film").unwrap() == sent);
    let printed = format!("{message:?}");
    assert!(!printed.contains("X-Amz"), "{printed}");
}

#[test]
fn a_url_chooses_the_bucket() {
    let store = Store::from_url("s3://films/in?endpoint=http://h:9000&region=eu-west-1").unwrap();
    assert!(store.owns("http://h:9000/films/in/x") && !store.owns("http://h:9000/other/x"));
    for (url, reason) in [
        ("s3://", "no bucket can have this name"),
        ("s3://b?endpoint=ftp://h", "not an http or https URL"),
        (
            "s3://b?endpoint=http://me:SECRET@h",
            "user name or password",
        ),
        ("s3://b/../c?endpoint=http://h", "start of a key"),
    ] {
        let words = Store::from_url(url).unwrap_err().to_string();
        assert!(
            words.contains(reason) && !words.contains("SECRET"),
            "{words}"
        );
    }
    let basic = StoreOptions::default().credentials(Credentials::basic("me", "x"));
    let error = Store::with_options("s3://b", &basic).unwrap_err();
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
}
