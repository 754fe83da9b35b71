//! The proxy between real sockets on loopback. What depends on time is tested in virtual time, beside the engine.
#![cfg(feature = "proxy")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bowline_netsim::proxy::{BindError, Command, Event, Events, Options, Proxy, Reply, Side, Status};
use bowline_netsim::{Conditions, Direction, NatConfig, Packet, Pipe, Scenario, Step, Time};

/// Longer than anything here takes on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

const ANY: &str = "127.0.0.1:0";

/// An address on which no other test listens: a port that is free there stays free.
const ALONE: &str = if cfg!(target_os = "linux") { "127.0.0.7:0" } else { ANY };

fn socket(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A server, and a proxy before it.
struct Net {
    server: UdpSocket,
    proxy: Proxy,
    events: Events,
}

impl Net {
    async fn new(options: Options) -> Self {
        let server = socket(ANY);
        let proxy = Proxy::bind(addr(ANY), server.local_addr().unwrap(), options).await.unwrap();
        let events = proxy.events();
        Self { server, proxy, events }
    }

    fn client(&self) -> UdpSocket {
        let client = socket(ANY);
        client.connect(self.proxy.addr()).unwrap();
        client
    }

    /// The client says this, and the server hears it, from whom it says.
    #[track_caller]
    fn up(&self, client: &UdpSocket, text: &str) -> SocketAddr {
        client.send(text.as_bytes()).unwrap();
        let (heard, from) = hear_from(&self.server);
        assert_eq!(heard, text);
        from
    }

    /// The server says this, and the client hears it.
    #[track_caller]
    fn down(&self, to: SocketAddr, client: &UdpSocket, text: &str) {
        self.server.send_to(text.as_bytes(), to).unwrap();
        assert_eq!(hear_from(client).0, text);
    }

    /// Waits for the figures to be like this.
    async fn until(&self, is: impl Fn(&Status) -> bool) -> Status {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let status = self.proxy.status();
                if is(&status) {
                    return status;
                }
                tokio::time::sleep(ms(1)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("it never came to that: {:#?}", self.proxy.status()))
    }

    async fn event(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.next()).await.unwrap().unwrap().event
    }

    /// Waits for an event like this, past others.
    async fn event_like(&mut self, like: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.event().await;
            if like(&event) {
                return event;
            }
        }
    }
}

#[track_caller]
fn hear_from(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 2048];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    (String::from_utf8_lossy(&buffer[..len]).into_owned(), from)
}

#[track_caller]
fn command(proxy: &Proxy, line: &str) -> Reply {
    proxy.command(&line.parse::<Command>().unwrap()).unwrap()
}

#[tokio::test]
async fn many_clients_speak_at_once_and_each_is_answered() {
    let net = Net::new(Options::new()).await;
    let clients: Vec<_> = (0..60).map(|_| net.client()).collect();
    let mut seen = BTreeSet::new();
    for (number, client) in clients.iter().enumerate() {
        seen.insert((net.up(client, &format!("from {number}")), number));
    }
    let ports: BTreeSet<_> = seen.iter().map(|(from, _)| *from).collect();
    assert_eq!(ports.len(), 60, "the server tells them apart");
    for (from, number) in &seen {
        net.server.send_to(format!("to {number}").as_bytes(), from).unwrap();
    }
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(hear_from(client).0, format!("to {number}"));
        assert_eq!(
            net.up(client, "again"),
            seen.iter().find(|(_, n)| *n == number).unwrap().0,
            "the port stays"
        );
    }
    let status = net.proxy.stop().await;
    assert_eq!((status.mappings, status.mappings_made), (60, 60));
    assert_eq!((status.up.packets_in, status.up.packets_out), (120, 120));
    assert_eq!((status.down.packets_in, status.down.packets_out), (60, 60));
    assert_eq!(status.up.bytes_in, status.up.bytes_out);
    assert!(status.up.delay_ms.unwrap().min < 1_000.0);
}

