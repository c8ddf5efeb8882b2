//! When two URIs are one (RFC 3261 §19.1.4), on their text, without building
//! anything.
//!
//! Where the section leaves two readings:
//! - `transport` must be in both or in neither, as its examples have it though its
//!   text does not (S-19).
//! - IPv6 addresses go by value (RFC 5954 §4.2).
//! - Header components match when their names and, byte by byte, their values do:
//!   the rules per header (RFC 3261 §20) could only add matches.
//! - What RFC 3261 §19.1.1 and §25.1 do not allow (a second `@`, a repeated
//!   parameter, a host with stray bytes) equals only itself, byte for byte; and so
//!   does every URI that is neither `sip` nor `sips`.
//!
//! The relation is not transitive: a URI without a parameter equals two that
//! disagree on it.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

use super::Scheme;
use super::escape::{characters, is_reserved};
use super::host::{is_host, same_host};
use super::parts::{Ending, Front, Pair, pairs};
use crate::limits;

/// True when the two texts are the same URI.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (Compared::of(a), Compared::of(b)) else {
        return false;
    };
    a.scheme == b.scheme
        && a.port == b.port
        && same_userinfo(a.userinfo, b.userinfo)
        && same_host(a.host, b.host)
        && same_params(a.params, b.params)
        && same_headers(a.headers, b.headers)
}

/// The pieces of a `sip` or `sips` URI, as written.
struct Compared<'a> {
    scheme: Scheme,
    /// With the password.
    userinfo: Option<&'a [u8]>,
    host: &'a [u8],
    /// An explicit 5060 is not an absent port.
    port: Option<u16>,
    params: &'a [u8],
    /// Without the `?`.
    headers: &'a [u8],
}

impl<'a> Compared<'a> {
    fn of(uri: &'a [u8]) -> Option<Self> {
        let front = Front::of(uri);
        let ending = Ending::of(front.ending);
        let (host, port) = ending.host()?;
        let is_sound = matches!(front.scheme, Scheme::Sip | Scheme::Sips)
            && !front.userinfo.is_some_and(<[u8]>::is_empty)
            && is_host(host)
            && memchr::memchr(b'@', front.ending).is_none();
        is_sound.then_some(Self {
            scheme: front.scheme,
            userinfo: front.userinfo,
            host,
            port,
            params: ending.params,
            headers: ending.headers.strip_prefix(b"?").unwrap_or_default(),
        })
    }
}

/// Parameters that a URI without them does not equal (S-19).
pub(super) const DECISIVE: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];

fn same_userinfo(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => symbols(a).eq(symbols(b)),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Every parameter in both agrees, and none that decides is in one only.
fn same_params(a: &[u8], b: &[u8]) -> bool {
    let count = |list| pairs(list, b';').count();
    count(a).max(count(b)) <= limits::URI_PARAMS_MAX && agrees(a, b) && agrees(b, a)
}

fn agrees(these: &[u8], those: &[u8]) -> bool {
    pairs(these, b';').all(|Pair { name, value }| {
        let namesakes = |list| pairs(list, b';').filter(|other| same_folded(name, other.name));
        let agrees = match namesakes(those).next() {
            Some(other) => match (value, other.value) {
                (Some(value), Some(other)) => same_folded(value, other),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            },
            None => !DECISIVE.iter().any(|name_of| same_folded(name, name_of)),
        };
        agrees && namesakes(these).count() == 1
    })
}

/// Headers are never ignored, and the same one twice is two; their order does not
/// count.
fn same_headers(a: &[u8], b: &[u8]) -> bool {
    let count = |list| pairs(list, b'&').count();
    let times = |list, one| {
        pairs(list, b'&')
            .filter(|other| same_header(*other, one))
            .count()
    };
    count(a) == count(b)
        && count(a) <= limits::URI_PARAMS_MAX
        && pairs(a, b'&').all(|one| times(a, one) == times(b, one))
}

fn same_header(a: Pair<'_>, b: Pair<'_>) -> bool {
    let same_value = match (a.value, b.value) {
        (Some(a), Some(b)) => symbols(a).eq(symbols(b)),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    same_value && same_folded(a.name, b.name)
}

fn same_folded(a: &[u8], b: &[u8]) -> bool {
    let folded = |symbol: Symbol| Symbol {
        byte: symbol.byte.to_ascii_lowercase(),
        ..symbol
    };
    symbols(a).map(folded).eq(symbols(b).map(folded))
}

/// One character of a URI: an escaped one is the same as the plain one, unless
/// it is reserved and so means something when plain.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Symbol {
    byte: u8,
    is_shielded: bool,
}

fn symbols(text: &[u8]) -> impl Iterator<Item = Symbol> {
    characters(text).map(|(byte, was_escaped)| Symbol {
        byte,
        is_shielded: was_escaped && is_reserved(byte),
    })
}
