//! The domains of a certificate: whatever the bytes are, few names, in lower
//! case, each once.

use steadfast::io::tls::identity;
use steadfast::limits;

/// Reads the bytes as a certificate.
///
/// # Panics
/// When the names are too many, repeated or not in lower case.
pub(crate) fn check(der: &[u8]) {
    let Ok(names) = identity::identities(der) else {
        return;
    };
    assert!(names.len() <= limits::IDENTITIES_MAX);
    for (at, name) in names.iter().enumerate() {
        assert!(!name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(!names[..at].contains(name), "{name}");
    }
}
