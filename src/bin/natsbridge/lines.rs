//! Messages from standard input.

use std::io::{self, BufRead as _, Read as _, StdinLock};

/// One message a line, or all of the input as one message.
pub(crate) struct Lines {
    input: StdinLock<'static>,
    limit: usize,
    line: Vec<u8>,
}

impl Lines {
    /// Of a message of more than `limit` bytes only so many are kept that it is refused for its length.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            input: io::stdin().lock(),
            limit,
            line: Vec::new(),
        }
    }

    /// The next line without its end; none at the end of the input.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let most = self.limit as u64 + 1;
        let read = self.input.by_ref().take(most);
        let read = { read }.read_until(b'\n', &mut self.line)?;
        if self.line.ends_with(b"\n") {
            self.line.pop();
        } else if read > self.limit {
            self.input.skip_until(b'\n')?;
        }
        Ok((read > 0).then_some(&*self.line))
    }

    /// All that is left of the input.
    pub(crate) fn rest(&mut self) -> io::Result<&[u8]> {
        self.line.clear();
        let most = self.limit as u64 + 1;
        self.input.by_ref().take(most).read_to_end(&mut self.line)?;
        Ok(&self.line)
    }
}
