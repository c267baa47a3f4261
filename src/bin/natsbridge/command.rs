//! A command that answers a request.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use natsbridge::Limits;

use crate::failure::{Failure, while_doing};

/// Between two checks whether a command that has closed its stdout has ended.
const POLL_PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Program {
    words: Vec<OsString>,
    timeout: Duration,
    max_output: u64,
}

impl Program {
    /// `words` are the command and its arguments.
    pub(crate) fn new(words: &[OsString], timeout: Duration) -> Self {
        Self {
            words: words.to_vec(),
            timeout,
            max_output: Limits::default().max_opened_size,
        }
    }

    /// Runs the command with `input` on its stdin, and returns what it writes to stdout.
    pub(crate) fn run(
        &self,
        input: &[u8],
        environment: &[(&str, &str)],
    ) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut child = self.spawn(environment)?;
        let output = self.exchange(&mut child, input, deadline);
        let ended = output.and_then(|output| Ok((output, self.wait(&mut child, deadline)?)));
        if ended.is_err() {
            // An error means that it has ended already.
            child.kill().ok();
            child.wait().ok();
        }
        let (output, status) = ended?;
        match status.success() {
            true => Ok(output),
            false => Err(format!("the command failed: {status}").into()),
        }
    }

    fn spawn(&self, environment: &[(&str, &str)]) -> Result<Child, Failure> {
        let (name, arguments) = self.words.split_first().ok_or("there is no command")?;
        let mut command = Command::new(name);
        command.args(arguments);
        for (variable, value) in environment {
            // The values come from a peer. One with a zero byte cannot be set.
            command.env(variable, value.replace('\0', ""));
        }
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        spawned.map_err(|error| while_doing(format!("cannot run {}", name.display()), error))
    }

    /// Writes and reads at the same time: a command may do both before it has read all.
    fn exchange(
        &self,
        child: &mut Child,
        input: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err("the command has no pipes".into());
        };
        let input = input.to_vec();
        thread::spawn(move || write_all(stdin, &input));
        let (sender, receiver) = mpsc::channel();
        let limit = self.max_output;
        thread::spawn(move || sender.send(read_all(stdout, limit)));
        let left = deadline.saturating_duration_since(Instant::now());
        let output = receiver
            .recv_timeout(left)
            .map_err(|_| self.is_too_slow())??;
        if output.len() as u64 > limit {
            return Err(format!("the command wrote more than {limit} bytes").into());
        }
        Ok(output)
    }

    fn wait(&self, child: &mut Child, deadline: Instant) -> Result<ExitStatus, Failure> {
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(self.is_too_slow());
            }
            thread::sleep(POLL_PAUSE);
        }
    }

    fn is_too_slow(&self) -> Failure {
        let seconds = self.timeout.as_secs_f64();
        format!("the command ran for more than {seconds} s and was killed").into()
    }
}

/// A command need not read its stdin, so a closed pipe is no error.
fn write_all(mut stdin: ChildStdin, input: &[u8]) {
    stdin.write_all(input).ok();
}

/// At most one byte more than `limit`.
fn read_all(stdout: ChildStdout, limit: u64) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    stdout.take(limit + 1).read_to_end(&mut output)?;
    Ok(output)
}
