//! Links that lead astray: whatever a message names, only the configured file server is asked.

use natsbridge::adapter::FileServer;
use natsbridge::host::{StdPlatform, UreqClient};
use natsbridge::memory::MemoryBroker;
use natsbridge::{Error, ErrorKind, HttpPut, LinkPolicy, NatsBridge, Plik, ReceiveOptions};
use serde_json::json;

use crate::common::scripted_http::{ScriptedHttp, answer};

/// No URLs, whatever the policy. `OWN` stands for the port of the configured server, `OTHER` for
/// that of another one; both are at 127.0.0.1.
const NO_URLS: &[&str] = &[
    "",
    "/f",
    "f",
    "//127.0.0.1:OWN/f",
    "127.0.0.1:OWN/f",
    // Other schemes.
    "file:///etc/passwd",
    "file://127.0.0.1:OWN/f",
    "ftp://127.0.0.1:OWN/f",
    "gopher://127.0.0.1:OTHER/_GET%20/f",
    "ws://127.0.0.1:OWN/f",
    "data:text/plain,hello",
    "jar:http://127.0.0.1:OWN/f",
    "http+unix://127.0.0.1:OWN/f",
    // No host, or no authority.
    "http:",
    "http://",
    "http:///f",
    "http://:OWN/f",
    "http:/127.0.0.1:OWN/f",
    "http:127.0.0.1:OWN/f",
    "http:////127.0.0.1:OWN/f",
    "http://?127.0.0.1:OWN/f",
    // A user, who may look like a host.
    "http://user@127.0.0.1:OWN/f",
    "http://user:password@127.0.0.1:OWN/f",
    "http://@127.0.0.1:OWN/f",
    "http://127.0.0.1:OWN@127.0.0.1:OTHER/f",
    "http://127.0.0.1@127.0.0.1:OTHER/f",
    "http://127.0.0.1:OWN%40127.0.0.1:OTHER/f",
    // What some take for a slash.
    "http:\\\\127.0.0.1:OWN\\f",
    "http://127.0.0.1:OWN\\f",
    "http://127.0.0.1:OWN\\@127.0.0.1:OTHER/f",
    "http://127.0.0.1:OTHER\\@127.0.0.1:OWN/f",
    // White space and control characters, which some leave out.
    " http://127.0.0.1:OWN/f",
    "http://127.0.0.1:OWN/f ",
    "http://127.0.0.1:OWN/f\n",
    "ht\ttp://127.0.0.1:OWN/f",
    "http://127.0.0.1:OWN\t/f",
    "http://127.0.0.1:OWN/\u{0}f",
    "http://127.0.0.1:OWN/f HTTP/1.1\r\nX: y",
    "http://127.0.0.1:OWN/f\r\n\r\nDELETE /f HTTP/1.1",
    // Hosts that others decode.
    "http://%31%32%37.0.0.1:OWN/f",
    "http://127%2e0.0.1:OWN/f",
    "http://127.0.0.1%00.example:OWN/f",
    "http://①②⑦.0.0.1:OWN/f",
    "http://127。0。0。1:OWN/f",
    "http://[::1:OWN/f",
    "http://[::1%25lo]:OWN/f",
    "http://[127.0.0.1]:OWN/f",
    "http://::1:OWN/f",
    // Ports that are none.
    "http://127.0.0.1:/f",
    "http://127.0.0.1:0/f",
    "http://127.0.0.1:+OWN/f",
    "http://127.0.0.1:OWN:OTHER/f",
    "http://127.0.0.1:OWN;OTHER/f",
    "http://127.0.0.1:OWN,127.0.0.1:OTHER/f",
    "http://127.0.0.1:99999/f",
];

/// URLs of other origins, though many of them lead to the same server.
const OTHER_ORIGINS: &[&str] = &[
    "http://127.0.0.1:OTHER/f",
    "http://127.0.0.1/f",
    "https://127.0.0.1:OWN/f",
    "https://127.0.0.1/f",
    "http://files.example/f",
    "http://127.0.0.1.files.example:OWN/f",
    // The loopback in other words.
    "http://localhost:OWN/f",
    "http://LOCALHOST:OWN/f",
    "http://127.0.0.1.:OWN/f",
    "http://127.0.0.2:OWN/f",
    "http://127.1:OWN/f",
    "http://127.0.1:OWN/f",
    "http://127.000.000.001:OWN/f",
    "http://2130706433:OWN/f",
    "http://0x7f000001:OWN/f",
    "http://0x7f.1:OWN/f",
    "http://0X7F.0.0.1:OWN/f",
    "http://0177.0.0.1:OWN/f",
    "http://017700000001:OWN/f",
    "http://0.0.0.0:OWN/f",
    "http://0:OWN/f",
    "http://[::1]:OWN/f",
    "http://[0:0:0:0:0:0:0:1]:OWN/f",
    "http://[::]:OWN/f",
    "http://[::ffff:127.0.0.1]:OWN/f",
    "http://[::ffff:7f00:1]:OWN/f",
    // Where clouds tell secrets.
    "http://169.254.169.254/latest/meta-data/",
];

