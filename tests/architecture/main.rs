//! Guards the shape of `src/` by reading its text: who may import whom, what the pure core may not touch,
//! and what no source file may contain. Every rule has a test that breaks it and sees it caught.

mod reader;

use std::{collections::BTreeSet, fs, path::Path};

use reader::{Token, references, tokens, without_tests};

/// The top-level modules of the library and the floor each stands on. A module imports only from floors
/// below its own; modules that share a floor may also know each other, except the parts of `protocol`.
const FLOORS: &[(&str, u8)] = &[
    ("id", 0),
    ("wire", 1),
    ("config", 1),
    ("error", 1),
    ("protocol", COMPOSER), // its mod.rs and machine; every other file in it is a part
    ("driver", 4),
    ("tls", 4),
    ("store", 4),
    ("endpoint", 5),
    ("session", 5),
    ("channel", 5),
    ("receipt", 5),
    ("stats", 5),
];
const PART: u8 = 2;
const COMPOSER: u8 = 3;
const CRATE_ROOT: u8 = 6;

/// What in `protocol` composes the parts instead of being one.
const COMPOSERS: &[&str] = &["machine", "tests"];

/// The exceptions to "the parts are blind to each other": plain vocabulary with no decisions in it.
const VOCABULARY: &[(&str, &str)] = &[
    ("types", "the words in which the parts and the machine describe time, links and outputs"),
    ("journal", "the records that a store keeps, and what it gives back"),
    ("outcomes", "how messages ended, which outbox and receipts speak of"),
    ("proof", "the arithmetic of an attach proof, which both roles do alike"),
    ("flights", "which datagrams are lost, a part of the outbox on its own"),
    ("told", "sets of sequences that the other side hears of, which acks and outbox both keep"),
    ("ranges", "sets of sequences, which acks, dedup, inbox and outbox all speak of"),
];

const LINES_MAX: usize = 500;

#[test]
fn the_sources_keep_the_rules() {
    let sources = read_tree("src");
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the sources are not where they were");
    let parts = parts_of(&sources);
    assert_clean(sources.iter().flat_map(|source| violations(source, &parts)));
}

#[test]
fn hand_written_files_are_short() {
    let folders = ["src", "tests", "examples", "netsim", "proto", "benches", "fuzz"];
    assert_clean(folders.iter().flat_map(|folder| read_tree(folder)).filter_map(|source| too_long(&source)));
}

#[test]
fn the_network_simulator_knows_nothing_of_bowline() {
    let sources = read_tree("netsim/src");
    assert_clean(sources.iter().flat_map(|source| banned(source, &tokens(&source.text), &["bowline ::"])));
}

#[test]
fn every_rule_that_is_cited_is_written_down() {
    let read = |path: &str| fs::read_to_string(path).unwrap();
    let (rules, guarantees) = (read("proto/README.md"), read("docs/guarantees.md"));
    let is_known =
        |name: &str| rules.contains(&format!("\n**{name} ")) || guarantees.contains(&format!("\n| {name} |"));
    let unknown = |source: &Source| {
        let unknown = cited(&source.text).into_iter().filter(|name| !is_known(name));
        unknown.map(|name| format!("{}: there is no rule {name}", source.path)).collect::<Vec<_>>()
    };
    assert_eq!(cited("(rules N1, R1 and W9) or a rule of X1, see rule H8."), ["N1", "R1", "W9", "H8"]);
    assert_clean(["src", "tests"].iter().flat_map(|folder| read_tree(folder)).flat_map(|it| unknown(&it)));
}

/// The names after `rule` and `rules`.
fn cited(text: &str) -> Vec<&str> {
    let is_name = |word: &str| {
        word.split_at_checked(1).is_some_and(|(letter, number)| {
            letter.bytes().all(|byte| byte.is_ascii_uppercase()) && number.parse::<u8>().is_ok()
        })
    };
    let named = |after: &str| after.starts_with(' ') || after.starts_with("s ");
    text.split("rule")
        .skip(1)
        .filter(|after| named(after))
        .flat_map(|after| {
            let words = after.trim_start_matches('s').split([' ', ',']);
            let words = words.map(|word| word.trim_end_matches([')', '.', ':', ';', ']', '"']));
            words.take_while(move |word| is_name(word) || matches!(*word, "" | "and"))
        })
        .filter(|word| is_name(word))
        .collect()
}

