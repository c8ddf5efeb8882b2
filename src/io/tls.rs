//! TLS for the connections of a node (RFC 5246, RFC 8446, RFC 5922).
//!
//! - `files`: what the configuration names; `identity`: which SIP domains a certificate is for;
//!   `trust`: whether to believe it; `validity`: how long it lasts; `tickets`: what sessions are
//!   resumed by; `session`: one connection, without buffers of its own, whose records
//!   `steadfast_record` opens and seals.
//! - What all connections share is one immutable `Tls`, made from the files that
//!   the configuration names. When the files change, a new one takes its place:
//!   connections that are up keep what they were made with.
//! - A resumed session shows no certificate again, so the one that is remembered
//!   is verified anew each time. A server asks a client whose certificate is not believed any more
//!   for the one it has now: the handshake becomes a full one. A client closes the connection, and
//!   forgets every ticket of that server, so that the next handshake is a full one.

mod files;
pub mod identity;
mod key_exchange;
mod session;
mod tickets;
mod trust;
mod validity;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Resumption,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use steadfast_record::KeyLog;

pub use identity::{Unreadable, identities};
pub use session::{Progress, Scratch, Session};
pub use tickets::TicketKey;
pub use validity::{Standing, Validity};

use crate::limits;
use files::{read_pair, read_roots, validity};
use key_exchange::provider;
use tickets::Tickets;
use trust::{Clients, Servers, Trust};

/// What the configuration says of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Certificate chains with their keys, PEM files. The first one is shown
    /// where a client asks for no name or an unknown one, and to servers.
    pub pairs: Vec<Pair>,
    /// The roots that are believed, a PEM file.
    pub ca: Option<PathBuf>,
    /// Who must show a certificate.
    pub require: Require,
    /// The networks of the homes and edges, address and prefix length, for
    /// `Require::Peers`.
    pub peers: Vec<(IpAddr, u8)>,
    /// What the edges of the cluster seal session tickets with, the first one for new ones; none:
    /// each process by itself.
    pub ticket_keys: Vec<TicketKey>,
    /// X25519MLKEM768 is taken from clients and offered to servers. It costs the accepting end
    /// what `perf/README.md` says.
    pub hybrid_key_exchange: bool,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate of the node first, then those above it.
    pub cert: PathBuf,
    /// The private key of the first one.
    pub key: PathBuf,
}

/// Which clients must show a certificate. One that is shown is always verified.
///
/// Nobody is trusted by this. It says who is turned away in the handshake, and
/// who a client is follows from `Tls::identities` alone, from what the certificate
/// names: one that shows none is a stranger, at whatever address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// Those at the addresses of homes and edges: a peer whose certificate is
    /// missing is refused with its reason, where it would be served as a stranger.
    /// So is a phone that shares such an address.
    #[default]
    Peers,
    /// All.
    Always,
    /// None, and none is asked for one.
    Never,
}

