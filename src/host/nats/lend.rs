//! Who reads from a connection. It is the reader thread, which lends what it reads from to callers that wait for
//! the confirmation of a server nearby: to be woken, and to wake the caller, takes the thread about as long as
//! the answer.

use alloc::string::ToString as _;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::io::ErrorKind;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::connection::{Connection, State};
use super::lock::wait;
use super::source::{Fed, Source};

/// How long the answer of a server nearby is waited for awake.
pub(super) const AWAKE: Duration = Duration::from_micros(100);
/// So many confirmations must have come at once, and no caller fallen asleep meanwhile, before callers read.
const QUICK_ANSWERS: u32 = 8;
/// The reader thread goes on itself if no caller has read for so long.
const UNUSED: Duration = Duration::from_micros(200);

impl Connection {
    /// Reads once, and hands it to the session. False if nothing came.
    pub(super) fn read(&self, source: &mut Source) -> bool {
        if !source.rest.is_empty() {
            source.fed = self.feed(source.epoch, &core::mem::take(&mut source.rest));
            return true;
        }
        source.fed = match source.half.read(&mut source.buffer) {
            Ok(0) => Err("the server closed the connection".to_string()),
            Ok(count) => self.feed(source.epoch, &source.buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                source.fed = Ok(Fed::Goes);
                return false;
            }
            Err(error) => Err(error.to_string()),
        };
        true
    }

    /// Leaves reading to callers, as long as they do it often and none of them falls asleep.
    pub(super) fn lend(&self, mut source: Source) -> Source {
        let before = core::mem::replace(&mut source.lent_at, Instant::now());
        if source.lent_at.duration_since(before) > UNUSED {
            return source;
        }
        let epoch = source.epoch;
        let mut is_unused = false;
        let mut state = self.state();
        state.lent = Some(source);
        // Who waits awake already may read.
        self.reads.fetch_add(1, Ordering::Relaxed);
        loop {
            let is_over = is_unused || !state.may_lend(epoch);
            // A caller that reads at the moment gives it back soon.
            let lent = state.lent.take_if(|source| is_over || !source.goes());
            if let Some(source) = lent {
                return source;
            }
            let reads = self.reads.load(Ordering::Relaxed);
            let waited = self.wanted_back.wait_timeout(state, UNUSED);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            is_unused = self.reads.load(Ordering::Relaxed) == reads;
        }
    }

    /// Waits until something has been read, or until `until`; reads it itself if the reader thread leaves that to
    /// callers. Other threads come first.
    pub(super) fn stay_awake<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        until: Instant,
    ) -> MutexGuard<'s, State> {
        let reads = self.reads.load(Ordering::Relaxed);
        let source = state.lent.take_if(|source| source.goes());
        drop(state);
        let Some(source) = source else {
            while self.reads.load(Ordering::Relaxed) == reads && Instant::now() < until {
                thread::yield_now();
            }
            return self.state();
        };
        Borrowed::new(self, source).poll(until);
        self.state()
    }

    /// Waits for `condvar`, for at most so long. The reader thread sees to what comes.
    pub(super) fn sleep<'s>(
        &'s self,
        condvar: &Condvar,
        mut state: MutexGuard<'s, State>,
        limit: Duration,
    ) -> MutexGuard<'s, State> {
        state.quick_answers = 0;
        if state.lent.is_some() {
            self.wanted_back.notify_one();
        }
        wait(condvar, state, limit)
    }
}

/// What a caller reads from, until it is given back.
struct Borrowed<'c> {
    connection: &'c Connection,
    source: Option<Source>,
    /// A program's own panic may drop a client, which confirms what was published.
    was_panicking: bool,
}

impl<'c> Borrowed<'c> {
    fn new(connection: &'c Connection, source: Source) -> Self {
        Self {
            connection,
            source: Some(source),
            was_panicking: thread::panicking(),
        }
    }

    /// Reads once, unless nothing comes until `until`.
    fn poll(mut self, until: Instant) {
        let Some(source) = &mut self.source else {
            return;
        };
        if let Err(error) = source.half.set_nonblocking(true) {
            source.fed = Err(error.to_string());
            return;
        }
        while !self.connection.read(source) && Instant::now() < until {
            thread::yield_now();
        }
    }
}

/// Gives it back, even if a logger has panicked: the reader thread waits for it.
impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Some(mut source) = self.source.take() else {
            return;
        };
        if let Err(error) = source.half.set_nonblocking(false) {
            source.fed = Err(error.to_string());
        }
        if thread::panicking() && !self.was_panicking {
            source.fed = Err("a panic while it was read".to_string());
        }
        let mut state = self.connection.state();
        if !state.may_lend(source.epoch) || !source.goes() {
            self.connection.wanted_back.notify_one();
        }
        state.lent = Some(source);
        self.connection.reads.fetch_add(1, Ordering::Relaxed);
    }
}

impl State {
    /// Whether callers may read.
    pub(super) fn may_lend(&self, epoch: u64) -> bool {
        self.quick_answers >= QUICK_ANSWERS && self.epoch == epoch
    }
}
