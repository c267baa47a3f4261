//! The firmware of `examples/mps2-an385`, `examples/riscv32-virt`, `examples/freertos`, `examples/rtic` and
//! `examples/embassy`, run in QEMU against a real nats-server and a real web server, with the program `natsbridge`
//! as its partner.
//!
//! Not among the tests of a plain `cargo test`, because it needs a compiler for boards. By itself:
//!
//! ```text
//! apt-get install -y --no-install-recommends qemu-system-arm qemu-system-misc nats-server nginx-light \
//!     rustc-web cargo-web rust-web-src lld binutils-arm-none-eabi gcc-arm-none-eabi libnewlib-arm-none-eabi
//! cargo test --all-features --test firmware -- --nocapture
//! ```

mod common;
#[path = "firmware/emulator.rs"]
mod emulator;
#[path = "firmware/jetstream.rs"]
mod jetstream;
#[path = "../examples/firmware/pattern.rs"]
#[allow(dead_code, reason = "the board needs more of it")]
mod pattern;
#[path = "firmware/programs.rs"]
mod programs;
#[path = "board_handshake/secrets.rs"]
mod secrets;
#[path = "board_handshake/server.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod server;
#[path = "firmware/unsigned_chain.rs"]
mod unsigned_chain;

use std::collections::BTreeSet;
use std::fs;

use common::LONG;
use common::certificates::Certificates;
use common::nats_server::NatsServer;
use common::plik_stand_in::PlikStandIn;
use common::web_server::WebServer;
use emulator::{Board, Run};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::{Error, NatsBridge, NoFileServer, Payload, PayloadType, SendOptions};
use programs::{Program, run, sha256};
use serde_json::Value;

const V7M: Board = Board::new("mps2-an385", "thumbv7m-none-eabi");
/// The same machine runs it, because its instructions are a part of ARMv7-M's.
const V6M: Board = Board::new("mps2-an385", "thumbv6m-none-eabi");
/// A Plik server's client takes more flash than the other, so it is not in the plain firmware.
const WITH_PLIK: Board = V7M.with_features("plik");
const WITH_NKEYS: Board = V7M.with_features("nkeys").fast().counting();
const WITH_TLS: Board = V7M.with_features("tls");
const WITH_SPEED: Board = V7M.with_features("speed").fast().counting();
/// With a floating point unit.
const V7EM_HF: Board = Board::new("mps2-an386", "thumbv7em-none-eabihf");
/// Another processor, another Ethernet device; the rest of the program is the same.
const RISC_V: Board = Board::new("virt", "riscv32imac-unknown-none-elf").with("riscv32-virt");

const FREERTOS: Board = Board::new("mps2-an385", "thumbv7m-none-eabi").with("freertos");
const RTIC: Board = V7M.with("rtic").counting();
const EMBASSY: Board = V7M.with("embassy").counting();

const KIB: usize = 1024;
/// Bytes of stack with TLS.
const MAX_TLS_STACK: u32 = 32 * 1024;
/// The firmware's step `restart` has sent this message when it says that the server may go.
const BEFORE_KILL: u32 = 10;

/// Tests that each processor passes.
macro_rules! tests_of_boards {
    ($($test:ident),* $(,)?) => {
        tests_of_boards!(cortex_m3 = V7M: $($test),*);
        tests_of_boards!(risc_v = RISC_V: $($test),*);
    };
    ($module:ident = $board:ident: $($test:ident),*) => {
        mod $module {
            $(#[test]
            fn $test() {
                super::$test(&super::$board);
            })*
        }
    };
}

tests_of_boards![
    each_end_has_its_exit_code,
    all_types_and_lengths_come_back,
    all_types_and_lengths_come_back_over_tls,
    fifty_kilobytes_come_back_a_hundred_times_in_a_heap_of_96_kib,
    fifty_kilobytes_are_sent_a_hundred_times_in_a_heap_of_24_kib,
    a_megabyte_goes_by_way_of_the_file_server_in_a_heap_of_64_kib,
    the_host_receives_what_the_board_sends_and_the_other_way_round,
    the_board_asks_and_answers,
    the_board_goes_on_after_the_server_was_away,
];

fn word(name: &str, value: impl ToString) -> String {
    format!("{name}={}", value.to_string())
}

fn each_end_has_its_exit_code(board: &Board) {
    for (words, code) in [
        (vec![word("provoke", "panic")], 1),
        (vec![word("provoke", "memory")], 1),
        (vec![word("provoke", "fault")], 3),
        // Nobody listens at that port.
        (vec![word("nats", 1)], 2),
    ] {
        let ended = board.run(&words).end();
        assert_eq!(ended.code, Some(code), "{words:?}: {ended}");
    }
}

