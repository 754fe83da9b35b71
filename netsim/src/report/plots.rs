//! Plots over time, and distributions. The only file that knows plotters.

use std::collections::BTreeSet;
use std::time::Duration;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::undrawn;
use crate::quic::Sample;
use crate::values::BadValue;

/// The style sheet replaces these: ink, lines, data, faults.
const INK: RGBColor = RGBColor(0x11, 0x11, 0x11);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const DATA: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const FAULT: RGBColor = RGBColor(0xd5, 0x5e, 0x00);

const SIZE: (u32, u32) = (880, 300);

/// A fault on the axis of time, in seconds; a moment if it ends where it begins.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) from: f64,
    pub(super) until: f64,
    /// The number of its step, where there is room for it.
    pub(super) label: String,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// A plot, as SVG to be put into a page.
fn svg(name: &str, draw: impl FnOnce(&Area<'_>) -> Result<(), BadValue>) -> Result<String, BadValue> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&area)?;
        area.present().map_err(undrawn)?;
    }
    let sized =
        format!("<svg role=\"img\" aria-label=\"{name}\" width=\"{}\" height=\"{}\" viewBox", SIZE.0, SIZE.1);
    let begin = format!("<svg width=\"{}\" height=\"{}\" viewBox", SIZE.0, SIZE.1);
    Ok(text.replacen(&begin, &sized, 1))
}

/// Latency over time on a logarithmic scale, with the faults.
pub(super) fn latency(samples: &[Sample], seconds: f64, marks: &[Mark]) -> Result<String, BadValue> {
    let points = samples.iter().filter_map(|sample| {
        let latency = sample.latency?;
        Some((sample.at.since_start().as_secs_f64(), millis(latency)))
    });
    let points: Vec<_> = points.collect();
    let (least, most) = range(points.iter().map(|point| point.1));
    svg("latency over time", |area| {
        let y = (least..most).log_scale();
        let mut chart = axes(area, 0.0..seconds, y, "time in the run (s)", "latency (ms)")?;
        draw_marks(&mut chart, marks, least, most)?;
        let dots = thinned(&points, seconds, least, most);
        chart
            .draw_series(dots.into_iter().map(|point| Circle::new(point, 1.5, DATA.filled())))
            .map_err(undrawn)?;
        Ok(())
    })
}

/// What arrived over time, in Mbit/s over tenths of a second, with the faults.
pub(super) fn throughput(samples: &[Sample], seconds: f64, marks: &[Mark]) -> Result<String, BadValue> {
    const BUCKETS_PER_SECOND: f64 = 10.0;
    let mut buckets = vec![0.0; (seconds * BUCKETS_PER_SECOND).ceil() as usize + 1];
    for sample in samples {
        let place = (sample.at.since_start().as_secs_f64() * BUCKETS_PER_SECOND) as usize;
        if let Some(bucket) = buckets.get_mut(place) {
            *bucket += sample.amount as f64 * 8e-6 * BUCKETS_PER_SECOND;
        }
    }
    let most = buckets.iter().copied().fold(1.0, f64::max) * 1.05;
    svg("throughput over time", |area| {
        let mut chart = axes(area, 0.0..seconds, 0.0..most, "time in the run (s)", "arrived (Mbit/s)")?;
        draw_marks(&mut chart, marks, 0.0, most)?;
        let line = buckets.iter().enumerate().map(|(place, rate)| (place as f64 / BUCKETS_PER_SECOND, *rate));
        chart.draw_series(LineSeries::new(line, DATA.stroke_width(2))).map_err(undrawn)?;
        Ok(())
    })
}

/// How many of all messages had at most which latency.
pub(super) fn distribution(sorted: &[Duration]) -> Result<String, BadValue> {
    let (least, most) = range(sorted.iter().map(|latency| millis(*latency)));
    svg("distribution of latencies", |area| {
        let x = (least..most).log_scale();
        let mut chart = axes(area, x, 0.0..100.0, "latency (ms)", "share of all (%)")?;
        let count = sorted.len() as f64;
        // A thousand points are more than the picture is wide.
        let step = sorted.len().div_ceil(1_000).max(1);
        let line =
            sorted.iter().enumerate().filter(|(place, _)| place % step == 0 || place + 1 == sorted.len());
        let line = line.map(|(place, latency)| (millis(*latency), (place + 1) as f64 * 100.0 / count));
        chart.draw_series(LineSeries::new(line, DATA.stroke_width(2))).map_err(undrawn)?;
        Ok(())
    })
}

type Chart<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

fn axes<'a, 'b, X, Y>(
    area: &'a Area<'b>,
    x: X,
    y: Y,
    x_name: &str,
    y_name: &str,
) -> Result<Chart<'a, 'b, X::CoordDescType, Y::CoordDescType>, BadValue>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)
        .map_err(undrawn)?;
    let ink = ("sans-serif", 13).into_font().color(&INK);
    chart
        .configure_mesh()
        .x_desc(x_name)
        .y_desc(y_name)
        .x_labels(11)
        .y_labels(7)
        .x_label_formatter(&figure)
        .y_label_formatter(&figure)
        .label_style(ink.clone())
        .axis_desc_style(ink)
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(undrawn)?;
    Ok(chart)
}

fn draw_marks<Y>(
    chart: &mut Chart<'_, '_, RangedCoordf64, Y>,
    marks: &[Mark],
    bottom: f64,
    top: f64,
) -> Result<(), BadValue>
where
    Y: Ranged<ValueType = f64>,
{
    let mut labels = 0;
    for mark in marks {
        let corners = [(mark.from, bottom), (mark.until, top)];
        chart
            .draw_series(std::iter::once(Rectangle::new(corners, FAULT.mix(0.18).filled())))
            .map_err(undrawn)?;
        let line = [(mark.from, bottom), (mark.from, top)];
        chart.draw_series(std::iter::once(PathElement::new(line, FAULT.stroke_width(1)))).map_err(undrawn)?;
        let style = ("sans-serif", 13).into_font().color(&FAULT);
        // Those that begin together stand below each other.
        let place = (3, 2 + 14 * (labels % 4));
        labels += i32::from(!mark.label.is_empty());
        let label = EmptyElement::at((mark.from, top)) + Text::new(mark.label.clone(), place, style);
        chart.draw_series(std::iter::once(label)).map_err(undrawn)?;
    }
    Ok(())
}

/// As many digits as a tick needs.
fn figure(value: &f64) -> String {
    let text = if *value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn millis(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 1e3).max(0.01)
}

/// From a little below the least to a little above the most.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) =
        values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    if least > most { (1.0, 10.0) } else { (least * 0.8, most * 1.3) }
}

/// One point of those that fall on the same pixel.
fn thinned(points: &[(f64, f64)], seconds: f64, least: f64, most: f64) -> Vec<(f64, f64)> {
    let mut pixels = BTreeSet::new();
    let pixel = |(x, y): &(f64, f64)| {
        let height = (y / least).ln() / (most / least).ln();
        ((x / seconds * f64::from(SIZE.0)) as i64, (height * f64::from(SIZE.1)) as i64)
    };
    points.iter().filter(|point| pixels.insert(pixel(point))).copied().collect()
}
