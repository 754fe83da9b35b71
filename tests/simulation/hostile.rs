//! Peers that break the wire specification, over a network that loses packets and lets them overtake each other (G10 to G12).
//!
//! The peers speak raw QUIC. What they do is in the tables of `tests/security/rules`, one row for each way to break a rule, with
//! what the other side does then: it ends the session with a reason, it refuses the link, it gives up the link alone, or it
//! ignores what was said. Here a hostile dialer goes through them at an honest server, and a hostile acceptor at an honest
//! client at the same time; and these two have a session with each other that must not notice.
//!
//! | part | shows |
//! |---|---|
//! | `field` | the four of them, and what comes of a row |
//! | `bystander` | the session that must not notice |
//! | `bounds` | peers that begin everything and complete nothing |
//! | `claims` | peers that want somebody else's session |
//!
//! Every rule of `proto/README.md` has a row there, a test of its own here, or is in [`NOT_TO_BE_BROKEN`] with the reason.

mod bounds;
mod bystander;
mod claims;
mod field;
#[path = "../security/raw.rs"]
#[allow(dead_code, reason = "the security tests use the rest")]
mod raw;
#[path = "../security/rules/mod.rs"]
mod rules;

use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bowline::Config;

use crate::world::{Ends, over};
use crate::{crowd, seeds};
use bystander::Bystander;
use field::{Field, network};
use rules::{By, Case, attach, control, data, harmless, lanes, pieces};

/// The rules that no peer can break so that the other side could tell, and why.
const NOT_TO_BE_BROKEN: &[(&str, &str)] = &[
    ("S6", "what a program dials is its own affair; on the wire nothing says who may"),
    ("N3", "when a sender takes a datagram for lost is its own affair; what comes again is N1"),
    ("R2", "between the receiver and its application"),
    ("R3", "when a sender forgets is its own affair; a word about messages never sent is N1"),
    ("R4", "between a side and its disk"),
    ("H2", "what proves life to a side; a peer that proves none is a dead link (T2)"),
    ("H4", "when a dialer asks; beats that come too often are as good as others (H1)"),
    ("T2", "when a side gives up a link"),
    ("T3", "how long a side keeps a session"),
    ("T5", "when a dialer dials; one that does so too often meets the limits of `security::flood`"),
];

/// The rules that have a test of their own here, beside the tables.
const BY_THEMSELVES: &[(&str, &str)] = &[
    (
        "W3",
        "claims::a_peer_without_datagrams_is_turned_away; that QUIC gives no credit for other streams is in `security::violations`",
    ),
    ("S2", "claims::who_is_somebody_else_gets_no_session_and_its_owner_does_not_notice"),
    ("S5", "claims::the_newest_link_wins_and_the_older_one_is_told_by_which"),
];

/// How long anything may take: in virtual time, over a bad network.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest that a message of the bystander may take. Over thirty seeds the network alone makes one wait for up to 326 ms, and
/// beside hostile peers one waits for up to 306 ms.
const WAIT: Duration = Duration::from_millis(500);

/// Fails a test that would otherwise wait for ever.
#[track_caller]
fn soon<F: IntoFuture>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    let limited = tokio::time::timeout(PATIENCE, future.into_future());
    async move { limited.await.unwrap_or_else(|_| panic!("{caller}: this should not take so long")) }
}

/// All the tables.
fn cases() -> Vec<Case> {
    [
        attach::attach_frames(),
        attach::control_stream(),
        attach::malformed_hellos(),
        attach::refused_hellos(),
        attach::bad_welcomes(),
        control::frames(),
        control::labels(),
        control::ranges(),
        lanes::lanes(),
        lanes::impossible_news(),
        lanes::skips(),
        data::streams(),
        data::broken_records(),
        pieces::bodies(),
        pieces::datagrams(),
        pieces::misplaced(),
        pieces::misfits(),
        pieces::giants(),
        harmless::frames(),
        harmless::messages(),
        harmless::datagrams(),
        harmless::lost_links(),
    ]
    .concat()
}

/// Two honest programs that talk, while a program of hostile peers runs. What was wrong.
fn beside<T>(
    seed: u64,
    config: &Config,
    program: impl AsyncFnOnce(&Arc<Field>) -> (Vec<String>, T),
) -> (Vec<String>, u64, Duration) {
    let finished = over(&network(), seed, async |ends: Ends| {
        let field = Arc::new(Field::new(ends.clone(), config.clone()));
        let dial = field.client.endpoint.connect(ends.server_address(), ends.trust());
        let dialed = soon(dial).await.expect("the server answers");
        let accepted = field.session(dialed.id()).await;
        let bystander = Bystander::of(&ends, [dialed, accepted]).await;
        let (mut found, _) = program(&field).await;
        let (more, messages, longest) = bystander.end(WAIT).await;
        found.extend(more);
        found.extend(ends.panics().iter().map(|at| format!("G12 no panic, at {at}: a task panicked")));
        (found, messages, longest)
    });
    assert!(finished.world.counts().lost > 0 && finished.world.counts().reordered > 0, "a good network");
    finished.output.unwrap_or_else(|| (vec![format!("seed {seed}: no end")], 0, Duration::ZERO))
}

