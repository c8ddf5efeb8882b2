//! Types of one name in two rooms of the core, which a reader takes for one. What a file keeps
//! to itself is left out.

use std::collections::BTreeMap;

use crate::source::{Source, is_word, words};

/// Names that stand in two rooms, each with its reason.
pub(crate) const ALLOWED: [(&str, &str); 2] = [
    ("Chance", "of `uri::naive`, for tests alone"),
    ("Settings", "of a role, and always named with it"),
];

/// What makes a type.
const KINDS: [&str; 4] = ["struct", "enum", "trait", "type"];

/// The types of a file that others can name, by place. Of a trait's or an `impl`'s own types
/// none begins with `pub`.
fn types(source: &Source) -> Vec<(usize, &str)> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in KINDS.iter().flat_map(|kind| words(code, kind)) {
        let line = code[..at].rfind('\n').map_or(0, |end| end + 1);
        let (_, rest) = code[at..].split_once(' ').unwrap_or_default();
        let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        if code[line..at].starts_with("pub") && !name.is_empty() {
            found.push((at, name));
        }
    }
    found
}

/// Namesakes that are not on the list, and names on the list that have none.
pub(crate) fn found(sources: &[Source], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut owners: BTreeMap<&str, Vec<(&Source, usize)>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.is_core()) {
        for (at, name) in types(source) {
            owners.entry(name).or_default().push((source, at));
        }
    }
    // Two for two architectures, or one for tests, stand in one room.
    owners.retain(|_, owners| owners.iter().any(|(it, _)| it.top() != owners[0].0.top()));
    let mut faults = Vec::new();
    for (name, owners) in &owners {
        if allowed.iter().any(|(known, _)| known == name) {
            continue;
        }
        let (first, rest) = (owners[0].0, &owners[1..]);
        let others = rest.iter().filter(|(it, _)| it.top() != first.top());
        faults.extend(others.map(|(other, at)| {
            let what = format!("{name} is a type of {} as well", first.path.display());
            other.at(*at, &what)
        }));
    }
    let idle = allowed
        .iter()
        .filter(|(name, _)| !owners.contains_key(name));
    faults.extend(idle.map(|(name, _)| format!("{name} has no namesake any more")));
    faults
}

#[test]
fn types_of_one_name_are_seen() {
    let sources = [
        Source::new(
            "src/core/edge/row.rs",
            "pub(super) struct Row<'a> {\n}\nstruct Own;\npub enum Kind {}\n",
        ),
        Source::new(
            "src/core/edge/rows.rs",
            "pub(super) struct Row;\npub type Far = u8;\n",
        ),
        Source::new(
            "src/core/home/rows.rs",
            "// pub struct Far;\npub struct Own;\npub(crate) enum Row {}\nimpl A {\n    type Kind = u8;\n}\n",
        ),
        Source::new("src/io/rows.rs", "pub struct Far;\n"),
    ];
    assert_eq!(
        found(&sources, &[("Gone", "")]),
        [
            "src/core/home/rows.rs:3: Row is a type of src/core/edge/row.rs as well",
            "Gone has no namesake any more",
        ]
    );
    assert_eq!(found(&sources, &[("Row", "")]), [""; 0]);
}
