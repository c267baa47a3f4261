//! HTTP/1.1 as bytes, client side: [`RequestHead`] writes a head, [`HeadParser`] reads a response head,
//! [`BodyDecoder`] its body. A request body is written by the caller, behind the head.
//!
//! On a non-blocking stack the end of a stream looks like silence. So a body must declare its end, by
//! `Content-Length` or by chunks; one that ends with the connection is refused. Anything that two readers could
//! interpret as different bodies is refused too (RFC 9112 section 11.2). How the bytes are split into pieces
//! never changes the result.

mod body;
mod error;
mod head;
mod request;

pub(crate) use self::body::BodyDecoder;
pub(crate) use self::error::ResponseError;
pub(crate) use self::head::{DEFAULT_MAX_HEAD, HeadParser, ResponseHead};
pub(crate) use self::request::RequestHead;

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::mem;

    use proptest::prelude::*;

    use super::body::{Decoded, MAX_CHUNK_LINE, MAX_TRAILERS};
    use super::error::RequestError;
    use super::head::Framing;
    use super::request::put;
    use super::*;

    fn get() -> RequestHead<'static> {
        RequestHead {
            method: "GET",
            target: "/",
            host: "h",
            headers: &[],
            content_length: None,
            close: false,
        }
    }

    #[test]
    fn request_heads() {
        let full = RequestHead {
            method: "POST",
            target: "/file/a%20b?x=1&y=%23",
            host: "[::1]:8080",
            headers: &[("X-UploadToken", "t\t\u{e9}"), ("Empty", "")],
            content_length: Some(u64::MAX),
            close: true,
        };
        let empty_body = RequestHead {
            content_length: Some(0),
            ..get()
        };
        let cases = [
            (get(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
            (
                empty_body,
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                full,
                "POST /file/a%20b?x=1&y=%23 HTTP/1.1\r\nHost: [::1]:8080\r\n\
                 Content-Length: 18446744073709551615\r\nConnection: close\r\n\
                 X-UploadToken: t\t\u{e9}\r\nEmpty: \r\n\r\n",
            ),
        ];
        for (head, expected) in cases {
            let mut out = b"before".to_vec();
            assert_eq!(head.encode(&mut out), Ok(()));
            assert_eq!(String::from_utf8(out), Ok(format!("before{expected}")));
        }
    }

    fn refusal(head: RequestHead) -> Option<RequestError> {
        let mut out = Vec::new();
        let error = head.encode(&mut out).err();
        assert!(error.is_none() || out.is_empty(), "something was written");
        error
    }

    #[test]
    fn request_heads_refused() {
        for method in ["", "GET ", "G T", "GET\r\n", "G\u{e9}T", "GET/"] {
            let error = refusal(RequestHead { method, ..get() });
            assert_eq!(error, Some(RequestError::BadMethod), "{method:?}");
        }
        let targets = [
            ("", 0),
            ("a", 0),
            ("*", 0),
            ("http://h/", 0),
            ("/a b", 2),
            ("/a\r\n", 2),
            ("/a\n", 2),
            ("/\0", 1),
            ("/\t", 1),
            ("/\x7f", 1),
            ("/#a", 1),
            ("/\u{e9}", 1),
        ];
        for (target, at) in targets {
            let error = refusal(RequestHead { target, ..get() });
            assert_eq!(error, Some(RequestError::BadTarget { at }), "{target:?}");
        }
        for (host, at) in [
            ("", 0),
            ("h ", 1),
            ("h\r\nX: y", 1),
            ("h/a", 1),
            ("u@h", 1),
            ("h?", 1),
            ("h\u{e9}", 1),
        ] {
            let error = refusal(RequestHead { host, ..get() });
            assert_eq!(error, Some(RequestError::BadHost { at }), "{host:?}");
        }
        for name in ["", "a b", "a:", "a\r\n", "a\0", "\u{e9}"] {
            let headers: &[(&str, &str)] = &[("ok", ""), (name, "")];
            let error = refusal(RequestHead { headers, ..get() });
            assert_eq!(
                error,
                Some(RequestError::BadHeaderName { index: 1 }),
                "{name:?}"
            );
        }
        for (value, at) in [
            ("\r", 0),
            ("a\r\nb: c", 1),
            ("a\n", 1),
            ("a\0", 1),
            ("a\x7f", 1),
            ("a\x1b", 1),
        ] {
            let headers: &[(&str, &str)] = &[("ok", value)];
            let error = refusal(RequestHead { headers, ..get() });
            assert_eq!(
                error,
                Some(RequestError::BadHeaderValue { index: 0, at }),
                "{value:?}"
            );
        }
        for name in ["Host", "CONTENT-LENGTH", "transfer-encoding", "Connection"] {
            let headers: &[(&str, &str)] = &[(name, "1")];
            let error = refusal(RequestHead { headers, ..get() });
            assert_eq!(
                error,
                Some(RequestError::ReservedHeader { index: 0 }),
                "{name:?}"
            );
        }
    }

    type Heads = (Vec<ResponseHead>, Option<ResponseError>);

    /// Feeds one piece after the other; heads may follow one another.
    fn heads<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Heads {
        let mut parser = HeadParser::new(limit);
        let mut heads = Vec::new();
        for piece in pieces {
            let mut input = piece;
            while !input.is_empty() {
                match parser.feed(input) {
                    Ok((used, head)) => {
                        assert!(
                            head.is_some() || used == input.len(),
                            "no head, but input left"
                        );
                        assert!(used > 0, "no progress");
                        input = &input[used..];
                        heads.extend(head);
                    }
                    Err(error) => {
                        assert_eq!(parser.feed(b"x"), Err(error.clone()), "not failed");
                        assert_eq!(parser.raw.capacity(), 0, "memory kept");
                        return (heads, Some(error));
                    }
                }
            }
        }
        (heads, None)
    }

    fn head(status: u16) -> ResponseHead {
        ResponseHead {
            status,
            content_length: None,
            chunked: false,
            location: None,
            retry_after: None,
        }
    }

    fn response_heads() -> Vec<(&'static [u8], ResponseHead)> {
        let sized = |content_length| ResponseHead {
            content_length: Some(content_length),
            ..head(200)
        };
        let chunked = ResponseHead {
            chunked: true,
            ..head(200)
        };
        let busy = ResponseHead {
            retry_after: Some(120),
            ..head(503)
        };
        let moved = ResponseHead {
            location: Some("/a?b\u{e9}".to_owned()),
            ..head(301)
        };
        vec![
            (b"HTTP/1.1 200 OK\r\n\r\n", head(200)),
            (b"HTTP/1.1 204 \r\n\r\n", head(204)),
            (b"HTTP/1.1 599\r\n\r\n", head(599)),
            (b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-LENGTH: \t 5 \r\n\r\n", sized(5)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", sized(5)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 05\r\n\r\n", sized(5)),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
                sized(u64::MAX),
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", chunked),
            (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n", head(200)),
            (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", head(200)),
            (b"HTTP/1.0 200 OK\r\n\r\n", head(200)),
            (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", head(200)),
            (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", head(200)),
            (b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\n\r\n", busy),
            (
                b"HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n",
                head(503),
            ),
            (b"HTTP/1.1 503 Busy\r\nRetry-After: -1\r\n\r\n", head(503)),
            (b"HTTP/1.1 301 Moved\r\nLocation: /a?b\xc3\xa9\r\n\r\n", moved),
            (b"HTTP/1.1 301 Moved\r\nLocation: /\xff\r\n\r\n", head(301)),
            (
                b"HTTP/1.1 100 Continue\r\nContent-Length: x\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n\
                  HTTP/1.1 200 OK\r\n\r\n",
                head(200),
            ),
        ]
    }

    #[test]
    fn heads_in_one_piece() {
        for (bytes, expected) in response_heads() {
            let shown = bytes.escape_ascii();
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [bytes]),
                (vec![expected], None),
                "{shown}"
            );
        }
    }

    #[test]
    fn every_cut_gives_the_same_heads() {
        let (bytes, expected): (Vec<&[u8]>, Vec<_>) = response_heads().into_iter().unzip();
        let (bytes, expected) = (bytes.concat(), (expected, None));
        assert_eq!(heads(DEFAULT_MAX_HEAD, bytes.chunks(1)), expected);
        for cut in 0..=bytes.len() {
            let (start, end) = bytes.split_at(cut);
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [start, end]),
                expected,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_head_stops_before_the_body() {
        let mut parser = HeadParser::new(DEFAULT_MAX_HEAD);
        let Ok((used, Some(_))) = parser.feed(b"HTTP/1.1 200 OK\r\n\r\n\r\n\r\nbody") else {
            panic!("no head");
        };
        assert_eq!(used, 19);
        assert_eq!(
            parser.raw.capacity(),
            0,
            "the head's memory is given back before the body comes"
        );
    }

    #[test]
    fn limit_of_heads() {
        let bytes = b"HTTP/1.1 200 OK\r\nA: bcd\r\n\r\n";
        let twice = b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        let endless = b"HTTP/1.1 100 Go\r\n\r\n".repeat(100);
        let cases: [(&[u8], usize, bool); 9] = [
            (bytes, bytes.len() + 1, true),
            (bytes, bytes.len(), true),
            (bytes, bytes.len() - 1, false),
            (twice, twice.len() + 1, true),
            (twice, twice.len(), true),
            (twice, twice.len() - 1, false),
            (&endless, 1899, false),
            (&[b'x'; 100], 99, false),
            (b"", 0, true),
        ];
        for (bytes, limit, good) in cases {
            let error = (!good).then_some(ResponseError::HeadTooLong { limit });
            let shown = bytes.escape_ascii();
            assert_eq!(heads(limit, [bytes]).1, error, "{limit} {shown}");
            assert_eq!(heads(limit, bytes.chunks(1)).1, error, "{limit} {shown}");
        }
        // Each response has the limit for itself.
        assert_eq!(heads(twice.len(), [twice.repeat(3).as_slice()]).0.len(), 3);
    }

    #[test]
    fn limit_of_header_fields() {
        for (count, good) in [(63, true), (64, true), (65, false)] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
            let error = (!good).then_some(ResponseError::TooManyHeaders { limit: 64 });
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [bytes.as_bytes()]).1,
                error,
                "{count}"
            );
        }
    }

    #[test]
    fn heads_refused() {
        let conflicting = |first, second| ResponseError::ConflictingContentLength { first, second };
        let cases = [
            ("Content-Length: 5\r\nContent-Length: 6", conflicting(5, 6)),
            ("Content-Length: 5, 5, 7", conflicting(5, 7)),
            ("Content-Length: ", ResponseError::BadContentLength),
            ("Content-Length: 5,", ResponseError::BadContentLength),
            ("Content-Length: +5", ResponseError::BadContentLength),
            ("Content-Length: -5", ResponseError::BadContentLength),
            ("Content-Length: 0x5", ResponseError::BadContentLength),
            ("Content-Length: 5 5", ResponseError::BadContentLength),
            (
                "Content-Length: 18446744073709551616",
                ResponseError::BadContentLength,
            ),
            (
                "Transfer-Encoding: gzip",
                ResponseError::BadTransferEncoding,
            ),
            (
                "Transfer-Encoding: gzip, chunked",
                ResponseError::BadTransferEncoding,
            ),
            (
                "Transfer-Encoding: chunked, chunked",
                ResponseError::BadTransferEncoding,
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                ResponseError::BadTransferEncoding,
            ),
            (
                "Transfer-Encoding: identity",
                ResponseError::BadTransferEncoding,
            ),
            ("Transfer-Encoding: ", ResponseError::BadTransferEncoding),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                ResponseError::AmbiguousLength,
            ),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                ResponseError::AmbiguousLength,
            ),
        ];
        for (fields, error) in cases {
            let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [bytes.as_bytes()]),
                (vec![], Some(error)),
                "{fields}"
            );
        }
        let old = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let error = ResponseError::BadTransferEncoding;
        assert_eq!(
            heads(DEFAULT_MAX_HEAD, [old.as_slice()]),
            (vec![], Some(error))
        );
        for status in [0, 99, 101, 600, 999] {
            let bytes = format!("HTTP/1.1 {status:03} X\r\n\r\n");
            let error = ResponseError::BadStatus { status };
            assert_eq!(
                heads(DEFAULT_MAX_HEAD, [bytes.as_bytes()]),
                (vec![], Some(error)),
                "{status}"
            );
        }
    }

    #[test]
    fn malformed_heads() {
        let cases = [
            "\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            "\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 O\0K\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        ];
        for bytes in cases {
            let (found, error) = heads(DEFAULT_MAX_HEAD, [bytes.as_bytes()]);
            assert!(
                matches!(error, Some(ResponseError::BadHead { .. })),
                "{bytes:?}: {error:?}"
            );
            assert!(found.is_empty(), "{bytes:?}");
        }
    }

    #[test]
    fn framing_of_a_body() {
        let sized = |status, content_length| ResponseHead {
            content_length: Some(content_length),
            ..head(status)
        };
        let chunked = |status| ResponseHead {
            chunked: true,
            ..head(status)
        };
        let cases = [
            ("GET", sized(200, 5), Ok(Framing::Length(5))),
            ("POST", sized(404, 0), Ok(Framing::Length(0))),
            ("GET", chunked(200), Ok(Framing::Chunked)),
            ("GET", head(200), Err(ResponseError::NoLength)),
            ("head", head(200), Err(ResponseError::NoLength)),
            ("GET", head(500), Err(ResponseError::NoLength)),
            ("PUT", head(500), Err(ResponseError::NoLength)),
            ("PUT", head(201), Ok(Framing::Length(0))),
            ("PUT", sized(201, 5), Ok(Framing::Length(5))),
            ("PUT", chunked(201), Ok(Framing::Chunked)),
            ("DELETE", head(200), Ok(Framing::Length(0))),
            ("POST", head(200), Err(ResponseError::NoLength)),
            ("HEAD", head(200), Ok(Framing::Length(0))),
            ("HEAD", sized(200, 5), Ok(Framing::Length(0))),
            ("HEAD", chunked(200), Ok(Framing::Length(0))),
            ("GET", sized(204, 5), Ok(Framing::Length(0))),
            ("GET", sized(304, 5), Ok(Framing::Length(0))),
            ("GET", chunked(304), Ok(Framing::Length(0))),
        ];
        for (method, head, expected) in cases {
            assert_eq!(head.framing(method), expected, "{method} {head:?}");
        }
    }

    /// What came out of a body: its data, the bytes behind it if it ended, the error if there was one.
    #[derive(Debug, PartialEq)]
    struct Body {
        data: Vec<u8>,
        behind: Option<Vec<u8>>,
        error: Option<ResponseError>,
    }

    fn body<'a>(framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>) -> Body {
        let mut decoder = BodyDecoder::new(framing);
        let (mut data, mut behind) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut input = piece;
            while !input.is_empty() && !decoder.is_done() {
                match decoder.feed(input) {
                    Ok(decoded) => {
                        assert_eq!(decoded.done, decoder.is_done());
                        assert!(decoded.used > 0, "no progress");
                        input = &input[decoded.used..];
                        data.extend_from_slice(decoded.data);
                    }
                    Err(error) => {
                        assert_eq!(decoder.feed(b"0\r\n\r\n"), Err(error.clone()), "not failed");
                        return Body {
                            data,
                            behind: None,
                            error: Some(error),
                        };
                    }
                }
            }
            behind.extend_from_slice(input);
        }
        if decoder.is_done() {
            let more = Decoded {
                used: 0,
                data: &[],
                done: true,
            };
            assert_eq!(decoder.feed(b"more"), Ok(more));
        }
        let behind = decoder.is_done().then_some(behind);
        Body {
            data,
            behind,
            error: None,
        }
    }

    fn complete(data: &str, behind: &str) -> Body {
        Body {
            data: data.as_bytes().to_vec(),
            behind: Some(behind.as_bytes().to_vec()),
            error: None,
        }
    }

    fn broken(data: &str, error: ResponseError) -> Body {
        Body {
            data: data.as_bytes().to_vec(),
            behind: None,
            error: Some(error),
        }
    }

    fn unfinished(data: &str) -> Body {
        Body {
            data: data.as_bytes().to_vec(),
            behind: None,
            error: None,
        }
    }

    fn bodies() -> Vec<(Framing, &'static str, Body)> {
        let chunked = Framing::Chunked;
        let bad_size = |data| broken(data, ResponseError::BadChunkSize);
        let bad_end = || broken("ab", ResponseError::ChunkEnd);
        let bad_trailers = || broken("", ResponseError::BadTrailers);
        vec![
            (Framing::Length(0), "next", complete("", "next")),
            (Framing::Length(3), "abc", complete("abc", "")),
            (Framing::Length(3), "abcnext", complete("abc", "next")),
            (Framing::Length(4), "abc", unfinished("abc")),
            (Framing::Length(u64::MAX), "abc", unfinished("abc")),
            (chunked, "0\r\n\r\nnext", complete("", "next")),
            (chunked, "000\r\n\r\n", complete("", "")),
            (
                chunked,
                "3\r\nabc\r\n0b\r\n\r\n1234567\r\n\r\n0\r\n\r\n",
                complete("abc\r\n1234567\r\n", ""),
            ),
            (
                chunked,
                "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                complete("01234567890123456789", ""),
            ),
            (
                chunked,
                "1;a=\"b;\t\u{e9}\"\r\nx\r\n1 \t\r\ny\r\n1 ;z\r\nz\r\n0;\r\n\r\n",
                complete("xyz", ""),
            ),
            (
                chunked,
                "1\r\nx\r\n0\r\nA: b\r\nC\r\n\r\nnext",
                complete("x", "next"),
            ),
            (chunked, "3\r\nab", unfinished("ab")),
            (chunked, "2\r\nab\r\n0\r\n\r", unfinished("ab")),
            (chunked, "ffffffffffffffff\r\nab", unfinished("ab")),
            (
                chunked,
                "10000000000000000\r\n",
                broken("", ResponseError::ChunkSizeOverflow),
            ),
            (chunked, "\r\n\r\n", bad_size("")),
            (chunked, "\n", bad_size("")),
            (chunked, " \r\n\r\n", bad_size("")),
            (chunked, ";a\r\n\r\n", bad_size("")),
            (chunked, " 1\r\nx", bad_size("")),
            (chunked, "+1\r\nx", bad_size("")),
            (chunked, "0x1\r\nx", bad_size("")),
            (chunked, "1 1\r\nx", bad_size("")),
            (chunked, "1\nx", bad_size("")),
            (chunked, "1\rx", bad_size("")),
            (chunked, "1;a\nx", bad_size("")),
            (chunked, "1;a\rb\r\nx", bad_size("")),
            (chunked, "1\r\nx\r\ng\r\n", bad_size("x")),
            (chunked, "2\r\nabc\r\n", bad_end()),
            (chunked, "2\r\nab\n0\r\n\r\n", bad_end()),
            (chunked, "2\r\nab\rx", bad_end()),
            (chunked, "2\r\nabx\n", bad_end()),
            (chunked, "0\r\n\n", bad_trailers()),
            (chunked, "0\r\n\rx", bad_trailers()),
            (chunked, "0\r\nA: b\n\r\n", bad_trailers()),
            (chunked, "0\r\nA: b\rx", bad_trailers()),
        ]
    }

    #[test]
    fn every_cut_gives_the_same_body() {
        for (framing, bytes, expected) in bodies() {
            assert_eq!(body(framing, [bytes.as_bytes()]), expected, "{bytes:?}");
            assert_eq!(
                body(framing, bytes.as_bytes().chunks(1)),
                expected,
                "{bytes:?}"
            );
            for cut in 0..=bytes.len() {
                let (start, end) = bytes.as_bytes().split_at(cut);
                assert_eq!(
                    body(framing, [start, end]),
                    expected,
                    "{bytes:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn data_is_part_of_the_input() {
        let input = b"3\r\nabc\r\n";
        let decoded = BodyDecoder::new(Framing::Chunked).feed(input).unwrap();
        assert_eq!(
            decoded,
            Decoded {
                used: 6,
                data: b"abc",
                done: false
            }
        );
        assert!(core::ptr::eq(decoded.data, &raw const input[3..6]));
    }

    #[test]
    fn a_known_length_is_done_with_its_last_byte() {
        let mut decoder = BodyDecoder::new(Framing::Length(2));
        assert!(!decoder.is_done());
        let decoded = decoder.feed(b"abc").unwrap();
        assert_eq!(
            decoded,
            Decoded {
                used: 2,
                data: b"ab",
                done: true
            }
        );
        assert!(BodyDecoder::new(Framing::Length(0)).is_done());
    }

    #[test]
    fn limits_of_chunk_lines_and_trailers() {
        let line = |len: usize| format!("{:0>1$}\r\nx\r\n0\r\n\r\n", 1, len - 2);
        let extended = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(len - 4));
        let again = |len: usize| {
            format!(
                "{}{}",
                extended(200).replace("0\r\n\r\n", ""),
                extended(len)
            )
        };
        let trailers = |len: usize| format!("1\r\nx\r\n0\r\n{}\r\n\r\n", "t".repeat(len - 4));
        let many = |len: usize| {
            format!(
                "1\r\nx\r\n0\r\n{}{}\r\n\r\n",
                "t\r\n".repeat(100),
                "t".repeat(len - 304)
            )
        };

        let limit = MAX_CHUNK_LINE;
        let too_long = ResponseError::ChunkLineTooLong { limit };
        for len in [limit - 1, limit, limit + 1] {
            let (data, error) = if len > limit {
                ("", Some(&too_long))
            } else {
                ("x", None)
            };
            for (bytes, before) in [(line(len), ""), (extended(len), ""), (again(len), "x")] {
                let data = format!("{before}{data}");
                let expected =
                    error.map_or(complete(&data, ""), |error| broken(&data, error.clone()));
                assert_eq!(
                    body(Framing::Chunked, [bytes.as_bytes()]),
                    expected,
                    "{len}"
                );
                assert_eq!(
                    body(Framing::Chunked, bytes.as_bytes().chunks(1)),
                    expected,
                    "{len}"
                );
            }
        }
        let limit = MAX_TRAILERS;
        let too_long = ResponseError::TrailersTooLong { limit };
        for len in [limit - 1, limit, limit + 1] {
            for bytes in [trailers(len), many(len)] {
                let expected = if len > limit {
                    broken("x", too_long.clone())
                } else {
                    complete("x", "")
                };
                assert_eq!(
                    body(Framing::Chunked, [bytes.as_bytes()]),
                    expected,
                    "{len}"
                );
                assert_eq!(
                    body(Framing::Chunked, bytes.as_bytes().chunks(1)),
                    expected,
                    "{len}"
                );
            }
        }
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

    fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
        prop::collection::vec(any::<prop::sample::Index>(), 0..20)
    }

    fn likely_heads() -> impl Strategy<Value = Vec<u8>> {
        let parts: Vec<Vec<u8>> = response_heads()
            .into_iter()
            .map(|(part, _)| part.to_vec())
            .collect();
        let part = prop_oneof![
            3 => prop::sample::select(parts),
            3 => "(HTTP/1\\.[01] [0-6][0-9]{2} [a-z]?\r\n)?((Content-Length|Transfer-Encoding|A): ?(5|6|chunked)?\r?\n){0,3}\r\n"
                .prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..50),
        ];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    fn likely_body() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            6 => prop::collection::vec(any::<u8>(), 1..30)
                .prop_map(|data| [format!("{:X}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat()),
            1 => "[0-9a-f]{0,18}[ \t;x]{0,3}\r?\n?".prop_map(String::into_bytes),
            1 => "0\r\n([a-z]{0,3}\r\n){0,3}\r\n".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..10),
        ];
        prop::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn cuts_of_heads_never_matter_and_nothing_panics(
            bytes in likely_heads(),
            cuts in cuts(),
            limit in 0usize..200,
        ) {
            for limit in [limit, DEFAULT_MAX_HEAD] {
                let whole = heads(limit, [bytes.as_slice()]);
                let pieces = pieces(&bytes, &cuts);
                prop_assert_eq!(&heads(limit, pieces.iter().map(Vec::as_slice)), &whole);
                prop_assert_eq!(&heads(limit, bytes.chunks(1)), &whole);
            }
        }

        #[test]
        fn cuts_of_bodies_never_matter_and_nothing_panics(
            bytes in likely_body(),
            cuts in cuts(),
            length in prop_oneof![0u64..100, any::<u64>()],
        ) {
            for framing in [Framing::Chunked, Framing::Length(length)] {
                let whole = body(framing, [bytes.as_slice()]);
                let pieces = pieces(&bytes, &cuts);
                prop_assert_eq!(&body(framing, pieces.iter().map(Vec::as_slice)), &whole);
                prop_assert_eq!(&body(framing, bytes.chunks(1)), &whole);
            }
        }

        #[test]
        fn chunks_come_back_as_they_were(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..5),
            cuts in cuts(),
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                put(&mut bytes, &[&format!("{:x}\r\n", chunk.len())]);
                bytes.extend_from_slice(chunk);
                put(&mut bytes, &["\r\n"]);
            }
            put(&mut bytes, &["0\r\n\r\nnext"]);
            let pieces = pieces(&bytes, &cuts);
            let found = body(Framing::Chunked, pieces.iter().map(Vec::as_slice));
            let expected = Body { data: chunks.concat(), behind: Some(b"next".to_vec()), error: None };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(heads(200, [bytes.as_slice()]), heads(200, bytes.chunks(1)));
            let whole = body(Framing::Chunked, [bytes.as_slice()]);
            prop_assert_eq!(body(Framing::Chunked, bytes.chunks(1)), whole);
        }

        #[test]
        fn an_encoded_head_is_one_request(
            method in "[A-Z]{1,5}[A-Z \r]",
            target in "/[!-\"$-~]{0,9}[a-z# \r\n\0]",
            host in "[a-z0-9.:]{1,9}[a-z/ \r\n]",
            name in "[A-Za-z-]{1,8}[a-z: \r\n]",
            value in "[ -~\u{e9}]{0,8}[a-z\r\n\0]",
        ) {
            let request = RequestHead {
                method: &method, target: &target, host: &host,
                headers: &[(&name, &value)], content_length: Some(5), close: true,
            };
            let mut out = Vec::new();
            if request.encode(&mut out).is_ok() {
                let mut headers = [httparse::EMPTY_HEADER; 8];
                let mut parsed = httparse::Request::new(&mut headers);
                prop_assert_eq!(parsed.parse(&out), Ok(httparse::Status::Complete(out.len())));
                prop_assert_eq!((parsed.method, parsed.path), (Some(&*method), Some(&*target)));
                prop_assert_eq!(parsed.headers.len(), 4);
            }
        }
    }
}