#[test]
fn all_types_and_lengths_come_back_on_arm_v6m() {
    all_types_and_lengths_come_back(&V6M);
}

#[test]
fn all_types_and_lengths_come_back_with_a_floating_point_unit() {
    all_types_and_lengths_come_back(&V7EM_HF);
}

/// The clock counts instructions, so the step `connect` says what a signature takes.
#[test]
fn a_board_signs_with_its_nkey() {
    let user = nkeys::KeyPair::new_user();
    let public = user.public_key();
    let server = NatsServer::start_with(&format!(
        "authorization {{ users: [{{ nkey: {public} }}] }}"
    ));
    let nats = word("nats", server.port());
    let seed = word("nkey", user.seed().expect("a new key has a seed"));
    WITH_NKEYS.run(&[nats.clone(), seed]).passes();
    let ended = WITH_NKEYS.run(&[nats]).end();
    assert_eq!(ended.code, Some(2), "without a key: {ended}");
}

/// A board, a server and a web server that know each other by an nkey and a root, and the words for it.
fn secure() -> (NatsServer, WebServer, Vec<String>) {
    let certificates = Certificates::make();
    let user = nkeys::KeyPair::new_user();
    let (public, tls) = (user.public_key(), certificates.config("server"));
    let server = NatsServer::start_with(&format!(
        "tls {{ {tls} }}, authorization {{ users: [{{ nkey: {public} }}] }}"
    ));
    let [certificate, key] = ["server.pem", "server.key"].map(|file| certificates.path(file));
    let web = WebServer::start_with_certificate(&certificate, &key);
    let root = certificates.der("ca");
    let root: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
    let words = vec![
        word("nats", server.port()),
        word("http", port_of(&web.url())),
        word("nkey", user.seed().expect("a new key has a seed")),
        word("ca", root),
        word("heap", 128 * KIB),
    ];
    (server, web, words)
}

fn all_types_and_lengths_come_back_over_tls(board: &Board) {
    let (_server, _web, mut words) = secure();
    words.push(word("steps", "direct,link,link"));
    board.with_features("tls").run(&words).passes();
}

/// 64 KiB for TLS, and what the same takes without: a message of 50,000 bytes and its encoding.
#[test]
fn fifty_kilobytes_come_back_a_hundred_times_over_tls_in_a_heap_of_128_kib() {
    let (_server, _web, mut words) = secure();
    words.extend([
        word("steps", "soak"),
        word("rounds", 100),
        word("bytes", 50_000),
    ]);
    WITH_TLS.run(&words).passes();
}

/// The clock counts instructions: those of the step `connect` are a handshake and a signature.
#[test]
fn what_tls_takes_of_a_board_is_bounded() {
    let (_server, _web, words) = secure();
    let mut run = WITH_TLS.counting().run(&words);
    let line = run.wait_for("step connect");
    let (before, _) = line.split_once(" ms,").expect("the time");
    assert!(number_at_end(before) < 100, "millions: {line}");
    let line = run.wait_for("stack peak");
    let peak = number_at_end(line.trim_end_matches(" B"));
    assert!(peak < MAX_TLS_STACK, "{line}");
    run.passes();
    let flash = WITH_TLS.flash() - V7M.flash();
    println!("TLS and nkeys take {flash} bytes of flash");
    assert!(flash < 240 * KIB, "{flash}");
}

/// As many certificates as are allowed: their names lead to the root over all of them, so that webpki goes as
/// deep as it can.
#[test]
fn a_chain_that_nobody_has_signed_takes_no_more_stack() {
    let (_server, _web, mut words) = secure();
    words.retain(|word| !word.starts_with("nats="));
    words.push(word("nats", unsigned_chain::start(3)));
    let mut run = WITH_TLS.counting().run(&words);
    let line = run.wait_for("stack peak");
    let peak = number_at_end(line.trim_end_matches(" B"));
    assert!(peak < MAX_TLS_STACK, "{line}");
    let ended = run.end();
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.to_string().contains("signature"), "{ended}");
    println!("{ended}");
}

