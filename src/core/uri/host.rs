//! Hosts and ports: names, and addresses that stand for themselves (RFC 3261
//! §25.1, RFC 5954).

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::grammar::class::ByteClass;
use crate::grammar::cursor::Cursor;
use crate::span::Span;

/// A host: a name, an IPv4 address or an IPv6 address in brackets; and which address.
#[inline]
pub(crate) fn host(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Option<(Span, Option<IpAddr>)> {
    if let Some(b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_') = cursor.peek() {
        return Some((cursor.take_host(), None));
    }
    address(cursor, bytes)
}

/// A host that begins as an address does, or not at all as one.
fn address(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Option<(Span, Option<IpAddr>)> {
    let start = cursor.at();
    if cursor.peek() == Some(b'[') {
        if !cursor.seek(b']') {
            return None;
        }
        cursor.pass();
        let host = cursor.since(start);
        return host_ip(host.of(bytes)).map(|ip| (host, Some(ip)));
    }
    let host = cursor.take_host();
    let text = host.of(bytes);
    let ip = match text {
        [] => return None,
        [b'0'..=b'9', ..] => ipv4(text).map(IpAddr::V4),
        _ => return Some((host, None)),
    };
    // Numbers and dots that are no address would be taken for one by somebody.
    (ip.is_some() || !is_dotted_number(text)).then_some((host, ip))
}

fn is_dotted_number(text: &[u8]) -> bool {
    text.contains(&b'.')
        && text
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// A port, 1 to 65535.
#[inline]
pub(crate) fn port(cursor: &mut Cursor<'_>) -> Option<u16> {
    u16::try_from(cursor.number()?)
        .ok()
        .filter(|&port| port != 0)
}

/// A host (brackets allowed) as an IP literal.
#[must_use]
pub fn host_ip(host: &[u8]) -> Option<IpAddr> {
    match host {
        [b'[', inside @ .., b']'] => ipv6(inside).map(IpAddr::V6),
        [b'0'..=b'9', ..] if !host.contains(&b':') => ipv4(host).map(IpAddr::V4),
        [b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':', ..] if host.contains(&b':') => {
            ipv6(host).map(IpAddr::V6)
        }
        _ => None,
    }
}

fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Four decimal numbers without leading zeros, as the standard library has it
/// but at a third of its cost: nearly every topmost Via names one.
pub(super) fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut room = [0; IPV4_ROOM];
    room.get_mut(..text.len())?.copy_from_slice(text);
    let (address, length) = ipv4_front(&room)?;
    (length == text.len()).then_some(address)
}

/// Octets that an address takes with what ends it.
pub(crate) const IPV4_ROOM: usize = 16;

/// The address that a text begins with, and the length of it. What follows is no digit and no
/// further octet.
#[inline]
pub(crate) fn ipv4_front(text: &[u8; IPV4_ROOM]) -> Option<(Ipv4Addr, usize)> {
    // Within the room whatever the text is: an address has 15 octets at most.
    let digit = |at: usize| {
        let byte = text.get(at % IPV4_ROOM).copied().unwrap_or_default();
        u32::from(byte.wrapping_sub(b'0'))
    };
    let (mut address, mut at) = (0, 0_usize);
    for place in 0..4 {
        let mut octet = digit(at);
        if octet > 9 {
            return None;
        }
        at = at.wrapping_add(1);
        // A zero stands alone.
        for _ in 0..2 {
            let next = digit(at);
            if next > 9 || octet == 0 {
                break;
            }
            octet = octet.wrapping_mul(10).wrapping_add(next);
            at = at.wrapping_add(1);
        }
        if octet > 255 {
            return None;
        }
        address = address << 8 | octet;
        if place < 3 {
            if digit(at) != u32::from(b'.'.wrapping_sub(b'0')) {
                return None;
            }
            at = at.wrapping_add(1);
        }
    }
    let behind = digit(at);
    let goes_on = behind <= 9 || behind == u32::from(b'.'.wrapping_sub(b'0'));
    (!goes_on).then_some((Ipv4Addr::from_bits(address), at))
}

/// Whether a text is a host, whatever address it may stand for: a name, or an IPv6
/// address in brackets.
pub(super) fn is_host(text: &[u8]) -> bool {
    match text {
        [b'[', inside @ .., b']'] => ipv6(inside).is_some(),
        _ => ByteClass::HOST.holds_all(without_dot(text)),
    }
}

/// A host without the dot of the DNS root behind it.
#[must_use]
pub(crate) fn without_dot(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

/// Appends a host in the form that domains are kept in: in lower case, without a last dot.
pub(crate) fn write_domain(host: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(without_dot(host));
    if let Some(domain) = out.get_mut(start..) {
        domain.make_ascii_lowercase();
    }
}

/// Host name comparison: case-insensitive, a trailing dot ignored; IP literals by value.
#[must_use]
pub fn same_host(a: &[u8], b: &[u8]) -> bool {
    let (name_a, name_b) = (without_dot(a), without_dot(b));
    // Nearly every host is written as its owner writes it.
    name_a == name_b
        || name_a.eq_ignore_ascii_case(name_b)
        || matches!((host_ip(a), host_ip(b)), (Some(a), Some(b)) if a == b)
}
