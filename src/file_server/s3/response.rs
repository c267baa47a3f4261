//! What a server of S3 responds.

use alloc::format;
use alloc::string::{String, ToString as _};

use super::super::{FileServerError, FileServerErrorKind};
use crate::http::HttpResponse;

/// The text of an element, also where the end of it was cut off.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let text = rest.split('<').next()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Whether a body is an error. A server may report one after the status 200.
pub(super) fn is_error(body: &str) -> bool {
    let mut behind = body.split("<Error").skip(1);
    behind.any(|rest| rest.starts_with(['>', '/', ' ', '\t', '\r', '\n']))
}

/// The code of an error, or nothing.
pub(super) fn code(body: &str) -> &str {
    let body = if is_error(body) { body } else { "" };
    element(body, "Code").unwrap_or_default()
}

/// The error for a response that is not a success. Only code and message are shown: the rest repeats keys and what was
/// signed. `mask` hides secrets in what is shown; the code means what the server sent.
pub(super) fn refused(
    action: &str,
    response: &HttpResponse,
    body: &str,
    mask: impl Fn(&str) -> String,
) -> FileServerError {
    let body = if is_error(body) { body } else { "" };
    let code = code(body);
    let mut reason = code.to_string();
    if let Some(message) = element(body, "Message") {
        reason = format!("{reason}: {message}");
    }
    // Where a bucket of another region is.
    if let Some(endpoint) = element(body, "Endpoint") {
        reason = format!("{reason} ({endpoint})");
    }
    let response = HttpResponse {
        status: status_of(code, response),
        reason: mask(&reason),
        ..response.clone()
    };
    FileServerError::refused(action, &response)
}

/// The status that says what a code means: some come with 400, or with 200.
fn status_of(code: &str, response: &HttpResponse) -> u16 {
    match code {
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => 403,
        "RequestTimeout" => 408,
        "InternalError" => 500,
        "SlowDown" | "ServiceUnavailable" => 503,
        _ if response.status == 200 => 400,
        _ => response.status,
    }
}

/// Whether a refusal is one of a link, or of temporary keys, whose time is over.
pub(super) fn tells_of_expiry(body: &str) -> bool {
    is_error(body)
        && ["Code", "Message"].iter().any(|name| {
            let text = element(body, name).unwrap_or_default();
            text.to_ascii_lowercase().contains("expired")
        })
}

pub(super) fn malformed(what: &str) -> FileServerError {
    FileServerError::new(FileServerErrorKind::InvalidAnswer, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16) -> HttpResponse {
        HttpResponse {
            status,
            ..HttpResponse::default()
        }
    }

    #[test]
    fn an_error_is_shown_by_code_and_message_only() {
        use FileServerErrorKind as Kind;
        for (status, xml, kind, words) in [
            (
                403,
                "<?xml?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>ID</AWSAccessKeyId></Error>",
                Kind::Unauthorized,
                "status 403: SignatureDoesNotMatch",
            ),
            (
                400,
                "<Error><Code>RequestTimeout</Code><Message>too sl",
                Kind::ServerFault { status: 408 },
                "status 408: RequestTimeout: too sl",
            ),
            (
                400,
                "<Error><Code>ExpiredToken</Code><Token-0>SECRET</Token-0></Error>",
                Kind::Unauthorized,
                "status 403: ExpiredToken",
            ),
            (
                200,
                "<Error><Code>InternalError</Code></Error>",
                Kind::ServerFault { status: 500 },
                "status 500: InternalError",
            ),
            (
                200,
                "<Error/><Error></Error>",
                Kind::Refused { status: 400 },
                "status 400",
            ),
            (404, "SECRET page", Kind::NotFound, "status 404"),
        ] {
            let error = refused("PUT", &response(status), xml, str::to_string);
            assert_eq!(error.kind(), kind);
            assert_eq!(error.to_string(), format!("PUT was answered with {words}"));
        }
    }

    #[test]
    fn an_expiry_is_one_by_code_or_message() {
        for (xml, is_expiry) in [
            ("<Error><Code>ExpiredToken</Code></Error>", true),
            (
                "<Error xmlns=\"urn:s3\"><Code>ExpiredToken</Code></Error>",
                true,
            ),
            ("<Errors><Code>ExpiredToken</Code></Errors>", false),
            (
                "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
                true,
            ),
            ("<Error><Code>AccessDenied</Code></Error>", false),
            (
                "<Error><Code>NoSuchKey</Code><Key>expired</Key></Error>",
                false,
            ),
            ("expired", false),
        ] {
            assert_eq!(tells_of_expiry(xml), is_expiry, "{xml}");
        }
    }
}
