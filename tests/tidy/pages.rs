//! What the pages for readers say of the code: each name on them exists.
//!
//! - `path.rs::name` in `src/README.md` is an item of that file under `src/core` or `src`.
//! - A path of this project (`tests/...`, `perf/...`) leads somewhere.
//! - The architecture names every room, and the glossary stays short.

use crate::source::{Source, is_word, words};

/// The folders that a path on a page begins with.
const FOLDERS: [&str; 5] = ["src/", "tests/", "benches/", "perf/", "tuning/"];
/// What a program leaves there.
const MADE: [&str; 2] = ["perf/out", "tests/fuzz/target"];
/// Words that a glossary may have.
const WORDS_MAX: usize = 30;

/// The code in backticks outside of blocks, by place.
fn quoted(page: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut at, mut is_block) = (0, false);
    for line in page.split_inclusive('\n') {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            let mut start = at;
            for (index, part) in line.split('`').enumerate() {
                if index % 2 == 1 {
                    found.push((start, part));
                }
                start += part.len() + 1;
            }
        }
        at += line.len();
    }
    found
}

/// Whether a file has an item of that name.
fn has_item(source: &Source, name: &str) -> bool {
    let kinds = ["fn", "struct", "enum", "trait", "const", "type", "mod"];
    kinds.into_iter().any(|kind| {
        let item = format!("{kind} {name}");
        words(&source.code, &item).next().is_some()
    })
}

/// Names on the page that are not in the code.
pub(crate) fn unknown_names(page: &Source, sources: &[Source]) -> Vec<String> {
    let file = |path: &str| {
        let mut all = sources.iter();
        all.find(|source| source.inside().to_str() == Some(path))
    };
    let mut found = Vec::new();
    for (at, name) in quoted(&page.text) {
        let Some((stem, item)) = name.split_once(".rs") else {
            continue;
        };
        let path = format!("{stem}.rs");
        if FOLDERS.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let Some(source) = file(&path) else {
            found.push(page.at(at, &format!("there is no src/{path}")));
            continue;
        };
        if let Some(item) = item.strip_prefix("::")
            && !has_item(source, item)
        {
            found.push(page.at(at, &format!("src/{path} has no {item}")));
        }
    }
    found
}

/// Paths on the page that lead nowhere.
pub(crate) fn dead_paths(page: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let paths = quoted(&page.text).into_iter().filter_map(|(at, text)| {
        let path = text.split([' ', ':']).next()?;
        let is_path = |c: char| is_word(c) || matches!(c, '/' | '.' | '-');
        let is_ours = FOLDERS.iter().any(|folder| path.starts_with(folder));
        let is_made = MADE.iter().any(|made| path.starts_with(made));
        (is_ours && !is_made && path.chars().all(is_path)).then_some((at, path))
    });
    let dead = paths.filter(|(_, path)| !exists(path));
    dead.map(|(at, path)| page.at(at, &format!("there is no {path}")))
        .collect()
}

/// Rooms that the architecture does not name, and a glossary that has grown.
pub(crate) fn gaps(page: &Source, rooms: &[&str]) -> Vec<String> {
    let named: Vec<&str> = quoted(&page.text)
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let mut found: Vec<String> = rooms
        .iter()
        .filter(|room| !named.contains(room))
        .map(|room| page.at(0, &format!("{room} is not named")))
        .collect();
    let glossary = page.text.split_once("\n## Glossary\n");
    let words_of = |line: &str| {
        let first = line
            .strip_prefix("| ")
            .and_then(|row| row.split('|').next());
        first.map_or(0, |words| words.split(',').count())
    };
    let count = glossary.map_or(0, |(_, rows)| rows.lines().map(words_of).sum::<usize>());
    // Its head is no word.
    let count = count.saturating_sub(1);
    if !(1..=WORDS_MAX).contains(&count) {
        found.push(page.at(0, &format!("a glossary of {count} words")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Source, dead_paths, gaps, unknown_names};

    #[test]
    fn names_that_are_not_in_the_code_are_seen() {
        let sources = [Source::new(
            "src/core/edge/own.rs",
            "fn classify() {}\nconst MAX: u8 = 1;\n",
        )];
        let page = Source::new(
            "src/README.md",
            "`edge/own.rs::classify` `edge/own.rs::MAX` `edge/own.rs`\n`edge/own.rs::class`, `own.rs::x`\n\
             ```text\n`gone.rs`\n```\n`tests/x.rs`\n",
        );
        assert_eq!(
            unknown_names(&page, &sources),
            [
                "src/README.md:2: src/edge/own.rs has no class",
                "src/README.md:2: there is no src/own.rs",
            ]
        );
    }

    #[test]
    fn paths_that_lead_nowhere_are_seen() {
        let page = Source::new(
            "README.md",
            "`tests/run`, `perf/flat 1`\n`perf/gone`, `perf/out`, `target/x`, `tests/*.rs`\n",
        );
        let exists = |path: &str| ["tests/run", "perf/flat"].contains(&path);
        assert_eq!(
            dead_paths(&page, exists),
            ["README.md:2: there is no perf/gone"]
        );
    }

    #[test]
    fn a_room_without_a_name_and_a_long_glossary_are_seen() {
        let page = Source::new(
            "src/README.md",
            &format!(
                "`edge`\n\n## Glossary\n\n| word | meaning |\n|---|---|\n{}",
                "| a, c | b |\n".repeat(16)
            ),
        );
        assert_eq!(
            gaps(&page, &["edge", "home"]),
            [
                "src/README.md:1: home is not named",
                "src/README.md:1: a glossary of 32 words",
            ]
        );
    }
}
