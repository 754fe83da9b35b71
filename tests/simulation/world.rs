//! Two hosts, a client and a server, on the two ends of a scenario's network, and the processes that run there.

use std::future::IntoFuture;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use bowline::endpoint::Parts;
use bowline::{Clock, Config, Endpoint, Identity, Session, Trust};
use bowline_netsim::quic::{Finished, Sim, simulate};
use bowline_netsim::{Change, Conditions, Direction, HostId, Path, Scenario, Time};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ED25519, SerialNumber};

use crate::gate::Gate;
use crate::process::{Disk, Inside, Life, Process, Sockets};
use crate::rng::Rng;

const PORT: u16 = 4433;

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    Client,
    Server,
}

impl Who {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// The identity that a host has in every run: TLS randoms apart, nothing of it changes from run to run.
fn identity(who: Who) -> Identity {
    static IDENTITIES: LazyLock<[Identity; 2]> = LazyLock::new(|| Who::BOTH.map(make_identity));
    IDENTITIES[who as usize].clone()
}

/// An Ed25519 key that everybody knows (RFC 8410), and a certificate for it.
fn make_identity(who: Who) -> Identity {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([1 + who as u8; 32]);
    let key =
        KeyPair::from_pkcs8_der_and_sign_algo(&der.as_slice().into(), &PKCS_ED25519).expect("a valid key");
    let mut params = CertificateParams::new([format!("{}.invalid", who.name())]).expect("a valid name");
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from(vec![1]));
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2000, 1, 1), rcgen::date_time_ymd(4096, 1, 1));
    let certificate = params.self_signed(&key).expect("nothing is missing");
    Identity::from_pem(&(key.serialize_pem() + &certificate.pem())).expect("key and certificate fit")
}

/// The calendar of the simulation: it begins on a day in 2030, on which no certificate has expired.
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
    hosts: [HostId; 2],
    server_address: SocketAddr,
    seed: u64,
    /// Processes so far: each has its own randomness.
    processes: Arc<AtomicU64>,
    pub(crate) gate: Arc<Gate>,
    dials: Arc<Mutex<Vec<Time>>>,
    panics: Arc<Mutex<Vec<Time>>>,
}

/// Runs a program on the two ends of a scenario, for at most its duration.
pub(crate) fn over<T>(scenario: &Scenario, seed: u64, program: impl AsyncFnOnce(Ends) -> T) -> Finished<T> {
    over_path(scenario.build(seed).expect("the scenario is sound"), scenario.duration(), seed, program)
}

/// The same, with a delay each way between the NAT and the server: what the NAT drops the server learns half a round trip later.
pub(crate) fn over_beyond<T>(
    delay: Duration,
    scenario: &Scenario,
    seed: u64,
    program: impl AsyncFnOnce(Ends) -> T,
) -> Finished<T> {
    let mut path = scenario.build(seed).expect("the scenario is sound");
    for direction in [Direction::Up, Direction::Down] {
        let change = Change::Link(path.server_link, direction, Box::new(Conditions::new().delay(delay)));
        path.world.change_at(Time::ZERO, change).expect("the delay is possible");
    }
    over_path(path, scenario.duration(), seed, program)
}

/// The same over a path that was built already, and perhaps changed.
pub(crate) fn over_path<T>(
    path: Path,
    limit: Duration,
    seed: u64,
    program: impl AsyncFnOnce(Ends) -> T,
) -> Finished<T> {
    let hosts = [path.clients[0], path.server];
    let server_address = SocketAddr::new(path.server_address, PORT);
    let nat = path.plan.nats().next();
    let run = async |sim: Sim| {
        let (processes, dials, panics) = Default::default();
        let gate = Arc::new(Gate::new(sim.clone(), nat));
        program(Ends { sim, hosts, server_address, seed, processes, gate, dials, panics }).await
    };
    simulate(path.world, limit, run).expect("the system gives a runtime")
}

impl Ends {
    pub(crate) fn now(&self) -> Time {
        self.sim.now()
    }

    /// Where the server listens.
    pub(crate) fn server_address(&self) -> SocketAddr {
        self.server_address
    }

    pub(crate) fn host(&self, who: Who) -> HostId {
        self.hosts[who as usize]
    }

    /// Whom the client trusts.
    pub(crate) fn trust(&self) -> Trust {
        Trust::fingerprint(identity(Who::Server).fingerprint())
    }

    /// When the client dialed.
    pub(crate) fn dials(&self) -> Vec<Time> {
        self.dials.lock().expect("nobody panicked with it").clone()
    }

    /// When a task of a process panicked.
    pub(crate) fn panics(&self) -> Vec<Time> {
        self.panics.lock().expect("nobody panicked with it").clone()
    }

    /// Starts a process on a host: the server listens, the client only dials.
    pub(crate) fn start(&self, who: Who, config: Config, disk: Option<&Disk>) -> Process {
        let (dials, panics) = (self.dials.clone(), self.panics.clone());
        let life = Life::new(self.sim.clone(), (who, self.host(who)), self.gate.clone(), dials, panics);
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let seed = Rng::new(self.seed.rotate_left(16) ^ number << 1 ^ who as u64).bytes();
        let mut builder = Endpoint::with_parts(Parts {
            sockets: Arc::new(Sockets(life.clone())),
            runtime: Arc::new(Inside(life.clone())),
            clock: Arc::new(Calendar(self.sim.clone())),
            seed,
            identity: identity(who),
            config,
        });
        if let Some(disk) = disk {
            builder = builder.store(disk.clone());
        }
        let endpoint = match who {
            Who::Client => builder.client(),
            Who::Server => builder.bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT)),
        };
        Process { endpoint: endpoint.expect("the port is free and the parts are sound"), life }
    }

    /// A session between the client and the server: the client's handle, and the server's. Both endpoints live as long
    /// as the simulation.
    pub(crate) async fn session(&self, config: Config) -> (Session, Session) {
        self.sessions(config, 1).await.pop().expect("there is one")
    }

    /// Several of them between the same two endpoints.
    pub(crate) async fn sessions(&self, config: Config, count: usize) -> Vec<(Session, Session)> {
        let server = self.start(Who::Server, config.clone(), None);
        let client = self.start(Who::Client, config, None);
        let mut sessions = Vec::new();
        for _ in 0..count {
            sessions.push(self.meet(&client, &server).await);
        }
        tokio::spawn(async move {
            let _processes = (client, server);
            std::future::pending::<()>().await;
        });
        sessions
    }

    /// A new session between two processes.
    pub(crate) async fn meet(&self, client: &Process, server: &Process) -> (Session, Session) {
        let dial = client.endpoint.connect(self.server_address, self.trust()).into_future();
        let accept = async {
            let incoming = server.endpoint.accept().await.expect("a dialer comes");
            incoming.accept().await.expect("it stays")
        };
        let (dialed, accepted) = tokio::join!(biased; dial, accept);
        (dialed.expect("the server answers"), accepted)
    }
}
