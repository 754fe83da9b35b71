//! What is said, in no format yet.

/// One thing said in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub sent_unix_ms: u64,
    /// What.
    pub body: Body,
}

/// See [`Said::body`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A line.
    Text(String),
    /// Somebody comes or goes.
    Presence {
        /// The name to show.
        name: String,
        /// Which of both.
        state: State,
    },
}

/// See [`Body::Presence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There.
    Available,
    /// About to leave.
    Leaving,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How the document calls it.
    pub name: &'static str,
    /// One message, or the many of a list.
    pub lines: Vec<Said>,
}

const NOW_MS: u64 = 1_790_000_000_000;

const LONG: &str = "I have read the whole thread now, and I think we should keep the old harbour as the meeting point: \
    everybody knows it, there is light until nine, and the last ferry leaves from there at half past ten. If the wind turns \
    to the north, as the forecast says it might, we can still wait inside the station, which is two minutes away on foot. \
    Please bring the spare rope and the small anchor; the big one stays on board. I will call the others tonight and write \
    the list of who comes tomorrow morning, so that we know how many boats we need. See you there!";

const LINES: [&str; 10] = [
    "Good morning!",
    "Are you still coming tonight?",
    "Yes, but later. The meeting was moved to five.",
    "ok",
    "Then I take the bus at quarter past six and wait for you at the old harbour.",
    "Do we need anything?",
    "Bread, if you pass the shop. And the spare key, please, mine is broken.",
    "Will do.",
    "By the way, the pictures of Sunday are in the folder now. The third one is the best, look at the gulls.",
    "Ha, wonderful!",
];

impl Sample {
    /// All of them, in the order of the document.
    pub fn all() -> [Self; 5] {
        let ada = Body::Presence { name: "Ada Lovelace".to_owned(), state: State::Available };
        let history = (0..100).zip(LINES.iter().cycle());
        let history =
            history.map(|(number, line)| said(NOW_MS + number * 7_919, Body::Text((*line).to_owned())));
        [
            Self::one("short line", text("On my way, ten minutes.")),
            Self::one("long line", text(LONG)),
            Self::one("somebody joins", ada),
            Self::one("line in several scripts", text("Schön, bis später! 再见，路上小心 👋🏽 До встречи")),
            Self { name: "list of 100 lines", lines: history.collect() },
        ]
    }

    fn one(name: &'static str, body: Body) -> Self {
        Self { name, lines: vec![said(NOW_MS, body)] }
    }
}

fn said(sent_unix_ms: u64, body: Body) -> Said {
    Said { sent_unix_ms, body }
}

fn text(body: &str) -> Body {
    Body::Text(body.to_owned())
}
