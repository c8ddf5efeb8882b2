//! Addresses of record in the one form that is the key of their bindings:
//! `user@domain` (RFC 3261 §10.3 step 5).

use crate::uri::escape::unescaped;
use crate::uri::{Scheme, Uri, write_domain};

/// Appends the canonical form of a `sip` or `sips` URI to `out`: the user with
/// its escapes undone and its case kept, the domain in lower case. Scheme (the
/// two are one address at a registrar, RFC 5630 §5.2), password, port, parameters and
/// headers do not count. False, with nothing appended, for any other URI and
/// for one without a user.
pub(crate) fn canonical(bytes: &[u8], uri: &Uri, out: &mut Vec<u8>) -> bool {
    let user = uri
        .user
        .filter(|_| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
    let Some(user) = user else {
        return false;
    };
    write(user.of(bytes), uri.host.of(bytes), out);
    true
}

/// Appends the canonical form of the address of record of `user` at `domain`.
pub(super) fn write(user: &[u8], domain: &[u8], out: &mut Vec<u8>) {
    if memchr::memchr(b'%', user).is_some() {
        out.extend(unescaped(user));
    } else {
        out.extend_from_slice(user);
    }
    out.push(b'@');
    write_domain(domain, out);
}

/// User and domain of an address of record in its canonical form.
#[must_use]
pub(super) fn parts(aor: &[u8]) -> (&[u8], &[u8]) {
    let at = memchr::memrchr(b'@', aor).unwrap_or_default();
    let (user, domain) = aor.split_at(at);
    (user, domain.get(1..).unwrap_or_default())
}

/// True when a URI's user part, its escapes undone, is the plain name `user`.
#[must_use]
pub(crate) fn is_user(part: &[u8], user: &[u8]) -> bool {
    unescaped(part).eq(user.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, want: Option<&str>) {
        let mut out = b"> ".to_vec();
        let parsed = Uri::of(uri.as_bytes());
        let is_aor = parsed.is_ok_and(|parsed| canonical(uri.as_bytes(), &parsed, &mut out));
        let got = String::from_utf8(out.split_off(2)).unwrap();
        assert_eq!(is_aor.then_some(got.as_str()), want, "{uri}");
        assert!(is_aor || got.is_empty(), "{uri}");
    }

    // C-17
    #[test]
    fn sip_and_sips_are_one_address() {
        check("sip:alice@example.com", Some("alice@example.com"));
        check("SIPS:alice@example.com", Some("alice@example.com"));
    }

    // RFC 3261 §10.3 step 5
    #[test]
    fn all_spellings_of_an_address_come_to_one() {
        check("sip:Alice@Example.COM", Some("Alice@example.com"));
        check(
            "sip:%61lice@example.com;transport=tcp?Subject=x",
            Some("alice@example.com"),
        );
        check(
            "sip:alice:secret@example.com:5070",
            Some("alice@example.com"),
        );
        check("sip:alice@example.com.", Some("alice@example.com"));
        check("sip:a%40b@example.com", Some("a@b@example.com"));
        check("sip:a;b=c?d@example.com", Some("a;b=c?d@example.com"));
        check(
            "sip:+49%2030;phone-context=x@example.com;user=phone",
            Some("+49 30;phone-context=x@example.com"),
        );
        check("sip:a%zz@example.com", Some("a%zz@example.com"));
        check("sip:alice@[2001:DB8::1]:5070", Some("alice@[2001:db8::1]"));
    }

    #[test]
    fn what_has_no_user_and_domain_is_no_address() {
        check("sip:example.com", None);
        check("sip:@example.com", None);
        check("sip::pw@example.com", None);
        check("sip:alice@", None);
        check("tel:+4930", None);
        check("alice@example.com", None);
        check("sip:alice@[2001:db8::1", None);
        check("", None);
    }
}
