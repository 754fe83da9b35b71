//! What came of one subject.

use std::time::Duration;

/// How long lines took one way.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) alone: Vec<Duration>,
    pub(crate) beside: Vec<Duration>,
    /// How long each transfer took.
    pub(crate) transfers: Vec<Duration>,
}

impl Figures {
    pub(crate) fn show(self, subject: &str, json: bool) {
        let total: Duration = self.transfers.iter().sum();
        let transfer_s = total.as_secs_f64() / self.transfers.len().max(1) as f64;
        for (beside, mut took) in [(false, self.alone), (true, self.beside)] {
            took.sort_unstable();
            let last = took.len().saturating_sub(1);
            let at = |percent: usize| took.get(last * percent / 100).map_or(0, Duration::as_micros);
            let (p50, p90, p99, max) = (at(50), at(90), at(99), at(100));
            let lines = took.len();
            if json {
                println!(
                    "{}",
                    serde_json::json!({
                        "subject": subject, "beside": beside, "lines": lines, "transfer_s": transfer_s,
                        "p50_us": p50, "p90_us": p90, "p99_us": p99, "max_us": max,
                    })
                );
                continue;
            }
            let what =
                if beside { format!("beside 64 MiB in {transfer_s:.2} s") } else { "alone".to_owned() };
            println!(
                "{subject:28} {what:26} {lines:>6} lines  p50 {p50:>6}  p90 {p90:>6}  p99 {p99:>6}  max {max:>6} µs"
            );
        }
    }
}
