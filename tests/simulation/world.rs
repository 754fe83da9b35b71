//! Two programs, a client and a server, on the two ends of a scenario's network.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bowline::endpoint::Parts;
use bowline::{Clock, Config, Endpoint, Identity, Session, SocketFactory, Trust};
use bowline_netsim::quic::{Finished, Sim, SimRuntime, simulate};
use bowline_netsim::{HostId, Scenario};

const PORT: u16 = 4433;

/// Sockets on a host of the simulation.
struct SimSockets {
    sim: Sim,
    host: HostId,
}

impl std::fmt::Debug for SimSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimSockets").field("host", &self.host).finish_non_exhaustive()
    }
}

impl SocketFactory for SimSockets {
    fn bind(&self, local: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        Ok(self.sim.bind(self.host, local)?)
    }
}

/// The calendar of the simulation: a day in 2030, on which nothing has expired.
#[derive(Debug)]
struct Calendar(Sim);

impl Clock for Calendar {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000) + self.0.now().since_start()
    }
}

/// Where the programs run.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) sim: Sim,
    client: HostId,
    server: HostId,
    server_address: SocketAddr,
    seed: u64,
}

/// Runs a program on the two ends of a scenario, for at most its duration.
pub(crate) fn over<T>(scenario: &Scenario, seed: u64, program: impl AsyncFnOnce(Ends) -> T) -> Finished<T> {
    let path = scenario.build(seed).expect("the scenario is sound");
    let (client, server) = (path.clients[0], path.server);
    let server_address = SocketAddr::new(path.server_address, PORT);
    let run = async |sim: Sim| program(Ends { sim, client, server, server_address, seed }).await;
    simulate(path.world, scenario.duration(), run).expect("the system gives a runtime")
}

impl Ends {
    fn parts(&self, host: HostId, config: Config) -> Parts {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8] = u8::from(host == self.server);
        Parts {
            sockets: Arc::new(SimSockets { sim: self.sim.clone(), host }),
            runtime: Arc::new(SimRuntime),
            clock: Arc::new(Calendar(self.sim.clone())),
            seed,
            identity: Identity::generate().expect("the system gives randomness"),
            config,
        }
    }

    /// A session between the client and the server: the client's handle, and the server's. Both endpoints live as long
    /// as the simulation.
    pub(crate) async fn session(&self, config: Config) -> (Session, Session) {
        self.sessions(config, 1).await.pop().expect("there is one")
    }

    /// Several of them between the same two endpoints.
    pub(crate) async fn sessions(&self, config: Config, count: usize) -> Vec<(Session, Session)> {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
        let server = Endpoint::with_parts(self.parts(self.server, config.clone())).bind(any);
        let server = server.expect("the host has this port");
        let client = Endpoint::with_parts(self.parts(self.client, config)).client().expect("sound parts");
        let mut sessions = Vec::new();
        for _ in 0..count {
            let trust = Trust::fingerprint(server.fingerprint());
            let door = server.clone();
            let accepting = tokio::spawn(async move {
                let incoming = door.accept().await.expect("a dialer comes");
                incoming.accept().await.expect("it stays")
            });
            let dialed = client.connect(self.server_address, trust).await.expect("the server answers");
            sessions.push((dialed, accepting.await.expect("the server runs")));
        }
        tokio::spawn(async move {
            let _endpoints = (client, server);
            std::future::pending::<()>().await;
        });
        sessions
    }
}
