//! Via, From and To as nearly everybody writes them, read straight through: the parser of each
//! looks for white space, quotes and folds at every step, and these have none. What is written
//! otherwise is none of this room's (`None`), whether it is right or wrong.
//!
//! What is read here the parsers read alike, which every debug build asks them.

use std::net::IpAddr;

use super::address::Address;
use super::via::Via;
use crate::grammar::class;
use crate::grammar::cursor::within;
use crate::grammar::lanes::{LANES, Lanes};
use crate::span::Span;
use crate::uri;

/// An address in brackets, and its tag where it has one and nothing besides.
#[inline]
pub(super) fn address(bytes: &[u8], value: Span) -> Option<(Address, Option<Span>)> {
    let text = value.range();
    let start = text.start.wrapping_add(1);
    let (b'<', true) = (*bytes.get(text.start)?, has_scheme(bytes, start)) else {
        return None;
    };
    let close = first(bytes, start, text.end, class::not_of_uri)?;
    if close == text.end || *bytes.get(close)? != b'>' {
        return None;
    }
    let behind = close.wrapping_add(1);
    let address = Address {
        value,
        display: Span::default(),
        uri: within(start, close),
        bracketed: true,
        params: within(behind, text.end),
    };
    if behind == text.end {
        return Some((address, None));
    }
    let tag = behind.wrapping_add(TAG.len());
    // Every byte of a host name may stand in a token.
    let is_tag = tag < text.end
        && bytes.get(behind..tag)? == TAG
        && first(bytes, tag, text.end, class::of_marks)? == text.end;
    is_tag.then(|| (address, Some(within(tag, text.end))))
}

/// The only parameter of a From or To.
const TAG: &[u8] = b";tag=";

/// Whether `sip:` or `sips:` stands there.
#[inline]
fn has_scheme(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.starts_with(b"sip:") || rest.starts_with(b"sips:")
}

/// A Via whose host is an IPv4 address, with the parameters that phones and we ourselves write,
/// is put into `room`; with `None` what is there then counts for nothing.
#[inline]
pub(super) fn via(bytes: &[u8], value: Span, room: &mut Option<Via>) -> Option<()> {
    let text = value.range();
    let (b"SIP/2.0/UDP " | b"SIP/2.0/TCP " | b"SIP/2.0/TLS ") =
        bytes.get(text.start..)?.first_chunk::<PROTOCOL>()?
    else {
        return None;
    };
    let host = text.start.wrapping_add(PROTOCOL);
    let (ip, length) = uri::ipv4_front(bytes.get(host..)?.first_chunk()?)?;
    let behind = host.wrapping_add(length);
    let (port, at) = match bytes.get(behind)? {
        b':' => port(bytes, behind.wrapping_add(1))?,
        _ => (None, behind),
    };
    // Where it is to stand at last, since it is large.
    let via = room.insert(Via {
        value,
        transport: within(host.wrapping_sub(4), host.wrapping_sub(1)),
        host: within(host, behind),
        ip: Some(IpAddr::V4(ip)),
        port,
        sent_by: within(host, at),
        params: Span::new(at, text.end),
        branch: None,
        received: None,
        maddr: None,
        rport: None,
        oc: None,
        keep: None,
        received_param: None,
    });
    let mut at = at;
    while at < text.end {
        at = param(bytes, at, text.end, via)?;
    }
    (at == text.end).then_some(())
}

/// Octets of protocol and transport.
const PROTOCOL: usize = 12;

/// A port, and where it ends.
#[inline]
fn port(bytes: &[u8], start: usize) -> Option<(Option<u16>, usize)> {
    let (mut port, mut at) = (0_u32, start);
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        port = port
            .wrapping_mul(10)
            .wrapping_add(u32::from(digit.wrapping_sub(b'0')));
        at = at.wrapping_add(1);
        if port > u32::from(u16::MAX) {
            return None;
        }
    }
    (port != 0).then(|| (u16::try_from(port).ok(), at))
}

/// Reads the parameter whose `;` stands there into `via`, and says where it ends.
#[inline(always)]
fn param(bytes: &[u8], at: usize, end: usize, via: &mut Via) -> Option<usize> {
    let rest = bytes.get(at..end)?;
    let start = at.wrapping_add(1);
    let behind = |name: &[u8]| {
        let is_over = matches!(rest.get(name.len()), None | Some(b';'));
        is_over.then(|| at.wrapping_add(name.len()))
    };
    if rest.starts_with(b";branch=") && via.branch.is_none() {
        let value = at.wrapping_add(8);
        let close = first(bytes, value, end, class::of_marks)?;
        let is_sound = close == end || bytes.get(close) == Some(&b';');
        via.branch = Some(within(value, close));
        return is_sound.then_some(close);
    }
    if rest.starts_with(b";rport") && via.rport.is_none() {
        let close = behind(b";rport")?;
        via.rport = Some((within(start, close), None));
        return Some(close);
    }
    if rest.starts_with(b";keep") {
        let close = behind(b";keep")?;
        via.keep = Some((within(start, close), None));
        return Some(close);
    }
    if rest.starts_with(b";oc-algo=\"loss\"") {
        return behind(b";oc-algo=\"loss\"");
    }
    if rest.starts_with(b";oc") {
        via.oc = Some(Span::default());
        return behind(b";oc");
    }
    None
}

/// The first byte of a set in `at..end`, or `end`, sixteen at a time; `None` where fewer than that
/// are left of the message.
#[inline(always)]
fn first(bytes: &[u8], at: usize, end: usize, which: impl Fn(Lanes) -> u32) -> Option<usize> {
    let mut at = at;
    while at < end {
        let sixteen = bytes.get(at..)?.first_chunk::<LANES>()?;
        let found = which(Lanes::load(sixteen));
        if found != 0 {
            return Some(at.wrapping_add(found.trailing_zeros() as usize).min(end));
        }
        at = at.wrapping_add(LANES);
    }
    Some(end)
}
