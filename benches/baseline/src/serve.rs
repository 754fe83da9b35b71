//! The side that listens.

use quinn::{Incoming, SendStream};

use crate::Problem;
use crate::cli::ServeArgs;
use crate::clock::{cpu_ns, now_ns};
use crate::control::{Began, Body, Ready, Report, Sent};
use crate::frames::{Frames, say, take};
use crate::json::Object;
use crate::meter::SharedMeter;
use crate::plan::{Pattern, Plan};
use crate::sending::Sender;
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
    let mut acks = 0_u64;
    while let Some(Body::Begin(begin)) = control.note().await? {
        meter.lock().begin(begin.measured);
        let before = cpu_ns();
        say(&mut out, Body::Began(Began { measured: begin.measured, now_ns: now_ns() })).await?;
        if data.is_none() {
            let (back, frames) = connection.accept_bi().await?;
            data = Some((Back::new(&plan, back), Frames::new(frames)));
        }
        let Some((back, frames)) = &mut data else { return Ok(()) };
        let nothing = |()| Sent::default();
        let sent = match back {
            Back::Nothing => take(frames, &meter, None).await.map(nothing)?,
            Back::Acks(stream) => take(frames, &meter, Some((stream, &mut acks))).await.map(nothing)?,
            Back::Data(sender) => {
                let sending = sender.send(begin.measured, begin.quota());
                tokio::try_join!(sending, take(frames, &meter, None))?.0
            }
        };
        let cpu_ns = cpu_ns().zip(before).map(|(now, before)| now - before);
        let (measured, received) = (begin.measured, meter.lock().received(true));
        let report = Report { measured, last: true, sent, received, cpu_ns, ..Report::default() };
        say(&mut out, Body::Report(Box::new(report))).await?;
    }
    Ok(())
}

/// What goes back on the stream of the data.
enum Back {
    Nothing,
    /// A counter for each read.
    Acks(SendStream),
    Data(Box<Sender>),
}

impl Back {
    fn new(plan: &Plan, stream: SendStream) -> Self {
        match plan.pattern() {
            Pattern::Acked => Self::Acks(stream),
            _ if plan.down() => {
                let nobody = tokio::sync::watch::channel(0).1;
                Self::Data(Box::new(Sender::new(plan.clone(), stream, nobody)))
            }
            _ => Self::Nothing,
        }
    }
}
