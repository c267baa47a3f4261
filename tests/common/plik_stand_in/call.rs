//! A request, as far as its head goes.

use tiny_http::Request;

/// Plik API: the redirect trap. Only an agent that begins with one of these is told the truth.
/// The third "w" of the fourth is the server's own spelling.
const HONEST_AGENTS: [&str; 8] = [
    "wget",
    "curl",
    "python-urllib",
    "libwwww-perl",
    "php",
    "pycurl",
    "go-http-client",
    "plik_client",
];

pub(super) struct Call {
    pub(super) method: String,
    /// Path and query, as they were sent.
    pub(super) target: String,
    /// Of the decoded path: an encoded slash divides as well.
    pub(super) segments: Vec<String>,
    headers: Vec<(String, String)>,
}

impl Call {
    pub(super) fn of(request: &Request) -> Self {
        let target = request.url().to_owned();
        let path = percent_decoded(target.split('?').next().unwrap_or_default());
        let headers = request.headers().iter();
        Self {
            method: request.method().to_string(),
            segments: path.split('/').skip(1).map(str::to_owned).collect(),
            headers: headers
                .map(|h| (h.field.to_string(), h.value.to_string()))
                .collect(),
            target,
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// Where a path with empty, "." or ".." segments is redirected to.
    pub(super) fn cleaned_target(&self) -> Option<String> {
        let path_end = self.target.find('?').unwrap_or(self.target.len());
        let (path, query) = self.target.split_at(path_end);
        let mut kept = Vec::new();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => drop(kept.pop()),
                segment => kept.push(segment),
            }
        }
        let slash = if path.ends_with('/') && !kept.is_empty() {
            "/"
        } else {
            ""
        };
        let clean = format!("/{}{slash}", kept.join("/"));
        (clean != path).then(|| clean + query)
    }

    /// Plik API: the redirect trap. An absent User-Agent is an unknown one.
    pub(super) fn is_fooled(&self) -> bool {
        let agent = self
            .header("User-Agent")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let is_download = self.segments.len() == 4 && self.segments[0] == "file";
        is_download
            && matches!(self.method.as_str(), "GET" | "HEAD")
            && !HONEST_AGENTS.iter().any(|honest| agent.starts_with(honest))
    }

    pub(super) fn wants_attachment(&self) -> bool {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query
            .split('&')
            .any(|pair| pair.starts_with("dl=") && pair != "dl=")
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
