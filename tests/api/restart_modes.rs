//! Every delivery mode through a restart of either process, with a store that lasts.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline::error::Outcome;
use bowline::{Channel, ChannelConfig, Delivery, Event, Inbox, Receipt, SendOptions, Session};
use tokio::runtime::Runtime;

use crate::restart::{Before, Side, before_durably, process};
use crate::support::{channel, number, payload, take, until, within};

const BRIEF: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(3600);

/// Ends a process without a word.
fn kill(process: Runtime) {
    process.shutdown_timeout(Duration::from_secs(30));
}

async fn send(out: &Channel, number: u32, size: usize) -> Receipt {
    within("room", out.send(payload(number, size))).await.unwrap()
}

async fn send_all(out: &Channel, numbers: std::ops::RangeInclusive<u32>, size: usize) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for number in numbers {
        receipts.push(send(out, number, size).await);
    }
    receipts
}

/// Both sides of a label before the restart: the dialer sends, and the acceptor receives.
struct Label {
    out: Channel,
    _back: Inbox,
    peer_out: Channel,
    inbox: Inbox,
}

fn label(before: &Before, label: &str, config: ChannelConfig) -> Label {
    let (out, back) = before.dialing.block_on(before.pair.dialed.open(label, config.clone())).unwrap();
    let (peer_out, inbox) = before.accepting.block_on(before.pair.accepted.open(label, config)).unwrap();
    Label { out, _back: back, peer_out, inbox }
}

/// The restarted dialer's session.
async fn dial_again(
    dialer: &Side,
    before: (std::net::SocketAddr, bowline::Trust),
) -> (bowline::Endpoint, Session) {
    let endpoint = dialer.builder().client().unwrap();
    let dormant = endpoint.restore().await.unwrap().dialed.remove(0);
    let session = dormant.connect(before.0, before.1).await.unwrap();
    (endpoint, session)
}

/// Takes so many messages, each once.
async fn take_some(inbox: &mut Inbox, count: usize, size: usize, taken: &mut BTreeSet<u32>) {
    for _ in 0..count {
        let message = take(inbox).await;
        let number = number(&message);
        assert_eq!(*message.payload(), payload(number, size), "not what was sent");
        assert!(taken.insert(number), "{number} came twice");
    }
}

#[test]
fn a_restarted_dialer_delivers_its_unordered_messages_its_newest_state_and_its_file() {
    const FILE: usize = 2 << 20;
    let before = before_durably();
    let mut jobs = label(&before, "jobs", channel(Delivery::ReliableUnordered));
    let states = label(&before, "states", channel(Delivery::ReliableLatest));
    let files = label(&before, "files", channel(Delivery::ReliableUnordered));
    let mut taken = BTreeSet::new();
    before.dialing.block_on(async { drop(send_all(&jobs.out, 0..=9, 500).await) });
    before.accepting.block_on(take_some(&mut jobs.inbox, 4, 500, &mut taken));
    let Before { dialer, addr, trust, dialing, accepting, pair, .. } = before;
    // These may or may not have left when the process dies.
    dialing.block_on(async {
        drop(send_all(&jobs.out, 10..=19, 500).await);
        drop(send_all(&states.out, 0..=5, 500).await);
        drop(send(&files.out, 7, FILE).await);
    });
    kill(dialing);
    drop((pair.dialed, pair.dialer, jobs.out, states.out, files.out));

    let dialing = process();
    dialing.block_on(async {
        let (_endpoint, session) = dial_again(&dialer, (addr, trust)).await;
        let (jobs_out, _jobs) = session.open("jobs", channel(Delivery::ReliableUnordered)).await.unwrap();
        let (states_out, _states) = session.open("states", channel(Delivery::ReliableLatest)).await.unwrap();
        let (_files_out, _files) = session.open("files", channel(Delivery::ReliableUnordered)).await.unwrap();
        let receipts = send_all(&jobs_out, 20..=29, 500).await;
        assert_eq!(receipts[0].id().sequence, 20, "numbers go on");
        let (mut jobs, mut states, mut files) = (jobs.inbox, states.inbox, files.inbox);
        let alive = accepting.spawn(async move {
            take_some(&mut jobs, 26, 500, &mut taken).await;
            assert_eq!(taken.len(), 30);
            while number(&take(&mut states).await) != 5 {}
            assert!(*take(&mut files).await.payload() == payload(7, FILE), "not what was sent");
            assert_eq!((jobs.try_recv(), states.try_recv(), files.try_recv()), (None, None, None));
            (jobs, states, files)
        });
        let alive = within("all messages", alive).await.unwrap();
        for receipt in receipts {
            assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
        }
        let receipt = send(&states_out, 6, 500).await;
        let (_jobs, mut states, _files) = alive;
        let newest = accepting.spawn(async move { (number(&take(&mut states).await), states) });
        assert_eq!(within("the newest state", newest).await.unwrap().0, 6);
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
        assert_eq!((session.stats().resumes, session.stats().resets), (1, 0));
    });
    drop((pair.listener, pair.accepted, jobs.peer_out, states.peer_out, files.peer_out));
}

