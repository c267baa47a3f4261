//! What stands behind an error of ours, and how errors are printed with it.

use alloc::boxed::Box;
use core::fmt;

/// The cause of an error of ours, as another library gave it.
pub type BoxError = Box<dyn core::error::Error + Send + Sync + 'static>;

/// `{:?}` of an error tells it and its causes in words, which is what a program prints that returns it
/// from `main`. Derived, it would tell types, and take 10 KB of a board's flash.
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
