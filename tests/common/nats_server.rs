//! A real `nats-server` for a test, or a cluster of them: on free ports of the loopback, gone when the
//! value is dropped. The environment variable `NATS_SERVER` may name another program than the installed
//! one.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long the server may take to start, in total.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at a file that another process is about to change.
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// Debian puts the program where an ordinary user's `PATH` does not look.
const PROGRAMS: [&str; 2] = ["nats-server", "/usr/sbin/nats-server"];
const NOT_INSTALLED: &str =
    "nats-server is not installed: apt-get install -y --no-install-recommends nats-server";
/// What `nats-server` calls its ports in the file that it writes.
const FOR_CLIENTS: &str = "nats";
const FOR_ROUTES: &str = "cluster";

pub struct NatsServer {
    dir: TempDir,
    child: Child,
    port: u16,
    /// Where JetStream keeps its messages.
    store: Option<TempDir>,
}

impl NatsServer {
    /// Starts a server with the program's own defaults.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with more configuration text, such as `max_payload: 1000`. Address and
    /// port are given on the command line, which wins over the text.
    pub fn start_with(config: &str) -> Self {
        let server = Self::start_unheard(config);
        server.wait_for_info();
        server
    }

    /// Starts a server that waits for the client to say something first, as with `handshake_first`.
    pub fn start_unheard(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("nats.conf"), config).expect("write the configuration");
        // -1: the server picks the port itself, so two tests can never pick the same one.
        let child = spawn(dir.path(), "-1");
        let mut server = Self {
            dir,
            child,
            port: 0,
            store: None,
        };
        server.port = server.wait_for_port(FOR_CLIENTS);
        server
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server at once (SIGKILL), as a power cut would. Twice is harmless.
    pub fn kill(&mut self) {
        // An error means it has ended already; either way `wait` collects it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends the server in order (SIGTERM), as an operator does.
    pub fn terminate(&mut self) {
        self.signal("TERM");
        self.child.wait().expect("wait for its end");
    }

    /// Has the server tell its clients that it is about to end, and end then (SIGUSR2).
    pub fn start_lame_duck_mode(&self) {
        self.signal("USR2");
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("ask for its state").is_some()
    }

    /// Ends the server if it still runs, and starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.dir.path(), &self.port.to_string());
        let port = self.wait_for_port(FOR_CLIENTS);
        assert_eq!(port, self.port, "restarted on another port");
        self.wait_for_info();
    }

    /// Freezes the server (SIGSTOP): the connections stay open, nothing answers.
    pub fn pause(&self) {
        self.signal("STOP");
        let deadline = Instant::now() + START_LIMIT;
        while !self.is_stopped() {
            assert!(Instant::now() < deadline, "nats-server did not stop");
            thread::sleep(POLL_PAUSE);
        }
    }

    /// Lets a paused server go on (SIGCONT).
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The shell's own `kill`, because the program of that name is not on every machine.
    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &command]).status();
        assert!(status.is_ok_and(|status| status.success()), "{command}");
    }

    /// A signal is delivered some time after it was sent, thread by thread.
    fn is_stopped(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("Linux's /proc");
        tasks.flatten().all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // "pid (name) state ..."; no state means that the thread has just ended.
            stat.rsplit_once(") ")
                .is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// The server writes its ports into a file once it listens.
    fn wait_for_port(&mut self, of: &str) -> u16 {
        let name = format!("nats-server_{}.ports", self.pid());
        let path = self.dir.path().join(name);
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(port) = port_in(&path, of) {
                return port;
            }
            if self.child.try_wait().expect("ask for its state").is_some() {
                panic!("nats-server ended at its start; its log:\n{}", self.log());
            }
            if Instant::now() > deadline {
                panic!("nats-server wrote no ports file; its log:\n{}", self.log());
            }
            thread::sleep(POLL_PAUSE);
        }
    }

    /// A port that greets with INFO is a NATS server ready for clients, also when it wants TLS.
    fn wait_for_info(&self) {
        match first_line(self.port) {
            Ok(line) if line.starts_with("INFO ") => {}
            other => panic!("no INFO but {other:?}; its log:\n{}", self.log()),
        }
    }
}

