//! The side that dials, and says what came of it.

use quinn::RecvStream;
use tokio::net::lookup_host;
use tokio::sync::watch;

use crate::Problem;
use crate::cli::RunArgs;
use crate::clock::{cpu_ns, now_ns};
use crate::control::{Begin, Body, Received, Report, Sent};
use crate::frames::{Frames, say, take};
use crate::json::Object;
use crate::meter::SharedMeter;
use crate::plan::{Direction as Way, Mode, Pattern, Plan, Quota};
use crate::sending::Sender;
use crate::summary::{Direction, Summary};
use crate::transport::dialer;

pub(crate) async fn run(args: RunArgs) -> Result<bool, Problem> {
    let plan = args.plan()?;
    let way = match plan.pattern() {
        Pattern::Throughput | Pattern::Acked => plan.direction() == Way::Up,
        Pattern::Flow => true,
        Pattern::Ping => false,
    };
    if !way || (plan.mode(), plan.channels) != (Mode::ReliableOrdered, 1) || plan.deadline_ms.is_some() {
        let able = "--pattern throughput and acked, up, and flow; reliable-ordered, on one channel";
        return Err(format!("it can only do {able}").into());
    }
    let began = now_ns();
    let addr = lookup_host(&args.target).await?.next().ok_or("no address")?;
    let connection = dialer(addr, args.fingerprint)?.connect(addr, "localhost")?.await?;
    let (mut control, back) = connection.open_bi().await?;
    let mut answers = Frames::new(back);
    say(&mut control, Body::Plan(plan.clone())).await?;
    let Some(Body::Ready(_)) = answers.note().await? else { return Err("the plan was refused".into()) };

    let (data, back) = connection.open_bi().await?;
    let (acked, acknowledged) = watch::channel(0);
    let mut frames = None;
    match plan.down() {
        true => frames = Some(Frames::new(back)),
        false => drop(tokio::spawn(count(back, acked))),
    }
    let (mut sender, meter) = (Sender::new(plan.clone(), data, acknowledged), SharedMeter::new(&plan));
    let all = Quota::of(&plan);
    let mut last = None;
    for (measured, quota) in [(false, all.warm_up()), (true, all)] {
        let before = cpu_ns();
        meter.lock().begin(measured);
        say(&mut control, Body::Begin(Begin::new(measured, quota))).await?;
        let Some(Body::Began(_)) = answers.note().await? else { return Err("it did not begin".into()) };
        if measured && args.json {
            let ms = (now_ns() - began) / 1_000_000;
            println!("{}", Object::new().field("event", "began").field("ms", ms).json());
        }
        let up = async {
            match plan.up() {
                true => sender.send(measured, quota).await,
                false => sender.end().await.map(|()| Sent::default()),
            }
        };
        let down = async {
            match &mut frames {
                Some(frames) => take(frames, &meter, None).await,
                None => Ok(()),
            }
        };
        let (sent, ()) = tokio::try_join!(up, down)?;
        let Some(Body::Report(report)) = answers.note().await? else { return Err("no report".into()) };
        last = Some((sent, report, cpu_ns().zip(before).map(|(now, before)| now - before)));
    }
    connection.close(0_u32.into(), b"");
    let Some((sent, report, cpu_ns)) = last else { return Ok(false) };
    let summary = summary(&plan, &sent, meter.lock().received(true), &report, cpu_ns);
    println!("{}", if args.json { summary.json() } else { summary.table() });
    Ok(summary.broken.is_empty())
}

fn summary(plan: &Plan, sent: &Sent, received: Received, report: &Report, cpu_ns: Option<u64>) -> Summary {
    let up = plan.up().then(|| Direction::new(plan, sent, report.received.clone()));
    let down = plan.down().then(|| Direction::new(plan, &report.sent, received));
    let broken = up.iter().chain(&down).flat_map(|direction| direction.broken(plan)).collect();
    let mut summary = Summary { up, down, broken, ..Summary::default() };
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
