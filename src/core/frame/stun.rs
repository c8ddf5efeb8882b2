//! STUN on the SIP port: the Binding method and nothing else (RFC 5389,
//! RFC 5626 §8). Answers a phone's keep-alive, and makes and reads the
//! agent's own.
//!
//! Stateless; no authentication. An answer is never more than 24 bytes longer
//! than what asked for it, so it is of no use to amplify with: an error has no
//! reason phrase.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Length of a STUN header, in bytes.
pub const HEADER: usize = 20;

const COOKIE: u32 = 0x2112_A442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;
/// Length of a whole FINGERPRINT attribute, in bytes.
const FINGERPRINT_LEN: usize = 8;
const FINGERPRINT_XOR: u32 = 0x5354_554E;
/// Attributes from here on may be ignored by who does not know them.
const COMPREHENSION_OPTIONAL: u16 = 0x8000;

/// The transaction id of an answer; `None` for anything else.
#[must_use]
pub fn answered(response: &[u8]) -> Option<[u8; 12]> {
    let message = Message::parse(response)?;
    let is_answer = matches!(message.kind, BINDING_SUCCESS | BINDING_ERROR);
    is_answer.then_some(*message.transaction_id)
}

/// Appends the answer to `request`, which came from `peer`, to `out`: success
/// with the peer's address as seen here, or 420 when the request holds an
/// attribute that must be understood and is not. Returns false, with `out`
/// untouched, when there is nothing to answer: an indication, a response, a
/// wrong cookie, length or fingerprint.
pub fn answer(request: &[u8], peer: SocketAddr, out: &mut Vec<u8>) -> bool {
    let Some(message) = Message::parse(request) else {
        return false;
    };
    if message.kind != BINDING_REQUEST {
        return false;
    }
    let mut unknown = message.unknown().peekable();
    let begin = out.len();
    if unknown.peek().is_none() {
        header(out, BINDING_SUCCESS, message.transaction_id);
        xor_mapped_address(out, peer, message.transaction_id);
    } else {
        header(out, BINDING_ERROR, message.transaction_id);
        attribute(out, ERROR_CODE, |out| out.extend_from_slice(&[0, 0, 4, 20]));
        attribute(out, UNKNOWN_ATTRIBUTES, |out| {
            unknown.for_each(|kind| out.extend_from_slice(&kind.to_be_bytes()))
        });
    }
    set_length(
        out,
        begin,
        if message.fingerprinted {
            FINGERPRINT_LEN
        } else {
            0
        },
    );
    if message.fingerprinted {
        let sum = fingerprint(out.get(begin..).unwrap_or_default());
        attribute(out, FINGERPRINT, |out| {
            out.extend_from_slice(&sum.to_be_bytes())
        });
    }
    true
}

/// Appends a Binding Request to `out`.
pub fn request(transaction_id: [u8; 12], out: &mut Vec<u8>) {
    header(out, BINDING_REQUEST, &transaction_id);
}

/// The address a Binding Success says we are seen at; `None` when `response`
/// is anything else or answers another transaction.
#[must_use]
pub fn mapped(response: &[u8], transaction_id: &[u8; 12]) -> Option<SocketAddr> {
    let message = Message::parse(response)?;
    if message.kind != BINDING_SUCCESS || message.transaction_id != transaction_id {
        return None;
    }
    let (_, value) = message
        .attributes()
        .find(|&(kind, _)| kind == XOR_MAPPED_ADDRESS)?;
    let &[_, family, port_high, port_low, ref address @ ..] = value else {
        return None;
    };
    let [cookie_high, cookie_low, ..] = COOKIE.to_be_bytes();
    let port = u16::from_be_bytes([port_high ^ cookie_high, port_low ^ cookie_low]);
    let ip = match family {
        1 => IpAddr::V4(Ipv4Addr::from(xor(
            address.try_into().ok()?,
            transaction_id,
        ))),
        2 => IpAddr::V6(Ipv6Addr::from(xor::<16>(
            address.try_into().ok()?,
            transaction_id,
        ))),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A STUN message whose lengths, cookie and fingerprint are right.
struct Message<'a> {
    kind: u16,
    transaction_id: &'a [u8; 12],
    body: &'a [u8],
    fingerprinted: bool,
}

impl<'a> Message<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = bytes.split_first_chunk::<HEADER>()?;
        let &[
            kind_high,
            kind_low,
            length_high,
            length_low,
            c0,
            c1,
            c2,
            c3,
            ..,
        ] = head;
        let kind = u16::from_be_bytes([kind_high, kind_low]);
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let cookie = u32::from_be_bytes([c0, c1, c2, c3]);
        if kind >= 0x4000 || length != body.len() || !length.is_multiple_of(4) || cookie != COOKIE {
            return None;
        }
        let mut message = Self {
            kind,
            transaction_id: head.last_chunk()?,
            body,
            fingerprinted: false,
        };
        let mut walk = Attributes { rest: body };
        let mut last = None;
        for found in walk.by_ref() {
            last = Some(found);
        }
        if !walk.rest.is_empty() {
            return None;
        }
        if let Some((FINGERPRINT, value)) = last {
            let covered = bytes.get(..bytes.len().checked_sub(FINGERPRINT_LEN)?)?;
            if value != fingerprint(covered).to_be_bytes() {
                return None;
            }
            message.fingerprinted = true;
        }
        Some(message)
    }

    fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: self.body }
    }

    /// Attributes that must be understood and are not. What stands behind
    /// MESSAGE-INTEGRITY is ignored (RFC 5389 §15.4).
    fn unknown(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.attributes()
            .map(|(kind, _)| kind)
            .take_while(|&kind| kind != MESSAGE_INTEGRITY)
            .filter(|&kind| kind < COMPREHENSION_OPTIONAL && !is_known(kind))
    }
}

