//! Canonical characters: one spelling for all that RFC 3261 §19.1.4 calls equal.
//!
//! `%HH` of an unreserved character is that character; what may not stand for
//! itself is always `%HH`; `%HH` of a reserved character stays as it is.

use super::super::escape::{characters, is_reserved, is_unreserved, push_escape};

/// Appends a user (and password): its case counts.
pub(super) fn push_user(out: &mut Vec<u8>, user: &[u8]) {
    // Most plain bytes, in few ranges: a token is one sweep and one copy.
    let is_plain =
        |b| within(b, b'&', b';') | within(b, b'?', b'Z') | within(b, b'a', b'z') | (b == b'_');
    if all(user, is_plain) {
        out.extend_from_slice(user);
    } else {
        push_canonical(out, user, Value::Keep);
    }
}

/// Appends a host name, if its bytes are those of one.
pub(super) fn push_name(out: &mut Vec<u8>, name: &[u8]) -> Option<()> {
    let is_name = |b: u8| {
        within(b | 0x20, b'a', b'z') | within(b, b'-', b'.') | within(b, b'0', b'9') | (b == b'_')
    };
    if name.is_empty() || !all(name, is_name) {
        return None;
    }
    let start = out.len();
    out.extend_from_slice(name);
    out[start..].make_ascii_lowercase();
    Some(())
}

const fn within(byte: u8, low: u8, high: u8) -> bool {
    byte.wrapping_sub(low) <= high - low
}

/// True when every byte passes. Whole blocks without early exit, the last one
/// overlapping: the compiler turns them into vectors.
#[inline]
fn all(bytes: &[u8], is_it: impl Fn(u8) -> bool) -> bool {
    let block = |block: &[u8; 16]| block.iter().fold(0, |bad, &b| bad | u8::from(!is_it(b))) == 0;
    match bytes.last_chunk() {
        Some(last) => bytes.as_chunks().0.iter().all(block) && block(last),
        None => bytes.iter().all(|&b| is_it(b)),
    }
}

/// Case of a value: it counts, or it does not.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Fold,
    Keep,
}

/// Appends a part of a parameter or a header; `None` when it has an `@`.
pub(super) fn push_part(out: &mut Vec<u8>, part: &[u8], case: Value) -> Option<()> {
    let start = out.len();
    out.extend_from_slice(part);
    let fold = |byte: &mut u8| {
        *byte = SIMPLE[usize::from(*byte)];
        *byte != 0
    };
    if matches!(case, Value::Fold)
        && out[start..]
            .iter_mut()
            .fold(true, |all, byte| all & fold(byte))
    {
        return Some(());
    }
    out.truncate(start);
    push_canonical(out, part, case);
    if part.contains(&b'@') { None } else { Some(()) }
}

fn push_canonical(out: &mut Vec<u8>, bytes: &[u8], case: Value) {
    for (byte, was_escaped) in characters(bytes) {
        let stands = if was_escaped {
            is_unreserved(byte)
        } else {
            PLAIN[usize::from(byte)]
        };
        match (stands, case) {
            (true, Value::Keep) => out.push(byte),
            (true, Value::Fold) => out.push(byte.to_ascii_lowercase()),
            (false, _) => push_escape(byte, out),
        }
    }
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

/// Lower case of the bytes that stand for themselves in a key, `@` excepted;
/// zero for all others.
const SIMPLE: [u8; 256] = {
    let mut simple = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if PLAIN[byte as usize] && byte != b'@' {
            simple[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    simple
};
