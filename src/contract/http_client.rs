//! What every HTTP client does.

use alloc::format;
use alloc::string::ToString as _;

use super::support::LONG;
use crate::http::{HttpClient, HttpErrorKind, HttpRequest, Method};
use crate::stream::{Sink, SliceBody, StreamError, VecSink};

/// Checks what an [`HttpClient`] promises and [`file_server`](super::file_server) does not show. `base_url` is a
/// server that stores what is PUT below it, and returns and deletes it: nginx with `dav_methods`, for example.
///
/// # Panics
/// If the client breaks a rule.
pub fn http_client(client: &mut dyn HttpClient, base_url: &str) {
    returns_status_and_body(client, base_url);
    reports_an_unreachable_server(client);
    refuses_invalid_urls(client);
}

fn request(method: Method, url: &str) -> HttpRequest<'_> {
    HttpRequest {
        timeout: LONG,
        limit: 1000,
        ..HttpRequest::new(method, url)
    }
}

fn returns_status_and_body(client: &mut dyn HttpClient, base_url: &str) {
    let url = format!("{base_url}/http-client");
    let mut sink = VecSink::new(1000);
    let put = request(Method::Put, &url);
    let response = client
        .execute(&put, &mut SliceBody::new(b"abc"), &mut sink)
        .unwrap();
    assert!((200..300).contains(&response.status), "{response:?}");
    let mut sink = VecSink::new(1000);
    let nothing = &mut SliceBody::new(b"");
    let response = client
        .execute(&request(Method::Get, &url), nothing, &mut sink)
        .unwrap();
    assert_eq!((response.status, response.body_len), (200, 3));
    assert_eq!(sink.into_bytes(), b"abc");
    let absent = format!("{url}-absent");
    let mut sink = VecSink::new(0);
    let response = client
        .execute(&request(Method::Get, &absent), nothing, &mut sink)
        .unwrap();
    assert_eq!((response.status, response.body_len), (404, 0));
    assert!(!response.reason.is_empty());
    let mut full = FullSink;
    let error = client
        .execute(&request(Method::Get, &url), nothing, &mut full)
        .unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Local);
    let response = client
        .execute(&request(Method::Delete, &url), nothing, &mut sink)
        .unwrap();
    assert!((200..300).contains(&response.status), "{response:?}");
}

/// Takes nothing.
struct FullSink;

impl Sink for FullSink {
    fn write(&mut self, _: &[u8]) -> Result<(), StreamError> {
        Err(StreamError::TooLarge { limit: 0 })
    }
    fn reset(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

fn reports_an_unreachable_server(client: &mut dyn HttpClient) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    drop(listener);
    let nothing = &mut SliceBody::new(b"");
    let error = client
        .execute(&request(Method::Get, &url), nothing, &mut VecSink::new(10))
        .unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Unreachable, "{error:?}");
    assert!(error.to_string().contains(&url), "{error}");
}

fn refuses_invalid_urls(client: &mut dyn HttpClient) {
    for url in ["", "http://", "http://a b/", "ftp://127.0.0.1/x"] {
        let nothing = &mut SliceBody::new(b"");
        let error = client
            .execute(&request(Method::Get, url), nothing, &mut VecSink::new(10))
            .unwrap_err();
        assert_eq!(
            error.kind(),
            HttpErrorKind::InvalidRequest,
            "{url:?}: {error:?}"
        );
    }
}
