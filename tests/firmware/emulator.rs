//! Firmware in QEMU.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// How long a run may take. One that ends well takes a few seconds.
const TIME_LIMIT: Duration = Duration::from_secs(180);
const NOT_INSTALLED: &str = "QEMU is not installed: apt-get install -y --no-install-recommends \
    qemu-system-arm qemu-system-misc";

/// A machine of QEMU's, and the target that its firmware is compiled for.
pub struct Board {
    machine: &'static str,
    target: &'static str,
    package: &'static str,
    features: &'static str,
    is_fast: bool,
    counts: bool,
}

impl Board {
    pub const fn new(machine: &'static str, target: &'static str) -> Self {
        Self {
            machine,
            target,
            package: "mps2-an385",
            features: "",
            is_fast: false,
            counts: false,
        }
    }

    /// The same board with the firmware in another folder of `examples`.
    pub const fn with(self, package: &'static str) -> Self {
        Self { package, ..self }
    }

    /// The same board with features of its firmware, which the plain one does without.
    pub const fn with_features(&self, features: &'static str) -> Self {
        Self { features, ..*self }
    }

    /// The same board with firmware that is built for speed and size, not for size alone: `opt-level` is `s`.
    pub const fn fast(self) -> Self {
        let is_fast = true;
        Self { is_fast, ..self }
    }

    /// The same board with a clock that counts instructions.
    pub const fn counting(self) -> Self {
        let counts = true;
        Self { counts, ..self }
    }

    /// Starts the firmware, built if it is not, with these words on its command line.
    pub fn run(&self, words: &[String]) -> Run {
        let qemu = match self.machine {
            "virt" => "qemu-system-riscv32",
            _ => "qemu-system-arm",
        };
        let version = Command::new(qemu).arg("--version").output();
        assert!(version.is_ok(), "{NOT_INSTALLED}");
        let elf = self.build();
        let mut command = Command::new(scripts().join("run.sh"));
        command
            .arg(elf)
            .args(words)
            .env("MACHINE", self.machine)
            .env("ICOUNT", if self.counts { "0" } else { "" })
            .env("TIME_LIMIT", TIME_LIMIT.as_secs().to_string());
        Run::start(command, words.join(" "))
    }

    /// Bytes of flash that the firmware takes: code and constants, and the first values of variables.
    pub fn flash(&self) -> usize {
        let size = Command::new("arm-none-eabi-size")
            .arg(self.build())
            .output();
        let size = size
            .expect("arm-none-eabi-size, of binutils-arm-none-eabi")
            .stdout;
        let text = String::from_utf8(size).expect("a table");
        let line = text.lines().nth(1).expect("a line of figures");
        let columns = line.split_whitespace().take(2);
        columns
            .map(|column| column.parse::<usize>().expect("bytes"))
            .sum()
    }

    fn build(&self) -> PathBuf {
        /// What has been built, so that two tests do not build the same.
        static BUILT: Mutex<BTreeSet<(&str, &str, &str)>> = Mutex::new(BTreeSet::new());

        let package = scripts().join("..").join(self.package);
        // A folder of its own, so that the plain firmware stays what it is. What has the same features is built
        // in the same way.
        let out = match self.features {
            "" => scripts().join("target"),
            features => scripts().join("target/with").join(features),
        };
        // A test that failed while it held the lock has told so.
        let mut built = BUILT.lock().unwrap_or_else(|error| error.into_inner());
        if built.insert((self.package, self.target, self.features)) {
            let mut build = Command::new(scripts().join("build.sh"));
            build
                .arg(self.target)
                .env("PACKAGE", &package)
                .env("OUT", &out)
                .env("CARGO_ARGS", format!("--features={}", self.features));
            if self.is_fast {
                build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s");
            }
            let status = build.status().expect("the script can be started");
            assert!(status.success(), "the firmware cannot be built");
        }
        let folder = out.join(self.target);
        folder.join(format!("release/natsbridge-{}", self.package))
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/firmware")
}

/// A run of the firmware. Dropped early, it is ended.
pub struct Run {
    words: String,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

/// How a run ended.
pub struct Ended {
    pub code: Option<i32>,
    words: String,
    seen: Vec<String>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.words)?;
        let mut lines = self.seen.iter();
        lines.try_for_each(|line| writeln!(f, "    {line}"))
    }
}

impl Run {
    fn start(mut command: Command, words: String) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the script can be started");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            // Nobody listens any more after a test has failed.
            lines.for_each(|line| drop(sender.send(line)));
        });
        Self {
            words,
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line that starts so.
    pub fn wait_for(&mut self, start: &str) -> String {
        while let Ok(line) = self.lines.recv_timeout(TIME_LIMIT) {
            self.seen.push(line.clone());
            if line.starts_with(start) {
                return line;
            }
        }
        panic!("no line `{start}`: {} {:#?}", self.words, self.seen);
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        // The script ends by itself, with the emulator's exit code or at the time limit.
        let status = self.child.wait().expect("it can be waited for");
        self.seen.extend(self.lines.iter());
        Ended {
            code: status.code(),
            words: std::mem::take(&mut self.words),
            seen: std::mem::take(&mut self.seen),
        }
    }

    /// Waits for the end, which must be a good one. What the firmware said is shown.
    pub fn passes(self) {
        let ended = self.end();
        println!("{ended}");
        assert_eq!(ended.code, Some(0), "{ended}");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Not SIGKILL: the script's process, `timeout`, hands this one on to the emulator.
            let command = format!("kill {}", self.child.id());
            let _ = Command::new("sh").args(["-c", &command]).status();
            let _ = self.child.wait();
        }
    }
}
