//! Parameter sets in canonical form: what comes after the host of a URI.
//!
//! Parameters stand sorted by name, each after `;`, then headers, sorted, the
//! first after `?&` and the others after `&`.

use std::cmp::Ordering;

use super::super::compare::DECISIVE;
use super::super::own_params::unmarked;
use super::super::parts::{Ending, Pair, pairs};
use super::spelling::{Value, push_part};
use crate::limits::STICK_PARAMS_MAX;

/// Appends the canonical form of what comes after the port of a URI; `None` when it
/// has none.
pub(super) fn push_set(out: &mut Vec<u8>, parts: Ending<'_>, spare: &mut Vec<u8>) -> Option<()> {
    push_params(out, parts.params, spare)?;
    match parts.headers {
        [] => Some(()),
        [_, headers @ ..] => push_headers(out, headers, spare),
    }
}

fn push_params(out: &mut Vec<u8>, params: &[u8], spare: &mut Vec<u8>) -> Option<()> {
    let mut pieces = Pieces::new(out);
    for param in params.split(|&b| b == b';').filter_map(unmarked) {
        pieces.push(b';', param, Value::Fold)?;
    }
    if pieces.is_sorted {
        return Some(());
    }
    pieces.sort(spare);
    if pieces.has_name_twice() {
        None
    } else {
        Some(())
    }
}

fn push_headers(out: &mut Vec<u8>, headers: &[u8], spare: &mut Vec<u8>) -> Option<()> {
    let params = out.len();
    out.push(b'?');
    let mut pieces = Pieces::new(out);
    for header in headers
        .split(|&b| b == b'&')
        .filter(|header| !header.is_empty())
    {
        pieces.push(b'&', header, Value::Keep)?;
    }
    if pieces.count == 0 {
        out.truncate(params);
    } else {
        // The same header twice is two headers, as in a message.
        pieces.sort(spare);
    }
    Some(())
}

/// True when two sets are equal under RFC 3261 §19.1.4. Not transitive: a set
/// may equal two that differ from each other.
#[must_use]
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    let (a, b) = (Ending::of(a), Ending::of(b));
    if a.headers != b.headers {
        return false;
    }
    let mut a = pairs(a.params, b';').peekable();
    let mut b = pairs(b.params, b';').peekable();
    let may_be_alone = |only: Option<Pair<'_>>| only.is_none_or(|only| !is_decisive(only.name));
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return true,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(b.name),
        };
        let matches = match order {
            Ordering::Less => may_be_alone(a.next()),
            Ordering::Greater => may_be_alone(b.next()),
            Ordering::Equal => a.next() == b.next(),
        };
        if !matches {
            return false;
        }
    }
}

/// Whether a name in its canonical form is one of those (S-19).
fn is_decisive(name: &[u8]) -> bool {
    DECISIVE.contains(&name)
}

/// Parameters or headers at the end of a text, on their way into order.
struct Pieces<'a> {
    text: &'a mut Vec<u8>,
    pieces: [Piece; STICK_PARAMS_MAX],
    count: usize,
    /// Every name is greater than the one before it.
    is_sorted: bool,
}

/// A separator, a name and perhaps `=` and a value, by where they stand in a text.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    name: usize,
    end: usize,
}

impl Piece {
    const NONE: Self = Self {
        start: 0,
        name: 0,
        end: 0,
    };

    fn name(self, text: &[u8]) -> &[u8] {
        &text[self.start..self.name]
    }
}

impl<'a> Pieces<'a> {
    const fn new(text: &'a mut Vec<u8>) -> Self {
        Self {
            text,
            pieces: [Piece::NONE; STICK_PARAMS_MAX],
            count: 0,
            is_sorted: true,
        }
    }

