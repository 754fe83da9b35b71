//! How the demo is shown: lines with their ticks for people, one JSON object a line for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use bowline::error::Outcome;
use bowline::id::MessageId;
use bowline_netsim::Direction;
use bowline_netsim::proxy::Event;
use serde_json::Value;

use super::Name;
use super::network::{DARK, DELAY, Figures, LOSS_PERCENT, Network, REORDER_BY, REORDER_PERCENT};
use crate::json;
use crate::notice::Notice;
use crate::tally::Tally;
use crate::ui::plain::{describe, why_not};

/// Shows what happens, with the time since the demo began.
pub(super) trait Page {
    /// Ada listens behind this network.
    fn begins(&mut self, network: &Network) -> io::Result<()>;
    /// One of the two was told something.
    fn notice(&mut self, at: Duration, name: Name, notice: &Notice) -> io::Result<()>;
    /// Something befell the network.
    fn network(&mut self, at: Duration, event: &Event) -> io::Result<()>;
    /// From now on both talk at once.
    fn crowd_begins(&mut self, at: Duration) -> io::Result<()>;
    /// All of it is handled.
    fn crowd_ends(&mut self, at: Duration) -> io::Result<()>;
    /// What the network did.
    fn figures(&mut self, at: Duration, figures: &Figures) -> io::Result<()>;
    /// What became of the messages: the last line.
    fn summary(&mut self, at: Duration, tally: &Tally) -> io::Result<()>;
}

/// The page that was asked for, on standard output.
pub(super) fn open(json: bool) -> Box<dyn Page> {
    let out = io::stdout();
    if json { Box::new(JsonLines { out }) } else { Box::new(Plain::new(out)) }
}

/// Lines for people. Ticks are written behind the line that they belong to, as long as it is the last one; later they
/// come with its text and the time that they took.
struct Plain<W> {
    out: W,
    /// What was said and is not resolved, and when.
    said: BTreeMap<MessageId, (Duration, String)>,
    /// What may still be written behind the last line.
    last: Last,
    /// Both talk at once: too many lines to show each.
    crowd: bool,
}

/// Whether the last line is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Ended,
    /// Ticks of this message may follow.
    Message(MessageId),
    /// Ticks of all that is said at once may follow.
    Crowd,
}

/// What is shown of it.
const CROWD: &str = "a hundred lines each, at once";

/// In the place of a name: the network.
const NETWORK: &str = "~~~";

impl<W: Write> Plain<W> {
    fn new(out: W) -> Self {
        Self { out, said: BTreeMap::new(), last: Last::Ended, crowd: false }
    }

    /// Begins a line after the one before.
    fn begin(&mut self, at: Duration, who: &str, text: &str, last: Last) -> io::Result<()> {
        if std::mem::replace(&mut self.last, last) != Last::Ended {
            writeln!(self.out)?;
        }
        write!(self.out, "{:>4}.{} s  {who:<4}  {text}", at.as_secs(), at.subsec_millis() / 100)
    }

    fn line(&mut self, at: Duration, who: &str, text: &str) -> io::Result<()> {
        self.begin(at, who, text, Last::Ended)?;
        writeln!(self.out)?;
        self.out.flush()
    }

    /// A message has its outcome.
    fn ended(&mut self, at: Duration, name: Name, id: MessageId, outcome: &Outcome) -> io::Result<()> {
        let Some((since, text)) = self.said.remove(&id) else { return Ok(()) };
        let waited = at.saturating_sub(since).as_secs_f64();
        let text = match outcome {
            Outcome::Handled if self.crowd => return Ok(()),
            Outcome::Handled if self.last == Last::Message(id) => {
                self.last = Last::Ended;
                return writeln!(self.out, " ✓✓");
            }
            Outcome::Handled => format!("✓ ✓✓ {text} ({waited:.1} s)"),
            outcome => format!("✗ {text} ({})", why_not(outcome)),
        };
        self.line(at, &name.to_string(), &text)
    }
}

impl<W: Write> Page for Plain<W> {
    fn begins(&mut self, network: &Network) -> io::Result<()> {
        let (ada, bob) = (network.upstream(), network.addr());
        let text =
            format!("ada listens on {ada}; bob dials {bob}, a network of {} ms each way", DELAY.as_millis());
        self.line(Duration::ZERO, NETWORK, &text)
    }

