//! The side that receives.

use quinn::{Incoming, SendStream};

use crate::Problem;
use crate::cli::ServeArgs;
use crate::clock::{cpu_ns, now_ns};
use crate::control::{Began, Body, Ready, Report};
use crate::frames::{Frames, say};
use crate::json::Object;
use crate::meter::{Batch, SharedMeter};
use crate::plan::{Pattern, Plan};
use crate::transport::listen;

pub(crate) async fn serve(args: ServeArgs) -> Result<(), Problem> {
    let (endpoint, fingerprint) = listen(args.addr)?;
    let addr = endpoint.local_addr()?.to_string();
    let line = Object::new().field("event", "listening").field("addr", addr);
    println!("{}", line.field("fingerprint", fingerprint.to_string()).json());
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            if let Err(error) = client(incoming).await {
                eprintln!("baseline: {error}");
            }
        });
    }
    Ok(())
}

async fn client(incoming: Incoming) -> Result<(), Problem> {
    let connection = incoming.await?;
    let (mut out, control) = connection.accept_bi().await?;
    let mut control = Frames::new(control);
    let Some(Body::Plan(plan)) = control.note().await? else { return Err("no plan".into()) };
    plan.check()?;
    say(&mut out, Body::Ready(Ready::default())).await?;
    let meter = SharedMeter::new(&plan);
    let mut data = None;
    let mut acks = 0;
    while let Some(Body::Begin(begin)) = control.note().await? {
        meter.lock().begin(begin.measured);
        let before = cpu_ns();
        say(&mut out, Body::Began(Began { measured: begin.measured, now_ns: now_ns() })).await?;
        if data.is_none() {
            let (back, data_in) = connection.accept_bi().await?;
            data = Some((back, Frames::new(data_in)));
        }
        let Some((back, frames)) = &mut data else { return Ok(()) };
        take(&plan, frames, back, &meter, &mut acks).await?;
        let cpu_ns = cpu_ns().zip(before).map(|(now, before)| now - before);
        let received = meter.lock().received(true);
        let report = Report { measured: begin.measured, last: true, received, cpu_ns, ..Report::default() };
        say(&mut out, Body::Report(Box::new(report))).await?;
    }
    Ok(())
}

/// Takes all messages of a part of the run, and acknowledges those of each read together.
async fn take(
    plan: &Plan,
    frames: &mut Frames,
    back: &mut SendStream,
    meter: &SharedMeter,
    acks: &mut u64,
) -> Result<(), Problem> {
    loop {
        let before = *acks;
        let mut over = false;
        {
            let (mut meter, mut batch) = (meter.lock(), Batch::default());
            while let Some(frame) = frames.next()? {
                if frame.is_empty() {
                    over = true;
                    break;
                }
                meter.take(&frame, 0, &mut batch);
                *acks += 1;
            }
            meter.pause(batch);
        }
        if plan.pattern() == Pattern::Acked && *acks > before {
            back.write_all(&acks.to_le_bytes()).await?;
        }
        if over {
            return Ok(());
        }
        if !frames.read().await? {
            return Err("the client left".into());
        }
    }
}
