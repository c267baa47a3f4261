//! What a server of S3 answers.

use alloc::format;
use alloc::string::{String, ToString as _};

use super::super::{FileServerError, FileServerErrorKind};
use crate::http::HttpResponse;

/// The text of an element. What was cut off at the end of a reason has no end.
pub(super) fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split('<').next().map(str::trim)
}

/// The server's error, in an unsuccessful response or in one of 200.
pub(super) fn reason_of(xml: &str) -> Option<(&str, String)> {
    if !xml.contains("<Error>") {
        return None;
    }
    let code = element(xml, "Code").unwrap_or_default();
    let message = element(xml, "Message").filter(|message| !message.is_empty());
    let words = match message {
        Some(message) => format!("{code}: {message}"),
        None => code.to_string(),
    };
    Some((code, words))
}

/// The error for a response. Only code and message are shown: the rest repeats keys and what was signed.
pub(super) fn refused(action: &str, response: &HttpResponse, body: &str) -> FileServerError {
    let (code, reason) = reason_of(body).unwrap_or_default();
    let status = match code {
        "RequestTimeout" => 408,
        "InternalError" => 500,
        "SlowDown" | "ServiceUnavailable" => 503,
        _ if response.is_success() => 400,
        _ => response.status,
    };
    let response = HttpResponse {
        status,
        reason,
        ..response.clone()
    };
    FileServerError::refused(action, &response)
}

pub(super) fn malformed(what: &str) -> FileServerError {
    FileServerError::new(FileServerErrorKind::InvalidAnswer, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_by_code_and_message_only() {
        for (status, xml, kind, words) in [
            (
                403,
                "<?xml?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>ID</AWSAccessKeyId></Error>",
                FileServerErrorKind::Unauthorized,
                "PUT was answered with status 403: SignatureDoesNotMatch",
            ),
            (
                400,
                "<Error><Code>RequestTimeout</Code><Message>too sl",
                FileServerErrorKind::ServerFault { status: 408 },
                "PUT was answered with status 408: RequestTimeout: too sl",
            ),
            (
                200,
                "<Error><Code>InternalError</Code></Error>",
                FileServerErrorKind::ServerFault { status: 500 },
                "PUT was answered with status 500: InternalError",
            ),
            (
                200,
                "<Error/><Error></Error>",
                FileServerErrorKind::Refused { status: 400 },
                "PUT was answered with status 400",
            ),
            (
                404,
                "SECRET page",
                FileServerErrorKind::NotFound,
                "PUT was answered with status 404",
            ),
        ] {
            let response = HttpResponse {
                status,
                ..HttpResponse::default()
            };
            let error = refused("PUT", &response, xml);
            assert_eq!((error.kind(), &*error.to_string()), (kind, words));
        }
    }
}
