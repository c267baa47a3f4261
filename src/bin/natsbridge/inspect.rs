//! `natsbridge inspect`.

use clap::Args;
use natsbridge::{Envelope, Error, Limits, PayloadEntry, Transport};
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::files::hex;
use crate::lines::Lines;
use crate::output::{Format, OutputArgs, Shown, value_of};

/// Shows messages from standard input, and connects to nothing.
///
/// Prints each as `receive` does, with the size and SHA-256 that it states for links, and their `url` without
/// secrets. Payloads in the message are decoded and checked. Ends with 1 if a message cannot be read.
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// The input is one message, which may have line ends [default: each line is a message]
    #[arg(long)]
    whole: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// Does what the flags say.
pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let format = args.output.format();
    let limits = Limits::default();
    let mut lines = Lines::new(limits.max_message_size);
    let (mut count, mut bad) = (0, 0);
    if args.whole {
        count = 1;
        bad = u64::from(!show(lines.rest()?, &limits, format)?);
    } else {
        while let Some(line) = lines.next()? {
            count += 1;
            bad += u64::from(!show(line, &limits, format)?);
        }
    }
    match bad {
        0 => Ok(()),
        _ => Err(format!("{bad} of {count} message(s) cannot be read").into()),
    }
}

/// Prints a message, and whether it can be read.
fn show(message: &[u8], limits: &Limits, format: Format) -> Result<bool, Failure> {
    let read = Envelope::parse(message, limits).map_err(Error::from);
    let read = read.and_then(|envelope| {
        let shown = envelope.payloads.iter().map(look);
        let shown = shown.collect::<Result<Vec<_>, _>>()?;
        Ok((envelope, shown))
    });
    match read {
        Ok((envelope, shown)) => format.message(&envelope, &shown)?,
        Err(error) => {
            format.error(&error)?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn look(entry: &PayloadEntry<'_>) -> Result<Shown, Error> {
    entry.payload_type()?;
    if entry.transport()? == Transport::Link {
        return Ok(Shown {
            size: entry.size,
            sha256: entry.sha256()?.map(String::from),
            url: entry.public_url(),
            ..Shown::default()
        });
    }
    let payload = entry.open()?;
    let shown = Shown {
        size: Some(payload.len() as u64),
        sha256: Some(hex(&Sha256::digest(payload.serialize()?))),
        ..Shown::default()
    };
    Ok(shown.with_value(value_of(&payload)))
}
