//! The time as the family writes it.

use alloc::string::String;

/// `YYYY-MM-DDTHH:MM:SSZ`, as the family writes it.
pub(crate) fn timestamp(unix_millis: u64) -> String {
    let seconds = unix_millis / 1000;
    // Numbers of 32 bits from here on: a board divides them ten times as fast, in half the flash.
    let days = u32::try_from(seconds / 86_400).unwrap_or(0);
    let second_of_day = (seconds % 86_400) as u32;
    let (year, month, day) = civil_date(days);
    let (hour, minute) = (second_of_day / 3600, second_of_day / 60 % 60);
    let second = second_of_day % 60;
    let mut text = String::from("0000-00-00T00:00:00Z").into_bytes();
    let numbers = [year / 100, year % 100, month, day, hour, minute, second];
    let places = [0, 2, 5, 8, 11, 14, 17];
    for (number, place) in numbers.into_iter().zip(places) {
        if let Some([tens, ones]) = text.get_mut(place..place + 2) {
            *tens += (number / 10 % 10) as u8;
            *ones += (number % 10) as u8;
        }
    }
    String::from_utf8(text).unwrap_or_default()
}

/// The Gregorian date `days` after 1970-01-01. Years are counted from March, so that a leap day is
/// the last of its year, and in eras of 400 years, which all have 146,097 days.
fn civil_date(days: u32) -> (u32, u32, u32) {
    let days = days.saturating_add(719_468); // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u32::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_772_759_955, "2026-03-06T01:19:15Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(seconds * 1000 + 999), text);
        }
    }
}