#[tokio::test]
async fn after_a_rebind_the_server_is_heard_only_by_whom_has_spoken_from_the_new_port() {
    let mut net = Net::new(Options::new()).await;
    let (one, two) = (net.client(), net.client());
    let (old_one, old_two) = (net.up(&one, "1"), net.up(&two, "2"));
    assert_eq!(command(&net.proxy, "rebind"), Reply::Mappings(2));
    assert_eq!(
        net.event_like(|event| matches!(event, Event::Rebound { .. })).await,
        Event::Rebound { mappings: 2 }
    );
    net.server.send_to(b"lost", old_one).unwrap();
    net.until(|status| status.down.dropped.nat_unmapped == 1).await;
    let new_one = net.up(&one, "1 again");
    assert_ne!(new_one, old_one);
    net.server.send_to(b"lost", old_one).unwrap();
    net.server.send_to(b"lost", old_two).unwrap();
    net.until(|status| status.down.dropped.nat_unmapped == 3).await;
    net.down(new_one, &one, "first that arrives");
    let new_two = net.up(&two, "2 again");
    assert!(new_two != old_two && new_two != new_one);
    net.down(new_two, &two, "first that arrives");
    let status = net.proxy.stop().await;
    assert_eq!((status.rebinds, status.expiries, status.mappings_made), (1, 0, 4));
    assert_eq!(status.down.packets_out, 2);
}

#[tokio::test]
async fn an_expired_mapping_is_silence_until_the_client_speaks() {
    // Once by time, once by word.
    let nat = NatConfig::new().timeout(ms(50));
    let scenario = Scenario::new("short", Duration::from_secs(3_600)).nat(nat);
    for (options, by_word) in [(Options::new().scenario(scenario), false), (Options::new(), true)] {
        let mut net = Net::new(options).await;
        let client = net.client();
        let old = net.up(&client, "hello");
        if by_word {
            assert_eq!(command(&net.proxy, "expire"), Reply::Mappings(1));
        }
        net.event_like(|event| *event == Event::Expired { mappings: 1 }).await;
        net.server.send_to(b"lost", old).unwrap();
        net.until(|status| status.down.dropped.nat_unmapped == 1).await;
        let new = net.up(&client, "hello again");
        assert_ne!(new, old);
        // The old socket is deaf for good; with the new one nothing is asserted that a slow machine would let expire.
        net.server.send_to(b"lost", old).unwrap();
        net.until(|status| status.down.dropped.nat_unmapped == 2).await;
        if by_word {
            net.down(new, &client, "first that arrives");
        }
        assert!(net.proxy.stop().await.expiries >= 1);
    }
}

#[tokio::test]
async fn each_direction_is_blocked_and_unblocked_by_itself() {
    let mut net = Net::new(Options::new()).await;
    let client = net.client();
    let seen_as = net.up(&client, "hello");
    net.event_like(|event| matches!(event, Event::Mapped { .. })).await;

    assert_eq!(command(&net.proxy, "block up"), Reply::Done);
    assert_eq!(net.event().await, Event::Blocked { direction: Direction::Up, for_ms: None });
    client.send(b"lost").unwrap();
    net.until(|status| status.up.dropped.blocked == 1).await;
    net.down(seen_as, &client, "down is open");

    assert_eq!(command(&net.proxy, "block down"), Reply::Done);
    assert_eq!(command(&net.proxy, "unblock up"), Reply::Done);
    net.server.send_to(b"lost", seen_as).unwrap();
    let status = net.until(|status| status.down.dropped.blocked == 1).await;
    assert!(!status.up.blocked && status.down.blocked);
    net.up(&client, "up is open");

    assert_eq!(command(&net.proxy, "block both 20ms"), Reply::Done);
    let is_over = |event: &Event| *event == Event::Unblocked { direction: Direction::Down };
    net.event_like(is_over).await;
    net.up(&client, "both are open");
    net.down(seen_as, &client, "both are open");
    assert_eq!(net.proxy.stop().await.up.dropped.blocked, 1);
}

