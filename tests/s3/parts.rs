//! Uploads in parts of which requests fail, to a real server.

use std::collections::BTreeMap;

use natsbridge::adapter::{
    Body, FileServer, HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, Method,
    Sink, SliceBody, StreamError,
};
use natsbridge::host::UreqClient;
use natsbridge::{FileServerErrorKind as Kind, S3, S3Options};

use crate::common::bytes;
use crate::common::s3_server::S3Server;
use crate::{Clock, download};

const LEN: usize = (11 << 20) + 7;

/// Loses the responses of some requests: the server has them.
struct Losing {
    client: UreqClient,
    /// What is lost, and how many times yet.
    lost: BTreeMap<&'static str, usize>,
    made: Vec<String>,
}

impl Losing {
    fn new(lost: &[(&'static str, usize)]) -> Self {
        Self {
            client: UreqClient::new(),
            lost: lost.iter().copied().collect(),
            made: Vec::new(),
        }
    }

    fn count(&self, name: &str) -> usize {
        self.made.iter().filter(|made| *made == name).count()
    }
}

fn name(request: &HttpRequest<'_>) -> String {
    let query = request.url.split_once('?').map_or("", |(_, query)| query);
    let part = query
        .split('&')
        .find(|pair| pair.starts_with("partNumber="));
    let is_of_parts = query.contains("uploadId=");
    match (request.method, part) {
        (Method::Put, Some(part)) => part.to_string(),
        (Method::Post, None) if is_of_parts => "complete".to_string(),
        (Method::Post, None) => "create".to_string(),
        (Method::Delete, None) if is_of_parts => "abort".to_string(),
        (method, _) => method.as_str().to_string(),
    }
}

impl HttpClient for &mut Losing {
    fn execute(
        &mut self,
        request: &HttpRequest<'_>,
        body: &mut dyn Body,
        sink: &mut dyn Sink,
    ) -> Result<HttpResponse, HttpError> {
        let done = self.client.execute(request, body, sink);
        let name = name(request);
        let left = self.lost.get_mut(&*name).filter(|left| **left > 0);
        self.made.push(name);
        match left {
            Some(left) => {
                *left -= 1;
                Err(HttpError::new(HttpErrorKind::Disconnected, "lost"))
            }
            None => done,
        }
    }
}

fn options(server: &S3Server) -> S3Options {
    server.options().multipart_threshold(0).part_size(0)
}

#[test]
fn a_part_that_fails_is_sent_again() {
    let (server, clock) = (S3Server::start(), Clock::default());
    let mut client = Losing::new(&[("partNumber=2", 2)]);
    let mut files = S3::new(&mut client, &clock, options(&server)).unwrap();
    let sent = bytes(LEN);
    let upload = files.upload("x", &mut SliceBody::new(&sent)).unwrap();
    assert!(download(&mut files, &upload.url, LEN) == sent);
    drop(files);
    assert_eq!(clock.pauses.get(), 2);
    let parts = ["partNumber=1", "partNumber=2", "partNumber=3"];
    assert_eq!(parts.map(|part| client.count(part)), [1, 3, 1]);
    assert_eq!(client.count("abort"), 0);
}

#[test]
fn a_part_that_fails_for_good_leaves_nothing() {
    let (server, clock) = (S3Server::start(), Clock::default());
    // The answer to the first abort is lost too.
    let mut client = Losing::new(&[("partNumber=2", usize::MAX), ("abort", 1)]);
    let mut files = S3::new(&mut client, &clock, options(&server)).unwrap();
    let sent = bytes(LEN);
    let error = files.upload("x", &mut SliceBody::new(&sent)).unwrap_err();
    assert_eq!(error.kind(), Kind::Disconnected, "{error:?}");
    drop(files);
    assert_eq!(server.entries(), 1, "the bucket alone");
    assert_eq!(client.count("partNumber=2"), 4);
    assert_eq!(client.count("complete"), 0);
}

/// The file is there, so the upload has not failed.
#[test]
fn a_lost_response_to_the_completion_is_looked_up() {
    let (server, clock) = (S3Server::start(), Clock::default());
    // Once the look fails too: the next attempt is refused, and the file is there.
    for looks_lost in [0, 1] {
        let mut client = Losing::new(&[("complete", 1), ("GET", looks_lost)]);
        let mut files = S3::new(&mut client, &clock, options(&server)).unwrap();
        let sent = bytes(LEN);
        let upload = files.upload("x", &mut SliceBody::new(&sent)).unwrap();
        assert!(download(&mut files, &upload.url, LEN) == sent);
        drop(files);
        assert_eq!(client.count("complete"), 1 + looks_lost);
        assert_eq!(client.count("abort"), 0);
    }
}

/// Fails, or ends, behind the first part.
struct Short {
    left: usize,
    fails: bool,
}

impl Body for Short {
    fn len(&self) -> u64 {
        LEN as u64
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let count = out.len().min(self.left);
        self.left -= count;
        match count == 0 && self.fails {
            true => Err(StreamError::CannotRewind),
            false => Ok(count),
        }
    }
    fn rewind(&mut self) -> Result<(), StreamError> {
        Err(StreamError::CannotRewind)
    }
}

#[test]
fn a_body_that_ends_early_leaves_nothing() {
    let (server, clock) = (S3Server::start(), Clock::default());
    for fails in [true, false] {
        let mut client = Losing::new(&[]);
        let mut files = S3::new(&mut client, &clock, options(&server)).unwrap();
        let mut body = Short {
            left: 6 << 20,
            fails,
        };
        let error = files.upload("x", &mut body).unwrap_err();
        assert_eq!(error.kind(), Kind::Local, "{error:?}");
        drop(files);
        assert_eq!(client.count("partNumber=1"), 1);
        assert_eq!(server.entries(), 1, "the bucket alone");
    }
}
