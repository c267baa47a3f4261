//! The thread that writes what nobody else writes: messages that nobody flushes, PONGs, PINGs to a silent
//! server; and that moves to another server when one is about to close its connections.

use alloc::string::ToString as _;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::io::IoSlice;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use super::connection::{Connection, State};
use super::handshake::Established;
use super::lock::lock;
use super::writer::Writer;
use crate::nats::protocol;

/// How long what was published may wait to be written together with what follows.
const WRITE_DELAY: Duration = Duration::from_millis(1);
/// After so many looks that found nothing to write, the thread waits to be woken: a caller that publishes
/// all the time need not wake it each time.
const LOOKS_BEFORE_IDLE: u32 = 50;
/// The longest time between two looks.
const MAX_IDLE: Duration = Duration::from_secs(2);
/// How long the old connection may take to answer what was written on it before a move.
const MOVE_TIMEOUT: Duration = Duration::from_secs(2);

impl Connection {
    pub(super) fn run_keeper(self: Arc<Self>) {
        // Something may have been published before it began.
        let mut looks = 0;
        let mut old_until: Option<Instant> = None;
        let mut writer = lock(&self.writer);
        while !self.state().is_closed {
            let was_woken;
            (writer, was_woken) = self.await_work(writer, looks >= LOOKS_BEFORE_IDLE);
            if was_woken {
                looks = 0;
                continue;
            }
            if self.state().can_move() {
                writer.is_keeper_away = true;
                drop(writer);
                old_until = self.move_away().then(|| Instant::now() + MOVE_TIMEOUT);
                writer = lock(&self.writer);
                writer.is_keeper_away = false;
            }
            if old_until.is_some_and(|until| Instant::now() >= until) {
                old_until = None;
                if let Some((_, handle)) = &self.state().old {
                    handle.shut_down();
                }
            }
            self.append_due(&mut writer);
            if writer.buffer.is_empty() {
                looks += 1;
                continue;
            }
            looks = 0;
            drop(writer);
            // A failure shows as a loss.
            self.write_out().ok();
            writer = lock(&self.writer);
        }
    }

    /// Waits for a moment, or until there is something to write: true then.
    fn await_work<'w>(
        &self,
        mut writer: MutexGuard<'w, Writer>,
        is_idle: bool,
    ) -> (MutexGuard<'w, Writer>, bool) {
        let limit = if is_idle {
            self.idle_time()
        } else {
            WRITE_DELAY
        };
        writer.is_keeper_idle = is_idle;
        let waited = self.to_write.wait_timeout(writer, limit);
        writer = waited.unwrap_or_else(PoisonError::into_inner).0;
        let was_woken = is_idle && !core::mem::take(&mut writer.is_keeper_idle);
        (writer, was_woken)
    }

    /// How long there is nothing to do if nobody publishes.
    fn idle_time(&self) -> Duration {
        let state = self.state();
        let wake_at = state.link.as_ref().map(|link| link.wake_at());
        let left = wake_at.map_or(u64::MAX, |at| at.saturating_sub(self.now()));
        Duration::from_millis(left).min(MAX_IDLE).max(WRITE_DELAY)
    }

    /// Appends the PONGs and PINGs that are due, and gives up a server that does not answer.
    fn append_due(&self, writer: &mut Writer) {
        let now = self.now();
        let mut state = self.state();
        let epoch = state.epoch;
        let Some(link) = state.link_of(writer) else {
            drop(state);
            writer.buffer.clear();
            self.drop_socket(writer.epoch);
            return;
        };
        link.write_control(now, &mut writer.buffer);
        if let Err(error) = link.keep_alive(now, &mut writer.buffer) {
            drop(state);
            self.lose(epoch, error.to_string());
        }
    }

    /// Connects to another server while this one still serves; false if there is none.
    fn move_away(&self) -> bool {
        let (epoch, url) = {
            let mut state = self.state();
            state.should_move = false;
            let epoch = state.epoch;
            let Some(link) = &state.link else {
                return false;
            };
            (epoch, link.url.clone())
        };
        let has_moved = match self.connect_to_another() {
            Ok(made) if made.link.url != url => self.switch(epoch, made).is_some(),
            Ok(_) => false,
            Err(failure) => {
                log::debug!(target: "natsbridge", "lame duck mode: {}", failure.to_error());
                false
            }
        };
        let mut state = self.state();
        let State {
            session,
            link,
            epoch: current,
            ..
        } = &mut *state;
        if let Some(link) = link.as_mut().filter(|_| !has_moved && *current == epoch) {
            session.abandon_move(link);
        }
        has_moved
    }

    /// Writes the last on the old connection and goes on with the new one; `None` if either is lost.
    fn switch(&self, epoch: u64, made: Established) -> Option<()> {
        let Established {
            stream,
            mut link,
            subscribed,
            rest,
        } = made;
        let (read_half, write_half) = stream.split().ok()?;
        let handle = write_half.handle();
        let mut socket = lock(&self.socket);
        let mut writer = lock(&self.writer);
        {
            let mut state = self.state();
            if state.epoch != epoch {
                return None;
            }
            for subscription in state.session.subscriptions() {
                protocol::unsubscribe(&mut writer.buffer, subscription.id.0);
            }
            let now = self.now();
            let link = state.link_of(&writer)?;
            link.write_control(now, &mut writer.buffer);
            link.write_last_ping(now, &mut writer.buffer);
        }
        let mut parts = [IoSlice::new(&writer.buffer)];
        self.write(&mut socket, &mut parts).ok()?;
        writer.buffer.clear();
        let mut state = self.state();
        if state.epoch != epoch {
            return None;
        }
        link.moved_to();
        state.update_subscriptions(&subscribed, &mut writer.buffer);
        state.epoch += 1;
        (socket.epoch, writer.epoch) = (state.epoch, state.epoch);
        socket.half = Some(write_half);
        let old_link = state.link.replace(link)?;
        let old_handle = state.handle.replace(handle)?;
        state.old = Some((old_link, old_handle));
        state.next_reader = Some((read_half, rest));
        self.take_news(&mut state);
        self.has_control_due.store(true, Ordering::Relaxed);
        Some(())
    }
}
