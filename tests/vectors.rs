//! The wire contract, against what another member of the family made and accepted.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::files::FixedFiles;
use natsbridge::host::StdPlatform;
use natsbridge::memory::MemoryBroker;
use natsbridge::{
    Envelope, Error, ErrorKind, FileServerErrorKind, Json, Limits, NatsBridge, NoFileServer,
    Payload, PayloadType, ReceiveOptions, Received, SendOptions,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

const SUBJECTS_REFUSED: [&str; 3] = ["subject-empty", "subject-spaces-crlf", "subject-wildcards"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name)
}

/// Each vector of a folder: its name, its text and its value.
fn vectors(name: &str) -> Vec<(String, String, Value)> {
    let mut files: Vec<_> = fs::read_dir(folder(name))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        // A number that no `Value` can hold is looked at as text only.
        let parts: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
        let part = |(key, raw): (String, &RawValue)| {
            (key, serde_json::from_str(raw.get()).unwrap_or_default())
        };
        let value = Value::Object(parts.into_iter().map(part).collect());
        (
            path.file_stem().unwrap().to_str().unwrap().to_string(),
            text,
            value,
        )
    };
    files.into_iter().map(read).collect()
}

fn hex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| ((i * 167 + (i >> 8)) & 255) as u8)
        .collect()
}

fn filled(size: usize, fill: &str) -> Vec<u8> {
    match fill {
        "pattern" => pattern(size),
        "zero" => vec![0; size],
        "ff" => vec![0xff; size],
        _ => panic!("unknown fill {fill}"),
    }
}

fn bridge(files: BTreeMap<String, Vec<u8>>) -> NatsBridge<MemoryBroker, FixedFiles, StdPlatform> {
    NatsBridge::new(MemoryBroker::new(), FixedFiles::serving(files), StdPlatform)
}

/// Receives from every form a message can have, and makes sure that they all say the same.
fn receive(message: &[u8], files: &BTreeMap<String, Vec<u8>>) -> Result<Received, Error> {
    let options = ReceiveOptions::default().max_retries(1);
    let copied = bridge(files.clone()).smartreceive(message, &options);
    let mut bytes = message.to_vec();
    let in_place = bridge(files.clone()).receive_in_place(bytes.as_mut_slice(), &options);
    match (&copied, &in_place) {
        (Ok(copied), Ok(in_place)) => assert_eq!(copied, in_place),
        (Err(_), Err(_)) => {}
        _ => panic!("copied and in place differ: {copied:?} {in_place:?}"),
    }
    if let Ok(envelope) = Envelope::parse(message, &Limits::default()) {
        let parsed = bridge(files.clone()).smartreceive(&envelope, &options);
        assert_eq!(parsed.is_ok(), copied.is_ok());
    }
    copied
}

/// Whether two JSON texts say the same, numbers included: neither may be rounded.
fn same_json(ours: &str, theirs: &str) -> bool {
    let (ours, theirs) = (ours.trim(), theirs.trim());
    if let (Ok(ours), Ok(theirs)) = (
        serde_json::from_str::<BTreeMap<String, &RawValue>>(ours),
        serde_json::from_str::<BTreeMap<String, &RawValue>>(theirs),
    ) {
        let same = |(ours, theirs): ((&String, &&RawValue), (&String, &&RawValue))| {
            ours.0 == theirs.0 && same_json(ours.1.get(), theirs.1.get())
        };
        return ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same);
    }
    if let (Ok(ours), Ok(theirs)) = (
        serde_json::from_str::<Vec<&RawValue>>(ours),
        serde_json::from_str::<Vec<&RawValue>>(theirs),
    ) {
        let same = |(ours, theirs): (&&RawValue, &&RawValue)| same_json(ours.get(), theirs.get());
        return ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same);
    }
    let number = |text: &str| text.parse::<f64>();
    match (number(ours), number(theirs)) {
        // A whole number is the same only to the letter.
        (Ok(a), Ok(b)) if ours.contains(['.', 'e', 'E']) => a.to_bits() == b.to_bits(),
        (Ok(_), Ok(_)) => ours == theirs,
        _ => {
            serde_json::from_str::<Value>(ours).unwrap()
                == serde_json::from_str::<Value>(theirs).unwrap()
        }
    }
}

/// The payloads of an outcome, with the JSON of each kept as text.
#[derive(serde::Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    ok: Option<OutcomeEnvelope<'a>>,
}

