//! The user part of a URI in one spelling (RFC 3261 §25.1): what needs no escape has
//! none, everything else has one. Users that a registrar files as one are the same
//! bytes then, and may stand in a URI again.

/// Appends the user of a URI, however it is escaped there.
pub fn write_user(user: &[u8], out: &mut Vec<u8>) {
    let mut rest = user;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match rest {
            [b'%', high, low, after @ ..] => {
                let byte = digit(*high).zip(digit(*low));
                byte.map(|(high, low)| (high << 4 | low, after))
            }
            [..] => None,
        };
        let (byte, after) = escaped.unwrap_or((byte, after));
        write(byte, out);
        rest = after;
    }
}

/// Appends a plain name, in which `%` means itself.
pub fn write_name(name: &[u8], out: &mut Vec<u8>) {
    name.iter().for_each(|&byte| write(byte, out));
}

fn write(byte: u8, out: &mut Vec<u8>) {
    if is_plain(byte) {
        return out.push(byte);
    }
    let digits = [byte >> 4, byte & 15].map(|nibble| DIGITS.get(usize::from(nibble)));
    out.push(b'%');
    out.extend(digits.into_iter().flatten());
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// `unreserved` and `user-unreserved`.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_'
                | b'.'
                | b'!'
                | b'~'
                | b'*'
                | b'\''
                | b'('
                | b')'
                | b'&'
                | b'='
                | b'+'
                | b'$'
                | b','
                | b';'
                | b'?'
                | b'/'
        )
}

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_spelling() {
        for (user, want) in [
            (&b"joe"[..], "joe"),
            (b"%6aoe", "joe"),
            (b"%2b49%3bx", "+49;x"),
            (b"a%40b", "a%40b"),
            (b"a%4fb%3a%20", "aOb%3A%20"),
            (b"100%", "100%25"),
            (b"100%25", "100%25"),
            (b"%zz%4", "%25zz%254"),
            (b"", ""),
        ] {
            let mut out = Vec::new();
            write_user(user, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
        let mut out = Vec::new();
        write_name(b"a@b 100%25", &mut out);
        assert_eq!(out, b"a%40b%20100%2525");
    }
}
