//! Lines alone and beside a transfer, in turn.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::Problem;
use crate::figures::Figures;

const LARGE: usize = 64 * 1024 * 1024;
const EVERY: Duration = Duration::from_millis(1);
const ROUNDS: usize = 5;
/// Lines of a round without a transfer.
const ALONE: usize = 500;

/// The four hands of two peers.
pub(crate) struct Pair<Talk, Hear, Give, Take> {
    pub(crate) talk: Talk,
    pub(crate) hear: Hear,
    pub(crate) give: Give,
    pub(crate) take: Take,
}

/// Says lines.
pub(crate) trait Talk: Send + 'static {
    fn say(&mut self, line: Bytes) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// Takes lines.
pub(crate) trait Hear: Send + 'static {
    fn line(&mut self) -> impl Future<Output = Result<Bytes, Problem>> + Send;
}

/// Gives something large, and returns when the other side has it.
pub(crate) trait Give: Send + 'static {
    fn give(&mut self, payload: Bytes) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// Takes something large whole.
pub(crate) trait Take: Send + 'static {
    fn take(&mut self) -> impl Future<Output = Result<Bytes, Problem>> + Send;
}

/// A line: whether it is said beside a transfer, and when.
fn line(beside: bool) -> Bytes {
    let mut line = vec![u8::from(beside)];
    line.extend((elapsed().as_nanos() as u64).to_be_bytes());
    line.into()
}

fn read(line: &[u8]) -> Option<(bool, Duration)> {
    let (beside, said) = line.split_first()?;
    let said = Duration::from_nanos(u64::from_be_bytes(said.try_into().ok()?));
    Some((*beside == 1, elapsed().saturating_sub(said)))
}

pub(crate) fn run<T: Talk, H: Hear, G: Give, K: Take>(
    dialing: &Runtime,
    accepting: &Runtime,
    pair: Pair<T, H, G, K>,
) -> Result<Figures, Problem> {
    let Pair { talk, mut hear, give, mut take } = pair;
    let (heard, mut lines) = mpsc::unbounded_channel();
    let hearing = accepting.spawn(async move {
        loop {
            let line = hear.line().await?;
            if heard.send(read(&line).ok_or("a line came back changed")?).is_err() {
                return Ok::<_, Problem>(());
            }
        }
    });
    let taking = accepting.spawn(async move {
        // All are kept: to give 64 MiB back to the system takes some milliseconds, of which a thread that serves others has none.
        let mut taken = Vec::with_capacity(ROUNDS);
        while taken.len() < ROUNDS {
            let whole = take.take().await?;
            if whole.len() != LARGE {
                return Err::<_, Problem>(format!("the transfer came as {} bytes", whole.len()).into());
            }
            taken.push(whole);
        }
        // So is this half: whoever gave must not find it gone.
        Ok((take, taken))
    });
    let saying = dialing.spawn(dial_side(talk, give));
    let figures = dialing.block_on(async {
        let (mut figures, said) = saying.await??;
        for _ in 0..said {
            let (beside, took) = lines.recv().await.ok_or("the listener is gone")?;
            if beside { figures.beside.push(took) } else { figures.alone.push(took) }
        }
        Ok::<_, Problem>(figures)
    });
    hearing.abort();
    let figures = figures?;
    drop(dialing.block_on(taking)??);
    Ok(figures)
}

/// Says all lines and gives all transfers. How many lines were said, too.
async fn dial_side(mut talk: impl Talk, mut give: impl Give) -> Result<(Figures, usize), Problem> {
    let payload = Bytes::from(vec![7; LARGE]);
    let (mut figures, mut said) = (Figures::default(), 0);
    for _ in 0..ROUNDS {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..ALONE {
            ticks.tick().await;
            talk.say(line(false)).await?;
        }
        said += ALONE;
        let begun = elapsed();
        let transfer = give.give(payload.clone());
        tokio::pin!(transfer);
        loop {
            tokio::select! {
                biased;
                given = &mut transfer => break given?,
                _ = ticks.tick() => {}
            }
            talk.say(line(true)).await?;
            said += 1;
        }
        figures.transfers.push(elapsed() - begun);
    }
    Ok((figures, said))
}

/// The time since this was asked first.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures the time")]
fn elapsed() -> Duration {
    static STARTED: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    STARTED.get_or_init(Instant::now).elapsed()
}
