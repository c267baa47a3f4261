//! Each limit of the front page's table at one below, at itself and at one above. Those of the
//! protocols (control line, response head, header fields, chunk line, trailers) are tested beside
//! their parsers, those of connections with their adapters.

use natsbridge::adapter::{
    FileServer, MAX_SUBJECT_LEN, SliceBody, SubjectUse, VecSink, check_queue, check_subject,
};
use natsbridge::host::StdPlatform;
use natsbridge::memory::{MemoryBroker, MemoryFileServer};
use natsbridge::{
    Envelope, Error, ErrorKind, Json, Limits, Measured, NatsBridge, NoFileServer, Payload,
    ReceiveOptions, SendOptions, Transport,
};

type Outcome = Result<(), ErrorKind>;

/// Tries `limit - 1`, `limit` and `limit + 1`: only the last is an error, of kind `refused`.
fn check(what: &str, limit: usize, refused: ErrorKind, attempt: impl Fn(usize) -> Outcome) {
    for (at, expected) in [
        (limit - 1, Ok(())),
        (limit, Ok(())),
        (limit + 1, Err(refused)),
    ] {
        assert_eq!(
            attempt(at),
            expected,
            "{what}: {at} with a limit of {limit}"
        );
    }
}

fn send(
    limits: &Limits,
    broker: MemoryBroker,
    subject: &str,
    data: &[(&str, Payload<'_>)],
    options: &SendOptions,
) -> Outcome {
    let mut bridge = NatsBridge::new(broker, NoFileServer, StdPlatform).with_limits(limits.clone());
    let sent = bridge.smartsend(subject, data, options);
    sent.map(drop).map_err(|error| error.kind())
}

fn receive(limits: &Limits, message: &str) -> Result<(), Error> {
    let mut files = MemoryFileServer::new();
    // It is at http://memory.invalid/0000000000000000/f and has 20 bytes.
    files.upload("f", &mut SliceBody::new(&[b'x'; 20])).unwrap();
    let mut bridge =
        NatsBridge::new(MemoryBroker::new(), files, StdPlatform).with_limits(limits.clone());
    let received = bridge.smartreceive(message, &ReceiveOptions::default());
    received.map(drop)
}

fn message(payloads: &[String]) -> String {
    let payloads = payloads.join(",");
    format!(r#"{{"correlation_id":"c","payloads":[{payloads}]}}"#)
}

fn payload(name: &str) -> String {
    format!(r#"{{"dataname":"{name}","payload_type":"text","transport":"direct","data":""}}"#)
}

#[test]
fn of_what_is_sent() {
    let limits = Limits::default()
        .max_payload_size(30)
        .max_payloads(5)
        .max_name_len(40);
    let options = SendOptions::default();
    let attempt = |data: &[(&str, Payload<'_>)], options: &SendOptions| {
        send(&limits, MemoryBroker::new(), "s", data, options)
    };
    check("payload", 30, ErrorKind::TooLarge, |len| {
        attempt(&[("d", Payload::binary(vec![0; len]))], &options)
    });
    check("payloads", 5, ErrorKind::InvalidInput, |count| {
        attempt(&vec![("d", Payload::text("")); count], &options)
    });
    let text = |len| "x".repeat(len);
    check("name", 40, ErrorKind::TooLarge, |len| {
        attempt(&[(&text(len), Payload::text(""))], &options)
    });
    check("option", 40, ErrorKind::InvalidInput, |len| {
        attempt(
            &[],
            &options.clone().allow_empty(true).sender_name(text(len)),
        )
    });
}

#[test]
fn of_a_message_that_the_broker_takes() {
    let options = SendOptions::default().keep_json(true);
    let len_of = |data: &[(&str, Payload<'_>)]| {
        let mut bridge = NatsBridge::new(MemoryBroker::new(), NoFileServer, StdPlatform);
        let sent = bridge.smartsend("s", data, &options).unwrap();
        sent.json().unwrap().len()
    };
    let data = [("d", Payload::binary(vec![7; 300]))];
    let len = len_of(&data);
    // Here it is the limit that moves: one more than the message, as much, one less.
    check("message", len, ErrorKind::TooLarge, |at| {
        let broker = MemoryBroker::with_max_payload(2 * len - at);
        send(&Limits::default(), broker, "s", &data, &options)
    });
}

#[test]
fn of_what_becomes_a_link() {
    for (len, expected) in [
        (99, Transport::Direct),
        (100, Transport::Link),
        (101, Transport::Link),
    ] {
        let files = MemoryFileServer::new();
        let mut bridge = NatsBridge::new(MemoryBroker::new(), files, StdPlatform)
            .with_limits(Limits::default().size_threshold(100));
        let data = [("d", Payload::binary(vec![0; len]))];
        let options = SendOptions::default();
        let sent = bridge.smartsend("s", &data, &options).unwrap();
        let transport = sent.envelope().payloads[0].transport().unwrap();
        assert_eq!(transport, expected, "{len}");
    }
}

#[test]
fn of_what_is_received() {
    let limits = Limits::default()
        .max_message_size(700)
        .max_payloads(5)
        .max_name_len(40);
    let attempt = |message: String| receive(&limits, &message).map_err(|error| error.kind());
    check("message", 700, ErrorKind::InvalidMessage, |len| {
        let message = message(&[payload("d")]);
        let spaces = " ".repeat(len - message.len());
        attempt(message + &spaces)
    });
    check("payloads", 5, ErrorKind::InvalidMessage, |count| {
        attempt(message(&vec![payload("d"); count]))
    });
    check("name", 40, ErrorKind::InvalidMessage, |len| {
        attempt(message(&[payload(&"x".repeat(len))]))
    });
    check("escaped name", 40, ErrorKind::InvalidMessage, |len| {
        attempt(message(&[payload(&"\\/".repeat(len))]))
    });
}

#[test]
fn of_what_is_downloaded() {
    let link = |size: &str| {
        let url = "http://memory.invalid/0000000000000000/f";
        message(&[format!(
            r#"{{"dataname":"d","payload_type":"text","transport":"link","data":"{url}"{size}}}"#
        )])
    };
    for size in ["", r#","size":20"#] {
        for (limit, fits) in [(19, false), (20, true), (21, true)] {
            let limits = Limits::default().max_download_size(limit);
            let received = receive(&limits, &link(size));
            assert_eq!(received.is_ok(), fits, "{limit} {size:?}: {received:?}");
        }
    }
    for (size, fits) in [(19, false), (20, true), (21, false)] {
        let received = receive(&Limits::default(), &link(&format!(r#","size":{size}"#)));
        assert_eq!(received.is_ok(), fits, "{size}: {received:?}");
    }
}

/// A message with links to the file of 20 bytes, each with these fields.
fn links(fields: &[&str]) -> String {
    let url = "http://memory.invalid/0000000000000000/f";
    let link = |fields: &&str| {
        format!(
            r#"{{"dataname":"d","payload_type":"text","transport":"link","data":"{url}"{fields}}}"#
        )
    };
    message(&fields.iter().map(link).collect::<Vec<_>>())
}

/// Issue 10, point 8: links to one large file, a thousand times.
#[test]
fn of_all_that_is_downloaded_for_a_message() {
    let announced = links(&[r#","size":20"#; 3]);
    let not_announced = links(&[""; 3]);
    let some_announced = links(&["", r#","size":20"#, ""]);
    for message in [&announced, &not_announced, &some_announced] {
        for (limit, fits) in [(59, false), (60, true), (61, true)] {
            let limits = Limits::default().max_total_download_size(limit);
            let received = receive(&limits, message);
            assert_eq!(received.is_ok(), fits, "{limit}: {received:?}");
            if let Err(error) = received {
                let len = 60;
                let what = Measured::Downloads;
                assert!(
                    matches!(&error, Error::TooLarge { what: w, len: l, limit: 59 } if *w == what && *l == len),
                    "{error:?}"
                );
            }
        }
    }
}

/// What is over the limit by its own announcement is not fetched at all.
#[test]
fn a_link_bomb_is_refused_before_the_first_byte() {
    let link = r#"{"dataname":"d","payload_type":"binary","transport":"link","data":"http://nobody.invalid/f","size":50000000}"#;
    let bomb = message(&vec![link.to_string(); 20]);
    assert!(bomb.len() < 5600);
    let error = receive(&Limits::default(), &bomb).unwrap_err();
    let text = error.to_string();
    assert_eq!(
        text,
        "the total of all linked files of 1000000000 bytes is over the limit of 268435456 bytes"
    );
}

#[test]
fn of_what_is_opened_into_memory() {
    for fields in ["", r#","size":20"#] {
        let message = links(&[fields]);
        for (limit, fits) in [(19, false), (20, true), (21, true)] {
            let limits = Limits::default().max_opened_size(limit);
            let received = receive(&limits, &message);
            assert_eq!(received.is_ok(), fits, "{limit} {fields:?}: {received:?}");
        }
        // Into a sink it may be downloaded all the same.
        let mut files = MemoryFileServer::new();
        files.upload("f", &mut SliceBody::new(&[b'x'; 20])).unwrap();
        let limits = Limits::default()
            .max_opened_size(19)
            .max_total_download_size(19);
        let mut bridge =
            NatsBridge::new(MemoryBroker::new(), files, StdPlatform).with_limits(limits);
        let envelope = Envelope::parse(message.as_bytes(), &Limits::default()).unwrap();
        let mut sink = VecSink::new(20);
        let options = ReceiveOptions::default();
        let entry = &envelope.payloads[0];
        assert_eq!(bridge.download(entry, &options, &mut sink).unwrap(), 20);
        assert!(bridge.open(entry, &options).is_err());
    }
}

/// Issue 10, point 4: what is sent with texts of these lengths is received, or not sent.
#[test]
fn of_texts_are_the_same_for_who_writes_and_who_reads() {
    let options = SendOptions::default;
    let sends = |subject: &str, options: &SendOptions| {
        let broker = MemoryBroker::new();
        let bridge = NatsBridge::new(broker, NoFileServer, StdPlatform);
        let mut bridge = bridge.with_broker_url("x".repeat(1500));
        bridge.subscribe(">", None).unwrap();
        let data = [("d", Payload::text(""))];
        let sent = bridge.smartsend(subject, &data, options);
        sent.map_err(|error| error.kind())?;
        let received = bridge.next(std::time::Duration::ZERO);
        received
            .expect("the reader accepts it")
            .expect("it is there");
        Ok(())
    };
    let text = |len| "x".repeat(len);
    check("subject", 2000, ErrorKind::InvalidInput, |len| {
        sends(&text(len), &options())
    });
    check("reply_to", 2000, ErrorKind::InvalidInput, |len| {
        sends("s", &options().reply_to(text(len)))
    });
    check("broker_url", 2000, ErrorKind::InvalidInput, |len| {
        sends("s", &options().broker_url(text(len)))
    });
    check("sender_name", 1024, ErrorKind::InvalidInput, |len| {
        sends("s", &options().sender_name(text(len)))
    });
    check("msg_id", 1024, ErrorKind::InvalidInput, |len| {
        sends("s", &options().msg_id(text(len)))
    });
}

#[test]
fn of_subjects() {
    for (len, fits) in [
        (MAX_SUBJECT_LEN - 1, true),
        (MAX_SUBJECT_LEN, true),
        (MAX_SUBJECT_LEN + 1, false),
    ] {
        let text = "x".repeat(len);
        assert_eq!(check_subject(&text, SubjectUse::Publish).is_ok(), fits);
        assert_eq!(check_subject(&text, SubjectUse::Subscribe).is_ok(), fits);
        assert_eq!(check_queue(&text).is_ok(), fits, "{len}");
    }
}

/// Any depth is received; what is parsed into a value is up to serde_json.
#[test]
fn of_nesting() {
    for (depth, fits) in [(126, true), (127, true), (128, false), (100_000, false)] {
        let text = "[".repeat(depth) + &"]".repeat(depth);
        let json = Json::from_text(text).unwrap();
        let parsed = json.parse::<serde_json::Value>();
        assert_eq!(parsed.is_ok(), fits, "{depth}");
        let beside = format!(
            r#"{{"correlation_id":"c","payloads":[],"x":{}}}"#,
            json.as_str()
        );
        assert!(receive(&Limits::default(), &beside).is_ok(), "{depth}");
    }
}
