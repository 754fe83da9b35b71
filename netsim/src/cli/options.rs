//! What to run, and when it fails.

use std::time::Duration;

use bowline_netsim::quic::{self, Summary, Workload};
use bowline_netsim::shrink::{self, Shrunk};
use bowline_netsim::{Scenario, parse_duration};
use clap::{Args, ValueEnum};

#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// What the client does.
    #[arg(long, value_enum, default_value_t = Work::Echo)]
    workload: Work,
    /// All addresses are IPv6.
    #[arg(long)]
    ipv6: bool,
    /// Fails if the client waits longer than this for anything to arrive, such as `5s`.
    #[arg(long, value_name = "TIME", value_parser = |text: &str| parse_duration(text))]
    gap_max: Option<Duration>,
    /// Makes a run that fails by `--gap-max` smaller, in at most so many runs; 0: not at all.
    #[arg(long, value_name = "RUNS", default_value_t = 200)]
    shrink_runs: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Work {
    /// 200 bytes every 50 ms, and 4000 once a second; each message comes back.
    Echo,
    /// A datagram of 160 bytes every 20 ms, both ways.
    Flow,
    /// A download of 16 MiB.
    Bulk,
}

impl Options {
    pub(super) fn workload(&self) -> Workload {
        match self.workload {
            Work::Echo => Workload::Echo,
            Work::Flow => Workload::Flow,
            Work::Bulk => Workload::Bulk,
        }
    }

    pub(super) fn apply(&self, scenario: Scenario) -> Scenario {
        if self.ipv6 { scenario.ipv6() } else { scenario }
    }

    /// What is wrong with a run, if anything.
    pub(super) fn complaint(&self, summary: &Summary) -> Option<String> {
        self.gap(summary).or_else(|| {
            let unexercised = summary.coverage.check().err()?;
            Some(format!("{unexercised}; run longer, run another workload, or take the fault out"))
        })
    }

    /// Whether a smaller run could say more about it.
    pub(super) fn can_shrink(&self, summary: &Summary) -> bool {
        self.shrink_runs > 0 && self.gap(summary).is_some()
    }

    fn gap(&self, summary: &Summary) -> Option<String> {
        let most = self.gap_max.filter(|most| summary.longest_gap > *most)?;
        Some(format!("nothing arrived for {:?}, and --gap-max is {most:?}", summary.longest_gap))
    }

    /// The one command that runs it again; `name` is how the scenario was named.
    pub(super) fn replay(&self, name: &str, seed: u64) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let quoted = if name.chars().all(plain) {
            name.to_owned()
        } else {
            format!("'{}'", name.replace('\'', "'\\''"))
        };
        let mut command = format!("netsim run {quoted} --seed {seed}");
        if !matches!(self.workload, Work::Echo) {
            command += &format!(" --workload {}", self.word());
        }
        if self.ipv6 {
            command += " --ipv6";
        }
        if let Some(most) = self.gap_max {
            let nanos = most.as_nanos();
            let millis = nanos / 1_000_000;
            let exact = if nanos % 1_000_000 == 0 { format!("{millis}ms") } else { format!("{nanos}ns") };
            command += &format!(" --gap-max {exact}");
        }
        command
    }

    pub(super) fn word(&self) -> &'static str {
        match self.workload {
            Work::Echo => "echo",
            Work::Flow => "flow",
            Work::Bulk => "bulk",
        }
    }

    /// A run that waits too long, made smaller. A fault that never fired cannot be taken out to find out why.
    pub(super) fn shrink(&self, scenario: &Scenario, summary: &Summary) -> Option<Shrunk> {
        if !self.can_shrink(summary) {
            return None;
        }
        let fails = |scenario: &Scenario, seed| {
            let run = quic::Run::new(scenario).seed(seed).workload(self.workload()).light().run().ok()?;
            self.gap(&run).map(|_| run.taken)
        };
        shrink::shrink(scenario, summary.seed, self.shrink_runs, fails).ok()
    }

    /// The test that fails as the shrunk run does.
    pub(super) fn test(&self, shrunk: &Shrunk) -> String {
        let most = self.gap_max.unwrap_or_default().as_nanos();
        let body = format!(
            "let workload = bowline_netsim::quic::Workload::{:?};\n\
             let summary = bowline_netsim::quic::run(&scenario, seed, workload).unwrap();\n\
             let most = std::time::Duration::from_nanos({most});\n\
             assert!(summary.longest_gap <= most, \"nothing arrived for {{:?}}\", summary.longest_gap);",
            self.workload()
        );
        shrunk.test(&format!("{}_seed_{}", shrunk.scenario.name(), shrunk.seed), &body)
    }
}
