//! The section `[tls]`, and whether what the rest says of TLS can be done.

use std::net::IpAddr;
use std::path::Path;

use super::file::{CertificateTable, TlsSection};
use super::reader::Section;
use super::role::existing;
use super::{Listener, Mistake, Role, keys, names};
use crate::edge::{self, Member, NextHop};
use crate::home;
use crate::id::Transport;
use crate::io::tls::{Pair, Require, Settings, TicketKey, Tls};
use crate::uri::Uri;

/// What a file says of TLS.
#[derive(Default)]
pub(super) struct Read {
    /// The files of the certificates, which can be used as they are; `None` for a
    /// node that does not speak TLS.
    pub(super) settings: Option<Settings>,
    /// Names of other edges that none of the certificates is for.
    pub(super) unproven: Vec<String>,
}

/// Reads it.
pub(super) fn read(
    root: &Section<'_>,
    listen: &[Listener],
    core: &[Listener],
    role: &Role,
    folder: &Path,
) -> Result<Read, Mistake> {
    let listens = listen
        .iter()
        .any(|(transport, _)| *transport == Transport::Tls);
    let opens = match role {
        Role::Edge(edge) => edge.home.iter().any(names::is_tls),
        Role::Home(_) => false,
    };
    let Some(section) = root.section("tls")? else {
        let is_core = core
            .iter()
            .any(|(transport, _)| *transport == Transport::Tls);
        return match (listens, opens) {
            (false, false) if is_core => {
                let text = "needs a \"tls:ADDRESS:PORT\" and the file a section [tls], since the \
                            `core` of this node has a \"tls:\" one";
                Err(root.mistake("listen", text))
            }
            (false, false) => Ok(Read::default()),
            (true, _) => {
                let text = "has a \"tls:\" listener, which needs a section [tls] with `certs`";
                Err(root.mistake("listen", text))
            }
            (false, true) => {
                let text = "needs a \"tls:ADDRESS:PORT\" too, since [edge] `home` is reached over \
                            TLS and answers must find the way back";
                Err(root.mistake("listen", text))
            }
        };
    };
    section.only::<TlsSection>()?;
    if !listens {
        let text = "needs a \"tls:ADDRESS:PORT\" too, since there is a section [tls]";
        return Err(root.mistake("listen", text));
    }
    let settings = settings(&section, role, folder)?;
    if settings.ca.is_none() && opens {
        let text = "is missing: the file of the roots that the home's certificate is checked with";
        return Err(section.mistake_at_head(&format!("`ca` {text}")));
    }
    let tls = Tls::load(&settings).map_err(|fault| {
        let key = if settings.ca.as_ref() == Some(&fault.path) {
            "ca"
        } else {
            "certs"
        };
        let text = format!("names {}, which {}", fault.path.display(), fault.why);
        section.mistake(key, &text)
    })?;
    let unproven = match role {
        Role::Edge(edge) => unproven(&section, edge, &tls)?,
        Role::Home(home) => {
            not_of_edges(&section, &home.settings, &tls)?;
            Vec::new()
        }
    };
    Ok(Read {
        settings: Some(settings),
        unproven,
    })
}

/// C-6, M-3: the names that the edge writes for phones over TLS, and that it
/// answers to, are names that it can prove. The error: not even its own.
fn unproven(
    section: &Section<'_>,
    edge: &edge::Settings,
    tls: &Tls,
) -> Result<Vec<String>, Mistake> {
    if !edge.member_names {
        return Ok(Vec::new());
    }
    let names = edge.members.iter().map(|member| {
        let full = format!("{}.{}", member.name, edge.cluster);
        (member, full)
    });
    let mut unproven = Vec::new();
    for (member, full) in names.filter(|(_, full)| !tls.shows(full)) {
        if member.name == edge.name {
            let text = format!(
                "needs a certificate for {full:?}, which `member_names` has phones resolve: as a \
                 DNS name, and as the URI \"sip:{full}\" where the certificate has such URIs"
            );
            return Err(section.mistake("certs", &text));
        }
        unproven.push(full);
    }
    Ok(unproven)
}

