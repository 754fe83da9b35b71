//! The side that sends, and says what came of it.

use bytes::{BufMut, BytesMut};
use quinn::{RecvStream, SendStream};
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Problem;
use crate::cli::RunArgs;
use crate::clock::{cpu_ns, now_ns};
use crate::control::{Begin, Body, Report, Sent};
use crate::frames::{BATCH, Frames, PREFIX, say};
use crate::payload::{Filler, Label, Writer};
use crate::plan::{Direction as Way, Mode, Pattern, Plan, Quota};
use crate::summary::{Direction, Summary};
use crate::transport::dialer;

pub(crate) async fn run(args: RunArgs) -> Result<bool, Problem> {
    let plan = args.plan()?;
    let possible = matches!(plan.pattern(), Pattern::Throughput | Pattern::Acked)
        && (plan.direction(), plan.mode(), plan.channels) == (Way::Up, Mode::ReliableOrdered, 1)
        && plan.deadline_ms.is_none();
    if !possible {
        return Err(
            "it can only do --pattern throughput and acked, up, reliable-ordered, on one channel".into()
        );
    }
    let addr = lookup_host(&args.target).await?.next().ok_or("no address")?;
    let connection = dialer(addr, args.fingerprint)?.connect(addr, "localhost")?.await?;
    let (mut control, back) = connection.open_bi().await?;
    let mut answers = Frames::new(back);
    say(&mut control, Body::Plan(plan.clone())).await?;
    let Some(Body::Ready(_)) = answers.note().await? else { return Err("the plan was refused".into()) };

    let (data, acks) = connection.open_bi().await?;
    let (acked, acknowledged) = watch::channel(0);
    tokio::spawn(count(acks, acked));
    let mut sender = Sender { plan, data, acknowledged, sent: 0 };
    let all = Quota::of(&sender.plan);
    let mut last = None;
    for (measured, quota) in [(false, all.warm_up()), (true, all)] {
        let before = cpu_ns();
        say(&mut control, Body::Begin(Begin::new(measured, quota))).await?;
        let Some(Body::Began(_)) = answers.note().await? else { return Err("it did not begin".into()) };
        let sent = sender.pour(measured, quota).await?;
        let Some(Body::Report(report)) = answers.note().await? else { return Err("no report".into()) };
        last = Some((sent, report, cpu_ns().zip(before).map(|(now, before)| now - before)));
    }
    connection.close(0_u32.into(), b"");
    let Some((sent, report, cpu_ns)) = last else { return Ok(false) };
    let summary = summary(&sender.plan, &sent, &report, cpu_ns);
    println!("{}", if args.json { summary.json() } else { summary.table() });
    Ok(summary.broken.is_empty())
}

fn summary(plan: &Plan, sent: &Sent, report: &Report, cpu_ns: Option<u64>) -> Summary {
    let up = Direction::new(plan, sent, report.received.clone());
    let broken = up.broken(plan);
    let mut summary = Summary { up: Some(up), broken, ..Summary::default() };
    summary.share_cpu(cpu_ns.zip(report.cpu_ns).map(|(here, there)| here + there));
    summary
}

/// Reads acknowledgements: each says how many there are by now.
async fn count(mut acks: RecvStream, to: watch::Sender<u64>) {
    let mut counter = [0; 8];
    while acks.read_exact(&mut counter).await.is_ok() {
        to.send_replace(u64::from_le_bytes(counter));
    }
}

struct Sender {
    plan: Plan,
    data: SendStream,
    acknowledged: watch::Receiver<u64>,
    /// In all parts of the run.
    sent: u64,
}

impl Sender {
    /// Sends everything, then a frame of no bytes.
    async fn pour(&mut self, measured: bool, quota: Quota) -> Result<Sent, Problem> {
        let size = self.plan.size();
        let first = Label { measured, answer: false, generation: 0, lane: 0, number: 0 };
        let mut writer = Writer::new(Filler::new(size), first);
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
        self.data.write_all(&[0; PREFIX]).await?;
        times.sent = writer.number();
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
