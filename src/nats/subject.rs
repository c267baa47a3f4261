//! What is checked before anything is written: subjects and queue groups.

use alloc::string::String;

use super::error::{BrokerError, BrokerErrorKind};
use crate::cause::debug_tells_causes;
use crate::trace::Escaped;

/// The most bytes a subject, a reply subject or a queue group may have. Two of them and the numbers
/// of a NATS control line stay within the 4096 bytes that a server reads by default.
pub const MAX_SUBJECT_LEN: usize = 2000;

/// A text that NATS would not take as a subject or queue group, or would silently drop.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}`: {fault}", Escaped(subject))]
#[non_exhaustive]
pub struct SubjectError {
    /// The text.
    pub subject: String,
    /// What is wrong with it.
    pub fault: SubjectFault,
}

debug_tells_causes!(SubjectError);

impl From<SubjectError> for BrokerError {
    fn from(error: SubjectError) -> Self {
        Self::new(
            BrokerErrorKind::InvalidSubject,
            "the subject cannot be used",
        )
        .with_source(error)
    }
}

/// What is wrong with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectFault {
    /// It has no characters.
    #[error("it is empty")]
    Empty,
    /// It starts or ends with a dot, or has two in a row. A server drops such a message silently.
    #[error("it has an empty token at byte {at}")]
    EmptyToken {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// White space or a control character ends the subject on the wire and starts something else.
    #[error("it has white space or a control character at byte {at}")]
    Separator {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// A message goes to one subject, not to many.
    #[error("it has a wildcard at byte {at}, and nothing can be published there")]
    Wildcard {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// `*` and `>` stand for whole tokens, which end at `.`, and `>` for the last ones.
    #[error(
        "it has a misplaced wildcard at byte {at}: `*` stands for one whole token and `>` for the last \
         ones, and tokens end at `.`"
    )]
    MisplacedWildcard {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// It is longer than [`MAX_SUBJECT_LEN`].
    #[error("its {len} bytes are over the limit of {limit} bytes")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
}

/// What a subject is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectUse {
    /// To publish on, or as a reply subject: no wildcards.
    Publish,
    /// To subscribe to: `*` stands for one token, `>` for one or more at the end.
    Subscribe,
}

/// The one check that stands between a text and the wire. A slash has no meaning to NATS, so that
/// the family's `/chat/room1` is a subject of one token.
///
/// # Errors
/// [`SubjectError`] that says where and why.
///
/// ```
/// use natsbridge::adapter::{SubjectUse, check_subject};
///
/// assert!(check_subject("/chat", SubjectUse::Publish).is_ok());
/// assert!(check_subject("sensor.*.raw", SubjectUse::Subscribe).is_ok());
/// assert!(check_subject("a b", SubjectUse::Publish).is_err());
/// assert!(check_subject("a..b", SubjectUse::Publish).is_err());
/// assert!(check_subject("a.>", SubjectUse::Publish).is_err());
/// ```
pub fn check_subject(subject: &str, purpose: SubjectUse) -> Result<(), SubjectError> {
    let wildcards = match purpose {
        SubjectUse::Publish => no_wildcards(subject),
        SubjectUse::Subscribe => wildcards_in_place(subject),
    };
    check_text(subject)
        .and_then(|()| no_empty_token(subject))
        .and(wildcards)
        .map_err(|fault| subject_error(subject, fault))
}

/// The check on the name of a queue group: one word.
///
/// # Errors
/// [`SubjectError`] that says where and why.
pub fn check_queue(queue: &str) -> Result<(), SubjectError> {
    check_text(queue).map_err(|fault| subject_error(queue, fault))
}

/// What every broker checks of a subscription before it does anything.
#[cfg(any(feature = "std", feature = "nal"))]
pub(crate) fn check_subscribe(subject: &str, queue: Option<&str>) -> Result<(), BrokerError> {
    check_subject(subject, SubjectUse::Subscribe)?;
    queue.map_or(Ok(()), check_queue)?;
    Ok(())
}

fn subject_error(subject: &str, fault: SubjectFault) -> SubjectError {
    SubjectError {
        subject: subject.into(),
        fault,
    }
}

fn check_text(text: &str) -> Result<(), SubjectFault> {
    if text.is_empty() {
        return Err(SubjectFault::Empty);
    }
    if text.len() > MAX_SUBJECT_LEN {
        return Err(SubjectFault::TooLong {
            len: text.len(),
            limit: MAX_SUBJECT_LEN,
        });
    }
    match text.find(|c: char| c.is_whitespace() || c.is_control()) {
        Some(at) => Err(SubjectFault::Separator { at }),
        None => Ok(()),
    }
}

