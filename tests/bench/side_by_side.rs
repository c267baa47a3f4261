//! Two ways to do the same, run side by side: what is measured is the ratio of their times. Other
//! work on the machine slows both down, and shows in the ratio far less than in either time.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, SamplingMode, Throughput};

/// Rounds of a sample: in each both ways have their turn.
const ROUNDS: u64 = 15;

/// The time of one way, in units of the other's.
pub struct Ratio;

impl Measurement for Ratio {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) -> Self::Intermediate {
        unreachable!("a ratio is measured by `iter_custom`");
    }
    fn end(&self, (): Self::Intermediate) -> Self::Value {
        unreachable!("a ratio is measured by `iter_custom`");
    }
    fn add(&self, one: &f64, other: &f64) -> f64 {
        one + other
    }
    fn zero(&self) -> f64 {
        0.0
    }
    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        &Times
    }
}

struct Times;

impl ValueFormatter for Times {
    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "×"
    }
    fn scale_throughputs(&self, _: f64, _: &Throughput, _: &mut [f64]) -> &'static str {
        "×"
    }
    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "×"
    }
}

/// One of the two ways: does its work so many times, and says how long that took.
pub trait Way: FnMut(u64) -> Duration {}
impl<W: FnMut(u64) -> Duration> Way for W {}

/// Work that needs nothing made ready.
pub fn way<T>(mut work: impl FnMut() -> T) -> impl Way {
    move |times| {
        let started = Instant::now();
        for _ in 0..times {
            black_box(work());
        }
        started.elapsed()
    }
}

/// Comparisons, and what came of them.
pub struct SideBySide {
    criterion: Criterion<Ratio>,
    group: &'static str,
    work: Work,
    rows: Vec<Row>,
}

/// What one piece of work moves.
#[derive(Clone, Copy, Default)]
struct Work {
    messages: usize,
    /// Of all payloads, before base64.
    bytes: usize,
}

struct Row {
    group: &'static str,
    work: Work,
    what: String,
    against: &'static str,
    /// The median of all rounds.
    ratio: f64,
    /// The least of all rounds, which was disturbed least.
    seconds: f64,
}

impl SideBySide {
    /// Flags are criterion's.
    pub fn new() -> Self {
        let criterion = Criterion::default()
            .with_measurement(Ratio)
            .sample_size(20)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .noise_threshold(0.05)
            .without_plots()
            .configure_from_args();
        Self {
            criterion,
            group: "",
            work: Work::default(),
            rows: Vec::new(),
        }
    }

    /// The comparisons that follow belong to this group, and move so much.
    pub fn group(&mut self, name: &'static str, messages: usize, bytes: usize) {
        self.group = name;
        self.work = Work { messages, bytes };
    }

    /// Measures how many times as long `subject` takes as `baseline`.
    pub fn compare(
        &mut self,
        what: &str,
        against: &'static str,
        mut subject: impl Way,
        mut baseline: impl Way,
    ) {
        // Per round: the ratio, and the seconds that the subject took for one piece of work.
        let rounds = RefCell::new(Vec::new());
        let mut group = self.criterion.benchmark_group(self.group);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(format!("{what}, {against}"), |bencher| {
            bencher.iter_custom(|times| {
                let sample = sample(times, &mut subject, &mut baseline);
                let ratio = median(sample.iter().map(|(ratio, _)| *ratio).collect());
                rounds.borrow_mut().extend(sample);
                ratio * times as f64
            });
        });
        group.finish();
        let (ratios, seconds): (Vec<_>, Vec<_>) = rounds.into_inner().into_iter().unzip();
        // Of what the flags leave out there are none.
        if !ratios.is_empty() {
            self.rows.push(Row {
                group: self.group,
                work: self.work,
                what: what.to_string(),
                against,
                ratio: median(ratios),
                seconds: seconds.into_iter().fold(f64::MAX, f64::min),
            });
        }
    }

    /// Prints the ratios as a table, each baseline a column.
    pub fn finish(self) {
        let mut baselines = Vec::new();
        for row in &self.rows {
            if !baselines.contains(&row.against) {
                baselines.push(row.against);
            }
        }
        let cells = |cell: &dyn Fn(&'static str) -> String| {
            let cells = baselines
                .iter()
                .map(|name| format!(" {:>15} |", cell(name)));
            cells.collect::<String>()
        };
        let (time, messages, bytes) = ("time", "messages/s", "MB/s");
        let heads = cells(&|name| format!("× {name}"));
        println!(
            "\n| {:31} | {time:>11} | {messages:>10} | {bytes:>8} |{heads}",
            ""
        );
        let (line, lines) = (":", cells(&|_| format!("{:->15}", ":")));
        println!("| {line:-<31} | {line:->11} | {line:->10} | {line:->8} |{lines}");
        for rows in self.rows.chunk_by(|one, other| one.name() == other.name()) {
            let ratio = |name| match rows.iter().find(|row| row.against == name) {
                Some(row) => format!("{:.2}", row.ratio),
                None => String::new(),
            };
            let least = rows.iter().map(|row| row.seconds).fold(f64::MAX, f64::min);
            println!(
                "| {:31} | {:8.2} µs | {:10.0} | {:8.1} |{}",
                rows[0].name(),
                least * 1e6,
                rows[0].work.messages as f64 / least,
                rows[0].work.bytes as f64 / least / 1e6,
                cells(&ratio)
            );
        }
        self.criterion.final_summary();
    }
}

impl Row {
    fn name(&self) -> String {
        format!("{}, {}", self.group, self.what)
    }
}

/// Runs both ways `times` times, in rounds. Which of them comes first changes from round to round.
fn sample(times: u64, subject: &mut impl Way, baseline: &mut impl Way) -> Vec<(f64, f64)> {
    let rounds = ROUNDS.min(times);
    let each = times / rounds;
    (0..rounds)
        .map(|round| {
            let (of_subject, of_baseline) = if round % 2 == 0 {
                let first = subject(each);
                (first, baseline(each))
            } else {
                let first = baseline(each);
                (subject(each), first)
            };
            let ratio = of_subject.as_secs_f64() / of_baseline.as_secs_f64();
            (ratio, of_subject.as_secs_f64() / each as f64)
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
