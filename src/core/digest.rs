//! Digest access authentication: RFC 7616 with the three algorithms that
//! RFC 8760 gives SIP, `qop=auth` and the older form without qop.
//!
//! Not here: the session variants (`-sess`), `auth-int` and user name hashing,
//! none of which is offered; parsing of credentials; nonces.
//!
//! Digests are lower-case hex in fixed arrays, nothing allocates, and [`verify`]
//! takes as long for a near miss as for a wild one.

use data_encoding::HEXLOWER;

/// A digest algorithm of RFC 8760.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5, what most phones speak.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256: SHA-512 with its own start values, cut to 256 bits.
    Sha512_256,
}

impl Algorithm {
    /// The order of the challenges (RFC 8760 §2.3: most preferred on top).
    pub(crate) const STRONGEST_FIRST: [Self; 3] = [Self::Sha512_256, Self::Sha256, Self::Md5];

    /// The value of the `algorithm` parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// The algorithm of an `algorithm` parameter in any case; without the
    /// parameter it is MD5 (RFC 7616 §3.3). `None` for one not offered.
    #[must_use]
    pub fn from_name(token: Option<&[u8]>) -> Option<Self> {
        let Some(token) = token else {
            return Some(Self::Md5);
        };
        Self::STRONGEST_FIRST
            .into_iter()
            .find(|a| token.eq_ignore_ascii_case(a.name().as_bytes()))
    }

    /// Length of its digests, in bytes; the hex is twice as long.
    #[must_use]
    pub(crate) const fn digest_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 | Self::Sha512_256 => 32,
        }
    }

    /// The digest of the parts with a colon between each.
    fn hash(self, parts: &[&[u8]]) -> Hex {
        match self {
            Self::Md5 => hash::<md5::Md5>(parts),
            Self::Sha256 => hash::<sha2::Sha256>(parts),
            Self::Sha512_256 => hash::<sha2::Sha512_256>(parts),
        }
    }
}

/// A digest in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex {
    bytes: [u8; 64],
    len: u8,
}

impl Hex {
    /// The hex of a digest; of its first 32 bytes when it is longer.
    #[must_use]
    pub fn of(digest: &[u8]) -> Self {
        let digest = digest.get(..32).unwrap_or(digest);
        let mut bytes = [0; 64];
        let len = digest.len() * 2;
        HEXLOWER.encode_mut(digest, &mut bytes[..len]);
        Self {
            bytes,
            len: u8::try_from(len).unwrap_or(64),
        }
    }

    /// The hex digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Shows no digits: an HA1 is as good as the password.
impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hex({} digits)", self.len)
    }
}

/// What the phone's answer covers, from its credentials and the request.
#[derive(Clone, Copy, Debug)]
pub struct DigestInput<'a> {
    /// The nonce, as sent.
    pub nonce: &'a [u8],
    /// The quality of protection.
    pub qop: Qop<'a>,
    /// The method of the request.
    pub method: &'a [u8],
    /// The `uri` parameter, as sent: proxies rewrite the Request-URI.
    pub uri: &'a [u8],
}

/// The quality of protection of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Qop<'a> {
    /// `qop=auth`.
    Auth {
        /// The eight digits of the nonce count, as sent.
        nc: &'a [u8],
        /// The phone's own nonce, as sent.
        cnonce: &'a [u8],
    },
    /// No qop: the form of RFC 2069, which counts nothing.
    Absent,
}

/// The hash that stands for a subscriber's password in one realm
/// (RFC 7616 §3.4.2). All three are the bytes inside the quotes.
#[must_use]
pub fn ha1(algorithm: Algorithm, user: &[u8], realm: &[u8], password: &[u8]) -> Hex {
    algorithm.hash(&[user, realm, password])
}

/// The response that whoever knows `ha1` (in hex) gives (RFC 7616 §3.4.1).
#[must_use]
pub fn response(algorithm: Algorithm, ha1: &[u8], answered: &DigestInput<'_>) -> Hex {
    let ha2 = algorithm.hash(&[answered.method, answered.uri]);
    match answered.qop {
        Qop::Auth { nc, cnonce } => {
            algorithm.hash(&[ha1, answered.nonce, nc, cnonce, b"auth", ha2.as_bytes()])
        }
        Qop::Absent => algorithm.hash(&[ha1, answered.nonce, ha2.as_bytes()]),
    }
}

/// True when `claimed`, in hex of either case, is the response to `answered`.
#[must_use]
pub fn verify(
    algorithm: Algorithm,
    ha1: &[u8],
    answered: &DigestInput<'_>,
    claimed: &[u8],
) -> bool {
    let want = response(algorithm, ha1, answered);
    let want = want.as_bytes();
    if claimed.len() != want.len() {
        return false;
    }
    let differ = want.iter().zip(claimed).fold(0, |differ, (a, b)| {
        // Hidden from the optimiser, which may otherwise leave at the first difference.
        std::hint::black_box(differ | (a ^ b.to_ascii_lowercase()))
    });
    differ == 0
}

