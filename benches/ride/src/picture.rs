//! The rides below each other, on the same axes: each message a dot, at the time when it was sent.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline_netsim::Scenario;
use plotters::prelude::*;

use crate::Problem;
use crate::ride::Ride;

const SIZE: (u32, u32) = (880, 520);
const INK: RGBColor = RGBColor(0x11, 0x11, 0x11);
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const FAULT: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const DOTS: [RGBColor; 2] = [RGBColor(0x66, 0x66, 0x66), RGBColor(0x00, 0x72, 0xb2)];

/// Milliseconds, from below what any message takes to above what most do.
const FROM_MS: f64 = 30.0;
const TO_MS: f64 = 20_000.0;

pub(crate) fn draw(scenario: &Scenario, seed: u64, rides: &[(&str, Ride)]) -> Result<String, Problem> {
    let plan = scenario.build(seed)?.plan;
    let seconds = scenario.duration().as_secs_f64();
    let faults: Vec<_> =
        plan.steps().map(|(from, until)| (from.as_secs_f64(), until.as_secs_f64())).collect();
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&PAPER)?;
        for ((part, (subject, ride)), dots) in area.split_evenly((rides.len(), 1)).iter().zip(rides).zip(DOTS)
        {
            panel(part, subject, ride, dots, seconds, &faults)?;
        }
        area.present()?;
    }
    // It is looked at in a README: without what is the default anyway.
    Ok(text.replace(" opacity=\"1\"", "").replace(" stroke=\"none\" stroke-width=\"1\"", ""))
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    subject: &str,
    ride: &Ride,
    dots: RGBColor,
    seconds: f64,
    faults: &[(f64, f64)],
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let ink = ("sans-serif", 13).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .caption(caption(subject, ride), ("sans-serif", 15).into_font().color(&INK))
        .build_cartesian_2d(0.0..seconds, (FROM_MS..TO_MS).log_scale())?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("sent (s)").y_desc("took (ms)").x_labels(11).y_labels(5);
    mesh.x_label_formatter(&|x| format!("{x:.0}")).y_label_formatter(&|y| format!("{y:.0}"));
    mesh.label_style(ink.clone()).axis_desc_style(ink).axis_style(INK);
    mesh.bold_line_style(GRID).light_line_style(TRANSPARENT).draw()?;
    for (from, until) in faults {
        let corners = [(*from, FROM_MS), (*until, TO_MS)];
        chart.draw_series(std::iter::once(Rectangle::new(corners, FAULT.mix(0.18).filled())))?;
    }
    let mut seen = BTreeSet::new();
    let points = ride.arrived.iter().map(|(said, took)| (said.as_secs_f64(), millis(*took)));
    let points = points.filter(|point| seen.insert(spot(point, seconds)));
    chart.draw_series(points.map(|point| Circle::new(point, 1.5, dots.filled())))?;
    Ok(())
}

fn caption(subject: &str, ride: &Ride) -> String {
    let mut took: Vec<_> = ride.arrived.iter().map(|(_, took)| *took).collect();
    took.sort_unstable();
    let p99 = took.get(took.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
    let longest = took.last().copied().unwrap_or_default();
    let lost = ride.sent.saturating_sub(took.len());
    format!(
        "{subject}: p99 {:.0} ms, longest {:.0} ms, {lost} of {} never arrived",
        millis(p99),
        millis(longest),
        ride.sent
    )
}

/// Dots in the same spot look like one.
fn spot((x, y): &(f64, f64), seconds: f64) -> (i64, i64) {
    let height = (y / FROM_MS).ln() / (TO_MS / FROM_MS).ln();
    ((x / seconds * f64::from(SIZE.0) / 3.0) as i64, (height * f64::from(SIZE.1) / 4.0) as i64)
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}
