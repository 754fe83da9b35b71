//! Quinn over simulated networks: replay, rebinding, moving, and what the workloads report.

use std::time::Duration;

use super::*;
use crate::link::Conditions;
use crate::nat::NatConfig;
use crate::scenario::Scenario;
use crate::trace::run_twice;
use crate::world::{Change, Link, LinkId, NatChange, NetworkId};

fn trace(scenario: &Scenario, seed: u64, workload: Workload) -> crate::Trace {
    run(scenario, seed, workload).unwrap().trace
}

#[test]
fn a_run_over_quinn_is_replayed_from_its_seed() {
    let scenario = Scenario::subway();
    let first = run_twice(|| trace(&scenario, 1, Workload::Echo)).unwrap();
    assert!(first.count() > 2_000, "{}", first.count());
    assert_ne!(first.hash(), trace(&scenario, 2, Workload::Echo).hash());
}

#[test]
fn corruption_duplication_and_disorder_are_replayed_too() {
    let noisy = Conditions::new()
        .delay(Duration::from_millis(20))
        .jitter(Duration::from_millis(5))
        .loss(3.0)
        .corrupt(3.0)
        .duplicate(3.0)
        .reorder(3.0, Duration::from_millis(15))
        .rate(4_000_000);
    let scenario = Scenario::new("noisy", Duration::from_secs(20)).both(noisy).nat(NatConfig::linux());
    for workload in [Workload::Flow, Workload::Bulk] {
        for seed in 1..=3 {
            let trace = run_twice(|| trace(&scenario, seed, workload)).unwrap();
            for fate in [Fate::Lost, Fate::Corrupted, Fate::Duplicated] {
                assert!(trace.fates()[&fate] > 10, "{workload:?} {seed} {fate}");
            }
        }
    }
}

#[test]
fn where_nothing_is_drawn_all_seeds_give_the_same_run() {
    for scenario in [Scenario::geo(), Scenario::vpn_mtu().ipv6()] {
        assert!(!scenario.is_random());
        assert_eq!(trace(&scenario, 1, Workload::Echo).hash(), trace(&scenario, 2, Workload::Echo).hash());
    }
}

#[test]
fn an_echo_takes_the_way_there_and_back() {
    let summary = run(&Scenario::geo(), 1, Workload::Echo).unwrap();
    assert!(summary.arrived > 1_100, "{summary:?}");
    let median = summary.latency(0.5).unwrap();
    assert!((Duration::from_millis(600)..Duration::from_millis(640)).contains(&median), "{median:?}");
}

#[test]
fn a_download_is_as_fast_as_the_link() {
    let link = Conditions::new().delay(Duration::from_millis(10)).rate(20_000_000);
    let scenario = Scenario::new("link", Duration::from_secs(60)).both(link);
    let summary = run(&scenario, 1, Workload::Bulk).unwrap();
    assert_eq!(summary.arrived, 16 << 20);
    let mbit = summary.arrived as f64 * 8.0 / summary.at.since_start().as_secs_f64() / 1e6;
    assert!((15.0..20.0).contains(&mbit), "{mbit} Mbit/s");
}

#[test]
fn faults_are_met_where_a_scenario_has_them() {
    for (scenario, faults) in [
        (Scenario::elevator(), &["blocked", "nat_mappings_rebound"][..]),
        (Scenario::cgn_30s(), &["nat_mappings_expired"]),
        (Scenario::super_sim(), &["nat_mappings_expired"]),
        (Scenario::wifi_to_lte(), &["interface_changes", "interface_down"]),
        (Scenario::vpn_mtu(), &["too_big"]),
        (Scenario::wifi(), &["lost", "reordered"]),
    ] {
        let summary = run(&scenario, 1, Workload::Echo).unwrap();
        for fault in faults {
            assert!(
                summary.faults().contains_key(fault),
                "{fault}: {} {:?}",
                scenario.name(),
                summary.faults()
            );
        }
        assert!(summary.arrived > 300, "{} {}", scenario.name(), summary.arrived);
    }
    let summary = run(&Scenario::udp_blocked(), 1, Workload::Echo).unwrap();
    assert_eq!((summary.connections, summary.arrived), (0, 0));
}

#[test]
fn every_named_scenario_is_exercised_by_its_default_workload() {
    for scenario in Scenario::all() {
        let summary = run(&scenario, 1, Workload::default()).unwrap();
        summary.coverage.check().unwrap_or_else(|why| panic!("{}: {why}", scenario.name()));
    }
}

#[test]
fn every_named_scenario_is_replayed_and_the_seed_matters_where_something_is_drawn() {
    let mut random = 0;
    for scenario in Scenario::all() {
        // Long enough for the first of what happens; the whole of it is for optimised builds.
        let scenario = scenario.shortened(Duration::from_secs(22));
        let first = run_twice(|| trace(&scenario, 1, Workload::Echo));
        let first = first.unwrap_or_else(|divergence| panic!("{}: {divergence}", scenario.name()));
        let same = first.hash() == trace(&scenario, 2, Workload::Echo).hash();
        assert_eq!(same, !scenario.is_random(), "{}", scenario.name());
        random += usize::from(!same);
    }
    assert!(random >= 10, "{random}");
}

