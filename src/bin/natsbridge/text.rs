//! What was sent or received, as a table for people. All of it may come from a peer, so nothing of it may
//! control the terminal.

use std::fmt::Write as _;

use natsbridge::{Envelope, PayloadEntry, Sent};

use crate::output::Shown;

/// Of a text or dictionary, this many characters are shown.
const MAX_VALUE_LEN: usize = 2_000;
/// Of any other text, this many characters are shown.
const MAX_NAME_LEN: usize = 60;
/// Longer names do not widen the column of names.
const WIDEST_NAME: usize = 24;

/// A message that was received, or inspected.
pub(crate) fn message(envelope: &Envelope<'_>, shown: &[Shown]) -> String {
    let mut text = format!(
        "{} from {} on {}",
        clean(&envelope.timestamp, MAX_NAME_LEN),
        clean(&envelope.sender_name, MAX_NAME_LEN),
        clean(&envelope.send_to, MAX_NAME_LEN)
    );
    for (name, value) in [
        ("message", &envelope.msg_id),
        ("correlation", &envelope.correlation_id),
        ("reply to", &envelope.reply_to),
        ("answers", &envelope.reply_to_msg_id),
    ] {
        if !value.is_empty() {
            write!(text, "\n  {name} {}", clean(value, MAX_NAME_LEN)).ok();
        }
    }
    let width = name_width(envelope);
    for (entry, shown) in envelope.payloads.iter().zip(shown) {
        push_row(&mut text, width, entry, shown);
    }
    text
}

/// A message that was sent.
pub(crate) fn sent(sent: &Sent) -> String {
    let envelope = sent.envelope();
    let mut text = format!(
        "sent {} to {}",
        clean(sent.msg_id(), MAX_NAME_LEN),
        clean(&envelope.send_to, MAX_NAME_LEN)
    );
    let width = name_width(envelope);
    for entry in &envelope.payloads {
        let shown = Shown {
            size: entry.size,
            url: entry.public_url(),
            ..Shown::default()
        };
        push_row(&mut text, width, entry, &shown);
    }
    text
}

fn name_width(envelope: &Envelope<'_>) -> usize {
    let names = envelope.payloads.iter();
    let widths = names.map(|entry| clean(&entry.dataname, MAX_NAME_LEN).chars().count());
    widths.max().unwrap_or(0).min(WIDEST_NAME)
}

/// A payload: its name, type, transport and size, and its value or where it is.
fn push_row(text: &mut String, width: usize, entry: &PayloadEntry<'_>, shown: &Shown) {
    let name = clean(&entry.dataname, MAX_NAME_LEN);
    let kind = clean(&entry.type_name, MAX_NAME_LEN);
    let transport = clean(&entry.transport_name, MAX_NAME_LEN);
    let size = shown
        .size
        .map_or("? B".to_string(), |size| format!("{size} B"));
    write!(
        text,
        "\n  {name:<width$}  {kind:<10}  {transport:<6}  {size:>12}"
    )
    .ok();
    if let Some(file) = &shown.file {
        write!(text, "  {}", clean(&file.display().to_string(), usize::MAX)).ok();
    }
    if let Some(url) = &shown.url {
        write!(text, "  {}", clean(url, usize::MAX)).ok();
    }
    if let Some(value) = &shown.value {
        push_value(text, value);
    }
}

/// A short value of one line stands behind its payload, another one below it.
fn push_value(text: &mut String, value: &str) {
    const SHORT: usize = 60;
    if value.chars().count() <= SHORT && !value.contains('\n') {
        write!(text, "  {}", clean(value, usize::MAX)).ok();
        return;
    }
    for line in value.lines() {
        write!(text, "\n    {}", clean(line, usize::MAX)).ok();
    }
}

/// As much of a text or dictionary as a table shows: the rest needs no room until then.
pub(crate) fn start_of_value(value: &str) -> String {
    match value.char_indices().nth(MAX_VALUE_LEN) {
        Some((end, _)) => format!("{} ...", value.get(..end).unwrap_or_default()),
        None => value.to_string(),
    }
}

/// The start of an untrusted text, with escapes for all that a terminal acts on.
fn clean(text: &str, max_len: usize) -> String {
    let mut cleaned = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == max_len {
            cleaned.push_str("...");
            break;
        }
        // Direction marks can make a text look like another one.
        let is_mark = matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c.is_control() || is_mark {
            true => cleaned.extend(c.escape_unicode()),
            false => cleaned.push(c),
        }
    }
    cleaned
}
