//! Canonical keys: two URIs have equal keys exactly when they are strongly
//! equivalent (protocol S-14), whatever their case, escapes and order.
//!
//! A key has four parts: the place (scheme, port), the host, the user and the
//! parameter set. The first three must be the same in every match; two sets
//! may differ and still be equal under RFC 3261 §19.1.4 (`equal`).
//!
//! - `%XX` of an unreserved character is that character; a character that may
//!   not stand for itself is always `%XX`; `%XX` of a reserved one stays, so
//!   `%2B` is not `+`. The user keeps its case, host and parameters do not.
//! - Header components match when their names and, byte by byte, their values
//!   do: the rules per header (RFC 3261 §20) could only add matches.
//! - What RFC 3261 §25.1 does not allow (a second `@`, a repeated parameter, a
//!   host with stray bytes) has no key and therefore never matches anything.

use std::cmp::Ordering;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str;

use crate::limits::{STICK_PARAMS_MAX, STICK_URI_MAX};

/// The key of the URI last read, in buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Key {
    /// Host, user and set, one after another.
    text: Vec<u8>,
    /// Parameters in the order of the URI.
    unsorted: Vec<u8>,
    host: usize,
    user: usize,
    place: u32,
}

impl Key {
    /// Makes the key of a URI without brackets. False when it has none; the
    /// other methods then mean nothing.
    #[must_use]
    pub(super) fn read(&mut self, uri: &[u8]) -> bool {
        self.text.clear();
        uri.len() <= STICK_URI_MAX && self.parse(uri).is_some()
    }

    /// Makes the key of `sip:<host>`, the URI a certificate's domain stands for.
    #[must_use]
    pub(super) fn read_host(&mut self, host: &[u8]) -> bool {
        self.text.clear();
        self.place = 0;
        let found = host.len() <= STICK_URI_MAX && push_host(&mut self.text, host).is_some();
        (self.host, self.user) = (self.text.len(), self.text.len());
        found
    }

    /// The host in lower case, without the root's dot.
    pub(super) fn host(&self) -> &[u8] {
        &self.text[..self.host]
    }

    /// User and password; empty when there is none.
    pub(super) fn user(&self) -> &[u8] {
        &self.text[self.host..self.user]
    }

    /// Parameters sorted by name, each after `;`, then the headers, sorted,
    /// after `?` and `&`.
    pub(super) fn set(&self) -> &[u8] {
        &self.text[self.user..]
    }

    /// Scheme, port and whether there is a user.
    pub(super) const fn place(&self) -> u32 {
        self.place
    }

    /// The host is an address, not a name.
    pub(super) fn is_literal(&self) -> bool {
        let host = self.host();
        host.starts_with(b"[")
            || str::from_utf8(host).is_ok_and(|host| host.parse::<Ipv4Addr>().is_ok())
    }

    fn parse(&mut self, uri: &[u8]) -> Option<()> {
        let (scheme, rest) = cut(uri, b':');
        let rest = rest?;
        self.place = match scheme {
            s if s.eq_ignore_ascii_case(b"sip") => 0,
            s if s.eq_ignore_ascii_case(b"sips") => SIPS,
            _ => return None,
        };
        let (user, rest) = match cut(rest, b'@') {
            (user, Some(rest)) if !user.is_empty() => (Some(user), rest),
            (rest, None) => (None, rest),
            _ => return None,
        };
        if memchr::memchr(b'@', rest).is_some() {
            return None;
        }
        let (rest, headers) = cut(rest, b'?');
        let (host_port, params) = cut(rest, b';');
        let (host, port) = split_port(host_port)?;
        if let Some(port) = port {
            self.place |= PORT | u32::from(port);
        }
        push_host(&mut self.text, host)?;
        self.host = self.text.len();
        if let Some(user) = user {
            self.place |= USER;
            push_user(&mut self.text, user);
        }
        self.user = self.text.len();
        if let Some(params) = params {
            self.push_params(params)?;
        }
        headers.map_or(Some(()), |headers| self.push_headers(headers))
    }

    fn push_params(&mut self, params: &[u8]) -> Option<()> {
        let mut pieces = Pieces::new(&mut self.unsorted);
        for param in params
            .split(|&b| b == b';')
            .filter(|param| !param.is_empty())
        {
            pieces.push(b';', param, Value::Fold)?;
        }
        let twice = pieces.sorted(|a, b| name(a).cmp(name(b)), &mut self.text);
        if twice { None } else { Some(()) }
    }

