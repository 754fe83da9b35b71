//! What happens in one random run, made from its seed: a list of operations, so that a failure can be made short by
//! leaving operations out.

use std::sync::OnceLock;
use std::time::Duration;

use bowline::config::{Delivery, LARGE, ReconnectPolicy, WhenFull};
use bowline::error::CloseCode;
use bowline::protocol::types::LinkId;
use bowline::wire::Health;
use bytes::Bytes;

use crate::link::{Side, Weather};
use crate::peer::Life;
use crate::rng::Rng;
use crate::world::{MAX_BODY, Settings, Shape, Who, World};

pub(crate) const LABELS: [&str; 3] = ["chat", "jobs", "bulk"];

/// What kind of trouble a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Links die, fall silent, race.
    Links,
    /// And the acceptor forgets.
    Forgetful,
    /// And both sides have a store that keeps its word.
    Stores,
    /// And stores lose their tail.
    Liars,
    /// Sessions are closed.
    Closing,
    /// Links die in the middle of large messages.
    Bulk,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Open(Side, usize),
    Send {
        side: Side,
        label: usize,
        size: usize,
        count: u64,
        life: Life,
    },
    Recv {
        side: Side,
        label: usize,
        count: u64,
    },
    Take {
        side: Side,
        label: usize,
        count: u64,
    },
    Settle {
        side: Side,
        label: usize,
        which: usize,
        how: u64,
    },
    Finish(Side, usize),
    Refuse(Side, usize),
    Wait(u64),
    Cut {
        which: usize,
        keep: u64,
        notices: [Option<u64>; 2],
    },
    CutAll,
    Silence {
        which: usize,
        ms: u64,
    },
    Network(bool),
    Stop(Side, u64),
    RestartAcceptor {
        lost: usize,
        notice: Option<u64>,
    },
    RestartDialer {
        lost: usize,
        notice: Option<u64>,
    },
    Reconnect,
    /// The dialer goes to the background, or is back after so many milliseconds.
    Background(Option<u64>),
    Health(Side, u64),
    Close {
        side: Side,
        drain_ms: u64,
    },
    Room(u64),
    Cancel {
        side: Side,
        label: usize,
        which: usize,
    },
    Extend {
        side: Side,
        label: usize,
        which: usize,
        life: Option<u64>,
    },
    /// What was never written.
    TakeBack {
        side: Side,
        label: usize,
    },
    RejectTransfer {
        side: Side,
        label: usize,
        which: usize,
    },
    /// Somebody, or the dialer's own identity, repeats a Hello on another link.
    Replay(bool),
}

pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) ops: Vec<Op>,
}

fn side(rng: &mut Rng) -> Side {
    *rng.pick(&[Side::Dialer, Side::Acceptor])
}

fn size(rng: &mut Rng) -> usize {
    match rng.range(0, 39) {
        0 | 1 => 0,
        2 => rng.range(20_000, LARGE as u64) as usize,
        3 => rng.range(LARGE as u64, LARGE as u64 + 2) as usize,
        4 => rng.range(LARGE as u64 + 1, MAX_BODY as u64) as usize,
        // Around what fits a datagram.
        5..=8 => rng.range(1050, 1250) as usize,
        9..=14 => rng.range(300, 9000) as usize,
        _ => rng.range(1, 200) as usize,
    }
}

/// Large messages among others, and moments in which they are on their way.
fn bulk(mixed: bool, rng: &mut Rng) -> Op {
    let label = rng.range(0, 2) as usize;
    match rng.range(0, 19) {
        0..=4 => {
            let size = rng.range(LARGE as u64 + 1, MAX_BODY as u64) as usize;
            Op::Send { side: side(rng), label, size, count: rng.range(1, 3), life: life(mixed, rng) }
        }
        5..=12 => Op::Wait(*rng.pick(&[1, 5, 20, 50, 100, 200, 400])),
        13 | 14 => {
            let notice = |rng: &mut Rng| Some(*rng.pick(&[0, 5, 30]));
            Op::Cut { which: 0, keep: rng.range(0, 100), notices: [notice(rng), notice(rng)] }
        }
        15 => Op::Recv { side: side(rng), label, count: 20 },
        16 => Op::Cancel { side: side(rng), label, which: rng.range(0, 2) as usize },
        17 => Op::RejectTransfer { side: side(rng), label, which: rng.range(0, 2) as usize },
        _ => op(Kind::Links, mixed, rng),
    }
}

