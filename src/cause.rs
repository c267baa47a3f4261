//! Causes of errors, and how errors are printed with them.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Write as _};

/// The cause of an error, of any type.
pub type BoxError = Box<dyn core::error::Error + Send + Sync + 'static>;

/// `{:?}` of an error prints its message and its causes, because that is what a program prints that returns
/// it from `main`. Derived, it would print types, and take 10 KB of a board's flash.
macro_rules! debug_tells_causes {
    ($($error:ty),+) => {
        $(impl core::fmt::Debug for $error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                $crate::cause::tell_causes(self, f)
            }
        })+
    };
}
pub(crate) use debug_tells_causes;

pub(crate) fn tell_causes(
    error: &dyn core::error::Error,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}

/// `{:?}` of an error says what `{}` says. Derived, it would take 2 KB of a board's flash for all.
macro_rules! debug_is_display {
    ($($error:ty),+) => {
        $(impl core::fmt::Debug for $error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        })+
    };
}
pub(crate) use debug_is_display;

/// The longest text of an error, in bytes.
const MAX_TEXT_LEN: usize = 1024;

/// A text for an error. Where there is no memory for it, it ends early: lack of memory is an error
/// on a board, and reporting it must not fail.
#[inline(never)] // flash: it is called in many places
pub(crate) fn text(words: fmt::Arguments<'_>) -> String {
    let mut text = Bounded(String::new());
    // What did not fit is left out.
    text.write_fmt(words).ok();
    text.0
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = MAX_TEXT_LEN - self.0.len();
        let mut starts = (0..=part.len().min(room)).rev();
        let start = starts.find_map(|len| part.get(..len)).unwrap_or_default();
        self.0.try_reserve(start.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(start);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_early_and_whole_characters_stay() {
        let at_limit = "x".repeat(MAX_TEXT_LEN);
        assert_eq!(text(format_args!("{at_limit}")), at_limit);
        assert_eq!(text(format_args!("{at_limit}y")), at_limit);
        let odd = "\u{e9}".repeat(MAX_TEXT_LEN);
        assert_eq!(text(format_args!("x{odd}")).len(), MAX_TEXT_LEN - 1);
    }
}
