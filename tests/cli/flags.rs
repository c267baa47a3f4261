//! Help, usage errors, and what is generated from the flags.

use crate::program::{program, run, text};

const ALL: [&str; 7] = [
    "send",
    "receive",
    "request",
    "serve",
    "inspect",
    "completions",
    "man",
];

#[test]
fn each_subcommand_has_help() {
    let help = text(&run("--help", &[]).stdout);
    for subcommand in ALL {
        assert!(help.contains(subcommand), "{subcommand}: {help}");
        let output = run(subcommand, &["--help"]);
        assert!(output.status.success(), "{subcommand}");
        assert!(
            text(&output.stdout).contains("Usage: natsbridge"),
            "{subcommand}"
        );
    }
    for code in [
        "0  done",
        "1  failed",
        "2  a flag",
        "3  the message was sent",
    ] {
        assert!(help.contains(code), "{code}: {help}");
    }
}

/// Flags of the issue and of the former examples.
#[test]
fn the_flags_are_there() {
    let connection = "--broker --fileserver --store --timeout --user --password --password-file --token --nkey \
        --creds --ca --cert --key --tls-first --basic-auth --header --plik-token --plik-login --ttl --one-shot \
        --removable --download-domain";
    let links = "--allow-origin --max-download";
    let envelope = "--threshold --correlation-id --msg-purpose --sender-name --sender-id --receiver-name \
        --receiver-id --reply-to-msg-id --msg-id --text --json --file";
    let send =
        "--subject --reply-to --dry-run --repeat --interval --keep-going --no-confirm --format";
    let receive = "--subject --stdin --queue --count --wait --out --format";
    for (subcommand, flags) in [
        ("send", [connection, envelope, send].join(" ")),
        ("receive", [connection, links, receive].join(" ")),
        (
            "request",
            [connection, envelope, links, "--wait --out --format"].join(" "),
        ),
        (
            "serve",
            [connection, links, "--queue --count --threshold"].join(" "),
        ),
    ] {
        let help = text(&run(subcommand, &["--help"]).stdout);
        for flag in flags.split_whitespace() {
            let is_there =
                help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n"));
            assert!(is_there, "{subcommand} {flag}: {help}");
        }
    }
}

#[test]
fn flags_that_cannot_be_used_are_reported_with_2_and_what_can_be_done() {
    for (flags, advice) in [
        (&[][..], "--subject"),
        (&["--subject", "s", "--no-such-flag"], "--no-such-flag"),
        (&["--subject", "s", "--timeout", "soon"], "--timeout"),
        (
            &["--subject", "s", "--token", "a", "--user", "b"],
            "cannot be used with",
        ),
        (&["--subject", "s", "--user", "b"], "NATSBRIDGE_PASSWORD"),
        (&["--subject", "s", "--basic-auth", "SECRET"], "has no `:`"),
        (
            &["--subject", "s", "--store", "ftp://me:SECRET@h/"],
            "http://, https://, put+http://, put+https://, s3://, file://, nats-object://, none",
        ),
        (
            &["--subject", "s", "--store", "put+http://h/", "--ttl", "5"],
            "only a Plik server has it",
        ),
        (
            &["--subject", "s", "--store", "s3://b?secret=SECRET"],
            "its parameters are endpoint, region, linkLifetime",
        ),
        (
            &[
                "--subject",
                "s",
                "--store",
                "s3://b",
                "--basic-auth",
                "me:SECRET",
            ],
            "AWS_ACCESS_KEY_ID",
        ),
        (
            &["--subject", "s", "--header", "SECRET SECRET: SECRET"],
            "--header cannot be used",
        ),
    ] {
        let output = run("send", flags);
        let reported = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {reported}");
        assert!(reported.contains(advice), "{flags:?}: {reported}");
        assert!(!reported.contains("SECRET"), "{flags:?}: {reported}");
    }
    let refused = run("receive", &["--stdin", "--allow-origin", "nowhere"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn the_store_may_come_from_the_environment() {
    let mut command = program("receive");
    command.args(["--stdin"]).env("NATSBRIDGE_STORE", "ftp://h");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let reported = text(&output.stderr);
    assert!(reported.contains("ftp://h"), "{reported}");
}

#[test]
fn completions_and_manual_pages_know_all_subcommands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run("completions", &[shell]);
        assert!(output.status.success(), "{shell}");
        let script = text(&output.stdout);
        for subcommand in ALL {
            assert!(script.contains(subcommand), "{shell}: no {subcommand}");
        }
    }
    let page = text(&run("man", &[]).stdout);
    assert!(
        page.contains(".TH natsbridge 1") && page.contains("Exit codes"),
        "{page}"
    );
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    let output = run("man", &["--out", dir.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for subcommand in ALL {
        let page = dir.join(format!("natsbridge-{subcommand}.1"));
        assert!(page.exists(), "{}", page.display());
    }
}
