//! quinn with its default settings, one stream, messages of one size after each other.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bowline_netsim::Scenario;
use bowline_netsim::quic::{Sim, client_config, server_config, simulate};
use quinn::{RecvStream, SendStream};

use crate::Problem;
use crate::ride::{Ride, SIZE, Seen};

const PORT: u16 = 4433;

pub(crate) fn ride(scenario: &Scenario, seed: u64) -> Result<Ride, Problem> {
    let path = scenario.build(seed)?;
    let (client, server) = (*path.clients.first().ok_or("a scenario without clients")?, path.server);
    let to = SocketAddr::new(path.server_address, PORT);
    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let ride = Arc::new(Mutex::new(Ride::default()));
    let finished = simulate(path.world, scenario.duration(), async |sim: Sim| -> Result<(), Problem> {
        let seen = Seen::new(sim.clone(), scenario.duration(), ride.clone());
        let listener = sim.endpoint(server, to, Some(server_config()?))?;
        let there = seen.clone();
        let serving = tokio::spawn(async move {
            let connection = listener.accept().await.ok_or("the listener was closed")?.await?;
            let (out, back) = connection.accept_bi().await?;
            talk(&there, out, back).await
        });
        let mut endpoint = sim.endpoint(client, any, None)?;
        endpoint.set_default_client_config(client_config("client")?);
        let connection = endpoint.connect(to, "server.test")?.await?;
        let (out, back) = connection.open_bi().await?;
        talk(&seen, out, back).await?;
        serving.await?
    })?;
    // The scenario ends before they do, or the connection has died on the way: what did not arrive is counted.
    if let Some(Err(error)) = finished.output {
        eprintln!("quinn, after {:.1} s: {error}", finished.at.since_start().as_secs_f64());
    }
    let ride = std::mem::take(&mut *ride.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(ride)
}

async fn talk(seen: &Seen, mut out: SendStream, mut back: RecvStream) -> Result<(), Problem> {
    let speak = async {
        let mut ticks = Seen::ticks();
        loop {
            ticks.tick().await;
            match seen.say() {
                Some(message) => out.write_chunk(message).await?,
                None => std::future::pending().await,
            }
        }
    };
    let listen = async {
        let mut message = [0; SIZE];
        loop {
            back.read_exact(&mut message).await?;
            seen.hear(&message);
        }
    };
    tokio::select! {
        biased;
        ended = speak => ended,
        ended = listen => ended,
    }
}
