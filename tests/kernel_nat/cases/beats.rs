//! What it costs to be there.

use std::process::ExitCode;
use std::time::Duration;

use bowline::{Config, Endpoint, Identity, ReconnectPolicy, Trust};
use tokio::task::JoinSet;

use super::{Case, Course, Extent, seconds};
use crate::drive::{Drive, Program, serve};
use crate::figures::{Figures, max};
use crate::lab::{Lab, TARGET};
use crate::nat::Kind;
use crate::process::{Problem, exit_code, now, sleep_until};

/// Clients of the crowd that dial at once.
const DIALS: usize = 32;

pub(super) fn cases() -> Vec<Case> {
    let mut crowded = Case::new(
        "crowd",
        "1,000 idle clients, one server, heartbeat 20 s",
        1,
        &[max("busiest_second_over_mean", 3.0)],
        crowded,
    );
    crowded.load = 60;
    crowded.only_measured = Some("it takes a minute and a CPU: run `measure`");
    vec![
        Case::new(
            "beats-upload",
            "beats in a minute of 1 Hz upload",
            5,
            &[max("beats", 0.0)],
            |lab, course| {
                lab.reset(Kind::Restricted)?;
                let length = course.events(60, 15);
                let run = format!("--pattern flow --rate 1 --direction up --size 100 --seconds {length}");
                let outcome = Drive::start(lab, &run)?.finish()?;
                outcome.nothing_lost()?;
                Ok(Figures::new().with("beats", outcome.count("beats") as f64))
            },
        ),
        Case::new(
            "beats-idle",
            "an idle minute with a heartbeat of 5 s",
            5,
            &[max("packets_per_beat", 4.0)],
            idle,
        ),
        crowded,
    ]
}

/// The first four intervals may be shorter, so that clients that attach together do not beat together.
const SPREAD: Duration = seconds(21);

/// Packets and bytes of an idle client, both directions together, by the beat. Bytes are those of IP packets.
fn idle(lab: &mut Lab, _: Course) -> Result<Figures, Problem> {
    lab.reset(Kind::Restricted)?;
    let length = Duration::from_secs(60);
    // A message at the beginning, and one after it all.
    let rate = 1.0 / (SPREAD + length + seconds(5)).as_secs_f64();
    let run = format!("--pattern flow --direction down --rate {rate} --size 100 --count 2");
    let mut drive = Drive::start(lab, &run)?;
    drive.wait(SPREAD)?;
    let before = lab.nat.passed()?;
    drive.wait(SPREAD + length)?;
    let after = lab.nat.passed()?;
    let outcome = drive.finish()?;
    outcome.nothing_lost()?;
    let beats = length.as_secs_f64() / 5.0;
    let per_beat = |after: u64, before: u64| (after - before) as f64 / beats;
    let packets = per_beat(after.packets_out + after.packets_in, before.packets_out + before.packets_in);
    let bytes = per_beat(after.bytes_out + after.bytes_in, before.bytes_out + before.bytes_in);
    Ok(Figures::new().with("packets_per_beat", packets).with("bytes_per_beat", bytes))
}

/// A thousand clients behind one NAT, who say nothing.
fn crowded(lab: &mut Lab, course: Course) -> Result<Figures, Problem> {
    lab.reset(Kind::Restricted)?;
    let clients = course.events(1000, 50);
    let length = if course.extent == Extent::Full { 60 } else { 10 };
    let server = serve(lab, Program::Bowline, "")?;
    let fingerprint =
        server.events.first().map(|said| said.text("fingerprint").to_owned()).unwrap_or_default();
    let program = std::env::current_exe()?;
    let mut crowd = lab.start("client", &program, &["crowd", &fingerprint, &clients.to_string()])?;
    crowd.event("ready")?;
    // They all attached within seconds; what follows from that has passed by then.
    sleep_until(now() + seconds(5));
    let (cpu, began) = (server.cpu()?, now());
    let first = lab.nat.passed()?;
    let (mut last, mut most) = (first, 0);
    for second in 1..=length {
        sleep_until(began + seconds(second));
        let passed = lab.nat.passed()?;
        most = most.max(passed.packets_out - last.packets_out);
        last = passed;
    }
    let hours = f64::from(clients) * length as f64 / 3600.0;
    let mean = (last.packets_out - first.packets_out) as f64 / length as f64;
    let bytes = last.bytes_out - first.bytes_out + last.bytes_in - first.bytes_in;
    Ok(Figures::new()
        .with("busiest_second_over_mean", most as f64 / mean)
        .with("packets_out_per_second", mean)
        .with("bytes_per_client_and_hour", bytes as f64 / hours)
        .with("server_cpu_ms_per_client_and_hour", (server.cpu()? - cpu).as_secs_f64() * 1e3 / hours))
}

/// So many sessions with a server, each from a socket of its own, until the process is killed.
pub(crate) fn crowd(arguments: &[String]) -> ExitCode {
    let run = || -> Result<(), Problem> {
        let [fingerprint, clients] = arguments else { return Err("two arguments".into()) };
        let (trust, clients) = (Trust::fingerprint(fingerprint.parse()?), clients.parse::<usize>()?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let config = Config::default().heartbeat(seconds(20)).reconnect(ReconnectPolicy::Responsive);
            let (mut dialing, mut sessions) = (JoinSet::new(), Vec::new());
            while sessions.len() < clients {
                while dialing.len() < DIALS.min(clients - sessions.len()) {
                    let (config, trust) = (config.clone(), trust.clone());
                    dialing.spawn(async move {
                        // A server lets one identity have only so many.
                        let endpoint = Endpoint::client(Identity::generate()?, config)?;
                        let session = endpoint.connect(TARGET, trust).await?;
                        Ok::<_, Problem>((endpoint, session))
                    });
                }
                let dialed = dialing.join_next().await;
                sessions.push(dialed.ok_or("nobody dials")???);
            }
            println!("{{\"event\":\"ready\"}}");
            std::future::pending::<()>().await;
            Ok(())
        })
    };
    exit_code("crowd", run())
}
