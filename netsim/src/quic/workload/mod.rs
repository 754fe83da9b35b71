//! Programs that talk over quinn through a scenario, and how it went for them.
//!
//! | workload | what the client does |
//! |---|---|
//! | `echo` | sends 200 bytes every 50 ms, and 4000 once a second, on one stream; each message comes back |
//! | `flow` | both sides send a datagram of 160 bytes every 20 ms, as a call does |
//! | `bulk` | fetches 16 MiB over one stream, and ends when it has them |
//!
//! A client whose connection dies dials again at once. In scenarios with a silence the clients of `echo` and
//! `flow` talk for 10 s and then say nothing for that long, in turn.

mod bulk;
mod echo;
mod flow;
mod summary;
mod tally;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Endpoint, TransportConfig, VarInt};
use tokio::time::Instant;

use super::{PinnedError, Sim, client_config, server_config, simulate};
use crate::scenario::Scenario;
use crate::values::BadValue;

pub use summary::{Sample, Summary};
use tally::{Gap, Tally};

/// A program to run over a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workload {
    /// Messages of 200 bytes, and sometimes of 4000, that come back.
    #[default]
    Echo,
    /// Datagrams at a steady pace, both ways.
    Flow,
    /// One large download.
    Bulk,
}

/// Why a workload did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The scenario makes no sense.
    #[error(transparent)]
    Scenario(#[from] BadValue),
    /// The simulation got no runtime or no socket.
    #[error("the simulation did not start: {0}")]
    Io(#[from] io::Error),
    /// The endpoints got no TLS.
    #[error(transparent)]
    Tls(#[from] PinnedError),
}

/// Runs a workload over a scenario, with one client.
pub fn run(scenario: &Scenario, seed: u64, workload: Workload) -> Result<Summary, RunError> {
    Run::new(scenario).seed(seed).workload(workload).run()
}

/// A run to be.
///
/// ```
/// # use bowline_netsim::Scenario;
/// # use bowline_netsim::quic::{Run, Workload};
/// let summary = Run::new(&Scenario::geo()).seed(7).workload(Workload::Flow).clients(2).run().unwrap();
/// assert_eq!(summary.connections, 2);
/// ```
#[derive(Clone, Debug)]
pub struct Run<'a> {
    scenario: &'a Scenario,
    seed: u64,
    workload: Workload,
    clients: usize,
    capture: bool,
    light: bool,
}

impl<'a> Run<'a> {
    /// The default workload with seed 1 and one client.
    pub fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, seed: 1, workload: Workload::default(), clients: 1, capture: false, light: false }
    }

    /// The same seed gives the same run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What the clients do.
    #[must_use]
    pub fn workload(mut self, workload: Workload) -> Self {
        self.workload = workload;
        self
    }

    /// So many clients at one server, 1 to 1000, each on a path of its own.
    #[must_use]
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    /// Keeps the packets themselves, so that [`Summary::capture`] has something to write.
    #[must_use]
    pub fn capture(mut self) -> Self {
        self.capture = true;
        self
    }

    /// Keeps no events, only their hash and their counts. For many runs, and for long ones.
    #[must_use]
    pub fn light(mut self) -> Self {
        self.light = true;
        self
    }

    /// Runs.
    pub fn run(&self) -> Result<Summary, RunError> {
        let Self { scenario, seed, workload, .. } = *self;
        let mut path = scenario.build_clients(seed, self.clients)?;
        if self.light {
            path.world = path.world.without_events();
        }
        if self.capture {
            path.world = path.world.with_capture();
        }
        let to = SocketAddr::new(path.server_address, 443);
        let tally = Tally::default();
        let gaps: Vec<_> = path.clients.iter().map(|_| Gap::default()).collect();
        let (hosts, server) = (path.clients, path.server);
        let finished = simulate(path.world, scenario.duration(), async |sim: Sim| -> Result<(), RunError> {
            let mut config = server_config()?;
            config.transport_config(transport());
            let listener = sim.endpoint(server, to, Some(config))?;
            tokio::spawn(serve(sim.clone(), listener, workload, tally.clone()));
            let mut running = Vec::new();
            for ((number, host), gap) in hosts.into_iter().enumerate().zip(&gaps) {
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let any = any.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                let mut endpoint = sim.endpoint(host, any, None)?;
                let mut config = client_config(&format!("client{number}"))?;
                config.transport_config(transport());
                endpoint.set_default_client_config(config);
                let silence = scenario.silence_between();
                let (sim, tally, gap) = (sim.clone(), tally.clone(), gap.clone());
                running.push(tokio::spawn(Client { sim, endpoint, to, silence, tally, gap }.stay(workload)));
            }
            for client in running {
                // A panic of a client is a bug here; it has been printed, and its figures are missing.
                client.await.ok();
            }
            Ok(())
        })?;
        // The limit ends most runs; that is no error.
        finished.output.unwrap_or(Ok(()))?;
        let longest_gap = gaps.iter().map(|gap| gap.longest(finished.at)).max().unwrap_or_default();
        let total = tally.lock().clone();
        Ok(Summary::new(scenario, seed, finished.world, finished.at, &path.plan, total, longest_gap))
    }
}

