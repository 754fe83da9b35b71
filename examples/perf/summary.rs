//! What a run amounts to, and whether it is what was promised.

use crate::control::{Received, Sent};
use crate::json::Object;
use crate::meter::histogram;
use crate::plan::{Pattern, Plan};

/// One direction of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Direction {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) superseded: u64,
    pub(crate) expired: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    pub(crate) corrupted: u64,
    /// Of those lost: what their sender was told that nobody knows.
    pub(crate) unknown: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) rate: f64,
    pub(crate) cpu_us_per_message: Option<f64>,
    /// p50, p90, p99 and the most.
    pub(crate) latency_ms: Option<[f64; 4]>,
    pub(crate) longest_gap_ms: Option<f64>,
    pub(crate) longest_gap_at_ms: Option<f64>,
    /// The longest ones in order of time: when each began, and its length.
    pub(crate) gaps_ms: Vec<[f64; 2]>,
    /// More outcomes than messages.
    overcounted: u64,
}

/// A whole run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) up: Option<Direction>,
    pub(crate) down: Option<Direction>,
    pub(crate) reconnects: u64,
    pub(crate) resumes: u64,
    pub(crate) resets: u64,
    pub(crate) path_changes: u64,
    /// Beats that the side that runs sent in the measured part.
    pub(crate) beats: u64,
    /// Every promise that was not kept, and why the run was cut short if it was.
    pub(crate) broken: Vec<String>,
}

impl Direction {
    pub(crate) fn new(plan: &Plan, sent: &Sent, mut received: Received) -> Self {
        let delivered = received.delivered;
        let (outcomes, resolved) = (delivered + sent.superseded + sent.expired, sent.sent);
        if sent.first_ns != 0 {
            // The first and the last send count as deliveries: silence at either end is a gap too.
            let first_delivery = if received.first_ns == 0 { sent.last_ns } else { received.first_ns };
            received.gap(sent.first_ns, first_delivery);
            received.gap(received.last_ns.max(sent.first_ns), sent.last_ns);
        }
        let end_ns = match plan.pattern() {
            Pattern::Acked if sent.settled_ns != 0 => sent.settled_ns,
            _ => received.last_ns.max(if delivered == 0 { sent.last_ns } else { 0 }),
        };
        let seconds = end_ns.saturating_sub(sent.first_ns) as f64 / 1e9;
        let lost = resolved.saturating_sub(outcomes);
        let has_gap = sent.first_ns != 0;
        let (gap_at_ns, gap_ns) = received.longest_gap();
        let since_began = |at_ns: u64| at_ns.saturating_sub(received.began_ns) as f64 / 1e6;
        let mut gaps: Vec<_> = received.gaps().collect();
        gaps.sort_unstable();
        Self {
            sent: sent.sent,
            delivered,
            lost,
            superseded: sent.superseded,
            expired: sent.expired,
            duplicated: received.duplicated,
            out_of_order: received.out_of_order,
            corrupted: received.corrupted,
            unknown: sent.unknown.min(lost),
            bytes: delivered * plan.size,
            seconds,
            rate: if seconds > 0.0 { delivered as f64 / seconds } else { 0.0 },
            cpu_us_per_message: None,
            latency_ms: latencies(&received.latencies),
            longest_gap_ms: has_gap.then(|| gap_ns as f64 / 1e6),
            longest_gap_at_ms: has_gap.then(|| since_began(gap_at_ns)),
            gaps_ms: gaps.iter().map(|(at, length)| [since_began(*at), *length as f64 / 1e6]).collect(),
            overcounted: outcomes.saturating_sub(resolved),
        }
    }

    /// Whoever was to be told what became of the messages died: nobody knows.
    pub(crate) fn lost_with_a_process(self) -> Self {
        Self { unknown: self.unknown.max(self.lost), ..self }
    }

    /// What was promised and not kept.
    pub(crate) fn broken(&self, plan: &Plan) -> Vec<String> {
        let delivery = plan.delivery();
        // An answer that came too late was promised to nobody.
        let may_be_late = plan.pattern() == Pattern::Ping && plan.deadline_ms.is_some();
        let silent = match delivery.is_reliable() && !may_be_late {
            true => self.lost.saturating_sub(self.unknown),
            false => 0,
        };
        let disorder = if delivery.is_ordered() { self.out_of_order } else { 0 };
        let found = [
            (silent, "lost, and no receipt says so"),
            (self.duplicated, "delivered more than once"),
            (disorder, "out of order"),
            (self.corrupted, "not as they were sent"),
            (self.overcounted, "with more than one outcome"),
        ];
        let told = found.into_iter().filter(|(count, _)| *count > 0);
        told.map(|(count, what)| format!("messages {what}: {count}")).collect()
    }

