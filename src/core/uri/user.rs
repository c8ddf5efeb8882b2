//! The user part of a URI in one spelling (RFC 3261 §25.1): what needs no escape has
//! none, everything else has one. Users that a registrar files as one are the same
//! bytes then, and may stand in a URI again.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

use super::escape::{is_unreserved, push_escape, unescaped};
use super::host::write_domain;

/// Appends the user of a URI, however it is escaped there.
pub(crate) fn write_user(user: &[u8], out: &mut Vec<u8>) {
    unescaped(user).for_each(|byte| write(byte, out));
}

/// Appends the address of record of a user, however it is escaped, at a host: `user@host`, in
/// the one spelling of both. Returns where the user ends.
pub(crate) fn write_aor(user: &[u8], host: &[u8], out: &mut Vec<u8>) -> usize {
    write_user(user, out);
    let user_end = out.len();
    out.push(b'@');
    write_domain(host, out);
    user_end
}

/// Appends a plain name, in which `%` means itself.
pub(crate) fn write_name(name: &[u8], out: &mut Vec<u8>) {
    name.iter().for_each(|&byte| write(byte, out));
}

fn write(byte: u8, out: &mut Vec<u8>) {
    if stands_in_user(byte) {
        out.push(byte);
    } else {
        push_escape(byte, out);
    }
}

/// `unreserved` and `user-unreserved`.
const fn stands_in_user(byte: u8) -> bool {
    is_unreserved(byte) || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
}

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
