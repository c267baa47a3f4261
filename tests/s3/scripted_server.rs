//! Responses that the real server does not give, but AWS and others do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use natsbridge::adapter::{FileServer, FileServerError, SliceBody, VecSink};
use natsbridge::host::UreqClient;
use natsbridge::{FileServerErrorKind as Kind, S3, S3Options};
use sha2::{Digest as _, Sha256};

use crate::common::bytes;
use crate::common::scripted_http::{Exchange, ScriptedHttp, answer};
use crate::{Clock, warnings_of};

const CREATED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult \
    xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>films</Bucket><Key>k</Key>\
    <UploadId>THEUPLOAD</UploadId></InitiateMultipartUploadResult>";
const COMPLETED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult \
    xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Location>http://h/films/k</Location>\
    <Bucket>films</Bucket><Key>k</Key><ETag>\"x-2\"</ETag></CompleteMultipartUploadResult>";

fn options(server: &ScriptedHttp) -> S3Options {
    S3Options::new("films")
        .endpoint(server.url())
        .keys("THEKEYID", "THESECRET")
}

fn error(status: &str, code: &str, more: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>{more}\
         <AWSAccessKeyId>THEKEYID</AWSAccessKeyId><RequestId>r</RequestId></Error>"
    );
    answer(status, "", &body)
}

fn check(what: &str, error: &FileServerError, kind: Kind, words: &str) {
    assert_eq!(error.kind(), kind, "{what}: {error:?}");
    let printed = format!("{error:?}");
    assert!(printed.contains(words), "{what}: {printed}");
    for hidden in ["THEKEYID", "THESECRET", "X-Amz-Signature"] {
        assert!(!printed.contains(hidden), "{what}: {printed}");
    }
}

/// What a server responds, and what is reported.
type Row = (&'static str, fn() -> String, Kind, &'static str);

const REFUSALS: &[Row] = &[
    (
        "wrong region",
        || {
            let message = "<Message>Error parsing the X-Amz-Credential parameter; the region \
                'us-east-1' is wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region>";
            error(
                "400 Bad Request",
                "AuthorizationQueryParametersError",
                message,
            )
        },
        Kind::Refused { status: 400 },
        "expecting 'eu-west-1'",
    ),
    (
        "another region, as a redirect",
        || {
            let message = "<Message>must be addressed using the specified endpoint</Message>\
                <Endpoint>films.s3-eu-west-1.amazonaws.com</Endpoint>";
            error("301 Moved Permanently", "PermanentRedirect", message)
        },
        Kind::Refused { status: 301 },
        "specified endpoint (films.s3-eu-west-1.amazonaws.com)",
    ),
    (
        "missing bucket",
        || error("404 Not Found", "NoSuchBucket", ""),
        Kind::NotFound,
        "NoSuchBucket",
    ),
    (
        "a message that repeats the key",
        || {
            let message = "<Message>THEKEYID and THESECRET are not known</Message>";
            error("403 Forbidden", "InvalidAccessKeyId", message)
        },
        Kind::Unauthorized,
        "... and ... are not known",
    ),
    (
        "ended keys",
        || error("400 Bad Request", "ExpiredToken", ""),
        Kind::Unauthorized,
        "ExpiredToken",
    ),
    (
        "a digest that differs",
        || error("400 Bad Request", "BadDigest", ""),
        Kind::Refused { status: 400 },
        "BadDigest",
    ),
    (
        "an error after the status 200",
        || error("200 OK", "InternalError", "<Message>try again</Message>"),
        Kind::ServerFault { status: 500 },
        "InternalError: try again",
    ),
    (
        "an error with a name space after the status 200",
        || {
            let body = "<Error xmlns=\"urn:s3\"><Code>InternalError</Code></Error>";
            answer("200 OK", "ETag: \"x\"\r\n", body)
        },
        Kind::ServerFault { status: 500 },
        "InternalError",
    ),
    (
        "busy",
        || error("503 Slow Down", "SlowDown", ""),
        Kind::ServerFault { status: 503 },
        "SlowDown",
    ),
    (
        "a proxy's page",
        || answer("502 Bad Gateway", "", "<html>nothing of S3</html>"),
        Kind::ServerFault { status: 502 },
        "status 502",
    ),
    (
        "an upload that took too long",
        || error("400 Bad Request", "RequestTimeout", ""),
        Kind::ServerFault { status: 408 },
        "RequestTimeout",
    ),
];

