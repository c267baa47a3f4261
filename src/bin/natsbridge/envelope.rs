//! The flags of a message that is sent, and of links that are followed.

use clap::Args;
use natsbridge::{Limits, LinkPolicy, ReceiveOptions, SendOptions};
use std::time::Duration;

use crate::failure::{Failure, bad_flag};

/// What the sender says of itself and its message.
#[derive(Args)]
#[command(next_help_heading = "Envelope")]
pub(crate) struct EnvelopeArgs {
    /// A payload of this many bytes or more goes to the store
    #[arg(long, value_name = "BYTES", default_value_t = natsbridge::DEFAULT_SIZE_THRESHOLD)]
    threshold: usize,

    /// The same for all messages of one conversation [default: a fresh UUID]
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,

    /// What the message is for: chat, ACK, NACK, updateStatus, shutdown, ...
    #[arg(long, value_name = "PURPOSE", default_value = "chat")]
    msg_purpose: String,

    /// Who sends
    #[arg(long, value_name = "NAME", default_value = "NATSBridge")]
    sender_name: String,

    /// Who sends [default: a fresh UUID]
    #[arg(long, value_name = "ID")]
    sender_id: Option<String>,

    /// Who is meant; empty for everybody
    #[arg(long, value_name = "NAME", default_value = "")]
    receiver_name: String,

    /// Who is meant; empty for everybody
    #[arg(long, value_name = "ID", default_value = "")]
    receiver_id: String,

    /// The message that this one answers; empty if none
    #[arg(long, value_name = "ID", default_value = "")]
    reply_to_msg_id: String,

    /// This message [default: a fresh UUID]
    #[arg(long, value_name = "ID")]
    msg_id: Option<String>,
}

impl EnvelopeArgs {
    /// The library's options that these flags stand for.
    pub(crate) fn options(&self, timeout: Duration) -> SendOptions {
        let mut options = SendOptions::default()
            .size_threshold(self.threshold)
            .msg_purpose(&self.msg_purpose)
            .sender_name(&self.sender_name)
            .receiver_name(&self.receiver_name)
            .receiver_id(&self.receiver_id)
            .reply_to_msg_id(&self.reply_to_msg_id)
            .timeout(timeout);
        options.correlation_id = self.correlation_id.clone();
        options.sender_id = self.sender_id.clone();
        options.msg_id = self.msg_id.clone();
        options
    }
}

/// Whose links are followed.
#[derive(Args)]
#[command(next_help_heading = "Links")]
pub(crate) struct LinkArgs {
    /// Also fetch links from this server (scheme, host and port count), not only from the store; may be
    /// given several times
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<String>,

    /// Refuse a linked file that is longer
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_download_size)]
    max_download: u64,
}

impl LinkArgs {
    /// The library's options that these flags stand for.
    pub(crate) fn options(&self) -> Result<ReceiveOptions, Failure> {
        let mut policy = LinkPolicy::default();
        for origin in &self.allow_origin {
            let allowed = policy.allow(origin);
            policy = allowed.map_err(|error| bad_flag("--allow-origin", error))?;
        }
        Ok(ReceiveOptions::default().link_policy(policy))
    }

    /// The library's limits with these flags in them.
    pub(crate) fn limits(&self) -> Limits {
        Limits::default().max_download_size(self.max_download)
    }
}
