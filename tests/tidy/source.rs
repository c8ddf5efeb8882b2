//! A source file as text: its code alone, its words, paths and fields.

use std::path::{Path, PathBuf};

/// The folder of the core.
pub(crate) const CORE: &str = "src/core";

/// One Rust file: its path from the project folder, as it is, and its code alone.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) code: String,
}

impl Source {
    /// A file named `tests` or `..._tests` is a test and has no code of its own.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let is_test = path.ends_with("/tests.rs") || path.ends_with("_tests.rs");
        let code = if is_test { String::new() } else { code(text) };
        Self {
            path: path.into(),
            text: text.to_owned(),
            code,
        }
    }

    /// The file of that path from the project folder.
    pub(crate) fn read(path: &str) -> Self {
        let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = std::fs::read_to_string(&full);
        Self::new(path, &text.unwrap_or_else(|why| panic!("{path}: {why}")))
    }

    /// Whether the file belongs to the core, a package of its own.
    pub(crate) fn is_core(&self) -> bool {
        self.path.starts_with(CORE)
    }

    /// The path from the root of its crate.
    pub(crate) fn inside(&self) -> &Path {
        let inside = self.path.strip_prefix(CORE);
        let inside = inside.or_else(|_| self.path.strip_prefix("src"));
        inside.unwrap_or(&self.path)
    }

    /// The module under the crate root that the file belongs to.
    pub(crate) fn top(&self) -> &str {
        let first = self
            .inside()
            .iter()
            .next()
            .and_then(|part| part.to_str())
            .unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// A finding at byte `at`.
    pub(crate) fn at(&self, at: usize, what: &str) -> String {
        let line = self.text[..at].matches('\n').count() + 1;
        format!("{}:{line}: {what}", self.path.display())
    }
}

/// The text with comments, literals and unit tests turned into spaces, byte for byte.
fn code(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at
            + skipped(
                &text.as_bytes()[at..],
                at.checked_sub(1).map(|before| text.as_bytes()[before]),
            );
        for byte in &mut bytes[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    let mut code = String::from_utf8(bytes).expect("only whole literals and comments are blanked");
    if let Some(tests) = code.find("#[cfg(test)]\nmod tests") {
        code.truncate(tests);
    }
    code
}

/// How long the comment or literal is that starts here; 0 for code.
fn skipped(rest: &[u8], before: Option<u8>) -> usize {
    let until = |start: usize, end: &[u8]| {
        let found = rest[start..]
            .windows(end.len())
            .position(|window| window == end);
        found.map_or(rest.len(), |at| start + at + end.len())
    };
    match rest {
        [b'/', b'/', ..] => until(2, b"\n") - 1,
        [b'/', b'*', ..] => until(2, b"*/"),
        [b'"', ..] => quoted(rest, b'"'),
        [b'\'', b'\\', ..] => quoted(rest, b'\''),
        [b'\'', first, ..] => {
            // A letter between two quotes; anything else is a lifetime.
            let len = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4][usize::from(first >> 4)];
            if rest.get(1 + len) == Some(&b'\'') {
                2 + len
            } else {
                0
            }
        }
        [b'r', tail @ ..]
            if !before.is_some_and(|byte| is_word(char::from(byte)) && byte != b'b') =>
        {
            let hashes = tail.iter().take_while(|byte| **byte == b'#').count();
            if tail.get(hashes) != Some(&b'"') {
                return 0;
            }
            until(2 + hashes, format!("\"{}", "#".repeat(hashes)).as_bytes())
        }
        _ => 0,
    }
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Where `needle` stands as whole words.
pub(crate) fn words<'a>(text: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(needle)
        .map(|(at, _)| at)
        .filter(move |at| {
            let bounded = !needle.starts_with(is_word) || !text[..*at].ends_with(is_word);
            bounded && !text[at + needle.len()..].starts_with(is_word)
        })
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

pub(crate) fn calls(rest: &str) -> bool {
    rest.starts_with('(') || rest.starts_with("::")
}

/// Every path that the `use` declarations bring in, with its declaration's place.
pub(crate) fn uses(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, "use") {
        let Some(end) = code[at..].find(';') else {
            continue;
        };
        let tree: String = code[at + 3..at + end].split_whitespace().collect();
        let mut paths = Vec::new();
        expand("", &tree, &mut paths);
        found.extend(paths.into_iter().map(|path| (at, path)));
    }
    found
}

/// Writes out `a::{b, c::{d}}` as `a::b` and `a::c::d`.
fn expand(before: &str, tree: &str, paths: &mut Vec<String>) {
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in tree.char_indices().chain([(tree.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = &tree[start..at];
                start = at + 1;
                match part.split_once('{') {
                    Some((stem, inner)) => expand(
                        &format!("{before}{stem}"),
                        inner.strip_suffix('}').unwrap_or(inner),
                        paths,
                    ),
                    None if part.is_empty() => {}
                    None => paths.push(format!("{before}{part}")),
                }
            }
            _ => {}
        }
    }
}

/// Every `crate::...` and `super::...` path outside `use` declarations too, two words deep.
pub(crate) fn inline_paths(code: &str) -> Vec<(usize, String)> {
    let starts = words(code, "crate").chain(words(code, "super"));
    let path = |at: usize| {
        code[at..]
            .chars()
            .take_while(|c| is_word(*c) || *c == ':')
            .collect()
    };
    starts.map(|at| (at, path(at))).collect()
}

/// The public fields of every struct, with their places.
pub(crate) fn fields(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.match_indices('\n').filter_map(|(end_of_line, _)| {
        let line = code[end_of_line + 1..].lines().next()?;
        let named = line.trim_start();
        let rest = named
            .strip_prefix("pub ")
            .or_else(|| named.strip_prefix("pub(crate) "))?;
        let (name, _) = rest.split_once(": ")?;
        name.chars().all(is_word).then_some((end_of_line + 1, name))
    })
}

/// Every Rust file under these folders.
pub(crate) fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        let full = root.join(&path);
        if full.is_dir() {
            let entries = std::fs::read_dir(&full).expect("a folder can be listed");
            waiting.extend(
                entries.map(|entry| path.join(entry.expect("an entry can be read").file_name())),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&full).expect("a source file can be read");
            found.push(Source::new(
                path.to_str().expect("paths here are text"),
                &text,
            ));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}