#[test]
fn a_refused_upload_is_reported_with_the_server_s_reason() {
    for (what, response, kind, words) in REFUSALS {
        let server = ScriptedHttp::start(|to| to.answer(response()));
        let clock = Clock::default();
        let mut files = S3::new(UreqClient::new(), &clock, options(&server)).unwrap();
        for len in [1, 2 << 20] {
            let failed = files.upload("x", &mut SliceBody::new(&bytes(len)));
            check(what, &failed.unwrap_err(), *kind, words);
        }
        // What may have been stored is deleted.
        let deleted = if matches!(kind, Kind::ServerFault { .. }) {
            2
        } else {
            0
        };
        assert_eq!(server.count("DELETE"), deleted, "{what}");
        assert_eq!(clock.pauses.get(), 0, "the bridge retries, not the store");
    }
}

#[test]
fn a_refused_start_or_delete_is_reported_with_the_server_s_reason() {
    for (what, response, kind, words) in REFUSALS {
        let server = ScriptedHttp::start(|to| match to.head.starts_with("PUT") {
            true => to.answer(answer("200 OK", "ETag: \"x\"\r\n", "")),
            false => to.answer(response()),
        });
        let clock = Clock::default();
        let mut files = S3::new(UreqClient::new(), &clock, options(&server)).unwrap();
        let stored = files.upload("x", &mut SliceBody::new(b"x")).unwrap();
        check(what, &files.delete(&stored).unwrap_err(), *kind, words);
        let options = options(&server).multipart_threshold(0);
        let mut files = S3::new(UreqClient::new(), &clock, options).unwrap();
        let failed = files.upload("x", &mut SliceBody::new(b"x"));
        check(what, &failed.unwrap_err(), *kind, words);
    }
}

#[test]
fn a_success_without_an_etag_stored_nothing() {
    let server = ScriptedHttp::start(|to| to.answer(answer("200 OK", "", "<html>log in</html>")));
    let clock = Clock::default();
    let mut files = S3::new(UreqClient::new(), &clock, options(&server)).unwrap();
    let failed = files.upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    check("no ETag", &failed, Kind::InvalidAnswer, "without an ETag");
}

#[test]
fn an_upload_to_another_bucket_is_not_deleted() {
    let server = ScriptedHttp::start(|to| to.answer(answer("200 OK", "ETag: \"x\"\r\n", "")));
    let clock = Clock::default();
    let mut files = S3::new(UreqClient::new(), &clock, options(&server)).unwrap();
    let mut stored = files.upload("x", &mut SliceBody::new(b"x")).unwrap();
    files.delete(&stored).unwrap();
    stored.url = stored.url.replace("/films/", "/music/");
    let failed = files.delete(&stored).unwrap_err();
    check(
        "another bucket",
        &failed,
        Kind::InvalidUrl,
        "not one to this bucket",
    );
    assert_eq!(server.count("DELETE"), 1);
}

#[test]
fn a_file_that_is_gone_is_deleted() {
    // As Google's XML API answers.
    let server = ScriptedHttp::start(|to| match to.head.starts_with("PUT") {
        true => to.answer(answer("200 OK", "ETag: \"x\"\r\n", "")),
        false => to.answer(error("404 Not Found", "NoSuchKey", "")),
    });
    let mut files = S3::new(UreqClient::new(), Clock::default(), options(&server)).unwrap();
    let stored = files.upload("x", &mut SliceBody::new(b"x")).unwrap();
    files.delete(&stored).unwrap();
    assert_eq!(server.count("DELETE"), 1);
}

