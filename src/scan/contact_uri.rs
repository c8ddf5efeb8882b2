//! When two contact URIs are one (RFC 3261 §19.1.4), on bytes, without
//! building anything.
//!
//! Two readings where the RFC leaves one: `transport` must be in both or in
//! neither, as its examples have it though its text does not; and IPv6
//! literals go by value (RFC 5954 §4.2). The relation is not transitive: a URI
//! without a parameter equals two that disagree on it. `sip` and `sips` differ
//! here, and are one only as addresses of record.

use std::net::Ipv6Addr;

use crate::limits;

/// True when a registrar takes the two for the same contact. URIs that are
/// neither `sip` nor `sips`, or that do not parse, equal only themselves.
#[must_use]
pub fn same_contact(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (Parts::of(a), Parts::of(b)) else {
        return false;
    };
    a.scheme == b.scheme
        && a.port == b.port
        && same_userinfo(a.userinfo, b.userinfo)
        && same_host(a.host, b.host)
        && same_params(a.params, b.params)
        && same_headers(a.headers, b.headers)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Sip,
    Sips,
}

/// The pieces of a `sip` or `sips` URI, as written.
pub(crate) struct Parts<'a> {
    scheme: Scheme,
    /// With the password, without the `@`.
    pub(crate) userinfo: Option<&'a [u8]>,
    /// With the brackets of IPv6; never empty.
    pub(crate) host: &'a [u8],
    /// Without leading zeros. An explicit 5060 is not an absent port.
    port: Option<&'a [u8]>,
    /// Without the first `;`.
    params: &'a [u8],
    /// Without the `?`.
    headers: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn of(uri: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = cut(uri, b':');
        let rest = rest?;
        let scheme = if scheme.eq_ignore_ascii_case(b"sip") {
            Scheme::Sip
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            Scheme::Sips
        } else {
            return None;
        };
        // No `@` may stand unescaped behind the user, whose own `;` and `?` may.
        let (userinfo, rest) = match memchr::memrchr(b'@', rest) {
            Some(at) => {
                let (user, host) = around(rest, at);
                (Some(user), host)
            }
            None => (None, rest),
        };
        let (rest, headers) = cut(rest, b'?');
        let (host_port, params) = cut(rest, b';');
        let (host, port) = split_port(host_port)?;
        let (params, headers) = (params.unwrap_or_default(), headers.unwrap_or_default());
        (!host.is_empty()).then_some(Self {
            scheme,
            userinfo,
            host,
            port,
            params,
            headers,
        })
    }
}

/// Splits at the first `sep`: what is before it, and what is behind if it is there.
fn cut(bytes: &[u8], sep: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(sep, bytes) {
        Some(at) => {
            let (before, behind) = around(bytes, at);
            (before, Some(behind))
        }
        None => (bytes, None),
    }
}

/// What is before the byte at `at`, and what is behind it.
fn around(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    let (before, rest) = bytes.split_at(at);
    let behind = rest.split_first().map(|(_, behind)| behind);
    (before, behind.unwrap_or_default())
}

fn split_port(host_port: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let host_len = match host_port.first() {
        Some(b'[') => memchr::memchr(b']', host_port)?.saturating_add(1),
        _ => memchr::memchr(b':', host_port).unwrap_or(host_port.len()),
    };
    let (host, rest) = host_port.split_at(host_len);
    match rest {
        [] => Some((host, None)),
        [b':', port @ ..] if !port.is_empty() && port.iter().all(u8::is_ascii_digit) => {
            let first = port.iter().position(|digit| *digit != b'0');
            let port = first.map_or(&b"0"[..], |first| port.split_at(first).1);
            Some((host, Some(port)))
        }
        _ => None,
    }
}

