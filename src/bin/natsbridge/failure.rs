//! How the program ends, and how it reports what went wrong.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use natsbridge::{BrokerErrorKind, ErrorKind};

use crate::hints::hint;

/// Anything that ends the program early.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The part of `--help` that documents the exit codes below.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed: the error and its causes are on stderr
  2  a flag is missing, unknown or cannot be used; nothing was done
  3  the message was sent, but not confirmed or not answered: it may have been delivered";

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNCONFIRMED: u8 = 3;

/// An error of another library with the words that it lacks: what was being done.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
struct Context {
    doing: String,
    source: Failure,
}

/// Flags that cannot be used together, or have a value that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Usage {
    message: String,
    source: Option<Failure>,
}

/// A send whose message may have been delivered.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Unconfirmed(natsbridge::Error);

/// Says what was being done when `error` came.
pub(crate) fn while_doing(doing: impl Into<String>, error: impl Into<Failure>) -> Failure {
    Box::new(Context {
        doing: doing.into(),
        source: error.into(),
    })
}

/// Flags that cannot be used.
pub(crate) fn usage(message: impl Into<String>) -> Failure {
    Box::new(Usage {
        message: message.into(),
        source: None,
    })
}

/// A flag whose value the library refuses.
pub(crate) fn bad_flag(flag: &str, error: impl Into<Failure>) -> Failure {
    Box::new(Usage {
        message: format!("{flag} cannot be used"),
        source: Some(error.into()),
    })
}

/// The failure of a send or a request.
pub(crate) fn send_failed(error: natsbridge::Error) -> Failure {
    match error.kind() {
        ErrorKind::NoAnswer
        | ErrorKind::Broker(BrokerErrorKind::Timeout | BrokerErrorKind::Disconnected) => {
            Box::new(Unconfirmed(error))
        }
        _ => Box::new(error),
    }
}

/// Runs the program: 0 if it succeeds, else its error with all causes on stderr, and an exit code.
pub(crate) fn run(program: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    env_logger::init();
    match program() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&*error);
            ExitCode::from(exit_code(&*error))
        }
    }
}

fn exit_code(error: &(dyn Error + 'static)) -> u8 {
    if error.is::<Usage>() {
        USAGE
    } else if error.is::<Unconfirmed>() {
        UNCONFIRMED
    } else {
        FAILED
    }
}

/// Who reads our stdout may have enough before we have finished, as `head` does. Network errors do
/// not come bare, but as causes of the library's.
fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes an error, its causes and what to do to stderr, one a line.
pub(crate) fn report(error: &(dyn Error + 'static)) {
    let mut text = format!("error: {error}");
    for cause in causes(error) {
        // Nothing can fail when a text is appended to a text.
        write!(text, "\n  caused by: {cause}").ok();
    }
    let mut all = std::iter::once(error).chain(causes(error));
    if let Some(hint) = all.find_map(|error| hint(of_library(error)?)) {
        write!(text, "\n  try: {hint}").ok();
    }
    print_status(&text);
}

fn of_library<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e natsbridge::Error> {
    match error.downcast_ref() {
        Some(Unconfirmed(error)) => Some(error),
        None => error.downcast_ref(),
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        write!(text, ": {cause}").ok();
    }
    text
}

fn causes(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

/// A line on stderr. `eprintln` would panic if nobody reads it.
pub(crate) fn print_status(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// A line on stdout, flushed. `println` would panic if nobody reads it.
pub(crate) fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
