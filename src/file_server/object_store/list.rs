//! What a bucket has.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::download::QUIET_TIMEOUT;
use super::link::stream_of;
use super::{FileServerError, INACTIVE_THRESHOLD, ObjectInfo, ObjectStore, file_error};
use crate::nats::Broker;
use crate::nats::jetstream::{
    Api, Deadline, Delivered, Ephemeral, JetStreamError, JetStreamErrorKind, Puller,
};
use crate::platform::Platform;

impl<B: Broker, P: Platform> ObjectStore<B, P> {
    /// All objects of the bucket, in the order in which they were stored. Memory grows with their number.
    ///
    /// # Errors
    /// [`FileServerError`].
    pub fn list(&mut self) -> Result<Vec<ObjectInfo>, FileServerError> {
        let mut deadline = None;
        loop {
            let error = match self.read_all_meta() {
                Ok(objects) => return Ok(objects),
                Err(error) => error,
            };
            let deadline = *deadline.get_or_insert_with(|| self.idle_deadline());
            let paused = self.jetstream.api().pause_or_fail(error, deadline);
            paused.map_err(|error| file_error(&format!("the bucket `{}`", self.bucket), error))?;
        }
    }

    fn read_all_meta(&mut self) -> Result<Vec<ObjectInfo>, JetStreamError> {
        let deadline = Deadline::after(self.jetstream.platform(), self.timeout);
        let jetstream = &mut self.jetstream.api();
        let stream = stream_of(&self.bucket);
        let subject = format!("$O.{}.M.>", self.bucket);
        let consumer = jetstream.create_ephemeral(
            &Ephemeral {
                stream: &stream,
                filter_subject: &subject,
                start: None,
                inactive_threshold: INACTIVE_THRESHOLD,
            },
            deadline,
        )?;
        let name = (&*stream, &*consumer.name);
        let mut puller = Puller::new(jetstream, name, self.window, true)?;
        let wait = QUIET_TIMEOUT.min(self.timeout);
        let pending = consumer.pending.unwrap_or(0);
        let objects = read_meta(jetstream, &mut puller, pending, wait);
        puller.close(jetstream);
        jetstream.forget_consumer(&stream, &consumer.name);
        objects
    }
}

/// Reads `pending` messages with metadata; those of deleted objects are left out. It fails if fewer come or one
/// comes twice, as may happen when others are removed meanwhile: another consumer has them all.
fn read_meta(
    jetstream: &mut Api<'_>,
    puller: &mut Puller,
    pending: u64,
    wait: Duration,
) -> Result<Vec<ObjectInfo>, JetStreamError> {
    let mut objects = Vec::new();
    let mut sequence = 0;
    for number in 1..=pending {
        let next = puller.next(jetstream, wait)?.filter(|next| {
            next.info.consumer_sequence == number && next.info.stream_sequence > sequence
        });
        let Some(Delivered { message, info, .. }) = next else {
            let message = "the list of objects ended early";
            return Err(JetStreamError::new(JetStreamErrorKind::Timeout, message));
        };
        sequence = info.stream_sequence;
        match ObjectInfo::parse(&message.payload) {
            Ok(object) if !object.is_deleted => objects.push(object),
            Ok(_) => {}
            Err(error) => {
                let subject = &message.subject;
                log::warn!(target: "natsbridge", "no metadata of an object on {subject}: {error}");
            }
        }
        if info.pending == 0 {
            break;
        }
    }
    Ok(objects)
}
