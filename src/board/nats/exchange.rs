//! What a client writes and reads: lines, PINGs and their answers, and what the server says in between.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::client::TransportNatsClient;
use super::lost::Lost;
use super::wire::{LINE_LEN, SendError};
use crate::cause::text;
use crate::nats::protocol;
use crate::nats::session::{Confirmation, Link};
use crate::nats::{Broker as _, BrokerError, BrokerErrorKind as Kind, Message, SubscriptionId};
use crate::net::deadline::Moment;
use crate::net::{Transport, TransportErrorKind};
use crate::platform::Platform;

/// PINGs without an answer; further ones are not sent before one is answered.
const MAX_PINGS: usize = 16;
/// What a client that is dropped may wait for the confirmation of what it published.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);

impl<T: Transport, P: Platform> TransportNatsClient<T, P> {
    pub(super) fn deadline(&self, wait: Duration) -> Moment {
        self.wire.connection.deadline(wait)
    }

    pub(super) fn is_over(&self, deadline: Moment) -> bool {
        self.wire.connection.is_over(deadline)
    }

    /// Confirms what was published, and gives the connection back.
    pub(super) fn end(&mut self) {
        let timeout = DROP_TIMEOUT.min(self.options.timeout);
        if self.session.has_unconfirmed(self.id)
            && let Err(error) = self.flush(timeout)
        {
            log::warn!(
                target: "natsbridge",
                "a client was dropped before all it published was confirmed: {error}"
            );
        }
        self.disconnect();
    }

    pub(super) fn disconnect(&mut self) -> Option<Link> {
        self.wire.close();
        (self.should_move, self.last_ping) = (false, None);
        self.link.take()
    }

    /// Gives up the connection, if there is one. What was unconfirmed may be lost, and messages too.
    pub(super) fn lose(&mut self, cause: String) {
        if let Some(link) = self.disconnect() {
            let cause = link.refusal().map_or(cause, |error| error.to_string());
            self.session.lost(&link, cause);
            self.rounds.try_last(&link.url);
        }
    }

    /// Reads one thing that the server says, if it has come or comes before `deadline`; and writes
    /// meanwhile what is due. A connection that is lost is given up.
    pub(super) fn pump(&mut self, deadline: Moment) {
        if let Err(lost) = self.try_pump(deadline) {
            self.lose(text(format_args!("{lost}")));
        }
    }

    pub(super) fn try_pump(&mut self, deadline: Moment) -> Result<(), Lost> {
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        let mut wake_at = deadline;
        let now = self.wire.connection.now().millis();
        if now >= link.wake_at() {
            // The answer to a PING may have come while nobody looked.
            self.wire.look()?;
        }
        if !self.wire.has_input() {
            if link.has_control_due()
                && let Some(out) = self.wire.control()
            {
                link.write_control(now, out);
            }
            if now >= link.wake_at()
                && let Ok(out) = self.wire.output()
            {
                link.keep_alive(now, out)?;
            }
            wake_at = wake_at.min(Moment::from_millis(link.wake_at()));
        }
        self.read(wake_at)?;
        self.take_news();
        Ok(())
    }

    /// Reads one thing that the server says, if it has come or comes before `deadline`.
    pub(super) fn read(&mut self, deadline: Moment) -> Result<(), Lost> {
        self.wire.receive(deadline)?;
        if let Some(link) = &mut self.link {
            let now = self.wire.connection.now().millis();
            let used = self.session.feed(link, self.wire.input(), now)?;
            self.wire.parsed(used);
        }
        Ok(())
    }

    /// Takes what INFO says.
    pub(super) fn take_news(&mut self) {
        let Some(link) = &mut self.link else { return };
        if link.take_news().is_some()
            && let Some(info) = &mut link.info
        {
            self.max_payload = info.max_payload;
            self.should_move |= info.lame_duck;
            let announced = core::mem::take(&mut info.connect_urls);
            self.rounds.announced(&announced, &link.url);
        }
    }

    /// Notices what has happened between two calls, without waiting. Without subscriptions what came is
    /// read, because it is PINGs and errors; with them messages might be dropped for lack of room.
    pub(super) fn look(&mut self) {
        if self.link.is_none() {
            return;
        }
        if self.session.has_subscriptions() {
            if let Err(error) = self.wire.look() {
                self.lose(text(format_args!("{error:?}")));
            }
            return;
        }
        let now = self.wire.connection.now();
        self.pump(now);
        while self.wire.has_input() {
            self.pump(now);
        }
    }

    /// A connection to write on.
    pub(super) fn ensure_connected(&mut self, deadline: Moment) -> Result<(), BrokerError> {
        self.look();
        self.move_if_due();
        match self.link {
            Some(_) => Ok(()),
            None => self.connect_round(deadline, deadline),
        }
    }

    /// Where a line of at most `len` bytes can be added to what [`send_lines`](Self::send_lines) sends.
    pub(super) fn line(&mut self, len: usize) -> Result<&mut Vec<u8>, SendError> {
        self.last_ping = None;
        let deadline = self.deadline(self.options.timeout);
        self.wire.room(LINE_LEN + len, deadline)
    }