/// Nothing goes to a server of another root, or to one without TLS.
#[test]
fn a_board_connects_to_no_server_that_it_cannot_know() {
    let (_server, _web, mut words) = secure();
    let other = Certificates::make().der("ca");
    let other: String = other.iter().map(|byte| format!("{byte:02x}")).collect();
    words.retain(|word| !word.starts_with("ca="));
    words.push(word("ca", other));
    let ended = WITH_TLS.run(&words).end();
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.to_string().contains("certificate"), "{ended}");
    let plain = NatsServer::start();
    words.retain(|word| !word.starts_with("nats="));
    words.push(word("nats", plain.port()));
    let ended = WITH_TLS.run(&words).end();
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.to_string().contains("does not offer TLS"), "{ended}");
}

fn all_types_and_lengths_come_back(board: &Board) {
    let (server, web) = (NatsServer::start(), WebServer::start());
    let words = [
        word("nats", server.port()),
        word("http", port_of(&web.url())),
        word("steps", "direct,link"),
    ];
    board.run(&words).passes();
}

fn fifty_kilobytes_come_back_a_hundred_times_in_a_heap_of_96_kib(board: &Board) {
    let server = NatsServer::start();
    let words = [
        word("nats", server.port()),
        word("heap", 96 * KIB),
        word("steps", "soak"),
        word("rounds", 100),
        word("bytes", 50_000),
    ];
    passes_within(board.run(&words), "soak", 76_500);
}

fn fifty_kilobytes_are_sent_a_hundred_times_in_a_heap_of_24_kib(board: &Board) {
    let server = NatsServer::start();
    let mut receive = Program::start(
        "receive",
        &[
            "--broker",
            &server.url(),
            "--store",
            "none",
            "--subject",
            "small.send",
            "--count",
            "100",
        ],
    );
    let words = [
        word("nats", server.port()),
        word("heap", 24 * KIB),
        word("steps", "send"),
        word("rounds", 100),
        word("bytes", 50_000),
        word("subject", "small"),
    ];
    passes_within(board.run(&words), "send", 1_589);
    let sent = sha256(&sample(PayloadType::Binary, 50_000));
    for number in 0..100 {
        let line = receive.json();
        let payload = &line["ok"]["payloads"][0];
        assert_eq!(payload["sha256"], sent, "message {number}: {line}");
    }
    receive.succeeds();
}

fn a_megabyte_goes_by_way_of_the_file_server_in_a_heap_of_64_kib(board: &Board) {
    let (server, web) = (NatsServer::start(), WebServer::start());
    let words = [
        word("nats", server.port()),
        word("http", port_of(&web.url())),
        word("heap", 64 * KIB),
        word("steps", "link"),
        word("bytes", 1_000_000),
    ];
    passes_within(board.run(&words), "link", 4_730);
    let names = web.stored_names();
    let [name] = names.as_slice() else {
        panic!("one file was uploaded, not {names:?}");
    };
    let stored = web.stored(name).expect("it is there");
    let sent: Vec<_> = (0..1_000_000).map(pattern::at).collect();
    assert!(stored == sent, "{} bytes of {}", stored.len(), sent.len());
}

#[test]
fn a_megabyte_goes_by_way_of_plik_in_a_heap_of_64_kib() {
    let (server, plik) = (NatsServer::start(), PlikStandIn::start());
    let words = [
        word("nats", server.port()),
        word("plik", port_of(&plik.url())),
        word("heap", 64 * KIB),
        word("steps", "link"),
        word("bytes", 1_000_000),
    ];
    passes_within(WITH_PLIK.run(&words), "link", 4_886);
    let requests = plik.requests();
    let [create, upload, download] = requests.as_slice() else {
        panic!("up in two steps and down again, not {requests:?}");
    };
    assert_eq!(create, "POST /upload");
    assert!(upload.starts_with("POST /file/"), "{upload}");
    assert!(download.starts_with("GET /file/"), "{download}");
}

/// Instructions, not time, so that the figures are the same on every run. At 10 KB the
/// fixed costs of a message, 30,000 instructions for ids and fields, still count.
#[test]
fn a_message_costs_little_more_than_its_base64() {
    let server = NatsServer::start();
    let words = [word("nats", server.port()), word("steps", "speed")];
    let mut board = WITH_SPEED.run(&words);
    for (what, most) in [("send", 170), ("receive", 280)] {
        let line = board.wait_for(&format!("speed {what} of 10000 bytes"));
        let percent = number_at_end(line.trim_end_matches(" %"));
        assert!(percent <= most, "{line}: more than {most} %");
    }
    board.passes();
}