fn life(mixed: bool, rng: &mut Rng) -> Life {
    match rng.range(0, 9) {
        0 if mixed => Life::Ever,
        1..=3 if mixed => Life::Ms(*rng.pick(&[1, 10, 50, 150, 500, 3000, 40_000])),
        _ => Life::Channel,
    }
}

/// How each side sends on each label.
fn modes(mixed: bool, rng: &mut Rng) -> [[Delivery; 2]; 3] {
    let mode = |rng: &mut Rng| if mixed { *rng.pick(&Delivery::ALL) } else { Delivery::ReliableOrdered };
    [(); 3].map(|()| [mode(rng), mode(rng)])
}

impl Plan {
    /// With `mixed`, in all modes, with deadlines and second thoughts; else everything is in order and lives for ever.
    pub(crate) fn new(kind: Kind, mixed: bool, seed: u64) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ u64::from(mixed));
        let slow = rng.range(1, 200);
        let stores = match kind {
            Kind::Stores => *rng.pick(&[[true, true], [true, true], [true, false], [false, true]]),
            Kind::Liars => [true, true],
            Kind::Closing => *rng.pick(&[[true, true], [false, false]]),
            _ => [false, false],
        };
        let settings = Settings {
            weather: Weather {
                delay_ms: (1, slow),
                datagram_loss: rng.range(0, 40),
                datagram_copy: rng.range(0, 20),
            },
            stores,
            store_ms: *rng.pick(&[(0, 0), (1, 20), (10, 1000), (100, 8000)]),
            policy: match kind {
                Kind::Bulk => ReconnectPolicy::Responsive,
                _ => *rng.pick(&[ReconnectPolicy::Standard, ReconnectPolicy::Responsive]),
            },
            heartbeat: Duration::from_secs(*rng.pick(&[2, 5, 15])),
            acks: rng.percent(70),
            room: *rng.pick(&[(1, 1), (500, 5000), (65_536, 65_536)]),
            late: rng.range(0, 60),
            slow_apps: 30,
            copies: if kind == Kind::Liars { 0 } else { rng.range(0, 20) },
            max_message: [MAX_BODY; 2],
            modes: modes(mixed, &mut rng),
            shapes: rng.next(),
            ..Settings::default()
        };
        let count = rng.range(10, 70);
        let ops = (0..count).map(|_| op(kind, mixed, &mut rng)).collect();
        Self { seed, settings, ops }
    }
}

/// The application has second thoughts.
fn second_thought(rng: &mut Rng) -> Op {
    let (side, label, which) = (side(rng), rng.range(0, 2) as usize, rng.range(0, 3) as usize);
    match rng.range(0, 9) {
        0..=3 => Op::Cancel { side, label, which },
        4..=7 => {
            let life = *rng.pick(&[None, Some(1), Some(30), Some(200), Some(1000), Some(60_000)]);
            Op::Extend { side, label, which, life }
        }
        _ => Op::RejectTransfer { side, label, which },
    }
}

fn op(kind: Kind, mixed: bool, rng: &mut Rng) -> Op {
    let label = rng.range(0, 2) as usize;
    if kind == Kind::Bulk {
        return bulk(mixed, rng);
    }
    if mixed && rng.percent(12) {
        return second_thought(rng);
    }
    match rng.range(0, 99) {
        0..=9 => Op::Open(side(rng), label),
        10..=31 => {
            let size = size(rng);
            // Many small ones run beyond windows and limits.
            let count = if size < 200 && rng.percent(8) { rng.range(50, 1500) } else { rng.range(1, 6) };
            Op::Send { side: side(rng), label, size, count, life: life(mixed, rng) }
        }
        32..=41 => Op::Recv { side: side(rng), label, count: rng.range(1, 20) },
        42..=47 => Op::Take { side: side(rng), label, count: rng.range(1, 6) },
        48..=55 => Op::Settle {
            side: side(rng),
            label: *rng.pick(&[label, 1]),
            which: rng.range(0, 5) as usize,
            how: *rng.pick(&[0, 1, 2, 2, 2]),
        },
        56..=58 => Op::Finish(side(rng), label),
        59 => Op::Refuse(side(rng), label),
        60..=77 => Op::Wait(*rng.pick(&[0, 1, 5, 20, 50, 100, 300, 1000, 4000, 30_000, 200_000])),
        78..=84 => {
            let notice = |rng: &mut Rng| *rng.pick(&[None, Some(0), Some(5), Some(100), Some(3000)]);
            Op::Cut {
                which: rng.range(0, 9) as usize,
                keep: rng.range(0, 100),
                notices: [notice(rng), notice(rng)],
            }
        }
        85 => Op::CutAll,
        86..=88 => Op::Silence { which: rng.range(0, 9) as usize, ms: *rng.pick(&[100, 2000, 8000, 25_000]) },
        89 => Op::Network(false),
        90 => Op::Network(true),
        91 => Op::Stop(side(rng), *rng.pick(&[500, 4000, 60_000, 700_000])),
        92 => match rng.range(0, 3) {
            0 => Op::Reconnect,
            1 => Op::Background(None),
            2 => Op::Background(Some(*rng.pick(&[100, 20_000]))),
            _ => Op::TakeBack { side: side(rng), label: rng.range(0, 2) as usize },
        },
        93 => Op::Health(side(rng), rng.range(0, 2)),
        94 if rng.percent(50) => Op::Replay(rng.percent(50)),
        94 => Op::Room(rng.range(1, 100_000)),
        _ => trouble(kind, rng),
    }
}