    pub(super) fn send_lines(&mut self) -> Result<(), SendError> {
        let deadline = self.deadline(self.options.timeout);
        Ok(self.wire.send(deadline)?)
    }

    /// Writes a line whose failure shows as a loss; false then.
    pub(super) fn try_send_line(&mut self, line: &dyn Fn(&mut Vec<u8>)) -> bool {
        let written = self.line(0).map(line);
        let sent = written.and_then(|()| self.send_lines());
        let Err(error) = sent else { return true };
        self.lose(match error {
            SendError::Transport(error) => text(format_args!("{error:?}")),
            SendError::Body { error, .. } => text(format_args!("{error}")),
        });
        false
    }

    pub(super) fn write_unsubscribe(&mut self, id: SubscriptionId) {
        if self.link.is_some() {
            self.try_send_line(&|out| protocol::unsubscribe(out, id.0));
        }
    }

    /// What it means that something could not be sent, or not as a whole.
    pub(super) fn not_sent(&mut self, error: SendError) -> BrokerError {
        match error {
            SendError::Transport(error) => {
                let kind = match error.kind() {
                    TransportErrorKind::Timeout => Kind::Timeout,
                    _ => Kind::Disconnected,
                };
                self.lose(text(format_args!("{error:?}")));
                // Reported here, and so not by the next flush.
                let loss = self.session.take_loss(self.id);
                let message = match loss {
                    Some(loss) => loss.to_string(),
                    None => text(format_args!("the connection is lost: {error:?}")),
                };
                BrokerError::new(kind, message)
            }
            SendError::Body {
                error,
                sent_in_part: true,
            } => {
                // The server would take what comes next for the rest of it.
                self.lose(String::from("a message was sent in part"));
                BrokerError::from(error)
            }
            SendError::Body { error, .. } => BrokerError::from(error).not_sent(),
        }
    }

    /// Sends a PING behind all that was written, or finds that one is on its way; `None` if the connection
    /// is lost. Waits for answers first if there are too many PINGs without one.
    pub(super) fn ping(&mut self, deadline: Moment) -> Result<Option<Confirmation>, BrokerError> {
        if let Some(sent) = self.last_ping
            && !self.session.is_confirmed(self.id, sent)
        {
            return Ok(Some(sent));
        }
        while self
            .link
            .as_ref()
            .is_some_and(|link| link.unanswered() >= MAX_PINGS)
        {
            self.pump_or_time_out(deadline)?;
        }
        let Some(link) = &mut self.link else {
            return Ok(None);
        };
        let now = self.wire.connection.now().millis();
        let confirmation = self.session.ping_sent(link, self.id, now);
        let is_sent = self.try_send_line(&protocol::ping);
        self.last_ping = is_sent.then_some(confirmation);
        Ok(self.last_ping)
    }

    pub(super) fn pump_or_time_out(&mut self, deadline: Moment) -> Result<(), BrokerError> {
        let is_last = self.is_over(deadline);
        self.pump(deadline);
        match &self.link {
            Some(link) if is_last && !self.wire.has_input() => {
                let message = text(format_args!("{} has not confirmed in time", link.url));
                Err(BrokerError::new(Kind::Timeout, message))
            }
            _ => Ok(()),
        }
    }

    /// Waits for the answer to a PING; false if its connection was lost.
    pub(super) fn await_pong(
        &mut self,
        confirmation: Confirmation,
        deadline: Moment,
    ) -> Result<bool, BrokerError> {
        let losses = self.session.losses();
        while self.session.losses() == losses {
            if self.session.is_confirmed(self.id, confirmation) {
                return Ok(true);
            }
            if let Err(error) = self.pump_or_time_out(deadline) {
                let is_confirmed = self.session.is_confirmed(self.id, confirmation);
                return if is_confirmed { Ok(true) } else { Err(error) };
            }
        }
        Ok(false)
    }

    pub(super) fn await_next(
        &mut self,
        of: Option<SubscriptionId>,
        deadline: Moment,
    ) -> Result<Option<Message>, BrokerError> {
        let mut is_last = false;
        loop {
            let now = self.wire.connection.now().millis();
            let event = match of {
                Some(subscription) => self.session.next_of(self.id, subscription),
                None => self.session.next(self.id, now),
            };
            if let Some(event) = event {
                return event.map(Some);
            }
            if is_last && !self.wire.has_input() {
                return Ok(None);
            }
            if of.is_none() {
                self.move_if_due();
            }
            if self.link.is_none() {
                // However short the waits are: a connect that is cut each time would never succeed.
                let end_by = self.deadline(self.options.connect_timeout).max(deadline);
                self.connect_until(deadline, end_by)?;
                continue;
            }
            is_last = self.is_over(deadline);
            let report_at = self.session.report_at(self.id).map(Moment::from_millis);
            self.pump(report_at.map_or(deadline, |at| at.min(deadline)));
        }
    }
}