fn same_userinfo(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => symbols(a).eq(symbols(b)),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn same_host(a: &[u8], b: &[u8]) -> bool {
    match (ipv6(a), ipv6(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => {
            let b = b.strip_suffix(b".").unwrap_or(b);
            a.strip_suffix(b".").unwrap_or(a).eq_ignore_ascii_case(b)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn ipv6(host: &[u8]) -> Option<Ipv6Addr> {
    let inside = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inside).ok()?.parse().ok()
}

/// Every parameter in both agrees, and none that counts is in one only.
fn same_params(a: &[u8], b: &[u8]) -> bool {
    if pairs(a, b';').count().max(pairs(b, b';').count()) > limits::URI_PARAMS_MAX {
        return a == b;
    }
    agrees(a, b) && agrees(b, a)
}

fn agrees(these: &[u8], those: &[u8]) -> bool {
    pairs(these, b';').all(|(name, value)| {
        match pairs(those, b';').find(|(other, _)| same_folded(name, other)) {
            Some((_, other)) => match (value, other) {
                (Some(value), Some(other)) => same_folded(value, other),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            },
            None => !COUNTED.iter().any(|counted| same_folded(name, counted)),
        }
    })
}

/// Parameters that a URI without them does not equal.
const COUNTED: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];

/// Headers are never ignored; their order is.
fn same_headers(a: &[u8], b: &[u8]) -> bool {
    let (a_len, b_len) = (pairs(a, b'&').count(), pairs(b, b'&').count());
    if a_len.max(b_len) > limits::URI_PARAMS_MAX {
        return a == b;
    }
    let holds = |those: &[u8], (name, value): (&[u8], Option<&[u8]>)| {
        pairs(those, b'&').any(|(other, other_value)| {
            let (value, other_value) = (value.unwrap_or_default(), other_value.unwrap_or_default());
            same_folded(name, other) && symbols(value).eq(symbols(other_value))
        })
    };
    a_len == b_len
        && pairs(a, b'&').all(|pair| holds(b, pair))
        && pairs(b, b'&').all(|pair| holds(a, pair))
}

/// `name` or `name=value`, apart by `sep`; empty ones are skipped.
fn pairs(list: &[u8], sep: u8) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    list.split(move |byte| *byte == sep)
        .filter(|pair| !pair.is_empty())
        .map(|pair| cut(pair, b'='))
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

fn symbols(bytes: &[u8]) -> impl Iterator<Item = Symbol> {
    Characters { rest: bytes }.map(|(byte, was_escaped)| {
        // RFC 2396 §2.2
        Symbol {
            byte,
            is_shielded: was_escaped && b";/?:@&=+$,".contains(&byte),
        }
    })
}

/// The bytes with every escape undone; a `%` that starts none is itself.
pub(crate) fn unescaped(bytes: &[u8]) -> impl Iterator<Item = u8> {
    Characters { rest: bytes }.map(|(byte, _)| byte)
}

/// Yields each character and whether it was escaped.
struct Characters<'a> {
    rest: &'a [u8],
}

impl Iterator for Characters<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<Self::Item> {
        if let [b'%', high, low, rest @ ..] = self.rest
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            self.rest = rest;
            return Some((high << 4 | low, true));
        }
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some((byte, false))
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, want: bool) {
        assert_eq!(
            same_contact(a.as_bytes(), b.as_bytes()),
            want,
            "{a} and {b}"
        );
        assert_eq!(
            same_contact(b.as_bytes(), a.as_bytes()),
            want,
            "{b} and {a}"
        );
        assert!(same_contact(a.as_bytes(), a.as_bytes()));
    }

    // RFC 3261 §19.1.4, the examples
    #[test]
    fn the_equal_examples_are_equal() {
        check(
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtlanTa.CoM;Transport=tcp",
            true,
        );
        check(
            "sip:carol@chicago.com",
            "sip:carol@chicago.com;newparam=5",
            true,
        );
        check(
            "sip:carol@chicago.com",
            "sip:carol@chicago.com;security=on",
            true,
        );
        check(
            "sip:carol@chicago.com;newparam=5",
            "sip:carol@chicago.com;security=on",
            true,
        );
        check(
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            true,
        );
        check(
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            true,
        );
    }

    // RFC 3261 §19.1.4, the examples
    #[test]
    fn the_unequal_examples_are_not_equal() {
        check(
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
            false,
        );
        check("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false);
        check(
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com;transport=udp",
            false,
        );
        check(
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
            false,
        );
        check(
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
            false,
        );
        check("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false);
        check(
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
            false,
        );
    }

    // RFC 3261 §19.1.4, the rules
    #[test]
    fn each_part_counts_by_its_own_rule() {
        check("sip:a@b", "sips:a@b", false);
        check("sip:a@b", "SIP:a@B", true);
        check("sip:a@b", "sip:b", false);
        check("sip:a@b", "sip:@b", false);
        check("sip:a:pw@b", "sip:a@b", false);
        check("sip:a:pw@b", "sip:a:PW@b", false);
        check("sip:a@b:5070", "sip:a@b:05070", true);
        check("sip:a@b:5070", "sip:a@b:5071", false);
        check("sip:a@b", "sip:a@b.", true);
        check("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]", true);
        check("sip:a@[2001:db8::1]", "sip:a@[2001:db8::2]", false);
        check("sip:a@b;lr", "sip:a@b;lr=on", false);
        check("sip:a@b;user=phone", "sip:a@b", false);
        check("sip:a@b;ttl=1", "sip:a@b", false);
        check("sip:a@b;method=INVITE", "sip:a@b", false);
        check("sip:a@b;maddr=192.0.2.1", "sip:a@b", false);
        check("sip:a@b;x=%41", "sip:a@b;X=a", true);
        check("sip:a@b;;x=1;", "sip:a@b;x=1", true);
        check("sip:a@b?x=1&x=2", "sip:a@b?x=2&x=1", true);
        check("sip:a@b?x=1&x=2", "sip:a@b?x=1&x=1", false);
        check("sip:a@b?x=1&x=1", "sip:a@b?x=1", false);
        check("sip:a@b?x=a", "sip:a@b?X=a", true);
    }

    #[test]
    fn an_escaped_reserved_character_is_not_the_plain_one() {
        check("sip:a%3Bb@h", "sip:a;b@h", false);
        check("sip:a%3Bb@h", "sip:a%3bb@h", true);
        check("sip:a%20b@h", "sip:a b@h", true);
        check("sip:a%2Db@h", "sip:a-b@h", true);
        check("sip:a%zz@h", "sip:a%ZZ@h", false);
        check("sip:a%2", "sip:a%2", true);
    }

    #[test]
    fn other_schemes_and_broken_uris_equal_only_themselves() {
        check("tel:+1-201", "tel:+1201", false);
        check("sip:a@b:", "sip:a@b", false);
        check("sip:a@", "sip:A@", false);
        check("sip:a@[::1", "sip:a@[::1]", false);
        check("", "sip:", false);
    }

    #[test]
    fn at_the_bound_of_parameters_the_bytes_decide() {
        let list = |n: usize| (0..n).map(|i| format!(";p{i}")).collect::<String>();
        let max = limits::URI_PARAMS_MAX;
        check(&format!("sip:a@b{}", list(max)), "sip:a@b", true);
        check(&format!("sip:a@b{}", list(max + 1)), "sip:a@b", false);
        check(
            &format!("sip:a@b{}", list(max + 1)),
            &format!("sip:a@B{}", list(max + 1)),
            true,
        );
    }
}
