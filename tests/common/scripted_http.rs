//! An HTTP server that answers as a test says, one request for each connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

pub struct ScriptedHttp {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    is_stopped: Arc<AtomicBool>,
    /// Ends with the number of connections.
    thread: Option<JoinHandle<usize>>,
}

/// A request whose head has been read, and nothing else.
pub struct Exchange {
    /// Requests of the same method that came before.
    pub before: usize,
    pub head: String,
    stream: BufReader<TcpStream>,
}

impl ScriptedHttp {
    /// Runs `answer` for each request, on a thread of its own.
    pub fn start(answer: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a free port");
        let address = listener.local_addr().expect("its address");
        let (requests, is_stopped) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (of_thread, stopped) = (Arc::clone(&requests), Arc::clone(&is_stopped));
        let serve = move |stream| {
            if let Some(mut exchange) = Exchange::read(stream, &of_thread) {
                answer(&mut exchange);
            }
        };
        let thread = thread::spawn(move || {
            let mut connections = 0;
            thread::scope(|threads| {
                for stream in listener.incoming().map_while(Result::ok) {
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    connections += 1;
                    threads.spawn(|| serve(stream));
                }
            });
            connections
        });
        Self {
            address,
            requests,
            is_stopped,
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many requests came of this method.
    pub fn count(&self, method: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|made| *made == method).count()
    }

    /// Stops, and tells how many connections were made, also those without a request.
    pub fn stop(mut self) -> usize {
        self.end().expect("it runs").expect("no panic")
    }

    fn end(&mut self) -> Option<thread::Result<usize>> {
        let thread = self.thread.take()?;
        self.is_stopped.store(true, Ordering::SeqCst);
        // Comes behind all connections that were made before.
        TcpStream::connect(self.address).ok();
        Some(thread.join())
    }
}

impl Drop for ScriptedHttp {
    fn drop(&mut self) {
        let ended = self.end();
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))));
    }
}

impl Exchange {
    fn read(stream: TcpStream, requests: &Mutex<Vec<String>>) -> Option<Self> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let method = head.split(' ').next()?.to_string();
        let mut requests = requests.lock().unwrap();
        let before = requests.iter().filter(|made| **made == method).count();
        requests.push(method);
        Some(Self {
            before,
            head,
            stream,
        })
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        let address = self.stream.get_ref().local_addr();
        address.expect("it is connected").port()
    }

    /// Reads all of the request's body, or as much as comes.
    pub fn read_body(&mut self) {
        let length = self.head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then_some(value)
        });
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        let mut body = (&mut self.stream).take(length);
        std::io::copy(&mut body, &mut std::io::sink()).ok();
    }

    /// Reads this much of the body.
    pub fn read_bytes(&mut self, count: usize) {
        self.stream.read_exact(&mut vec![0; count]).ok();
    }

    /// Writes as much as the client takes; whether it took all.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_ref().write_all(bytes.as_ref()).is_ok()
    }

    /// Reads the request to its end, and writes an answer.
    pub fn answer(&mut self, answer: impl AsRef<[u8]>) {
        self.read_body();
        self.write(answer);
    }

    /// Reads until the client has gone.
    pub fn wait_for_end(&mut self) {
        std::io::copy(&mut self.stream, &mut std::io::sink()).ok();
    }

    pub fn half_close(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).ok();
        self.wait_for_end();
    }

    /// Makes the close a reset.
    pub fn reset(&mut self) {
        let socket = SockRef::from(self.stream.get_ref());
        socket.set_linger(Some(Duration::ZERO)).ok();
    }
}

/// A whole answer.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}