#[test]
fn a_restarted_acceptor_hands_over_what_it_had_of_every_reliable_mode() {
    const FILE: usize = 2 << 20;
    let before = before_durably();
    let mut jobs = label(&before, "jobs", channel(Delivery::ReliableUnordered));
    let states = label(&before, "states", channel(Delivery::ReliableLatest));
    let files = label(&before, "files", channel(Delivery::ReliableOrdered));
    let mut taken = BTreeSet::new();
    let (mut receipts, older, file) = before.dialing.block_on(async {
        let receipts = send_all(&jobs.out, 0..=9, 500).await;
        let older = send(&states.out, 1, 500).await;
        let file = send(&files.out, 3, FILE).await;
        for receipt in receipts.iter().chain([&older, &file]) {
            within("received", receipt.received()).await.unwrap();
        }
        // The other side has a store that lasts: nothing needs to be kept here (rule R3).
        for out in [&jobs.out, &states.out, &files.out] {
            until("room", || out.stats().outbox_bytes == 0).await;
        }
        (receipts, older, file)
    });
    before.accepting.block_on(take_some(&mut jobs.inbox, 4, 500, &mut taken));
    // Known as handled here, they are known so there, and do not come again.
    before.dialing.block_on(until("four outcomes", || jobs.out.stats().handled == 4));
    let Before { acceptor, addr, dialing, accepting, pair, .. } = before;
    let mut events = pair.dialed.events();
    kill(accepting);
    let Label { out: jobs_out, .. } = jobs;
    let Label { out: states_out, .. } = states;
    drop((pair.accepted, pair.listener, jobs.peer_out, jobs.inbox, states.peer_out, states.inbox));
    drop((files.peer_out, files.inbox));
    // Sent to nobody, for now.
    let newer = dialing.block_on(async {
        receipts.extend(send_all(&jobs_out, 10..=14, 500).await);
        send(&states_out, 2, 500).await
    });

    let accepting = process();
    accepting.block_on(async {
        let listener = acceptor.listen(addr).await;
        let session = listener.restore().await.unwrap().accepted.remove(0);
        let (_out, mut jobs) = session.open("jobs", channel(Delivery::ReliableUnordered)).await.unwrap();
        let (_out_2, mut states) = session.open("states", channel(Delivery::ReliableLatest)).await.unwrap();
        let (_out_3, mut files) = session.open("files", channel(Delivery::ReliableOrdered)).await.unwrap();
        assert!(*take(&mut files).await.payload() == payload(3, FILE), "not what was sent");
        take_some(&mut jobs, 11, 500, &mut taken).await;
        assert_eq!(taken, (0..=14).collect());
        while number(&take(&mut states).await) != 2 {}
        let receipts = dialing.spawn(async move {
            while !matches!(events.next().await, Some(Event::Resumed { .. })) {}
            for receipt in receipts.iter().chain([&newer, &file]) {
                assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
            }
            let outcome = within("an outcome", older.outcome()).await;
            assert!(matches!(outcome, Outcome::Handled | Outcome::Superseded), "{outcome:?}");
        });
        within("all outcomes", receipts).await.unwrap();
        assert_eq!((jobs.try_recv(), states.try_recv(), files.try_recv()), (None, None, None));
    });
    drop((pair.dialed, pair.dialer));
}