fn hash<D: sha2::Digest>(parts: &[&[u8]]) -> Hex {
    let mut digest = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    Hex::of(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &[u8] = b"Mufasa";
    const REALM: &[u8] = b"http-auth@example.org";
    const PASSWORD: &[u8] = b"Circle of Life";
    const NONCE: &[u8] = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const CNONCE: &[u8] = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn answered(qop: Qop<'static>) -> DigestInput<'static> {
        DigestInput {
            nonce: NONCE,
            qop,
            method: b"GET",
            uri: b"/dir/index.html",
        }
    }

    const AUTH: Qop<'static> = Qop::Auth {
        nc: b"00000001",
        cnonce: CNONCE,
    };

    //
    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        #[track_caller]
        fn check(algorithm: Algorithm, qop: Qop<'static>, want: &str) {
            let ha1 = ha1(algorithm, USER, REALM, PASSWORD);
            let got = response(algorithm, ha1.as_bytes(), &answered(qop));
            assert_eq!(std::str::from_utf8(got.as_bytes()).unwrap(), want);
        }
        check(Algorithm::Md5, AUTH, "8ca523f5e9506fed4657c9700eebdbec");
        check(
            Algorithm::Sha256,
            AUTH,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        );
        // The rest is not in the RFC, and comes from OpenSSL by way of Python's hashlib.
        check(
            Algorithm::Sha512_256,
            AUTH,
            "430d05014cecc49cab6fbe03176d41a1da86cbfe24a16580e22aaad928d960d0",
        );
        check(
            Algorithm::Md5,
            Qop::Absent,
            "7b2cc3b30e75b4777ea31027084363fd",
        );
        check(
            Algorithm::Sha256,
            Qop::Absent,
            "a1306b0595a6c7fe96c448631fb5cfbd5107bd1fe1da729d978dd7446b812363",
        );
    }

    #[test]
    fn a_password_becomes_its_ha1() {
        #[track_caller]
        fn check(algorithm: Algorithm, want: &str) {
            assert_eq!(
                ha1(algorithm, USER, REALM, PASSWORD).as_bytes(),
                want.as_bytes()
            );
            assert_eq!(want.len(), algorithm.digest_len() * 2);
        }
        check(Algorithm::Md5, "3d78807defe7de2157e2b0b6573a855f");
        check(
            Algorithm::Sha256,
            "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232",
        );
        check(
            Algorithm::Sha512_256,
            "fb174f5c3c7802721517cae13b98e2b8dae2e0118cb705d94ee29946319204ce",
        );
    }

    // the response covers the count, the cnonce, the method and the URI.
    #[test]
    fn any_change_spoils_the_response() {
        let ha1 = ha1(Algorithm::Md5, USER, REALM, PASSWORD);
        let right = b"8ca523f5e9506fed4657c9700eebdbec";
        let check = |answered: DigestInput<'_>, claimed: &[u8], want: bool| {
            assert_eq!(
                verify(Algorithm::Md5, ha1.as_bytes(), &answered, claimed),
                want,
                "{answered:?}"
            );
        };
        let base = answered(AUTH);
        check(base, right, true);
        check(base, b"8CA523F5E9506FED4657C9700EEBDBEC", true);
        check(base, b"8ca523f5e9506fed4657c9700eebdbed", false);
        check(base, b"0ca523f5e9506fed4657c9700eebdbec", false);
        check(base, &right[..31], false);
        check(base, b"", false);
        check(
            DigestInput {
                qop: Qop::Absent,
                ..base
            },
            right,
            false,
        );
        check(
            DigestInput {
                qop: Qop::Auth {
                    nc: b"00000002",
                    cnonce: CNONCE,
                },
                ..base
            },
            right,
            false,
        );
        check(
            DigestInput {
                qop: Qop::Auth {
                    nc: b"00000001",
                    cnonce: b"x",
                },
                ..base
            },
            right,
            false,
        );
        check(
            DigestInput {
                method: b"PUT",
                ..base
            },
            right,
            false,
        );
        check(
            DigestInput {
                uri: b"/dir/index.htm",
                ..base
            },
            right,
            false,
        );
        check(
            DigestInput {
                nonce: b"other",
                ..base
            },
            right,
            false,
        );
    }

    //
    #[test]
    fn the_strongest_algorithm_comes_first() {
        let order: Vec<_> = Algorithm::STRONGEST_FIRST
            .iter()
            .map(|a| a.name())
            .collect();
        assert_eq!(order, ["SHA-512-256", "SHA-256", "MD5"]);
    }

    #[test]
    fn an_algorithm_is_known_by_its_token() {
        #[track_caller]
        fn check(token: Option<&str>, want: Option<Algorithm>) {
            assert_eq!(Algorithm::from_name(token.map(str::as_bytes)), want);
        }
        check(None, Some(Algorithm::Md5));
        check(Some("md5"), Some(Algorithm::Md5));
        check(Some("Sha-256"), Some(Algorithm::Sha256));
        check(Some("SHA-512-256"), Some(Algorithm::Sha512_256));
        check(Some("SHA-512"), None);
        check(Some("MD5-sess"), None);
        check(Some("AKAv1-MD5"), None);
        check(Some(""), None);
    }

    #[test]
    fn no_digits_reach_a_log() {
        assert_eq!(
            format!("{:?}", ha1(Algorithm::Md5, USER, REALM, PASSWORD)),
            "Hex(32 digits)"
        );
    }
}
