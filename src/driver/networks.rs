//! What was learned of networks, for all sessions of an endpoint, and in a file if the application gives one.
//!
//! A network is known by the name that the application gives it, or else by this host's place in it: the first 24 bits of
//! its address (of IPv6, 64), and by the peer's place, as many bits. Of all that only a hash is kept.
//!
//! ```text
//! bowline networks 1
//! <32 hex digits> <seconds since 1970> <survived, ms> <forgotten, ms>        oldest first; `-` for not known
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ring::digest;

use super::clock::Clock;
use super::environment::lock;
use crate::protocol::types::{Lifetime, NetworkId};

/// Networks remembered; the one that was used longest ago makes room.
const NETWORKS_MAX: usize = 64;

/// How long one is remembered.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What is read of a file.
const FILE_MAX: u64 = 64 * 1024;

const HEADER: &str = "bowline networks 1";

/// See the module.
pub(crate) struct Networks {
    clock: Arc<dyn Clock>,
    memory: Arc<Memory>,
    name: Mutex<Option<String>>,
    /// Those in which a session makes probes.
    claims: Arc<Mutex<BTreeSet<NetworkId>>>,
    /// When a session has last come to an end with them.
    found: Mutex<BTreeMap<NetworkId, Instant>>,
}

/// Of the sessions in a network, this one makes the probes.
pub(crate) struct Claim {
    pub(crate) network: NetworkId,
    claims: Arc<Mutex<BTreeSet<NetworkId>>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.claims).remove(&self.network);
    }
}

struct Memory {
    /// The one that was used last comes last.
    entries: Mutex<Vec<Entry>>,
    file: Option<PathBuf>,
    /// Held while the file is written.
    writing: Mutex<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    network: NetworkId,
    /// Seconds since 1970.
    learned_s: u64,
    lifetime: Lifetime,
}

impl Networks {
    /// Begins with what the file remembers. One that cannot be read is reported, and replaced when something was learned.
    pub(crate) fn new(clock: Arc<dyn Clock>, file: Option<PathBuf>) -> Self {
        let entries = file.as_deref().map(load).unwrap_or_default();
        let (entries, writing) = (Mutex::new(entries), Mutex::new(()));
        let (memory, name) = (Arc::new(Memory { entries, file, writing }), Mutex::new(None));
        Self { clock, memory, name, claims: Arc::default(), found: Mutex::default() }
    }

    /// Makes the caller the one that probes in a network, unless another one does.
    pub(crate) fn claim(&self, network: NetworkId) -> Option<Claim> {
        let is_first = lock(&self.claims).insert(network);
        is_first.then(|| Claim { network, claims: self.claims.clone() })
    }

    /// What the application calls the network that it is in now.
    pub(crate) fn set_name(&self, name: Option<String>) {
        *lock(&self.name) = name;
    }

    /// The network in which this host has the address `local`, if that is known, and its peer the address `remote`.
    pub(crate) fn identify(&self, local: Option<IpAddr>, remote: IpAddr) -> NetworkId {
        let here = match (&*lock(&self.name), local) {
            (Some(name), _) => format!("name {name}"),
            (None, Some(local)) => format!("address {}", place(local)),
            (None, None) => "unknown".to_owned(),
        };
        let hash = digest::digest(&digest::SHA256, format!("{here}\n{}", place(remote)).as_bytes());
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        NetworkId(id)
    }

    /// What is remembered of a network.
    pub(crate) fn recall(&self, network: NetworkId) -> Option<Lifetime> {
        let now_s = self.now_s();
        let mut entries = lock(&self.memory.entries);
        let index = entries.iter().position(|entry| entry.network == network)?;
        let entry = entries.remove(index);
        if now_s.saturating_sub(entry.learned_s) > KEPT.as_secs() {
            return None;
        }
        entries.push(entry);
        Some(entry.lifetime)
    }

    /// What a session of this endpoint has found out about a network since then.
    pub(crate) fn recall_news(&self, network: NetworkId, since: Instant) -> Option<Lifetime> {
        let is_news = lock(&self.found).get(&network).is_some_and(|found| *found >= since);
        if is_news { self.recall(network) } else { None }
    }

