//! A session's figures for the facade `metrics`, if that feature is on: see [`crate::stats`].
//!
//! The session's task compares snapshots, at most once a second while it has something to do and once more when the session is
//! over. Nothing is counted where messages pass; without the feature nothing of this is there.

#[cfg(feature = "metrics")]
pub(super) use publishing::Metering;

/// Nothing is published.
#[cfg(not(feature = "metrics"))]
#[derive(Debug)]
pub(super) struct Metering;

#[cfg(not(feature = "metrics"))]
impl Metering {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn poll(&mut self, _: &super::shared::Shared, _: &std::task::Context<'_>, _ended: bool) {}
}

#[cfg(feature = "metrics")]
mod publishing {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Mutex;
    use std::task::Context;
    use std::time::Duration;

    use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

    use crate::driver::environment::{Timer, lock};
    use crate::driver::shared::Shared;
    use crate::protocol::types::{ChannelKey, ChannelStats, PathLiveness, SessionStats};

    /// Between two publications of one session.
    const INTERVAL: Duration = Duration::from_secs(1);

    /// Channel labels that are told apart in one process.
    const LABELS_MAX: usize = 128;

    /// What stands for all others.
    const OTHER: &str = "(other)";

    /// A figure: its name, what it says, and where it comes from.
    type Figure<S, T> = (&'static str, &'static str, fn(&S) -> T);

    const CHANNEL_COUNTERS: &[Figure<ChannelStats, u64>] = &[
        ("bowline_messages_accepted_total", "Messages accepted by send.", |it| it.accepted),
        ("bowline_messages_handled_total", "Sent messages that ended as handled.", |it| it.handled),
        ("bowline_messages_rejected_total", "Sent messages that ended as rejected.", |it| it.rejected),
        ("bowline_messages_expired_total", "Sent messages that ended as expired.", |it| it.expired),
        ("bowline_messages_superseded_total", "Sent messages that ended as superseded.", |it| it.superseded),
        ("bowline_messages_cancelled_total", "Sent messages that ended as cancelled.", |it| it.cancelled),
        ("bowline_messages_dropped_total", "Sent messages dropped from a full outbox.", |it| it.dropped),
        ("bowline_messages_unknown_total", "Sent messages whose fate is unknown.", |it| it.unknown),
        ("bowline_messages_replayed_total", "Messages written again after a reconnect.", |it| it.replayed),
        ("bowline_messages_retransmitted_total", "Messages written again after a loss.", |it| {
            it.retransmitted
        }),
        ("bowline_messages_received_total", "Messages received for the first time.", |it| it.received),
        ("bowline_messages_delivered_total", "Messages handed to the application, first time.", |it| {
            it.delivered
        }),
        ("bowline_messages_duplicates_total", "Messages received again and dropped.", |it| it.duplicates),
        ("bowline_messages_stale_total", "Messages not handed over: a newer one had come.", |it| it.stale),
        ("bowline_messages_late_total", "Messages not handed over: past their deadline.", |it| it.late),
        ("bowline_messages_overflowed_total", "Messages not handed over: full inbox.", |it| it.overflowed),
        ("bowline_messages_missing_total", "Unreliable messages that never came.", |it| it.missing),
    ];

    const CHANNEL_GAUGES: &[Figure<ChannelStats, usize>] = &[
        ("bowline_outbox_messages", "Messages in outboxes.", |it| it.outbox_messages),
        ("bowline_outbox_bytes", "Payload bytes in outboxes.", |it| it.outbox_bytes),
        ("bowline_inbox_messages", "Messages received and not handled yet.", |it| it.inbox_messages),
        ("bowline_inbox_bytes", "Payload bytes of those.", |it| it.inbox_bytes),
        ("bowline_partial_bytes", "Bytes of large messages that are here in part.", |it| it.partial_bytes),
    ];

