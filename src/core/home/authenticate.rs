//! Digest authentication of a request (RFC 3261 §22, RFC 7616, RFC 8760).

use std::net::IpAddr;

use super::Settings;
use super::nonce::{self, NonceVerdict as Nonce};
use super::state::Home;
use crate::digest::{self, Algorithm, DigestInput, Qop};
use crate::guard;
use crate::proxy::{Net, Pass, Reply, Request, Step};
use crate::scan::auth::Digest;
use crate::scan::{Name, StartLine};
use crate::span::Span;

/// Which part of the home asks for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenger {
    /// The registrar: 401 (RFC 3261 §22.2).
    Registrar,
    /// The proxy: 407 (RFC 3261 §22.3).
    Proxy,
}

impl Challenger {
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

/// Who has to authenticate, and to whom.
#[derive(Clone, Copy)]
struct Claimant {
    /// The user that the request says it is from.
    user: Span,
    challenger: Challenger,
    /// The address of whoever made the request.
    source: IpAddr,
}

/// Why credentials do not authenticate a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AuthFailure {
    /// None for our realm, or none that could be checked.
    Missing,
    /// Checked, and wrong.
    Wrong,
    /// On an old nonce. The phone answers a new one without its user being asked.
    Stale,
    /// On a nonce that was sent to another source. Challenged like `Stale`.
    OtherSource,
    /// Right, but used before. Challenged like `Stale`.
    Replayed,
}

impl AuthFailure {
    /// Whether the new challenge says `stale=true`: the password may be right, so the phone
    /// answers without asking its user.
    const fn is_stale(self) -> bool {
        match self {
            Self::Missing | Self::Wrong => false,
            Self::Stale | Self::OtherSource | Self::Replayed => true,
        }
    }
}