#[test]
fn keys_are_hidden_where_one_is_the_start_of_another() {
    let message = "<Message>minio123 is wrong</Message>";
    let server =
        ScriptedHttp::start(|to| to.answer(error("403 Forbidden", "AccessDenied", message)));
    let options = options(&server).keys("minio", "minio123");
    let mut files = S3::new(UreqClient::new(), Clock::default(), options).unwrap();
    let failed = files.upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    assert!(
        failed.to_string().ends_with("AccessDenied: ... is wrong"),
        "{failed}"
    );
}

#[test]
fn a_key_that_is_a_part_of_a_code_does_not_change_what_the_code_means() {
    let server = ScriptedHttp::start(|to| to.answer(error("200 OK", "InternalError", "")));
    let options = options(&server).keys("Int", "Error");
    let mut files = S3::new(UreqClient::new(), Clock::default(), options).unwrap();
    let failed = files.upload("x", &mut SliceBody::new(b"x")).unwrap_err();
    let kind = Kind::ServerFault { status: 500 };
    check("a code", &failed, kind, "status 500: ...ernal...");
}

#[test]
fn a_region_is_a_part_of_the_host_s_name() {
    let region = |region: &str| {
        let options = S3Options::new("films").region(region);
        S3::new(UreqClient::new(), Clock::default(), options)
    };
    for wrong in ["", "evil.com/x", "a b", "eu-central-1."] {
        assert!(
            region(wrong).unwrap_err().to_string().contains("`region`"),
            "{wrong}"
        );
    }
    for (name, host) in [("eu-west-1", ""), ("cn-north-1", ".cn")] {
        let link = format!("https://films.s3.{name}.amazonaws.com{host}/a");
        assert!(region(name).unwrap().owns(&link), "{link}");
    }
}

/// What a server responds, and the length of the file or what is reported.
type DownloadRow<'a> = (
    &'a str,
    &'a dyn Fn() -> String,
    Result<u64, (Kind, &'a str)>,
);

#[test]
fn a_refused_download_is_reported_with_the_server_s_reason() {
    let expired = || {
        let message =
            "<Message>Request has expired</Message><Expires>2026-01-01T00:00:00Z</Expires>";
        error("403 Forbidden", "AccessDenied", message)
    };
    let cut =
        || "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nten".to_string();
    let without_length = || "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nten bytes.".to_string();
    let rows: &[DownloadRow<'_>] = &[
        (
            "expired",
            &expired,
            Err((Kind::Expired, "Request has expired")),
        ),
        (
            "not there",
            &|| error("404 Not Found", "NoSuchKey", ""),
            Err((Kind::NotFound, "NoSuchKey")),
        ),
        (
            "no permission",
            &|| error("403 Forbidden", "AccessDenied", ""),
            Err((Kind::Unauthorized, "AccessDenied")),
        ),
        (
            "a part of it",
            &|| answer("206 Part", "", "ten bytes."),
            Err((Kind::Refused { status: 206 }, "GET")),
        ),
        (
            "busy",
            &|| error("503 Slow Down", "SlowDown", ""),
            Err((Kind::ServerFault { status: 503 }, "SlowDown")),
        ),
        ("a short file", &cut, Err((Kind::Disconnected, ""))),
        ("a file without a length", &without_length, Ok(10)),
        (
            "a long file",
            &|| answer("200 OK", "", "eleven byte"),
            Err((Kind::TooLarge { limit: 10 }, "")),
        ),
    ];
    for (what, response, expected) in rows {
        let text = response();
        let server = ScriptedHttp::start(move |to| to.answer(&text));
        let clock = Clock::default();
        let mut files = S3::new(UreqClient::new(), &clock, options(&server)).unwrap();
        let url = format!(
            "{}/films/k?X-Amz-Date=20960101T000000Z&X-Amz-Expires=604800&X-Amz-Signature=s",
            server.url()
        );
        let done = files.download(&url, 10, &mut VecSink::new(10));
        match (done, expected) {
            (Ok(len), Ok(expected)) => assert_eq!(len, *expected, "{what}"),
            (Err(error), Err((kind, words))) => check(what, &error, *kind, words),
            (done, _) => panic!("{what}: {done:?}"),
        }
    }
}

