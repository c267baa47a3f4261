//! Who is let in, and who is not and why: users, tokens, nkeys, JWTs and certificates, against real
//! servers. Where a real server would not misbehave, a scripted one does.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::LONG;
use common::certificates::Certificates;
use common::nats_server::NatsServer;
use common::trust::Trust;
use natsbridge::BrokerErrorKind as Kind;
use natsbridge::adapter::{Broker, BrokerError, Outgoing, SliceBody};
use natsbridge::host::{NatsClient, NatsOptions};
use nkeys::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

/// What has a meaning somewhere in a URL.
const SPECIAL: [char; 12] = ['@', ':', '/', '=', ';', '%', '#', '?', '[', ']', ' ', 'ü'];

fn options(url: &str) -> NatsOptions {
    NatsOptions::new(url)
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(5))
}

/// A message goes to the server and back.
fn assert_works(options: NatsOptions) {
    let shown = format!("{options:?}");
    let mut client = NatsClient::new(options);
    let sent: Result<_, BrokerError> = (|| {
        client.subscribe("a", None)?;
        client.publish(&Outgoing::new("a"), &mut SliceBody::new(&[7; 50_000]))?;
        client.flush(LONG)?;
        client.next(LONG)
    })();
    let message = sent.unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert_eq!(message.expect("a message in time").payload, [7; 50_000]);
}

/// The connect fails, with a message that says all of `reasons` and none of `secrets`.
fn assert_refused(options: NatsOptions, kind: Kind, reasons: &[&str], secrets: &[&str]) {
    let mut client = NatsClient::new(options);
    let error = client.connect().unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let shown = format!("{error} {error:?} {client:?} {}", client.public_url());
    for reason in reasons {
        assert!(shown.contains(reason), "no `{reason}` in: {shown}");
    }
    for secret in secrets {
        assert!(!shown.contains(secret), "`{secret}` in: {shown}");
    }
}

/// The address of a server that does `serve` with each connection.
fn serve(serve: impl Fn(TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A server that sends `greeting`, and then nothing.
fn says(greeting: impl AsRef<[u8]>) -> String {
    let greeting = greeting.as_ref().to_vec();
    serve(move |mut stream| {
        stream.write_all(&greeting).unwrap();
        while matches!(stream.read(&mut [0; 1000]), Ok(count) if count > 0) {}
    })
}

/// The port of a server that is not there.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte.is_ascii_alphanumeric() {
            true => encoded.push(char::from(byte)),
            false => write!(encoded, "%{byte:02X}").unwrap(),
        }
        encoded
    })
}

/// `nats://given@host:port`
fn with_credentials(server: &NatsServer, given: &str) -> String {
    server
        .url()
        .replacen("nats://", &format!("nats://{given}@"), 1)
}

// Users and tokens.

#[test]
fn users_and_passwords_of_any_characters() {
    let users = SPECIAL.map(|c| (format!("u{c}x{c}"), format!("{c}secret{c}y")));
    let entries = users.iter().map(|(user, password)| {
        // The server's configuration quotes as JSON does.
        format!("{{ user: {}, password: {} }}", json!(user), json!(password))
    });
    let entries = entries.collect::<Vec<_>>().join(",");
    let server = NatsServer::start_with(&format!("authorization {{ users: [{entries}] }}"));
    let unauthorized = |options| {
        let url = server.url();
        let reasons = [&*url, "Authorization Violation"];
        assert_refused(options, Kind::Unauthorized, &reasons, &["secret"]);
    };
    for (c, (user, password)) in SPECIAL.into_iter().zip(&users) {
        let raw = |password: &str| options(&server.url()).user_password(user, password);
        assert_works(raw(password));
        unauthorized(raw("secret"));
        let (user, encoded) = (percent_encoded(user), percent_encoded(password));
        assert_works(options(&with_credentials(
            &server,
            &format!("{user}:{encoded}"),
        )));
        unauthorized(options(&with_credentials(
            &server,
            &format!("{user}:secret"),
        )));
        // A password may hold anything but `%` as it is.
        if c != '%' {
            assert_works(options(&with_credentials(
                &server,
                &format!("{user}:{password}"),
            )));
        }
        // A user ends at the first `:` too.
        if c != '%' && c != ':' {
            let as_it_is = format!("u{c}x{c}:{password}");
            assert_works(options(&with_credentials(&server, &as_it_is)));
        }
    }
    unauthorized(options(&server.url()));
    unauthorized(options(&server.url()).token("secret"));
}

