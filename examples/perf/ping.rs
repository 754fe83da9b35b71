//! One message at a time, each answered by the peer's application.

use bowline::SendError;
use bytes::BytesMut;
use tokio::time::{Instant, timeout};

use crate::clock::now_ns;
use crate::plan::Quota;
use crate::sender::{Lane, Load};

/// Sends pings on a lane until the quota is met. The round trips are measured where the answers come in.
pub(crate) async fn ping(mut lane: Lane, quota: Quota, load: Load) -> Result<Lane, SendError> {
    let mut writer = load.writer(lane.number);
    let mut chunk = BytesMut::new();
    let began = Instant::now();
    let is_over = |pings| match quota {
        Quota::Count(all) => pings >= all,
        Quota::For(duration) => began.elapsed() >= duration,
    };
    while !is_over(writer.number()) {
        let number = writer.number();
        let now = now_ns();
        lane.forgotten.mark_unchanged();
        load.times.sent(now);
        drop(lane.channel.send(writer.next(&mut chunk, now)).await?);
        match load.plan.patience() {
            // Without an answer it counts as lost.
            Some(patience) => drop(timeout(patience, lane.answer_to(number)).await),
            None => lane.answer_to(number).await,
        }
    }
    load.times.settled(now_ns());
    Ok(lane)
}

impl Lane {
    /// Waits for an answer, or until there can be none.
    async fn answer_to(&mut self, number: u64) {
        loop {
            tokio::select! {
                answered = self.answered.recv() => if answered.is_none_or(|it| it == number) { return },
                // If nobody can say any more that the peer forgot, the run is over.
                _ = self.forgotten.changed() => return,
            }
        }
    }
}
