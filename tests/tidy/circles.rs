//! The files of a room use one another in one direction: of two that stand side by side in a
//! folder none uses the other, by whatever way, and is used by it.
//!
//! What counts is what a file names: by `use`, or by a path in its code. A name that the room's
//! own file brings in from one of its files counts as that file's. That a file and those in its
//! folder use one another is no circle: together they are one thing.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, inline_paths, uses};

/// The module of a file: its folders and its own name, without the crate's root.
fn module(source: &Source) -> Vec<String> {
    let path = source.inside().with_extension("");
    let parts = path.iter().filter_map(|part| part.to_str());
    parts.map(str::to_owned).collect()
}

/// Modules by their paths, each with what it brings into its name space: a name, and the path.
struct Modules(BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>);

impl Modules {
    fn of(sources: &[Source]) -> Self {
        let names = |source: &Source| {
            let brought = uses(&source.code).into_iter().map(|(_, path)| {
                let path: Vec<String> = path.split("::").map(str::to_owned).collect();
                (path.last().cloned().unwrap_or_default(), path)
            });
            (module(source), brought.collect())
        };
        Self(sources.iter().map(names).collect())
    }

    /// The module that a path in `from` leads to, as far as it is one of these.
    fn leads_to(&self, from: &[String], path: &str) -> Option<Vec<String>> {
        let mut steps = path.split("::").peekable();
        let mut at = match *steps.peek()? {
            // The record layer is a package of its own, in a folder of the shell.
            "crate" if from.first().is_some_and(|first| first == "record") => from[..1].to_vec(),
            "crate" => Vec::new(),
            "super" | "self" => from.to_vec(),
            _ => return None,
        };
        for step in steps {
            match step {
                "crate" | "self" => {}
                "super" => {
                    at.pop();
                }
                name => {
                    let child = [&at[..], &[name.to_owned()]].concat();
                    if self.0.contains_key(&child) {
                        at = child;
                        continue;
                    }
                    // A name that the file of the room has from one of its files.
                    let brought = self.0.get(&at).and_then(|names| names.get(name));
                    if let Some(first) = brought.and_then(|path| path.first()) {
                        let child = [&at[..], std::slice::from_ref(first)].concat();
                        if self.0.contains_key(&child) {
                            at = child;
                        }
                    }
                    break;
                }
            }
        }
        (!at.is_empty()).then_some(at)
    }
}

/// Who uses whom among the modules of each folder, a room's or deeper.
fn ways(sources: &[Source]) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let modules = Modules::of(sources);
    let mut ways: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for source in sources {
        let from = module(source);
        let paths = uses(&source.code).into_iter();
        let paths = paths.chain(inline_paths(&source.code));
        for to in paths.filter_map(|(_, path)| modules.leads_to(&from, &path)) {
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            // The one is in the folder of the other, or they are of two rooms.
            if common == from.len() || common == to.len() || common == 0 {
                continue;
            }
            let user = from[..=common].to_vec();
            ways.entry(user).or_default().insert(to[..=common].to_vec());
        }
    }
    ways
}

/// The circles, each once, from the first of its modules back to it.
pub(crate) fn found(sources: &[Source]) -> Vec<String> {
    let ways = ways(sources);
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for start in ways.keys() {
        // The shortest way back: whoever was met first was met by it.
        let mut before = BTreeMap::new();
        let mut waiting = std::collections::VecDeque::from([start]);
        while let Some(at) = waiting.pop_front() {
            for next in ways.get(at).into_iter().flatten() {
                if !before.contains_key(next) {
                    before.insert(next, at);
                    waiting.push_back(next);
                }
            }
        }
        let mut circle = vec![start];
        let mut at = before.get(start).copied();
        while let Some(module) = at.filter(|module| *module != start) {
            circle.push(module);
            at = before.get(module).copied();
        }
        let members: BTreeSet<_> = circle.iter().copied().collect();
        if before.contains_key(start) && known.insert(members) {
            circle.push(start);
            let names = circle.iter().rev().map(|module| module.join("::"));
            found.push(names.collect::<Vec<_>>().join(" uses "));
        }
    }
    found
}

#[test]
fn a_circle_is_seen() {
    let all = [
        Source::new(
            "src/core/edge.rs",
            "mod a; mod b; mod c; mod d; use b::B;\n",
        ),
        Source::new("src/core/edge/a.rs", "use super::{B, d};\n"),
        Source::new("src/core/edge/b.rs", "fn f() { super::c::g() }\n"),
        Source::new("src/core/edge/c.rs", "mod deep; use crate::edge::a::A;\n"),
        Source::new(
            "src/core/edge/c/deep.rs",
            "use super::C; use crate::scan::S;\n",
        ),
        Source::new("src/core/edge/d.rs", "use super::Edge; // use super::a\n"),
        Source::new("src/core/scan.rs", "use crate::edge::c::deep::D;\n"),
    ];
    assert_eq!(
        found(&all),
        ["edge::a uses edge::b uses edge::c uses edge::a"]
    );
}
