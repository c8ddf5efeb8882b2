//! The file of a node, from one reading to the next: which of its keys a running node takes
//! over, and which wait until it is started again.
//!
//! What waits is what sockets, cores and files on disk follow from, and by what name others
//! know the node. A change of such a key holds up nothing else: the file is taken over as if
//! that key stood there as it was, and that whole is checked like any file, so that what
//! belongs together is taken over together or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::members::ENDPOINT_KEYS;
use super::reader::Reader;
use super::{Config, Mistake, Role, file_name, parse};
use crate::uri::Uri;

/// The keys that wait, by section: "" for those before the first.
const WAITING: [(&str, &[&str]); 4] = [
    (
        "",
        &[
            "name",
            "listen",
            "core_listen",
            "core_port",
            "shards",
            "control",
            "metrics",
            "recorder",
        ],
    ),
    (
        "edge",
        &[
            "cluster",
            "core_name",
            "covers",
            "flows",
            "flows_max",
            "member_names",
        ],
    ),
    ("home", &["domain", "name", "store", "store_ca", "durable"]),
    ("dns", &["listen"]),
];
/// The file, and what it said when the node was started.
#[derive(Clone)]
pub struct Source {
    path: PathBuf,
    started: Table,
    /// What it was given for want of a file of keys.
    made_key: Option<[u8; 32]>,
    /// What the node goes by.
    applied: Table,
    /// Of the text that was read last and could be taken over.
    digest: String,
}

/// What a file comes to for a node that runs.
#[derive(Clone)]
pub struct Change {
    /// What the node goes by from here on.
    pub config: Config,
    /// The keys that are different from before, as sentences name them.
    pub changed: Vec<String>,
    /// Those that wait until the node is started again.
    pub pending: Vec<String>,
    /// Becomes that of the node together with the rest.
    pub source: Source,
}

/// Whether a change of that key waits until the node is started again: of the node's own entry,
/// for a key of `members`.
pub(super) fn waits_for_restart(section: &str, key: &str) -> bool {
    match section {
        "edge.members" => ENDPOINT_KEYS.contains(&key),
        _ => WAITING
            .iter()
            .any(|(one, keys)| *one == section && keys.contains(&key)),
    }
}

/// Reads a file for a node that is to be started.
///
/// # Errors
/// The first mistake in it.
pub fn open(path: &Path) -> Result<(Config, Source), Mistake> {
    let text = read(path)?;
    let config = parse(&name(path), &text, folder(path))?;
    let table = document(path, &text)?;
    let source = Source {
        path: path.to_owned(),
        started: table.clone(),
        made_key: made_key(&config),
        applied: table,
        digest: digest(&text),
    };
    Ok((config, source))
}

/// Finds the control socket that a file names, whatever else is wrong with it.
///
/// # Errors
/// When the file cannot be read as TOML.
pub fn control_socket(path: &Path) -> Result<Option<PathBuf>, Mistake> {
    let (text, file) = (read(path)?, name(path));
    let reader = Reader {
        file: &file,
        text: &text,
    };
    let document = reader.document()?;
    let named = reader
        .root(&document)
        .text("control", "the path of a socket")?;
    Ok(named.map(|socket| folder(path).join(socket)))
}

impl Source {
    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of the text that the node goes by, in hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The key of a node, those before it, and the one that it has made for itself: no file says
    /// it, and the process that goes on in its place has to have it.
    #[must_use]
    pub fn keys(&self, running: &Config) -> ([u8; 32], Vec<[u8; 32]>, Option<[u8; 32]>) {
        let (key, older) = keys_of(&running.role);
        (*key, older.clone(), self.made_key)
    }

    /// Takes over the keys of the process before, as far as no file says them.
    pub fn inherit_keys(
        &mut self,
        config: &mut Config,
        (key, older, made): ([u8; 32], Vec<[u8; 32]>, Option<[u8; 32]>),
    ) {
        let is_made = made_key(config).is_some();
        let keys = keys_mut(&mut config.role);
        if is_made {
            (*keys.0, *keys.1) = (key, older);
        } else if let Some(made) = made
            && *keys.0 != made
            && !keys.1.contains(&made)
        {
            keys.1.push(made);
        }
        self.made_key = made;
    }