impl NatsServer {
    /// Starts a server with JetStream, which keeps its messages when it is restarted.
    pub fn start_jetstream() -> Self {
        Self::start_jetstream_with("", "")
    }

    /// The same, with more configuration text, also of the block `jetstream`.
    pub fn start_jetstream_with(config: &str, jetstream: &str) -> Self {
        let store = tempfile::tempdir().expect("a temporary directory");
        let dir = store.path().display();
        let block = format!("jetstream {{ store_dir: \"{dir}\", {jetstream} }}");
        let mut server = Self::start_with(&format!("{block}\n{config}"));
        server.store = Some(store);
        server
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Servers that are connected with each other.
pub struct NatsCluster {
    pub nodes: Vec<NatsServer>,
    config: String,
}

impl NatsCluster {
    /// Starts servers with more configuration text.
    pub fn start(count: usize, config: &str) -> Self {
        let mut cluster = Self {
            nodes: Vec::new(),
            config: config.to_string(),
        };
        let mut ports = Vec::new();
        for _ in 0..count {
            let config = cluster.config_of("-1", &ports);
            let mut node = NatsServer::start_with(&config);
            ports.push(node.wait_for_port(FOR_ROUTES));
            cluster.nodes.push(node);
        }
        // When a node comes back the others look for it, and it for them.
        for (place, node) in cluster.nodes.iter().enumerate() {
            let port = ports[place].to_string();
            let config = cluster.config_of(&port, &ports);
            fs::write(node.dir.path().join("nats.conf"), config).expect("write the configuration");
        }
        cluster
    }

    /// Starts servers with JetStream, called `node-0` and so on. That needs the routes before the first
    /// start, and so ports that a cluster without it has found.
    pub fn start_jetstream(count: usize) -> Self {
        let mut cluster = Self::start(count, "");
        let nodes = cluster.nodes.iter_mut();
        let ports: Vec<_> = nodes.map(|node| node.wait_for_port(FOR_ROUTES)).collect();
        for (place, port) in ports.iter().enumerate() {
            let store = tempfile::tempdir().expect("a temporary directory");
            let dir = store.path().display();
            cluster.config =
                format!("server_name: node-{place}\njetstream {{ store_dir: \"{dir}\" }}");
            let config = cluster.config_of(&port.to_string(), &ports);
            let node = &mut cluster.nodes[place];
            fs::write(node.dir.path().join("nats.conf"), config).expect("write the configuration");
            node.store = Some(store);
            node.restart();
        }
        cluster
    }

    fn config_of(&self, listen: &str, routes: &[u16]) -> String {
        let route = |port: &u16| format!("nats://127.0.0.1:{port}");
        let routes: Vec<_> = routes.iter().map(route).collect();
        format!(
            "{}\ncluster {{ name: test, listen: \"127.0.0.1:{listen}\", routes: [{}] }}\n",
            self.config,
            routes.join(", ")
        )
    }
}

fn spawn(dir: &Path, port: &str) -> Child {
    let given = std::env::var_os("NATS_SERVER");
    let programs = match &given {
        Some(program) => vec![program.as_os_str()],
        None => PROGRAMS.map(OsStr::new).to_vec(),
    };
    for program in programs {
        let spawned = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", port])
            .arg("-c")
            .arg(dir.join("nats.conf"))
            .arg("--ports_file_dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file(dir))
            .spawn();
        match spawned {
            Ok(child) => return child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => panic!("cannot start {}: {error}", program.display()),
        }
    }
    panic!("{NOT_INSTALLED}");
}

/// Appends, so that the log of the time before a restart stays readable.
fn log_file(dir: &Path) -> File {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    options.open(dir.join("log")).expect("open the log")
}

/// `{"nats":["nats://127.0.0.1:4222"]}`; `None` as long as the file is absent or half written.
fn port_in(path: &Path, of: &str) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let (_, port) = ports[of][0].as_str()?.rsplit_once(':')?;
    port.parse().ok()
}

fn first_line(port: u16) -> io::Result<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(START_LIMIT))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}
