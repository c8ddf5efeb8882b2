//! The addresses of the homes: configured, or what the DNS gives for configured URIs
//! (RFC 3263). Requests of phones go there, and what comes from there is a home's.

use std::net::{IpAddr, SocketAddr};

use super::{ConfiguredHop, NextHop};
use crate::carry::{Carried, Reader, Unreadable, Writer};
use crate::id::Transport;
use crate::limits;
use crate::locate::LookupId;
use crate::proxy::{Net, Plan, Step, Target};
use crate::send::{self, Clear, End, HostRule, KeepaliveRole, Ports};
use crate::time::Instant;
use crate::uri::{Uri, same_host};

/// The homes, in order of preference.
pub(super) struct Homes {
    list: Vec<Home>,
    /// Their addresses, as far as they are known.
    located: Vec<(Transport, SocketAddr)>,
    /// Their addresses before the last update.
    before: Vec<(Transport, SocketAddr)>,
    /// The addresses of the homes before these, which are still homes until the DNS has
    /// answered for every name.
    former: Vec<(Transport, SocketAddr)>,
    /// How they are recognised without TLS.
    rules: Vec<HostRule>,
    /// The first of their core ports.
    core_port: u16,
    /// The DNS has answered for every name.
    are_known: bool,
    any_without_tls: bool,
}

enum Home {
    At(ConfiguredHop),
    Named {
        text: String,
        uri: Uri,
        /// Its id at the locator, once it has one.
        name: Option<LookupId>,
    },
}

impl Homes {
    /// The homes of a configuration. A text that is no URI is left out.
    pub(super) fn new(settings: &[NextHop], core_port: u16) -> Self {
        Self {
            list: list(settings),
            located: Vec::new(),
            before: Vec::new(),
            former: Vec::new(),
            rules: Vec::new(),
            core_port,
            any_without_tls: false,
            are_known: false,
        }
    }

    /// Takes other homes instead, whose addresses `refresh` finds: the same machine may have
    /// got a name, which the DNS has not answered for, and calls run by it.
    pub(super) fn replace(&mut self, settings: &[NextHop], core_port: u16) {
        self.list = list(settings);
        // Those of before the last change are among them if they still count. They are the last.
        self.former.clone_from(&self.located);
        self.former.truncate(limits::FORMER_HOMES_MAX);
        self.core_port = core_port;
    }

    /// Has the DNS asked again for names whose answers end, before a request needs them.
    /// `update_addresses` takes over what it has said.
    pub(super) fn refresh(&mut self, step: &mut Step<'_>) {
        for home in &mut self.list {
            if let Home::Named { text, uri, name } = home {
                *name = step
                    .net
                    .servers
                    .locator
                    .name(step.now, text.as_bytes(), uri);
                if let Some(name) = *name {
                    step.net.prefetch(step.now, name);
                }
            }
        }
    }

    /// Takes over the addresses that the names have by now, and watches those over UDP.
    pub(super) fn update_addresses(&mut self, step: &mut Step<'_>) {
        // The addresses of before show below which of them are new, and to be watched.
        std::mem::swap(&mut self.located, &mut self.before);
        self.located.clear();
        self.are_known = true;
        self.any_without_tls = false;
        for home in &self.list {
            match home {
                Home::At(hop) => self.located.push((hop.transport, hop.addr)),
                Home::Named { text, uri, name } => {
                    let servers = name.map(|name| step.net.servers.locator.stale(step.now, name));
                    let servers = servers.unwrap_or_default();
                    self.are_known &= !servers.is_empty();
                    let is_tls = send::Hop::transport_of(text.as_bytes(), uri);
                    self.any_without_tls |= servers.is_empty() && is_tls != Some(Transport::Tls);
                    let servers = servers.iter();
                    self.located
                        .extend(servers.map(|server| (server.transport, server.addr)));
                }
            }
        }
        if self.are_known {
            self.former.clear();
        }
        for former in &self.former {
            if !self.located.contains(former) {
                self.located.push(*former);
            }
        }
        let ips = self.located.iter().map(|(_, addr)| addr.ip());
        step.net.flows.set_homes(ips);
        let (located, core_port) = (self.located.iter(), self.core_port);
        self.rules.clear();
        self.rules
            .extend(located.map(|&(transport, addr)| rule(transport, addr, core_port)));
        self.any_without_tls |= self.rules.iter().any(|rule| rule.clear != Clear::No);
        for &(transport, addr) in &self.located {
            if transport == Transport::Udp
                && !self.before.contains(&(transport, addr))
                && let Some(flow) = step.net.reach(send::Hop::to(transport, addr))
            {
                step.net
                    .liveness
                    .peers
                    .watch(step.now, flow, KeepaliveRole::None);
            }
        }
    }