    /// Remembers what was learned of a network just now, or forgets it; the file follows in the background.
    pub(crate) fn remember(&self, network: NetworkId, lifetime: Option<Lifetime>, now: Instant) {
        self.note(network, lifetime, now);
        if self.memory.file.is_some() {
            let memory = self.memory.clone();
            // Writing waits for the disk, which no task of the runtime may.
            let spawned =
                std::thread::Builder::new().name("networks".to_owned()).spawn(move || memory.save());
            if let Err(error) = spawned {
                tracing::warn!(%error, "what was learned of networks is not saved");
            }
        }
    }

    fn note(&self, network: NetworkId, lifetime: Option<Lifetime>, now: Instant) {
        let learned_s = self.now_s();
        let mut entries = lock(&self.memory.entries);
        let mut found = lock(&self.found);
        entries.retain(|entry| entry.network != network);
        entries.extend(lifetime.map(|lifetime| Entry { network, learned_s, lifetime }));
        let superfluous = entries.len().saturating_sub(NETWORKS_MAX);
        entries.drain(..superfluous);
        found.insert(network, now);
        found.retain(|network, _| entries.iter().any(|entry| entry.network == *network));
    }

    fn now_s(&self) -> u64 {
        self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// The part of an address that hosts of one network share.
fn place(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0")
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::")
        }
    }
}

impl Memory {
    /// Whoever comes last writes what is newest.
    fn save(&self) {
        let _one_at_a_time = lock(&self.writing);
        let text = format(&lock(&self.entries));
        if let Some(file) = &self.file
            && let Err(error) = replace(file, &text)
        {
            tracing::warn!(file = %file.display(), %error, "what was learned of networks is not saved");
        }
    }
}

/// Writes a file as a whole, or leaves the one that is there.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = file.with_file_name(name);
    let written = File::create(&new).and_then(|mut to| {
        to.write_all(text.as_bytes())?;
        to.sync_all()
    });
    written.and_then(|()| fs::rename(&new, file)).inspect_err(|_| {
        // It may not be there; nothing else can be done about it.
        let _ = fs::remove_file(&new);
    })
}

fn load(file: &Path) -> Vec<Entry> {
    let mut text = String::new();
    let read = File::open(file).and_then(|from| from.take(FILE_MAX).read_to_string(&mut text));
    let problem = match read {
        Ok(_) => match parse(&text) {
            Ok(entries) => return entries,
            Err(problem) => problem,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(file = %file.display(), %problem, "nothing is remembered of networks; the file will be replaced");
    Vec::new()
}

fn format(entries: &[Entry]) -> String {
    let ms = |time: Option<Duration>| time.map_or("-".to_owned(), |time| time.as_millis().to_string());
    let line = |entry: &Entry| {
        let id: String = entry.network.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let Lifetime { survived, forgotten } = entry.lifetime;
        format!("{id} {} {} {}\n", entry.learned_s, ms(survived), ms(forgotten))
    };
    std::iter::once(format!("{HEADER}\n")).chain(entries.iter().map(line)).collect()
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(format!("its first line is not {HEADER:?}"));
    }
    let mut entries = Vec::new();
    for (number, line) in (2..).zip(lines) {
        entries.push(parse_line(line).ok_or_else(|| format!("line {number} is not one of a network"))?);
    }
    let superfluous = entries.len().saturating_sub(NETWORKS_MAX);
    entries.drain(..superfluous);
    Ok(entries)
}

fn parse_line(line: &str) -> Option<Entry> {
    /// Longer than any silence that is probed.
    const LIFETIME_MAX_MS: u64 = 3_600_000;
    let ms = |text: &str| match text {
        "-" => Some(None),
        text => text.parse().ok().filter(|ms| *ms <= LIFETIME_MAX_MS).map(Duration::from_millis).map(Some),
    };
    let mut words = line.split(' ');
    let id = words.next().filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let network = NetworkId(u128::from_str_radix(id, 16).ok()?.to_be_bytes());
    let learned_s = words.next()?.parse().ok()?;
    let lifetime = Lifetime { survived: ms(words.next()?)?, forgotten: ms(words.next()?)? };
    let makes_sense =
        lifetime.survived.zip(lifetime.forgotten).is_none_or(|(survived, forgotten)| survived < forgotten);
    (words.next().is_none() && makes_sense).then_some(Entry { network, learned_s, lifetime })
}

#[cfg(test)]
mod tests;