fn no_empty_token(subject: &str) -> Result<(), SubjectFault> {
    match tokens(subject).find(|(_, token)| token.is_empty()) {
        Some((at, _)) => Err(SubjectFault::EmptyToken { at }),
        None => Ok(()),
    }
}

fn no_wildcards(subject: &str) -> Result<(), SubjectFault> {
    match subject.find(['*', '>']) {
        Some(at) => Err(SubjectFault::Wildcard { at }),
        None => Ok(()),
    }
}

fn wildcards_in_place(subject: &str) -> Result<(), SubjectFault> {
    for (at, token) in tokens(subject) {
        let is_last = at + token.len() == subject.len();
        let in_place = token == "*" || (token == ">" && is_last);
        if let Some(wildcard) = token.find(['*', '>'])
            && !in_place
        {
            let at = at + wildcard;
            return Err(SubjectFault::MisplacedWildcard { at });
        }
    }
    Ok(())
}

/// The tokens of a subject, each with its place in bytes.
fn tokens(subject: &str) -> impl Iterator<Item = (usize, &str)> {
    subject.split('.').scan(0, |next, token| {
        let at = *next;
        *next += token.len() + 1;
        Some((at, token))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn fault(subject: &str, purpose: SubjectUse) -> Option<SubjectFault> {
        check_subject(subject, purpose)
            .err()
            .map(|error| error.fault)
    }

    #[test]
    fn subjects_to_publish_on() {
        for (subject, expected) in [
            ("/chat", None),
            ("/agent/wine/api/v1/prompt", None),
            ("a.b-c.d_1", None),
            ("温度.室内", None),
            ("", Some(SubjectFault::Empty)),
            ("a b", Some(SubjectFault::Separator { at: 1 })),
            ("a\tb", Some(SubjectFault::Separator { at: 1 })),
            ("a\r\nPUB x 0\r\n", Some(SubjectFault::Separator { at: 1 })),
            ("a\0", Some(SubjectFault::Separator { at: 1 })),
            ("a..b", Some(SubjectFault::EmptyToken { at: 2 })),
            (".a", Some(SubjectFault::EmptyToken { at: 0 })),
            ("a.", Some(SubjectFault::EmptyToken { at: 2 })),
            ("a.>", Some(SubjectFault::Wildcard { at: 2 })),
            ("a.*.b", Some(SubjectFault::Wildcard { at: 2 })),
            ("a>", Some(SubjectFault::Wildcard { at: 1 })),
        ] {
            assert_eq!(fault(subject, SubjectUse::Publish), expected, "{subject:?}");
        }
    }

    #[test]
    fn subjects_to_subscribe_to() {
        for (subject, expected) in [
            (">", None),
            ("a.*.b.>", None),
            ("*.*", None),
            ("a.>.b", Some(SubjectFault::MisplacedWildcard { at: 2 })),
            ("a.b*", Some(SubjectFault::MisplacedWildcard { at: 3 })),
            ("/chat/*", Some(SubjectFault::MisplacedWildcard { at: 6 })),
            ("a.温>", Some(SubjectFault::MisplacedWildcard { at: 5 })),
            ("a..>", Some(SubjectFault::EmptyToken { at: 2 })),
            ("a >", Some(SubjectFault::Separator { at: 1 })),
        ] {
            assert_eq!(
                fault(subject, SubjectUse::Subscribe),
                expected,
                "{subject:?}"
            );
        }
    }

    #[test]
    fn a_misplaced_wildcard_is_reported_with_the_rule() {
        let error = check_subject("/chat/>", SubjectUse::Subscribe).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/chat/>`: it has a misplaced wildcard at byte 6: `*` stands for one whole token and `>` for \
             the last ones, and tokens end at `.`"
        );
    }

    #[test]
    fn the_length_limit_is_exact() {
        for (len, fits) in [(1999, true), (2000, true), (2001, false)] {
            let text = "a".repeat(len);
            assert_eq!(check_subject(&text, SubjectUse::Publish).is_ok(), fits);
            assert_eq!(check_queue(&text).is_ok(), fits);
        }
    }

    #[test]
    fn queue_groups_are_one_word() {
        assert!(check_queue("workers").is_ok());
        for queue in ["", "a b", "a\r\n"] {
            assert!(check_queue(queue).is_err(), "{queue:?}");
        }
    }
}
