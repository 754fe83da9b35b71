//! The picture: the conversation from the bottom up, a status line, and the line being typed.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Row, Span};

use super::editor::Editor;
use super::view::{Fate, Line, Link, View};

const PROMPT: &str = "> ";

/// Draws everything; `back` is corrected if it reaches beyond the first line.
pub(crate) fn conversation(frame: &mut Frame<'_>, view: &View, editor: &Editor, back: &mut usize) {
    let [history, status, input] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    draw_history(frame, history, view, back);
    draw_status(frame, status, view);
    draw_input(frame, input, editor);
}

fn draw_history(frame: &mut Frame<'_>, area: Rect, view: &View, back: &mut usize) {
    let height = usize::from(area.height);
    // Only what can be seen is laid out, newest first.
    let mut rows = Vec::new();
    for line in view.lines().rev() {
        if rows.len() >= height + *back {
            break;
        }
        rows.extend(layout(line, usize::from(area.width)).into_iter().rev());
    }
    *back = (*back).min(rows.len().saturating_sub(height));
    let visible: Vec<_> = rows.into_iter().skip(*back).take(height).collect();
    for (row, y) in visible.into_iter().zip((area.top()..area.bottom()).rev()) {
        frame.render_widget(row, Rect { y, height: 1, ..area });
    }
}

fn draw_status(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let (text, color) = match view.link() {
        Link::Nobody => ("nobody is here".to_owned(), Color::DarkGray),
        Link::Connected => ("connected".to_owned(), Color::Green),
        Link::Broken(what) => (format!("{what}; what you type waits"), Color::Yellow),
    };
    let peer = view.peer();
    let separator = if peer.is_empty() { "" } else { " · " };
    let status = format!(" {text}{separator}{peer}");
    let style = Style::new().fg(color).add_modifier(Modifier::REVERSED);
    let padded = format!("{status:width$}", width = usize::from(area.width));
    frame.render_widget(Span::styled(padded, style), area);
}

fn draw_input(frame: &mut Frame<'_>, area: Rect, editor: &Editor) {
    // A line longer than the screen is shown from where the cursor can be seen.
    let room = usize::from(area.width).saturating_sub(PROMPT.len() + 1);
    let mut shown = editor.before();
    while width(shown) > room {
        let mut characters = shown.chars();
        characters.next();
        shown = characters.as_str();
    }
    let column = PROMPT.len() + width(shown);
    frame.render_widget(Row::raw(format!("{PROMPT}{shown}{}", editor.after())), area);
    let column = u16::try_from(column).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
    frame.set_cursor_position((area.x + column, area.y));
}

/// A line of the conversation as rows of the screen.
fn layout(line: &Line, columns: usize) -> Vec<Row<'static>> {
    let dim = Style::new().fg(Color::DarkGray);
    let (lead, text, lead_style, style) = match line {
        Line::Mine { text, fate, .. } => {
            let (ticks, color) = match fate {
                Fate::Accepted => ("·  ", Color::DarkGray),
                Fate::Received => ("✓  ", Color::Gray),
                Fate::Handled => ("✓✓ ", Color::Green),
                Fate::Failed(_) => ("✗  ", Color::Red),
            };
            let text = match fate {
                Fate::Failed(why) => format!("{text} ({why})"),
                _ => text.clone(),
            };
            (ticks.to_owned(), text, Style::new().fg(color), Style::new())
        }
        Line::Theirs { from, text } => {
            (format!("{from}: "), text.clone(), Style::new().fg(Color::Cyan), Style::new())
        }
        Line::Info(text) => ("* ".to_owned(), text.clone(), dim, dim),
        Line::Command(text) => (String::new(), text.clone(), dim, Style::new()),
    };
    let indent = width(&lead);
    let mut rows = Vec::new();
    for part in wrap(&text, columns.saturating_sub(indent).max(1)) {
        let lead = if rows.is_empty() { lead.clone() } else { " ".repeat(indent) };
        rows.push(Row::from(vec![Span::styled(lead, lead_style), Span::styled(part, style)]));
    }
    rows
}

/// Breaks a text at spaces where it can, and anywhere where it must. Always at least one part.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut used = 0;
    for character in text.chars() {
        let size = width(character.encode_utf8(&mut [0; 4]));
        if used + size > columns && !part.is_empty() {
            let rest = match part.rfind(' ') {
                Some(space) if character != ' ' => part.split_off(space + 1),
                _ => String::new(),
            };
            parts.push(std::mem::replace(&mut part, rest));
            used = width(&part);
            if character == ' ' {
                continue;
            }
        }
        part.push(character);
        used += size;
    }
    parts.push(part);
    parts
}

/// Columns that a text takes.
fn width(text: &str) -> usize {
    Span::raw(text).width()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bowline::error::Outcome;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::notice::{Notice, Presence};
    use crate::tally::tests::id;

    fn picture(notices: &[Notice], typed: &str, size: (u16, u16)) -> Vec<String> {
        let mut view = View::default();
        notices.iter().for_each(|notice| view.apply(notice));
        let mut editor = Editor::default();
        editor.insert(typed);
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal.draw(|frame| conversation(frame, &view, &editor, &mut 0)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let rows = buffer.content().chunks(usize::from(size.0));
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned())
            .collect()
    }

    #[test]
    fn the_conversation_stands_at_the_bottom_above_status_and_input() {
        let notices = [
            Notice::Connected { peer: "sha256:0123456789".to_owned(), resumed: false },
            Notice::Presence { name: "ada".to_owned(), presence: Presence::Available },
            Notice::Message { id: id(2, 1), from: "ada".to_owned(), text: "hello".to_owned() },
            Notice::Accepted { id: id(1, 1), text: "hi".to_owned() },
            Notice::Accepted { id: id(1, 2), text: "you".to_owned() },
            Notice::Received { id: id(1, 1) },
            Notice::Ended { id: id(1, 1), outcome: Outcome::Handled },
            Notice::Received { id: id(1, 2) },
        ];
        let expected = [
            "",
            "* connected to 01234567",
            "* ada is here",
            "ada: hello",
            "✓✓ hi",
            "✓  you",
            " connected · ada is here",
            "> a line",
        ];
        assert_eq!(picture(&notices, "a line", (30, 8)), expected);
    }

    #[test]
    fn a_lost_connection_is_a_banner() {
        let lost = Notice::Reconnecting { attempt: 1, after: Duration::ZERO };
        let rows = picture(&[lost], "", (60, 3));
        assert_eq!(rows[1], " connection lost; attempt 1 in 0 s; what you type waits");
    }

    #[test]
    fn long_input_is_shown_where_the_cursor_is() {
        assert_eq!(picture(&[], "0123456789", (8, 2))[1], "> 56789");
    }

    #[test]
    fn no_size_is_too_small() {
        let said = Notice::Accepted { id: id(1, 1), text: "a b c d e f".to_owned() };
        for size in [(1, 1), (1, 9), (9, 1), (3, 2)] {
            picture(std::slice::from_ref(&said), "typed", size);
        }
    }

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one  two", 4), ["one ", "two"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
