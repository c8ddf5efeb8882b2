//! Answers to digest challenges (RFC 3261 §22, RFC 7616 §3.4, RFC 8760): the
//! first algorithm offered that is known here, with its nonce used, and its uses counted,
//! until the other side names a new one.

use super::compose::{append, append_fmt};
use super::request::ClientRequest;
use crate::digest::{self, Algorithm, DigestInput, Qop};
use crate::proxy::Response;
use crate::scan::Name;
use crate::scan::auth::Digest;

/// A user with a password, and the challenges that were last received.
#[derive(Debug)]
pub(super) struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
    known: Vec<Challenge>,
}

/// Who asks for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Challenger {
    /// The end of the way (401).
    Server,
    /// A proxy on it (407).
    Proxy,
}

#[derive(Debug)]
struct Challenge {
    challenger: Challenger,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    opaque: Option<Vec<u8>>,
    algorithm: Algorithm,
    /// `qop=auth` was offered.
    auth: bool,
    /// Times the nonce was used.
    count: u32,
}

/// What a challenge brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// Nothing that can be answered.
    Nothing,
    /// A nonce. `stale`: what we sent was right, only its nonce too old.
    Fresh {
        /// The other side says so.
        stale: bool,
    },
}

impl Credentials {
    pub(super) fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.as_bytes().to_vec(),
            password: password.as_bytes().to_vec(),
            known: Vec::new(),
        }
    }

    /// Remembers what a 401 or 407 asks for.
    pub(super) fn learn(&mut self, response: &Response<'_>) -> Learned {
        let mut learned = Learned::Nothing;
        for (challenger, name) in [
            (Challenger::Server, Name::WwwAuthenticate),
            (Challenger::Proxy, Name::ProxyAuthenticate),
        ] {
            let mut realms: Vec<Vec<u8>> = Vec::new();
            for header in response.message.all(name) {
                let Ok(Some(offer)) = Digest::parse(response.bytes, header.value) else {
                    continue;
                };
                let Some(challenge) = Challenge::read(response.bytes, challenger, &offer) else {
                    continue;
                };
                // The topmost is the one the server likes best (RFC 8760 §2.4).
                if realms.contains(&challenge.realm) {
                    continue;
                }
                realms.push(challenge.realm.clone());
                let before = matches!(learned, Learned::Fresh { stale: true });
                learned = Learned::Fresh {
                    stale: offer.stale || before,
                };
                self.known.retain(|known| {
                    (known.challenger, &known.realm) != (challenge.challenger, &challenge.realm)
                });
                self.known.push(challenge);
            }
        }
        let excess = self.known.len().saturating_sub(REALMS_KEPT);
        self.known.drain(..excess);
        learned
    }

    /// Appends the credentials that belong into `outgoing`.
    pub(super) fn write(&mut self, outgoing: &ClientRequest, cnonce: u64, out: &mut Vec<u8>) {
        let (user, password) = (&self.user, &self.password);
        for challenge in &mut self.known {
            // A registrar's nonce is good for every REGISTER; elsewhere a
            // server is answered only when it has asked.
            let wanted = challenge.challenger == Challenger::Proxy
                || outgoing.method == "REGISTER"
                || outgoing.challenges > 0;
            if wanted {
                challenge.answer(user, password, outgoing, cnonce, out);
            }
        }
    }
}

/// Realms whose nonces are kept; the oldest goes.
const REALMS_KEPT: usize = 8;

impl Challenge {
    fn read(bytes: &[u8], challenger: Challenger, offer: &Digest) -> Option<Self> {
        let algorithm = Algorithm::from_name(offer.algorithm.map(|span| span.of(bytes)))?;
        let qops = offer.qop.map(|span| span.of(bytes));
        let auth = qops.is_some_and(|qops| {
            qops.split(|&byte| byte == b',')
                .any(|qop| qop.trim_ascii().eq_ignore_ascii_case(b"auth"))
        });
        // `auth-int` alone is not supported.
        if qops.is_some() && !auth {
            return None;
        }
        Some(Self {
            challenger,
            realm: offer.realm.of(bytes).to_vec(),
            nonce: offer.nonce.of(bytes).to_vec(),
            opaque: offer.opaque.map(|span| span.of(bytes).to_vec()),
            algorithm,
            auth,
            count: 0,
        })
    }

    fn answer(
        &mut self,
        user: &[u8],
        password: &[u8],
        outgoing: &ClientRequest,
        cnonce: u64,
        out: &mut Vec<u8>,
    ) {
        self.count += 1;
        let nc = format!("{:08x}", self.count);
        let cnonce = format!("{cnonce:016x}");
        let ha1 = digest::ha1(self.algorithm, user, &self.realm, password);
        let qop = if self.auth {
            Qop::Auth {
                nc: nc.as_bytes(),
                cnonce: cnonce.as_bytes(),
            }
        } else {
            Qop::Absent
        };
        let answered = DigestInput {
            nonce: &self.nonce,
            qop,
            method: outgoing.method.as_bytes(),
            uri: &outgoing.uri,
        };
        let response = digest::response(self.algorithm, ha1.as_bytes(), &answered);
        let name: &[u8] = match self.challenger {
            Challenger::Server => b"Authorization",
            Challenger::Proxy => b"Proxy-Authorization",
        };
        append(out, &[name, b": Digest username=\"", user]);
        append(out, &[b"\", realm=\"", &self.realm]);
        append(out, &[b"\", nonce=\"", &self.nonce]);
        append(out, &[b"\", uri=\"", &outgoing.uri]);
        append(out, &[b"\", response=\"", response.as_bytes()]);
        append_fmt(out, format_args!("\", algorithm={}", self.algorithm.name()));
        if self.auth {
            append_fmt(
                out,
                format_args!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\""),
            );
        }
        if let Some(opaque) = &self.opaque {
            append(out, &[b", opaque=\"", opaque, b"\""]);
        }
        out.extend_from_slice(b"\r\n");
    }
}