    /// Where they are found, as far as is known.
    pub(super) fn located(&self) -> &[(Transport, SocketAddr)] {
        &self.located
    }

    /// Addresses of homes where nothing has failed since they last worked.
    pub(super) fn in_reach(&self, net: &Net) -> usize {
        let located = self.located.iter();
        let health = &net.liveness.health;
        located
            .filter(|(transport, addr)| health.is_closed(*transport, *addr))
            .count()
    }

    /// True for the address of a home.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        let mut located = self.located.iter();
        located.any(|(_, addr)| addr.ip().to_canonical() == ip)
    }

    /// True where a home listens, as far as is known, and for the ports of SIP at
    /// its address.
    pub(super) fn listens(&self, ip: IpAddr, port: u16) -> bool {
        let is_sip = [Transport::Udp.default_port(), Transport::Tls.default_port()].contains(&port);
        let mut located = self.located.iter();
        located.any(|(_, addr)| addr.ip().to_canonical() == ip && (is_sip || addr.port() == port))
    }

    /// Whether a flow without a certificate is a home's, by its address and port. Never where
    /// all homes are reached over TLS.
    pub(super) fn is_home_by_address(&self, end: &End) -> bool {
        self.rules.iter().any(|rule| rule.believes(end))
    }

    /// Whether any home is reached without TLS. Where none is, the edges do not recognise one
    /// another without TLS either. A name that the DNS has not answered for counts as without
    /// TLS, unless its URI demands TLS: an edge that was just started has to recognise at once
    /// what another one relays.
    pub(super) const fn any_without_tls(&self) -> bool {
        self.any_without_tls
    }

    /// Whether homes of earlier settings still count, since the DNS has yet to answer.
    pub(super) const fn have_former(&self) -> bool {
        !self.former.is_empty()
    }

    /// Whether this is the address of a home, with its port.
    pub(super) fn is_at(&self, transport: Transport, addr: SocketAddr) -> bool {
        self.located.contains(&(transport, addr))
    }

    /// Whether a connection may be a home's, before it has shown a certificate.
    pub(super) fn may_be_home(&self, end: &End) -> bool {
        self.rules.iter().any(|rule| rule.comes_from(end))
    }

    /// Whether the DNS has answered for each of them.
    pub(super) const fn are_known(&self) -> bool {
        self.are_known
    }

    /// Whether there are two addresses of homes at least, so that there is a choice.
    pub(super) const fn are_several(&self) -> bool {
        self.located.len() > 1
    }

    /// The configured URIs that the DNS leads to this address.
    pub(super) fn uris_of<'a>(
        &'a self,
        net: &'a Net,
        now: Instant,
        transport: Transport,
        addr: SocketAddr,
    ) -> impl Iterator<Item = &'a str> {
        self.list.iter().filter_map(move |home| match home {
            Home::At(_) => None,
            Home::Named { text, name, .. } => {
                let mut servers = net.servers.locator.stale(now, (*name)?).iter();
                let is_it =
                    servers.any(|server| (server.transport, server.addr) == (transport, addr));
                is_it.then_some(text.as_str())
            }
        })
    }

    /// The domain that the home at this address proves over TLS.
    pub(super) fn domain_at(&self, net: &Net, now: Instant, addr: SocketAddr) -> Option<&str> {
        self.list.iter().find_map(|home| match home {
            Home::At(home) if home.addr == addr => home.name.as_deref(),
            Home::At(_) => None,
            Home::Named { text, uri, name } => {
                let mut servers = net.servers.locator.stale(now, (*name)?).iter();
                let is_there = servers.any(|server| server.addr == addr);
                let host = text.get(uri.host.range());
                host.filter(|_| is_there)
            }
        })
    }

    /// True for a domain that the certificate of a home may name.
    pub(super) fn proves_home(&self, domain: &str) -> bool {
        self.list.iter().any(|home| match home {
            Home::At(home) => {
                let name = home.name.as_deref();
                name.is_some_and(|name| name.eq_ignore_ascii_case(domain))
            }
            Home::Named { .. } => self.has_name(domain.as_bytes()),
        })
    }

    /// Whether this name at the locator is that of a home.
    pub(super) fn has_lookup(&self, id: LookupId) -> bool {
        self.list.iter().any(|home| match home {
            Home::At(_) => false,
            Home::Named { name, .. } => *name == Some(id),
        })
    }

    /// True for the name of a home.
    pub(super) fn has_name(&self, host: &[u8]) -> bool {
        self.list.iter().any(|home| match home {
            Home::At(_) => false,
            Home::Named { text, uri, .. } => same_host(host, uri.host.of(text.as_bytes())),
        })
    }

    /// Appends the homes as targets, each the stand-by of the one before it; those that failed a
    /// moment ago come last.
    pub(super) fn plan(&self, step: &mut Step<'_>, plan: &mut Plan) {
        for failed in [false, true] {
            for home in &self.list {
                let (hop, has_failed) = match home {
                    Home::At(home) => {
                        let name = home.name.as_deref();
                        let name =
                            name.and_then(|name| step.net.flows.names.intern(name.as_bytes()));
                        let hop = send::Hop::To {
                            transport: home.transport,
                            addr: home.addr,
                            name,
                        };
                        (Some(hop), step.net.is_down(step.now, hop))
                    }
                    // The choice among its servers is made when the request leaves.
                    Home::Named { name, .. } => (name.map(send::Hop::Named), false),
                };
                if let Some(hop) = hop.filter(|_| has_failed == failed) {
                    push_in_order(plan, hop);
                }
            }
        }
    }
}

