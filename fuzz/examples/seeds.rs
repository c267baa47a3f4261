//! Makes the seed corpus: `cargo run --example seeds`, here. Messages are the golden vectors of up to
//! 1,000 bytes, and one that is short of memory's limit; what servers say is written out below.

use std::path::Path;
use std::{fs, io};

use serde_json::Value;

const LONGEST: usize = 1000;

/// One byte that says how to cut, then what a NATS server sends.
const NATS: [(&str, &str); 8] = [
    (
        "hello",
        "aINFO {\"server_id\":\"N\",\"max_payload\":1048576,\"headers\":true,\"tls_required\":false,\"connect_urls\":[\"127.0.0.1:4222\"]}\r\nPING\r\n+OK\r\nPONG\r\n",
    ),
    (
        "messages",
        "bMSG a.b 1 5\r\nhello\r\nMSG a.b 1 _INBOX.x 0\r\n\r\nmsg\ta\t2\t 3\r\nabc\r\n",
    ),
    (
        "headers",
        "cHMSG s 7 r 12 17\r\nNATS/1.0\r\n\r\nhello\r\nHMSG s 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
    ),
    (
        "no-responders",
        "dHMSG _INBOX.x 3 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPONG\r\n",
    ),
    (
        "refused",
        "eMSG a 1 21\r\n123456789012345678901\r\nMSG \u{fffd} 1 1\r\nx\r\nPING\r\n",
    ),
    (
        "errors",
        "f-ERR 'Permissions Violation for Publish to \"a\"'\r\n-ERR 'Maximum Payload Violation'\r\n-ERR\r\n",
    ),
    ("malformed", "gMSG a 1 99999999999999999999\r\nx"),
    ("payload-end", "hMSG a 1 2\r\nabc\r\n"),
];

/// How much room there is, then steps of the users and the server of a session.
const SESSION: [(&str, &[u8]); 11] = [
    (
        "confirmed",
        b"\x00\x04\x00\x01\x02\x06\x00\x0c\x00\x0f\x00\x04\x00\x01\x02\x06\x00\x08\x00\x06\x00\x0c\x01\x0f\x00",
    ),
    (
        "received",
        b"\x00\x01\x00\x01\x09\x00\x00\x05\x09\x00\x03\x09\x0f\xc8\x0f\x00\x11\x00\x11\x00\x11\x00",
    ),
    (
        "dropped",
        b"\x01\x01\x00\x01\x09\x00\x00\x64\x09\x00\x00\x64\x09\x00\x00\x64\x09\x00\x00\x64\x09\x00\x00\x64\x0f\x00\x11\x00\x11\x00\x09\x00\x00\x64\x09\x00\x00\x64\x09\x00\x00\x64\x0f\x00\x13\x33\x11\x00\x12\x00\x00\x00\x11\x00",
    ),
    (
        "refused",
        b"\x00\x04\x00\x01\x00\x0d\x00\x01\x0d\x02\x05\x06\x00\x0c\x00\x0f\x00\x06\x00\x0c\x00\x0f\x00\x11\x00",
    ),
    (
        "lost",
        b"\x00\x01\x00\x01\x09\x00\x00\x05\x0f\x00\x04\x00\x01\x00\x06\x00\x17\x00\x03\x14\x01\x11\x00\x11\x00\x06\x00\x12\x00\x00\x00",
    ),
    (
        "inbox",
        b"\x00\x01\x00\x01\x01\x00\x02\x17\x00\x03\x14\x01\x09\x01\x00\x05\x0f\x00\x17\x00\x03\x14\x01\x12\x00\x01\x00\x12\x00\x01\x00\x03\x00\x01\x11\x00\x11\x00",
    ),
    (
        "moved",
        b"\x00\x01\x00\x01\x01\x00\x02\x06\x00\x15\x00\x02\x01\x00\x00\x05\x01\x00\x05\x00\x01\x05\x00\x00\x05\x01\x00\x05\x0f\x00\x11\x00\x11\x00\x11\x00\x11\x00\x11\x00\x11\x00",
    ),
    (
        "not-moved",
        b"\x00\x01\x00\x01\x15\x01\x02\x01\x00\x00\x05\x15\x02\x00\x01\x00\x00\x05\x15\x04\x01\x01\x00\x00\x05\x00\x00\x05",
    ),
    ("silent", b"\x00\x13\xff\x13\x65\x13\x65\x14\x01\x13\x03"),
    (
        "hostile",
        b"\x01\x01\x00\x01\x0e\x00\x00\x0e\x01\x00\x0e\x02\x00\x14\x0e\x05\x00\x0e\x06\x00\x0f\x00\x13\x00\x11\x00\x11\x00\x0e\x09\x00\x0f\x85\x0f\x00\x14\x00",
    ),
    (
        "raw",
        b"\x00\x00\x01\x01\x01\x16\x13MSG a 1 1\r\nx\r\nPONG\r\n\x14\x01\x17\x01\x00",
    ),
];