/// S-35: who shows the cluster's name is taken for an edge, by its homes too.
fn not_of_edges(section: &Section<'_>, home: &home::Settings, tls: &Tls) -> Result<(), Mistake> {
    let edges = home.edges.as_bytes();
    let cluster =
        Uri::of(edges).map(|uri| String::from_utf8_lossy(uri.host.of(edges)).into_owned());
    match cluster {
        // Each by itself: which of several is shown depends on who asks.
        Ok(cluster) if tls.shows_without(&cluster, &home.domain) => {
            let text = format!(
                "has a certificate for {cluster:?}, the edges' name, which is not for {:?}: whoever \
                 shows it is an edge, so the home needs one of its own",
                home.domain
            );
            Err(section.mistake("certs", &text))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn settings(section: &Section<'_>, role: &Role, folder: &Path) -> Result<Settings, Mistake> {
    let want = "a list such as [{ cert = \"e1.pem\", key = \"e1.key\" }]";
    let tables = section.tables("certs", want)?;
    let pairs = tables.iter().map(|table| {
        table.only::<CertificateTable>()?;
        Ok(Pair {
            cert: existing(table, "cert", "the certificate, a PEM file", folder)?,
            key: existing(table, "key", "its private key, a PEM file", folder)?,
        })
    });
    let pairs = pairs.collect::<Result<_, _>>()?;
    let want = "\"peers\", \"always\" or \"never\"";
    let require = section.parsed("require_client_cert", want, require)?;
    let require = require.unwrap_or_default();
    let hybrid_key_exchange = section.flag("hybrid_key_exchange", "true or false")?;
    let hybrid_key_exchange = hybrid_key_exchange.unwrap_or(true);
    let want = "the roots that are believed, a PEM file";
    let ca = section.text("ca", want)?;
    let ca = ca
        .map(|_| existing(section, "ca", want, folder))
        .transpose()?;
    if ca.is_none() && require != Require::Never {
        return Err(section.mistake_at_head(
            "`ca` is missing: the file of the roots that certificates of homes and edges are \
             checked with; without any, set `require_client_cert` to \"never\"",
        ));
    }
    Ok(Settings {
        pairs,
        ca,
        require,
        peers: peers(role),
        ticket_keys: ticket_keys(role),
        hybrid_key_exchange,
    })
}

/// What seals session tickets: the edges of a cluster take one another's.
fn ticket_keys(role: &Role) -> Vec<TicketKey> {
    match role {
        Role::Edge(edge) => {
            let keys = edge.token_keys.iter();
            keys.map(|key| TicketKey(keys::ticket_key(key))).collect()
        }
        Role::Home(_) => Vec::new(),
    }
}

/// Where homes and edges live.
fn peers(role: &Role) -> Vec<(IpAddr, u8)> {
    let host = |ip: IpAddr| (ip, if ip.is_ipv4() { 32 } else { 128 });
    match role {
        Role::Edge(edge) => {
            // Where a named one lives is not known yet; its certificate counts.
            let homes = edge.home.iter().filter_map(|home| match home {
                NextHop::At(home) => Some(home.addr.ip()),
                NextHop::Named(_) => None,
            });
            let members = edge.members.iter().flat_map(Member::ips);
            homes.chain(members).map(host).collect()
        }
        Role::Home(home) => {
            let edges = home.settings.edge_peers.iter();
            edges.map(|edge| edge.network).collect()
        }
    }
}

fn require(text: &str) -> Result<Require, String> {
    match text {
        "peers" => Ok(Require::Peers),
        "always" => Ok(Require::Always),
        "never" => Ok(Require::Never),
        _ => Err(format!(
            "is {text:?}, which should be \"peers\", \"always\" or \"never\""
        )),
    }
}
