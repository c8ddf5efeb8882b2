//! A name for the instance of a phone that gives none.
//!
//! Tokens and flow bindings are per (user, instance). A phone without
//! `+sip.instance` (RFC 5626 §4.1) gets one made from its Contact URI, so that
//! every edge it registers through arrives at the same name.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Appends `c-` and 16 hexadecimal digits: the first 64 bits of the SHA-256 of
/// the Contact URI, taken byte for byte. 64 bits suffice because only contacts
/// of the same user are told apart by it.
pub(crate) fn pseudo_instance(contact_uri: &[u8], out: &mut Vec<u8>) {
    let hash = Sha256::digest(contact_uri);
    let mut digits = [0; 16];
    HEXLOWER.encode_mut(&hash[..8], &mut digits);
    out.extend_from_slice(b"c-");
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(contact: &[u8], want: &[u8]) {
        let mut out = Vec::new();
        pseudo_instance(contact, &mut out);
        assert_eq!(
            out.escape_ascii().to_string(),
            want.escape_ascii().to_string()
        );
    }

    #[test]
    fn a_contact_uri_has_one_instance_everywhere() {
        // The vectors of FIPS 180-4 for the empty string and "abc".
        check(b"", b"c-e3b0c44298fc1c14");
        check(b"abc", b"c-ba7816bf8f01cfea");
    }
}
