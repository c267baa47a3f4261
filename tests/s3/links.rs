//! Links: other programs fetch them, and they end.

use std::process::Command;
use std::time::Duration;

use natsbridge::adapter::{FileServer, VecSink};
use natsbridge::host::UreqClient;
use natsbridge::{FileServerErrorKind as Kind, S3};

use crate::common::bytes;
use crate::common::s3_server::S3Server;
use crate::{Clock, download, s3, upload};

/// Prints the status of a GET, and what came; on one line each.
const FETCH: &str = r#"
import hashlib, sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=30) as response:
        print(response.status, hashlib.sha256(response.read()).hexdigest())
except urllib.error.HTTPError as error:
    print(error.code)
"#;

fn fetch_by_python(url: &str) -> String {
    let python = Command::new("python3")
        .args(["-c", FETCH, url])
        .env_remove("http_proxy")
        .output()
        .expect("python3 is not installed: apt-get install -y --no-install-recommends python3");
    let errors = String::from_utf8_lossy(&python.stderr);
    assert!(python.status.success(), "{errors}");
    String::from_utf8(python.stdout).unwrap().trim().to_string()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A link that was valid for a minute, until half an hour ago.
fn expired(server: &S3Server) -> String {
    let clock = Clock::off_by(-31 * 60);
    let options = server.options().link_lifetime(Duration::from_secs(60));
    let mut files = S3::new(UreqClient::new(), &clock, options.unwrap()).unwrap();
    upload(&mut files, "x", b"late")
}

#[test]
fn python_fetches_a_link() {
    let server = S3Server::start();
    for prefix in ["", "für dich/a+b 100%/%2F"] {
        let sent = bytes(300_000);
        let url = upload(&mut s3(server.options().prefix(prefix)), "ä b+%", &sent);
        let expected = format!("200 {}", sha256(&sent));
        assert_eq!(fetch_by_python(&url), expected, "{url}");
    }
}

#[test]
fn after_its_lifetime_a_link_has_expired() {
    let server = S3Server::start();
    let url = expired(&server);
    assert_eq!(fetch_by_python(&url), "403");
    let download =
        |files: &mut dyn FileServer| files.download(&url, 9, &mut VecSink::new(9)).unwrap_err();
    let error = download(&mut s3(server.options()));
    assert_eq!(error.kind(), Kind::Expired, "{error:?}");
    assert!(!error.is_transient());
    let words = format!("{error:?}");
    assert!(words.contains("the link expired at 20"), "{words}");
    assert!(words.contains("Request has expired"), "{words}");
    assert!(!words.contains("X-Amz"), "{words}");

    // The server decides, whatever the clock here shows.
    let clock = Clock::off_by(-31 * 60);
    let mut files = S3::new(UreqClient::new(), &clock, server.options()).unwrap();
    let error = download(&mut files);
    assert_eq!(error.kind(), Kind::Expired, "{error:?}");
    assert!(
        error.to_string().contains("before its end at 20"),
        "{error}"
    );
    let clock = Clock::off_by(365 * 86_400);
    let url = upload(&mut s3(server.options()), "x", b"early");
    let mut files = S3::new(UreqClient::new(), &clock, server.options()).unwrap();
    assert_eq!(crate::download(&mut files, &url, 9), b"early");
}

#[test]
fn a_receiver_with_keys_may_sign_anew() {
    let server = S3Server::start();
    let url = expired(&server);
    let anew = server.options().sign_anew(true);
    assert_eq!(download(&mut s3(anew.clone()), &url, 9), b"late");
    // Of its own prefix only, and not without keys.
    let mut elsewhere = s3(anew.prefix("elsewhere"));
    let error = elsewhere.download(&url, 9, &mut VecSink::new(9));
    assert_eq!(error.unwrap_err().kind(), Kind::Expired);
    let keyless = natsbridge::S3Options::new("films").endpoint(server.url());
    let error = s3(keyless.sign_anew(true)).download(&url, 9, &mut VecSink::new(9));
    assert_eq!(error.unwrap_err().kind(), Kind::Unauthorized);
}

#[test]
fn a_changed_link_is_refused() {
    let server = S3Server::start();
    let mut files = s3(server.options());
    let url = upload(&mut files, "x", b"x");
    for (changed, kind) in [
        (
            url.replace("X-Amz-Expires=86400", "X-Amz-Expires=604800"),
            Kind::Unauthorized,
        ),
        (format!("{url}&more=1"), Kind::Unauthorized),
        (
            url.split('?').next().unwrap().to_string(),
            Kind::Unauthorized,
        ),
    ] {
        assert_ne!(changed, url);
        let error = files
            .download(&changed, 9, &mut VecSink::new(9))
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
}