fn list(settings: &[NextHop]) -> Vec<Home> {
    let home = |hop: &NextHop| match hop {
        NextHop::At(hop) => Some(Home::At(hop.clone())),
        NextHop::Named(text) => {
            let uri = Uri::of(text.as_bytes()).ok()?;
            let (text, name) = (text.clone(), None);
            Some(Home::Named { text, uri, name })
        }
    };
    settings.iter().filter_map(home).collect()
}

/// A home sends datagrams from where it is reached, and connects from there or
/// from its core ports. What is too long for UDP takes TCP whatever the
/// configuration says, and what comes by TCP may be answered by UDP.
const fn rule(transport: Transport, addr: SocketAddr, core_port: u16) -> HostRule {
    let clear = match transport {
        Transport::Udp | Transport::Tcp => Clear::Any,
        Transport::Tls => Clear::No,
    };
    let port = Ports::one(addr.port());
    HostRule::at(addr.ip(), clear, port, port.and_core(core_port))
}

/// Appends a target that is the stand-by of the one before it.
pub(super) fn push_in_order(plan: &mut Plan, hop: send::Hop) {
    let after = u8::try_from(plan.targets.len())
        .ok()
        .and_then(|count| count.checked_sub(1));
    plan.targets.push(Target {
        after,
        ..Target::at(hop)
    });
}

impl Carried for Homes {
    fn write(&self, out: &mut Writer) {
        out.value(&(&self.located, &self.before, &self.former, &self.rules));
        out.value(&(self.are_known, self.any_without_tls));
        let name = |home: &Home| match home {
            Home::At(_) => None,
            Home::Named { name, .. } => *name,
        };
        let names: Vec<_> = self.list.iter().map(name).collect();
        out.value(&names);
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        (self.located, self.before, self.former, self.rules) = input.value()?;
        (self.are_known, self.any_without_tls) = input.value()?;
        let names: Vec<Option<LookupId>> = input.value()?;
        for (home, known) in self.list.iter_mut().zip(names) {
            if let Home::Named { name, .. } = home {
                *name = known;
            }
        }
        Ok(())
    }
}
