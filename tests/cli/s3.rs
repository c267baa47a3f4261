//! A bucket of S3 as the store.

use std::fs;

use crate::common::nats_server::NatsServer;
use crate::common::s3_server::{BUCKET, KEY_ID, S3Server, SECRET};
use crate::program::{Running, program, text};

/// The keys come from the environment, the rest from the URL. The receiver has no keys.
#[test]
fn send_and_receive_by_way_of_s3() {
    let (server, s3) = (NatsServer::start(), S3Server::start());
    let (broker, folder) = (server.url(), tempfile::tempdir().unwrap());
    let store = format!(
        "s3://{BUCKET}/in%20box?endpoint={}&region=eu-west-1",
        s3.url()
    );
    let connection = ["--broker", &broker, "--subject", "/demo", "--store", &store];
    let out = folder.path().join("out");
    let receive = [
        &connection[..],
        &["--count", "1", "--out", out.to_str().unwrap()],
    ]
    .concat();
    let mut receive = Running::start("receive", &receive);

    let film = folder.path().join("film");
    fs::write(&film, vec![7; 300_000]).unwrap();
    let payload = format!("film:video={}", film.display());
    let mut send = program("send");
    send.args(connection).args(["--file", &payload]);
    let refused = send.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let reported = text(&refused.stderr);
    for words in ["there are no keys", "AWS_SECRET_ACCESS_KEY"] {
        assert!(reported.contains(words), "{reported}");
    }

    send.env("AWS_ACCESS_KEY_ID", KEY_ID);
    send.env("AWS_SECRET_ACCESS_KEY", "WRONGSECRET");
    let refused = send.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let reported = text(&refused.stderr);
    assert!(reported.contains("SignatureDoesNotMatch"), "{reported}");
    assert!(
        !reported.contains(KEY_ID) && !reported.contains("WRONGSECRET"),
        "{reported}"
    );

    let sent = send.env("AWS_SECRET_ACCESS_KEY", SECRET).output().unwrap();
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert!(receive.0.wait().unwrap().success());
    let received: Vec<_> = fs::read_dir(&out).unwrap().flatten().collect();
    assert_eq!(received.len(), 1);
    assert_eq!(fs::read(received[0].path()).unwrap(), vec![7; 300_000]);
}
