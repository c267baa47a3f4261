//! A stand-in for the Plik file server, inside this process: the part of its HTTP API that a
//! client of the two-step upload meets, with its traps, and with hooks to make it fail.
//!
//! Not here: quick mode, stream mode, archives, users, files declared before they are sent.
//! What is not here is refused, never ignored.

mod answer;
mod call;
mod front_door;
mod multipart;
mod options;
mod uploads;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use serde_json::json;
use tiny_http::{Request, Server};

use answer::{Answer, HTML, PLAIN_TEXT, Refusal};
use call::Call;
use front_door::FrontDoor;
use multipart::{boundary, file_part};
use options::{UploadOptions, bad_options};
use uploads::{State, StoredFile, Upload, forbidden};

const MAX_OPTIONS_BYTES: u64 = 1024 * 1024;

pub struct PlikStandIn {
    shared: Arc<Shared>,
    door: Arc<FrontDoor>,
    http: Arc<Server>,
    threads: Vec<JoinHandle<()>>,
}

impl PlikStandIn {
    /// Starts on a free port of the loopback.
    pub fn start() -> Self {
        Self::start_on((Ipv4Addr::LOCALHOST, 0)).expect("a free port of the loopback")
    }

    /// Starts on an address of the caller's choice, for a program of its own or a second life.
    pub fn start_on(address: impl ToSocketAddrs) -> io::Result<Self> {
        let http = Server::http((Ipv4Addr::LOCALHOST, 0)).map_err(io::Error::other)?;
        let http = Arc::new(http);
        let behind = http.server_addr().to_ip().expect("bound to an IP address");
        let listener = TcpListener::bind(address)?;
        let door = Arc::new(FrontDoor::new(listener.local_addr()?, behind));
        let shared = Arc::new(Shared::default());
        let relay = {
            let door = Arc::clone(&door);
            thread::spawn(move || door.relay_all(listener))
        };
        let serve = {
            let (shared, door, http) = (Arc::clone(&shared), Arc::clone(&door), Arc::clone(&http));
            thread::spawn(move || shared.serve_all(&http, &door))
        };
        Ok(Self {
            shared,
            door,
            http,
            threads: vec![relay, serve],
        })
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.door.address)
    }

    /// From now on an upload needs this `X-PlikToken`.
    pub fn require_token(&self, token: impl Into<String>) {
        self.shared.state().user_token = Some(token.into());
    }

    /// The next `count` requests get this status, whoever asks and whatever for.
    pub fn fail_next(&self, count: usize, status: u16) {
        self.shared.state().failing = (count, status);
    }

    /// Whether uploads are answered with a wrong `fileMd5`.
    pub fn lie_about_md5(&self, lie: bool) {
        self.shared.state().lie_about_md5 = lie;
    }

    /// Whether uploads are answered with a `fileSize` that is one byte too much.
    pub fn lie_about_size(&self, lie: bool) {
        self.shared.state().lie_about_size = lie;
    }

    /// The base URL that clients are told to publish; downloads by another host are refused.
    pub fn download_domain(&self, url: impl Into<String>) {
        self.shared.state().download_domain = url.into();
    }

    /// The next download promises all of the file, sends half and breaks the connection.
    pub fn truncate_next_download(&self) {
        self.shared.state().truncate_next = true;
    }

    /// Lets the time run out for all uploads there are.
    pub fn expire_uploads(&self) {
        self.shared.state().expire_all();
    }

    /// All requests so far, each as "METHOD /path", in the order of their arrival.
    pub fn requests(&self) -> Vec<String> {
        self.shared.state().requests.clone()
    }

    /// How many uploads were created since the start.
    pub fn uploads(&self) -> usize {
        self.shared.state().created
    }

    /// The bytes behind a download URL, looked up without a request; `None` once they are gone.
    pub fn file_bytes(&self, url: &str) -> Option<Vec<u8>> {
        self.shared.state().bytes(url)
    }
}

impl Drop for PlikStandIn {
    /// Frees the port, breaks every connection and waits for all threads.
    fn drop(&mut self) {
        self.door.close();
        self.http.unblock();
        for thread in self.threads.drain(..) {
            // A panic of that thread has been printed already.
            let _ = thread.join();
        }
    }
}

