//! How an example ends, and how it tells what went wrong.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Anything that ends an example early.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// An error of another library with the words that it lacks: what was being done.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
struct Context {
    doing: String,
    source: Failure,
}

/// Says what was being done when `error` came.
pub(crate) fn while_doing(doing: impl Into<String>, error: impl Into<Failure>) -> Failure {
    Box::new(Context {
        doing: doing.into(),
        source: error.into(),
    })
}

/// Runs an example: 0 if it succeeds, else its error with all causes on stderr, and 1.
pub(crate) fn run(example: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    env_logger::init();
    match example() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&*error);
            ExitCode::FAILURE
        }
    }
}

/// Who reads our stdout may have enough before we have finished, as `head` does. Network errors do
/// not come bare, but as causes of the library's.
fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes an error and its causes to stderr, one a line.
pub(crate) fn report(error: &dyn Error) {
    let mut text = format!("error: {error}");
    for cause in causes(error) {
        // Nothing can fail when a text is appended to a text.
        write!(text, "\n  caused by: {cause}").ok();
    }
    tell(&text);
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
pub(crate) fn tell(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// A line on stdout, flushed. `println` would panic if nobody reads it.
pub(crate) fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