#[tokio::test]
async fn the_packets_that_are_lost_are_those_of_the_seed() {
    let lossy = Conditions::new().loss(20.0);
    let mut link = Pipe::new("client.0.up", 42, &lossy).unwrap();
    let count = 1_000_u32;
    let expected: Vec<_> = (0..count)
        .filter(|_| {
            link.push(Time::ZERO, Packet::new(addr(ANY), addr(ANY), "x"));
            link.pop(Time::ZERO).unwrap().fate.arrives()
        })
        .collect();
    let net = Net::new(Options::new().seed(42)).await;
    command(&net.proxy, "loss up 20");
    let client = net.client();
    let mut arrived = Vec::new();
    for number in 0..count {
        client.send(&number.to_be_bytes()).unwrap();
        // No buffer of the operating system overflows like this.
        let seen = net.until(|status| status.up.packets_in == u64::from(number) + 1).await.up.packets_out;
        if seen > arrived.len() as u64 {
            let mut bytes = [0; 4];
            net.server.recv(&mut bytes).unwrap();
            arrived.push(u32::from_be_bytes(bytes));
        }
    }
    assert_eq!(arrived, expected);
    let status = net.proxy.stop().await;
    assert_eq!(status.up.dropped.lost, u64::from(count) - expected.len() as u64);
    assert!((16.0..24.0).contains(&status.up.loss_percent));
}

#[tokio::test]
async fn a_delay_is_kept_in_each_direction() {
    let net = Net::new(Options::new()).await;
    let client = net.client();
    command(&net.proxy, "delay up 30ms");
    net.proxy.set_delay(Side::Down, ms(45)).unwrap();
    #[allow(clippy::disallowed_methods, reason = "real time is what this is about")]
    let now = Instant::now;
    let start = now();
    let seen_as = net.up(&client, "slowly");
    assert!(now() - start >= ms(30));
    let start = now();
    net.down(seen_as, &client, "slowly");
    assert!(now() - start >= ms(45));
    let status = net.proxy.stop().await;
    assert!(status.up.delay_ms.unwrap().min >= 29.9 && status.down.delay_ms.unwrap().min >= 44.9);
}

