//! Many runs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bowline_netsim::quic::{self, RunError, Summary};
use bowline_netsim::report::{self, Point};
use bowline_netsim::{Coverage, Scenario};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::options::Options;
use super::{Failure, told, write_file};

/// More seeds than that are a typing error.
const SEEDS_MAX: u64 = 10_000_000;

/// So many failing seeds are named for people; with `--json` all are.
const SHOWN: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// A name from the list, a TOML file, or `all`.
    scenario: String,
    /// From the first up to but not including the last, such as `0..100`; `0..=99` includes it.
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Range<u64>,
    #[command(flatten)]
    options: Options,
    /// Runs at once; as many as there are cores unless said.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Writes a report with heat maps into this file.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// One JSON object in each line: the runs in order, then a summary.
    #[arg(long)]
    json: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let bad = || format!("{text:?} is no range of seeds: write the first and the last, such as 0..100");
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| bad());
    let (first, last) = text.split_once("..").ok_or_else(bad)?;
    let first = number(first)?;
    let end = match last.strip_prefix('=') {
        Some(last) => number(last)?.checked_add(1).ok_or_else(bad)?,
        None => number(last)?,
    };
    if first >= end {
        return Err(format!("the range {text:?} is empty: the first seed lies below the last"));
    }
    if end - first > SEEDS_MAX {
        return Err(format!("{} seeds are more than {SEEDS_MAX}: sweep them in parts", end - first));
    }
    Ok(first..end)
}

/// One run to be.
struct Job<'a> {
    scenario: &'a Scenario,
    seed: u64,
}

