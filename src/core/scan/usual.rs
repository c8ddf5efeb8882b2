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
    match bytes.get(text.start..)?.first_chunk()? {
        b"<sip:" => {}
        b"<sips" if bytes.get(text.start..)?.starts_with(b"<sips:") => {}
        _ => return None,
    }
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

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]
mod tests {
    use super::*;
    use crate::scan::message::tag_of;

    /// What stands behind a value in a message.
    const BEHIND: &[u8] = b"\r\nCSeq: 1 INVITE\r\n\r\n";

    const VIAS: [&str; 6] = [
        "SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK1",
        "SIP/2.0/TCP 10.0.0.10;branch=z9hG4bK-524287-1---a0;keep",
        "SIP/2.0/TLS 255.255.255.255:65535;branch=z9hG4bKnashds8",
        "SIP/2.0/UDP 127.0.0.11:40000;keep;oc;oc-algo=\"loss\";branch=z9hG4bK0123456789abcd",
        "SIP/2.0/UDP 1.2.3.4",
        "SIP/2.0/UDP 1.2.3.4;branch=",
    ];

    const ADDRESSES: [&str; 5] = [
        "<sip:joe@example.com>;tag=j",
        "<sip:+4930123456;phone-context=x@[2001:db8::1]:5060;transport=tcp?a=b>",
        "<sips:a>;tag=0123456789abcdef0123456789abcdef.-_",
        "<sip:>",
        "<sip:joe@a-name-that-is-longer-than-thirty-two-letters.example.com;user=phone>;tag=as7f",
    ];

    fn message(text: &[u8]) -> (Vec<u8>, Span) {
        ([text, BEHIND].concat(), Span::new(0, text.len()))
    }

    /// Whether it is usual; what is, is read as the parser reads it.
    #[track_caller]
    fn is_usual_via(text: &[u8]) -> bool {
        let (bytes, value) = message(text);
        let mut read = None;
        let is_usual = via(&bytes, value, &mut read).is_some();
        if is_usual {
            assert_eq!(
                read,
                Via::parse(&bytes, value).ok(),
                "{}",
                text.escape_ascii()
            );
        }
        is_usual
    }

    #[track_caller]
    fn is_usual_address(text: &[u8]) -> bool {
        let (bytes, value) = message(text);
        let read = address(&bytes, value);
        if let Some((address, tag)) = read {
            let text = text.escape_ascii();
            assert_eq!(Address::parse(&bytes, value), Ok(address), "{text}");
            assert_eq!(tag_of(&bytes, Some(address)), Ok(tag), "{text}");
        }
        read.is_some()
    }

    /// The text with each byte of it replaced, left out or doubled.
    fn bent(text: &str) -> impl Iterator<Item = Vec<u8>> {
        const BYTES: &[u8] = b"09azAZ.:;=,@<>?\"%[]\\ \t\r\n/_-+\0\x7f\xc3";
        (0..text.len()).flat_map(move |at| {
            let (before, rest) = text.as_bytes().split_at(at);
            let other = BYTES
                .iter()
                .map(move |byte| [before, &[*byte], &rest[1..]].concat());
            let more = BYTES
                .iter()
                .map(move |byte| [before, &[*byte], rest].concat());
            other.chain(more).chain([[before, &rest[1..]].concat()])
        })
    }

    #[test]
    fn the_usual_is_read_as_the_parsers_read_it_and_so_is_what_looks_like_it() {
        for text in VIAS {
            assert!(is_usual_via(text.as_bytes()), "{text}");
            let usual = bent(text).filter(|text| is_usual_via(text)).count();
            assert!(usual > text.len(), "{text}: {usual}");
        }
        for text in ADDRESSES {
            assert!(is_usual_address(text.as_bytes()), "{text}");
            let usual = bent(text).filter(|text| is_usual_address(text)).count();
            assert!(usual > text.len(), "{text}: {usual}");
        }
    }

    #[test]
    fn the_rest_is_left_to_the_parsers() {
        for text in [
            "SIP/2.0/UDP h;branch=z9hG4bK1",
            "SIP/2.0/UDP 1.2.3.4:0;branch=z",
            "SIP/2.0/UDP 1.2.3.4:65536;branch=z",
            "SIP/2.0/UDP 1.2.3.04;branch=z",
            "SIP/2.0/UDP 1.2.3.256;branch=z",
            "SIP/2.0/UDP 1.2.3.4.5;branch=z",
            "SIP/2.0/UDP 1.2.3.4;rport=1;branch=z",
            "SIP/2.0/UDP 1.2.3.4;branch=a;branch=b",
            "SIP/2.0/UDP 1.2.3.4;branch=a, SIP/2.0/UDP 5.6.7.8",
            "SIP/2.0/UDP 1.2.3.4 ;branch=a",
        ] {
            assert!(!is_usual_via(text.as_bytes()), "{text}");
        }
        for text in [
            "sip:a@b;tag=1",
            "\"Joe\" <sip:a@b>;tag=1",
            "<sip:a@b> ;tag=1",
            "<sip:a@b>;tag=",
            "<sip:a@b>;TAG=1",
            "<sip:a@b>;tag=1;x",
            "<sip:a@b>;tag=\"1\"",
            "<sip:a@b",
            "<tel:+1>;tag=1",
        ] {
            assert!(!is_usual_address(text.as_bytes()), "{text}");
        }
        // Less than sixteen bytes are left of the message.
        assert_eq!(address(b"<sip:a@b>", Span::new(0, 9)), None);
    }
}