#[tokio::test]
async fn every_setting_reaches_the_link_and_reset_takes_them_back() {
    let mut net = Net::new(Options::new()).await;
    let client = net.client();
    let seen_as = net.up(&client, "hello");
    for line in
        ["loss 0", "burst 0", "jitter 0ms", "duplicate 100", "corrupt 0", "reorder 0", "rate unlimited"]
    {
        assert_eq!(command(&net.proxy, line), Reply::Done, "{line}");
    }
    net.down(seen_as, &client, "twice");
    assert_eq!(hear_from(&client).0, "twice");
    command(&net.proxy, "corrupt up 100");
    client.send(&[0; 64]).unwrap();
    let mut received = [0; 64];
    net.server.recv(&mut received).unwrap();
    assert_eq!(received.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    command(&net.proxy, "mtu up 100");
    client.send(&[0; 73]).unwrap();
    net.until(|status| status.up.dropped.too_big == 1).await;
    command(&net.proxy, "queue-bytes 1500");
    command(&net.proxy, "loss up 100");
    client.send(b"lost").unwrap();
    net.until(|status| status.up.dropped.lost == 1).await;
    let refused = net.proxy.set_loss(Side::Both, 140.0).unwrap_err().to_string();
    assert!(refused.contains("140 % is impossible"), "{refused}");
    assert_eq!(command(&net.proxy, "reset"), Reply::Done);
    net.event_like(|event| *event == Event::Reset).await;
    let mut copy = [0; 64];
    net.server.recv(&mut copy).unwrap();
    assert_eq!(copy, received, "the copy of the corrupted packet came before");
    assert_eq!(net.up(&client, "clean"), seen_as);
    assert!(matches!(command(&net.proxy, "status"), Reply::Status(status) if status.up.duplicated == 1));
}

#[tokio::test]
async fn a_scenario_tells_its_steps_as_they_happen() {
    let hole = || Conditions::new().block(true);
    let scenario = Scenario::new("steps", ms(40))
        .nat(NatConfig::new())
        .step(Step::at(ms(5)).lasting(ms(5)).down(hole()))
        .step(Step::at(ms(20)).nat(bowline_netsim::NatStep::RebindPorts))
        .step(Step::at(ms(30)).up(Conditions::new().loss(3.0)));
    let mut net = Net::new(Options::new()).await;
    let client = net.client();
    let before = net.up(&client, "hello");
    net.proxy.play(scenario).unwrap();
    net.event_like(|event| matches!(event, Event::Mapped { .. })).await;
    let down = Direction::Down;
    let change = Box::new(Conditions::new().loss(3.0));
    for expected in [
        Event::Scenario { name: "steps".into(), duration_ms: 40 },
        Event::Blocked { direction: down, for_ms: None },
        Event::Unblocked { direction: down },
        Event::Rebound { mappings: 1 },
        Event::Conditions { direction: Direction::Up, change },
        Event::ScenarioEnded { name: "steps".into() },
    ] {
        assert_eq!(net.event().await, expected);
    }
    command(&net.proxy, "loss 0");
    assert_ne!(net.up(&client, "hello again"), before);
    let unknown = net.proxy.command(&Command::Scenario("elevater".into())).unwrap_err().to_string();
    assert!(unknown.contains("did you mean elevator?"), "{unknown}");
    assert_eq!(command(&net.proxy, "scenario elevator"), Reply::Done);
    assert_eq!(net.proxy.stop().await.scenario.unwrap().name, "elevator");
}

#[tokio::test]
async fn an_upstream_that_refuses_is_said_once_for_each_mapping_and_may_come_later() {
    let server_addr = socket(ALONE).local_addr().unwrap();
    let proxy = Proxy::bind(addr(ANY), server_addr, Options::new()).await.unwrap();
    let mut net = Net { server: socket(ANY), events: proxy.events(), proxy };
    let clients = [net.client(), net.client()];
    for client in &clients {
        // One packet is enough to know.
        client.send(b"anybody there?").unwrap();
        let who = client.local_addr().unwrap();
        let refused = Event::UpstreamRefused { upstream: server_addr, client: who };
        assert_eq!(net.event_like(|event| !matches!(event, Event::Mapped { .. })).await, refused);
        for _ in 0..4 {
            client.send(b"anybody there?").unwrap();
        }
    }
    net.until(|status| status.up.packets_in == 10).await;
    net.server = socket(&server_addr.to_string());
    // A refusal that is still under way costs nothing either.
    let seen_as = net.up(&clients[0], "now");
    net.down(seen_as, &clients[0], "now");
    net.up(&clients[1], "now");
    net.proxy.rebind();
    assert_eq!(
        net.event_like(|event| !matches!(event, Event::Mapped { .. })).await,
        Event::Rebound { mappings: 2 }
    );
}

#[tokio::test]
async fn both_families_and_every_mixture_of_them() {
    for (listen, upstream) in [("[::1]:0", "[::1]:0"), ("[::1]:0", ANY), (ANY, "[::1]:0"), ("0.0.0.0:0", ANY)]
    {
        let server = socket(upstream);
        let proxy = Proxy::bind(addr(listen), server.local_addr().unwrap(), Options::new()).await.unwrap();
        let to = if listen.starts_with("0.0") { addr("127.0.0.1:0") } else { addr(listen) };
        let to = SocketAddr::new(to.ip(), proxy.addr().port());
        let client = socket(&SocketAddr::new(to.ip(), 0).to_string());
        client.connect(to).unwrap();
        client.send(b"up").unwrap();
        let (heard, from) = hear_from(&server);
        assert_eq!(heard, "up", "{listen} {upstream}");
        server.send_to(b"down", from).unwrap();
        assert_eq!(hear_from(&client).0, "down", "{listen} {upstream}");
    }
}

// Elsewhere loopback is one address, unless more are configured.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_is_answered_from_the_address_that_it_spoke_to() {
    let server = socket(ANY);
    let proxy = Proxy::bind(addr("0.0.0.0:0"), server.local_addr().unwrap(), Options::new()).await.unwrap();
    let client = socket(ANY);
    let to = SocketAddr::new([127, 0, 0, 2].into(), proxy.addr().port());
    client.send_to(b"up", to).unwrap();
    let (_, from) = hear_from(&server);
    server.send_to(b"down", from).unwrap();
    assert_eq!(hear_from(&client), ("down".to_owned(), to));
}