fn the_host_receives_what_the_board_sends_and_the_other_way_round(board: &Board) {
    let server = NatsServer::start();
    let url = server.url();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let out = folder.path().join("out");
    let connection = ["--broker", &url, "--store", "none"];
    let listen = [
        "--subject",
        "x.up",
        "--count",
        "1",
        "--out",
        out.to_str().expect("UTF-8"),
    ];
    let mut receive = Program::start("receive", &[&connection[..], &listen].concat());
    let words = [
        word("nats", server.port()),
        word("steps", "up,down"),
        word("bytes", 3_000),
        word("subject", "x"),
    ];
    let mut board = board.run(&words);
    board.wait_for("event listening");
    check_received(&receive.json());
    receive.succeeds();

    let mut send: Vec<String> = connection.map(String::from).to_vec();
    send.extend(["--subject".to_string(), "x.down".to_string()]);
    for kind in PayloadType::ALL {
        let path = folder.path().join(kind.as_str());
        fs::write(&path, sample(kind, 3_000)).expect("a file to send");
        send.push("--file".to_string());
        send.push(format!("{kind}:{kind}={}", path.display()));
    }
    run("send", &send);
    board.passes();
}

/// What `receive` says, and the files that it wrote, are what the board sent.
fn check_received(line: &Value) {
    let received = line["ok"]["payloads"].as_array();
    let received = received.unwrap_or_else(|| panic!("{line}"));
    assert_eq!(received.len(), PayloadType::ALL.len());
    for (payload, kind) in received.iter().zip(PayloadType::ALL) {
        let name = kind.as_str();
        assert_eq!(
            (&payload["dataname"], &payload["payload_type"]),
            (&name.into(), &name.into())
        );
        assert_eq!(payload["transport"], "direct");
        let file = payload["file"].as_str().expect("it was written");
        let bytes = fs::read(file).expect("it is there");
        assert!(bytes == sample(kind, 3_000), "{kind}");
    }
}

fn the_board_asks_and_answers(board: &Board) {
    let server = NatsServer::start();
    let url = server.url();
    let connection = ["--broker", &url, "--store", "none"];
    let _echo = Program::start(
        "serve",
        &[&connection[..], &["--echo", "--subject", "q.echo"]].concat(),
    );
    let words = [
        word("nats", server.port()),
        word("steps", "request,answer"),
        word("rounds", 5),
        word("subject", "q"),
    ];
    let mut board = board.run(&words);
    check_peak(&mut board, "request", 14_279);
    board.wait_for("event answering");
    for number in 0..5 {
        let text = format!("question={number}");
        let question = ["--subject", "q.answer", "--text", &text, "--wait", "30"];
        let answer = run("request", &[&connection[..], &question].concat());
        let answer: Value = serde_json::from_str(&answer).expect("a line of JSON");
        let payload = &answer["ok"]["payloads"][0];
        assert_eq!(payload["dataname"], "question");
        assert_eq!(payload["sha256"], sha256(number.to_string().as_bytes()));
    }
    board.passes();
}

/// The steps are told in the firmware's `restart`.
fn the_board_goes_on_after_the_server_was_away(board: &Board) {
    let mut server = NatsServer::start_with("trace: true");
    let client = NatsClient::new(NatsOptions::new(&server.url()));
    let mut host = NatsBridge::new(client, NoFileServer, StdPlatform);
    host.subscribe("r.restart", None).expect("a subscription");
    let words = [
        word("nats", server.port()),
        word("steps", "restart"),
        word("rounds", 20),
        word("subject", "r"),
    ];
    let mut board = board.run(&words);
    board.wait_for("event sending");
    server.kill();
    let lost: u32 = number_at_end(&board.wait_for("event lost"));
    let mut received = BTreeSet::new();
    let ended = take_all(&mut host, &mut received, |_| false);
    assert!(ended.is_some(), "the host notices as well");

    server.restart();
    host.broker().connect().expect("the server is back");
    host.flush(LONG).expect("the server is back");
    board.wait_for("event reconnected");
    let go = [("go", Payload::text(""))];
    host.smartsend("r.go", &go, &SendOptions::default())
        .expect("it is sent");
    board.passes();
    let last = lost + 20;
    take_all(&mut host, &mut received, |number| number == last);
    check_arrived(&received, &server.log(), lost, last);
}