impl Home {
    /// Passes when the request proves that it is `user`'s. Otherwise the reply is a
    /// challenge whose header lines are in the plan, or a refusal: of a user
    /// who is somebody else, and of whoever has failed too often from one source.
    pub(super) fn authenticate(
        &mut self,
        pass: &mut Pass<'_, '_>,
        user: Span,
        challenger: Challenger,
    ) -> Result<(), Reply> {
        let request = pass.request;
        let bytes = request.bytes;
        let source = Self::sender(request);
        let credentials = self.credentials(request, challenger);
        // Before the digest is computed, which is what a guesser has us do.
        if let Some(credentials) = &credentials
            && !pass
                .net
                .guard
                .may_log_in(pass.now, source, credentials.username.of(bytes))
        {
            pass.net.counters.limited += 1;
            pass.plan.add_retry_after(0, &mut pass.net.secrets);
            return Err(Reply::stateless(403, "Too Many Failed Logins"));
        }
        let claimant = Claimant {
            user,
            challenger,
            source,
        };
        let md5_alone = self.gets_md5_alone(pass.net, request, claimant, credentials.as_ref());
        let checked = credentials
            .as_ref()
            .map_or(Err(AuthFailure::Missing), |credentials| {
                self.check(&pass.step(), request, source, credentials)
            });
        let step = &mut pass.step();
        match checked {
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
            Err(failure) => {
                let user = credentials.map(|credentials| credentials.username);
                count_failure(step, failure, source, user.unwrap_or_default().of(bytes));
                let (_, mut reply) = challenger.challenge();
                if failure == AuthFailure::Wrong {
                    // A challenge as any other, in words that an operator finds.
                    reply.reason = "Wrong User Or Password";
                }
                self.challenge(pass, claimant, failure.is_stale(), md5_alone);
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

    /// Whether a phone that registers is challenged with MD5 alone, since it has
    /// not answered when it was challenged with several algorithms.
    fn gets_md5_alone(
        &mut self,
        net: &Net,
        request: &Request<'_>,
        claimant: Claimant,
        credentials: Option<&Digest>,
    ) -> bool {
        let Claimant {
            user,
            challenger,
            source,
        } = claimant;
        let algorithms = &self.settings.algorithms;
        if challenger == Challenger::Proxy
            || algorithms.len() < 2
            || !algorithms.contains(&Algorithm::Md5)
        {
            return false;
        }
        let (bytes, message) = (request.bytes, request.message);
        let call_id = message
            .first(Name::CallId)
            .map(|header| header.value.of(bytes));
        let network = guard::network(source.to_canonical()).1.to_be_bytes();
        let phone = [&network[..], user.of(bytes), call_id.unwrap_or_default()];
        let phone = net.secrets.hash(phone) | 1;
        let Some(credentials) = credentials else {
            return self.challenged.on_no_credentials(phone, message.cseq());
        };
        let algorithm = Algorithm::from_name(credentials.algorithm.map(|token| token.of(bytes)));
        let is_md5 = algorithm == Some(Algorithm::Md5);
        self.challenged.on_credentials(phone, is_md5)
    }

    /// The credentials for our realm in a request.
    pub(super) fn credentials(
        &self,
        request: &Request<'_>,
        challenger: Challenger,
    ) -> Option<Digest> {
        let realm = self.settings.domain.as_bytes();
        request
            .message
            .all(challenger.credentials())
            .filter_map(|header| Digest::parse(request.bytes, header.value).ok().flatten())
            .find(|digest| digest.realm.of(request.bytes) == realm)
    }

    /// Checks a nonce by each of the keys.
    fn check_nonce(&self, nonce: &[u8], source: IpAddr, unix: u64) -> Nonce {
        let Settings {
            nonce_key,
            older_nonce_keys,
            ..
        } = &self.settings;
        let keys = std::iter::once(nonce_key).chain(older_nonce_keys);
        let mut found = keys.map(|key| nonce::check(key, nonce, source, unix));
        let own = found.find(|found| *found != Nonce::Forged);
        own.unwrap_or(Nonce::Forged)
    }

    /// Checks nonce, digest and count of credentials; gives the user that they prove.
    fn check(
        &mut self,
        step: &Step<'_>,
        request: &Request<'_>,
        source: IpAddr,
        credentials: &Digest,
    ) -> Result<Span, AuthFailure> {
        let (bytes, message) = (request.bytes, request.message);
        let realm = self.settings.domain.as_bytes();
        let unix = step.net.wall.unix(step.now);
        let stamp = match self.check_nonce(credentials.nonce.of(bytes), source, unix) {
            Nonce::Fresh(stamp) => stamp,
            Nonce::Stale => return Err(AuthFailure::Stale),
            Nonce::OtherSource => return Err(AuthFailure::OtherSource),
            Nonce::Forged => return Err(AuthFailure::Missing),
        };
        let algorithm = Algorithm::from_name(credentials.algorithm.map(|token| token.of(bytes)))
            .ok_or(AuthFailure::Missing)?;
        let subscriber = self
            .subscribers
            .find(credentials.username.of(bytes), realm)
            .ok_or(AuthFailure::Wrong)?;
        let ha1 = subscriber.ha1(algorithm).ok_or(AuthFailure::Missing)?;
        let Some(StartLine::Request { method_token, .. }) = message.start() else {
            return Err(AuthFailure::Missing);
        };
        let nc = credentials.nc.map(|nc| nc.of(bytes)).unwrap_or_default();
        let qop = match (credentials.qop, credentials.cnonce) {
            (Some(qop), Some(cnonce)) if qop.of(bytes).eq_ignore_ascii_case(b"auth") => Qop::Auth {
                nc,
                cnonce: cnonce.of(bytes),
            },
            (None, _) => Qop::Absent,
            (Some(_), _) => return Err(AuthFailure::Missing),
        };
        let answered = DigestInput {
            nonce: credentials.nonce.of(bytes),
            qop,
            method: method_token.of(bytes),
            // as sent; proxies rewrite the Request-URI.
            uri: credentials.uri.of(bytes),
        };
        if !digest::verify(
            algorithm,
            ha1.as_bytes(),
            &answered,
            credentials.response.of(bytes),
        ) {
            return Err(AuthFailure::Wrong);
        }
        let count = match qop {
            Qop::Auth { .. } => nonce::count(nc).ok_or(AuthFailure::Missing)?,
            Qop::Absent => 1,
        };
        //
        if self.replay.admit(stamp, count, unix) {
            Ok(credentials.username)
        } else {
            Err(AuthFailure::Replayed)
        }
    }

    /// Writes one challenge per algorithm, strongest first, on one nonce. A
    /// subscriber whose password is known only as hashes is challenged with their algorithms
    /// alone; anybody else with all of them, so that a stranger does not learn who is a
    /// subscriber.
    fn challenge(&self, pass: &mut Pass<'_, '_>, claimant: Claimant, stale: bool, md5_alone: bool) {
        let Claimant {
            user,
            challenger,
            source,
        } = claimant;
        let (line, _) = challenger.challenge();
        let domain = &self.settings.domain;
        let user = user.of(pass.request.bytes);
        let known = self.subscribers.find(user, domain.as_bytes());
        let (salt, unix) = (pass.net.secrets.chance(), pass.net.wall.unix(pass.now));
        let is_known = |algorithm: Algorithm| {
            known.is_none_or(|subscriber| subscriber.ha1(algorithm).is_some())
        };
        let md5_alone = md5_alone && is_known(Algorithm::Md5);
        let out = &mut pass.plan.lines;
        let mut nonce = None;
        for algorithm in &self.settings.algorithms {
            if !is_known(*algorithm) || md5_alone && *algorithm != Algorithm::Md5 {
                continue;
            }
            for part in [line, domain, "\", nonce=\""] {
                out.extend_from_slice(part.as_bytes());
            }
            // One nonce for all of them, so that its count passes once whichever algorithm
            // the phone takes.
            match nonce.clone() {
                Some(written) => out.extend_from_within(written),
                None => {
                    let from = out.len();
                    nonce::mint(&self.settings.nonce_key, unix, salt, source, out);
                    nonce = Some(from..out.len());
                }
            }
            for part in ["\", algorithm=", algorithm.name(), ", qop=\"auth\""] {
                out.extend_from_slice(part.as_bytes());
            }
            if stale {
                out.extend_from_slice(b", stale=true");
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Counts a login that failed; a wrong password against its source and its user too.
fn count_failure(step: &mut Step<'_>, failure: AuthFailure, source: IpAddr, user: &[u8]) {
    match failure {
        AuthFailure::Missing | AuthFailure::Stale => {}
        AuthFailure::Wrong => {
            step.net.counters.failed_digests += 1;
            step.net.guard.failed_login(step.now, source, user);
        }
        AuthFailure::OtherSource => step.net.counters.foreign_nonces += 1,
        AuthFailure::Replayed => step.net.counters.replayed_digests += 1,
    }
}
