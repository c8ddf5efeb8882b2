//! Canonical keys: two URIs have equal keys exactly when they are strongly
//! equivalent (S-14), whatever their case, escapes and order.
//!
//! A key has four parts: scheme and port, the host, the user and the
//! parameter set. The first three must be the same in every match; two sets
//! may differ and still be equal under RFC 3261 §19.1.4 (`sets_equal`).
//!
//! - `%HH` of an unreserved character is that character; a character that may
//!   not stand for itself is always `%HH`; `%HH` of a reserved one stays, so
//!   `%2B` is not `+`. The user keeps its case, host and parameters do not.
//! - Header components match when their names and, byte by byte, their values
//!   do: the rules per header (RFC 3261 §20) could only add matches.
//! - What RFC 3261 §19.1.1 and §25.1 do not allow (a second `@`, a repeated parameter, a
//!   host with stray bytes) has no key and therefore never matches anything.

mod set;
mod spelling;

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str;

pub(crate) use self::set::equal as sets_equal;
use self::set::push_set;
use self::spelling::{push_name, push_user};
use super::Scheme;
use super::host::without_dot;
use super::parts::{Ending, Front};
use crate::limits::STICK_URI_MAX;

/// The key of the URI last read, in buffers that are used again.
#[derive(Debug, Default)]
pub(crate) struct UriKey {
    /// Host, user and set, one after another.
    text: Vec<u8>,
    /// Pieces on their way into order.
    spare: Vec<u8>,
    endings: [Known; ENDINGS],
    host: usize,
    user: usize,
    scheme_port: u32,
}

/// What came after the user of some URI before, and what it means. Peers write
/// the same few endings all day.
#[derive(Debug, Default)]
struct Known {
    written: Vec<u8>,
    host: Vec<u8>,
    /// The port's bits of `UriKey::scheme_port`.
    port: u32,
    set: Vec<u8>,
}

/// What of a URI is still to be read after `UriKey::read_without_set`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tail<'a> {
    /// The slot of an ending that was read before.
    Known(usize),
    /// All that comes after the user, and its parts.
    New {
        written: &'a [u8],
        parts: Ending<'a>,
    },
}

impl UriKey {
    /// Makes the key of a URI without brackets. False when it has none; the
    /// other methods then mean nothing.
    #[must_use]
    pub(crate) fn read(&mut self, uri: &[u8]) -> bool {
        self.read_without_set(uri)
            .is_some_and(|tail| self.read_set(tail))
    }