    /// Reads the file again for the node that runs as `running`, which nothing is changed of.
    ///
    /// # Errors
    /// What is wrong with the file, or with what of it can be taken over.
    pub fn read_again(&self, running: &Config) -> Result<Change, Mistake> {
        let text = read(&self.path)?;
        let name = name(&self.path);
        let mut config = parse(&name, &text, folder(&self.path))?;
        let file = document(&self.path, &text)?;
        self.same_role(&name, &file)?;
        let (mut applied, mut pending) = self.held_back(&file);
        applied.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
        if applied != file {
            let text = toml::to_string(&applied);
            let text = text.map_err(|why| Mistake(format!("{name}: {why}")))?;
            config = parse(&name, &text, folder(&self.path)).map_err(|Mistake(why)| {
                // The lines are those of a text that nobody has seen.
                let why = why.split_once(": ").map_or(why.as_str(), |(_, why)| why);
                let waits = quoted(&pending);
                Mistake(format!(
                    "{name} can be taken over by a restart alone: with {waits} as before, {why}"
                ))
            })?;
        }
        keep_made_key(&mut config, running, self.made_key);
        if config.covered != running.covered {
            pending.push(called("edge", "covers"));
            config.covered.clone_from(&running.covered);
        }
        Ok(Change {
            changed: differences(&self.applied, &applied),
            pending,
            config,
            source: Self {
                path: self.path.clone(),
                started: self.started.clone(),
                made_key: self.made_key,
                digest: digest(&text),
                applied,
            },
        })
    }

    fn same_role(&self, name: &str, file: &Table) -> Result<(), Mistake> {
        match ["edge", "home"].map(|role| (role, self.started.contains_key(role))) {
            [(was, true), (other, _)] | [(other, _), (was, true)] if file.contains_key(other) => {
                Err(Mistake(format!(
                    "{name} makes the node [{other}] instead of [{was}]: that takes a restart"
                )))
            }
            _ => Ok(()),
        }
    }

    /// A file with the keys that wait as they were at the start, and which of them it changes.
    fn held_back(&self, file: &Table) -> (Table, Vec<String>) {
        let mut held = file.clone();
        let mut pending = Vec::new();
        for (section, keys) in WAITING {
            let Some(table) = section_mut(&mut held, section) else {
                continue;
            };
            let started = section_of(&self.started, section);
            for key in keys {
                let before = started.and_then(|table| table.get(*key));
                if hold(table, key, before) {
                    pending.push(called(section, key));
                }
            }
        }
        self.hold_edges(&mut held, &mut pending);
        self.hold_tls(&mut held, &mut pending);
        // Without `listen` there is nothing to serve them.
        let serves =
            |table: &Table| section_of(table, "dns").is_some_and(|it| it.contains_key("listen"));
        if !serves(&self.started)
            && let Some(dns) = section_mut(&mut held, "dns")
            && dns.remove("home_domains").is_some()
        {
            pending.push(called("dns", "home_domains"));
        }
        if serves(&self.started) && !file.contains_key("dns") {
            pending.push(called("dns", "listen"));
            self.keep_section(&mut held, "dns");
        }
        if let Some(entry) = own_entry_mut(&mut held, &self.started) {
            let before = own_entry(&self.started);
            for key in ENDPOINT_KEYS {
                if hold(entry, key, before.and_then(|entry| entry.get(key))) {
                    pending.push(format!("[edge] `members`: `{key}`"));
                }
            }
        }
        (held, pending)
    }

    /// By the host of `edges` a home knows the edges: in the Paths of the phones that are
    /// registered, in the routes of the calls under way, in certificates.
    fn hold_edges(&self, held: &mut Table, pending: &mut Vec<String>) {
        let host = |value: Option<&Value>| {
            let uri = value?.as_str()?.as_bytes();
            Some(Uri::of(uri).ok()?.host.of(uri).to_ascii_lowercase())
        };
        let before = section_of(&self.started, "home").and_then(|home| home.get("edges"));
        if let Some(home) = section_mut(held, "home")
            && host(home.get("edges")) != host(before)
            && hold(home, "edges", before)
        {
            pending.push(called("home", "edges"));
        }
    }

    /// A node that did not speak TLS has no socket for it, and one that did goes on.
    fn hold_tls(&self, held: &mut Table, pending: &mut Vec<String>) {
        match [&self.started, &*held].map(|table| table.contains_key("tls")) {
            [false, true] => {
                held.remove("tls");
                pending.push("[tls]".to_owned());
            }
            [true, false] => {
                self.keep_section(held, "tls");
                pending.push("[tls]".to_owned());
            }
            [false, false] | [true, true] => {}
        }
    }

    /// Keeps a section that a file does without as the node goes by it now, which may be no
    /// longer as it was at the start.
    fn keep_section(&self, held: &mut Table, section: &str) {
        let before = self.applied.get(section).cloned();
        held.extend(before.map(|before| (section.to_owned(), before)));
    }
}