    const SESSION_COUNTERS: &[Figure<SessionStats, u64>] = &[
        ("bowline_attaches_total", "Connections that sessions attached.", |it| it.attaches),
        ("bowline_resumes_total", "Those after which the peer still knew the session.", |it| it.resumes),
        ("bowline_resets_total", "Those after which it did not.", |it| it.resets),
        ("bowline_path_changes_total", "Times that the address of a peer changed on a connection.", |it| {
            it.path_changes
        }),
        ("bowline_fenced_frames_total", "Frames of fenced connections that were ignored.", |it| {
            it.fenced_frames
        }),
        ("bowline_beats_sent_total", "Heartbeats sent.", |it| it.beats_sent),
        ("bowline_beats_received_total", "Heartbeats and answers received.", |it| it.beats_received),
    ];

    const SESSION_GAUGES: &[Figure<SessionStats, usize>] = &[
        ("bowline_sessions_attached", "Sessions that have a connection.", |it| {
            usize::from(it.liveness.path != PathLiveness::Down)
        }),
        ("bowline_channels", "Channels open, either side.", |it| it.channels),
    ];

    const SESSIONS: &str = "bowline_sessions";
    const OUTBOX_DELAY: &str = "bowline_outbox_delay_seconds";
    const RTT: &str = "bowline_rtt_seconds";

    /// What of one session has been published.
    pub(in super::super) struct Metering {
        session: SessionStats,
        channels: BTreeMap<ChannelKey, Published>,
        /// Runs while there may be something to publish.
        timer: Option<Timer>,
    }

    struct Published {
        label: String,
        stats: ChannelStats,
    }

    impl Metering {
        pub(in super::super) fn new() -> Self {
            describe();
            gauge!(SESSIONS).increment(1.0);
            Self { session: SessionStats::default(), channels: BTreeMap::new(), timer: None }
        }

        /// Publishes if it is time. For the session's task, whenever it has done something.
        pub(in super::super) fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>, ended: bool) {
            let due = || shared.env.new_timer(shared.env.now() + INTERVAL);
            if ended || self.timer.get_or_insert_with(due).as_mut().poll(cx).is_ready() {
                self.timer = None;
                self.publish(shared);
            }
        }

        fn publish(&mut self, shared: &Shared) {
            let now = shared.env.now();
            let (session, channels) = {
                let state = shared.look();
                let known = &self.channels;
                let news = |(key, label, stats): (ChannelKey, &str, ChannelStats)| {
                    let label = (!known.contains_key(&key)).then(|| label.to_owned());
                    (key, label, stats)
                };
                let channels: Vec<_> = state.machine.opened_channels(now).map(news).collect();
                (state.machine.stats(), channels)
            };
            self.publish_session(session);
            let present: BTreeSet<ChannelKey> = channels.iter().map(|&(key, ..)| key).collect();
            for (key, label, stats) in channels {
                let published = self.channels.entry(key).or_insert_with(|| Published {
                    label: bounded(&mut lock(&LABELS), label.unwrap_or_default()),
                    stats: ChannelStats::default(),
                });
                published.publish(stats);
            }
            self.channels.retain(|key, _| present.contains(key));
        }

        fn publish_session(&mut self, now: SessionStats) {
            for (name, _, read) in SESSION_COUNTERS {
                match read(&now).saturating_sub(read(&self.session)) {
                    0 => {}
                    more => counter!(*name).increment(more),
                }
            }
            for (name, _, read) in SESSION_GAUGES {
                if let Some(change) = change(read(&self.session), read(&now)) {
                    gauge!(*name).increment(change);
                }
            }
            if !now.rtt.is_zero() {
                histogram!(RTT).record(now.rtt);
            }
            self.session = now;
        }
    }

    impl Drop for Metering {
        /// What there is of a session that is over is nothing.
        fn drop(&mut self) {
            self.publish_session(SessionStats {
                channels: 0,
                rtt: Duration::ZERO,
                liveness: Default::default(),
                ..self.session
            });
            gauge!(SESSIONS).decrement(1.0);
        }
    }

