//! Who is written first when there is more to write than the path takes.
//!
//! Everything is queued before anything can leave, and the relay lets only so many bytes pass: what arrives is what was
//! written first, however fast the machine is.

use bowline::{ChannelConfig, Delivery};

use crate::relay::Way;
use crate::support::{Line, Net, channel, ended, net, number, ordered, payload, take, until};

const KIB: usize = 1024;

/// A label on which a message has been exchanged: everything may leave.
async fn begun(net: &Net, label: &str, config: ChannelConfig) -> Line {
    let mut line = net.line(label, config).await;
    drop(line.out.send(payload(0, 10)).await.unwrap());
    take(&mut line.peer).await;
    until("its receipt", || ended(&line.out.stats()) == 1).await;
    line
}

/// Queues this many messages, without letting anything else run.
fn queue(line: &Line, messages: u32, size: usize) {
    for number in 1..=messages {
        drop(line.out.try_send(payload(number, size)).unwrap());
    }
}

#[tokio::test]
async fn urgent_messages_of_every_mode_overtake_what_is_queued() {
    for mode in Delivery::ALL {
        let net = net().await;
        let bulk = begun(&net, "bulk", ordered().priority(-1)).await;
        let files = begun(&net, "files", channel(Delivery::ReliableUnordered).priority(-1)).await;
        let mut urgent = begun(&net, "urgent", channel(mode).priority(1)).await;
        // Enough for what is urgent and what the link had taken before it. In equal turns it would take half as much again.
        net.relay.allow(Way::ToAcceptor, 400 * KIB);
        queue(&bulk, 200, 16 * KIB);
        queue(&files, 1, 8 * KIB * KIB);
        queue(&urgent, 400, 500);
        while number(&take(&mut urgent.peer).await) != 400 {}
        let (bulk, files) = (bulk.peer_out.stats(), files.peer_out.stats());
        assert!(bulk.received < 25 && files.partial_bytes < 400 * KIB, "{mode}: {bulk:?} {files:?}");
    }
}

#[tokio::test]
async fn equals_take_turns_and_none_waits_for_the_end_of_another() {
    let net = net().await;
    let bulk = begun(&net, "bulk", ordered()).await;
    let files = begun(&net, "files", channel(Delivery::ReliableUnordered)).await;
    let mut chats = Vec::new();
    for mode in Delivery::ALL {
        chats.push((mode, begun(&net, &mode.to_string(), channel(mode)).await));
    }
    net.relay.allow(Way::ToAcceptor, 1200 * KIB);
    queue(&bulk, 200, 16 * KIB);
    queue(&files, 1, 8 * KIB * KIB);
    for (_, chat) in &chats {
        queue(chat, 20, 500);
    }
    for (_, chat) in &mut chats {
        while number(&take(&mut chat.peer).await) != 20 {}
    }
    assert!(bulk.peer_out.stats().received < 80 && files.peer_out.stats().partial_bytes < 1200 * KIB);
}

#[tokio::test]
async fn weights_share_what_there_is_among_equals() {
    for mode in [Delivery::ReliableOrdered, Delivery::ReliableUnordered] {
        let net = net().await;
        let light = begun(&net, "light", channel(mode).weight(1)).await;
        let heavy = begun(&net, "heavy", channel(mode).weight(4)).await;
        // Loss keeps the congestion window small, and with it what is written but waits to leave: it has its order already.
        net.relay.lose(13, 17);
        net.relay.allow(Way::ToAcceptor, 1200 * KIB);
        queue(&light, 300, 4 * KIB);
        queue(&heavy, 300, 4 * KIB);
        net.relay.until_quiet_for(std::time::Duration::from_millis(300)).await;
        let (light, heavy) = (light.peer_out.stats().received, heavy.peer_out.stats().received);
        println!("{mode}: {light} and {heavy}");
        assert!(light + heavy > 200, "{mode}: {light} and {heavy}");
        assert!(heavy > 2 * light && light > 10, "{mode}: {light} and {heavy}");
    }
}
