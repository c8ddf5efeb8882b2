//! The fields of a sealed token in few octets: a token stands in every message to and from
//! its phone, twice where one calls another, and over UDP every octet of a call
//! counts (a datagram that does not fit into one packet is lost behind many address
//! translations).
//!
//! The first octet has the forms of the other fields, the number of edges, and the flags. Then
//! follow the user, the realm unless it is the common one, the instance, and the edges. What
//! phones and numbers have in common is left out: a UUID (RFC 5626 §4.1) takes
//! sixteen octets, a `pseudo_instance` eight, a number half an octet a digit. Other fields
//! stand as they are behind one octet of length; the last edge has no length, since it ends with
//! the token. Equal fields are equal octets on every edge (H-3).

use data_encoding::{Encoding, HEXLOWER, HEXUPPER};

use super::error::BadToken;
use super::fields::Token;
use crate::edge::Subscriber;
use crate::limits::EDGE_SET_MAX;
use crate::span::Span;

/// The instance is a UUID in lower case; in upper case; a `pseudo_instance`; or as
/// it stands, without any of these bits.
const UUID: u8 = 1;
const UUID_UPPER: u8 = 2;
const PSEUDO: u8 = 3;
const INSTANCE: u8 = 3;
/// The realm is the common one, and left out.
const COMMON: u8 = 4;
/// The user is a number.
const NUMBER: u8 = 8;
/// Where the number of edges after the first begins.
const MORE: u8 = 4;
const MORE_MAX: u8 = 3;
/// Where the flags begin.
const FLAGS: u8 = 6;
/// The largest value of the flags.
pub(super) const FLAGS_MAX: u8 = u8::MAX >> FLAGS;

const _: () = assert!(
    EDGE_SET_MAX <= MORE_MAX as usize + 1,
    "the number of edges is two bits"
);

/// Writes the plain octets of a token; `common` is the realm that is left
/// out. Fields are no longer than `TOKEN_FIELD_MAX`, flags no more than `FLAGS_MAX`.
pub(super) fn write(
    subscriber: &Subscriber<'_>,
    edges: &[&[u8]],
    flags: u8,
    common: &[u8],
    out: &mut Vec<u8>,
) {
    let Subscriber {
        user,
        realm,
        instance,
    } = *subscriber;
    let at = out.len();
    out.push(flags << FLAGS);
    let more = edges.len().saturating_sub(1);
    let mut how = u8::try_from(more).unwrap_or(MORE_MAX) << MORE;
    if is_number(user) {
        how |= NUMBER;
        push_number(user, out);
    } else {
        push_field(user, out);
    }
    if realm == common {
        how |= COMMON;
    } else {
        push_field(realm, out);
    }
    match raw_instance(instance) {
        Some((kind, raw, len)) => {
            how |= kind;
            out.extend_from_slice(&raw[..len]);
        }
        None => push_field(instance, out),
    }
    if let Some((last, before)) = edges.split_last() {
        for edge in before {
            push_field(edge, out);
        }
        out.extend_from_slice(last);
    }
    out[at] |= how;
}

/// Reads what `write` wrote.
///
/// # Errors
/// `Malformed` for anything else.
pub(super) fn read(plain: &[u8], common: &[u8], out: &mut Token) -> Result<(), BadToken> {
    let (&head, mut rest) = plain.split_first().ok_or(BadToken::Malformed)?;
    out.flags = head >> FLAGS;
    let user = take_field(&mut rest)?;
    out.user = if head & NUMBER == 0 {
        out.append(user)?
    } else {
        append_number(user, out)?
    };
    let realm = if head & COMMON == 0 {
        take_field(&mut rest)?
    } else {
        common
    };
    out.realm = out.append(realm)?;
    out.instance = match head & INSTANCE {
        UUID => append_uuid(&HEXLOWER, take(&mut rest)?, out)?,
        UUID_UPPER => append_uuid(&HEXUPPER, take(&mut rest)?, out)?,
        PSEUDO => {
            let mut digits = [0; 16];
            HEXLOWER.encode_mut(take::<8>(&mut rest)?, &mut digits);
            out.append_all(&[MADE, &digits])?
        }
        _ => {
            let field = take_field(&mut rest)?;
            out.append(field)?
        }
    };
    for _ in 0..head >> MORE & MORE_MAX {
        let edge = take_field(&mut rest)?;
        let edge = out.append(edge)?;
        out.push_edge(edge)?;
    }
    let last = out.append(rest)?;
    out.push_edge(last)
}

