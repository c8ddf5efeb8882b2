//! Digest authentication of a request (RFC 3261 §22, RFC 7616, RFC 8760).

use std::net::IpAddr;

use super::nonce::{self, Verdict as Nonce};
use super::state::Home;
use crate::digest::{self, Algorithm, Answered, Qop};
use crate::guard;
use crate::proxy::{Net, Pass, Reply, Request, Step};
use crate::scan::auth::Digest;
use crate::scan::{Name, StartLine};
use crate::span::Span;

/// As what the home asks for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    /// The registrar: 401 (RFC 3261 §22.2).
    Registrar,
    /// The proxy: 407 (RFC 3261 §22.3).
    Proxy,
}

impl As {
    const fn credentials(self) -> Name {
        match self {
            Self::Registrar => Name::Authorization,
            Self::Proxy => Name::ProxyAuthorization,
        }
    }

    const fn challenge(self) -> (&'static str, Reply) {
        match self {
            Self::Registrar => (
                "WWW-Authenticate: Digest realm=\"",
                Reply::stateless(401, "Unauthorized"),
            ),
            Self::Proxy => (
                "Proxy-Authenticate: Digest realm=\"",
                Reply::stateless(407, "Proxy Authentication Required"),
            ),
        }
    }
}

/// Whom the home asks for credentials.
#[derive(Clone, Copy)]
struct Asked {
    /// The user that the request says it is from.
    user: Span,
    role: As,
    /// The address of whoever made the request.
    source: IpAddr,
}

/// Why credentials do not do.
enum AuthFailure {
    /// None for our realm, or none that could be checked.
    Missing,
    /// Checked, and wrong.
    Wrong,
    /// On an old nonce: the phone need not ask its user again.
    Stale,
    /// On a nonce that was sent to somebody else; the same holds.
    Elsewhere,
    /// Right, but used before; the same holds.
    Replayed,
}

impl Home {
    /// Passes when the request proves that it is `user`'s; else the challenge
    /// with its header lines in the plan. Who has failed too often
    /// from one source is not listened to for a while.
    pub(super) fn authenticate(
        &mut self,
        pass: &mut Pass<'_, '_>,
        user: Span,
        role: As,
    ) -> Result<(), Reply> {
        let request = pass.request;
        let bytes = request.bytes;
        let source = Self::sender(request);
        let given = self.given(request, role);
        // Before the digest is computed, which is what a guesser has us do.
        if let Some(given) = &given
            && !pass
                .net
                .guard
                .may_log_in(pass.now, source, given.username.of(bytes))
        {
            pass.net.counters.limited += 1;
            pass.plan.add_retry_after(0, &mut pass.net.secrets);
            return Err(Reply::stateless(403, "Too Many Failed Logins"));
        }
        let asked = Asked { user, role, source };
        let wants_md5 = self.wants_md5(pass.net, request, asked, given.as_ref());
        let proven = given.as_ref().map_or(Err(AuthFailure::Missing), |given| {
            self.prove(&pass.step(), request, source, given)
        });
        let step = pass.step();
        match proven {
            Ok(proven) => {
                if super::aor::is_user(user.of(bytes), proven.of(bytes)) {
                    if source == request.ingress.source.ip() {
                        // The answer to a nonce that was sent there came from there, so
                        // the address is no forged one.
                        step.net.guard.prove(step.now, source);
                    }
                    step.net.guard.logged_in(step.now, source, proven.of(bytes));
                    return Ok(());
                }
                Err(Reply::stateless(403, "Not Your Address Of Record"))
            }
            Err(unproven) => {
                let stale = match &unproven {
                    AuthFailure::Missing => false,
                    AuthFailure::Wrong => {
                        step.net.counters.failed_digests += 1;
                        let user = given.map(|given| given.username).unwrap_or_default();
                        step.net
                            .guard
                            .failed_login(step.now, source, user.of(bytes));
                        false
                    }
                    AuthFailure::Stale => true,
                    AuthFailure::Elsewhere => {
                        step.net.counters.foreign_nonces += 1;
                        true
                    }
                    AuthFailure::Replayed => {
                        step.net.counters.replayed_digests += 1;
                        true
                    }
                };
                let (_, mut reply) = role.challenge();
                if matches!(unproven, AuthFailure::Wrong) {
                    // A challenge as any other, in words that an operator finds.
                    reply.reason = "Wrong User Or Password";
                }
                self.challenge(pass, asked, stale, wants_md5);
                Err(reply)
            }
        }
    }

    /// The address of whoever made the request. Of one that came through an
    /// edge it is what the edge saw and wrote into the Via below its own.
    fn sender(request: &Request<'_>) -> IpAddr {
        let own = request.ingress.source.ip();
        if !request.ingress.principal.is_cluster_node() {
            return own;
        }
        request.sender_below().unwrap_or(own)
    }