/// Quinn's defaults, but a connection outlives the silences and the outages of the scenarios, 2 minutes.
fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(VarInt::from_u32(120_000).into()));
    Arc::new(transport)
}

struct Client {
    sim: Sim,
    endpoint: Endpoint,
    to: SocketAddr,
    silence: Option<Duration>,
    tally: Tally,
    gap: Gap,
}

/// How long a client talks before it is silent, where a scenario has silences.
const TALK: Duration = Duration::from_secs(10);

impl Client {
    /// Dials, talks, and dials again when the connection dies; for as long as the run lasts.
    async fn stay(self, workload: Workload) {
        loop {
            self.gap.waits(self.sim.now());
            let Ok(connecting) = self.endpoint.connect(self.to, "server.test") else { return };
            let Ok(connection) = connecting.await else { continue };
            self.tally.lock().connections += 1;
            match workload {
                Workload::Echo => echo::talk(&self, &connection).await,
                Workload::Flow => flow::talk(&self.flow(), &connection).await,
                Workload::Bulk if bulk::fetch(&self, &connection).await.is_ok() => return,
                Workload::Bulk => {}
            }
        }
    }
}

impl Client {
    fn flow(&self) -> flow::Side {
        let (sim, tally, gap) = (self.sim.clone(), self.tally.clone(), Some(self.gap.clone()));
        flow::Side { sim, silence: self.silence, tally, gap }
    }
}

async fn serve(sim: Sim, listener: Endpoint, workload: Workload, tally: Tally) {
    while let Some(incoming) = listener.accept().await {
        let (sim, tally) = (sim.clone(), tally.clone());
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            match workload {
                Workload::Echo => echo::answer(&connection).await,
                Workload::Flow => {
                    flow::talk(&flow::Side { sim, silence: None, tally, gap: None }, &connection).await
                }
                Workload::Bulk => bulk::give(&connection, &tally).await,
            }
        });
    }
}

/// Ticks at a steady pace, with pauses where there is a silence.
struct Pace {
    next: Instant,
    every: Duration,
    silence: Option<Duration>,
    talk_ends: Instant,
}

impl Pace {
    fn new(every: Duration, silence: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { next: now, every, silence, talk_ends: now + TALK }
    }

    async fn tick(&mut self) {
        if let Some(silence) = self.silence.filter(|_| self.next >= self.talk_ends) {
            self.next += silence;
            self.talk_ends = self.next + TALK;
        }
        tokio::time::sleep_until(self.next).await;
        self.next += self.every;
    }
}

/// Until the connection is gone, however quietly.
async fn until_closed(connection: &Connection) {
    connection.closed().await;
}