/// What all request threads work on.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panicked with the lock")
    }

    /// One thread for each request; ends, with all of them, once the server is unblocked.
    fn serve_all(&self, http: &Server, door: &FrontDoor) {
        thread::scope(|scope| {
            for request in http.incoming_requests() {
                scope.spawn(move || self.serve(request, door));
            }
        });
    }

    fn serve(&self, mut request: Request, door: &FrontDoor) {
        let call = Call::of(&request);
        let answer = self.answer(&call, &mut request);
        // An error means that the client has gone, and nobody waits for the answer.
        let _ = if answer.truncated {
            send_half(request, &answer.body, door)
        } else {
            request.respond(answer.into_response())
        };
    }

    fn answer(&self, call: &Call, request: &mut Request) -> Answer {
        if let Some(status) = self.state().note(call) {
            return Refusal::new(status, "failing on demand").into();
        }
        // Plik API: a path with a double slash is redirected, which makes a POST a GET.
        if let Some(clean) = call.cleaned_target() {
            return Answer::moved_to(&clean);
        }
        match self.route(call, request) {
            Ok(answer) => answer,
            // Plik API: the redirect trap. A 401 is never hidden.
            Err(refusal) if call.is_fooled() && refusal.status != 401 => refusal.hidden(call),
            Err(refusal) => refusal.into(),
        }
    }

    fn route(&self, call: &Call, request: &mut Request) -> Result<Answer, Refusal> {
        let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        match (call.method.as_str(), segments.as_slice()) {
            ("GET" | "HEAD", [""]) => Ok(Answer::text("<!doctype html><title>Plik</title>", HTML)),
            ("GET", ["health"]) => Ok(Answer::text("ok\n", PLAIN_TEXT)),
            ("GET", ["version"]) => Ok(Answer::json(&json!({"version": "1.3.8"}))),
            ("GET", ["config"]) => Ok(self.state().show_limits()),
            ("POST", ["upload"]) => self.create_upload(call, request),
            ("GET", ["upload", id]) => self.state().show_upload(call, id),
            ("DELETE", ["upload", id]) => self.state().remove_upload(call, id),
            ("POST", ["file", id]) => self.add_file(call, id, request),
            ("GET" | "HEAD", &["file", upload, file, name]) => {
                self.state().download(call, [upload, file, name])
            }
            ("DELETE", &["file", upload, file, name]) => {
                self.state().remove_file(call, [upload, file, name])
            }
            _ => Err(Refusal::new(404, "404 page not found")),
        }
    }

    /// Plik API: the two-step upload, step 1.
    fn create_upload(&self, call: &Call, request: &mut Request) -> Result<Answer, Refusal> {
        self.state().check_may_create(call)?;
        let mut text = Vec::new();
        let mut body = request.as_reader().take(MAX_OPTIONS_BYTES);
        body.read_to_end(&mut text).map_err(bad_options)?;
        let upload = Upload::new(UploadOptions::parse(&text)?);
        let mut state = self.state();
        let mut answer = Answer::json(&upload.describe(true, &state.download_domain));
        let convenience = upload.options.convenience.clone();
        answer
            .headers
            .extend(convenience.map(|value| ("Authorization", value)));
        state.created += 1;
        state.uploads.insert(upload.id.clone(), upload);
        Ok(answer)
    }

    /// Plik API: the two-step upload, step 2. The body is read without the lock, so that a slow
    /// upload holds nobody up.
    fn add_file(&self, call: &Call, id: &str, request: &mut Request) -> Result<Answer, Refusal> {
        if !self.state().upload(call, id)?.is_owned_by(call) {
            return Err(forbidden("add file to this upload"));
        }
        let boundary = boundary(call.header("Content-Type").unwrap_or_default())?;
        let mut body = Vec::new();
        // A body that ends too early shows by its missing boundary.
        let _ = request.as_reader().read_to_end(&mut body);
        let part = file_part(&body, &boundary)?;
        let file = StoredFile::new(part.name, part.content);
        let mut state = self.state();
        let shown = state.describe_new(&file);
        // A new look: the upload can have been deleted in the meantime.
        state.upload(call, id)?.files.push(file);
        match part.content {
            Some(_) => Ok(Answer::json(&shown)),
            None => Err(Refusal::new(500, "unexpected end of the body")),
        }
    }
}

/// Promises everything, sends half, and ends the connection once the client has that half.
fn send_half(request: Request, body: &[u8], door: &FrontDoor) -> io::Result<()> {
    let connection = request.remote_addr().and_then(|peer| door.connection(peer));
    let connection = connection.ok_or(io::ErrorKind::NotConnected)?;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let half = &body[..body.len() / 2];
    let goal = connection
        .forwarded()
        .saturating_add((head.len() + half.len()) as u64);
    let mut writer = request.into_writer();
    writer.write_all(&[head.as_bytes(), half].concat())?;
    writer.flush()?;
    connection.wait_until_forwarded(goal);
    connection.close();
    Ok(())
}