#[test]
fn deadlines_pass_while_a_process_is_down() {
    let before = before_durably();
    let life = |life| SendOptions::new().deadline(life);
    let held = label(&before, "held by the receiver", channel(Delivery::ReliableOrdered));
    let kept = label(&before, "kept by the sender", channel(Delivery::ReliableUnordered));
    let Before { dialer, acceptor, addr, trust, dialing, accepting, pair } = before;
    // At the acceptor, untaken.
    let witness = dialing.block_on(async {
        let brief = held.out.send_with(payload(1, 100), life(BRIEF)).await.unwrap();
        let long = held.out.send_with(payload(2, 100), life(LONG)).await.unwrap();
        within("received", brief.received()).await.unwrap();
        within("received", long.received()).await.unwrap();
        brief
    });
    kill(accepting);
    drop((pair.accepted, pair.listener, held.peer_out, held.inbox, kept.peer_out, kept.inbox));
    // Nobody hears of these before both processes are gone.
    dialing.block_on(async {
        drop(kept.out.send_with(payload(1, 100), life(BRIEF)).await.unwrap());
        drop(kept.out.send_with(payload(2, 100), life(LONG)).await.unwrap());
        drop(kept.out.send_with(payload(3, 100), SendOptions::new()).await.unwrap());
    });
    kill(dialing);
    drop((pair.dialed, pair.dialer, held.out, kept.out, witness));
    // Nobody lives who could tell when the time is over.
    std::thread::sleep(BRIEF);

    let (accepting, dialing) = (process(), process());
    accepting.block_on(async {
        let listener = acceptor.listen(addr).await;
        let session = listener.restore().await.unwrap().accepted.remove(0);
        let (_out, mut held) =
            session.open("held by the receiver", channel(Delivery::ReliableOrdered)).await.unwrap();
        let (_out_2, mut kept) =
            session.open("kept by the sender", channel(Delivery::ReliableUnordered)).await.unwrap();
        let message = take(&mut held).await;
        assert_eq!(number(&message), 2, "the first one is late");
        let sender = dialing.spawn(async move {
            let (endpoint, session) = dial_again(&dialer, (addr, trust)).await;
            let (kept, inbox) =
                session.open("kept by the sender", channel(Delivery::ReliableUnordered)).await.unwrap();
            until("all outcomes", || session.stats().unresolved == 0).await;
            (endpoint, kept, inbox, session)
        });
        let mut taken = BTreeSet::new();
        take_some(&mut kept, 2, 100, &mut taken).await;
        assert_eq!(taken, [2, 3].into(), "the first one is late");
        let (_endpoint, out, _inbox, _session) = within("all outcomes", sender).await.unwrap();
        assert_eq!(out.stats().outbox_bytes, 0);
        assert_eq!((held.try_recv(), kept.try_recv()), (None, None));
    });
}

#[test]
fn unreliable_numbers_are_not_given_twice_and_the_peer_takes_the_new_ones() {
    let before = before_durably();
    let modes = [Delivery::Unreliable, Delivery::UnreliableSequenced];
    let mut labels = modes.map(|mode| label(&before, &mode.to_string(), channel(mode)));
    let Before { dialer, addr, trust, dialing, accepting, pair, .. } = before;
    let mut last = [0; 2];
    for (label, last) in labels.iter_mut().zip(&mut last) {
        for number in 0..50 {
            *last = dialing.block_on(send(&label.out, number, 100)).id().sequence;
            // What is unreliable may be lost, but here it hardly is: that is no matter of this test.
            let patience = Duration::from_secs(1);
            let _ = accepting.block_on(async { tokio::time::timeout(patience, label.inbox.recv()).await });
        }
    }
    kill(dialing);
    let inboxes = labels.map(|label| {
        drop(label.out);
        (label.inbox, label.peer_out)
    });
    drop((pair.dialed, pair.dialer));

    let dialing = process();
    dialing.block_on(async {
        let (_endpoint, session) = dial_again(&dialer, (addr, trust)).await;
        for ((mode, (mut inbox, peer_out)), last) in modes.into_iter().zip(inboxes).zip(last) {
            let (out, _back) = session.open(&mode.to_string(), channel(mode)).await.unwrap();
            let before = peer_out.stats();
            let taking = accepting.spawn(async move {
                let message = take(&mut inbox).await;
                (message, inbox)
            });
            let taken = within("a new message", async {
                loop {
                    let receipt = send(&out, 1000, 100).await;
                    assert!(receipt.id().sequence > last, "{} after {last}", receipt.id().sequence);
                    assert_eq!(receipt.outcome().await, Outcome::Unknown);
                    if taking.is_finished() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                taking.await.unwrap()
            })
            .await;
            assert_eq!(number(&taken.0), 1000, "{mode}");
            let after = peer_out.stats();
            assert_eq!((after.duplicates, after.stale), (before.duplicates, before.stale), "{mode}");
        }
        assert_eq!((session.stats().resumes, session.stats().resets), (1, 0));
    });
}
