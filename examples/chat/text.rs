//! Nothing that a peer wrote is shown before it was cleaned here.
//!
//! Text goes to a terminal, and a terminal obeys what it is shown: escape sequences move the cursor, rename the
//! window and answer questions as if typed; bidirectional overrides and zero-width characters make one text look
//! like another. All of it is dropped. Breaks between lines become spaces, so that one message stays one line and cannot
//! pose as two.

/// Longest name shown, in characters.
pub(crate) const NAME_CHARS: usize = 32;

/// The text without anything that controls a terminal or hides.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(length) = escape_sequence(rest) {
            rest = &rest[length..];
            continue;
        }
        rest = &rest[next.len_utf8()..];
        if is_break(next) {
            cleaned.push(' ');
        } else if is_joiner(next) {
            // Emoji and some scripts are spelled with joiners; between other characters they only hide.
            let joins = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !is_hidden(c));
            if joins(cleaned.chars().next_back()) && joins(rest.chars().next()) {
                cleaned.push(next);
            }
        } else if !is_hidden(next) {
            cleaned.push(next);
        }
    }
    cleaned
}

/// A name as it may be shown, if anything of it is left.
pub(crate) fn name(given: &str) -> Option<String> {
    let cleaned: String = clean(given).trim().chars().take(NAME_CHARS).collect();
    (!cleaned.is_empty()).then_some(cleaned)
}

/// Bytes of the escape sequence that `text` begins with. One that never ends is only its introducer: the rest
/// of the text stays.
fn escape_sequence(text: &str) -> Option<usize> {
    let mut characters = text.char_indices();
    let (_, first) = characters.next()?;
    let kind = match first {
        '\u{1b}' => characters.next().map_or(' ', |(_, second)| second),
        '\u{9b}' => '[',
        '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => ']',
        _ => return None,
    };
    let body = text.len() - characters.as_str().len();
    let length = match kind {
        '[' => control_sequence(&text[body..]),
        ']' | 'P' | 'X' | '^' | '_' => control_string(&text[body..]),
        ' '..='/' => short_sequence(&text[body..]),
        '0'..='~' => 0,
        _ => return Some(first.len_utf8()),
    };
    Some(body + length)
}

/// CSI: parameters, intermediates, one final character.
fn control_sequence(body: &str) -> usize {
    let parameters = body.bytes().take_while(|byte| (0x20..=0x3f).contains(byte)).count();
    match body.as_bytes().get(parameters) {
        Some(0x40..=0x7e) => parameters + 1,
        _ => 0,
    }
}

/// OSC, DCS and their like: anything up to BEL or the string terminator.
fn control_string(body: &str) -> usize {
    let ends = ["\u{7}", "\u{9c}", "\u{1b}\\"];
    let found = ends.iter().filter_map(|end| body.find(end).map(|at| at + end.len()));
    found.min().unwrap_or(0)
}

/// The likes of `ESC ( B`: intermediates and one final character.
fn short_sequence(body: &str) -> usize {
    let intermediates = body.bytes().take_while(|byte| (0x20..=0x2f).contains(byte)).count();
    match body.as_bytes().get(intermediates) {
        Some(0x30..=0x7e) => intermediates + 1,
        _ => 0,
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn is_hidden(c: char) -> bool {
    // C0, DEL and C1; then what has no width or turns the direction of what follows.
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_script_stays() {
        for text in
            ["hello, world", "Grüße", "こんにちは", "שלום", "مرحبا", "a  b", "\u{1f600}", "5 < 6 & [x]"]
        {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn escape_sequences_go_whole() {
        for (text, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{9b}2Jcleared", "cleared"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}P$q\"p\u{1b}\\after", "after"),
            ("\u{9d}52;c;aGk=\u{9c}after", "after"),
            ("\u{1b}(Bplain", "plain"),
            ("\u{1b}creset", "reset"),
        ] {
            assert_eq!(clean(text), shown, "{text:?}");
        }
    }

    #[test]
    fn a_sequence_without_an_end_takes_nothing_along() {
        assert_eq!(clean("\u{1b}]0;never ends"), "0;never ends");
        assert_eq!(clean("\u{1b}[12"), "12");
        assert_eq!(clean("end\u{1b}"), "end");
        assert_eq!(clean("\u{1b}é"), "é");
        assert_eq!(clean("\u{1b}\u{1b}[1mbold"), "bold");
    }

    #[test]
    fn controls_and_overrides_are_dropped() {
        assert_eq!(clean("a\0b\u{7}c\rd\u{7f}e\u{80}f"), "abcdef");
        for hidden in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            assert_eq!(clean(&format!("a{hidden}b")), "ab");
        }
        for hidden in ['\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{2060}', '\u{feff}', '\u{e0041}'] {
            assert_eq!(clean(&format!("a{hidden}b")), "ab");
        }
    }

    #[test]
    fn breaks_become_spaces() {
        assert_eq!(clean("one\ntwo\tthree\r\nfour\u{2028}five"), "one two three four five");
    }

    #[test]
    fn joiners_stay_where_they_spell() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(clean(family), family);
        assert_eq!(clean("می\u{200c}خواهم"), "می\u{200c}خواهم");
        assert_eq!(clean("\u{200d}\u{1f468}\u{200d}"), "\u{1f468}");
        assert_eq!(clean("\u{1f468}\u{200d}\u{202e}\u{200d}x"), "\u{1f468}x");
    }

    #[test]
    fn nothing_that_controls_survives_anywhere() {
        let every: String = (0..=0x2100).filter_map(char::from_u32).collect();
        let twice = format!("{every}{every}");
        assert!(!clean(&twice).chars().any(|c| is_hidden(c) && !is_joiner(c)));
    }

    #[test]
    fn a_name_is_short_and_visible() {
        assert_eq!(name(" ada \n").as_deref(), Some("ada"));
        assert_eq!(name("\u{1b}[1m\u{202e}"), None);
        assert_eq!(name(&"x".repeat(99)).map(|name| name.len()), Some(NAME_CHARS));
    }
}