/// Reads the octets of the form before this one: flags, user, realm, instance and
/// edges as they stand. Phones have such tokens for as long as a registration and a
/// dialog last that began at an edge which wrote them.
///
/// # Errors
/// `Malformed` for anything else.
pub(super) fn read_spelled_out(plain: &[u8], out: &mut Token) -> Result<(), BadToken> {
    let (&flags, mut rest) = plain.split_first().ok_or(BadToken::Malformed)?;
    out.flags = flags;
    let (user, realm) = (take_field(&mut rest)?, take_field(&mut rest)?);
    out.user = out.append(user)?;
    out.realm = out.append(realm)?;
    let instance = take_field(&mut rest)?;
    out.instance = out.append(instance)?;
    loop {
        let edge = take_field(&mut rest)?;
        let edge = out.append(edge)?;
        out.push_edge(edge)?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// A field as it stands, behind its length.
fn push_field(field: &[u8], out: &mut Vec<u8>) {
    out.push(u8::try_from(field.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(field);
}

fn take_field<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], BadToken> {
    let (&len, after) = rest.split_first().ok_or(BadToken::Malformed)?;
    let field = after.split_at_checked(len.into());
    let (field, after) = field.ok_or(BadToken::Malformed)?;
    *rest = after;
    Ok(field)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], BadToken> {
    let (raw, after) = rest.split_first_chunk().ok_or(BadToken::Malformed)?;
    *rest = after;
    Ok(raw)
}

/// What numbers are dialled and written with; a digit beyond it ends one that is
/// odd.
const DIALLED: &[u8; 15] = b"0123456789+*-._";
const END: u8 = 15;

fn digit(byte: u8) -> Option<u8> {
    let index = DIALLED.iter().position(|&digit| digit == byte)?;
    u8::try_from(index).ok()
}

fn is_number(user: &[u8]) -> bool {
    !user.is_empty() && user.iter().all(|&byte| digit(byte).is_some())
}

fn push_number(user: &[u8], out: &mut Vec<u8>) {
    out.push(u8::try_from(user.len().div_ceil(2)).unwrap_or(u8::MAX));
    out.extend(user.chunks(2).map(|pair| {
        let digit = |at: usize| pair.get(at).copied().and_then(digit).unwrap_or(END);
        digit(0) << 4 | digit(1)
    }));
}

fn append_number(packed: &[u8], out: &mut Token) -> Result<Span, BadToken> {
    let start = out.len;
    for pair in packed {
        for digit in [pair >> 4, pair & 15] {
            if let Some(digit) = DIALLED.get(usize::from(digit)) {
                out.append(&[*digit])?;
            }
        }
    }
    Ok(Span::new(start, out.len))
}

/// What a UUID is called as an instance (RFC 5626 §4.1, RFC 4122).
const URN: &[u8] = b"urn:uuid:";
/// What `pseudo_instance` begins with.
const MADE: &[u8] = b"c-";
/// Where the groups of digits in the text of a UUID begin and end.
const GROUPS: [(usize, usize); 5] = [(0, 8), (9, 13), (14, 18), (19, 23), (24, 36)];

/// How an instance is written in fewer octets, the octets, and how many they are.
fn raw_instance(instance: &[u8]) -> Option<(u8, [u8; 16], usize)> {
    let mut raw = [0; 16];
    if let Some(digits) = instance.strip_prefix(MADE) {
        let half: &mut [u8; 8] = raw.first_chunk_mut()?;
        let fits = digits.len() == 16 && HEXLOWER.decode_mut(digits, half) == Ok(8);
        return fits.then_some((PSEUDO, raw, 8));
    }
    let text: &[u8; 36] = instance.strip_prefix(URN)?.try_into().ok()?;
    let mut digits = [0; 32];
    let mut at = 0;
    for (start, end) in GROUPS {
        if start > 0 && text[start - 1] != b'-' {
            return None;
        }
        let next = at + end - start;
        digits[at..next].copy_from_slice(&text[start..end]);
        at = next;
    }
    let reads = |how: &Encoding, raw: &mut [u8; 16]| how.decode_mut(&digits, raw) == Ok(16);
    if reads(&HEXLOWER, &mut raw) {
        Some((UUID, raw, 16))
    } else if reads(&HEXUPPER, &mut raw) {
        Some((UUID_UPPER, raw, 16))
    } else {
        None
    }
}

fn append_uuid(how: &Encoding, raw: &[u8; 16], out: &mut Token) -> Result<Span, BadToken> {
    let mut digits = [0; 32];
    how.encode_mut(raw, &mut digits);
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (start, end) in GROUPS {
        let next = at + end - start;
        text[start..end].copy_from_slice(&digits[at..next]);
        at = next;
    }
    out.append_all(&[URN, &text])
}
