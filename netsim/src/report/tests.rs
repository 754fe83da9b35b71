//! The pages say what they should, and stand alone.

use std::time::Duration;

use super::*;
use crate::link::Conditions;
use crate::nat::NatConfig;
use crate::quic::{Workload, run};
use crate::scenario::{NatStep, Scenario, Step};

fn lift() -> Scenario {
    Scenario::new("<lift> & co", Duration::from_secs(20))
        .summary("A short ride")
        .both(Conditions::new().delay(Duration::from_millis(20)).corrupt(1.0))
        .nat(NatConfig::linux())
        .step(
            Step::at(Duration::from_secs(5))
                .lasting(Duration::from_secs(3))
                .every(Duration::from_secs(8))
                .both(Conditions::new().block(true))
                .nat(NatStep::RebindPorts),
        )
}

/// Nothing is fetched, and what users wrote is no markup. Says how often something stands in the page.
#[track_caller]
fn counts<const N: usize>(page: &str, parts: [&str; N]) -> [usize; N] {
    for foreign in ["http:", "https:", "<script", "<link", "src=", "@import", "<lift>"] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(foreign), "{foreign}");
    }
    parts.map(|part| page.matches(part).count())
}

#[test]
fn the_page_of_a_run_stands_alone_and_shows_the_faults() {
    let scenario = lift();
    let summary = run(&scenario, 3, Workload::Echo).unwrap();
    let page = run_html(&scenario, &summary, Workload::Echo).unwrap();
    let hash = summary.trace.hash().to_string();
    let parts = [
        &hash,
        "&#60;lift&#62; &#38; co, seed 3",
        "step 0 begins, at 5.000000 s",
        "step 0 ends",
        "✕ blocked",
    ];
    let [hashes, titles, begins, ends, crosses] = counts(&page, parts);
    assert_eq!((hashes, titles, begins, ends), (1, 2, 2, 2));
    assert!(crosses > 3, "{crosses}");
    // Two rounds, one label; both plots; three rows of coverage, all of which fired.
    let plot = page.split("<svg").find(|svg| svg.contains("latency over time")).unwrap();
    assert_eq!(counts(plot, ["opacity=\"0.18\"", ">\n0\n</text>"]), [2, 2], "one of them is the axis");
    assert_eq!(counts(&page, ["distribution of latencies", "<td>fired</td>", "class=\"bad\""]), [1, 3, 0]);
}

#[test]
fn the_page_of_a_download_has_its_throughput_and_says_what_never_fired() {
    let late = Step::at(Duration::from_secs(19)).both(Conditions::new().block(true)).nat(NatStep::Reboot);
    let delay = Conditions::new().delay(Duration::from_millis(20));
    let scenario =
        Scenario::new("late", Duration::from_secs(20)).both(delay).nat(NatConfig::linux()).step(late);
    let summary = run(&scenario, 3, Workload::Bulk).unwrap();
    let page = run_html(&scenario, &summary, Workload::Bulk).unwrap();
    assert_eq!(
        counts(&page, ["throughput over time", "distribution of latencies", "class=\"bad\">never fired"]),
        [1, 0, 2]
    );
}

#[test]
fn every_field_of_a_heat_map_names_its_seed() {
    let point = |seed: u64| Point {
        scenario: "<lift>".into(),
        seed,
        why: (seed == 104).then(|| "nothing <arrived>".to_owned()),
        replay: format!("netsim run lift --seed {seed}"),
        trace_hash: "0".into(),
        median: None,
        p99: Some(Duration::from_millis(seed)),
        longest_gap: Duration::from_millis(seed * seed),
        sent: 1,
        arrived: 1,
        packets: 1,
        loss_percent: 0.0,
    };
    let points: Vec<_> = (100..160).map(point).collect();
    let page = sweep_html(&points, Workload::Echo).unwrap();
    for seed in 100..160 {
        // On the field and in its words, in both maps.
        let field = format!("text-anchor=\"middle\">{seed}</text>");
        let words = format!("seed {seed}: longest gap");
        assert_eq!(counts(&page, [&field, &words]), [2, 2], "{seed}");
    }
    assert_eq!(counts(&page, ["1 failed", "<code>netsim run lift --seed 104</code>"]), [1, 1]);
    assert_eq!(counts(&page, ["class=\"failed\" x", "nothing &#60;arrived&#62;"]), [2 + 2, 1 + 2]);
    // The shades go from the least to the most.
    let shade = |seed: u64| {
        let at = page.find(&format!("seed {seed}: longest")).unwrap();
        page[at..].split("class=\"").nth(1).unwrap()[..2].to_owned()
    };
    assert_eq!([shade(100), shade(159)], ["s0", "s5"]);
    assert!(sweep_html(&[], Workload::Echo).unwrap().contains("0 runs"));
}

#[test]
fn a_timeline_has_a_bar_for_each_round() {
    let svg = timeline_svg(&lift(), 3).unwrap();
    assert_eq!(
        counts(&svg, ["class=\"held\"", "class=\"bar\"", "5.000 s to 8.000 s", "13.000 s to 16.000 s"]),
        [2, 2, 1, 1]
    );
    assert!(timeline_svg(&Scenario::new("x", Duration::ZERO), 1).is_err());
}

#[test]
fn every_named_scenario_can_be_drawn() {
    for scenario in Scenario::all() {
        let svg = timeline_svg(&scenario, 1).unwrap();
        assert!(svg.contains(scenario.name()) && svg.contains("</svg>"));
    }
}

#[test]
fn lengths_of_time_are_short() {
    let texts = [0, 80, 5_500, 12_340_000, 999_400_000, 27_080_000_000].map(Duration::from_nanos).map(short);
    assert_eq!(texts, ["0 ms", "0.00 ms", "0.01 ms", "12 ms", "999 ms", "27.08 s"]);
}
