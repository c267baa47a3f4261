//! What must hold for any message, any send and any answer of a file server. The fuzz targets look
//! for a counterexample with the same functions; here they are tried on the golden vectors, on the
//! fuzzers' seeds, and on messages that are nearly right.

use std::fs;
use std::path::Path;

use natsbridge::{Json, Payload, PayloadType, SendOptions};
use proptest::prelude::*;
use proptest::sample::{Index, select};

#[path = "../fuzz/src/envelope.rs"]
mod envelope;
#[path = "../fuzz/src/file_server.rs"]
mod file_server;
#[path = "../fuzz/src/jetstream.rs"]
mod jetstream;
#[path = "../fuzz/src/plain.rs"]
mod plain;
#[cfg(feature = "fuzzing")]
#[path = "../fuzz/src/plain_http.rs"]
mod plain_http;
#[path = "../fuzz/src/receive.rs"]
mod receive;
#[path = "../fuzz/src/round_trip.rs"]
mod round_trip;
#[cfg(feature = "fuzzing")]
#[path = "../fuzz/src/session.rs"]
mod session;
#[path = "../fuzz/src/still.rs"]
mod still;
#[cfg(feature = "fuzzing")]
#[path = "../fuzz/src/wire.rs"]
mod wire;

/// All that is asserted of a message.
fn check_message(message: &[u8]) {
    envelope::parses(message);
    plain::agrees(message);
    receive::receives(message);
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let files = fs::read_dir(corpus.join(target)).expect("the corpus is there");
    let seeds: Vec<_> = files
        .map(|file| fs::read(file.expect("a file").path()).expect("it can be read"))
        .collect();
    assert!(!seeds.is_empty());
    seeds
}

#[test]
fn seeds_of_messages() {
    for seed in seeds("message") {
        check_message(&seed);
        let cuts = 0..seed.len().min(1000);
        cuts.for_each(|end| plain::agrees(&seed[..end]));
    }
}

#[test]
fn seeds_of_file_servers() {
    for seed in seeds("plik_answers") {
        file_server::plik_answers(&seed);
        (0..seed.len()).for_each(|end| file_server::plik_answers(&seed[..end]));
    }
}

#[cfg(feature = "fuzzing")]
#[test]
fn seeds_of_http_responses() {
    for seed in seeds("http_response") {
        (0..=seed.len()).for_each(|end| wire::http_response(&seed[..end]));
    }
}

#[cfg(feature = "fuzzing")]
#[test]
fn seeds_of_sessions() {
    for seed in seeds("nats_session") {
        (0..=seed.len()).for_each(|end| session::nats_session(&seed[..end]));
    }
}

#[cfg(feature = "fuzzing")]
#[test]
fn seeds_of_the_nats_protocol() {
    for seed in seeds("nats_protocol") {
        (0..=seed.len()).for_each(|end| wire::nats_protocol(&seed[..end]));
    }
}

/// A stream that is nearly one of HTTP responses: its parts are right, most of the time.
#[cfg(feature = "fuzzing")]
fn responses() -> impl Strategy<Value = Vec<u8>> {
    let parts = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 201 \r\n",
        "HTTP/1.1 204\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 304 \t\u{e9}\r\n",
        "HTTP/1.1 099 x\r\n",
        "HTTP/1.1  200 OK\r\n",
        "Content-Length: 3\r\n",
        "content-length: 3, 3\r\n",
        "Content-Length:0\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Location: /a?b\r\n",
        "Location : x\r\n",
        "Retry-After: 7 \r\n",
        "X:\t\t\r\n",
        " folded\r\n",
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "abc",
        "3\r\nabc\r\n",
        "00a;x=y\r\n0123456789\r\n",
        "3 \t;\r\nabc\r\n",
        "0\r\n\r\n",
        "0\r\nT: t\r\n\r\n",
        "0\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "0000000000000000003\r\nabc\r\n",
        "\0",
        "\u{7f}",
    ];
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    // Behind a whole head, and long enough for every limit to be met and to be passed.
    let long = [
        chunked.to_string(),
        chunked.to_string(),
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".to_string(),
        format!("{chunked}3;{}\r\nabc\r\n", "x".repeat(252)),
        format!("{chunked}3;{}\r\nabc\r\n", "x".repeat(253)),
        format!("{chunked}0\r\n{}\r\n\r\n", "t".repeat(4092)),
        format!("{chunked}0\r\n{}\r\n\r\n", "t".repeat(4093)),
        format!("HTTP/1.1 204 \r\n{}\r\n", "A: b\r\n".repeat(64)),
        format!("HTTP/1.1 204 \r\n{}\r\n", "A: b\r\n".repeat(65)),
        format!("HTTP/1.1 204 \r\nA: {}\r\n\r\n", "x".repeat(78)),
        format!("HTTP/1.1 204 \r\nA: {}\r\n\r\n", "x".repeat(79)),
    ];
    let parts: Vec<String> = parts.iter().map(ToString::to_string).chain(long).collect();
    let stream = proptest::collection::vec(select(parts), 0..14);
    (any::<u8>(), stream).prop_map(|(seed, parts)| [&[seed], parts.concat().as_bytes()].concat())
}