/// The requests of an upload in parts.
type Made = Arc<Mutex<Vec<&'static str>>>;

/// A server of uploads in parts, of which one request gets another response.
fn in_parts(
    which: &'static str,
    other: impl Fn(usize) -> String + Send + Sync + 'static,
) -> (ScriptedHttp, Made) {
    let made = Made::default();
    let seen = Arc::clone(&made);
    let server = ScriptedHttp::start(move |to| {
        let name = name(&to.head);
        let before = {
            let mut made = seen.lock().unwrap();
            let before = made.iter().filter(|made| **made == name).count();
            made.push(name);
            before
        };
        match name {
            _ if name == which => to.answer(other(before)),
            "create" => to.answer(answer("200 OK", "", CREATED)),
            "complete" => to.answer(answer("200 OK", "", COMPLETED)),
            "part" => to.answer(answer("200 OK", "ETag: \"x\"\r\n", "")),
            "look" => to.answer(error("404 Not Found", "NoSuchKey", "")),
            _ => to.answer(answer("204 No Content", "", "")),
        }
    });
    (server, made)
}

fn name(head: &str) -> &'static str {
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').next() {
        Some("POST") if line.contains("uploadId=THEUPLOAD") => "complete",
        Some("POST") => "create",
        Some("PUT") if line.contains("partNumber=") => "part",
        Some("DELETE") if line.contains("uploadId=THEUPLOAD") => "abort",
        Some("DELETE") => "delete",
        Some("GET") => "look",
        _ => "other",
    }
}

fn upload_parts(server: &ScriptedHttp, clock: &Clock) -> Result<(), FileServerError> {
    let options = options(server).multipart_threshold(0).part_size(0);
    let mut files = S3::new(UreqClient::new(), clock, options).unwrap();
    let sent = bytes((5 << 20) + 1);
    files.upload("x", &mut SliceBody::new(&sent)).map(drop)
}

