//! A real nginx for a test: a plain HTTP file server (PUT, GET, DELETE) on a free port of the
//! loopback, with all its files in a temporary directory.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long nginx may take to start; on a taken port it tries for 2.5 s by itself.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at a file that another process is about to write.
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// How many ports to try; another process can take a port between our look and nginx's bind.
const PORT_TRIES: usize = 5;
/// Debian puts the program where an ordinary user's `PATH` does not look.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];
const NOT_INSTALLED: &str =
    "nginx is not installed: apt-get install -y --no-install-recommends nginx-light";

pub struct WebServer {
    // Fields drop in this order: nginx ends before its files go.
    _nginx: Nginx,
    dir: TempDir,
    port: u16,
    scheme: &'static str,
}

/// There is no master process, so this one process is all of nginx.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // An error means it has ended already; either way `wait` collects it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl WebServer {
    /// Starts a server that lets anybody read and write.
    pub fn start() -> Self {
        Self::start_in(new_dir(), "")
    }

    /// Starts a server that wants HTTP Basic credentials for everything. No colon in either: it
    /// divides the fields of nginx's password file.
    pub fn start_with_basic_auth(user: &str, password: &str) -> Self {
        assert!(!user.contains(':') && !password.contains(':'), "a colon");
        let dir = new_dir();
        let entry = format!("{user}:{{PLAIN}}{password}\n");
        fs::write(dir.path().join("htpasswd"), entry).expect("write the password file");
        Self::start_in(
            dir,
            "auth_basic \"natsbridge\"; auth_basic_user_file htpasswd;",
        )
    }

    /// Starts a server with TLS, whose root only [`pem`](Self::pem) has, and which wants a certificate
    /// of its clients.
    pub fn start_with_tls() -> Self {
        let dir = new_dir();
        make_certificates(dir.path());
        let mut server = Self::start_in(
            dir,
            "ssl_certificate server.pem; ssl_certificate_key server.key; \
             ssl_client_certificate ca.pem; ssl_verify_client on;",
        );
        server.scheme = "https";
        server
    }

    /// Starts a server with TLS and the certificate and key in these PEM files, for anybody.
    pub fn start_with_certificate(certificate: &Path, key: &Path) -> Self {
        let dir = new_dir();
        for (file, made) in [("server.pem", certificate), ("server.key", key)] {
            fs::copy(made, dir.path().join(file)).expect("copy a file");
        }
        let ssl = "ssl_certificate server.pem; ssl_certificate_key server.key; ssl_protocols TLSv1.2 TLSv1.3;";
        let mut server = Self::start_in(dir, ssl);
        server.scheme = "https";
        server
    }

    /// One of the server's files: `ca.pem`, and `client.pem` with `client.key`.
    pub fn pem(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).expect("a file of a server with TLS")
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// The bytes of a file that was put, by its decoded name.
    pub fn stored(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.dir.path().join("files").join(name)).ok()
    }

    /// Makes a folder, into which files can be put.
    pub fn make_folder(&self, name: &str) {
        fs::create_dir(self.dir.path().join("files").join(name)).expect("make a folder");
    }

    /// The names of all files that were put, sorted.
    pub fn stored_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("files")).expect("list the files");
        let mut names: Vec<_> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn start_in(dir: TempDir, auth: &str) -> Self {
        for _ in 0..PORT_TRIES {
            let port = free_port();
            write_config(dir.path(), port, auth);
            let mut nginx = Nginx(spawn(dir.path()));
            if is_up(&mut nginx, dir.path()) {
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("nginx listens");
                let _nginx = nginx;
                let scheme = "http";
                return Self {
                    _nginx,
                    dir,
                    port,
                    scheme,
                };
            }
        }
        panic!("{PORT_TRIES} ports were taken:\n{}", log(dir.path()));
    }
}

/// Waits until nginx listens; false if another process has the port.
fn is_up(nginx: &mut Nginx, dir: &Path) -> bool {
    let deadline = Instant::now() + START_LIMIT;
    // nginx writes its pid after it has bound the port: a connection tried earlier could reach
    // another process.
    while !has_text(&dir.join("nginx.pid")) {
        if nginx.0.try_wait().expect("ask for its state").is_some() {
            let log = log(dir);
            assert!(log.contains("Address already in use"), "it ended:\n{log}");
            return false;
        }
        assert!(Instant::now() < deadline, "no start:\n{}", log(dir));
        thread::sleep(POLL_PAUSE);
    }
    true
}

/// Errors in the configuration go to stderr, later ones to the log.
fn log(dir: &Path) -> String {
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    read("stderr") + &read("error.log")
}

fn new_dir() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(dir.path().join("files")).expect("create the root folder");
    dir
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a free port");
    listener.local_addr().expect("its address").port()
}

/// All paths are relative to the temporary directory, which is nginx's prefix.
fn write_config(dir: &Path, port: u16, auth: &str) {
    let user = user_line(dir);
    let ssl = if auth.starts_with("ssl_") { " ssl" } else { "" };
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; {user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_max_body_size 0;
    client_body_temp_path tmp_body;
    proxy_temp_path tmp_proxy;
    fastcgi_temp_path tmp_fastcgi;
    uwsgi_temp_path tmp_uwsgi;
    scgi_temp_path tmp_scgi;
    server {{
        listen 127.0.0.1:{port}{ssl};
        root files;
        dav_methods PUT DELETE;
        create_full_put_path off;
        {auth}
        # Of S3, as far as an upload needs it.
        location /films/ {{ add_header ETag x; }}
    }}
}}
"
    );
    fs::write(dir.join("nginx.conf"), config).expect("write the configuration");
}

/// A root, and a certificate of it for a server at 127.0.0.1 and one for a client.
fn make_certificates(dir: &Path) {
    let make = |name: &str, more: &[&str]| {
        let made = Command::new("openssl")
            .current_dir(dir)
            .args(["req", "-x509", "-nodes", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"])
            .args(["-subj", &format!("/CN={name}")])
            .args([
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("{name}.pem"),
            ])
            .args(more)
            .output()
            .expect("openssl is installed: apt-get install -y --no-install-recommends openssl");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
    };
    make("ca", &[]);
    let issued = ["-CA", "ca.pem", "-CAkey", "ca.key"];
    let end = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let host = ["-addext", "subjectAltName=IP:127.0.0.1"];
    make("server", &[issued.as_slice(), &end, &host].concat());
    make("client", &[issued.as_slice(), &end].concat());
}

/// Started by root, nginx would give its directories to another user; for anybody else the
/// directive is only a warning in the log.
fn user_line(dir: &Path) -> &'static str {
    let owner = fs::metadata(dir).expect("the directory is ours").uid();
    if owner == 0 { "user root;" } else { "" }
}

fn spawn(dir: &Path) -> Child {
    for program in PROGRAMS {
        let spawned = Command::new(program)
            .arg("-p")
            .arg(dir)
            // -e: before it has read its configuration nginx would log under /var.
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.join("stderr")).expect("create a file"))
            .spawn();
        match spawned {
            Ok(child) => return child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => panic!("cannot start {program}: {error}"),
        }
    }
    panic!("{NOT_INSTALLED}");
}

fn has_text(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() > 0)
}