/// Whether the attribute is one of RFC 5389's own that must be understood:
/// MAPPED-ADDRESS, USERNAME, MESSAGE-INTEGRITY, ERROR-CODE,
/// UNKNOWN-ATTRIBUTES, REALM, NONCE, XOR-MAPPED-ADDRESS.
const fn is_known(kind: u16) -> bool {
    matches!(
        kind,
        0x0001 | 0x0006 | 0x0008 | 0x0009 | 0x000A | 0x0014 | 0x0015 | 0x0020
    )
}

/// Type and value of each attribute; stops, with `rest` not empty, at one that
/// runs over the end.
struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind_high, kind_low, length_high, length_low], after) =
            self.rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let (padded, rest) = after.split_at_checked(length.next_multiple_of(4))?;
        self.rest = rest;
        Some((
            u16::from_be_bytes([kind_high, kind_low]),
            padded.get(..length)?,
        ))
    }
}

fn header(out: &mut Vec<u8>, kind: u16, transaction_id: &[u8; 12]) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&COOKIE.to_be_bytes());
    out.extend_from_slice(transaction_id);
}

/// Writes the length of what follows the header that stands at `begin`, plus
/// `more` that is still to come (the fingerprint covers a length it is part of).
fn set_length(out: &mut [u8], begin: usize, more: usize) {
    let length = out
        .len()
        .saturating_sub(begin)
        .saturating_sub(HEADER)
        .saturating_add(more);
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    if let Some([_, _, field @ ..]) = out.get_mut(begin..)
        && let Some(field) = field.first_chunk_mut()
    {
        *field = length.to_be_bytes();
    }
}

/// Appends one attribute with its length and padding.
fn attribute(out: &mut Vec<u8>, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&kind.to_be_bytes());
    let at = out.len();
    out.extend_from_slice(&[0, 0]);
    value(out);
    let length = out.len().saturating_sub(at).saturating_sub(2);
    out.resize(
        out.len()
            .saturating_add(length.next_multiple_of(4).saturating_sub(length)),
        0,
    );
    if let Some(field) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    }
}

fn xor_mapped_address(out: &mut Vec<u8>, peer: SocketAddr, transaction_id: &[u8; 12]) {
    let [cookie_high, cookie_low, ..] = COOKIE.to_be_bytes();
    let [port_high, port_low] = peer.port().to_be_bytes();
    attribute(out, XOR_MAPPED_ADDRESS, |out| {
        // A dual-stack socket shows IPv4 peers as mapped addresses.
        let ip = peer.ip().to_canonical();
        out.extend_from_slice(&[
            0,
            if ip.is_ipv4() { 1 } else { 2 },
            port_high ^ cookie_high,
            port_low ^ cookie_low,
        ]);
        match ip {
            IpAddr::V4(ip) => out.extend_from_slice(&xor(ip.octets(), transaction_id)),
            IpAddr::V6(ip) => out.extend_from_slice(&xor(ip.octets(), transaction_id)),
        }
    });
}

/// The address under the cookie and transaction id (RFC 5389 §15.2).
fn xor<const N: usize>(mut address: [u8; N], transaction_id: &[u8; 12]) -> [u8; N] {
    let key = COOKIE.to_be_bytes();
    for (byte, key) in address.iter_mut().zip(key.iter().chain(transaction_id)) {
        *byte ^= key;
    }
    address
}

/// The FINGERPRINT of `covered`, the message up to the attribute itself.
fn fingerprint(covered: &[u8]) -> u32 {
    let sum = covered.iter().fold(u32::MAX, |sum, &byte| {
        let [low, ..] = sum.to_le_bytes();
        (sum >> 8)
            ^ CRC32
                .get(usize::from(low ^ byte))
                .copied()
                .unwrap_or_default()
    });
    !sum ^ FINGERPRINT_XOR
}

/// CRC-32 of every byte (ISO 3309, reflected polynomial).
static CRC32: [u32; 256] = crc32_table();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "runs in the compiler, over its own counter"
)]
const fn crc32_table() -> [u32; 256] {
    let mut table = [0_u32; 256];
    let mut index = 0_u32;
    while index < 256 {
        let mut sum = index;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0xEDB8_8320
            } else {
                sum >> 1
            };
            bit += 1;
        }
        table[index as usize] = sum;
        index += 1;
    }
    table
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]
mod tests;
