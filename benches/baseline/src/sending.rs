//! A side that sends: all of a part of the run on one stream, and then a frame of no bytes.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use quinn::SendStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::Problem;
use crate::clock::now_ns;
use crate::control::Sent;
use crate::frames::{BATCH, PREFIX};
use crate::payload::{Filler, Label, Writer};
use crate::plan::{Pattern, Plan, Quota};

/// See the module.
pub(crate) struct Sender {
    plan: Plan,
    data: SendStream,
    acknowledged: watch::Receiver<u64>,
    /// In all parts of the run.
    sent: u64,
}

impl Sender {
    /// `acknowledged` counts what the peer has acknowledged, where it does.
    pub(crate) fn new(plan: Plan, data: SendStream, acknowledged: watch::Receiver<u64>) -> Self {
        Self { plan, data, acknowledged, sent: 0 }
    }

    /// Sends everything.
    pub(crate) async fn send(&mut self, measured: bool, quota: Quota) -> Result<Sent, Problem> {
        let first = Label { measured, answer: false, generation: 0, lane: 0, number: 0 };
        let mut writer = Writer::new(Filler::new(self.plan.size()), first);
        let mut times = match self.plan.pattern() {
            Pattern::Flow => self.flow(&mut writer, quota).await?,
            _ => self.pour(&mut writer, quota).await?,
        };
        self.end().await?;
        times.sent = writer.number();
        Ok(times)
    }

    /// Says that this is all of a part of the run.
    pub(crate) async fn end(&mut self) -> Result<(), Problem> {
        Ok(self.data.write_all(&[0; PREFIX]).await?)
    }

    /// Each message when it is due.
    async fn flow(&mut self, writer: &mut Writer, quota: Quota) -> Result<Sent, Problem> {
        let (size, rate) = (self.plan.size(), self.plan.rate);
        let all = match quota {
            Quota::Count(count) => count,
            Quota::For(duration) => (duration.as_secs_f64() * rate).round() as u64,
        };
        let (began, mut buffer, mut times) = (Instant::now(), BytesMut::new(), Sent::default());
        for number in 0..all {
            sleep_until(began + Duration::from_secs_f64(number as f64 / rate)).await;
            let now = now_ns();
            if times.first_ns == 0 {
                times.first_ns = now;
            }
            times.last_ns = now;
            buffer.put_u32_le(size as u32);
            writer.append(&mut buffer, now);
            self.data.write_chunk(buffer.split().freeze()).await?;
        }
        Ok(times)
    }

    /// As much as goes.
    async fn pour(&mut self, writer: &mut Writer, quota: Quota) -> Result<Sent, Problem> {
        let size = self.plan.size();
        let (per_write, sample_every) = ((BATCH / (size + PREFIX)).max(1) as u64, self.plan.sample_every());
        let began = Instant::now();
        let mut buffer = BytesMut::new();
        let mut times = Sent::default();
        loop {
            let wanted = match quota {
                Quota::Count(all) => per_write.min(all - writer.number()),
                Quota::For(duration) if began.elapsed() < duration => per_write,
                Quota::For(_) => 0,
            };
            if wanted == 0 {
                break;
            }
            let count = wanted.min(self.room().await?);
            buffer.reserve(BATCH.max(count as usize * (size + PREFIX)));
            let mut now = now_ns();
            for _ in 0..count {
                if writer.number().is_multiple_of(sample_every) {
                    now = now_ns();
                }
                buffer.put_u32_le(size as u32);
                writer.append(&mut buffer, now);
            }
            if times.first_ns == 0 {
                times.first_ns = now;
            }
            times.last_ns = now;
            self.sent += count;
            self.data.write_chunk(buffer.split().freeze()).await?;
        }
        if self.plan.pattern() == Pattern::Acked {
            let sent = self.sent;
            self.acknowledged.wait_for(|acknowledged| *acknowledged == sent).await?;
            times.settled_ns = now_ns();
        }
        Ok(times)
    }

    /// Waits until something may be sent: how much.
    async fn room(&mut self) -> Result<u64, Problem> {
        let Some(window) = self.plan.in_flight() else { return Ok(u64::MAX) };
        let sent = self.sent;
        let acknowledged = *self.acknowledged.wait_for(|acknowledged| sent - acknowledged < window).await?;
        Ok(window - (sent - acknowledged))
    }
}
