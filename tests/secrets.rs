//! Nothing that prints holds a secret: a marker is put into every secret there is, and looked for in
//! everything that prints. A new type that knows a secret gets lines in the function of its area, or a
//! function that [`nothing_that_prints_holds_a_secret`] calls.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use natsbridge::adapter::Upload;
use natsbridge::adapter::{Body, Broker, BrokerError, FileServer, FileServerError, Outgoing, Sink};
use natsbridge::host::StdPlatform;
use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{
    BrokerErrorKind, Data, Envelope, FileServerErrorKind, Incoming, Limits, LinkPolicy, Message,
    NatsBridge, Payload, ReceiveOptions, SendOptions, SubscriptionId,
};

const MARKER: &str = "m4rk3r";

/// What has been printed, and where.
#[derive(Default)]
struct Printed(Vec<(String, String)>);

impl Printed {
    fn text(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_string(), text.into()));
    }

    fn debug(&mut self, place: &str, value: &dyn Debug) {
        self.text(place, format!("{value:?} {value:#?}"));
    }

    /// An error with its causes.
    fn error(&mut self, place: &str, error: &dyn Error) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.text(place, format!("{error} {error:?} {error:#?}"));
            next = error.source();
        }
    }

    fn check(&self) {
        let bytes = format!("{:?}", MARKER.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        // As the password of a user whose name has so many letters.
        let encoded = (0..3).map(|len| STANDARD.encode("u".repeat(len) + ":" + MARKER));
        let encoded: Vec<_> = encoded.collect();
        for (place, text) in &self.0 {
            let hidden = !text.contains(MARKER) && !text.contains(bytes);
            assert!(hidden, "{place} holds a secret: {text}");
            let basic = encoded.iter().any(|encoded| text.contains(encoded));
            assert!(!basic, "{place} holds a secret in base64: {text}");
        }
    }
}

/// Trace lines of all threads.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        // The lines of `ureq` at the level `trace` have whole URLs: the guide's page on security says so.
        if record.target().starts_with("natsbridge") {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }
    fn flush(&self) {}
}

#[test]
fn nothing_that_prints_holds_a_secret() {
    log::set_logger(&LINES).expect("it is the only one");
    log::set_max_level(log::LevelFilter::Trace);
    let mut printed = Printed::default();
    options(&mut printed);
    sends(&mut printed);
    failed_sends(&mut printed);
    receives(&mut printed);
    foreign_links(&mut printed);
    #[cfg(all(feature = "nats", feature = "ureq"))]
    free_functions(&mut printed);
    let lines = LINES.0.lock().unwrap();
    assert!(lines.len() > 5, "only these traces: {lines:?}");
    for line in lines.iter() {
        printed.text("a trace line", line);
    }
    assert!(printed.0.len() > 30, "only {} places", printed.0.len());
    printed.check();
}

/// URLs of brokers with a secret in them.
fn broker_urls() -> [String; 6] {
    [
        format!("nats://user:{MARKER}@localhost:4222"),
        format!("nats://{MARKER}@localhost:4222"),
        format!("user:{MARKER}@localhost"),
        format!("tls://a:b@one,tls://user:{MARKER}@two"),
        format!("nats://user:p@ss/{MARKER},{MARKER}@localhost"),
        format!("ws://localhost/?token={MARKER}"),
    ]
}

/// URLs of file servers and files with a secret in them.
fn file_urls() -> [String; 5] {
    [
        format!("http://user:{MARKER}@files.example/file"),
        format!("http://{MARKER}@files.example:8080/file"),
        format!("http://user:pass/{MARKER}@files.example/file"),
        format!("http://files.example/file?X-Amz-Signature={MARKER}"),
        format!("user:{MARKER}@files.example"),
    ]
}

