//! The rulebook `src/core/protocol.md` and where it is cited.
//!
//! The name of a rule is a family's letter, a hyphen and a number: `S-14`, or `D-E4` with the
//! role behind the hyphen. `S-14 to S-18` cites five rules.

use std::collections::BTreeSet;

use crate::source::{Source, is_word};

/// What looks like the name of a rule and is none: the curves of FIPS 186.
const NO_RULES: [&str; 2] = ["P-256", "P-384"];

/// A rule's name: its family (`S-`, `D-E`) and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleName<'a> {
    family: &'a str,
    number: u32,
}

impl std::fmt::Display for RuleName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.family, self.number)
    }
}

/// What a text says about rules, by place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Citations<'a> {
    /// The rules cited, those inside a range too.
    pub(crate) cited: Vec<(usize, RuleName<'a>)>,
    /// Spellings that are near a rule and are none.
    pub(crate) malformed: Vec<(usize, &'a str)>,
}

impl<'a> Citations<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let mut found = Self::default();
        let mut at = 0;
        // The rule that ended there, while the next may make a range of it.
        let mut before: Option<(usize, RuleName<'a>)> = None;
        while let Some(c) = text[at..].chars().next() {
            let starts = !text[..at].ends_with(|c: char| is_word(c) || c == '-');
            if !starts || !c.is_ascii_alphabetic() {
                at += c.len_utf8();
                continue;
            }
            let rest = &text[at..];
            match read(rest) {
                Reading::Rule(rule, len) => {
                    let ranged = before.filter(|(end, first)| {
                        &text[*end..at] == " to "
                            && first.family == rule.family
                            && first.number < rule.number
                    });
                    let first = ranged.map_or(rule.number, |(_, first)| first.number + 1);
                    for number in first..=rule.number {
                        found.cited.push((at, RuleName { number, ..rule }));
                    }
                    before = Some((at + len, rule));
                    at += len;
                }
                Reading::Malformed(len) => {
                    found.malformed.push((at, &rest[..len]));
                    at += len;
                }
                Reading::Other => at += 1,
            }
        }
        found
    }
}

#[derive(Debug)]
enum Reading<'a> {
    Rule(RuleName<'a>, usize),
    Malformed(usize),
    Other,
}

/// What begins at a letter.
fn read(text: &str) -> Reading<'_> {
    let word = |c: char| is_word(c) || matches!(c, '-' | '\u{2010}'..='\u{2015}');
    let whole = text.find(|c| !word(c)).unwrap_or(text.len());
    if NO_RULES.contains(&&text[..whole]) {
        return Reading::Other;
    }
    let bytes = text.as_bytes();
    let family = match bytes {
        [b'D', b'-', b'A'..=b'Z', b'0'..=b'9', ..] => 3,
        [b'A'..=b'Z', b'-', b'0'..=b'9', ..] => 2,
        _ => return near(text, whole),
    };
    let digits = text[family..].bytes().take_while(u8::is_ascii_digit);
    let len = family + digits.count();
    let behind = &text[len..];
    // A letter, a second hyphen, `S-14/15`, `S-14..18`, `S-14 to 18`, `S-014`.
    let goes_on = |rule: &str| {
        let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        behind.strip_prefix(rule).is_some_and(digit)
    };
    let ends = !behind.starts_with(word)
        && !["/", "..", ".", " to "].into_iter().any(goes_on)
        && bytes[family] != b'0';
    match text[family..len].parse() {
        Ok(number) if ends => {
            let family = &text[..family];
            Reading::Rule(RuleName { family, number }, len)
        }
        _ => Reading::Malformed(len),
    }
}

/// A rule with its hyphen in the wrong place, with another dash, with a gap or in
/// small letters.
fn near(text: &str, whole: usize) -> Reading<'_> {
    const DASHES: [char; 6] = [
        '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2015}',
    ];
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let word = &text[..whole];
    let is_role = |c: char| matches!(c, 'E' | 'H' | 'U');
    // `DE-4`, `D-E-4`, `D-e4`, `d-E4`, and another dash for the hyphen.
    let plain: String = word.chars().filter(|c| !DASHES.contains(c)).collect();
    let bare = plain.replace('-', "").to_ascii_uppercase();
    let is_d = bare.strip_prefix('D').and_then(|rest| {
        let number = rest.strip_prefix(is_role)?;
        Some(digits(number) && word.contains(|c| c == '-' || DASHES.contains(&c)))
    });
    let dashed = plain.len() < word.len() && bare.get(1..).is_some_and(digits);
    // `D-E 4`
    let gap = ["D-E ", "D-H ", "D-U "]
        .into_iter()
        .filter_map(|start| text.strip_prefix(start));
    let gap = gap.map(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if is_d == Some(true) || dashed || gap.into_iter().any(|is_gap| is_gap) {
        Reading::Malformed(whole)
    } else {
        Reading::Other
    }
}

