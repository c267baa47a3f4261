//! How a client waits on a [`Transport`]: each loop has a deadline, and none starves the platform.

use core::time::Duration;

use super::deadline::Moment;
use super::{Transport, TransportError, TransportErrorKind};
use crate::platform::Platform;

/// The first pause when nothing moves: an answer over a fast network is there sooner than in 1 ms.
const FIRST_PAUSE: Duration = Duration::from_micros(62);
/// The longest pause when nothing moves; each is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);
/// While data flows, the platform is called at least once in this many bytes.
const BREATH_LEN: usize = 4096;
/// While data flows, the platform is called at least once in this time.
const BREATH_INTERVAL: Duration = Duration::from_millis(10);

/// Which of the two directions moved bytes first.
pub(crate) enum Moved {
    Sent(usize),
    Received(usize),
}

/// A transport and the platform that has its time.
pub(crate) struct Connection<T, P> {
    pub(crate) transport: T,
    pub(crate) platform: P,
    /// Bytes moved since the platform was last called to wait, and when that was.
    moved: usize,
    waited_at: Moment,
}

impl<T: Transport, P: Platform> Connection<T, P> {
    pub(crate) fn new(transport: T, platform: P) -> Self {
        let waited_at = Moment::now(&platform);
        Self {
            transport,
            platform,
            moved: 0,
            waited_at,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::now(&self.platform)
    }

    #[inline(never)]
    pub(crate) fn deadline(&self, wait: Duration) -> Moment {
        self.now().after(wait)
    }

    #[inline(never)]
    pub(crate) fn is_over(&self, deadline: Moment) -> bool {
        self.now() >= deadline
    }

    #[inline(never)]
    pub(crate) fn left(&self, deadline: Moment) -> Duration {
        deadline.since(self.now())
    }

    #[inline(never)]
    pub(crate) fn wait(&mut self, duration: Duration) {
        self.transport.wait(duration);
        self.moved = 0;
        self.waited_at = self.now();
    }

    /// Waits in short steps, as everywhere, until `moment`.
    pub(crate) fn wait_until(&mut self, moment: Moment) {
        while !self.is_over(moment) {
            self.wait(LONGEST_PAUSE.min(self.left(moment)));
        }
    }

    /// Writes what goes without waiting.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let sent = self.transport.try_send(bytes)?.min(bytes.len());
        self.breathe(sent);
        Ok(sent)
    }

    /// Reads what has come, without waiting.
    pub(crate) fn try_receive(&mut self, out: &mut [u8]) -> Result<usize, TransportError> {
        let received = self.transport.try_receive(out)?.min(out.len());
        self.breathe(received);
        Ok(received)
    }

    /// Calls the platform after `count` more bytes, if it is time.
    #[inline(never)]
    fn breathe(&mut self, count: usize) {
        if count > 0 {
            self.moved = self.moved.saturating_add(count);
            if self.moved >= BREATH_LEN || self.is_over(self.waited_at.after(BREATH_INTERVAL)) {
                self.wait(Duration::ZERO);
            }
        }
    }

    /// Sends all of `bytes`, also out of a buffer that the transport may have.
    ///
    /// # Errors
    /// Of kind `Timeout`, however slowly they go; and those of the transport.
    pub(crate) fn send_all(
        &mut self,
        mut bytes: &[u8],
        deadline: Moment,
    ) -> Result<(), TransportError> {
        while !bytes.is_empty() {
            if self.is_over(deadline) {
                return Err(TransportErrorKind::Timeout.into());
            }
            match self.until(deadline, &mut |connection| connection.try_send(bytes))? {
                0 => return Err(TransportErrorKind::Timeout.into()),
                sent => bytes = &bytes[sent..],
            }
        }
        // First by itself: where a transport has no buffer, nothing of the rest is in flash.
        if self.transport.try_flush()? {
            return Ok(());
        }
        let flushed = self.until(deadline, &mut |connection| {
            connection.transport.try_flush().map(usize::from)
        });
        match flushed? {
            0 => Err(TransportErrorKind::Timeout.into()),
            _ => Ok(()),
        }
    }

    /// Receives what there is; 0 if nothing came until `deadline`. Tries at least once.
    pub(crate) fn receive(
        &mut self,
        out: &mut [u8],
        deadline: Moment,
    ) -> Result<usize, TransportError> {
        self.until(deadline, &mut |connection| connection.try_receive(out))
    }

    /// Sends some of `bytes`, unless there is something to receive.
    pub(crate) fn send_or_receive(
        &mut self,
        bytes: &[u8],
        out: &mut [u8],
        deadline: Moment,
    ) -> Result<Moved, TransportError> {
        let mut is_received = true;
        let moved = self.until(deadline, &mut |connection| {
            // A peer that answers early may be one that reads no further.
            match connection.try_receive(out)? {
                0 => {}
                received => return Ok(received),
            }
            let sent = connection.try_send(bytes)?;
            is_received = sent == 0;
            Ok(sent)
        })?;
        match moved {
            0 => Err(TransportErrorKind::Timeout.into()),
            count if is_received => Ok(Moved::Received(count)),
            count => Ok(Moved::Sent(count)),
        }
    }

    /// Attempts to move bytes until some have moved or `deadline` has come, but at least once. Returns
    /// their number.
    // Not generic over the attempt: it would be in flash once for each.
    pub(crate) fn until(
        &mut self,
        deadline: Moment,
        attempt: &mut dyn FnMut(&mut Self) -> Result<usize, TransportError>,
    ) -> Result<usize, TransportError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let moved = attempt(self)?;
            if moved > 0 || self.is_over(deadline) {
                return Ok(moved);
            }
            self.wait(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
