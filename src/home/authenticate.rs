//! Digest authentication of a request (RFC 3261 §22, RFC 7616, RFC 8760).

use super::nonce::{self, Verdict as Nonce};
use super::policy::Home;
use crate::digest::{self, Algorithm, Answered, Qop};
use crate::proxy::{Net, Plan, Reply, Request};
use crate::scan::auth::Digest;
use crate::scan::{Name, StartLine};
use crate::span::Span;
use crate::time::Instant;

/// Why credentials do not do.
enum Unproven {
    /// None for our realm, or wrong ones.
    Missing,
    /// Right but on an old nonce: the phone need not ask its user again.
    Stale,
}

impl Home {
    /// Passes when the request proves that it is `user`'s; else the challenge
    /// with its header lines in the plan.
    pub(super) fn authenticate(
        &mut self,
        net: &mut Net,
        now: Instant,
        request: &Request<'_>,
        user: Span,
        plan: &mut Plan,
    ) -> Result<(), Reply> {
        match self.prove(net, now, request) {
            Ok(proven) => {
                let bytes = request.bytes;
                if super::aor::is_user(user.of(bytes), proven.of(bytes)) {
                    return Ok(());
                }
                Err(Reply::stateless(403, "Not Your Address Of Record"))
            }
            Err(unproven) => {
                let stale = matches!(unproven, Unproven::Stale);
                self.challenge(net, now, user.of(request.bytes), stale, plan);
                Err(Reply::stateless(401, "Unauthorized"))
            }
        }
    }

    /// The user that the credentials prove.
    fn prove(&mut self, net: &Net, now: Instant, request: &Request<'_>) -> Result<Span, Unproven> {
        let (bytes, message) = (request.bytes, request.message);
        let realm = self.settings.domain.as_bytes();
        let credentials = message
            .all(Name::Authorization)
            .filter_map(|header| Digest::parse(bytes, header.value).ok().flatten())
            .find(|digest| digest.realm.of(bytes) == realm);
        let Some(given) = credentials else {
            return Err(Unproven::Missing);
        };
        let unix = net.wall.unix(now);
        let stamp = match nonce::check(&self.settings.nonce_key, given.nonce.of(bytes), unix) {
            Nonce::Fresh(stamp) => stamp,
            Nonce::Stale => return Err(Unproven::Stale),
            Nonce::Forged => return Err(Unproven::Missing),
        };
        let algorithm = Algorithm::from_token(given.algorithm.map(|token| token.of(bytes)))
            .ok_or(Unproven::Missing)?;
        let subscriber = self
            .subscribers
            .find(given.username.of(bytes), realm)
            .ok_or(Unproven::Missing)?;
        let ha1 = subscriber.ha1(algorithm).ok_or(Unproven::Missing)?;
        let Some(StartLine::Request { method_token, .. }) = message.start() else {
            return Err(Unproven::Missing);
        };
        let nc = given.nc.map(|nc| nc.of(bytes)).unwrap_or_default();
        let qop = match (given.qop, given.cnonce) {
            (Some(qop), Some(cnonce)) if qop.of(bytes).eq_ignore_ascii_case(b"auth") => Qop::Auth {
                nc,
                cnonce: cnonce.of(bytes),
            },
            (None, _) => Qop::Absent,
            (Some(_), _) => return Err(Unproven::Missing),
        };
        let answered = Answered {
            nonce: given.nonce.of(bytes),
            qop,
            method: method_token.of(bytes),
            // as sent; proxies rewrite the Request-URI.
            uri: given.uri.of(bytes),
        };
        if !digest::verify(
            algorithm,
            ha1.as_bytes(),
            &answered,
            given.response.of(bytes),
        ) {
            return Err(Unproven::Missing);
        }
        let count = match qop {
            Qop::Auth { .. } => nonce::count(nc).ok_or(Unproven::Missing)?,
            Qop::Absent => 1,
        };
        //
        if self.replay.admit(stamp, count, unix) {
            Ok(given.username)
        } else {
            Err(Unproven::Stale)
        }
    }

    /// one challenge per algorithm, strongest first, on one nonce. Of a
    /// subscriber whose password is known only as hashes, those hashes alone
    /// are asked for; of anybody else, everything, so that a stranger does not
    /// learn who is there.
    fn challenge(
        &mut self,
        net: &mut Net,
        now: Instant,
        user: &[u8],
        stale: bool,
        plan: &mut Plan,
    ) {
        let known = self.subscribers.find(user, self.settings.domain.as_bytes());
        self.text.clear();
        let (salt, unix) = (net.chance(), net.wall.unix(now));
        nonce::mint(&self.settings.nonce_key, unix, salt, &mut self.text);
        for algorithm in &self.settings.algorithms {
            if known.is_some_and(|subscriber| subscriber.ha1(*algorithm).is_none()) {
                continue;
            }
            let out = &mut plan.lines;
            for part in [
                "WWW-Authenticate: Digest realm=\"",
                &self.settings.domain,
                "\", nonce=\"",
            ] {
                out.extend_from_slice(part.as_bytes());
            }
            out.extend_from_slice(&self.text);
            for part in ["\", algorithm=", algorithm.token(), ", qop=\"auth\""] {
                out.extend_from_slice(part.as_bytes());
            }
            if stale {
                out.extend_from_slice(b", stale=true");
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}