/// The request that gets another response, what that is (by how often it came before), what is reported, and how many
/// parts, looks at what is stored, aborts and pauses there are.
type PartsRow = (
    &'static str,
    &'static str,
    fn(usize) -> String,
    Result<(), (Kind, &'static str)>,
    [usize; 4],
);

const PARTS: &[PartsRow] = &[
    (
        "all is well",
        "other",
        |_| String::new(),
        Ok(()),
        [2, 0, 0, 0],
    ),
    (
        "no id",
        "create",
        |_| answer("200 OK", "", "<InitiateMultipartUploadResult/>"),
        Err((Kind::InvalidAnswer, "no id")),
        [0, 0, 0, 0],
    ),
    (
        "a part that fails twice",
        "part",
        |before| match before {
            0 => error("503 Slow Down", "SlowDown", ""),
            1 => error("200 OK", "InternalError", ""),
            _ => answer("200 OK", "ETag: \"x\"\r\n", ""),
        },
        Ok(()),
        [4, 0, 0, 2],
    ),
    (
        "a part that fails for good",
        "part",
        |_| error("503 Slow Down", "SlowDown", ""),
        Err((Kind::ServerFault { status: 503 }, "PUT of part 1")),
        [4, 0, 1, 3],
    ),
    (
        "a part that is refused",
        "part",
        |_| error("403 Forbidden", "AccessDenied", ""),
        Err((Kind::Unauthorized, "AccessDenied")),
        [1, 0, 1, 0],
    ),
    (
        "a part without an ETag",
        "part",
        |_| answer("200 OK", "", ""),
        Err((Kind::InvalidAnswer, "without an ETag")),
        [1, 0, 1, 0],
    ),
    (
        "an ETag that is too long",
        "part",
        |_| {
            let etag = "x".repeat(257);
            answer("200 OK", &format!("ETag: {etag}\r\n"), "")
        },
        Err((Kind::InvalidAnswer, "over 256 bytes")),
        [1, 0, 1, 0],
    ),
    (
        "the longest ETag",
        "part",
        |_| {
            let etag = "x".repeat(256);
            answer("200 OK", &format!("ETag: {etag}\r\n"), "")
        },
        Ok(()),
        [2, 0, 0, 0],
    ),
    (
        "a wrong ETag",
        "complete",
        |_| error("400 Bad Request", "InvalidPart", ""),
        Err((Kind::Refused { status: 400 }, "InvalidPart")),
        [2, 0, 1, 0],
    ),
    (
        "an error after the status 200",
        "complete",
        |_| error("200 OK", "InternalError", ""),
        Err((Kind::ServerFault { status: 500 }, "InternalError")),
        [2, 4, 1, 3],
    ),
    (
        "a completion that fails twice",
        "complete",
        |before| match before {
            0 => error("503 Slow Down", "SlowDown", ""),
            1 => error("200 OK", "InternalError", ""),
            _ => answer("200 OK", "", COMPLETED),
        },
        Ok(()),
        [2, 2, 0, 2],
    ),
    (
        "a completion that fails and ends the upload",
        "complete",
        |before| match before {
            0 => error("503 Slow Down", "SlowDown", ""),
            _ => error("404 Not Found", "NoSuchUpload", ""),
        },
        // The whole file may be sent again.
        Err((Kind::ServerFault { status: 503 }, "NoSuchUpload")),
        [2, 2, 1, 1],
    ),
    (
        "a cut confirmation",
        "complete",
        |_| answer("200 OK", "", &COMPLETED[..COMPLETED.len() - 20]),
        Err((Kind::InvalidAnswer, "not confirmed")),
        [2, 1, 1, 0],
    ),
    (
        "a page",
        "complete",
        |_| answer("200 OK", "", "<html></html>"),
        Err((Kind::InvalidAnswer, "not confirmed")),
        [2, 1, 1, 0],
    ),
    (
        "blanks before the confirmation",
        "complete",
        |_| answer("200 OK", "", &format!(" \n {COMPLETED}\n")),
        Ok(()),
        [2, 0, 0, 0],
    ),
];

#[test]
fn a_failed_upload_in_parts_is_aborted() {
    for (what, which, other, expected, requests) in PARTS {
        let (server, made) = in_parts(which, other);
        let clock = Clock::default();
        match (upload_parts(&server, &clock), expected) {
            (Ok(()), Ok(())) => (),
            (Err(error), Err((kind, words))) => check(what, &error, *kind, words),
            (done, _) => panic!("{what}: {done:?}"),
        }
        let made = made.lock().unwrap();
        let count = |name: &str| made.iter().filter(|made| **made == name).count();
        let [part, look, abort] = ["part", "look", "abort"].map(count);
        let counted = [part, look, abort, clock.pauses.get()];
        assert_eq!(counted, *requests, "{what}: {made:?}");
    }
}

#[test]
fn an_abort_is_repeated_until_the_upload_is_gone() {
    let made = Made::default();
    let seen = Arc::clone(&made);
    let server = ScriptedHttp::start(move |to| {
        let name = name(&to.head);
        let before = {
            let mut made = seen.lock().unwrap();
            let before = made.iter().filter(|made| **made == name).count();
            made.push(name);
            before
        };
        match (name, before) {
            ("create", _) => to.answer(answer("200 OK", "", CREATED)),
            // Which the server carries out all the same.
            ("abort", 0) => to.answer(error("500 Internal Server Error", "InternalError", "")),
            ("abort", _) => to.answer(error("404 Not Found", "NoSuchUpload", "")),
            _ => to.answer(error("403 Forbidden", "AccessDenied", "")),
        }
    });
    let warnings = warnings_of(|| {
        upload_parts(&server, &Clock::default()).unwrap_err();
    });
    let made = made.lock().unwrap();
    assert_eq!(*made, ["create", "part", "abort", "abort"]);
    assert_eq!(warnings, [""; 0]);
}

/// A server may need minutes to put the parts together, and AWS sends blanks meanwhile.
#[test]
fn a_completion_gets_time_for_its_bytes() {
    let idle = Duration::from_secs(1);
    for blanks in ["", " \n"] {
        let server = ScriptedHttp::start(move |to| match name(&to.head) {
            "complete" => {
                to.read_body();
                to.write(format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{blanks}"
                ));
                std::thread::sleep(idle * 3 / 2);
                to.write(COMPLETED);
            }
            "create" => to.answer(answer("200 OK", "", CREATED)),
            _ => to.answer(answer("200 OK", "ETag: \"x\"\r\n", "")),
        });
        let options = options(&server).multipart_threshold(0).part_size(0);
        let files = S3::new(UreqClient::new(), Clock::default(), options).unwrap();
        let mut files = files.timeout(idle).idle_timeout(idle);
        let sent = bytes(15 << 20);
        files.upload("x", &mut SliceBody::new(&sent)).unwrap();
        assert_eq!(server.count("DELETE"), 0);
    }
}