/// Why the files cannot be used: a sentence that begins with the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct BadFile {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// What the connections of a node share.
pub struct Tls {
    /// For clients that may show a certificate.
    server: Arc<ServerConfig>,
    /// For clients that must.
    strict: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// Those of the servers that this node connects to.
    client_tickets: Arc<dyn ClientSessionStore>,
    shown: Arc<Shown>,
    /// When each of them is valid, with its file.
    validities: Vec<(PathBuf, Validity)>,
    trust: Option<Arc<Trust>>,
    peers: Vec<(IpAddr, u8)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(settings: &Settings) -> Result<Self, BadFile> {
        let provider = Arc::new(provider(settings.hybrid_key_exchange));
        let pairs = settings.pairs.iter().map(|pair| read_pair(pair, &provider));
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
        let files = settings.pairs.iter().map(|pair| &pair.cert);
        let validities = files.zip(&pairs).map(|(file, pair)| validity(file, pair));
        let validities = validities.collect::<Result<_, _>>()?;
        let trust = match &settings.ca {
            Some(path) => Some(Arc::new(read_roots(path, &provider)?)),
            None => None,
        };
        let shown = Arc::new(Shown(pairs));
        let client_tickets = ClientSessionMemoryCache::new(limits::TICKETS_OF_SERVERS_MAX);
        let client_tickets: Arc<dyn ClientSessionStore> = Arc::new(client_tickets);
        let make = || -> Result<_, rustls::Error> {
            let always = settings.require == Require::Always;
            let verified_by = trust
                .as_ref()
                .filter(|_| settings.require != Require::Never);
            let keys = &settings.ticket_keys;
            let server = server(&provider, verified_by, always, &shown, keys)?;
            let strict = server_or_same(&provider, verified_by, &shown, keys, &server)?;
            let client = client(&provider, trust.as_ref(), &shown, &client_tickets)?;
            Ok((server, strict, client))
        };
        let (server, strict, client) = make().map_err(|error| BadFile {
            path: settings
                .pairs
                .first()
                .map(|pair| pair.cert.clone())
                .unwrap_or_default(),
            why: error.to_string(),
        })?;
        let peers = settings.peers.clone();
        Ok(Self {
            server,
            strict,
            client,
            client_tickets,
            shown,
            validities,
            trust,
            peers,
        })
    }

    /// When each of the certificates that this node shows is valid, with its file.
    #[must_use]
    pub fn validities(&self) -> &[(PathBuf, Validity)] {
        &self.validities
    }

    /// Whether one of the certificates that this node shows is for `name`.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        let names = self.shown.0.iter().flat_map(|(names, _)| names);
        names
            .into_iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether one of them is for `name` and not for `other` too.
    #[must_use]
    pub fn shows_without(&self, name: &str, other: &str) -> bool {
        let is_for = |names: &[Box<str>], wanted: &str| {
            names.iter().any(|known| known.eq_ignore_ascii_case(wanted))
        };
        let mut pairs = self.shown.0.iter();
        pairs.any(|(names, _)| is_for(names, name) && !is_for(names, other))
    }

    /// A session with a client at `ip`.
    ///
    /// # Errors
    /// When rustls refuses, which it does not.
    pub fn accept(&self, ip: IpAddr) -> Result<Session, rustls::Error> {
        let ip = ip.to_canonical();
        let is_peer = self
            .peers
            .iter()
            .any(|&(prefix, len)| crate::guard::is_within(ip, prefix.to_canonical(), len));
        let config = if is_peer { &self.strict } else { &self.server };
        Session::server(Arc::clone(config))
    }

    /// A session with a server that must prove `name`.
    ///
    /// # Errors
    /// When that is no name that anybody could prove.
    pub fn connect(&self, name: &str) -> Result<Session, rustls::Error> {
        let host = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_not_one| rustls::Error::General(format!("{name} is no host name")))?;
        Session::client(Arc::clone(&self.client), name)
    }

    /// The domains that the peer of an established session has proven; none
    /// when it has shown no certificate. Whatever the handshake has looked at,
    /// the chain is verified here and by what is believed here: a session may be
    /// a resumed one, or have begun before the files changed.
    ///
    /// # Errors
    /// When the session rests on a certificate that is not believed any more.
    pub(crate) fn identities(&self, session: &Session) -> Result<Vec<Box<str>>, rustls::Error> {
        let (Some((first, others)), Some(trust)) = (session.peer().split_first(), &self.trust)
        else {
            return Ok(Vec::new());
        };
        let found = trust.verify(first, others, UnixTime::now());
        if let (Err(_), Some(server)) = (&found, session.asked_for()) {
            // A ticket would only lead to the same certificate again, and not to a new one.
            self.client_tickets.remove_tls12_session(server);
            while self.client_tickets.take_tls13_ticket(server).is_some() {}
        }
        found
    }
}

