//! What a bucket has.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::link::stream_of;
use super::{FileServerError, INACTIVE_THRESHOLD, ObjectInfo, ObjectStore, file_error};
use crate::nats::Broker;
use crate::nats::jetstream::{
    Api, Deadline, Ephemeral, JetStreamError, JetStreamErrorKind, Puller,
};
use crate::platform::Platform;

impl<B: Broker, P: Platform> ObjectStore<B, P> {
    /// All objects of the bucket, in the order in which they were stored. Memory grows with their number.
    ///
    /// # Errors
    /// [`FileServerError`].
    pub fn list(&mut self) -> Result<Vec<ObjectInfo>, FileServerError> {
        let objects = self.read_all_meta();
        objects.map_err(|error| file_error(&format!("the bucket `{}`", self.bucket), error))
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
        let objects = read_meta(jetstream, &mut puller, consumer.pending, self.timeout);
        puller.close(jetstream);
        jetstream.forget_consumer(&stream, &consumer.name);
        objects
    }
}

/// Reads `pending` messages with metadata; those of deleted objects are left out.
fn read_meta(
    jetstream: &mut Api<'_>,
    puller: &mut Puller,
    pending: Option<u64>,
    timeout: Duration,
) -> Result<Vec<ObjectInfo>, JetStreamError> {
    let mut objects = Vec::new();
    for _ in 0..pending.unwrap_or(0) {
        let Some(delivered) = puller.next(jetstream, timeout)? else {
            let message = "the list of objects ended early";
            return Err(JetStreamError::new(JetStreamErrorKind::Timeout, message));
        };
        match ObjectInfo::parse(&delivered.message.payload) {
            Ok(info) if !info.is_deleted => objects.push(info),
            Ok(_) => {}
            Err(error) => {
                let subject = &delivered.message.subject;
                log::warn!(target: "natsbridge", "no metadata of an object on {subject}: {error}");
            }
        }
    }
    Ok(objects)
}
