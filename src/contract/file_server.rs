//! What every file server does.

use alloc::string::String;
use alloc::vec::Vec;

use super::support::{Failing, bytes};
use crate::file_server::{FileServer, FileServerErrorKind, Upload};
use crate::stream::{SliceBody, VecSink};

/// Checks all that a [`FileServer`] promises; `deletes` says whether it can delete. Uploads files of up to
/// 3,000,000 bytes, and leaves most of them there.
///
/// # Panics
/// If the file server breaks a rule.
pub fn file_server(server: &mut dyn FileServer, deletes: bool) {
    returns_what_was_uploaded(server);
    keeps_equal_names_apart(server);
    accepts_any_name(server);
    reads_no_more_than_the_limit(server);
    reports_missing_files(server);
    uploads_nothing_when_the_body_fails(server);
    if deletes {
        deletes_uploads(server);
    }
}

fn download(server: &mut dyn FileServer, url: &str, limit: u64) -> Vec<u8> {
    let mut sink = VecSink::new(usize::MAX);
    let len = server.download(url, limit, &mut sink).unwrap();
    let bytes = sink.into_bytes();
    assert_eq!(len, bytes.len() as u64);
    bytes
}

fn returns_what_was_uploaded(server: &mut dyn FileServer) {
    for len in [1, 1000, 65_536, 65_537, 3_000_000] {
        let sent = bytes(len);
        let upload = server
            .upload("file.bin", &mut SliceBody::new(&sent))
            .unwrap();
        assert!(server.owns(&upload.url), "{}", upload.url);
        assert!(
            download(server, &upload.url, len as u64) == sent,
            "{len} bytes"
        );
        assert!(
            download(server, &upload.url, u64::MAX) == sent,
            "a second time"
        );
    }
}

fn keeps_equal_names_apart(server: &mut dyn FileServer) {
    let mut upload = |body: &[u8]| {
        server
            .upload("same", &mut SliceBody::new(body))
            .unwrap()
            .url
    };
    let (one, two) = (upload(b"one"), upload(b"two"));
    assert_ne!(one, two);
    assert_eq!(download(server, &one, 3), b"one");
    assert_eq!(download(server, &two, 3), b"two");
}

fn accepts_any_name(server: &mut dyn FileServer) {
    let long = "x".repeat(1000);
    for name in [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "a b",
        "é你😀.png",
        "\"\r\n\0",
        "a?b#c%",
        &long,
    ] {
        let upload = server
            .upload(name, &mut SliceBody::new(name.as_bytes()))
            .unwrap();
        if !name.is_empty() {
            assert_eq!(
                download(server, &upload.url, 2000),
                name.as_bytes(),
                "{name:?}"
            );
        }
        assert!(
            upload.url.bytes().all(|byte| byte.is_ascii_graphic()),
            "{}",
            upload.url
        );
    }
}

fn reads_no_more_than_the_limit(server: &mut dyn FileServer) {
    let upload = server
        .upload("ten", &mut SliceBody::new(&bytes(10)))
        .unwrap();
    assert_eq!(download(server, &upload.url, 11).len(), 10);
    assert_eq!(download(server, &upload.url, 10).len(), 10);
    let mut sink = VecSink::new(100);
    let error = server.download(&upload.url, 9, &mut sink).unwrap_err();
    assert_eq!(error.kind(), FileServerErrorKind::TooLarge { limit: 9 });
}

fn reports_missing_files(server: &mut dyn FileServer) {
    let upload = server.upload("there", &mut SliceBody::new(b"x")).unwrap();
    // The longest segment has the unique part. What is behind the path may be a signature.
    let (path, query) = upload.url.split_once('?').unwrap_or((&upload.url, ""));
    let unique = path.split('/').max_by_key(|segment| segment.len()).unwrap();
    let absent = upload
        .url
        .replace(unique, &unique.chars().rev().collect::<String>());
    let error = server
        .download(&absent, 10, &mut VecSink::new(10))
        .unwrap_err();
    let is_missing = match error.kind() {
        FileServerErrorKind::NotFound => true,
        // The signature is of another file.
        FileServerErrorKind::Unauthorized => !query.is_empty(),
        _ => false,
    };
    assert!(is_missing, "{absent}: {error}");
    assert!(!error.is_transient());
}

fn uploads_nothing_when_the_body_fails(server: &mut dyn FileServer) {
    for fails in [true, false] {
        let mut body = Failing::after_five(fails);
        let error = server.upload("failing", &mut body).unwrap_err();
        assert_eq!(error.kind(), FileServerErrorKind::Local, "{error:?}");
        assert!(!error.is_transient());
    }
}

fn deletes_uploads(server: &mut dyn FileServer) {
    let upload = server.upload("gone", &mut SliceBody::new(b"x")).unwrap();
    server.delete(&upload).unwrap();
    let error = server
        .download(&upload.url, 10, &mut VecSink::new(10))
        .unwrap_err();
    assert_eq!(error.kind(), FileServerErrorKind::NotFound);
    let strange = Upload::new(upload.url);
    let _may_fail = server.delete(&strange);
}
