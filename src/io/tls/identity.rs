//! Which SIP domains a certificate is for (RFC 5922 §7.1). Pure: the bytes of
//! one certificate in, names out. Whether anybody vouches for the certificate
//! is decided elsewhere (`trust`).
//!
//! - URIs of the subject alternative name with the scheme `sip` and no user
//!   name the domains. A URI with a user is a person's, `sips:` and every other
//!   scheme is nobody's here.
//! - Only where there is no such URI do the DNS names count, and the common
//!   name only where there is no subject alternative name at all.
//! - Names are taken as they are: `*.example.com` is the name of a host called
//!   `*` and matches nothing else (RFC 5922 §7.2).

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::limits;
use crate::uri::{Scheme, Uri};

/// The bytes are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its certificate cannot be read")]
pub struct Unreadable;

/// The domains in the certificate, in lower case and in its order, each once;
/// none when it names none. At most `limits::IDENTITIES_MAX`.
///
/// # Errors
/// When the bytes are no X.509 certificate in DER, or name their subject twice.
pub fn identities(der: &[u8]) -> Result<Vec<Box<str>>, Unreadable> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_not_one| Unreadable)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_twice_or_broken| Unreadable)?;
    let mut found = Vec::new();
    let Some(names) = names else {
        let common = certificate.subject().iter_common_name();
        for name in common.filter_map(|name| name.as_str().ok()) {
            add(&mut found, name);
        }
        return Ok(found);
    };
    let names = &names.value.general_names;
    for name in names {
        if let GeneralName::URI(uri) = name
            && let Some(host) = domain_of(uri)
        {
            add(&mut found, host);
        }
    }
    if found.is_empty() {
        for name in names {
            if let GeneralName::DNSName(name) = name {
                add(&mut found, name);
            }
        }
    }
    Ok(found)
}

/// The host of a `sip` URI without a user.
fn domain_of(uri: &str) -> Option<&str> {
    let bytes = uri.as_bytes();
    if bytes.len() > limits::IDENTITY_LEN_MAX {
        return None;
    }
    let parsed = Uri::of(bytes).ok()?;
    if parsed.scheme != Scheme::Sip || parsed.userinfo.is_some() {
        return None;
    }
    std::str::from_utf8(parsed.host.of(bytes)).ok()
}

fn add(found: &mut Vec<Box<str>>, name: &str) {
    let is_new = || !found.iter().any(|known| known.eq_ignore_ascii_case(name));
    let fits = !name.is_empty() && name.len() <= limits::IDENTITY_LEN_MAX;
    if fits && found.len() < limits::IDENTITIES_MAX && is_new() {
        found.push(name.to_ascii_lowercase().into());
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn der(common: &str, names: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.split_once(':') {
                Some(("dns", name)) => SanType::DnsName(name.try_into().unwrap()),
                Some(("ip", ip)) => SanType::IpAddress(ip.parse().unwrap()),
                _ => SanType::URI((*name).try_into().unwrap()),
            })
            .collect();
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[track_caller]
    fn check(names: &[&str], want: &[&str]) {
        let found = identities(&der("cn.example.com", names)).unwrap();
        let found: Vec<&str> = found.iter().map(|name| &**name).collect();
        assert_eq!(found, want, "{names:?}");
    }

    #[test]
    fn sip_uris_without_a_user_name_the_domains_and_hide_the_others() {
        // C-1
        check(&["sip:Example.com"], &["example.com"]);
        check(&["dns:a.example", "sip:b.example"], &["b.example"]);
        check(
            &["sip:a.example", "sip:b.example:5061;x=y", "SIP:A.example"],
            &["a.example", "b.example"],
        );
        check(&["sip:192.0.2.1"], &["192.0.2.1"]);
    }

    #[test]
    fn other_uris_are_nobody_and_leave_the_dns_names() {
        // C-1
        check(
            &[
                "sip:joe@a.example",
                "sips:b.example",
                "https://c.example",
                "dns:D.example",
            ],
            &["d.example"],
        );
        check(&["sip:joe@a.example", "ip:192.0.2.1"], &[]);
        // C-2: a name like any other.
        check(&["dns:*.example.com"], &["*.example.com"]);
    }

    #[test]
    fn the_common_name_counts_only_where_it_stands_alone() {
        // C-1
        check(&[], &["cn.example.com"]);
        check(&["ip:192.0.2.1"], &[]);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let whole = der("a.example", &["sip:a.example"]);
        assert_eq!(identities(b""), Err(Unreadable));
        for cut in 0..whole.len() {
            assert_eq!(identities(&whole[..cut]), Err(Unreadable), "{cut}");
        }
        // Whatever a flipped bit makes of it, it ends.
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(names) = identities(&flipped) {
                assert!(names.len() <= limits::IDENTITIES_MAX);
            }
        }
    }

    #[test]
    fn no_certificate_fills_the_tables() {
        let names: Vec<String> = (0..2 * limits::IDENTITIES_MAX)
            .map(|n| format!("sip:n{n}.example"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = identities(&der("cn", &names)).unwrap();
        assert_eq!(found.len(), limits::IDENTITIES_MAX);
    }
}
