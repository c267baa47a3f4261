//! The NATS client protocol as bytes: [`Parser`] for what the server says, functions for what a client says.
//!
//! The parser is fed with whatever pieces the socket gives and hands out one [`Op`] at a time. How the bytes
//! were cut never changes what comes out. A payload is copied once, into a `Vec` of its exact length; apart
//! from that the parser holds one control line.
//!
//! Two kinds of fault are kept apart. What only the server writes (verbs, lengths, line ends) is a
//! [`ParseError`]: the place in the stream is lost and the parser stays failed. What another client chose (the
//! size of a message, its subject) is no reason to drop the connection: that message is read past and
//! reported as [`Op::Refused`].
//!
//! Sections named here are those of "Client Protocol" in the NATS documentation, and ADR-4 for headers.

mod error;
mod info;
mod op;
mod parser;
mod write;

pub(crate) use self::error::{MessageError, ParseError};
pub(crate) use self::info::ServerInfo;
pub(crate) use self::op::Op;
pub(crate) use self::parser::{Limits, Parser};
pub(crate) use self::write::{
    CRLF, ConnectOptions, connect, headers_len, ping, pong, publish_head,
    publish_head_with_headers, subscribe, unsubscribe,
};

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::string::{String, ToString as _};
    use alloc::vec;
    use alloc::vec::Vec;
    use core::mem;

    use proptest::prelude::*;

    use super::op::Msg;
    use super::parser::{KEPT_LINE, SHOWN_LINE, State};
    use super::*;
    use alloc::format;

    type Outcome = (Vec<Op>, Option<ParseError>);

    /// There is room for every payload.
    fn feed(parser: &mut Parser, input: &[u8]) -> Result<(usize, Option<Op>), ParseError> {
        parser.feed(input, &|_| usize::MAX)
    }

    /// Feeds one piece after the other, as a caller does.
    fn run<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let mut parser = Parser::new(limits);
        let mut ops = Vec::new();
        for piece in pieces {
            let mut input = piece;
            while !input.is_empty() {
                match feed(&mut parser, input) {
                    Ok((used, op)) => {
                        assert!(op.is_some() || used == input.len(), "no op, but input left");
                        assert!(used > 0, "no progress");
                        input = &input[used..];
                        ops.extend(op);
                    }
                    Err(error) => {
                        assert_eq!(
                            feed(&mut parser, b"PING\r\n"),
                            Err(error.clone()),
                            "not failed"
                        );
                        assert_eq!(parser.line.capacity(), 0, "memory kept");
                        return (ops, Some(error));
                    }
                }
            }
        }
        (ops, None)
    }

    fn run_whole(limits: Limits, bytes: &[u8]) -> Outcome {
        run(limits, [bytes])
    }

    fn small() -> Limits {
        Limits {
            max_control_line: 40,
            max_info_line: 60,
            max_payload: 20,
            max_headers: 30,
        }
    }

    fn msg(subject: &str, sid: u64, reply: Option<&str>, headers: &[u8], body: &[u8]) -> Op {
        Op::Msg(Msg {
            subject: subject.to_owned(),
            sid,
            reply: reply.map(str::to_owned),
            headers: headers.to_vec(),
            payload: body.to_vec(),
        })
    }

    fn refused(sid: u64, error: MessageError) -> Op {
        Op::Refused { sid, error }
    }

    /// Every op, in the spellings that are allowed.
    fn transcript() -> Vec<(&'static [u8], Op)> {
        let info = ServerInfo {
            max_payload: 4096,
            headers: true,
            tls_required: true,
            tls_available: true,
            lame_duck: false,
            nonce: Some("n\u{e9}".to_owned()),
            connect_urls: vec!["a:1".to_owned(), "b:2".to_owned()],
        };
        let small = ServerInfo {
            max_payload: 1,
            lame_duck: true,
            ..ServerInfo::default()
        };
        vec![
            (
                b"INFO {\"server_id\":\"NA\",\"version\":\"2.9.10\",\"max_payload\":4096,\"headers\":true,\
                  \"auth_required\":true,\"tls_required\":true,\"tls_available\":true,\"nonce\":\"n\\u00e9\",\
                  \"connect_urls\":[\"a:1\",\"b:2\"],\"xkey\":{\"a\":[null]}} \r\n",
                Op::Info(info),
            ),
            (b"+OK\r\n", Op::Ok),
            (b"PING\r\n", Op::Ping),
            (b"pong\n", Op::Pong),
            (b"PiNg \t\r\n", Op::Ping),
            (b"MSG a.b 9 5\r\nhello\r\n", msg("a.b", 9, None, b"", b"hello")),
            (b"msg\t/chat \t 18446744073709551615  _INBOX.1\t0 \n\r\n", {
                msg("/chat", u64::MAX, Some("_INBOX.1"), b"", b"")
            }),
            (
                b"MSG a 1 12\r\n\r\nPING\r\n\0\xff\r\n\r\n",
                msg("a", 1, None, b"", b"\r\nPING\r\n\0\xff\r\n"),
            ),
            (
                b"HMSG _INBOX.1 2 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
                msg("_INBOX.1", 2, None, b"NATS/1.0 503\r\n\r\n", b""),
            ),
            (
                b"hmsg s 3 r 26 29\r\nNATS/1.0 100 Idle\r\nA:b\r\n\r\nxyz\r\n",
                msg("s", 3, Some("r"), b"NATS/1.0 100 Idle\r\nA:b\r\n\r\n", b"xyz"),
            ),
            (
                b"HMSG s 4 17 19\r\nNATS/1.0\r\nA:b\r\n\r\nhi\r\n",
                msg("s", 4, None, b"NATS/1.0\r\nA:b\r\n\r\n", b"hi"),
            ),
            (
                // Another client's headers are not looked into here.
                b"HMSG s 4 9 9\r\n\xff\r\nPING\r\n\r\n",
                msg("s", 4, None, b"\xff\r\nPING\r\n", b""),
            ),
            (b"HMSG s 5 0 2\r\nhi\r\n", msg("s", 5, None, b"", b"hi")),
            (
                b"-ERR 'Unknown Protocol Operation'\r\n",
                Op::Err("Unknown Protocol Operation".to_owned()),
            ),
            (b"-err it's so\r\n", Op::Err("it's so".to_owned())),
            (
                b"MSG caf\xe9 6 2\r\nhi\r\n",
                refused(6, MessageError::SubjectNotUtf8),
            ),
            (b"INFO\t{\"max_payload\":1,\"ldm\":true}\r\n", Op::Info(small)),
        ]
    }

    fn joined() -> (Vec<u8>, Vec<Op>) {
        let (mut bytes, mut ops) = (Vec::new(), Vec::new());
        for (part, op) in transcript() {
            bytes.extend_from_slice(part);
            ops.push(op);
        }
        (bytes, ops)
    }

    #[test]
    fn each_op_in_one_piece() {
        for (bytes, expected) in transcript() {
            let shown = bytes.escape_ascii();
            assert_eq!(
                run_whole(Limits::default(), bytes),
                (vec![expected], None),
                "{shown}"
            );
        }
    }

    #[test]
    fn stops_behind_one_op() {
        let mut parser = Parser::new(Limits::default());
        assert_eq!(feed(&mut parser, b""), Ok((0, None)));
        assert_eq!(
            feed(&mut parser, b"PING\r\nPONG\r\n+O"),
            Ok((6, Some(Op::Ping)))
        );
        assert_eq!(feed(&mut parser, b"PONG\r\n+O"), Ok((6, Some(Op::Pong))));
        assert_eq!(feed(&mut parser, b"+O"), Ok((2, None)));
        assert_eq!(feed(&mut parser, b"K\n"), Ok((2, Some(Op::Ok))));
    }

    #[test]
    fn every_cut_gives_the_same_ops() {
        let (bytes, ops) = joined();
        let expected = (ops, None);
        assert_eq!(run(Limits::default(), bytes.chunks(1)), expected);
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(
                run(Limits::default(), [head, tail]),
                expected,
                "cut at {cut}"
            );
        }
    }

    /// The one place where the parser's memory use is pinned down: one exact payload, a small line.
    #[test]
    fn payload_is_held_once_in_its_exact_length() {
        let body = vec![7; 67_000];
        let mut parser = Parser::new(Limits::default());
        let head = b"MSG a 1 67000\r\n";
        assert_eq!(feed(&mut parser, head), Ok((head.len(), None)));
        for chunk in body.chunks(1000) {
            assert_eq!(feed(&mut parser, chunk), Ok((chunk.len(), None)));
            assert!(parser.line.capacity() <= KEPT_LINE);
        }
        let Ok((2, Some(Op::Msg(msg)))) = feed(&mut parser, CRLF) else {
            panic!("no message");
        };
        assert_eq!((msg.payload.capacity(), msg.payload), (67_000, body));
    }

    #[test]
    fn headers_are_held_once_in_their_exact_length() {
        let block = vec![b'h'; 60_000];
        let mut parser = Parser::new(Limits::default());
        let head = b"HMSG s 1 60000 60002\r\n";
        assert_eq!(feed(&mut parser, head), Ok((head.len(), None)));
        for chunk in block.chunks(1000) {
            assert_eq!(feed(&mut parser, chunk), Ok((chunk.len(), None)));
            assert!(parser.line.capacity() <= KEPT_LINE);
        }
        assert_eq!(feed(&mut parser, b"hi"), Ok((2, None)));
        let Ok((2, Some(Op::Msg(msg)))) = feed(&mut parser, CRLF) else {
            panic!("no message");
        };
        assert_eq!((msg.headers.capacity(), msg.headers), (60_000, block));
        assert_eq!((msg.payload.capacity(), &*msg.payload), (2, &b"hi"[..]));
    }

    #[test]
    fn a_long_line_is_given_back() {
        let mut parser = Parser::new(Limits::default());
        let line = format!("INFO {{\"connect_urls\":[\"{}\"]}}\r\n", "x".repeat(60_000));
        let Ok((_, Some(Op::Info(info)))) = feed(&mut parser, line.as_bytes()) else {
            panic!("no INFO");
        };
        assert_eq!(info, ServerInfo::default());
        assert!(parser.line.capacity() <= KEPT_LINE);
    }

    /// A line of `len` bytes and a LF: `start`, as many `x` as are needed, `end`.
    fn filled(start: &str, len: usize, end: &str) -> Vec<u8> {
        let middle = len - start.len() - end.len();
        format!("{start}{}{end}\n", "x".repeat(middle)).into_bytes()
    }

    #[test]
    fn limit_of_lines() {
        let too_long = Some(ParseError::LineTooLong { limit: 40 });
        let info_too_long = Some(ParseError::InfoTooLong { limit: 60 });
        let (info, info_end) = ("INFO {\"a\":\"", "\"}\r");
        let cases = [
            (filled("PING ", 39, "\r"), None),
            (filled("PING ", 40, "\r"), None),
            (filled("PING ", 40, ""), None),
            (filled("PING ", 41, "\r"), too_long.clone()),
            (filled("INFOX ", 41, "\r"), too_long.clone()),
            (filled("PING ", 4000, "\r"), too_long.clone()),
            (filled(info, 59, info_end), None),
            (filled(info, 60, info_end), None),
            (filled(info, 61, info_end), info_too_long.clone()),
            (filled("info\t{\"a\":\"", 61, info_end), info_too_long),
            // Without any LF the limit holds as well.
            (vec![b'x'; 41], too_long),
        ];
        for (line, error) in cases {
            let shown = line.escape_ascii();
            let whole = run_whole(small(), &line);
            assert_eq!(whole.1, error, "{shown}");
            assert_eq!(whole.0.len(), usize::from(error.is_none()), "{shown}");
            assert_eq!(run(small(), line.chunks(1)), whole, "{shown}");
        }
    }

    #[test]
    fn a_message_over_a_limit_costs_only_itself() {
        let payload = |len| MessageError::PayloadTooLarge { len, limit: 20 };
        let headers = |len| MessageError::HeadersTooLarge { len, limit: 30 };
        let cases: [(usize, usize, Option<MessageError>); 8] = [
            (0, 19, None),
            (0, 20, None),
            (0, 21, Some(payload(21))),
            (29, 0, None),
            (30, 20, None),
            (31, 20, Some(headers(31))),
            (31, 21, Some(headers(31))),
            (30, 5000, Some(payload(5000))),
        ];
        for (header_len, payload_len, error) in cases {
            let header = format!("NATS/1.0 503{:1$}", "", header_len.saturating_sub(12));
            let header = header.get(..header_len).unwrap_or_default();
            let body = "b".repeat(payload_len);
            let line = format!("HMSG s 7 {header_len} {}", header_len + payload_len);
            let bytes = format!("{line}\r\n{header}{body}\r\nPING\r\n");

            let kept = msg("s", 7, None, header.as_bytes(), body.as_bytes());
            let first = error.map_or(kept, |error| refused(7, error));
            let expected = (vec![first, Op::Ping], None);
            assert_eq!(run_whole(small(), bytes.as_bytes()), expected, "{line}");
            assert_eq!(run(small(), bytes.as_bytes().chunks(1)), expected, "{line}");
        }
    }

    #[test]
    fn the_room_of_a_subscription_counts_from_the_next_control_line_on() {
        let mut parser = Parser::new(small());
        let message = b"MSG s 7 5\r\nhello\r\n";
        let kept = msg("s", 7, None, b"", b"hello");
        let (used, op) = parser.feed(&message[..12], &|_| 5).unwrap();
        assert_eq!((used, op), (12, None));
        let full = |sid| if sid == 7 { 4 } else { 5 };
        let rest = parser.feed(&message[12..], &full).unwrap();
        assert_eq!(rest.1, Some(kept));
        let error = MessageError::PayloadTooLarge { len: 5, limit: 4 };
        let next = parser.feed(message, &full).unwrap();
        assert_eq!(next.1, Some(refused(7, error)));
        let other = parser.feed(b"MSG s 8 5\r\nhello\r\n", &full).unwrap();
        assert_eq!(other.1, Some(msg("s", 8, None, b"", b"hello")));
        // The parser's own limit holds whatever the room.
        let long = b"MSG s 8 21\r\n123456789012345678901\r\n";
        let error = MessageError::PayloadTooLarge { len: 21, limit: 20 };
        let long = parser.feed(long, &|_| usize::MAX).unwrap();
        assert_eq!(long.1, Some(refused(8, error)));
    }

    /// Nothing is reserved for a length that is merely claimed.
    #[test]
    fn huge_lengths() {
        let limits = Limits {
            max_payload: usize::MAX,
            ..Limits::default()
        };
        let line = format!("MSG s 1 {}\r\n", usize::MAX);
        let mut parser = Parser::new(limits);
        assert_eq!(feed(&mut parser, line.as_bytes()), Ok((line.len(), None)));
        let State::Payload(incoming) = &parser.state else {
            panic!("not in a payload: {:?}", parser.state);
        };
        let expected = MessageError::NoMemory { len: usize::MAX };
        assert_eq!(incoming.outcome, Err(expected));

        let mut parser = Parser::new(Limits::default());
        assert_eq!(feed(&mut parser, line.as_bytes()), Ok((line.len(), None)));
        let State::Payload(incoming) = &parser.state else {
            panic!("not in a payload: {:?}", parser.state);
        };
        let (len, limit) = (usize::MAX, 1_048_576);
        assert_eq!(
            incoming.outcome,
            Err(MessageError::PayloadTooLarge { len, limit })
        );
    }

    #[test]
    fn malformed_lines() {
        let arguments = [
            "MSG",
            "MSG s",
            "MSG s 1",
            "MSG s 1 r 2 3",
            "MSG s x 0",
            "MSG s -1 0",
            "MSG s 1 +1",
            "MSG s 1 1x",
            "MSG s 18446744073709551616 0",
            "MSG s 1 18446744073709551616",
            "MSG s 1 99999999999999999999",
            "HMSG s 1 12",
            "HMSG s 1 13 12",
            "HMSG s 1 r 12 12 1",
            "HMSG s 1 r 12 x",
            "HMSG s 1 r x 12",
        ];
        for line in arguments {
            let error = ParseError::BadArguments {
                line: line.to_owned(),
            };
            let bytes = format!("{line}\r\n");
            assert_eq!(
                run_whole(Limits::default(), bytes.as_bytes()),
                (vec![], Some(error)),
                "{line}"
            );
        }
        let verbs = [
            "",
            " PING",
            "PINGS",
            "INFO{}",
            "MSGS s 1 0",
            "OK",
            "ERR",
            "PUB a 0",
            "GET / HTTP/1.1",
        ];
        for line in verbs {
            let error = ParseError::UnknownVerb {
                line: line.to_owned(),
            };
            let bytes = format!("{line}\r\n");
            assert_eq!(
                run_whole(Limits::default(), bytes.as_bytes()),
                (vec![], Some(error)),
                "{line}"
            );
        }
        for json in [
            "",
            "{",
            "null",
            "[]",
            "{} x",
            "{\"headers\":1}",
            "{\"max_payload\":-1}",
            "{\"max_payload\":1.5}",
            "{\"ldm\":0}",
            "{\"tls_available\":\"yes\"}",
            "{\"nonce\":1}",
            "{\"nonce\":null}",
            "{\"connect_urls\":\"a:1\"}",
            "{\"connect_urls\":[1]}",
            "{\"connect_urls\":[\"a:1\"}",
        ] {
            let bytes = format!("INFO {json}\r\n");
            let (ops, error) = run_whole(Limits::default(), bytes.as_bytes());
            assert!(
                matches!((ops.len(), error), (0, Some(ParseError::BadInfo { .. }))),
                "{json}"
            );
        }
    }

    #[test]
    fn a_shown_line_is_escaped_and_short() {
        let mut line = b"\x1b[31m\xff".to_vec();
        line.resize(4000, b'x');
        line.push(b'\n');
        let start = format!("\\x1b[31m\\xff{}", "x".repeat(SHOWN_LINE - 6));
        let error = ParseError::UnknownVerb { line: start };
        assert_eq!(run_whole(Limits::default(), &line), (vec![], Some(error)));
    }

    /// The subject that it names stands at its end.
    #[test]
    fn a_server_error_is_whole() {
        for len in [0, 255, 256, 257, 4000, 65_000] {
            let bytes = format!("-ERR '{}'\r\n", "x".repeat(len));
            let expected = Op::Err("x".repeat(len));
            assert_eq!(
                run_whole(Limits::default(), bytes.as_bytes()),
                (vec![expected], None),
                "{len}"
            );
        }
        let bytes = b"-ERR 'Permissions Violation for Publish to \"it's\"'\r\n-ERR 'a\xffb'\r\n";
        let expected = ["Permissions Violation for Publish to \"it's\"", "a"];
        let expected = expected.map(|text| Op::Err(text.to_owned())).into();
        assert_eq!(run_whole(Limits::default(), bytes), (expected, None));
    }

    fn info(json: &str) -> ServerInfo {
        let line = format!("INFO {json}\r\n");
        match run_whole(Limits::default(), line.as_bytes()) {
            (ops, None) => match <[Op; 1]>::try_from(ops) {
                Ok([Op::Info(info)]) => info,
                other => panic!("{other:?}"),
            },
            (_, error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn connect_urls_are_kept_up_to_their_limits() {
        let urls = |count: usize, len: usize| {
            let url = format!("\"{}\"", "h".repeat(len));
            let json = format!("{{\"connect_urls\":[{}]}}", vec![url; count].join(","));
            info(&json).connect_urls
        };
        for (count, kept) in [(0, 0), (31, 31), (32, 32), (33, 32), (200, 32)] {
            assert_eq!(urls(count, 9).len(), kept, "{count} URLs");
        }
        for (len, kept) in [(0, 2), (299, 2), (300, 2), (301, 0), (10_000, 0)] {
            assert_eq!(urls(2, len).len(), kept, "of {len} bytes");
        }
        // A long one takes no place.
        let long = "h".repeat(301);
        let json = format!("{{\"connect_urls\":[\"{long}\",\"a:1\"],\"headers\":true}}");
        let found = info(&json);
        assert_eq!(
            (found.connect_urls, found.headers),
            (vec!["a:1".to_owned()], true)
        );
        for json in ["{\"connect_urls\":null}", "{\"connect_urls\":[]}", "{}"] {
            assert_eq!(info(json), ServerInfo::default(), "{json}");
        }
    }

    #[test]
    fn info_has_the_nonce_and_says_that_the_server_closes() {
        for (json, nonce, lame_duck) in [
            ("{}", None, false),
            ("{\"ldm\":false,\"nonce\":\"\"}", Some(""), false),
            ("{\"ldm\":true,\"nonce\":\"a\\\"b\"}", Some("a\"b"), true),
        ] {
            let info = info(json);
            assert_eq!(
                (info.nonce.as_deref(), info.lame_duck),
                (nonce, lame_duck),
                "{json}"
            );
        }
    }

    #[test]
    fn payload_must_end_in_cr_lf() {
        for end in ["\n", "x\n", "\r\r\n", "x\r\n", "\rx", " \r\n"] {
            let bytes = format!("MSG s 1 2\r\nhi{end}PING\r\n");
            let expected = (vec![], Some(ParseError::PayloadEnd));
            assert_eq!(
                run_whole(Limits::default(), bytes.as_bytes()),
                expected,
                "{end:?}"
            );
        }
    }

    #[test]
    fn encoders_append() {
        let mut out = b"x".to_vec();
        publish_head(&mut out, "/chat", None, 5);
        publish_head(&mut out, "a.b", Some("_INBOX.1"), usize::MAX);
        subscribe(&mut out, "/chat", None, 1);
        subscribe(&mut out, "a.>", Some("workers"), u64::MAX);
        unsubscribe(&mut out, 1);
        unsubscribe(&mut out, u64::MAX);
        ping(&mut out);
        pong(&mut out);
        let expected = format!(
            "xPUB /chat 5\r\nPUB a.b _INBOX.1 {}\r\nSUB /chat 1\r\nSUB a.> workers {}\r\n\
             UNSUB 1\r\nUNSUB {}\r\nPING\r\nPONG\r\n",
            usize::MAX,
            u64::MAX,
            u64::MAX
        );
        assert_eq!(String::from_utf8(out), Ok(expected));
    }

    #[test]
    fn headers_are_counted_as_they_are_written() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, &'a str);
        let cases: [Case<'_>; 2] = [
            (
                &[("Nats-Msg-Id", "17")],
                None,
                "HPUB a.b 29 34\r\nNATS/1.0\r\nNats-Msg-Id: 17\r\n\r\n",
            ),
            (
                &[("A", "é: x"), ("A", "")],
                Some("_INBOX.1"),
                "HPUB a.b _INBOX.1 27 32\r\nNATS/1.0\r\nA: é: x\r\nA: \r\n\r\n",
            ),
        ];
        for (headers, reply, expected) in cases {
            let mut out = Vec::new();
            publish_head_with_headers(&mut out, "a.b", reply, headers, 5);
            assert_eq!(
                String::from_utf8(out).as_deref(),
                Ok(expected),
                "{headers:?}"
            );
            let line = expected.find('\n').map_or(0, |end| end + 1);
            assert_eq!(headers_len(headers), expected.len() - line, "{headers:?}");
        }
        assert_eq!(headers_len(&[]), 0);
        let mut out = Vec::new();
        publish_head_with_headers(&mut out, "a", None, &[("A", "b")], usize::MAX);
        let expected = format!("HPUB a 18 {}\r\n", usize::MAX);
        assert!(
            out.starts_with(expected.as_bytes()),
            "{}",
            out.escape_ascii()
        );
    }

    /// What one client writes with HPUB another reads as HMSG.
    #[test]
    fn written_headers_are_read_again() {
        let headers = [("Nats-Msg-Id", "17"), ("Color", "r ü: d")];
        let mut out = Vec::new();
        publish_head_with_headers(&mut out, "a", None, &headers, 2);
        out.extend_from_slice(b"hi\r\n");
        let text = String::from_utf8(out)
            .unwrap()
            .replacen("HPUB a", "HMSG a 1", 1);
        let (ops, error) = run_whole(Limits::default(), text.as_bytes());
        let [Op::Msg(msg)] = &ops[..] else {
            panic!("{ops:?}, {error:?}");
        };
        assert_eq!(msg.payload, b"hi");
        assert_eq!(msg.headers.len(), headers_len(&headers));
        let read = crate::nats::Headers::from_block(msg.headers.clone());
        assert!(read.iter().eq(headers));
    }

    #[test]
    fn connect_lines() {
        let line = |options: &ConnectOptions| {
            let mut out = b"x".to_vec();
            connect(&mut out, options);
            String::from_utf8(out).unwrap()
        };
        let version = env!("CARGO_PKG_VERSION");
        let start = format!(
            "xCONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\
             \"version\":\"{version}\",\"protocol\":1,"
        );
        let expected = format!(
            "{start}\"tls_required\":false,\"echo\":false,\"headers\":false,\"no_responders\":false}}\r\n"
        );
        assert_eq!(line(&ConnectOptions::default()), expected);

        let expected = format!(
            "{start}\"tls_required\":true,\"echo\":true,\"headers\":true,\"no_responders\":true,\
             \"name\":\"n\\r\\nPUB\",\"user\":\"ü\",\"pass\":\"p\\\"\\\\\",\"auth_token\":\"t\",\
             \"nkey\":\"U\",\"jwt\":\"a.b.c\",\"sig\":\"s-_\"}}\r\n"
        );
        let options = ConnectOptions {
            tls_required: true,
            name: Some("n\r\nPUB"),
            echo: true,
            headers: true,
            user: Some("ü"),
            password: Some("p\"\\"),
            auth_token: Some("t"),
            nkey: Some("U"),
            jwt: Some("a.b.c"),
            signature: Some("s-_"),
        };
        assert_eq!(line(&options), expected);
    }

    /// Whatever is in the options, CONNECT is one line of JSON that says just that.
    #[test]
    fn no_option_ends_the_line_of_connect() {
        for text in [
            "",
            "\r\nPUB a 0\r\n\r\n",
            "\u{0}\u{1f}\u{7f}\u{2028}",
            "\"}\\",
            "é😀",
        ] {
            let options = ConnectOptions {
                name: Some(text),
                user: Some(text),
                password: Some(text),
                auth_token: Some(text),
                nkey: Some(text),
                jwt: Some(text),
                signature: Some(text),
                ..ConnectOptions::default()
            };
            let mut out = Vec::new();
            connect(&mut out, &options);
            let (line, end) = out.split_at(out.len() - 2);
            assert_eq!(end, CRLF);
            assert!(
                line.iter().all(|byte| *byte >= b' '),
                "{}",
                line.escape_ascii()
            );
            let json = line.strip_prefix(b"CONNECT ").unwrap();
            let read: serde_json::Value = serde_json::from_slice(json).unwrap();
            for name in ["name", "user", "pass", "auth_token", "nkey", "jwt", "sig"] {
                assert_eq!(read[name], text, "{name}");
            }
        }
    }

    #[cfg(debug_assertions)]
    #[test]
    fn unchecked_subjects_are_noticed_in_debug_builds() {
        for subject in ["", "a b", "a\tb", "a\rb", "a\nPUB b 0"] {
            for call in [
                |text: &str| publish_head(&mut Vec::new(), text, None, 0),
                |text: &str| publish_head(&mut Vec::new(), "a", Some(text), 0),
                |text: &str| publish_head_with_headers(&mut Vec::new(), text, None, &[], 0),
                |text: &str| publish_head_with_headers(&mut Vec::new(), "a", Some(text), &[], 0),
                |text: &str| subscribe(&mut Vec::new(), text, None, 0),
                |text: &str| subscribe(&mut Vec::new(), "a", Some(text), 0),
            ] {
                assert!(
                    std::panic::catch_unwind(|| call(subject)).is_err(),
                    "{subject:?}"
                );
            }
        }
    }

    #[test]
    fn errors_tell_numbers() {
        let error = MessageError::PayloadTooLarge { len: 21, limit: 20 };
        assert_eq!(
            error.to_string(),
            "payload of 21 bytes is over the limit of 20"
        );
        let error = ParseError::LineTooLong { limit: 40 };
        assert_eq!(
            error.to_string(),
            "control line is over the limit of 40 bytes"
        );
    }

    /// Bytes that get far into the parser: whole ops, cut ops and noise, in any order.
    fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
        let parts: Vec<Vec<u8>> = transcript()
            .into_iter()
            .map(|(part, _)| part.to_vec())
            .collect();
        let part = prop_oneof![
            4 => prop::sample::select(parts.clone()),
            1 => (prop::sample::select(parts), any::<prop::sample::Index>())
                .prop_map(|(part, cut)| part[..cut.index(part.len())].to_vec()),
            1 => "(INFO|H?MSG|msg|PING|-ERR)[ \t](s |[0-9]{1,3} |\\{\\}){0,6}\r?\n".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..50),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    /// Cuts `bytes` at the given places.
    fn pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut start = 0;
        let cut = |end| bytes[mem::replace(&mut start, end)..end].to_vec();
        ends.into_iter().map(cut).collect()
    }

    proptest! {
        #[test]
        fn random_cuts_give_the_same_ops(
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let (bytes, ops) = joined();
            let pieces = pieces(&bytes, &cuts);
            prop_assert_eq!(run(Limits::default(), pieces.iter().map(Vec::as_slice)), (ops, None));
        }

        #[test]
        fn cuts_never_matter_and_nothing_panics(
            bytes in likely_bytes(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            limits in (0usize..50, 0usize..200, 0usize..15, 0usize..30),
        ) {
            let limits = Limits {
                max_control_line: limits.0,
                max_info_line: limits.1,
                max_payload: limits.2,
                max_headers: limits.3,
            };
            for limits in [limits, Limits::default()] {
                let whole = run_whole(limits, &bytes);
                let pieces = pieces(&bytes, &cuts);
                prop_assert_eq!(&run(limits, pieces.iter().map(Vec::as_slice)), &whole);
                prop_assert_eq!(&run(limits, bytes.chunks(1)), &whole);
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let whole = run_whole(small(), &bytes);
            prop_assert_eq!(run(small(), bytes.chunks(1)), whole);
        }
    }
}
