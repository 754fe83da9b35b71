//! Reads Rust as far as the rules need it: tokens, what is only there for tests, and paths.

#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

const LITERAL: &str = "\"\"";

/// Words, `::` and single characters of punctuation. Comments are gone; a literal is one `LITERAL`.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let is = |at: usize, what: &str| what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let is_word = |at: usize| chars.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let begin = at;
        let mut text = None;
        if is(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if is(at, "/*") {
            let mut depth = 0;
            while at < chars.len() {
                depth += i32::from(is(at, "/*")) - i32::from(is(at, "*/"));
                at += if is(at, "/*") || is(at, "*/") { 2 } else { 1 };
                if depth == 0 {
                    break;
                }
            }
        } else if let Some(hashes) = raw_string(&chars[at..]) {
            let end = format!("\"{}", "#".repeat(hashes));
            at += chars[at..].iter().take_while(|c| **c != '"').count() + 1;
            while at < chars.len() && !is(at, &end) {
                at += 1;
            }
            at += end.len();
            text = Some(LITERAL.to_owned());
        } else if is_word(at) {
            while is_word(at) {
                at += 1;
            }
            text = Some(chars[begin..at].iter().collect());
        } else if is(at, "\"") || (is(at, "'") && (is(at + 1, "\\") || is(at + 2, "'"))) {
            let quote = chars[at];
            at += 1;
            while at < chars.len() && chars[at] != quote {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
            text = Some(LITERAL.to_owned());
        } else {
            at += if is(at, "::") { 2 } else { 1 };
            text = Some(chars[begin..at].iter().collect()).filter(|text: &String| !text.trim().is_empty());
        }
        out.extend(text.map(|text| Token { text, line }));
        line += chars[begin..at.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    out
}

/// The number of `#` if a raw string literal starts here.
fn raw_string(chars: &[char]) -> Option<usize> {
    let prefix = chars.iter().take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    let hashes = chars[prefix..].iter().take_while(|c| **c == '#').count();
    let is_raw = prefix > 0 && chars[prefix - 1] == 'r' && chars.get(prefix + hashes) == Some(&'"');
    is_raw.then_some(hashes)
}

/// Drops every item marked `#[cfg(test)]`, up to its `;` or the end of its block.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if !tokens[at..].iter().take(MARK.len()).map(|token| token.text.as_str()).eq(MARK) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += MARK.len();
        let mut depth = 0;
        while at < tokens.len() {
            let text = tokens[at].text.as_str();
            depth += match text {
                "{" | "(" | "[" => 1,
                "}" | ")" | "]" => -1,
                _ => 0,
            };
            if depth < 0 {
                break; // the mark was on the last field of something that ends here
            }
            at += 1;
            if depth == 0 && matches!(text, "}" | ";") {
                break;
            }
        }
    }
    kept
}

/// Every path that begins with `crate`, `super` or `self`, as a path from the crate's root. In Rust that
/// is all a module can reach outside itself, apart from other crates.
pub(crate) fn references(tokens: &[Token], module: &[String]) -> Vec<(usize, Vec<String>)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut found, mut inline, mut depth, mut at) = (Vec::new(), Vec::new(), 0, 0);
    while at < tokens.len() {
        match text(at) {
            "mod" if text(at + 2) == "{" => inline.push((text(at + 1).to_owned(), depth)),
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.pop_if(|(_, opened)| *opened == depth);
            }
            "crate" | "super" | "self" if text(at + 1) == "::" => {
                let here: Vec<_> = module.iter().chain(inline.iter().map(|(name, _)| name)).collect();
                let mut paths = Vec::new();
                let line = tokens[at].line;
                at = read_path(tokens, at, &[], &mut paths);
                found.extend(paths.into_iter().map(|path| (line, resolve(&here, &path))));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads `a::b`, `a::*` or the tree `a::{b::{c, d}, e}` and returns where it ends.
fn read_path(tokens: &[Token], mut at: usize, prefix: &[String], out: &mut Vec<Vec<String>>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut path = prefix.to_vec();
    loop {
        if text(at) == "{" {
            at += 1;
            while at < tokens.len() && text(at) != "}" {
                at = read_path(tokens, at, &path, out);
                while at < tokens.len() && !matches!(text(at), "," | "}") {
                    at += 1; // `as name`
                }
                at += usize::from(text(at) == ",");
            }
            return at + 1;
        }
        if text(at).starts_with(|c: char| c.is_alphabetic() || c == '_') {
            path.push(text(at).to_owned());
            at += 1;
            if text(at) == "::" {
                at += 1;
                continue;
            }
        }
        out.push(path);
        return at;
    }
}

fn resolve(here: &[&String], path: &[String]) -> Vec<String> {
    let mut resolved: Vec<String> = here.iter().map(|name| (*name).clone()).collect();
    for segment in path {
        match segment.as_str() {
            "crate" => resolved.clear(),
            "self" => {}
            "super" => drop(resolved.pop()),
            name => resolved.push(name.to_owned()),
        }
    }
    resolved
}