    fn push_headers(&mut self, headers: &[u8]) -> Option<()> {
        let mut pieces = Pieces::new(&mut self.unsorted);
        for header in headers
            .split(|&b| b == b'&')
            .filter(|header| !header.is_empty())
        {
            pieces.push(b'&', header, Value::Keep)?;
        }
        if pieces.count > 0 {
            self.text.push(b'?');
            // The same header twice is two headers, as in a message.
            pieces.sorted(Ord::cmp, &mut self.text);
        }
        Some(())
    }
}

/// True when two sets are equal under RFC 3261 §19.1.4. Not transitive: a set
/// may equal two that differ from each other.
#[must_use]
pub(super) fn equal(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    let ((a, a_headers), (b, b_headers)) = (cut(a, b'?'), cut(b, b'?'));
    if a_headers != b_headers {
        return false;
    }
    let (mut a, mut b) = (params(a).peekable(), params(b).peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return true,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => name(a).cmp(name(b)),
        };
        let matches = match order {
            Ordering::Less => a.next().is_none_or(|only| !is_decisive(name(only))),
            Ordering::Greater => b.next().is_none_or(|only| !is_decisive(name(only))),
            Ordering::Equal => a.next() == b.next(),
        };
        if !matches {
            return false;
        }
    }
}

/// Parameters that may not be present in one URI only (protocol S-19).
fn is_decisive(name: &[u8]) -> bool {
    matches!(name, b"maddr" | b"method" | b"transport" | b"ttl" | b"user")
}

fn params(set: &[u8]) -> impl Iterator<Item = &[u8]> {
    set.split(|&b| b == b';').filter(|param| !param.is_empty())
}

/// A parameter's name.
fn name(param: &[u8]) -> &[u8] {
    cut(param, b'=').0
}

