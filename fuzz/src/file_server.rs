//! Any answers from a file server, to uploads, downloads and deletes.

use std::collections::VecDeque;
use std::time::Duration;

use natsbridge::adapter::{
    Body, FileServer, HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    MAX_REASON_LEN, Sink, SliceBody, VecSink,
};
use natsbridge::memory::MemoryBroker;
use natsbridge::{Data, Envelope, HttpPut, LinkPolicy, NatsBridge, Payload, Plik, SendOptions};

use crate::still::{Still, check_words};

const SERVER: &str = "http://files.example:8080/base";
/// What is uploaded: `hello`, whose MD5 is 5d41402abc4b2a76b9719d911017c592.
const FILE: &[u8] = b"hello";

/// A server whose answers stand in the fuzzer's input, one after the other. Between them is a byte
/// 0x1e. The first line of each is `status;retry-after;location`, the rest its body. Status 0 is a
/// lost connection. After the last one nobody is there.
struct Answers<'a>(VecDeque<&'a [u8]>);

impl<'a> Answers<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self(input.split(|byte| *byte == 0x1e).collect())
    }
}

impl HttpClient for Answers<'_> {
    fn execute(
        &mut self,
        request: &HttpRequest<'_>,
        body: &mut dyn Body,
        sink: &mut dyn Sink,
    ) -> Result<HttpResponse, HttpError> {
        check_request(request, body);
        let nobody = || HttpError::new(HttpErrorKind::Unreachable, "nobody is there");
        let answer = self.0.pop_front().ok_or_else(nobody)?;
        let end = answer.iter().position(|byte| *byte == b'\n');
        let (head, body) = answer.split_at(end.unwrap_or(answer.len()));
        let body = body.get(1..).unwrap_or_default();
        let mut response = parse_head(&String::from_utf8_lossy(head))?;
        if (200..300).contains(&response.status) {
            take_body(request.limit, body, sink)?;
            response.body_len = body.len() as u64;
        } else {
            let reason = &body[..body.len().min(MAX_REASON_LEN)];
            response.reason = String::from_utf8_lossy(reason).into_owned();
        }
        Ok(response)
    }
}

fn parse_head(head: &str) -> Result<HttpResponse, HttpError> {
    let mut words = head.splitn(3, ';');
    let mut word = || words.next().filter(|word| !word.is_empty());
    let status = word().and_then(|word| word.parse().ok()).unwrap_or(200);
    if status == 0 {
        return Err(HttpError::new(HttpErrorKind::Disconnected, "cut off"));
    }
    let seconds = word().and_then(|word| word.parse().ok());
    Ok(HttpResponse {
        status,
        retry_after: seconds.map(Duration::from_secs),
        location: word().map(str::to_string),
        ..HttpResponse::default()
    })
}

fn take_body(limit: u64, body: &[u8], sink: &mut dyn Sink) -> Result<(), HttpError> {
    if body.len() as u64 > limit {
        return Err(HttpError::new(
            HttpErrorKind::TooLarge { limit },
            "too large",
        ));
    }
    Ok(sink.write(body)?)
}

/// Nothing that an answer said may make the next request say something else. The body is as long as
/// announced.
fn check_request(request: &HttpRequest<'_>, body: &mut dyn Body) {
    let is_plain = |byte: u8| byte.is_ascii_graphic();
    assert!(request.url.starts_with("http"), "{:?}", request.url);
    assert!(request.url.bytes().all(is_plain), "{:?}", request.url);
    for (name, value) in request.headers {
        assert!(!name.is_empty() && name.bytes().all(is_plain), "{name:?}");
        assert!(!value.contains(char::is_control), "{value:?}");
    }
    let (mut len, mut out) = (0, [0; 7]);
    loop {
        match body.read(&mut out).expect("memory can be read") {
            0 => break,
            count => len += count as u64,
        }
    }
    assert_eq!(len, body.len());
}

/// Nothing panics, whatever a file server answers, and it cannot make us wait or say what it wants.
pub fn plik_answers(input: &[u8]) {
    let plik = |answers| Plik::new(answers, Still::default(), SERVER).expect("a good URL");
    let put = |answers| HttpPut::new(answers, Still::default(), SERVER).expect("a good URL");
    exchange(plik(Answers::new(input)).login("me", "secret"));
    exchange(put(Answers::new(input)).basic_auth("me", "secret"));
    send(plik(Answers::new(input)));
    send(put(Answers::new(input)));
}

/// Uploads, downloads what was uploaded, and deletes it.
fn exchange(mut server: impl FileServer) {
    let upload = match server.upload("d.txt", &mut SliceBody::new(FILE)) {
        Ok(upload) => upload,
        Err(error) => return check_words(&error),
    };
    assert!(LinkPolicy::any().allows(&upload.url), "{:?}", upload.url);
    assert!(server.owns(&upload.url), "{:?}", upload.url);
    let mut sink = VecSink::new(64);
    match server.download(&upload.url, 64, &mut sink) {
        Ok(len) => assert_eq!(len, sink.into_bytes().len() as u64),
        Err(error) => check_words(&error),
    }
    if let Err(error) = server.delete(&upload) {
        check_words(&error);
    }
}

/// A link that is sent leads somewhere. (A server that has no uploads is no fault: then the payload
/// goes in the message.)
fn check_links(envelope: &Envelope<'_>) {
    for entry in &envelope.payloads {
        let Data::Text(url) = &entry.data else {
            panic!("{entry:?}");
        };
        let is_link = entry.transport_name == "link";
        assert_eq!(url.is_empty(), !is_link);
        assert!(!is_link || LinkPolicy::any().allows(url), "{url:?}");
    }
}

/// Sends a payload by way of the server. Two pauses of at most half a minute are all it can cause.
fn send(server: impl FileServer) {
    let platform = Still::default();
    let mut bridge = NatsBridge::new(MemoryBroker::new(), server, &platform);
    let options = SendOptions::default().size_threshold(1);
    let data = [("d.txt", Payload::binary(FILE))];
    match bridge.smartsend("s", &data, &options) {
        Ok(sent) => check_links(sent.envelope()),
        Err(error) => check_words(&error),
    }
    assert!(platform.waited() <= Duration::from_secs(60));
}
