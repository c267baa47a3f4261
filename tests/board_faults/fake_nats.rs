//! As much of a NATS server as the tests need: one client, exact subjects, and own messages come
//! back.

use crate::common::faulty_stack::Peer;

pub struct FakeNats {
    /// What follows `INFO `.
    pub info: String,
    /// Leaves PINGs unanswered.
    pub is_mute: bool,
    /// Said before every PONG.
    pub before_pong: Vec<u8>,
    /// Said to every new client behind the INFO.
    pub greeting: Vec<u8>,
    /// The lines of the present connection, without CR LF.
    pub lines: Vec<String>,
    /// Bodies that came as a whole, on any connection.
    pub published: Vec<Vec<u8>>,
    subscriptions: Vec<(String, String)>,
    /// What is not understood yet.
    rest: Vec<u8>,
}

impl Default for FakeNats {
    fn default() -> Self {
        Self {
            info: "{\"max_payload\":1048576,\"headers\":true}".to_string(),
            is_mute: false,
            before_pong: Vec::new(),
            greeting: Vec::new(),
            lines: Vec::new(),
            published: Vec::new(),
            subscriptions: Vec::new(),
            rest: Vec::new(),
        }
    }
}

impl FakeNats {
    /// How often the client has sent this line on the present connection.
    pub fn count(&self, line: &str) -> usize {
        self.lines.iter().filter(|said| *said == line).count()
    }

    /// Takes a line, and the body if there is one; false if something is missing.
    fn take(&mut self, answer: &mut Vec<u8>) -> bool {
        let Some(end) = self.rest.windows(2).position(|pair| pair == b"\r\n") else {
            return false;
        };
        let line = String::from_utf8(self.rest[..end].to_vec()).expect("lines are UTF-8");
        let words: Vec<&str> = line.split(' ').collect();
        let mut used = end + 2;
        match words.as_slice() {
            ["CONNECT", json] => drop(serde_json::from_str::<serde_json::Value>(json).unwrap()),
            ["PING"] if self.is_mute => {}
            ["PING"] => {
                answer.extend_from_slice(&self.before_pong);
                answer.extend_from_slice(b"PONG\r\n");
            }
            ["PONG"] => {}
            ["SUB", subject, .., sid] => {
                (self.subscriptions).push((subject.to_string(), sid.to_string()));
            }
            ["UNSUB", sid] => self.subscriptions.retain(|(_, known)| known != sid),
            ["PUB", subject, .., len] => {
                let len: usize = len.parse().expect("a length");
                let Some(body) = self.rest.get(used..used + len + 2) else {
                    return false;
                };
                assert!(body.ends_with(b"\r\n"), "a body has its announced length");
                for (_, sid) in self.subscriptions.iter().filter(|(of, _)| of == subject) {
                    answer.extend_from_slice(format!("MSG {subject} {sid} {len}\r\n").as_bytes());
                    answer.extend_from_slice(body);
                }
                self.published.push(body[..len].to_vec());
                used += len + 2;
            }
            _ => panic!("not a line of NATS: {line:?}"),
        }
        self.rest.drain(..used);
        self.lines.push(line);
        true
    }
}

impl Peer for FakeNats {
    fn connected(&mut self) -> Vec<u8> {
        self.lines.clear();
        self.subscriptions.clear();
        self.rest.clear();
        let mut hello = format!("INFO {}\r\n", self.info).into_bytes();
        hello.extend_from_slice(&self.greeting);
        hello
    }

    fn sent(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        let mut answer = Vec::new();
        while self.take(&mut answer) {}
        answer
    }
}