/// AWS accepts no chunks, and no header of its own that is not signed.
#[test]
fn an_upload_has_a_length_and_the_digest_of_a_small_file() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let server = ScriptedHttp::start(move |to: &mut Exchange| {
        seen.lock().unwrap().push(to.head.clone());
        to.answer(answer("200 OK", "ETag: \"x\"\r\n", ""));
    });
    let clock = Clock::default();
    for (len, limit, has_digest) in [
        (0, 100, true),
        (100, 100, true),
        (101, 100, false),
        (1, 0, false),
    ] {
        let options = options(&server).checksum_limit(limit);
        let mut files = S3::new(UreqClient::new(), &clock, options).unwrap();
        let sent = bytes(len);
        files.upload("x", &mut SliceBody::new(&sent)).unwrap();
        let head = heads.lock().unwrap().pop().unwrap();
        let lower = head.to_ascii_lowercase();
        assert!(
            lower.contains(&format!("content-length: {len}\r\n")),
            "{head}"
        );
        assert!(!lower.contains("transfer-encoding"), "{head}");
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&sent));
        let header = format!("x-amz-checksum-sha256: {digest}\r\n");
        assert_eq!(head.contains(&header), has_digest, "{head}");
        let signed = "X-Amz-SignedHeaders=host%3Bx-amz-checksum-sha256&";
        assert_eq!(head.contains(signed), has_digest, "{head}");
        assert_eq!(
            lower.matches("x-amz-").count(),
            if has_digest { 8 } else { 6 },
            "{head}"
        );
    }
}

#[test]
fn a_link_has_a_lifetime_and_the_token_of_temporary_keys() {
    let server = ScriptedHttp::start(|to| to.answer(answer("200 OK", "ETag: \"x\"\r\n", "")));
    let clock = Clock::default();
    let link = |options: S3Options| {
        let mut files = S3::new(UreqClient::new(), &clock, options).unwrap();
        let upload = files.upload("a b", &mut SliceBody::new(b"x")).unwrap();
        assert!(files.owns(&upload.url));
        upload.url
    };
    let url = link(options(&server).region("eu-west-1").prefix("/in/"));
    assert!(
        url.starts_with(&format!("{}/films/in/", server.url())),
        "{url}"
    );
    for part in [
        "-a_b?",
        "X-Amz-Expires=86400&",
        "%2Feu-west-1%2Fs3%2Faws4_request",
    ] {
        assert!(url.contains(part), "{part} in {url}");
    }
    assert!(
        !url.contains("THESECRET") && !url.contains("Token"),
        "{url}"
    );
    let hour = options(&server).link_lifetime(Duration::from_secs(3600));
    let url = link(hour.unwrap().session_token("the/token"));
    assert!(url.contains("X-Amz-Expires=3600&"), "{url}");
    assert!(url.contains("X-Amz-Security-Token=the%2Ftoken"), "{url}");
}