    fn json(&self) -> Object {
        let [p50, p90, p99, max] = match self.latency_ms {
            Some(latencies) => latencies.map(Some),
            None => [None; 4],
        };
        let latency = Object::new().decimal("p50", p50).decimal("p90", p90).decimal("p99", p99);
        Object::new()
            .field("sent", self.sent)
            .field("delivered", self.delivered)
            .field("lost", self.lost)
            .field("superseded", self.superseded)
            .field("expired", self.expired)
            .field("duplicated", self.duplicated)
            .field("out_of_order", self.out_of_order)
            .field("corrupted", self.corrupted)
            .field("unknown", self.unknown)
            .field("bytes", self.bytes)
            .field("seconds", (self.seconds * 1e6).round() / 1e6)
            .decimal("rate", Some(self.rate))
            .decimal("cpu_us_per_message", self.cpu_us_per_message)
            .object("latency_ms", Some(latency.decimal("max", max)))
            .decimal("longest_gap_ms", self.longest_gap_ms)
            .decimal("longest_gap_at_ms", self.longest_gap_at_ms)
            .field("gaps_ms", self.gaps_ms.iter().map(|gap| gap.map(to_micros).to_vec()).collect::<Vec<_>>())
    }
}

impl Summary {
    /// Shares the CPU time of both processes out among all messages that arrived.
    pub(crate) fn share_cpu(&mut self, cpu_ns: Option<u64>) {
        let mut directions: Vec<_> = self.up.iter_mut().chain(&mut self.down).collect();
        let delivered: u64 = directions.iter().map(|direction| direction.delivered).sum();
        let each = cpu_ns.filter(|_| delivered > 0).map(|cpu_ns| cpu_ns as f64 / 1e3 / delivered as f64);
        directions.iter_mut().for_each(|direction| direction.cpu_us_per_message = each);
    }

    /// The last line for programs.
    pub(crate) fn json(&self) -> String {
        Object::new()
            .field("event", "summary")
            .object("up", self.up.as_ref().map(Direction::json))
            .object("down", self.down.as_ref().map(Direction::json))
            .field("reconnects", self.reconnects)
            .field("resumes", self.resumes)
            .field("resets", self.resets)
            .field("path_changes", self.path_changes)
            .field("beats", self.beats)
            .field("broken", self.broken.clone())
            .json()
    }

    /// The same for people.
    pub(crate) fn table(&self) -> String {
        let directions = [("up", &self.up), ("down", &self.down)];
        let columns: Vec<_> =
            directions.iter().filter_map(|(name, direction)| Some((*name, direction.as_ref()?))).collect();
        let mut lines = String::new();
        let mut row = |name: &str, value: &dyn Fn(&Direction) -> String| {
            let values: String = columns.iter().map(|(_, column)| format!("{:>16}", value(column))).collect();
            lines.push_str(&format!("{name:<26}{values}\n"));
        };
        let decimal =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        let latency = |direction: &Direction, which: usize| {
            decimal(direction.latency_ms.and_then(|latencies| latencies.get(which).copied()))
        };
        row("sent", &|it| it.sent.to_string());
        row("delivered", &|it| it.delivered.to_string());
        row("lost", &|it| it.lost.to_string());
        row("superseded", &|it| it.superseded.to_string());
        row("expired", &|it| it.expired.to_string());
        row("duplicated", &|it| it.duplicated.to_string());
        row("out of order", &|it| it.out_of_order.to_string());
        row("corrupted", &|it| it.corrupted.to_string());
        row("seconds", &|it| format!("{:.3}", it.seconds));
        row("messages a second", &|it| format!("{:.1}", it.rate));
        row("megabytes a second", &|it| format!("{:.3}", it.bytes as f64 / it.seconds.max(1e-9) / 1e6));
        row("CPU us a message", &|it| decimal(it.cpu_us_per_message));
        row("latency p50 ms", &|it| latency(it, 0));
        row("latency p90 ms", &|it| latency(it, 1));
        row("latency p99 ms", &|it| latency(it, 2));
        row("latency max ms", &|it| latency(it, 3));
        row("longest gap ms", &|it| decimal(it.longest_gap_ms));
        row("longest gap at ms", &|it| decimal(it.longest_gap_at_ms));
        let head: String = columns.iter().map(|(name, _)| format!("{name:>16}")).collect();
        let Self { reconnects, resumes, resets, path_changes, .. } = self;
        let counts = format!(
            "reconnects {reconnects}, resumes {resumes}, resets {resets}, path changes {path_changes}\n"
        );
        let verdict = match self.broken.is_empty() {
            true => "every promise was kept\n".to_owned(),
            false => self.broken.iter().map(|what| format!("broken: {what}\n")).collect(),
        };
        format!("{:<26}{head}\n{lines}{counts}{verdict}", "")
    }
}