/// One byte that says how to cut, then what an HTTP server sends.
const HTTP: [(&str, &str); 8] = [
    (
        "length",
        "aHTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n",
    ),
    (
        "chunks",
        "bHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=\"y\"\r\n world\r\n0\r\nTrailer: t\r\n\r\n",
    ),
    (
        "interim",
        "cHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "redirect",
        "dHTTP/1.1 302 Found\r\nLocation: http://elsewhere/x\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "later",
        "eHTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 2, 2\r\n\r\nno",
    ),
    (
        "ambiguous",
        "fHTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("old", "gHTTP/1.0 200 OK\r\nServer: s\r\n\r\nuntil the end"),
    (
        "huge-chunk",
        "hHTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\nFFFFFFFFFFFFFFFF\r\nx",
    ),
];

/// Answers to create, add, download and delete.
const PLIK: [(&str, &str); 6] = [
    (
        "good",
        "200\n{\"id\":\"u1\",\"uploadToken\":\"t1\",\"downloadDomain\":\"\",\"stream\":false}\u{1e}200\n{\"id\":\"f1\",\"fileName\":\"d.txt\",\"fileSize\":5,\"fileMd5\":\"5d41402abc4b2a76b9719d911017c592\"}\u{1e}200\nhello\u{1e}200\nok",
    ),
    (
        "domain",
        "200\n{\"id\":\"u1\",\"uploadToken\":\"t1\",\"downloadDomain\":\"https://dl.example/\"}\u{1e}200\n{\"id\":\"f1\",\"fileName\":\"d.txt\",\"fileSize\":5,\"fileMd5\":\"5d41402abc4b2a76b9719d911017c592\"}\u{1e}404\ngone",
    ),
    (
        "mismatch",
        "200\n{\"id\":\"u1\",\"uploadToken\":\"t1\"}\u{1e}200\n{\"id\":\"f1\",\"fileName\":\"d.txt\",\"fileSize\":4,\"fileMd5\":\"00\"}\u{1e}200\nok",
    ),
    ("later", "429;7\nslow down\u{1e}503;1\n\u{1e}500\noops"),
    (
        "redirect",
        "302;;/#/?err=file+gone&errcode=404&uri=/file/x\n\u{1e}0\n\u{1e}201\n",
    ),
    (
        "stream",
        "200\n{\"id\":\"u1\",\"uploadToken\":\"t1\",\"stream\":true}",
    ),
];

/// What a server answers to requests of JetStream; see `src/jetstream.rs`.
const JETSTREAM: [(&str, &str); 8] = [
    (
        "stream",
        ";;\n{\"type\":\"io.nats.jetstream.api.v1.stream_info_response\",\"config\":{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_msgs\":5},\"state\":{\"messages\":3,\"bytes\":120,\"first_seq\":1,\"last_seq\":3,\"consumer_count\":1}}\u{1e};;\n{\"success\":true}",
    ),
    (
        "created",
        ";;\n{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}}\u{1e};;\n{\"error\":{\"code\":400,\"err_code\":10058,\"description\":\"name in use\"}}\u{1e};;\n{\"config\":{\"name\":\"S\",\"subjects\":null,\"max_msgs\":-1}}",
    ),
    (
        "stored",
        ";;\n{\"stream\":\"S\",\"seq\":1,\"duplicate\":true,\"domain\":\"d\"}",
    ),
    (
        "no-stream",
        "503;;\n\u{1e};;\n{\"total\":0,\"streams\":null}\u{1e}?;;\u{1e}!;;\u{1e}-;;s.a\u{1e}503;;",
    ),
    (
        "full",
        ";;\n{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"maximum messages exceeded\"},\"stream\":\"S\",\"seq\":0}\u{1e};;\n{\"error\":{\"code\":503,\"err_code\":10008,\"description\":\"unavailable\"}}",
    ),
    (
        "consumer",
        ";;\n{\"name\":\"w\",\"config\":{\"durable_name\":\"w\",\"ack_policy\":\"explicit\",\"max_deliver\":5},\"num_pending\":2}\u{1e};$JS.ACK.S.w.1.1.1.1795638205528304585.1;s.a\n{\"correlation_id\":\"c\",\"payloads\":[{\"dataname\":\"n\",\"payload_type\":\"text\",\"transport\":\"direct\",\"data\":\"aGk=\"}]}\u{1e};;\n\u{1e};$JS.ACK.d.h.S.w.1.2.2.1.0.r;s.a\nno message\u{1e}100;;\u{1e}408;;_INBOX.x.1\u{1e}409;;\u{1e}404;;\u{1e}!;;\u{1e}503;;\u{1e};;\n{\"error\":{\"code\":404,\"err_code\":10014,\"description\":\"consumer not found\"}}",
    ),
    (
        "object",
        ";;\n{\"message\":{\"subject\":\"$O.files.M.YS9i\",\"data\":\"eyJuYW1lIjoiYS9iIiwibnVpZCI6Im4iLCJzaXplIjo1LCJjaHVua3MiOjIsImRpZ2VzdCI6IlNIQS0yNTY9TFBKTnVsLXdvdzRtNkRzcXhibmluaHNXSGx3ZnAwSmVjd1F6WXBPTG1DUT0ifQ==\"}}\u{1e};;\n{\"name\":\"e\",\"num_pending\":2}\u{1e};$JS.ACK.OBJ_files.e.1.1.1.1.1;$O.files.C.n\nhel\u{1e};$JS.ACK.OBJ_files.e.1.2.2.1.0;$O.files.C.n\nlo",
    ),
    (
        "upload",
        ";;\n{\"config\":{\"name\":\"OBJ_files\",\"subjects\":[\"$O.files.C.>\",\"$O.files.M.>\"],\"discard\":\"new\",\"allow_rollup_hdrs\":true}}\u{1e};;\n{\"stream\":\"OBJ_files\",\"seq\":1}\u{1e};;i.1\n{\"stream\":\"OBJ_files\",\"seq\":2}\u{1e};;i.2\n{\"stream\":\"OBJ_files\",\"seq\":3}\u{1e};;\n{\"stream\":\"OBJ_files\",\"seq\":4}\u{1e};;\n{\"error\":{\"code\":404,\"err_code\":10037,\"description\":\"no message found\"}}",
    ),
];

fn main() -> io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (target, seeds) in [
        ("nats_protocol", &NATS[..]),
        ("http_response", &HTTP[..]),
        ("plik_answers", &PLIK[..]),
        ("jetstream_answers", &JETSTREAM[..]),
    ] {
        for (name, seed) in seeds {
            write(&fuzz.join("corpus").join(target), name, seed.as_bytes())?;
        }
    }
    for (name, seed) in SESSION {
        write(&fuzz.join("corpus/nats_session"), name, seed)?;
    }
    let messages = fuzz.join("corpus/message");
    write(&messages, "tiny-payloads", tiny_payloads().as_bytes())?;
    for folder in ["receive", "receive-forms", "send"] {
        for file in fs::read_dir(fuzz.join("../tests/vectors").join(folder))? {
            let path = file?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            if let Some(message) = message(&fs::read(&path)?) {
                write(&messages, &name, &message)?;
            }
        }
    }
    Ok(())
}