#[cfg(feature = "fuzzing")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// Issue 10: the reader of responses finds what a plain reader finds.
    #[test]
    fn http_responses_are_read_as_a_plain_reader_reads_them(input in responses()) {
        wire::http_response(&input);
    }
}

#[cfg(feature = "fuzzing")]
proptest! {
    #[test]
    fn sessions_do_as_the_model(steps in proptest::collection::vec(any::<u8>(), 0..600)) {
        session::nats_session(&steps);
    }
}

#[test]
fn seeds_of_jetstream() {
    for seed in seeds("jetstream_answers") {
        jetstream::jetstream_answers(&seed);
        (0..seed.len()).for_each(|end| jetstream::jetstream_answers(&seed[..end]));
    }
}

/// A JSON value that may stand in a field of a message.
fn value() -> impl Strategy<Value = String> {
    let fixed = [
        "null",
        "true",
        "3",
        "3.0",
        "-1",
        "0",
        "1e999",
        "{}",
        "[]",
        "[[",
        "{\"a\":[1]}",
        "\"\"",
        "\"text\"",
        "\"dictionary\"",
        "\"jsontable\"",
        "\"binary\"",
        "\"direct\"",
        "\"link\"",
        "\"YQ==\"",
        "\"YR==\"",
        "\"YQ\"",
        "\"Y\\u0051==\"",
        "\"W10=\"",
        "\"//8=\"",
        "\"\\/\\/8=\"",
        "\"\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "\"\n\"",
        "\"\\u0000\"",
        "\"http://memory.invalid/0000000000000000/f\"",
    ];
    prop_oneof![
        3 => select(fixed.to_vec()).prop_map(String::from),
        1 => ".{0,30}".prop_map(|text| serde_json::json!(text).to_string()),
        1 => "[A-Za-z0-9+/]{0,30}={0,3}".prop_map(|text| format!("\"{text}\"")),
    ]
}

/// An object of most of these fields, each with the value that it should have or with another.
fn object(fields: Vec<(&'static str, BoxedStrategy<String>)>) -> BoxedStrategy<String> {
    let field = |(name, good): (&'static str, BoxedStrategy<String>)| {
        let pair = move |value: String| format!("\"{name}\":{value}");
        prop_oneof![
            90 => good.prop_map(pair),
            2 => value().prop_map(pair),
            1 => Just(String::new()),
            1 => value().prop_map(move |value| format!("{0},{0}", pair(value))),
        ]
    };
    let fields: Vec<_> = fields.into_iter().map(field).collect();
    let join = |mut fields: Vec<String>| {
        fields.retain(|field| !field.is_empty());
        format!("{{{}}}", fields.join(","))
    };
    fields.prop_shuffle().prop_map(join).boxed()
}

fn good(values: &[&str]) -> BoxedStrategy<String> {
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    select(values).boxed()
}

fn nearly_a_message() -> impl Strategy<Value = String> {
    let types = PayloadType::ALL.map(|kind| format!("\"{kind}\""));
    let entry = object(vec![
        ("id", good(&["\"i\"", "null"])),
        ("dataname", good(&["\"d\"", "\"\\u00e9\""])),
        ("payload_type", select(types.to_vec()).boxed()),
        ("transport", good(&["\"direct\"", "\"direct\"", "\"link\""])),
        ("encoding", good(&["\"base64\"", "null"])),
        ("size", good(&["null", "2", "2", "5"])),
        (
            "data",
            good(&[
                "\"W10=\"",
                "\"\\u005710=\"",
                "\"http://memory.invalid/0000000000000000/f\"",
            ]),
        ),
        ("metadata", good(&["{}", "{\"sha256\":\"00\"}", "null"])),
    ]);
    let entries = prop::collection::vec(entry, 0..4).prop_map(|all| format!("[{}]", all.join(",")));
    object(vec![
        ("correlation_id", good(&["\"c\""])),
        ("msg_id", good(&["\"m\"", "null"])),
        ("x", value().boxed()),
        ("metadata", good(&["{}", "null", "{\"a\": [1, 2]}"])),
        ("payloads", entries.boxed()),
    ])
}

/// A seed with a part of another in it.
fn spliced(target: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds = seeds(target);
    let cuts = (
        any::<Index>(),
        any::<Index>(),
        any::<Index>(),
        any::<Index>(),
    );
    (select(seeds.clone()), select(seeds), cuts).prop_map(|(one, other, (a, b, c, d))| {
        let place = |cut: Index, bytes: &[u8]| cut.index(bytes.len() + 1);
        let (start, end) = (place(a, &other), place(b, &other));
        let part = &other[start.min(end)..start.max(end)];
        let (start, end) = (place(c, &one), place(d, &one));
        [&one[..start.min(end)], part, &one[start.max(end)..]].concat()
    })
}

fn payload() -> impl Strategy<Value = Payload<'static>> {
    let json = prop_oneof![
        value().prop_filter_map("JSON", |text| serde_json::from_str(&text).ok()),
        ".{0,20}".prop_map(|text| serde_json::json!({ text.as_str(): [text, 1.5] })),
    ];
    let bytes = prop::collection::vec(any::<u8>(), 0..400);
    prop_oneof![
        ".{0,200}".prop_map(Payload::text),
        json.clone()
            .prop_map(|json| Payload::dictionary(&json).expect("it is finite")),
        json.prop_map(|json| Payload::json_table(&[json]).expect("it is a finite array")),
        bytes.clone().prop_map(|bytes| Payload::Image(bytes.into())),
        bytes.prop_map(Payload::binary),
    ]
}

