//! Splices on the original bytes: what the proxy changes, and nothing else.
//!
//! [`Edits`] collects replacements and insertions against one received message
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

    /// Takes `cut` out, however many rules want that.
    pub fn remove(&mut self, cut: Range<usize>) {
        self.replace(cut, |_| ());
    }

    /// Writes `source` with all changes made to `out`.
    pub fn apply(&mut self, source: &[u8], out: &mut Vec<u8>) {
        // Stable: insertions at one place keep their order and stand before a
        // cut that starts there. At most a dozen.
        self.splices
            .sort_by_key(|splice| (splice.cut.start, splice.cut.end));
        let (mut at, mut last) = (0, 0..0);
        for splice in &self.splices {
            if splice.cut.start < at {
                let is_again = splice.cut == last && splice.put.is_empty();
                debug_assert!(is_again, "overlapping cuts");
                continue;
            }
            last = splice.cut.clone();
            out.extend_from_slice(source.get(at..splice.cut.start).unwrap_or_default());
            out.extend_from_slice(&self.text[splice.put.clone()]);
            at = splice.cut.end;
        }
        out.extend_from_slice(source.get(at..).unwrap_or_default());
    }

    /// Length of what `apply` makes of so many bytes; what is taken out twice counts
    /// twice.
    #[must_use]
    pub(crate) fn length_of(&self, source: usize) -> usize {
        let cuts = self.splices.iter().map(|splice| splice.cut.len());
        (source + self.text.len()).saturating_sub(cuts.sum())
    }

    /// Bytes that `apply` adds at most.
    #[must_use]
    pub fn growth(&self) -> usize {
        self.text.len()
    }
}

/// Appends a decimal number.
pub fn decimal(out: &mut Vec<u8>, number: impl Into<u64>) {
    let mut number: u64 = number.into();
    if number < 10 {
        return out.push(digit(number));
    }
    // As many digits as a u64 can have, filled from the end.
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = digit(number % 10);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// One digit, of a number below ten.
fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number).unwrap_or_default()
}

/// Appends `host:port` as a URI or a Via writes it.
pub fn host_port(out: &mut Vec<u8>, addr: std::net::SocketAddr) {
    match addr {
        std::net::SocketAddr::V4(addr) => {
            ipv4(out, *addr.ip());
            out.push(b':');
            decimal(out, addr.port());
        }
        std::net::SocketAddr::V6(addr) => written(write!(out, "{addr}")),
    }
}

/// Appends an address without brackets, as `received` has it (RFC 5118 §4.5).
pub fn ip(out: &mut Vec<u8>, ip: std::net::IpAddr) {
    match ip {
        std::net::IpAddr::V4(ip) => ipv4(out, ip),
        std::net::IpAddr::V6(ip) => written(write!(out, "{ip}")),
    }
}

/// By hand: the formatting machinery takes ten times as long, and every message
/// has three of them.
fn ipv4(out: &mut Vec<u8>, ip: std::net::Ipv4Addr) {
    let mut text = [0; 16];
    let mut at = 0;
    for octet in ip.octets() {
        text[at..at + 4].copy_from_slice(&OCTETS[usize::from(octet)]);
        at += 2 + usize::from(octet >= 10) + usize::from(octet >= 100);
    }
    out.extend_from_slice(&text[..at - 1]);
}

/// Each octet as it is written, with a dot behind it.
static OCTETS: [[u8; 4]; 256] = octets();

#[expect(
    clippy::cast_possible_truncation,
    reason = "runs in the compiler, over numbers below 256"
)]
const fn octets() -> [[u8; 4]; 256] {
    let mut texts = [[b'.'; 4]; 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = 1 + (octet >= 10) as usize + (octet >= 100) as usize;
        let (mut index, mut rest) = (digits, octet);
        while index > 0 {
            index -= 1;
            texts[octet][index] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        octet += 1;
    }
    texts
}

fn written(result: std::io::Result<()>) {
    debug_assert!(result.is_ok(), "a Vec takes every byte");
}

/// Appends an address as a URI host (IPv6 in brackets).
pub fn host(out: &mut Vec<u8>, ip: std::net::IpAddr) {
    match ip {
        std::net::IpAddr::V4(ip) => ipv4(out, ip),
        std::net::IpAddr::V6(ip) => written(write!(out, "[{ip}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_the_library_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            let mut out = Vec::new();
            decimal(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
        for text in [
            "0.0.0.0:0",
            "192.0.2.1:5060",
            "255.255.255.255:65535",
            "[2001:db8::1]:5061",
        ] {
            let addr: std::net::SocketAddr = text.parse().unwrap();
            let [mut whole, mut host_part, mut bare] = [(); 3].map(|()| Vec::new());
            host_port(&mut whole, addr);
            host(&mut host_part, addr.ip());
            ip(&mut bare, addr.ip());
            assert_eq!(whole, text.as_bytes());
            assert!(text.as_bytes().starts_with(&host_part));
            assert_eq!(bare, addr.ip().to_string().into_bytes());
        }
        for octet in 0..=255 {
            let addr = std::net::IpAddr::from([octet, 10, 99, octet]);
            let mut bare = Vec::new();
            ip(&mut bare, addr);
            assert_eq!(bare, addr.to_string().into_bytes());
        }
    }

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
