//! What the core shows to other packages, somebody takes: a `pub` function or constant that
//! is named nowhere outside of it is `pub(crate)`, where the compiler says whether it is used.

use std::collections::HashSet;

use crate::source::{Source, is_word};

/// What a public item of these kinds begins with.
const KINDS: [&str; 4] = ["pub fn ", "pub const fn ", "pub const ", "pub static "];

/// The public functions and constants of a file, by place.
fn publics(source: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in source.code.split_inclusive('\n') {
        let text = line.trim_start();
        // The longest kind that fits: `const` begins a function as well.
        let fits = KINDS.iter().filter_map(|kind| text.strip_prefix(kind));
        if let Some(rest) = fits.min_by_key(|rest| rest.len()) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            found.push((at, &rest[..end]));
        }
        at += line.len();
    }
    found
}

/// The words of the code, tests included.
fn words(source: &Source) -> impl Iterator<Item = &str> {
    source.text.split(|c| !is_word(c))
}

/// Public items of the core that nobody outside names.
pub(crate) fn unused(sources: &[Source]) -> Vec<String> {
    let (core, outside): (Vec<_>, Vec<_>) = sources.iter().partition(|source| source.is_core());
    let named: HashSet<&str> = outside.into_iter().flat_map(words).collect();
    let found = core.into_iter().flat_map(|source| {
        let unnamed = publics(source).into_iter();
        unnamed
            .filter(|(_, name)| !named.contains(name))
            .map(|(at, name)| source.at(at, &format!("nobody outside takes {name}")))
    });
    found.collect()
}

#[test]
fn what_nobody_takes_is_seen() {
    let core = "pub const fn far(b: u8) -> u8 { b }\npub(crate) fn near() {}\n    pub const WAY: u8 = 1;\npub fn own() {}\n";
    let all = [
        Source::new("src/core/id.rs", core),
        Source::new("src/io.rs", "fn f() { own(); near(); }\n"),
    ];
    assert_eq!(
        unused(&all),
        [
            "src/core/id.rs:1: nobody outside takes far",
            "src/core/id.rs:3: nobody outside takes WAY",
        ]
    );
}
