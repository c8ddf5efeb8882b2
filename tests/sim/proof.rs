//! Digest answers of whoever has a password (RFC 7616).

use steadfast::digest::{self, Algorithm, DigestInput, Qop};

use super::text::Text;

/// The header line that answers a 401 or 407; `None` when it asks for what
/// nobody here has.
pub(crate) fn answer(
    challenge: &Text,
    (user, password): (&str, &str),
    method: &str,
    uri: &str,
) -> Option<String> {
    let (asks, gives) = if challenge.status() == 401 {
        ("www-authenticate", "Authorization")
    } else {
        ("proxy-authenticate", "Proxy-Authorization")
    };
    let mut lines = challenge.headers.iter();
    let (_, md5) = lines.find(|(name, value)| name == asks && value.contains("algorithm=MD5"))?;
    let nonce = md5.split("nonce=\"").nth(1)?.split('"').next()?;
    let algorithm = Algorithm::Md5;
    let ha1 = digest::ha1(
        algorithm,
        user.as_bytes(),
        b"example.com",
        password.as_bytes(),
    );
    let answered = DigestInput {
        nonce: nonce.as_bytes(),
        qop: Qop::Auth {
            nc: b"00000001",
            cnonce: b"xyz",
        },
        method: method.as_bytes(),
        uri: uri.as_bytes(),
    };
    let response = digest::response(algorithm, ha1.as_bytes(), &answered);
    let response = String::from_utf8_lossy(response.as_bytes()).into_owned();
    Some(format!(
        "{gives}: Digest username=\"{user}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"xyz\"\r\n"
    ))
}