#[test]
fn a_percent_sign_that_encodes_nothing_is_an_error_without_the_password() {
    let reasons = ["nats://127.0.0.1:1", "`%25`"];
    for password in ["secret%", "secret%4", "secret%zz", "secret%ff"] {
        let options = options(&format!("nats://user:{password}@127.0.0.1:1"));
        assert_refused(options, Kind::InvalidOption, &reasons, &["secret"]);
    }
}

#[test]
fn a_password_with_a_comma_is_not_shown_in_pieces() {
    let options = options("nats://user:secret,hidden@127.0.0.1:1");
    assert_refused(options, Kind::InvalidOption, &[], &["secret", "hidden"]);
}

#[test]
fn tokens() {
    let token = SPECIAL.iter().collect::<String>() + "secret";
    let config = format!("authorization {{ token: {} }}", json!(token));
    let server = NatsServer::start_with(&config);
    assert_works(options(&server.url()).token(&token));
    assert_works(options(&with_credentials(
        &server,
        &percent_encoded(&token),
    )));
    for wrong in [
        options(&server.url()),
        options(&server.url()).token("secret"),
        options(&server.url()).user_password("user", "secret"),
        options(&with_credentials(&server, "secret")),
    ] {
        let url = server.url();
        let reasons = [&*url, "Authorization Violation"];
        assert_refused(wrong, Kind::Unauthorized, &reasons, &["secret"]);
    }
}

// Nkeys and JWTs.

#[test]
fn nkeys_sign_what_the_server_asks_for() {
    let (user, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let public = user.public_key();
    let config = format!("authorization {{ users: [{{ nkey: {public} }}] }}");
    let server = NatsServer::start_with(&config);
    let url = server.url();
    assert_works(options(&url).nkey(&user.seed().unwrap()));
    let refused = |seed: &str, kind, reason: &str| {
        let reasons = [&*url, reason];
        assert_refused(options(&url).nkey(seed), kind, &reasons, &[seed]);
    };
    let seed = stranger.seed().unwrap();
    refused(&seed, Kind::Unauthorized, "Authorization Violation");
    let account = KeyPair::new_account().seed().unwrap();
    refused(&account, Kind::InvalidOption, "not one of a user");
    refused(&seed[..57], Kind::InvalidOption, "58 characters");
    refused(&seed.replacen("SU", "UU", 1), Kind::InvalidOption, "seed");
}

#[test]
fn jwts_in_memory_and_by_file() {
    let trust = Trust::new(None);
    let server = NatsServer::start_with(&trust.config);
    let url = server.url();
    assert_works(options(&url).jwt(&trust.jwt, &trust.seed));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("me.creds");
    fs::write(&path, trust.creds()).unwrap();
    assert_works(options(&url).credentials_file(&path));

    let seed_of_another = KeyPair::new_user().seed().unwrap();
    let stranger = Trust::new(None);
    for (jwt, seed) in [
        (&trust.jwt, &seed_of_another),
        (&stranger.jwt, &stranger.seed),
    ] {
        let options = options(&url).jwt(jwt, seed);
        let reasons = [&*url, "Authorization Violation"];
        assert_refused(options, Kind::Unauthorized, &reasons, &[jwt, seed]);
    }
}

#[test]
fn a_jwt_that_is_over_is_refused() {
    let trust = Trust::new(Some(1_700_000_001));
    let server = NatsServer::start_with(&trust.config);
    let options = options(&server.url()).jwt(&trust.jwt, &trust.seed);
    let reasons = [&*server.url(), "Authorization Violation"];
    assert_refused(
        options,
        Kind::Unauthorized,
        &reasons,
        &[&trust.seed, &trust.jwt],
    );
}

#[test]
fn creds_files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("me.creds");
    let place = path.display().to_string();
    let creds = Trust::new(None).creds();
    let (jwt, seed) = creds.split_at(creds.find("-----BEGIN USER").unwrap());
    let wrong_seed = creds.replace("\nSU", "\nSA");
    for (text, reason) in [
        (None, "cannot be read"),
        (Some(""), "BEGIN NATS USER JWT"),
        (Some(seed), "BEGIN NATS USER JWT"),
        (Some(jwt), "BEGIN USER NKEY SEED"),
    ] {
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let options = options("nats://127.0.0.1:1").credentials_file(&path);
        let reasons = [&*place, reason];
        let secrets = ["\nSU", "eyJ"];
        assert_refused(options, Kind::InvalidOption, &reasons, &secrets);
    }
    // What is wrong with a seed shows when it is to sign.
    fs::write(&path, wrong_seed).unwrap();
    let address = says("INFO {\"nonce\":\"x\"}\r\n");
    let options = options(&address).credentials_file(&path);
    assert_refused(
        options,
        Kind::InvalidOption,
        &[&address, "checksum"],
        &["SA"],
    );
}

