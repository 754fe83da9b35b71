//! The page of a long sweep: which faults met, in how many runs, and how long it took to settle afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use crate::process::Counts;

/// One run.
pub(crate) struct Point {
    pub(crate) seed: u64,
    /// What made it hard.
    pub(crate) faults: Vec<&'static str>,
    /// How long it took until everything was settled after the network had healed; `None` if it never was.
    pub(crate) settled: Option<Duration>,
    /// What was wrong with it.
    pub(crate) failure: Option<String>,
}

/// All runs in which two faults met.
#[derive(Default)]
struct Field {
    runs: u64,
    failed: Vec<u64>,
    /// The run that took longest to settle.
    slowest: (Duration, u64),
}

impl Field {
    fn note(&mut self, point: &Point) {
        self.runs += 1;
        if point.failure.is_some() {
            self.failed.push(point.seed);
        }
        if let Some(settled) = point.settled.filter(|settled| *settled >= self.slowest.0) {
            self.slowest = (settled, point.seed);
        }
    }
}

const STYLE: &str = "body{font:14px sans-serif;margin:2em;max-width:1200px}table{border-collapse:collapse}\
td,th{padding:4px 6px;font-size:12px}td.f{width:44px;text-align:center;border:1px solid #fff}\
th.c{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;font-weight:normal}\
th.r{text-align:right;font-weight:normal}.bad{background:#c00;color:#fff}pre{background:#eee;padding:1em;overflow:auto}";

/// The runs as one page of HTML. Each field of its map stands for the runs in which two faults met, the diagonal for those
/// with this one; its colour is the longest time to settle, and it names the seed of that.
pub(crate) fn page(points: &[Point], counts: &Counts) -> String {
    let mut fields: BTreeMap<(&str, &str), Field> = BTreeMap::new();
    let mut all = Field::default();
    for point in points {
        all.note(point);
        for one in &point.faults {
            for other in &point.faults {
                fields.entry((one, other)).or_default().note(point);
            }
        }
    }
    let names: BTreeSet<&str> = fields.keys().map(|(one, _)| *one).collect();
    let mut out = String::new();
    let failed = all.failed.len();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>{runs} random runs</title><style>{STYLE}</style>\
         <h1>{runs} random runs, {failed} failed</h1><p>The slowest settled {} after the network had healed, seed {}.</p>\
         <h2>Where two faults met</h2><p>The figure is the longest time to settle in seconds, with its seed below; red is a \
         failure.</p><table><tr><th></th>",
        short(all.slowest.0),
        all.slowest.1,
        runs = all.runs,
    );
    for name in &names {
        let _ = write!(out, "<th class=\"c\">{name}</th>");
    }
    for one in &names {
        let _ = write!(out, "</tr><tr><th class=\"r\">{one}</th>");
        for other in &names {
            out.push_str(
                &fields.get(&(*one, *other)).map_or("<td></td>".to_owned(), |it| cell(it, one, other)),
            );
        }
    }
    out.push_str("</tr></table>");
    if failed > 0 {
        out.push_str("<h2>Failed</h2>");
        for words in points.iter().filter_map(|point| point.failure.as_deref()) {
            let _ = write!(out, "<pre>{}</pre>", words.replace('&', "&amp;").replace('<', "&lt;"));
        }
    }
    out.push_str("<h2>What happened</h2><table>");
    for (what, count) in counts {
        let _ = write!(out, "<tr><th class=\"r\">{what}</th><td>{count}</td></tr>");
    }
    out.push_str("</table></html>\n");
    out
}

fn cell(field: &Field, one: &str, other: &str) -> String {
    let (slowest, seed) = field.slowest;
    let words = format!("{one}, {other}: {} runs, {} failed", field.runs, field.failed.len());
    match field.failed.first() {
        Some(seed) => {
            let count = field.failed.len();
            format!("<td class=\"f bad\" title=\"{words}\">{count} failed<br><small>{seed}</small></td>")
        }
        None => {
            // From white for nothing to orange for two minutes.
            let share = (1.0 + slowest.as_secs_f64()).ln() / 121f64.ln();
            let light = 97.0 - 40.0 * share.min(1.0);
            format!(
                "<td class=\"f\" style=\"background:hsl(30,90%,{light:.0}%)\" title=\"{words}\">{}<br><small>{seed}</small></td>",
                short(slowest)
            )
        }
    }
}

fn short(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
