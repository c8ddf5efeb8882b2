//! Canonical characters: one spelling for all that RFC 3261 §19.1.4 calls equal.
//!
//! `%XX` of an unreserved character is that character; what may not stand for
//! itself is always `%XX`; `%XX` of a reserved character stays as it is.

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