#[test]
fn a_download_that_is_over_before_the_faults_come_exercises_nothing() {
    let summary = run(&Scenario::elevator(), 1, Workload::Bulk).unwrap();
    let why = summary.coverage.check().unwrap_err().to_string();
    assert!(why.contains("at[0] (10s) both: block: the run ended before it"), "{why}");
}

/// A client behind a NAT and a server that echoes streams.
struct Pair {
    world: World,
    client: HostId,
    server: HostId,
    home: NetworkId,
    wifi: LinkId,
}

const SERVER: &str = "198.51.100.1:443";

fn pair() -> Pair {
    let mut world = World::new(1);
    let ip = |text: &str| text.parse().unwrap();
    let slow = Link::both(Conditions::new().delay(Duration::from_millis(20)));
    let home =
        world.nat("home", World::INTERNET, [ip("203.0.113.1")], NatConfig::linux(), slow.clone()).unwrap();
    let (client, server) = (world.host("client"), world.host("server"));
    let wifi = world.attach(client, home, [ip("10.0.0.2")], Link::perfect()).unwrap();
    world.attach(client, World::INTERNET, [ip("203.0.113.77")], slow).unwrap();
    world.attach(server, World::INTERNET, [ip("198.51.100.1")], Link::perfect()).unwrap();
    Pair { world, client, server, home, wifi }
}

/// Connects, does something to the network, and echoes once more; says whom the server saw before and after.
fn through(act: impl AsyncFnOnce(&Sim, &Endpoint, &Ids)) -> (SocketAddr, SocketAddr) {
    let Pair { world, client, server, home, wifi } = pair();
    let ids = Ids { client, home, wifi };
    let finished = simulate(world, Duration::from_secs(60), async |sim: Sim| {
        let listener = sim.endpoint(server, SERVER.parse().unwrap(), Some(server_config().unwrap())).unwrap();
        let mut endpoint = sim.endpoint(client, "0.0.0.0:0".parse().unwrap(), None).unwrap();
        endpoint.set_default_client_config(client_config("client").unwrap());
        let accepted = tokio::spawn(async move { listener.accept().await.unwrap().await.unwrap() });
        let connecting = endpoint.connect(SERVER.parse().unwrap(), "server.test").unwrap();
        let connection = connecting.await.unwrap();
        let accepted = accepted.await.unwrap();
        let before = accepted.remote_address();
        act(&sim, &endpoint, &ids).await;
        let mut send = connection.open_uni().await.unwrap();
        send.write_all(b"still here").await.unwrap();
        send.finish().unwrap();
        let mut receive = accepted.accept_uni().await.unwrap();
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"still here");
        (before, accepted.remote_address())
    });
    finished.unwrap().output.expect("it ended before the limit")
}

struct Ids {
    client: HostId,
    home: NetworkId,
    wifi: LinkId,
}

#[test]
fn quinn_follows_a_nat_that_rebinds() {
    let (before, after) = through(async |sim, _, ids| {
        sim.with_world(|now, world| {
            world.change(now, Change::Nat(ids.home, NatChange::RebindPorts)).unwrap();
        });
    });
    assert_eq!((before.ip(), before.port() == after.port()), (after.ip(), false));
}

#[test]
fn quinn_follows_a_host_that_moves() {
    let (before, after) = through(async |sim, _, ids| {
        sim.with_world(|now, world| {
            world.change(now, Change::Interface(ids.client, ids.wifi, false)).unwrap();
        });
    });
    assert_eq!(
        (before.ip().to_string(), after.ip().to_string()),
        ("203.0.113.1".into(), "203.0.113.77".into())
    );
}

#[test]
fn an_endpoint_rebinds_to_a_new_socket() {
    let (before, after) = through(async |sim, endpoint, ids| {
        sim.rebind(endpoint, ids.client, "203.0.113.77:0".parse().unwrap()).unwrap();
        let in_use = sim.bind(ids.client, endpoint.local_addr().unwrap());
        assert_eq!(in_use.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    });
    assert_eq!(
        (before.ip().to_string(), after.ip().to_string()),
        ("203.0.113.1".into(), "203.0.113.77".into())
    );
}

#[test]
fn many_clients_share_a_server() {
    let scenario = Scenario::new("crowd", Duration::from_secs(5))
        .both(Conditions::new().delay(Duration::from_millis(20)).loss(1.0))
        .nat(NatConfig::linux());
    let summary = Run::new(&scenario).clients(20).run().unwrap();
    assert_eq!(summary.connections, 20);
    assert!(summary.arrived > 20 * 80, "{}", summary.arrived);
}