fn send_options() -> impl Strategy<Value = SendOptions> {
    let threshold = prop::option::of(0usize..300);
    // At times one that is about as long as it may be.
    let text = prop_oneof![19 => ".{0,20}", 1 => "[a-z:/@.]{1000,1050}|[a-z:/.]{1980,2010}"];
    let texts = prop::collection::vec(text, 8);
    let metadata = prop::option::weighted(
        0.3,
        value().prop_filter_map("JSON", |text| Json::from_text(text).ok()),
    );
    let parts = (threshold, texts, metadata, any::<[bool; 4]>());
    parts.prop_map(|(size_threshold, texts, metadata, flags)| {
        let options = SendOptions::default()
            .allow_empty(flags[3])
            .msg_purpose(&texts[0])
            .sender_name(&texts[1])
            .receiver_name(&texts[2])
            .receiver_id(&texts[3])
            .reply_to_msg_id(&texts[4])
            .is_publish(flags[0] || flags[1])
            .confirm(flags[2]);
        let mut options = match flags[0] {
            true => options.correlation_id(&texts[5]).msg_id(&texts[6]),
            false => options.broker_url(&texts[7]),
        };
        options.size_threshold = size_threshold;
        options.metadata = metadata;
        options
    })
}

fn sending() -> impl Strategy<Value = round_trip::Sending> {
    let subject = prop_oneof![
        8 => Just("/chat".to_string()),
        1 => "[a-z.>* \n]{0,6}",
        1 => "[a-z]{1000,1050}|[a-z]{1980,2010}",
    ];
    let name = prop_oneof![9 => "[^\\p{Cc}]{0,12}", 1 => ".{0,5}", 1 => "[a-z]{1010,1030}"];
    let payloads = prop::collection::vec((name, payload()), 0..5);
    let max_payload = select(vec![1 << 20, 5000, 2000, 1000, 700]);
    (subject, payloads, send_options(), max_payload, 1usize..50).prop_map(
        |(subject, payloads, options, max_payload, chunk)| round_trip::Sending {
            subject,
            payloads,
            options,
            max_payload,
            chunk,
        },
    )
}

proptest! {
    #[test]
    fn messages_that_are_nearly_right(message in nearly_a_message()) {
        check_message(message.as_bytes());
    }

    #[test]
    fn messages_made_of_others(message in spliced("message")) {
        check_message(&message);
    }

    #[test]
    fn noise(message in prop::collection::vec(any::<u8>(), 0..200)) {
        check_message(&message);
        file_server::plik_answers(&message);
        jetstream::jetstream_answers(&message);
    }

    #[test]
    fn answers_made_of_others(answers in spliced("plik_answers")) {
        file_server::plik_answers(&answers);
    }

    #[test]
    fn answers_of_jetstream_made_of_others(answers in spliced("jetstream_answers")) {
        jetstream::jetstream_answers(&answers);
    }

    #[test]
    fn what_is_sent_comes_back(sending in sending()) {
        round_trip::comes_back(&sending);
    }
}
