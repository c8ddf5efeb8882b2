//! Functions of one name and nearly one signature in different rooms: what was
//! written twice because nobody saw the first one, which may be private.
//!
//! Signatures are near when their types are the same but for lifetimes, the width
//! of integers, text or bytes, and the order of parameters. Constructors and methods
//! are left out: their names say little.

use std::collections::BTreeMap;

use crate::source::{Source, is_word, words};

/// Names that stand in two rooms, each with its reason.
pub(crate) const ALLOWED: [(&str, &str); 7] = [
    ("ask", "each command puts its own question to a node"),
    ("each", "a byte repeated over a word of another width"),
    (
        "read_array",
        "edge and home do not use one another, and it has three lines",
    ),
    ("run", "a command is run"),
    ("status", "two tools that read their own traffic"),
    (
        "transport",
        "the configuration knows small letters alone, a URI parameter any",
    ),
    (
        "write_name",
        "an edge's with its length in a row, a user's with its escapes in a URI",
    ),
];

/// One function: where it stands, its room, its name and what its types come to.
struct Function<'a> {
    source: &'a Source,
    at: usize,
    name: &'a str,
    signature: String,
}

/// The end of what begins with the opening bracket before `at`.
fn closed(code: &str, at: usize) -> usize {
    let mut depth = 1_usize;
    for (end, c) in code[at..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + end;
        }
    }
    code.len()
}

/// A type without what does not tell it from its like.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if c == '\'' {
            let name = rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1);
            rest = &rest[1 + name..];
            continue;
        }
        if len == 0 {
            if !c.is_whitespace() {
                out.push(c);
            }
            rest = &rest[c.len_utf8()..];
            continue;
        }
        out.push_str(match &rest[..len] {
            "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "int",
            // Bytes and text, of which the brackets are left.
            "str" => "[int]",
            word => word,
        });
        rest = &rest[len..];
    }
    out.replace("<>", "").replace("[int;N]", "[int]")
}

/// The types of parameters, in an order that is not theirs.
fn types(params: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in params.char_indices().chain([(params.len(), ',')]) {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => {
                let param = &params[start..at];
                start = at + 1;
                if let Some((_, kind)) = param.split_once(':') {
                    found.push(plain(kind));
                }
            }
            _ => {}
        }
    }
    found.sort();
    found
}

/// The functions of a source that are neither methods nor constructors.
fn functions(source: &Source) -> Vec<Function<'_>> {
    let code = &source.code;
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let rest = &code[at + 2..];
        let name = rest.trim_start();
        let name = &name[..name.find(|c| !is_word(c)).unwrap_or(name.len())];
        let Some(open) = rest.find('(') else { continue };
        let open = at + 2 + open + 1;
        let close = closed(code, open);
        let params = &code[open..close];
        let end = code[close..]
            .find(['{', ';'])
            .map_or(code.len(), |end| close + end);
        let result = plain(&code[close + 1..end]);
        let is_method = words(params, "self").next().is_some();
        if name.is_empty() || is_method || result.contains("Self") {
            continue;
        }
        let types = types(params);
        if types.is_empty() {
            continue;
        }
        found.push(Function {
            source,
            at,
            name,
            signature: format!("({}){result}", types.join(",")),
        });
    }
    found
}

/// Namesakes that are not on the list, and names on the list that have none.
pub(crate) fn found(sources: &[Source], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut groups: BTreeMap<(&str, String), Vec<Function<'_>>> = BTreeMap::new();
    for function in sources.iter().flat_map(functions) {
        let key = (function.name, function.signature.clone());
        groups.entry(key).or_default().push(function);
    }
    let mut met = Vec::new();
    let mut faults = Vec::new();
    for ((name, _), functions) in groups {
        let first = functions[0].source.top();
        let Some(other) = functions.iter().find(|one| one.source.top() != first) else {
            continue;
        };
        met.push(name);
        if !allowed.iter().any(|(known, _)| *known == name) {
            let there = functions[0].source.path.display();
            let what = format!("{name} stands in {there} as well");
            faults.push(other.source.at(other.at, &what));
        }
    }
    let idle = allowed.iter().filter(|(name, _)| !met.contains(name));
    faults.extend(idle.map(|(name, _)| format!("{name} has no namesake any more")));
    faults
}

#[cfg(test)]
mod tests {
    use super::{Source, found};

    #[test]
    fn namesakes_are_seen_and_others_are_not() {
        let sources = [
            Source::new(
                "src/core/scan/uri.rs",
                "fn host<'a>(text: &'a [u8], at: usize) -> Option<u16> { None }\n\
                 fn far(a: u8) -> bool { true }\n\
                 fn new(a: u8) -> Self { x }\nfn me(&self, a: u8) -> u8 { 0 }\n",
            ),
            Source::new(
                "src/core/home/contact.rs",
                "pub(super) fn host(at: u32, text: &str) -> Option<u64> { None }\n\
                 fn far(a: &[u8]) -> bool { true }\n\
                 fn new(a: u8) -> Self { x }\nfn me(&self, a: u8) -> u8 { 0 }\n",
            ),
            Source::new(
                "src/core/home/aor.rs",
                "fn far(b: &[u8]) -> bool { false }\n",
            ),
        ];
        assert_eq!(
            found(&sources, &[("gone", "")]),
            [
                "src/core/home/contact.rs:1: host stands in src/core/scan/uri.rs as well",
                "gone has no namesake any more",
            ]
        );
        assert_eq!(found(&sources, &[("host", "")]), [""; 0]);
    }
}