fn trouble(kind: Kind, rng: &mut Rng) -> Op {
    let notice = *rng.pick(&[None, Some(0), Some(200)]);
    let lost = if kind == Kind::Liars { rng.range(0, 3) as usize } else { 0 };
    match kind {
        Kind::Links | Kind::Bulk => Op::Wait(1000),
        Kind::Forgetful if rng.percent(15) => Op::RestartDialer { lost, notice },
        Kind::Forgetful => Op::RestartAcceptor { lost, notice },
        Kind::Stores | Kind::Liars if rng.percent(50) => Op::RestartDialer { lost, notice },
        Kind::Stores | Kind::Liars => Op::RestartAcceptor { lost, notice },
        Kind::Closing => Op::Close { side: side(rng), drain_ms: *rng.pick(&[0, 100, 5000, 30_000]) },
    }
}

/// What a side makes of a label: the same in every process of a run.
fn shape(world: &World, side: Side, label: usize) -> Shape {
    let index = usize::from(side == Side::Acceptor);
    let mut rng = Rng::new(label as u64 * 2 + index as u64 + world.settings.shapes);
    let delivery = world.settings.modes[label][index];
    let whens = [WhenFull::Wait, WhenFull::Error, WhenFull::DropOldest];
    let mixed = world.settings.modes.concat().iter().any(|&mode| mode != Delivery::ReliableOrdered);
    let lifetimes = [10, 40, 200, 1000, 5000, 60_000].map(Duration::from_millis);
    let large = |rng: &mut Rng| rng.range(MAX_BODY as u64, 2 * MAX_BODY as u64) as usize;
    Shape {
        delivery,
        expect: world.settings.modes[label][1 - index],
        outbox: (
            if rng.percent(80) { rng.range(1, 40) } else { rng.range(100, 3000) } as usize,
            rng.range(LARGE as u64, 200_000) as usize,
        ),
        inbox: (rng.range(1, 2000) as usize, rng.range(LARGE as u64, 250_000) as usize),
        large: (large(&mut rng), large(&mut rng)),
        redeliver: rng.percent(50) && delivery.is_reliable(),
        attempts: rng.range(1, 4) as u32,
        deadline: (mixed && rng.percent(40)).then(|| *rng.pick(&lifetimes)),
        when_full: whens[rng.range(0, if delivery.is_reliable() { 1 } else { 2 }) as usize],
        priority: rng.range(0, 2) as i8 - 1,
        weight: rng.range(1, 3) as u8,
    }
}

pub(crate) fn open(world: &mut World, side: Side, label: usize) {
    let shape = shape(world, side, label);
    world.open(side, LABELS[label], &shape);
}

/// Bytes that no other message of the run has, unless it is tiny.
pub(crate) fn payload(world: &mut World, size: usize) -> Bytes {
    static NOISE: OnceLock<Bytes> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut rng = Rng::new(0);
        (0..1 << 17).flat_map(|_| rng.next().to_be_bytes()).collect()
    });
    let number = world.model.counts.accepted + 1;
    let start = (number as usize * 1009) % (noise.len() - size);
    noise.slice(start..start + size)
}

