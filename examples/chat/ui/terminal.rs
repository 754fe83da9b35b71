//! The screen: keys go in as intents, notices come out as a picture.
//!
//! Keys are read by a plain thread, for the reason that lines are (see [`input`](crate::input)). The picture is drawn
//! at most every [`FRAME`], however much happens. The terminal is given back as it was found, whichever way
//! the program ends: when this is dropped, and by ratatui's hook on a panic.

use std::io;
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use ratatui::crossterm::execute;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::draw;
use super::editor::Editor;
use super::view::View;
use crate::input::Intent;
use crate::notice::Notice;
use crate::text;

/// Shortest time between two pictures.
const FRAME: Duration = Duration::from_millis(16);

/// Who has not touched a key for so long is not writing.
const STILL_WRITING: Duration = Duration::from_secs(5);

/// Lines that a page key moves.
const PAGE: usize = 10;

/// A conversation on a terminal.
pub(crate) struct Terminal {
    screen: DefaultTerminal,
    keys: mpsc::Receiver<Event>,
    view: View,
    editor: Editor,
    /// Lines scrolled back from the end.
    back: usize,
    dirty: bool,
    drawn: Instant,
    /// While the peer is told that this side writes: until when that is true without another key.
    writing: Option<Instant>,
}

impl Terminal {
    /// Takes the terminal over.
    pub(crate) fn open() -> io::Result<Self> {
        let screen = ratatui::try_init()?;
        execute!(io::stdout(), EnableBracketedPaste)?;
        let now = Instant::now();
        Ok(Self {
            screen,
            keys: keys(),
            view: View::default(),
            editor: Editor::default(),
            back: 0,
            dirty: true,
            drawn: now,
            writing: None,
        })
    }

    /// Shows what happened, with the next picture.
    pub(crate) fn show(&mut self, notice: &Notice) {
        self.view.apply(notice);
        self.dirty = true;
    }

    /// What the person wants next; meanwhile the screen is kept current. Cancel-safe.
    pub(crate) async fn intent(&mut self) -> io::Result<Intent> {
        loop {
            let (redraw, idle) = (self.drawn + FRAME, self.writing);
            tokio::select! {
                event = self.keys.recv() => {
                    self.dirty = true;
                    let Some(event) = event else { return Ok(Intent::End) };
                    if let Some(intent) = self.on_event(event) {
                        return Ok(intent);
                    }
                }
                () = sleep_until(redraw), if self.dirty => self.draw()?,
                () = sleep_until(idle.unwrap_or(redraw)), if idle.is_some() => {
                    self.writing = None;
                    return Ok(Intent::Typing(false));
                }
            }
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let Self { screen, view, editor, back, .. } = self;
        screen.draw(|frame| draw::conversation(frame, view, editor, back))?;
        self.dirty = false;
        self.drawn = Instant::now();
        Ok(())
    }

    fn on_event(&mut self, event: Event) -> Option<Intent> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.on_key(key),
            Event::Paste(pasted) => {
                self.editor.insert(&text::clean(&pasted));
                self.on_edited()
            }
            _ => None,
        }
    }

    fn on_key(&mut self, key: KeyEvent) -> Option<Intent> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Some(Intent::Interrupt),
            KeyCode::Char('d') if control && self.editor.is_empty() => return Some(Intent::End),
            KeyCode::Char('u') if control => self.editor.cut(),
            KeyCode::Char('w') if control => self.editor.cut_word(),
            KeyCode::Char('a') if control => self.editor.home(),
            KeyCode::Char('e') if control => self.editor.end(),
            KeyCode::Char(_) if control => return None,
            KeyCode::Char(c) => self.editor.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace => self.editor.backspace(),
            KeyCode::Delete => self.editor.delete(),
            KeyCode::Enter if self.editor.is_empty() => return None,
            KeyCode::Enter => {
                self.writing = None;
                self.back = 0;
                return Some(Intent::of_line(&self.editor.take()));
            }
            code => {
                self.on_move(code);
                return None;
            }
        }
        self.on_edited()
    }

    fn on_move(&mut self, code: KeyCode) {
        match code {
            KeyCode::Left => self.editor.left(),
            KeyCode::Right => self.editor.right(),
            KeyCode::Home => self.editor.home(),
            KeyCode::End => self.editor.end(),
            KeyCode::Up => self.back += 1,
            KeyCode::Down => self.back = self.back.saturating_sub(1),
            KeyCode::PageUp => self.back += PAGE,
            KeyCode::PageDown => self.back = self.back.saturating_sub(PAGE),
            _ => {}
        }
    }

    /// The peer is told when writing begins and when it ends, not of every key.
    fn on_edited(&mut self) -> Option<Intent> {
        let was_writing = self.writing.is_some();
        self.writing = (!self.editor.is_empty()).then(|| Instant::now() + STILL_WRITING);
        let is_writing = self.writing.is_some();
        (is_writing != was_writing).then_some(Intent::Typing(is_writing))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that has gone away.
        let _ = execute!(io::stdout(), DisableBracketedPaste);
        ratatui::restore();
    }
}

/// Reads keys on a thread of its own.
fn keys() -> mpsc::Receiver<Event> {
    let (to, keys) = mpsc::channel(64);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if to.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}