// ---- The rules ----

/// One file: its path from the repository's root, with `/`, and what is in it.
struct Source {
    path: String,
    text: String,
}

fn violations(source: &Source, parts: &BTreeSet<String>) -> Vec<String> {
    let all = tokens(&source.text);
    let module = module_of(&source.path);
    let is_test = module.iter().any(|name| name == "tests");
    let production = if is_test { Vec::new() } else { without_tests(&all) };

    let mut found = banned(source, &all, &["unsafe", "todo !", "unimplemented !"]);
    if !source.text.starts_with("//!") {
        found.push(format!("{}:1: start with a `//!` line that says what this module is for", source.path));
    }
    found.extend(floor_violations(source, &module, &all, parts));
    let top = module.first().map_or("", String::as_str);
    if matches!(top, "wire" | "protocol") {
        found.extend(banned(source, &all, &["tokio", "quinn"]));
        found.extend(banned(
            source,
            &production,
            &["Instant :: now", ". elapsed (", "SystemTime", "rand ::"],
        ));
        found.extend(banned(source, &production, &[". unwrap (", ". expect (", "panic !", "unreachable !"]));
    }
    if top == "protocol" {
        found.extend(banned(source, &production, &["HashMap", "HashSet"]));
    }
    found
}

fn floor_violations(
    source: &Source,
    module: &[String],
    tokens: &[Token],
    parts: &BTreeSet<String>,
) -> Vec<String> {
    let Some(from) = place(module, parts) else {
        return vec![format!("{}:1: which floor is it on? Add it to FLOORS", source.path)];
    };
    let violation = |(line, target): (usize, Vec<String>)| {
        let to = place(&target, parts).unwrap_or(Place::crate_root());
        let why = from.forbids(&to)?;
        Some(format!("{}:{line}: {} uses {}: {why}", source.path, from.name, target.join("::")))
    };
    references(tokens, module).into_iter().filter_map(violation).collect()
}

/// A module as the floors see it.
#[derive(PartialEq)]
struct Place {
    name: String,
    floor: u8,
}

impl Place {
    fn crate_root() -> Self {
        Self { name: "lib.rs".to_owned(), floor: CRATE_ROOT }
    }

    fn forbids(&self, to: &Self) -> Option<&'static str> {
        let is_vocabulary = || VOCABULARY.iter().any(|(name, _)| to.name == format!("protocol::{name}"));
        if self == to || to.floor < self.floor {
            None
        } else if to.floor == CRATE_ROOT {
            Some("that is lib.rs, the top floor; import from the module where it is defined")
        } else if to.floor > self.floor {
            Some("that is a floor above")
        } else if self.floor == PART && !is_vocabulary() {
            Some("the parts of the protocol are blind to each other")
        } else {
            None
        }
    }
}

/// Where a path from the crate's root leads. `None` if its first segment is no known module.
fn place(path: &[String], parts: &BTreeSet<String>) -> Option<Place> {
    let Some(top) = path.first() else { return Some(Place::crate_root()) };
    if let Some(part) = path.get(1).filter(|name| top == "protocol" && parts.contains(*name)) {
        return Some(Place { name: format!("protocol::{part}"), floor: PART });
    }
    let (name, floor) = FLOORS.iter().find(|(name, _)| name == top)?;
    Some(Place { name: (*name).to_owned(), floor: *floor })
}

fn parts_of(sources: &[Source]) -> BTreeSet<String> {
    let modules = sources.iter().map(|source| module_of(&source.path));
    let in_protocol = modules.filter(|module| module.len() > 1 && module[0] == "protocol");
    in_protocol.map(|module| module[1].clone()).filter(|name| !COMPOSERS.contains(&name.as_str())).collect()
}

/// `src/protocol/machine/mod.rs` is the module `protocol::machine`; `src/lib.rs` is the root.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<_> = inside.split('/').map(str::to_owned).collect();
    if inside == "lib" || inside.ends_with("/mod") {
        module.pop();
    }
    module
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    (lines >= LINES_MAX).then(|| format!("{}: {lines} lines; split it along a noun", source.path))
}