    /// Whether the phone that registers is to be asked for MD5 alone, since it has
    /// not answered when it was asked for more.
    fn wants_md5(
        &mut self,
        net: &Net,
        request: &Request<'_>,
        asked: Asked,
        given: Option<&Digest>,
    ) -> bool {
        let Asked { user, role, source } = asked;
        let algorithms = &self.settings.algorithms;
        if role == As::Proxy || algorithms.len() < 2 || !algorithms.contains(&Algorithm::Md5) {
            return false;
        }
        let (bytes, message) = (request.bytes, request.message);
        let call_id = message
            .first(Name::CallId)
            .map(|header| header.value.of(bytes));
        let network = guard::network(source.to_canonical()).1.to_be_bytes();
        let phone = [&network[..], user.of(bytes), call_id.unwrap_or_default()];
        let phone = net.secrets.hash(phone) | 1;
        let Some(given) = given else {
            return self.challenged.asks_again(phone, message.cseq());
        };
        let algorithm = Algorithm::from_token(given.algorithm.map(|token| token.of(bytes)));
        let is_md5 = algorithm == Some(Algorithm::Md5);
        self.challenged.answered(phone, is_md5)
    }

    /// The credentials for our realm.
    fn given(&self, request: &Request<'_>, role: As) -> Option<Digest> {
        let realm = self.settings.domain.as_bytes();
        request
            .message
            .all(role.credentials())
            .filter_map(|header| Digest::parse(request.bytes, header.value).ok().flatten())
            .find(|digest| digest.realm.of(request.bytes) == realm)
    }

    /// The user that the credentials prove.
    fn prove(
        &mut self,
        step: &Step<'_>,
        request: &Request<'_>,
        source: IpAddr,
        given: &Digest,
    ) -> Result<Span, AuthFailure> {
        let (bytes, message) = (request.bytes, request.message);
        let realm = self.settings.domain.as_bytes();
        let unix = step.net.wall.unix(step.now);
        let stamp = match nonce::check(
            &self.settings.nonce_key,
            given.nonce.of(bytes),
            source,
            unix,
        ) {
            Nonce::Fresh(stamp) => stamp,
            Nonce::Stale => return Err(AuthFailure::Stale),
            Nonce::Elsewhere => return Err(AuthFailure::Elsewhere),
            Nonce::Forged => return Err(AuthFailure::Missing),
        };
        let algorithm = Algorithm::from_token(given.algorithm.map(|token| token.of(bytes)))
            .ok_or(AuthFailure::Missing)?;
        let subscriber = self
            .subscribers
            .find(given.username.of(bytes), realm)
            .ok_or(AuthFailure::Wrong)?;
        let ha1 = subscriber.ha1(algorithm).ok_or(AuthFailure::Missing)?;
        let Some(StartLine::Request { method_token, .. }) = message.start() else {
            return Err(AuthFailure::Missing);
        };
        let nc = given.nc.map(|nc| nc.of(bytes)).unwrap_or_default();
        let qop = match (given.qop, given.cnonce) {
            (Some(qop), Some(cnonce)) if qop.of(bytes).eq_ignore_ascii_case(b"auth") => Qop::Auth {
                nc,
                cnonce: cnonce.of(bytes),
            },
            (None, _) => Qop::Absent,
            (Some(_), _) => return Err(AuthFailure::Missing),
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
            return Err(AuthFailure::Wrong);
        }
        let count = match qop {
            Qop::Auth { .. } => nonce::count(nc).ok_or(AuthFailure::Missing)?,
            Qop::Absent => 1,
        };
        //
        if self.replay.admit(stamp, count, unix) {
            Ok(given.username)
        } else {
            Err(AuthFailure::Replayed)
        }
    }

    /// one challenge per algorithm, strongest first, on one nonce. Of a
    /// subscriber whose password is known only as hashes, those hashes alone
    /// are asked for; of anybody else, everything, so that a stranger does not
    /// learn who is there.
    fn challenge(&self, pass: &mut Pass<'_, '_>, asked: Asked, stale: bool, wants_md5: bool) {
        let Asked { user, role, source } = asked;
        let (line, _) = role.challenge();
        let domain = &self.settings.domain;
        let user = user.of(pass.request.bytes);
        let known = self.subscribers.find(user, domain.as_bytes());
        let (salt, unix) = (pass.net.secrets.chance(), pass.net.wall.unix(pass.now));
        let is_known = |algorithm: Algorithm| {
            known.is_none_or(|subscriber| subscriber.ha1(algorithm).is_some())
        };
        let is_alone = wants_md5 && is_known(Algorithm::Md5);
        let out = &mut pass.plan.lines;
        let mut minted = None;
        for algorithm in &self.settings.algorithms {
            if !is_known(*algorithm) || is_alone && *algorithm != Algorithm::Md5 {
                continue;
            }
            for part in [line, domain, "\", nonce=\""] {
                out.extend_from_slice(part.as_bytes());
            }
            // One nonce for all of them, so that it is counted once whichever of
            // them the phone takes.
            match minted.clone() {
                Some(nonce) => out.extend_from_within(nonce),
                None => {
                    let at = out.len();
                    nonce::mint(&self.settings.nonce_key, unix, salt, source, out);
                    minted = Some(at..out.len());
                }
            }
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
