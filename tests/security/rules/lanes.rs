//! Lanes that are not what they were said to be, and news of what was never sent (C1, N1, R1).

use bowline::Delivery;
use bowline::wire::{Control, ReceivingLane, SendingLane, Verdict, Why, varint};

use super::super::raw::{lane, naming, news, sending};
use super::{Act, Case, Scene, case, said};

pub(crate) fn lanes() -> Vec<Case> {
    let many = |lanes: Vec<SendingLane>| Act::Say(Control::Sending(sending(lanes)));
    let ended = |end| said(SendingLane { end, ..lane(0, "a") });
    let other_mode = SendingLane { delivery: Err(3), ..lane(0, "a") };
    let label = |n: u32| format!("lane {n}");
    vec![
        case(
            "C1",
            "one label for two lanes",
            [naming(0, "a"), naming(1, "a")].map(Act::Say),
            "announced already",
        ),
        case(
            "C1",
            "another label for a lane",
            [naming(0, "a"), naming(0, "b")].map(Act::Say),
            "changed its label",
        ),
        case(
            "C1 C3",
            "another end for a lane",
            [ended(Some(5)), ended(Some(6))],
            "changed its label or its end",
        ),
        case(
            "C1",
            "another mode for a lane",
            [Act::Say(naming(0, "a")), said(other_mode)],
            "changed its delivery",
        ),
        case(
            "C1",
            "one lane too many",
            [many((0..=256).map(|n| lane(n, &label(n))).collect())],
            "more channels than",
        ),
    ]
}

/// Of a lane of the other side's, on which one message was sent.
pub(crate) fn impossible_news() -> Vec<Case> {
    let with = |change: fn(&mut ReceivingLane)| {
        let mut lane = news(0);
        change(&mut lane);
        lane
    };
    let never = "never sent";
    let case = |rules, name, lane, words| case(rules, name, [Act::News(lane)], words).on(Scene::Sent);
    let verdict = || Verdict { start: 1, end: 2, why: Why::Rejected("no".to_owned()) };
    let rejected = ReceivingLane { verdicts: vec![verdict()], ..news(0) };
    vec![
        case("C1", "news of a lane never opened", news(7), "never opened"),
        case("N1", "more received than sent", with(|lane| lane.received_below = 2), never),
        case("N1", "a range beyond what was sent", with(|lane| lane.received = vec![(3, 4)]), never),
        case("N1", "more handled than sent", with(|lane| lane.handled_below = 2), never),
        case("N1", "a range handled beyond", with(|lane| lane.handled = vec![(3, 4)]), never),
        case("N1 C2", "a part of what was never sent", with(|lane| lane.partial = vec![(5, 10)]), never),
        case("R1", "a verdict on what was never sent", rejected, never),
    ]
}

pub(crate) fn skips() -> Vec<Case> {
    let with =
        |end, skipped: (u64, u64)| said(SendingLane { end, skipped: vec![skipped], ..lane(0, "chat") });
    let case = |rules, name, act| {
        let words = "more is skipped than the window or the end";
        case(rules, name, [act], words).on(Scene::Open(Delivery::ReliableOrdered))
    };
    vec![
        case("N1 C2", "a skip far beyond the window", with(None, (1 << 40, (1 << 40) + 1))),
        case("N1 C2", "a skip of everything", with(None, (0, varint::MAX))),
        case("N1 C3", "a skip beyond the end", with(Some(3), (2, 5))),
    ]
}