#[derive(serde::Deserialize)]
struct OutcomeEnvelope<'a> {
    #[serde(borrow)]
    payloads: Vec<OutcomePayload<'a>>,
}

#[derive(serde::Deserialize)]
struct OutcomePayload<'a> {
    dataname: String,
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    #[serde(borrow)]
    json: Option<&'a RawValue>,
    hex: Option<String>,
}

#[derive(serde::Deserialize)]
struct ReceiveVector<'a> {
    #[serde(borrow)]
    outcome: Outcome<'a>,
}

fn check_payloads(name: &str, received: &Received, expected: &OutcomeEnvelope<'_>) {
    assert_eq!(received.payloads.len(), expected.payloads.len(), "{name}");
    for ((dataname, payload), expected) in received.payloads.iter().zip(&expected.payloads) {
        assert_eq!(*dataname, expected.dataname, "{name}");
        assert_eq!(payload.payload_type().as_str(), expected.kind, "{name}");
        if let Some(text) = &expected.text {
            assert_eq!(payload.as_text(), Some(text.as_str()), "{name}");
        } else if let Some(digits) = &expected.hex {
            assert_eq!(payload.as_bytes(), Some(&*hex(digits)), "{name}");
        } else {
            let ours = payload.as_json().unwrap().as_str();
            let theirs = expected.json.map_or("null", RawValue::get);
            assert!(
                theirs.contains("\"$") || same_json(ours, theirs),
                "{name}: {ours} {theirs}"
            );
        }
    }
}

fn check_envelope(name: &str, received: &Received, outcome: &Map<String, Value>) {
    let envelope = &received.envelope;
    for (field, ours) in [
        ("correlation_id", &envelope.correlation_id),
        ("msg_id", &envelope.msg_id),
        ("timestamp", &envelope.timestamp),
        ("send_to", &envelope.send_to),
        ("msg_purpose", &envelope.msg_purpose),
        ("sender_name", &envelope.sender_name),
        ("sender_id", &envelope.sender_id),
        ("receiver_name", &envelope.receiver_name),
        ("receiver_id", &envelope.receiver_id),
        ("reply_to", &envelope.reply_to),
        ("reply_to_msg_id", &envelope.reply_to_msg_id),
        ("broker_url", &envelope.broker_url),
    ] {
        let theirs = outcome
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default();
        assert_eq!(ours, theirs, "{name}: {field}");
    }
}

fn check_vector(name: &str, text: &str, value: &Value, message: &[u8], expect: &str) {
    let files = value["downloads"].as_object().cloned().unwrap_or_default();
    let files = files
        .into_iter()
        .filter_map(|(url, file)| Some((url, hex(file["hex"].as_str()?))));
    let received = receive(message, &files.collect());
    match (expect, &received) {
        ("ok", Err(error)) => panic!("{name} should be read: {error:?}"),
        ("error", Ok(_)) => panic!("{name} should be refused"),
        (_, Err(error)) => check_refusal(name, error),
        (_, Ok(received)) => {
            let vector: ReceiveVector<'_> = serde_json::from_str(text).unwrap();
            if let (Some(payloads), Some(outcome)) =
                (&vector.outcome.ok, value["outcome"]["ok"].as_object())
            {
                check_payloads(name, received, payloads);
                check_envelope(name, received, outcome);
            }
        }
    }
}

/// A refusal is the message's fault, and says where unless the whole is no JSON object.
fn check_refusal(name: &str, error: &Error) {
    if name.contains("link") && error.kind() == ErrorKind::FileServer(FileServerErrorKind::NotFound)
    {
        return;
    }
    assert_eq!(error.kind(), ErrorKind::InvalidMessage, "{name}: {error:?}");
    let Error::Message(fault) = error else {
        panic!("{name}: {error:?}");
    };
    let is_whole = fault.payload.is_none() && fault.field.is_none();
    let whole = [
        "json-",
        "truncated-",
        "empty",
        "null-",
        "not-json",
        "bom",
        "utf8-",
        "trailing-",
        "raw-",
        "nan-in",
        "nested-100000-top",
    ];
    assert!(
        !is_whole || whole.iter().any(|start| name.starts_with(start)),
        "{name}: {fault}"
    );
}

fn expected() -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder("expected.json")).unwrap();
    let table: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    let expect =
        |(name, entry): (String, Value)| (name, entry["expect"].as_str().unwrap().to_string());
    table.into_iter().map(expect).collect()
}