/// URLs of the configured server, although they mention another one, and what it is asked for.
const OWN: &[(&str, &str)] = &[
    ("http://127.0.0.1:OWN/f", "/f"),
    ("HTTP://127.0.0.1:OWN/f", "/f"),
    ("http://127.0.0.1:0OWN/f", "/f"),
    ("http://127.0.0.1:OWN", "/"),
    ("http://127.0.0.1:OWN/f#@127.0.0.1:OTHER/g", "/f"),
    ("http://127.0.0.1:OWN#@127.0.0.1:OTHER/g", "/"),
    (
        "http://127.0.0.1:OWN?@127.0.0.1:OTHER/g",
        "/?@127.0.0.1:OTHER/g",
    ),
    (
        "http://127.0.0.1:OWN/@127.0.0.1:OTHER/g",
        "/@127.0.0.1:OTHER/g",
    ),
    (
        "http://127.0.0.1:OWN//127.0.0.1:OTHER/g",
        "//127.0.0.1:OTHER/g",
    ),
    (
        "http://127.0.0.1:OWN/http://127.0.0.1:OTHER/g",
        "/http://127.0.0.1:OTHER/g",
    ),
    // Paths are the server's own affair.
    ("http://127.0.0.1:OWN/../../etc/passwd", "/../../etc/passwd"),
    ("http://127.0.0.1:OWN/%2e%2e/%2E%2E/f", "/%2e%2e/%2E%2E/f"),
    ("http://127.0.0.1:OWN/a%2f..%2ff", "/a%2f..%2ff"),
    (
        "http://127.0.0.1:OWN/%5c%5c127.0.0.1:OTHER/f",
        "/%5c%5c127.0.0.1:OTHER/f",
    ),
    ("http://127.0.0.1:OWN/f%0d%0aX:%20y", "/f%0d%0aX:%20y"),
];

struct Servers {
    own: ScriptedHttp,
    other: ScriptedHttp,
}

impl Servers {
    /// The own one answers everything with this status and header line, and the path as the body.
    fn start(status: &'static str, header: &str) -> Self {
        let other = ScriptedHttp::start(|to| to.answer(answer("200 OK", "", "elsewhere")));
        let header = header.replace("OTHER", &other.port().to_string());
        let own = ScriptedHttp::start(move |to| {
            let header = header.replace("OWN", &to.port().to_string());
            let target = to.head.split(' ').nth(1).unwrap_or_default().to_string();
            to.answer(answer(status, &header, &target));
        });
        Self { own, other }
    }

    fn here(&self, text: &str) -> String {
        let other = text.replace("OTHER", &self.other.port().to_string());
        other.replace("OWN", &self.own.port().to_string())
    }

    /// The result of a link to `url`: by `HttpPut`, and by Plik.
    fn receive(&self, url: &str, policy: LinkPolicy) -> [Result<String, Error>; 2] {
        let message = json!({"correlation_id": "c", "payloads": [{
            "dataname": "d", "payload_type": "text", "transport": "link", "data": url,
        }]});
        let options = ReceiveOptions::default().link_policy(policy);
        let base_url = self.own.url();
        let put = HttpPut::new(UreqClient::new(), StdPlatform, &base_url).unwrap();
        let plik = Plik::new(UreqClient::new(), StdPlatform, &base_url).unwrap();
        let files: [Box<dyn FileServer>; 2] = [Box::new(put), Box::new(plik)];
        files.map(|files| {
            let mut bridge = NatsBridge::new(MemoryBroker::new(), files, StdPlatform);
            let message = message.to_string();
            let received = bridge.smartreceive(message.as_str(), &options)?;
            let text = received.payloads[0].1.as_text();
            Ok(text.unwrap_or_default().to_string())
        })
    }
}

fn assert_refused(results: [Result<String, Error>; 2], url: &str) {
    for result in results {
        let error = result.expect_err(url);
        assert_eq!(error.kind(), ErrorKind::LinkRefused, "{url:?}: {error:?}");
        assert_eq!(error.payload().unwrap().dataname, "d");
    }
}

#[test]
fn links_astray_are_refused_and_nobody_is_asked() {
    let servers = Servers::start("200 OK", "");
    for url in NO_URLS.iter().chain(OTHER_ORIGINS) {
        let url = servers.here(url);
        assert_refused(servers.receive(&url, LinkPolicy::default()), &url);
    }
    for url in NO_URLS {
        let url = servers.here(url);
        assert_refused(servers.receive(&url, LinkPolicy::any()), &url);
    }
    assert_eq!((servers.own.stop(), servers.other.stop()), (0, 0));
}

#[test]
fn links_to_the_own_server_ask_nobody_else() {
    let servers = Servers::start("200 OK", "");
    for (url, target) in OWN {
        for result in servers.receive(&servers.here(url), LinkPolicy::default()) {
            assert_eq!(result.unwrap(), servers.here(target), "{url}");
        }
    }
    assert_eq!(servers.own.stop(), 2 * OWN.len());
    assert_eq!(servers.other.stop(), 0);
}

#[test]
fn links_to_an_allowed_origin_are_fetched() {
    let servers = Servers::start("200 OK", "");
    let url = servers.here("http://127.0.0.1:OTHER/f");
    let policy = LinkPolicy::default().allow(&servers.other.url()).unwrap();
    for policy in [policy, LinkPolicy::any()] {
        for result in servers.receive(&url, policy) {
            assert_eq!(result.unwrap(), "elsewhere");
        }
    }
    assert_eq!((servers.own.stop(), servers.other.stop()), (0, 4));
}

#[test]
fn redirects_astray_are_not_followed() {
    let is_header = |url: &&&str| !url.contains(['\n', '\u{0}']);
    let targets = NO_URLS.iter().chain(OTHER_ORIGINS).filter(is_header);
    for target in targets.chain(OWN.iter().map(|(url, _)| url)) {
        let servers = Servers::start("302 Found", &format!("Location: {target}\r\n"));
        let url = servers.here("http://127.0.0.1:OWN/f");
        for result in servers.receive(&url, LinkPolicy::any()) {
            let kind = result.expect_err(target).kind().to_string();
            assert_eq!(kind, "file_server_refused", "{target:?}");
        }
        let connections = (servers.own.stop(), servers.other.stop());
        assert_eq!(connections, (2, 0), "{target:?}");
    }
}