/// Each pattern is a sequence of tokens, separated by spaces.
fn banned(source: &Source, tokens: &[Token], patterns: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for pattern in patterns {
        let words: Vec<_> = pattern.split(' ').collect();
        for here in tokens.windows(words.len()) {
            if here.iter().map(|token| token.text.as_str()).eq(words.iter().copied()) {
                let what = words.concat();
                found.push(format!("{}:{}: `{what}` has no place here", source.path, here[0].line));
            }
        }
    }
    found
}

/// Every hand-written Rust file below a folder of the repository; none if the folder does not exist.
fn read_tree(folder: &str) -> Vec<Source> {
    let Ok(entries) = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) else {
        return Vec::new();
    };
    let mut sources = Vec::new();
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{folder}/{name}");
        if entry.file_type().unwrap().is_dir() {
            if name != "generated" && name != "target" {
                sources.extend(read_tree(&path));
            }
        } else if name.ends_with(".rs") {
            sources.push(Source { text: fs::read_to_string(entry.path()).unwrap(), path });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn assert_clean(violations: impl Iterator<Item = String>) {
    let violations: Vec<_> = violations.collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

// ---- The guard can fail ----

/// What the rules find in a file that has a proper first line, without its path.
fn caught(path: &str, code: &str) -> Vec<String> {
    let parts = ["acks", "outbox", "types"].map(str::to_owned).into();
    let source = Source { path: path.to_owned(), text: format!("//! Says what it is for.\n{code}") };
    let found = violations(&source, &parts).into_iter();
    found.map(|violation| violation.trim_start_matches(path).trim_start_matches(':').to_owned()).collect()
}

#[track_caller]
fn assert_caught(path: &str, code: &str, what: &str) {
    let found = caught(path, code);
    assert!(found.len() == 1 && found[0].contains(what), "{path}, {code}: {found:?}");
}

#[track_caller]
fn assert_allowed(path: &str, code: &str) {
    assert_eq!(caught(path, code), Vec::<String>::new(), "{path}, {code}");
}

#[test]
fn imports_from_above_are_caught() {
    assert_caught("src/id.rs", "use crate::wire::Frame;", "2: id uses wire::Frame: that is a floor above");
    assert_caught("src/wire/mod.rs", "use super::driver;", "uses driver");
    assert_caught("src/wire/frame.rs", "use super::super::{config::A, session::{B}};", "session::B");
    assert_caught("src/config.rs", "fn f() -> crate::protocol::Machine { x }", "protocol::Machine");
    assert_caught("src/config.rs", "pub(in crate::session) fn f() {}", "config uses session");
    assert_caught("src/tls.rs", "use crate::{\n  id::{self, X},\n  channel as lane,\n};", "tls uses channel");
    assert_caught("src/tls.rs", "mod a { mod b {} } use super::session;", "tls uses session");
    assert_caught("src/tls.rs", "use crate::Session;", "import from the module where it is defined");
    assert_caught("src/tls.rs", "use crate::*;", "the top floor");
    assert_caught("src/protocol/machine.rs", "use crate::{error, store::Journal};", "store::Journal");
    assert_caught("src/protocol/machine/send.rs", "use crate::driver::Clock;", "protocol uses driver::Clock");
    assert_caught("src/protocol/acks.rs", "use super::Output;", "protocol::Output: that is a floor above");
    assert_caught("src/protocol/acks.rs", "use crate::protocol::machine::X;", "a floor above");
    assert_eq!(caught("src/id.rs", "use crate::{wire::{A, b::B}, tls};").len(), 3);
}

#[test]
fn imports_from_below_are_allowed() {
    assert_allowed("src/protocol/acks.rs", "use crate::{id::X, wire::{Y, z::{self, Z}}};");
    assert_allowed("src/protocol/machine.rs", "use super::{acks::Acks, outbox, types::*, Output};");
    assert_allowed("src/protocol/mod.rs", "pub use self::machine::Machine; use acks::X;");
    assert_allowed("src/driver/link.rs", "use super::dialer; use crate::{tls, store::Journal};");
    assert_allowed("src/session.rs", "use crate::{channel::Channel, receipt, endpoint::Endpoint};");
    assert_allowed("src/lib.rs", "pub use crate::session::Session; use crate::VERSION;");
    assert_allowed(
        "src/wire/frame.rs",
        "mod size { use super::X; pub(super) mod y { use super::super::X; } }",
    );
    assert_allowed("src/id.rs", "pub(crate) fn f() {} /* crate::wire */ // use crate::wire;");
}

#[test]
fn the_parts_are_blind_to_each_other() {
    assert_caught("src/protocol/acks.rs", "use super::outbox::Outbox;", "blind to each other");
    assert_caught("src/protocol/acks.rs", "#[cfg(test)] mod tests { use super::super::outbox; }", "blind");
    assert_caught("src/protocol/types.rs", "use crate::protocol::acks::Acks;", "blind to each other");
    assert_allowed("src/protocol/acks.rs", "use super::types::Link;");
    assert_allowed("src/protocol/acks/gaps.rs", "use super::Acks; use crate::protocol::acks::X;");
    assert_allowed("src/protocol/tests/resume.rs", "use crate::protocol::{acks, machine, outbox};");
}

#[test]
fn a_module_without_a_floor_is_caught() {
    assert_caught("src/util.rs", "use crate::id::X;", "1: which floor is it on?");
    assert_caught("src/util/mod.rs", "", "which floor is it on?");
}

#[test]
fn what_the_core_may_not_touch_is_caught() {
    for code in ["use tokio::x;", "quinn::X", "Instant::now()", "x.elapsed()", "SystemTime", "rand::rng()"] {
        assert_caught("src/protocol/acks.rs", code, "has no place here");
        assert_caught("src/wire/mod.rs", code, "has no place here");
        assert_allowed("src/driver/mod.rs", code);
    }
    assert_caught("src/protocol/acks.rs", "use std::collections::HashMap;", "`HashMap` has no place here");
    assert_caught("src/protocol/acks.rs", "#[cfg(test)] mod tests { use tokio; }", "`tokio`");
    assert_allowed("src/protocol/acks.rs", "#[cfg(test)]\nmod tests { fn f() { Instant::now() } }");
    assert_allowed(
        "src/protocol/acks.rs",
        "/// No tokio.\nfn f<'a>() { \"quinn\"; r#\"\"rand::\"#; '\"'; b'\\''; }",
    );
    assert_allowed("src/wire/mod.rs", "use crate::id::operand; strand::X;");
}

#[test]
fn panics_on_purpose_are_caught() {
    for code in ["x.unwrap();", "x\n  .expect(\"y\");", "panic!()", "unreachable!(\"z\")"] {
        assert_caught("src/wire/frame.rs", code, "has no place here");
        assert_caught(
            "src/protocol/mod.rs",
            &format!("#[cfg(test)] mod tests;\n{code}"),
            "has no place here",
        );
        assert_allowed("src/wire/frame.rs", &format!("#[cfg(test)]\nmod tests {{ fn f() {{ {code} }} }}"));
        assert_allowed("src/wire/tests.rs", code);
        assert_allowed("src/protocol/machine/tests/send.rs", code);
    }
    assert_allowed("src/wire/frame.rs", "x.unwrap_or(1); x.expect_frame(); // x.unwrap()");
}

#[test]
fn unfinished_undocumented_and_long_files_are_caught() {
    assert_caught("src/driver/mod.rs", "fn f() { todo!() }", "`todo!`");
    assert_caught("src/driver/mod.rs", "fn f() { unimplemented!() }", "`unimplemented!`");
    assert_caught(
        "src/driver/mod.rs",
        "/* a\n/* b */ */ \"c\n\" unsafe fn f() {}",
        "4: `unsafe` has no place",
    );
    assert_allowed("src/lib.rs", "#![forbid(unsafe_code)]");
    let bare = Source { path: "src/id.rs".to_owned(), text: "fn f() {}".to_owned() };
    assert!(violations(&bare, &BTreeSet::new())[0].contains("start with a `//!` line"));
    let file = |lines| Source { path: "src/id.rs".to_owned(), text: "\n".repeat(lines) };
    assert!(too_long(&file(LINES_MAX)).is_some() && too_long(&file(LINES_MAX - 1)).is_none());
}
