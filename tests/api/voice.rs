//! A conversation while a file is on its way: voice that is worth nothing when it is late, a chat in order, and 64 MiB.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bowline::error::Outcome;
use bowline::{Delivery, Inbox, Message};
use bytes::{Bytes, BytesMut};

use crate::support::{Net, channel, ended, net, ordered, payload, take, text, until, within};

/// Of voice, so long is it worth anything.
const LIFE: Duration = Duration::from_millis(100);
const EVERY: Duration = Duration::from_millis(20);
const FRAMES: u32 = 150;

/// Both clocks are one here, and deadlines travel in milliseconds. The receiver knows the sender's clock as well as the fastest
/// packet so far has told: a machine that is busy makes that so much worse.
const TOLERANCE: Duration = Duration::from_millis(60);

#[allow(clippy::disallowed_methods, reason = "the endpoint's clock is the system's")]
fn now() -> Instant {
    Instant::now()
}

/// The next message, and a time at which it was not handed over yet: what happens to this task later is of no account.
async fn take_at(inbox: &mut Inbox) -> Option<(Message, Instant)> {
    let mut receiving = pin!(inbox.recv());
    poll_fn(|cx| {
        let before = now();
        match receiving.as_mut().poll(cx) {
            Poll::Ready(message) => Poll::Ready(message.map(|message| (message, before))),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// 64 MiB of which no two are alike.
fn file() -> Bytes {
    let mut file = BytesMut::new();
    for number in 0..64 {
        file.extend_from_slice(&payload(number, 1024 * 1024));
    }
    file.freeze()
}

/// Speaks for some seconds. Yields when each frame was over.
async fn speak(out: bowline::Channel) -> (bowline::Channel, Vec<Instant>) {
    let mut ends = Vec::new();
    let mut clock = tokio::time::interval(EVERY);
    for number in 0..FRAMES {
        clock.tick().await;
        let end = now() + LIFE;
        ends.push(end);
        drop(out.send(payload(number, 160)).await.unwrap());
    }
    out.finish();
    (out, ends)
}

/// Listens to the end.
async fn listen(mut inbox: Inbox) -> Vec<(u32, Instant, u64)> {
    let mut heard: Vec<(u32, Instant, u64)> = Vec::new();
    while let Some((message, before)) = take_at(&mut inbox).await {
        let number = crate::support::number(&message);
        assert_eq!(*message.payload(), payload(number, 160));
        assert!(heard.last().is_none_or(|(last, ..)| *last < number), "{number} is older than {heard:?}");
        heard.push((number, before, message.skipped()));
    }
    heard
}

async fn conversation(net: &Net, loss: u8) {
    let voice =
        net.line("voice", channel(Delivery::UnreliableSequenced).deadline(Some(LIFE)).priority(2)).await;
    let mut chat = net.line("chat", ordered().priority(1)).await;
    let mut files = net.line("files", channel(Delivery::ReliableUnordered)).await;
    drop(chat.out.send("hello").await.unwrap());
    assert_eq!(text(&mut chat.peer).await, "hello");
    net.relay.lose(loss, 9);

    let file = file();
    let receipt = files.out.send(file.clone()).await.unwrap();
    let speaking = tokio::spawn(speak(voice.out));
    let listening = tokio::spawn(listen(voice.peer));
    let receiving = tokio::spawn(async move {
        let message = take(&mut files.peer).await;
        (message, files)
    });
    for turn in 0..100 {
        drop(chat.out.send(format!("ask {turn}")).await.unwrap());
        assert_eq!(text(&mut chat.peer).await, format!("ask {turn}"));
        drop(chat.peer_out.send(format!("answer {turn}")).await.unwrap());
        assert_eq!(text(&mut chat.back).await, format!("answer {turn}"));
    }

    let (spoken, ends) = within("the end of the voice", speaking).await.unwrap();
    until("all receipts", || ended(&spoken.stats()) == u64::from(FRAMES)).await;
    let heard = within("the end of the voice", listening).await.unwrap();
    for &(number, before, _) in &heard {
        let end = ends[number as usize];
        assert!(before <= end + TOLERANCE, "{number} was handed over {:?} late", before - end);
    }
    let (here, there) = (spoken.stats(), voice.peer_out.stats());
    println!("heard {} of {FRAMES}: {here:?}, {there:?}", heard.len());
    assert!(heard.len() > FRAMES as usize / 10, "{here:?} {there:?}");
    assert_eq!(there.delivered, heard.len() as u64);
    assert_eq!(here.unknown + here.expired + here.dropped, FRAMES.into());
    assert!(there.received <= here.unknown && there.delivered + there.late <= there.received);
    let skipped: u64 = heard.iter().skip(1).map(|(.., skipped)| skipped).sum();
    let span = heard.last().unwrap().0 - heard[0].0 + 1;
    assert_eq!(u64::from(span), heard.len() as u64 + skipped, "each gap is told");

    let (message, files) = within("the file", receiving).await.unwrap();
    assert!(*message.payload() == file, "not what was sent");
    assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    until("all is over", || chat.out.stats().outbox_messages + files.out.stats().outbox_bytes == 0).await;
    assert_eq!(net.dialed.stats().attaches, 1);
}

#[tokio::test]
async fn voice_a_chat_and_a_file_do_not_disturb_each_other() {
    conversation(&net().await, 0).await;
}

#[tokio::test]
async fn neither_do_they_through_loss() {
    conversation(&net().await, 2).await;
}