pub(crate) fn apply(world: &mut World, op: &Op) {
    let which = |world: &World, n: usize| -> Option<LinkId> {
        let ids: Vec<LinkId> = world.links.values().filter(|link| !link.cut).map(|link| link.id).collect();
        (!ids.is_empty()).then(|| ids[ids.len() - 1 - n.min(ids.len() - 1)])
    };
    let ms = |ms: Option<u64>| ms.map(Duration::from_millis);
    match *op {
        Op::Open(side, label) => open(world, side, label),
        Op::Send { side, label, size, count, life } => {
            open(world, side, label);
            // The last label is not opened by its receiver until it thinks of it.
            if label != 2 {
                open(world, side.other(), label);
            }
            for _ in 0..count {
                let payload = payload(world, size);
                world.with(world.on(side), |peer, model, now| {
                    peer.send(LABELS[label], payload, life, model, now)
                });
            }
        }
        Op::Cancel { side, label, which } => {
            world.with(world.on(side), |peer, model, now| peer.cancel(LABELS[label], which, model, now));
        }
        Op::Extend { side, label, which, life } => {
            world
                .with(world.on(side), |peer, model, now| peer.extend(LABELS[label], which, life, model, now));
        }
        Op::RejectTransfer { side, label, which } => {
            world.with(world.on(side), |peer, model, now| {
                peer.reject_transfer(LABELS[label], which, model, now)
            });
        }
        // One label is always taken to be acknowledged later.
        Op::Take { side, label, count } | Op::Recv { side, label: label @ 1, count } => {
            world.with(world.on(side), |peer, model, now| peer.take(LABELS[label], count, model, now));
        }
        Op::Recv { side, label, count } => {
            world.with(world.on(side), |peer, model, now| peer.recv(LABELS[label], count, model, now));
        }
        Op::Settle { side, label, which, how } => {
            for _ in 0..3 {
                world.with(world.on(side), |peer, model, now| {
                    peer.settle(LABELS[label], which, how, model, now);
                    peer.take(LABELS[label], 2, model, now);
                });
            }
        }
        Op::Finish(side, label) => {
            world.with(world.on(side), |peer, _, _| {
                if let Some(open) = peer.channels.get_mut(LABELS[label]) {
                    open.finished = true;
                    peer.machine.finish(open.key);
                }
            });
        }
        Op::Refuse(side, label) => {
            world.with(world.on(side), |peer, _, now| {
                if let Some(open) = peer.channels.get_mut(LABELS[label]) {
                    open.refused = true;
                    peer.machine.refuse(open.key, "no more", now);
                }
            });
        }
        Op::Wait(length) => world.run(Duration::from_millis(length)),
        Op::Cut { which: n, keep, notices } => {
            if let Some(link) = which(world, n) {
                world.cut(link, keep, [ms(notices[0]), ms(notices[1])]);
            }
        }
        Op::CutAll => world.cut_all([None, None]),
        Op::Silence { which: n, ms } => {
            if let Some(link) = which(world, n) {
                world.silence(link, Duration::from_millis(ms));
            }
        }
        Op::Network(up) => world.net_up = up,
        Op::Stop(side, length) => world.stop(world.on(side), Duration::from_millis(length)),
        Op::RestartAcceptor { lost, notice } => world.restart_acceptor(lost, ms(notice)),
        Op::RestartDialer { lost, notice } => world.restart_dialer(lost, ms(notice)),
        Op::Reconnect => {
            world.with(Who::Dialer, |peer, _, now| peer.machine.reconnect(now));
        }
        Op::Background(None) => {
            world.with(Who::Dialer, |peer, _, _| peer.machine.going_to_background());
        }
        Op::Background(Some(asleep)) => {
            let asleep = Duration::from_millis(asleep);
            world.with(Who::Dialer, |peer, _, now| peer.machine.resumed(asleep, now));
        }
        Op::TakeBack { side, label } => {
            world.with(world.on(side), |peer, model, now| peer.take_back(LABELS[label], model, now));
        }
        Op::Health(side, health) => {
            let health = [Health::Serving, Health::Busy, Health::Draining][health as usize];
            world.with(world.on(side), |peer, _, now| peer.machine.set_health(health, now));
        }
        Op::Close { side, drain_ms } => {
            let drain = Duration::from_millis(drain_ms);
            world.with(world.on(side), |peer, _, now| {
                peer.machine.close(CloseCode::Normal, "bye", drain, now)
            });
        }
        Op::Replay(own) => world.replay(if own { crate::net::DIALER } else { b"eve" }),
        Op::Room(bytes) => {
            let attached = world.dialer.machine.attached();
            world.with(Who::Dialer, |peer, _, _| {
                if let Some(link) = attached {
                    peer.machine.handle_link_room(link, bytes as usize);
                }
            });
        }
    }
    world.settle();
    world.check();
}
