//! What is printed on stdout: JSON lines for programs, or tables for people.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use natsbridge::{Envelope, Error, Payload, Sent};

use crate::failure::{Failure, print, report};
use crate::{json, text};

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One line of JSON a message
    Json,
    /// A table, with texts and dictionaries shown
    Text,
}

/// The flag for it.
#[derive(Args)]
pub(crate) struct OutputArgs {
    /// How messages are printed [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// What is known of a payload beside its entry in the envelope.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) size: Option<u64>,
    pub(crate) sha256: Option<String>,
    /// Where it was written.
    pub(crate) file: Option<PathBuf>,
    /// Where a link leads that was not followed.
    pub(crate) url: Option<String>,
    /// A text, or JSON.
    pub(crate) value: Option<String>,
}

impl Shown {
    pub(crate) fn with_value(self, value: Option<String>) -> Self {
        Self { value, ..self }
    }
}

/// What a table shows of a payload that is a text or JSON.
pub(crate) fn value_of(payload: &Payload<'_>) -> Option<String> {
    let value = payload
        .as_text()
        .or_else(|| Some(payload.as_json()?.as_str()));
    value.map(text::start_of_value)
}

impl OutputArgs {
    pub(crate) fn format(&self) -> Format {
        self.format
            .unwrap_or_else(|| match io::stdout().is_terminal() {
                true => Format::Text,
                false => Format::Json,
            })
    }
}

impl Format {
    /// A message that was received, or inspected.
    pub(crate) fn message(self, envelope: &Envelope<'_>, shown: &[Shown]) -> Result<(), Failure> {
        match self {
            Self::Json => json::print_message(envelope, shown),
            Self::Text => Ok(print(&text::message(envelope, shown))?),
        }
    }

    /// A message that could not be received or sent, and that does not end the program.
    pub(crate) fn error(self, error: &Error) -> Result<(), Failure> {
        match self {
            Self::Json => Ok(json::print_error(error)?),
            Self::Text => {
                report(error);
                Ok(())
            }
        }
    }

    /// The only message that was sent.
    pub(crate) fn sent(self, sent: &Sent) -> io::Result<()> {
        match self {
            Self::Json => print(sent.json().unwrap_or_default()),
            Self::Text => print(&text::sent(sent)),
        }
    }

    /// One of several messages that were sent.
    pub(crate) fn one_sent(self, sent: &Sent) -> io::Result<()> {
        match self {
            Self::Json => json::print_sent(sent),
            Self::Text => print(&text::sent(sent)),
        }
    }
}
