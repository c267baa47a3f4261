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
    rows: Vec<Row>,
}

struct Row {
    group: &'static str,
    what: String,
    against: &'static str,
    /// Per round: the ratio, and the seconds that each way took for one piece of work.
    rounds: Vec<(f64, f64, f64)>,
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
        let (group, rows) = ("", Vec::new());
        Self {
            criterion,
            group,
            rows,
        }
    }

    /// The comparisons that follow belong to this group.
    pub fn group(&mut self, name: &'static str) {
        self.group = name;
    }

    /// Measures how many times as long `subject` takes as `baseline`.
    pub fn compare(
        &mut self,
        what: &str,
        against: &'static str,
        mut subject: impl Way,
        mut baseline: impl Way,
    ) {
        let rounds = RefCell::new(Vec::new());
        let mut group = self.criterion.benchmark_group(self.group);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(format!("{what}, {against}"), |bencher| {
            bencher.iter_custom(|times| {
                let sample = sample(times, &mut subject, &mut baseline);
                let ratio = median(sample.iter().map(|(ratio, _, _)| *ratio).collect());
                rounds.borrow_mut().extend(sample);
                ratio * times as f64
            });
        });
        group.finish();
        let (what, rounds) = (what.to_string(), rounds.into_inner());
        if !rounds.is_empty() {
            self.rows.push(Row {
                group: self.group,
                what,
                against,
                rounds,
            });
        }
    }

    /// Prints all comparisons as a table: the median of the ratios, and of the times the shortest,
    /// which is the one that was disturbed least.
    pub fn finish(self) {
        println!(
            "\n| {:31} | ratio  | time in µs | {:>24} |",
            "", "of the other"
        );
        println!("| {:-<31} | -----: | ---------: | {:->24} |", "", ":");
        for row in &self.rows {
            let ratio = median(row.rounds.iter().map(|(ratio, _, _)| *ratio).collect());
            let least = |time: fn(&(f64, f64, f64)) -> f64| {
                row.rounds.iter().map(time).fold(f64::MAX, f64::min) * 1e6
            };
            println!(
                "| {:31} | {ratio:4.2} × | {:10.2} | {:>24} |",
                format!("{}, {}", row.group, row.what),
                least(|round| round.1),
                format!("{}: {:.2}", row.against, least(|round| round.2)),
            );
        }
        self.criterion.final_summary();
    }
}

/// Runs both ways `times` times, in rounds. Which of them comes first changes from round to round.
fn sample(times: u64, subject: &mut impl Way, baseline: &mut impl Way) -> Vec<(f64, f64, f64)> {
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
            let per_piece = |time: Duration| time.as_secs_f64() / each as f64;
            let (of_subject, of_baseline) = (per_piece(of_subject), per_piece(of_baseline));
            (of_subject / of_baseline, of_subject, of_baseline)
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