#[test]
fn messages_are_answered_as_expected() {
    let expected = expected();
    let all = vectors("receive");
    assert!(all.len() > 180, "only {} vectors", all.len());
    for (name, text, value) in all {
        let message = value["input"].as_str().unwrap();
        let expect = &expected[&format!("receive/{name}")];
        check_vector(&name, &text, &value, message.as_bytes(), expect);
    }
}

#[test]
fn messages_in_any_form_are_answered_as_expected() {
    let expected = expected();
    for (name, text, value) in vectors("receive-forms") {
        let message = hex(value["input_hex"].as_str().unwrap());
        check_vector(
            &name,
            &text,
            &value,
            &message,
            &expected[&format!("receive-forms/{name}")],
        );
    }
}

/// The kinds of message that are too large to keep.
#[test]
fn large_messages_are_answered() {
    let none = BTreeMap::new();
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let payload = |data: &str, kind: &str| {
        format!(
            r#"{{"correlation_id":"c","payloads":[{{"dataname":"d","payload_type":"{kind}","transport":"direct","data":"{data}"}}]}}"#
        )
    };
    let dictionary = payload(&STANDARD.encode(&deep), "dictionary");
    let received = receive(dictionary.as_bytes(), &none).unwrap();
    assert_eq!(received.payloads[0].1.as_json().unwrap().as_str(), deep);
    let unknown = format!(r#"{{"correlation_id":"c","payloads":[],"x":{deep}}}"#);
    assert!(receive(unknown.as_bytes(), &none).is_ok());
    assert!(receive(deep.as_bytes(), &none).is_err());
    let large = pattern(150_000);
    let received = receive(
        payload(&STANDARD.encode(&large), "binary").as_bytes(),
        &none,
    )
    .unwrap();
    assert_eq!(received.payloads[0].1.as_bytes(), Some(&*large));
}

/// The job's payloads as a user of this crate would give them. A dictionary is given as the text
/// that the other member made of it, because that is what is compared.
fn payloads(job: &Value, envelope: &Value) -> Vec<(String, Payload<'static>)> {
    let payload = |(index, spec): (usize, &Value)| {
        let kind = PayloadType::from_name(spec["type"].as_str().unwrap()).unwrap();
        let bytes = if let Some(text) = spec["text"].as_str() {
            text.as_bytes().to_vec()
        } else if let Some(digits) = spec["hex"].as_str() {
            hex(digits)
        } else if let Some(size) = spec["size"].as_u64() {
            filled(
                usize::try_from(size).unwrap(),
                spec["fill"].as_str().unwrap(),
            )
        } else if envelope["payloads"][index]["transport"] == "direct" {
            STANDARD
                .decode(envelope["payloads"][index]["data"].as_str().unwrap())
                .unwrap()
        } else {
            spaced(&spec["json"]).into_bytes()
        };
        let name = spec["dataname"].as_str().unwrap().to_string();
        (name, Payload::deserialize(kind, bytes.into()).unwrap())
    };
    job["payloads"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(payload)
        .collect()
}

/// JSON with a space behind colons and commas, as Python writes it.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let parts = map
                .iter()
                .map(|(key, value)| format!("\"{key}\": {}", spaced(value)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
        }
        Value::Array(values) => {
            format!(
                "[{}]",
                values.iter().map(spaced).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string(),
    }
}

fn options(job: &Value) -> SendOptions {
    let given = &job["options"];
    let text = |name: &str| given[name].as_str().map(ToString::to_string);
    let mut options = SendOptions::default().is_publish(false).allow_empty(true);
    options.correlation_id = text("correlation_id");
    options.msg_id = text("msg_id");
    options.sender_id = text("sender_id");
    options.broker_url = text("broker_url");
    options.size_threshold = given["size_threshold"].as_u64().map(|size| size as usize);
    for (name, option) in [
        ("msg_purpose", &mut options.msg_purpose),
        ("sender_name", &mut options.sender_name),
        ("receiver_name", &mut options.receiver_name),
        ("receiver_id", &mut options.receiver_id),
        ("reply_to", &mut options.reply_to),
        ("reply_to_msg_id", &mut options.reply_to_msg_id),
    ] {
        *option = text(name).unwrap_or_else(|| option.clone());
    }
    options
}

/// Sends as the job says, with a file server that answers as the job's upload handler.
fn send(job: &Value, data: &[(&str, Payload<'_>)], limits: Limits) -> Result<String, Error> {
    let files = match (&job["handler"]["returns"]["url"], &job["handler"]["raises"]) {
        (Value::String(url), _) => FixedFiles::storing_at(url),
        (_, Value::String(class)) if class == "NotImplementedError" => FixedFiles::unsupported(),
        (_, Value::String(class)) => FixedFiles::failing(class),
        _ => FixedFiles::unsupported(),
    };
    let subject = job["subject"].as_str().unwrap();
    let mut bridge = NatsBridge::new(MemoryBroker::new(), files, StdPlatform).with_limits(limits);
    let sent = bridge.smartsend(subject, data, &options(job).keep_json(true))?;
    Ok(sent.json().unwrap().to_string())
}

/// Takes out what differs from run to run, and the digest that only this member adds to links.
fn comparable(mut envelope: Value) -> Value {
    envelope["timestamp"] = json!("");
    for payload in envelope["payloads"].as_array_mut().unwrap() {
        payload["id"] = json!("");
        payload["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("sha256");
    }
    envelope
}

#[test]
fn what_is_sent_is_what_the_family_sends() {
    // A null option or URL is not to be had here; nothing to compare with.
    let cannot_be_given = ["options-null", "link-url-is-null"];
    let mut compared = 0;
    for (name, _, value) in vectors("send") {
        let job = &value["job"];
        let theirs: Value = match serde_json::from_str(value["envelope"].as_str().unwrap()) {
            Ok(envelope) if !cannot_be_given.contains(&name.as_str()) => envelope,
            _ => continue,
        };
        if name == "dictionary-nan-infinity" {
            let data = STANDARD
                .decode(theirs["payloads"][0]["data"].as_str().unwrap())
                .unwrap();
            assert!(Json::from_text(String::from_utf8(data).unwrap()).is_err());
            continue;
        }
        let payloads = payloads(job, &theirs);
        let data: Vec<_> = payloads
            .iter()
            .map(|(name, data)| (name.as_str(), data.clone()))
            .collect();
        let sent = send(job, &data, Limits::default());
        if SUBJECTS_REFUSED.contains(&name.as_str()) {
            assert!(matches!(sent, Err(Error::Subject(_))), "{name}");
            continue;
        }
        let ours: Value = serde_json::from_str(&sent.unwrap()).unwrap();
        assert!(comparable(ours) == comparable(theirs), "{name} differs");
        compared += 1;
    }
    assert!(compared >= 35, "only {compared} compared");
}

#[test]
fn what_the_family_refuses_to_send_is_refused() {
    for (name, _, value) in vectors("send-errors") {
        let job = &value["job"];
        let message = value["error"]["message"].as_str().unwrap();
        if message.contains("must be")
            || message.contains("Unknown payload_type")
            || name.ends_with("given-bytes")
        {
            // The types of this crate have no way to say these.
            continue;
        }
        let payloads = payloads(job, &Value::Null);
        let data: Vec<_> = payloads
            .iter()
            .map(|(name, data)| (name.as_str(), data.clone()))
            .collect();
        let error = send(job, &data, Limits::micropython()).unwrap_err();
        let expected = match message.contains("exceeds max size") {
            true => matches!(&error, Error::TooLarge { limit: 50_000, .. }),
            false => matches!(&error, Error::FileServer { .. }),
        };
        assert!(expected, "{name}: {error:?}");
    }
}

#[test]
fn a_link_goes_direct_where_there_is_no_file_server() {
    let mut bridge = NatsBridge::new(MemoryBroker::new(), NoFileServer, StdPlatform);
    let options = SendOptions::default().size_threshold(3);
    let data = [("a", Payload::text("abc")), ("b", Payload::text("ab"))];
    let sent = bridge.smartsend("/chat", &data, &options).unwrap();
    let direct = |entry: &natsbridge::PayloadEntry<'_>| entry.transport_name == "direct";
    assert!(sent.envelope().payloads.iter().all(direct));
}

#[test]
fn a_link_carries_the_digest_and_it_is_checked() {
    let url = "http://127.0.0.1:8080/f";
    let message = |sha256: &str| {
        format!(
            r#"{{"correlation_id":"c","payloads":[{{"dataname":"d","payload_type":"text","transport":"link","data":"{url}","metadata":{{"sha256":"{sha256}"}}}}]}}"#
        )
    };
    let files = BTreeMap::from([(url.to_string(), b"abc".to_vec())]);
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(receive(message(digest).as_bytes(), &files).is_ok());
    assert!(receive(message(&digest.to_uppercase()).as_bytes(), &files).is_ok());
    let error = receive(message(&digest.replace('b', "c")).as_bytes(), &files).unwrap_err();
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("SHA-256")
    );
}