    /// As `read`, without the set, which `read_set` adds. A look-up has work to
    /// do between the two.
    #[inline]
    pub(crate) fn read_without_set<'a>(&mut self, uri: &'a [u8]) -> Option<Tail<'a>> {
        self.text.clear();
        if uri.len() > STICK_URI_MAX {
            return None;
        }
        self.parse(uri)
    }

    /// Adds the set from the tail of the URI.
    #[inline]
    #[must_use]
    pub(crate) fn read_set(&mut self, tail: Tail<'_>) -> bool {
        match tail {
            Tail::Known(slot) => self.text.extend_from_slice(&self.endings[slot].set),
            Tail::New { written, parts } => {
                if push_set(&mut self.text, parts, &mut self.spare).is_none() {
                    return false;
                }
                self.remember(written);
            }
        }
        true
    }

    /// Makes the key of `sip:<host>`, the URI a certificate's domain stands for.
    #[must_use]
    pub(crate) fn read_host(&mut self, host: &[u8]) -> bool {
        self.text.clear();
        self.scheme_port = 0;
        let found = host.len() <= STICK_URI_MAX && push_host(&mut self.text, host).is_some();
        (self.host, self.user) = (self.text.len(), self.text.len());
        found
    }

    /// The host in lower case, without the root's dot.
    pub(crate) fn host(&self) -> &[u8] {
        &self.text[..self.host]
    }

    /// User and password; empty when there is none.
    pub(crate) fn user(&self) -> &[u8] {
        &self.text[self.host..self.user]
    }

    /// Parameters sorted by name, each after `;`, then the headers, sorted,
    /// after `?` and `&`.
    pub(crate) fn set(&self) -> &[u8] {
        &self.text[self.user..]
    }

    /// Scheme, port and whether there is a user.
    pub(crate) const fn scheme_port(&self) -> u32 {
        self.scheme_port
    }

    /// The host is an address, not a name.
    pub(crate) fn is_literal(&self) -> bool {
        let host = self.host();
        host.starts_with(b"[")
            || str::from_utf8(host).is_ok_and(|host| host.parse::<Ipv4Addr>().is_ok())
    }

    fn parse<'a>(&mut self, uri: &'a [u8]) -> Option<Tail<'a>> {
        let Front {
            scheme,
            userinfo,
            ending,
        } = Front::of(uri);
        self.scheme_port = match scheme {
            Scheme::Sip => 0,
            Scheme::Sips => SIPS,
            Scheme::Tel | Scheme::Other => return None,
        };
        if userinfo.is_some_and(<[u8]>::is_empty) {
            return None;
        }
        let slot = slot(ending);
        let known = &self.endings[slot];
        let tail = if known.written == ending && !ending.is_empty() {
            self.scheme_port |= known.port;
            self.text.extend_from_slice(&known.host);
            Tail::Known(slot)
        } else {
            let parts = Ending::of(ending);
            let (host, port) = parts.host()?;
            if let Some(port) = port {
                self.scheme_port |= PORT | u32::from(port);
            }
            push_host(&mut self.text, host)?;
            Tail::New {
                written: ending,
                parts,
            }
        };
        self.host = self.text.len();
        if let Some(userinfo) = userinfo {
            self.scheme_port |= USER;
            push_user(&mut self.text, userinfo);
        }
        self.user = self.text.len();
        Some(tail)
    }

    /// Keeps how the URI just read ends, and forgets what the slot held.
    fn remember(&mut self, ending: &[u8]) {
        if ending.len() > ENDING_MAX {
            return;
        }
        let keep = |to: &mut Vec<u8>, text: &[u8]| {
            to.clear();
            to.extend_from_slice(text);
        };
        let known = &mut self.endings[slot(ending)];
        keep(&mut known.written, ending);
        keep(&mut known.host, &self.text[..self.host]);
        keep(&mut known.set, &self.text[self.user..]);
        known.port = self.scheme_port & (PORT | (PORT - 1));
    }
}

/// Where an ending is kept: by its two ends, so that `e1` and `e2` of one domain
/// do not drive each other out.
#[inline]
fn slot(ending: &[u8]) -> usize {
    let ends = ending.first_chunk().zip(ending.last_chunk());
    let mixed = ends.map_or(ending.len() as u64, |(first, last)| {
        u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29)
    });
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) as usize % ENDINGS
}

fn push_host(out: &mut Vec<u8>, host: &[u8]) -> Option<()> {
    if let Some(literal) = host.strip_prefix(b"[") {
        let literal = str::from_utf8(literal.strip_suffix(b"]")?).ok()?;
        let address: Ipv6Addr = literal.parse().ok()?;
        return write!(out, "[{address}]").ok();
    }
    let host = without_dot(host);
    push_name(out, host)
}

/// Endings remembered.
const ENDINGS: usize = 16;
/// Longest ending remembered.
const ENDING_MAX: usize = 128;
const PORT: u32 = 1 << 16;
const SIPS: u32 = 1 << 17;
const USER: u32 = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::STICK_PARAMS_MAX;

    fn key(uri: &str) -> Option<(String, String, String, u32)> {
        let mut key = UriKey::default();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        key.read(uri.as_bytes()).then(|| {
            (
                text(key.host()),
                text(key.user()),
                text(key.set()),
                key.scheme_port(),
            )
        })
    }

    #[track_caller]
    fn check(uri: &str, host: &str, user: &str, set: &str, scheme_port: u32) {
        assert_eq!(
            key(uri),
            Some((host.into(), user.into(), set.into(), scheme_port)),
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
            let mut key = UriKey::default();
            assert_eq!(
                (key.read(uri.as_bytes()), key.is_literal()),
                (true, want),
                "{uri}"
            );
        }
    }
}