// TLS.

/// A server with a certificate for localhost, and its URL by that name.
fn tls_server(certificates: &Certificates, more: &str) -> (NatsServer, String) {
    let tls = certificates.config("server");
    let server = NatsServer::start_with(&format!("tls {{ {tls} {more} }}"));
    let url = format!("tls://localhost:{}", server.port());
    (server, url)
}

#[test]
fn servers_are_accepted_by_roots_of_ones_own() {
    let certificates = Certificates::make();
    let (server, url) = tls_server(&certificates, "");
    let text = certificates.text("ca.pem");
    assert_works(options(&url).root_certificate(certificates.path("ca.pem")));
    assert_works(options(&url).root_certificate_pem(&text));
    // One of several roots, and one behind another in a file.
    let both = certificates.text("other-ca.pem") + &text;
    let other = certificates.path("other-ca.pem");
    assert_works(options(&url).root_certificate_pem(&both));
    assert_works(
        options(&url)
            .root_certificate(other)
            .root_certificate_pem(&text),
    );
    // The server demands TLS, whatever the URL says, and has a certificate for its address.
    assert_works(options(&server.url()).root_certificate_pem(&text));

    let refused = |options| {
        let reasons = [&*url, "UnknownIssuer"];
        assert_refused(options, Kind::Unauthorized, &reasons, &[]);
    };
    refused(options(&url));
    refused(options(&url).root_certificate(certificates.path("other-ca.pem")));
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let certificates = Certificates::make();
    let tls = certificates.config("elsewhere");
    let server = NatsServer::start_with(&format!("tls {{ {tls} }}"));
    let url = format!("tls://localhost:{}", server.port());
    let options = options(&url).root_certificate(certificates.path("ca.pem"));
    let reasons = [&*url, "elsewhere.example"];
    assert_refused(options, Kind::Unauthorized, &reasons, &[]);
}

#[test]
fn clients_are_known_by_their_certificates() {
    let certificates = Certificates::make();
    let (_server, url) = tls_server(&certificates, ", verify: true");
    let with_root = || options(&url).root_certificate(certificates.path("ca.pem"));
    let path = |file| certificates.path(file);
    let text = |file| certificates.text(file);
    assert_works(with_root().client_certificate(path("client.pem"), path("client.key")));
    assert_works(with_root().client_certificate_pem(&text("client.pem"), &text("client.key")));

    for refused in [
        with_root(),
        with_root().client_certificate(path("stranger.pem"), path("stranger.key")),
    ] {
        assert_refused(refused, Kind::Unauthorized, &[&url, "TLS"], &[]);
    }
}

#[test]
fn files_of_certificates_that_cannot_be_used_are_named() {
    let certificates = Certificates::make();
    fs::write(certificates.path("empty"), "").unwrap();
    fs::write(
        certificates.path("cut"),
        &certificates.text("ca.pem")[..200],
    )
    .unwrap();
    let path = |file| certificates.path(file);
    let shown = |file| certificates.path(file).display().to_string();
    let here = || options("tls://127.0.0.1:1");
    let client = |certificate, key| here().client_certificate(path(certificate), path(key));
    for (options, reasons) in [
        (
            here().root_certificate(path("none")),
            [shown("none"), "cannot be read".into()],
        ),
        (
            here().root_certificate(path("empty")),
            [shown("empty"), "no certificate".into()],
        ),
        (
            here().root_certificate(path("ca.key")),
            [shown("ca.key"), "no certificate".into()],
        ),
        (
            here().root_certificate(path("cut")),
            [shown("cut"), "not PEM".into()],
        ),
        (
            here().root_certificate_pem("hello"),
            ["the PEM text".into(), "no certificate".into()],
        ),
        (
            client("client.key", "client.key"),
            [shown("client.key"), "no certificate".into()],
        ),
        (
            client("client.pem", "client.pem"),
            [shown("client.pem"), "no private key".into()],
        ),
        (
            client("client.pem", "none"),
            [shown("none"), "cannot be read".into()],
        ),
        (
            client("client.pem", "server.key"),
            ["client certificate".into(), "cannot be used".into()],
        ),
    ] {
        let reasons = reasons.each_ref().map(String::as_str);
        let key = certificates.text("client.key");
        let secret = key.lines().nth(1).unwrap();
        assert_refused(options, Kind::InvalidOption, &reasons, &[secret]);
    }
}

