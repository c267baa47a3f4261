//! IP addresses in texts. Those of `core` come from a parser that takes 2 KB of a board's flash.

#[cfg(any(feature = "std", feature = "nal", test))]
use core::net::IpAddr;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::json::number::decimal;

/// The address that `text` stands for, in the forms that [`IpAddr`] reads.
#[cfg(any(feature = "std", feature = "nal", test))]
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    match parse_v4(text) {
        Some(address) => Some(address.into()),
        None => parse_v6(text).map(IpAddr::V6),
    }
}

fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.');
    let mut octets = [0; 4];
    for octet in &mut octets {
        let part = parts.next()?;
        // With a zero in front some read it as octal.
        if part.len() > 1 && part.starts_with('0') {
            return None;
        }
        *octet = u8::try_from(decimal(part.as_bytes())?).ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// RFC 4291 section 2.2.
pub(crate) fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    let mut groups = [0; 8];
    let gap = text.as_bytes().windows(2).position(|pair| pair == b"::");
    let Some(gap) = gap else {
        return (read_groups(text, &mut groups)? == groups.len()).then(|| groups.into());
    };
    let (front, back) = (text.get(..gap)?, text.get(gap + 2..)?);
    let mut behind = [0; 7];
    let start = read_groups(front, &mut groups[..7])?;
    // The gap stands for one group at least.
    let count = read_groups(back, behind.get_mut(start..)?)?;
    groups[8 - count..].copy_from_slice(&behind[start..start + count]);
    // What is written in front may not end in an IPv4 address.
    (!front.contains('.')).then(|| groups.into())
}

/// Reads groups with colons between, of which the last two may be an IPv4 address, and returns how many.
fn read_groups(text: &str, out: &mut [u16]) -> Option<usize> {
    let mut count = 0;
    if text.is_empty() {
        return Some(count);
    }
    let mut parts = text.split(':').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() && part.contains('.') {
            let [a, b, c, d] = parse_v4(part)?.octets();
            for group in [[a, b], [c, d]] {
                *out.get_mut(count)? = u16::from_be_bytes(group);
                count += 1;
            }
            return Some(count);
        }
        *out.get_mut(count)? = hex_group(part)?;
        count += 1;
    }
    Some(count)
}

/// One to four hex digits.
fn hex_group(digits: &str) -> Option<u16> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    let mut digits = digits.chars().map(|digit| digit.to_digit(16));
    digits.try_fold(0, |group, digit| Some(group << 4 | digit? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn agrees_with_core(text: &str) {
        assert_eq!(parse_ip(text), text.parse().ok(), "{text:?}");
    }

    #[test]
    fn addresses_are_read_as_core_reads_them() {
        for text in [
            "10.0.2.2",
            "0.0.0.0",
            "255.255.255.255",
            "256.0.0.1",
            "01.2.3.4",
            "1.2.3",
            "1.2.3.4.5",
            "1..3.4",
            "1.2.3.4 ",
            "+1.2.3.4",
            "",
            ".",
            "nats.example.com",
            "::",
            "::1",
            "1::",
            "fe80::1",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1::3:4:5:6:7:8",
            "1:2:3::4:5:6:7:8",
            "1:2:3:4:5:6:7:8:9",
            ":",
            ":::",
            "1:::2",
            "1::2::3",
            ":1",
            "1:",
            "::1:",
            ":1::",
            "12345::",
            "g::",
            "FFFF::aBcD",
            "::ffff:10.0.2.2",
            "::10.0.2.2:1",
            "1:2:3:4:5:6:10.0.2.2",
            "1:2:3:4:5:6:7:10.0.2.2",
            "1:2:3:4:5:10.0.2.2",
            "::10.0.2",
            "10.0.2.2::",
            "1:10.0.2.2::",
            "::1%eth0",
            "[::1]",
            "::1:2:3:4:5:6:10.0.2.2",
            "1::2:3:4:5:6:10.0.2.2",
            "1::2:3:4:5:10.0.2.2",
            "\u{e9}::",
        ] {
            agrees_with_core(text);
        }
    }

    /// All texts of up to seven pieces of addresses.
    #[test]
    fn pieces_in_any_order_are_read_as_core_reads_them() {
        let pieces = ["1", "ff", ":", "::", ".", "0"];
        let mut texts = Vec::from([String::new()]);
        for _ in 0..6 {
            let longer = texts
                .iter()
                .flat_map(|text| pieces.map(|piece| [text, piece].concat()));
            texts = longer.collect();
            texts.iter().for_each(|text| agrees_with_core(text));
        }
    }
}
