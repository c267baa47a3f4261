//! Certificates: which are accepted, and why others are not.

use natsbridge::net::TransportErrorKind as Kind;

use crate::common::certificates::Certificates;
use crate::server::HANDSHAKE;
use crate::{Board, script, shake, world};

const HERE: &str = "subjectAltName=DNS:localhost,IP:10.0.0.1";
const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign";

fn made() -> Certificates {
    let made = Certificates::make();
    for (name, ca, extensions) in [
        ("inter", "ca", CA),
        ("by-inter", "inter", HERE),
        ("inter-of-inter", "inter", CA),
        ("by-inter-of-inter", "inter-of-inter", HERE),
        // A server's certificate is that of no authority.
        ("by-server", "server", HERE),
        ("short", "ca", "basicConstraints=critical,CA:TRUE,pathlen:0"),
        ("behind-short", "short", CA),
        ("too-deep", "behind-short", HERE),
        ("no-names", "ca", "basicConstraints=CA:FALSE"),
        (
            "many-names",
            "ca",
            "subjectAltName=DNS:a.example,DNS:b.example,DNS:c.example,DNS:localhost",
        ),
        ("wildcard", "ca", "subjectAltName=DNS:*.boards.example"),
        (
            "for-clients",
            "ca",
            &format!("{HERE}\nextendedKeyUsage=clientAuth"),
        ),
        (
            "for-servers",
            "ca",
            &format!("{HERE}\nextendedKeyUsage=serverAuth"),
        ),
        (
            "critical",
            "ca",
            &format!("{HERE}\n1.2.3.4=critical,DER:0500"),
        ),
    ] {
        made.issue(name, ca, extensions);
    }
    made
}

#[test]
fn servers_of_the_root_are_accepted_by_name_and_address() {
    let made = made();
    let board = Board::in_days(0);
    for (chain, name) in [
        (&["server"][..], "localhost"),
        (&["server"], "LOCALHOST"),
        (&["server"], "127.0.0.1"),
        (&["by-inter", "inter"], "10.0.0.1"),
        (&["many-names"], "localhost"),
        (&["wildcard"], "any.boards.example"),
        (&["for-servers"], "localhost"),
        (
            &["by-inter-of-inter", "inter-of-inter", "inter"],
            "localhost",
        ),
        // More than is needed, and in disorder.
        (&["by-inter", "inter", "ca"], "localhost"),
        (&["by-inter", "server", "inter"], "localhost"),
    ] {
        let mut world = world(&made, &board, &script(&made, chain, &HANDSHAKE));
        let shaken = shake(&mut world, &board, name);
        shaken.unwrap_or_else(|error| panic!("{chain:?} as {name}: {error}"));
    }
}

#[test]
fn certificates_that_prove_nothing_are_refused() {
    let made = made();
    let (today, week_ago, next_week) = (Board::in_days(0), Board::in_days(-7), Board::in_days(7));
    let root = "leads to no known root";
    for (chain, name, board, reason) in [
        (&["elsewhere"][..], "localhost", &today, "for another name"),
        (&["server"], "127.0.0.2", &today, "for another name"),
        (&["wildcard"], "boards.example", &today, "for another name"),
        (
            &["wildcard"],
            "a.b.boards.example",
            &today,
            "for another name",
        ),
        // The common name is `no-names`.
        (&["no-names"], "no-names", &today, "for another name"),
        (&["server"], "localhost", &next_week, "expired"),
        (&["server"], "localhost", &week_ago, "not valid yet"),
        (&["stranger"], "client", &today, root),
        (&["stranger", "other-ca"], "client", &today, root),
        (&["by-inter"], "localhost", &today, root),
        (&["by-inter", "short"], "localhost", &today, root),
        (&["by-server", "server"], "localhost", &today, "invalid"),
        (
            &["too-deep", "behind-short", "short"],
            "localhost",
            &today,
            "invalid",
        ),
        (&["ca"], "ca", &today, "invalid"),
        (&["for-clients"], "localhost", &today, "not one for servers"),
        (&["critical"], "localhost", &today, "invalid"),
        (&["server"], "no name", &today, "cannot be the name"),
    ] {
        let mut world = world(&made, board, &script(&made, chain, &HANDSHAKE));
        let error = shake(&mut world, board, name).expect_err(reason);
        assert_eq!(
            error.kind(),
            Kind::Certificate,
            "{chain:?} as {name}: {error}"
        );
        assert!(
            error.to_string().contains(reason),
            "{chain:?} as {name}: {error}"
        );
    }
}

/// Each certificate more costs stack and time, although nobody has signed it.
#[test]
fn a_long_chain_is_refused_before_it_is_looked_at() {
    let made = made();
    let board = Board::in_days(0);
    let accepted = script(&made, &["by-inter", "inter"], &HANDSHAKE);
    for count in [3, 4, 5, 64] {
        let mut script = accepted.clone();
        script.chain.resize(count, b"not a certificate".to_vec());
        let shaken = shake(&mut world(&made, &board, &script), &board, "localhost");
        if count == 3 {
            shaken.expect("three are not too many");
            continue;
        }
        let error = shaken.expect_err("too many");
        assert_eq!(error.kind(), Kind::Certificate, "{count}: {error}");
        let text = format!("the server sent {count} certificates, the limit is 3");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn another_key_than_that_of_the_certificate_proves_nothing() {
    let made = made();
    let board = Board::in_days(0);
    let mut by_another = script(&made, &["server"], &HANDSHAKE);
    by_another.key = script(&made, &["elsewhere"], &HANDSHAKE).key;
    let error = shake(&mut world(&made, &board, &by_another), &board, "localhost").unwrap_err();
    assert_eq!(error.kind(), Kind::Certificate, "{error}");
    assert!(error.to_string().contains("signature"), "{error}");
}

#[test]
fn without_a_clock_nothing_is_sent() {
    let made = made();
    let board = Board {
        unix_millis: 0,
        ..Board::in_days(0)
    };
    let mut world = world(&made, &board, &script(&made, &["server"], &HANDSHAKE));
    let error = crate::Transport::start_tls(&mut world.1, "localhost", crate::WAIT).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("unix_millis"), "{error}");
    assert_eq!(world.0.peer(|server| server.heard.len()), 0);
}
