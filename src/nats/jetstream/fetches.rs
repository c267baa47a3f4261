//! Fetches that are under way: what they may still bring, and when they are dead.

use alloc::vec::Vec;
use core::time::Duration;

/// How long the end of a fetch may be late, in milliseconds.
const GRACE_MILLIS: u64 = 1000;
/// The pause after a fetch that the server has ended early, doubled each time.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A fetch that is under way. Times are in milliseconds of the platform's uptime.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) number: u64,
    /// Messages that it may still bring.
    pub(super) left: u32,
    pub(super) started_at: u64,
    pub(super) ends_at: u64,
    /// How often the server says that it is alive; 0 for never.
    pub(super) heartbeat: u64,
}

/// All fetches of a consumer that are under way.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    under_way: Vec<Fetch>,
    heard_at: u64,
    /// Fetches in a row that ended early.
    early_ends: u32,
}

impl Fetches {
    /// Messages that may still come.
    pub(super) fn to_come(&self) -> u32 {
        self.under_way.iter().map(|fetch| fetch.left).sum()
    }

    /// How long to pause before another fetch, if others ended early.
    pub(super) fn pause(&self) -> Option<Duration> {
        let doublings = self.early_ends.checked_sub(1)?;
        let pause = PAUSE.saturating_mul(2u32.saturating_pow(doublings));
        Some(pause.min(LONGEST_PAUSE))
    }

    pub(super) fn begin(&mut self, fetch: Fetch) {
        self.heard_at = fetch.started_at;
        self.under_way.push(fetch);
    }

    /// Something has come from the server.
    pub(super) fn hear(&mut self, now: u64) {
        self.heard_at = now;
    }

    /// A message has come, of the oldest fetch.
    pub(super) fn bring(&mut self, now: u64) {
        self.hear(now);
        self.early_ends = 0;
        if let Some(fetch) = self.under_way.first_mut() {
            fetch.left = fetch.left.saturating_sub(1);
        }
        self.under_way.retain(|fetch| fetch.left > 0);
    }

    /// The server has ended a fetch. One that ends before its time is not followed by another without a pause.
    pub(super) fn end(&mut self, number: Option<u64>, now: u64) {
        let is_it = |fetch: &Fetch| Some(fetch.number) == number;
        let Some(place) = self.under_way.iter().position(is_it) else {
            return;
        };
        let fetch = self.under_way.remove(place);
        match now < fetch.started_at.midpoint(fetch.ends_at) {
            true => self.end_early(),
            false => self.early_ends = 0,
        }
    }

    pub(super) fn end_early(&mut self) {
        self.early_ends = self.early_ends.saturating_add(1);
    }

    /// All of them are lost with the connection.
    pub(super) fn clear(&mut self) {
        self.under_way.clear();
    }

    /// None of them brings anything more.
    pub(super) fn give_up(&mut self) {
        self.clear();
        self.end_early();
    }

    /// How long it may be quiet before a fetch is dead.
    pub(super) fn quiet_for(&self, now: u64) -> Duration {
        let due = |fetch: &Fetch| self.due(fetch).saturating_sub(now);
        let quiet = self.under_way.iter().map(due).min().unwrap_or(0);
        Duration::from_millis(quiet)
    }

    /// When a fetch of which nothing is heard is dead: after two heartbeats, or behind its end.
    fn due(&self, fetch: &Fetch) -> u64 {
        let end = fetch.ends_at.saturating_add(GRACE_MILLIS);
        match fetch.heartbeat {
            0 => end,
            heartbeat => end.min(self.heard_at.saturating_add(2 * heartbeat + 1)),
        }
    }

    /// Whether nothing is heard of one of them any more.
    pub(super) fn is_any_dead(&self, now: u64) -> bool {
        self.under_way.iter().any(|fetch| self.due(fetch) <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(number: u64, left: u32, heartbeat: u64) -> Fetch {
        Fetch {
            number,
            left,
            started_at: 0,
            ends_at: 30_000,
            heartbeat,
        }
    }

    #[test]
    fn messages_count_for_the_oldest_fetch() {
        let mut fetches = Fetches::default();
        fetches.begin(fetch(1, 2, 0));
        fetches.begin(fetch(2, 1, 0));
        for left in [2, 1, 0, 0] {
            fetches.bring(0);
            assert_eq!(fetches.to_come(), left);
        }
    }

    #[test]
    fn a_fetch_is_dead_after_two_heartbeats_or_behind_its_end() {
        for (heartbeat, heard_at, dead_at) in [
            (0, 0, 31_000),
            (5_000, 0, 10_001),
            (5_000, 4_000, 14_001),
            (5_000, 29_000, 31_000),
        ] {
            let mut fetches = Fetches::default();
            fetches.begin(fetch(1, 1, heartbeat));
            fetches.hear(heard_at);
            let quiet = fetches.quiet_for(heard_at).as_millis() as u64;
            assert_eq!(heard_at + quiet, dead_at);
            assert!(!fetches.is_any_dead(dead_at - 1));
            assert!(fetches.is_any_dead(dead_at));
        }
    }

    #[test]
    fn early_ends_are_followed_by_longer_and_longer_pauses() {
        let mut fetches = Fetches::default();
        assert_eq!(fetches.pause(), None);
        for millis in [50, 100, 200, 400, 800, 1000, 1000] {
            fetches.begin(fetch(1, 1, 0));
            fetches.end(Some(1), 14_999);
            assert_eq!(fetches.pause(), Some(Duration::from_millis(millis)));
        }
        fetches.begin(fetch(2, 1, 0));
        fetches.end(Some(3), 0);
        fetches.end(None, 0);
        assert_eq!(fetches.to_come(), 1);
        fetches.end(Some(2), 15_000);
        assert_eq!((fetches.to_come(), fetches.pause()), (0, None));
    }
}