/// What the log says of a session that failed.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library has words of its own for the rest"
)]
pub(crate) fn reason(error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::NoCertificatesPresented => "it shows no certificate".to_owned(),
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        rustls::Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "its certificate is not valid yet".to_owned()
        }
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "its certificate is signed by nobody in `ca`".to_owned()
        }
        rustls::Error::InvalidCertificate(Bad::InvalidPurpose) => {
            "its certificate is not meant for SIP, servers or clients".to_owned()
        }
        rustls::Error::InvalidCertificate(Bad::Other(other)) => other.0.to_string(),
        rustls::Error::AlertReceived(alert) => format!("it refused us: {alert:?}"),
        other => other.to_string(),
    }
}

/// Whether a failure says something about who may talk to whom, and not just
/// that somebody tried.
pub(crate) const fn is_about_identity(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::NoCertificatesPresented
            | rustls::Error::InvalidCertificate(_)
            | rustls::Error::AlertReceived(_)
    )
}

type Config<T> = Result<Arc<T>, rustls::Error>;

fn server(
    provider: &Arc<CryptoProvider>,
    trust: Option<&Arc<Trust>>,
    needed: bool,
    shown: &Arc<Shown>,
    keys: &[TicketKey],
) -> Config<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?;
    let builder = match trust {
        Some(trust) => builder.with_client_cert_verifier(Arc::new(Clients {
            trust: Arc::clone(trust),
            needed,
        })),
        None => builder.with_client_cert_verifier(Arc::new(NoClientAuth)),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(shown) as Arc<dyn ResolvesServerCert>);
    let own = aws_lc_rs::Ticketer::new()?;
    config.ticketer = Arc::new(Tickets::new(keys, own, needed, trust.map(Arc::clone)));
    // For the record layer, which goes on where the handshake ends.
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(KeyLog);
    Ok(Arc::new(config))
}

fn server_or_same(
    provider: &Arc<CryptoProvider>,
    trust: Option<&Arc<Trust>>,
    shown: &Arc<Shown>,
    keys: &[TicketKey],
    same: &Arc<ServerConfig>,
) -> Config<ServerConfig> {
    match trust {
        Some(_) => server(provider, trust, true, shown, keys),
        None => Ok(Arc::clone(same)),
    }
}

fn client(
    provider: &Arc<CryptoProvider>,
    trust: Option<&Arc<Trust>>,
    shown: &Arc<Shown>,
    tickets: &Arc<dyn ClientSessionStore>,
) -> Config<ClientConfig> {
    let none = || Trust::new(&[], provider.signature_verification_algorithms).map(Arc::new);
    let trust = match trust {
        Some(trust) => Arc::clone(trust),
        // Believes nobody, so nothing is ever opened.
        None => none().map_err(|error| rustls::Error::General(error.to_string()))?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Servers(trust)));
    let shown = Arc::clone(shown) as Arc<dyn ResolvesClientCert>;
    let mut config = builder.with_client_cert_resolver(shown);
    config.resumption = Resumption::store(Arc::clone(tickets));
    // For the record layer, which goes on where the handshake ends.
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(KeyLog);
    Ok(Arc::new(config))
}

/// The certificates of this node, each with the names it is for.
#[derive(Debug)]
struct Shown(Vec<(Vec<Box<str>>, Arc<CertifiedKey>)>);

impl Shown {
    fn first(&self) -> Option<Arc<CertifiedKey>> {
        self.0.first().map(|(_, pair)| Arc::clone(pair))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_for = |(names, _): &&(Vec<Box<str>>, _), wanted: &str| {
            names.iter().any(|name| name.eq_ignore_ascii_case(wanted))
        };
        let wanted = hello.server_name();
        let found = wanted.and_then(|wanted| self.0.iter().find(|pair| is_for(pair, wanted)));
        found
            .map(|(_, pair)| Arc::clone(pair))
            .or_else(|| self.first())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.first()
            .filter(|pair| pair.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