/// Each row that this peer can do, one after the other.
async fn go_through(field: Arc<Field>, by: By) -> Vec<String> {
    let mut found = Vec::new();
    for (number, case) in (1..).zip(cases().into_iter().filter(|case| case.is_by(by))) {
        let (name, field) = (case.name, Arc::clone(&field));
        // A task of its own: what panics in it has a name.
        let done = match by {
            By::Acceptor => tokio::spawn(async move { field.by_acceptor(case).await }),
            By::Dialer | By::Anyone => tokio::spawn(async move { field.by_dialer(number, case).await }),
        };
        match done.await {
            Ok(Ok(())) => {}
            Ok(Err(words)) => found.push(format!("{by:?}, {name}: {words}")),
            Err(_) => found.push(format!("{by:?}, {name}: it panicked")),
        }
    }
    found
}

#[test]
fn every_rule_that_a_peer_breaks_is_answered_as_it_should_be_and_nobody_else_notices() {
    let seeds = seeds::many().unwrap_or_else(|| (0..3).collect());
    crowd::require_each(&seeds, |seed| {
        let (found, messages, longest) = beside(*seed, &Config::default(), async |field| {
            let each = [By::Dialer, By::Acceptor].map(|by| tokio::spawn(go_through(field.clone(), by)));
            let mut found = Vec::new();
            for one in each {
                found.extend(one.await.expect("failures are collected"));
            }
            (found, ())
        });
        println!("hostile: seed {seed}, {messages} messages of the bystander, longest wait {longest:?}");
        (!found.is_empty()).then(|| format!("hostile, seed {seed}:\n  {}", found.join("\n  ")))
    });
    let (dialers, acceptors) = (of(By::Dialer), of(By::Acceptor));
    println!("hostile: {dialers} rows by dialers, {acceptors} by acceptors, {} seeds", seeds.len());
}

fn of(by: By) -> usize {
    cases().iter().filter(|case| case.is_by(by)).count()
}

/// How long the bystander waits on this network when there is nobody else: what the limit is compared with.
#[test]
fn without_anybody_hostile_the_bystander_waits_as_long() {
    let seeds = seeds::many().unwrap_or_else(|| (0..3).collect());
    crowd::require_each(&seeds, |seed| {
        let (found, messages, longest) = beside(*seed, &Config::default(), async |_| {
            tokio::time::sleep(Duration::from_secs(30)).await;
            (Vec::new(), ())
        });
        println!("hostile: seed {seed} alone, {messages} messages, longest wait {longest:?}");
        (!found.is_empty()).then(|| found.join("\n"))
    });
}

#[test]
fn every_rule_of_the_specification_has_a_row_or_a_reason() {
    let specification = include_str!("../../proto/README.md");
    let id = |line: &str| {
        let (id, _) = line.strip_prefix("**")?.split_once(' ')?;
        let number = id.strip_prefix(|it: char| it.is_ascii_uppercase())?;
        number.parse::<u32>().is_ok().then(|| id.to_owned())
    };
    let rules: BTreeSet<String> = specification.lines().filter_map(id).collect();
    assert!(rules.len() > 40, "hardly any rules were found: {rules:?}");
    let table: BTreeSet<String> =
        cases().iter().flat_map(|case| case.rules.split(' ')).map(str::to_owned).collect();
    let unknown: Vec<_> = table.difference(&rules).collect();
    assert!(unknown.is_empty(), "the specification has no {unknown:?}");
    let listed = [NOT_TO_BE_BROKEN, BY_THEMSELVES].concat();
    for (rule, reason) in &listed {
        assert!(rules.contains(*rule), "the specification has no {rule}");
        assert!(!table.contains(*rule), "{rule} has a row: {reason}");
    }
    let told = |rule: &&String| table.contains(*rule) || listed.iter().any(|(it, _)| it == rule);
    let silent: Vec<_> = rules.iter().filter(|rule| !told(rule)).collect();
    assert!(silent.is_empty(), "no row breaks {silent:?}, and nothing says why");
    let names: BTreeSet<_> = cases().iter().map(|case| (case.name, format!("{:?}", case.scene))).collect();
    assert_eq!(names.len(), cases().len(), "two rows have the same name");
}