/// What each step takes of the heap, the stack and the flash, printed for both.
#[test]
fn risc_v_takes_as_much_heap_and_stack_and_little_more_flash() {
    let (server, web) = (NatsServer::start(), WebServer::start());
    // Subjects of one length, so that messages are too, and not the same: both run at once.
    let words = |subject| {
        [
            word("nats", server.port()),
            word("http", port_of(&web.url())),
            word("steps", "send,soak,link"),
            word("rounds", 10),
            word("subject", subject),
        ]
    };
    let boards = [(&V7M, "arm"), (&RISC_V, "rvx")];
    let mut boards = boards.map(|(board, subject)| board.run(&words(subject)));
    println!("                     Cortex-M3    RISC-V");
    let mut compare = |what: &str, most: fn(usize) -> usize| {
        let [arm, risc_v] = boards.each_mut().map(|board| {
            let line = board.wait_for(what);
            number_at_end(line.trim_end_matches(" B")) as usize
        });
        println!("{what:<20}{arm:>10}{risc_v:>10}");
        assert!(risc_v <= most(arm), "{what}: {arm} and {risc_v}");
    };
    for step in ["step connect", "step send", "step soak", "step link"] {
        compare(step, |arm| arm + 256);
    }
    compare("stack peak", |arm| arm + arm / 4);
    boards.into_iter().for_each(Run::passes);
    let [arm, risc_v] = [&V7M, &RISC_V].map(Board::flash);
    println!("{:<20}{arm:>10}{risc_v:>10}", "flash");
    assert!(risc_v <= arm + arm / 4, "{arm} and {risc_v}");
}

#[test]
fn tasks_of_an_rtos_share_one_stack_and_the_beat_is_kept() {
    let server = NatsServer::start();
    FREERTOS.run(&[word("nats", server.port())]).passes();
}

#[test]
fn a_task_of_rtic_keeps_its_beat_while_idle_blocks() {
    beat_is_kept(&RTIC);
}

#[test]
fn a_task_of_embassy_keeps_its_beat_while_thread_mode_blocks() {
    beat_is_kept(&EMBASSY);
}

/// A message takes over a millisecond, of instructions and of waiting, and so brings a beat. The beats are not
/// compared with the clock: an emulator that the host holds up loses ticks.
fn beat_is_kept(board: &Board) {
    const ROUNDS: u32 = 200;
    let server = NatsServer::start();
    let nats = word("nats", server.port());
    let mut run = board.run(&[nats, word("rounds", ROUNDS)]);
    let beats = number_at_end(&run.wait_for("beats "));
    run.passes();
    assert!(beats >= ROUNDS / 2, "{beats} beats in {ROUNDS} messages");
}

/// Every send that said `Ok` arrived: the server's own log has the message. It came to the
/// subscriber too, unless it was in the server when that was killed; those come last of all before
/// the loss, and not before [`BEFORE_KILL`].
fn check_arrived(received: &BTreeSet<u32>, log: &str, lost: u32, last: u32) {
    for number in (0..=last).filter(|number| *number != lost) {
        let name = format!("message-{number}\\\"");
        assert!(
            log.contains(&name),
            "message {number} said Ok, and is not in the log"
        );
        let may_be_lost = (BEFORE_KILL..lost).contains(&number);
        assert!(
            received.contains(&number) || may_be_lost,
            "message {number}"
        );
    }
    let before = received.range(..lost);
    assert!(
        before.copied().eq(0..received.range(..lost).count() as u32),
        "a gap: {received:?}"
    );
    println!("{} messages arrived, {lost} was under way", received.len());
}

/// Notes the numbers of messages until one is the last, or until an error.
fn take_all(
    host: &mut NatsBridge<NatsClient, NoFileServer, StdPlatform>,
    received: &mut BTreeSet<u32>,
    is_last: impl Fn(u32) -> bool,
) -> Option<Error> {
    loop {
        let message = match host.next(LONG) {
            Ok(message) => message.expect("a message or an error within the time"),
            Err(error) => return Some(error),
        };
        let number = number_at_end(&message.payloads[0].0);
        received.insert(number);
        if is_last(number) {
            return None;
        }
    }
}

fn passes_within(mut run: Run, step: &str, most: u32) {
    check_peak(&mut run, step, most);
    run.passes();
}

/// Waits for the end of a step, with at most so many bytes of heap at its peak.
fn check_peak(run: &mut Run, step: &str, most: u32) {
    let line = run.wait_for(&format!("step {step} "));
    let peak = number_at_end(line.trim_end_matches(" B"));
    assert!(peak <= most, "{line}: more than {most} B");
}

fn number_at_end(text: &str) -> u32 {
    let digits = text.rsplit([' ', '-']).next().unwrap_or_default();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("no number: {text}"))
}

fn sample(kind: PayloadType, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    pattern::fill(kind, &mut bytes);
    bytes
}

fn port_of(url: &str) -> &str {
    url.rsplit(':').next().unwrap_or_default()
}
