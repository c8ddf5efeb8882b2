//! Splices on the original bytes: what the proxy changes, and nothing else.
//!
//! `Edits` collects replacements and insertions against one received message
//! and applies them in a single copy, so every octet the proxy has no business
//! with leaves as it came, in its place (RFC 3261 §16.6-1). `answer` builds
//! local responses from the request's own spans, `derive` the requests that
//! follow from one already sent (ACK to a non-2xx, CANCEL).
//!
//! All header lines that are added go directly behind the start line: a value
//! on top of all its siblings is where Via, Record-Route, Route and Path
//! belong, whatever the order of the header fields that came.

pub mod answer;
pub mod derive;

use std::io::Write as _;
use std::ops::Range;

/// A set of changes to one message. Reused: `clear` keeps the memory.
#[derive(Debug, Default)]
pub struct Edits {
    splices: Vec<Splice>,
    text: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Splice {
    /// What goes, in the original bytes (empty: pure insertion).
    cut: Range<usize>,
    /// What comes, in `text`.
    put: Range<usize>,
}

impl Edits {
    /// Forgets all changes.
    pub fn clear(&mut self) {
        self.splices.clear();
        self.text.clear();
    }

    /// Replaces `cut` by what `write` writes. Two changes at one place apply
    /// in the order in which they were asked for; cuts must not overlap.
    pub fn replace(&mut self, cut: Range<usize>, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.text.len();
        write(&mut self.text);
        self.splices.push(Splice {
            cut,
            put: from..self.text.len(),
        });
    }

    /// Inserts in front of the byte at `at`.
    pub fn insert(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.replace(at..at, write);
    }

    /// Takes `cut` out.
    pub fn remove(&mut self, cut: Range<usize>) {
        self.replace(cut, |_| ());
    }

    /// Writes `source` with all changes made to `out`.
    pub fn apply(&mut self, source: &[u8], out: &mut Vec<u8>) {
        // Stable: insertions at one place keep their order and stand before a
        // cut that starts there. At most a dozen.
        self.splices
            .sort_by_key(|splice| (splice.cut.start, splice.cut.end));
        let mut at = 0;
        for splice in &self.splices {
            if splice.cut.start < at {
                debug_assert!(splice.cut.start >= at, "overlapping cuts");
                continue;
            }
            out.extend_from_slice(source.get(at..splice.cut.start).unwrap_or_default());
            out.extend_from_slice(&self.text[splice.put.clone()]);
            at = splice.cut.end;
        }
        out.extend_from_slice(source.get(at..).unwrap_or_default());
    }

    /// Bytes that `apply` adds at most.
    #[must_use]
    pub fn growth(&self) -> usize {
        self.text.len()
    }
}

/// Appends a decimal number.
pub fn decimal(out: &mut Vec<u8>, number: impl Into<u64>) {
    let number: u64 = number.into();
    // A write to a Vec cannot fail.
    let written = write!(out, "{number}");
    debug_assert!(written.is_ok(), "a Vec takes every byte");
}

/// Appends `host:port` as a URI or a Via writes it.
pub fn host_port(out: &mut Vec<u8>, addr: std::net::SocketAddr) {
    let written = write!(out, "{addr}");
    debug_assert!(written.is_ok(), "a Vec takes every byte");
}

/// Appends an address as a URI host (IPv6 in brackets).
pub fn host(out: &mut Vec<u8>, ip: std::net::IpAddr) {
    let written = match ip {
        std::net::IpAddr::V4(ip) => write!(out, "{ip}"),
        std::net::IpAddr::V6(ip) => write!(out, "[{ip}]"),
    };
    debug_assert!(written.is_ok(), "a Vec takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untouched_bytes_stay_and_insertions_keep_their_order() {
        let mut edits = Edits::default();
        edits.replace(6..7, |out| out.extend_from_slice(b"69"));
        edits.insert(2, |out| out.extend_from_slice(b"<1>"));
        edits.insert(2, |out| out.extend_from_slice(b"<2>"));
        edits.remove(3..5);
        let mut out = Vec::new();
        edits.apply(b"abcdefgh", &mut out);
        assert_eq!(out, b"ab<1><2>cf69h");
    }
}
