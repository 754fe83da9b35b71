//! The table: every case as often as it takes, many labs beside each other.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use clap::Parser;
use serde_json::json;

use crate::cases::{Case, Course, Extent};
use crate::figures::{Figures, Of, quantile};
use crate::lab::Lab;
use crate::process::{Problem, now};

/// Measure the cases on the kernel's NAT, and show the table
#[derive(Debug, Parser)]
#[command(name = "measure")]
pub(crate) struct Options {
    /// Only cases whose name begins with one of these
    cases: Vec<String>,
    /// Labs at once
    #[arg(long, default_value_t = 12)]
    labs: usize,
    /// Runs of each case, instead of as many as the table needs
    #[arg(long)]
    runs: Option<u32>,
    /// How much of a CPU all labs may take, in per cent
    #[arg(long, default_value_t = 100)]
    load: u32,
    /// Write one JSON object a line: every run, and at the end every case
    #[arg(long)]
    json: bool,
}

/// What the scheduler of a machine with many labs makes of a few milliseconds.
const SCHEDULING_MS: f64 = 10.0;

/// A run that is to be done: a case and its number.
type Job = (usize, u32);

/// What is to be done, and what came of it.
struct Work {
    jobs: VecDeque<Job>,
    load: u32,
    done: Vec<(Figures, Vec<String>)>,
}

/// Whether every bound was kept.
pub(crate) fn measure(options: &Options, cases: &[Case]) -> bool {
    let chosen = |case: &Case| {
        options.cases.is_empty() || options.cases.iter().any(|name| case.name.starts_with(name.as_str()))
    };
    let mut jobs: Vec<Job> = (0..cases.len())
        .filter(|index| chosen(&cases[*index]))
        .flat_map(|index| (0..options.runs.unwrap_or(cases[index].runs)).map(move |run| (index, run)))
        .collect();
    // All cases side by side, those with few runs, which are the long ones, first.
    jobs.sort_by_key(|(index, run)| {
        (*run * 1000 / options.runs.unwrap_or(cases[*index].runs), cases[*index].runs)
    });
    let done = vec![<(Figures, Vec<String>)>::default(); cases.len()];
    let work = Mutex::new(Work { jobs: jobs.into(), load: 0, done });
    let freed = Condvar::new();
    thread::scope(|scope| {
        for number in 0..options.labs {
            let (work, freed) = (&work, &freed);
            scope.spawn(move || worker(number, options, cases, work, freed));
        }
    });
    let done = work.into_inner().unwrap_or_else(PoisonError::into_inner).done;
    show(options, cases, &done)
}

/// Does one job after the other in a lab of its own.
fn worker(number: usize, options: &Options, cases: &[Case], work: &Mutex<Work>, freed: &Condvar) {
    let mut lab = None;
    loop {
        let (index, run) = {
            let mut state = work.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if state.jobs.is_empty() {
                    return;
                }
                let room = options.load.saturating_sub(state.load);
                let fits = |job: &Job| cases[job.0].load <= room || room == options.load;
                if let Some(place) = state.jobs.iter().position(fits)
                    && let Some(job) = state.jobs.remove(place)
                {
                    state.load += cases[job.0].load;
                    break job;
                }
                state = freed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let case = &cases[index];
        let began = now();
        let result = one(&mut lab, number, case, run);
        if options.json {
            let figures = result.as_ref().ok().map(|figures| json!(figures.0));
            let error = result.as_ref().err().map(ToString::to_string);
            let seconds = (now() - began).as_secs_f64();
            println!(
                "{}",
                json!({"event": "run", "case": case.name, "run": run, "seconds": seconds, "figures": figures, "error": error})
            );
        } else {
            eprintln!(
                "{} {run}: {:.1} s {}",
                case.name,
                (now() - began).as_secs_f64(),
                match &result {
                    Ok(_) => String::new(),
                    Err(error) => error.to_string(),
                }
            );
        }
        let mut state = work.lock().unwrap_or_else(PoisonError::into_inner);
        state.load -= case.load;
        match result {
            Ok(figures) => state.done[index].0.add(figures),
            Err(error) => state.done[index].1.push(format!("run {run}: {error}")),
        }
        drop(state);
        freed.notify_all();
    }
}

fn one(lab: &mut Option<Lab>, number: usize, case: &Case, run: u32) -> Result<Figures, Problem> {
    let lab = match lab {
        Some(lab) => lab,
        None => lab.insert(Lab::build(&format!("m{number}"))?),
    };
    (case.run)(lab, Course::new(Extent::Full, case.name, run))
}

/// The table. Whether every bound was kept.
fn show(options: &Options, cases: &[Case], done: &[(Figures, Vec<String>)]) -> bool {
    let mut all_kept = true;
    if !options.json {
        println!(
            "| case | figure | events | p50 | p99 | max | at most | kept |\n|---|---|---|---|---|---|---|---|"
        );
    }
    for (case, (figures, failures)) in cases.iter().zip(done) {
        if figures.0.is_empty() && failures.is_empty() {
            continue;
        }
        let mut broken = figures.beyond(&case.bounds, 0.0);
        broken.extend(failures.iter().cloned());
        broken.extend(worse(case, figures, cases, done));
        all_kept &= broken.is_empty();
        for (figure, values) in figures.sorted() {
            let [p50, p99, most] = [0.5, 0.99, 1.0].map(|at| quantile(&values, at));
            let bounds = case.bounds.iter().filter(|bound| bound.figure == figure);
            let limits: Vec<_> = bounds
                .map(|bound| format!("{} {}", if bound.of == Of::P99 { "p99" } else { "max" }, bound.at_most))
                .collect();
            if options.json {
                println!(
                    "{}",
                    json!({"event": "case", "case": case.name, "about": case.about, "figure": figure,
                    "events": values.len(), "p50": p50, "p99": p99, "max": most, "at_most": limits, "broken": broken})
                );
            } else {
                println!(
                    "| {} | {figure} | {} | {p50:.0} | {p99:.0} | {most:.0} | {} | {} |",
                    case.about,
                    values.len(),
                    limits.join(", "),
                    if broken.is_empty() { "yes" } else { "no" }
                );
            }
        }
        if !options.json {
            broken.iter().for_each(|what| println!("\n{}: {what}\n", case.name));
        }
    }
    all_kept
}

/// Whether a case is worse than the one that it is held against.
fn worse(case: &Case, figures: &Figures, cases: &[Case], done: &[(Figures, Vec<String>)]) -> Vec<String> {
    let Some(other) = case.no_worse_than.and_then(|name| cases.iter().position(|other| other.name == name))
    else {
        return Vec::new();
    };
    let (here, there) = (figures.sorted(), done[other].0.sorted());
    let mut worse = Vec::new();
    for (figure, values) in here {
        let Some(others) = there.get(figure) else { continue };
        for (name, at) in [("p50", 0.5), ("max", 1.0)] {
            let (value, limit) = (quantile(&values, at), quantile(others, at));
            if value > limit + SCHEDULING_MS {
                worse.push(format!(
                    "{figure}: {name} is {value:.1}, and {} has {limit:.1}",
                    cases[other].name
                ));
            }
        }
    }
    worse
}
