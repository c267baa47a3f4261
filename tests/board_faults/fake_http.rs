//! As much of an HTTP server as the tests need: it answers a whole request as it was told.

use crate::common::faulty_stack::Peer;

#[derive(Default)]
pub struct FakeHttp {
    /// What is said to a request.
    pub answer: Vec<u8>,
    /// Answers as soon as so many bytes of the request are there.
    pub answer_after: Option<usize>,
    /// The present request, as far as it has come.
    pub request: Vec<u8>,
    /// Requests that came as a whole.
    pub requests: usize,
    has_answered: bool,
}

impl FakeHttp {
    pub fn answering(answer: &str) -> Self {
        Self {
            answer: answer.as_bytes().to_vec(),
            ..Self::default()
        }
    }

    /// Bytes of the head with its empty line, and of the body that it announces.
    fn lengths(&self) -> Option<(usize, usize)> {
        let end = self.request.windows(4).position(|at| at == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.request[..end]).expect("a head is text");
        let mut lines = head.split("\r\n");
        let length = lines.find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        Some((end + 4, length))
    }

    pub fn body(&self) -> &[u8] {
        let (head, _) = self.lengths().expect("a whole head");
        &self.request[head..]
    }
}

impl Peer for FakeHttp {
    fn connected(&mut self) -> Vec<u8> {
        self.request.clear();
        self.has_answered = false;
        Vec::new()
    }

    fn sent(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.request.extend_from_slice(bytes);
        let whole = self.lengths().map(|(head, body)| head + body);
        let is_whole = whole.is_some_and(|whole| self.request.len() >= whole);
        self.requests += usize::from(is_whole);
        let early = self
            .answer_after
            .is_some_and(|len| self.request.len() >= len);
        if self.has_answered || !(is_whole || early) {
            return Vec::new();
        }
        self.has_answered = true;
        self.answer.clone()
    }
}