/// Milliseconds to three digits after the point.
fn to_micros(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

/// From nanoseconds, each followed by how often it was seen.
fn latencies(pairs: &[u64]) -> Option<[f64; 4]> {
    let mut all = histogram();
    for pair in pairs.as_chunks::<2>().0 {
        all.saturating_record_n(pair[0], pair[1]);
    }
    let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e6;
    (!all.is_empty()).then(|| [at(0.5), at(0.9), at(0.99), all.max() as f64 / 1e6])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Mode;

    fn plan(mode: Mode) -> Plan {
        Plan { mode: mode as i32, pattern: Pattern::Flow as i32, size: 100, ..Plan::default() }
    }

    fn sent(sent: u64) -> Sent {
        Sent { sent, first_ns: 1_000_000_000, last_ns: 3_000_000_000, ..Sent::default() }
    }

    fn received(delivered: u64) -> Received {
        let (began_ns, first_ns, last_ns) = (900_000_000, 1_001_000_000, 3_000_000_000);
        Received {
            delivered,
            began_ns,
            first_ns,
            last_ns,
            latencies: vec![1_000_000, 3, 9_000_000, 1],
            ..Received::default()
        }
    }

    #[test]
    fn every_message_has_one_outcome() {
        let sent = Sent { superseded: 20, expired: 5, ..sent(100) };
        let direction = Direction::new(&plan(Mode::ReliableLatest), &sent, received(70));
        assert_eq!((direction.lost, direction.bytes, direction.seconds), (5, 7000, 2.0));
        assert_eq!(direction.rate, 35.0);
        assert_eq!(
            direction.broken(&plan(Mode::ReliableLatest)),
            ["messages lost, and no receipt says so: 5"]
        );
        assert!(direction.broken(&plan(Mode::Unreliable)).is_empty());
        let told = Direction { unknown: 5, ..direction };
        assert!(told.broken(&plan(Mode::ReliableLatest)).is_empty());
    }

    #[test]
    fn what_has_two_outcomes_is_a_lie() {
        let sent = Sent { superseded: 2, ..sent(10) };
        let direction = Direction::new(&plan(Mode::ReliableLatest), &sent, received(9));
        assert_eq!(direction.broken(&plan(Mode::ReliableLatest)), ["messages with more than one outcome: 1"]);
    }

    #[test]
    fn order_matters_where_it_was_promised() {
        let received = Received { out_of_order: 1, ..received(10) };
        let direction = Direction::new(&plan(Mode::ReliableOrdered), &sent(10), received);
        for (mode, broken) in
            [(Mode::ReliableOrdered, 1), (Mode::ReliableUnordered, 0), (Mode::UnreliableSequenced, 1)]
        {
            assert_eq!(direction.broken(&plan(mode)).len(), broken, "{mode:?}");
        }
    }

    #[test]
    fn silence_at_either_end_is_a_gap() {
        let plan = plan(Mode::ReliableOrdered);
        let gap = |received| {
            let direction = Direction::new(&plan, &sent(10), received);
            (direction.longest_gap_ms, direction.longest_gap_at_ms)
        };
        assert_eq!(gap(received(10)), (Some(1.0), Some(100.0)));
        let late = Received { first_ns: 2_000_000_000, ..received(10) };
        assert_eq!(gap(late), (Some(1000.0), Some(100.0)));
        let early = Received { last_ns: 1_002_000_000, ..received(10) };
        assert_eq!(gap(early), (Some(1998.0), Some(102.0)));
        assert_eq!(
            gap(Received { began_ns: 900_000_000, ..Received::default() }),
            (Some(2000.0), Some(100.0))
        );
    }

    #[test]
    fn latencies_are_milliseconds() {
        let direction = Direction::new(&plan(Mode::Unreliable), &sent(10), received(4));
        let [p50, p90, _, max] = direction.latency_ms.unwrap();
        assert!((p50 - 1.0).abs() < 0.01 && (p90 - 9.0).abs() < 0.01 && (max - 9.0).abs() < 0.01);
    }

    #[test]
    fn an_unused_direction_is_null() {
        let up = Some(Direction::new(&plan(Mode::Unreliable), &sent(10), received(4)));
        let mut summary = Summary { up, ..Summary::default() };
        summary.share_cpu(Some(8_000));
        let json: serde_json::Value = serde_json::from_str(&summary.json()).unwrap();
        assert!(json["down"].is_null());
        assert_eq!(
            (json["up"]["lost"].as_u64(), json["up"]["cpu_us_per_message"].as_f64()),
            (Some(6), Some(2.0))
        );
        assert!(summary.table().lines().all(|line| line.len() <= 60));
    }
}