fn options(printed: &mut Printed) {
    #[cfg(all(feature = "s3", feature = "ureq"))]
    {
        let options = natsbridge::S3Options::new("films")
            .endpoint(format!("http://me:{MARKER}@files.example"))
            .keys(MARKER, MARKER)
            .session_token(MARKER);
        printed.debug("S3Options", &options);
        let http = natsbridge::host::UreqClient::new;
        let refused = natsbridge::S3::new(http(), StdPlatform, options.clone());
        printed.error("an error of S3", &refused.unwrap_err());
        let unreachable = options.endpoint("http://127.0.0.1:1");
        let mut files = natsbridge::S3::new(http(), StdPlatform, unreachable).unwrap();
        printed.debug("S3", &files);
        let mut body = natsbridge::adapter::SliceBody::new(b"x");
        let error = files.upload("x", &mut body).unwrap_err();
        printed.error("an error of S3", &error);
    }
    for url in broker_urls() {
        let options = SendOptions::default().broker_url(url);
        printed.debug("SendOptions", &options);
    }
    for url in file_urls() {
        let send = SendOptions::default().fileserver_url(&url);
        printed.debug("SendOptions", &send);
        let receive = ReceiveOptions::default().fileserver_url(&url);
        printed.debug("ReceiveOptions", &receive);
    }
}

/// A file server whose links are signed, and whose files cannot be deleted.
#[derive(Debug)]
struct Signed;

impl FileServer for Signed {
    fn upload(&mut self, _: &str, _: &mut dyn Body) -> Result<Upload, FileServerError> {
        let mut upload = Upload::new(format!("http://files.example/1?signature={MARKER}"));
        upload.delete_key = Some(MARKER.to_string());
        Ok(upload)
    }
    fn download(&mut self, _: &str, _: u64, sink: &mut dyn Sink) -> Result<u64, FileServerError> {
        sink.write(b"text").expect("there is room");
        Ok(4)
    }
    fn owns(&self, url: &str) -> bool {
        url.starts_with("http://files.example/")
    }
    fn delete(&mut self, _: &Upload) -> Result<(), FileServerError> {
        let kind = FileServerErrorKind::Unreachable;
        Err(FileServerError::new(kind, "it is away"))
    }
}

/// A broker that refuses everything.
#[derive(Debug)]
struct Refusing;

impl Broker for Refusing {
    fn max_payload(&self) -> usize {
        1 << 20
    }
    fn publish(&mut self, _: &Outgoing<'_>, _: &mut dyn Body) -> Result<(), BrokerError> {
        Err(BrokerError::new(BrokerErrorKind::Refused, "no"))
    }
    fn flush(&mut self, _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }
    fn subscribe(&mut self, _: &str, _: Option<&str>) -> Result<SubscriptionId, BrokerError> {
        Ok(SubscriptionId(1))
    }
    fn unsubscribe(&mut self, _: SubscriptionId) -> Result<(), BrokerError> {
        Ok(())
    }
    fn next_of(&mut self, _: SubscriptionId, _: Duration) -> Result<Option<Message>, BrokerError> {
        Ok(None)
    }
    fn next(&mut self, _: Duration) -> Result<Option<Message>, BrokerError> {
        Ok(None)
    }
}

fn sends(printed: &mut Printed) {
    let data = [("n", Payload::text("text"))];
    for url in broker_urls() {
        let broker = MemoryBroker::new();
        let bridge = NatsBridge::new(broker, MemoryFileServer::new(), StdPlatform);
        let mut bridge = bridge.with_broker_url(&url);
        printed.debug("NatsBridge", &bridge);
        let options = SendOptions::default().keep_json(true);
        for options in [options.clone(), options.broker_url(&url)] {
            let sent = bridge.smartsend("/chat", &data, &options).unwrap();
            printed.text("an envelope", sent.json().unwrap());
            printed.debug("Sent", &sent);
            printed.debug("Envelope", sent.envelope());
            printed.debug("EnvelopeBody", &sent.envelope().body());
        }
    }
    let mut bridge = NatsBridge::new(MemoryBroker::new(), Signed, StdPlatform);
    let options = SendOptions::default().size_threshold(0).keep_json(true);
    let sent = bridge.smartsend("/chat", &data, &options).unwrap();
    // The link itself must be signed, for receivers to fetch it.
    assert!(sent.json().unwrap().contains(MARKER));
    printed.debug("Sent with links", &sent);
}

fn failed_sends(printed: &mut Printed) {
    let mut bridge = NatsBridge::new(Refusing, Signed, StdPlatform);
    let data = [("n", Payload::text("text"))];
    let options = SendOptions::default().size_threshold(0);
    let error = bridge.smartsend("/chat", &data, &options).unwrap_err();
    printed.error("a file that stays behind", &error);
    let long = format!("nats://user:{MARKER}@{}", "h".repeat(3000));
    let options = SendOptions::default().broker_url(long);
    let error = bridge.smartsend("/chat", &data, &options).unwrap_err();
    printed.error("a broker's URL that is too long", &error);
}