/// What stands before the first `byte`, and what after it if there is one.
#[inline]
fn cut(bytes: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(byte, bytes) {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}

fn split_port(host_port: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let from = if host_port.starts_with(b"[") {
        memchr::memchr(b']', host_port)?
    } else {
        0
    };
    let Some(colon) = memchr::memchr(b':', host_port.get(from..)?) else {
        return Some((host_port, None));
    };
    let (host, port) = host_port.split_at_checked(from + colon)?;
    let digits = port.get(1..)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let port = str::from_utf8(digits).ok()?.parse().ok()?;
    Some((host, Some(port)))
}

fn push_host(out: &mut Vec<u8>, host: &[u8]) -> Option<()> {
    if let Some(literal) = host.strip_prefix(b"[") {
        let literal = str::from_utf8(literal.strip_suffix(b"]")?).ok()?;
        let address: Ipv6Addr = literal.parse().ok()?;
        return write!(out, "[{address}]").ok();
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if host.is_empty() || !host.iter().all(is_name) {
        return None;
    }
    let start = out.len();
    out.extend_from_slice(host);
    out[start..].make_ascii_lowercase();
    Some(())
}

fn push_user(out: &mut Vec<u8>, user: &[u8]) {
    // Tokens are all plain: one sweep over the table and one copy.
    if user
        .iter()
        .fold(true, |plain, &b| plain & PLAIN[usize::from(b)])
    {
        out.extend_from_slice(user);
    } else {
        push_canonical(out, user, Value::Keep);
    }
}

/// Case of a value: it counts, or it does not.
#[derive(Clone, Copy)]
enum Value {
    Fold,
    Keep,
}

fn push_canonical(out: &mut Vec<u8>, bytes: &[u8], case: Value) {
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        let (byte, stands) = match (byte, after) {
            (b'%', [high, low, left @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest = left;
                let byte = digit(*high) << 4 | digit(*low);
                (byte, is_unreserved(byte))
            }
            _ => {
                rest = after;
                (*byte, PLAIN[usize::from(*byte)])
            }
        };
        match (stands, case) {
            (true, Value::Keep) => out.push(byte),
            (true, Value::Fold) => out.push(byte.to_ascii_lowercase()),
            (false, _) => out.extend([
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
}

/// Value of a hexadecimal digit.
const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

/// Parameters or headers on their way into order.
struct Pieces<'a> {
    text: &'a mut Vec<u8>,
    ends: [usize; STICK_PARAMS_MAX],
    count: usize,
}

impl<'a> Pieces<'a> {
    fn new(text: &'a mut Vec<u8>) -> Self {
        text.clear();
        Self {
            text,
            ends: [0; STICK_PARAMS_MAX],
            count: 0,
        }
    }

    /// Adds `name[=value]` behind its separator; `None` when there are too many.
    fn push(&mut self, separator: u8, piece: &[u8], case: Value) -> Option<()> {
        let end = self.ends.get_mut(self.count)?;
        let (name, value) = cut(piece, b'=');
        self.text.push(separator);
        push_canonical(self.text, name, Value::Fold);
        if let Some(value) = value {
            self.text.push(b'=');
            push_canonical(self.text, value, case);
        }
        *end = self.text.len();
        self.count += 1;
        Some(())
    }

    /// Appends the pieces in order to `out`. True when two were the same in it.
    fn sorted(&self, order: impl Fn(&[u8], &[u8]) -> Ordering, out: &mut Vec<u8>) -> bool {
        let mut pieces: [&[u8]; STICK_PARAMS_MAX] = [&[]; STICK_PARAMS_MAX];
        let mut start = 0;
        for (piece, &end) in pieces.iter_mut().zip(&self.ends[..self.count]) {
            *piece = &self.text[start..end];
            start = end;
        }
        let pieces = &mut pieces[..self.count];
        pieces.sort_unstable_by(|a, b| order(a, b));
        pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        pieces
            .windows(2)
            .any(|pair| order(pair[0], pair[1]).is_eq())
    }
}

/// RFC 2396 §2.3, the `unreserved` of RFC 3261 §25.1.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}

const fn is_reserved(byte: u8) -> bool {
    matches!(
        byte,
        b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
    )
}

/// Bytes that stand for themselves in a key.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        plain[byte as usize] = is_unreserved(byte) || is_reserved(byte);
        byte += 1;
    }
    plain
};

const HEX: &[u8; 16] = b"0123456789ABCDEF";
const PORT: u32 = 1 << 16;
const SIPS: u32 = 1 << 17;
const USER: u32 = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uri: &str) -> Option<(String, String, String, u32)> {
        let mut key = Key::default();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        key.read(uri.as_bytes()).then(|| {
            (
                text(key.host()),
                text(key.user()),
                text(key.set()),
                key.place(),
            )
        })
    }

    #[track_caller]
    fn check(uri: &str, host: &str, user: &str, set: &str, place: u32) {
        assert_eq!(
            key(uri),
            Some((host.into(), user.into(), set.into(), place)),
            "{uri}"
        );
    }

    #[test]
    fn a_key_forgets_case_order_and_needless_escapes() {
        check("sip:example.com", "example.com", "", "", 0);
        check(
            "SIPS:Joe@Example.COM.:5061",
            "example.com",
            "Joe",
            "",
            SIPS | USER | PORT | 5061,
        );
        check(
            "sip:%6aoe:Pw@h;OB;%6Cr;X=%41b",
            "h",
            "joe:Pw",
            ";lr;ob;x=ab",
            USER,
        );
        check("sip:a%2bb+c%3B;d@h", "h", "a%2Bb+c%3B;d", "", USER);
        check("sip:a b%20%zz@h", "h", "a%20b%20%25zz", "", USER);
        check(
            "sip:h;b=1;a?To=x%40Y&Subject=A",
            "h",
            "",
            ";a;b=1?&subject=A&to=x%40Y",
            0,
        );
        check(
            "sip:[2001:DB8:0::1]:5060;lr",
            "[2001:db8::1]",
            "",
            ";lr",
            PORT | 5060,
        );
        check("sip:h;;lr;", "h", "", ";lr", 0);
    }

    #[test]
    fn what_the_grammar_forbids_has_no_key() {
        let long = format!("sip:{}@h", "x".repeat(STICK_URI_MAX));
        let many = format!(
            "sip:h{}",
            (0..=STICK_PARAMS_MAX)
                .map(|n| format!(";p{n}"))
                .collect::<String>()
        );
        for uri in [
            "",
            "sip",
            "tel:+1",
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@b@h",
            "sip:a@h;x=@",
            "sip:h:",
            "sip:h:x",
            "sip:h:65536",
            "sip:h:+5",
            "sip:[::1",
            "sip:[::g]",
            "sip:[::1]x",
            "sip:h h",
            "sip:h;a=1;A=2",
            &long,
            &many,
        ] {
            assert_eq!(key(uri), None, "{uri}");
        }
    }

    #[test]
    fn addresses_are_told_from_names() {
        for (uri, want) in [
            ("sip:192.0.2.1", true),
            ("sip:[::1]:5", true),
            ("sip:192.0.2.1.example", false),
        ] {
            let mut key = Key::default();
            assert_eq!(
                (key.read(uri.as_bytes()), key.is_literal()),
                (true, want),
                "{uri}"
            );
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