    impl Published {
        fn publish(&mut self, now: ChannelStats) {
            let label = || self.label.clone();
            for (name, _, read) in CHANNEL_COUNTERS {
                match read(&now).saturating_sub(read(&self.stats)) {
                    0 => {}
                    more => counter!(*name, "channel" => label()).increment(more),
                }
            }
            for (name, _, read) in CHANNEL_GAUGES {
                if let Some(change) = change(read(&self.stats), read(&now)) {
                    gauge!(*name, "channel" => label()).increment(change);
                }
            }
            if !now.outbox_delay.is_zero() {
                histogram!(OUTBOX_DELAY, "channel" => label()).record(now.outbox_delay);
            }
            self.stats = now;
        }
    }

    impl Drop for Published {
        fn drop(&mut self) {
            let Self { stats, .. } = *self;
            self.publish(ChannelStats {
                outbox_messages: 0,
                outbox_bytes: 0,
                outbox_delay: Duration::ZERO,
                inbox_messages: 0,
                inbox_bytes: 0,
                partial_bytes: 0,
                ..stats
            });
        }
    }

    /// What a gauge that sums over sessions moves by.
    #[allow(clippy::cast_precision_loss, reason = "no queue holds 2^52 of anything")]
    fn change(before: usize, now: usize) -> Option<f64> {
        (before != now).then_some(now as f64 - before as f64)
    }

    /// The labels met so far, in whichever session: a recorder keeps each of them for ever.
    static LABELS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    /// The label, as long as there are not too many.
    fn bounded(known: &mut BTreeSet<String>, label: String) -> String {
        if known.contains(&label) {
            return label;
        }
        if known.len() >= LABELS_MAX {
            return OTHER.to_owned();
        }
        known.insert(label.clone());
        label
    }

    fn describe() {
        let counters = CHANNEL_COUNTERS.iter().map(|(name, what, _)| (name, what));
        for (name, what) in counters.chain(SESSION_COUNTERS.iter().map(|(name, what, _)| (name, what))) {
            describe_counter!(*name, Unit::Count, *what);
        }
        for (name, what, _) in CHANNEL_GAUGES {
            let unit = if name.ends_with("_bytes") { Unit::Bytes } else { Unit::Count };
            describe_gauge!(*name, unit, *what);
        }
        for (name, what, _) in SESSION_GAUGES {
            describe_gauge!(*name, Unit::Count, *what);
        }
        describe_gauge!(SESSIONS, Unit::Count, "Sessions alive.");
        let what = "How long the oldest message that the network did not get has waited, sampled while there is one.";
        describe_histogram!(OUTBOX_DELAY, Unit::Seconds, what);
        describe_histogram!(RTT, Unit::Seconds, "Round-trip time of attached connections, sampled.");
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_figure_is_documented() {
            let documented = include_str!("../stats.rs");
            let names = CHANNEL_COUNTERS.iter().map(|it| it.0).chain(CHANNEL_GAUGES.iter().map(|it| it.0));
            let names = names.chain(SESSION_COUNTERS.iter().map(|it| it.0));
            let names = names.chain(SESSION_GAUGES.iter().map(|it| it.0));
            for name in names.chain([SESSIONS, OUTBOX_DELAY, RTT]) {
                assert!(documented.contains(&format!("`{name}`")), "{name}");
            }
        }

        #[test]
        fn labels_beyond_the_limit_share_one() {
            let mut known = BTreeSet::new();
            for number in 0..LABELS_MAX {
                let label = format!("room {number}");
                assert_eq!(bounded(&mut known, label.clone()), label);
            }
            for _ in 0..2 {
                assert_eq!(bounded(&mut known, "one more".to_owned()), OTHER);
                assert_eq!(bounded(&mut known, "room 0".to_owned()), "room 0");
            }
            assert_eq!(known.len(), LABELS_MAX);
        }
    }
}