fn receives(printed: &mut Printed) {
    let message = |broker_url: &str, url: &str| {
        format!(
            r#"{{"correlation_id":"c","broker_url":"{broker_url}","payloads":[{{"dataname":"n",
            "payload_type":"text","transport":"link","size":4,"data":"{url}"}}]}}"#
        )
    };
    for url in file_urls() {
        let mut bridge = NatsBridge::new(MemoryBroker::new(), Signed, StdPlatform);
        let message = message("", &url);
        let policy = LinkPolicy::any();
        let options = ReceiveOptions::default().link_policy(policy);
        match bridge.smartreceive(message.as_str(), &options) {
            Ok(received) => printed.debug("Received", &received),
            Err(error) => printed.error("a link that is refused", &error),
        }
        let envelope = Envelope::parse(message.as_bytes(), &Limits::default()).unwrap();
        printed.debug("PayloadEntry", &envelope.payloads[0]);
        printed.debug("Data", &Data::Text(url.as_str().into()));
        printed.debug("Incoming", &Incoming::from(message.as_str()));
        printed.debug("Incoming", &Incoming::from(message.as_bytes()));
    }
    // Some members send their password along.
    for url in broker_urls() {
        let mut bridge = NatsBridge::new(MemoryBroker::new(), Signed, StdPlatform);
        let message = message(&url, "http://files.example/1");
        let options = ReceiveOptions::default();
        let received = bridge.smartreceive(message.as_str(), &options).unwrap();
        printed.debug("Received", &received);
        printed.debug("Incoming", &Incoming::from(&received.envelope));
    }
}

/// Signed links of other file servers, in the errors of every store. Nobody listens at port 1.
fn foreign_links(printed: &mut Printed) {
    let folder = tempfile::tempdir().unwrap();
    let mut stores: Vec<(&str, Box<dyn FileServer>)> = vec![
        ("NoFileServer", Box::new(natsbridge::NoFileServer)),
        ("MemoryFileServer", Box::new(MemoryFileServer::new())),
        (
            "Directory",
            Box::new(natsbridge::Directory::new(StdPlatform, folder.path()).unwrap()),
        ),
        (
            "ObjectStore",
            Box::new(
                natsbridge::ObjectStore::new(MemoryBroker::new(), StdPlatform, "films").unwrap(),
            ),
        ),
        (
            "Stores",
            Box::new(natsbridge::Stores::new(MemoryFileServer::new())),
        ),
    ];
    #[cfg(feature = "ureq")]
    {
        use natsbridge::{HttpPut, Plik, host::UreqClient};

        let url = "http://127.0.0.1:1";
        let put = HttpPut::new(UreqClient::new(), StdPlatform, url).unwrap();
        stores.push(("HttpPut", Box::new(put)));
        let plik = Plik::new(UreqClient::new(), StdPlatform, url).unwrap();
        stores.push(("Plik", Box::new(plik)));
        #[cfg(feature = "s3")]
        {
            let options = natsbridge::S3Options::new("films").endpoint(url);
            let s3 = natsbridge::S3::new(UreqClient::new(), StdPlatform, options).unwrap();
            stores.push(("S3", Box::new(s3)));
        }
    }
    for (name, store) in &mut stores {
        for start in [
            "https://127.0.0.1:1/films/k",
            "nats-object://music/k",
            "file:///k",
            "k",
        ] {
            let url = format!("{start}?X-Amz-Signature={MARKER}");
            let mut sink = natsbridge::adapter::VecSink::new(9);
            let error = store.download(&url, 9, &mut sink).unwrap_err();
            printed.error(&format!("a download by {name}"), &error);
            if let Err(error) = store.delete(&Upload::new(url)) {
                printed.error(&format!("a delete by {name}"), &error);
            }
        }
    }
}

/// Nobody listens at port 1.
#[cfg(all(feature = "nats", feature = "ureq"))]
fn free_functions(printed: &mut Printed) {
    use natsbridge::host;

    let url = format!("nats://user:{MARKER}@127.0.0.1:1");
    let error = host::connect(&url, "http://127.0.0.1:1").unwrap_err();
    printed.error("host::connect", &error);
    let options = SendOptions::default().broker_url(url);
    let data = [("n", Payload::text("text"))];
    let error = host::smartsend("/chat", &data, &options).unwrap_err();
    printed.error("host::smartsend", &error);
}