#[tokio::test]
async fn empty_and_large_datagrams_pass_unchanged() {
    let net = Net::new(Options::new()).await;
    let client = net.client();
    let mut buffer = vec![0; 65_536];
    for len in [0, 1, 1_200, 9_000, 65_507] {
        let payload: Vec<u8> = (0..len).map(|place| place as u8).collect();
        client.send(&payload).unwrap();
        let (received, from) = net.server.recv_from(&mut buffer).unwrap();
        assert!(buffer[..received] == payload, "{len}");
        net.server.send_to(&payload, from).unwrap();
        let received = client.recv(&mut buffer).unwrap();
        assert!(buffer[..received] == payload, "{len}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_does_not_mind_a_clock_that_stands_still() {
    let net = Net::new(Options::new()).await;
    command(&net.proxy, "delay 5ms");
    let client = net.client();
    // This blocks the only thread of this runtime, too.
    let seen_as = net.up(&client, "hello");
    net.down(seen_as, &client, "hello");
}

#[tokio::test]
async fn a_slow_reader_hears_how_much_it_missed() {
    let mut net = Net::new(Options::new()).await;
    for _ in 0..1_100 {
        net.proxy.rebind();
    }
    assert_eq!(net.event().await, Event::Missed { count: 76 });
    assert_eq!(net.event().await, Event::Rebound { mappings: 0 });
}

#[tokio::test]
async fn when_it_ends_its_ports_are_free_and_its_events_are_over() {
    let server = socket(ANY);
    let proxy = Proxy::bind(addr(ALONE), server.local_addr().unwrap(), Options::new()).await.unwrap();
    let mut net = Net { server, events: proxy.events(), proxy };
    let (client, at) = (net.client(), net.proxy.addr());
    net.up(&client, "hello");
    assert_eq!(net.proxy.stop().await.up.packets_out, 1);
    socket(&at.to_string());
    assert!(matches!(net.event().await, Event::Mapped { .. }));
    assert_eq!(net.events.next().await, None);
    assert_eq!(net.proxy.events().next().await, None);
    assert_eq!(net.proxy.stop().await.up.packets_out, 1, "again is no harm");

    let mut net = Net::new(Options::new()).await;
    drop(net.proxy);
    assert_eq!(tokio::time::timeout(PATIENCE, net.events.next()).await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_bound_says_why() {
    let taken = socket(ALONE).local_addr().unwrap();
    let holder = socket(&taken.to_string());
    let server = addr("127.0.0.1:9");
    let fails = async |listen, upstream, options| -> BindError {
        Proxy::bind(listen, upstream, options).await.unwrap_err()
    };
    let in_use = fails(taken, server, Options::new()).await;
    assert!(matches!(in_use, BindError::Listen { .. }));
    assert!(in_use.to_string().contains("choose another port"), "{in_use}");
    let elsewhere = fails(addr("203.0.113.1:0"), server, Options::new()).await.to_string();
    assert!(elsewhere.contains("cannot listen on 203.0.113.1:0"), "{elsewhere}");
    let nobody = fails(addr(ANY), addr(ANY), Options::new()).await.to_string();
    assert!(nobody.contains("port 0 is nobody's"), "{nobody}");
    let unspecified = fails(addr(ANY), addr("0.0.0.0:5"), Options::new()).await.to_string();
    assert!(unspecified.contains("no address to send to"), "{unspecified}");
    drop(holder);
    let itself = fails(taken, taken, Options::new()).await.to_string();
    assert!(itself.contains("where the proxy itself listens"), "{itself}");
    let none = fails(addr(ANY), server, Options::new().max_mappings(0)).await.to_string();
    assert!(none.contains("between 1 and 60000"), "{none}");
    let little = fails(addr(ANY), server, Options::new().max_queued_bytes(9)).await.to_string();
    assert!(little.contains("at least 65536"), "{little}");
    let short = Scenario::new("bad", ms(5)).nat(NatConfig::new().timeout(Duration::ZERO));
    let short = fails(addr(ANY), server, Options::new().scenario(short)).await.to_string();
    assert!(short.contains("nat timeout = 0s is impossible"), "{short}");
}
