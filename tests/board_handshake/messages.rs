//! Messages of a handshake in the wrong order, spoiled, repeated and cut, and what may come behind it.

use allocation_counter::measure;
use natsbridge::net::{Transport as _, TransportErrorKind as Kind};

use crate::common::certificates::Certificates;
use crate::common::faulty_stack::{Cut, Faults};
use crate::server::{HANDSHAKE, Item, Script, Spoil};
use crate::{Board, WAIT, script, shake, world};

/// A handshake with these items fails; how.
fn fails(made: &Certificates, items: &[Item<'static>]) -> Kind {
    let board = Board::in_days(0);
    let script = script(made, &["server"], items);
    let shaken = shake(&mut world(made, &board, &script), &board, "localhost");
    shaken.expect_err(&format!("{items:?}")).kind()
}

fn works(made: &Certificates, script: &Script<'static>) {
    let board = Board::in_days(0);
    let shaken = shake(&mut world(made, &board, script), &board, "localhost");
    shaken.unwrap_or_else(|error| panic!("{:?}: {error}", script.items));
}

#[test]
fn a_server_that_shows_no_certificate_is_refused() {
    use Item::{
        Certificate, CertificateRequest, Extensions, Finished, Hello, NoCertificate, Verify,
    };
    let made = Certificates::make();
    works(&made, &script(&made, &["server"], &HANDSHAKE));
    for items in [
        &[Hello, Extensions, Finished][..],
        &[Hello, Extensions, Certificate, Finished],
        &[Hello, Extensions, Verify, Finished],
        &[Hello, Extensions, Verify, Certificate, Finished],
        &[Hello, Extensions, CertificateRequest, Finished],
        &[Hello, Certificate, Verify, Finished],
        &[
            Hello,
            Extensions,
            Certificate,
            Certificate,
            Verify,
            Finished,
        ],
        &[Hello, Finished],
        &[Hello, Extensions, NoCertificate, Finished],
    ] {
        assert_eq!(fails(&made, items), Kind::Failed, "{items:?}");
    }
    let nothing_shown = [Hello, Extensions, NoCertificate, Verify, Finished];
    assert_eq!(fails(&made, &nothing_shown), Kind::Certificate);
}

/// Every permutation, and every message left out or sent twice.
#[test]
fn messages_in_another_order_are_refused() {
    let made = Certificates::make();
    let mut orders = Vec::new();
    permute(&mut HANDSHAKE.to_vec(), 0, &mut orders);
    assert_eq!(orders.len(), 120);
    for (place, item) in HANDSHAKE.into_iter().enumerate() {
        let mut without = HANDSHAKE.to_vec();
        without.remove(place);
        orders.push(without);
        for twice in 0..HANDSHAKE.len() {
            let mut repeated = HANDSHAKE.to_vec();
            repeated.insert(twice, item);
            orders.push(repeated);
        }
    }
    orders.retain(|order| *order != HANDSHAKE);
    for order in orders {
        // What stands behind a right handshake is refused by the first read.
        if order.starts_with(&HANDSHAKE) {
            assert_eq!(after(&made, &order[5..]), Err(Kind::Failed), "{order:?}");
        } else {
            // A server that has not finished is waited for.
            let kind = fails(&made, &order);
            let ends_early = !order.contains(&Item::Finished) || order[0] != Item::Hello;
            assert!(
                kind == Kind::Failed || ends_early && kind == Kind::Timeout,
                "{order:?}: {kind:?}"
            );
        }
    }
}

fn permute(items: &mut Vec<Item<'static>>, start: usize, all: &mut Vec<Vec<Item<'static>>>) {
    if start == items.len() {
        all.push(items.clone());
    }
    for other in start..items.len() {
        items.swap(start, other);
        permute(items, start + 1, all);
        items.swap(start, other);
    }
}

/// What is read behind a handshake that is followed by these items.
fn after(made: &Certificates, items: &[Item<'static>]) -> Result<Vec<u8>, Kind> {
    let board = Board::in_days(0);
    let items = [&HANDSHAKE, items].concat();
    let script = script(made, &["server"], &items);
    let (stack, mut tls) = world(made, &board, &script);
    if let Err(error) = board
        .clock
        .within(WAIT, || tls.start_tls("localhost", WAIT))
    {
        return Err(error.kind());
    }
    stack.cut(Cut::Close);
    let mut all = Vec::new();
    loop {
        let mut out = [0; 7];
        match board.clock.within(WAIT, || tls.try_receive(&mut out)) {
            Ok(count) => all.extend_from_slice(&out[..count]),
            Err(error) if error.kind() == Kind::Closed => return Ok(all),
            Err(error) => return Err(error.kind()),
        }
    }
}

#[test]
fn what_may_come_behind_a_handshake_is_read_or_passed_over() {
    let made = Certificates::make();
    for (items, text) in [
        (&[][..], &b""[..]),
        (
            &[Item::Data(b"hello, "), Item::Data(b"world")],
            b"hello, world",
        ),
        (
            &[
                Item::Ticket,
                Item::Data(b"a"),
                Item::Ticket,
                Item::Data(b"b"),
            ],
            b"ab",
        ),
        (&[Item::Data(b""), Item::Data(b"a")], b"a"),
        (&[Item::Record(23, b"padded", 300)], b"padded"),
        (
            &[Item::Data(b"a"), Item::CloseNotify, Item::Data(b"b")],
            b"a",
        ),
    ] {
        assert_eq!(after(&made, items).as_deref(), Ok(text), "{items:?}");
    }
}

/// A new key is used from then on; this server keeps the old one, so what follows cannot be read.
#[test]
fn keys_can_be_updated() {
    let made = Certificates::make();
    assert_eq!(
        after(&made, &[Item::Data(b"a"), Item::KeyUpdate]).as_deref(),
        Ok(&b"a"[..])
    );
    let stale = [Item::KeyUpdate, Item::Data(b"a")];
    assert_eq!(after(&made, &stale), Err(Kind::Failed));
}

#[test]
fn messages_that_are_out_of_place_end_the_connection() {
    let made = Certificates::make();
    for kind in 0..=255 {
        let message = Item::Empty(kind);
        assert_eq!(after(&made, &[message]), Err(Kind::Failed), "{kind} behind");
        for place in 0..HANDSHAKE.len() {
            let mut items = HANDSHAKE.to_vec();
            items.insert(place, message);
            assert_eq!(fails(&made, &items), Kind::Failed, "{kind} at {place}");
        }
    }
    for record in [
        Item::Record(0, b"", 1),
        Item::Record(0, b"", 0),
        Item::Record(0, b"", 30),
        Item::Record(99, b"x", 0),
        Item::Record(21, b"\x02\x28", 0),
        Item::Record(21, b"x", 0),
    ] {
        assert_eq!(
            after(&made, &[record]),
            Err(Kind::Failed),
            "{record:?} behind"
        );
        for place in 1..HANDSHAKE.len() {
            let mut items = HANDSHAKE.to_vec();
            items.insert(place, record);
            assert_eq!(fails(&made, &items), Kind::Failed, "{record:?} at {place}");
        }
    }
}

/// Each byte of each message.
#[test]
fn messages_that_are_spoiled_are_refused() {
    let made = Certificates::make();
    let board = Board::in_days(0);
    for in_transcript in [false, true] {
        for (item, len) in [(0, 160), (1, 6), (2, 450), (3, 80), (4, 36)] {
            for at in 0..len {
                let mut script = script(&made, &["server"], &HANDSHAKE);
                let spoil = Spoil {
                    item,
                    at,
                    in_transcript,
                };
                script.spoil = Some(spoil);
                let mut world = world(&made, &board, &script);
                let shaken = shake(&mut world, &board, "localhost");
                // Random bytes, and an id that means nothing: any will do.
                let is_random = item == 0 && in_transcript && (6..71).contains(&at) && at != 38;
                assert_eq!(shaken.is_ok(), is_random, "{spoil:?}: {shaken:?}");
            }
        }
    }
}

#[test]
fn a_handshake_that_is_cut_ends_in_time() {
    let made = Certificates::make();
    for (end, kind) in [(Cut::Close, Kind::Closed), (Cut::Silence, Kind::Timeout)] {
        for cut in 0..1200 {
            let board = Board::in_days(0);
            let mut script = script(&made, &["server"], &HANDSHAKE);
            script.cut = cut;
            let mut world = world(&made, &board, &script);
            let (stack, tls) = &mut world;
            // The end comes behind what is sent.
            stack.set(Faults {
                cut: Some(end),
                cut_after_received: cut,
                ..Faults::default()
            });
            match board
                .clock
                .within(WAIT, || tls.start_tls("localhost", WAIT))
            {
                Ok(()) => assert!(cut > 700, "{cut} bytes are a handshake"),
                Err(error) => assert_eq!(error.kind(), kind, "{end:?} after {cut}: {error}"),
            }
        }
    }
}

#[test]
fn short_reads_and_writes_change_nothing() {
    let made = Certificates::make();
    for (max_send, max_receive, stalls) in [(1, 1, 0), (7, 3, 2), (100, 1000, 4)] {
        let board = Board::in_days(0);
        let items = [&HANDSHAKE[..], &[Item::Ticket, Item::Data(b"hello")]].concat();
        let script = script(&made, &["server"], &items);
        let (stack, mut tls) = world(&made, &board, &script);
        stack.set(Faults {
            max_send,
            max_receive,
            stalls,
            ..Faults::default()
        });
        tls.start_tls("localhost", WAIT * 100).unwrap();
        let mut out = [0; 9];
        let mut read = 0;
        while read < 5 {
            read += tls.try_receive(&mut out[read..]).unwrap();
        }
        assert_eq!(&out[..read], b"hello");
    }
}

/// rustls reads all that a message lists before it checks anything: 24 bytes of heap, or twice that on a host,
/// for each certificate of 5 bytes. Nobody has proved anything then.
#[test]
fn messages_with_many_entries_take_no_more_heap_than_long_ones() {
    use Item::{CertificateRequest, Extensions, Hello, Message};
    const LEN: usize = 16_000;
    let made = Certificates::make();
    let certificates = |one: &[u8]| {
        let list = one.repeat(LEN / one.len());
        let head = [&[0][..], &(list.len() as u32).to_be_bytes()[1..]].concat();
        [head, list].concat()
    };
    // In the order of RFC 8446 section 4.3.2: signatures, then names of authorities.
    let names = [0, 1, 7].repeat(LEN / 3);
    let names_len = (names.len() as u16).to_be_bytes();
    let extension_len = (names.len() as u16 + 2).to_be_bytes();
    let head = [
        &[0, 13, 0, 4, 0, 2, 4, 3, 0, 47][..],
        &extension_len,
        &names_len,
    ]
    .concat();
    let extensions = [head, names].concat();
    let len = (extensions.len() as u16).to_be_bytes();
    let request = [&[0][..], &len, &extensions].concat();
    let one_long = [&[0, 0x3e, 0x76][..], &[7; 15_990], &[0, 0]].concat();
    let unknown: Vec<u8> = (0..4000_u16)
        .flat_map(|kind| [(kind + 100).to_be_bytes(), [0, 0]].concat())
        .collect();
    let unknown = [&(unknown.len() as u16).to_be_bytes()[..], &unknown].concat();
    let peak = |items: &[Item<'static>]| {
        let board = Board::in_days(0);
        let script = script(&made, &["server"], items);
        let mut world = world(&made, &board, &script);
        let mut kind = None;
        let taken = measure(|| {
            let shaken = shake(&mut world, &board, "localhost");
            kind = Some(shaken.expect_err("no such server").kind());
        });
        (taken.bytes_max, kind.expect("it failed"))
    };
    let leak = |bytes: Vec<u8>| -> &'static [u8] { bytes.leak() };
    let long = leak(certificates(&one_long));
    let (most, _) = peak(&[Hello, Extensions, Message(11, long)]);
    for (items, kind) in [
        (
            [Extensions, Message(11, leak(certificates(&[0; 5])))],
            Kind::Certificate,
        ),
        (
            [
                Extensions,
                Message(11, leak(certificates(&[0, 0, 1, 7, 0, 0]))),
            ],
            Kind::Certificate,
        ),
        ([Extensions, Message(13, leak(request))], Kind::Failed),
        (
            [Message(8, leak(unknown)), CertificateRequest],
            Kind::Failed,
        ),
    ] {
        let items = [&[Hello][..], &items].concat();
        let (taken, failed) = peak(&items);
        assert!(taken <= most + 1000, "{taken} bytes of {most}: {kind:?}");
        assert_eq!(failed, kind);
    }
}

/// A server of the right certificate that sends and does not read.
#[test]
fn data_is_not_collected_while_the_handshake_cannot_be_finished() {
    const RECORD: &[u8] = &[7; 16_000];
    let made = Certificates::make();
    let board = Board::in_days(0);
    let items = [&HANDSHAKE[..], &[Item::Data(RECORD); 20]].concat();
    let script = script(&made, &["server"], &items);
    let (stack, mut tls) = world(&made, &board, &script);
    stack.set(Faults {
        full_after_sent: 1,
        ..Faults::default()
    });
    let shaken = board
        .clock
        .within(WAIT, || tls.start_tls("localhost", WAIT));
    assert_eq!(shaken.unwrap_err().kind(), Kind::Timeout);
    let taken = stack.received();
    assert!(taken < 3 * 16_645, "{taken} bytes were taken");
}

/// A message that comes in several records is collected in the same buffer.
#[test]
fn a_handshake_message_that_does_not_fit_is_named() {
    use Item::{Extensions, Hello, Message};
    let made = Certificates::make();
    let board = Board::in_days(0);
    // One certificate of 29,991 bytes.
    let body = [
        &[0, 0, 0x75, 0x2c, 0, 0x75, 0x27][..],
        &[7; 29_991],
        &[0, 0],
    ]
    .concat();
    let items = [Hello, Extensions, Message(11, body.leak())];
    let script = script(&made, &["server"], &items);
    let shaken = shake(&mut world(&made, &board, &script), &board, "localhost");
    let error = shaken.unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    let text = "a TLS record or a handshake message of the server is longer than `receive_buffer`";
    assert_eq!(error.to_string(), text);
}

#[test]
fn records_that_do_not_fit_are_an_error() {
    let made = Certificates::make();
    let items = [&HANDSHAKE[..], &[Item::Record(23, &[7; 2000], 0)]].concat();
    let options = natsbridge::board::TlsOptions::new(&made.der("ca")).unwrap();
    for (buffer, is_read) in [(2021, false), (2022, true)] {
        let board = Board::in_days(0);
        let script = script(&made, &["server"], &items);
        let server = crate::ScriptedTls::new(script);
        let stack = crate::FaultyStack::new(crate::Dialect::Smoltcp, &board.clock, server);
        let plain = natsbridge::board::Nal::new(stack, board.clone());
        let options = options.clone().receive_buffer(buffer);
        let mut tls = natsbridge::board::Tls::new(plain, board.clone(), options);
        tls.open("10.0.0.1", 1, WAIT).unwrap();
        tls.start_tls("localhost", WAIT).unwrap();
        let read = tls.try_receive(&mut [0; 2000]);
        assert_eq!(read.is_ok(), is_read, "{buffer}: {read:?}");
        if let Err(error) = read {
            assert!(error.to_string().contains("receive_buffer"), "{error}");
        }
    }
}
