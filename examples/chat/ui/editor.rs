//! The line being typed.

/// One line of text and the place in it where the next character goes.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    before: String,
    /// What stands after the cursor, in order.
    after: String,
}

impl Editor {
    pub(crate) fn before(&self) -> &str {
        &self.before
    }

    pub(crate) fn after(&self) -> &str {
        &self.after
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    pub(crate) fn insert(&mut self, text: &str) {
        self.before.push_str(text);
    }

    pub(crate) fn backspace(&mut self) {
        self.before.pop();
    }

    pub(crate) fn delete(&mut self) {
        if let Some(next) = self.after.chars().next() {
            self.after.drain(..next.len_utf8());
        }
    }

    pub(crate) fn left(&mut self) {
        if let Some(previous) = self.before.pop() {
            self.after.insert(0, previous);
        }
    }

    pub(crate) fn right(&mut self) {
        if let Some(next) = self.after.chars().next() {
            self.delete();
            self.before.push(next);
        }
    }

    pub(crate) fn home(&mut self) {
        self.after.insert_str(0, &self.before);
        self.before.clear();
    }

    pub(crate) fn end(&mut self) {
        self.before.push_str(&self.after);
        self.after.clear();
    }

    /// Drops what stands before the cursor.
    pub(crate) fn cut(&mut self) {
        self.before.clear();
    }

    /// Drops the word before the cursor.
    pub(crate) fn cut_word(&mut self) {
        let word = self.before.trim_end().split(char::is_whitespace).next_back().unwrap_or_default().len();
        self.before.truncate(self.before.trim_end().len() - word);
    }

    /// The whole line; the next one begins empty.
    pub(crate) fn take(&mut self) -> String {
        self.end();
        std::mem::take(&mut self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_whole_wherever_the_cursor_is() {
        let mut editor = Editor::default();
        editor.insert("añb");
        editor.left();
        editor.left();
        editor.delete();
        editor.insert("é");
        assert_eq!((editor.before(), editor.after()), ("aé", "b"));
        editor.home();
        editor.backspace();
        editor.right();
        editor.right();
        editor.backspace();
        assert_eq!(editor.take(), "ab");
        assert!(editor.is_empty());
    }

    #[test]
    fn cutting_takes_what_is_before_the_cursor() {
        let mut editor = Editor::default();
        for (text, left) in [("one two  ", "one "), ("one", ""), ("", ""), ("wörter ünd", "wörter ")] {
            editor.insert(text);
            editor.cut_word();
            assert_eq!(editor.take(), left);
        }
        editor.insert("gone stays");
        (0.."stays".len()).for_each(|_| editor.left());
        editor.cut();
        assert_eq!(editor.take(), "stays");
    }
}