    fn notice(&mut self, at: Duration, name: Name, notice: &Notice) -> io::Result<()> {
        match notice {
            Notice::Accepted { id, text } => {
                self.said.insert(*id, (at, text.clone()));
                if !self.crowd {
                    self.begin(at, &name.to_string(), text, Last::Message(*id))?;
                }
            }
            Notice::Received { id } if self.last == Last::Message(*id) => write!(self.out, " ✓")?,
            Notice::Ended { id, outcome } => self.ended(at, name, *id, outcome)?,
            Notice::Suspect
            | Notice::Recovered
            | Notice::Reconnecting { .. }
            | Notice::Connected { resumed: true, .. }
            | Notice::Offline { .. }
            | Notice::PathChanged { .. }
            | Notice::GaveUp
            | Notice::Reset { .. }
            | Notice::Problem(_) => {
                self.line(at, &name.to_string(), &format!("* {}", describe(notice)))?;
            }
            _ => {}
        }
        self.out.flush()
    }

    fn network(&mut self, at: Duration, event: &Event) -> io::Result<()> {
        match in_words(event) {
            Some(text) => self.line(at, NETWORK, &text),
            None => Ok(()),
        }
    }

    fn crowd_begins(&mut self, at: Duration) -> io::Result<()> {
        self.crowd = true;
        self.begin(at, "both", CROWD, Last::Crowd)?;
        self.out.flush()
    }

    fn crowd_ends(&mut self, at: Duration) -> io::Result<()> {
        self.crowd = false;
        match std::mem::replace(&mut self.last, Last::Ended) {
            Last::Crowd => writeln!(self.out, " ✓ ✓✓"),
            _ => self.line(at, "both", &format!("✓ ✓✓ {CROWD}")),
        }
    }

    fn figures(&mut self, at: Duration, figures: &Figures) -> io::Result<()> {
        let Figures { packets, lost, reordered, blocked, unmapped, .. } = figures;
        let text = format!(
            "of {packets} packets {} never arrived: {lost} lost in the rain ({:.1} %), {blocked} in the dark, {unmapped} at \
             the closed port; {reordered} were overtaken",
            figures.dropped(),
            figures.loss_percent()
        );
        self.line(at, NETWORK, &text)
    }

    fn summary(&mut self, at: Duration, tally: &Tally) -> io::Result<()> {
        let longest = tally.longest_wait().as_secs_f64();
        self.line(at, "both", &format!("the longest wait for a message was {longest:.1} s"))?;
        writeln!(self.out, "{tally}")
    }
}

/// What befell the network, for people. Both directions always fare alike: one line says it.
fn in_words(event: &Event) -> Option<String> {
    Some(match event {
        Event::Conditions { direction: Direction::Up, .. } => format!(
            "rain: {LOSS_PERCENT} % of the packets are lost from now on, {REORDER_PERCENT} % overtaken, {} ms late",
            REORDER_BY.as_millis()
        ),
        Event::Rebound { .. } => "the NAT closes bob's port".to_owned(),
        Event::Mapped { source, .. } => format!("the NAT gives bob a port: ada sees {source}"),
        Event::Blocked { direction: Direction::Up, .. } => {
            format!("the network goes dark for {} s", DARK.as_secs())
        }
        Event::Unblocked { direction: Direction::Up } => "the network is there again".to_owned(),
        Event::Reset => "the rain is over".to_owned(),
        _ => return None,
    })
}

/// Lines for programs.
struct JsonLines<W> {
    out: W,
}