    /// Adds `name[=value]` behind its separator; `None` when there are too many
    /// or one has an `@`, which would leave the host in doubt.
    fn push(&mut self, separator: u8, piece: &[u8], case: Value) -> Option<()> {
        let start = self.text.len();
        self.text.push(separator);
        let Pair { name, .. } = Pair::of(piece);
        let (name, value) = piece.split_at(name.len());
        push_part(self.text, name, Value::Fold)?;
        let name = self.text.len();
        push_part(self.text, value, case)?;
        let piece = Piece {
            start,
            name,
            end: self.text.len(),
        };
        let before = self.count.checked_sub(1).map(|before| self.pieces[before]);
        *self.pieces.get_mut(self.count)? = piece;
        self.count += 1;
        self.is_sorted &=
            before.is_none_or(|before| before.name(self.text) < piece.name(self.text));
        Some(())
    }

    /// Puts the pieces in order: by name, then by value.
    fn sort(&mut self, spare: &mut Vec<u8>) {
        let pieces = &mut self.pieces[..self.count];
        let Some(start) = pieces.first().map(|first| first.start) else {
            return;
        };
        let text = &self.text;
        pieces.sort_unstable_by(|a, b| {
            let values = || text[a.name..a.end].cmp(&text[b.name..b.end]);
            a.name(text).cmp(b.name(text)).then_with(values)
        });
        spare.clear();
        for piece in pieces {
            let to = spare.len() + start;
            spare.extend_from_slice(&text[piece.start..piece.end]);
            *piece = Piece {
                start: to,
                name: to + piece.name - piece.start,
                end: to + piece.end - piece.start,
            };
        }
        self.text.truncate(start);
        self.text.extend_from_slice(spare);
    }

    /// Of sorted pieces.
    fn has_name_twice(&self) -> bool {
        self.pieces[..self.count]
            .windows(2)
            .any(|pair| pair[0].name(self.text) == pair[1].name(self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_without_the_marks_of_dialogs() {
        // B-13
        for (tail, want) in [
            (";lr;gunk=e1.q0123456789av", ";gunk=e1;lr"),
            (";LR;Gunk=E1.Q0123456789AV", ";gunk=e1;lr"),
            (";lr;gunk=.q0123456789av", ";lr"),
            (";gunk=.q0123456789av;lr", ";lr"),
            (";lr;gunk=e.1.q0123456789av", ";gunk=e.1;lr"),
            (";lr;dlg=q0123456789abcdef", ";lr"),
            (";lr;dlg", ";lr"),
            // None of ours.
            (";lr;gunk=q0123456789av", ";gunk=q0123456789av;lr"),
            (";lr;gunk=e1.q0123456789aw", ";gunk=e1.q0123456789aw;lr"),
            (";lr;gunk=e1.q0123456789a", ";gunk=e1.q0123456789a;lr"),
            (";lr;gunk=e1", ";gunk=e1;lr"),
            (";lr;gunk=", ";gunk=;lr"),
            (";lr;gunk", ";gunk;lr"),
            (";lr;gunks=e1.q0123456789av", ";gunks=e1.q0123456789av;lr"),
            (";lr;dlgs=1", ";dlgs=1;lr"),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                push_set(&mut out, Ending::of(tail.as_bytes()), &mut Vec::new()),
                Some(())
            );
            assert_eq!(out.escape_ascii().to_string(), want, "{tail}");
        }
    }

    #[test]
    fn parameters_in_one_set_only_count_when_they_are_decisive() {
        // S-19
        for (a, b, want) in [
            (";lr", "", true),
            (";a=1;lr", ";b=1;lr", true),
            (";a=1", ";a=2", false),
            (";lr", ";lr=on", false),
            (";maddr=h", "", false),
            ("", ";method=bye", false),
            (";transport=udp", "", false),
            ("", ";ttl=1", false),
            (";a;user=phone", ";a", false),
            (";a", ";a?&x=1", false),
            (";a?&x=1", ";b?&x=1", true),
        ] {
            assert_eq!(
                (
                    equal(a.as_bytes(), b.as_bytes()),
                    equal(b.as_bytes(), a.as_bytes())
                ),
                (want, want),
                "{a} {b}"
            );
        }
    }
}
