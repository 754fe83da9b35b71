//! A session of Bowline, one ordered channel.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bowline::endpoint::Parts;
use bowline::{
    ChannelConfig, Clock, Config, Delivery, Endpoint, Identity, ReconnectPolicy, Session, SocketFactory,
    Trust,
};
use bowline_netsim::quic::{Sim, SimRuntime, simulate};
use bowline_netsim::{HostId, Scenario};

use crate::Problem;
use crate::ride::{Ride, Seen};

const PORT: u16 = 4433;

pub(crate) fn ride(scenario: &Scenario, seed: u64) -> Result<Ride, Problem> {
    let path = scenario.build(seed)?;
    let (client, server) = (*path.clients.first().ok_or("a scenario without clients")?, path.server);
    let to = SocketAddr::new(path.server_address, PORT);
    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
    let ride = Arc::new(Mutex::new(Ride::default()));
    let finished = simulate(path.world, scenario.duration(), async |sim: Sim| -> Result<(), Problem> {
        let seen = Seen::new(sim.clone(), scenario.duration(), ride.clone());
        let listener = Endpoint::with_parts(parts(&sim, server, seed)?).bind(any)?;
        let trust = Trust::fingerprint(listener.fingerprint());
        let there = seen.clone();
        let serving = tokio::spawn(async move {
            let session = listener.accept().await.ok_or("the listener was closed")?.accept().await?;
            talk(&there, &session).await
        });
        let endpoint = Endpoint::with_parts(parts(&sim, client, !seed)?).client()?;
        let session = endpoint.connect(to, trust).await?;
        talk(&seen, &session).await?;
        serving.await?
    })?;
    if let Some(Err(error)) = finished.output {
        return Err(error);
    }
    let ride = std::mem::take(&mut *ride.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(ride)
}

async fn talk(seen: &Seen, session: &Session) -> Result<(), Problem> {
    let (chat, mut inbox) = session.open("chat", ChannelConfig::new(Delivery::ReliableOrdered)).await?;
    let speak = async {
        let mut ticks = Seen::ticks();
        loop {
            ticks.tick().await;
            match seen.say() {
                Some(message) => drop(chat.send(message).await?),
                None => std::future::pending::<()>().await,
            }
        }
    };
    let listen = async {
        while let Some(message) = inbox.recv().await {
            seen.hear(message.payload());
        }
        Ok(())
    };
    tokio::select! {
        biased;
        ended = speak => ended,
        ended = listen => ended,
    }
}

fn parts(sim: &Sim, host: HostId, seed: u64) -> Result<Parts, Problem> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Ok(Parts {
        sockets: Arc::new(Sockets { sim: sim.clone(), host }),
        runtime: Arc::new(SimRuntime),
        clock: Arc::new(Calendar(sim.clone())),
        seed: bytes,
        identity: Identity::generate()?,
        config: Config::default().reconnect(ReconnectPolicy::Responsive),
    })
}

#[derive(Debug)]
struct Sockets {
    sim: Sim,
    host: HostId,
}

impl SocketFactory for Sockets {
    fn bind(&self, local: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        Ok(self.sim.bind(self.host, local)?)
    }
}

/// A day in 2030, on which no certificate has expired.
#[derive(Debug)]
struct Calendar(Sim);

impl Clock for Calendar {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000) + self.0.now().since_start()
    }
}