/// The rules of the rulebook, each with its place.
fn rules(book: &str) -> Vec<(usize, RuleName<'_>)> {
    let mut found = Vec::new();
    for (at, _) in book.match_indices("\n- **") {
        let start = at + "\n- **".len();
        if let Reading::Rule(rule, len) = read(&book[start..])
            && book[start + len..].starts_with("** ")
        {
            found.push((start, rule));
        }
    }
    found
}

/// Where the tests of a source begin; `None`: nowhere.
fn tests_from(source: &Source) -> Option<usize> {
    let path = source.path.to_string_lossy();
    let is_test = path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs");
    if is_test {
        return Some(0);
    }
    let mut found = source.text.match_indices("#[cfg(test)]\n");
    found.find_map(|(at, attribute)| {
        let item = source.text[at + attribute.len()..].lines().next()?;
        item.contains("mod ").then_some(at)
    })
}

/// The faults of the rulebook and of what cites it.
pub(crate) fn faults(book: &Source, sources: &[Source]) -> Vec<String> {
    let rules = rules(&book.text);
    let known: BTreeSet<RuleName<'_>> = rules.iter().map(|(_, rule)| *rule).collect();
    let mut proven = BTreeSet::new();
    let mut found = Vec::new();
    for source in sources.iter().chain([book]) {
        let citations = Citations::of(&source.text);
        for (at, spelling) in citations.malformed {
            found.push(source.at(at, &format!("{spelling} is no rule")));
        }
        let tests = tests_from(source);
        for (at, rule) in citations.cited {
            if !known.contains(&rule) {
                found.push(source.at(at, &format!("{rule} is no rule")));
            }
            let line = source.text[..at].rfind('\n').map_or(0, |end| end + 1);
            // What a file is about is no test of it.
            let is_about = source.text[line..].trim_start().starts_with("//!");
            if tests.is_some_and(|from| at >= from) && !is_about {
                proven.insert(rule);
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (at, rule) in &rules {
        if !seen.insert(*rule) {
            found.push(book.at(*at, &format!("{rule} stands twice")));
        }
        if !proven.contains(rule) {
            found.push(book.at(*at, &format!("no test cites {rule}")));
        }
        let end = book.text[*at..].find('\n').unwrap_or(book.text.len() - at);
        if !book.text[*at..at + end].ends_with(')') {
            found.push(book.at(*at, &format!("{rule} does not say where it comes from")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Citations, Source, faults};

    #[track_caller]
    fn reads(text: &str, cited: &[&str], malformed: &[&str]) {
        let found = Citations::of(text);
        let got: Vec<String> = found
            .cited
            .iter()
            .map(|(_, rule)| rule.to_string())
            .collect();
        assert_eq!(got, cited, "{text}");
        let got: Vec<&str> = found.malformed.iter().map(|(_, text)| *text).collect();
        assert_eq!(got, malformed, "{text}");
    }

    #[test]
    fn marks_are_told_from_what_is_near_them() {
        reads(
            "// S-14, D-E4: x (H-7). P-9.",
            &["S-14", "D-E4", "H-7", "P-9"],
            &[],
        );
        reads(
            "S-14 to S-16 and X-2",
            &["S-14", "S-15", "S-16", "X-2"],
            &[],
        );
        reads("P-256, z9hG4bK-A-1, UTF-8, SHA-256, xS-1", &[], &[]);
        reads(
            "DE-4 D-E 4 D-E-4 d-e4 D-e4",
            &[],
            &["DE-4", "D-E", "D-E-4", "d-e4", "D-e4"],
        );
        reads(
            "S-014 S-14a S-14-16 S-14/15",
            &[],
            &["S-014", "S-14", "S-14", "S-14"],
        );
        reads(
            "S-14..18 S-14 to 18 S\u{2013}14",
            &[],
            &["S-14", "S-14", "S\u{2013}14"],
        );
    }

    #[test]
    fn faults_of_the_rulebook_are_seen() {
        let book = Source::new(
            "src/core/protocol.md",
            "# R\n\n- **S-1** One. (ours)\n- **S-2** Two.\n- **S-1** Again. (ours)\n- **S-3** Three. (ours)\n",
        );
        let sources = [
            Source::new(
                "src/a.rs",
                "// S-1, S-4\n#[cfg(test)]\nmod tests {\n    // S-2\n}\n",
            ),
            Source::new(
                "tests/wire/b.rs",
                "//! S-3\nfn f() {\n    // S-1, DE-4\n}\n",
            ),
        ];
        assert_eq!(
            faults(&book, &sources),
            [
                "src/a.rs:1: S-4 is no rule",
                "tests/wire/b.rs:3: DE-4 is no rule",
                "src/core/protocol.md:4: S-2 does not say where it comes from",
                "src/core/protocol.md:5: S-1 stands twice",
                "src/core/protocol.md:6: no test cites S-3",
            ]
        );
    }
}
