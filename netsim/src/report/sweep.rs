//! The page of many runs.

use std::time::Duration;

use askama::Template;

use super::{short, undrawn};
use crate::quic::Workload;
use crate::values::BadValue;

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Why it failed, if it did.
    pub why: Option<String>,
    /// The one command that runs it again.
    pub replay: String,
    /// The hash of its trace.
    pub trace_hash: String,
    /// The latency that half of all messages did not exceed.
    pub median: Option<Duration>,
    /// The latency that 99 % of all messages did not exceed.
    pub p99: Option<Duration>,
    /// The longest time in which nothing arrived.
    pub longest_gap: Duration,
    /// Messages, datagrams or bytes that were sent.
    pub sent: u64,
    /// Messages, datagrams or bytes that arrived.
    pub arrived: u64,
    /// Packets that hosts sent.
    pub packets: u64,
    /// The achieved loss on the clients' links.
    pub loss_percent: f64,
}

/// Colours from good to bad.
const SHADES: usize = 6;
const PER_ROW: usize = 25;
const CELL: (f64, f64) = (33.0, 20.0);

#[derive(Template)]
#[template(path = "sweep.html")]
struct Page<'a> {
    workload: String,
    points: &'a [Point],
    failed: Vec<&'a Point>,
    scenarios: Vec<Row>,
    maps: Vec<Map>,
}

struct Row {
    name: String,
    cells: [String; 6],
}

/// Every run as a field whose colour is one of its figures.
struct Map {
    title: String,
    legend: Vec<(usize, String)>,
    grids: Vec<Grid>,
}

struct Grid {
    name: String,
    height: f64,
    fields: Vec<Field>,
}

struct Field {
    x: f64,
    y: f64,
    shade: usize,
    seed: u64,
    failed: bool,
    words: String,
}

/// A sweep as one page of HTML: for each scenario how many seeds failed and how bad the worst was, and heat maps
/// in which each field is a run and names its seed.
pub fn sweep_html(points: &[Point], workload: Workload) -> Result<String, BadValue> {
    let mut names: Vec<&str> = points.iter().map(|point| point.scenario.as_str()).collect();
    names.dedup();
    let grouped: Vec<_> = names
        .into_iter()
        .map(|name| (name, points.iter().filter(|point| point.scenario == name).collect::<Vec<_>>()))
        .collect();
    let mut maps = vec![map("Longest gap", &grouped, |point| Some(point.longest_gap))];
    if points.iter().any(|point| point.p99.is_some()) {
        maps.push(map("Latency of 99 %", &grouped, |point| point.p99));
    }
    let page = Page {
        workload: format!("{workload:?}").to_lowercase(),
        points,
        failed: points.iter().filter(|point| point.why.is_some()).collect(),
        scenarios: grouped.iter().map(|(name, points)| row(name, points)).collect(),
        maps,
    };
    page.render().map_err(undrawn)
}

fn row(name: &str, points: &[&Point]) -> Row {
    let failed = points.iter().filter(|point| point.why.is_some()).count();
    let longest = |figure: &dyn Fn(&Point) -> Option<Duration>| {
        let most = points.iter().filter_map(|point| figure(point)).max();
        most.map_or("none".to_owned(), short)
    };
    let median = |figure: &dyn Fn(&Point) -> Option<Duration>| {
        let mut all: Vec<_> = points.iter().filter_map(|point| figure(point)).collect();
        all.sort_unstable();
        all.get(all.len() / 2).map_or("none".to_owned(), |middle| short(*middle))
    };
    let cells = [
        points.len().to_string(),
        failed.to_string(),
        median(&|point| point.p99),
        longest(&|point| point.p99),
        median(&|point| Some(point.longest_gap)),
        longest(&|point| Some(point.longest_gap)),
    ];
    Row { name: name.to_owned(), cells }
}

fn map(title: &str, grouped: &[(&str, Vec<&Point>)], figure: impl Fn(&Point) -> Option<Duration>) -> Map {
    let all: Vec<_> =
        grouped.iter().flat_map(|(_, points)| points).filter_map(|point| figure(point)).collect();
    let least = all.iter().min().copied().unwrap_or_default().as_secs_f64().max(1e-4);
    let most = all.iter().max().copied().unwrap_or_default().as_secs_f64().max(least * 1.001);
    // Logarithmic: outages are a thousand times as long as ways.
    let shade = |time: Duration| {
        let share = (time.as_secs_f64().max(least) / least).ln() / (most / least).ln();
        ((share * SHADES as f64) as usize).min(SHADES - 1)
    };
    let border = |shade: usize| {
        let seconds = least * (most / least).powf(shade as f64 / SHADES as f64);
        short(Duration::from_secs_f64(seconds))
    };
    let legend = (0..SHADES).map(|shade| (shade, format!("from {}", border(shade)))).collect();
    let grid = |(name, points): &(&str, Vec<&Point>)| {
        let fields = points.iter().enumerate().map(|(place, point)| Field {
            x: (place % PER_ROW) as f64 * CELL.0,
            y: (place / PER_ROW) as f64 * CELL.1,
            shade: figure(point).map_or(0, shade),
            seed: point.seed,
            failed: point.why.is_some(),
            words: words(point),
        });
        let height = points.len().div_ceil(PER_ROW) as f64 * CELL.1 + 2.0;
        Grid { name: (*name).to_owned(), height, fields: fields.collect() }
    };
    Map { title: title.to_owned(), legend, grids: grouped.iter().map(grid).collect() }
}

fn words(point: &Point) -> String {
    let p99 = point.p99.map_or("none".to_owned(), short);
    let gap = short(point.longest_gap);
    let why = point.why.as_ref().map(|why| format!("\nfailed: {why}")).unwrap_or_default();
    format!("{}, seed {}: longest gap {gap}, 99 % {p99}{why}\n{}", point.scenario, point.seed, point.replay)
}