impl Sweep {
    pub(super) fn perform(self, out: &mut dyn Write) -> Result<(), Failure> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.map_or_else(cores, usize::from);
        let scenarios = match self.scenario.as_str() {
            "all" => Scenario::all(),
            name => vec![Scenario::find(name)?],
        };
        let scenarios: Vec<_> = scenarios.into_iter().map(|scenario| self.options.apply(scenario)).collect();
        let todo: Vec<_> = scenarios
            .iter()
            .flat_map(|scenario| self.seeds.clone().map(move |seed| Job { scenario, seed }))
            .collect();
        let progress = progress(todo.len() as u64);
        let mut points = Vec::new();
        let mut first = None;
        let mut together: BTreeMap<String, Coverage> = BTreeMap::new();
        in_parallel(&todo, jobs.min(todo.len()), &self.options, |job, summary| {
            progress.inc(1);
            let point = self.point(job, &summary);
            if self.json {
                progress.suspend(|| writeln!(out, "{}", self.line(&point, &summary)))?;
            }
            if first.is_none() && self.options.can_shrink(&summary) {
                first = Some((job.scenario, summary.clone()));
            }
            let name = job.scenario.name().to_owned();
            together.entry(name).and_modify(|all| all.merge(&summary.coverage)).or_insert(summary.coverage);
            points.push(point);
            Ok(())
        })?;
        progress.finish_and_clear();
        self.conclude(&points, first, out)?;
        never_at_all(&together)
    }

    fn conclude(
        &self,
        points: &[Point],
        first: Option<(&Scenario, Summary)>,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        if let Some(path) = &self.report {
            let page = report::sweep_html(points, self.options.workload())?;
            write_file(path, |file| file.write_all(page.as_bytes()))?;
        }
        let failed = points.iter().filter(|point| point.why.is_some()).count();
        if !self.json {
            self.text(points, out)?;
        }
        if let Some(shrunk) = first.and_then(|(scenario, summary)| self.options.shrink(scenario, &summary)) {
            told::shrunk(&shrunk, &self.options.test(&shrunk), self.json, out)?;
        }
        if self.json {
            let seeds = [self.seeds.start, self.seeds.end];
            let line = json!({ "event": "summary", "runs": points.len(), "failed": failed, "seeds": seeds });
            writeln!(out, "{line}")?;
        }
        if failed > 0 { Err(Failure::Sweep { failed, total: points.len() }) } else { Ok(()) }
    }

    fn point(&self, job: &Job<'_>, summary: &Summary) -> Point {
        // A file is replayed by its name as it was given.
        let name = if self.scenario == "all" { job.scenario.name() } else { &self.scenario };
        Point {
            scenario: job.scenario.name().to_owned(),
            seed: job.seed,
            why: self.options.complaint(summary),
            replay: self.options.replay(name, job.seed),
            trace_hash: summary.trace.hash().to_string(),
            median: summary.latency(0.5),
            p99: summary.latency(0.99),
            longest_gap: summary.longest_gap,
            sent: summary.sent,
            arrived: summary.arrived,
            packets: summary.packets(),
            loss_percent: summary.links().loss_percent(),
        }
    }

    fn line(&self, point: &Point, summary: &Summary) -> serde_json::Value {
        let mut line = told::summary(summary, self.options.word(), point.why.as_deref());
        line["event"] = "run".into();
        line["replay"] = point.replay.clone().into();
        line
    }

    fn text(&self, points: &[Point], out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{:<18}{:>8}{:>8}  {:>12}  {:>12}",
            "scenario", "seeds", "failed", "99 % (ms)", "gap (ms)"
        )?;
        let mut rows: BTreeMap<&str, Vec<&Point>> = BTreeMap::new();
        points.iter().for_each(|point| rows.entry(&point.scenario).or_default().push(point));
        for (name, row) in rows {
            let failed = row.iter().filter(|point| point.why.is_some()).count();
            let p99 = row.iter().filter_map(|point| point.p99).max().map(told::millis);
            let gap = row.iter().map(|point| told::millis(point.longest_gap)).max().unwrap_or(0);
            let p99 = p99.map_or("-".to_owned(), |p99| p99.to_string());
            writeln!(out, "{name:<18}{:>8}{failed:>8}  {p99:>12}  {gap:>12}", row.len())?;
        }
        writeln!(out, "99 % and gap: of the worst seed")?;
        let failed: Vec<_> = points.iter().filter(|point| point.why.is_some()).collect();
        for point in failed.iter().take(SHOWN) {
            let why = point.why.as_deref().unwrap_or_default();
            writeln!(out, "\n{}, seed {}: {why}\n  replay it: {}", point.scenario, point.seed, point.replay)?;
        }
        if failed.len() > SHOWN {
            writeln!(out, "\nand {} more; --json and --report name them all", failed.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// What each run could excuse, all together cannot.
fn never_at_all(together: &BTreeMap<String, Coverage>) -> Result<(), Failure> {
    for (scenario, coverage) in together {
        if let Err(why) = coverage.check() {
            return Err(Failure::NeverAtAll { scenario: scenario.clone(), why });
        }
    }
    Ok(())
}

/// Only a terminal shows it.
fn progress(runs: u64) -> ProgressBar {
    let bar = ProgressBar::new(runs);
    match ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Runs them all, and hands over each in the order of the list.
fn in_parallel<'a>(
    todo: &[Job<'a>],
    threads: usize,
    options: &Options,
    mut done: impl FnMut(&Job<'a>, Summary) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (results, inbox) = mpsc::channel::<(usize, Result<Summary, RunError>)>();
        for _ in 0..threads {
            let (results, next) = (results.clone(), &next);
            scope.spawn(move || {
                while let Some((place, job)) = take(todo, next) {
                    let run = quic::Run::new(job.scenario).seed(job.seed).workload(options.workload());
                    // Nobody listens any more: an earlier run could not be made.
                    if results.send((place, run.light().run())).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        let (mut early, mut place) = (BTreeMap::new(), 0);
        for (at, result) in inbox {
            early.insert(at, result);
            while let Some(result) = early.remove(&place) {
                done(&todo[place], result?)?;
                place += 1;
            }
        }
        Ok(())
    })
}

fn take<'a, 'b>(todo: &'a [Job<'b>], next: &AtomicUsize) -> Option<(usize, &'a Job<'b>)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    todo.get(place).map(|job| (place, job))
}