/// What takes the most memory for its length: as many payloads as a message may have in any case,
/// each as short as can be.
fn tiny_payloads() -> String {
    let tiny = r#"{"dataname":"","payload_type":"text","transport":"direct","data":""}"#;
    let payloads = [tiny; 400].join(",");
    format!(r#"{{"correlation_id":"c","payloads":[{payloads}]}}"#)
}

/// The message of a vector.
fn message(vector: &[u8]) -> Option<Vec<u8>> {
    let vector: Value = serde_json::from_slice(vector).ok()?;
    let text = ["input", "envelope"].map(|key| vector[key].as_str());
    let bytes = match text.into_iter().flatten().next() {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let digits = vector["input_hex"].as_str()?;
            let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
            (0..digits.len())
                .step_by(2)
                .map(byte)
                .collect::<Option<_>>()?
        }
    };
    // A link in the vectors leads to a port of the machine that made them; ours are in memory.
    let text = String::from_utf8(bytes).ok()?;
    let in_memory = "http://memory.invalid/0000000000000000/f";
    let text = match text.split_once("\"data\": \"http://") {
        Some((before, after)) => {
            let (_, after) = after.split_once('"')?;
            format!("{before}\"data\": \"{in_memory}\"{after}")
        }
        None => text,
    };
    (text.len() <= LONGEST).then(|| text.into_bytes())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name), bytes)
}
