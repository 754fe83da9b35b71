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

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Connection, Endpoint, TransportConfig, VarInt};
use tokio::time::Instant;

use super::{PinnedError, Sim, client_config, server_config, simulate};
use crate::coverage::Coverage;
use crate::link::LinkCounts;
use crate::nat::NatCounts;
use crate::packet::Fate;
use crate::scenario::Scenario;
use crate::time::Time;
use crate::trace::Trace;
use crate::values::BadValue;
use crate::world::{Change, Direction, Happening, NatChange};

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

/// What became of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// When it ended.
    pub at: Time,
    /// What of the scenario packets really met.
    pub coverage: Coverage,
    /// What happened to packets.
    pub trace: Trace,
    /// What the clients' own links did, together.
    pub links: LinkCounts,
    /// What the NATs did, together.
    pub nats: NatCounts,
    /// What was done to the world.
    pub happenings: Vec<Happening>,
    /// Connections that the clients made.
    pub connections: u64,
    /// Messages, datagrams or bytes that were sent.
    pub sent: u64,
    /// Messages that came back, or datagrams or bytes that arrived.
    pub arrived: u64,
    /// For each message that came back its round trip, for each datagram its way; sorted.
    pub latencies: Vec<Duration>,
    /// The longest time in which nothing arrived, silences aside.
    pub longest_gap: Duration,
}

impl Summary {
    /// The faults that packets and connections really met, by kind; those that did not happen are not there.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let mut faults = BTreeMap::new();
        for (fate, count) in self.trace.fates() {
            if !matches!(fate, Fate::Sent | Fate::Delivered) {
                faults.insert(fate.name(), *count);
            }
        }
        let is =
            |what: fn(&Change) -> bool| self.happenings.iter().filter(|it| what(&it.change)).count() as u64;
        let changes = [
            ("reordered", self.links.reordered),
            ("nat_mappings_expired", self.nats.expired),
            ("nat_mappings_rebound", self.nats.rebound),
            ("nat_reboots", is(|change| matches!(change, Change::Nat(_, NatChange::Reboot)))),
            ("nat_mappings_forgotten", self.nats.forgotten),
            ("link_changes", is(|change| matches!(change, Change::Link(..)))),
            ("interface_changes", is(|change| matches!(change, Change::Interface(..)))),
        ];
        faults.extend(changes.into_iter().filter(|(_, count)| *count > 0));
        faults
    }

    /// Packets that hosts sent.
    pub fn packets(&self) -> u64 {
        self.trace.fates().get(&Fate::Sent).copied().unwrap_or(0)
    }

    /// The latency that this share of all (0 to 1) did not exceed; nothing if there was none.
    pub fn latency(&self, share: f64) -> Option<Duration> {
        let last = self.latencies.len().checked_sub(1)?;
        self.latencies.get((last as f64 * share).round() as usize).copied()
    }
}

/// Runs a workload over a scenario, with one client.
pub fn run(scenario: &Scenario, seed: u64, workload: Workload) -> Result<Summary, RunError> {
    run_clients(scenario, seed, workload, 1)
}

/// Runs a workload over a scenario with many clients at one server, each on a path of its own.
pub fn run_clients(
    scenario: &Scenario,
    seed: u64,
    workload: Workload,
    clients: usize,
) -> Result<Summary, RunError> {
    let path = scenario.build_clients(seed, clients)?;
    let plan = path.plan;
    let (hosts, links, server, server_ip) = (path.clients, path.links, path.server, path.server_address);
    let to = SocketAddr::new(server_ip, 443);
    let tally = Tally::default();
    let finished = simulate(path.world, scenario.duration(), async |sim: Sim| -> Result<(), RunError> {
        let mut config = server_config()?;
        config.transport_config(transport());
        let listener = sim.endpoint(server, to, Some(config))?;
        tokio::spawn(serve(sim.clone(), listener, workload, tally.clone()));
        let mut running = Vec::new();
        for (number, host) in hosts.into_iter().enumerate() {
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let any = any.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let mut endpoint = sim.endpoint(host, any, None)?;
            let mut config = client_config(&format!("client{number}"))?;
            config.transport_config(transport());
            endpoint.set_default_client_config(config);
            let client = Client {
                sim: sim.clone(),
                endpoint,
                to,
                silence: scenario.silence_between(),
                tally: tally.clone(),
            };
            running.push(tokio::spawn(client.stay(workload)));
        }
        for client in running {
            // A panic of a client is a bug here; it has been printed, and its figures are missing.
            client.await.ok();
        }
        Ok(())
    })?;
    // The limit ends most runs; that is no error.
    finished.output.unwrap_or(Ok(()))?;
    let mut total = tally.lock().clone();
    total.latencies.sort_unstable();
    let world = finished.world;
    let mut sum = LinkCounts::default();
    for link in links {
        sum += world.link_counts(link, Direction::Up);
        sum += world.link_counts(link, Direction::Down);
    }
    Ok(Summary {
        scenario: scenario.name().to_owned(),
        seed,
        at: finished.at,
        coverage: plan.coverage(&world, finished.at),
        links: sum,
        nats: world.all_nat_counts(),
        happenings: world.happenings().to_vec(),
        trace: world.into_trace(),
        connections: total.connections,
        sent: total.sent,
        arrived: total.arrived,
        latencies: total.latencies,
        longest_gap: total.longest_gap,
    })
}

/// Quinn's defaults, but a connection outlives the silences and the outages of the scenarios, 2 minutes.
fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(VarInt::from_u32(120_000).into()));
    Arc::new(transport)
}

/// What both sides write down together.
#[derive(Clone, Debug, Default)]
struct Tally(Arc<Mutex<Total>>);

#[derive(Clone, Debug, Default)]
struct Total {
    connections: u64,
    sent: u64,
    arrived: u64,
    latencies: Vec<Duration>,
    longest_gap: Duration,
}

impl Tally {
    fn lock(&self) -> std::sync::MutexGuard<'_, Total> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, count: u64) {
        self.lock().sent += count;
    }

    fn arrived(&self, latency: Duration) {
        let mut total = self.lock();
        total.arrived += 1;
        total.latencies.push(latency);
    }
}

struct Client {
    sim: Sim,
    endpoint: Endpoint,
    to: SocketAddr,
    silence: Option<Duration>,
    tally: Tally,
}

/// How long a client talks before it is silent, where a scenario has silences.
const TALK: Duration = Duration::from_secs(10);

impl Client {
    /// Dials, talks, and dials again when the connection dies; for as long as the run lasts.
    async fn stay(self, workload: Workload) {
        loop {
            let Ok(connecting) = self.endpoint.connect(self.to, "server.test") else { return };
            let Ok(connection) = connecting.await else { continue };
            self.tally.lock().connections += 1;
            match workload {
                Workload::Echo => echo::talk(&self, &connection).await,
                Workload::Flow => flow::talk(&self.sim, &connection, self.silence, &self.tally).await,
                Workload::Bulk if bulk::fetch(&connection, &self.tally).await.is_ok() => return,
                Workload::Bulk => {}
            }
        }
    }
}

async fn serve(sim: Sim, listener: Endpoint, workload: Workload, tally: Tally) {
    while let Some(incoming) = listener.accept().await {
        let (sim, tally) = (sim.clone(), tally.clone());
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            match workload {
                Workload::Echo => echo::answer(&connection).await,
                Workload::Flow => flow::talk(&sim, &connection, None, &tally).await,
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