impl<W: Write> JsonLines<W> {
    fn say(&mut self, at: Duration, who: &str, line: json::Line) -> io::Result<()> {
        self.out.write_all(line.field("who", who).field("at_ms", millis(at)).end().as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Page for JsonLines<W> {
    fn begins(&mut self, network: &Network) -> io::Result<()> {
        let line = json::Line::new("network")
            .field("addr", network.addr().to_string())
            .field("upstream", network.upstream().to_string());
        self.say(Duration::ZERO, "network", line)
    }

    fn notice(&mut self, at: Duration, name: Name, notice: &Notice) -> io::Result<()> {
        self.say(at, &name.to_string(), json::line(notice))
    }

    fn network(&mut self, at: Duration, event: &Event) -> io::Result<()> {
        // An event is an object of strings and numbers.
        let Ok(Value::Object(mut fields)) = serde_json::to_value(event) else { return Ok(()) };
        let Some(Value::String(name)) = fields.remove("event") else { return Ok(()) };
        let line =
            fields.into_iter().fold(json::Line::new(&name), |line, (name, value)| line.field(&name, value));
        self.say(at, "network", line)
    }

    fn crowd_begins(&mut self, _at: Duration) -> io::Result<()> {
        Ok(())
    }

    fn crowd_ends(&mut self, _at: Duration) -> io::Result<()> {
        Ok(())
    }

    fn figures(&mut self, at: Duration, figures: &Figures) -> io::Result<()> {
        let line = json::Line::new("figures")
            .field("packets", figures.packets)
            .field("dropped", figures.dropped())
            .field("lost", figures.lost)
            .field("loss_percent", (figures.loss_percent() * 10.0).round() / 10.0)
            .field("blocked", figures.blocked)
            .field("unmapped", figures.unmapped)
            .field("reordered", figures.reordered)
            .field("rebinds", figures.rebinds);
        self.say(at, "network", line)
    }

    fn summary(&mut self, at: Duration, tally: &Tally) -> io::Result<()> {
        let line = json::Line::new("summary")
            .field("sent", tally.sent())
            .field("handled", tally.handled())
            .field("lost", tally.lost())
            .field("doubled", tally.doubled())
            .field("out_of_order", tally.out_of_order())
            .field("longest_wait_ms", millis(tally.longest_wait()));
        self.say(at, "both", line)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::tests::id;

    fn said(n: u64, text: &str) -> Notice {
        Notice::Accepted { id: id(1, n), text: text.to_owned() }
    }

    fn handled(n: u64) -> Notice {
        Notice::Ended { id: id(1, n), outcome: Outcome::Handled }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn ticks_stand_behind_their_line_or_come_with_its_text() {
        let mut page = Plain::new(Vec::new());
        let show = |page: &mut Plain<Vec<u8>>, at, notice| page.notice(ms(at), Name::Bob, &notice).unwrap();
        show(&mut page, 100, said(1, "one"));
        show(&mut page, 150, Notice::Received { id: id(1, 1) });
        show(&mut page, 160, handled(1));
        show(&mut page, 200, said(2, "two"));
        page.network(ms(300), &Event::Rebound { mappings: 1 }).unwrap();
        show(&mut page, 400, Notice::Received { id: id(1, 2) });
        show(&mut page, 1400, handled(2));
        show(&mut page, 1500, said(3, "three"));
        show(&mut page, 1500, Notice::Ended { id: id(1, 3), outcome: Outcome::Unknown });
        let shown = String::from_utf8(page.out).unwrap();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines,
            [
                "   0.1 s  bob   one ✓ ✓✓",
                "   0.2 s  bob   two",
                "   0.3 s  ~~~   the NAT closes bob's port",
                "   1.4 s  bob   ✓ ✓✓ two (1.2 s)",
                "   1.5 s  bob   three",
                "   1.5 s  bob   ✗ three (nobody knows whether it arrived)",
            ]
        );
    }

    #[test]
    fn what_is_said_at_once_is_one_line() {
        for disturbed in [false, true] {
            let mut page = Plain::new(Vec::new());
            page.crowd_begins(ms(0)).unwrap();
            page.notice(ms(1), Name::Ada, &said(1, "ada counts 1")).unwrap();
            if disturbed {
                page.notice(ms(2), Name::Ada, &Notice::Suspect).unwrap();
            }
            page.notice(ms(3), Name::Ada, &handled(1)).unwrap();
            page.crowd_ends(ms(100)).unwrap();
            let shown = String::from_utf8(page.out).unwrap();
            let expected = match disturbed {
                false => vec!["   0.0 s  both  a hundred lines each, at once ✓ ✓✓"],
                true => vec![
                    "   0.0 s  both  a hundred lines each, at once",
                    "   0.0 s  ada   * the peer does not answer",
                    "   0.1 s  both  ✓ ✓✓ a hundred lines each, at once",
                ],
            };
            assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_befalls_the_network_is_an_object_with_its_name_first() {
        let mut page = JsonLines { out: Vec::new() };
        page.network(ms(7), &Event::Blocked { direction: Direction::Up, for_ms: Some(5000) }).unwrap();
        page.notice(ms(8), Name::Ada, &Notice::Suspect).unwrap();
        assert_eq!(
            String::from_utf8(page.out).unwrap(),
            "{\"event\":\"blocked\",\"direction\":\"up\",\"for_ms\":5000,\"who\":\"network\",\"at_ms\":7}\n\
             {\"event\":\"suspect\",\"who\":\"ada\",\"at_ms\":8}\n"
        );
    }
}