#[test]
fn a_server_without_tls_is_refused_who_must_have_it() {
    let server = NatsServer::start_with("authorization { token: secret }");
    let tls = server.url().replacen("nats", "tls", 1);
    for options in [
        options(&server.url()).token("secret").tls_required(true),
        options(&tls).token("secret"),
    ] {
        let port = server.port().to_string();
        assert_refused(
            options,
            Kind::InvalidOption,
            &[&port, "does not offer TLS"],
            &["secret"],
        );
    }
    assert_works(options(&server.url()).token("secret"));
    // It speaks first, where TLS would.
    let tls_first = options(&server.url()).tls_first(true);
    assert_refused(tls_first, Kind::Protocol, &["TLS"], &[]);
}

#[test]
fn a_server_that_may_use_tls_uses_it_if_the_client_asks() {
    let certificates = Certificates::make();
    let tls = certificates.config("server");
    let server = NatsServer::start_with(&format!("allow_non_tls: true, tls {{ {tls} }}"));
    assert_works(options(&server.url()));
    let with_tls = || options(&server.url()).tls_required(true);
    assert_works(with_tls().root_certificate(certificates.path("ca.pem")));
    assert_refused(
        with_tls(),
        Kind::Unauthorized,
        &[&server.url(), "UnknownIssuer"],
        &[],
    );
}

const DEMANDS_TLS: &str = "INFO {\"tls_required\":true,\"tls_available\":true}\r\n";

/// Whoever is between client and server can write what he likes before TLS begins.
#[test]
fn nothing_is_taken_that_came_before_tls() {
    let message = "MSG a 1 8\r\ninjected\r\n";
    for greeting in [
        format!("{DEMANDS_TLS}PONG\r\n"),
        format!("{DEMANDS_TLS}{message}"),
        format!("{message}{DEMANDS_TLS}"),
        format!("PING\r\n{DEMANDS_TLS}"),
        format!("+OK\r\n{DEMANDS_TLS}"),
        format!("{DEMANDS_TLS}INFO {{}}\r\nPONG\r\n"),
    ] {
        let address = says(&greeting);
        let mut client = NatsClient::new(options(&address).tls_required(true));
        let error = client.connect().unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{greeting:?}: {error}");
        assert!(error.to_string().contains(&address), "{error}");
    }
}

/// Reads until `end` has come; false if the connection has ended.
fn read_until(stream: &mut impl Read, end: &[u8]) -> bool {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(end) {
        if stream.read_exact(&mut byte).is_err() {
            return false;
        }
        seen.push(byte[0]);
    }
    true
}

/// A client that has subscribed before, and is made to connect anew.
#[test]
fn nothing_is_delivered_that_came_before_info() {
    let connections = Arc::new(AtomicUsize::new(0));
    let address = serve(move |mut stream| {
        if connections.fetch_add(1, Ordering::Relaxed) == 0 {
            stream.write_all(b"INFO {}\r\n").unwrap();
            read_until(&mut stream, b"PING\r\n");
            stream.write_all(b"PONG\r\n").unwrap();
            read_until(&mut stream, b"SUB a 1\r\n");
        } else {
            let injected = format!("MSG a 1 8\r\ninjected\r\n{DEMANDS_TLS}");
            stream.write_all(injected.as_bytes()).unwrap();
            read_until(&mut stream, b"\n");
        }
    });
    let mut client = NatsClient::new(options(&address));
    client.subscribe("a", None).unwrap();
    assert_eq!(client.next(LONG).unwrap_err().kind(), Kind::Disconnected);
    assert_eq!(client.next(LONG).unwrap_err().kind(), Kind::Protocol);
    assert_eq!(
        client.next(Duration::ZERO).unwrap_err().kind(),
        Kind::Protocol
    );
}