/// Gives a key the value of before; true where it had another one.
fn hold(table: &mut Table, key: &str, before: Option<&Value>) -> bool {
    let is_other = table.get(key) != before;
    if is_other {
        table.remove(key);
        table.extend(before.map(|value| (key.to_owned(), value.clone())));
    }
    is_other
}

fn section_of<'a>(table: &'a Table, section: &str) -> Option<&'a Table> {
    match section {
        "" => Some(table),
        _ => table.get(section)?.as_table(),
    }
}

fn section_mut<'a>(table: &'a mut Table, section: &str) -> Option<&'a mut Table> {
    match section {
        "" => Some(table),
        _ => table.get_mut(section)?.as_table_mut(),
    }
}

fn own_entry(started: &Table) -> Option<&Table> {
    let name = started.get("name")?;
    let members = started.get("edge")?.get("members")?.as_array()?;
    let mut entries = members.iter().filter_map(Value::as_table);
    entries.find(|entry| entry.get("name") == Some(name))
}

fn own_entry_mut<'a>(file: &'a mut Table, started: &Table) -> Option<&'a mut Table> {
    let name = started.get("name")?;
    let members = file.get_mut("edge")?.get_mut("members")?.as_array_mut()?;
    let mut entries = members.iter_mut().filter_map(Value::as_table_mut);
    entries.find(|entry| entry.get("name") == Some(name))
}

/// The key that a configuration without a file of keys was given, which no file says.
fn made_key(config: &Config) -> Option<[u8; 32]> {
    match &config.role {
        Role::Edge(edge) => edge.token_keys.is_empty().then_some(edge.flow_key),
        Role::Home(home) => home.has_made_key.then_some(home.settings.nonce_key),
    }
}

/// The key that a node made at its start is its own for as long as it runs: it writes until a
/// file says another one, and is read from then on. No operator could list it there.
fn keep_made_key(config: &mut Config, running: &Config, made: Option<[u8; 32]>) {
    let is_made = made_key(config).is_some();
    let (key, older) = keys_mut(&mut config.role);
    if is_made {
        let (before, older_before) = keys_of(&running.role);
        *key = *before;
        older.clone_from(older_before);
    } else if let Some(made) = made
        && *key != made
        && !older.contains(&made)
    {
        older.push(made);
    }
}

/// The key of what phones keep, and those before it.
fn keys_of(role: &Role) -> (&[u8; 32], &Vec<[u8; 32]>) {
    match role {
        Role::Edge(edge) => (&edge.flow_key, &edge.older_flow_keys),
        Role::Home(home) => (&home.settings.nonce_key, &home.settings.older_nonce_keys),
    }
}

fn keys_mut(role: &mut Role) -> (&mut [u8; 32], &mut Vec<[u8; 32]>) {
    match role {
        Role::Edge(edge) => (&mut edge.flow_key, &mut edge.older_flow_keys),
        Role::Home(home) => {
            let settings = &mut home.settings;
            (&mut settings.nonce_key, &mut settings.older_nonce_keys)
        }
    }
}

/// The keys that two documents differ in, without those that are but in another order.
fn differences(before: &Table, after: &Table) -> Vec<String> {
    let keys = |table: &Table| {
        let mut all = BTreeMap::new();
        for (key, value) in table {
            match value.as_table() {
                Some(section) => {
                    for (inner, value) in section {
                        all.insert((key.clone(), inner.clone()), value.clone());
                    }
                }
                None => {
                    all.insert((String::new(), key.clone()), value.clone());
                }
            }
        }
        all
    };
    let (before, after) = (keys(before), keys(after));
    let mut all: Vec<_> = before.keys().chain(after.keys()).collect();
    all.sort_unstable();
    all.dedup();
    let differ = all
        .into_iter()
        .filter(|key| before.get(*key) != after.get(*key));
    differ.map(|(section, key)| called(section, key)).collect()
}

/// What sentences call a key.
fn called(section: &str, key: &str) -> String {
    match section {
        "" => format!("`{key}`"),
        _ => format!("[{section}] `{key}`"),
    }
}

/// The keys as part of a sentence.
fn quoted(keys: &[String]) -> String {
    keys.join(", ")
}

fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

fn read(path: &Path) -> Result<String, Mistake> {
    std::fs::read_to_string(path).map_err(|why| {
        Mistake(format!(
            "cannot read the configuration {}: {why}",
            path.display()
        ))
    })
}

fn document(path: &Path, text: &str) -> Result<Table, Mistake> {
    text.parse().map_err(|why: toml::de::Error| {
        let why = why.message().replace('\n', ", ");
        Mistake(format!("{}: the file is not TOML: {why}", name(path)))
    })
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), file_name)
}

#[cfg(test)]
mod tests;