fn server_config(certificates: &Certificates) -> Arc<rustls::ServerConfig> {
    let chain = CertificateDer::from_pem_file(certificates.path("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificates.path("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key);
    Arc::new(config.unwrap())
}

/// A server that answers PINGs, and says nothing before TLS.
fn tls_first_server(certificates: &Certificates) -> String {
    let config = server_config(certificates);
    serve(move |mut tcp| {
        let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        // With TLS first, INFO says that it is required, and that it is not to be started again.
        if stream.write_all(DEMANDS_TLS.as_bytes()).is_err() {
            return;
        }
        while read_until(&mut stream, b"PING\r\n") {
            stream.write_all(b"PONG\r\n").unwrap();
        }
    })
}

#[test]
fn tls_may_come_first() {
    let certificates = Certificates::make();
    let address = tls_first_server(&certificates);
    let with_root = |first| {
        let options = options(&address).tls_first(first);
        options.root_certificate(certificates.path("ca.pem"))
    };
    let mut client = NatsClient::new(with_root(true));
    client.connect().unwrap();
    client.flush(LONG).unwrap();
    let untrusted = options(&address).tls_first(true);
    assert_refused(
        untrusted,
        Kind::Unauthorized,
        &[&address, "UnknownIssuer"],
        &[],
    );
    // It waits for the client, which waits for INFO.
    let waiting = with_root(false).connect_timeout(Duration::from_millis(300));
    assert_refused(waiting, Kind::Unreachable, &[&address, "in time"], &[]);
}

/// Only servers from 2.10 on can, which `NATS_SERVER` may name.
#[test]
fn a_real_server_may_have_tls_come_first() {
    let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "/usr/sbin/nats-server".into());
    let version = Command::new(program).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let number = version.rsplit_once('v').unwrap().1.trim();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap());
    let certificates = Certificates::make();
    let tls = certificates.config("server");
    if (parts.next(), parts.next()) < (Some(2), Some(10)) {
        let server = NatsServer::start_with(&format!("tls {{ {tls} }}"));
        let first = options(&server.url()).tls_first(true);
        let reasons = [&*server.url(), "TLS"];
        assert_refused(first, Kind::Protocol, &reasons, &[]);
        return;
    }
    let server = NatsServer::start_unheard(&format!("tls {{ {tls}, handshake_first: true }}"));
    let first = options(&server.url()).tls_first(true);
    assert_works(first.root_certificate(certificates.path("ca.pem")));
}

// All servers.

/// Longer than a part of a name may be, so that nobody is asked for it.
fn no_name() -> String {
    format!("{}.invalid", "x".repeat(64))
}

#[test]
fn a_host_that_cannot_be_looked_up_is_named() {
    let url = format!("nats://user:secret@{}:4222", no_name());
    let reasons = [&*no_name(), "cannot be looked up"];
    assert_refused(options(&url), Kind::Unreachable, &reasons, &["secret"]);
}

#[test]
fn all_servers_that_failed_are_named_and_why() {
    let certificates = Certificates::make();
    let (_tls_server, tls_url) = tls_server(&certificates, "");
    let user = NatsServer::start_with("authorization { user: me, password: other }");
    let servers = [
        (nobody(), "refused"),
        (
            with_credentials(&user, "me:secret").replacen("nats://", "", 1),
            "Authorization Violation",
        ),
        (tls_url, "UnknownIssuer"),
        (format!("{}:4222", no_name()), "cannot be looked up"),
        (says("SMTP\r\n"), "unknown verb"),
        (
            says("-ERR 'maximum connections exceeded'\r\n"),
            "maximum connections exceeded",
        ),
        (says("INFO {\"nonce\":1}\r\n"), "INFO"),
        (says(""), "no answer in time"),
    ];
    let urls = servers.each_ref().map(|(url, _)| &**url).join(",");
    let options = options(&urls)
        .keep_order(true)
        .connect_timeout(Duration::from_secs(1));
    let error = NatsClient::new(options).connect().unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    let message = error.to_string();
    let reasons = message.split("; ").collect::<Vec<_>>();
    assert_eq!(reasons.len(), servers.len(), "{message}");
    for ((url, reason), told) in servers.iter().zip(reasons) {
        let host = url.rsplit_once('@').map_or(&**url, |(_, host)| host);
        assert!(
            told.contains(host) && told.contains(reason),
            "{url}: {told}"
        );
    }
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn servers_that_all_refuse_the_user_make_that_the_kind() {
    let user = NatsServer::start_with("authorization { user: me, password: other }");
    let token = NatsServer::start_with("authorization { token: other }");
    let urls = [&user, &token].map(|server| with_credentials(server, "me:secret"));
    let (first, second) = (user.url(), token.url());
    let reasons = [&*first, &*second, "Authorization Violation"];
    assert_refused(
        options(&urls.join(",")),
        Kind::Unauthorized,
        &reasons,
        &["secret"],
    );
}
